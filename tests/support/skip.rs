//! Tests that this machine cannot run: named on standard error and at the end of `make test`, so that nobody takes
//! them for passed.
//!
//! Where `EDGETUNED_TESTS` is `all`, as `make test` sets it for root on a machine with apt, what `tools/setup.sh tests`
//! can install has to be there, and [`skip`] fails the test.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, Write};

/// Records that the running test is skipped for want of a program, a right or a kernel's feature; the caller returns.
///
/// # Panics
/// Where every test has to run.
#[allow(dead_code, reason = "not every test program needs it")]
pub fn skip(why: impl Display) {
    let every_test_has_to_run = std::env::var("EDGETUNED_TESTS").is_ok_and(|value| value == "all");
    assert!(!every_test_has_to_run, "cannot run: {why}; EDGETUNED_TESTS=some skips it");
    record(&why);
}

/// The same for want of something that a set-up cannot promise: photographs beside the checkout, a package built before,
/// weights that a package index has or has not.
#[allow(dead_code, reason = "not every test program needs it")]
pub fn not_here(why: impl Display) {
    record(&why);
}

/// Writes past the test harness, which hides what a passing test prints, and appends to the file that
/// `EDGETUNED_SKIPPED` names.
fn record(why: &dyn Display) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let program = std::env::current_exe().ok().and_then(|path| Some(path.file_stem()?.to_string_lossy().into_owned()));
    let program =
        program.as_deref().and_then(|name| name.rsplit_once('-')).map_or("tests", |(name, _)| name).to_owned();
    let line = format!("test {program}::{test} ... skipped: {why}\n");
    let mut stderr = io::stderr();
    stderr.write_all(line.as_bytes()).expect("standard error takes a line");
    if let Some(path) = std::env::var_os("EDGETUNED_SKIPPED") {
        let file = File::options().append(true).create(true).open(path);
        file.and_then(|mut file| file.write_all(line.as_bytes())).expect("the list of skipped tests takes a line");
    }
}
