//! Counts of right and wrong answers, a class at a time.

use std::collections::BTreeSet;

/// Answers of one stretch of the stream: what it is, what was said (`None` for no answer).
#[derive(Debug, Clone, Default)]
pub struct Tally {
    answers: Vec<(String, Option<String>)>,
}

impl Tally {
    /// Counts one answer.
    pub fn add(&mut self, truth: &str, said: Option<&str>) {
        self.answers.push((truth.to_owned(), said.map(str::to_owned)));
    }

    /// Right answers and all, of one class or of every class.
    pub fn right(&self, class: Option<&str>) -> (usize, usize) {
        let asked = self.answers.iter().filter(|(truth, _)| class.is_none_or(|class| class == truth));
        asked.fold((0, 0), |(right, all), (truth, said)| (right + usize::from(said.as_ref() == Some(truth)), all + 1))
    }

    /// The confusion table: a row for what it is, a column for what was said.
    pub fn table(&self) -> String {
        let said = self.answers.iter().filter_map(|(_, said)| said.as_ref());
        let classes: BTreeSet<_> = self.answers.iter().map(|(truth, _)| truth).chain(said).collect();
        let width = classes.iter().map(|class| class.chars().count()).max().unwrap_or(0).max(4);
        let row = |head: &str, cells: Vec<String>| {
            let cells: Vec<_> = cells.iter().map(|cell| format!("{cell:>width$}")).collect();
            format!("{head:>width$}  {}", cells.join(" "))
        };
        let mut rows = vec![row("", classes.iter().map(ToString::to_string).collect())];
        for truth in &classes {
            let count = |column: &String| {
                self.answers.iter().filter(|(is, said)| is == *truth && said.as_ref() == Some(column)).count()
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
