//! Notifications to the service manager: ready, reloading, alive, stopping, and the state in one line.

use std::time::Duration;

use super::super::context::Cx;
use super::super::step::{Act, Systemd};
use super::Overview;
use crate::wire::{Link, TrainingPhase};

/// How often the heartbeat and changes of the state are sent.
const EVERY: Duration = Duration::from_secs(1);

/// The last notification.
#[derive(Debug, Default)]
pub(super) struct LastStatus {
    due: Duration,
    status: String,
}

impl Cx<'_> {
    pub fn notify(&mut self, word: Systemd) {
        self.act(Act::Systemd(word));
    }

    /// A sign of life, and the status where that has changed.
    pub fn notify_when_due(&mut self, overview: &Overview<'_>) {
        if self.now.mono >= self.messages.systemd.due {
            self.messages.systemd.due = self.now.mono + EVERY;
            self.notify(Systemd::WatchdogPing);
            self.notify_status(overview);
        }
    }

    /// The status in one line, where that has changed.
    pub fn notify_status(&mut self, overview: &Overview<'_>) {
        let status = self.status_line(overview);
        if self.messages.systemd.status != status {
            self.messages.systemd.status.clone_from(&status);
            self.notify(Systemd::Status(status));
        }
    }

    /// Alerts first.
    fn status_line(&self, overview: &Overview<'_>) -> String {
        let alerts: Vec<_> = self.raised().into_iter().map(|raised| raised.id.to_string()).collect();
        let alerts = if alerts.is_empty() { String::new() } else { format!("ALERT {}; ", alerts.join(", ")) };
        let head = match overview.champion {
            Some(champion) => format!("head {} knows {} classes", champion.head, champion.classes.len()),
            None => "no head yet".to_owned(),
        };
        let doing = match overview.phase {
            TrainingPhase::Idle if overview.waiting_files > 0 => format!("{} files wait", overview.waiting_files),
            TrainingPhase::Idle => "watching".to_owned(),
            _ => "training".to_owned(),
        };
        let broker = match self.link() {
            Link::Connected => "connected",
            Link::Disconnected => "not connected",
            Link::Off => "off",
        };
        let (samples, labelled) = (overview.samples, overview.labelled);
        format!("{alerts}{head}; {samples} samples, {labelled} labelled; {doing}; broker {broker}")
    }
}
