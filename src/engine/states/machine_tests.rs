//! Each sentence about states, one by one.

use std::time::Duration;

use super::super::context::Ages;
use super::*;
use crate::words::{Label, Now, SampleId, Timestamp};

const START: i64 = 1_790_000_000_000;

/// A machine with a clock that is always right.
struct Played {
    machine: StateMachine,
    settings: StateSettings,
    ms: u64,
    /// When this run's monotonic clock began.
    began_ms: u64,
    image: u32,
}

fn label(class: &str) -> Label {
    Label::new(class).unwrap()
}

fn image(number: u32) -> SampleId {
    SampleId::of(&number.to_le_bytes())
}

/// A judgement of a prediction with a set of its best class alone.
fn says(number: u32, class: &str, probability: f32) -> Judgement {
    let label = label(class);
    Judgement { image: image(number), label: Some(label.clone()), probability, set: Some(vec![label]), is_stale: false }
}

/// The same with a set of two.
fn doubts(number: u32) -> Judgement {
    Judgement { set: Some(vec![label("open"), label("closed")]), ..says(number, "open", 0.55) }
}

fn settings(confirm: &str, hold_s: u64, unknown_after_s: u64) -> StateSettings {
    StateSettings {
        confirm: confirm.parse().unwrap(),
        hold: Duration::from_secs(hold_s),
        unknown_after: Duration::from_secs(unknown_after_s),
        ..StateSettings::default()
    }
}

impl Played {
    fn new(settings: StateSettings) -> Self {
        let machine = StateMachine::new(settings.clone(), StateRecord::default());
        let mut played = Self { machine, settings, ms: 0, began_ms: 0, image: 0 };
        assert_eq!(played.tick(), Change { write: true, ..Change::default() }, "its beginning is remembered");
        played
    }

    fn now(&self) -> Now {
        Now {
            wall: Timestamp(START + i64::try_from(self.ms).unwrap()),
            mono: Duration::from_millis(self.ms - self.began_ms),
        }
    }

    fn tick(&mut self) -> Change {
        let now = self.now();
        self.machine.tick(&Ages::believing(now))
    }

    /// Time passes, with ticks every tenth of a second; whether a state was published.
    fn wait(&mut self, s: f64) -> bool {
        let until = self.ms + (s * 1000.0).round() as u64;
        let mut published = false;
        while self.ms < until {
            self.ms = until.min(self.ms + 100);
            published |= self.tick().publish;
        }
        published
    }

    fn predicted(&mut self, judgement: &Judgement) -> Change {
        let now = self.now();
        self.machine.predicted(&Ages::believing(now), judgement)
    }

    /// The next image, of this class with near certainty; `?` for one that does not vote.
    fn sees(&mut self, class: &str) -> Change {
        self.image += 1;
        let judgement = if class == "?" { doubts(self.image) } else { says(self.image, class, 0.95) };
        self.predicted(&judgement)
    }

    fn judged_again(&mut self, judgement: &Judgement) -> Change {
        let now = self.now();
        self.machine.judged_again(&Ages::believing(now), judgement)
    }

    fn state(&self) -> String {
        self.machine.view().state.to_string()
    }

    /// The process ends and starts again after this long.
    fn restart_after(&mut self, s: u64) {
        let stored = serde_json::to_vec(self.machine.record()).unwrap();
        let record = serde_json::from_slice(&stored).unwrap();
        self.machine = StateMachine::new(self.settings.clone(), record);
        self.ms += 1000 * s;
        self.began_ms = self.ms;
    }
}

fn at(ms: i64) -> Timestamp {
    Timestamp(START + ms)
}

#[test]
fn before_the_first_vote_the_state_is_unknown() {
    let mut door = Played::new(settings("2 of 3", 0, 300));
    door.wait(1000.0);
    let view = door.machine.view();
    assert_eq!((view.state, view.previous, view.votes), (State::Unknown, None, [0, 0]));
    assert_eq!((view.confidence, view.image, view.last_seen), (None, None, None));
    assert_eq!(view.since, Some(at(0)));
}

#[test]
fn a_vote_is_a_prediction_whose_set_is_its_best_class_alone() {
    let thresholds = std::collections::BTreeMap::new();
    let judgement = says(1, "open", 0.51);
    assert_eq!(judgement.vote(&thresholds).map(|vote| vote.class), Some(label("open")));
    for set in [vec![], vec![label("closed")], vec![label("open"), label("closed")]] {
        assert_eq!(Judgement { set: Some(set), ..judgement.clone() }.vote(&thresholds), None);
    }
    assert_eq!(Judgement { label: None, ..judgement.clone() }.vote(&thresholds), None);
    assert_eq!(Judgement { is_stale: true, ..judgement }.vote(&thresholds), None);
}

#[test]
fn a_vote_is_as_likely_as_the_threshold_of_its_class() {
    let thresholds = std::collections::BTreeMap::from([(label("open"), 0.9)]);
    let votes = |judgement: &Judgement| judgement.vote(&thresholds).is_some();
    assert!(votes(&says(1, "open", 0.9)) && !votes(&says(1, "open", 0.899)));
    assert!(votes(&says(1, "closed", 0.4)), "no threshold, and a set");
    for wrong in [f32::NAN, f32::INFINITY, -0.1, 1.1] {
        assert!(!votes(&says(1, "closed", wrong)), "{wrong}");
    }
}

#[test]
fn without_a_set_the_probability_alone_decides() {
    let thresholds = std::collections::BTreeMap::from([(label("open"), 0.6)]);
    let votes = |class: &str, p: f32| Judgement { set: None, ..says(1, class, p) }.vote(&thresholds).is_some();
    assert!(votes("open", 0.6) && !votes("open", 0.59));
    assert!(votes("closed", UNMEASURED) && !votes("closed", UNMEASURED - 0.001));
}

#[test]
fn a_state_needs_n_of_the_last_m_and_predictions_without_a_vote_count_among_m() {
    let mut door = Played::new(settings("2 of 3", 0, 300));
    assert!(!door.sees("open").publish);
    assert!(!door.sees("?").publish);
    let change = door.sees("open");
    assert_eq!((change.publish, change.write), (true, true));
    assert_eq!((door.state().as_str(), door.machine.view().votes), ("open", [2, 3]));

    let mut door = Played::new(settings("2 of 3", 0, 300));
    for class in ["open", "?", "?", "open"] {
        assert!(!door.sees(class).publish, "never two within three");
    }
    assert!(door.sees("open").publish);
    assert_eq!(door.machine.view().votes, [2, 3]);
}

#[test]
fn what_is_published_are_the_fields_of_that_moment() {
    let mut door = Played::new(settings("2 of 2", 0, 300));
    door.wait(1.0);
    door.predicted(&says(1, "open", 0.75));
    door.wait(1.0);
    door.predicted(&says(2, "open", 0.875));
    let expected = StateView {
        state: State::Class(label("open")),
        since: Some(at(2000)),
        previous: Some(State::Unknown),
        confidence: Some(0.875),
        votes: [2, 2],
        image: Some(image(2)),
        last_seen: Some(at(2000)),
    };
    assert_eq!(door.machine.view(), expected);
    door.wait(1.0);
    door.predicted(&says(3, "closed", 0.5));
    assert_eq!(door.machine.view(), StateView { votes: [1, 2], ..expected.clone() }, "no voter for this state");
    door.predicted(&says(4, "closed", 0.5));
    let view = door.machine.view();
    assert_eq!((view.state, view.previous), (State::Class(label("closed")), Some(State::Class(label("open")))));
    assert_eq!((view.since, view.image, view.confidence), (Some(at(3000)), Some(image(4)), Some(0.5)));
}

#[test]
fn a_state_stays_while_no_other_has_its_votes() {
    let mut door = Played::new(settings("2 of 3", 0, 300));
    door.sees("open");
    door.sees("open");
    for class in ["?", "closed", "?", "?", "closed", "?", "open"] {
        assert!(!door.sees(class).publish);
    }
    assert_eq!(door.state(), "open");
}

#[test]
fn hold_delays_a_state_and_needs_no_new_image() {
    let mut door = Played::new(settings("2 of 2", 10, 300));
    door.sees("open");
    door.sees("open");
    assert!(!door.wait(9.9) && door.state() == "unknown");
    assert!(door.wait(0.1) && door.state() == "open");
    assert_eq!(door.machine.view().since, Some(at(10_000)));
}

#[test]
fn a_break_within_hold_begins_it_anew() {
    let mut door = Played::new(settings("2 of 2", 10, 300));
    door.sees("open");
    door.sees("open");
    door.wait(9.0);
    door.sees("?");
    door.wait(5.0);
    assert_eq!(door.state(), "unknown");
    door.sees("open");
    door.sees("open");
    assert!(!door.wait(9.9) && door.wait(0.1));
    door.sees("closed");
    door.sees("closed");
    door.wait(5.0);
    door.sees("open");
    door.sees("open");
    assert!(!door.wait(100.0), "it is what it was");
}

#[test]
fn hold_that_passed_unasked_counts_before_the_next_image() {
    let mut door = Played::new(settings("1 of 1", 10, 300));
    door.sees("open");
    door.ms += 20_000;
    assert!(door.sees("closed").publish);
    assert_eq!(door.state(), "open");
}

#[test]
fn without_a_vote_for_unknown_after_the_state_is_unknown() {
    let mut door = Played::new(settings("1 of 1", 0, 300));
    door.sees("open");
    assert!(!door.wait(200.0));
    assert!(!door.sees("?").publish);
    assert!(!door.wait(99.9));
    assert!(door.wait(0.1), "predictions without a vote do not hold it");
    let view = door.machine.view();
    assert_eq!((view.state, view.previous), (State::Unknown, Some(State::Class(label("open")))));
    assert_eq!((view.confidence, view.image, view.last_seen), (None, Some(image(1)), Some(at(0))));
    assert!(!door.wait(1000.0), "it is said once");
}

#[test]
fn a_state_comes_back_from_unknown_with_a_vote_for_it() {
    let mut door = Played::new(settings("2 of 3", 0, 60));
    door.sees("open");
    door.sees("open");
    assert!(door.wait(60.0));
    assert!(!door.sees("closed").publish, "two old votes and none of now");
    assert!(door.sees("open").publish);
    assert_eq!(door.state(), "open");
}

#[test]
fn unknown_ends_a_wait_for_hold() {
    let mut door = Played::new(settings("1 of 1", 100, 60));
    door.sees("open");
    assert!(!door.wait(1000.0));
    for _ in 0..2 {
        door.sees("open");
        assert!(!door.wait(40.0), "the old wait does not count");
    }
    door.sees("open");
    assert!(door.wait(40.0) && door.state() == "open");
}

#[test]
fn a_retained_frame_neither_votes_nor_counts() {
    let mut door = Played::new(settings("2 of 2", 0, 300));
    door.sees("open");
    for number in 100..110 {
        let change = door.predicted(&Judgement { is_stale: true, ..says(number, "closed", 1.0) });
        assert_eq!(change, Change::default());
    }
    assert!(door.sees("open").publish);
}

#[test]
fn judging_again_replaces_the_latest_vote_and_adds_none() {
    let mut door = Played::new(settings("2 of 3", 0, 300));
    for class in ["open", "open", "open", "closed", "?"] {
        door.sees(class);
    }
    assert_eq!((door.state().as_str(), door.machine.view().votes), ("open", [1, 3]));
    let change = door.judged_again(&says(5, "closed", 0.7));
    assert!(change.publish && change.write && change.is_against);
    let view = door.machine.view();
    assert_eq!((view.state.to_string().as_str(), view.votes), ("closed", [2, 3]));
    assert_eq!((view.image, view.confidence), (Some(image(5)), Some(0.7)));
    assert!(!door.judged_again(&says(5, "closed", 0.7)).write, "nothing new");
    assert!(!door.judged_again(&doubts(5)).publish, "a state does not end with a vote that was taken back");
    assert_eq!(door.machine.view().votes, [1, 3]);
    assert_eq!(door.machine.view().image, Some(image(4)));
    assert_eq!(door.judged_again(&says(99, "open", 1.0)), Change::default(), "an image that nobody looks back at");
}

#[test]
fn judging_an_old_image_again_says_nothing_of_the_present() {
    let mut door = Played::new(settings("1 of 1", 0, 60));
    door.sees("?");
    door.wait(61.0);
    assert!(!door.judged_again(&says(1, "open", 1.0)).publish);
    let mut door = Played::new(settings("1 of 1", 0, 60));
    door.sees("?");
    door.wait(40.0);
    assert!(door.judged_again(&says(1, "open", 1.0)).publish);
    assert!(!door.wait(19.9) && door.wait(0.1), "it counts from its image");
}

#[test]
fn a_vote_against_the_state_is_told() {
    let mut door = Played::new(settings("2 of 2", 0, 300));
    assert!(door.sees("open").is_against && door.sees("open").is_against);
    assert!(!door.sees("open").is_against && !door.sees("?").is_against);
    assert!(door.sees("closed").is_against);
}

#[test]
fn of_several_classes_with_enough_votes_the_one_with_most_is_so() {
    let mut door = Played::new(settings("2 of 6", 0, 300));
    for class in ["open", "open", "closed", "closed"] {
        door.sees(class);
    }
    assert_eq!(door.state(), "open", "as many votes as the present state");
    assert!(door.sees("closed").publish);
    door.sees("open");
    assert_eq!(door.state(), "closed", "three and three");
}

#[test]
fn a_restart_changes_nothing() {
    let mut door = Played::new(settings("2 of 3", 10, 300));
    door.sees("open");
    door.sees("open");
    door.wait(10.0);
    let before = door.machine.view();
    door.restart_after(5);
    assert_eq!(door.tick(), Change::default());
    assert_eq!(door.machine.view(), before);
    door.sees("closed");
    door.restart_after(5);
    door.sees("closed");
    assert!(!door.wait(5.0));
    door.restart_after(2);
    assert!(!door.tick().publish && !door.wait(2.9), "hold goes on over a restart");
    assert!(door.wait(0.1) && door.state() == "closed");
}

#[test]
fn the_time_while_nothing_ran_counts_for_unknown() {
    let mut door = Played::new(settings("1 of 1", 0, 300));
    door.sees("open");
    door.restart_after(5);
    assert!(!door.tick().publish && door.state() == "open");
    door.restart_after(290);
    assert!(!door.wait(4.9) && door.wait(0.1), "the sum of all");
    door.sees("open");
    door.restart_after(3600);
    assert!(door.tick().publish && door.state() == "unknown");
}

#[test]
fn after_a_restart_with_a_wrong_clock_the_time_of_this_run_counts() {
    for wall in [0, START - 400 * 24 * 3_600_000] {
        let mut door = Played::new(settings("1 of 1", 0, 300));
        door.sees("open");
        door.restart_after(0);
        let now = |s: u64| Now { wall: Timestamp(wall + 1000 * s as i64), mono: Duration::from_secs(s) };
        for s in 0..300 {
            assert!(!door.machine.tick(&Ages::believing(now(s))).publish, "{wall}: {s}");
        }
        assert!(door.machine.tick(&Ages::believing(now(300))).publish, "{wall}");
    }
}

#[test]
fn a_clock_that_is_set_takes_what_was_stamped_in_this_run_with_it() {
    let mut door = Played::new(settings("1 of 1", 0, 300));
    door.sees("open");
    let year = 365 * 24 * 3_600_000_i64;
    for (s, wall) in [(10, START + 20 * year), (20, START - 20 * year), (30, START)] {
        let now = Now { wall: Timestamp(wall + 1000 * s), mono: Duration::from_secs(s as u64) };
        assert_eq!(door.machine.tick(&Ages::believing(now)), Change { write: true, ..Change::default() });
        let view = door.machine.view();
        assert_eq!((view.since, view.last_seen), (Some(Timestamp(wall)), Some(Timestamp(wall))));
    }
}

#[test]
fn other_settings_after_a_restart_keep_the_state() {
    let mut door = Played::new(settings("2 of 5", 0, 300));
    for class in ["closed", "closed", "closed", "open", "?"] {
        door.sees(class);
    }
    door.settings = settings("2 of 2", 0, 300);
    door.restart_after(1);
    door.tick();
    assert_eq!((door.state().as_str(), door.machine.view().votes), ("closed", [0, 2]));
    door.sees("open");
    assert!(door.sees("open").publish);
}

#[test]
fn a_class_that_is_called_unknown_is_not_taken_for_the_other() {
    let mut door = Played::new(settings("1 of 1", 0, 300));
    door.sees("unknown");
    door.restart_after(1);
    assert_eq!(door.machine.view().state, State::Class(label("unknown")));
}
