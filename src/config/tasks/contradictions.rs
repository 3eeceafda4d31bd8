//! Tasks that contradict themselves, each other, or what the rest of the configuration says.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::table::LabelFrom;
use super::super::value::{Located, Setting as _, Value, Values, show_duration};
use super::super::{Problem, check, quoted};
use crate::wire::UNKNOWN;

/// Adds what contradicts itself in `tasks`, and what has no effect beside them.
pub(in crate::config) fn contradictions(values: &Values, problems: &mut Vec<Problem>, warnings: &mut Vec<Problem>) {
    let tasks = values.items("tasks");
    let looks: Vec<Look> = tasks.iter().map(|task| Look::of(task, values)).collect();
    for (index, item) in tasks.iter().enumerate() {
        check::unique_id("tasks", item, &tasks[..index], problems);
        let mut one = One { index, item, look: &looks[index], all: values, problems };
        one.origins();
        one.levels(&looks[..index]);
        one.silence();
        one.no_class();
    }
    unused_labels(values, &looks, warnings);
}

/// What a task looks at, as far as it is valid.
struct Look {
    /// Also where it says nothing.
    everything: bool,
    /// Paths of watched folders that it names.
    watched: Vec<PathBuf>,
    /// Ids of sources that it names.
    sources: Vec<String>,
    /// `None` where each folder says it.
    label_from: Option<LabelFrom>,
}

impl Look {
    fn of(task: &Values, all: &Values) -> Self {
        let views = task.items("tasks[].from");
        let watched: Vec<PathBuf> = views.iter().filter_map(|view| view.path("tasks[].from[].watch")).collect();
        let sources: Vec<String> = views.iter().filter_map(|view| view.text("tasks[].from[].source")).collect();
        // A named folder that is not there has a problem of its own.
        let watched = watched.into_iter().filter(|path| paths(all).contains(path)).collect();
        let is_default = task.text("tasks[].id").is_some_and(|id| id == "default");
        let said = Option::<LabelFrom>::read(task.value("tasks[].label_from")).flatten();
        Self {
            everything: matches!(task.value("tasks[].from"), Value::Items(views) if views.iter().all(names_none)),
            watched,
            sources,
            label_from: said.or_else(|| (!is_default).then_some(LabelFrom::None)),
        }
    }

    fn sees_folder(&self, path: &Path) -> bool {
        self.everything || self.watched.iter().any(|watched| watched == path)
    }

    fn sees_source(&self, id: &str) -> bool {
        self.everything || self.sources.iter().any(|source| source == id)
    }

    /// The level of `watch` that names the class.
    fn level(&self, watch: &Values) -> Option<usize> {
        if !self.sees_folder(&watch.path("watch[].path")?) {
            return None;
        }
        match self.label_from.or_else(|| LabelFrom::read(watch.value("watch[].label_from")))? {
            LabelFrom::Folder(level) => Some(level),
            LabelFrom::None => None,
        }
    }
}

fn names_none(view: &Values) -> bool {
    [view.value("tasks[].from[].watch"), view.value("tasks[].from[].source")].iter().all(|value| **value == Value::Null)
}

/// Paths of the watched folders.
fn paths(all: &Values) -> Vec<PathBuf> {
    all.items("watch").iter().filter_map(|watch| watch.path("watch[].path")).collect()
}

/// A task that is looked at.
struct One<'a> {
    index: usize,
    item: &'a Values,
    look: &'a Look,
    /// The whole configuration.
    all: &'a Values,
    problems: &'a mut Vec<Problem>,
}

impl One<'_> {
    /// The entries of `from`: each names what is there, and no picture has two regions.
    fn origins(&mut self) {
        let (index, views) = (self.index, self.item.items("tasks[].from"));
        for (at, view) in views.iter().enumerate() {
            let located = |key: &str| view.located(&format!("tasks[].from[].{key}"));
            let (watch, source) = (located("watch"), located("source"));
            let key = |key: &str| format!("tasks[{index}].from[{at}]{key}");
            match (&watch.value, &source.value) {
                (Value::Text(_), Value::Text(_)) => {
                    let remedy = "make two entries of them, each with its region".to_owned();
                    let found = "it beside watch".to_owned();
                    self.add(source, &key(".source"), found, "one of watch and source".to_owned(), remedy);
                }
                (Value::Text(path), _) => self.names_folder(watch, &key(".watch"), path),
                (_, Value::Text(id)) => self.names_source(source, &key(".source"), id),
                (Value::Null, Value::Null) if located("region").value == Value::Null => {
                    let whole = self.item.located("tasks[].from");
                    let remedy = "name one of them, or remove the entry".to_owned();
                    self.add(whole, &key(""), "nothing".into(), "watch or source, region, or both".into(), remedy);
                    continue;
                }
                _ => {}
            }
            let again = views[..at].iter().position(|former| is_of_same(former, view));
            if let Some(former) = again {
                let written = [watch, source, located("region")].into_iter().find(|located| !located.file.is_empty());
                let found = format!("pictures that tasks[{index}].from[{former}] looks at, too");
                let expected = "one region of each watched folder and source in a task".to_owned();
                let remedy = "remove one of the two, or make another task of it".to_owned();
                self.add(written.unwrap_or(watch), &key(""), found, expected, remedy);
            }
        }
    }

    fn names_folder(&mut self, located: &Located, key: &str, text: &str) {
        let paths = paths(self.all);
        let is_there = PathBuf::read(&located.value).is_some_and(|path| paths.contains(&path));
        if !is_there && has_no_fault(self.all, "watch", "path") {
            let expected = match &*paths {
                [] => "the path of a folder in watch, which has none".to_owned(),
                paths => format!("the path of a folder in watch: {}", listed(paths.iter().map(|path| path.display()))),
            };
            let remedy = "add it to watch, or name one that is there; a part of a folder is none".to_owned();
            self.add(located, key, quoted(text), expected, remedy);
        }
    }

    fn names_source(&mut self, located: &Located, key: &str, id: &str) {
        let ids: Vec<String> = self.all.items("sources").iter().filter_map(|item| item.text("sources[].id")).collect();
        if !ids.iter().any(|there| there == id) && has_no_fault(self.all, "sources", "id") {
            let expected = match &*ids {
                [] => "the id of one of sources, which has none".to_owned(),
                ids => format!("the id of one of sources: {}", listed(ids.iter())),
            };
            let words: Vec<&str> = ids.iter().map(String::as_str).collect();
            let remedy = check::nearest(id, &words).map_or_else(
                || "add it to sources, or name one that is there".to_owned(),
                |near| format!("did you mean '{near}'?"),
            );
            self.add(located, key, quoted(id), expected, remedy);
        }
    }

    /// A folder's name is a class of one task.
    fn levels(&mut self, former: &[Look]) {
        let located = self.item.located("tasks[].label_from");
        let key = format!("tasks[{}].label_from", self.index);
        if self.look.label_from == Some(LabelFrom::None) {
            return;
        }
        let names_folder = matches!(self.look.label_from, Some(LabelFrom::Folder(_)));
        if names_folder && !self.look.everything && self.look.watched.is_empty() {
            // One that is named and missing is told as that.
            if !self.look.sources.is_empty() && self.item.items("tasks[].from").iter().all(is_of_source) {
                let expected = "a watched folder among what the task looks at".to_owned();
                let remedy = "name a watched folder in from, or write none: sources have no folders".to_owned();
                self.add(located, &key, "a level of folders".to_owned(), expected, remedy);
            }
            return;
        }
        let same = |other: &Look| {
            let by_folder = self.all.items("watch").iter().any(|watch| {
                let level = self.look.level(watch);
                level.is_some() && level == other.level(watch)
            });
            let by_word = names_folder && self.look.label_from == other.label_from;
            by_folder || (by_word && self.look.everything && other.everything)
        };
        if let Some(other) = former.iter().position(same) {
            let place = if located.file.is_empty() { self.item.located("tasks[].id") } else { located };
            let found = format!("the level of folders that tasks[{other}] takes its labels from");
            let expected = "another level, other folders, or none".to_owned();
            let remedy = "write { folder: N } with the level below the watched folder that names this task's classes";
            self.add(place, &key, found, expected, remedy.to_owned());
        }
    }

    /// A state must not become unknown between two pictures of a camera.
    fn silence(&mut self) {
        if !self.item.has("tasks[].state") {
            return;
        }
        let located = self.item.located("tasks[].state.unknown_after");
        let Some(silent) = Duration::read(&located.value) else { return };
        for (at, source) in self.all.items("sources").iter().enumerate() {
            let is_fetched = source.text("sources[].http").is_some();
            let is_seen = source.text("sources[].id").is_some_and(|id| self.look.sees_source(&id));
            let every = source.located("sources[].every");
            let Some(time) = Duration::read(&every.value).filter(|_| is_fetched && is_seen) else { continue };
            if time < silent {
                continue;
            }
            let key = format!("tasks[{}].state.unknown_after", self.index);
            let found = format!("{}, sources[{at}].every is {}", show_duration(silent), show_duration(time));
            let expected = "a time longer than that between two pictures".to_owned();
            let remedy = "lengthen it, or ask the source more often: the state would be unknown in between".to_owned();
            let place = if located.file.is_empty() { every } else { located };
            return self.add(place, &key, found, expected, remedy);
        }
    }

    /// A threshold of what is no class has no effect.
    fn no_class(&mut self) {
        let located = self.item.located("tasks[].state.thresholds");
        let Value::Shares(shares) = &located.value else { return };
        if shares.keys().any(|label| label.as_str() == UNKNOWN) {
            let key = format!("tasks[{}].state.thresholds", self.index);
            let expected = "labels of classes".to_owned();
            let remedy = "remove it: unknown is no class but the word for no state, which unknown_after bounds";
            self.add(located, &key, quoted(UNKNOWN), expected, remedy.to_owned());
        }
    }

    fn add(&mut self, located: &Located, key: &str, found: String, expected: String, remedy: String) {
        self.problems.push(check::problem(located, key, found, expected, remedy));
    }
}

/// Whether one picture can be of both entries.
fn is_of_same(one: &Values, other: &Values) -> bool {
    let keys = ["tasks[].from[].watch", "tasks[].from[].source"];
    let is_whole_entry = |view: &Values| names_none(view);
    let is_sound = |view: &Values| keys.iter().all(|key| *view.value(key) != Value::Invalid);
    if !is_sound(one) || !is_sound(other) {
        return false;
    }
    is_whole_entry(one)
        || is_whole_entry(other)
        || (one.path(keys[0]).is_some() && one.path(keys[0]) == other.path(keys[0]))
        || (one.text(keys[1]).is_some() && one.text(keys[1]) == other.text(keys[1]))
}

fn is_of_source(view: &Values) -> bool {
    view.text("tasks[].from[].source").is_some() && *view.value("tasks[].from[].watch") == Value::Null
}

/// Whether the list and this key of all its items are valid; else what a task names may be meant to be there.
fn has_no_fault(all: &Values, list: &str, word: &str) -> bool {
    let key = format!("{list}[].{word}");
    *all.value(list) != Value::Invalid && all.items(list).iter().all(|item| *item.value(&key) != Value::Invalid)
}

/// The first few, in words.
fn listed(names: impl ExactSizeIterator<Item = impl std::fmt::Display>) -> String {
    const SHOWN: usize = 5;
    let more = names.len().saturating_sub(SHOWN);
    let names: Vec<String> = names.take(SHOWN).map(|name| name.to_string()).collect();
    let names = names.join(", ");
    if more == 0 { names } else { format!("{names} and {more} more") }
}

/// With tasks, a folder's own `label_from` holds only for the task called `default`, where that says nothing itself.
fn unused_labels(all: &Values, looks: &[Look], warnings: &mut Vec<Problem>) {
    if looks.is_empty() {
        return;
    }
    for (at, watch) in all.items("watch").iter().enumerate() {
        let located = watch.located("watch[].label_from");
        let is_level = matches!(located.value, Value::Integer(1..));
        let path = watch.path("watch[].path");
        let is_used = looks
            .iter()
            .any(|look| look.label_from.is_none() && path.as_deref().is_some_and(|path| look.sees_folder(path)));
        if is_level && !located.file.is_empty() && !is_used {
            let found = "a level of folders".to_owned();
            let expected = "label_from in the task whose classes the folders are, since there are tasks".to_owned();
            let remedy = "write it as tasks[].label_from and remove it here: here it has no effect".to_owned();
            warnings.push(check::problem(located, &format!("watch[{at}].label_from"), found, expected, remedy));
        }
    }
}
