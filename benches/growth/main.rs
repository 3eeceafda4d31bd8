//! What grows with the number of samples: a store of 1,000, 10,000, 100,000 and 1,000,000 of them, and at each size what
//! the daemon takes for one more, a label, a page of the list, its start, a training and an eviction, and its memory.
//!
//! `cargo bench --bench growth [-- --most N]` prints a table with a verdict for each row, by the slope over the sizes on
//! logarithmic axes: flat below 0.2, linear from 0.8 on. `-- --write docs/growth.svg` draws it, too. Samples are frames of
//! a source with generated embeddings of 512 values and eight classes, one in five of them labelled, written by the
//! store itself in large commits; the backbone that the daemon opens is made here and maps to as many values. Beside it a
//! plain table of the same bytes, by `SQLite` alone with the same durability. The store is made in the folder for
//! temporary files and takes 3 KB a sample.
#![allow(clippy::unwrap_used, reason = "in the shared client: what cannot be measured is not, and says so")]

mod backbone;
#[allow(dead_code, reason = "shared with another program, which uses other parts of it")]
#[path = "../page/client.rs"]
mod client;
#[allow(dead_code, reason = "shared with the tests, which use other parts of it")]
#[path = "../../tests/support/daemon.rs"]
mod daemon;
mod filling;
#[path = "../../tests/support/log_panels.rs"]
mod log_panels;
mod measuring;
#[allow(dead_code, reason = "shared with the tests, which use other parts of it")]
#[path = "../../tests/support/onnx.rs"]
mod onnx;
mod plain;
mod report;
#[allow(dead_code, reason = "shared with the tests, which use other parts of it")]
#[path = "../../tests/support/svg.rs"]
mod svg;

use std::error::Error;

const SIZES: [u64; 4] = [1_000, 10_000, 100_000, 1_000_000];

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let (mut most, mut picture) = (100_000, None);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--most" => most = arguments.next().ok_or("--most N")?.replace(['_', ','], "").parse()?,
            "--write" => picture = Some(arguments.next().ok_or("--write FILE")?),
            other => return Err(format!("{other} is not known: --most N, --write FILE").into()),
        }
    }
    let sizes: Vec<u64> = SIZES.into_iter().filter(|size| *size <= most).collect();
    let measured = measuring::run(&sizes)?;
    println!("{}", report::table(&measured));
    if let Some(file) = picture {
        std::fs::write(&file, report::drawn(&measured))?;
        println!("{file}");
    }
    Ok(())
}
