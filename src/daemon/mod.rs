//! The assembly: threads, channels, and the loop that runs the engine's effects.
//!
//! Nothing is decided here. Events from the runtime go through [`crate::engine::Engine::step`]; the durable part of what
//! it asks for is committed in one transaction for all events at hand, and only then acted upon, so that nothing is
//! acknowledged that a power cut could take back.

mod commit;
mod error;
mod event_sender;
mod execute;
mod heartbeat;
mod lifecycle;
mod main_loop;
mod os;
mod process;
mod serving;
mod settings;
mod startup;
mod supervisor;
mod throttle;
mod wiring;
mod workers;

pub use error::RunError;
pub use lifecycle::run;
pub use startup::{ConfigLayers, Read};
