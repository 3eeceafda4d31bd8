//! The daemon: its threads and queues, and the loop that passes events to the engine and carries out its effects.
//!
//! Nothing is decided here. Every event goes through [`crate::engine::Engine::step`]. The writes of all steps at hand are
//! committed in one transaction, and only then are the other effects carried out, so that nothing is acknowledged that a
//! power cut could undo.
//!
//! | file | what it does |
//! | --- | --- |
//! | `lifecycle` | starts the daemon, restarts it within the process, handles a start that fails |
//! | `startup` | the configuration of a start |
//! | `wiring` | opens everything and starts the threads |
//! | `main_loop` | waits for events, steps the engine |
//! | `commit`, `execute` | make writes durable, carry out effects |
//! | `supervisor` | notices workers that end, stops all of them |
//! | `workers/` | background work, a file for each worker |
//! | `heartbeat`, `throttle` | when a worker is stuck, when a job pauses |

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
