//! The bars of the gate and of the intervals, on pictures that are drawn: `cargo bench -p edgetuned-learn --bench gate`.
//!
//! `-- --only coverage` or `-- --only labels` measures one of them, `--seeds N` other than 200 seeds, `--from N` others
//! than from 0. What is printed is what `docs/figures.md` holds.

mod belief;
mod coverage;
mod world;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).cloned()
    };
    let number = |name: &str, default: u64| option(name).and_then(|text| text.parse().ok()).unwrap_or(default);
    let (seeds, from) = (number("--seeds", 200), number("--from", 0));
    let only = option("--only");
    let wants = |section: &str| only.as_deref().is_none_or(|only| only == section);
    if wants("coverage") {
        println!("{}", coverage::section(10 * seeds, from));
    }
    if wants("labels") {
        println!("{}", belief::section(seeds, from));
    }
}
