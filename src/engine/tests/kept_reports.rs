//! Trainings and events stay in the store, whether the broker gets them or not.

use super::*;
use crate::engine::{KeptReport, StoreEvent};
use crate::eval::{HeldOutAnswer, HeldOutAnswers};
use crate::words::ShortId;

/// What a step keeps.
fn kept(step: &Step) -> Vec<&KeptReport> {
    step.writes.iter().filter_map(|write| if let Write::Keep(report) = write { Some(report) } else { None }).collect()
}

/// The payloads that a step sends on this topic.
fn sent<'a>(step: &'a Step, on: &Topic) -> Vec<&'a [u8]> {
    let stored = step.writes.iter().filter_map(|write| match write {
        Write::Outbox(message) if message.topic == *on => Some(&message.payload[..]),
        _ => None,
    });
    let published = step.acts.iter().filter_map(|act| match act {
        Act::Publish { topic, payload } if topic == on => Some(&payload[..]),
        _ => None,
    });
    stored.chain(published).collect()
}

fn trained(engine: &mut Engine) -> Step {
    let order = ordered(&request(engine, "train")).expect("a training");
    let Event::Trainer(task, TrainerEvent::Finished(mut finished)) = outcome(order, "head-3", 3) else {
        unreachable!("a training's outcome")
    };
    finished.answers = answers();
    engine.step(at(5), Event::Trainer(task, TrainerEvent::Finished(finished)))
}

fn answers() -> HeldOutAnswers {
    [HeldOutAnswer { image: ShortId([7; 8]), truth: 1, predicted: 0 }].into_iter().collect()
}

#[test]
fn reports_are_kept_as_they_are_published_with_or_without_a_broker() {
    for broker in [Some("broker".to_owned()), None] {
        let settings = Settings { broker: broker.clone(), ..settings(PromotionPolicy::Gated) };
        let mut engine = Engine::new(settings, snapshot());
        let started = engine.start(at(0));
        let [KeptReport::Event { task: None, payload, .. }] = kept(&started)[..] else {
            panic!("{broker:?}: {started:?}")
        };
        assert_eq!(sent(&started, &Topic::Event), [&payload[..]], "{broker:?}");

        let step = trained(&mut engine);
        let training = kept(&step).into_iter().find_map(|report| match report {
            KeptReport::Training { task, training, payload, answers } => Some((task, *training, payload, answers)),
            KeptReport::Event { .. } => None,
        });
        let (task, number, payload, found) = training.expect("a result is kept");
        assert_eq!((task, number, found), (&TaskId::default(), 1, &answers()), "{broker:?}");
        assert_eq!(sent(&step, &Topic::TrainResult), [&payload[..]], "{broker:?}");
        let events = kept(&step).into_iter().filter(|report| matches!(report, KeptReport::Event { .. })).count();
        assert_eq!(events, sent(&step, &Topic::Event).len(), "{broker:?}");
        assert!(events >= 2, "{broker:?}: it was trained, and promoted");
    }
}

#[test]
fn nothing_is_kept_while_nothing_can_be_stored() {
    let mut engine = engine(PromotionPolicy::Gated, snapshot());
    engine.start(at(0));
    engine.step(at(1), Event::Store(StoreEvent::Unavailable { full: true, reason: "no room".into() }));
    let step = engine.step(at(2), Event::Process(ProcessEvent::StopRequested));
    assert_eq!((sent(&step, &Topic::Event).len(), kept(&step).len()), (1, 0), "{step:?}");
}
