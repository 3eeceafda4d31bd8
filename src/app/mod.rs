//! The assembly: threads, channels, and the loop that runs the engine's effects.
//!
//! Nothing is decided here. Events from the rim go through [`crate::engine::Engine::step`]; the durable part of what
//! it asks for is committed in one transaction for all events at hand, and only then acted upon, so that nothing is
//! acknowledged that a power cut could take back.

mod adapt;
mod answers;
mod assemble;
mod configuration;
mod daemon;
mod door;
mod durable;
mod effects;
mod exports;
mod ingest;
mod keys;
mod memory;
mod outbox;
mod patience;
mod picture;
mod pulse;
mod run;
mod samples;
mod serving;
mod settings;
mod shutdown;
mod successor;
mod survey;
mod trainer;
mod updates;
mod vitals;

pub use configuration::{Read, Sources};
pub use keys::{KeyFileError, read_key};
pub use picture::{Picture, PictureError, read_picture};
pub use run::{RunError, run};
pub use samples::samples;
pub use settings::{BadSettings, broker, credentials_folder, fit_settings, password_file, precision};
