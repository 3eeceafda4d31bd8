//! Every claim about learning, measured on photographs and beside its peer: `make evaluation`.
//!
//! `cargo bench --bench evaluation [-- --only SECTION] [-- --write FILE]`. It reads the photographs and models of
//! `../shared/data`; where they are missing, it reports that and does nothing. Peers (scikit-learn) run in
//! `EDGETUNED_PYTHON`, or `python3`, on the same embeddings as ours; where scikit-learn is missing their columns are
//! `not run`. What is printed is what `docs/evaluation.md` holds. `--write` replaces the measured sections of FILE and
//! leaves its others as they are; the table of `README.md` becomes that of the section on accuracy.

mod accuracy;
mod calibration;
mod data;
mod document;
mod drift;
mod figures;
mod fleet;
mod incremental;
mod labels;
mod parallel;
mod peer;
mod personal;
mod table;
mod tuning;
mod unknown;

use std::error::Error;
use std::path::Path;

use data::Data;
use document::{Section, assemble, find_block, with_block};

type Measure = fn(&Data) -> String;

/// Name, heading, and what measures it.
const SECTIONS: [(&str, &str, Measure); 8] = [
    ("accuracy", "Accuracy", accuracy::section),
    ("unknown", "Images of no known class", unknown::section),
    ("calibration", "Calibration and sets", calibration::section),
    ("incremental", "Classes that arrive one after another", incremental::section),
    ("drift", "Drift", drift::section),
    ("labels", "Wrong labels, and which images to label", labels::section),
    ("tuning", "The second phase", tuning::section),
    ("fleet", "Devices together", fleet::section),
];

/// Sections that other programs write, behind those of this one.
const OTHERS: [&str; 1] = ["States from frames"];

const HEAD: &str = "\
# Evaluation

Made by `make evaluation` on the photographs and models that `benches/evaluation/data.rs` describes; every number is
measured by that command, and every verdict computed from its figure. Test pictures are few, one of them is about a
point: read the standard errors. Accuracy and images of no known class are measured with every backbone, the rest, which
takes longer, with those that stand for others (`SOME` in `benches/evaluation/data.rs`).

Methods and their constants are chosen on training splits, by cross-validation; test splits were read for these tables.
Exceptions: the rule by which cross-validation chooses the penalty of a head was once set with test results in view, and
so were size and stretching of the input of the backbone `edgetuned-photo` ([model card](../models/README.md)), which
also saw the training pictures of trashnet and corn-color, without their labels.
";

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let option = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).cloned()
    };
    let only = option("--only");
    if let Some(only) = only.as_deref().filter(|only| SECTIONS.iter().all(|(name, ..)| name != only)) {
        let names = SECTIONS.map(|(name, ..)| name).join(", ");
        return Err(format!("there is no section {only}; there are {names}").into());
    }
    let Some(data) = timed("embeddings", data::load)? else {
        println!("skipped: ../shared/data is not here");
        return Ok(());
    };
    for reason in &data.left_out {
        eprintln!("left out: {reason}");
    }
    let file = option("--write");
    for (name, heading, measure) in
        SECTIONS.into_iter().filter(|(name, ..)| only.as_deref().is_none_or(|only| only == *name))
    {
        let section = Section::new(heading, &timed(name, || measure(&data)));
        println!("## {heading}\n\n{}\n", section.body);
        if let Some(file) = &file {
            write(Path::new(file), section)?;
        }
    }
    Ok(())
}

/// Writes a section into the document, and the table of `README.md` where the section holds it.
fn write(file: &Path, section: Section) -> Result<(), Box<dyn Error>> {
    let old = std::fs::read_to_string(file).unwrap_or_default();
    let block = find_block(&section.body).map(str::to_owned);
    let headings: Vec<&str> = SECTIONS.into_iter().map(|(_, heading, _)| heading).chain(OTHERS).collect();
    std::fs::write(file, assemble(HEAD, &headings, section, &old))?;
    if let Some(block) = block {
        let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
        let text = std::fs::read_to_string(&readme)?;
        let text = with_block(&text, &block).ok_or("README.md has lost the marks around the table of accuracy")?;
        std::fs::write(readme, text)?;
    }
    Ok(())
}

/// Says on standard error how long `what` took.
fn timed<R>(what: &str, work: impl FnOnce() -> R) -> R {
    let started = std::time::Instant::now();
    let result = work();
    eprintln!("{what}: {:.0} s", started.elapsed().as_secs_f64());
    result
}
