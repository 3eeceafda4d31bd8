//! How records lie in the file, and which of them count.
//!
//! The first sector says what the file is and is never written again. Each record begins at a sector of its own, so that
//! no sector of one that was acknowledged is written before the database has it. A record names its generation and its
//! place in it: those of an earlier generation, which the database has, are left behind it and count nothing.

use crate::words::Digest;

/// What a disk writes whole or not at all.
pub(super) const SECTOR: usize = 512;
/// The first sector begins with this.
const MAGIC: &[u8] = b"edgetuned redo log 1\n";
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

/// The payloads of this generation, in their order.
///
/// # Errors
/// What is wrong with the file. The last record may be torn: it was being written when the power was cut, and was not
/// acknowledged. One before the last may not.
pub(super) fn payloads(file: &[u8], generation: u64) -> Result<Vec<&[u8]>, &'static str> {
    if !file.starts_with(MAGIC) {
        return Err("it does not begin as a redo log of this version does");
    }
    let (mut found, mut at) = (Vec::new(), SECTOR);
    while let Some((place, payload)) = record_at(file, at, generation)
        && place as usize == found.len()
    {
        found.push(payload);
        at += (HEADER + payload.len()).next_multiple_of(SECTOR);
    }
    let later = (at..file.len()).step_by(SECTOR).filter_map(|at| record_at(file, at, generation));
    for (place, _) in later {
        if place as usize >= found.len() {
            return Err("a record in it is damaged, and others follow it");
        }
    }
    Ok(found)
}

/// The whole record of this generation that begins at `at`.
fn record_at(file: &[u8], at: usize, generation: u64) -> Option<(u32, &[u8])> {
    let (header, rest) = file.get(at..)?.split_at_checked(HEADER)?;
    let (head, sum) = header.split_at(HEADER - 32);
    if head[..8] != generation.to_le_bytes() {
        return None;
    }
    let number = |from: usize| u32::from_le_bytes([head[from], head[from + 1], head[from + 2], head[from + 3]]);
    let payload = rest.get(..usize::try_from(number(12)).ok()?)?;
    (checksum(head, payload).0 == sum).then_some((number(8), payload))
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
    use super::*;

    /// A file of two generations, the later one shorter.
    fn file() -> Vec<u8> {
        let former: Vec<u8> = (0..6).flat_map(|place| seal(7, place, &[place as u8; 900])).collect();
        let present: Vec<u8> = (0..3).flat_map(|place| seal(8, place, &[place as u8; 700])).collect();
        let mut file = [first_sector(), former].concat();
        file[SECTOR..SECTOR + present.len()].copy_from_slice(&present);
        file
    }

    #[test]
    fn records_of_an_earlier_generation_count_nothing() {
        let file = file();
        assert_eq!(payloads(&file, 8), Ok(vec![&[0; 700][..], &[1; 700], &[2; 700]]));
        assert_eq!(payloads(&file, 9), Ok(vec![]));
        assert_eq!(payloads(&first_sector(), 1), Ok(vec![]));
    }

    #[test]
    fn the_last_record_may_be_torn_and_no_other() {
        let whole = file();
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
        let mut other = file();
        other[3] = b'x';
        assert!(payloads(&other, 8).is_err());
        assert!(payloads(b"", 8).is_err());
    }
}
