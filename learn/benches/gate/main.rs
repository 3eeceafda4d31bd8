//! How often intervals hold the truth, on answers that are drawn: `cargo bench -p edgetuned-learn --bench gate`.
//!
//! `-- --seeds N` plays other than 200 seeds, ten lives each, `--from N` others than from 0. What is printed is what `docs/figures.md` holds.

mod coverage;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).cloned()
    };
    let number = |name: &str, default: u64| option(name).and_then(|text| text.parse().ok()).unwrap_or(default);
    let (seeds, from) = (number("--seeds", 200), number("--from", 0));
    println!("{}", coverage::section(10 * seeds, from));
}
