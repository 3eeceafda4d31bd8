//! Power cuts, with what a disk may make of them, and disks that refuse.
//!
//! A seeded life of the state folder is played on the real store and the real file code; the calls by which they change
//! files are noted ([`hooks`], [`journal`]). From the notes every disk is made that a power cut may leave ([`disk`]): at
//! each sync, and anywhere between, with what was not synced lost, kept, or torn into sectors. Then the real store opens
//! it ([`verdict`]): what was acknowledged is there, the act under way is whole or not there, nothing else is.
//!
//! `POWER_SEED=17 cargo test --test power` plays other lives, `make power-cuts` plays more of them with `POWER_CUTS` torn
//! disks each.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

mod disk;
mod hooks;
mod journal;
mod life;
mod refusing;
mod verdict;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use disk::{Disk, Unsynced};
use journal::{Journal, Op};
use life::Life;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tempfile::TempDir;
use verdict::{State, judge};

/// The state folder below the one that is noted; nothing of it is there at first.
const STATE: &str = "var/state";

/// What is wrong with the program, on purpose.
#[derive(Default)]
struct Planted {
    /// Calls that it does not make.
    forgets: Option<fn(&Op) -> bool>,
    /// Whether it gives its word before the commit.
    hasty: bool,
    /// Nothing wrong: whether the store has a redo log.
    redo: bool,
}

/// A life that was played, and everything that it asked of the disk.
struct Played {
    seed: u64,
    root: PathBuf,
    /// What was on the disk before.
    before: Disk,
    ops: Vec<Op>,
    /// What the state folder held at each word.
    states: Vec<State>,
}

impl Played {
    /// Plays `acts` acts in `root`, on what lies there.
    fn new(root: &Path, seed: u64, acts: usize, planted: &Planted) -> Self {
        let root = root.canonicalize().unwrap();
        let (state, before) = (root.join(STATE), Disk::holding(&root));
        let journal = Journal::begin_forgetting(&root, planted.forgets);
        let mut life = Life::begin(&state, seed, planted.redo).unwrap();
        let mut states = Vec::new();
        for number in 0..=acts {
            let act = (number > 0).then(|| life.draw());
            if planted.hasty {
                journal.acknowledged(number);
            }
            if let Some(act) = act {
                life.carry_out(&act).unwrap();
            }
            if !planted.hasty {
                journal.acknowledged(number);
            }
            let held = if planted.redo { State::with_redo_log(&state, life.in_force()) } else { State::of(&state) };
            states.push(held.unwrap());
        }
        // A power cut is no orderly end: the notes end first.
        let ops = journal.end();
        Self { seed, root, before, ops, states }
    }

    fn syncs(&self) -> usize {
        self.ops.iter().filter(|op| matches!(op, Op::Sync { .. })).count()
    }

    /// Cuts the power at every sync, and `torn` times anywhere; how often it was cut, or what was lost.
    fn cuts(&self, torn: usize) -> Result<usize, String> {
        let mut dice = ChaCha8Rng::seed_from_u64(self.seed);
        let mut anywhere: Vec<usize> = (0..torn).map(|_| dice.random_range(0..=self.ops.len())).collect();
        anywhere.sort_unstable();
        let (mut disk, mut last, mut cuts) = (self.before.clone(), None, 0);
        for place in 0..=self.ops.len() {
            let next = self.ops.get(place);
            let mut fates = Vec::new();
            if matches!(next, Some(Op::Sync { .. })) {
                fates.extend([Unsynced::Lost, Unsynced::Kept, Unsynced::Torn]);
            }
            if place > 0 && matches!(self.ops[place - 1], Op::Sync { .. }) {
                fates.extend([Unsynced::Lost, Unsynced::Torn]);
            }
            fates.extend(anywhere.iter().filter(|cut| **cut == place).map(|_| Unsynced::Torn));
            for unsynced in fates {
                self.cut(&disk, last, unsynced, &mut dice).map_err(|lost| {
                    format!(
                        "POWER_SEED={}: power cut before call {place} of {} ({}), unsynced {unsynced:?}: {lost}",
                        self.seed,
                        self.ops.len(),
                        next.map_or_else(|| "the end".into(), told),
                    )
                })?;
                cuts += 1;
            }
            match next {
                Some(Op::Acknowledged(act)) => last = Some(*act),
                Some(op) => disk.after(op),
                None => {}
            }
        }
        Ok(cuts)
    }

    fn cut(&self, disk: &Disk, last: Option<usize>, unsynced: Unsynced, dice: &mut ChaCha8Rng) -> Result<(), String> {
        let left = folder();
        disk.cut(unsynced, dice, &self.root, left.path());
        let under_way = last.map_or(0, |last| self.states.len().min(last + 2) - 1);
        judge(&left.path().join(STATE), &self.states[last.unwrap_or(0)], &self.states[under_way])
    }

    /// A disk that a power cut in the second half of this life leaves.
    fn left(&self) -> TempDir {
        let mut dice = ChaCha8Rng::seed_from_u64(self.seed ^ 0x5eed);
        let place = dice.random_range(self.ops.len() / 2..self.ops.len());
        let mut disk = self.before.clone();
        self.ops[..place].iter().for_each(|op| disk.after(op));
        let (left, unsynced) = (folder(), *[Unsynced::Lost, Unsynced::Kept, Unsynced::Torn].choose(&mut dice).unwrap());
        disk.cut(unsynced, &mut dice, &self.root, left.path());
        left
    }
}

fn told(op: &Op) -> String {
    match op {
        Op::Write { path, offset, bytes } => format!("write {} at {offset}: {} bytes", path.display(), bytes.len()),
        other => format!("{other:?}"),
    }
}

/// A folder in memory, where there is one.
fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// A life from nothing, and one that begins on what a power cut in the first one left.
fn cut_two_lives(seed: u64, acts: usize, torn: usize, redo: bool) {
    let started = Instant::now();
    let (first_folder, sound) = (folder(), Planted { redo, ..Planted::default() });
    let first = Played::new(first_folder.path(), seed, acts, &sound);
    let second_folder = first.left();
    let second = Played::new(second_folder.path(), seed + 1, acts, &sound);
    for life in [first, second] {
        let cuts = life.cuts(torn).unwrap_or_else(|lost| panic!("{lost}"));
        println!(
            "POWER_SEED={seed}: {acts} acts, {} calls, {} syncs, {cuts} power cuts, {:.1} s",
            life.ops.len(),
            life.syncs(),
            started.elapsed().as_secs_f64()
        );
    }
}

#[test]
fn what_was_acknowledged_outlives_a_power_cut_anywhere() {
    cut_two_lives(number("POWER_SEED", 1), 40, number("POWER_CUTS", 200) as usize, false);
}

#[test]
fn the_same_with_a_redo_log() {
    cut_two_lives(number("POWER_SEED", 5), 60, number("POWER_CUTS", 200) as usize, true);
}

#[test]
#[ignore = "takes minutes; 'make power-cuts' runs it"]
fn many_lives_outlive_power_cuts() {
    let first = number("POWER_SEED", 100);
    for seed in (first..).step_by(2).take(number("POWER_LIVES", 5) as usize) {
        for redo in [false, true] {
            cut_two_lives(seed, 200, number("POWER_CUTS", 1_000) as usize, redo);
        }
    }
}

#[test]
fn the_notes_miss_nothing() {
    let played = folder();
    let life = Played::new(played.path(), 3, 120, &Planted::default());
    let mut disk = life.before.clone();
    life.ops.iter().for_each(|op| disk.after(op));
    let left = folder();
    disk.cut(Unsynced::Kept, &mut ChaCha8Rng::seed_from_u64(0), &life.root, left.path());
    assert_eq!(State::of(&left.path().join(STATE)).unwrap(), *life.states.last().unwrap());
    // Reading them takes no locks away; what an orderly end writes is not in the notes.
    let checkpoints = life.ops.iter().filter(|op| matches!(op, Op::Sync { path } if path.ends_with("edgetuned.db")));
    assert!(checkpoints.count() > 2, "the log was brought into the database now and then");
}

/// Plays a life with this fault, and expects that a power cut shows it.
fn caught(planted: &Planted, expected: &str) {
    let played = folder();
    let lost = Played::new(played.path(), 4, 80, planted).cuts(50).expect_err("the fault is seen");
    assert!(lost.contains(expected), "{lost}");
    println!("{lost}");
}

#[test]
fn a_store_that_does_not_sync_its_log_is_caught() {
    let forgets = |op: &Op| matches!(op, Op::Sync { path } if path.ends_with("edgetuned.db-wal"));
    // Something is lost, or the database is damaged: a checkpoint that was torn cannot be repeated then.
    caught(&Planted { forgets: Some(forgets), ..Planted::default() }, "power cut before call");
}

#[test]
fn a_redo_log_that_is_not_synced_is_caught() {
    let forgets = |op: &Op| matches!(op, Op::Sync { path } if path.ends_with("edgetuned.redo"));
    caught(
        &Planted { forgets: Some(forgets), redo: true, ..Planted::default() },
        "as they were acknowledged, or half so",
    );
}

#[test]
fn a_word_given_before_the_commit_is_caught() {
    caught(&Planted { hasty: true, ..Planted::default() }, "as they were acknowledged, or half so");
}

#[test]
fn a_file_renamed_without_a_sync_is_caught() {
    let forgets = |op: &Op| matches!(op, Op::Sync { path } if path.extension().is_some_and(|ending| ending == "part"));
    caught(&Planted { forgets: Some(forgets), ..Planted::default() }, "as it was acknowledged");
}

#[test]
fn a_rename_whose_folder_is_not_synced_is_caught() {
    let forgets = |op: &Op| matches!(op, Op::Sync { path } if path.ends_with("exports") || path.ends_with("backbones"));
    caught(&Planted { forgets: Some(forgets), ..Planted::default() }, "as it was acknowledged");
}

#[test]
fn a_new_folder_whose_name_is_not_synced_is_caught() {
    let forgets = |op: &Op| matches!(op, Op::Sync { path } if path.ends_with("var"));
    caught(&Planted { forgets: Some(forgets), ..Planted::default() }, "as they were acknowledged, or half so");
}

#[test]
fn nothing_but_the_store_writes_or_renames_files() {
    let mut found = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    assert!(found.len() > 100, "only {} source files were found", found.len());
    let mut others: Vec<String> = Vec::new();
    for (path, text) in found {
        // Unit tests stand at the end of their files, or in files of their own.
        let program = text.split("#[cfg(test)]").next().unwrap_or_default();
        let writes =
            ["fs::rename", "fs::write(", "File::create(", "fs::copy(", "create_dir"].map(|call| program.contains(call));
        if writes.contains(&true) && !path.contains("tests") {
            others.push(path);
        }
    }
    others.sort();
    // The socket's name is no file; the probe of `check` is written to be removed; only tests update golden files.
    assert_eq!(others, ["cli/check.rs", "http/socket.rs", "store/files.rs", "wire/golden.rs"], "see store::files");
}

fn sources(folder: &Path, found: &mut Vec<(String, String)>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else {
            let name = path.strip_prefix(&root).unwrap().display().to_string();
            found.push((name, fs::read_to_string(&path).unwrap()));
        }
    }
}
