//! Disks that refuse: full, over quota, remounted for reading only, broken; at every call of a life, one after another.
//!
//! Each act is tried with its first call refused, then with its second, and so on until all of them pass. Every refusal
//! is an error that says what it is, leaves nothing of the act in the store and no half file, and the same act is taken
//! when the disk takes writes again.

use edgetuned::store::StoreError;
use life::{Act, Failed, Life};

use crate::journal::{Call, Journal, Refusal};
use crate::verdict::State;
use crate::{STATE, folder, life, number};

/// A way in which a disk refuses, and what the store must call it.
struct Kind {
    name: &'static str,
    error: i32,
    calls: &'static [Call],
    is: fn(&StoreError) -> bool,
}

const KINDS: [Kind; 5] = [
    Kind { name: "full", error: libc::ENOSPC, calls: &[Call::Create, Call::Write], is: full },
    Kind { name: "full, said at the sync", error: libc::ENOSPC, calls: &[Call::Sync], is: full },
    Kind { name: "over quota", error: libc::EDQUOT, calls: &[Call::Create, Call::Write], is: full },
    Kind {
        name: "for reading only",
        error: libc::EROFS,
        calls: &[Call::Create, Call::Write, Call::Remove],
        is: |error| matches!(error, StoreError::ReadOnly { .. }),
    },
    Kind {
        name: "broken",
        error: libc::EIO,
        calls: &[Call::Write, Call::Sync],
        is: |error| matches!(error, StoreError::Io { .. }),
    },
];

fn full(error: &StoreError) -> bool {
    matches!(error, StoreError::Full { .. })
}

/// Tries `act` with each of its calls refused, one after another; how often it failed.
fn refuse_every_call(journal: &Journal, life: &mut Life, act: &Act, kind: &Kind, once: bool, context: &str) -> usize {
    let state = journal.folder().join(STATE);
    let before = State::of(&state).unwrap();
    let wanted = before.with(&state, act.files());
    for after in 0.. {
        let context = format!("{context}, disk {} from call {after} on{}", kind.name, if once { ", once" } else { "" });
        journal.refuse(Refusal { after, error: kind.error, calls: kind.calls, once });
        let done = life.carry_out(act);
        let refused = journal.mend();
        let Err(failed) = done else {
            // Bringing the log into the database may fail: the next commit does it.
            if refused == 0 {
                return after;
            }
            // The act is done; the store would take it twice, but it is not the same again for one that restarts.
            return after + 1;
        };
        assert!(refused > 0, "{context}: it fails of itself: {failed:?}");
        match &failed {
            Failed::Store(error) => {
                assert!((kind.is)(error), "{context}: {error:?}");
                assert!(error.to_string().starts_with("cannot "), "{context}: {error}");
            }
            Failed::File(error) => assert_eq!(error.raw_os_error(), Some(kind.error), "{context}"),
        }
        let left = State::of(&state).unwrap_or_else(|error| panic!("{context}: {error}"));
        assert_eq!(left.strays(&before, &wanted), None, "{context}");
    }
    unreachable!("a call that is never made is not refused")
}

#[test]
fn every_refused_call_is_an_error_that_says_why_and_leaves_nothing_behind() {
    let seed = number("POWER_SEED", 7);
    for kind in &KINDS {
        for once in [false, true] {
            let played = folder();
            let root = played.path().canonicalize().unwrap();
            let journal = Journal::begin(&root);
            let mut life = Life::begin(&root.join(STATE), seed, false).unwrap();
            let mut failures = 0;
            for number in 1..=REFUSED_ACTS {
                let act = life.draw();
                let context = format!("POWER_SEED={seed}, act {number}");
                failures += refuse_every_call(&journal, &mut life, &act, kind, once, &context);
            }
            journal.end();
            println!("disk {}{}: {failures} refusals", kind.name, if once { ", once" } else { "" });
            assert!(failures > REFUSED_ACTS / 2, "hardly anything was refused");
        }
    }
}

/// Acts of a life whose every call is refused.
const REFUSED_ACTS: usize = 30;
