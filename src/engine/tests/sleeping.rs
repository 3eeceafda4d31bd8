//! When ticks may come rarely.

use super::*;
use crate::engine::states::StateSettings;

fn started(settings: Settings) -> Engine {
    let mut engine = Engine::new(settings, snapshot());
    engine.start(at(0));
    // The first `health` with figures.
    engine.step(at(2_000), Event::Tick);
    engine
}

fn seen(path: &str) -> Event {
    Event::Watch(WatchEvent::FileSeen(Sighting {
        root: 0,
        path: path.into(),
        stamp: Some(FileStamp { size: 9, mtime_ns: 0, ctime_ns: 0 }),
        closed: false,
        open: false,
    }))
}

#[test]
fn nothing_but_health_falls_due_where_nothing_is_waited_for() {
    let mut engine = started(settings(PromotionPolicy::Gated));
    let due = engine.sleeps_until().expect("nothing is waited for");
    let health =
        |step: &Step| step.acts.iter().any(|act| matches!(act, Act::Publish { topic, .. } if *topic == Topic::Health));
    let just_before = due.checked_sub(Duration::from_millis(1)).expect("it is not due at once");
    let before = engine.step(Now { mono: just_before, ..at(0) }, Event::Tick);
    let then = engine.step(Now { mono: due, ..at(0) }, Event::Tick);
    assert_eq!((health(&before), health(&then)), (false, true));
    assert_eq!(engine.sleeps_until(), Some(due + Duration::from_secs(30)));
}

#[test]
fn a_file_on_its_way_and_a_store_that_is_full_need_frequent_ticks() {
    let mut engine = started(settings(PromotionPolicy::Gated));
    engine.step(at(2_100), seen("/in/a.jpg"));
    assert_eq!(engine.sleeps_until(), None, "it is looked at soon");
    let mut engine = started(settings(PromotionPolicy::Gated));
    engine.step(at(2_100), Event::Store(StoreEvent::Unavailable { full: true, reason: "no room".into() }));
    assert_eq!(engine.sleeps_until(), None, "it is tried again soon");
    engine.step(at(2_200), Event::Store(StoreEvent::Recovered));
    assert!(engine.sleeps_until().is_some());
}

#[test]
fn a_state_has_times_of_its_own() {
    let mut settings = settings(PromotionPolicy::Gated);
    settings.tasks[0].state = Some(StateSettings::default());
    assert_eq!(started(settings).sleeps_until(), None);
}
