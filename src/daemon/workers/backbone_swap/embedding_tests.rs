use std::cell::RefCell;
use std::time::Duration;

use super::*;
use crate::daemon::throttle::ThrottleSettings;
use crate::engine::{FileDisposition, FileStamp, Look, NewSample, Write};
use crate::image::{Channels, Decode, Layout, Preprocess, Resize};
use crate::ports::EmbedError;
use crate::store::{OpenOptions, Store};
use crate::words::{Digest, Origin, TaskId, Timestamp};

/// Pictures that the store has.
const COUNT: u8 = 40;

/// Embeds the mean of what it is given, and remembers how many it was given at a time.
struct Mean {
    preprocess: Preprocess,
    given: Vec<usize>,
}

impl Mean {
    fn new() -> Self {
        let (size, layout, channels) = ((2, 2), Layout::Nchw, Channels::Rgb);
        let (mean, std, scale) = ([0.0; 3], [1.0; 3], [1.0; 3]);
        let preprocess = Preprocess {
            size,
            layout,
            channels,
            mean,
            std,
            scale,
            resize: Resize::Stretch,
            pad: Preprocess::PAD,
            decode: Decode::Exact,
        };
        Self { preprocess, given: Vec::new() }
    }
}

impl Embedder for Mean {
    fn space(&self) -> EmbeddingSpace {
        EmbeddingSpace { backbone: Digest::of(b"next"), preprocessing: self.preprocess.digest(), dim: 1 }
    }

    fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    fn embed(&mut self, tensors: &[f32], n: usize) -> Result<Vec<f32>, EmbedError> {
        self.given.push(n);
        let mean = |row: &[f32]| row.iter().sum::<f32>() / row.len() as f32;
        Ok(tensors.chunks(tensors.len() / n).map(mean).collect())
    }
}

fn door() -> TaskId {
    TaskId::new("door").unwrap()
}

fn left() -> Region {
    Region::rectangle([0.0, 0.0, 0.5, 1.0]).unwrap()
}

fn present() -> SpacesInUse {
    let space = EmbeddingSpace { backbone: Digest::of(b"b"), preprocessing: Digest::of(b"p"), dim: 1 };
    SpacesInUse::whole(space).with(door(), vec![(left(), space.within(&left()))])
}

fn backbone() -> BackboneRef {
    BackboneRef { name: "tiny".into(), sha256: Digest::of(b"b"), dim: 1 }
}

/// A picture that is black on its left and as bright as its number on its right, and what names it.
fn picture(folder: &Path, n: u8) -> (SampleId, PathBuf) {
    let path = folder.join(format!("{n}.png"));
    ::image::RgbImage::from_fn(2, 2, |x, _| ::image::Rgb([if x == 0 { 0 } else { n }; 3])).save(&path).unwrap();
    (SampleId::of(&std::fs::read(&path).unwrap()), path)
}

/// Forty pictures, at all of which the default task looks, and the door's at every other one.
fn store(folder: &Path) -> (Store, Vec<SampleId>) {
    let spaces = present();
    let options = OpenOptions { spaces: spaces.clone(), backbone: &backbone(), precision: Precision::F32 };
    let mut store = Store::open(folder, &options).unwrap();
    let mut ids = Vec::new();
    for n in 0..COUNT {
        let (id, path) = picture(folder, n);
        let tasks = [TaskId::default(), door()].into_iter().take(if n.is_multiple_of(2) { 2 } else { 1 });
        let look = |task: TaskId| Look { space: spaces.of(&task)[0].1, task, predicted: None };
        let looks: Vec<Look> = tasks.map(look).collect();
        let embeddings = looks.iter().map(|look| (look.space, vec![0.5])).collect();
        let (bytes, arrived_at, group) = (1, Timestamp(0), id);
        let sample = NewSample {
            id,
            origin: Origin::File(path.clone()),
            bytes,
            arrived_at,
            embeddings,
            group,
            looks,
            thumbnail: None,
            picture: None,
        };
        let (stamp, fate) = (FileStamp { size: 1, mtime_ns: 1, ctime_ns: 1 }, FileDisposition::Sample(id));
        store.commit(&[Write::Sample(Box::new(sample)), Write::File { path, stamp, fate }]).unwrap();
        ids.push(id);
    }
    (store, ids)
}

fn control() -> Control {
    Control::for_test(ThrottleSettings {
        time_limit: Duration::from_hours(1),
        low_priority: false,
        pause_above_c: None,
        pause_above_load: None,
    })
}

/// Images that are embedded, and of how many; or embedded and without a file.
type Counted = (u64, u64);

/// What a preparation finds, and how many parts of pictures it embeds at a time; it is cancelled when it reports that so
/// many images are embedded.
fn run(folder: &Path, store: &Store, cancelled_at: u64) -> (Option<Counted>, Vec<usize>, Vec<Counted>) {
    let (mut mean, reader, control) = (Mean::new(), store.reader().unwrap(), control());
    let (spaces, reports) = (reader.spaces().of_backbone(mean.space()), RefCell::new(Vec::new()));
    let (backbone, precision) = (&backbone(), Precision::F32);
    let embedding = Embedding { reader: &reader, folder, precision, backbone, spaces: &spaces, control: &control };
    let report = |embedded, of| {
        reports.borrow_mut().push((embedded, of));
        if embedded >= cancelled_at {
            control.cancel();
        }
    };
    let found = embedding.run(&mut mean, report).unwrap();
    mean.given.sort_unstable();
    (found, mean.given, reports.into_inner())
}

/// The embeddings of a picture by the next backbone, of the whole and of its left half.
fn embedded(folder: &Path, store: &Store, id: &SampleId) -> [Option<Vec<f32>>; 2] {
    let spaces = store.reader().unwrap().spaces().of_backbone(Mean::new().space()).all();
    let of = |space| {
        let options = CacheOptions { space, backbone: &backbone(), precision: Precision::F32 };
        Cache::open(folder, &options).unwrap().get(id).unwrap()
    };
    [of(spaces[0].1), of(spaces[1].1)]
}

#[test]
fn each_picture_is_decoded_once_for_all_that_tasks_look_at_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let (store, ids) = store(folder.path());
    std::fs::remove_file(folder.path().join("7.png")).unwrap();
    let (found, given, reports) = run(folder.path(), &store, u64::MAX);
    assert_eq!(found, Some((39, 1)));
    assert_eq!(given, [vec![1; 19], vec![2; 20]].concat(), "one run of the network for each picture");
    assert!(reports.is_sorted() && !reports.is_empty() && reports.iter().all(|(_, of)| *of == 40), "{reports:?}");
    for (n, id) in (0..COUNT).zip(&ids).filter(|(n, _)| *n != 7) {
        let whole = Some(vec![f32::from(n) / 2.0]);
        let part = n.is_multiple_of(2).then(|| vec![0.0]);
        assert_eq!(embedded(folder.path(), &store, id), [whole, part], "picture {n}");
    }
    let (again, given, _) = run(folder.path(), &store, u64::MAX);
    assert_eq!((again, given), (Some((39, 1)), vec![]), "what is embedded is found again");
}

#[test]
fn a_frame_is_embedded_from_the_bytes_that_are_kept_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, _) = store(folder.path());
    let whole = present().of(&TaskId::default())[0].1;
    let mut frame = |n: u8, is_kept: bool| {
        let (id, path) = picture(folder.path(), n);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let sample = NewSample {
            id,
            origin: Origin::Source("gate".parse().unwrap()),
            bytes: 1,
            arrived_at: Timestamp(0),
            embeddings: vec![(whole, vec![0.5])],
            group: id,
            looks: vec![Look { task: TaskId::default(), space: whole, predicted: None }],
            thumbnail: None,
            picture: is_kept.then_some(bytes),
        };
        store.commit(&[Write::Sample(Box::new(sample))]).unwrap();
        id
    };
    let (kept, gone) = (frame(200, true), frame(210, false));
    let (found, ..) = run(folder.path(), &store, u64::MAX);
    assert_eq!(found, Some((41, 1)));
    assert_eq!(embedded(folder.path(), &store, &kept)[0], Some(vec![100.0]));
    assert_eq!(embedded(folder.path(), &store, &gone)[0], None);
}

#[test]
fn a_preparation_that_was_cancelled_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let (store, ids) = store(folder.path());
    let (found, first, _) = run(folder.path(), &store, 1);
    assert_eq!((found, first.len()), (None, BATCH), "it ends with the picture in hand");
    let stored = |id| embedded(folder.path(), &store, id).iter().flatten().count();
    assert_eq!(
        ids.iter().map(stored).sum::<usize>(),
        first.iter().sum::<usize>(),
        "and loses nothing of what it embedded"
    );
    let (found, second, _) = run(folder.path(), &store, u64::MAX);
    assert_eq!((found, first.iter().chain(&second).sum::<usize>()), (Some((40, 0)), 60));
}

#[test]
fn a_picture_lacks_what_a_task_looks_at_only_since_then() {
    let folder = tempfile::tempdir().unwrap();
    let (mut store, ids) = store(folder.path());
    run(folder.path(), &store, u64::MAX);
    let space = present().of(&door())[0].1;
    store.commit(&[Write::Look { task: door(), id: ids[1], space }]).unwrap();
    let (found, given, _) = run(folder.path(), &store, u64::MAX);
    assert_eq!((found, given), (Some((40, 0)), vec![1]), "its left half alone");
    assert_eq!(embedded(folder.path(), &store, &ids[1]), [Some(vec![0.5]), Some(vec![0.0])]);
}
