use std::collections::BTreeMap;
use std::path::Path;

use super::*;
use crate::engine::{KeptReport, LabelSource, Look, NewSample, OutboxMessage, Predicted, Write};
use crate::eval::HeldOutAnswer;
use crate::head::BackboneRef;
use crate::shared::samples;
use crate::store::{OpenOptions, Precision, SpacesInUse, Store};
use crate::wire::Topic;
use crate::wire::views::IndexData;
use crate::words::{Digest, EmbeddingSpace, Origin, Region, Timestamp};

const SEED: u64 = 7;
const CLASSES: [&str; 3] = ["bolt", "gear", "nut"];

fn id(n: u64) -> SampleId {
    SampleId::of(&n.to_le_bytes())
}

fn label(class: u64) -> Label {
    Label::new(CLASSES[class as usize % 3]).unwrap()
}

fn space(dim: usize) -> EmbeddingSpace {
    EmbeddingSpace { backbone: Digest::of(b"b"), preprocessing: Digest::of(b"p"), dim }
}

fn default() -> TaskId {
    TaskId::default()
}

fn door() -> TaskId {
    TaskId::new("door").unwrap()
}

/// Sample `n`: of the class of its burst, and near others of it.
fn sample(n: u64, dim: usize) -> Write {
    let group = n / 2 * 2;
    let bytes = id(n).0.0;
    let noise =
        |place: usize| f32::from(bytes[(place + place / 32 * usize::from(bytes[place / 32 % 32])) % 32]) / 256.0;
    let direction = |place: usize| f32::from(u8::from(place as u64 % 3 == group / 2 % 3));
    let predicted = Predicted { label: label(n), probability: 0.5, head: 1 };
    Write::Sample(Box::new(NewSample {
        id: id(n),
        origin: Origin::File(format!("/srv/{n}.jpg").into()),
        bytes: 1,
        arrived_at: Timestamp(1_700_000_000_000 + n as i64 * 1_000),
        embeddings: vec![(space(dim), (0..dim).map(|place| 4.0 * direction(place) + noise(place)).collect())],
        group: id(group),
        looks: vec![Look { task: default(), space: space(dim), predicted: n.is_multiple_of(2).then_some(predicted) }],
        thumbnail: None,
        picture: None,
    }))
}

fn labelled(n: u64, class: Option<u64>) -> Write {
    let (task, label, source) = (default(), class.map(label), LabelSource::Mqtt);
    Write::Label { task, id: id(n), label, source, at: Timestamp(5), change: None }
}

fn store_of(folder: &Path, dim: usize) -> Store {
    let backbone = BackboneRef { name: "tiny".into(), sha256: Digest::of(b"b"), dim };
    let spaces = SpacesInUse::whole(space(dim)).with(door(), vec![(Region::WHOLE, space(dim))]);
    Store::open(folder, &OpenOptions { spaces, backbone: &backbone, precision: Precision::F16 }).unwrap()
}

fn views(store: &Store) -> StoredViews {
    let readers = [store.reader().unwrap(), store.reader().unwrap()];
    StoredViews::new(readers, store.revision(), "e".into(), vec![(default(), SEED), (door(), 0)])
}

/// `n` samples, of which every fourth has no label.
fn filled(folder: &Path, n: u64, dim: usize) -> Store {
    let mut store = store_of(folder, dim);
    let of = |n| [Some(sample(n, dim)), (n % 4 != 3).then(|| labelled(n, Some(n / 2)))].into_iter().flatten();
    store.commit(&(0..n).flat_map(of).collect::<Vec<_>>()).unwrap();
    store
}

#[test]
fn the_index_says_of_each_sample_what_the_list_of_samples_says() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = filled(folder.path(), 40, 4);
    store.commit(&[Write::DeleteSample { id: id(0) }, labelled(5, None)]).unwrap();
    let views = views(&store);
    let index = views.index(&default()).unwrap();
    let data = IndexData::from(&*index);
    let listed = samples(&store.reader().unwrap(), &default(), SEED).unwrap();
    assert_eq!(index.classes, [0, 1, 2].map(label));
    assert_eq!((data.columns.image.len(), listed.len()), (39, 39));
    let class = |class: Option<u32>| class.map(|class| index.classes[class as usize].clone());
    for (row, sample) in listed.iter().enumerate() {
        let columns = &data.columns;
        assert_eq!(columns.image[row], sample.image.short());
        assert_eq!(class(columns.label[row]), sample.label, "{row}");
        assert_eq!(class(columns.predicted[row]), sample.predicted, "{row}");
        assert_eq!(columns.probability[row], sample.probability.map(|_| 128));
        assert_eq!(columns.fold[row].map(usize::from), sample.fold, "{row}");
        assert_eq!(i64::from(columns.arrived[row]), sample.arrived_at.0 / 1_000);
        let first = listed.iter().position(|other| other.group == sample.group).unwrap();
        assert_eq!(columns.burst[row] as usize, first, "the first that is left of the burst of {row}");
    }
    assert!(views.index(&door()).unwrap().columns.is_empty(), "the door looks at nothing");
}

#[test]
fn a_revision_stays_until_samples_change() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = filled(folder.path(), 8, 4);
    let views = views(&store);
    let first = views.index(&default()).unwrap();
    assert_eq!(first.revision, views.revision());
    let message = OutboxMessage { seq: 1, topic: Topic::Event, payload: b"{}".to_vec(), made_at: Timestamp(1) };
    store.commit(&[Write::SeqReserved(9), Write::Outbox(message)]).unwrap();
    assert_eq!(first.revision, views.revision(), "a message changes no sample");
    assert!(Arc::ptr_eq(&first, &views.index(&default()).unwrap()), "and nothing is read again");
    assert_eq!(views.map(&default()).unwrap().revision, first.revision);
    for write in [labelled(3, Some(1)), sample(100, 4), Write::DeleteSample { id: id(1) }] {
        let before = views.index(&default()).unwrap();
        store.commit(&[write]).unwrap();
        let after = views.index(&default()).unwrap();
        assert_ne!(before.revision, after.revision);
        assert_ne!(before.columns, after.columns);
        assert_eq!(after.revision, views.revision());
        assert_eq!(views.map(&default()).unwrap().revision, after.revision);
    }
}

#[test]
fn the_map_has_a_place_for_each_row_of_the_index_that_has_an_embedding() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = filled(folder.path(), 60, 12);
    // Labelled before its picture was looked at through this backbone.
    let Write::Sample(mut without) = sample(60, 12) else { unreachable!() };
    without.embeddings.clear();
    store.commit(&[Write::Sample(without)]).unwrap();
    let views = views(&store);
    let map = views.map(&default()).unwrap();
    let images: Vec<_> = map.images.iter().map(SampleId::short).collect();
    let index = views.index(&default()).unwrap();
    assert_eq!(images, IndexData::from(&*index).columns.image);
    assert_eq!(map.places.iter().position(Option::is_none), Some(60));
    let places: Vec<[f32; 2]> = map.places.iter().flatten().map(|place| [place.x, place.y]).collect();
    assert!((places.iter().flatten().fold(0.0_f32, |most, value| most.max(value.abs())) - 1.0).abs() < 1e-6);
    let far = |a: usize, b: usize| (places[a][0] - places[b][0]).hypot(places[a][1] - places[b][1]);
    // Rows 0 and 6 are of one class, 0 and 2 are not.
    assert!(far(0, 2) > 3.0 * far(0, 6), "{} {}", far(0, 2), far(0, 6));
    assert!(map.share[0] >= map.share[1] && map.share[0] + map.share[1] > 0.8, "{:?}", map.share);
}

#[test]
fn neighbours_are_labelled_samples_by_their_distance() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path(), 60, 12);
    let views = views(&store);
    let found = views.neighbours(&default(), &ImageName::Whole(id(3)), 50).unwrap();
    let reader = store.reader().unwrap();
    let all = reader.labelled(&default()).unwrap();
    let this = reader.embedding(&id(3), &space(12)).unwrap().unwrap();
    let exact: BTreeMap<SampleId, f64> = all
        .ids
        .iter()
        .zip(all.embeddings.rows())
        .map(|(id, row)| {
            (*id, 1.0 - dot(&this, row.as_slice().unwrap()) / (norm(&this) * norm(row.as_slice().unwrap())))
        })
        .collect();
    assert_eq!(found.len(), 45, "all that are labelled");
    assert!(found.is_sorted_by(|a, b| a.distance <= b.distance));
    for neighbour in &found {
        assert!((neighbour.distance - exact[&neighbour.image]).abs() < 1e-9);
    }
    let three = views.neighbours(&default(), &ImageName::Start(id(3).short()), 3).unwrap();
    assert_eq!(three, found[..3], "a few of them, by the start of the name");
    assert_eq!(three[0].label, label(1), "of its burst, which lacks its own label");
    let labelled = views.neighbours(&default(), &ImageName::Whole(id(4)), 50).unwrap();
    assert!(labelled.iter().all(|neighbour| neighbour.image != id(4)), "none is its own neighbour");
    for (task, nobody) in [(default(), ImageName::Whole(id(99))), (door(), ImageName::Whole(id(3)))] {
        assert!(matches!(views.neighbours(&task, &nobody, 3), Err(NoView::NotFound(_))), "{nobody:?}");
    }
}

#[test]
fn a_task_is_named_or_the_default_one_is_meant() {
    let folder = tempfile::tempdir().unwrap();
    let store = store_of(folder.path(), 4);
    let views = views(&store);
    assert_eq!((views.task(None), views.task(Some("door"))), (Ok(default()), Ok(door())));
    assert!(matches!(views.task(Some("gate")), Err(NoView::NotFound(_))));
    assert!(matches!(views.task(Some("../gate")), Err(NoView::NotFound(_))));
    let seeds = ["gate", "door"].map(|task| (TaskId::new(task).unwrap(), 0)).to_vec();
    let readers = [store.reader().unwrap(), store.reader().unwrap()];
    let several = StoredViews::new(readers, store.revision(), "e".into(), seeds);
    assert!(matches!(several.task(None), Err(NoView::BadRequest(_))));
}

#[test]
fn confusions_are_those_of_the_last_training_that_has_answers() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = store_of(folder.path(), 4);
    let views = views(&store);
    assert!(matches!(views.confusion(&default(), None), Err(NoView::NotFound(_))));
    let answers = |n: u64, of: &[(u16, u16)]| -> Write {
        let answers = of.iter().zip(0..);
        let answers = answers.map(|(&(truth, predicted), n)| HeldOutAnswer { image: id(n).short(), truth, predicted });
        let payload = format!(r#"{{"training":{n},"head":{{"id":"h{n}","version":{n}}},"classes":["gear","nut"]}}"#);
        let payload = payload.into_bytes();
        Write::Keep(KeptReport::Training { task: default(), training: n, payload, answers: answers.collect() })
    };
    store.commit(&[answers(1, &[(0, 0), (0, 1), (0, 1), (1, 1)]), answers(2, &[(1, 0)]), answers(3, &[])]).unwrap();
    let last = views.confusion(&default(), None).unwrap();
    assert_eq!((last.training, last.head.version, last.matrix), (2, 2, vec![vec![0, 0], vec![1, 0]]));
    let first = views.confusion(&default(), Some(1)).unwrap();
    assert_eq!(first.matrix, [[1, 2], [0, 1]]);
    let cells: Vec<_> = first.cells.iter().map(|cell| (cell.truth, cell.predicted, cell.images.len())).collect();
    assert_eq!(cells, [(0, 0, 1), (0, 1, 2), (1, 1, 1)]);
    let mut wrong = [id(1).short(), id(2).short()];
    wrong.sort();
    assert_eq!(first.cells[1].images, wrong);
    for training in [3, 4] {
        assert!(matches!(views.confusion(&default(), Some(training)), Err(NoView::NotFound(_))), "{training}");
    }
}

/// `cargo test --release --lib how_long_views_take -- --ignored --nocapture` prints what a page of 10,000 samples costs.
#[test]
#[ignore = "measures"]
fn how_long_views_take() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path(), 10_000, 1_280);
    let views = views(&store);
    let since = |begun: std::time::Instant| begun.elapsed().as_secs_f64() * 1e3;
    for round in ["first", "second"] {
        let begun = std::time::Instant::now();
        let index = views.index(&default()).unwrap();
        let octets = index.to_octets();
        println!("{round} index: {:.1} ms, {} bytes of octets", since(begun), octets.len());
        let begun = std::time::Instant::now();
        let json = serde_json::to_vec(&IndexData::from(&*index)).unwrap();
        println!("{round} index as JSON: {:.1} ms, {} bytes", since(begun), json.len());
        assert!(octets.len() <= 200_000, "{}", octets.len());
        let begun = std::time::Instant::now();
        let map = views.map(&default()).unwrap();
        println!("{round} map: {:.1} ms, {} bytes of octets", since(begun), map.to_octets().len());
        let begun = std::time::Instant::now();
        views.neighbours(&default(), &ImageName::Whole(id(7)), 8).unwrap();
        println!("{round} neighbours: {:.1} ms", since(begun));
    }
}
