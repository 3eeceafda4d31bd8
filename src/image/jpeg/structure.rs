//! A JPEG file by its markers: size, orientation, where it ends, and what of the picture its scans bring.
//!
//! A decoder takes what is there and fills the rest with grey. Whether all scans are there at all only their headers
//! tell, and that a scan's data were overwritten with zeros only the data themselves.
//! Source: ITU-T T.81, annex B.

/// So many zero bytes in a row, from a multiple of their number within a scan on, are ten blocks at least.
const ZEROS: usize = 256;

/// What the markers say, up to the end marker or to where the file breaks off.
#[derive(Debug, Default)]
pub(super) struct Structure<'a> {
    /// Columns and rows by the frame header.
    pub(super) size: Option<(u32, u32)>,
    /// The EXIF block behind its signature.
    pub(super) exif: Option<&'a [u8]>,
    /// Bytes up to the end marker and with it; `None` without one.
    pub(super) end: Option<usize>,
    /// Number of scans.
    pub(super) scans: usize,
    /// Whether a scan has a row of zeros, as a flat part of a picture may.
    pub(super) has_zeros: bool,
    /// Whether it has one that no picture has.
    pub(super) has_hole: bool,
    is_progressive: bool,
    components: Vec<Component>,
    /// What zero bits stand for with each AC table: the first symbol. Without a table in the file the standard's hold.
    first_symbols: FirstSymbols,
}

/// One component and what is known of its coefficients.
#[derive(Debug)]
struct Component {
    id: u8,
    /// Lowest bit that has come of each coefficient, in zigzag order; `None` before the first.
    lowest_bit: [Option<u8>; 64],
}

#[derive(Debug)]
struct FirstSymbols([u8; 4]);

impl Default for FirstSymbols {
    fn default() -> Self {
        // Tables K.5 and K.6: luma's shortest code is a coefficient of one bit, chroma's the end of a block.
        Self([0x01, 0x00, 0x00, 0x00])
    }
}

impl<'a> Structure<'a> {
    /// Reads all markers up to the end marker.
    pub(super) fn read(bytes: &'a [u8]) -> Self {
        let mut structure = Self::default();
        structure.end = structure.walk(bytes);
        structure
    }

    /// Whether the scans bring every bit of every coefficient, provided that each is complete.
    pub(super) fn has_every_scan(&self) -> bool {
        let is_known = |component: &Component| component.lowest_bit.iter().all(|bit| *bit == Some(0));
        !self.components.is_empty() && self.components.iter().all(is_known)
    }

    /// To the end marker; `None` where the file breaks off.
    fn walk(&mut self, bytes: &'a [u8]) -> Option<usize> {
        const START: u8 = 0xd8;
        const END: u8 = 0xd9;
        let mut at = 0;
        loop {
            // To the next marker: 0xff, any number of fill bytes 0xff, then the code. Inside a scan 0xff00 is data.
            at += bytes.get(at..)?.iter().position(|&byte| byte == 0xff)?;
            at += bytes.get(at..)?.iter().position(|&byte| byte != 0xff)?;
            let code = *bytes.get(at)?;
            at += 1;
            match code {
                END => return Some(at),
                0x00 | 0x01 | 0xd0..=0xd7 | START => {}
                _ => {
                    let length = usize::from(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?)).max(2);
                    let body = bytes.get(at + 2..at + length)?;
                    at += length;
                    // What contradicts itself is left to the decoder.
                    let _ = self.segment(code, body, bytes.get(at..).unwrap_or_default());
                }
            }
        }
    }

    /// Takes in a segment: its marker's code, its body, and all that follows.
    fn segment(&mut self, code: u8, body: &'a [u8], after: &[u8]) -> Option<()> {
        const EXIF: &[u8] = b"Exif\0\0";
        match code {
            0xe1 if self.exif.is_none() => self.exif = body.strip_prefix(EXIF),
            0xc4 => self.huffman_tables(body)?,
            0xda => self.scan(body, after)?,
            0xc0..=0xcf if !matches!(code, 0xc8 | 0xcc) && self.size.is_none() => self.frame(code, body)?,
            _ => {}
        }
        Some(())
    }

    fn frame(&mut self, code: u8, body: &[u8]) -> Option<()> {
        let [_, rows @ .., columns_high, columns_low, count] = body.first_chunk::<6>()?;
        let rows = u16::from_be_bytes(*rows);
        let columns = u16::from_be_bytes([*columns_high, *columns_low]);
        self.size = Some((columns.into(), rows.into()));
        self.is_progressive = matches!(code, 0xc2 | 0xc6 | 0xca | 0xce);
        let components = body[6..].chunks_exact(3).take(usize::from(*count));
        self.components = components.map(|of| Component { id: of[0], lowest_bit: [None; 64] }).collect();
        Some(())
    }

    fn huffman_tables(&mut self, mut body: &[u8]) -> Option<()> {
        while let Some((class_and_place, lengths)) = body.split_first() {
            let symbols: usize = lengths.get(..16)?.iter().map(|&count| usize::from(count)).sum();
            let first = lengths.get(16..16 + symbols)?.first();
            if let (1, Some(first)) = (class_and_place >> 4, first) {
                *self.first_symbols.0.get_mut(usize::from(class_and_place & 15))? = *first;
            }
            body = &lengths[16 + symbols..];
        }
        Some(())
    }

    fn scan(&mut self, body: &[u8], after: &[u8]) -> Option<()> {
        self.scans += 1;
        let (&count, rest) = body.split_first()?;
        let (components, rest) = rest.split_at_checked(2 * usize::from(count))?;
        let [first, last, bits] = *rest.first_chunk::<3>()?;
        let (first, last, high, low) = (usize::from(first), usize::from(last).min(63), bits >> 4, bits & 15);
        // In a sequential picture these four say nothing, and some programs write zeros.
        let (band, low) = if self.is_progressive { (first..=last, low) } else { (0..=63, 0) };
        let mut is_suspicious = false;
        for selector in components.chunks_exact(2) {
            let symbol = self.first_symbols.0.get(usize::from(selector[1] & 15)).copied().unwrap_or(0);
            // Zero bits are then coefficients without end, which fill each block; else they are empty blocks.
            is_suspicious |= if self.is_progressive { first > 0 && high == 0 && symbol & 15 != 0 } else { symbol != 0 };
            for component in self.components.iter_mut().filter(|component| component.id == selector[0]) {
                component.lowest_bit.get_mut(band.clone())?.fill(Some(low));
            }
        }
        let has_zeros = has_zeros(after);
        self.has_zeros |= has_zeros;
        self.has_hole |= has_zeros && is_suspicious;
        Some(())
    }
}

/// Whether a row of zeros is in the data of the scan that `after` begins with.
fn has_zeros(after: &[u8]) -> bool {
    let is_marker = |pair: &[u8]| pair[0] == 0xff && !matches!(pair[1], 0x00 | 0xff | 0xd0..=0xd7);
    let data = after.windows(2).position(is_marker).map_or(after, |end| &after[..end]);
    data.chunks_exact(ZEROS).any(|chunk| chunk.iter().all(|&byte| byte == 0))
}
