//! What people and plans look at, and what is taken back.

use super::*;

fn labelled_by(n: u64, text: Option<&str>, source: LabelSource, at: i64) -> Write {
    Write::Label { id: id(n), label: text.map(label), source, at: Timestamp(at) }
}

#[test]
fn samples_come_in_the_order_of_arrival_with_all_that_is_known() {
    use std::os::unix::ffi::OsStrExt;
    let folder = folder();
    let mut store = open(folder.path()).unwrap();
    let odd = PathBuf::from(std::ffi::OsStr::from_bytes(b"/srv/\xff,\"\n.jpg"));
    let Write::Sample(mut first) = sample(2) else { unreachable!() };
    first.path.clone_from(&odd);
    store.commit(&[Write::Sample(first), sample(1), labelled_by(1, Some("nut"), LabelSource::Import, 7)]).unwrap();
    let reader = store.reader().unwrap();
    let predicted = Predicted { label: label("nut"), probability: 0.75, head: 3 };
    let expected = [
        ListedSample {
            id: id(2),
            path: odd.clone(),
            label: None,
            arrived_at: Timestamp(2),
            predicted: Some(predicted),
            group: id(2),
        },
        ListedSample {
            id: id(1),
            path: path(1),
            label: Some((label("nut"), LabelSource::Import, Timestamp(7))),
            arrived_at: Timestamp(1),
            predicted: None,
            group: id(0),
        },
    ];
    assert_eq!(reader.samples().unwrap(), expected);
    let kept = [(2, 2, None, 1), (1, 0, Some(label("nut")), 2)];
    let kept = kept.map(|(n, group, label, number)| SampleRow { id: id(n), group: id(group), label, number });
    assert_eq!(reader.sample_rows().unwrap(), kept);
    assert_eq!((reader.path(&id(2)).unwrap(), reader.path(&id(3)).unwrap()), (Some(odd), None));
}

#[test]
fn a_choice_of_samples_goes_on_after_the_last_one() {
    let folder = folder();
    let mut store = open(folder.path()).unwrap();
    store.commit(&(0..5).rev().map(sample).collect::<Vec<_>>()).unwrap();
    let labels = [(4, "nut"), (3, "gear"), (1, "nut")];
    store.commit(&labels.map(|(n, text)| labelled_by(n, Some(text), LabelSource::Mqtt, 9))).unwrap();
    let reader = store.reader().unwrap();
    let listed = |choice: SampleFilter<'_>| {
        let rows = reader.samples_of(&choice).unwrap();
        rows.map(|rows| rows.into_iter().map(|row| row.id).collect::<Vec<_>>())
    };
    let all = SampleFilter { limit: 9, after: None, label: None, unlabelled: false };
    let ids = |numbers: &[u64]| Some(numbers.iter().map(|n| id(*n)).collect::<Vec<_>>());
    assert_eq!(listed(all), ids(&[4, 3, 2, 1, 0]));
    let (third, gone, nut) = (id(2), id(7), label("nut"));
    assert_eq!(listed(SampleFilter { limit: 2, ..all }), ids(&[4, 3]));
    assert_eq!(listed(SampleFilter { after: Some(&third), ..all }), ids(&[1, 0]));
    assert_eq!(listed(SampleFilter { label: Some(&nut), ..all }), ids(&[4, 1]));
    assert_eq!(listed(SampleFilter { label: Some(&nut), limit: 1, ..all }), ids(&[4]));
    assert_eq!(listed(SampleFilter { unlabelled: true, after: Some(&third), ..all }), ids(&[0]));
    assert_eq!(listed(SampleFilter { after: Some(&gone), ..all }), None, "what was dropped has no place");
}

#[test]
fn changes_made_together_are_found_together_with_the_labels_before_them() {
    let folder = folder();
    let mut store = open(folder.path()).unwrap();
    store.commit(&(0..4).map(sample).collect::<Vec<_>>()).unwrap();
    let reader = store.reader().unwrap();
    assert_eq!(reader.last_changes().unwrap(), []);
    let (mqtt, import) = (LabelSource::Mqtt, LabelSource::Import);
    // The clock was set back between both: the order of changes counts, not their times.
    store.commit(&[labelled_by(0, Some("nut"), mqtt, 90), labelled_by(1, Some("nut"), import, 90)]).unwrap();
    store.commit(&[0, 1, 2].map(|n| labelled_by(n, Some("gear"), import, 50))).unwrap();
    let found = || -> Vec<_> {
        let changes = reader.last_changes().unwrap().into_iter();
        changes.map(|(change, before)| (change.number, change.id, before.map(|label| label.to_string()))).collect()
    };
    let nut = || Some("nut".to_owned());
    assert_eq!(found(), [(3, id(0), nut()), (4, id(1), nut()), (5, id(2), None)]);
    let back = [(0, Some("nut")), (1, Some("nut")), (2, None)];
    let back = back.map(|(n, text)| labelled_by(n, text, LabelSource::Undo, 60));
    store.commit_undoing(&[3, 4, 5], &back).unwrap();
    assert_eq!(found(), [(2, id(1), None)], "what was taken back and the taking back itself are passed over");
    store.commit_undoing(&[2], &[labelled_by(1, None, LabelSource::Undo, 61)]).unwrap();
    assert_eq!(found(), [(1, id(0), None)]);
    store.commit_undoing(&[1], &[labelled_by(0, None, LabelSource::Undo, 62)]).unwrap();
    assert_eq!(found(), []);
    let history = reader.label_history(&id(1)).unwrap();
    let history: Vec<_> = history.iter().map(|change| (change.source, change.undone)).collect();
    assert_eq!(history, [(import, true), (import, true), (LabelSource::Undo, false), (LabelSource::Undo, false)]);
    assert_eq!(reader.counts().unwrap().labelled, 0);
}

#[test]
fn what_cannot_be_written_is_not_taken_back() {
    let folder = folder();
    let mut store = open(folder.path()).unwrap();
    store.commit(&[sample(0), labelled(0, Some("nut"), 1)]).unwrap();
    assert!(store.commit_undoing(&[1], &[labelled(77, None, 2)]).is_err());
    assert_eq!(store.reader().unwrap().last_changes().unwrap().len(), 1);
}
