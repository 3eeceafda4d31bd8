//! Reports of trainings and events that stay when their messages are gone.

use super::*;
use crate::eval::HeldOutAnswers;
use crate::wire::views::{MAX_EVENTS, MAX_TRAININGS};

fn texts(reports: &[Vec<u8>]) -> Vec<String> {
    reports.iter().map(|report| String::from_utf8(report.clone()).unwrap()).collect()
}

#[test]
fn the_last_reports_of_each_kind_stay_newest_first() {
    let folder = folder();
    let mut store = open(folder.path()).unwrap();
    let (events, trainings) = (MAX_EVENTS as u64 + 7, MAX_TRAININGS as u64 + 3);
    for n in 1..=events {
        store.commit(&[kept_event(n, None)]).unwrap();
    }
    store.commit(&(1..=trainings).map(|n| kept_training(n, 1)).collect::<Vec<_>>()).unwrap();
    let reader = store.reader().unwrap();
    let found = texts(&reader.events(1_000).unwrap());
    assert_eq!((found.len(), &found[0][..], &found[MAX_EVENTS - 1][..]), (MAX_EVENTS, "event 207", "event 8"));
    let found = texts(&reader.trainings(&task(), 1_000).unwrap());
    assert_eq!(
        (found.len(), &found[0][..], &found[MAX_TRAININGS - 1][..]),
        (MAX_TRAININGS, "training 53", "training 4")
    );
    assert_eq!(texts(&reader.events(2).unwrap()), ["event 207", "event 206"]);
    assert_eq!(reader.answered_training(&task(), Some(3)).unwrap(), None, "answers go with their report");
    store.commit(&[kept_event(1, None), kept_training(1, 1)]).unwrap();
    assert_eq!(reader.events(1_000).unwrap().len(), MAX_EVENTS, "what was let go does not come back");
    assert_eq!(texts(&reader.trainings(&task(), 1_000).unwrap()).last().unwrap(), "training 4");
}

#[test]
fn held_out_answers_are_bounded_and_those_of_the_last_training_are_there() {
    let folder = folder();
    let mut store = open(folder.path()).unwrap();
    // Two of these fit.
    let many = 4_194_304 / 12 / 2 - 1;
    store
        .commit(&[kept_training(1, many), kept_training(2, 0), kept_training(3, many), kept_training(4, many)])
        .unwrap();
    let reader = store.reader().unwrap();
    let answered = |training| reader.answered_training(&task(), training).unwrap().map(|found| found.training);
    assert_eq!([None, Some(1), Some(2), Some(3), Some(4)].map(answered), [Some(4), None, None, Some(3), Some(4)]);
    store.commit(&[kept_training(5, 3 * many)]).unwrap();
    assert_eq!([None, Some(3), Some(4)].map(answered), [Some(5), None, None], "one may be larger than the bound");
    let found = reader.answered_training(&task(), None).unwrap().unwrap();
    assert_eq!(found.report, b"training 5");
    assert_eq!(HeldOutAnswers::from_bytes(&found.answers).unwrap().table(2), [[0, 3 * many], [0, 0]]);
    assert_eq!(reader.trainings(&task(), 9).unwrap().len(), 5, "reports stay");
    assert!(reader.room().unwrap().beside_bytes > 36 * many, "the quota counts them");
}

#[test]
fn a_purged_task_leaves_no_report() {
    let folder = folder();
    let mut store = open(folder.path()).unwrap();
    let door = TaskId::new("door").unwrap();
    let of_door = KeptReport::Training {
        task: door.clone(),
        training: 1,
        payload: b"of the door".to_vec(),
        answers: HeldOutAnswers::default(),
    };
    store
        .commit(&[kept_event(1, Some(door.clone())), kept_event(2, None), kept_training(1, 1), Write::Keep(of_door)])
        .unwrap();
    assert_eq!(store.reader().unwrap().stored_tasks().unwrap(), [task(), door.clone()]);
    store.commit(&[Write::PurgeTask { task: door.clone() }]).unwrap();
    let reader = store.reader().unwrap();
    assert_eq!(reader.trainings(&door, 9).unwrap(), Vec::<Vec<u8>>::new());
    assert_eq!(texts(&reader.events(9).unwrap()), ["event 2"]);
    assert_eq!(texts(&reader.trainings(&task(), 9).unwrap()), ["training 1"]);
}
