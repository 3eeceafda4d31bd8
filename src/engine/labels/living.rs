//! The living files of samples and the class folders that they lie in.
//!
//! A file is remembered by the first eight bytes of its path's SHA-256, not by its path: some 70 bytes in memory for
//! each. The paths themselves are in the store.

use std::collections::BTreeMap;
use std::path::Path;

use super::index::ClassNumber;
use super::last_word::Lies;
use crate::words::{Digest, SampleId};

/// A path, shortened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct PathKey(u64);

impl PathKey {
    fn of(path: &Path) -> Self {
        let Digest(bytes) = Digest::of(path.as_os_str().as_encoded_bytes());
        let (first, _) = bytes.split_first_chunk().expect("a digest has 32 bytes");
        Self(u64::from_be_bytes(*first))
    }
}

/// A file of a sample, and the class of the folder that it lies in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LivingFile {
    pub id: SampleId,
    pub class: Option<ClassNumber>,
}

/// Every living file of every sample.
#[derive(Debug, Default)]
pub(super) struct LivingFiles(BTreeMap<PathKey, LivingFile>);

impl LivingFiles {
    /// Records a file; returns what it was before.
    pub fn insert(&mut self, path: &Path, file: LivingFile) -> Option<LivingFile> {
        self.0.insert(PathKey::of(path), file)
    }

    /// Forgets a file; returns what it was.
    pub fn remove(&mut self, path: &Path) -> Option<LivingFile> {
        self.0.remove(&PathKey::of(path))
    }

    /// The classes of the folders of a sample's files; it goes through all files.
    pub fn of(&self, id: SampleId) -> impl Iterator<Item = Option<ClassNumber>> + '_ {
        self.0.values().filter(move |file| file.id == id).map(|file| file.class)
    }

    /// Forgets the files of samples that are gone.
    pub fn retain(&mut self, stays: impl Fn(&SampleId) -> bool) {
        self.0.retain(|_, file| stays(&file.id));
    }
}

/// How many living files of one sample lie in which class's folders.
#[derive(Debug, Clone, Default)]
pub(super) struct Places(Vec<(Option<ClassNumber>, u32)>);

impl Places {
    /// One more file; whether none lay in such a folder before.
    pub fn add(&mut self, class: Option<ClassNumber>) -> bool {
        if let Some((_, files)) = self.0.iter_mut().find(|(place, _)| *place == class) {
            *files += 1;
            return false;
        }
        // Nearly all samples have one file, in one place.
        self.0.reserve_exact(1);
        self.0.push((class, 1));
        true
    }

    /// One file less; whether it was the last one in such a folder.
    pub fn remove(&mut self, class: Option<ClassNumber>) -> bool {
        let Some(index) = self.0.iter().position(|(place, _)| *place == class) else { return false };
        self.0[index].1 -= 1;
        let was_last = self.0[index].1 == 0;
        if was_last {
            self.0.remove(index);
        }
        was_last
    }

    /// The classes of the folders in which a file lies.
    pub fn classes(&self) -> impl Iterator<Item = ClassNumber> + '_ {
        self.0.iter().filter_map(|(class, _)| *class)
    }

    /// What that says of the sample.
    pub fn lies(&self) -> Lies<ClassNumber> {
        let mut classes = self.classes();
        match (classes.next(), classes.next()) {
            (Some(_), Some(_)) => Lies::Divided,
            (Some(class), None) => Lies::In(class),
            (None, _) if self.0.is_empty() => Lies::Nowhere,
            (None, _) => Lies::Unclassed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_files_and_say_when_the_set_of_places_changes() {
        let mut places = Places::default();
        assert_eq!(places.lies(), Lies::Nowhere);
        assert!(places.add(None) && !places.add(None));
        assert_eq!(places.lies(), Lies::Unclassed);
        assert!(places.add(Some(3)));
        assert_eq!(places.lies(), Lies::In(3), "a file without a class says nothing beside one with");
        assert!(places.add(Some(4)));
        assert_eq!(places.lies(), Lies::Divided);
        assert!(places.remove(Some(3)) && !places.remove(Some(3)));
        assert!(!places.remove(None) && places.remove(None));
        assert_eq!(places.lies(), Lies::In(4));
    }
}
