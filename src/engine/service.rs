//! What the service manager is told: ready, reloading, alive, stopping, and how it is in one line.

use std::time::Duration;

use super::Engine;
use super::effect::{Effect, Service};
use crate::wire::TrainingPhase;
use crate::words::Now;

/// How often it is told that the daemon lives, and of changes of its standing.
const EVERY: Duration = Duration::from_secs(1);

/// What was said last.
#[derive(Debug, Default)]
pub(super) struct Said {
    due: Duration,
    standing: String,
}

impl Engine {
    pub(super) fn tell(&mut self, word: Service) {
        self.effects.push(Effect::Service(word));
    }

    /// A sign of life, and how it is where that has changed.
    pub(super) fn tell_when_due(&mut self, now: Now) {
        if now.mono >= self.said.due {
            self.said.due = now.mono + EVERY;
            self.tell(Service::Alive);
            self.tell_standing();
        }
    }

    pub(super) fn tell_standing(&mut self) {
        let standing = self.standing();
        if self.said.standing != standing {
            self.said.standing.clone_from(&standing);
            self.tell(Service::Status(standing));
        }
    }

    /// How it is, in one line: alerts first.
    fn standing(&self) -> String {
        let alerts: Vec<&str> = self.raised().iter().map(|raised| raised.id.as_str()).collect();
        let alerts = if alerts.is_empty() { String::new() } else { format!("ALERT {}; ", alerts.join(", ")) };
        let head = match self.heads.champion() {
            Some(champion) => format!("head {} knows {} classes", champion.head, champion.classes.len()),
            None => "no head yet".to_owned(),
        };
        let doing = match self.reports.phase {
            TrainingPhase::Idle if self.settling.len() > 0 => format!("{} files wait", self.settling.len()),
            TrainingPhase::Idle => "watching".to_owned(),
            _ => "training".to_owned(),
        };
        let broker = if self.reports.connected { "connected" } else { "not connected" };
        let (samples, labelled) = (self.catalogue.len(), self.catalogue.labelled());
        format!("{alerts}{head}; {samples} samples, {labelled} labelled; {doing}; broker {broker}")
    }
}
