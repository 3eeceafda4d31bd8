//! Notifies the service manager: that the daemon is ready, that it is alive, and its state in one line.
//!
//! Nothing is sent where there is no service manager (`NOTIFY_SOCKET`). A message that cannot be sent is a line in the
//! log; the daemon goes on, and the manager judges it by its silence.

use std::time::Duration;

use sd_notify::NotifyState;
use tracing::warn;

/// The backbone works, the store is open, and the requested settings are in force.
pub fn ready() {
    say(&[NotifyState::Ready]);
}

/// The configuration is being read again; [`ready`] follows, whatever comes of it.
pub fn reloading() {
    // Without its time the manager does not know to which of its requests this is the answer.
    match NotifyState::monotonic_usec_now() {
        Ok(now) => say(&[NotifyState::Reloading, now]),
        Err(error) => {
            warn!(%error, "cannot notify the service manager of the reload: the monotonic clock cannot be read");
        }
    }
}

/// A shutdown was requested and is in progress.
pub fn stopping() {
    say(&[NotifyState::Stopping]);
}

/// The workers make progress; to be sent only after checking them.
pub fn alive() {
    say(&[NotifyState::Watchdog]);
}

/// How it is, in one line for `systemctl status`.
pub fn status(words: &str) {
    say(&[NotifyState::Status(words)]);
}

/// Starting gets on, and may take this much longer.
pub fn starting(words: &str, longer: Duration) {
    let longer = u32::try_from(longer.as_micros()).unwrap_or(u32::MAX);
    say(&[NotifyState::Status(words), NotifyState::ExtendTimeoutUsec(longer)]);
}

/// How long the service manager bears silence, if it watches at all.
pub fn watchdog_timeout() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

fn say(words: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(words) {
        warn!(%error, "cannot notify the service manager; check that the unit has NotifyAccess=main");
    }
}
