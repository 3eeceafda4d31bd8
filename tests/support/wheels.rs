//! Files within wheels that `tools/setup.sh tests` gets into `target/wheels`.

use std::path::Path;
use std::process::Command;

use crate::skip::not_here;

/// The text of a file in a wheel; `None`, and a word of why, where that is not here.
pub fn text_of(wheel: &str, file: &str) -> Option<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/wheels").join(wheel);
    let read = "import sys, zipfile; sys.stdout.buffer.write(zipfile.ZipFile(sys.argv[1]).read(sys.argv[2]))";
    let found = Command::new("python3").args(["-c", read]).arg(path).arg(file).output().ok();
    let text = found.filter(|found| found.status.success()).and_then(|found| String::from_utf8(found.stdout).ok());
    if text.is_none() {
        not_here(format!("{wheel} is not in target/wheels ('tools/setup.sh tests' gets it)"));
    }
    text
}
