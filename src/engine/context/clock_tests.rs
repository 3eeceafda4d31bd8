use super::*;
use crate::engine::tests::{at, settings, snapshot};
use crate::engine::{
    BrokerEvent, Engine, Event, Inbound, LabelSource, OutboxMessage, PendingLabel, PromotionPolicy, Snapshot, Spooled,
    Step, StoreEvent, SystemMetrics, Worth, Write,
};
use crate::words::{Label, TaskId};

/// A message, a label, and that the daemon started.
const WAITING: usize = 3;
const DAY_MS: i64 = 86_400_000;
const TEN_YEARS_MS: i64 = 3_652 * DAY_MS;

/// The time that a clock shows which was set by so much, `mono_ms` after the start.
fn set_by(mono_ms: u64, by_ms: i64) -> Now {
    let right = at(mono_ms);
    Now { wall: Timestamp(right.wall.0 + by_ms), ..right }
}

/// An engine with a message and a label that wait.
fn waiting() -> Engine {
    waiting_with(0, None)
}

/// The same, where the clock is wrong by so much at the start, and was doubted at these times.
fn waiting_with(by_ms: i64, doubted: Option<DoubtedTimes>) -> Engine {
    let made_at = at(0).wall;
    let awaited = PendingLabel {
        task: TaskId::default(),
        prefix: "0123456789abcdef".into(),
        label: Label::new("nut").unwrap(),
        source: LabelSource::Mqtt,
        at: made_at,
        change: None,
        former: None,
    };
    let outbox = vec![Spooled { seq: 1, worth: Worth::Prediction, bytes: 10, made_at }];
    let doubted = doubted.unwrap_or_default();
    let stored = Snapshot { outbox, awaited: vec![awaited], doubted, ..snapshot() };
    let mut engine = Engine::new(settings(PromotionPolicy::Gated), stored);
    engine.start(set_by(0, by_ms));
    engine.step(set_by(0, by_ms), Event::Tick);
    engine
}

fn expired(effects: &Step) -> usize {
    let is_expiry = |write: &&Write| matches!(write, Write::DeleteMessage { .. } | Write::DeletePendingLabel { .. });
    effects.writes.iter().filter(is_expiry).count()
}

fn doubted(engine: &mut Engine) -> Option<String> {
    engine.raised().into_iter().find(|raised| raised.id == AlertId::Clock).map(|raised| raised.warning.text)
}

#[test]
fn a_clock_set_ten_years_ahead_expires_nothing_until_it_has_stood_for_a_day() {
    let mut engine = waiting();
    let minute = 60_000;
    assert_eq!(expired(&engine.step(set_by(2 * minute, TEN_YEARS_MS), Event::Tick)), 0);
    assert!(doubted(&mut engine).is_some_and(|text| text.contains("+87648.0 h")), "{:?}", doubted(&mut engine));
    assert_eq!(expired(&engine.step(set_by(12 * 60 * minute, TEN_YEARS_MS), Event::Tick)), 0);
    let a_day_later = engine.step(set_by(25 * 60 * minute, TEN_YEARS_MS), Event::Tick);
    assert_eq!(
        expired(&a_day_later),
        WAITING - 1,
        "this run's are a day old, that of the jump too; others have no age"
    );
    assert_eq!(doubted(&mut engine), None);
    assert_eq!(expired(&engine.step(set_by(31 * DAY_MS as u64, TEN_YEARS_MS), Event::Tick)), 0, "nor has the label");
}

#[test]
fn a_corrected_clock_is_trusted_at_once() {
    let mut engine = waiting();
    engine.step(set_by(1_000, -TEN_YEARS_MS), Event::Tick);
    assert!(doubted(&mut engine).is_some(), "that is before the program was made");
    engine.step(set_by(2_000, 0), Event::Tick);
    assert_eq!(doubted(&mut engine), None);
    assert_eq!(
        expired(&engine.step(set_by(40 * DAY_MS as u64, 0), Event::Tick)),
        WAITING + 1,
        "now they are old, and so is the event of the jump"
    );
}

#[test]
fn the_clock_is_trusted_once_a_time_server_agrees_and_not_before() {
    let mut engine = waiting();
    let synced = |time_synced| Event::SystemMetrics(SystemMetrics { time_synced, ..SystemMetrics::default() });
    engine.step(at(1_000), synced(Some(false)));
    assert_eq!(expired(&engine.step(set_by(120_000, TEN_YEARS_MS), Event::Tick)), 0);
    engine.step(set_by(130_000, TEN_YEARS_MS), synced(Some(true)));
    engine.step(set_by(140_000, TEN_YEARS_MS), Event::Tick);
    assert!(doubted(&mut engine).is_some(), "it may not have noticed yet");
    assert_eq!(expired(&engine.step(set_by(190_000, TEN_YEARS_MS), Event::Tick)), 0, "all of it is minutes old");
    assert_eq!(doubted(&mut engine), None);
}

/// A day that the clock may show: without a battery, from a file written at the last stop, right, and far ahead.
const CLOCKS: [(&str, i64); 4] =
    [("1970", -20_500 * DAY_MS), ("a saved time", -30 * DAY_MS), ("right", 0), ("ahead", TEN_YEARS_MS)];

/// An engine whose clock is wrong by so much and that hears of no time server; with a label that waits, and messages.
fn started_with(by_ms: i64, snapshot: Snapshot) -> Engine {
    let mut engine = Engine::new(settings(PromotionPolicy::Gated), snapshot);
    engine.start(set_by(0, by_ms));
    engine.step(set_by(0, by_ms), Event::Tick);
    let metrics = SystemMetrics { time_synced: Some(false), ..SystemMetrics::default() };
    engine.step(set_by(5_000, by_ms), Event::SystemMetrics(metrics));
    engine.step(set_by(5_000, by_ms), Event::Tick);
    engine
}

/// The network comes: a time server sets the clock, and agrees.
fn learns_the_time(engine: &mut Engine, mono_ms: u64) {
    engine.step(at(mono_ms), Event::Tick);
    let metrics = SystemMetrics { time_synced: Some(true), ..SystemMetrics::default() };
    engine.step(at(mono_ms + 10_000), Event::SystemMetrics(metrics));
    engine.step(at(mono_ms + 20_000), Event::Tick);
}

fn label_for(prefix: &str) -> Event {
    let payload = format!(r#"{{"image": "{prefix}", "label": "nut"}}"#).into_bytes();
    Event::Broker(BrokerEvent::Message(Inbound { topic: "label".into(), payload, retained: false, delivery: 1 }))
}

#[test]
fn what_was_made_before_the_clock_was_set_is_as_old_as_it_is_and_expires_then() {
    for (name, by_ms) in CLOCKS {
        let mut engine = started_with(by_ms, Snapshot::default());
        engine.step(set_by(6_000, by_ms), label_for("0123456789abcdef"));
        learns_the_time(&mut engine, 10_000);
        for minutes in 1..=20 {
            let step = engine.step(at(60_000 * minutes), Event::Tick);
            assert_eq!(expired(&step), 0, "{name}: minutes old after {minutes} minutes");
        }
        let messages = expired(&engine.step(at(DAY_MS as u64 + 120_000), Event::Tick));
        assert!(messages > 0, "{name}: a day is the bound of messages");
        assert_eq!(expired(&engine.step(at(31 * DAY_MS as u64), Event::Tick)), 1, "{name}: the label after 30 days");
    }
}

#[test]
fn what_a_former_run_made_while_the_clock_was_wrong_has_no_age_in_a_later_one() {
    for (name, by_ms) in CLOCKS {
        let mut engine = Engine::new(settings(PromotionPolicy::Gated), Snapshot::default());
        let mut stored = Snapshot::default();
        let mut writes = engine.start(set_by(0, by_ms)).writes;
        let unsynced = SystemMetrics { time_synced: Some(false), ..SystemMetrics::default() };
        let events = [Event::Tick, label_for("0123456789abcdef"), Event::SystemMetrics(unsynced), Event::Tick];
        for (seconds, event) in events.into_iter().enumerate() {
            writes.extend(engine.step(set_by(1_000 * seconds as u64, by_ms), event).writes);
        }
        for write in writes {
            match write {
                Write::Outbox(OutboxMessage { seq, topic, made_at, .. }) => {
                    stored.outbox.push(Spooled { seq, worth: Worth::of(&topic), bytes: 10, made_at });
                }
                Write::PendingLabel(label) => stored.awaited.push(label),
                Write::DoubtedTimes(times) => stored.doubted = times,
                _ => {}
            }
        }
        assert!(!stored.outbox.is_empty() && stored.awaited.len() == 1);
        let mut later = Engine::new(settings(PromotionPolicy::Gated), stored);
        later.start(at(0));
        for days in [0, 1, 2, 40] {
            let step = later.step(at(days * DAY_MS as u64), Event::Tick);
            let of_this_run = usize::from(days == 2);
            assert_eq!(expired(&step), of_this_run, "{name}: after {days} days");
        }
    }
}

#[test]
fn what_was_made_before_a_clock_was_set_back_and_then_ahead_has_no_age_in_a_later_run() {
    let hour = 3_600_000;
    let mut clock = WallClock::default();
    clock.begin(at(0));
    for (mono_ms, by) in [(1_000, 0), (2_000, -2 * hour), (3_000, 240 * hour)] {
        clock.look(set_by(mono_ms, by), None);
    }
    let ages = clock.ages(set_by(3_000, 240 * hour), None);
    assert!(ages.doubted.contains(at(1_000).wall), "made before it was set back: {:?}", ages.doubted);
}

#[test]
fn what_a_former_run_made_before_a_clock_was_set_back_has_no_age_when_a_later_one_sees_it_set_ahead() {
    // Set back by a month in the run that made them, so that the next one begins behind their stamps.
    let behind = -30 * DAY_MS;
    let mut second = waiting_with(behind, None);
    let effects = second.step(set_by(1_000, TEN_YEARS_MS), Event::Tick);
    let stored = effects.writes.iter().rev().find_map(|write| match write {
        Write::DoubtedTimes(doubted) => Some(doubted.clone()),
        _ => None,
    });
    let mut third = waiting_with(TEN_YEARS_MS, stored);
    assert_eq!(expired(&third.step(set_by(60_000, TEN_YEARS_MS), Event::Tick)), 0, "they are a minute old");
}

#[test]
fn what_was_made_before_a_clock_was_set_to_doubted_times_has_no_age_in_a_later_run() {
    let mut engine = waiting();
    // The ten days ahead are doubted; then the clock is right again, and then it is set to these days once more.
    engine.step(set_by(1_000, 10 * DAY_MS), Event::Tick);
    engine.step(set_by(2_000, 0), Event::Tick);
    let made_at = at(600_000).wall;
    engine.step(at(600_000), Event::Tick);
    let step = engine.step(set_by(601_000, 10 * DAY_MS), Event::Tick);
    let stored = step.writes.into_iter().find_map(|write| match write {
        Write::DoubtedTimes(times) => Some(times),
        _ => None,
    });
    let outbox = vec![Spooled { seq: 1, worth: Worth::Prediction, bytes: 10, made_at }];
    let doubted = stored.expect("the store is told, though the time of now is doubted already");
    let mut later = Engine::new(settings(PromotionPolicy::Gated), Snapshot { outbox, doubted, ..Snapshot::default() });
    later.start(set_by(602_000, 10 * DAY_MS));
    assert_eq!(expired(&later.step(set_by(603_000, 10 * DAY_MS), Event::Tick)), 0, "it is seconds old");
}

/// The doubted times that these steps have stored last.
fn doubted_in(steps: &[Step]) -> DoubtedTimes {
    let writes = steps.iter().rev().flat_map(|step| step.writes.iter().rev());
    let mut doubted =
        writes.filter_map(|write| if let Write::DoubtedTimes(doubted) = write { Some(doubted) } else { None });
    doubted.next().cloned().expect("they are stored")
}

#[test]
fn what_is_stamped_between_the_setting_of_the_clock_and_the_next_look_has_no_age_in_a_later_run() {
    let mut engine = waiting();
    let sleeps_until = set_by(60_000, 10 * DAY_MS);
    let label = engine.step(sleeps_until, label_for("fedcba9876543210"));
    let tick = engine.step(set_by(60_100, 10 * DAY_MS), Event::Tick);
    assert!(doubted_in(&[label, tick]).contains(sleeps_until.wall), "the label came first");
}

#[test]
fn what_is_stored_right_after_an_outage_during_which_the_clock_was_set_has_no_age_in_a_later_run() {
    let mut engine = waiting();
    let refused = StoreEvent::Unavailable { full: false, reason: "read-only".into() };
    engine.step(at(1_000), Event::Store(refused));
    engine.step(set_by(2_000, 10 * DAY_MS), Event::Tick);
    engine.step(set_by(3_000, 10 * DAY_MS), label_for("fedcba9876543210"));
    let stored_at = set_by(4_000, 10 * DAY_MS);
    let step = engine.step(stored_at, Event::Store(StoreEvent::Recovered));
    assert!(step.writes.iter().any(|write| matches!(write, Write::PendingLabel(_))), "the label is stored now");
    assert!(doubted_in(&[step]).contains(stored_at.wall), "in the same commit");
}

#[test]
fn doubted_times_are_bounded_and_what_is_joined_still_holds_all_of_them() {
    let mut times = DoubtedTimes::default();
    let hour = |n: i64| Timestamp(n * 3_600_000);
    for n in (0..100).rev() {
        times.add(hour(n * n * 3), hour(n * n * 3 + 1));
    }
    assert!(times.0.len() <= SPANS_MAX);
    assert!((0..100).all(|n| times.contains(hour(n * n * 3))));
    assert!(!times.contains(hour(-1)) && !times.contains(hour(99 * 99 * 3 + 2)));
}

#[test]
fn stamps_never_go_back_and_follow_a_right_clock_exactly() {
    let mut clock = WallClock::new(&snapshot());
    let stamps = [at(5), at(5), at(6), set_by(7, -TEN_YEARS_MS), set_by(8, -TEN_YEARS_MS), at(9)];
    let stamps: Vec<i64> = stamps.into_iter().map(|now| clock.monotonic_stamp(now.wall).0 - at(0).wall.0).collect();
    assert_eq!(stamps, [5, 5, 6, 7, 8, 9]);
}

#[test]
fn drifting_by_a_second_an_hour_is_no_jump() {
    let mut clock = WallClock::default();
    for hour in 0..1_000 {
        clock.look(set_by(hour * 3_600_000, 1_000 * i64::try_from(hour).unwrap()), None);
        assert_eq!(clock.doubt(at(hour * 3_600_000), None), None);
    }
    assert!(clock.jump.is_none());
}

#[test]
fn a_restart_within_the_process_does_not_make_a_clock_trusted() {
    let mut engine = waiting();
    engine.step(set_by(1_000, TEN_YEARS_MS), Event::Tick);
    let outbox = vec![Spooled { seq: 1, worth: Worth::Prediction, bytes: 10, made_at: at(0).wall }];
    let snapshot = Snapshot { outbox, ..snapshot() };
    let mut next = Engine::after(engine.carry(), settings(PromotionPolicy::Gated), snapshot);
    next.start(set_by(2_000, TEN_YEARS_MS));
    assert_eq!(expired(&next.step(set_by(120_000, TEN_YEARS_MS), Event::Tick)), 0);
    assert!(doubted(&mut next).is_some());
}
