//! Text that nobody means well.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use rand::{RngExt as _, SeedableRng as _};

use crate::{fault, good, load_text};

#[test]
fn hostile_yaml_is_refused_quickly_with_a_reason() {
    let mut bomb = "a0: &a0 [x, x]\n".to_owned();
    for level in 1..30 {
        writeln!(bomb, "a{level}: &a{level} [*a{0}, *a{0}]", level - 1).unwrap();
    }
    let block = (0..400).fold(String::new(), |text, depth| text + &" ".repeat(depth) + "a:\n");
    for (name, text, expected) in [
        ("flow", "[".repeat(200_000), ""),
        ("closed flow", format!("{}{}", "[".repeat(100), "]".repeat(100)), "16 levels"),
        ("maps", "{a: ".repeat(60_000), ""),
        ("block", block, "16 levels"),
        ("dashes", "- ".repeat(100_000), "16 levels"),
        ("aliases", bomb, "written out"),
        ("itself", "a: &a [*a]".to_owned(), "written out"),
        ("tag", "training: {seed: !!int 3}".to_owned(), "without a tag"),
        ("10 MB", "#".repeat(10_000_000), "262144 bytes"),
        ("NUL", "training: {seed: 1}\nmqtt:\0\n".to_owned(), "control characters"),
        ("tabs", "training:\n\tseed: 3\n".to_owned(), "YAML"),
        ("documents", "training:\n---\nmqtt:\n".to_owned(), "one document"),
        ("complex key", "? [a, b]\n: c\n".to_owned(), "word as a key"),
        ("long key", format!("{}: 1", "k".repeat(900)), "map of device"),
        ("odd key", "\"a\\nb\": 1".to_owned(), "map of device"),
        ("unclosed", "device: {name: \"a".to_owned(), "YAML"),
    ] {
        let begun = Instant::now();
        let problems = load_text(&text).expect_err(name);
        assert!(problems.iter().any(|problem| problem.expected.contains(expected)), "{name}: {problems:#?}");
        for problem in problems {
            let line = problem.to_string();
            assert!(line.len() < 500 && !line.contains('\n'), "{name}: {line}");
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "{name}: {:?}", begun.elapsed());
    }
    let many = (0..20_000).fold(String::new(), |text, number| text + "key" + &number.to_string() + ": 1\n");
    assert_eq!(load_text(&many).unwrap_err().len(), 20_000);
}

#[test]
fn the_line_of_a_control_character_is_told() {
    assert_eq!(fault("training:\n  seed: 1\n  cooldown: 5\u{7}m\n").line, Some(3));
}

/// Every key of lists, too.
const LISTS: &str = "watch: [{path: /srv/a, label_from: {folder: 2}}]
sources:
- {id: a, http: 'http://h:1/a?b=c', username: u, password_file: /p, every: 4s, burst: {every: 2s, for: 9s}, rate: 30/m}
- {id: b, mqtt: 'cam/+/jpg', keep: labelled}
tasks:
- id: default
  from: [{source: a, region: [0, 0.1, 0.5, 1]}, {watch: /srv/a, region: [[0, 0], [1, 0], [0, 1]]}]
  state: {confirm: 3 of 5, hold: 1s, thresholds: {open: 0.9, ä: 0}, unknown_after: 1m}
- {id: c, label_from: {folder: 1}, training: {l2: auto, schedule: null}, prediction: {unknown: {percentile: 98}}}
";

#[test]
fn mutations_of_a_good_file_never_panic() {
    good(LISTS);
    mutate(include_str!("../../config/default.yaml"), 5_000);
    mutate(LISTS, 3_000);
}

fn mutate(original: &str, seeds: u64) {
    const PIECES: [&str; 16] =
        ["\n", "  ", "\t", ":", "- ", "[", "{", "}", "\"", "'", "&a ", "*a", "#", "null", "|\n", "\u{0}"];
    for seed in 0..seeds {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        let mut text: Vec<char> = original.chars().collect();
        for _ in 0..rng.random_range(1..8) {
            let at = rng.random_range(0..text.len());
            let end = (at + rng.random_range(0..40)).min(text.len());
            match rng.random_range(0..4) {
                0 => drop(text.drain(at..end)),
                1 => drop(text.splice(at..at, PIECES[rng.random_range(0..PIECES.len())].chars())),
                2 => text[at] = char::from(rng.random::<u8>()),
                _ => {
                    let copied = text[at..end].to_vec();
                    let target = rng.random_range(0..text.len());
                    text.splice(target..target, copied);
                }
            }
        }
        let text: String = text.into_iter().collect();
        let outcome = std::panic::catch_unwind(|| match load_text(&text) {
            Ok(loaded) => assert_eq!(good(&loaded.config.to_json().to_string()), loaded.config),
            Err(problems) => assert!(!problems.is_empty()),
        });
        assert!(outcome.is_ok(), "seed {seed}:\n{text}");
    }
}
