//! The log: one line an event, on standard error.
//!
//! Where that is the journal of systemd, lines begin with their priority (`<3>`), so that `journalctl -p err` finds them,
//! and have no time of their own. **Invariant:** an event is one line, whatever its fields hold.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{self, Format, FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::{FmtContext, MakeWriter};
use tracing_subscriber::registry::LookupSpan;

use super::failure::one_line;

/// As in syslog(3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    Error = 3,
    Warning = 4,
    Info = 6,
    Debug = 7,
}

impl Priority {
    fn of(level: Level) -> Self {
        match level {
            Level::ERROR => Self::Error,
            Level::WARN => Self::Warning,
            Level::INFO => Self::Info,
            Level::DEBUG | Level::TRACE => Self::Debug,
        }
    }

    /// What a line of this priority begins with on `stream`: nothing unless the journal reads it.
    pub fn mark(self, stream: impl AsFd) -> String {
        if is_journal(stream) { self.prefix() } else { String::new() }
    }

    fn prefix(self) -> String {
        format!("<{}>", self as u8)
    }
}

/// Starts the log: warnings for commands, each step of its life for the daemon, more on request.
pub fn start(verbose: u8, daemon: bool) {
    let level = match (verbose, daemon) {
        (0, false) => "warn",
        (0, true) | (1, false) => "info",
        _ => "debug",
    };
    // The libraries' own chatter is of no use to an operator.
    let filter = EnvFilter::try_from_env("EDGETUNED_LOG")
        .unwrap_or_else(|_| EnvFilter::new(format!("warn,edgetuned={level},ort=error")));
    if is_journal(io::stderr()) {
        tracing::subscriber::set_global_default(for_journal(filter, io::stderr)).expect("the log is started once");
    } else {
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(io::stderr)
            .with_ansi(io::stderr().is_terminal())
            .with_target(false)
            .init();
    }
}

/// Prints why a command failed.
pub fn complain(line: &str) {
    let mut stderr = io::stderr().lock();
    // If even standard error is closed, nothing can be reported.
    let _ = if is_journal(&stderr) {
        writeln!(stderr, "{}{line}", Priority::Error.prefix())
    } else {
        writeln!(stderr, "edgetuned: {line}")
    };
}

/// Whether systemd reads `stream` for its journal: it names the device and inode of what it gave to the service.
fn is_journal(stream: impl AsFd) -> bool {
    let Ok(given) = std::env::var("JOURNAL_STREAM") else { return false };
    rustix::fs::fstat(stream).is_ok_and(|is| given == format!("{}:{}", is.st_dev, is.st_ino))
}

fn for_journal<W>(filter: EnvFilter, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let line = format::format().without_time().with_level(false).with_target(false).with_ansi(false);
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_ansi(false)
        .event_format(Line(line))
        .finish()
}

/// The priority, then the message and its fields.
struct Line(Format<format::Full, ()>);

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = String::new();
        self.0.format_event(context, Writer::new(&mut line), event)?;
        // A second line would be an entry of its own, of whatever priority it claims.
        writeln!(out, "{}{}", Priority::of(*event.metadata().level()).prefix(), one_line(line.trim_end()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    fn logged(events: impl FnOnce()) -> String {
        #[derive(Clone, Default)]
        struct Sink(Arc<Mutex<Vec<u8>>>);
        impl Write for Sink {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.lock().unwrap().write(bytes)
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let sink = Sink::default();
        let writer = sink.clone();
        let subscriber = for_journal(EnvFilter::new("trace"), move || writer.clone());
        tracing::subscriber::with_default(subscriber, events);
        let bytes = sink.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_line_for_the_journal_begins_with_its_priority_and_has_no_time() {
        let lines = logged(|| {
            tracing::error!("lost");
            tracing::warn!(count = 3, "waited");
            tracing::info!("started");
            tracing::debug!("looked");
        });
        assert_eq!(lines, "<3>lost\n<4>waited count=3\n<6>started\n<7>looked\n");
    }

    #[test]
    fn a_name_with_a_line_break_forges_no_entry() {
        let lines = logged(|| tracing::warn!(path = %"a\n<0>the machine is on fire", "damaged"));
        assert_eq!(lines, "<4>damaged path=a <0>the machine is on fire\n");
    }
}
