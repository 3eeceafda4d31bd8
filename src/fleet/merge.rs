//! Sums of many devices.
//!
//! `S = sum_j S_j + sum_jk n_jk (mu_jk - mu_k)(mu_jk - mu_k)^T`: what devices see differently belongs to the scatter, as it would with
//! all pictures in one place. The second part is taken about a mean seen early and corrected once at the end, so that
//! devices are added in any order, many rows to a matrix product.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use ndarray::{Array2, ArrayView1};

use super::disagreements::{Disagreement, disagreements};
use super::{Source, Statistics};
use crate::train::ClassStats;
use crate::words::{ClassSet, Label};

/// Rows of differences of means that one matrix product takes.
const ROWS: usize = 512;
/// Classes that count as others: the first as the second.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Aliases(pub BTreeMap<Label, Label>);

impl Aliases {
    /// What a class counts as.
    #[must_use]
    pub fn of<'a>(&'a self, label: &'a Label) -> &'a Label {
        self.0.get(label).unwrap_or(label)
    }
}

/// Why statistics cannot be added.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CannotMerge {
    /// They are of other embeddings.
    #[error(
        "{name} is of {found}, {first} of {expected}: sums of different embeddings cannot be added; merge each kind for itself, or \
         bring all devices to one backbone"
    )]
    OtherSource {
        /// The device that does not fit.
        name: String,
        /// The device that was first.
        first: String,
        /// What the first is of.
        expected: String,
        /// What this one is of.
        found: String,
    },
    /// One device twice.
    #[error("{name} is there twice; give every device once")]
    Twice {
        /// The device.
        name: String,
    },
    /// No device at all.
    #[error("there are no statistics to merge; give the files that 'edgetuned fleet collect' wrote")]
    Nothing,
}

/// What one device gave; its scatter is in the sum alone.
#[derive(Debug, Clone)]
pub(super) struct Device {
    pub(super) name: String,
    /// Classes as they count, with their images.
    pub(super) classes: Vec<(usize, u64)>,
    /// (k, d), single precision: thousands of devices fit in memory.
    pub(super) means: Array2<f32>,
    /// Mean distance of an image from its class's mean.
    pub(super) spread: f64,
}

/// A merge under way.
#[derive(Debug, Clone, Default)]
pub struct Merge {
    aliases: Aliases,
    source: Option<Source>,
    devices: Vec<Device>,
    names: BTreeSet<String>,
    classes: Vec<Label>,
    counts: Vec<u64>,
    /// By class: a mean seen early.
    references: Vec<Vec<f64>>,
    /// By class: `sum_j n_jk (mu_jk - reference_k)`.
    offsets: Vec<Vec<f64>>,
    scatter: Vec<f64>,
    /// Rows `sqrt(n_jk) (mu_jk - reference_k)` whose products are not in the scatter yet.
    waiting: Vec<f64>,
}

/// All devices together.
#[derive(Debug, Clone, PartialEq)]
pub struct Merged {
    /// As if all pictures were in one place.
    pub statistics: Statistics,
    /// Devices in the order of their names, each with its images of each class (k,).
    pub devices: Vec<(String, Vec<u64>)>,
    /// Classes that a device sees differently from the others, the farthest first.
    pub disagreements: Vec<Disagreement>,
}

impl Merge {
    /// A merge of no device yet.
    #[must_use]
    pub fn new(aliases: Aliases) -> Self {
        Self { aliases, ..Self::default() }
    }

    /// Adds the device `name`.
    ///
    /// # Errors
    /// [`CannotMerge`] when it was added before, or its statistics are of other embeddings than those before; then nothing of it is added.
    pub fn add(&mut self, name: &str, statistics: &Statistics) -> Result<(), CannotMerge> {
        if self.names.contains(name) {
            return Err(CannotMerge::Twice { name: name.to_owned() });
        }
        match (&self.source, self.devices.first()) {
            (Some(source), Some(first)) if *source != statistics.source => {
                return Err(CannotMerge::OtherSource {
                    name: name.to_owned(),
                    first: first.name.clone(),
                    expected: described(source),
                    found: described(&statistics.source),
                });
            }
            (Some(_), _) => {}
            (None, _) => {
                self.source = Some(statistics.source.clone());
                self.scatter = vec![0.0; statistics.sums.scatter().len()];
            }
        }
        let d = statistics.sums.dim();
        self.scatter.iter_mut().zip(statistics.sums.scatter()).for_each(|(sum, value)| *sum += value);
        let mut classes = Vec::with_capacity(statistics.classes.len());
        for ((label, count), mean) in statistics.counts().zip(statistics.sums.means().rows()) {
            let class = self.class(label, &mean);
            classes.push((class, count));
            self.counts[class] += count;
            let n = count as f64;
            let root = n.sqrt();
            let reference = &self.references[class];
            for ((offset, mean), reference) in self.offsets[class].iter_mut().zip(&mean).zip(reference) {
                let difference = mean - reference;
                *offset += n * difference;
                self.waiting.push(root * difference);
            }
        }
        if self.waiting.len() >= ROWS * d {
            self.add_waiting(d);
        }
        let means = statistics.sums.means().mapv(|value| value as f32);
        let spread = (statistics.sums.trace() / statistics.sums.degrees_of_freedom()).sqrt();
        self.names.insert(name.to_owned());
        self.devices.push(Device { name: name.to_owned(), classes, means, spread });
        Ok(())
    }

    /// The number of the class that `label` counts as.
    fn class(&mut self, label: &Label, mean: &ArrayView1<'_, f64>) -> usize {
        let label = self.aliases.of(label);
        if let Some(class) = self.classes.iter().position(|known| known == label) {
            return class;
        }
        self.classes.push(label.clone());
        self.counts.push(0);
        self.references.push(mean.to_vec());
        self.offsets.push(vec![0.0; mean.len()]);
        self.classes.len() - 1
    }

    fn add_waiting(&mut self, d: usize) {
        let rows = std::mem::take(&mut self.waiting);
        let rows = Array2::from_shape_vec((rows.len() / d, d), rows).expect("whole rows were appended");
        let gram = ClassStats::gram(&rows);
        self.scatter.iter_mut().zip(gram).for_each(|(sum, value)| *sum += value);
    }

    /// Everything that was added.
    ///
    /// # Errors
    /// [`CannotMerge::Nothing`] when nothing was.
    ///
    /// # Panics
    /// Never: each class has a place.
    pub fn finish(mut self) -> Result<Merged, CannotMerge> {
        let source = self.source.take().ok_or(CannotMerge::Nothing)?;
        let (k, d) = (self.classes.len(), source.width());
        self.add_waiting(d);
        let classes: ClassSet = self.classes.iter().cloned().collect();
        let mut means = Array2::zeros((k, d));
        let mut counts = vec![0; k];
        let mut corrections = Array2::zeros((k, d));
        for class in 0..k {
            let place = classes.index_of(&self.classes[class]).expect("one of these classes");
            let n = self.counts[class] as f64;
            counts[place] = self.counts[class];
            for at in 0..d {
                let shift = self.offsets[class][at] / n;
                means[[place, at]] = self.references[class][at] + shift;
                corrections[[place, at]] = n.sqrt() * shift;
            }
        }
        let off = ClassStats::gram(&corrections);
        self.scatter.iter_mut().zip(off).for_each(|(sum, value)| *sum -= value);
        // What is zero may come out a little below.
        (0..d).for_each(|i| self.scatter[i * (i + 1) / 2 + i] = self.scatter[i * (i + 1) / 2 + i].max(0.0));
        let sums = ClassStats::from_parts(counts, means, std::mem::take(&mut self.scatter));
        let place = |class: usize| classes.index_of(&self.classes[class]).expect("one of these classes");
        for device in &mut self.devices {
            device.classes.iter_mut().for_each(|(class, _)| *class = place(*class));
        }
        self.devices.sort_by(|a, b| a.name.cmp(&b.name));
        let disagreements = disagreements(&self.devices, &classes, d);
        let row = |device: &Device| {
            let mut row = vec![0; k];
            device.classes.iter().for_each(|(class, count)| row[*class] += count);
            (device.name.clone(), row)
        };
        let devices = self.devices.iter().map(row).collect();
        Ok(Merged { statistics: Statistics { source, classes, sums }, devices, disagreements })
    }
}

impl Merged {
    /// The same without what a device gave; `None` when nothing is left. The result knows the classes that are left alone.
    ///
    /// `part` are the statistics of that device, `aliases` those of the merge.
    ///
    /// # Panics
    /// When `part` holds more of a class than all devices together.
    #[must_use]
    pub fn without(&self, part: &Statistics, aliases: &Aliases) -> Option<Statistics> {
        without(&self.statistics, part, aliases)
    }
}

/// `whole` less what one device gave to it.
pub(super) fn without(whole: &Statistics, part: &Statistics, aliases: &Aliases) -> Option<Statistics> {
    let mut own = Merge::new(aliases.clone());
    own.add("", part).ok()?;
    let own = own.finish().ok()?.statistics;
    let place = |label: &Label| whole.classes.index_of(label).expect("it was merged");
    let d = whole.sums.dim();
    let (mut counts, mut means) = (vec![0; whole.classes.len()], Array2::zeros((whole.classes.len(), d)));
    for ((label, count), mean) in own.counts().zip(own.sums.means().rows()) {
        counts[place(label)] = count;
        means.row_mut(place(label)).assign(&mean);
    }
    let mut rest = whole.sums.clone();
    rest.subtract(&ClassStats::from_parts(counts, means, own.sums.scatter().to_vec()));
    let left: Vec<usize> = (0..whole.classes.len()).filter(|&class| rest.counts()[class] > 0).collect();
    let classes: ClassSet = left.iter().map(|&class| whole.classes.labels()[class].clone()).collect();
    let counts = left.iter().map(|&class| rest.counts()[class]).collect();
    let means = rest.means().select(ndarray::Axis(0), &left);
    let mut scatter = rest.scatter().to_vec();
    (0..d).for_each(|i| scatter[i * (i + 1) / 2 + i] = scatter[i * (i + 1) / 2 + i].max(0.0));
    let sums = ClassStats::from_parts(counts, means, scatter);
    (!left.is_empty()).then(|| Statistics { source: whole.source.clone(), classes, sums })
}

/// A source in the words of an error.
fn described(source: &Source) -> String {
    let Source { task, backbone, space, region, projection } = source;
    let mut text = format!(
        "task {task}, backbone {} {} prepared by {}",
        backbone.name,
        space.backbone.short(),
        space.preprocessing.short()
    );
    if !region.is_whole() {
        let _ = write!(text, ", region {region}");
    }
    if let Some(projection) = projection {
        let _ = write!(text, ", {} values of {}", projection.values, space.dim);
    }
    text
}

#[cfg(test)]
pub(super) mod tests {
    use ndarray::Axis;
    use rand::SeedableRng as _;
    use rand::seq::SliceRandom as _;
    use rand_chacha::ChaCha8Rng;

    use super::super::statistics::tests::{apart, label, samples, shared, source};
    use super::*;

    pub fn merged(devices: &[(String, Statistics)], aliases: &Aliases) -> Merged {
        let mut merge = Merge::new(aliases.clone());
        for (name, statistics) in devices {
            merge.add(name, statistics).unwrap();
        }
        merge.finish().unwrap()
    }

    /// Ten devices with two classes each, and all their images in one place.
    fn fleet(seed: u64) -> (Vec<(String, Statistics)>, Statistics) {
        let names = ["bolt", "gear", "nut", "washer", "pin"];
        let (mut devices, mut all, mut labels) = (Vec::new(), Vec::new(), Vec::new());
        for device in 0..10 {
            let own = [names[device % 5], names[(device + 1) % 5]];
            let (mut x, y) = samples(seed * 100 + device as u64, &own, 12 + device, 6);
            x += device as f32 / 7.0;
            let statistics = Statistics::gather(source(6), x.view(), &y, None, 1).unwrap();
            devices.push((format!("line-{device}"), statistics));
            all.push(x);
            labels.extend(y);
        }
        let views: Vec<_> = all.iter().map(|x| x.view()).collect();
        let all = ndarray::concatenate(Axis(0), &views).unwrap();
        (devices, Statistics::gather(source(6), all.view(), &labels, None, 1).unwrap())
    }

    #[test]
    fn merged_sums_are_those_of_all_pictures_in_one_place_in_any_order() {
        for seed in 0..20 {
            let (mut devices, pooled) = fleet(seed);
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            for _ in 0..3 {
                devices.shuffle(&mut rng);
                let merged = merged(&devices, &Aliases::default());
                assert_eq!(merged.statistics.classes, pooled.classes);
                let gap = apart(&merged.statistics.sums, &pooled.sums);
                assert!(gap < 1e-9, "seed {seed}: {gap}");
                let names: Vec<&str> = merged.devices.iter().map(|(name, _)| name.as_str()).collect();
                assert!(names.is_sorted() && names.len() == 10);
            }
        }
    }

    #[test]
    fn more_rows_than_one_product_takes_are_the_same() {
        let devices: Vec<_> = (0..400).map(|i| (format!("{i:03}"), shared(i, &["gear", "nut"], 3, 4))).collect();
        let merged = merged(&devices, &Aliases::default());
        let mut plain = ClassStats::new(4);
        for (_, statistics) in &devices {
            plain.merge(&statistics.sums);
        }
        assert!(apart(&merged.statistics.sums, &plain) < 1e-9);
    }

    #[test]
    fn what_a_device_gave_can_be_taken_back() {
        let (devices, _) = fleet(3);
        let all = merged(&devices, &Aliases::default());
        for left_out in 0..devices.len() {
            let rest: Vec<_> =
                devices.iter().enumerate().filter(|(at, _)| *at != left_out).map(|(_, d)| d.clone()).collect();
            let expected = merged(&rest, &Aliases::default()).statistics;
            let found = all.without(&devices[left_out].1, &Aliases::default()).unwrap();
            assert_eq!(found.classes, expected.classes);
            assert!(apart(&found.sums, &expected.sums) < 1e-9);
        }
        let alone = merged(&devices[..1], &Aliases::default());
        assert_eq!(alone.without(&devices[0].1, &Aliases::default()), None);
    }

    #[test]
    fn an_alias_counts_as_the_other_class_even_on_one_device() {
        let aliases = Aliases([(label("mother"), label("nut"))].into());
        let devices = [
            ("a".to_owned(), shared(1, &["gear", "nut", "mother"], 10, 5)),
            ("b".to_owned(), shared(2, &["mother"], 10, 5)),
        ];
        let all = merged(&devices, &aliases);
        assert_eq!(
            all.statistics.counts().map(|(l, n)| (l.as_str(), n)).collect::<Vec<_>>(),
            [("gear", 10), ("nut", 30)]
        );
        assert_eq!(all.devices, [("a".to_owned(), vec![10, 20]), ("b".to_owned(), vec![0, 10])]);
        let rest = all.without(&devices[0].1, &aliases).unwrap();
        assert_eq!(rest.counts().map(|(l, n)| (l.as_str(), n)).collect::<Vec<_>>(), [("nut", 10)]);
    }

    #[test]
    fn other_embeddings_and_devices_given_twice_are_refused_and_add_nothing() {
        let mut merge = Merge::new(Aliases::default());
        let own = shared(1, &["gear", "nut"], 10, 5);
        merge.add("line-1", &own).unwrap();
        let mut other = shared(2, &["gear", "nut"], 10, 5);
        other.source.space.preprocessing = crate::words::Digest::of(b"another size");
        let refused = merge.add("line-2", &other).unwrap_err().to_string();
        assert!(refused.contains("line-2 is of task default") && refused.contains("one backbone"), "{refused}");
        assert_eq!(merge.add("line-1", &own), Err(CannotMerge::Twice { name: "line-1".into() }));
        assert!(apart(&merge.finish().unwrap().statistics.sums, &own.sums) < 1e-12);
        assert_eq!(Merge::default().finish(), Err(CannotMerge::Nothing));
    }
}
