//! The figures of a head for a terminal. Of many classes only the worst are shown: all are in the `--json` document.

use std::io::{self, Write};

use crate::head::{ClassFigures, EvaluatedOn, Figures};
use crate::words::Label;

/// Up to so many classes are shown with their confusion matrix; of more, so many of the worst are listed.
const SHOWN: usize = 20;

/// Figures for a terminal: the summary, each class, and the confusion matrix; of many classes the worst of them and the
/// most frequent confusions.
pub fn write_figures(figures: &Figures, classes: &[Label], out: &mut dyn Write) -> io::Result<()> {
    write_summary(figures, out)?;
    if figures.per_class.len() <= SHOWN {
        let rows = figures.per_class.iter().zip(&figures.confusion);
        return write_classes(rows.map(|(class, row)| (class, Some(row.as_slice()))), classes, out);
    }
    let mut worst: Vec<&ClassFigures> = figures.per_class.iter().filter(|class| class.support > 0).collect();
    worst.sort_by(|a, b| a.f1.total_cmp(&b.f1));
    worst.truncate(SHOWN);
    writeln!(out, "  the {} of {} classes with the lowest F1; --json has all", worst.len(), classes.len())?;
    write_classes(worst.into_iter().map(|class| (class, None)), classes, out)?;
    let confusions = confusions(&figures.confusion);
    if !confusions.is_empty() {
        let shown = confusions.len().min(SHOWN);
        writeln!(out, "  the {shown} most frequent of {} confusions; --json has the matrix", confusions.len())?;
    }
    confusions.iter().take(SHOWN).try_for_each(|&(count, class, called)| {
        let support: u64 = figures.confusion[class].iter().sum();
        writeln!(out, "  {count:4} of {support:4} {} called {}", classes[class], classes[called])
    })
}

fn write_summary(figures: &Figures, out: &mut dyn Write) -> io::Result<()> {
    let on = match figures.evaluated_on {
        EvaluatedOn::Test => "test pictures",
        EvaluatedOn::HeldOut => "held-out pictures",
    };
    let percent = |value: f64, [low, high]: [f64; 2]| {
        format!("{:5.1} %  [{:.1}, {:.1}]", 100.0 * value, 100.0 * low, 100.0 * high)
    };
    writeln!(out, "measured on {} {on}, with 95 % intervals", figures.n)?;
    writeln!(out, "  accuracy           {}", percent(figures.accuracy, figures.accuracy_interval))?;
    writeln!(out, "  balanced accuracy  {}", percent(figures.balanced_accuracy, figures.balanced_accuracy_interval))?;
    writeln!(out, "  macro F1           {}", percent(figures.macro_f1, figures.macro_f1_interval))?;
    let [low, high] = figures.log_loss_interval;
    writeln!(out, "  log-loss           {:5.3}    [{low:.3}, {high:.3}]", figures.log_loss)?;
    let [low, high] = figures.ece_interval;
    writeln!(out, "  ECE                {:5.3}    [{low:.3}, {high:.3}]", figures.ece)
}

/// A line for each class, with its row of the confusion matrix where there is one.
fn write_classes<'a>(
    rows: impl Iterator<Item = (&'a ClassFigures, Option<&'a [u64]>)> + Clone,
    classes: &[Label],
    out: &mut dyn Write,
) -> io::Result<()> {
    let width = rows.clone().map(|(class, _)| class.class.as_str().chars().count()).max().unwrap_or(0).max(5);
    let called = if classes.len() <= SHOWN { "  called (columns in the same order)" } else { "" };
    writeln!(out, "  {:width$}  precision  recall     F1  support{called}", "class")?;
    for (class, row) in rows {
        let counts: Vec<String> = row.unwrap_or_default().iter().map(|count| format!(" {count:4}")).collect();
        let gap = if row.is_some() { " " } else { "" };
        writeln!(
            out,
            "  {:width$}  {:8.1}%  {:5.1}%  {:4.1}%  {:7}{gap}{}",
            class.class.as_str(),
            100.0 * class.precision,
            100.0 * class.recall,
            100.0 * class.f1,
            class.support,
            counts.concat()
        )?;
    }
    Ok(())
}

/// Every pair of classes that were confused, the most frequent first: how often, the true class, the predicted one.
fn confusions(matrix: &[Vec<u64>]) -> Vec<(u64, usize, usize)> {
    let cells = matrix.iter().enumerate().flat_map(|(class, row)| {
        row.iter()
            .enumerate()
            .filter(move |&(called, &count)| called != class && count > 0)
            .map(move |(called, &count)| (count, class, called))
    });
    let mut pairs: Vec<(u64, usize, usize)> = cells.collect();
    pairs.sort_by_key(|&(count, class, called)| (std::cmp::Reverse(count), class, called));
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Figures on `k` classes of ten samples each; of every class one sample is called the next class, of class 3 seven.
    fn figures(k: usize) -> (Figures, Vec<Label>) {
        let classes: Vec<Label> = (0..k).map(|class| Label::new(&format!("class {class:04}")).unwrap()).collect();
        let mut confusion = vec![vec![0; k]; k];
        for class in 0..k {
            let wrong = if class == 3 { 7 } else { 1 };
            confusion[class][class] = 10 - wrong;
            confusion[class][(class + 1) % k] = wrong;
        }
        let of = |(class, name): (usize, &Label)| {
            let recall = confusion[class][class] as f64 / 10.0;
            ClassFigures { class: name.clone(), precision: recall, recall, f1: recall, support: 10 }
        };
        let per_class = classes.iter().enumerate().map(of).collect();
        let figures = Figures {
            evaluated_on: EvaluatedOn::Test,
            n: 10 * k,
            accuracy: 0.9,
            accuracy_interval: [0.8, 1.0],
            balanced_accuracy: 0.9,
            balanced_accuracy_interval: [0.8, 1.0],
            macro_f1: 0.9,
            macro_f1_interval: [0.8, 1.0],
            log_loss: 0.3,
            log_loss_interval: [0.2, 0.4],
            ece: 0.1,
            ece_interval: [0.0, 0.2],
            per_class,
            confusion,
        };
        (figures, classes)
    }

    fn text(k: usize) -> String {
        let (figures, classes) = figures(k);
        let mut out = Vec::new();
        write_figures(&figures, &classes, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_thousand_classes_fit_on_a_screen_and_begin_with_the_worst() {
        let text = text(1_000);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines.len() < 60 && lines.iter().all(|line| line.len() < 100), "{text}");
        let after = |words: &str| lines.iter().position(|line| line.contains(words)).unwrap();
        assert!(lines[after("lowest F1") + 2].contains("class 0003"), "{text}");
        assert!(
            lines[after("most frequent of 1000") + 1].ends_with("7 of   10 class 0003 called class 0004"),
            "{text}"
        );
    }

    #[test]
    fn a_few_classes_are_shown_with_their_matrix() {
        let text = text(4);
        assert!(
            text.lines().any(|line| line.contains("class 0003") && line.ends_with("   7    0    0    3")),
            "{text}"
        );
        assert!(!text.contains("lowest F1"), "{text}");
    }
}
