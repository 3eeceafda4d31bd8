//! Who changes the store: this process, or the daemon that works on it.

use super::failure::Failure;
use crate::store::{Store, StoreError};

/// Who has the store.
pub enum Ownership {
    /// Nobody else: it is open for changes.
    Here(Box<Store>),
    /// A daemon, which is to be asked at its socket.
    Daemon,
}

/// What the result of opening the store says about that.
pub fn owned(opened: Result<Store, StoreError>) -> Result<Ownership, Failure> {
    match opened {
        Ok(store) => Ok(Ownership::Here(Box::new(store))),
        Err(StoreError::Locked { .. }) => Ok(Ownership::Daemon),
        Err(error) => Err(error.into()),
    }
}
