//! A fleet of 100, 1,000 and 10,000 devices: how long their statistics take to be merged and in how much memory, beside `NumPy`, which
//! adds the same arrays; and what a collection costs in messages, bytes and time over a played broker that loses messages and
//! whose devices restart or lag.
//!
//! `cargo bench --bench fleet [-- merge|round]`. `NumPy` runs in `EDGETUNED_PYTHON` or `python3`, where it is importable.

mod merging;
mod playing;

/// Values of an embedding, of the small backbones.
const VALUES: usize = 512;
const CLASSES: usize = 6;
const SIZES: [usize; 3] = [100, 1_000, 10_000];

fn main() {
    let parts: Vec<String> = std::env::args().skip(1).filter(|part| !part.starts_with("--")).collect();
    let wanted = |name: &str| parts.is_empty() || parts.iter().any(|part| part == name);
    if wanted("merge") {
        merging::run();
    }
    if wanted("round") {
        playing::run();
    }
}
