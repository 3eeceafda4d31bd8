//! Labels that a training left out: the alert, its end, and who can end it.

use super::*;
use crate::engine::LeftOut;
use crate::wire::{AlertId, Severity, TrainResult, Warning};

/// Begins a training and ends it having left out the label of 'bolt'.
fn trained_without(engine: &mut Engine, left_out: Option<LeftOut>, version: u64) -> Step {
    let order = ordered(&request(engine, "train")).expect("a training");
    let Event::Trainer(task, TrainerEvent::Finished(mut finished)) =
        outcome(order, &format!("head-{version}"), version)
    else {
        unreachable!("a training's outcome")
    };
    finished.left_out = left_out;
    finished.against = engine.models.first().champion().map(|champion| champion.head.version);
    engine.step(at(5), Event::Trainer(task, TrainerEvent::Finished(finished)))
}

fn bolt() -> LeftOut {
    LeftOut {
        images: vec![SampleId::of(b"bolt")],
        of: 2,
        sources: vec![(LabelSource::Folder, 1)],
        mostly: (label("bolt"), label("nut")),
    }
}

/// The alert that a step raised.
fn raised(step: &Step) -> Option<Warning> {
    last_alert(step).filter(|payload| !payload.is_empty()).map(|payload| serde_json::from_slice(payload).unwrap())
}

/// Whether a step ended the alert.
fn has_ended(step: &Step) -> bool {
    last_alert(step).is_some_and(<[u8]>::is_empty)
}

fn last_alert(step: &Step) -> Option<&[u8]> {
    step.acts.iter().rev().find_map(|act| match act {
        Act::Publish { topic, payload } if *topic == Topic::Alert(AlertId::Labels) => Some(payload.as_slice()),
        _ => None,
    })
}

fn labelled(engine: &mut Engine, image: &[u8], name: &str) -> Step {
    let payload = format!(r#"{{"image": "{}", "label": "{name}"}}"#, SampleId::of(image)).into_bytes();
    let inbound = Inbound { topic: "label".into(), payload, retained: false, delivery: 9 };
    engine.step(at(6), Event::Broker(BrokerEvent::Message(inbound)))
}

fn training_state(step: &Step) -> Option<&TrainingState> {
    step.writes
        .iter()
        .rev()
        .find_map(|write| if let Write::TrainingState { state, .. } = write { Some(state) } else { None })
}

fn started() -> Engine {
    let mut engine = Engine::new(settings(PromotionPolicy::Gated), snapshot());
    engine.start(at(0));
    engine
}

#[test]
fn labels_that_a_training_left_out_are_an_alert_with_their_number_and_origin_until_a_training_believes_all() {
    let mut engine = started();
    let step = trained_without(&mut engine, Some(bolt()), 3);
    let warning = raised(&step).expect("an alert");
    assert_eq!(warning.severity, Severity::Warning);
    let says = "1 of 2 new labels (1 by folder) contradict the older ones and cannot be learned, mostly 'bolt' on images \
                like 'nut'";
    assert!(warning.text.starts_with(says), "{}", warning.text);
    let result = step.writes.iter().find_map(|write| match write {
        Write::Outbox(message) if message.topic == Topic::TrainResult => {
            Some(serde_json::from_slice::<TrainResult>(&message.payload).unwrap())
        }
        _ => None,
    });
    assert_eq!(result.map(|result| result.disbelieved_labels), Some(1));
    assert_eq!(engine.health().disbelieved, 1);

    let step = trained_without(&mut engine, None, 4);
    assert_eq!((has_ended(&step), engine.health().disbelieved), (true, 0));
}

#[test]
fn the_same_label_again_confirms_it_and_counts_as_a_new_one() {
    let mut engine = started();
    let step = labelled(&mut engine, b"bolt", "bolt");
    assert!(training_state(&step).is_none(), "a person makes the folder's label their own, no more");
    trained_without(&mut engine, Some(bolt()), 3);
    let step = labelled(&mut engine, b"bolt", "bolt");
    let state = training_state(&step).expect("the schedule's state");
    assert_eq!((state.new_labels, &state.disbelieved, has_ended(&step)), (1, &None, true));
    assert!(step.writes.iter().any(|write| matches!(write, Write::Label { id, .. } if *id == SampleId::of(b"bolt"))));
    let step = labelled(&mut engine, b"bolt", "bolt");
    assert!(training_state(&step).is_none(), "once is enough");
}

#[test]
fn another_label_ends_the_doubt_and_the_label_of_another_image_does_not() {
    let mut engine = started();
    trained_without(&mut engine, Some(bolt()), 3);
    assert_eq!(last_alert(&labelled(&mut engine, b"nut", "bolt")), None);
    assert!(has_ended(&labelled(&mut engine, b"bolt", "nut")));
}

#[test]
fn the_alert_and_the_way_to_end_it_survive_a_restart() {
    let mut engine = started();
    let step = trained_without(&mut engine, Some(bolt()), 3);
    let training = training_state(&step).expect("the schedule's state").clone();
    let since = raised(&step).map(|warning| warning.since);
    let mut engine = Engine::new(settings(PromotionPolicy::Gated), with(|task| task.training = training));
    engine.start(at(7));
    let connected = engine.step(at(7), Event::Broker(BrokerEvent::connected()));
    assert_eq!(raised(&connected).map(|warning| warning.since), since);
    assert!(has_ended(&labelled(&mut engine, b"bolt", "bolt")));
}
