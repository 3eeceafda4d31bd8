//! `edgetuned samples import`: labels from a file, all or none.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Serialize;
use serde_json::{Value, json};

use super::file::{self, LabelLine};
use super::{Ownership, count_new_labels, owned, reader};
use crate::cli::ctl;
use crate::cli::failure::{Failure, LineProblem};
use crate::cli::now;
use crate::cli::output::Output;
use crate::config::Config;
use crate::engine::{LabelSource, PENDING_MAX, PendingLabel, Snapshot, StoredSample, TrainingState, Write};
use crate::store::Store;
use crate::wire::MAX_LABEL_ITEMS;
use crate::wire::command::{Import, ImportCounts, Imported};
use crate::words::{Label, SampleId, TaskId, Timestamp};

/// What an import did.
#[derive(Debug, Serialize)]
struct Done {
    /// Its number, where it changed anything.
    change: Option<u64>,
    #[serde(flatten)]
    counts: ImportCounts,
}

pub fn import(config: &Config, path: &Path, output: Output) -> Result<(), Failure> {
    let (lines, wrong) = file::read(path)?;
    let folder = &config.store.path;
    // Labels may come before the first image, on a device that has no store yet.
    let opened = if lines.is_empty() { Store::open_existing(folder) } else { Store::open_for_labels(folder) };
    let Imported { change, counts } = match owned(opened)? {
        Ownership::Here(mut store) => {
            let snapshot = store.snapshot()?;
            let (writes, imported) = Stored::new(&snapshot, now()).import(check(path, lines, wrong, &snapshot)?);
            store.commit(&writes)?;
            imported
        }
        Ownership::Daemon => {
            let checked = check(path, lines, wrong, &reader(config)?.snapshot()?)?;
            send(checked, |arguments| ctl::ask::<Import>(config, arguments))?
        }
    };
    let done = Done { change: (counts.changed + counts.awaited > 0).then_some(change), counts };
    output.print(&done, |out| {
        let ImportCounts { changed, unchanged, awaited, dropped } = done.counts;
        writeln!(out, "labels changed: {changed}, unchanged: {unchanged}")?;
        if awaited > 0 {
            writeln!(out, "for images that have not arrived: {awaited}")?;
        }
        if dropped > 0 {
            writeln!(out, "dropped, oldest first: {dropped}, at most {PENDING_MAX} labels wait for their image")?;
        }
        if let Some(change) = done.change {
            writeln!(out, "'edgetuned samples undo {change}' takes it back")?;
        }
        Ok(())
    })
}

/// A label of a file, the only one there for its image.
struct Item {
    /// The sample; `None` where it has not arrived.
    sample: Option<SampleId>,
    /// All digits of the sample, or those that the file has.
    digits: String,
    label: Option<Label>,
}

/// The labels of a file, checked.
struct Checked {
    items: Vec<Item>,
    /// Lines that repeat an earlier one.
    repeated: usize,
}

/// The labels of the file at `path`, or what is wrong with it: nothing changes then.
fn check(
    path: &Path,
    lines: Vec<LabelLine>,
    mut wrong: Vec<LineProblem>,
    snapshot: &Snapshot,
) -> Result<Checked, Failure> {
    let samples: BTreeSet<SampleId> = snapshot.samples.iter().copied().collect();
    let mut named: BTreeMap<String, (u64, Option<Label>)> = BTreeMap::new();
    let mut checked = Checked { items: Vec::new(), repeated: 0 };
    for LabelLine { line, image, label } in lines {
        let sample = match sample_in(&samples, image.as_str()) {
            Ok(sample) => sample,
            Err(reason) => {
                wrong.push(LineProblem { line, reason });
                continue;
            }
        };
        let digits = sample.map_or_else(|| image.to_string(), |id| id.to_string());
        match named.get(&digits) {
            Some((first, other)) if *other != label => {
                let other = other.as_ref().map_or("none", Label::as_str);
                let reason =
                    format!("line {first} gives image {image} another label, {other}; remove one of the lines");
                wrong.push(LineProblem { line, reason });
            }
            Some(_) => checked.repeated += 1,
            None => {
                named.insert(digits.clone(), (line, label.clone()));
                checked.items.push(Item { sample, digits, label });
            }
        }
    }
    if !wrong.is_empty() {
        wrong.sort_by_key(|problem| problem.line);
        return Err(Failure::lines(path, wrong));
    }
    let to_come = checked.items.iter().filter(|item| item.sample.is_none() && item.label.is_some()).count();
    if to_come > PENDING_MAX {
        return Err(Failure::failed(format!(
            "{} labels {to_come} images that have not arrived, at most {PENDING_MAX} labels are kept for such; import \
             the others later",
            path.display(),
        )));
    }
    Ok(checked)
}

/// The sample whose identity begins so; `None` when it has not arrived.
fn sample_in(samples: &BTreeSet<SampleId>, prefix: &str) -> Result<Option<SampleId>, String> {
    let first = format!("{prefix:0<64}").parse::<SampleId>().map_err(|error| error.to_string())?;
    let mut found = samples.range(first..).take_while(|id| id.to_string().starts_with(prefix));
    match (found.next(), found.next()) {
        (Some(_), Some(_)) => Err(format!("{prefix} is the start of more than one image's SHA-256; give more digits")),
        (found, _) => Ok(found.copied()),
    }
}

/// Asks the daemon to import the labels, in as many requests as that takes.
fn send(
    Checked { items, repeated }: Checked,
    mut ask: impl FnMut(Value) -> Result<Imported, Failure>,
) -> Result<Imported, Failure> {
    let mut imported: Option<Imported> = None;
    for (sent, part) in items.chunks(MAX_LABEL_ITEMS).enumerate() {
        let labels = part.iter().map(|item| json!({ "image": item.digits, "label": item.label }));
        let change = imported.map(|imported| imported.change);
        let arguments = json!({ "items": labels.collect::<Vec<Value>>(), "change": change });
        let answer = ask(arguments).map_err(|failure| match change {
            None => failure,
            Some(change) => failure.and(&format!(
                "{} of {} labels are imported, 'edgetuned samples undo {change}' takes them back",
                sent * MAX_LABEL_ITEMS,
                items.len()
            )),
        })?;
        imported.get_or_insert(Imported { counts: ImportCounts::default(), ..answer }).counts += answer.counts;
    }
    let mut imported = imported.unwrap_or(Imported { change: 0, counts: ImportCounts::default() });
    imported.counts.unchanged += repeated;
    Ok(imported)
}

/// The store while no daemon runs, and what an import changes in it.
struct Stored<'a> {
    training: &'a TrainingState,
    samples: BTreeMap<SampleId, &'a StoredSample>,
    awaited: BTreeMap<String, PendingLabel>,
    at: Timestamp,
    change: u64,
    writes: Vec<Write>,
    counts: ImportCounts,
}

impl<'a> Stored<'a> {
    fn new(snapshot: &'a Snapshot, at: Timestamp) -> Self {
        let task = &snapshot.tasks[&TaskId::default()];
        let awaited = snapshot.awaited.iter().map(|label| (label.prefix.clone(), label.clone()));
        Self {
            training: &task.training,
            samples: task.samples.iter().map(|sample| (sample.id, sample)).collect(),
            awaited: awaited.collect(),
            at,
            change: snapshot.changes + 1,
            writes: Vec::new(),
            counts: ImportCounts::default(),
        }
    }

    /// All writes, and what they do.
    fn import(mut self, Checked { items, repeated }: Checked) -> (Vec<Write>, Imported) {
        let named: BTreeSet<String> = items.iter().map(|item| item.digits.clone()).collect();
        for Item { sample, digits, label } in items {
            match sample.and_then(|id| self.samples.get(&id).copied()) {
                Some(sample) => self.label(sample, label),
                None => self.await_label(digits, label),
            }
        }
        let mut older: Vec<&PendingLabel> =
            self.awaited.values().filter(|awaited| !named.contains(&awaited.prefix)).collect();
        older.sort_by_key(|awaited| awaited.at);
        self.counts.dropped = self.awaited.len().saturating_sub(PENDING_MAX);
        for awaited in &older[..self.counts.dropped] {
            self.writes.push(Write::DeletePendingLabel { task: TaskId::default(), prefix: awaited.prefix.clone() });
        }
        if self.counts.changed > 0 {
            self.writes.push(count_new_labels(self.training, self.counts.changed));
        }
        self.counts.unchanged += repeated;
        (self.writes, Imported { change: self.change, counts: self.counts })
    }

    fn label(&mut self, sample: &StoredSample, label: Option<Label>) {
        let (present, source) = sample.label.as_ref().map(|(label, source)| (label, *source)).unzip();
        let is_same = present == label.as_ref();
        *(if is_same { &mut self.counts.unchanged } else { &mut self.counts.changed }) += 1;
        // Whoever imports what a folder said says it from now on.
        if !is_same || source.or(sample.removed_by) == Some(LabelSource::Folder) {
            let (id, source, at, change) = (sample.id, LabelSource::Import, self.at, Some(self.change));
            self.writes.push(Write::Label { task: TaskId::default(), id, label, source, at, change });
        }
    }

    fn await_label(&mut self, prefix: String, label: Option<Label>) {
        let former = self.awaited.remove(&prefix);
        let is_same = former.as_ref().map(|awaited| &awaited.label) == label.as_ref();
        *(if is_same { &mut self.counts.unchanged } else { &mut self.counts.awaited }) += 1;
        if let Some(label) = label {
            let (source, at, change) = (LabelSource::Import, self.at, Some(self.change));
            let awaited = PendingLabel {
                task: TaskId::default(),
                prefix: prefix.clone(),
                label,
                source,
                at,
                change,
                former: None,
            };
            let awaited = awaited.in_place_of(former.as_ref());
            self.writes.push(Write::PendingLabel(awaited.clone()));
            self.awaited.insert(prefix, awaited);
        } else if former.is_some() {
            self.writes.push(Write::DeletePendingLabel { task: TaskId::default(), prefix });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(count: usize) -> Checked {
        let item = |n: usize| Item { sample: None, digits: format!("{n:08x}"), label: None };
        Checked { items: (0..count).map(item).collect(), repeated: 5 }
    }

    #[test]
    fn all_requests_name_the_change_of_the_first_and_their_counts_add_up() {
        let mut asked = Vec::new();
        let imported = send(checked(2_001), |arguments| {
            let unchanged = arguments["items"].as_array().unwrap().len();
            asked.push((unchanged, arguments["change"].as_u64()));
            Ok(Imported { change: 7, counts: ImportCounts { unchanged, ..ImportCounts::default() } })
        });
        assert_eq!(asked, [(1_000, None), (1_000, Some(7)), (1, Some(7))]);
        let counts = ImportCounts { unchanged: 2_006, ..ImportCounts::default() };
        assert_eq!(imported.unwrap(), Imported { change: 7, counts });
        let none = send(checked(0), |_| panic!("there is nothing to ask for")).unwrap();
        assert_eq!(none.counts.unchanged, 5);
    }

    #[test]
    fn an_import_that_is_interrupted_says_how_to_take_its_beginning_back() {
        let mut answers = 0;
        let failure = send(checked(2_001), |_| {
            answers += 1;
            let counts = ImportCounts::default();
            if answers > 2 { Err(Failure::failed("the daemon is gone")) } else { Ok(Imported { change: 7, counts }) }
        });
        let said = format!("{:?}", failure.unwrap_err());
        let words = "the daemon is gone; 2000 of 2001 labels are imported, 'edgetuned samples undo 7' takes them back";
        assert!(said.contains(words), "{said}");
        let first = format!("{:?}", send(checked(1), |_| Err(Failure::failed("no daemon"))).unwrap_err());
        assert!(!first.contains("imported"), "{first}");
    }
}
