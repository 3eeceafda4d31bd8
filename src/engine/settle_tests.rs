//! Whose turn it is, and what happens where there is no room.

use super::super::tests::at;
use super::*;
use crate::words::Timestamp;

const SETTLE: Duration = Duration::from_millis(500);

/// A file found by a listing, last changed so long before `at(0)`.
fn listed(name: &str, age: Duration) -> Sighting {
    let mtime_ns = i64::try_from(u128::try_from(at(0).wall.0).unwrap() * 1_000_000 - age.as_nanos()).unwrap();
    Sighting { root: 0, path: name.into(), stamp: Some(FileStamp { size: 1, mtime_ns }), closed: false }
}

fn old(name: &str) -> Sighting {
    listed(name, Duration::from_hours(1))
}

/// An old file that was renamed into place just now.
fn closed(name: &str) -> Sighting {
    Sighting { closed: true, ..old(name) }
}

fn sight(settling: &mut Settling, sighting: &Sighting) {
    assert_eq!(settling.sighted(at(0), sighting, SETTLE), None);
}

/// Names of the files that are handed out, one by one, until there are none.
fn order(settling: &mut Settling) -> Vec<String> {
    let mut names = Vec::new();
    loop {
        let handed: Vec<PathBuf> = settling.advance(false).into_iter().filter_map(ingested).collect();
        if handed.is_empty() {
            return names;
        }
        for path in handed {
            settling.finished(at(0), &path);
            names.push(path.display().to_string());
        }
    }
}

fn ingested(effect: Effect) -> Option<PathBuf> {
    if let Effect::Ingest { path, .. } = effect { Some(path) } else { None }
}

#[test]
fn what_arrives_goes_ahead_of_a_backlog_that_keeps_every_fourth_turn() {
    let mut settling = Settling::default();
    (0..4).for_each(|n| sight(&mut settling, &old(&format!("old-{n}"))));
    (0..6).for_each(|n| sight(&mut settling, &closed(&format!("new-{n}"))));
    let expected = ["new-0", "new-1", "new-2", "old-0", "new-3", "new-4", "new-5", "old-1", "old-2", "old-3"];
    assert_eq!(order(&mut settling), expected);
}

#[test]
fn a_young_file_has_arrived_though_a_listing_found_it_and_one_from_the_future_has_not() {
    let mut settling = Settling::default();
    sight(&mut settling, &old("old"));
    sight(&mut settling, &listed("young", Duration::from_secs(2)));
    assert_eq!(order(&mut settling), ["young", "old"]);
    let stamp = Some(FileStamp { size: 1, mtime_ns: i64::MAX });
    let future = Sighting { stamp, ..old("future") };
    sight(&mut settling, &future);
    sight(&mut settling, &closed("new"));
    // It waits until two looks found it the same.
    assert_eq!(settling.looks(Now { mono: SETTLE, wall: Timestamp(0) }).len(), 1);
    sight(&mut settling, &future);
    assert_eq!(order(&mut settling), ["new", "future"]);
}

#[test]
fn a_backlog_beyond_its_bound_leaves_room_for_what_arrives_and_is_listed_again_later() {
    let mut settling = Settling::default();
    let is = |effects: &[Effect], wanted: bool| {
        effects.iter().any(|effect| matches!(effect, Effect::Hold(held) if *held == wanted))
    };
    (0..LISTED_MAX + 10).for_each(|n| sight(&mut settling, &old(&format!("{n:05}"))));
    assert_eq!(settling.len(), LISTED_MAX);
    let effects = settling.advance(false);
    assert!(is(&effects, true), "listings are held");
    assert!(!is(&settling.advance(false), true), "and told so once");
    sight(&mut settling, &closed("new"));
    assert_eq!(settling.len(), LISTED_MAX + 1);
    let mut handed: VecDeque<PathBuf> = effects.into_iter().filter_map(ingested).collect();
    let mut done = Vec::new();
    loop {
        let path = handed.pop_front().expect("a listing is asked for before all is done");
        settling.finished(at(0), &path);
        done.push(path);
        let effects = settling.advance(false);
        if effects.iter().any(|effect| matches!(effect, Effect::Scan)) {
            assert!(is(&effects, false), "listings show everything again");
            break;
        }
        handed.extend(effects.into_iter().filter_map(ingested));
    }
    assert_eq!(settling.len(), WAITING_MAX / 4);
    let place = done.iter().position(|path| path.as_os_str() == "new").unwrap();
    assert!(place <= IN_FLIGHT_MAX, "the new file waited for {place} others");
}

#[test]
fn arrivals_beyond_every_bound_are_left_to_a_listing() {
    let mut settling = Settling::default();
    (0..=WAITING_MAX).for_each(|n| sight(&mut settling, &closed(&format!("{n:05}"))));
    assert_eq!(settling.len(), WAITING_MAX);
    assert!(settling.advance(false).iter().any(|effect| matches!(effect, Effect::Hold(true))));
}
