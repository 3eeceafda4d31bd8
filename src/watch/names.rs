//! Which files are considered, by the endings of their names in any case. The content decides later.

use std::path::Path;

/// Endings of the kinds of pictures that are read.
const READ: [&str; 14] =
    ["jpg", "jpeg", "jpe", "jfif", "jfi", "jif", "pjpeg", "pjp", "mpo", "png", "apng", "webp", "bmp", "dib"];

/// Endings of other kinds of pictures: common ones, and what cameras call their raw data.
const OTHER: [&str; 55] = [
    "tif", "tiff", "gif", "heic", "heif", "hif", "avif", "jxl", "jp2", "j2k", "jpf", "jpx", "jxr", "wdp", "hdp", "ico",
    "cur", "svg", "psd", "tga", "pcx", "ppm", "pgm", "pbm", "pnm", "pam", "exr", "hdr", "qoi", "dds", "raw", "dng",
    "cr2", "cr3", "crw", "nef", "nrw", "arw", "sr2", "srf", "orf", "rw2", "raf", "pef", "srw", "x3f", "3fr", "rwl",
    "kdc", "dcr", "mrw", "erf", "mef", "mos", "iiq",
];

/// What the name of a file says of its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameKind {
    /// A picture that can be read.
    Image,
    /// A picture that cannot, with its ending in small letters.
    OtherPicture(&'static str),
    /// Something else.
    Other,
}

/// What the ending of `path` says.
#[must_use]
pub fn name_kind(path: &Path) -> NameKind {
    let Some(ending) = path.extension() else { return NameKind::Other };
    if READ.iter().any(|known| ending.eq_ignore_ascii_case(known)) {
        return NameKind::Image;
    }
    let other = OTHER.into_iter().find(|known| ending.eq_ignore_ascii_case(known));
    other.map_or(NameKind::Other, NameKind::OtherPicture)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_count_in_any_case_and_each_is_of_one_kind() {
        for name in ["a.jpg", "b.JFIF", "c.Jpe", "d.PJPEG", "e.png", "f.webp", "g.Bmp", "h.tif.jpeg"] {
            assert_eq!(name_kind(Path::new(name)), NameKind::Image, "{name}");
        }
        for (name, ending) in
            [("a.TIF", "tif"), ("b.tiff", "tiff"), ("c.HEIC", "heic"), ("d.jpg.gif", "gif"), ("e.Nef", "nef")]
        {
            assert_eq!(name_kind(Path::new(name)), NameKind::OtherPicture(ending), "{name}");
        }
        for name in ["jpg", "notes.txt", "x.json", ".jpg", "a.jpg.tmp", "a.jpg~"] {
            assert_eq!(name_kind(Path::new(name)), NameKind::Other, "{name}");
        }
        assert!(READ.iter().all(|ending| !OTHER.contains(ending)));
    }
}
