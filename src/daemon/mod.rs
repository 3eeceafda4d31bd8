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
//! | `pictures`, `views` | what samples look like, and lists of them, for clients of the socket and the door |
//! | `serving`, `view_plan` | the heads that answer for each task, and what each task looks at |
//! | `supervisor` | notices workers that end, stops all of them |
//! | `metrics/` | what is counted, and the text of `/metrics` |
//! | `workers/` | background work, a file for each worker |
//! | `heartbeat`, `throttle` | when a worker is stuck, when a job pauses |

mod commit;
mod event_sender;
mod execute;
mod heartbeat;
mod lifecycle;
mod main_loop;
mod metrics;
mod pictures;
mod process;
mod serving;
mod settings;
mod startup;
mod supervisor;
mod throttle;
mod view_plan;
mod views;
mod wiring;
mod workers;

use crate::backbone::OpenError;
use crate::config::Problem;
use crate::http::{DoorError, SocketError};
use crate::ports::EmbedError;
use crate::shared::backbone::NoBackbone;
use crate::shared::settings::BadSettings;
use crate::store::StoreError;
pub use lifecycle::run;
pub(crate) use process::rss_bytes;
pub use startup::{ConfigLayers, Read};

/// Why the daemon did not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The configuration is wrong.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Configuration(Vec<Problem>),
    /// There is no backbone for the store, or its manifest is wrong.
    #[error(transparent)]
    NoBackbone(#[from] NoBackbone),
    /// The backbone did not open.
    #[error(transparent)]
    Backbone(#[from] OpenError),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The configuration names something that cannot be.
    #[error(transparent)]
    Settings(#[from] BadSettings),
    /// The socket cannot be made.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The HTTP door cannot be opened.
    #[error(transparent)]
    Door(#[from] DoorError),
    /// The backbone failed on a batch.
    #[error(transparent)]
    Embed(#[from] EmbedError),
    /// A thread ended that must run as long as the daemon.
    #[error("the {worker} worker ended; restart the daemon, and report this with the log if it happens again")]
    WorkerEnded {
        /// Which one.
        worker: &'static str,
    },
    /// A worker does not end for a restart within the process.
    #[error("a worker did not stop within {seconds} s, so the new settings cannot take effect; restart the daemon")]
    WorkerStays {
        /// How long the restart waited for it.
        seconds: u64,
    },
    /// The system refuses a thread.
    #[error("cannot start a thread; raise the limit of processes (TasksMax, ulimit -u)")]
    Thread(#[source] std::io::Error),
    /// Signals cannot be received.
    #[error("cannot listen for SIGTERM and SIGINT; raise the limit of open files (LimitNOFILE, ulimit -n)")]
    Signals(#[source] std::io::Error),
}
