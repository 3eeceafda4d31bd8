//! Signed updates: the manifest, its signature, whether this device accepts it, and which chunks are missing; and, for
//! who sends them, in which order the devices of a fleet get one ([`rollout`]).
//!
//! A manifest arrives over MQTT, where anybody may have written it. [`Manifest::open`] reads nothing of it unless
//! one of the trusted keys has signed it; [`accept()`] compares it with this device. `docs/updates.md` has the format
//! byte by byte and the threat that each check is there for.
//!
//! **Invariant:** without trusted keys nothing is taken; every field counts that was signed, also those that this
//! version does not know; the same manifest, device and time give the same answer. Nothing here reads a file, knows
//! the time except by argument, or makes a key by itself.

mod accept;
mod canonical;
mod chunks;
mod keys;
mod manifest;
pub mod rollout;

#[cfg(test)]
mod tests;

use std::time::Duration;

pub use accept::{Accepted, Code, Device, Installed, Refusal, accept, in_time};
pub use canonical::{canonical, read_strictly};
pub use chunks::{BadChunk, Chunks, WINDOW};
pub use keys::{BadKey, Signer, TrustedKey, TrustedKeys};
pub use manifest::{
    BACKBONE_MIB_MAX, CHUNK_BYTES_MAX, CHUNK_BYTES_MIN, Contents, HEAD_MIB_MAX, MANIFEST_BYTES_MAX, Manifest,
    VERSION_MAX, bytes_max, sign,
};

/// How long an update has to work before it stays.
pub const PROBATION: Duration = Duration::from_mins(1);
