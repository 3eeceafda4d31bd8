//! Fetching a file in chunks: requested by number, with a window of chunks in flight.

use std::time::Duration;

use super::super::super::context::Cx;
use super::super::super::write::Write;
use super::super::Remote;
use crate::update::{Chunks, Manifest};
use crate::wire::{ChunkRequest, Topic, UpdateKind};
use crate::words::{Component, Digest};

/// Without any chunk for this long, they are requested again; then twice as long, up to [`PATIENCE_MAX`].
const PATIENCE: Duration = Duration::from_secs(30);
/// At most.
const PATIENCE_MAX: Duration = Duration::from_mins(5);
/// Unrequested chunks are reported at most this often.
const STRAY_EVERY: Duration = Duration::from_mins(1);

/// Where an update is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Chunks are missing.
    Chunks,
    /// All are there, and are not being checked yet.
    Whole,
    /// They are being verified against the manifest.
    Checking,
    /// They match the manifest.
    Verified,
}

/// An update in progress.
#[derive(Debug)]
pub(super) struct Fetch {
    pub manifest: Manifest,
    /// Of the manifest's bytes.
    pub digest: Digest,
    pub chunks: Chunks,
    pub stage: Stage,
    /// Chunks that were requested and have not come.
    asked: Vec<u32>,
    /// When they are requested again, and the interval after that.
    again: (Duration, Duration),
}

impl Fetch {
    pub fn new(manifest: Manifest, digest: Digest) -> Self {
        let chunks = Chunks::of(&manifest);
        Self { manifest, digest, chunks, stage: Stage::Chunks, asked: Vec::new(), again: (Duration::ZERO, PATIENCE) }
    }
}

impl Remote {
    /// Follows a manifest from now on. Chunks of the same file that are there already count for it.
    pub(super) fn begin_update(
        &mut self,
        cx: &mut Cx<'_>,
        kind: UpdateKind,
        manifest: Manifest,
        payload: &[u8],
        digest: Digest,
    ) {
        let progress = self.updates.of(kind);
        let mut fetch = Fetch::new(manifest, digest);
        let shape = |fetch: &Fetch| (fetch.manifest.sha256, fetch.manifest.size, fetch.manifest.chunk_bytes);
        match progress.fetch.take().filter(|former| shape(former) == shape(&fetch)) {
            Some(former) => {
                (fetch.chunks, fetch.stage) = (former.chunks, former.stage);
                // A comparison with the previous manifest has to be repeated with this one.
                if fetch.stage != Stage::Chunks {
                    fetch.stage = Stage::Whole;
                }
            }
            None => cx.write(Write::DeleteChunks(kind)),
        }
        let progress = self.updates.of(kind);
        progress.fetch = Some(fetch);
        progress.memory.desired = Some(String::from_utf8_lossy(payload).into_owned());
        progress.memory.refused = None;
        self.write_update(cx, kind);
        self.publish_update(cx, kind);
        self.ask_for_chunks(cx, kind);
    }

    /// Requests the next missing chunks, if the broker is connected.
    pub fn ask_for_chunks(&mut self, cx: &mut Cx<'_>, kind: UpdateKind) {
        if !cx.messages.is_connected() {
            return;
        }
        let Some(fetch) = self.updates.of(kind).fetch.as_mut().filter(|fetch| fetch.stage == Stage::Chunks) else {
            return;
        };
        fetch.asked = fetch.chunks.next();
        fetch.again.0 = cx.now.mono + fetch.again.1;
        let (sha256, chunks) = (fetch.manifest.sha256, fetch.asked.clone());
        cx.publish(Topic::UpdateRequest(kind), |envelope| ChunkRequest { envelope, sha256, chunks });
    }

    /// The connection is back: missing chunks are requested at once.
    pub fn ask_on_connection(&mut self, cx: &mut Cx<'_>, kind: UpdateKind) {
        if let Some(fetch) = self.updates.of(kind).fetch.as_mut() {
            fetch.again.1 = PATIENCE;
            self.ask_for_chunks(cx, kind);
        }
    }

    /// Nothing came: request again, less and less often.
    pub fn ask_again_when_due(&mut self, cx: &mut Cx<'_>, kind: UpdateKind) {
        let connected = cx.messages.is_connected();
        let Some(fetch) = self.updates.of(kind).fetch.as_mut().filter(|_| connected) else { return };
        if fetch.stage == Stage::Chunks && cx.now.mono >= fetch.again.0 {
            fetch.again.1 = (2 * fetch.again.1).min(PATIENCE_MAX);
            self.ask_for_chunks(cx, kind);
        }
    }

    /// `update/<kind>/chunk/<sha256>/<n>`: stored if it is one that is missing.
    pub fn update_chunk(&mut self, cx: &mut Cx<'_>, kind: UpdateKind, sha256: Digest, n: u32, bytes: &[u8]) {
        let progress = self.updates.of(kind);
        let Some(fetch) = progress.fetch.as_mut().filter(|fetch| fetch.manifest.sha256 == sha256) else {
            // Delivered a second time, after the last one made the file whole.
            if progress.memory.installed.as_ref().is_none_or(|installed| installed.sha256 != sha256) {
                self.stray_chunk(cx, &format!("no {kind} with SHA-256 {} is in progress", sha256.short()));
            }
            return;
        };
        match fetch.chunks.wants(n, bytes.len()) {
            Ok(false) => return,
            Err(bad) => return self.stray_chunk(cx, &format!("{kind} {}: {bad}", sha256.short())),
            Ok(true) => {}
        }
        fetch.chunks.add(n);
        fetch.asked.retain(|asked| *asked != n);
        fetch.again = (cx.now.mono + PATIENCE, PATIENCE);
        let (is_complete, is_answered) = (fetch.chunks.is_complete(), fetch.asked.is_empty());
        if is_complete {
            fetch.stage = Stage::Whole;
        }
        cx.write(Write::Chunk { kind, n, bytes: bytes.to_vec() });
        if is_complete || is_answered {
            self.publish_update(cx, kind);
            self.ask_for_chunks(cx, kind);
        }
    }

    /// Reports chunks that are not stored, but not each one.
    fn stray_chunk(&mut self, cx: &mut Cx<'_>, why: &str) {
        let (told, count) = &mut self.updates.stray;
        *count += 1;
        if told.is_none_or(|at| cx.now.mono.saturating_sub(at) >= STRAY_EVERY) {
            *told = Some(cx.now.mono);
            let count = std::mem::take(count);
            let others = if count > 1 { format!(" ({count} of that kind)") } else { String::new() };
            cx.error(
                Component::Updates,
                format!("a chunk was ignored: {why}{others}; send the chunks that update/*/request lists"),
            );
        }
    }
}
