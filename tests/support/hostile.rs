//! Messages that no sane sender sends: the corpus in `fuzz/corpus`, mutated from a seed.

use std::fs;
use std::path::Path;

use rand::seq::IndexedRandom;
use rand::{Rng, RngExt};

/// A message of the corpus: its kind, and what it says.
struct Seed {
    kind: Kind,
    payload: Vec<u8>,
}

/// What a message pretends to be; decides on its topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Label,
    Request,
    Config,
    Update,
    Chunk,
    Birth,
}

impl Kind {
    const ALL: [(Self, &str); 6] = [
        (Self::Label, "label"),
        (Self::Request, "request"),
        (Self::Config, "config"),
        (Self::Update, "update"),
        (Self::Chunk, "chunk"),
        (Self::Birth, "birth"),
    ];
}

/// One message to send.
#[derive(Debug, Clone)]
pub struct Hostile {
    /// Below the base, or whole where it begins with `homeassistant/`.
    pub topic: String,
    /// What it says.
    pub payload: Vec<u8>,
    /// Quality of service 0 or 1.
    pub at_least_once: bool,
    /// Whether the broker is to keep it.
    pub retain: bool,
}

/// The corpus, read once.
pub struct Corpus {
    seeds: Vec<Seed>,
}

/// A SHA-256 for topics.
const DIGEST: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

/// Names of requests, known and unknown.
const NAMES: [&str; 14] = [
    "status", "rescan", "rollback", "review", "promote", "predict", "samples", "heads", "reload", "label", "export",
    "nonsense", "0", "a-b_c",
];

/// What numbers become.
const NUMBERS: [&str; 9] =
    ["-1", "0", "1e999", "-1e999", "1e-999", "18446744073709551616", "9223372036854775808", "0.1e1", "NaN"];

/// Put in anywhere.
const SPLINTERS: [&[u8]; 16] = [
    b"\0",
    b"\xff\xfe",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\\ud800",
    b"\\udfff\\ud800",
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[",
    b",",
    b"null",
    b"\"image\": \"x\", ",
    b"\"transaction\": \"y\", ",
    b"\xe2\x80\xae",
];

impl Corpus {
    /// Reads `fuzz/corpus`.
    pub fn load() -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
        let mut seeds = Vec::new();
        for (kind, name) in Kind::ALL {
            let files = fs::read_dir(folder.join(name)).expect("the corpus has a folder for every kind");
            let mut files: Vec<_> = files.map(|file| file.expect("it can be listed").path()).collect();
            // Whatever order the folder lists them in, a seed means the same messages.
            files.sort();
            assert!(!files.is_empty(), "the corpus has messages of kind {name}");
            seeds.extend(files.iter().map(|file| Seed { kind, payload: fs::read(file).expect("it can be read") }));
        }
        Self { seeds }
    }

    /// The next message.
    pub fn message(&self, rng: &mut impl Rng) -> Hostile {
        let Seed { kind, payload } = self.seeds.choose(rng).expect("the corpus is not empty");
        let mut payload = payload.clone();
        for _ in 0..rng.random_range(0..4) {
            self.mutate(&mut payload, rng);
        }
        Hostile {
            topic: topic(*kind, rng),
            payload,
            at_least_once: rng.random_bool(0.7),
            retain: rng.random_bool(0.05),
        }
    }

    fn mutate(&self, payload: &mut Vec<u8>, rng: &mut impl Rng) {
        let at = rng.random_range(0..=payload.len());
        let to = rng.random_range(at..=payload.len().min(at + 40));
        match rng.random_range(0..13) {
            0 => {
                if let Some(byte) = payload.get_mut(at) {
                    *byte ^= 1 << rng.random_range(0..8);
                }
            }
            1 => drop(payload.drain(at..to)),
            2 => payload.truncate(at),
            3 => {
                let part = payload[at..to].to_vec();
                payload.splice(at..at, part);
            }
            4 | 5 => {
                let splinter = *SPLINTERS.choose(rng).expect("there are some");
                payload.splice(at..at, splinter.iter().copied());
            }
            6 => {
                let number = NUMBERS.choose(rng).expect("there are some");
                let end = payload[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
                payload.splice(at..at + end, number.bytes());
            }
            7 => {
                let depth = rng.random_range(1..3_000);
                let opened = if rng.random_bool(0.5) { b"[".as_slice() } else { b"{\"a\":" };
                payload.splice(at..at, opened.repeat(depth));
            }
            8 => {
                let other = &self.seeds.choose(rng).expect("the corpus is not empty").payload;
                payload.truncate(at);
                payload.extend(&other[rng.random_range(0..=other.len())..]);
            }
            9 => payload.splice(at..to, (0..rng.random_range(0..20)).map(|_| rng.random::<u8>())).for_each(drop),
            10 => payload.clear(),
            11 if rng.random_bool(0.02) => {
                let byte = *b"a[ \0".choose(rng).expect("there are some");
                payload.splice(at..at, vec![byte; rng.random_range(1_000..400_000)]);
            }
            _ => {
                // A key once more, with another value.
                if let Some(open) = payload.iter().position(|byte| *byte == b'{') {
                    payload.splice(open + 1..=open, b"\"label\": \"nut\", ".iter().copied());
                }
            }
        }
    }
}

fn topic(kind: Kind, rng: &mut impl Rng) -> String {
    let update = *["head", "backbone", "firmware", "HEAD", ""].choose(rng).expect("there are some");
    match kind {
        Kind::Label => "label".into(),
        Kind::Config => "config/desired".into(),
        Kind::Birth => "homeassistant/status".into(),
        Kind::Update => format!("update/{update}/desired"),
        Kind::Chunk => {
            let no_digest = "G".repeat(64);
            let digests = [DIGEST, "2cf24dba", "", "../..", &no_digest];
            let digest = *digests.choose(rng).expect("there are some");
            let number = *["0", "1", "-1", "4294967296", "x", ""].choose(rng).expect("there are some");
            format!("update/{update}/chunk/{digest}/{number}")
        }
        Kind::Request if rng.random_bool(0.8) => format!("request/{}", NAMES.choose(rng).expect("there are some")),
        Kind::Request => {
            let odd = ["", "Status", "ä", "\u{202e}", "a b", "..", "%s%n", &"n".repeat(65), &"n".repeat(5_000)]
                .choose(rng)
                .expect("there are some")
                .to_string();
            format!("request/{odd}")
        }
    }
}
