use super::*;
use crate::engine::tests::{at, settings, snapshot};
use crate::engine::{
    Engine, Event, LabelSource, PendingLabel, PromotionPolicy, Snapshot, Spooled, Step, SystemMetrics, Write,
};
use crate::words::Label;

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
    let made_at = at(0).wall;
    let awaited = PendingLabel {
        prefix: "0123456789abcdef".into(),
        label: Label::new("nut").unwrap(),
        source: LabelSource::Mqtt,
        at: made_at,
    };
    let outbox = vec![Spooled { seq: 1, bytes: 10, made_at }];
    let mut engine =
        Engine::new(settings(PromotionPolicy::Gated), Snapshot { outbox, awaited: vec![awaited], ..snapshot() });
    engine.start(at(0));
    engine.step(at(0), Event::Tick);
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
fn a_clock_set_ten_years_ahead_makes_nothing_older_and_expires_nothing_until_it_has_stood_for_a_day() {
    let mut engine = waiting();
    let minute = 60_000;
    assert_eq!(expired(&engine.step(set_by(2 * minute, TEN_YEARS_MS), Event::Tick)), 0);
    assert!(doubted(&mut engine).is_some_and(|text| text.contains("+87648.0 h")), "{:?}", doubted(&mut engine));
    assert_eq!(expired(&engine.step(set_by(12 * 60 * minute, TEN_YEARS_MS), Event::Tick)), 0);
    let expired_messages = expired(&engine.step(set_by(25 * 60 * minute, TEN_YEARS_MS), Event::Tick));
    assert_eq!(expired_messages, WAITING, "messages are a day old, that of the jump too; the label may wait longer");
    assert_eq!(doubted(&mut engine), None);
    assert_eq!(
        expired(&engine.step(set_by(40 * DAY_MS as u64, TEN_YEARS_MS), Event::Tick)),
        1,
        "now the label is old, too"
    );
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
    assert_eq!(expired(&engine.step(set_by(190_000, TEN_YEARS_MS), Event::Tick)), 0, "all is three minutes old");
    assert_eq!(doubted(&mut engine), None);
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
    let outbox = vec![Spooled { seq: 1, bytes: 10, made_at: at(0).wall }];
    let snapshot = Snapshot { outbox, ..snapshot() };
    let mut next = Engine::after(engine.carry(), settings(PromotionPolicy::Gated), snapshot);
    next.start(set_by(2_000, TEN_YEARS_MS));
    assert_eq!(expired(&next.step(set_by(120_000, TEN_YEARS_MS), Event::Tick)), 0);
    assert!(doubted(&mut next).is_some());
}
