//! `edgetuned samples import`: labels from a file, all or none.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Serialize;

use super::file::{self, LabelLine};
use super::{count_new_labels, open_for_labels, open_or_make_for_labels};
use crate::cli::failure::{Failure, LineProblem};
use crate::cli::now;
use crate::cli::output::Output;
use crate::config::Config;
use crate::engine::{LabelSource, PENDING_MAX, PendingLabel, Snapshot, Write};
use crate::words::{Label, SampleId, Timestamp};

/// What an import did.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct Done {
    /// Samples with another label than before, or without one.
    changed: usize,
    /// Lines that change nothing.
    unchanged: usize,
    /// Labels that now wait for images that have not arrived, or wait no more.
    awaited: usize,
    /// Older ones that had to go for them.
    dropped: usize,
}

pub fn import(config: &Config, path: &Path, output: Output) -> Result<(), Failure> {
    let (lines, wrong) = file::read(path)?;
    // Labels may come before the first image, on a device that has no store yet.
    let mut store = if lines.is_empty() { open_for_labels(config)? } else { open_or_make_for_labels(config)? };
    let mut plan = Plan::new(store.snapshot()?, now(), wrong);
    for line in lines {
        plan.take(line);
    }
    let (writes, done) = plan.finish(path)?;
    if !writes.is_empty() {
        store.commit(&writes)?;
    }
    output.print(&done, |out| {
        writeln!(out, "labels changed: {}, unchanged: {}", done.changed, done.unchanged)?;
        if done.awaited > 0 {
            writeln!(out, "for images that have not arrived: {}", done.awaited)?;
        }
        if done.dropped > 0 {
            let dropped = done.dropped;
            writeln!(out, "dropped, oldest first: {dropped}, at most {PENDING_MAX} labels wait for their image")?;
        }
        Ok(())
    })
}

/// A sample, its label and who gave it.
type Found = (SampleId, Option<(Label, LabelSource)>);

/// What a file's labels change.
struct Plan {
    snapshot: Snapshot,
    /// Every sample, its label and who gave it.
    labels: BTreeMap<SampleId, Option<(Label, LabelSource)>>,
    awaited: BTreeMap<String, PendingLabel>,
    at: Timestamp,
    /// Digits of each image that the file has named, with the line and the label.
    named: BTreeMap<String, (u64, Option<Label>)>,
    writes: Vec<Write>,
    wrong: Vec<LineProblem>,
    done: Done,
}

impl Plan {
    fn new(mut snapshot: Snapshot, at: Timestamp, wrong: Vec<LineProblem>) -> Self {
        let samples = std::mem::take(&mut snapshot.samples).into_iter();
        let awaited = std::mem::take(&mut snapshot.awaited).into_iter();
        Self {
            labels: samples.map(|sample| (sample.id, sample.label)).collect(),
            awaited: awaited.map(|label| (label.prefix.clone(), label)).collect(),
            snapshot,
            at,
            named: BTreeMap::new(),
            writes: Vec::new(),
            wrong,
            done: Done::default(),
        }
    }

    fn take(&mut self, line: LabelLine) {
        let LabelLine { line, image, label } = line;
        let sample = match self.sample(image.as_str()) {
            Ok(sample) => sample,
            Err(reason) => return self.wrong.push(LineProblem { line, reason }),
        };
        let digits = sample.as_ref().map_or_else(|| image.to_string(), |(id, _)| id.to_string());
        match self.named.get(&digits) {
            Some((first, other)) if *other != label => {
                let other = other.as_ref().map_or("none", Label::as_str);
                let reason =
                    format!("line {first} gives image {image} another label, {other}; remove one of the lines");
                return self.wrong.push(LineProblem { line, reason });
            }
            Some(_) => return self.done.unchanged += 1,
            None => self.named.insert(digits, (line, label.clone())),
        };
        match sample {
            Some((id, present)) => {
                let (present, source) = present.unzip();
                let is_same = present == label;
                *(if is_same { &mut self.done.unchanged } else { &mut self.done.changed }) += 1;
                // Whoever imports a folder's label gives it from now on.
                if !is_same || source == Some(LabelSource::Folder) {
                    self.writes.push(Write::Label { id, label, source: LabelSource::Import, at: self.at });
                }
            }
            None => self.awaited(image.to_string(), label),
        }
    }

    /// The sample whose identity begins so, with its label; `None` when it has not arrived.
    fn sample(&self, prefix: &str) -> Result<Option<Found>, String> {
        let first = format!("{prefix:0<64}").parse::<SampleId>().map_err(|error| error.to_string())?;
        let mut found = self.labels.range(first..).take_while(|(id, _)| id.to_string().starts_with(prefix));
        match (found.next(), found.next()) {
            (Some(_), Some(_)) => {
                Err(format!("{prefix} is the start of more than one image's SHA-256; give more digits"))
            }
            (found, _) => Ok(found.map(|(id, label)| (*id, label.clone()))),
        }
    }

    fn awaited(&mut self, prefix: String, label: Option<Label>) {
        if self.awaited.get(&prefix).map(|awaited| &awaited.label) == label.as_ref() {
            self.done.unchanged += 1;
            return;
        }
        self.done.awaited += 1;
        if let Some(label) = label {
            let awaited = PendingLabel { prefix: prefix.clone(), label, source: LabelSource::Import, at: self.at };
            self.writes.push(Write::PendingLabel(awaited.clone()));
            self.awaited.insert(prefix, awaited);
        } else {
            self.awaited.remove(&prefix);
            self.writes.push(Write::DeletePendingLabel { prefix });
        }
    }

    /// All writes, or why there are none.
    fn finish(mut self, file: &Path) -> Result<(Vec<Write>, Done), Failure> {
        if !self.wrong.is_empty() {
            self.wrong.sort_by_key(|problem| problem.line);
            return Err(Failure::lines(file, self.wrong));
        }
        let new: BTreeSet<&String> = self.named.keys().filter(|digits| self.awaited.contains_key(*digits)).collect();
        if new.len() > PENDING_MAX {
            return Err(Failure::failed(format!(
                "{} labels {} images that have not arrived, at most {PENDING_MAX} labels are kept for such; import the \
                 others later",
                file.display(),
                new.len()
            )));
        }
        let mut older: Vec<&PendingLabel> =
            self.awaited.values().filter(|awaited| !new.contains(&awaited.prefix)).collect();
        older.sort_by_key(|awaited| awaited.at);
        self.done.dropped = self.awaited.len().saturating_sub(PENDING_MAX);
        for awaited in &older[..self.done.dropped] {
            self.writes.push(Write::DeletePendingLabel { prefix: awaited.prefix.clone() });
        }
        if self.done.changed > 0 {
            self.writes.push(count_new_labels(&self.snapshot.training, self.done.changed));
        }
        Ok((self.writes, self.done))
    }
}
