//! The alert of watched folders.

use super::*;
use crate::engine::tests::{at, engine};
use crate::engine::{Act, Engine, Event, FolderHealth, PromotionPolicy, Snapshot, Step, WatchEvent, Write};
use crate::wire::{Topic, Warning};

fn step(engine: &mut Engine, event: Event) -> Step {
    engine.step(at(0), event)
}

fn fares(engine: &mut Engine, root: usize, state: WatchState) -> Step {
    step(engine, Event::Watch(WatchEvent::FolderHealth(FolderHealth { root, state })))
}

fn scanned(engine: &mut Engine, unreadable: &[&str]) -> Step {
    let unreadable = unreadable.iter().map(|path| (PathBuf::from(path), "permission denied".to_owned())).collect();
    step(engine, Event::Watch(WatchEvent::ScanFinished { ignored: 0, unreadable }))
}

fn lost(folder: &str) -> WatchState {
    WatchState::Lost { reason: format!("{folder} is gone") }
}

/// What is said of the alert.
#[derive(Debug, PartialEq)]
enum Said {
    Nothing,
    ItIsOver,
    This(Warning),
}

/// The last that these effects say of it.
fn alert(effects: &Step) -> Said {
    let payload = effects.acts.iter().rev().find_map(|effect| match effect {
        Act::Publish { topic: Topic::Alert(AlertId::WatchLost), payload } => Some(payload),
        _ => None,
    });
    match payload {
        None => Said::Nothing,
        Some(payload) if payload.is_empty() => Said::ItIsOver,
        Some(payload) => Said::This(serde_json::from_slice(payload).unwrap()),
    }
}

fn warning(effects: &Step) -> Warning {
    match alert(effects) {
        Said::This(warning) => warning,
        other => panic!("no alert was raised: {other:?}"),
    }
}

fn errors(effects: &Step) -> usize {
    let is_event = |write: &&Write| matches!(write, Write::Outbox(said) if said.topic == Topic::Event);
    effects.writes.iter().filter(is_event).count()
}

#[test]
fn a_lost_folder_is_alerted_of_by_name_and_no_longer_when_it_is_back() {
    let mut engine = engine(PromotionPolicy::Gated, Snapshot::default());
    assert_eq!(alert(&fares(&mut engine, 0, WatchState::Well)), Said::Nothing, "nothing was up");
    let effects = fares(&mut engine, 0, lost("/srv/one"));
    let raised = warning(&effects);
    assert_eq!((raised.severity, raised.text.as_str()), (Severity::Error, "/srv/one is gone"));
    assert_eq!(errors(&effects), 1);
    let both = warning(&fares(&mut engine, 1, lost("/srv/two")));
    assert_eq!(both.text, "/srv/one is gone; /srv/two is gone");
    let one = warning(&fares(&mut engine, 0, WatchState::Well));
    assert_eq!(one.text, "/srv/two is gone");
    assert_eq!(alert(&fares(&mut engine, 1, WatchState::Well)), Said::ItIsOver);
}

#[test]
fn a_folder_that_is_only_not_heard_is_a_warning() {
    let mut engine = engine(PromotionPolicy::Gated, Snapshot::default());
    let unheard = WatchState::Unheard { reason: "no notices for /srv".into() };
    assert_eq!(warning(&fares(&mut engine, 0, unheard)).severity, Severity::Warning);
    assert_eq!(warning(&fares(&mut engine, 1, lost("/srv/two"))).severity, Severity::Error);
}

#[test]
fn an_unreadable_folder_is_told_of_again_only_after_it_could_be_read() {
    let mut engine = engine(PromotionPolicy::Gated, Snapshot::default());
    let effects = scanned(&mut engine, &["/srv/a"]);
    assert!(warning(&effects).text.contains("cannot list /srv/a: permission denied"));
    assert_eq!(errors(&effects), 1);
    let effects = scanned(&mut engine, &["/srv/a"]);
    assert_eq!((alert(&effects), errors(&effects)), (Said::Nothing, 0), "said already");
    assert_eq!(alert(&scanned(&mut engine, &[])), Said::ItIsOver);
    assert_eq!(errors(&scanned(&mut engine, &["/srv/a"])), 1);
}

#[test]
fn many_troubles_are_counted_instead_of_named() {
    let mut engine = engine(PromotionPolicy::Gated, Snapshot::default());
    let folders: Vec<String> = (0..13).map(|number| format!("/srv/{number:02}")).collect();
    let effects = scanned(&mut engine, &folders.iter().map(String::as_str).collect::<Vec<_>>());
    let text = warning(&effects).text;
    assert!(text.contains("/srv/09") && !text.contains("/srv/10") && text.ends_with("; 3 more like these"), "{text}");
}
