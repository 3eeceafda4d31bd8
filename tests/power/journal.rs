//! What was asked of the files below one folder, in order, and which acts were acknowledged in between.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One change that succeeded, as far as its caller knows.
#[derive(Debug, Clone)]
pub enum Op {
    /// A new, empty file.
    Create { path: PathBuf },
    /// A new folder.
    Folder { path: PathBuf },
    /// Bytes at a place in a file.
    Write { path: PathBuf, offset: u64, bytes: Vec<u8> },
    /// A file cut short or made longer.
    Length { path: PathBuf, length: u64 },
    /// Everything in this file, or every name in this folder, is on the disk.
    Sync { path: PathBuf },
    /// A file by another name.
    Rename { from: PathBuf, to: PathBuf },
    /// A name less.
    Remove { path: PathBuf },
    /// The act of this number was acknowledged.
    Acknowledged(usize),
}

/// Kinds of calls, by what may refuse them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    Create,
    Write,
    Sync,
    Remove,
}

/// A disk that refuses: from its `after`-th call of the kinds in `calls` on, until it is mended.
#[derive(Debug, Clone, Copy)]
pub struct Refusal {
    pub after: usize,
    /// As in `errno`.
    pub error: i32,
    pub calls: &'static [Call],
    /// Whether it refuses only once.
    pub once: bool,
}

/// The notes of one journal.
#[derive(Default)]
pub struct Notes {
    ops: Vec<Op>,
    /// What is not noted: a planted fault, as if the program had never asked for it.
    forgets: Option<fn(&Op) -> bool>,
    refusal: Option<Refusal>,
    refused: usize,
}

impl Notes {
    pub fn add(&mut self, op: Op) {
        if !self.forgets.is_some_and(|forgets| forgets(&op)) {
            self.ops.push(op);
        }
    }

    /// The error of a call, where it is to fail.
    pub fn refuses(&mut self, call: Call) -> Option<i32> {
        let refusal = self.refusal.as_mut().filter(|refusal| refusal.calls.contains(&call))?;
        if refusal.after > 0 {
            refusal.after -= 1;
            return None;
        }
        if refusal.once && self.refused > 0 {
            return None;
        }
        self.refused += 1;
        Some(refusal.error)
    }
}

/// What is noted of one folder; the notes end when the last of its copies is dropped.
#[derive(Clone)]
pub struct Journal(Arc<Watched>);

struct Watched {
    folder: PathBuf,
    notes: Mutex<Notes>,
}

static WATCHED: Mutex<Vec<Arc<Watched>>> = Mutex::new(Vec::new());
static COUNT: AtomicUsize = AtomicUsize::new(0);

impl Journal {
    /// Begins to note what happens below `folder`, which is absolute and has no links in it.
    pub fn begin(folder: &Path) -> Self {
        let watched = Arc::new(Watched { folder: folder.to_owned(), notes: Mutex::default() });
        lock(&WATCHED).push(Arc::clone(&watched));
        COUNT.fetch_add(1, Ordering::SeqCst);
        Self(watched)
    }

    /// The same, deaf to what `forgets` is true of.
    pub fn begin_forgetting(folder: &Path, forgets: Option<fn(&Op) -> bool>) -> Self {
        let journal = Self::begin(folder);
        journal.notes().forgets = forgets;
        journal
    }

    /// Whether anything is noted at all.
    pub fn any() -> bool {
        COUNT.load(Ordering::SeqCst) > 0
    }

    /// The journal of the folder that `path` is in, or is.
    pub fn over(path: &Path) -> Option<Self> {
        if !Self::any() {
            return None;
        }
        let watched = lock(&WATCHED);
        watched.iter().find(|watched| path.starts_with(&watched.folder)).cloned().map(Self)
    }

    pub fn folder(&self) -> &Path {
        &self.0.folder
    }

    pub fn notes(&self) -> MutexGuard<'_, Notes> {
        lock(&self.0.notes)
    }

    /// Notes that the act of this number was acknowledged.
    pub fn acknowledged(&self, act: usize) {
        self.notes().add(Op::Acknowledged(act));
    }

    /// From now on the disk refuses as `refusal` says.
    pub fn refuse(&self, refusal: Refusal) {
        let mut notes = self.notes();
        (notes.refusal, notes.refused) = (Some(refusal), 0);
    }

    /// The disk takes everything again; how many calls it refused.
    pub fn mend(&self) -> usize {
        let mut notes = self.notes();
        notes.refusal = None;
        std::mem::take(&mut notes.refused)
    }

    /// Everything that was noted; nothing is noted any more.
    pub fn end(self) -> Vec<Op> {
        lock(&WATCHED).retain(|watched| !Arc::ptr_eq(watched, &self.0));
        COUNT.fetch_sub(1, Ordering::SeqCst);
        std::mem::take(&mut self.notes().ops)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
