//! What commands write: results to standard output, everything else to standard error, and files whole or not at all.

use std::io::{self, IsTerminal, Write};
use std::path::Path;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use super::failure::Failure;
use crate::store::files::NewFile;

/// How results are printed.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    /// One JSON document and nothing else.
    pub json: bool,
}

impl Output {
    /// Prints `value` as JSON, or what `text` writes.
    ///
    /// A reader that went away (`| head`) is not a failure; a full disk is.
    pub fn print<T: Serialize>(
        self,
        value: &T,
        text: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        let written = if self.json {
            serde_json::to_writer_pretty(&mut stdout, value).map_err(io::Error::from).and_then(|()| writeln!(stdout))
        } else {
            text(&mut stdout)
        };
        match written.and_then(|()| stdout.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::failed(format!(
                "cannot write the result to standard output: {error}; make room there or send it elsewhere"
            ))),
            _ => Ok(()),
        }
    }

    /// A progress bar on standard error; invisible where that is no terminal or a program reads the result.
    pub fn progress(self, length: u64, what: &'static str) -> ProgressBar {
        let seen = io::stderr().is_terminal() && !self.json;
        let target = if seen { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(length), target);
        let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {per_sec} {eta}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_message(what);
        bar
    }
}

/// Writes a file in place of the one that was there; durable when this returns.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    write_checked(path, bytes, |_| Ok(()))
}

/// Writes a file beside its place, lets `check` look at it there, and puts it in its place if that finds nothing wrong.
pub fn write_checked<T>(
    path: &Path,
    bytes: &[u8],
    check: impl FnOnce(&Path) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let failed = |error| {
        Failure::failed(format!(
            "cannot write {}: {error}; check the folder, its owner and the free space on the disk",
            path.display()
        ))
    };
    let mut file = NewFile::begin(path).map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    let found = check(file.beside())?;
    file.put().map_err(failed)?;
    Ok(found)
}
