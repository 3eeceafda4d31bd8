//! The pictures of samples, in a folder for each class or beside a list of labels, as a .tar or as a folder.
//!
//! The same store gives the same bytes: pictures are in the order of their names, called by the start of their SHA-256.

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::export::Export;
use super::file::LeftOut;
use super::format;
use crate::cli::failure::{Failure, whence};
use crate::cli::output::Output;
use crate::image::{Limits, ending_of};
use crate::shared::files::living;
use crate::store::files::{NewFile, NewFolder};
use crate::store::{Reader, StoreError};
use crate::wire::SampleEntry;
use crate::words::{Label, Timestamp};

/// The folder of pictures without a label; no class may be called so where folders are classes.
pub const UNLABELLED: &str = "unlabelled";

/// The list of labels of Hugging Face's `ImageFolder`.
pub const METADATA: &str = "metadata.csv";

/// Digits of its SHA-256 that a picture is called by.
const DIGITS: usize = 16;

/// Where the label of a picture stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// In the name of its folder.
    Classes,
    /// In `metadata.csv`. Folders have no names then that a reader could take for splits (`test`).
    Flat,
}

/// What was written.
pub struct Put {
    pub pictures: usize,
    /// Samples that were left out for want of a label.
    pub unlabelled: usize,
    /// Samples that were left out because they are excluded.
    pub excluded: usize,
    /// Pictures of which nobody has the bytes any more.
    pub left_out: Vec<LeftOut>,
}

/// Writes the pictures of `rows` to where `asked` says.
pub fn export(
    reader: &Reader,
    mut rows: Vec<SampleEntry>,
    asked: &Export,
    layout: Layout,
    output: Output,
) -> Result<Put, Failure> {
    let all = rows.len();
    rows.retain(|row| !row.excluded);
    let excluded = all - rows.len();
    rows.retain(|row| asked.unlabelled || row.label.is_some());
    let unlabelled = all - excluded - rows.len();
    if layout == Layout::Classes {
        fit_as_folders(&rows)?;
    }
    rows.sort_by(|one, other| (folder(one, layout), one.image).cmp(&(folder(other, layout), other.image)));
    let failed = |error: io::Error| {
        let out = asked.out.display();
        Failure::failed(format!(
            "cannot write {out}: {error}; check the folder, its owner and the free space on the disk"
        ))
    };
    let mut to = Destination::begin(asked).map_err(failed)?;
    let progress = output.progress(rows.len() as u64, "pictures");
    let mut metadata = csv::Writer::from_writer(Vec::new());
    metadata.write_record(["file_name", "label"]).map_err(|error| failed(error.into()))?;
    let mut put = Put { pictures: 0, unlabelled, excluded, left_out: Vec::new() };
    for row in &rows {
        progress.inc(1);
        let files = reader.files_of(&row.image)?;
        let Some((file, bytes)) = bytes_of(reader, row, &files)? else {
            let name = format!("{} ({})", row.image, whence(row.path.as_deref(), row.source.as_ref()));
            let reason = "no file of it has its bytes any more, and none are kept";
            put.left_out.push(LeftOut { name, reason: reason.into() });
            continue;
        };
        let name = name(row, &bytes, layout);
        to.put(&name, row.arrived_at, &bytes, file).map_err(failed)?;
        let label = row.label.as_ref().map_or("", Label::as_str);
        metadata.write_record([&name, label]).map_err(|error| failed(error.into()))?;
        put.pictures += 1;
    }
    progress.finish_and_clear();
    if layout == Layout::Flat {
        let metadata = metadata.into_inner().map_err(|error| failed(error.into_error()))?;
        to.put(METADATA, rows.iter().map(|row| row.arrived_at).max().unwrap_or_default(), &metadata, None)
            .map_err(failed)?;
    }
    to.end().map_err(failed)?;
    Ok(put)
}

/// Refuses classes that are no folder's name which is found again.
fn fit_as_folders(rows: &[SampleEntry]) -> Result<(), Failure> {
    let classes: BTreeSet<&Label> = rows.iter().filter_map(|row| row.label.as_ref()).collect();
    let bad = classes.into_iter().find(|class| class.as_str().starts_with('.') || class.as_str() == UNLABELLED);
    bad.map_or(Ok(()), |class| {
        Err(Failure::failed(format!(
            "class {class} cannot be the name of a folder of pictures: those with a dot in front are hidden, and {UNLABELLED} \
             holds the pictures without a label; rename it with 'edgetuned samples relabel', or give --format imagefolder"
        )))
    })
}

fn folder(row: &SampleEntry, layout: Layout) -> &str {
    match layout {
        Layout::Classes => row.label.as_ref().map_or(UNLABELLED, Label::as_str),
        Layout::Flat => "",
    }
}

/// `nut/2cf24dba5fb0a30e.jpg`, by what the bytes are.
fn name(row: &SampleEntry, bytes: &[u8], layout: Layout) -> String {
    let digits = &row.image.to_string()[..DIGITS];
    let file = format!("{digits}.{}", ending_of(bytes).unwrap_or("jpg"));
    match folder(row, layout) {
        "" => file,
        folder => format!("{folder}/{file}"),
    }
}

/// Bytes, and the file that has them; none of a frame.
type Living<'a> = (Option<&'a Path>, Vec<u8>);

/// The bytes of a sample, of a file or as they are kept of a frame.
fn bytes_of<'a>(reader: &Reader, row: &SampleEntry, files: &'a [PathBuf]) -> Result<Option<Living<'a>>, StoreError> {
    if let Some((file, bytes)) = living(&row.image, files, &Limits::default()) {
        return Ok(Some((Some(file), bytes)));
    }
    Ok(reader.picture(&row.image)?.map(|bytes| (None, bytes)))
}

/// What pictures are written to; nothing of it is at its place before [`Destination::end`].
enum Destination {
    Archive(tar::Builder<NewFile>),
    /// With whether files are linked in place of copied.
    Folder(NewFolder, bool),
}

impl Destination {
    fn begin(asked: &Export) -> io::Result<Self> {
        if format::is_archive(&asked.out) {
            return Ok(Self::Archive(tar::Builder::new(NewFile::begin(&asked.out)?)));
        }
        // Without the slash at its end.
        let path: PathBuf = asked.out.components().collect();
        if path.read_dir().map_or(path.symlink_metadata().is_ok(), |mut inside| inside.next().is_some()) {
            return Err(io::Error::other("it is there and not an empty folder, give another --out"));
        }
        NewFolder::begin(&path).map(|folder| Self::Folder(folder, asked.links))
    }

    /// Puts a file there; `file` has the same bytes.
    fn put(&mut self, name: &str, at: Timestamp, bytes: &[u8], file: Option<&Path>) -> io::Result<()> {
        match self {
            Self::Archive(archive) => {
                let mut header = tar::Header::new_gnu();
                header.set_size(bytes.len() as u64);
                header.set_mode(0o644);
                header.set_mtime(u64::try_from(at.0 / 1_000).unwrap_or(0));
                archive.append_data(&mut header, name, bytes)
            }
            Self::Folder(folder, links) => match file.filter(|_| *links) {
                Some(file) => folder.link(Path::new(name), file),
                None => folder.write(Path::new(name), bytes),
            },
        }
    }

    fn end(self) -> io::Result<()> {
        match self {
            Self::Archive(archive) => {
                let mut file = archive.into_inner()?;
                file.flush()?;
                file.put()
            }
            Self::Folder(folder, _) => folder.put(),
        }
    }
}
