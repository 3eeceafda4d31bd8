//! What makes a state of the predictions of a task, and what follows from it.

use serde_json::json;

use super::tasks::*;
use super::*;
use crate::words::Keep;

#[test]
fn a_frame_that_speaks_against_the_state_makes_its_camera_look_more_closely() {
    let garage: crate::words::SourceId = "garage".parse().unwrap();
    let mut settings = settings_of(&["door"]);
    settings.tasks[0].state = Some(StateSettings::default());
    let (gap, unknown_after) = (Duration::ZERO, Duration::from_mins(5));
    settings.sources =
        vec![SourceSettings { id: garage.clone(), gap, bursts: true, unknown_after, keep: Keep::All, tasks: 1 }];
    let mut engine = Engine::new(settings, Snapshot::default());
    engine.start(at(0));
    let bursts = |engine: &mut Engine, number: u8, class: &str| {
        let view = View { task: id("door"), space: space(), is_new: true, prediction: Some(sure_of(class)) };
        let image = picture(number, vec![view]);
        let outcome = FrameOutcome::Image(Box::new(image));
        let read = FrameRead { source: garage.clone(), stale: false, waiter: None, outcome };
        let step = engine.step(at(u64::from(number)), Event::Frame(read));
        step.acts.iter().any(|act| matches!(act, Act::Burst(source) if *source == garage))
    };
    assert!(bursts(&mut engine, 1, "open"), "it is no known state");
    assert!(bursts(&mut engine, 2, "open"), "it became one by this vote");
    assert!(!bursts(&mut engine, 3, "open"));
    assert!(bursts(&mut engine, 4, "shut"));
}

#[test]
fn the_time_of_a_state_is_stored_when_it_is_first_said() {
    let mut settings = settings_of(&["door"]);
    settings.tasks[0].state = Some(StateSettings::default());
    let mut engine = Engine::new(settings, Snapshot::default());
    let stores = |step: &Step| step.writes.iter().any(|write| matches!(write, Write::StateRecord { .. }));
    assert!(stores(&engine.start(at(0))));
    let said = |step: &Step| messages(step).into_iter().find(|(topic, _)| topic == "task/door/state").unwrap().1;
    let first = said(&engine.step(at(5), Event::Broker(BrokerEvent::connected())));
    let later = said(&engine.step(at(9), Event::Broker(BrokerEvent::connected())));
    assert_eq!(first["since"], later["since"]);
}

#[test]
fn a_state_needs_its_votes_and_is_judged_again_when_another_head_serves() {
    let mut settings = settings_of(&["door"]);
    settings.tasks[0].state = Some(StateSettings::default());
    let mut engine = Engine::new(settings, Snapshot::default());
    engine.start(at(0));
    let sees = |engine: &mut Engine, number: u8, label: &str| {
        let scored = sure_of(label);
        let view = View { task: id("door"), space: space(), is_new: true, prediction: Some(scored) };
        let picture = picture(number, vec![view]);
        let outcome = IngestOutcome::Image(Box::new(picture));
        let (path, stamp) =
            (PathBuf::from(format!("/in/{number}.jpg")), FileStamp { size: 1, mtime_ns: 0, ctime_ns: 0 });
        engine.step(at(u64::from(number)), Event::Ingest(Ingested { root: 0, path, stamp, outcome }))
    };
    let state = |step: &Step| {
        let topic = Topic::Task(id("door"), crate::wire::TaskTopic::State).to_string();
        messages(step).into_iter().find(|(other, _)| *other == topic).map(|(_, payload)| payload)
    };
    assert_eq!(state(&sees(&mut engine, 1, "open")), None, "one vote is no state");
    let step = sees(&mut engine, 2, "open");
    let said = state(&step).expect("two of three");
    assert_eq!(
        (&said["state"], &said["previous"], &said["votes"]),
        (&json!("open"), &json!("unknown"), &json!([2, 2]))
    );
    assert!(
        step.writes.iter().any(|write| matches!(write, Write::StateRecord { .. })),
        "it is durable before it is said"
    );
    assert_eq!(state(&sees(&mut engine, 3, "shut")), None);
    // A label corrects the head: the latest image is judged again, and its vote is replaced.
    labels(&mut engine, "door", 3, "open");
    let step = engine.step(at(4), Event::Tick);
    let asked = |act: &Act| matches!(act, Act::Task(task, TaskAct::JudgeAgain(id)) if *task == self::id("door") && *id == image(3));
    assert!(step.acts.iter().any(asked), "{:?}", step.acts);
}
