//! Which pictures a task looks at, and through which part of them; what it should see of older ones and does not.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use edgetuned::engine::{Event, FileDisposition, Unseen, View, WatchEvent};
use edgetuned::words::{Digest, EmbeddingSpace, SampleId, TaskId};
use rand::RngExt;

use super::World;
use super::disk::image_id;
use super::sources::source_of;

/// Which images a task looks at, and what it calls them.
#[derive(Debug, Clone, Copy)]
pub struct Eyes {
    /// It looks at one image of so many.
    pub one_of: u32,
    /// The name that it gives an image is that of the image so many further on.
    pub shift: u32,
    /// The part of a picture that it looks at; 0 is the whole of it.
    pub region: u32,
    /// The watched folders that it looks at.
    pub roots: [bool; 2],
    /// The sources that it looks at, by their place.
    pub sources: [bool; 3],
}

impl Default for Eyes {
    /// It looks at all.
    fn default() -> Self {
        Self { one_of: 1, shift: 0, region: 0, roots: [true; 2], sources: [false; 3] }
    }
}

/// The embeddings of a part of pictures, where those of whole ones are of the space `whole`.
pub fn space_within(whole: EmbeddingSpace, region: u32) -> EmbeddingSpace {
    let of_region = || Digest::of(&[&whole.preprocessing.0[..], &region.to_le_bytes()].concat());
    EmbeddingSpace { preprocessing: if region == 0 { whole.preprocessing } else { of_region() }, ..whole }
}

impl World {
    fn eyes(&self, task: &TaskId) -> Eyes {
        self.eyes.get(task).copied().unwrap_or_default()
    }

    /// Whether a task looks at the image with this number.
    pub fn sees(&self, task: &TaskId, number: u32) -> bool {
        let Eyes { one_of, shift, sources, .. } = self.eyes(task);
        if let Some(place) = source_of(number) {
            return sources[place];
        }
        number % one_of == shift % one_of
    }

    /// Whether a task has anything to do with this image.
    pub fn looks_at(&self, task: &TaskId, id: &SampleId) -> bool {
        let number = Self::number_of(id);
        number.is_none_or(|number| self.sees(task, number))
    }

    /// The number of the image whose class a task would name.
    pub fn named_as(&self, task: &TaskId, number: u32) -> u32 {
        number + self.eyes(task).shift
    }

    /// The number of an image.
    pub(super) fn number_of(id: &SampleId) -> Option<u32> {
        static NUMBERS: LazyLock<BTreeMap<SampleId, u32>> =
            LazyLock::new(|| (0..13_000).map(|number| (image_id(number), number)).collect());
        NUMBERS.get(id).copied()
    }

    /// How many folders are watched.
    pub fn roots(&self) -> usize {
        self.settings.roots.len()
    }

    /// The watched folder that a file lies in.
    pub fn root_of(&self, path: &Path) -> usize {
        let inside = self.settings.roots.iter().position(|root| path.starts_with(&root.path));
        inside.expect("all files lie in watched folders")
    }

    /// Whether a task looks at the pictures of a watched folder.
    pub fn looks_into(&self, task: &TaskId, root: usize) -> bool {
        self.eyes(task).roots[root]
    }

    /// Whether a task looks at the source at this place.
    pub(super) fn watches(&self, task: &TaskId, place: usize) -> bool {
        self.eyes(task).sources[place]
    }

    /// Whether a task looks at sources alone.
    pub fn watches_only_sources(&self, task: &TaskId) -> bool {
        !self.eyes(task).roots.contains(&true)
    }

    /// The embeddings through which a task looks, where those of whole pictures are of the space `whole`.
    pub(super) fn space_of_task(&self, task: &TaskId, whole: EmbeddingSpace) -> EmbeddingSpace {
        space_within(whole, self.eyes(task).region)
    }

    /// What each task that looks at an image in a watched folder sees of it.
    pub(super) fn views(&mut self, number: u32, root: usize) -> Vec<View> {
        let id = image_id(number);
        let mut views = Vec::new();
        for task in self.tasks() {
            if !self.sees(&task, number) || !self.looks_into(&task, root) {
                continue;
            }
            let space = self.task(&task).space;
            let is_new = self.is_full && !self.model.of(&task).samples.contains_key(&id);
            let head = self.serving.get(&task).cloned();
            let prediction = head.map(|head| self.score(&task, head, number));
            views.push(View { task, space, is_new, prediction });
        }
        views
    }

    /// What each task that looks at a source sees of a frame.
    pub(super) fn views_of_frame(&mut self, number: u32, place: usize) -> Vec<View> {
        let id = image_id(number);
        let mut views = Vec::new();
        for task in self.tasks() {
            if !self.watches(&task, place) {
                continue;
            }
            let space = self.task(&task).space;
            let is_new = !self.model.sees(&task, &id);
            let head = self.serving.get(&task).cloned();
            let prediction = head.map(|head| self.score(&task, head, number));
            views.push(View { task, space, is_new, prediction });
        }
        views
    }

    /// Classifies a stored image again, after all that was asked for before.
    pub(super) fn judge_again(&mut self, task: TaskId, image: SampleId) {
        let (Some(number), Some(head)) = (Self::number_of(&image), self.serving.get(&task).cloned()) else { return };
        if !self.model.sees(&task, &image) {
            return;
        }
        let scored = self.score(&task, head, number);
        let is_before = |event: &Event| matches!(event, Event::Ingest(_) | Event::Frame(_) | Event::JudgedAgain { .. });
        let last = self.events.iter().filter(|(_, event)| is_before(event)).map(|(at, _)| *at).max();
        let at = self.now.mono + Duration::from_millis(self.rng.random_range(0..=500));
        self.push(last.map_or(at, |last| last.max(at)), Event::JudgedAgain { task, image, scored });
    }

    /// Looks through a part of the samples for some that a task should see and does not.
    pub(super) fn find_unseen(&mut self, after: u64, limit: usize) {
        let part = self.model.arrived.iter().skip(after as usize).take(limit);
        let (mut files, mut pictures, mut missing) = (BTreeSet::new(), BTreeSet::new(), BTreeMap::new());
        for id in part {
            let is_it = |fate: &FileDisposition| *fate == FileDisposition::Sample(*id);
            let places = self.model.files.iter().filter(|(_, (_, fate))| is_it(fate)).map(|(path, _)| path);
            let places: Vec<_> = places.map(|path| (self.root_of(path), path.clone())).collect();
            let lacks = |task: &TaskId| !self.model.sees(task, id) && self.looks_at(task, id);
            for task in self.tasks().into_iter().filter(lacks) {
                if places.is_empty() && self.model.pictures.iter().any(|picture| picture.id == *id) {
                    pictures.insert(*id);
                } else if places.is_empty() {
                    *missing.entry(task).or_default() += 1;
                } else {
                    // One of them is enough.
                    files.extend(places.iter().find(|(root, _)| self.looks_into(&task, *root)).cloned());
                }
            }
        }
        let looked_through = after + limit as u64;
        let next = (looked_through < self.model.arrived.len() as u64).then_some(looked_through);
        let (files, pictures) = (files.into_iter().collect(), pictures.into_iter().collect());
        let unseen = Unseen { files, pictures, next, missing };
        self.later(500, Event::Watch(WatchEvent::UnseenFound(unseen)));
    }
}
