//! What a disk may hold after a power cut.
//!
//! Only what was synced is sure: the bytes of a file by a sync of the file, its name by a sync of its folder. Of
//! everything else each sector of 512 bytes may have come or not, in whatever order, and a file may have become longer
//! without its bytes. That is more than file systems do to a program, and less than it may rely on.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rand::{Rng, RngExt};

use crate::journal::Op;

const SECTOR: usize = 512;

/// What becomes of what was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsynced {
    /// Nothing of it came.
    Lost,
    /// All of it came.
    Kept,
    /// As the dice fall.
    Torn,
}

/// A disk with what is sure and what is on its way.
#[derive(Debug, Clone, Default)]
pub struct Disk {
    files: Vec<File>,
    /// As the programs see them.
    names: BTreeMap<PathBuf, Thing>,
    /// As the disk has them.
    synced: BTreeMap<PathBuf, Thing>,
    renamed: Vec<Renaming>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Thing {
    File(usize),
    Folder,
}

/// What was done to names and not synced.
#[derive(Debug, Clone)]
struct Renaming {
    gone: Option<PathBuf>,
    new: Option<(PathBuf, Thing)>,
}

#[derive(Debug, Clone, Default)]
struct File {
    synced: Vec<u8>,
    changes: Vec<Change>,
}

#[derive(Debug, Clone)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Length(usize),
}

impl Disk {
    /// What lies in `folder` now, all of it sure.
    pub fn holding(folder: &Path) -> Self {
        let mut disk = Self::default();
        disk.take(folder);
        disk.synced = disk.names.clone();
        disk
    }

    fn take(&mut self, folder: &Path) {
        self.names.insert(folder.to_owned(), Thing::Folder);
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                self.take(&path);
            } else {
                self.names.insert(path.clone(), Thing::File(self.files.len()));
                self.files.push(File { synced: fs::read(&path).expect("a file"), changes: Vec::new() });
            }
        }
    }

    /// One operation later.
    pub fn after(&mut self, op: &Op) {
        match op {
            Op::Create { path } => {
                self.files.push(File::default());
                self.rename(None, Some((path, Thing::File(self.files.len() - 1))));
            }
            Op::Folder { path } => self.rename(None, Some((path, Thing::Folder))),
            Op::Rename { from, to } => {
                let thing = self.names[from];
                self.rename(Some(from), Some((to, thing)));
            }
            Op::Remove { path } => self.rename(Some(path), None),
            Op::Write { path, offset, bytes } => {
                self.change(path, Change::Write { offset: *offset as usize, bytes: bytes.clone() });
            }
            Op::Length { path, length } => self.change(path, Change::Length(*length as usize)),
            Op::Sync { path } => match self.names[path] {
                Thing::File(number) => self.files[number].sync(),
                Thing::Folder => self.sync_names(path),
            },
            Op::Acknowledged(_) => {}
        }
    }

    fn rename(&mut self, gone: Option<&PathBuf>, new: Option<(&PathBuf, Thing)>) {
        let renaming = Renaming { gone: gone.cloned(), new: new.map(|(path, thing)| (path.clone(), thing)) };
        renaming.apply(&mut self.names);
        self.renamed.push(renaming);
    }

    fn change(&mut self, path: &Path, change: Change) {
        let Thing::File(number) = self.names[path] else { panic!("{} is no file", path.display()) };
        self.files[number].changes.push(change);
    }

    /// Every name in this folder is sure; renaming moves nothing from one folder to another here.
    fn sync_names(&mut self, folder: &Path) {
        let (sure, other): (Vec<_>, Vec<_>) = std::mem::take(&mut self.renamed).into_iter().partition(|renaming| {
            let path = renaming.gone.as_ref().or(renaming.new.as_ref().map(|(path, _)| path));
            path.and_then(|path| path.parent()) == Some(folder)
        });
        self.renamed = other;
        for renaming in sure {
            renaming.apply(&mut self.synced);
        }
    }

    /// Puts what may be left after a power cut from `root` on into `into`, which is empty.
    pub fn cut(&self, unsynced: Unsynced, dice: &mut impl Rng, root: &Path, into: &Path) {
        let mut names = self.synced.clone();
        let kept = if unsynced == Unsynced::Torn { dice.random_range(0.0..=1.0) } else { 0.0 };
        for renaming in &self.renamed {
            let comes = match unsynced {
                Unsynced::Lost => false,
                Unsynced::Kept => true,
                Unsynced::Torn => dice.random_bool(kept),
            };
            if comes {
                renaming.apply(&mut names);
            }
        }
        let there = |path: &Path| path == root || names.contains_key(path);
        for (path, thing) in &names {
            // Without its folder a file is nowhere.
            let Ok(below) = path.strip_prefix(root) else { continue };
            if path == root || !path.ancestors().skip(1).take_while(|above| above.starts_with(root)).all(there) {
                continue;
            }
            match thing {
                Thing::Folder => fs::create_dir(into.join(below)).expect("a folder"),
                Thing::File(number) => {
                    let bytes = self.files[*number].cut(unsynced, dice);
                    fs::write(into.join(below), bytes).expect("a file");
                }
            }
        }
    }
}

impl Renaming {
    fn apply(&self, names: &mut BTreeMap<PathBuf, Thing>) {
        if let Some(gone) = &self.gone {
            names.remove(gone);
        }
        if let Some((path, thing)) = &self.new {
            names.insert(path.clone(), *thing);
        }
    }
}

impl File {
    fn sync(&mut self) {
        let mut bytes = std::mem::take(&mut self.synced);
        self.changes.drain(..).for_each(|change| change.apply(&mut bytes));
        self.synced = bytes;
    }

    fn cut(&self, unsynced: Unsynced, dice: &mut impl Rng) -> Vec<u8> {
        let mut bytes = self.synced.clone();
        match unsynced {
            Unsynced::Lost => {}
            Unsynced::Kept => self.changes.iter().for_each(|change| change.apply(&mut bytes)),
            Unsynced::Torn => {
                let kept = [0.1, 0.5, 0.9][dice.random_range(0..3)];
                self.changes.iter().for_each(|change| change.tear(&mut bytes, kept, dice));
            }
        }
        bytes
    }
}

impl Change {
    fn apply(&self, file: &mut Vec<u8>) {
        match self {
            Self::Length(length) => file.resize(*length, 0),
            Self::Write { offset, bytes } => put(file, *offset, bytes),
        }
    }

    /// Each sector of it comes with probability `kept`; where none came the file may be longer all the same, with
    /// nothing or anything in it.
    fn tear(&self, file: &mut Vec<u8>, kept: f64, dice: &mut impl Rng) {
        let Self::Write { offset, bytes } = self else {
            if dice.random_bool(kept) {
                self.apply(file);
            }
            return;
        };
        let mut at = 0;
        while at < bytes.len() {
            let place = offset + at;
            let end = bytes.len().min(at + SECTOR - place % SECTOR);
            if dice.random_bool(kept) {
                put(file, place, &bytes[at..end]);
            } else if place >= file.len() && dice.random_bool(0.2) {
                let mut other = vec![0; end - at];
                if dice.random_bool(0.5) {
                    dice.fill_bytes(&mut other);
                }
                put(file, place, &other);
            }
            at = end;
        }
    }
}

fn put(file: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    if file.len() < offset + bytes.len() {
        file.resize(offset + bytes.len(), 0);
    }
    file[offset..offset + bytes.len()].copy_from_slice(bytes);
}
