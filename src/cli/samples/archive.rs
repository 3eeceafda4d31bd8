//! The pictures in a `.tar`, by the SHA-256 of their bytes. An archive may come from anywhere: nothing of it is written,
//! links are not followed, and what is read into memory of a member is bounded.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use tar::{Archive, Entry, EntryType, PaxExtensions};

use super::class_folders::{Meaning, Pictures, meaning, wrong};
use super::file::{self, LeftOut};
use crate::cli::failure::Failure;
use crate::image::Limits;
use crate::words::{Digest, SampleId};

/// Members of an archive; more pictures than a device stores.
const MEMBERS_MAX: u64 = 1_000_000;

/// Bytes of a member's path, or of all that is said of it.
const SAID_MAX: u64 = 64 << 10;

/// Bytes of a `metadata.csv`.
const METADATA_BYTES_MAX: u64 = 64 << 20;

/// The pictures in the archive at `path`.
pub fn pictures(path: &Path) -> Result<Pictures, Failure> {
    let file = File::open(path).map_err(|error| file::unreadable(path, &error))?;
    let size = file.metadata().map_err(|error| file::unreadable(path, &error))?.len();
    read(BufReader::new(file), size).map_err(|reason| file::refused(path, &reason))
}

/// What the members before a member say of it.
#[derive(Default)]
struct Said {
    path: Option<PathBuf>,
    /// Its bytes are not a file's as they are.
    is_sparse: bool,
}

fn read(from: impl Read + Seek, size: u64) -> Result<Pictures, String> {
    let mut archive = Archive::new(from);
    let mut pictures = Pictures::default();
    let mut said = Said::default();
    // Raw: what describes the next member is read below, and not into memory whatever its size.
    let members = archive.entries_with_seek().map_err(|error| damaged(&error))?.raw(true);
    let mut place = 0;
    for member in members {
        let member = member.map_err(|error| damaged(&error))?;
        place += 1;
        if place > MEMBERS_MAX {
            return Err(format!("it has more than {MEMBERS_MAX} members; divide it"));
        }
        if member.raw_file_position().checked_add(member.size()).is_none_or(|end| end > size) {
            return Err(format!("it ends in the middle of member {place}; copy it again"));
        }
        match member.header().entry_type() {
            EntryType::GNULongName => said.path = Some(long_name(member)?),
            EntryType::XHeader => said = extended(member, said)?,
            EntryType::GNULongLink | EntryType::XGlobalHeader => {}
            kind => {
                let said = std::mem::take(&mut said);
                look_at(member, kind, said, place, &mut pictures)?;
            }
        }
    }
    if place == 0 {
        return Err("it has no members; expected an archive of pictures that 'tar -cf' makes".into());
    }
    Ok(pictures)
}

fn damaged(error: &io::Error) -> String {
    format!("{error}; expected a .tar that is whole and not compressed ('gunzip', 'xz -d')")
}

/// What is said of the next member, of at most [`SAID_MAX`] bytes.
fn said_by(member: Entry<'_, impl Read>) -> Result<Vec<u8>, String> {
    if member.size() > SAID_MAX {
        return Err(format!("what it says of a member has more than {SAID_MAX} bytes; make it again with 'tar -cf'"));
    }
    let mut bytes = Vec::new();
    member.take(SAID_MAX).read_to_end(&mut bytes).map_err(|error| damaged(&error))?;
    Ok(bytes)
}

fn long_name(member: Entry<'_, impl Read>) -> Result<PathBuf, String> {
    let bytes = said_by(member)?;
    let bytes = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    Ok(OsStr::from_bytes(bytes).into())
}

fn extended(member: Entry<'_, impl Read>, mut said: Said) -> Result<Said, String> {
    let bytes = said_by(member)?;
    for extension in PaxExtensions::new(&bytes) {
        let extension = extension.map_err(|error| damaged(&error))?;
        match extension.key_bytes() {
            b"path" => said.path = Some(OsStr::from_bytes(extension.value_bytes()).into()),
            // Where the next member begins would depend on it.
            b"size" => return Err("a member has 8 GiB or more; leave it out".into()),
            key => said.is_sparse |= key.starts_with(b"GNU.sparse."),
        }
    }
    Ok(said)
}

fn look_at(
    mut member: Entry<'_, impl Read>,
    kind: EntryType,
    said: Said,
    place: u64,
    pictures: &mut Pictures,
) -> Result<(), String> {
    if kind.is_dir() {
        return Ok(());
    }
    let path = match said.path {
        Some(path) => path,
        None => member.path().map_err(|error| damaged(&error))?.into_owned(),
    };
    let shown = path.to_string_lossy().into_owned();
    let bytes_max = Limits::default().bytes as u64;
    let reason = match meaning(&path) {
        Meaning::Wrong(reason) => {
            pictures.wrong.push(wrong(place, &shown, &reason));
            return Ok(());
        }
        _ if !matches!(kind, EntryType::Regular | EntryType::Continuous) || said.is_sparse => {
            "it is a link or a device, not a file with bytes of its own"
        }
        Meaning::Metadata if member.size() <= METADATA_BYTES_MAX => {
            let mut bytes = Vec::new();
            member.read_to_end(&mut bytes).map_err(|error| damaged(&error))?;
            pictures.metadata = Some(bytes);
            return Ok(());
        }
        Meaning::Picture(name) if member.size() <= bytes_max => {
            let id = hashed(&mut member).map_err(|error| damaged(&error))?;
            pictures.found.push((name, place, id));
            return Ok(());
        }
        Meaning::Metadata | Meaning::Picture(_) => "it has more than 64 MiB, which no picture that is read has",
        Meaning::LeftOut(reason) => reason,
    };
    pictures.left_out.push(LeftOut { name: shown, reason: reason.into() });
    Ok(())
}

fn hashed(member: &mut impl Read) -> io::Result<SampleId> {
    let mut hash = Sha256::new();
    let mut bytes = vec![0; 64 << 10];
    loop {
        match member.read(&mut bytes)? {
            0 => return Ok(SampleId(Digest(hash.finalize().into()))),
            read => hash.update(&bytes[..read]),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use tar::{Builder, Header};

    use super::*;

    fn header(kind: EntryType, size: u64) -> Header {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_mode(0o644);
        header
    }

    /// A member whose path is written as it is, whatever it is.
    fn member(archive: &mut Builder<Vec<u8>>, path: &str, kind: EntryType, bytes: &[u8]) {
        let mut header = header(kind, bytes.len() as u64);
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_cksum();
        archive.append(&header, bytes).unwrap();
    }

    fn read_back(bytes: &[u8]) -> Result<Pictures, String> {
        read(Cursor::new(bytes), bytes.len() as u64)
    }

    #[test]
    fn pictures_are_found_by_their_bytes_whatever_else_is_there() {
        let mut archive = Builder::new(Vec::new());
        member(&mut archive, "./", EntryType::Directory, b"");
        member(&mut archive, "./nut/1.jpg", EntryType::Regular, b"one");
        member(&mut archive, "nut/2.jpg", EntryType::Symlink, b"");
        member(&mut archive, "nut/3.jpg", EntryType::Link, b"");
        member(&mut archive, "nut/4.jpg", EntryType::Fifo, b"");
        member(&mut archive, "nut/notes.txt", EntryType::Regular, b"notes");
        member(&mut archive, "metadata.csv", EntryType::Regular, b"list");
        let long = format!("späte Mutter/{}.png", "x".repeat(200));
        archive.append_data(&mut header(EntryType::Regular, 3), &long, &b"two"[..]).unwrap();
        let pax: &[(&str, &[u8])] = &[("path", "pax/ä.webp".as_bytes()), ("mtime", b"1.5")];
        archive.append_pax_extensions(pax.iter().copied()).unwrap();
        member(&mut archive, "pax/_.webp", EntryType::Regular, b"three");
        let bytes = archive.into_inner().unwrap();
        let read = read_back(&bytes).unwrap();
        let found: Vec<_> = read.found.iter().map(|(name, place, id)| (name.as_str(), *place, *id)).collect();
        let expected = [
            ("nut/1.jpg", 2, SampleId::of(b"one")),
            (&long, 9, SampleId::of(b"two")),
            ("pax/ä.webp", 11, SampleId::of(b"three")),
        ];
        assert_eq!(found, expected);
        assert_eq!(read.metadata.as_deref(), Some(&b"list"[..]));
        assert!(read.wrong.is_empty() && read.left_out.len() == 4, "{:?}", read.left_out);
        assert!(read.left_out[..3].iter().all(|left| left.reason.contains("link")), "{:?}", read.left_out);
    }

    #[test]
    fn hostile_archives_are_refused_or_what_is_hostile_is_named() {
        let of = |fill: &dyn Fn(&mut Builder<Vec<u8>>)| {
            let mut archive = Builder::new(Vec::new());
            fill(&mut archive);
            archive.into_inner().unwrap()
        };
        for path in ["/etc/1.jpg", "../1.jpg", "nut/../../1.jpg"] {
            let read = read_back(&of(&|archive| member(archive, path, EntryType::Regular, b"1"))).unwrap();
            assert!(read.found.is_empty() && read.wrong.len() == 1, "{path}");
            assert!(read.wrong[0].reason.contains("leads out"), "{:?}", read.wrong);
        }
        // Members that claim more than there is: a picture, what is said of one, and a number that overflows.
        for (kind, size) in [
            (EntryType::Regular, 1 << 40),
            (EntryType::GNULongName, 1 << 40),
            (EntryType::XHeader, 1 << 40),
            (EntryType::Regular, u64::MAX - 511),
            (EntryType::GNUSparse, 1 << 40),
        ] {
            let mut header = header(kind, size);
            header.set_path("nut/1.jpg").unwrap();
            header.set_cksum();
            let refused = read_back(header.as_bytes()).unwrap_err();
            assert!(refused.contains("in the middle") || refused.contains("overflow"), "{refused}");
        }
        let long = of(&|archive| member(archive, "x", EntryType::GNULongName, &vec![b'x'; SAID_MAX as usize + 1]));
        assert!(read_back(&long).unwrap_err().contains("more than 65536 bytes"));
        let size = of(&|archive| archive.append_pax_extensions([("size", &b"1"[..])]).unwrap());
        assert!(read_back(&size).unwrap_err().contains("8 GiB"));
        for bytes in [&b""[..], &[0; 1024], b"\x1f\x8b", &[7; 5000]] {
            assert!(read_back(bytes).is_err(), "{} bytes", bytes.len());
        }
    }

    #[test]
    fn a_picture_of_more_bytes_than_are_read_is_not_hashed() {
        let limit = Limits::default().bytes as u64;
        let mut archive = Vec::new();
        for (name, size) in [("nut/1.jpg", limit + 1), ("nut/2.jpg", 1)] {
            let mut header = header(EntryType::Regular, size);
            header.set_path(name).unwrap();
            header.set_cksum();
            archive.extend(header.as_bytes());
            archive.resize(archive.len() + size.next_multiple_of(512) as usize, 0);
        }
        let read = read_back(&archive).unwrap();
        assert_eq!((read.found.len(), read.found[0].2), (1, SampleId::of(&[0])));
        assert!(read.left_out.len() == 1 && read.left_out[0].reason.contains("64 MiB"), "{:?}", read.left_out);
    }

    #[test]
    fn an_archive_that_is_cut_or_damaged_anywhere_ends_nothing() {
        let mut archive = Builder::new(Vec::new());
        let long = format!("nut/{}.jpg", "x".repeat(120));
        archive.append_data(&mut header(EntryType::Regular, 700), &long, &[1; 700][..]).unwrap();
        archive.append_pax_extensions([("path", &b"nut/2.jpg"[..])]).unwrap();
        member(&mut archive, "nut/_.jpg", EntryType::Regular, b"2");
        let whole = archive.into_inner().unwrap();
        let (mut refused, mut fewer) = (0, 0);
        for place in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[place] ^= 0xff;
            match read_back(&damaged) {
                Err(_) => refused += 1,
                Ok(read) => fewer += usize::from(read.found.len() + read.wrong.len() + read.left_out.len() < 2),
            }
            let _ = read_back(&whole[..place]);
        }
        assert!(refused > 1_000 && fewer == 0, "{refused} refused, {fewer} lost a member");
        assert!(read_back(&whole[..1_600]).unwrap_err().contains("in the middle"));
    }
}
