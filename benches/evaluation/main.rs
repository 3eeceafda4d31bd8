//! Every claim about learning, measured on photographs and beside its peer: `make evaluation`.
//!
//! `cargo bench --bench evaluation [-- --only SECTION] [-- --write FILE]`. It reads the photographs and models of
//! `../shared/data`; where they are missing, it reports that and does nothing. Peers (scikit-learn) run in
//! `EDGETUNED_PYTHON`, or `python3`, on the same embeddings as ours; where scikit-learn is missing their columns are
//! `not run`. What is printed is what `docs/evaluation.md` holds.

mod accuracy;
mod calibration;
mod data;
mod drift;
mod incremental;
mod labels;
mod peer;
mod table;
mod unknown;

use std::fmt::Write as _;

use data::Photographs;

type Section = fn(&[Photographs]) -> String;

/// Name, heading, and what measures it.
const SECTIONS: [(&str, &str, Section); 6] = [
    ("accuracy", "Accuracy", accuracy::section),
    ("incremental", "Classes that arrive one after another", incremental::section),
    ("unknown", "Images of no known class", unknown::section),
    ("calibration", "Calibration and sets", calibration::section),
    ("drift", "Drift", drift::section),
    ("labels", "Wrong labels, and which images to label", labels::section),
];

const HEAD: &str = "\
# Evaluation

Made by `make evaluation` on the photographs and models that `benches/evaluation/data.rs` describes; every number is \
measured by that command. Test pictures are few, one of them is about a point: read the intervals.
";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let option = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).cloned()
    };
    let only = option("--only");
    let Some(photographs) = data::load()? else {
        println!("skipped: ../shared/data is not here");
        return Ok(());
    };
    let mut text = HEAD.to_owned();
    for (name, heading, section) in SECTIONS {
        if only.as_deref().is_none_or(|only| only == name) {
            let started = std::time::Instant::now();
            let body = section(&photographs);
            println!("## {heading}\n\n{body}");
            eprintln!("{name}: {:.0} s", started.elapsed().as_secs_f64());
            let _ = write!(text, "\n## {heading}\n\n{body}");
        }
    }
    if let Some(file) = option("--write") {
        std::fs::write(file, text)?;
    }
    Ok(())
}
