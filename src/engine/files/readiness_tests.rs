//! Whose turn it is, and what happens where there is no room.

use super::*;
use crate::engine::tests::at;
use crate::words::Timestamp;

const SETTLE: Duration = Duration::from_millis(500);

/// A file found by a listing, last changed so long before `at(0)`.
fn listed(name: &str, age: Duration) -> Sighting {
    let mtime_ns = i64::try_from(u128::try_from(at(0).wall.0).unwrap() * 1_000_000 - age.as_nanos()).unwrap();
    Sighting {
        root: 0,
        path: name.into(),
        stamp: Some(FileStamp { size: 1, mtime_ns, ctime_ns: 0 }),
        closed: false,
        open: false,
    }
}

fn old(name: &str) -> Sighting {
    listed(name, Duration::from_hours(1))
}

/// An old file that was renamed into place just now.
fn closed(name: &str) -> Sighting {
    Sighting { closed: true, ..old(name) }
}

fn sight(queue: &mut ReadyQueue, sighting: &Sighting) {
    assert_eq!(queue.sighted(at(0), sighting, SETTLE), None);
}

/// Names of the files that are handed out, one by one, until there are none.
fn order(queue: &mut ReadyQueue) -> Vec<String> {
    let mut names = Vec::new();
    loop {
        let handed: Vec<PathBuf> = queue.advance(false).into_iter().filter_map(ingested).collect();
        if handed.is_empty() {
            return names;
        }
        for path in handed {
            queue.finished(at(0), &path);
            names.push(path.display().to_string());
        }
    }
}

fn ingested(effect: Act) -> Option<PathBuf> {
    if let Act::Ingest { path, .. } = effect { Some(path) } else { None }
}

#[test]
fn what_arrives_goes_ahead_of_a_backlog_that_keeps_every_fourth_turn() {
    let mut queue = ReadyQueue::default();
    (0..4).for_each(|n| sight(&mut queue, &old(&format!("old-{n}"))));
    (0..6).for_each(|n| sight(&mut queue, &closed(&format!("new-{n}"))));
    let expected = ["new-0", "new-1", "new-2", "old-0", "new-3", "new-4", "new-5", "old-1", "old-2", "old-3"];
    assert_eq!(order(&mut queue), expected);
}

#[test]
fn a_young_file_has_arrived_though_a_listing_found_it_and_one_from_the_future_has_not() {
    let mut queue = ReadyQueue::default();
    sight(&mut queue, &old("old"));
    sight(&mut queue, &listed("young", Duration::from_secs(2)));
    assert_eq!(order(&mut queue), ["young", "old"]);
    let stamp = Some(FileStamp { size: 1, mtime_ns: i64::MAX, ctime_ns: 0 });
    let future = Sighting { stamp, ..old("future") };
    sight(&mut queue, &future);
    sight(&mut queue, &closed("new"));
    // It waits until two looks found it the same.
    assert_eq!(queue.looks(Now { mono: SETTLE, wall: Timestamp(0) }).len(), 1);
    sight(&mut queue, &future);
    assert_eq!(order(&mut queue), ["new", "future"]);
}

#[test]
fn a_backlog_beyond_its_bound_leaves_room_for_what_arrives_and_is_listed_again_later() {
    let mut queue = ReadyQueue::default();
    let is = |effects: &[Act], wanted: bool| {
        effects.iter().any(|effect| matches!(effect, Act::PauseScans(held) if *held == wanted))
    };
    (0..LISTED_MAX + 10).for_each(|n| sight(&mut queue, &old(&format!("{n:05}"))));
    assert_eq!(queue.len(), LISTED_MAX);
    let effects = queue.advance(false);
    assert!(is(&effects, true), "listings are held");
    assert!(!is(&queue.advance(false), true), "and told so once");
    sight(&mut queue, &closed("new"));
    assert_eq!(queue.len(), LISTED_MAX + 1);
    let mut handed: VecDeque<PathBuf> = effects.into_iter().filter_map(ingested).collect();
    let mut done = Vec::new();
    loop {
        let path = handed.pop_front().expect("a listing is asked for before all is done");
        queue.finished(at(0), &path);
        done.push(path);
        let effects = queue.advance(false);
        if effects.iter().any(|effect| matches!(effect, Act::Rescan)) {
            assert!(is(&effects, false), "listings show everything again");
            break;
        }
        handed.extend(effects.into_iter().filter_map(ingested));
    }
    assert_eq!(queue.len(), WAITING_MAX / 4);
    let place = done.iter().position(|path| path.as_os_str() == "new").unwrap();
    assert!(place <= IN_FLIGHT_MAX, "the new file waited for {place} others");
}

#[test]
fn arrivals_beyond_every_bound_are_left_to_a_listing() {
    let mut queue = ReadyQueue::default();
    (0..=WAITING_MAX).for_each(|n| sight(&mut queue, &closed(&format!("{n:05}"))));
    assert_eq!(queue.len(), WAITING_MAX);
    assert!(queue.advance(false).iter().any(|effect| matches!(effect, Act::PauseScans(true))));
}

#[test]
fn a_second_notice_of_the_same_writing_does_not_read_the_file_again_where_times_are_fine() {
    for (age_ns, is_read_again) in [(1_000_000_001, false), (1_000_000_000, true)] {
        let mut queue = ReadyQueue::default();
        let sighting = Sighting { closed: true, ..listed("new", Duration::from_nanos(age_ns)) };
        sight(&mut queue, &sighting);
        assert_eq!(queue.advance(false).into_iter().filter_map(ingested).count(), 1);
        sight(&mut queue, &sighting);
        queue.finished(at(0), Path::new("new"));
        assert_eq!(queue.len() == 1, is_read_again, "whole seconds do not tell two writings apart");
    }
}

/// What the queue looks at after `steps` of the settling time in which the file does not change.
fn looked_at_for(queue: &mut ReadyQueue, name: &str, steps: u32) {
    for step in 1..=steps {
        let now = Now { mono: at(0).mono + SETTLE * step, ..at(0) };
        for act in queue.looks(now) {
            assert!(matches!(&act, Act::Stat { path, .. } if path == Path::new(name)), "{act:?}");
            queue.sighted(now, &old(name), SETTLE);
        }
    }
}

#[test]
fn a_file_that_is_being_written_waits_for_its_close_and_not_without_end() {
    let open = |name: &str| Sighting { open: true, ..old(name) };
    let mut queue = ReadyQueue::default();
    sight(&mut queue, &open("slow.bmp"));
    looked_at_for(&mut queue, "slow.bmp", OPEN_PATIENCE - 1);
    // A listing sees it too, and knows nothing of its writer.
    sight(&mut queue, &old("slow.bmp"));
    assert!(order(&mut queue).is_empty(), "half of it may be there");
    sight(&mut queue, &closed("slow.bmp"));
    assert_eq!(order(&mut queue), ["slow.bmp"]);

    let mut queue = ReadyQueue::default();
    sight(&mut queue, &open("forgotten.jpg"));
    looked_at_for(&mut queue, "forgotten.jpg", OPEN_PATIENCE + 1);
    assert_eq!(order(&mut queue), ["forgotten.jpg"], "its writer may never close it");
}
