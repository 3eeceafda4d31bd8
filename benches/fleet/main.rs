//! A fleet of 100, 1,000 and 10,000 devices: how long their statistics take to be merged and in how much memory, beside `NumPy`, which
//! adds the same arrays; and what a collection costs in messages, bytes and time over a played broker that loses messages and
//! whose devices restart or lag.
//!
//! `cargo bench --bench fleet [-- merge|round]` prints tables; `-- --write docs/fleet.svg` draws them, too. `NumPy` runs in
//! `EDGETUNED_PYTHON` or `python3`, where it is importable.

#[path = "../../tests/support/log_panels.rs"]
mod log_panels;
mod merging;
mod playing;
mod plot;
#[allow(dead_code, reason = "shared with tests, which use other parts of it")]
#[path = "../../tests/support/svg.rs"]
mod svg;

/// Values of an embedding, of the small backbones.
const VALUES: usize = 512;
const CLASSES: usize = 6;
const SIZES: [usize; 5] = [100, 300, 1_000, 3_000, 10_000];

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let (mut parts, mut picture) = (Vec::new(), None);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--write" => picture = Some(arguments.next().expect("--write FILE")),
            _ => parts.push(argument),
        }
    }
    let wanted = |name: &str| parts.is_empty() || parts.iter().any(|part| part == name);
    let merges = wanted("merge").then(merging::run);
    let rounds = wanted("round").then(playing::run);
    if let Some(file) = picture {
        let (merges, rounds) = merges.zip(rounds).expect("a picture needs both parts");
        std::fs::write(&file, plot::draw(&merges, &rounds)).expect("a file that can be written");
        println!("\n{file}");
    }
}
