//! Frames of cameras: when one is looked at, and how a camera fares.

use super::*;
use crate::wire::{AlertId, SourceHealth};
use crate::words::{Keep, SourceId};

fn id(name: &str) -> SourceId {
    SourceId::new(name).unwrap()
}

/// An engine with these sources, each looked at twice a second, that are missed after a minute.
fn with_sources(names: &[&str]) -> Engine {
    let source = |name: &&str| SourceSettings {
        id: id(name),
        gap: Duration::from_millis(500),
        bursts: *name == "a",
        unknown_after: Duration::from_mins(1),
        keep: Keep::All,
        tasks: 1,
    };
    let settings = Settings { sources: names.iter().map(source).collect(), ..settings(PromotionPolicy::Gated) };
    let mut engine = Engine::new(settings, snapshot());
    engine.start(at(0));
    engine
}

/// So many frames came from a source, of which the last one waits.
fn frames(source: &str, frames: u64) -> Event {
    let counts = SourceCounts { frames, skipped: frames - 1, ..SourceCounts::default() };
    news(SourceNews { source: id(source), counts, waits: true, failure: None })
}

fn failed(source: &str, reason: &str) -> Event {
    let counts = SourceCounts { failed: 1, ..SourceCounts::default() };
    news(SourceNews { source: id(source), counts, waits: false, failure: Some(reason.to_owned()) })
}

fn news(news: SourceNews) -> Event {
    Event::Frames { news: vec![news], dropped: vec![] }
}

/// The frame that was taken is none.
fn bad(source: &str, waiter: Option<Ticket>) -> Event {
    let outcome = FrameOutcome::Bad { reason: "half a picture".to_owned() };
    Event::Frame(FrameRead { source: id(source), stale: false, waiter, outcome })
}

/// The frame that was taken is a picture.
fn good(source: &str) -> Event {
    let image = EmbeddedImage {
        id: SampleId::of(source.as_bytes()),
        bytes: 1,
        views: Vec::new(),
        embeddings: Vec::new(),
        group: SampleId::of(source.as_bytes()),
        decode: Duration::ZERO,
        embed: Duration::ZERO,
        thumbnail: None,
        picture: None,
    };
    let outcome = FrameOutcome::Image(Box::new(image));
    Event::Frame(FrameRead { source: id(source), stale: false, waiter: None, outcome })
}

/// Of which sources a frame is to be taken, in order.
fn taken(step: &Step) -> Vec<String> {
    let taken = step.acts.iter().filter_map(|act| match act {
        Act::IngestFrame { source } => Some(source.to_string()),
        _ => None,
    });
    taken.collect()
}

fn alert(engine: &mut Engine, source: &str) -> Option<String> {
    let wanted = AlertId::Source(id(source));
    engine.raised().into_iter().find(|raised| raised.id == wanted).map(|raised| raised.warning.text)
}

#[test]
fn a_frame_is_taken_at_once_and_the_next_one_when_its_source_is_due() {
    let mut engine = with_sources(&["a"]);
    assert_eq!(taken(&engine.step(at(1_000), frames("a", 1))), ["a"]);
    assert!(taken(&engine.step(at(1_100), frames("a", 3))).is_empty(), "one of its frames is being read");
    assert!(taken(&engine.step(at(1_200), bad("a", None))).is_empty(), "two a second");
    assert!(taken(&engine.step(at(1_400), Event::Tick)).is_empty());
    assert!(engine.waits_for_files(), "ticks come often while a frame waits");
    assert_eq!(taken(&engine.step(at(1_500), Event::Tick)), ["a"]);
    let expected = SourceHealth { frames: 4, skipped: 2, failed: 1, last: Some(at(1_100).wall), frozen: 0 };
    assert_eq!(engine.health().sources[&id("a")], expected);
}

#[test]
fn two_frames_are_read_at_a_time_and_the_sources_take_turns() {
    let mut engine = with_sources(&["a", "b", "c"]);
    for source in ["a", "b", "c"] {
        engine.step(at(1_000), frames(source, 1));
    }
    let step = engine.step(at(1_100), bad("a", None));
    assert_eq!(taken(&step), ["c"], "a third one waited for room");
    let mut order = Vec::new();
    let mut reading = vec!["b".to_owned(), "c".to_owned()];
    for round in 0..30 {
        let now = at(2_000 + round * 250);
        for source in ["a", "b", "c"] {
            reading.extend(taken(&engine.step(now, frames(source, 1))));
        }
        let done = reading.remove(0);
        reading.extend(taken(&engine.step(now, bad(&done, None))));
        order.push(done);
    }
    for source in ["a", "b", "c"] {
        let turns = order.iter().filter(|done| *done == source).count();
        assert!((9..=11).contains(&turns), "{source}: {turns} of {order:?}");
    }
}

#[test]
fn a_source_without_anything_new_is_reported_and_well_again_with_the_next_picture() {
    let mut engine = with_sources(&["a"]);
    engine.step(at(59_000), Event::Tick);
    assert_eq!(alert(&mut engine, "a"), None);
    engine.step(at(60_000), Event::Tick);
    assert!(alert(&mut engine, "a").unwrap().contains("no picture has come since the start"));
    engine.step(at(60_900), frames("a", 1));
    engine.step(at(61_000), good("a"));
    assert_eq!(alert(&mut engine, "a"), None);
    let counts = SourceCounts { frozen: 9, ..SourceCounts::default() };
    engine.step(at(90_000), news(SourceNews { source: id("a"), counts, waits: false, failure: None }));
    engine.step(at(121_000), Event::Tick);
    assert!(alert(&mut engine, "a").unwrap().contains("only the same again"));
    let since = alert(&mut engine, "a").unwrap();
    let again = engine.step(at(122_000), Event::Tick);
    assert!(!again.acts.iter().any(|act| matches!(act, Act::Publish { topic: Topic::Alert(_), .. })), "said once");
    assert_eq!(alert(&mut engine, "a").unwrap(), since);
}

#[test]
fn every_connection_says_how_the_sources_are() {
    let mut engine = with_sources(&["a", "b"]);
    engine.step(at(30_000), frames("b", 1));
    engine.step(at(30_100), good("b"));
    engine.step(at(60_000), Event::Tick);
    let step = engine.step(at(61_000), Event::Broker(BrokerEvent::connected()));
    let said = |source| {
        let alert = Topic::Alert(AlertId::Source(id(source)));
        step.acts.iter().find_map(|act| match act {
            Act::Publish { topic, payload } if *topic == alert => Some(!payload.is_empty()),
            _ => None,
        })
    };
    assert_eq!(said("a"), Some(true), "it was raised while the broker was away");
    assert_eq!(said("b"), Some(false), "the broker may keep an alert of a former process");
}

#[test]
fn three_failures_in_a_row_are_reported_with_their_reason() {
    let mut engine = with_sources(&["a"]);
    for n in 0..2 {
        engine.step(at(1_000 + n), failed("a", "nobody listens there"));
    }
    engine.step(at(2_000), frames("a", 1));
    engine.step(at(2_100), good("a"));
    for n in 0..2 {
        engine.step(at(3_000 + n), failed("a", "nobody listens there"));
    }
    assert_eq!(alert(&mut engine, "a"), None, "a picture came between them");
    engine.step(at(3_900), frames("a", 1));
    engine.step(at(4_000), bad("a", None));
    assert_eq!(alert(&mut engine, "a").as_deref(), Some("half a picture"));
    assert_eq!(engine.health().sources[&id("a")].failed, 5);
    engine.step(at(5_000), frames("a", 1));
    assert!(alert(&mut engine, "a").is_some(), "it may be half a picture again");
    engine.step(at(5_100), good("a"));
    assert_eq!(alert(&mut engine, "a"), None);
}

#[test]
fn who_waits_for_an_answer_gets_one_whatever_becomes_of_the_picture() {
    let mut engine = with_sources(&["a"]);
    engine.step(at(1_000), frames("a", 1));
    let answered = |step: Step| -> Vec<(Ticket, crate::wire::Answer)> {
        let answer =
            |act| if let Act::Answer { ticket, response } = act { Some((ticket, response.answer)) } else { None };
        step.acts.into_iter().filter_map(answer).collect()
    };
    let told = answered(engine.step(at(1_100), bad("a", Some(7))));
    assert!(matches!(&told[..], [(7, answer)] if answer.is(crate::wire::ErrorCode::BadRequest)), "{told:?}");
    let told = answered(engine.step(at(1_200), Event::Frames { news: vec![], dropped: vec![8, 9] }));
    assert!(matches!(&told[..], [(8, answer), (9, _)] if answer.is(crate::wire::ErrorCode::Busy)), "{told:?}");
}

#[test]
fn a_closer_look_is_for_a_camera_that_is_asked() {
    let mut engine = with_sources(&["a", "b"]);
    let mut burst = |source: &str| {
        let payload = format!(r#"{{"source":"{source}"}}"#).into_bytes();
        let step = engine.step(at(1_000), Event::Socket(SocketRequest { name: "burst".into(), payload, ticket: 1 }));
        let bursts = step.acts.iter().any(|act| matches!(act, Act::Burst(found) if *found == id(source)));
        let answer = step.acts.into_iter().find_map(|act| match act {
            Act::Answer { response, .. } => Some(response.answer),
            _ => None,
        });
        (bursts, answer.unwrap())
    };
    assert_eq!(burst("a"), (true, crate::wire::Answer::ok(&serde_json::json!({}))));
    assert!(matches!(burst("b"), (false, answer) if answer.is(crate::wire::ErrorCode::NotPossible)));
    assert!(matches!(burst("c"), (false, answer) if answer.is(crate::wire::ErrorCode::NotFound)));
}

#[test]
fn without_sources_nothing_of_them_is_said() {
    let mut engine = engine(PromotionPolicy::Gated, snapshot());
    engine.start(at(0));
    engine.step(at(1_000), frames("a", 1));
    engine.step(at(600_000), Event::Tick);
    assert!(engine.health().sources.is_empty() && engine.raised().is_empty());
}
