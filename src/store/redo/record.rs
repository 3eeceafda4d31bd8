//! How records lie in the file, and which of them count.
//!
//! The first sector says what the file is and is never written again. Each record begins at a sector of its own, so that
//! no sector of one that was acknowledged is written before the database has it. A record names its generation and its
//! place in it: those of an earlier generation, which the database has, are left behind it and count nothing.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::words::Digest;

/// What a disk writes whole or not at all.
pub(super) const SECTOR: usize = 512;
/// The first sector begins with this.
const MAGIC: [u8; 21] = *b"edgetuned redo log 1\n";
/// A payload with more bytes is so many images, or one so large, that the database may as well have it at once.
pub(super) const PAYLOAD_MAX: usize = 65_536;
/// Generation, place, length of the payload, and the SHA-256 of these and the payload.
const HEADER: usize = 8 + 4 + 4 + 32;

/// The first sector of the file.
pub(super) fn first_sector() -> Vec<u8> {
    let mut sector = MAGIC.to_vec();
    sector.resize(SECTOR, 0);
    sector
}

/// A record as it lies in the file: whole sectors.
pub(super) fn seal(generation: u64, place: u32, payload: &[u8]) -> Vec<u8> {
    let mut record = head(generation, place, payload.len() as u32).to_vec();
    record.extend(checksum(&record, payload).0);
    record.extend(payload);
    record.resize(record.len().next_multiple_of(SECTOR), 0);
    record
}

/// What was read of a file.
#[derive(Debug)]
pub(super) enum Found {
    /// Where each record of the generation begins, with the length of its payload, in their order.
    Records(Vec<(u64, u32)>),
    /// What is wrong with the file.
    Damage(&'static str),
}

/// The records of this generation.
///
/// The last record may be torn: it was being written when the power was cut, and was not acknowledged. One before the
/// last may not.
pub(super) fn find(file: &File, generation: u64) -> io::Result<Found> {
    let length = file.metadata()?.len();
    let mut first = [0; MAGIC.len()];
    if length < SECTOR as u64 || file.read_exact_at(&mut first, 0).map(|()| first != MAGIC)? {
        return Ok(Found::Damage("it does not begin as a redo log of this version does"));
    }
    let (mut found, mut at) = (Vec::new(), SECTOR as u64);
    while let Some((place, payload)) = read(file, length, at, generation)?
        && place as usize == found.len()
    {
        found.push((at, payload.len() as u32));
        at = end((at, payload.len() as u32));
    }
    while at < length {
        if read(file, length, at, generation)?.is_some_and(|(place, _)| place as usize >= found.len()) {
            return Ok(Found::Damage("a record in it is damaged, and others follow it"));
        }
        at += SECTOR as u64;
    }
    Ok(Found::Records(found))
}

/// The payload of a record that was found.
pub(super) fn payload(file: &File, (at, length): (u64, u32)) -> io::Result<Vec<u8>> {
    let mut payload = vec![0; length as usize];
    file.read_exact_at(&mut payload, at + HEADER as u64)?;
    Ok(payload)
}

/// Where the next record begins.
pub(super) fn end((at, length): (u64, u32)) -> u64 {
    at + (HEADER + length as usize).next_multiple_of(SECTOR) as u64
}

/// Place and payload of the whole record of this generation that begins at `at`.
fn read(file: &File, length: u64, at: u64, generation: u64) -> io::Result<Option<(u32, Vec<u8>)>> {
    let mut header = [0; HEADER];
    if at + HEADER as u64 > length {
        return Ok(None);
    }
    file.read_exact_at(&mut header, at)?;
    let (head, sum) = header.split_at(HEADER - 32);
    let number = |from: usize| u32::from_le_bytes([head[from], head[from + 1], head[from + 2], head[from + 3]]);
    let ends = at + HEADER as u64 + u64::from(number(12));
    if head[..8] != generation.to_le_bytes() || number(12) as usize > PAYLOAD_MAX || ends > length {
        return Ok(None);
    }
    let payload = payload(file, (at, number(12)))?;
    Ok((checksum(head, &payload).0 == sum).then(|| (number(8), payload)))
}

fn head(generation: u64, place: u32, length: u32) -> [u8; HEADER - 32] {
    let mut head = [0; HEADER - 32];
    head[..8].copy_from_slice(&generation.to_le_bytes());
    head[8..12].copy_from_slice(&place.to_le_bytes());
    head[12..].copy_from_slice(&length.to_le_bytes());
    head
}

fn checksum(head: &[u8], payload: &[u8]) -> Digest {
    Digest::of(&[head, payload].concat())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// What is in two generations, the later one shorter.
    fn two_generations() -> Vec<u8> {
        let former: Vec<u8> = (0..6).flat_map(|place| seal(7, place, &[place as u8; 900])).collect();
        let present: Vec<u8> = (0..3).flat_map(|place| seal(8, place, &[place as u8; 700])).collect();
        let mut bytes = [first_sector(), former].concat();
        bytes[SECTOR..SECTOR + present.len()].copy_from_slice(&present);
        bytes
    }

    /// The payloads in a file with these bytes.
    fn payloads(bytes: &[u8], generation: u64) -> Result<Vec<Vec<u8>>, &'static str> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        match find(&file, generation).unwrap() {
            Found::Records(found) => Ok(found.into_iter().map(|record| payload(&file, record).unwrap()).collect()),
            Found::Damage(damage) => Err(damage),
        }
    }

    #[test]
    fn records_of_an_earlier_generation_count_nothing() {
        let bytes = two_generations();
        assert_eq!(payloads(&bytes, 8), Ok(vec![vec![0; 700], vec![1; 700], vec![2; 700]]));
        assert_eq!(payloads(&bytes, 9), Ok(vec![]));
        assert_eq!(payloads(&first_sector(), 1), Ok(vec![]));
    }

    #[test]
    fn the_last_record_may_be_torn_and_no_other() {
        let whole = two_generations();
        for sector in 1..=6 {
            for within in [0, 60, 511] {
                let mut torn = whole.clone();
                torn[sector * SECTOR + within] ^= 0x10;
                let found = payloads(&torn, 8);
                match sector {
                    // The rest of the last sector of a record is filled up and says nothing.
                    2 | 4 | 6 if within == 511 => assert_eq!(found.unwrap().len(), 3),
                    5 | 6 => assert_eq!(found.unwrap().len(), 2),
                    _ => assert!(found.unwrap_err().contains("others follow it"), "sector {sector}, byte {within}"),
                }
            }
        }
    }

    #[test]
    fn a_file_of_something_else_is_refused() {
        let mut other = two_generations();
        other[3] = b'x';
        assert!(payloads(&other, 8).is_err());
        assert!(payloads(b"", 8).is_err());
    }
}
