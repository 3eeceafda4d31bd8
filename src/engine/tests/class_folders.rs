//! Who has the last word on a label: every way in which files change their places, found by notices, by listings or
//! after a stop, over labels by folder, by message and by import. For users the same is in `docs/labels.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::*;
use crate::wire::Ignored;
use crate::words::TaskId;

/// How changes of files are noticed.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Noticed {
    /// The kernel reports each.
    Running,
    /// The daemon is stopped meanwhile, and lists its folders when it starts.
    Stopped,
    /// A listing finds them.
    Polled,
}

/// Who gave the label that the image has at first.
#[derive(Debug, Clone, Copy, PartialEq)]
enum By {
    Folder,
    Message,
    Import,
}

/// What a store keeps of samples and files.
#[derive(Debug, Clone, Default)]
struct Kept {
    samples: BTreeMap<SampleId, StoredSample>,
    files: BTreeMap<PathBuf, FileDisposition>,
    awaited: BTreeMap<String, PendingLabel>,
    class_folders: Option<ClassFolders>,
}

impl Kept {
    fn apply(&mut self, write: &Write) {
        match write.clone() {
            Write::Sample(sample) => drop(self.samples.insert(sample.id, StoredSample::new(sample.id))),
            Write::File { path, fate, .. } => drop(self.files.insert(path, fate)),
            Write::DeleteFile { path } => drop(self.files.remove(&path)),
            Write::Label { id, label, source, .. } => {
                let sample = self.samples.get_mut(&id).unwrap();
                sample.removed_by = label.is_none().then_some(source);
                sample.label = label.map(|label| (label, source));
            }
            Write::Folder { id, class, in_doubt, .. } => {
                let sample = self.samples.get_mut(&id).unwrap();
                (sample.folder, sample.in_doubt) = (class, in_doubt);
            }
            Write::ClassFolders(folders) => self.class_folders = Some(folders),
            Write::PendingLabel(label) => drop(self.awaited.insert(label.prefix.clone(), label)),
            Write::DeletePendingLabel { prefix, .. } => drop(self.awaited.remove(&prefix)),
            _ => {}
        }
    }

    fn snapshot(&self) -> Snapshot {
        let samples = self.samples.values().cloned().collect();
        Snapshot {
            files: self.files.iter().map(|(path, fate)| (path.clone(), fate.clone())).collect(),
            awaited: self.awaited.values().cloned().collect(),
            class_folders: self.class_folders.clone(),
            ..Snapshot::from(StoredTask { samples, ..StoredTask::default() })
        }
    }
}

/// An engine, the disk that it watches, and what it has stored.
struct Desk {
    engine: Engine,
    roots: Vec<Root>,
    levels: Vec<Option<usize>>,
    disk: BTreeMap<PathBuf, &'static str>,
    kept: Kept,
    now_ms: u64,
    errors: Vec<String>,
    quarantined: usize,
}

const STAMP: FileStamp = FileStamp { size: 1, mtime_ns: 1, ctime_ns: 0 };
const IMAGE: &str = "an image";

fn image() -> SampleId {
    SampleId::of(IMAGE.as_bytes())
}

fn root(path: &str) -> Root {
    Root { path: path.into(), settle: Duration::from_millis(500) }
}

impl Desk {
    fn new() -> Self {
        let (roots, levels) = (vec![root("/in"), root("/other")], vec![Some(1), Some(1)]);
        let (disk, kept) = (BTreeMap::new(), Kept::default());
        let engine = Engine::new(settings(PromotionPolicy::Gated), Snapshot::default());
        let mut desk = Self { engine, roots, levels, disk, kept, now_ms: 0, errors: vec![], quarantined: 0 };
        desk.starts();
        desk
    }

    /// The daemon starts, and lists its folders.
    fn starts(&mut self) {
        let mut settings = Settings { roots: self.roots.clone(), ..settings(PromotionPolicy::Gated) };
        settings.tasks[0].label_levels.clone_from(&self.levels);
        self.engine = Engine::new(settings, self.kept.snapshot());
        let step = self.engine.start(at(self.now_ms));
        self.take(step);
        self.lists();
    }

    fn event(&mut self, event: Event) {
        let step = self.engine.step(at(self.now_ms), event);
        self.take(step);
    }

    fn take(&mut self, step: Step) {
        for write in &step.writes {
            self.kept.apply(write);
            if let Write::Outbox(message) = write
                && message.topic == Topic::Event
            {
                let event: serde_json::Value = serde_json::from_slice(&message.payload).unwrap();
                self.errors.extend((event["event_type"] == "error").then(|| event["reason"].to_string()));
            }
        }
        for act in step.acts {
            match act {
                Act::Ingest { root, path } => self.reads(root, path),
                Act::CheckFiles(images) => {
                    let is_of = |fate: &FileDisposition| images.iter().any(|id| *fate == FileDisposition::Sample(*id));
                    let gone = self.missing(is_of);
                    self.event(Event::Watch(WatchEvent::FilesGone(gone)));
                    self.event(Event::Watch(WatchEvent::FilesChecked(images)));
                }
                _ => {}
            }
        }
    }

    fn reads(&mut self, root: usize, path: PathBuf) {
        let outcome = match self.disk.get(&path) {
            None => IngestOutcome::Gone,
            Some(&"broken") => IngestOutcome::Bad { reason: "no image".into() },
            Some(bytes) => IngestOutcome::Image(Box::new(EmbeddedImage {
                id: SampleId::of(bytes.as_bytes()),
                bytes: 1,
                embeddings: vec![(space(), vec![0.0])],
                group: SampleId::of(bytes.as_bytes()),
                views: views(None),
                decode: Duration::ZERO,
                embed: Duration::ZERO,
                thumbnail: None,
                picture: None,
            })),
        };
        self.event(Event::Ingest(Ingested { root, path, stamp: STAMP, outcome }));
    }

    fn missing(&self, is_meant: impl Fn(&FileDisposition) -> bool) -> Vec<PathBuf> {
        let recorded = self.kept.files.iter().filter(|(_, fate)| is_meant(fate)).map(|(path, _)| path);
        recorded.filter(|path| !self.disk.contains_key(*path)).cloned().collect()
    }

    fn sees(&mut self, path: PathBuf, closed: bool) {
        let root = self.roots.iter().position(|root| path.starts_with(&root.path)).unwrap();
        self.event(Event::Watch(WatchEvent::FileSeen(Sighting {
            root,
            path,
            stamp: Some(STAMP),
            closed,
            open: false,
        })));
    }

    /// A listing finds what is new, then what is gone.
    fn lists(&mut self) {
        let new: Vec<PathBuf> = self.disk.keys().filter(|path| !self.kept.files.contains_key(*path)).cloned().collect();
        for path in new {
            self.sees(path, false);
        }
        let gone = self.missing(|_| true);
        self.event(Event::Watch(WatchEvent::FilesGone(gone)));
        self.event(Event::Watch(WatchEvent::ScanFinished { ignored: Ignored::default(), unreadable: vec![] }));
        self.rests();
    }

    fn rests(&mut self) {
        for _ in 0..20 {
            self.now_ms += 100;
            self.event(Event::Tick);
        }
        self.quarantined = self.engine.health().quarantined as usize;
    }

    /// Files change their places, noticed in this way.
    fn changes(&mut self, noticed: Noticed, change: &Change) {
        let before = self.disk.clone();
        change(&mut self.disk);
        match noticed {
            Noticed::Running => {
                let gone: Vec<PathBuf> = before.keys().filter(|path| !self.disk.contains_key(*path)).cloned().collect();
                for path in gone {
                    self.event(Event::Watch(WatchEvent::FilesGone(vec![path])));
                }
                let new = self.disk.iter().filter(|(path, bytes)| before.get(*path) != Some(bytes));
                let new: Vec<PathBuf> = new.map(|(path, _)| path.clone()).collect();
                for path in new {
                    self.sees(path, true);
                }
                self.rests();
            }
            Noticed::Polled => self.lists(),
            Noticed::Stopped => self.starts(),
        }
    }

    /// A person gives the image this label.
    fn says(&mut self, by: By, said: &str) {
        let source = LabelSource::Import;
        match by {
            By::Folder => {}
            By::Message => {
                let payload = format!(r#"{{"image": "{}", "label": "{said}"}}"#, image()).into_bytes();
                let inbound = Inbound { topic: "label".into(), payload, retained: false, delivery: 1 };
                self.event(Event::Broker(BrokerEvent::Message(inbound)));
            }
            By::Import if self.kept.samples.contains_key(&image()) => {
                let said = Some(label(said));
                self.kept.apply(&Write::Label {
                    task: TaskId::default(),
                    id: image(),
                    label: said,
                    source,
                    at: at(self.now_ms).wall,
                    change: None,
                });
                self.starts();
            }
            By::Import => {
                let prefix = image().to_string();
                let awaited = PendingLabel {
                    task: TaskId::default(),
                    prefix,
                    label: label(said),
                    source,
                    at: at(self.now_ms).wall,
                    change: None,
                    former: None,
                };
                self.kept.apply(&Write::PendingLabel(awaited));
                self.starts();
            }
        }
    }

    fn label(&self) -> Option<&str> {
        self.kept.samples.get(&image())?.label.as_ref().map(|(label, _)| label.as_str())
    }
}

type Disk = BTreeMap<PathBuf, &'static str>;
type Change = dyn Fn(&mut Disk);

fn moved(from: &'static str, to: &'static str) -> Box<Change> {
    Box::new(move |disk: &mut Disk| {
        let bytes = disk.remove(Path::new(from)).unwrap();
        disk.insert(to.into(), bytes);
    })
}

fn copied(to: &'static str) -> Box<Change> {
    Box::new(move |disk: &mut Disk| _ = disk.insert(to.into(), IMAGE))
}

fn removed(path: &'static str) -> Box<Change> {
    Box::new(move |disk: &mut Disk| _ = disk.remove(Path::new(path)))
}

fn together(changes: Vec<Box<Change>>) -> Box<Change> {
    Box::new(move |disk: &mut Disk| changes.iter().for_each(|change| change(disk)))
}

/// One thing that people do with files: its name, the changes with a rest after each, the label afterwards where a
/// folder gave the first one and where a person said "screw", and how many contradictions are reported.
type Case = (&'static str, Vec<Box<Change>>, Option<&'static str>, Option<&'static str>, usize);

/// The image lies in `/in/bolt/1.jpg` at first.
fn cases() -> Vec<Case> {
    let (bolt, nut, screw) = (Some("bolt"), Some("nut"), Some("screw"));
    let first = "/in/bolt/1.jpg";
    vec![
        ("renamed", vec![moved(first, "/in/bolt/2.jpg")], bolt, screw, 0),
        ("archived below its class", vec![moved(first, "/in/bolt/2026/1.jpg")], bolt, screw, 0),
        ("renamed and back", vec![moved(first, "/in/bolt/2.jpg"), moved("/in/bolt/2.jpg", first)], bolt, screw, 0),
        ("moved to another class", vec![moved(first, "/in/nut/1.jpg")], nut, nut, 0),
        ("moved and back", vec![moved(first, "/in/nut/1.jpg"), moved("/in/nut/1.jpg", first)], bolt, bolt, 0),
        ("class renamed and back", vec![moved(first, "/in/n/1.jpg"), moved("/in/n/1.jpg", first)], bolt, bolt, 0),
        ("copied beside itself", vec![copied("/in/bolt/2.jpg")], bolt, screw, 0),
        ("copied, the first one deleted", vec![copied("/in/bolt/2.jpg"), removed(first)], bolt, screw, 0),
        ("copied out", vec![copied("/in/1.jpg")], bolt, screw, 0),
        ("copied to another class", vec![copied("/in/nut/1.jpg")], bolt, screw, 1),
        ("copied, then deleted in the old class", vec![copied("/in/nut/1.jpg"), removed(first)], nut, nut, 1),
        ("copied, then the copy deleted", vec![copied("/in/nut/1.jpg"), removed("/in/nut/1.jpg")], bolt, screw, 1),
        (
            "copied, then renamed in the new class",
            vec![copied("/in/nut/1.jpg"), moved("/in/nut/1.jpg", "/in/nut/2.jpg")],
            bolt,
            screw,
            1,
        ),
        ("moved to another root", vec![moved(first, "/other/bolt/1.jpg")], bolt, screw, 0),
        ("moved to another class of another root", vec![moved(first, "/other/nut/1.jpg")], nut, nut, 0),
        ("deleted", vec![removed(first)], bolt, screw, 0),
        ("deleted and restored", vec![removed(first), copied(first)], bolt, screw, 0),
        ("restored elsewhere in its class", vec![removed(first), copied("/other/bolt/9.jpg")], bolt, screw, 0),
        ("restored to another class", vec![removed(first), copied("/in/nut/1.jpg")], nut, nut, 0),
        ("taken out", vec![moved(first, "/in/1.jpg")], None, screw, 0),
        ("taken out by copy and deletion", vec![copied("/in/1.jpg"), removed(first)], None, screw, 0),
        ("taken out and put back", vec![moved(first, "/in/1.jpg"), moved("/in/1.jpg", first)], bolt, bolt, 0),
        ("renamed and copied out at once", vec![copied("/in/1.jpg"), moved(first, "/in/bolt/2.jpg")], bolt, screw, 0),
        (
            "renamed and copied to another class at once",
            vec![together(vec![moved(first, "/in/bolt/2.jpg"), copied("/in/nut/1.jpg")])],
            bolt,
            screw,
            1,
        ),
        (
            "moved to one class and copied to another at once",
            vec![together(vec![moved(first, "/in/nut/1.jpg"), copied("/in/gear/1.jpg")]), removed("/in/gear/1.jpg")],
            nut,
            nut,
            1,
        ),
    ]
}

#[test]
fn the_last_act_has_the_last_word_however_it_is_noticed_and_whoever_spoke_before() {
    for noticed in [Noticed::Running, Noticed::Stopped, Noticed::Polled] {
        for by in [By::Folder, By::Message, By::Import] {
            for (name, changes, of_folder, of_person, contradictions) in cases() {
                let mut desk = Desk::new();
                desk.changes(Noticed::Running, &*copied("/in/bolt/1.jpg"));
                desk.says(by, "screw");
                for change in &changes {
                    desk.changes(noticed, &**change);
                }
                let expected = if by == By::Folder { of_folder } else { of_person };
                let context = format!("{name}; {noticed:?}; first label by {by:?}");
                assert_eq!(desk.label(), expected, "{context}");
                assert_eq!(desk.errors.len(), contradictions, "{context}: {:?}", desk.errors);
                desk.starts();
                assert_eq!(desk.label(), expected, "{context}; after a restart");
                assert_eq!(desk.errors.len(), contradictions, "{context}, and after a restart: {:?}", desk.errors);
                assert!(desk.kept.samples.values().all(|sample| !sample.in_doubt), "{context}: nothing is in doubt");
                let living: BTreeSet<_> = desk.disk.keys().collect();
                assert_eq!(desk.kept.files.keys().collect::<BTreeSet<_>>(), living, "{context}");
            }
        }
    }
}

#[test]
fn a_label_that_waits_for_its_image_counts_as_given_after_the_folders() {
    for by in [By::Message, By::Import] {
        for noticed in [Noticed::Running, Noticed::Stopped, Noticed::Polled] {
            let mut desk = Desk::new();
            desk.says(by, "screw");
            desk.changes(noticed, &*copied("/in/bolt/1.jpg"));
            assert_eq!(desk.label(), Some("screw"), "{by:?}, {noticed:?}");
            desk.changes(noticed, &*moved("/in/bolt/1.jpg", "/other/bolt/2.jpg"));
            assert_eq!(desk.label(), Some("screw"), "{by:?}, {noticed:?}: another path");
            desk.changes(noticed, &*moved("/other/bolt/2.jpg", "/in/nut/1.jpg"));
            assert_eq!(desk.label(), Some("nut"), "{by:?}, {noticed:?}: another class");
        }
    }
}

#[test]
fn a_label_that_a_person_confirmed_or_took_away_is_the_persons() {
    for noticed in [Noticed::Running, Noticed::Stopped, Noticed::Polled] {
        let mut desk = Desk::new();
        desk.changes(noticed, &*copied("/in/bolt/1.jpg"));
        desk.says(By::Message, "bolt");
        desk.changes(noticed, &*moved("/in/bolt/1.jpg", "/in/1.jpg"));
        assert_eq!(desk.label(), Some("bolt"), "{noticed:?}");
        let payload = format!(r#"{{"image": "{}", "label": null}}"#, image()).into_bytes();
        desk.changes(noticed, &*moved("/in/1.jpg", "/in/bolt/1.jpg"));
        let inbound = Inbound { topic: "label".into(), payload, retained: false, delivery: 1 };
        desk.event(Event::Broker(BrokerEvent::Message(inbound)));
        desk.changes(noticed, &*moved("/in/bolt/1.jpg", "/in/bolt/2.jpg"));
        assert_eq!(desk.label(), None, "{noticed:?}: it was taken away");
    }
}

#[test]
fn other_class_folders_in_the_settings_label_anew_what_no_person_labelled() {
    for by in [By::Folder, By::Message, By::Import] {
        let mut desk = Desk::new();
        desk.changes(Noticed::Running, &*copied("/in/bolt/1.jpg"));
        desk.says(by, "screw");
        let expected = |label| if by == By::Folder { label } else { Some("screw") };
        desk.levels[0] = None;
        desk.starts();
        assert_eq!(desk.label(), expected(None), "{by:?}: no folder is a class");
        desk.levels[0] = Some(1);
        desk.starts();
        assert_eq!(desk.label(), expected(Some("bolt")), "{by:?}: they are again");
        // The watched path is corrected, and the disk lies there now.
        desk.roots[0].path = "/mnt".into();
        desk.disk = [("/mnt/bolt/1.jpg".into(), IMAGE)].into();
        desk.starts();
        assert_eq!(desk.label(), expected(Some("bolt")), "{by:?}: another path");
        assert!(desk.kept.files.keys().eq(desk.disk.keys()), "files that nobody watches any more are forgotten");
    }
}

#[test]
fn a_class_folder_inside_another_watched_folder_is_judged_by_the_innermost() {
    let mut desk = Desk::new();
    desk.roots.push(root("/in/upload"));
    desk.levels.push(None);
    desk.starts();
    desk.changes(Noticed::Running, &*copied("/in/upload/1.jpg"));
    assert_eq!(desk.label(), None);
}

#[test]
fn files_that_are_put_aside_are_counted_while_they_are() {
    let mut desk = Desk::new();
    let broken = |path: &'static str| Box::new(move |disk: &mut Disk| _ = disk.insert(path.into(), "broken"));
    for noticed in [Noticed::Running, Noticed::Polled, Noticed::Stopped] {
        desk.changes(Noticed::Running, &*broken("/in/1.jpg"));
        desk.changes(Noticed::Running, &*broken("/in/2.jpg"));
        assert_eq!(desk.quarantined, 2);
        desk.sees("/in/1.jpg".into(), true);
        desk.rests();
        assert_eq!(desk.quarantined, 2, "one bad file counts once");
        desk.starts();
        assert_eq!(desk.quarantined, 2, "after a restart");
        desk.changes(Noticed::Running, &*copied("/in/1.jpg"));
        assert_eq!(desk.quarantined, 1, "one was mended");
        desk.changes(noticed, &*removed("/in/2.jpg"));
        assert_eq!(desk.quarantined, 0, "and one was removed; {noticed:?}");
        desk.changes(Noticed::Running, &*broken("/in/1.jpg"));
        assert_eq!(desk.quarantined, 1, "and one is bad again");
        desk.changes(noticed, &*removed("/in/1.jpg"));
        assert_eq!(desk.quarantined, 0);
    }
}
