//! A `NumPy` archive: `ids` (n,) and `paths` (n,) as text, `embeddings` (n, dim) as 32-bit floats.
//!
//! Source of the format: numpy.lib.format, version 1.0.

use std::io::{self, Write as _};

use zip::CompressionMethod;
use zip::write::{SimpleFileOptions, ZipWriter};

use super::Table;

/// The archive.
pub fn bytes(table: &Table<'_>) -> io::Result<Vec<u8>> {
    let Table { ids, paths, embeddings } = table;
    let mut zip = ZipWriter::new(io::Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored).large_file(true);
    for (name, texts) in [("ids.npy", *ids), ("paths.npy", *paths)] {
        zip.start_file(name, stored)?;
        let width = texts.iter().map(|text| text.chars().count()).max().unwrap_or(0).max(1);
        zip.write_all(&npy_header(&format!("<U{width}"), &format!("({},)", texts.len())))?;
        for text in texts {
            let padding = std::iter::repeat_n('\0', width - text.chars().count());
            let utf32: Vec<u8> = text.chars().chain(padding).flat_map(|c| u32::from(c).to_le_bytes()).collect();
            zip.write_all(&utf32)?;
        }
    }
    zip.start_file("embeddings.npy", stored)?;
    zip.write_all(&npy_header("<f4", &format!("({}, {})", embeddings.nrows(), embeddings.ncols())))?;
    for row in embeddings.rows() {
        let bytes: Vec<u8> = row.iter().flat_map(|value| value.to_le_bytes()).collect();
        zip.write_all(&bytes)?;
    }
    Ok(zip.finish()?.into_inner())
}

/// Magic, version, length, and a Python dictionary padded so that the data begin at a multiple of 64.
fn npy_header(descr: &str, shape: &str) -> Vec<u8> {
    let mut dictionary = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    let unpadded = 10 + dictionary.len() + 1;
    dictionary.extend(std::iter::repeat_n(' ', unpadded.next_multiple_of(64) - unpadded));
    dictionary.push('\n');
    let mut header = b"\x93NUMPY\x01\x00".to_vec();
    header.extend(u16::try_from(dictionary.len()).expect("a header of two hundred bytes").to_le_bytes());
    header.extend(dictionary.bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_as_numpy_writes_them() {
        // numpy 2.4: np.lib.format.write_array_header_1_0 for a float32 array of shape (3, 2).
        let header = npy_header("<f4", "(3, 2)");
        assert_eq!(header.len() % 64, 0);
        assert!(
            header.starts_with(b"\x93NUMPY\x01\x00\x76\x00{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }")
        );
        assert_eq!(header.last(), Some(&b'\n'));
    }
}
