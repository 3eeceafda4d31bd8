//! Whether the log beside the database is one that `SQLite` will read.
//!
//! `SQLite` takes a log whose header or first frame it does not know for an empty one, and overwrites it: what was
//! committed last would be lost silently. So a log is checked before the database is opened. What a power cut
//! leaves is no damage: a frame that was being written belongs to a commit that was not reported, and
//! frames of a former round of the log stay behind the present ones.
//!
//! The layout is `SQLite`'s, "WAL-mode File Format": a header of 32 bytes, then frames of 24 bytes and one page each;
//! every checksum continues the one before it.

use std::fs;
use std::io;
use std::path::Path;

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
/// The magic number; its last bit says that checksums are computed of big-endian words.
const MAGIC: u32 = 0x377f_0682;
const VERSION: u32 = 3_007_000;
/// Bytes of the smallest page.
const PAGE_MIN: usize = 512;
/// The first salt grows by one with each round of the log, so frames of the rounds before are this close below it.
const ROUNDS: u32 = 1 << 16;
/// So many frames of the first transaction after the header may have been on their way when the power was cut, with
/// anything in their place afterwards.
const FRAMES_TORN_MAX: usize = 64;

/// What is wrong with the log at `path`; `None` where nothing is, or where there is none.
///
/// # Errors
/// Those of reading it.
pub(super) fn damage(path: &Path) -> io::Result<Option<&'static str>> {
    match fs::read(path) {
        Ok(log) => Ok(damage_of(&log)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn damage_of(log: &[u8]) -> Option<&'static str> {
    // Created, and its header not synced yet, which is done before the first frame: nothing is in it, whatever the header
    // is.
    let header = log.get(..HEADER)?;
    if log.len() < HEADER + FRAME_HEADER + PAGE_MIN || header.iter().all(|byte| *byte == 0) {
        return None;
    }
    let Some(header) = Header::read(header) else {
        return Some("its header is not that of a log of SQLite");
    };
    let frames = || log[HEADER..].chunks_exact(FRAME_HEADER + header.page).map(|bytes| Frame { bytes, header });
    if frames().count() >= FRAMES_TORN_MAX && !frames().any(|frame| frame.belongs() || frame.is_left_over()) {
        return Some("its frames are not those of a log of SQLite");
    }
    let (mut checksum, mut frames) = (header.checksum, frames());
    frames.find(|frame| {
        let is_good = frame.belongs() && frame.follows(checksum);
        checksum = frame.checksum();
        !is_good
    })?;
    // A frame that was being written when the power was cut is the last that counts: its commit was not synced, so
    // none follows it. Two commits in one row after it are of a log that was whole once.
    let mut commits = 0;
    for frame in frames {
        if !(frame.belongs() && frame.follows(checksum)) {
            commits = 0;
        } else if frame.is_commit() {
            commits += 1;
        }
        checksum = frame.checksum();
        if commits == 2 {
            return Some("a frame in it is damaged, and commits follow it");
        }
    }
    None
}

#[derive(Debug, Clone, Copy)]
struct Header {
    big_endian: bool,
    page: usize,
    salts: [u32; 2],
    checksum: [u32; 2],
}

impl Header {
    fn read(bytes: &[u8]) -> Option<Self> {
        let magic = word(bytes, 0);
        let page = word(bytes, 8) as usize;
        let header = Self {
            big_endian: magic & 1 == 1,
            page,
            salts: [word(bytes, 16), word(bytes, 20)],
            checksum: [word(bytes, 24), word(bytes, 28)],
        };
        let known = magic & !1 == MAGIC && word(bytes, 4) == VERSION && page.is_power_of_two();
        let whole = (PAGE_MIN..=65_536).contains(&page) && header.sum([0, 0], &bytes[..24]) == header.checksum;
        (known && whole).then_some(header)
    }

    /// Continues a checksum over `bytes`, a multiple of 8.
    fn sum(&self, [mut a, mut b]: [u32; 2], bytes: &[u8]) -> [u32; 2] {
        for pair in bytes.chunks_exact(8) {
            let (x, y) = if self.big_endian {
                (word(pair, 0), word(pair, 4))
            } else {
                (word(pair, 0).swap_bytes(), word(pair, 4).swap_bytes())
            };
            a = a.wrapping_add(x).wrapping_add(b);
            b = b.wrapping_add(y).wrapping_add(a);
        }
        [a, b]
    }
}

struct Frame<'a> {
    bytes: &'a [u8],
    header: Header,
}

impl Frame<'_> {
    /// Whether it is of the round that the header begins.
    fn belongs(&self) -> bool {
        [word(self.bytes, 8), word(self.bytes, 12)] == self.header.salts
    }

    /// Whether its checksum continues `before`.
    fn follows(&self, before: [u32; 2]) -> bool {
        let sum = self.header.sum(before, &self.bytes[..8]);
        self.header.sum(sum, &self.bytes[FRAME_HEADER..]) == self.checksum()
    }

    fn checksum(&self) -> [u32; 2] {
        [word(self.bytes, 16), word(self.bytes, 20)]
    }

    /// Whether a transaction ends with it: then it has the number of pages of the database.
    fn is_commit(&self) -> bool {
        word(self.bytes, 4) != 0
    }

    /// Whether it is of a former round, or was never written.
    fn is_left_over(&self) -> bool {
        let rounds_ago = self.header.salts[0].wrapping_sub(word(self.bytes, 8));
        rounds_ago <= ROUNDS || self.bytes[..FRAME_HEADER].iter().all(|byte| *byte == 0)
    }
}

/// The big-endian word at `at`.
fn word(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].iter().fold(0, |word, byte| word << 8 | u32::from(*byte))
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    /// A log of `commits` transactions that `SQLite` wrote, after one former round.
    fn log(commits: u32) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("it.db");
        let database = Connection::open(&file).unwrap();
        let insert = |text: String| database.execute("INSERT INTO t VALUES (?1)", [text]).unwrap();
        database.execute_batch("PRAGMA journal_mode=wal; PRAGMA synchronous=full; CREATE TABLE t (x)").unwrap();
        for row in 0..40 {
            insert(format!("former {row} {}", "x".repeat(3000)));
        }
        database.query_row("PRAGMA wal_checkpoint(RESTART)", [], |_| Ok(())).unwrap();
        for row in 0..commits {
            insert(format!("row {row}"));
        }
        fs::read(file.with_extension("db-wal")).unwrap()
    }

    #[test]
    fn logs_of_sqlite_are_whole_also_with_a_former_round_behind_them() {
        for commits in [0, 1, 2, 9] {
            assert_eq!(damage_of(&log(commits)), None, "{commits} commits");
        }
        for nothing in [&[][..], &[0; 32], &[0xa5; 32], &[0; 9_000]] {
            assert_eq!(damage_of(nothing), None);
        }
    }

    #[test]
    fn every_cut_of_a_log_is_what_a_power_cut_may_leave() {
        let log = log(5);
        for end in (0..log.len()).step_by(97) {
            // The header is within one sector: all of it or nothing.
            if !(1..HEADER).contains(&end) {
                assert_eq!(damage_of(&log[..end]), None, "{end} bytes");
            }
            let mut torn = log.clone();
            torn[end.max(HEADER)..].fill(0);
            assert_eq!(damage_of(&torn), None, "zeros from {end}");
        }
        // A file system may have made the file longer and not written it: anything is there.
        let mut torn = log[..HEADER].to_vec();
        torn.resize(HEADER + 30 * (FRAME_HEADER + 4096), 0xa5);
        assert_eq!(damage_of(&torn), None);
        // The last transaction was being written.
        let (header, frame) = (Header::read(&log[..HEADER]).unwrap(), 5 - 1);
        let mut torn = log;
        torn[HEADER + frame * (FRAME_HEADER + header.page) + 200] ^= 1;
        assert_eq!(damage_of(&torn), None);
    }

    #[test]
    fn noise_is_found_wherever_it_begins() {
        let whole = log(5);
        let noise = |index: usize| (index as u32).wrapping_mul(2_654_435_761).to_be_bytes()[0];
        for begin in [0, 4, 12, 25, HEADER, HEADER + 8] {
            let mut log = whole.clone();
            log.iter_mut().enumerate().skip(begin).for_each(|(index, byte)| *byte = noise(index));
            assert!(damage_of(&log).is_some(), "noise from byte {begin}");
        }
        let mut log = whole.clone();
        log[HEADER + FRAME_HEADER + 100] ^= 1;
        assert_eq!(damage_of(&log), Some("a frame in it is damaged, and commits follow it"));
    }
}
