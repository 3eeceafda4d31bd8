//! The alert of watched folders.

use super::*;
use crate::engine::tests::{at, engine};
use crate::engine::{Act, Engine, Event, FolderHealth, PromotionPolicy, Snapshot, Step, WatchEvent, Write};
use crate::wire::{Ignored, Topic, Warning};

fn step(engine: &mut Engine, event: Event) -> Step {
    engine.step(at(0), event)
}

fn fares(engine: &mut Engine, root: usize, state: WatchState) -> Step {
    step(engine, Event::Watch(WatchEvent::FolderHealth(FolderHealth { root, state })))
}

fn scanned(engine: &mut Engine, unreadable: &[&str]) -> Step {
    let unreadable = unreadable.iter().map(|path| (PathBuf::from(path), "permission denied".to_owned())).collect();
    step(engine, Event::Watch(WatchEvent::ScanFinished { ignored: Ignored::default(), unreadable }))
}

fn lost(folder: &str) -> WatchState {
    WatchState::Lost { reason: format!("{folder} is gone") }
}

/// What is published about the alert.
#[derive(Debug, PartialEq)]
enum Published {
    Nothing,
    ItIsOver,
    This(Warning),
}

/// The last that these effects say of it.
fn alert(effects: &Step) -> Published {
    let payload = effects.acts.iter().rev().find_map(|effect| match effect {
        Act::Publish { topic: Topic::Alert(AlertId::WatchLost), payload } => Some(payload),
        _ => None,
    });
    match payload {
        None => Published::Nothing,
        Some(payload) if payload.is_empty() => Published::ItIsOver,
        Some(payload) => Published::This(serde_json::from_slice(payload).unwrap()),
    }
}

fn warning(effects: &Step) -> Warning {
    match alert(effects) {
        Published::This(warning) => warning,
        other => panic!("no alert was raised: {other:?}"),
    }
}

fn errors(effects: &Step) -> usize {
    let is_event = |write: &&Write| matches!(write, Write::Outbox(said) if said.topic == Topic::Event);
    effects.writes.iter().filter(is_event).count()
}

#[test]
fn a_missing_folder_raises_an_alert_with_its_name_until_it_is_back() {
    let mut engine = engine(PromotionPolicy::Gated, Snapshot::default());
    assert_eq!(alert(&fares(&mut engine, 0, WatchState::Well)), Published::Nothing, "no alert was raised");
    let effects = fares(&mut engine, 0, lost("/srv/one"));
    let raised = warning(&effects);
    assert_eq!((raised.severity, raised.text.as_str()), (Severity::Error, "/srv/one is gone"));
    assert_eq!(errors(&effects), 1);
    let both = warning(&fares(&mut engine, 1, lost("/srv/two")));
    assert_eq!(both.text, "/srv/one is gone; /srv/two is gone");
    let one = warning(&fares(&mut engine, 0, WatchState::Well));
    assert_eq!(one.text, "/srv/two is gone");
    assert_eq!(alert(&fares(&mut engine, 1, WatchState::Well)), Published::ItIsOver);
}

#[test]
fn a_folder_without_kernel_notifications_is_a_warning() {
    let mut engine = engine(PromotionPolicy::Gated, Snapshot::default());
    let unheard = WatchState::Unheard { reason: "no notices for /srv".into() };
    assert_eq!(warning(&fares(&mut engine, 0, unheard)).severity, Severity::Warning);
    assert_eq!(warning(&fares(&mut engine, 1, lost("/srv/two"))).severity, Severity::Error);
}

#[test]
fn an_unreadable_folder_is_reported_again_only_after_it_could_be_read() {
    let mut engine = engine(PromotionPolicy::Gated, Snapshot::default());
    let effects = scanned(&mut engine, &["/srv/a"]);
    assert!(warning(&effects).text.contains("cannot list /srv/a: permission denied"));
    assert_eq!(errors(&effects), 1);
    let effects = scanned(&mut engine, &["/srv/a"]);
    assert_eq!((alert(&effects), errors(&effects)), (Published::Nothing, 0), "reported already");
    assert_eq!(alert(&scanned(&mut engine, &[])), Published::ItIsOver);
    assert_eq!(errors(&scanned(&mut engine, &["/srv/a"])), 1);
}

#[test]
fn many_problems_are_counted_instead_of_named() {
    let mut engine = engine(PromotionPolicy::Gated, Snapshot::default());
    let folders: Vec<String> = (0..13).map(|number| format!("/srv/{number:02}")).collect();
    let effects = scanned(&mut engine, &folders.iter().map(String::as_str).collect::<Vec<_>>());
    let text = warning(&effects).text;
    assert!(text.contains("/srv/09") && !text.contains("/srv/10") && text.ends_with("; 3 more like these"), "{text}");
}
