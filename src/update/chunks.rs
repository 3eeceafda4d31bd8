//! Which chunks of a file have arrived, and which to request next.

use super::manifest::Manifest;

/// Chunks requested at a time.
pub const WINDOW: usize = 16;

/// Which chunks of one file have arrived, one bit each (64 KiB for the largest backbone in the smallest chunks).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunks {
    size: u64,
    chunk_bytes: u64,
    count: u32,
    arrived: Vec<u64>,
    missing: u32,
}

/// Why a chunk is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadChunk {
    /// The file has no such chunk.
    #[error("there is no chunk {n}, the file has {count}")]
    Number {
        /// Its number.
        n: u32,
        /// How many there are.
        count: u32,
    },
    /// It is too long or too short.
    #[error("chunk {n} has {found} bytes, expected {expected}")]
    Length {
        /// Its number.
        n: u32,
        /// What it should have.
        expected: u64,
        /// What it has.
        found: usize,
    },
}

impl Chunks {
    /// The chunks of the file that `manifest` describes, none of which has arrived.
    #[must_use]
    pub fn of(manifest: &Manifest) -> Self {
        let count = manifest.chunks();
        let arrived = vec![0; (count as usize).div_ceil(64)];
        Self { size: manifest.size, chunk_bytes: manifest.chunk_bytes, count, arrived, missing: count }
    }

    /// How many the file has.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Bytes of chunk `n`: all but the last are equally long.
    #[must_use]
    pub fn length(&self, n: u32) -> u64 {
        let start = u64::from(n) * self.chunk_bytes;
        self.size.saturating_sub(start).min(self.chunk_bytes)
    }

    /// Whether chunk `n` of `found` bytes is one that is still missing.
    ///
    /// # Errors
    /// [`BadChunk`] when the file has no such chunk or it has another length.
    pub fn wants(&self, n: u32, found: usize) -> Result<bool, BadChunk> {
        if n >= self.count {
            return Err(BadChunk::Number { n, count: self.count });
        }
        let expected = self.length(n);
        if found as u64 != expected {
            return Err(BadChunk::Length { n, expected, found });
        }
        Ok(!self.has(n))
    }

    /// Notes that chunk `n` has arrived; without effect when it had before, or when the file has no such chunk.
    pub fn add(&mut self, n: u32) {
        if n < self.count && !self.has(n) {
            self.arrived[n as usize / 64] |= 1 << (n % 64);
            self.missing -= 1;
        }
    }

    /// Whether chunk `n` has arrived.
    #[must_use]
    pub fn has(&self, n: u32) -> bool {
        self.arrived.get(n as usize / 64).is_some_and(|word| word >> (n % 64) & 1 == 1)
    }

    /// Whether all chunks have arrived.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.missing == 0
    }

    /// The share that has arrived, in whole percent; 100 only when all have.
    ///
    /// # Panics
    /// Never: it is a share.
    #[must_use]
    pub fn percent(&self) -> u8 {
        let arrived = u64::from(self.count - self.missing);
        u8::try_from(100 * arrived / u64::from(self.count.max(1))).expect("a share of 100")
    }

    /// The first missing ones, at most [`WINDOW`].
    #[must_use]
    pub fn next(&self) -> Vec<u32> {
        let words = self.arrived.iter().enumerate().filter(|(_, word)| **word != u64::MAX);
        let numbers = words.flat_map(|(place, _)| (0..64).map(move |bit| (place * 64 + bit) as u32));
        numbers.filter(|n| *n < self.count && !self.has(*n)).take(WINDOW).collect()
    }
}
