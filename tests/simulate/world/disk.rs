//! The watched folder, who writes into it, and the worker that reads from it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use edgetuned::engine::{
    AdapterEvent, EmbeddedImage, EmbeddingDrift, Event, FileDisposition, FileStamp, FolderHealth, IngestOutcome,
    Ingested, Scored, Shadowed, Sighting, WatchEvent, WatchState,
};
use edgetuned::wire::Ignored;
use edgetuned::words::{EmbeddingSpace, HeadRef, Label, SampleId, TaskId, Timestamp};
use rand::RngExt;

use super::World;

/// What a file is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A image; equal numbers are equal bytes.
    Image(u32),
    /// Something that will never be a image.
    Hostile,
}

/// A file being written, or written.
#[derive(Debug, Clone)]
pub struct File {
    pub content: Content,
    pub stamp: FileStamp,
    /// Chunks that the writer still has to write; `u32::MAX` when it died over it.
    pub missing: u32,
    slow: bool,
}

/// A file this old is no longer looked at by listings that are held.
const YOUNG: Duration = Duration::from_mins(1);

impl World {
    pub(super) fn scan(&mut self) {
        if self.folder_is_lost {
            return;
        }
        let (now_ns, held) = (self.now.wall.0 * 1_000_000, self.listings_are_held);
        let is_listed = |stamp: FileStamp| !held || now_ns - stamp.mtime_ns < YOUNG.as_nanos() as i64;
        let found: Vec<_> = (self.disk.iter())
            .map(|(path, file)| (path.clone(), file.stamp))
            .filter(|(_, stamp)| is_listed(*stamp))
            .collect();
        for (path, stamp) in found {
            if !self.model.is_known(&path, stamp) {
                self.later(
                    300,
                    Event::Watch(WatchEvent::FileSeen(Sighting {
                        root: self.root_of(&path),
                        path,
                        stamp: Some(stamp),
                        closed: false,
                        open: false,
                    })),
                );
            }
        }
        // What is there is reported before what is gone.
        let listed_at = self.now.mono + Duration::from_millis(300);
        self.listed_at = listed_at;
        let recorded = self.model.files.keys().chain(self.model.evicted.keys());
        let gone: Vec<PathBuf> = recorded.filter(|path| !self.disk.contains_key(*path)).cloned().collect();
        if !gone.is_empty() && !held {
            self.push(listed_at, Event::Watch(WatchEvent::FilesGone(gone)));
        }
        self.push(
            listed_at,
            Event::Watch(WatchEvent::ScanFinished { ignored: Ignored::default(), unreadable: vec![] }),
        );
    }

    /// Starts writing a file in so many chunks.
    pub fn create(&mut self, path: PathBuf, content: Content, chunks: u32) {
        let stamp = FileStamp { size: 1, mtime_ns: self.now.wall.0 * 1_000_000, ctime_ns: 0 };
        let slow = self.rng.random_bool(0.3);
        let before = self.disk.insert(path.clone(), File { content, stamp, missing: chunks, slow });
        // The kernel does not tell that a file is opened that was there.
        if before.is_none() && !self.happens(self.faults.lost_hint) && !self.folder_is_lost {
            let sighting = Sighting { root: self.root_of(&path), path, stamp: Some(stamp), closed: false, open: true };
            self.later(20, Event::Watch(WatchEvent::FileSeen(sighting)));
        }
    }

    /// A file that is known to be open is not read, unless whoever opened it seems to have forgotten it.
    pub(super) fn check_open(&self, path: &Path) {
        let patience = self.settings.roots[0].settle * 240;
        let is_open = self.open_files.get(path).is_some_and(|since| self.now.mono.saturating_sub(*since) < patience);
        assert!(!is_open, "{} is read though its writer has not closed it", path.display());
    }

    /// Nobody takes long to write any more.
    pub fn hurry(&mut self) {
        self.disk.values_mut().for_each(|file| file.slow = false);
    }

    pub(super) fn writers(&mut self) {
        let mut hints = Vec::new();
        for (path, file) in &mut self.disk {
            // Some writers take their time, longer than a file needs to look settled.
            if file.missing == 0 || file.missing == u32::MAX || (file.slow && !self.rng.random_bool(0.08)) {
                continue;
            }
            file.missing -= 1;
            file.stamp = FileStamp { size: file.stamp.size + 100, mtime_ns: self.now.wall.0 * 1_000_000, ctime_ns: 0 };
            hints.push((path.clone(), file.stamp, file.missing == 0));
        }
        for (path, stamp, closed) in hints {
            if !self.happens(self.faults.lost_hint) && !self.folder_is_lost {
                self.later(
                    20,
                    Event::Watch(WatchEvent::FileSeen(Sighting {
                        root: self.root_of(&path),
                        path,
                        stamp: Some(stamp),
                        closed,
                        open: false,
                    })),
                );
            }
        }
    }

    pub(super) fn stat(&mut self, root: usize, path: PathBuf) {
        let stamp = self.disk.get(&path).filter(|_| !self.folder_is_lost).map(|file| file.stamp);
        self.later(50, Event::Watch(WatchEvent::FileSeen(Sighting { root, path, stamp, closed: false, open: false })));
    }

    /// The file system with the watched folder goes, or comes back.
    pub fn set_folder_lost(&mut self, is_lost: bool) {
        if self.folder_is_lost == is_lost {
            return;
        }
        self.folder_is_lost = is_lost;
        self.report_folder();
        if !is_lost {
            self.scan();
        }
    }

    /// The watcher reports the folder's state, where there is something to report.
    pub(super) fn report_folder(&mut self) {
        for root in 0..self.settings.roots.len() {
            let reason = format!("{} is not there; mount it", self.settings.roots[root].path.display());
            let state = if self.folder_is_lost { WatchState::Lost { reason } } else { WatchState::Well };
            self.later(0, Event::Watch(WatchEvent::FolderHealth(FolderHealth { root, state })));
        }
    }

    /// Looks at the files of images, and reports those that are gone before it answers.
    pub(super) fn check_files(&mut self, images: Vec<SampleId>) {
        let is_asked = |fate: &FileDisposition| matches!(fate, FileDisposition::Sample(id) if images.contains(id));
        let of_them = self.model.files.iter().filter(|(_, (_, fate))| is_asked(fate)).map(|(path, _)| path);
        let of_them: Vec<&PathBuf> = of_them.collect();
        self.observed.bounds.work += of_them.len() as u64;
        let gone: Vec<PathBuf> = of_them.into_iter().filter(|path| !self.disk.contains_key(*path)).cloned().collect();
        // After a listing that is under way.
        let at = self.listed_at.max(self.now.mono + Duration::from_millis(self.rng.random_range(0..=500)));
        if !gone.is_empty() && !self.folder_is_lost {
            self.push(at, Event::Watch(WatchEvent::FilesGone(gone)));
        }
        self.push(at, Event::Watch(WatchEvent::FilesChecked(images)));
    }

    /// Moves a file that is whole, or removes it; the kernel reports it, unless that is lost.
    pub fn moves(&mut self, from: &Path, to: Option<PathBuf>) {
        let Some(file) = self.disk.remove(from) else { return };
        let gone = Event::Watch(WatchEvent::FilesGone(vec![from.to_owned()]));
        let Some(to) = to else {
            if !self.happens(self.faults.lost_hint) && !self.folder_is_lost {
                self.later(20, gone);
            }
            return;
        };
        let sighting =
            Sighting { root: self.root_of(&to), path: to.clone(), stamp: Some(file.stamp), closed: true, open: false };
        self.disk.insert(to, file);
        if self.folder_is_lost {
            return;
        }
        if self.happens(self.faults.lost_hint) {
            // The kernel loses notices where there are too many, and says so: the folder is listed at once.
            self.scan_at = self.now.mono;
            return;
        }
        if !self.happens(self.faults.lost_hint) {
            self.later(20, gone);
        }
        self.later(20, Event::Watch(WatchEvent::FileSeen(sighting)));
    }

    pub(super) fn read(&mut self, root: usize, path: PathBuf) -> Ingested {
        let Some(file) = self.disk.get(&path).filter(|_| !self.folder_is_lost).cloned() else {
            return Ingested {
                root,
                path,
                stamp: FileStamp { size: 0, mtime_ns: 0, ctime_ns: 0 },
                outcome: IngestOutcome::Gone,
            };
        };
        let outcome = match file.content {
            _ if self.model.evicted.get(&path) == Some(&file.stamp) => IngestOutcome::LetGo,
            _ if file.missing > 0 => IngestOutcome::Incomplete { reason: "ends early".into() },
            Content::Hostile => IngestOutcome::Bad { reason: "no image".into() },
            Content::Image(number) => {
                let id = image_id(number);
                let views = self.views(number, root);
                let mut spaces: Vec<EmbeddingSpace> = Vec::new();
                for view in &views {
                    spaces.extend((!spaces.contains(&view.space)).then_some(view.space));
                }
                let is_made = spaces.iter().any(|space| !self.model.embeddings.contains(&(id, *space)));
                IngestOutcome::Image(Box::new(EmbeddedImage {
                    id,
                    bytes: file.stamp.size,
                    views,
                    embeddings: spaces.into_iter().map(|space| (space, vec![number as f32])).collect(),
                    group: id,
                    decode: Duration::from_millis(3),
                    embed: if is_made { Duration::from_millis(10) } else { Duration::ZERO },
                    thumbnail: None,
                    picture: None,
                }))
            }
        };
        if self.chance(self.chances.drift) {
            let task = self.some_task();
            let since = Timestamp(self.now.wall.0 - 5_000);
            self.adapter_reports(
                500,
                Event::Adapter(AdapterEvent::EmbeddingDrift(task, EmbeddingDrift { p_value: 0.001, since })),
            );
        }
        Ingested { root, path, stamp: file.stamp, outcome }
    }

    /// The prediction of a task's head in service for an image, and the one in shadow, which errs on every fifth.
    pub(super) fn score(&mut self, task: &TaskId, head: HeadRef, number: u32) -> Scored {
        let shadow = self.shadow.get(task).map(|version| {
            let label = class(if number.is_multiple_of(5) { number + 1 } else { number });
            Shadowed { version: *version, label }
        });
        let label = class(if self.poor.contains(&head.id) { number + 1 } else { number });
        Scored {
            set: self.conformal_set(task, &label),
            top: vec![(label, 0.9)],
            head,
            novelty: Some(0.0),
            novelty_rank: Some(0.5),
            unknown: Some(number.is_multiple_of(7)),
            instant: false,
            shadow,
        }
    }

    /// The image in a whole file.
    pub fn image_at(&self, path: &Path) -> Option<SampleId> {
        match self.disk.get(path)? {
            File { content: Content::Image(number), missing: 0, .. } => Some(image_id(*number)),
            _ => None,
        }
    }

    /// The images whose writers are done.
    pub fn finished(&self) -> BTreeSet<SampleId> {
        let whole = self.disk.values().filter(|file| file.missing == 0);
        whole
            .filter_map(|file| if let Content::Image(number) = file.content { Some(image_id(number)) } else { None })
            .collect()
    }
}

pub fn class(number: u32) -> Label {
    Label::new(["nut", "bolt", "gear"][(number % 3) as usize]).expect("a plain word")
}

pub fn image_id(number: u32) -> SampleId {
    SampleId::of(&number.to_le_bytes())
}

/// The class folder that a path lies in, below `/in`.
pub fn folder(path: &Path) -> Option<String> {
    let below = path.strip_prefix("/in").ok()?;
    (below.components().count() > 1)
        .then(|| below.components().next().expect("counted").as_os_str().to_string_lossy().into())
}
