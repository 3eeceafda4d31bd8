//! A folder per class, as `train` and `evaluate` read it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::failure::Failure;
use super::output::by_ending;
use crate::watch::{NameKind, name_kind};
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
    /// Pictures, but none that can be read.
    #[error(
        "{} has only pictures of kinds that are not read ({passed_over}); convert them to JPEG or PNG, or remove it",
        .folder.display()
    )]
    OtherPictures { folder: PathBuf, passed_over: String },
    /// Nothing to embed.
    #[error("no pictures below {}; name a folder that has some", .0.display())]
    NoPictures(PathBuf),
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

/// Pictures that are not read, by the endings of their names.
pub type PassedOver = BTreeMap<&'static str, u64>;

/// What lies below a folder.
#[derive(Debug)]
pub struct Found<T> {
    /// Pictures by their names, in the order of paths.
    pub pictures: Vec<T>,
    /// Those of kinds that are not read.
    pub passed_over: PassedOver,
}

impl<T> Default for Found<T> {
    fn default() -> Self {
        Self { pictures: Vec::new(), passed_over: PassedOver::new() }
    }
}

/// Every picture below `dir` with the name of the first folder below it, and a warning of those that are not read.
///
/// # Errors
/// [`BadFolder`] when there are no classes, one of them is empty, or something cannot be listed.
pub fn classes(dir: &Path) -> Result<Found<Entry>, BadFolder> {
    let mut found = Found::default();
    for folder in list(dir)?.into_iter().filter(|path| path.is_dir()) {
        let Some(name) = folder.file_name().and_then(|name| name.to_str()) else {
            return Err(BadFolder::NotText(folder));
        };
        let label = Label::new(name).map_err(|source| BadFolder::BadName { folder: folder.clone(), source })?;
        let mut of_class = Found::default();
        find(&folder, &mut of_class)?;
        if of_class.pictures.is_empty() {
            return Err(match by_ending(&of_class.passed_over) {
                passed_over if passed_over.is_empty() => BadFolder::EmptyClass(folder),
                passed_over => BadFolder::OtherPictures { folder, passed_over },
            });
        }
        found.pictures.extend(of_class.pictures.into_iter().map(|path| Entry { path, label: label.clone() }));
        merge(&mut found.passed_over, of_class.passed_over);
    }
    if found.pictures.is_empty() {
        return Err(BadFolder::NoClasses(dir.to_owned()));
    }
    warn_of(dir, &found.passed_over);
    Ok(found)
}

/// Every picture below `dir`, and a warning of those that are not read; hidden files and folders are skipped.
///
/// # Errors
/// [`BadFolder::Unreadable`] when a folder cannot be listed, [`BadFolder::NoPictures`] and
/// [`BadFolder::OtherPictures`] when there is nothing that can be read.
pub fn pictures(dir: &Path) -> Result<Found<PathBuf>, BadFolder> {
    let mut found = Found::default();
    find(dir, &mut found)?;
    if found.pictures.is_empty() {
        return Err(match by_ending(&found.passed_over) {
            passed_over if passed_over.is_empty() => BadFolder::NoPictures(dir.to_owned()),
            passed_over => BadFolder::OtherPictures { folder: dir.to_owned(), passed_over },
        });
    }
    warn_of(dir, &found.passed_over);
    Ok(found)
}

/// Adds the pictures of `entries` to counts by the endings of their names.
pub fn count_endings(entries: &[Entry], counts: &mut BTreeMap<String, u64>) {
    for ending in entries.iter().filter_map(|entry| entry.path.extension()) {
        *counts.entry(ending.to_string_lossy().to_lowercase()).or_default() += 1;
    }
}

/// Adds the counts of `more`.
pub fn merge(counts: &mut PassedOver, more: PassedOver) {
    for (ending, count) in more {
        *counts.entry(ending).or_default() += count;
    }
}

fn find(folder: &Path, found: &mut Found<PathBuf>) -> Result<(), BadFolder> {
    for path in list(folder)? {
        // A link to a folder is skipped: it may lead back up.
        if path.is_dir() && !path.is_symlink() {
            find(&path, found)?;
            continue;
        }
        match name_kind(&path) {
            NameKind::Image => found.pictures.push(path),
            NameKind::OtherPicture(ending) => *found.passed_over.entry(ending).or_default() += 1,
            NameKind::Other => {}
        }
    }
    Ok(())
}

fn warn_of(dir: &Path, passed_over: &PassedOver) {
    if !passed_over.is_empty() {
        tracing::warn!(
            folder = %dir.display(),
            pictures = by_ending(passed_over),
            "pictures of kinds that are not read are passed over; convert them to JPEG or PNG"
        );
    }
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
        assert_eq!(classes(dir.path()).unwrap().pictures.len(), 1);
    }

    #[test]
    fn pictures_that_are_not_read_are_counted_by_their_endings() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("nut")).unwrap();
        let write = |name: &str| fs::write(dir.path().join(name), b"").unwrap();
        write("nut/1.tif");
        write("nut/2.TIF");
        write("nut/notes.txt");
        let bad = classes(dir.path()).unwrap_err().to_string();
        assert!(bad.contains("nut has only pictures of kinds that are not read (2 .tif); convert"), "{bad}");
        assert!(pictures(dir.path()).unwrap_err().to_string().contains("(2 .tif)"));
        write("nut/3.jfif");
        write("nut/4.heic");
        let found = classes(dir.path()).unwrap();
        assert_eq!((found.pictures.len(), found.passed_over), (1, BTreeMap::from([("heic", 1), ("tif", 2)])));
        assert_eq!(pictures(dir.path()).unwrap().pictures.len(), 1);
    }
}
