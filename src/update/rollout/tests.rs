//! Stages, refusals, resuming and late answers, one story each.

use super::*;
use crate::wire::{Envelope, UpdateError, UpdatePhase};
use crate::words::Timestamp;

const SILENCE: Duration = Duration::from_mins(10);
const MANIFEST: &[u8] = b"manifest";
const FILE: &[u8] = b"file";

pub(super) fn plan(first: &str, stop_after: Option<usize>) -> Plan {
    let update = Target { version: 5, manifest: Digest::of(MANIFEST), file: Digest::of(FILE), chunks: 40 };
    let devices = "line-*".parse().unwrap();
    Plan { devices, first: first.parse().unwrap(), stop_after, silence: SILENCE, update }
}

pub(super) fn envelope(seq: u64) -> Envelope {
    Envelope::new(Timestamp(1_790_000_000_000 + seq as i64), seq, "k3v9")
}

/// A report about the update: the version that is installed, the phase, and the code of a refusal.
pub(super) fn report(seq: u64, installed: Option<u64>, phase: UpdatePhase, code: Option<&str>) -> UpdateState {
    UpdateState {
        envelope: envelope(seq),
        installed_version: installed.map(|version| version.to_string()),
        latest_version: None,
        in_progress: false,
        update_percentage: None,
        phase,
        error: code.map(|code| UpdateError { code: code.into(), message: format!("because {code}") }),
        manifest: Some(Digest::of(MANIFEST)),
    }
}

/// A rollout, its clock, and the numbers of messages.
struct Play {
    rollout: Rollout,
    now: Duration,
    seq: u64,
}

impl Play {
    /// One that knows devices `line-00`, `line-01`, …, and has just begun its first stage.
    fn of(count: usize, plan: Plan) -> Self {
        let mut play = Self { rollout: Rollout::new(plan), now: Duration::ZERO, seq: 0 };
        play.hear(Heard::Connected);
        for n in 0..count {
            play.hear(Heard::Device(id(n)));
        }
        play
    }

    fn begin(&mut self) -> Vec<String> {
        self.pass(QUIET)
    }

    fn hear(&mut self, heard: Heard) -> Vec<String> {
        self.rollout.hear(self.now, heard);
        self.acts()
    }

    /// What is to be done, as text.
    fn acts(&mut self) -> Vec<String> {
        let acts = std::iter::from_fn(|| self.rollout.next_act());
        let text = |act| match act {
            Act::Publish(id) => format!("publish {id}"),
            Act::Withdraw(id) => format!("withdraw {id}"),
            Act::Chunk(id, n) => format!("chunk {id} {n}"),
            Act::Begin(Stage { number, devices, reached, of }) => format!("stage {number}: {devices}, {reached}/{of}"),
            Act::Tell(row) => format!("{} {}", row.device, row.outcome.as_str()),
        };
        acts.map(text).collect()
    }

    fn pass(&mut self, time: Duration) -> Vec<String> {
        self.now += time;
        self.hear(Heard::Tick)
    }

    fn says(&mut self, n: usize, installed: Option<u64>, phase: UpdatePhase, code: Option<&str>) -> Vec<String> {
        self.seq += 1;
        self.hear(Heard::State(id(n), Box::new(report(self.seq, installed, phase, code)), false))
    }

    fn kept(&mut self, n: usize, installed: Option<u64>, phase: UpdatePhase, code: Option<&str>) -> Vec<String> {
        self.seq += 1;
        self.hear(Heard::State(id(n), Box::new(report(self.seq, installed, phase, code)), true))
    }

    fn installs(&mut self, n: usize) -> Vec<String> {
        let mut acts = self.says(n, Some(5), UpdatePhase::Trial, None);
        acts.extend(self.says(n, Some(5), UpdatePhase::Idle, None));
        acts
    }

    fn refuses(&mut self, n: usize) -> Vec<String> {
        self.says(n, None, UpdatePhase::Idle, Some("worse"))
    }

    fn asks(&mut self, n: usize, chunks: Vec<u32>) -> Vec<String> {
        self.seq += 1;
        let request = ChunkRequest { envelope: envelope(self.seq), sha256: Digest::of(FILE), chunks };
        self.hear(Heard::Request(id(n), request))
    }

    fn outcomes(&self) -> Vec<&'static str> {
        self.rollout.rows().iter().map(|row| row.outcome.as_str()).collect()
    }
}

fn id(n: usize) -> String {
    format!("line-{n:02}")
}

#[test]
fn a_share_is_rounded_up_and_the_stages_double_until_all_are_reached() {
    for (text, count, expected) in [("10%", 10, 1), ("10%", 11, 2), ("1%", 3, 1), ("100%", 7, 7), ("34%", 3, 2)] {
        assert_eq!(text.parse::<Percent>().unwrap().of(count), expected, "{text} of {count}");
    }
    for text in ["10", "0%", "101%", "-1%", "1.5%", "%", ""] {
        assert_eq!(text.parse::<Percent>(), Err(BadPercent), "{text:?}");
    }
    let mut play = Play::of(11, plan("10%", None));
    let mut stages = vec![play.begin().remove(0)];
    for n in 0..11 {
        stages.extend(play.installs(n).into_iter().filter(|act| act.starts_with("stage")));
    }
    assert_eq!(stages, ["stage 1: 2, 2/11", "stage 2: 4, 6/11", "stage 3: 5, 11/11"]);
    assert!(play.rollout.is_over() && !play.rollout.is_stopped() && play.rollout.due().is_none());
}

#[test]
fn devices_are_found_until_none_came_for_a_while_and_only_those_that_are_meant() {
    let mut play = Play::of(1, plan("100%", None));
    assert!(play.hear(Heard::Device("cam-1".into())).is_empty());
    assert!(play.pass(Duration::from_millis(1500)).is_empty());
    play.hear(Heard::Device(id(1)));
    // A report alone is no device: its `info` was cleared.
    play.says(2, None, UpdatePhase::Idle, None);
    assert!(play.pass(Duration::from_millis(1500)).is_empty(), "the second one came late");
    let acts = play.pass(Duration::from_millis(500));
    assert_eq!(acts, ["stage 1: 2, 2/2", "publish line-00", "publish line-01"]);
    assert!(play.hear(Heard::Device(id(3))).is_empty(), "the next rollout finds it");
    assert_eq!(play.outcomes().len(), 2);

    let mut nobody = Play::of(0, plan("10%", Some(1)));
    nobody.begin();
    assert!(nobody.rollout.is_over() && nobody.rollout.rows().is_empty());
}

#[test]
fn the_next_stage_waits_for_the_end_of_the_probation() {
    let mut play = Play::of(3, plan("34%", None));
    assert_eq!(play.begin(), ["stage 1: 2, 2/3", "publish line-00", "publish line-01"]);
    assert!(play.says(0, None, UpdatePhase::Downloading, None).is_empty());
    assert_eq!(play.installs(1), ["line-01 installed"]);
    assert!(play.says(0, Some(5), UpdatePhase::Trial, None).is_empty(), "it may still be rolled back");
    assert!(play.pass(SILENCE).is_empty(), "and is silent for as long as the probation lasts");
    let acts = play.says(0, Some(5), UpdatePhase::Idle, None);
    assert_eq!(acts, ["line-00 installed", "stage 2: 1, 3/3", "publish line-02"]);
}

#[test]
fn it_stops_at_the_nth_refusal_and_a_rollback_is_one() {
    let mut play = Play::of(8, plan("50%", Some(2)));
    play.begin();
    play.asks(3, vec![0]);
    play.says(0, Some(5), UpdatePhase::Trial, None);
    assert_eq!(play.refuses(1), ["line-01 refused"]);
    play.says(2, Some(5), UpdatePhase::Trial, None);
    // After a crash the daemon has not looked at the manifest yet.
    play.seq += 1;
    let mut back = report(play.seq, Some(4), UpdatePhase::Idle, Some("did_not_hold"));
    back.manifest = None;
    let acts = play.hear(Heard::State(id(2), Box::new(back), false));
    assert_eq!(acts, ["line-02 rolled back", "withdraw line-03"]);
    assert!(play.rollout.is_stopped());
    let rows = play.rollout.rows();
    assert_eq!((rows[2].code.as_deref(), &*rows[2].reason), (Some("did_not_hold"), "because did_not_hold"));
    let mut expected = vec!["on probation", "refused", "rolled back", "withdrawn"];
    expected.extend(["not sent"; 4]);
    assert_eq!(play.outcomes(), expected);
    assert!(play.asks(3, vec![1]).is_empty() && play.installs(0).is_empty(), "nothing counts any more");
    assert_eq!(play.hear(Heard::Connected), ["withdraw line-03"], "it may have been lost");
}

#[test]
fn what_was_rolled_back_stays_so_when_the_device_looks_at_the_manifest_again() {
    let mut play = Play::of(2, plan("100%", None));
    play.begin();
    assert_eq!(play.installs(0), ["line-00 installed"]);
    assert_eq!(play.says(0, None, UpdatePhase::Idle, Some("did_not_hold")), ["line-00 rolled back"]);
    assert!(play.says(0, None, UpdatePhase::Idle, Some("failed_before")).is_empty());
    assert_eq!(play.rollout.rows()[0].code.as_deref(), Some("did_not_hold"));
    play.says(1, Some(5), UpdatePhase::Trial, None);
    play.says(1, Some(6), UpdatePhase::Idle, None);
    assert_eq!(play.outcomes(), ["rolled back", "installed"], "a later update is no rollback");
}

#[test]
fn the_same_rollout_again_skips_what_is_installed_and_goes_on() {
    let mut play = Play::of(0, plan("25%", Some(1)));
    play.kept(0, Some(5), UpdatePhase::Idle, None);
    play.kept(1, Some(5), UpdatePhase::Trial, None);
    play.kept(2, None, UpdatePhase::Idle, Some("worse"));
    for n in 0..4 {
        play.hear(Heard::Device(id(n)));
    }
    let acts = play.begin();
    assert_eq!(acts, ["stage 1: 1, 1/4", "line-00 installed", "stage 2: 2, 3/4", "publish line-02"]);
    assert_eq!(play.rollout.rows()[0].reason, "it had this version already");
    assert!(play.kept(2, None, UpdatePhase::Idle, Some("worse")).is_empty(), "a refusal that was kept is an old one");
    assert!(play.installs(2).contains(&"line-02 installed".to_owned()));
    assert!(play.says(1, Some(5), UpdatePhase::Idle, None).contains(&"publish line-03".to_owned()));
}

#[test]
fn a_silent_device_holds_nobody_up_for_ever_and_may_still_answer() {
    let mut play = Play::of(4, plan("25%", Some(1)));
    play.begin();
    play.hear(Heard::Status(id(0), false));
    assert_eq!(play.rollout.due(), Some(QUIET + SILENCE));
    let acts = play.pass(SILENCE);
    assert_eq!(acts, ["line-00 timed out", "stage 2: 2, 3/4", "publish line-01", "publish line-02"]);
    assert_eq!(play.rollout.rows()[0].reason, "it has reported nothing for 600 s; it is offline");
    assert_eq!(play.asks(0, vec![3]), ["chunk line-00 3"], "it has come back");
    assert_eq!(play.installs(0), ["line-00 installed"]);
    assert_eq!(play.installs(1), ["line-01 installed"]);
    assert_eq!(play.rollout.due(), Some(QUIET + 2 * SILENCE));
    let acts = play.pass(SILENCE);
    assert_eq!(acts, ["line-02 timed out", "stage 3: 1, 4/4", "publish line-03"], "silence is no refusal");
}

#[test]
fn each_device_gets_the_chunks_that_it_asked_for_last_in_turn_with_the_others() {
    let mut play = Play::of(3, plan("67%", None));
    play.asks(1, vec![7, 8]);
    let acts = play.begin();
    assert_eq!(acts[3..], ["publish line-02", "chunk line-01 7", "chunk line-01 8"], "its request was remembered");
    play.rollout.hear(play.now, Heard::Tick);
    let request = |seq, chunks| ChunkRequest { envelope: envelope(seq), sha256: Digest::of(FILE), chunks };
    for (n, seq, chunks) in [(0, 10, vec![0, 1, 2]), (1, 10, vec![5, 6]), (0, 12, vec![2, 3]), (0, 11, vec![9])] {
        play.rollout.hear(play.now, Heard::Request(id(n), request(seq, chunks)));
    }
    assert_eq!(play.acts(), ["chunk line-00 2", "chunk line-01 5", "chunk line-00 3", "chunk line-01 6"]);
    play.seq = 20;
    assert_eq!(play.asks(2, (0..60).collect()).len(), WINDOW, "no more than its window");
    assert!(play.asks(2, vec![40, 41]).is_empty(), "the file has no such chunks");
    let mut other = request(99, vec![1]);
    other.sha256 = Digest::of(b"another file");
    assert!(play.hear(Heard::Request(id(0), other)).is_empty());
}

#[test]
fn after_a_lost_connection_who_has_not_answered_gets_the_manifest_again() {
    let mut play = Play::of(3, plan("100%", None));
    play.begin();
    play.installs(0);
    play.says(1, Some(5), UpdatePhase::Trial, None);
    assert_eq!(play.hear(Heard::Connected), ["publish line-02"]);
}
