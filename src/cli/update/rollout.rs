//! `edgetuned update publish --device 'line-*'`: carries out what [`Rollout`] decides, over one connection.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::Publish;
use super::file::UpdateFile;
use crate::cli::args::Args;
use crate::cli::broker::no_device;
use crate::cli::failure::{Failure, one_line};
use crate::cli::output::Output;
use crate::mqtt::{Courier, LinkEvent, Reach};
use crate::update::rollout::{Act, Heard, Outcome, Percent, Plan, Rollout, Row, Stage, Target};
use crate::wire::{ChunkRequest, InboundTopic, Payload, Topic, UpdateKind, UpdateState};
use crate::words::Digest;

/// Messages that are on their way to the broker at a time.
const IN_FLIGHT_MAX: usize = 32;

/// How long the broker has to acknowledge the last messages.
const FAREWELL: Duration = Duration::from_secs(10);

/// How it ended.
#[derive(Debug, Serialize)]
struct Report {
    kind: UpdateKind,
    name: String,
    version: u64,
    /// Whether refusals have stopped it.
    stopped: bool,
    devices: Vec<Line>,
    /// Chunks, those sent again included.
    #[serde(rename = "chunks_sent")]
    chunks: u64,
    seconds: f64,
}

/// A device of the report.
#[derive(Debug, Serialize)]
struct Line {
    device: String,
    /// From 1; null when it had not begun.
    stage: Option<usize>,
    outcome: Outcome,
    /// The device's code, of a refusal.
    code: Option<String>,
    reason: String,
}

/// Sends the update to every device that is meant, stage by stage, and reports what became of each.
pub fn rollout(args: &Args, wish: &Publish, update: UpdateFile, output: Output) -> Result<(), Failure> {
    let settings = wish.broker.settings(args, None)?;
    let kind = update.manifest.contents.kind();
    let topics = [Topic::Info, Topic::Status, Topic::UpdateState(kind), Topic::UpdateRequest(kind)];
    let topics = topics.map(|topic| topic.to_string());
    let courier = Courier::connect(&settings, Reach::Fleet, &topics).map_err(Failure::unavailable)?;
    let plan = Plan {
        devices: wish.device.clone(),
        first: wish.first.unwrap_or(Percent::ALL),
        stop_after: wish.stop_after.map(|count| count as usize),
        silence: wish.timeout,
        update: Target {
            version: update.manifest.version,
            manifest: Digest::of(&update.bytes),
            file: update.manifest.sha256,
            chunks: update.manifest.chunks(),
        },
    };
    let mut session = Session { courier, update, rollout: Rollout::new(plan), began: Instant::now(), output, sent: 0 };
    session.run(wish.timeout)?;
    let rows = session.rollout.rows();
    if rows.is_empty() {
        return Err(no_device(&wish.device, "--device", &settings));
    }
    session.report(rows)
}

struct Session {
    courier: Courier,
    update: UpdateFile,
    rollout: Rollout,
    began: Instant,
    output: Output,
    sent: u64,
}

impl Session {
    /// Until every device has answered, or refusals have stopped it.
    fn run(&mut self, silence: Duration) -> Result<(), Failure> {
        let mut until = self.began + silence;
        loop {
            self.act()?;
            let is_over = self.rollout.is_over();
            if is_over && self.courier.in_flight() == 0 {
                return Ok(());
            }
            if !is_over {
                let due = self.rollout.due().map(|due| self.began + due);
                // What is due when the rollout ends is a farewell; before the first connection, to give up.
                until = due.unwrap_or(until);
            }
            let event = self.courier.next(until.saturating_duration_since(Instant::now()));
            if event.is_none() && is_over {
                tracing::warn!("the broker has not acknowledged the last messages");
                return Ok(());
            }
            if event.is_none() && !self.rollout.has_connected() {
                let (broker, seconds) = (self.courier.broker(), silence.as_secs());
                return Err(Failure::unavailable(format!(
                    "no connection to {broker} for {seconds} s; check --url, and that the broker runs"
                )));
            }
            if let Some(heard) = heard(event) {
                self.rollout.hear(self.began.elapsed(), heard);
            }
            if !is_over && self.rollout.is_over() {
                until = Instant::now() + FAREWELL;
            }
        }
    }

    /// Carries out what is to be done, as far as the link takes it.
    fn act(&mut self) -> Result<(), Failure> {
        while self.courier.in_flight() < IN_FLIGHT_MAX {
            let Some(act) = self.rollout.next_act() else { break };
            let kind = self.update.manifest.contents.kind();
            let sent = match act {
                Act::Begin(stage) => {
                    self.output.say(&began(&stage));
                    Ok(())
                }
                Act::Tell(row) => {
                    self.output.say(&told(&row));
                    Ok(())
                }
                Act::Publish(device) => {
                    let manifest = self.update.bytes.clone();
                    self.courier.send(&device, &InboundTopic::UpdateDesired(kind), manifest, true)
                }
                Act::Withdraw(device) => {
                    self.courier.send(&device, &InboundTopic::UpdateDesired(kind), Vec::new(), true)
                }
                Act::Chunk(device, n) => match self.update.chunk(n)? {
                    Some(bytes) => {
                        self.sent += 1;
                        let topic = InboundTopic::UpdateChunk(kind, self.update.manifest.sha256, n);
                        self.courier.send(&device, &topic, bytes, false)
                    }
                    None => Ok(()),
                },
            };
            sent.map_err(Failure::unavailable)?;
        }
        Ok(())
    }

    fn report(self, rows: Vec<Row>) -> Result<(), Failure> {
        let count = |is: fn(Outcome) -> bool| rows.iter().filter(|row| is(row.outcome)).count();
        let (installed, refused) = (count(|outcome| outcome == Outcome::Installed), count(Outcome::is_refusal));
        let all = rows.len();
        let line = |Row { device, stage, outcome, code, reason }| Line { device, stage, outcome, code, reason };
        let report = Report {
            kind: self.update.manifest.contents.kind(),
            name: self.update.manifest.name.clone(),
            version: self.update.manifest.version,
            stopped: self.rollout.is_stopped(),
            devices: rows.into_iter().map(line).collect(),
            chunks: self.sent,
            seconds: self.began.elapsed().as_secs_f64(),
        };
        self.output.print(&report, |out| {
            table(&report.devices, out)?;
            let Report { kind, name, version, .. } = &report;
            let end = if report.stopped { "stopped; the same command goes on where it stopped" } else { "done" };
            writeln!(out, "{kind} {name:?} {version}: {installed} of {all} devices have it, {refused} refused; {end}")
        })?;
        match (installed == all, refused > 0 || report.stopped) {
            (true, _) => Ok(()),
            (false, true) => Err(Failure::already_printed(1)),
            (false, false) => Err(Failure::already_printed(69)),
        }
    }
}

/// What the rollout hears of an event.
fn heard(event: Option<LinkEvent>) -> Option<Heard> {
    match event {
        None => Some(Heard::Tick),
        Some(LinkEvent::Connected) => Some(Heard::Connected),
        Some(LinkEvent::Acknowledged) => None,
        Some(LinkEvent::Lost { reason }) => {
            tracing::warn!(reason, "no connection to the broker");
            None
        }
        Some(LinkEvent::Message { device, topic, payload, retained }) => match topic {
            // An empty one removes the device.
            Topic::Info => (!payload.is_empty()).then_some(Heard::Device(device)),
            Topic::Status => Some(Heard::Status(device, payload == b"online")),
            Topic::UpdateState(_) => {
                let state = UpdateState::decode(&payload).ok()?;
                Some(Heard::State(device, Box::new(state), retained))
            }
            Topic::UpdateRequest(_) => Some(Heard::Request(device, ChunkRequest::decode(&payload).ok()?)),
            _ => None,
        },
    }
}

fn began(stage: &Stage) -> String {
    let Stage { number, devices, reached, of } = stage;
    let devices = if *devices == 1 { "1 device".to_owned() } else { format!("{devices} devices") };
    format!("stage {number}: {devices}, then {reached} of {of} are reached")
}

fn told(row: &Row) -> String {
    let why = [row.code.clone(), Some(one_line(&row.reason)).filter(|reason| !reason.is_empty())];
    let why: Vec<_> = why.into_iter().flatten().collect();
    let why = if why.is_empty() { String::new() } else { format!(": {}", why.join(": ")) };
    format!("{} {}{why}", row.device, row.outcome.as_str())
}

/// One line a device, under a headline.
fn table(lines: &[Line], out: &mut dyn Write) -> io::Result<()> {
    let width = lines.iter().map(|line| line.device.len()).max().unwrap_or(0).max("device".len());
    writeln!(out, "{:width$}  {:12}  reason", "device", "outcome")?;
    for line in lines {
        let code = line.code.as_ref().map_or(String::new(), |code| format!("{code}: "));
        let row = format!("{:width$}  {:12}  {code}{}", line.device, line.outcome.as_str(), one_line(&line.reason));
        writeln!(out, "{}", row.trim_end())?;
    }
    Ok(())
}
