//! The look at the state folder can fail: what was never kept is missed.

use std::time::{Duration, Instant};

use edgetuned::wire::{Envelope, StateName, TaskState};
use edgetuned::words::{Label, TaskId};
use serde_json::{Value, json};

use crate::daemon::Message;
use crate::kept::Kept;
use crate::life::{Asked, Life};
use crate::said::Said;
use crate::states::States;

/// Says, promises and leaves out in a life that is over what never was, one at a time.
pub fn are_missed(life: &Life, mut kept: Kept) {
    for question in &life.questions {
        for (topic, json) in [
            ("prediction", json!({ "image": "00".repeat(32), "seq": 0 })),
            ("train/result", json!({ "training": 1, "head": { "id": "000000000000", "version": 1_000_000 } })),
        ] {
            is_missed(life, &kept, &question.topic(topic), &json);
        }
    }
    for (topic, json) in [
        ("response/train", json!({ "transaction": "t0", "status": "ok", "data": {} })),
        ("response/train", json!({ "transaction": "nobody's", "status": "ok", "data": {} })),
        ("config/reported", json!({ "state": "trial", "version": life.deeds.patches + 1 })),
        ("update/head/state", json!({ "installed_version": "1000" })),
    ] {
        is_missed(life, &kept, topic, &json);
    }
    labels_are_missed(life, &kept);
    for question in life.questions.iter().filter(|question| question.state.is_some()) {
        states_are_missed(life, &mut kept, &question.task);
    }
}

fn is_missed(life: &Life, kept: &Kept, topic: &str, json: &Value) {
    let mut said = Said::new(&life.questions);
    said.hear(&Message { topic: topic.to_owned(), json: json.clone(), retained: false, at: Instant::now() });
    said.is_in(kept, &life.deeds).expect_err(&json.to_string());
}

/// A label that was acknowledged and is another one in the store, or one of another task; and one that nobody gave.
fn labels_are_missed(life: &Life, kept: &Kept) {
    let nowhere: TaskId = "nowhere".parse().unwrap();
    let asked = |other: &dyn Fn(&mut TaskId, &mut String)| {
        let mut deeds = life.deeds.clone();
        for asked in deeds.asked.values_mut() {
            if let Asked::Label(task, _, label) = asked {
                other(task, label);
            }
        }
        deeds
    };
    let mut without = life.deeds.clone();
    without.labels.pop_first().unwrap();
    for (what, deeds) in [
        ("another label", asked(&|_, label| "nothing".clone_into(label))),
        ("a label of another task", asked(&|task, _| nowhere.clone_into(task))),
        ("a label of nobody", without),
    ] {
        life.said.is_in(kept, &deeds).expect_err(what);
    }
}

/// A state that was published and is not in the store; one in the store that leaves out an image; and one that is published
/// after a kill and does not follow from what was found.
fn states_are_missed(life: &Life, kept: &mut Kept, task: &TaskId) {
    let none = States::new(&life.questions);
    let found = life.said.states.latest_found(task);
    let (before, after) = (found.envelope.seq, found.envelope.seq + 2);
    let hear = |states: &mut States, seq: u64, state: &TaskState| {
        let envelope = Envelope { seq, ..state.envelope.clone() };
        states.hear(task, "state", &json!(TaskState { envelope, ..state.clone() }))
    };
    let changed = |state: StateName| {
        let (since, previous) = (found.since.plus(Duration::from_millis(1)), Some(found.state.clone()));
        TaskState { state, since, previous, ..found.clone() }
    };
    let never = StateName::from(Label::new("never").unwrap());
    let another = TaskState { state: never.clone(), ..found.clone() };
    for (what, state) in [("another state", &another), ("a later state", &changed(never))] {
        let mut states = none.clone();
        hear(&mut states, before, state).unwrap();
        states.find(kept).expect_err(what);
        let mut states = none.clone();
        states.find(kept).unwrap();
        hear(&mut states, after, state).expect_err(what);
    }
    let mut as_found = none.clone();
    as_found.find(kept).unwrap();
    if found.state != StateName::UNKNOWN {
        hear(&mut as_found.clone(), after, &changed(StateName::UNKNOWN)).expect_err("something voted just now");
    }
    as_found.hear(task, "train/state", &json!({ "seq": after - 1 })).unwrap();
    let [votes, of] = found.votes;
    hear(&mut as_found, after, &TaskState { votes: [votes, of + 1], ..found.clone() }).unwrap();
    as_found.were_true_on_connecting().expect_err("votes that were not found");
    let image = kept.snapshot.tasks.get_mut(task).unwrap().samples.pop().unwrap();
    none.clone().find(kept).expect_err("the latest image is missing");
    kept.snapshot.tasks.get_mut(task).unwrap().samples.push(image);
}
