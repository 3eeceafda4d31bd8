//! `edgetuned update publish`: sends a manifest, and chunks as long as the device requests them.

use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use serde::Serialize;

use super::Publish;
use super::file::UpdateFile;
use crate::cli::args::Args;
use crate::cli::failure::{Failure, one_line};
use crate::cli::output::Output;
use crate::mqtt::{Courier, LinkEvent, Reach};
use crate::update::{Manifest, WINDOW};
use crate::wire::{ChunkRequest, InboundTopic, Payload, Topic, UpdateError, UpdateKind, UpdatePhase, UpdateState};
use crate::words::Digest;

/// How it ended.
#[derive(Debug, Serialize)]
struct Sent {
    device: String,
    kind: UpdateKind,
    name: String,
    version: u64,
    installed: bool,
    error: Option<UpdateError>,
    /// Chunks, those sent again included.
    #[serde(rename = "chunks_sent")]
    chunks: u64,
    seconds: f64,
}

pub fn publish(args: &Args, wish: &Publish, device: &str, update: UpdateFile, output: Output) -> Result<(), Failure> {
    let settings = wish.broker.settings(args, Some(device))?;
    let kind = update.manifest.contents.kind();
    let topics = [Topic::UpdateState(kind), Topic::UpdateRequest(kind)].map(|topic| topic.to_string());
    let courier = Courier::connect(&settings, Reach::Device, &topics).map_err(Failure::unavailable)?;
    let bar = output.progress(u64::from(update.manifest.chunks()), "sending");
    let mut session = Session { courier, device, update, bar, sent: 0 };
    let started = Instant::now();
    let state = session.run(wish.timeout)?;
    session.bar.finish_and_clear();
    let Manifest { name, version, .. } = session.update.manifest;
    let sent = Sent {
        device: device.to_owned(),
        kind,
        name,
        version,
        installed: state.error.is_none(),
        error: state.error,
        chunks: session.sent,
        seconds: started.elapsed().as_secs_f64(),
    };
    output.print(&sent, |out| {
        let Sent { device, name, version, .. } = &sent;
        match &sent.error {
            None => writeln!(out, "{device} has installed {kind} {name:?} {version}"),
            Some(UpdateError { code, message }) => {
                writeln!(out, "{device} does not install {kind} {name:?} {version}: {code}: {}", one_line(message))
            }
        }
    })?;
    if sent.installed { Ok(()) } else { Err(Failure::already_printed(1)) }
}

struct Session<'a> {
    courier: Courier,
    device: &'a str,
    update: UpdateFile,
    bar: ProgressBar,
    sent: u64,
}

impl Session<'_> {
    /// Sends until the device has reported the result.
    fn run(&mut self, silence: Duration) -> Result<UpdateState, Failure> {
        let mut heard_at = Instant::now();
        loop {
            let left = silence.saturating_sub(heard_at.elapsed());
            match self.courier.next(left) {
                None => {
                    let broker = self.courier.broker();
                    let reason = format!(
                        "the device has reported nothing about the update for {} s at {broker}",
                        silence.as_secs()
                    );
                    let next =
                        "the manifest stays there for it; check that the device runs, and publish again for its chunks";
                    return Err(Failure::unavailable(format!("{reason}; {next}")));
                }
                Some(LinkEvent::Connected) => {
                    let topic = InboundTopic::UpdateDesired(self.update.manifest.contents.kind());
                    let manifest = self.update.bytes.clone();
                    self.courier.send(self.device, &topic, manifest, true).map_err(Failure::unavailable)?;
                }
                Some(LinkEvent::Message { topic: Topic::UpdateRequest(_), payload, .. }) => {
                    let Ok(request) = ChunkRequest::decode(&payload) else { continue };
                    if request.sha256 == self.update.manifest.sha256 {
                        heard_at = Instant::now();
                        self.answer(&request)?;
                    }
                }
                Some(LinkEvent::Message { payload, retained, .. }) => {
                    let Ok(state) = UpdateState::decode(&payload) else { continue };
                    if state.manifest != Some(Digest::of(&self.update.bytes)) {
                        continue;
                    }
                    heard_at = Instant::now();
                    if self.is_over(&state, retained) {
                        return Ok(state);
                    }
                }
                Some(LinkEvent::Acknowledged) => {}
                Some(LinkEvent::Lost { reason }) => tracing::warn!(reason, "no connection to the broker"),
            }
        }
    }

    fn answer(&mut self, request: &ChunkRequest) -> Result<(), Failure> {
        let Manifest { sha256, contents, .. } = &self.update.manifest;
        for &n in request.chunks.iter().take(WINDOW) {
            let Some(bytes) = self.update.chunk(n)? else { continue };
            let topic = InboundTopic::UpdateChunk(contents.kind(), *sha256, n);
            self.courier.send(self.device, &topic, bytes, false).map_err(Failure::unavailable)?;
            self.sent += 1;
        }
        Ok(())
    }

    /// Whether `state`, which is about this manifest, is final. A failure that the broker had kept is of an earlier
    /// time: the device looks again.
    fn is_over(&self, state: &UpdateState, retained: bool) -> bool {
        if let Some(percent) = state.update_percentage {
            self.bar.set_position(self.bar.length().unwrap_or(0) * u64::from(percent) / 100);
        }
        let installed = state.installed_version.as_deref() == Some(&self.update.manifest.version.to_string());
        let rests = matches!(state.phase, UpdatePhase::Idle | UpdatePhase::Trial);
        match &state.error {
            Some(_) => !retained,
            None => installed && rests,
        }
    }
}
