//! A folder per class, as `train` and `evaluate` read it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::failure::Failure;
use crate::watch::is_image_name;
use crate::words::Label;

/// One picture of a class.
#[derive(Debug, Clone)]
pub struct Entry {
    pub path: PathBuf,
    pub label: Label,
}

/// What can be wrong with a folder of classes.
#[derive(Debug, thiserror::Error)]
pub enum BadFolder {
    /// It cannot be listed.
    #[error("cannot list {}; check that it is a folder, its owner and its mode", .folder.display())]
    Unreadable {
        folder: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// Nothing in it names a class.
    #[error("{} has no class folders; put the pictures of each class into a folder of its name", .0.display())]
    NoClasses(PathBuf),
    /// A class without images.
    #[error("class folder {} has no pictures; put some into it or remove it", .0.display())]
    EmptyClass(PathBuf),
    /// A folder whose name is not text.
    #[error("folder {} cannot name a class: its name is not UTF-8; rename it", .0.display())]
    NotText(PathBuf),
    /// A folder that cannot name a class.
    #[error("folder {} cannot name a class; rename it", .folder.display())]
    BadName {
        folder: PathBuf,
        #[source]
        source: crate::words::BadLabel,
    },
}

impl From<BadFolder> for Failure {
    fn from(error: BadFolder) -> Self {
        Self::failed(error)
    }
}

/// Every picture below `dir` with the name of the first folder below it, in the order of paths.
///
/// # Errors
/// [`BadFolder`] when there are no classes, one of them is empty, or something cannot be listed.
pub fn classes(dir: &Path) -> Result<Vec<Entry>, BadFolder> {
    let mut entries = Vec::new();
    for folder in list(dir)?.into_iter().filter(|path| path.is_dir()) {
        let Some(name) = folder.file_name().and_then(|name| name.to_str()) else {
            return Err(BadFolder::NotText(folder));
        };
        let label = Label::new(name).map_err(|source| BadFolder::BadName { folder: folder.clone(), source })?;
        let before = entries.len();
        entries.extend(pictures(&folder)?.into_iter().map(|path| Entry { path, label: label.clone() }));
        if entries.len() == before {
            return Err(BadFolder::EmptyClass(folder));
        }
    }
    if entries.is_empty() {
        return Err(BadFolder::NoClasses(dir.to_owned()));
    }
    Ok(entries)
}

/// Every picture below `dir`, by name, in the order of paths; hidden files and folders are skipped.
///
/// # Errors
/// [`BadFolder::Unreadable`] when a folder cannot be listed.
pub fn pictures(dir: &Path) -> Result<Vec<PathBuf>, BadFolder> {
    let mut found = Vec::new();
    for path in list(dir)? {
        // A link to a folder is skipped: it may lead back up.
        if path.is_dir() && !path.is_symlink() {
            found.extend(pictures(&path)?);
        } else if is_image_name(&path) {
            found.push(path);
        }
    }
    Ok(found)
}

fn list(folder: &Path) -> Result<Vec<PathBuf>, BadFolder> {
    let failed = |source| BadFolder::Unreadable { folder: folder.to_owned(), source };
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

/// At most `shots` images of each class, drawn with `seed`, in the order of paths.
pub fn draw(entries: Vec<Entry>, shots: usize, seed: u64) -> Vec<Entry> {
    let mut by_class: BTreeMap<Label, Vec<Entry>> = BTreeMap::new();
    for entry in entries {
        by_class.entry(entry.label.clone()).or_default().push(entry);
    }
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut drawn = Vec::new();
    for entries in by_class.values_mut() {
        entries.shuffle(&mut random);
        entries.truncate(shots);
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        drawn.append(entries);
    }
    drawn
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries() -> Vec<Entry> {
        let entry =
            |n: usize| Entry { path: format!("/p/{n:02}").into(), label: Label::new(["a", "b"][n % 2]).unwrap() };
        (0..20).map(entry).collect()
    }

    #[test]
    fn shots_are_drawn_for_each_class_and_the_same_seed_draws_the_same() {
        let paths = |seed| draw(entries(), 3, seed).into_iter().map(|entry| entry.path).collect::<Vec<_>>();
        assert_eq!(paths(1).len(), 6);
        assert_eq!(paths(1), paths(1));
        assert_ne!(paths(1), paths(2));
        assert_eq!(draw(entries(), 100, 0).len(), 20, "a class with fewer gives all that it has");
    }

    #[test]
    fn a_folder_without_classes_and_a_class_without_images_have_different_messages() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(classes(dir.path()), Err(BadFolder::NoClasses(_))));
        fs::create_dir(dir.path().join("nut")).unwrap();
        assert!(matches!(classes(dir.path()), Err(BadFolder::EmptyClass(_))));
        fs::create_dir(dir.path().join("nut/m8")).unwrap();
        fs::write(dir.path().join("nut/m8/1.JPG"), b"").unwrap();
        fs::write(dir.path().join("nut/m8/.2.jpg"), b"").unwrap();
        assert_eq!(classes(dir.path()).unwrap().len(), 1);
    }
}
