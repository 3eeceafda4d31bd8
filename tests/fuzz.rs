//! Mutated messages against what parses them, without daemon and broker; `fuzz/README.md` tells more.
//!
//! `FUZZ_SEED=17` begins elsewhere, `FUZZ_SECONDS=60` goes on for so long.

#[allow(dead_code, reason = "shared with other tests, which use other parts of it")]
#[path = "support/hostile.rs"]
mod hostile;

use std::time::{Duration, Instant};

use edgetuned::update::{Manifest, Signer, TrustedKeys};
use edgetuned::wire::{Base, Desired, InboundTopic, LabelItem, Request, parse_labels};
use hostile::{Corpus, Hostile};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// A reason fits on a screen, whatever it speaks of: 80 characters of it may be escaped with eight each.
const REASON_MAX: usize = 1_000;

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().expect("a number"))
}

#[test]
fn no_message_breaks_what_parses_it_and_every_refusal_fits_on_a_screen() {
    let seed = number("FUZZ_SEED", 1);
    let time = Duration::from_secs(number("FUZZ_SECONDS", 1));
    println!("FUZZ_SEED={seed}");
    let corpus = Corpus::load();
    let (begun, mut count, mut taken) = (Instant::now(), 0_u64, 0_u64);
    while begun.elapsed() < time {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(count);
        let message = corpus.message(&mut rng);
        let checked = std::panic::catch_unwind(|| check(&message)).unwrap_or_else(|_| Err("a panic".into()));
        match checked {
            Ok(was_taken) => taken += u64::from(was_taken),
            Err(fault) => {
                let shown = String::from_utf8_lossy(&message.payload[..message.payload.len().min(2_000)]);
                panic!("FUZZ_SEED={seed}, message {count}: {fault}\n{} {shown}", message.topic);
            }
        }
        count += 1;
    }
    println!("{count} messages in {:.1} s, {taken} of them taken", begun.elapsed().as_secs_f64());
    assert!(taken > count / 50 && taken < count, "both sides of every check are reached: {taken} of {count}");
}

/// Whether the message is taken; an error when something about that is wrong.
fn check(message: &Hostile) -> Result<bool, String> {
    let Hostile { topic, payload, .. } = message;
    let base = Base::new("edgetuned", "line-3").expect("a base");
    let whole = if topic.starts_with("homeassistant/") { topic.clone() } else { format!("{base}/{topic}") };
    if base.strip(&whole) != Some(topic) {
        return Err("the base is not stripped".into());
    }
    let refused = |reason: String| if reason.len() > REASON_MAX { Err(reason) } else { Ok(false) };
    match topic.parse::<InboundTopic>() {
        Err(bad) => refused(bad.to_string()),
        Ok(InboundTopic::Label) => match parse_labels(payload) {
            Err(bad) => refused(bad.to_string()),
            Ok(items) => same_again(&items).map(|()| true),
        },
        Ok(InboundTopic::Request(name)) => match Request::parse(&name, payload) {
            Err(bad) => refused(bad.reason),
            Ok(request) if request.name != name => Err("another request came of it".into()),
            Ok(_) => Ok(true),
        },
        Ok(InboundTopic::ConfigDesired) => match Desired::parse(payload) {
            Err(bad) => refused(bad.to_string()),
            Ok(_) => Ok(true),
        },
        Ok(InboundTopic::UpdateDesired(_)) => match Manifest::open(payload, &keys()) {
            Err(bad) => refused(bad.reason),
            Ok(_) => Err("nobody signed it".into()),
        },
        Ok(_) => Ok(true),
    }
}

/// Somebody is trusted who never signed anything here.
fn keys() -> TrustedKeys {
    TrustedKeys(vec![Signer::from_seed(&[7; 32]).public()])
}

fn same_again(items: &[LabelItem]) -> Result<(), String> {
    let bytes = serde_json::to_vec(items).map_err(|error| error.to_string())?;
    match parse_labels(&bytes) {
        Ok(again) if again == items => Ok(()),
        other => Err(format!("written and read it is {other:?}")),
    }
}
