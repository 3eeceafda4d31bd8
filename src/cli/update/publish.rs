//! `edgetuned update publish`: sends a manifest, and chunks as long as the device requests them.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use serde::Serialize;

use super::{Publish, belongs, unreadable};
use crate::cli::args::Args;
use crate::cli::configuration;
use crate::cli::failure::{Failure, one_line};
use crate::cli::output::Output;
use crate::config;
use crate::mqtt::{Courier, LinkEvent};
use crate::shared::settings;
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

pub fn publish(args: &Args, wish: &Publish, output: Output) -> Result<(), Failure> {
    let bytes = fs::read(&wish.manifest).map_err(|error| unreadable(&wish.manifest, &error))?;
    let shown = wish.manifest.display();
    let wanted = Manifest::read_unverified(&bytes).map_err(|refusal| {
        Failure::failed(format!("{shown} is not a manifest: {refusal}; make one with 'edgetuned update sign'"))
    })?;
    belongs(&wish.file, wanted.size, wanted.sha256)?;
    let file = File::open(&wish.file).map_err(|error| unreadable(&wish.file, &error))?;
    let settings = broker(args, wish)?;
    let kind = wanted.contents.kind();
    let topics = [Topic::UpdateState(kind), Topic::UpdateRequest(kind)];
    let courier = Courier::connect(&settings, &topics).map_err(Failure::unavailable)?;
    let bar = output.progress(u64::from(wanted.chunks()), "sending");
    let mut session = Session { courier, wanted, desired: bytes, file, bar, sent: 0 };
    let started = Instant::now();
    let state = session.run(wish.timeout)?;
    session.bar.finish_and_clear();
    let Manifest { name, version, .. } = session.wanted;
    let sent = Sent {
        device: wish.device.clone(),
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

/// The link's settings, as this command's options and the configuration say.
fn broker(args: &Args, wish: &Publish) -> Result<crate::mqtt::Settings, Failure> {
    let mut config = match configuration::if_named(args)? {
        Some(config) => config,
        None => config::load(&[], "publisher").map_err(Failure::problems)?.config,
    };
    let Some(mqtt) = &mut config.mqtt else {
        return Err(Failure::usage("mqtt.url is null in the configuration; give the broker with --url"));
    };
    if let Some(url) = &wish.url {
        mqtt.url.clone_from(url);
    }
    if let Some(prefix) = &wish.prefix {
        mqtt.prefix.clone_from(prefix);
    }
    config.device.id.clone_from(&wish.device);
    let settings = settings::broker(&config).map_err(Failure::usage)?;
    settings.ok_or_else(|| Failure::usage("give the broker with --url"))
}

struct Session {
    courier: Courier,
    wanted: Manifest,
    desired: Vec<u8>,
    file: File,
    bar: ProgressBar,
    sent: u64,
}

impl Session {
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
                    let topic = InboundTopic::UpdateDesired(self.wanted.contents.kind());
                    self.courier.send(&topic, self.desired.clone(), true).map_err(Failure::unavailable)?;
                }
                Some(LinkEvent::Message { topic: Topic::UpdateRequest(_), payload, .. }) => {
                    let Ok(request) = ChunkRequest::decode(&payload) else { continue };
                    if request.sha256 == self.wanted.sha256 {
                        heard_at = Instant::now();
                        self.answer(&request)?;
                    }
                }
                Some(LinkEvent::Message { payload, retained, .. }) => {
                    let Ok(state) = UpdateState::decode(&payload) else { continue };
                    if state.manifest != Some(Digest::of(&self.desired)) {
                        continue;
                    }
                    heard_at = Instant::now();
                    if self.is_over(&state, retained) {
                        return Ok(state);
                    }
                }
                Some(LinkEvent::Lost { reason }) => tracing::warn!(reason, "no connection to the broker"),
            }
        }
    }

    fn answer(&mut self, request: &ChunkRequest) -> Result<(), Failure> {
        let Manifest { size, sha256, chunk_bytes, .. } = self.wanted;
        let kind = self.wanted.contents.kind();
        for &n in request.chunks.iter().take(WINDOW) {
            let start = u64::from(n) * chunk_bytes;
            if start >= size {
                continue;
            }
            let mut bytes = vec![0; (size - start).min(chunk_bytes) as usize];
            let read = self.file.read_exact_at(&mut bytes, start);
            read.map_err(|error| {
                Failure::failed(format!(
                    "cannot read the file any more: {error}; check that it still exists, and publish again"
                ))
            })?;
            let topic = InboundTopic::UpdateChunk(kind, sha256, n);
            self.courier.send(&topic, bytes, false).map_err(Failure::unavailable)?;
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
        let installed = state.installed_version.as_deref() == Some(&self.wanted.version.to_string());
        let rests = matches!(state.phase, UpdatePhase::Idle | UpdatePhase::Trial);
        match &state.error {
            Some(_) => !retained,
            None => installed && rests,
        }
    }
}
