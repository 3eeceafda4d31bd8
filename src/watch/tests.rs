//! The watcher on real folders. Every wait is for an event, with a limit that only a failure reaches.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::engine::WatchState;
use crate::wire::Ignored;

const PATIENCE: Duration = Duration::from_secs(10);

struct Watched {
    folder: TempDir,
    handle: Handle,
    events: Receiver<Event>,
}

fn excluded() -> Vec<String> {
    ["lost+found", ".*"].map(str::to_owned).to_vec()
}

fn deep(path: &Path) -> WatchedFolder {
    WatchedFolder { path: path.to_owned(), recursive: true, poll: Poll::Auto, exclude: excluded() }
}

fn start(folders: Vec<WatchedFolder>) -> (Handle, Receiver<Event>) {
    start_knowing(folders, |_, _| false)
}

/// Files that are known, and files that are recorded, of which nothing else is known.
struct Recorded<F>(F, Vec<PathBuf>);

impl<F: Fn(&Path, FileStamp) -> bool + Send> Records for Recorded<F> {
    fn is_known(&self, path: &Path, stamp: FileStamp) -> bool {
        (self.0)(path, stamp)
    }

    fn below(&self, place: &Path, after: &Path, limit: usize) -> Vec<PathBuf> {
        self.1.iter().filter(|path| path.starts_with(place) && *path > after).take(limit).cloned().collect()
    }

    fn of(&self, _: &SampleId) -> Vec<PathBuf> {
        self.1.clone()
    }
}

fn start_knowing(
    folders: Vec<WatchedFolder>,
    is_known: impl Fn(&Path, FileStamp) -> bool + Send + 'static,
) -> (Handle, Receiver<Event>) {
    start_with(folders, Recorded(is_known, Vec::new()))
}

fn start_with(folders: Vec<WatchedFolder>, records: impl Records + 'static) -> (Handle, Receiver<Event>) {
    let (sender, events) = channel();
    let settings = Settings { poll: Duration::from_millis(20), ..Settings::new(folders) };
    (spawn(&settings, records, move |event| drop(sender.send(event))).unwrap(), events)
}

impl Watched {
    /// An empty folder, watched and listed once.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (handle, events) = start(vec![deep(folder.path())]);
        let watched = Self { folder, handle, events };
        assert!(watched.listed().is_empty());
        watched
    }

    fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }

    fn sighting(&self) -> Sighting {
        sighting(&self.events)
    }

    fn listed(&self) -> Vec<PathBuf> {
        listed(&self.events).0
    }

    /// The next sighting of this file by a writer that has finished.
    fn closed(&self, path: &Path) -> Sighting {
        loop {
            let sighting = self.sighting();
            if sighting.closed && sighting.path == path {
                return sighting;
            }
        }
    }
}

fn next(events: &Receiver<Event>) -> Event {
    events.recv_timeout(PATIENCE).expect("an event in time")
}

fn sighting(events: &Receiver<Event>) -> Sighting {
    loop {
        if let Event::Watch(WatchEvent::FileSeen(sighting)) = next(events) {
            return sighting;
        }
    }
}

/// Why a folder is lost, once it is.
fn lost(events: &Receiver<Event>) -> String {
    loop {
        if let Event::Watch(WatchEvent::FolderHealth(watched)) = next(events)
            && let WatchState::Lost { reason } = watched.state
        {
            return reason;
        }
    }
}

/// What a listing shows, up to its end: the paths, the ignored files, the unreadable folders.
fn listed(events: &Receiver<Event>) -> (Vec<PathBuf>, Ignored, Vec<PathBuf>) {
    let mut paths = Vec::new();
    loop {
        match next(events) {
            Event::Watch(WatchEvent::FileSeen(sighting)) => {
                assert!(!sighting.closed, "a listing does not know whether a writer has finished");
                paths.push(sighting.path);
            }
            Event::Watch(WatchEvent::ScanFinished { ignored, unreadable }) => {
                return (paths, ignored, unreadable.into_iter().map(|(path, _)| path).collect());
            }
            Event::Watch(WatchEvent::FolderHealth(watched)) if watched.state == WatchState::Well => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_written_file_is_sighted_as_closed_with_its_size_and_a_renamed_one_too() {
    let watched = Watched::new();
    let path = watched.path("1.jpg");
    fs::write(&path, b"12345").unwrap();
    let sighting = watched.closed(&path);
    assert_eq!((sighting.root, sighting.stamp.map(|stamp| stamp.size)), (0, Some(5)));
    fs::write(watched.path("2.part"), b"1").unwrap();
    fs::rename(watched.path("2.part"), watched.path("2.PNG")).unwrap();
    assert_eq!(watched.closed(&watched.path("2.PNG")).stamp.map(|stamp| stamp.size), Some(1));
}

#[test]
fn a_hard_link_is_sighted_though_nobody_writes_it() {
    let watched = Watched::new();
    let elsewhere = tempfile::NamedTempFile::new_in(watched.folder.path().parent().unwrap()).unwrap();
    fs::hard_link(elsewhere.path(), watched.path("linked.jpg")).unwrap();
    assert_eq!(watched.sighting().path, watched.path("linked.jpg"));
}

#[test]
fn the_first_listing_shows_what_is_there_in_order_and_passes_over_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for inner in ["b", "a/deep", ".git"] {
        fs::create_dir_all(path(inner)).unwrap();
    }
    for name in ["z.JPG", "b/2.bmp", "b/1.webp", "a/deep/3.jpeg", "a/4.png", "note.txt", "b/x", ".h.jpg", ".git/5.jpg"]
    {
        fs::write(path(name), b"x").unwrap();
    }
    let _socket = UnixListener::bind(path("socket.jpg")).unwrap();
    fs::create_dir(path("folder.jpg")).unwrap();
    let (_handle, events) = start(vec![deep(folder.path())]);
    let (paths, ignored, unreadable) = listed(&events);
    assert_eq!(paths, ["z.JPG", "a/4.png", "a/deep/3.jpeg", "b/1.webp", "b/2.bmp"].map(path));
    assert_eq!((ignored.other_names, unreadable), (2, vec![]));
}

#[test]
fn a_listing_passes_over_what_is_known_until_it_changes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("1.jpg");
    fs::write(&path, b"x").unwrap();
    let (handle, events) = start_knowing(vec![deep(folder.path())], |_, stamp| stamp.size == 1);
    assert_eq!(listed(&events).0, Vec::<PathBuf>::new());
    fs::write(&path, b"xy").unwrap();
    while !sighting(&events).closed {}
    handle.scan();
    assert_eq!(listed(&events).0, [path]);
}

#[test]
fn links_count_inside_the_watched_folder_only_and_loops_end() {
    let folder = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir(path("real")).unwrap();
    fs::write(path("real/1.jpg"), b"x").unwrap();
    fs::write(outside.path().join("2.jpg"), b"x").unwrap();
    symlink(path("real/1.jpg"), path("file.jpg")).unwrap();
    symlink(path("real"), path("way")).unwrap();
    symlink(folder.path(), path("real/loop")).unwrap();
    symlink(outside.path(), path("out")).unwrap();
    symlink(outside.path().join("2.jpg"), path("out.jpg")).unwrap();
    symlink("nowhere", path("dead.jpg")).unwrap();
    let (_handle, events) = start(vec![deep(folder.path())]);
    assert_eq!(listed(&events).0, ["file.jpg", "real/1.jpg", "way/1.jpg"].map(path));
}

#[test]
fn nothing_is_lost_in_folders_that_appear_with_files_in_them() {
    let watched = Watched::new();
    let mut expected = BTreeSet::new();
    for number in 0..100 {
        let folder = watched.path(format!("{number}/deep"));
        fs::create_dir_all(&folder).unwrap();
        for name in ["1.jpg", "2.jpg"] {
            fs::write(folder.join(name), b"x").unwrap();
            expected.insert(folder.join(name));
        }
    }
    let ready = tempfile::tempdir().unwrap();
    fs::create_dir(ready.path().join("moved")).unwrap();
    fs::write(ready.path().join("moved/3.jpg"), b"x").unwrap();
    fs::rename(ready.path().join("moved"), watched.path("moved")).unwrap();
    expected.insert(watched.path("moved/3.jpg"));
    while !expected.is_empty() {
        expected.remove(&watched.sighting().path);
    }
    // And they are heard from then on.
    fs::write(watched.path("99/deep/4.jpg"), b"x").unwrap();
    watched.closed(&watched.path("99/deep/4.jpg"));
}

#[test]
fn a_missing_folder_is_told_once_and_recovers_each_time_it_comes() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("camera");
    let (handle, events) = start(vec![deep(&path)]);
    for name in ["1.jpg", "2.jpg"] {
        let reason = lost(&events);
        assert!(reason.contains("camera") && reason.contains("cannot be used"), "{reason}");
        handle.scan();
        loop {
            match next(&events) {
                Event::Watch(WatchEvent::ScanFinished { .. }) => break,
                Event::Watch(WatchEvent::FolderHealth(again)) => panic!("told again: {again:?}"),
                _ => {}
            }
        }
        fs::create_dir(&path).unwrap();
        fs::write(path.join(name), b"x").unwrap();
        while sighting(&events).path != path.join(name) {}
        fs::write(path.join("later.jpg"), b"x").unwrap();
        while sighting(&events).path != path.join("later.jpg") {}
        fs::remove_dir_all(&path).unwrap();
    }
}

#[test]
fn a_polled_folder_shows_its_files_without_being_asked() {
    let folder = tempfile::tempdir().unwrap();
    let polled =
        WatchedFolder { path: folder.path().to_owned(), recursive: true, poll: Poll::Always, exclude: excluded() };
    let (_handle, events) = start(vec![polled]);
    assert!(listed(&events).0.is_empty());
    fs::create_dir(folder.path().join("a")).unwrap();
    fs::write(folder.path().join("a/1.jpg"), b"x").unwrap();
    let first = sighting(&events);
    assert_eq!((first.path, first.closed), (folder.path().join("a/1.jpg"), false));
    // Until it is known it is shown again and again.
    assert_eq!(sighting(&events).path, folder.path().join("a/1.jpg"));
}

#[test]
fn subfolders_of_a_flat_folder_do_not_count() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("a")).unwrap();
    fs::write(folder.path().join("a/1.jpg"), b"x").unwrap();
    let flat =
        WatchedFolder { path: folder.path().to_owned(), recursive: false, poll: Poll::Auto, exclude: excluded() };
    let (_handle, events) = start(vec![flat]);
    assert!(listed(&events).0.is_empty());
    fs::create_dir(folder.path().join("b")).unwrap();
    fs::write(folder.path().join("b/2.jpg"), b"x").unwrap();
    fs::write(folder.path().join("3.jpg"), b"x").unwrap();
    assert_eq!(sighting(&events).path, folder.path().join("3.jpg"));
}

#[test]
fn several_folders_carry_their_numbers() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (_handle, events) = start(vec![deep(one.path()), deep(two.path())]);
    assert!(listed(&events).0.is_empty());
    fs::write(two.path().join("2.jpg"), b"x").unwrap();
    assert_eq!(sighting(&events).root, 1);
}

#[test]
fn an_unreadable_folder_is_named_and_the_rest_is_listed() {
    let folder = tempfile::tempdir().unwrap();
    let locked = folder.path().join("locked");
    fs::create_dir(&locked).unwrap();
    fs::write(folder.path().join("1.jpg"), b"x").unwrap();
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o000)).unwrap();
    let is_root = fs::read_dir(&locked).is_ok();
    let (_handle, events) = start(vec![WatchedFolder { poll: Poll::Always, ..deep(folder.path()) }]);
    let (paths, _, unreadable) = listed(&events);
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(paths, [folder.path().join("1.jpg")]);
    if is_root {
        println!("skipped in part: this user may read everything");
    } else {
        assert_eq!(unreadable, [locked]);
    }
}

#[test]
fn names_that_are_not_utf8_survive() {
    let watched = Watched::new();
    let path = watched.path(OsStr::from_bytes(b"\xff\xfe.jpg"));
    fs::write(&path, b"x").unwrap();
    watched.closed(&path);
    watched.handle.scan();
    while !matches!(next(&watched.events), Event::Watch(WatchEvent::FileSeen(sighting)) if sighting.path == path && !sighting.closed)
    {
    }
}

#[test]
fn a_look_tells_the_present_size_and_that_a_file_is_gone() {
    let watched = Watched::new();
    let path = watched.path("1.jpg");
    fs::write(&path, b"123").unwrap();
    watched.closed(&path);
    watched.handle.look(0, path.clone());
    assert_eq!(watched.sighting().stamp.map(|stamp| stamp.size), Some(3));
    fs::remove_file(&path).unwrap();
    watched.handle.look(0, path.clone());
    let sighting = watched.sighting();
    assert_eq!((sighting.path, sighting.stamp), (path, None));
    watched.handle.look(0, watched.folder.path().to_owned());
    assert_eq!(watched.sighting().stamp, None);
    watched.handle.stop().unwrap();
}

#[test]
fn dropping_the_handle_ends_a_listing_in_the_middle() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..100 {
        fs::write(folder.path().join(format!("{number}.jpg")), b"x").unwrap();
    }
    let (asked, is_asked) = channel();
    let (go, may_go) = channel::<()>();
    let (handle, _events) = start_knowing(vec![deep(folder.path())], move |_, _| {
        asked.send(()).unwrap();
        may_go.recv().unwrap();
        false
    });
    is_asked.recv_timeout(PATIENCE).unwrap();
    drop(handle);
    go.send(()).unwrap();
    // The closure, and with it this channel, goes with the thread.
    assert!(
        is_asked.recv_timeout(PATIENCE).is_err_and(|error| error == std::sync::mpsc::RecvTimeoutError::Disconnected)
    );
}

#[test]
fn held_listings_show_young_files_only_until_they_are_let_go() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("old.jpg"), b"x").unwrap();
    let hour_ago = std::time::SystemTime::now() - Duration::from_hours(1);
    fs::File::options().write(true).open(path("old.jpg")).unwrap().set_modified(hour_ago).unwrap();
    let (handle, events) = start(vec![deep(folder.path())]);
    assert_eq!(listed(&events).0, [path("old.jpg")]);
    handle.hold(true);
    handle.scan();
    assert!(listed(&events).0.is_empty());
    fs::write(path("young.jpg"), b"x").unwrap();
    while !sighting(&events).closed {}
    handle.scan();
    assert_eq!(listed(&events).0, [path("young.jpg")]);
    handle.hold(false);
    handle.scan();
    assert_eq!(listed(&events).0, [path("old.jpg"), path("young.jpg")]);
}

/// The next files that are reported to be gone.
fn gone(events: &Receiver<Event>) -> Vec<PathBuf> {
    loop {
        if let Event::Watch(WatchEvent::FilesGone(paths)) = next(events) {
            return paths;
        }
    }
}

#[test]
fn recorded_files_that_are_gone_are_reported_by_a_listing_a_notice_and_a_check() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let names = ["bolt/1.jpg", "bolt/2.jpg", "nut/1.jpg", "nut/2.jpg", "nut/3.jpg"];
    let recorded: Vec<PathBuf> = names.iter().map(|name| path(name)).collect();
    fs::create_dir(path("bolt")).unwrap();
    fs::create_dir(path("nut")).unwrap();
    for path in &recorded[1..] {
        fs::write(path, b"x").unwrap();
    }
    let (handle, events) = start_with(vec![deep(folder.path())], Recorded(|_: &Path, _| true, recorded.clone()));
    assert_eq!(gone(&events), recorded[..1], "it went before the start");
    fs::remove_file(&recorded[1]).unwrap();
    assert_eq!(gone(&events), recorded[1..2], "it was removed");
    fs::rename(path("nut"), path("gear")).unwrap();
    assert_eq!(gone(&events), recorded[2..], "their folder was renamed");
    let image = SampleId::of(b"image");
    handle.check(vec![image]);
    // The kernel notices the rename at the folder too, so its files may be reported twice.
    while gone(&events) != recorded {}
    assert!(matches!(next(&events), Event::Watch(WatchEvent::FilesChecked(images)) if images == [image]));
    handle.stop().unwrap();
}

#[test]
fn an_empty_folder_says_nothing_of_its_files_before_something_was_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let recorded = folder.path().join("1.jpg");
    let records = Recorded(|_: &Path, _| true, vec![recorded.clone()]);
    let (handle, events) = start_with(vec![deep(folder.path())], records);
    assert!(listed(&events).0.is_empty(), "its disk may be mounted later");
    fs::write(folder.path().join("2.jpg"), b"x").unwrap();
    handle.scan();
    assert_eq!(gone(&events), [recorded]);
}
