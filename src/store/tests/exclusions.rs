//! Samples that a task does not learn from: what they keep, and what goes on as if they were not there.

use super::*;
use crate::engine::Before;

const MQTT: LabelSource = LabelSource::Mqtt;

/// Three samples that are labelled, of which the second is excluded, and one without a label that is excluded as well.
fn with_two_excluded(folder: &Path) -> Store {
    let mut store = open(folder).unwrap();
    store.commit(&(0..5).map(sample).collect::<Vec<_>>()).unwrap();
    store.commit(&[0, 1, 2].map(|n| labelled_by(n, Some("nut"), MQTT, 1, Some(1)))).unwrap();
    store.commit(&[1, 3].map(|n| excluded(n, true, 2, Some(2)))).unwrap();
    store
}

#[test]
fn an_excluded_sample_is_neither_labelled_nor_unlabelled_to_whoever_learns() {
    let folder = folder();
    let mut store = with_two_excluded(folder.path());
    let reader = store.reader().unwrap();
    let sorted = |mut ids: Vec<SampleId>| {
        ids.sort_unstable();
        ids
    };
    let learned = sorted([0, 2].map(id).into());
    assert_eq!(reader.labelled(&task()).unwrap().ids, learned);
    assert_eq!(reader.labelled_ids(&task()).unwrap().into_iter().map(|(id, ..)| id).collect::<Vec<_>>(), learned);
    assert_eq!(reader.labelled_of(&task(), &(0..5).map(id).collect::<Vec<_>>()).unwrap().ids, learned);
    let since = reader.labelled_since(&task(), None).unwrap();
    assert_eq!(sorted(since.iter().map(|sample| sample.id).collect()), learned);
    let [now] = &reader.labels_of(&task(), &[id(1)]).unwrap()[..] else { panic!("it is stored") };
    assert_eq!((&now.label, now.labelled_at, now.excluded, now.embedding.is_some()), (&None, None, true, true));
    assert_eq!(reader.unlabelled(&task(), 9, None).unwrap().ids, [id(4)]);
    let folded: Vec<_> = reader.sample_rows(&task()).unwrap().into_iter().map(|row| row.label.is_some()).collect();
    assert_eq!(folded, [true, false, true, false, false]);
    let held: Vec<_> = reader.evictable().unwrap().into_iter().map(|sample| sample.labels.len()).collect();
    assert_eq!(held, [1, 0, 1, 0, 0], "where room is needed it counts as one without a label");

    store.commit(&[excluded(1, false, 3, Some(3))]).unwrap();
    assert_eq!(store.reader().unwrap().labelled(&task()).unwrap().ids, sorted([0, 1, 2].map(id).into()));
}

#[test]
fn it_keeps_its_label_and_is_excluded_after_a_restart_until_it_goes() {
    let folder = folder();
    drop(with_two_excluded(folder.path()));
    let mut store = open(folder.path()).unwrap();
    let listed: Vec<_> = store.reader().unwrap().samples(&task()).unwrap();
    let listed: Vec<_> = listed.into_iter().map(|sample| (sample.label.is_some(), sample.excluded)).collect();
    assert_eq!(listed, [(true, false), (true, true), (true, false), (false, true), (false, false)]);
    let is_excluded = |store: &Store| {
        let samples = store.snapshot().unwrap().tasks[&task()].samples.clone();
        samples.into_iter().filter(|sample| sample.excluded).map(|sample| sample.id).collect::<Vec<_>>()
    };
    assert_eq!(is_excluded(&store), [id(1), id(3)]);
    store.commit(&[Write::DeleteSample { id: id(1) }, sample(1)]).unwrap();
    assert_eq!(is_excluded(&store), [id(3)], "one that comes again is new");
    assert!(store.reader().unwrap().label_history(&task(), &id(1)).unwrap().is_empty());
    assert!(store.commit(&[excluded(77, true, 9, None)]).is_err());
    store.commit(&[Write::PurgeTask { task: task() }]).unwrap();
    assert!(store.reader().unwrap().label_history(&task(), &id(3)).unwrap().is_empty());
}

#[test]
fn to_exclude_is_a_change_beside_those_of_labels_and_each_goes_back_to_its_own() {
    let folder = folder();
    let mut store = with_two_excluded(folder.path());
    store.commit(&[labelled_by(1, Some("gear"), MQTT, 3, Some(3))]).unwrap();
    store.commit(&[excluded(1, false, 4, Some(4))]).unwrap();
    let reader = store.reader().unwrap();
    let images = |number| {
        let found = reader.change(Some(number), 99).unwrap().unwrap();
        found.images.into_iter().map(|image| (image.id, image.is_present, image.before)).collect::<Vec<_>>()
    };
    let out = Before::Excluded;
    assert_eq!(images(2), [(id(1), false, out(false)), (id(3), true, out(false))], "1 was taken back since");
    assert_eq!(images(3), [(id(1), true, Before::Label(Some(label("nut"))))], "its label is of this change still");
    assert_eq!(images(4), [(id(1), true, out(true))]);
    assert_eq!(reader.change(None, 99).unwrap().unwrap().number, 4);

    let back = Write::Excluded {
        task: task(),
        id: id(1),
        excluded: true,
        source: LabelSource::Undo,
        at: Timestamp(5),
        change: None,
    };
    store.commit(&[Write::ChangeUndone { change: 4 }, back]).unwrap();
    assert_eq!(images(2)[0], (id(1), true, out(false)), "what came back is the older change's");
    let lines = store.reader().unwrap().label_history(&task(), &id(1)).unwrap();
    let lines: Vec<_> = lines.iter().map(|line| (line.excluded, line.undone, line.label.is_some())).collect();
    let expected = [(None, false), (Some(true), false), (None, false), (Some(false), true), (Some(true), false)];
    assert_eq!(lines, expected.map(|(excluded, undone)| (excluded, undone, excluded.is_none())));
    assert_eq!(store.snapshot().unwrap().changes, 4);
}

#[test]
fn an_exclusion_answers_no_prediction_and_confirms_no_label() {
    let folder = folder();
    let mut store = open(folder.path()).unwrap();
    store.commit(&[sample(2), sample(4)]).unwrap();
    store.commit(&[labelled_by(4, Some("nut"), MQTT, 1, Some(1)), labelled_by(4, None, MQTT, 2, Some(2))]).unwrap();
    store.commit(&[2, 4].map(|n| excluded(n, true, 3, Some(3)))).unwrap();
    let samples = store.snapshot().unwrap().tasks[&task()].samples.clone();
    assert_eq!(samples[0].predicted, Some((label("nut"), 3)));
    assert_eq!((samples[1].removed_by, samples[1].spoken_at), (Some(MQTT), Some(Timestamp(2))));
    store.commit(&[labelled_by(2, Some("nut"), MQTT, 4, Some(4)), excluded(2, false, 5, Some(5))]).unwrap();
    store.commit(&[labelled_by(2, Some("nut"), MQTT, 6, Some(6))]).unwrap();
    let origins = store.reader().unwrap().label_origins(&task()).unwrap();
    assert!(origins[&id(2)].is_confirmed, "twice running, whatever came between");
}
