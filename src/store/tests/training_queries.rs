//! What is read to learn from.

use super::*;
use crate::engine::Disbelieved;

/// Ten samples; those that 3 divides have a label, given at 100 and their number; 9 lacks an embedding in space "a".
fn prepared(folder: &Path) -> Store {
    let mut store = open(folder).unwrap();
    let some: Vec<_> = (0..9).flat_map(|n| [Some(sample(n)), n.is_multiple_of(3).then(|| nut(n))]).flatten().collect();
    store.commit(&some).unwrap();
    drop(store);
    let backbone = backbone();
    let other = OpenOptions { spaces: SpacesInUse::whole(space("b")), ..options(&backbone) };
    Store::open(folder, &other).unwrap().commit(&[sample_in(9, "b"), nut(9)]).unwrap();
    open(folder).unwrap()
}

fn nut(n: u64) -> Write {
    labelled(n, Some("nut"), 100 + n as i64)
}

fn now(n: u64) -> CurrentLabel {
    let label = n.is_multiple_of(3).then(|| label("nut"));
    let labelled_at = label.as_ref().map(|_| Timestamp(100 + n as i64));
    CurrentLabel {
        id: id(n),
        label,
        embedding: (n < 9).then(|| embedding(n)),
        labelled_at,
        group: id(n / 2 * 2),
        excluded: false,
    }
}

#[test]
fn labels_of_samples_come_in_the_order_asked_for_with_what_there_is() {
    let folder = folder();
    let reader = prepared(folder.path()).reader().unwrap();
    let found = reader.labels_of(&task(), &[id(6), id(9), id(1), id(77), id(0), id(6)]).unwrap();
    assert_eq!(found, [6, 9, 1, 0, 6].map(now), "one that is not stored is left out");
    assert_eq!(reader.labels_of(&task(), &[]).unwrap(), []);
}

#[test]
fn labels_since_a_time_include_it_and_the_earliest_comes_first() {
    let folder = folder();
    let mut store = prepared(folder.path());
    let reader = store.reader().unwrap();
    let since = |time: Option<i64>| reader.labelled_since(&task(), time.map(Timestamp)).unwrap();
    assert_eq!(since(None), [0, 3, 6].map(now));
    assert_eq!(since(Some(103)), [3, 6].map(now));
    assert_eq!(since(Some(107)), []);
    store.commit(&[labelled(0, Some("gear"), 200), labelled(3, None, 201)]).unwrap();
    assert_eq!(since(Some(103)).iter().map(|now| now.id).collect::<Vec<_>>(), [id(6), id(0)]);
}

#[test]
fn what_is_trained_on_can_be_chosen_before_it_is_loaded() {
    let folder = folder();
    let reader = prepared(folder.path()).reader().unwrap();
    let listed = reader.labelled_ids(&task()).unwrap();
    let mut expected = [0, 3, 6].map(|n| (id(n), label("nut"), id(n / 2 * 2)));
    expected.sort();
    assert_eq!(listed, expected, "only what has an embedding");
    let all: Vec<_> = listed.iter().map(|(id, ..)| *id).collect();
    assert_eq!(reader.labelled_of(&task(), &all).unwrap(), reader.labelled(&task()).unwrap());
    let some = reader.labelled_of(&task(), &[id(6), id(1), id(9), id(6), id(77), id(0)]).unwrap();
    let mut chosen = [id(0), id(6)];
    chosen.sort();
    assert_eq!((&some.ids[..], some.embeddings.dim()), (&chosen[..], (2, DIM)));
    assert_eq!(reader.labelled_of(&task(), &[]).unwrap().embeddings.dim(), (0, DIM));
}

#[test]
fn of_unlabelled_samples_the_latest_come_oldest_first() {
    let folder = folder();
    let mut store = prepared(folder.path());
    let odd = PathBuf::from(std::ffi::OsString::from("/srv/nüt.jpg"));
    let late = NewSample {
        id: id(20),
        origin: Origin::File(odd),
        bytes: 1,
        arrived_at: Timestamp(20),
        embeddings: vec![(space("a"), embedding(20))],
        group: id(4),
        looks: vec![Look { task: task(), space: space("a"), predicted: None }],
        thumbnail: None,
        picture: None,
    };
    store.commit(&[Write::Sample(Box::new(late))]).unwrap();
    let reader = store.reader().unwrap();
    let found = reader.unlabelled(&task(), 3, None).unwrap();
    assert_eq!((&found.ids[..], &found.groups[..]), (&[7, 8, 20].map(id)[..], &[6, 8, 4].map(id)[..]));
    assert_eq!(found.arrived_at, [7, 8, 20].map(Timestamp));
    let paths = ["/srv/camera/7.jpg", "/srv/camera/8.jpg", "/srv/nüt.jpg"];
    assert_eq!(found.origins, paths.map(|path| Origin::File(path.into())));
    assert_eq!(found.embeddings.row(2).to_vec(), embedding(20));
    assert_eq!(reader.unlabelled(&task(), usize::MAX, Some(Timestamp(8))).unwrap().ids, [8, 20].map(id));
    assert_eq!(reader.unlabelled(&task(), 0, None).unwrap().embeddings.dim(), (0, DIM));
}

#[test]
fn a_prediction_is_open_until_a_label_has_answered_it_once() {
    let folder = folder();
    let mut store = open(folder.path()).unwrap();
    store.commit(&[sample(2), sample(3), sample(4), labelled(4, Some("nut"), 1), labelled(4, None, 2)]).unwrap();
    let open = |n: u64, predicted| StoredSample { predicted, ..StoredSample::new(id(n)) };
    let samples = std::mem::take(&mut store.snapshot().unwrap().default_task().samples);
    let answered = StoredSample { removed_by: Some(LabelSource::Mqtt), spoken_at: Some(Timestamp(2)), ..open(4, None) };
    assert_eq!(samples, [open(2, Some((label("nut"), 3))), open(3, None), answered]);
}

#[test]
fn embeddings_cached_offline_beside_the_daemon_are_no_samples() {
    let folder = folder();
    let mut store = open(folder.path()).unwrap();
    let mut cached = cache(folder.path(), "a");
    cached.put([(&id(1), &embedding(1)[..]), (&id(2), &embedding(2)[..])]).unwrap();
    store.commit(&[sample(2), labelled(2, Some("nut"), 1)]).unwrap();
    assert_eq!(cached.get(&id(1)).unwrap(), Some(embedding(1)));
    assert_eq!(cached.get(&id(3)).unwrap(), None);
    let reader = store.reader().unwrap();
    assert_eq!(reader.embedding(&id(1), &space("a")).unwrap(), Some(embedding(1)));
    assert_eq!(reader.counts().unwrap().samples, 1);
    assert_eq!(reader.labelled(&task()).unwrap().ids, [id(2)]);
    assert_eq!(cache(folder.path(), "b").get(&id(1)).unwrap(), None);
}

#[test]
fn a_label_given_twice_running_is_confirmed_unless_the_second_was_undone() {
    let folder = folder();
    let mut store = open(folder.path()).unwrap();
    let by = |n: u64, text: &str, source: LabelSource, at: i64| Write::Label {
        task: task(),
        id: id(n),
        label: Some(label(text)),
        source,
        at: Timestamp(at),
        change: None,
    };
    let samples = (1..=4).map(sample);
    let labels = [
        by(1, "nut", LabelSource::Mqtt, 10),
        by(2, "nut", LabelSource::Folder, 11),
        by(2, "nut", LabelSource::Mqtt, 12),
        by(3, "nut", LabelSource::Mqtt, 13),
        by(3, "gear", LabelSource::Mqtt, 14),
        by(4, "nut", LabelSource::Mqtt, 15),
        by(4, "nut", LabelSource::Undo, 16),
    ];
    store.commit(&samples.chain(labels).collect::<Vec<_>>()).unwrap();
    let origins = store.reader().unwrap().label_origins(&task()).unwrap();
    let confirmed: Vec<bool> = (1..=4).map(|n| origins[&id(n)].is_confirmed).collect();
    assert_eq!(confirmed, [false, true, false, false]);
    assert_eq!((origins[&id(3)].at, origins[&id(3)].source), (Timestamp(14), LabelSource::Mqtt));
}

#[test]
fn the_images_that_a_training_left_out_are_those_of_its_state() {
    let folder = folder();
    let mut store = open(folder.path()).unwrap();
    let reader = store.reader().unwrap();
    assert!(reader.disbelieved(&task()).unwrap().is_empty());
    let images = [id(1), id(2)].into();
    let disbelieved = Disbelieved { images, count: 2, text: "two".into(), since: Timestamp(5) };
    let state = TrainingState { disbelieved: Some(disbelieved), ..TrainingState::default() };
    store.commit(&[Write::TrainingState { task: task(), state }]).unwrap();
    assert_eq!(reader.disbelieved(&task()).unwrap(), [id(1), id(2)].into());
}
