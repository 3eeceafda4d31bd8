//! A backbone in the place of another one: its trial, and the way back.

use super::*;
use crate::engine::remote::STARTS_MAX;

fn installed(name: &[u8]) -> InstalledBackbone {
    InstalledBackbone {
        files: Digest::of(name),
        manifest: "/state/net.yaml".into(),
        over: "default".into(),
        asked: None,
    }
}

/// The second backbone that came, on trial, with the first one and head 4 before it.
fn on_trial() -> BackboneState {
    let before =
        PreviousBackbone { installed: Some(installed(b"first")), champion: Some(4), ..PreviousBackbone::default() };
    let trial = Some(Probation::new(before));
    BackboneState { installed: Some(installed(b"second")), trial, ..BackboneState::default() }
}

#[test]
fn a_backbone_with_which_no_start_works_is_reverted_with_the_previous_head() {
    let mut memory = on_trial();
    for start in 1..=STARTS_MAX {
        assert_eq!(memory.starting(Timestamp(1)).len(), 1, "start {start} is counted on the disk");
        assert_eq!(memory.installed, Some(installed(b"second")));
    }
    let writes = memory.starting(Timestamp(2));
    assert_eq!(memory.installed, Some(installed(b"first")));
    let back = |write: &Write| matches!(write, Write::HeadStatus { version: 4, status: HeadStatus::Champion, .. });
    assert!(
        writes.iter().any(back) && writes.iter().any(|write| matches!(write, Write::BackboneState(_))),
        "{writes:?}"
    );
    assert!(memory.reverted.as_ref().is_some_and(|reverted| reverted.files == Digest::of(b"second")));
    assert!(memory.starting(Timestamp(3)).is_empty(), "nothing is on trial any more");
}

#[test]
fn a_later_edit_of_the_configuration_overrides_an_update() {
    let memory = on_trial();
    assert_eq!(memory.model("default"), Some(&installed(b"second")));
    assert_eq!(memory.model("/srv/mine.yaml"), None);
}

#[test]
fn a_backbone_is_confirmed_after_a_minute_and_the_previous_file_is_deleted() {
    let mut engine = engine(PromotionPolicy::Gated, Snapshot { backbone: on_trial(), ..snapshot() });
    engine.start(at(0));
    let forgets = |effects: &Step| {
        effects.acts.iter().any(|effect| matches!(effect, Act::DeleteBackbone(files) if *files == Digest::of(b"first")))
    };
    assert!(!forgets(&engine.step(at(59_000), Event::Tick)));
    let effects = engine.step(at(60_000), Event::Tick);
    assert!(forgets(&effects));
    let confirmed = |write: &Write| matches!(write, Write::BackboneState(memory) if memory.trial.is_none());
    assert!(effects.writes.iter().any(confirmed), "{effects:?}");
}

#[test]
fn a_reverted_backbone_is_reported_once() {
    let mut memory = on_trial();
    drop(memory.revert("it does not open", Timestamp(1)));
    let mut engine = engine(PromotionPolicy::Gated, Snapshot { backbone: memory, ..snapshot() });
    let effects = engine.start(at(0));
    let told = (effects.writes)
        .iter()
        .filter(|effect| matches!(effect, Write::BackboneState(memory) if memory.reverted.is_none()));
    assert_eq!(told.count(), 1);
    let file = |effect: &Act| matches!(effect, Act::DeleteBackbone(files) if *files == Digest::of(b"second"));
    assert!(effects.acts.iter().any(file), "its file goes");
}

#[test]
fn a_prepared_backbone_that_is_not_expected_changes_nothing() {
    let mut engine = engine(PromotionPolicy::Gated, snapshot());
    engine.start(at(0));
    let effects =
        engine.step(at(1), Event::Swap(SwapEvent::Failed { files: Digest::of(b"old"), reason: "late".into() }));
    assert!(effects.is_empty(), "{effects:?}");
}
