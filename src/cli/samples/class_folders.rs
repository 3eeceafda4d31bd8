//! Labels that pictures have by their folders, or by a `metadata.csv` beside them: each picture is named by the SHA-256 of
//! its bytes. Nothing is unpacked or kept.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path};

use super::archive;
use super::file::{self, LabelLine, LeftOut, Read};
use super::format;
use super::pictures::{METADATA, UNLABELLED};
use crate::cli::dataset;
use crate::cli::failure::{Failure, LineProblem};
use crate::image::Limits;
use crate::shared::files::read_picture;
use crate::watch::{NameKind, name_kind};
use crate::words::{Label, SampleId};

/// What lies in an archive or a folder.
#[derive(Debug, Default)]
pub struct Pictures {
    /// By their paths in it, with their places there from 1.
    pub found: Vec<(String, u64, SampleId)>,
    /// The bytes of its `metadata.csv`.
    pub metadata: Option<Vec<u8>>,
    /// What is wrong with it.
    pub wrong: Vec<LineProblem>,
    /// What is not a picture that is read.
    pub left_out: Vec<LeftOut>,
}

/// What a path in an archive means.
#[derive(Debug, PartialEq, Eq)]
pub enum Meaning {
    Picture(String),
    Metadata,
    /// Nothing, for this reason.
    LeftOut(&'static str),
    /// It must not be there.
    Wrong(String),
}

/// What the member or file at this path, below the archive or folder, means.
pub fn meaning(path: &Path) -> Meaning {
    let mut parts = Vec::new();
    for part in path.components() {
        match part {
            Component::Normal(part) => match part.to_str() {
                Some(part) => parts.push(part),
                None => return Meaning::Wrong("its name is not UTF-8; rename it".into()),
            },
            Component::CurDir => {}
            _ => {
                return Meaning::Wrong(
                    "its path leads out of the archive; make that with 'tar -C FOLDER -cf labels.tar .'".into(),
                );
            }
        }
    }
    if parts == [METADATA] {
        return Meaning::Metadata;
    }
    if parts.iter().any(|part| part.starts_with('.')) {
        return Meaning::LeftOut("it is hidden");
    }
    match name_kind(path) {
        NameKind::Image => Meaning::Picture(parts.join("/")),
        NameKind::OtherPicture(_) => Meaning::LeftOut("it is a picture of a kind that is not read"),
        NameKind::Other => Meaning::LeftOut("its ending is not that of a picture"),
    }
}

/// The labels of the pictures in the archive or folder at `path`.
pub fn read(path: &Path) -> Result<Read, Failure> {
    let pictures = if format::is_archive(path) || path.is_file() { archive::pictures(path)? } else { in_folder(path)? };
    labels(pictures).map_err(|reason| file::refused(path, &reason))
}

fn in_folder(folder: &Path) -> Result<Pictures, Failure> {
    let mut pictures = Pictures::default();
    for (place, path) in (1..).zip(dataset::pictures(folder)?.pictures) {
        match meaning(path.strip_prefix(folder).unwrap_or(&path)) {
            Meaning::Picture(name) => {
                let picture = read_picture(&path, &Limits::default()).map_err(Failure::failed)?;
                pictures.found.push((name, place, picture.id));
            }
            Meaning::Wrong(reason) => pictures.wrong.push(wrong(place, &path.to_string_lossy(), &reason)),
            Meaning::Metadata | Meaning::LeftOut(_) => {}
        }
    }
    let metadata = folder.join(METADATA);
    pictures.metadata = metadata.is_file().then(|| file::bytes(&metadata)).transpose()?;
    Ok(pictures)
}

/// What is wrong with what an archive or folder calls `name`.
pub fn wrong(place: u64, name: &str, reason: &str) -> LineProblem {
    LineProblem { line: place, reason: format!("{name}: {reason}") }
}

fn labels(pictures: Pictures) -> Result<Read, String> {
    let Pictures { found, metadata, wrong: problems, left_out } = pictures;
    let mut listed = metadata.map(|bytes| by_metadata(&bytes)).transpose()?.unwrap_or_default();
    if listed.is_empty() {
        refuse_a_folder_around(&found)?;
    }
    let mut read = Read { wrong: problems, left_out, ..Read::default() };
    for (name, place, image) in found {
        let by_folder = name.split_once('/').map(|(folder, _)| folder.to_owned());
        let label = match (listed.remove(&name), by_folder) {
            (Some(label), _) if label.trim().is_empty() => Err("metadata.csv gives it no label"),
            (Some(label), _) => Ok(label),
            (None, Some(folder)) if folder == UNLABELLED => Err("it is in the folder of those without a label"),
            (None, Some(folder)) => Ok(folder),
            (None, None) => Err("it is in no folder of a class"),
        };
        match label.map(|label| Label::new(&label)) {
            Ok(Ok(label)) => {
                let image = image.to_string().parse().expect("digits of a SHA-256");
                read.lines.push(LabelLine { line: place, name: Some(name), task: None, image, label: Some(label) });
            }
            Ok(Err(bad)) => read.wrong.push(wrong(place, &name, &bad.to_string())),
            Err(reason) => read.left_out.push(LeftOut { name, reason: reason.into() }),
        }
    }
    let gone = |name| LeftOut { name, reason: "metadata.csv names it, and it is not there".into() };
    read.left_out.extend(listed.into_keys().map(gone));
    Ok(read)
}

/// Labels by the names of files.
fn by_metadata(bytes: &[u8]) -> Result<BTreeMap<String, String>, String> {
    let failed = |error: csv::Error| format!("its {METADATA}: {error}");
    let mut reader = csv::Reader::from_reader(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes));
    let header = reader.headers().map_err(failed)?.clone();
    let column = |wanted: &str| header.iter().position(|name| name.trim() == wanted);
    let (Some(file), Some(label)) = (column("file_name"), column("label")) else {
        return Err(format!("its {METADATA} needs the columns file_name and label; correct it or remove it"));
    };
    let mut labels = BTreeMap::new();
    for record in reader.records() {
        let record = record.map_err(failed)?;
        let name = record[file].trim_start_matches("./").to_owned();
        if let Some(other) = labels.insert(name, record[label].to_owned()).filter(|other| *other != record[label]) {
            return Err(format!("its {METADATA} gives {} two labels, {other} and {}", &record[file], &record[label]));
        }
    }
    Ok(labels)
}

/// Where one folder holds the folders of all classes, its name is no class.
fn refuse_a_folder_around(found: &[(String, u64, SampleId)]) -> Result<(), String> {
    let tops: BTreeSet<&str> = found.iter().filter_map(|(name, ..)| name.split('/').next()).collect();
    let is_around = found.iter().all(|(name, ..)| name.split('/').count() > 2);
    match tops.first() {
        Some(top) if tops.len() == 1 && is_around => Err(format!(
            "all pictures are in folders within {top}, whose name would be their class; if those are the classes, give \
             that folder, or an archive of what is in it ('tar -C {top} -cf labels.tar .'), else put the pictures into {top} \
             itself"
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_of(names: &[&str], metadata: Option<&str>) -> Result<Read, String> {
        let found = (1..).zip(names).map(|(place, name)| (String::from(*name), place, SampleId::of(name.as_bytes())));
        labels(Pictures { found: found.collect(), metadata: metadata.map(Into::into), ..Pictures::default() })
    }

    #[test]
    fn a_path_is_a_picture_or_says_why_not() {
        assert_eq!(meaning(Path::new("./nut/./1.JPG")), Meaning::Picture("nut/1.JPG".into()));
        assert_eq!(meaning(Path::new("./metadata.csv")), Meaning::Metadata);
        for path in ["nut/metadata.csv", "nut/._1.jpg", ".git/1.jpg", "nut/1.tif", "nut", ""] {
            assert!(matches!(meaning(Path::new(path)), Meaning::LeftOut(_)), "{path}");
        }
        for path in ["/etc/1.jpg", "../1.jpg", "nut/../../1.jpg", "nut/..", ".."] {
            assert!(matches!(meaning(Path::new(path)), Meaning::Wrong(_)), "{path}");
        }
    }

    #[test]
    fn the_list_of_labels_goes_before_folders_and_what_has_none_is_named() {
        let names = ["nut/1.jpg", "nut/m8/2.jpg", "gear/3.jpg", "unlabelled/4.jpg", "5.jpg", "a\\b/6.jpg", "nut/7.jpg"];
        let list = "label,file_name,more\ncog,./gear/3.jpg,\n,nut/7.jpg,\nnut,gone.jpg,\n";
        let read = read_of(&names, Some(list)).unwrap();
        let found: Vec<_> = read
            .lines
            .iter()
            .map(|line| (line.line, line.name.as_deref().unwrap(), line.label.as_ref().unwrap().as_str()))
            .collect();
        assert_eq!(found, [(1, "nut/1.jpg", "nut"), (2, "nut/m8/2.jpg", "nut"), (3, "gear/3.jpg", "cog")]);
        assert_eq!(read.lines[0].image.as_str(), SampleId::of(b"nut/1.jpg").to_string());
        let left: Vec<_> = read.left_out.iter().map(|left| left.name.as_str()).collect();
        assert_eq!(left, ["unlabelled/4.jpg", "5.jpg", "nut/7.jpg", "gone.jpg"]);
        assert!(read.wrong.len() == 1 && read.wrong[0].line == 6, "{:?}", read.wrong);
    }

    #[test]
    fn a_folder_around_all_classes_is_no_class() {
        let refused = read_of(&["set/nut/1.jpg", "set/gear/2.jpg"], None).unwrap_err();
        assert!(refused.contains("within set") && refused.contains("tar -C set"), "{refused}");
        assert!(read_of(&["nut/m8/1.jpg", "nut/2.jpg"], None).is_ok());
        assert!(read_of(&["nut/m8/1.jpg", "gear/m8/2.jpg"], None).is_ok());
        assert!(read_of(&["set/nut/1.jpg"], Some("file_name,label\nset/nut/1.jpg,nut\n")).is_ok());
        assert!(read_of(&[], None).is_ok());
        for list in ["file,label\n1.jpg,nut\n", "file_name,label\n1.jpg,nut\n1.jpg,gear\n", "file_name,label\n1.jpg\n"]
        {
            assert!(read_of(&["1.jpg"], Some(list)).unwrap_err().contains("metadata.csv"), "{list}");
        }
    }
}
