//! What the demo prints: in colour on a terminal, plain elsewhere or when `NO_COLOR` is set.

use std::error::Error;
use std::io::IsTerminal;
use std::time::Instant;

/// Prints the story, each line with the seconds since its start.
pub struct Teller {
    colour: bool,
    started: Instant,
}

impl Teller {
    /// Starts the clock.
    pub fn new() -> Self {
        let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { colour, started: Instant::now() }
    }

    /// Begins a chapter.
    pub fn chapter(&self, title: &str) {
        println!("\n{}", self.painted("1;36", title));
    }

    /// Something happened.
    pub fn line(&self, text: &str) {
        let seconds = format!("{:5.1} s", self.started.elapsed().as_secs_f64());
        println!("  {}  {text}", self.painted("2", &seconds));
    }

    /// Something good happened.
    pub fn good(&self, text: &str) {
        self.line(&self.painted("32", text));
    }

    /// Something worth a second look happened.
    pub fn odd(&self, text: &str) {
        self.line(&self.painted("33", text));
    }

    /// A block of lines without times.
    pub fn block(text: &str) {
        for line in text.lines() {
            println!("    {line}");
        }
    }

    /// The demo cannot go on.
    pub fn failure(&self, error: &dyn Error) {
        eprintln!("\n{} {error}", self.painted("1;31", "the demo stopped:"));
    }

    fn painted(&self, style: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{style}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
