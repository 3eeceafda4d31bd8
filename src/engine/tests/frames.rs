//! Frames of cameras as samples: stored and reported once, labelled like any image, and which of their bytes stay.

use serde_json::{Value, json};

use super::*;
use crate::eval::budget::Why;
use crate::words::{Keep, Origin, SourceId};

/// Bytes of each frame's picture.
const PICTURE: usize = 4 << 10;

fn gate() -> SourceId {
    SourceId::new("gate").unwrap()
}

/// A device with a camera, with a quota of so many KiB; a sample without its picture takes one of them.
fn device(keep: Keep, quota_kib: u64) -> Engine {
    let (gap, unknown_after) = (Duration::ZERO, Duration::from_mins(5));
    let source = SourceSettings { id: gate(), gap, bursts: false, unknown_after, keep, tasks: 1 };
    let settings = Settings { sources: vec![source], quota_bytes: quota_kib << 10, ..settings(PromotionPolicy::Gated) };
    let mut engine = Engine::new(settings, Snapshot::default());
    engine.start(at(0));
    engine
}

fn frame(number: u8) -> SampleId {
    SampleId::of(&[number])
}

/// The worker read frame `number`, which the store does not have; its prediction is `said`.
fn comes(engine: &mut Engine, number: u8, said: Option<&str>, stale: bool) -> Step {
    read(engine, number, said, stale, true)
}

fn read(engine: &mut Engine, number: u8, said: Option<&str>, stale: bool, is_new: bool) -> Step {
    let prediction = said.map(|said| Scored {
        head: HeadRef { id: HeadId("head-2".into()), version: 2 },
        top: vec![(label(said), 0.9)],
        set: None,
        novelty: None,
        novelty_rank: None,
        unknown: None,
        instant: false,
        shadow: None,
    });
    let image = EmbeddedImage {
        id: frame(number),
        bytes: PICTURE as u64,
        views: vec![View { task: TaskId::default(), space: space(), is_new, prediction }],
        embeddings: vec![(space(), vec![0.5])],
        thumbnail: is_new.then(|| vec![1]),
        picture: Some(vec![number; PICTURE]),
        group: frame(number),
        decode: Duration::ZERO,
        embed: if is_new { Duration::from_millis(1) } else { Duration::ZERO },
    };
    let outcome = FrameOutcome::Image(Box::new(image));
    engine.step(at(1_000), Event::Frame(FrameRead { source: gate(), stale, waiter: None, outcome }))
}

/// Frames that were stored, with whether their bytes were.
fn stored(step: &Step) -> Vec<(SampleId, bool)> {
    let stored = step.writes.iter().filter_map(|write| match write {
        Write::Sample(sample) => {
            assert_eq!(sample.origin, Origin::Source(gate()));
            Some((sample.id, sample.picture.is_some()))
        }
        _ => None,
    });
    stored.collect()
}

/// Frames whose bytes were let go of.
fn let_go(step: &Step) -> Vec<SampleId> {
    let gone = step.writes.iter().filter_map(|write| match write {
        Write::DeletePicture { id } => Some(*id),
        _ => None,
    });
    gone.collect()
}

fn predictions(step: &Step) -> Vec<Value> {
    let spooled = step.writes.iter().filter_map(|write| match write {
        Write::Outbox(message) => Some((&message.topic, &message.payload)),
        _ => None,
    });
    let direct = step.acts.iter().filter_map(|act| match act {
        Act::Publish { topic, payload } => Some((topic, payload)),
        _ => None,
    });
    let said = spooled.chain(direct).filter(|(topic, _)| topic.to_string() == "prediction");
    said.map(|(_, payload)| serde_json::from_slice(payload).unwrap()).collect()
}

fn labels(engine: &mut Engine, number: u8, label: &str) -> Step {
    let payload = json!({ "image": frame(number), "label": label }).to_string().into_bytes();
    let inbound = Inbound { topic: "label".into(), payload, retained: false, delivery: 1 };
    engine.step(at(2_000), Event::Broker(BrokerEvent::Message(inbound)))
}

#[test]
fn a_frame_is_reported_each_time_and_stored_once() {
    let mut engine = device(Keep::All, 1 << 10);
    let first = comes(&mut engine, 1, Some("open"), false);
    assert_eq!(stored(&first), [(frame(1), true)]);
    let said = predictions(&first);
    assert_eq!(
        (said[0]["source"].as_str(), said[0].get("path"), &said[0]["label"]),
        (Some("gate"), None, &json!("open"))
    );
    let again = read(&mut engine, 1, Some("open"), false, false);
    assert_eq!((stored(&again), predictions(&again).len()), (vec![], 1), "what the camera sees now");
    assert_eq!(engine.health().samples, 1);
    let stale = comes(&mut engine, 2, None, true);
    assert_eq!((stored(&stale), &predictions(&stale)[0]["stale"]), (vec![(frame(2), true)], &json!(true)));
}

#[test]
fn a_label_is_for_a_frame_as_for_any_image_and_may_come_first() {
    let mut engine = device(Keep::None, 1 << 10);
    comes(&mut engine, 1, Some("open"), false);
    labels(&mut engine, 1, "closed");
    labels(&mut engine, 2, "open");
    assert_eq!(engine.health().labelled, 1, "the other one waits");
    comes(&mut engine, 2, Some("open"), false);
    assert_eq!(engine.health().labelled, 2);
}

#[test]
fn without_room_a_frame_is_reported_and_not_stored() {
    let mut engine = device(Keep::All, 1 << 10);
    engine.step(at(500), Event::Store(StoreEvent::Unavailable { full: true, reason: "full".into() }));
    let step = comes(&mut engine, 1, Some("open"), false);
    assert_eq!((stored(&step), predictions(&step).len()), (vec![], 1));
    engine.step(at(600), Event::Store(StoreEvent::Recovered));
    assert_eq!(stored(&comes(&mut engine, 1, Some("open"), false)), [(frame(1), true)]);
}

#[test]
fn bytes_that_are_kept_until_there_is_a_label_go_with_it() {
    for (keep, gone) in [(Keep::Labelled, vec![frame(1)]), (Keep::All, vec![]), (Keep::Changed, vec![])] {
        let mut engine = device(keep, 1 << 10);
        comes(&mut engine, 1, None, false);
        comes(&mut engine, 2, None, false);
        assert_eq!(let_go(&labels(&mut engine, 1, "open")), gone, "{keep:?}");
        assert_eq!(let_go(&labels(&mut engine, 1, "closed")), [], "{keep:?}: once");
    }
}

#[test]
fn pictures_have_half_of_the_quota_and_those_without_a_label_go_first() {
    // 64 KiB for pictures of 4 KiB each.
    let mut engine = device(Keep::All, 128);
    for number in 1..=16 {
        assert_eq!(let_go(&comes(&mut engine, number, None, false)), []);
        if number == 1 {
            labels(&mut engine, 1, "open");
        }
    }
    let gone = let_go(&comes(&mut engine, 17, None, false));
    assert_eq!(gone, [2, 3, 4].map(frame), "68 KiB, and room for the next ones");
    let gone: Vec<_> = (18..=40).flat_map(|number| let_go(&comes(&mut engine, number, None, false))).collect();
    assert_eq!(gone, (5..5 + gone.len() as u8).map(frame).collect::<Vec<_>>(), "the labelled one stays");
    assert!(gone.len() > 20);
}

#[test]
fn a_picture_too_large_for_the_quota_is_not_kept_and_its_sample_is() {
    let mut engine = device(Keep::All, 100);
    assert_eq!(stored(&comes(&mut engine, 1, None, false)), [(frame(1), false)]);
}

#[test]
fn where_no_sample_may_go_pictures_do_and_a_sample_takes_its_picture_along() {
    let mut engine = device(Keep::All, 1 << 10);
    for number in 1..=100 {
        comes(&mut engine, number, None, false);
    }
    let vitals = SystemMetrics { store_beside_bytes: 900 << 10, ..SystemMetrics::default() };
    let step = engine.step(at(3_000), Event::SystemMetrics(vitals));
    assert!(step.acts.iter().any(|act| matches!(act, Act::Evict { .. })), "over the quota");
    let none = engine.step(at(3_100), Event::Adapter(AdapterEvent::EvictionCandidates(vec![])));
    assert_eq!(let_go(&none), (1..=13).map(frame).collect::<Vec<_>>(), "5 % of the quota, oldest first");
    let search = engine.step(at(3_200), Event::SystemMetrics(vitals));
    assert!(search.acts.iter().any(|act| matches!(act, Act::Evict { .. })), "still over it");
    let gone = EvictionCandidate { id: frame(14), labels: vec![], why: Why::Unlabelled };
    let step = engine.step(at(3_300), Event::Adapter(AdapterEvent::EvictionCandidates(vec![gone])));
    assert!(step.writes.iter().any(|write| matches!(write, Write::DeleteSample { id } if *id == frame(14))));
    engine.step(at(3_400), Event::SystemMetrics(vitals));
    let next = engine.step(at(3_500), Event::Adapter(AdapterEvent::EvictionCandidates(vec![])));
    assert_eq!(let_go(&next)[0], frame(15), "the picture of the evicted one counts no more");
}

#[test]
fn the_pictures_of_a_former_run_are_known() {
    let id = frame(1);
    let pictures = vec![StoredPicture { id, source: gate(), bytes: PICTURE as u64 }];
    let source = SourceSettings {
        id: gate(),
        gap: Duration::ZERO,
        bursts: false,
        unknown_after: Duration::from_mins(5),
        keep: Keep::Labelled,
        tasks: 1,
    };
    let stored = StoredTask { samples: vec![StoredSample::new(id)], ..StoredTask::default() };
    let settings = Settings { sources: vec![source], ..settings(PromotionPolicy::Gated) };
    let mut engine = Engine::new(settings, Snapshot { pictures, ..Snapshot::from(stored) });
    engine.start(at(0));
    assert_eq!(let_go(&labels(&mut engine, 1, "open")), [id]);
}

#[test]
fn bytes_that_have_their_labels_since_a_task_went_go_at_the_start() {
    let (id, open) = (frame(1), frame(2));
    let picture = |id| StoredPicture { id, source: gate(), bytes: PICTURE as u64 };
    let (gap, unknown_after) = (Duration::ZERO, Duration::from_mins(5));
    let source = |tasks| SourceSettings { id: gate(), gap, bursts: false, unknown_after, keep: Keep::Labelled, tasks };
    let start = |tasks| {
        let labelled = StoredSample { label: Some((label("open"), LabelSource::Mqtt)), ..StoredSample::new(id) };
        let stored = StoredTask { samples: vec![labelled, StoredSample::new(open)], ..StoredTask::default() };
        let settings = Settings { sources: vec![source(tasks)], ..settings(PromotionPolicy::Gated) };
        let pictures = vec![picture(id), picture(open)];
        let mut engine = Engine::new(settings, Snapshot { pictures, ..Snapshot::from(stored) });
        let_go(&engine.start(at(0)))
    };
    assert_eq!(start(2), [], "another task has no label for it");
    assert_eq!(start(1), [id]);
    assert_eq!(start(0), [id], "what nobody labelled stays, though nobody looks any more");
}
