//! What the daemon and the commands both do: settings from the configuration, and files that both read.

pub mod read_image;
pub mod sample_list;
pub mod settings;
pub mod trusted_keys;
