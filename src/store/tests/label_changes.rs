//! Changes of labels: what belongs to one, and what undoing it leaves.

use super::*;
use crate::engine::{Before, StoredChange};

const MQTT: LabelSource = LabelSource::Mqtt;

/// Four samples without a label.
fn four(folder: &Path) -> Store {
    let mut store = open(folder).unwrap();
    store.commit(&(0..4).map(sample).collect::<Vec<_>>()).unwrap();
    store
}

/// The images of a change of labels: which, whether the present label came by it, and the label without it.
fn images(change: &StoredChange) -> Vec<(SampleId, bool, Option<&str>)> {
    let mut found = Vec::new();
    for image in &change.images {
        let Before::Label(before) = &image.before else { panic!("it is about labels: {change:?}") };
        found.push((image.id, image.is_present, before.as_ref().map(Label::as_str)));
    }
    found
}

/// Marks a change as undone and writes what its images get back.
fn undo(store: &mut Store, change: u64, back: &[(u64, Option<&str>)]) {
    let back = back.iter().map(|(n, text)| labelled_by(*n, *text, LabelSource::Undo, 60, None));
    store.commit(&[Write::ChangeUndone { change }].into_iter().chain(back).collect::<Vec<_>>()).unwrap();
}

#[test]
fn one_number_is_one_change_whatever_the_times_are_and_the_latest_comes_first() {
    let folder = folder();
    let mut store = four(folder.path());
    let reader = store.reader().unwrap();
    assert_eq!(reader.change(None, 99).unwrap(), None);
    store
        .commit(&[labelled_by(0, Some("nut"), MQTT, 90, Some(1)), labelled_by(1, Some("nut"), MQTT, 90, Some(2))])
        .unwrap();
    // The clock was set back, and the import takes its time: the numbers count, not the times.
    for (n, at) in [(0, 50), (1, 51), (2, 52)] {
        store.commit(&[labelled_by(n, Some("gear"), LabelSource::Import, at, Some(3))]).unwrap();
    }
    let import = reader.change(None, 99).unwrap().unwrap();
    assert_eq!(
        (import.number, import.source, import.at, import.is_undone),
        (3, LabelSource::Import, Timestamp(50), false)
    );
    let nut = Some("nut");
    assert_eq!(images(&import), [(id(0), true, nut), (id(1), true, nut), (id(2), true, None)]);
    assert_eq!(reader.change(None, 2).unwrap().unwrap().number, 2, "what came after a request is not meant by it");

    undo(&mut store, 3, &[(0, nut), (1, nut), (2, None)]);
    assert!(reader.change(Some(3), 99).unwrap().unwrap().is_undone);
    let second = reader.change(None, 99).unwrap().unwrap();
    assert_eq!(
        (second.number, images(&second)),
        (2, vec![(id(1), true, None)]),
        "what came back is the older change's"
    );
    undo(&mut store, 2, &[(1, None)]);
    undo(&mut store, 1, &[(0, None)]);
    assert_eq!(reader.change(None, 99).unwrap(), None);
    let history = reader.label_history(&task(), &id(1)).unwrap();
    let history: Vec<_> = history.iter().map(|line| (line.source, line.change, line.undone)).collect();
    let undone = (LabelSource::Undo, None, false);
    assert_eq!(history, [(MQTT, Some(2), true), (LabelSource::Import, Some(3), true), undone, undone]);
    assert_eq!((reader.counts().unwrap().labelled, reader.change(Some(4), 99).unwrap()), (0, None));
}

#[test]
fn a_later_label_of_anybody_is_the_present_one_and_an_undone_change_is_as_if_it_had_never_been() {
    let folder = folder();
    let mut store = four(folder.path());
    store.commit(&[0, 1, 2].map(|n| labelled_by(n, Some("nut"), MQTT, 1, Some(1)))).unwrap();
    store.commit(&[labelled_by(0, Some("gear"), MQTT, 2, Some(2))]).unwrap();
    store.commit(&[labelled_by(1, Some("bolt"), LabelSource::Folder, 3, None)]).unwrap();
    let reader = store.reader().unwrap();
    let first = reader.change(Some(1), 99).unwrap().unwrap();
    let present: Vec<_> = first.images.iter().map(|image| image.is_present).collect();
    assert_eq!(present, [false, false, true]);
    undo(&mut store, 1, &[(2, None)]);
    let second = reader.change(None, 99).unwrap().unwrap();
    assert_eq!((second.number, images(&second)), (2, vec![(id(0), true, None)]), "not the label that was undone");
}

#[test]
fn an_image_that_one_change_labels_twice_is_one_image_of_it() {
    let folder = folder();
    let mut store = four(folder.path());
    store.commit(&[labelled_by(0, Some("cog"), MQTT, 1, Some(1))]).unwrap();
    let twice = ["nut", "gear"].map(|text| labelled_by(0, Some(text), MQTT, 2, Some(2)));
    store.commit(&twice).unwrap();
    let found = store.reader().unwrap().change(None, 99).unwrap().unwrap();
    assert_eq!(images(&found), [(id(0), true, Some("cog"))]);
}

#[test]
fn a_label_that_waits_for_its_image_is_a_change_too_and_no_number_is_given_twice() {
    let folder = folder();
    let mut store = four(folder.path());
    let waits = PendingLabel {
        change: Some(7),
        former: Some((label("gear"), Some(3))),
        source: LabelSource::Import,
        ..awaited("0123abcd", "nut")
    };
    store.commit(&[Write::PendingLabel(waits.clone())]).unwrap();
    let found = store.reader().unwrap().change(None, 99).unwrap().unwrap();
    assert_eq!((found.number, found.source, found.images), (7, LabelSource::Import, vec![]));
    assert_eq!(store.snapshot().unwrap().awaited, std::slice::from_ref(&waits));
    let before = waits.clone().without(7).unwrap();
    assert_eq!((before.label.as_str(), before.change), ("gear", Some(3)));
    assert_eq!((before.without(3), waits.without(3).unwrap().former), (None, None));
    assert!(store.reader().unwrap().change(Some(3), 99).unwrap().is_some(), "another one came in its place");
    store.commit(&[Write::DeletePendingLabel { task: task(), prefix: "0123abcd".into() }]).unwrap();
    store.commit(&[labelled_by(3, Some("nut"), MQTT, 1, Some(5)), Write::DeleteSample { id: id(3) }]).unwrap();
    assert_eq!(store.reader().unwrap().change(None, 99).unwrap(), None);
    assert_eq!(store.snapshot().unwrap().changes, 7, "though every trace of it is gone");
}

#[test]
fn what_cannot_be_written_is_not_undone() {
    let folder = folder();
    let mut store = open(folder.path()).unwrap();
    store.commit(&[sample(0), labelled(0, Some("nut"), 1)]).unwrap();
    assert!(store.commit(&[Write::ChangeUndone { change: 1 }, labelled(77, None, 2)]).is_err());
    assert!(!store.reader().unwrap().change(Some(1), 99).unwrap().unwrap().is_undone);
}
