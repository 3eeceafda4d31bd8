//! The bound of what a scrape says class by class: [`SERIES`] series a metric, and the rest as [`OTHER`].

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::Certainty;
use crate::words::{Keyword as _, Label, TaskId};

/// Series of one metric that differ by class.
const SERIES: usize = 100;
/// The class of the rest.
const OTHER: &str = "other";

/// Counts a prediction under its class; under [`OTHER`] where too many classes have been counted, so that a series that
/// is there stays. `tasks` is how many there are that have not answered yet as well.
pub(super) fn count(
    tasks: usize,
    predictions: &mut BTreeMap<(TaskId, String, Certainty), u64>,
    task: TaskId,
    class: &Label,
    certainty: Certainty,
) {
    let key = (task, class.as_str().to_owned(), certainty);
    if let Some(count) = predictions.get_mut(&key) {
        *count += 1;
        return;
    }
    // What is left for the others: one series for each task and certainty.
    let heard: BTreeSet<&TaskId> = predictions.keys().map(|(task, ..)| task).chain([&key.0]).collect();
    let own = SERIES.saturating_sub(heard.len().max(tasks) * Certainty::ALL.len());
    let has_room = predictions.keys().filter(|(_, class, _)| class != OTHER).count() < own;
    let key = if has_room { key } else { (key.0, OTHER.to_owned(), certainty) };
    *predictions.entry(key).or_default() += 1;
}

/// Figures by task and class, each with its weight: those of the largest weight, and of each task the rest as one that
/// `merged` makes of them.
pub(super) fn bounded<'a, T: Copy>(
    figures: impl IntoIterator<Item = (&'a TaskId, &'a Label, T, u64)>,
    merged: impl Fn(&[(T, u64)]) -> T,
) -> Vec<(&'a TaskId, &'a str, T)> {
    let mut figures: Vec<_> = figures.into_iter().collect();
    // The order of equal ones is that of their names, so that it does not change from scrape to scrape.
    figures.sort_by(|a, b| b.3.cmp(&a.3).then_with(|| (a.0, a.1).cmp(&(b.0, b.1))));
    let tasks = figures.iter().map(|figure| figure.0).collect::<BTreeSet<_>>().len();
    let own = if figures.len() <= SERIES { figures.len() } else { SERIES.saturating_sub(tasks) };
    let is_own = |place: usize, class: &Label| place < own && class.as_str() != OTHER;
    let mut rest: BTreeMap<&TaskId, Vec<(T, u64)>> = BTreeMap::new();
    let mut kept = Vec::new();
    for (place, (task, class, figure, weight)) in figures.into_iter().enumerate() {
        if is_own(place, class) {
            kept.push((task, class.as_str(), figure));
        } else {
            rest.entry(task).or_default().push((figure, weight));
        }
    }
    kept.extend(rest.into_iter().map(|(task, rest)| (task, OTHER, merged(&rest))));
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(n: usize) -> Label {
        Label::new(&format!("class {n:03}")).unwrap()
    }

    #[test]
    fn of_many_classes_the_largest_have_series_and_the_rest_is_summed_up() {
        let (task, door) = (TaskId::default(), "door".parse::<TaskId>().unwrap());
        let classes: Vec<Label> = (0..300).map(class).collect();
        let figures = classes.iter().enumerate().map(|(n, class)| (&task, class, n as f64, n as u64));
        let figures = figures.chain([(&door, &classes[0], 1_000.0, 1_000)]);
        let sum = |rest: &[(f64, u64)]| rest.iter().map(|(figure, _)| figure).sum::<f64>();
        let kept = bounded(figures, sum);
        assert!(kept.len() <= SERIES, "{} series", kept.len());
        assert_eq!(kept[0], (&door, "class 000", 1_000.0));
        assert_eq!(kept[1], (&task, "class 299", 299.0));
        assert_eq!(kept.iter().filter(|(_, class, _)| *class == OTHER).count(), 1);
        let total: f64 = kept.iter().map(|(.., figure)| figure).sum();
        let all = 1_000.0 + (0..300).map(f64::from).sum::<f64>();
        assert!((total - all).abs() < 1e-9, "nothing is lost: {total} of {all}");
    }

    #[test]
    fn a_class_that_is_called_other_is_one_of_them() {
        let (task, other, nut) = (TaskId::default(), Label::new(OTHER).unwrap(), class(1));
        let kept = bounded([(&task, &other, 3.0, 3), (&task, &nut, 1.0, 1)], |rest| rest[0].0);
        assert_eq!(kept, [(&task, "class 001", 1.0), (&task, OTHER, 3.0)]);
    }

    #[test]
    fn predictions_of_more_classes_than_there_is_room_for_count_as_others_and_none_moves() {
        let (task, mut predictions) = (TaskId::default(), BTreeMap::new());
        for n in (0..300).chain(0..300) {
            count(1, &mut predictions, task.clone(), &class(n), Certainty::Sure);
        }
        assert!(predictions.len() <= SERIES);
        assert_eq!(predictions[&(task.clone(), class(0).as_str().to_owned(), Certainty::Sure)], 2);
        let own = predictions.len() as u64 - 1;
        assert_eq!(predictions[&(task, OTHER.to_owned(), Certainty::Sure)], 600 - 2 * own);
    }
}
