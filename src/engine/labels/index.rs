//! Which images a task looks at, how they are labelled and where their files lie; labels that wait for their image.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::super::snapshot::StoredSample;
use super::super::write::{LabelSource, PendingLabel};
use super::awaited::AwaitedLabels;
use super::known::KnownSamples;
use super::last_word::{Lies, Standing, is_person};
use super::living::{LivingFile, LivingFiles, Places};
use crate::words::{Label, SampleId, Timestamp};

/// The samples of a task with their labels and files, in memory: about 250 bytes each.
#[derive(Debug, Default)]
pub(super) struct SampleIndex {
    samples: BTreeMap<SampleId, Known>,
    files: LivingFiles,
    /// Labelled samples of each class, without those that are excluded.
    counts: BTreeMap<Label, usize>,
    /// Labelled samples that are excluded.
    set_aside: usize,
    /// Labels that wait for their image.
    pub awaited: AwaitedLabels,
    classes: Classes,
}

/// What deciding needs of a sample.
#[derive(Debug, Clone, Default)]
struct Known {
    label: Option<ClassNumber>,
    /// Who gave the label, or took it away.
    spoke_last: Option<LabelSource>,
    /// When.
    spoken_at: Option<Timestamp>,
    /// Whether nothing is learned from it.
    excluded: bool,
    /// The prediction at arrival and its head, until a label answers it.
    predicted: Option<(ClassNumber, u64)>,
    /// The class by folder as it was last judged.
    folder: Option<ClassNumber>,
    /// Where its living files lie.
    places: Places,
}

/// Place of a label in [`Classes`].
pub(super) type ClassNumber = u32;

/// What a label changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Changed {
    /// Nothing: it is the same label again, or an unknown image.
    Nothing,
    /// Nothing but that a person confirms a label which trainings left out.
    Confirmed,
    /// Who gave it: a person confirmed a folder's label, or the other way round.
    Giver,
    /// The label.
    Label,
}

/// Every label that was ever given or predicted, once; so a sample holds a number and no text.
#[derive(Debug, Default)]
struct Classes {
    names: Vec<Label>,
    numbers: BTreeMap<Label, ClassNumber>,
}

impl Classes {
    fn number(&mut self, label: &Label) -> ClassNumber {
        if let Some(number) = self.numbers.get(label) {
            return *number;
        }
        let number = self.names.len() as ClassNumber;
        self.names.push(label.clone());
        self.numbers.insert(label.clone(), number);
        number
    }

    fn name(&self, number: ClassNumber) -> &Label {
        &self.names[number as usize]
    }
}

impl SampleIndex {
    pub fn new(mut samples: Vec<StoredSample>, awaited: Vec<PendingLabel>) -> Self {
        let mut index = Self::default();
        // In the order of the map, so that each is found beside the one before.
        samples.sort_unstable_by_key(|sample| sample.id);
        for StoredSample { id, label, removed_by, spoken_at, excluded, folder, predicted, .. } in samples {
            index.add(id, predicted);
            index.exclude(&id, excluded);
            let folder = folder.map(|folder| index.classes.number(&folder));
            index.judged(&id, folder);
            if let Some((label, source)) = label {
                index.set_label(id, Some(&label), source);
            } else if let Some(known) = index.samples.get_mut(&id) {
                known.spoke_last = removed_by;
            }
            if let Some(at) = spoken_at {
                index.spoken(&id, at);
            }
        }
        index.awaited = AwaitedLabels::new(awaited);
        index
    }

    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// Samples with a label, excluded ones among them.
    pub fn labelled(&self) -> usize {
        self.learnable() + self.set_aside
    }

    /// Labelled samples that a training learns from.
    pub fn learnable(&self) -> usize {
        self.counts.values().sum()
    }

    /// Of these, the samples of each class that has any.
    pub fn counts(&self) -> &BTreeMap<Label, usize> {
        &self.counts
    }

    pub fn contains(&self, id: &SampleId) -> bool {
        self.samples.contains_key(id)
    }

    pub fn label(&self, id: &SampleId) -> Option<&Label> {
        self.samples.get(id)?.label.map(|class| self.classes.name(class))
    }

    /// Whether nothing is learned from a sample.
    pub fn is_excluded(&self, id: &SampleId) -> bool {
        self.samples.get(id).is_some_and(|known| known.excluded)
    }

    /// Excludes a known sample, or takes it back; whether that is new.
    pub fn exclude(&mut self, id: &SampleId, excluded: bool) -> bool {
        let Some(known) = self.samples.get_mut(id).filter(|known| known.excluded != excluded) else { return false };
        let (was, label) = (std::mem::replace(&mut known.excluded, excluded), known.label);
        self.uncount(label, was);
        self.count(label, excluded);
        true
    }

    /// Who gave the label of a sample or took it away, and when; nothing where nobody ever did.
    pub fn spoke_last(&self, id: &SampleId) -> (Option<LabelSource>, Option<Timestamp>) {
        self.samples.get(id).map_or((None, None), |known| (known.spoke_last, known.spoken_at))
    }

    /// The label of a sample was given, taken away or confirmed at this time.
    pub fn spoken(&mut self, id: &SampleId, at: Timestamp) {
        if let Some(known) = self.samples.get_mut(id) {
            known.spoken_at = Some(at);
        }
    }

    /// Every sample with a label.
    pub fn labelled_ids(&self) -> impl Iterator<Item = SampleId> + '_ {
        self.samples.iter().filter(|(_, known)| known.label.is_some()).map(|(id, _)| *id)
    }

    /// The samples with this label, and the labels like it that wait for their image.
    pub fn labelled_as(&self, label: &Label) -> (Vec<SampleId>, Vec<PendingLabel>) {
        let class = self.classes.numbers.get(label);
        let samples = self.samples.iter().filter(|(_, known)| class.is_some() && known.label.as_ref() == class);
        (samples.map(|(id, _)| *id).collect(), self.awaited.of_class(label))
    }

    /// Adds a sample without a label, with its prediction and its head; no effect when it is known.
    pub fn add(&mut self, id: SampleId, predicted: Option<(Label, u64)>) {
        let predicted = predicted.map(|(label, head)| (self.classes.number(&label), head));
        self.samples.entry(id).or_insert(Known { predicted, ..Known::default() });
    }

    /// Forgets a sample; whether it was there. Its files are forgotten with [`Self::forget_files`].
    pub fn remove(&mut self, id: &SampleId) -> bool {
        let Some(known) = self.samples.remove(id) else { return false };
        self.uncount(known.label, known.excluded);
        true
    }

    /// Forgets the files of samples that no task knows any more.
    pub fn forget_files(&mut self, known: &KnownSamples) {
        self.files.retain(|id| known.contains(id));
    }

    /// The task looks at a sample that was known before: its files lie where they were found. Returns whether it has any.
    pub fn adopt_files(&mut self, id: SampleId) -> bool {
        let Some(known) = self.samples.get_mut(&id) else { return false };
        known.places = Places::default();
        for class in self.files.of(id) {
            known.places.add(class);
        }
        known.places.lies() != Lies::Nowhere
    }

    /// A file at `path` has the bytes of the sample `id` and lies in a folder of `class`. Returns the samples
    /// whose set of places changed by that: this one, and the one whose bytes the file had before.
    pub fn file_lives(&mut self, path: &Path, id: SampleId, class: Option<&Label>) -> BTreeSet<SampleId> {
        let file = LivingFile { id, class: class.map(|class| self.classes.number(class)) };
        let former = self.files.insert(path, file);
        if former == Some(file) {
            return BTreeSet::new();
        }
        let mut changed: BTreeSet<SampleId> = former.and_then(|former| self.left(former)).into_iter().collect();
        if self.samples.get_mut(&id).is_some_and(|known| known.places.add(file.class)) {
            changed.insert(id);
        }
        changed
    }

    /// There is no image at `path` any more. Returns the sample that had it, where its set of places changed by that.
    pub fn file_is_gone(&mut self, path: &Path) -> Option<SampleId> {
        let former = self.files.remove(path)?;
        self.left(former)
    }

    fn left(&mut self, file: LivingFile) -> Option<SampleId> {
        let known = self.samples.get_mut(&file.id)?;
        known.places.remove(file.class).then_some(file.id)
    }

    /// Where the living files of a sample lie; nowhere where it is not known.
    pub fn lies(&self, id: &SampleId) -> Lies<ClassNumber> {
        self.samples.get(id).map_or(Lies::Nowhere, |known| known.places.lies())
    }

    /// The classes of the folders in which files of a sample lie, by their names.
    pub fn classes_by_folder(&self, id: &SampleId) -> Vec<Label> {
        let classes = self.samples.get(id).into_iter().flat_map(|known| known.places.classes());
        let mut names: Vec<Label> = classes.map(|class| self.classes.name(class).clone()).collect();
        names.sort();
        names
    }

    /// What was decided for a known sample so far.
    pub fn standing(&self, id: &SampleId) -> Option<Standing<ClassNumber>> {
        let known = self.samples.get(id)?;
        Some(Standing { folder: known.folder, spoke_last: known.spoke_last })
    }

    /// The class by folder of a sample was judged.
    pub fn judged(&mut self, id: &SampleId, folder: Option<ClassNumber>) {
        if let Some(known) = self.samples.get_mut(id) {
            known.folder = folder;
        }
    }

    /// The name of a class.
    pub fn class(&self, class: ClassNumber) -> &Label {
        self.classes.name(class)
    }

    /// Every sample.
    pub fn ids(&self) -> impl Iterator<Item = SampleId> + '_ {
        self.samples.keys().copied()
    }

    /// The prediction of a sample at arrival, and its head; once, since a label answers it once.
    pub fn take_predicted(&mut self, id: &SampleId) -> Option<(Label, u64)> {
        let (class, head) = self.samples.get_mut(id)?.predicted.take()?;
        Some((self.classes.name(class).clone(), head))
    }

    /// Sets or removes a known sample's label.
    pub fn set_label(&mut self, id: SampleId, label: Option<&Label>, source: LabelSource) -> Changed {
        let class = label.map(|label| self.classes.number(label));
        let Some(known) = self.samples.get_mut(&id) else { return Changed::Nothing };
        let (former, spoke_last) = (known.label, known.spoke_last);
        if former == class && (spoke_last.is_none() || is_person(spoke_last) == is_person(Some(source))) {
            return Changed::Nothing;
        }
        (known.label, known.spoke_last) = (class, Some(source));
        let excluded = known.excluded;
        if former == class {
            return Changed::Giver;
        }
        self.uncount(former, excluded);
        self.count(class, excluded);
        Changed::Label
    }

    fn count(&mut self, label: Option<ClassNumber>, excluded: bool) {
        let Some(class) = label else { return };
        if excluded {
            self.set_aside += 1;
        } else {
            *self.counts.entry(self.classes.name(class).clone()).or_default() += 1;
        }
    }

    fn uncount(&mut self, label: Option<ClassNumber>, excluded: bool) {
        let Some(class) = label else { return };
        if excluded {
            self.set_aside -= 1;
            return;
        }
        let name = self.classes.name(class);
        if let Some(count) = self.counts.get_mut(name) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(text: &str) -> Label {
        Label::new(text).unwrap()
    }

    fn id(first: u8, second: u8) -> SampleId {
        let mut bytes = [0; 32];
        (bytes[0], bytes[5]) = (first, second);
        SampleId(crate::words::Digest(bytes))
    }

    #[test]
    fn counts_follow_relabelling_and_removal() {
        let labelled = StoredSample { label: Some((label("nut"), LabelSource::Folder)), ..StoredSample::new(id(1, 0)) };
        let mut index = SampleIndex::new(vec![labelled], vec![]);
        let set =
            |index: &mut SampleIndex, label: Option<Label>, source| index.set_label(id(1, 0), label.as_ref(), source);
        assert_eq!(set(&mut index, Some(label("gear")), LabelSource::Mqtt), Changed::Label);
        assert_eq!(
            set(&mut index, Some(label("gear")), LabelSource::Import),
            Changed::Nothing,
            "the same label again is no change"
        );
        assert_eq!(
            set(&mut index, Some(label("gear")), LabelSource::Folder),
            Changed::Giver,
            "unless a folder gives it"
        );
        assert_eq!(index.counts().iter().map(|(l, n)| (l.as_str(), *n)).collect::<Vec<_>>(), [("gear", 1)]);
        assert_eq!(set(&mut index, None, LabelSource::Mqtt), Changed::Label);
        assert!(index.counts().is_empty());
        assert_eq!(set(&mut index, None, LabelSource::Mqtt), Changed::Nothing);
        assert_eq!(set(&mut index, Some(label("nut")), LabelSource::Mqtt), Changed::Label);
        assert!(index.remove(&id(1, 0)) && !index.remove(&id(1, 0)));
        assert_eq!(index.labelled(), 0);
        let unknown = index.set_label(id(9, 9), Some(&label("nut")), LabelSource::Mqtt);
        assert_eq!(unknown, Changed::Nothing, "unknown images take no label");
    }

    #[test]
    fn an_excluded_sample_keeps_its_label_and_is_in_no_count_of_a_class() {
        let nut = (label("nut"), LabelSource::Mqtt);
        let stored = |n| StoredSample { label: Some(nut.clone()), excluded: n == 2, ..StoredSample::new(id(n, 0)) };
        let mut index = SampleIndex::new(vec![stored(1), stored(2)], vec![]);
        let counted = |index: &SampleIndex| (index.learnable(), index.labelled());
        assert_eq!((counted(&index), index.is_excluded(&id(2, 0))), ((1, 2), true));
        assert!(index.exclude(&id(1, 0), true) && !index.exclude(&id(1, 0), true) && !index.exclude(&id(9, 0), true));
        assert_eq!((counted(&index), index.counts().len()), ((0, 2), 0));
        assert_eq!(index.label(&id(1, 0)), Some(&label("nut")));
        index.set_label(id(1, 0), Some(&label("gear")), LabelSource::Mqtt);
        index.set_label(id(2, 0), None, LabelSource::Mqtt);
        assert_eq!(counted(&index), (0, 1));
        assert!(index.exclude(&id(1, 0), false) && index.exclude(&id(2, 0), false));
        assert_eq!(index.counts().iter().map(|(l, n)| (l.as_str(), *n)).collect::<Vec<_>>(), [("gear", 1)]);
        index.exclude(&id(1, 0), true);
        assert!(index.remove(&id(1, 0)));
        assert_eq!(counted(&index), (0, 0));
    }

    #[test]
    fn a_prediction_is_answered_once() {
        let mut index = SampleIndex::default();
        index.add(id(1, 0), Some((label("nut"), 7)));
        index.add(id(1, 0), Some((label("gear"), 8)));
        assert_eq!(index.take_predicted(&id(1, 0)), Some((label("nut"), 7)));
        assert_eq!(index.take_predicted(&id(1, 0)), None);
    }
}
