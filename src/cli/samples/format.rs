//! In which format samples and their labels go out and come in: by `--format`, else by the name of the file.

use std::ffi::OsStr;
use std::path::Path;

use clap::ValueEnum;

use crate::cli::failure::Failure;

/// A format of samples with their labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table with a header, commas between; .csv
    Csv,
    /// A JSON object a line; .jsonl or .ndjson
    #[value(name = "jsonl", alias = "ndjson")]
    JsonLines,
    /// A table of columns with types; .parquet
    Parquet,
    /// The pictures themselves, in a folder for each class: a .tar, or a folder
    Folders,
    /// The pictures and a metadata.csv, for Hugging Face's datasets: a .tar, or a folder
    #[value(name = "imagefolder")]
    ImageFolder,
    /// Tasks of Label Studio; .json
    LabelStudio,
}

/// The format that was `named`, else that of the path; `action` is what was attempted, for the error.
pub fn of(path: &Path, named: Option<Format>, action: &str) -> Result<Format, Failure> {
    let ending = path.extension().map(OsStr::to_ascii_lowercase);
    let ending = ending.as_deref().and_then(OsStr::to_str);
    if let Some(format) = named {
        let is_packed = matches!(ending, Some("zip" | "gz" | "tgz" | "xz" | "bz2" | "zst" | "7z"));
        return match format {
            Format::Folders | Format::ImageFolder if is_packed => Err(Failure::usage(format!(
                "cannot {action} {}: pictures come as a .tar that is not compressed, or as a folder",
                path.display()
            ))),
            format => Ok(format),
        };
    }
    if is_folder(path) {
        return Ok(Format::Folders);
    }
    match ending {
        Some("csv") => Ok(Format::Csv),
        Some("jsonl" | "ndjson") => Ok(Format::JsonLines),
        Some("parquet") => Ok(Format::Parquet),
        Some("tar") => Ok(Format::Folders),
        Some("json") => Ok(Format::LabelStudio),
        _ => Err(Failure::usage(format!(
            "cannot {action} {}: samples come as .csv, .jsonl (.ndjson), .parquet, .tar, .json of Label Studio, or a folder \
             with a slash at its end; name it so, or give --format",
            path.display()
        ))),
    }
}

/// Whether pictures at this path are one archive, not a folder.
pub fn is_archive(path: &Path) -> bool {
    !is_folder(path) && path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("tar"))
}

/// Whether the path is a folder, or is written as one.
fn is_folder(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().ends_with(b"/") || path.is_dir()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_file_says_its_format_unless_it_is_named() {
        let by_name = |path: &str| of(Path::new(path), None, "read").ok();
        let expected = [
            ("a.csv", Format::Csv),
            ("a.NDJSON", Format::JsonLines),
            ("a.b.jsonl", Format::JsonLines),
            ("a.Parquet", Format::Parquet),
            ("a.tar", Format::Folders),
            ("a.tar/", Format::Folders),
            ("a/", Format::Folders),
            ("/", Format::Folders),
            ("a.json", Format::LabelStudio),
        ];
        for (path, format) in expected {
            assert_eq!(by_name(path), Some(format), "{path}");
        }
        for path in ["a", "a.txt", "a.tar.gz", "csv", ".csv", "a.csv.part"] {
            assert_eq!(by_name(path), None, "{path}");
        }
        let named = |path: &str, format| of(Path::new(path), Some(format), "read").ok();
        assert_eq!(named("a.txt", Format::Csv), Some(Format::Csv));
        assert_eq!(named("v1.2", Format::ImageFolder), Some(Format::ImageFolder));
        assert_eq!(named("a.zip", Format::Folders), None);
        assert!(is_archive(Path::new("a.TAR")) && !is_archive(Path::new("a.tar/")) && !is_archive(Path::new("a")));
    }
}
