//! Whether anything was lost or doubled.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::daemon::Message;
use crate::proxy::Acknowledged;

/// A broker that is killed takes with it what it acknowledged shorter ago than this.
const LAST_MOMENT: Duration = Duration::from_secs(1);

/// What came of it all.
pub struct Verdict {
    images: usize,
    heard: usize,
    copies: usize,
    died_with_the_broker: usize,
    /// What must not be.
    pub faults: Vec<String>,
}

/// Compares the images with what was heard and acknowledged.
pub fn judge(
    taken: &BTreeMap<String, u64>,
    heard: &[Message],
    acknowledged: &[Acknowledged],
    deaths: &[Instant],
) -> Verdict {
    let mut faults = Vec::new();
    let mut seqs: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
    let mut images: BTreeMap<u64, String> = BTreeMap::new();
    let mut add = |json: &Value, faults: &mut Vec<String>| {
        let image = json["image"].as_str().expect("a prediction names its image").to_owned();
        let seq = json["seq"].as_u64().expect("it has a seq");
        seqs.entry(image.clone()).or_default().insert(seq);
        let other = images.entry(seq).or_insert_with(|| image.clone());
        if *other != image {
            faults.push(format!("seq {seq} is of image {image} and of image {other}"));
        }
        (image, seq)
    };
    let mut arrived = BTreeSet::new();
    let mut highest = 0;
    for message in heard {
        let (image, seq) = add(&message.json, &mut faults);
        if arrived.insert(image) {
            if seq < highest {
                faults.push(format!("seq {seq} came for the first time after {highest}"));
            }
            highest = highest.max(seq);
        }
    }
    let mut acknowledged_at: BTreeMap<String, Vec<Instant>> = BTreeMap::new();
    for Acknowledged { payload, at, .. } in acknowledged.iter().filter(|sent| sent.topic.ends_with("/prediction")) {
        let json = serde_json::from_slice(payload).expect("a prediction is JSON");
        let (image, _) = add(&json, &mut faults);
        acknowledged_at.entry(image).or_default().push(*at);
    }
    for (image, seqs) in seqs.iter().filter(|(_, seqs)| seqs.len() > 1) {
        faults.push(format!("image {image} has predictions {seqs:?}"));
    }
    let mut died_with_the_broker = 0;
    for (image, index) in taken.iter().filter(|(image, _)| !arrived.contains(*image)) {
        let moments = acknowledged_at.get(image).into_iter().flatten();
        let before_a_death = |at: &Instant| {
            deaths.iter().any(|death| death.checked_duration_since(*at).is_some_and(|ago| ago < LAST_MOMENT))
        };
        let (excused, acknowledged) =
            moments.fold((false, false), |(excused, _), at| (excused | before_a_death(at), true));
        match (excused, acknowledged) {
            (true, _) => died_with_the_broker += 1,
            (false, true) => faults.push(format!("picture {index} was acknowledged and never heard")),
            (false, false) => faults.push(format!("picture {index} was never acknowledged")),
        }
    }
    for image in arrived.iter().filter(|image| !taken.contains_key(*image)) {
        faults.push(format!("image {image} was never there"));
    }
    Verdict {
        images: taken.len(),
        heard: arrived.len(),
        copies: heard.len() - arrived.len(),
        died_with_the_broker,
        faults,
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { images, heard, copies, died_with_the_broker, faults } = self;
        write!(
            f,
            "{images} images: {heard} predictions heard, {copies} further copies with the same seq, \
             {died_with_the_broker} acknowledged by a broker that was killed with them, {} faults",
            faults.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn message(image: &str, seq: u64) -> Message {
        let json = json!({"image": image, "seq": seq});
        Message { topic: "prediction".into(), json, retained: false, at: Instant::now() }
    }

    fn taken() -> BTreeMap<String, u64> {
        [("a".to_owned(), 0), ("b".to_owned(), 1)].into()
    }

    fn acknowledged(image: &str, seq: u64, at: Instant) -> Acknowledged {
        let payload = json!({"image": image, "seq": seq}).to_string().into_bytes();
        Acknowledged { topic: "edgetuned/line-3/prediction".into(), payload, at }
    }

    #[test]
    fn copies_with_the_same_seq_are_fair_and_others_are_not() {
        let fair = [message("a", 1), message("a", 1), message("b", 2), message("a", 1)];
        let verdict = judge(&taken(), &fair, &[], &[]);
        assert_eq!((verdict.copies, verdict.faults.len()), (2, 0));
        for unfair in [
            [message("a", 1), message("b", 2), message("a", 3)],
            [message("a", 1), message("b", 1), message("b", 1)],
            [message("a", 2), message("b", 1), message("b", 1)],
        ] {
            assert!(!judge(&taken(), &unfair, &[], &[]).faults.is_empty(), "{unfair:?}");
        }
    }

    #[test]
    fn what_is_missing_is_excused_by_the_death_of_its_broker_alone() {
        let death = Instant::now() + Duration::from_secs(100);
        let just_before = death.checked_sub(Duration::from_millis(5)).unwrap();
        let long_before = death.checked_sub(Duration::from_secs(5)).unwrap();
        let heard = [message("a", 1)];
        let judged = |at: Instant, deaths: &[Instant]| judge(&taken(), &heard, &[acknowledged("b", 2, at)], deaths);
        assert_eq!(judged(just_before, &[death]).faults, Vec::<String>::new());
        for (at, deaths) in [(just_before, vec![]), (long_before, vec![death])] {
            assert_eq!(judged(at, &deaths).faults, ["picture 1 was acknowledged and never heard"]);
        }
        assert_eq!(judge(&taken(), &heard, &[], &[death]).faults, ["picture 1 was never acknowledged"]);
    }
}
