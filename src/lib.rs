//! Train and run image classifiers on small devices.
//!
//! A frozen backbone turns images into embeddings; a small dense head is trained on them, again and again, on the
//! device. `ARCHITECTURE.md` says which module does what; dependencies run one way:
//! words <- pure (`image`, `head`, `train`, `eval`, `fleet`, `wire`, `rounds`, `update`, `config`, `engine`) <- `ports` <- adapters
//! (`backbone`, `store`, `watch`, `source`, `mqtt`, `http`) <- `shared` <- `daemon` <- `cli`.

pub mod backbone;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod engine;
pub mod http;
pub mod mqtt;
pub mod ports;
pub mod rounds;
pub mod shared;
pub mod source;
pub mod store;
pub mod systemd;
pub mod update;
pub mod watch;
pub mod wire;

pub use edgetuned_learn::{eval, fleet, head, image, train, words};
