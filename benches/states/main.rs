//! From frames to a state, beside the rules of Frigate and `VisionState`: `make bench-states`.
//!
//! `cargo bench --bench states [-- --tune] [-- --sheet FILE] [-- --write FILE]`. Cameras over yards are drawn
//! (`scene.rs`), and what happens there in evenings (`evening.rs`). A head for each task learns from a few labelled
//! frames of one evening of its camera, by the daemon's own training and calibration; its predictions of other
//! evenings go to every rule alike. Settings are chosen on tuning evenings. `--tune` prints that choice and does not
//! look at the test evenings; `--sheet` draws frames and ends.

#[allow(dead_code, reason = "shared with benches/evaluation")]
#[path = "../evaluation/document.rs"]
mod document;
mod evening;
mod frames;
mod measure;
#[path = "../evaluation/parallel.rs"]
mod parallel;
mod report;
mod rules;
mod scene;
#[allow(dead_code, reason = "shared with benches/evaluation")]
#[path = "../evaluation/table.rs"]
mod table;
mod yard;

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use image::RgbImage;

use evening::{Evening, FRAMES};
use scene::{HEIGHT, Site, WIDTH};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let option = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).cloned()
    };
    if let Some(file) = option("--sheet") {
        return Ok(sheet().save(file)?);
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let cache = root.join(option_env!("CARGO_TARGET_DIR").unwrap_or("target")).join("states");
    let started = Instant::now();
    let is_tuning = arguments.iter().any(|argument| argument == "--tune");
    let yards = yard::load(&cache, is_tuning).map_err(|error| format!("cannot make the predictions: {error}"))?;
    eprintln!("predictions: {:.0} s", started.elapsed().as_secs_f64());
    let choice = report::choose(&yards);
    println!("{}", choice.text);
    if is_tuning {
        return Ok(());
    }
    let body = report::section(&yards, &choice, &report::cost(&cache, &yards)?);
    println!("## {}\n\n{body}", report::HEADING);
    eprintln!("everything: {:.0} s", started.elapsed().as_secs_f64());
    match option("--write") {
        Some(file) => write(Path::new(&file), &body),
        None => Ok(()),
    }
}

/// Writes the section into the document, and leaves its others as they are.
fn write(file: &Path, body: &str) -> Result<(), Box<dyn Error>> {
    let old = std::fs::read_to_string(file)?;
    let head = old.split("\n## ").next().unwrap_or_default();
    let sections = document::sections(&old);
    let mut headings: Vec<&str> = sections.iter().map(|section| section.heading.as_str()).collect();
    if !headings.contains(&report::HEADING) {
        headings.push(report::HEADING);
    }
    let fresh = document::Section::new(report::HEADING, body);
    Ok(std::fs::write(file, document::assemble(head, &headings, fresh, &old))?)
}

/// Frames of an evening of each site, every second minute, one row a site.
fn sheet() -> RgbImage {
    let columns = 12;
    let mut sheet = RgbImage::new(columns * WIDTH, yard::SITES as u32 * 2 * HEIGHT);
    for site in 0..yard::SITES {
        let (yard, evening) = (Site::new(site), Evening::new(site, yard::LABELLED));
        let shown = frames::pictures(&yard, &evening, site).step_by(FRAMES / 24).take(24).enumerate();
        for (i, (_, picture)) in shown {
            let (column, row) = (i as u32 % columns, 2 * site as u32 + i as u32 / columns);
            image::imageops::replace(&mut sheet, &picture, i64::from(column * WIDTH), i64::from(row * HEIGHT));
        }
    }
    sheet
}
