//! Which files are read again, and what cannot be.

use super::*;
use crate::config::{self, Layer, Source};
use crate::engine::{FileDisposition, FileStamp, Look, NewSample, Write};
use crate::head::BackboneRef;
use crate::shared::views;
use crate::store::{OpenOptions, Precision, Store};
use crate::words::{Digest, Origin, SampleId, Timestamp};

fn whole() -> EmbeddingSpace {
    EmbeddingSpace { backbone: Digest::of(b"b"), preprocessing: Digest::of(b"p"), dim: 2 }
}

fn within(region: &str) -> EmbeddingSpace {
    whole().within(&region.parse().unwrap())
}

/// The store in `folder` and the watched folders, as a daemon with these tasks opens them.
fn opened(folder: &Path, tasks: &str) -> (Store, RootViews) {
    let text = format!("watch: [{{ path: /srv/a }}, {{ path: /srv/b }}]\ntasks: [{tasks}]");
    let layer = Layer { name: "config.yaml".into(), source: Source::Yaml(text) };
    let config = config::load(&[layer], "host").unwrap().config;
    let backbone = BackboneRef { name: "played".into(), sha256: Digest::of(b"m"), dim: 2 };
    let spaces = views::spaces_in_use(&config, whole());
    let store = Store::open(folder, &OpenOptions { spaces, backbone: &backbone, precision: Precision::F32 }).unwrap();
    let roots = config.watch.iter().map(|watch| watch.path.clone()).collect();
    (store, RootViews { roots, plan: ViewPlan::new(&config, whole()) })
}

fn id(n: u8) -> SampleId {
    SampleId::of(&[n])
}

fn file(n: u8, path: &str) -> Write {
    let stamp = FileStamp { size: 1, mtime_ns: 1, ctime_ns: 1 };
    Write::File { path: path.into(), stamp, fate: FileDisposition::Sample(id(n)) }
}

/// The picture number `n`, which these tasks look at through these spaces.
fn sample(n: u8, path: &str, looks: &[(&str, EmbeddingSpace)]) -> [Write; 2] {
    let look =
        |(task, space): &(&str, EmbeddingSpace)| Look { task: task.parse().unwrap(), space: *space, predicted: None };
    let sample = NewSample {
        id: id(n),
        origin: Origin::File(path.into()),
        bytes: 1,
        arrived_at: Timestamp(0),
        embeddings: looks.iter().map(|(_, space)| (*space, vec![1.0, f32::from(n)])).collect(),
        group: id(n),
        looks: looks.iter().map(look).collect(),
        thumbnail: None,
        picture: None,
    };
    [Write::Sample(Box::new(sample)), file(n, path)]
}

fn found(folder: &Path, tasks: &str, after: u64, limit: usize) -> Unseen {
    let (store, views) = opened(folder, tasks);
    views.find_unseen(&store.reader().unwrap(), after, limit).unwrap()
}

/// The files that would be read again, and the missing samples of each task.
fn all(folder: &Path, tasks: &str) -> (Vec<String>, Vec<(String, u64)>) {
    let Unseen { files, next, missing, .. } = found(folder, tasks, 0, 100);
    assert_eq!(next, None);
    let roots = ["/srv/a", "/srv/b"];
    assert!(files.iter().all(|(root, path)| path.starts_with(roots[*root])), "{files:?}");
    let files = files.into_iter().map(|(_, path)| path.display().to_string()).collect();
    (files, missing.into_iter().map(|(task, count)| (task.to_string(), count)).collect())
}

const DOOR: &str = "{ id: door, from: [{ watch: /srv/a }] }";

/// Two pictures in each of two folders, of which `door` looks at those in the first.
fn store(folder: &Path) {
    let (mut store, _) = opened(folder, DOOR);
    let door = [("door", whole())];
    let samples = [
        sample(0, "/srv/a/0.jpg", &door),
        sample(1, "/srv/a/1.jpg", &door),
        sample(2, "/srv/b/2.jpg", &[]),
        sample(3, "/srv/b/3.jpg", &[]),
    ];
    store.commit(&samples.concat()).unwrap();
}

#[test]
fn what_every_task_sees_is_not_read_again() {
    let folder = tempfile::tempdir().unwrap();
    store(folder.path());
    assert_eq!(all(folder.path(), DOOR), (vec![], vec![]));
}

#[test]
fn a_new_task_gets_to_see_what_is_in_its_folders() {
    let folder = tempfile::tempdir().unwrap();
    store(folder.path());
    let (files, missing) = all(folder.path(), &format!("{DOOR}, {{ id: bin, from: [{{ watch: /srv/b }}] }}"));
    assert_eq!((files, missing), (vec!["/srv/b/2.jpg".to_owned(), "/srv/b/3.jpg".to_owned()], vec![]));
    let (files, _) = all(folder.path(), &format!("{DOOR}, {{ id: bin }}"));
    assert_eq!(files.len(), 4);
}

#[test]
fn a_moved_region_is_seen_again_and_what_has_no_file_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    store(folder.path());
    let (mut opened, _) = opened(folder.path(), DOOR);
    opened.commit(&[Write::DeleteFile { path: "/srv/a/0.jpg".into() }]).unwrap();
    drop(opened);
    let moved = "{ id: door, from: [{ watch: /srv/a, region: [0, 0, 0.5, 1] }] }";
    assert_eq!(all(folder.path(), moved), (vec!["/srv/a/1.jpg".into()], vec![("door".into(), 1)]));
    assert_eq!(all(folder.path(), DOOR), (vec![], vec![]), "what it saw before it still sees");
}

#[test]
fn another_region_for_one_folder_is_found_though_the_former_one_is_still_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let both = |b: &str| format!("{{ id: door, from: [{{ watch: /srv/a }}, {{ watch: /srv/b, region: {b} }}] }}");
    let (left, right) = ("[0, 0, 0.5, 1]", "[0.5, 0, 1, 1]");
    let (mut store, _) = opened(folder.path(), &both(left));
    let samples = [
        sample(0, "/srv/a/0.jpg", &[("door", whole())]),
        sample(1, "/srv/b/1.jpg", &[("door", within(left))]),
        // As it is seen in the other folder: there was a copy.
        sample(2, "/srv/b/2.jpg", &[("door", whole())]),
    ];
    store.commit(&samples.concat()).unwrap();
    drop(store);
    assert_eq!(all(folder.path(), &both(left)).0, ["/srv/b/2.jpg"]);
    assert_eq!(all(folder.path(), &both(right)).0, ["/srv/b/1.jpg", "/srv/b/2.jpg"]);
    let (mut store, _) = opened(folder.path(), &both(left));
    store.commit(&[file(2, "/srv/a/2.jpg")]).unwrap();
    drop(store);
    assert!(all(folder.path(), &both(left)).0.is_empty(), "one of two copies is enough");
}

#[test]
fn the_store_is_gone_through_in_parts() {
    let folder = tempfile::tempdir().unwrap();
    store(folder.path());
    let bin = "{ id: bin }";
    let (mut after, mut files) = (0, Vec::new());
    loop {
        let part = found(folder.path(), bin, after, 3);
        files.extend(part.files);
        let Some(next) = part.next else { break };
        assert!(next > after);
        after = next;
    }
    assert_eq!(files.len(), 4);
    let (store, views) = opened(folder.path(), bin);
    let reader = store.reader().unwrap();
    assert_eq!(views.find_unseen(&reader, 4, 3).unwrap(), Unseen::default(), "there are no more");
}

#[test]
fn a_frame_is_read_again_from_its_bytes_where_they_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let with_source = |region: &str| format!("{{ id: door, from: [{{ source: gate, region: {region} }}] }}");
    let text = |region: &str| format!("{}]\nsources: [{{ id: gate }}", with_source(region));
    let (mut store, _) = opened(folder.path(), &text("[0, 0, 0.5, 1]"));
    let left = within("0,0,0.5,1");
    let frame = |n: u8, picture: Option<Vec<u8>>, space: EmbeddingSpace| {
        let [Write::Sample(sample), _] = sample(n, "/none", &[("door", space)]) else { unreachable!() };
        Write::Sample(Box::new(NewSample { origin: Origin::Source("gate".parse().unwrap()), picture, ..*sample }))
    };
    store.commit(&[frame(1, Some(vec![1]), left), frame(2, None, left)]).unwrap();
    drop(store);
    let Unseen { files, pictures, missing, .. } = found(folder.path(), &text("[0, 0, 0.5, 1]"), 0, 100);
    assert_eq!((files.len(), pictures.len(), missing.len()), (0, 0, 0), "everything is seen");
    let Unseen { files, pictures, missing, .. } = found(folder.path(), &text("[0.5, 0, 1, 1]"), 0, 100);
    assert_eq!((files.len(), pictures), (0, vec![id(1)]), "the region moved");
    assert_eq!(missing.into_iter().collect::<Vec<_>>(), [("door".parse().unwrap(), 1)]);
}
