//! What the service manager is told: that the daemon is ready, that it lives, and how it is, in words.
//!
//! Nothing is sent where no service manager asks for it (`NOTIFY_SOCKET`). A word that cannot be sent is a line in the
//! log; the daemon goes on, and the manager judges it by its silence.

use std::time::Duration;

use sd_notify::NotifyState;
use tracing::warn;

/// The backbone answered, the store is open, and what was asked for has taken effect.
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

/// The end was asked for and is under way.
pub fn stopping() {
    say(&[NotifyState::Stopping]);
}

/// The workers get on with what they do; to be said only after they were asked.
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
