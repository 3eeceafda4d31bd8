//! `edgetuned samples import`: labels from a file, all or none.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Value, json};

use super::file::{self, LabelLine, LeftOut, Read, say_left_out};
use super::format::{self, Format};
use super::{Ownership, annotations, class_folders, count_new_labels, label_studio, owned, parquet, reader};
use crate::cli::ctl;
use crate::cli::failure::{Failure, LineProblem};
use crate::cli::now;
use crate::cli::output::Output;
use crate::cli::task::TaskChoice;
use crate::config::Config;
use crate::engine::{LabelSource, PENDING_MAX, PendingLabel, Snapshot, StoredSample, TrainingState, Write};
use crate::store::{Reader, SpacesInUse, Store, StoreError};
use crate::wire::MAX_LABEL_ITEMS;
use crate::wire::command::{self, ImportCounts, Imported};
use crate::words::{Label, SampleId, TaskId, Timestamp};

/// What an import did.
#[derive(Debug, Serialize)]
struct Done {
    /// Its number, where it changed anything.
    change: Option<u64>,
    #[serde(flatten)]
    counts: ImportCounts,
    /// What the file has beside that.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    left_out: Vec<LeftOut>,
}

/// `samples import`
#[derive(Debug, clap::Args)]
pub struct Import {
    /// A .csv with a header, .jsonl, .parquet, .json of Label Studio, or a .tar or folder with a folder for each class
    pub file: PathBuf,
    /// Its format [default: by the name of the file]
    #[arg(long, value_enum)]
    pub format: Option<Format>,
}

pub fn import(
    config: &Config,
    asked: &TaskChoice,
    Import { file: path, format }: &Import,
    output: Output,
) -> Result<(), Failure> {
    let Read { lines, mut wrong, left_out } = read(config, asked, path, format::of(path, *format, "read")?)?;
    let lines = with_tasks(config, asked, lines, &mut wrong)?;
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
            send(checked, config.names_tasks(), |arguments| ctl::ask::<command::Import>(config, arguments))?
        }
    };
    let done = Done { change: (counts.changed + counts.awaited > 0).then_some(change), counts, left_out };
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
        say_left_out(&done.left_out, out)
    })
}

/// What the file at `path` says of labels.
fn read(config: &Config, asked: &TaskChoice, path: &Path, format: Format) -> Result<Read, Failure> {
    let names_tasks = config.names_tasks();
    let refused = |reason: String| file::refused(path, &reason);
    match format {
        Format::Csv => file::from_csv(&file::bytes(path)?, names_tasks).map_err(refused),
        Format::JsonLines => Ok(file::from_json_lines(&file::bytes(path)?, names_tasks)),
        Format::Parquet => parquet::read(path, names_tasks),
        Format::Folders | Format::ImageFolder => class_folders::read(path),
        Format::LabelStudio => {
            let task = asked.meant(config)?;
            let samples = match Reader::open(&config.store.path, SpacesInUse::default()) {
                Ok(reader) => reader.samples(task.id())?,
                Err(StoreError::Missing { .. }) => Vec::new(),
                Err(error) => return Err(error.into()),
            };
            let control = label_studio::control(task.name());
            annotations::read(&file::bytes(path)?, control, &annotations::Stored::new(&samples)).map_err(refused)
        }
    }
}

/// The task of each line: the one that it names, or else the one that the command is about.
fn with_tasks(
    config: &Config,
    asked: &TaskChoice,
    lines: Vec<LabelLine>,
    wrong: &mut Vec<LineProblem>,
) -> Result<Vec<(TaskId, LabelLine)>, Failure> {
    let is_needed = asked.task.is_some() || lines.iter().any(|line| line.task.is_none());
    let meant = is_needed.then(|| asked.meant(config)).transpose()?;
    let ids: Vec<TaskId> = config.all_tasks().into_iter().map(|task| task.id).collect();
    let mut found = Vec::with_capacity(lines.len());
    for mut line in lines {
        let problem = match line.task.take() {
            None => {
                found.push((meant.as_ref().expect("it was needed").id().clone(), line));
                continue;
            }
            Some(task) if asked.task.as_ref().is_some_and(|asked| *asked != task) => {
                format!("it is about task {task}, and --task names another; leave --task out or correct the line")
            }
            Some(task) if ids.contains(&task) => {
                found.push((task, line));
                continue;
            }
            Some(task) => {
                let ids = ids.iter().map(TaskId::as_str).collect::<Vec<_>>().join(", ");
                format!("the configuration has no task {task}, it has {ids}")
            }
        };
        wrong.push(LineProblem { line: line.line, reason: problem });
    }
    Ok(found)
}

/// A label of a file, the only one there for its image in its task.
struct Item {
    task: TaskId,
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
    lines: Vec<(TaskId, LabelLine)>,
    mut wrong: Vec<LineProblem>,
    snapshot: &Snapshot,
) -> Result<Checked, Failure> {
    let samples: BTreeSet<SampleId> = snapshot.samples.iter().copied().collect();
    let mut named: BTreeMap<(TaskId, String), (String, Option<Label>)> = BTreeMap::new();
    let mut checked = Checked { items: Vec::new(), repeated: 0 };
    for (task, LabelLine { line, name, image, label, .. }) in lines {
        let sample = match sample_in(&samples, image.as_str()) {
            Ok(sample) => sample,
            Err(reason) => {
                wrong.push(LineProblem { line, reason });
                continue;
            }
        };
        let digits = sample.map_or_else(|| image.to_string(), |id| id.to_string());
        let key = (task, digits);
        match named.get(&key) {
            Some((first, other)) if *other != label => {
                let other = other.as_ref().map_or("none", Label::as_str);
                let here = name.map(|name| format!("{name}: ")).unwrap_or_default();
                let reason = format!("{here}{first} gives image {image} another label, {other}; remove one of them");
                wrong.push(LineProblem { line, reason });
            }
            Some(_) => checked.repeated += 1,
            None => {
                named.insert(key.clone(), (name.unwrap_or_else(|| format!("line {line}")), label.clone()));
                let (task, digits) = key;
                checked.items.push(Item { task, sample, digits, label });
            }
        }
    }
    if !wrong.is_empty() {
        wrong.sort_by_key(|problem| problem.line);
        return Err(Failure::lines(path, wrong));
    }
    let mut to_come: BTreeMap<&TaskId, usize> = BTreeMap::new();
    for item in checked.items.iter().filter(|item| item.sample.is_none() && item.label.is_some()) {
        *to_come.entry(&item.task).or_default() += 1;
    }
    let to_come = to_come.into_values().max().unwrap_or_default();
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
    names_tasks: bool,
    mut ask: impl FnMut(Value) -> Result<Imported, Failure>,
) -> Result<Imported, Failure> {
    let mut imported: Option<Imported> = None;
    for (sent, part) in items.chunks(MAX_LABEL_ITEMS).enumerate() {
        let labels = part.iter().map(|item| {
            let mut label = json!({ "image": item.digits, "label": item.label });
            if names_tasks {
                label["task"] = json!(item.task);
            }
            label
        });
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
    tasks: BTreeMap<TaskId, OfTask<'a>>,
    at: Timestamp,
    change: u64,
    writes: Vec<Write>,
    counts: ImportCounts,
}

/// The labels of a task.
#[derive(Default)]
struct OfTask<'a> {
    training: TrainingState,
    samples: BTreeMap<SampleId, &'a StoredSample>,
    awaited: BTreeMap<String, PendingLabel>,
    /// How many that are learned are others than before.
    changed: usize,
}

impl<'a> Stored<'a> {
    fn new(snapshot: &'a Snapshot, at: Timestamp) -> Self {
        let mut tasks: BTreeMap<TaskId, OfTask<'a>> = BTreeMap::new();
        for (id, stored) in &snapshot.tasks {
            let samples = stored.samples.iter().map(|sample| (sample.id, sample)).collect();
            let (training, awaited, changed) = (stored.training.clone(), BTreeMap::new(), 0);
            tasks.insert(id.clone(), OfTask { training, samples, awaited, changed });
        }
        for label in &snapshot.awaited {
            tasks.entry(label.task.clone()).or_default().awaited.insert(label.prefix.clone(), label.clone());
        }
        Self { tasks, at, change: snapshot.changes + 1, writes: Vec::new(), counts: ImportCounts::default() }
    }

    /// All writes, and what they do.
    fn import(mut self, Checked { items, repeated }: Checked) -> (Vec<Write>, Imported) {
        let mut named: BTreeMap<TaskId, BTreeSet<String>> = BTreeMap::new();
        for Item { task, sample, digits, label } in items {
            named.entry(task.clone()).or_default().insert(digits.clone());
            let of_task = self.tasks.entry(task.clone()).or_default();
            match sample.and_then(|id| of_task.samples.get(&id).copied()) {
                Some(sample) => self.label(task, sample, label),
                None => self.await_label(task, digits, label),
            }
        }
        for (task, named) in named {
            self.let_older_go(&task, &named);
            let Some(of_task) = self.tasks.get(&task).filter(|of_task| of_task.changed > 0) else { continue };
            self.writes.push(count_new_labels(&task, &of_task.training, of_task.changed));
        }
        self.counts.unchanged += repeated;
        (self.writes, Imported { change: self.change, counts: self.counts })
    }

    /// Those that wait longest make room for the ones that were `named`.
    fn let_older_go(&mut self, task: &TaskId, named: &BTreeSet<String>) {
        let Some(OfTask { awaited, .. }) = self.tasks.get(task) else { return };
        let mut older: Vec<&PendingLabel> = awaited.values().filter(|label| !named.contains(&label.prefix)).collect();
        older.sort_by_key(|awaited| awaited.at);
        let dropped = awaited.len().saturating_sub(PENDING_MAX);
        self.counts.dropped += dropped;
        let delete =
            |label: &&PendingLabel| Write::DeletePendingLabel { task: task.clone(), prefix: label.prefix.clone() };
        self.writes.extend(older[..dropped].iter().map(delete));
    }

    fn label(&mut self, task: TaskId, sample: &StoredSample, label: Option<Label>) {
        let (present, source) = sample.label.as_ref().map(|(label, source)| (label, *source)).unzip();
        let is_same = present == label.as_ref();
        *(if is_same { &mut self.counts.unchanged } else { &mut self.counts.changed }) += 1;
        self.tasks.entry(task.clone()).or_default().changed += usize::from(!is_same && !sample.excluded);
        // Whoever imports what a folder said says it from now on.
        if !is_same || source.or(sample.removed_by) == Some(LabelSource::Folder) {
            let (id, source, at, change) = (sample.id, LabelSource::Import, self.at, Some(self.change));
            self.writes.push(Write::Label { task, id, label, source, at, change });
        }
    }

    fn await_label(&mut self, task: TaskId, prefix: String, label: Option<Label>) {
        let waiting = &mut self.tasks.entry(task.clone()).or_default().awaited;
        let former = waiting.remove(&prefix);
        let is_same = former.as_ref().map(|awaited| &awaited.label) == label.as_ref();
        *(if is_same { &mut self.counts.unchanged } else { &mut self.counts.awaited }) += 1;
        if let Some(label) = label {
            let (source, at, change) = (LabelSource::Import, self.at, Some(self.change));
            let awaited = PendingLabel { task, prefix: prefix.clone(), label, source, at, change, former: None };
            let awaited = awaited.in_place_of(former.as_ref());
            self.writes.push(Write::PendingLabel(awaited.clone()));
            waiting.insert(prefix, awaited);
        } else if former.is_some() {
            self.writes.push(Write::DeletePendingLabel { task, prefix });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(count: usize) -> Checked {
        let item = |n: usize| Item { task: TaskId::default(), sample: None, digits: format!("{n:08x}"), label: None };
        Checked { items: (0..count).map(item).collect(), repeated: 5 }
    }

    #[test]
    fn all_requests_name_the_change_of_the_first_and_their_counts_add_up() {
        let mut asked = Vec::new();
        let imported = send(checked(2_001), false, |arguments| {
            let unchanged = arguments["items"].as_array().unwrap().len();
            asked.push((unchanged, arguments["change"].as_u64()));
            Ok(Imported { change: 7, counts: ImportCounts { unchanged, ..ImportCounts::default() } })
        });
        assert_eq!(asked, [(1_000, None), (1_000, Some(7)), (1, Some(7))]);
        let counts = ImportCounts { unchanged: 2_006, ..ImportCounts::default() };
        assert_eq!(imported.unwrap(), Imported { change: 7, counts });
        let none = send(checked(0), false, |_| panic!("there is nothing to ask for")).unwrap();
        assert_eq!(none.counts.unchanged, 5);
    }

    #[test]
    fn an_import_that_is_interrupted_says_how_to_take_its_beginning_back() {
        let mut answers = 0;
        let failure = send(checked(2_001), false, |_| {
            answers += 1;
            let counts = ImportCounts::default();
            if answers > 2 { Err(Failure::failed("the daemon is gone")) } else { Ok(Imported { change: 7, counts }) }
        });
        let said = format!("{:?}", failure.unwrap_err());
        let words = "the daemon is gone; 2000 of 2001 labels are imported, 'edgetuned samples undo 7' takes them back";
        assert!(said.contains(words), "{said}");
        let first = format!("{:?}", send(checked(1), false, |_| Err(Failure::failed("no daemon"))).unwrap_err());
        assert!(!first.contains("imported"), "{first}");
    }
}
