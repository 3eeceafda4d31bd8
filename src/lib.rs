//! Transfer learning that adapts by itself at the edge.
//!
//! A frozen backbone turns images into embeddings; a small dense head is trained on them, again and again, on the
//! device. `ARCHITECTURE.md` tells which room does what; arrows between them run one way:
//! words <- pure (`image`, `head`, `train`, `eval`, `wire`, `update`, `config`, `engine`) <- `ports` <- rim (`backbone`,
//! `store`, `watch`, `mqtt`, `http`) <- `shared` <- `daemon` <- `cli`.

pub mod backbone;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod engine;
pub mod eval;
pub mod head;
pub mod http;
pub mod image;
pub mod mqtt;
pub mod ports;
pub mod shared;
pub mod store;
pub mod systemd;
pub mod train;
pub mod update;
pub mod watch;
pub mod wire;
pub mod words;
