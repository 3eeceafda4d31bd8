//! The store as commands change labels in it.

use super::failure::Failure;
use crate::config::Config;
use crate::engine::{TrainingState, Write};
use crate::store::{Store, StoreError};

/// The store for changes of labels; a running daemon keeps it for itself.
pub fn open_for_labels(config: &Config) -> Result<Store, Failure> {
    Store::open_existing(&config.store.path).map_err(|error| match error {
        StoreError::Locked { folder, holder } => Failure::unavailable(format!(
            "cannot change labels in {}: {holder} works on it; stop it first, or send it the labels over MQTT, to its \
             topic 'label'",
            folder.display()
        )),
        error => error.into(),
    })
}

/// The write that counts `changed` labels as new, as the daemon does when it changes them.
pub fn count_new_labels(memory: &TrainingState, changed: usize) -> Write {
    Write::TrainingState(TrainingState { new_labels: memory.new_labels + changed as u64, ..memory.clone() })
}
