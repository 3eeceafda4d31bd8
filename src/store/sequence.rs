//! The numbers of messages that were reserved, in a file of their own: `seq` never goes back, also where the database
//! is lost.
//!
//! The file has two places of [`PLACE`] bytes, each a line with a number and its checksum. A new number is written over
//! the smaller one, in place and synced: a power cut leaves the other one, and a full disk needs no room for it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::files;
use crate::words::Digest;

/// Bytes of a place: a sector, which a disk writes whole or not at all.
const PLACE: usize = 512;
/// Its name in the state folder.
pub(super) const FILE: &str = "seq";

/// The file, opened for writing.
#[derive(Debug)]
pub(super) struct Sequence {
    file: File,
    places: [u64; 2],
}

impl Sequence {
    /// Opens it in `folder`, and creates it where it is missing. A place that cannot be read counts as 0.
    ///
    /// # Errors
    /// Those of the file system.
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        let path = folder.join(FILE);
        if !path.exists() {
            files::write(&path, &[line(0), line(0)].concat())?;
        }
        let file = OpenOptions::new().read(true).write(true).open(&path)?;
        let mut places = [0; 2];
        for (index, place) in places.iter_mut().enumerate() {
            let mut bytes = [0; PLACE];
            if file.read_exact_at(&mut bytes, (index * PLACE) as u64).is_ok() {
                *place = number(&bytes).unwrap_or(0);
            }
        }
        Ok(Self { file, places })
    }

    /// Up to which number all are reserved.
    pub(super) fn reserved(&self) -> u64 {
        self.places[0].max(self.places[1])
    }

    /// Reserves the numbers up to `seq`; durable when this returns.
    ///
    /// # Errors
    /// Those of the file system; what was reserved before still is.
    pub(super) fn reserve(&mut self, seq: u64) -> io::Result<()> {
        if seq <= self.reserved() {
            return Ok(());
        }
        let smaller = usize::from(self.places[0] > self.places[1]);
        self.file.write_all_at(&line(seq), (smaller * PLACE) as u64)?;
        self.file.sync_data()?;
        self.places[smaller] = seq;
        Ok(())
    }
}

/// A place with `number`, for people to read as well.
fn line(number: u64) -> Vec<u8> {
    let text = number.to_string();
    let mut line = format!("{text} {}", Digest::of(text.as_bytes()).short()).into_bytes();
    line.resize(PLACE - 1, b' ');
    line.push(b'\n');
    line
}

/// The number in a place; nothing where it is half a line or of somebody else.
fn number(place: &[u8]) -> Option<u64> {
    let (number, check) = std::str::from_utf8(place).ok()?.trim_end().split_once(' ')?;
    (Digest::of(number.as_bytes()).short() == check).then(|| number.parse().ok())?
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn numbers_only_grow_and_outlive_a_torn_place() {
        let folder = tempfile::tempdir().unwrap();
        let mut sequence = Sequence::open(folder.path()).unwrap();
        assert_eq!(sequence.reserved(), 0);
        for seq in [7, 1_000_000, 3, 2_000_000] {
            sequence.reserve(seq).unwrap();
        }
        let path = folder.path().join(FILE);
        assert_eq!(Sequence::open(folder.path()).unwrap().reserved(), 2_000_000);
        let whole = fs::read(&path).unwrap();
        for (torn, left) in [(0, 1_000_000), (1, 2_000_000)] {
            for end in [0, 3, 30] {
                let newest = usize::from(sequence.places[1] == 2_000_000);
                let mut bytes = whole.clone();
                let place = if torn == 0 { newest } else { 1 - newest } * PLACE;
                bytes[place + end..place + PLACE].fill(0xff);
                fs::write(&path, &bytes).unwrap();
                assert_eq!(Sequence::open(folder.path()).unwrap().reserved(), left, "place {torn} torn at {end}");
            }
        }
        fs::write(&path, "short").unwrap();
        let mut again = Sequence::open(folder.path()).unwrap();
        assert_eq!(again.reserved(), 0);
        again.reserve(5).unwrap();
        assert_eq!(Sequence::open(folder.path()).unwrap().reserved(), 5);
    }
}
