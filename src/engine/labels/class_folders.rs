//! Which class folders an image's files lie in, and when that is judged.
//!
//! The first class folder of an image gives its label at once. Every later change waits in doubt until it is certain
//! which files live: a file that is moved, or whose folder is renamed, is two changes, found in any order and perhaps
//! by two listings. So an image is in doubt, which is durable, from the moment its set of places changes, until no
//! file waits to be read and the watcher has looked at its files. [`super::last_word`] then decides.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::context::Cx;
use super::super::settings::{Root, Settings, TaskSettings};
use super::super::step::Act;
use super::super::write::{ClassFolders, LabelSource, Write};
use super::UnderWay;
use super::index::ClassNumber;
use super::last_word::{self, FolderAct, Lies, Standing};
use super::sheet::Sheet;
use crate::words::{Component, Label, SampleId};

/// Images whose files are looked at together.
const LOOKED_AT: usize = 256;

/// So long an image is in doubt at most where files keep arriving; a backlog that a listing found is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// Images whose class by folder is to be judged anew.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    images: BTreeMap<SampleId, Doubt>,
    /// Images that lie in several classes' folders, which was reported.
    divided: BTreeSet<SampleId>,
    /// The settings under which everything was judged, as the store remembers them.
    judged_under: Option<ClassFolders>,
    /// Whether it was reported that class folders are called like dates.
    reported_dates: bool,
}

/// What decides on an image's class by folder, and on what the folder does.
type Rule = fn(Standing<ClassNumber>, Lies<ClassNumber>) -> (Option<ClassNumber>, FolderAct<ClassNumber>);

#[derive(Debug, Clone, Copy)]
struct Doubt {
    since: Duration,
    /// Whether the watcher was asked to look at its files.
    asked: bool,
}

impl Doubts {
    pub fn is_empty(&self) -> bool {
        self.images.is_empty()
    }

    pub fn new(judged_under: Option<ClassFolders>) -> Self {
        Self { judged_under, ..Self::default() }
    }

    /// A sample is gone.
    pub fn forget(&mut self, id: &SampleId) {
        self.images.remove(id);
        self.divided.remove(id);
    }
}

impl Sheet {
    /// At the start: what was in doubt still is, and where other folders are classes than before, every image is judged
    /// by the new settings. Returns whether that was so.
    pub(super) fn judge_at_start(&mut self, cx: &mut Cx<'_>, under_way: &mut UnderWay) -> bool {
        for id in std::mem::take(&mut self.in_doubt) {
            self.doubts.images.insert(id, Doubt { since: cx.now.mono, asked: false });
        }
        let settled: Vec<SampleId> = self.index.ids().filter(|id| !self.doubts.images.contains_key(id)).collect();
        let settings = ClassFolders::of(cx.settings());
        if self.doubts.judged_under.as_ref() == Some(&settings) {
            // What contradicts itself was reported when it was judged.
            let divided = settled.into_iter().filter(|id| self.index.lies(id) == Lies::Divided);
            self.doubts.divided = divided.collect();
            return false;
        }
        for id in settled {
            self.judge(cx, under_way, id, last_word::by_settings);
        }
        self.doubts.judged_under = Some(settings);
        true
    }

    /// A file at `path` has the bytes of a known sample.
    pub(super) fn file_lives(&mut self, cx: &mut Cx<'_>, under_way: &mut UnderWay, path: &Path, id: SampleId) {
        let class = class_by_folder(cx, path);
        for changed in self.index.file_lives(path, id, class.as_ref()) {
            self.places_changed(cx, under_way, id, changed);
        }
    }

    /// The task looks at a sample that others knew before, whose files were found before.
    pub(super) fn adopt_files(&mut self, cx: &mut Cx<'_>, under_way: &mut UnderWay, id: SampleId) {
        if self.index.adopt_files(id) {
            self.places_changed(cx, under_way, id, id);
        }
    }

    /// The files of `changed` lie elsewhere since one of `id` was found; the first class folder speaks at once.
    fn places_changed(&mut self, cx: &mut Cx<'_>, under_way: &mut UnderWay, id: SampleId, changed: SampleId) {
        let is_first = changed == id && self.index.standing(&id).is_some_and(|known| known.folder.is_none());
        if is_first && matches!(self.index.lies(&id), Lies::In(_)) {
            self.judge(cx, under_way, id, last_word::by_files);
        } else {
            self.doubt(cx, changed);
        }
    }

    /// At these paths there are no images any more.
    pub(super) fn files_gone(&mut self, cx: &mut Cx<'_>, paths: &[PathBuf]) {
        for path in paths {
            self.review.file_is_gone(path);
            if let Some(id) = self.index.file_is_gone(path) {
                self.doubt(cx, id);
            }
        }
    }

    /// A sample's set of places changed: it is judged later, unless the change says nothing.
    fn doubt(&mut self, cx: &mut Cx<'_>, id: SampleId) {
        let Some(standing) = self.index.standing(&id) else { return };
        let says_nothing = match self.index.lies(&id) {
            Lies::Nowhere => true,
            Lies::Unclassed => standing.folder.is_none(),
            Lies::In(class) => standing.folder == Some(class),
            Lies::Divided => false,
        };
        if says_nothing || self.doubts.images.contains_key(&id) {
            return;
        }
        self.doubts.images.insert(id, Doubt { since: cx.now.mono, asked: false });
        self.note_folder(cx, id, standing.folder, true);
    }

    /// Has the files of images in doubt looked at, when all that is known of was read.
    pub(super) fn look_at_doubts(&mut self, cx: &mut Cx<'_>, under_way: &UnderWay) {
        let asked = self.doubts.images.values().filter(|doubt| doubt.asked).count();
        let due: Vec<SampleId> = (self.doubts.images.iter())
            .filter(|(_, doubt)| !doubt.asked && may_judge(cx, under_way, **doubt))
            .map(|(id, _)| *id)
            .take(LOOKED_AT.saturating_sub(asked))
            .collect();
        for id in &due {
            self.doubts.images.get_mut(id).expect("it was just listed").asked = true;
        }
        if !due.is_empty() {
            cx.act(Act::CheckFiles(due));
        }
    }

    /// The files of these images were looked at, and those that are gone were reported before.
    pub(super) fn files_checked(&mut self, cx: &mut Cx<'_>, under_way: &mut UnderWay, images: &[SampleId]) {
        for id in images {
            let Some(doubt) = self.doubts.images.get_mut(id) else { continue };
            doubt.asked = false;
            let doubt = *doubt;
            if !cx.storage_is_out() && may_judge(cx, under_way, doubt) {
                self.doubts.images.remove(id);
                self.judge(cx, under_way, *id, last_word::by_files);
            }
        }
    }

    /// Decides what the folders say of an image, and does it.
    fn judge(&mut self, cx: &mut Cx<'_>, under_way: &mut UnderWay, id: SampleId, rule: Rule) {
        let Some(standing) = self.index.standing(&id) else { return };
        let lies = self.index.lies(&id);
        let (folder, act) = rule(standing, lies);
        self.index.judged(&id, folder);
        self.note_folder(cx, id, folder, false);
        let was_divided = self.doubts.divided.remove(&id);
        if lies == Lies::Divided {
            self.doubts.divided.insert(id);
        }
        match act {
            FolderAct::Silent => {}
            FolderAct::Gives(class) => {
                let label = self.index.class(class).clone();
                if looks_like_a_date(label.as_str()) && !std::mem::replace(&mut self.doubts.reported_dates, true) {
                    cx.error(Component::Watch, dates_advice(&label));
                }
                self.set_label(cx, under_way, id, Some(label), LabelSource::Folder, None);
            }
            FolderAct::TakesBack => {
                self.set_label(cx, under_way, id, None, LabelSource::Folder, None);
            }
            FolderAct::Contradicts if was_divided => {}
            FolderAct::Contradicts => cx.error(Component::Watch, self.contradiction(id)),
        }
    }

    /// Notes in the store what a sample's class by folder is, where that changes.
    fn note_folder(&mut self, cx: &mut Cx<'_>, id: SampleId, folder: Option<ClassNumber>, in_doubt: bool) {
        let class = folder.map(|folder| self.index.class(folder).clone());
        cx.write(Write::Folder { task: cx.task_id(), id, class, in_doubt });
    }

    fn contradiction(&self, id: SampleId) -> String {
        let folders = self.index.classes_by_folder(&id);
        let folders = folders.iter().map(Label::as_str).collect::<Vec<_>>().join(" and ");
        let label = self.index.label(&id).map_or("no label".to_owned(), |label| format!("the label {label}"));
        format!("image {id} is in the folders {folders}; it keeps {label}: remove all but one of the files")
    }
}

/// Whether no file waits that may change what the folders of an image say.
fn may_judge(cx: &Cx<'_>, under_way: &UnderWay, doubt: Doubt) -> bool {
    let is_patient = cx.now.mono.saturating_sub(doubt.since) < PATIENCE;
    under_way.files_waiting == 0 || !(is_patient || under_way.backlog_waits)
}

/// Under the present settings the folders of all samples were judged.
pub(super) fn note_settings(cx: &mut Cx<'_>) {
    let settings = ClassFolders::of(cx.settings());
    cx.write(Write::ClassFolders(settings));
}

impl ClassFolders {
    fn of(settings: &Settings) -> Self {
        let folder = |(place, root): (usize, &Root)| {
            let path = root.path.to_string_lossy().into_owned();
            let level = |task: &TaskSettings| task.label_levels.get(place).copied().flatten().unwrap_or(0);
            settings
                .tasks
                .iter()
                .map(move |task| {
                    let path = if settings.names_tasks { format!("{path} {}", task.id) } else { path.clone() };
                    (path, level(task))
                })
                .collect::<Vec<_>>()
        };
        Self(settings.roots.iter().enumerate().flat_map(folder).collect())
    }
}

/// Whether a folder is called like a day, a month or a year, as cameras call theirs: digits in groups that begin with a
/// year, or end with one.
fn looks_like_a_date(name: &str) -> bool {
    let is_separator = |c: char| matches!(c, '-' | '_' | '.' | ' ');
    if !name.chars().all(|c| c.is_ascii_digit() || is_separator(c)) {
        return false;
    }
    let digits: Vec<u32> = name.chars().filter_map(|c| c.to_digit(10)).collect();
    let number = |from: usize, to: usize| digits[from..to].iter().fold(0, |number, digit| 10 * number + digit);
    let is_year = |from: usize| (1990..2100).contains(&number(from, from + 4));
    let is_day = |month: usize, day: usize| {
        (1..=12).contains(&number(month, month + 2)) && (1..=31).contains(&number(day, day + 2))
    };
    match digits.len() {
        4 => is_year(0),
        6 => is_year(0) && (1..=12).contains(&number(4, 6)),
        8..=14 => (is_year(0) && is_day(4, 6)) || (digits.len() == 8 && is_year(4) && (is_day(2, 0) || is_day(0, 2))),
        _ => false,
    }
}

fn dates_advice(label: &Label) -> String {
    format!(
        "class folder {label} looks like a date, so every day becomes a class: set label_from: none for this watched \
         folder, or label_from: {{ folder: N }} where the classes are N levels below it; 'edgetuned samples forget \
         --class {label}' removes what was taken in"
    )
}

/// The class that the folder of a file gives it; one that cannot be a class is reported.
fn class_by_folder(cx: &mut Cx<'_>, path: &Path) -> Option<Label> {
    match cx.settings().class_by_folder(cx.task(), path) {
        Ok(class) => class,
        Err(reason) => {
            cx.error(Component::Watch, reason);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_days_months_and_years_are_told_from_classes() {
        for date in
            ["2026-11-27", "20261129", "2026_11_27", "2026.11", "2026", "27.11.2026", "11-27-2026", "2026-11-27_14"]
        {
            assert!(looks_like_a_date(date), "{date}");
        }
        for class in ["nut", "m8", "8", "12", "1200", "4711", "2026-13-01", "20", "part 2026", "20260000", "123456789"]
        {
            assert!(!looks_like_a_date(class), "{class}");
        }
    }
}
