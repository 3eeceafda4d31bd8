//! What the demo prints, in colour on a terminal, plain elsewhere or when `NO_COLOR` is set; and the counts of right
//! and wrong predictions.

use std::collections::BTreeSet;
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

/// Predictions of one stretch of the stream: true class and predicted class (`None` without one).
#[derive(Debug, Clone, Default)]
pub struct Tally {
    predictions: Vec<(String, Option<String>)>,
}

impl Tally {
    /// Counts one prediction.
    pub fn add(&mut self, truth: &str, predicted: Option<&str>) {
        self.predictions.push((truth.to_owned(), predicted.map(str::to_owned)));
    }

    /// Right predictions and all, of one class or of every class.
    pub fn right(&self, class: Option<&str>) -> (usize, usize) {
        let counted = self.predictions.iter().filter(|(truth, _)| class.is_none_or(|class| class == truth));
        counted.fold((0, 0), |(right, all), (truth, predicted)| {
            (right + usize::from(predicted.as_ref() == Some(truth)), all + 1)
        })
    }

    /// The confusion matrix: a row for each true class, a column for each predicted one.
    pub fn table(&self) -> String {
        let predicted = self.predictions.iter().filter_map(|(_, predicted)| predicted.as_ref());
        let classes: BTreeSet<_> = self.predictions.iter().map(|(truth, _)| truth).chain(predicted).collect();
        let width = classes.iter().map(|class| class.chars().count()).max().unwrap_or(0).max(4);
        let row = |head: &str, cells: Vec<String>| {
            let cells: Vec<_> = cells.iter().map(|cell| format!("{cell:>width$}")).collect();
            format!("{head:>width$}  {}", cells.join(" "))
        };
        let mut rows = vec![row("", classes.iter().map(ToString::to_string).collect())];
        for truth in &classes {
            let count = |column: &String| {
                self.predictions.iter().filter(|(is, label)| is == *truth && label.as_ref() == Some(column)).count()
            };
            let shown = |count: usize| if count == 0 { "·".to_owned() } else { count.to_string() };
            rows.push(row(truth, classes.iter().map(|column| shown(count(column))).collect()));
        }
        rows.join("\n")
    }
}

/// `17 of 20 (85 %)`.
pub fn share((right, all): (usize, usize)) -> String {
    let percent = if all == 0 { 0.0 } else { 100.0 * right as f64 / all as f64 };
    format!("{right} of {all} ({percent:.0} %)")
}
