//! A rollout: one update for every device that a pattern means, in stages that end when devices refuse.
//!
//! The sender's side. [`Rollout`] decides which device gets the manifest when, which chunk is sent next, what became of
//! each device, and when it is over; devices decide about the update themselves, each by its own gate. Events go in with
//! the time at which they came, acts are taken out one by one, so that whoever carries them out never holds more than
//! the link takes.
//!
//! Invariants: no device gets the manifest before every device of the stages before has answered; nothing is sent after
//! the rollout has stopped but the withdrawal from devices that had not installed it; a message that is repeated, or
//! older than one that came before it, changes nothing. Nothing here sends, reads a file, or knows the time except by
//! argument.

mod device;

#[cfg(test)]
mod property_tests;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::WINDOW;
use crate::wire::{ChunkRequest, DevicePattern, UpdateState};
use crate::words::Digest;
pub use device::Outcome;
use device::{At, Device};

/// How long no further device has been found when the search is over.
pub const QUIET: Duration = Duration::from_secs(2);

/// The longest search, however many devices there are.
pub const SEARCH_MAX: Duration = Duration::from_secs(30);

/// A share of the devices in whole percent, 1 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Percent(u8);

/// Why a text is no share.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a share of the devices in whole percent from 1% to 100%, as 10%")]
pub struct BadPercent;

impl Percent {
    /// All of them.
    pub const ALL: Self = Self(100);

    /// How many of `count` that is, rounded up.
    #[must_use]
    pub fn of(self, count: usize) -> usize {
        (count * usize::from(self.0)).div_ceil(100)
    }
}

impl FromStr for Percent {
    type Err = BadPercent;

    fn from_str(text: &str) -> Result<Self, BadPercent> {
        let number = text.strip_suffix('%').and_then(|number| number.parse().ok());
        number.filter(|percent| (1..=100).contains(percent)).map(Self).ok_or(BadPercent)
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

/// What is rolled out, and how.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The devices that are meant.
    pub devices: DevicePattern,
    /// The share of them in the first stage; each stage after it has twice as many devices.
    pub first: Percent,
    /// The refusal with which it stops.
    pub stop_after: Option<usize>,
    /// A device that has reported nothing for this long is not waited for.
    pub silence: Duration,
    /// The update.
    pub update: Target,
}

/// The update, as devices name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// Of the manifest.
    pub version: u64,
    /// SHA-256 of the manifest's bytes.
    pub manifest: Digest,
    /// SHA-256 of the file.
    pub file: Digest,
    /// How many chunks the file has.
    pub chunks: u32,
}

/// Something that happened.
#[derive(Debug, Clone)]
pub enum Heard {
    /// The connection is established, for the first time or again.
    Connected,
    /// A device is there: its `info`.
    Device(String),
    /// A device's `status`: whether it is online.
    Status(String, bool),
    /// A device's `update/<kind>/state`, and whether the broker had kept it.
    State(String, Box<UpdateState>, bool),
    /// A device's `update/<kind>/request`.
    Request(String, ChunkRequest),
    /// Time passed.
    Tick,
}

/// Something to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Publish the manifest for this device, retained.
    Publish(String),
    /// Clear the manifest of this device, which has not installed it.
    Withdraw(String),
    /// Send this device a chunk.
    Chunk(String, u32),
    /// Say that a stage begins.
    Begin(Stage),
    /// Say what became of a device.
    Tell(Row),
}

/// A stage that begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// From 1.
    pub number: usize,
    /// How many devices are in it, those that have the update already included.
    pub devices: usize,
    /// How many devices have been reached when it is over.
    pub reached: usize,
    /// How many there are in all.
    pub of: usize,
}

/// What became of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its id.
    pub device: String,
    /// Its stage, from 1; `None` when that had not begun.
    pub stage: Option<usize>,
    /// How it ended.
    pub outcome: Outcome,
    /// The device's code, of a refusal.
    pub code: Option<String>,
    /// Why, for people.
    pub reason: String,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// There was no connection yet.
    Offline,
    /// Devices are looked for: since when, and since when nothing new came.
    Search { since: Duration, quiet: Duration },
    /// Stages run.
    Stages,
    /// It is over; true when it was stopped by refusals.
    Over(bool),
}

/// A rollout on its way.
#[derive(Debug)]
pub struct Rollout {
    plan: Plan,
    phase: Phase,
    devices: BTreeMap<String, Device>,
    /// The devices that were found, by id, once the search is over.
    order: Vec<String>,
    /// How many of these have been reached.
    reached: usize,
    /// How many stages have begun.
    stages: usize,
    /// How many devices the next one has, if so many are left.
    next: usize,
    acts: VecDeque<Act>,
    /// Devices whose chunks are to be sent, the next one first.
    turn: VecDeque<String>,
}

impl Rollout {
    /// One that has found nobody yet.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        let (acts, turn) = (VecDeque::new(), VecDeque::new());
        let devices = BTreeMap::new();
        Self { plan, phase: Phase::Offline, devices, order: Vec::new(), reached: 0, stages: 0, next: 0, acts, turn }
    }

    /// Takes in what happened at `now`, on a clock that never goes back.
    pub fn hear(&mut self, now: Duration, heard: Heard) {
        if let Phase::Over(_) = self.phase {
            // Withdrawals that were on their way may be lost, too.
            if self.is_stopped() && matches!(heard, Heard::Connected) {
                self.withdraw();
            }
            return;
        }
        match heard {
            Heard::Connected => self.connected(now),
            Heard::Device(id) => {
                if let Some(device) = self.known(id).filter(|device| !device.found) {
                    device.found = true;
                    self.is_not_quiet(now);
                }
            }
            Heard::Status(id, online) => {
                if let Some(device) = self.known(id) {
                    device.online = Some(online);
                }
            }
            Heard::State(id, state, retained) => {
                let update = self.plan.update;
                let Some(device) = self.known(id.clone()) else { return };
                if device.take(&update, now, *state, retained) {
                    self.is_not_quiet(now);
                    self.tell(&id);
                }
            }
            Heard::Request(id, request) => self.requested(now, id, &request),
            Heard::Tick => {}
        }
        self.proceed(now);
    }

    /// The next thing to do: manifests before chunks, and of chunks one of each device in turn.
    pub fn next_act(&mut self) -> Option<Act> {
        if let Some(act) = self.acts.pop_front() {
            return Some(act);
        }
        loop {
            let id = self.turn.pop_front()?;
            let Some(device) = self.devices.get_mut(&id).filter(|device| device.is_under_way()) else { continue };
            let Some(n) = device.wanted.pop_front() else { continue };
            if !device.wanted.is_empty() {
                self.turn.push_back(id.clone());
            }
            return Some(Act::Chunk(id, n));
        }
    }

    /// When it has to hear a [`Heard::Tick`], if nothing else happens before; `None` when nothing is due.
    #[must_use]
    pub fn due(&self) -> Option<Duration> {
        match self.phase {
            Phase::Search { since, quiet } => Some((quiet + QUIET).min(since + SEARCH_MAX)),
            Phase::Stages => self.under_way().filter_map(|device| device.due(self.plan.silence)).min(),
            Phase::Offline | Phase::Over(_) => None,
        }
    }

    /// Whether every device has answered or it was stopped; acts may be left.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over(_))
    }

    /// Whether refusals have stopped it.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.phase == Phase::Over(true)
    }

    /// Whether the broker has ever answered.
    #[must_use]
    pub fn has_connected(&self) -> bool {
        self.phase != Phase::Offline
    }

    /// Every device that was found, by id.
    #[must_use]
    pub fn rows(&self) -> Vec<Row> {
        self.order.iter().filter_map(|id| self.row(id)).collect()
    }

    fn row(&self, id: &str) -> Option<Row> {
        let device = self.devices.get(id)?;
        let (outcome, code, reason) = device.ending(&self.plan);
        Some(Row { device: id.to_owned(), stage: device.stage, outcome, code, reason })
    }

    /// What is known of a device that is meant; one that is new is none any more when the search is over.
    fn known(&mut self, id: String) -> Option<&mut Device> {
        if !self.plan.devices.matches(&id) {
            return None;
        }
        let searching = matches!(self.phase, Phase::Offline | Phase::Search { .. });
        if searching { Some(self.devices.entry(id).or_default()) } else { self.devices.get_mut(&id) }
    }

    fn under_way(&self) -> impl Iterator<Item = &Device> {
        self.order[..self.reached].iter().filter_map(|id| self.devices.get(id))
    }

    fn is_not_quiet(&mut self, now: Duration) {
        if let Phase::Search { quiet, .. } = &mut self.phase {
            *quiet = now;
        }
    }

    /// What was on its way may be lost: devices that have not answered get the manifest again.
    fn connected(&mut self, now: Duration) {
        if self.phase == Phase::Offline {
            self.phase = Phase::Search { since: now, quiet: now };
        }
        self.acts.retain(|act| !matches!(act, Act::Publish(_)));
        for id in &self.order[..self.reached] {
            if let Some(Device { at: At::Sent { .. }, .. }) = self.devices.get(id) {
                self.acts.push_back(Act::Publish(id.clone()));
            }
        }
    }

    /// A device's latest request is what it needs; earlier ones no longer count.
    fn requested(&mut self, now: Duration, id: String, request: &ChunkRequest) {
        let Target { file, chunks, .. } = self.plan.update;
        if request.sha256 != file {
            return;
        }
        let Some(device) = self.known(id.clone()) else { return };
        if !device.is_newer(&request.envelope) {
            return;
        }
        device.wanted = request.chunks.iter().copied().filter(|n| *n < chunks).take(WINDOW).collect();
        device.requested(now);
        if device.is_under_way() && !device.wanted.is_empty() && !self.turn.contains(&id) {
            self.turn.push_back(id);
        }
    }

    /// Begins and ends what is due.
    fn proceed(&mut self, now: Duration) {
        if let Phase::Search { since, quiet } = self.phase
            && (now >= quiet + QUIET || now >= since + SEARCH_MAX)
        {
            self.devices.retain(|_, device| device.found);
            self.order = self.devices.keys().cloned().collect();
            self.next = self.plan.first.of(self.order.len());
            self.phase = Phase::Stages;
        }
        if self.phase != Phase::Stages {
            return;
        }
        self.give_up_the_silent(now);
        loop {
            let refused = self.under_way().filter(|device| device.has_refused()).count();
            if self.plan.stop_after.is_some_and(|most| refused >= most) {
                return self.stop();
            }
            if self.under_way().any(|device| !device.has_answered()) {
                return;
            }
            if self.reached == self.order.len() {
                self.phase = Phase::Over(false);
                return;
            }
            self.begin(now);
        }
    }

    fn give_up_the_silent(&mut self, now: Duration) {
        for at in 0..self.reached {
            let id = self.order[at].clone();
            let silence = self.plan.silence;
            if self.devices.get_mut(&id).is_some_and(|device| device.give_up_when_due(now, silence)) {
                self.tell(&id);
            }
        }
    }

    /// The next stage: its devices get the manifest, unless they have the update already.
    fn begin(&mut self, now: Duration) {
        let ids = self.reached..self.order.len().min(self.reached + self.next);
        self.stages += 1;
        (self.next, self.reached) = (2 * self.next, ids.end);
        let stage = Stage { number: self.stages, devices: ids.len(), reached: ids.end, of: self.order.len() };
        self.acts.push_back(Act::Begin(stage));
        for at in ids {
            let id = self.order[at].clone();
            let Some(device) = self.devices.get_mut(&id) else { continue };
            device.stage = Some(self.stages);
            if device.begin(&self.plan.update, now) {
                self.acts.push_back(Act::Publish(id.clone()));
            }
            if device.is_under_way() && !device.wanted.is_empty() {
                self.turn.push_back(id.clone());
            }
            self.tell(&id);
        }
    }

    /// Nothing more is sent, and what is not installed is not installed any more.
    fn stop(&mut self) {
        self.phase = Phase::Over(true);
        self.turn.clear();
        for id in &self.order[..self.reached] {
            if let Some(device) = self.devices.get_mut(id) {
                device.stop();
            }
        }
        self.withdraw();
    }

    fn withdraw(&mut self) {
        self.acts.retain(|act| matches!(act, Act::Tell(_) | Act::Begin(_)));
        for id in &self.order[..self.reached] {
            if self.devices.get(id).is_some_and(Device::is_to_withdraw) {
                self.acts.push_back(Act::Withdraw(id.clone()));
            }
        }
    }

    /// Says what became of a device that has answered.
    fn tell(&mut self, id: &str) {
        let answered = self.devices.get(id).is_some_and(|device| device.stage.is_some() && device.has_answered());
        if let Some(row) = self.row(id).filter(|_| answered) {
            self.acts.push_back(Act::Tell(row));
        }
    }
}
