//! Batches of labels as they come, right ones and wrong ones, on real fits; more of them and what they cost in
//! `cargo bench -p edgetuned-learn --bench gate`.

use std::ops::ControlFlow;

use ndarray::Array2;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::eval::compare;
use crate::eval::gate::{Rules, VerdictCode};
use crate::head::{BackboneRef, Calibration};
use crate::train::{L2, Settings, fit};
use crate::words::{ClassSet, Digest, EmbeddingSpace};

const D: usize = 8;
const CREATED: Timestamp = Timestamp(1_000);
const OLD: usize = 90;
const NEW: usize = 60;

/// Pictures of three classes, `OLD` of them known to the champion and `NEW` not, with their labels.
struct Device {
    rng: ChaCha8Rng,
    x: Array2<f32>,
    y: Vec<usize>,
    given: Vec<Given>,
    groups: Vec<SampleId>,
}

impl Device {
    fn new(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let y: Vec<usize> = (0..OLD + NEW).map(|i| i % 3).collect();
        let x = Array2::from_shape_fn((y.len(), D), |(i, j)| {
            let noise: f32 = (0..12).map(|_| rng.random::<f32>()).sum::<f32>() - 6.0;
            noise + 2.5 * f32::from(u8::from(j == y[i]))
        });
        let given =
            |i| Given { at: Timestamp(if i < OLD { 1 } else { 2_000 }), is_confirmed: false, was_left_out: false };
        let groups = (0..y.len()).map(|i| SampleId::of(&i.to_le_bytes())).collect();
        Self { rng, given: (0..y.len()).map(given).collect(), x, y, groups }
    }

    fn data(&self, n: usize) -> Dataset {
        let labels: Vec<Label> = self.y[..n].iter().map(|class| Label::new(&format!("c{class}")).unwrap()).collect();
        let classes: ClassSet = labels.iter().cloned().collect();
        let y = labels.iter().filter_map(|label| classes.index_of(label)).collect();
        let ids = (0..n).map(|i| SampleId::of(&i.to_le_bytes())).collect();
        let space = EmbeddingSpace { backbone: Digest::of(b"b"), preprocessing: Digest::of(b"p"), dim: D };
        let x = self.x.slice(ndarray::s![..n, ..]).to_owned();
        Dataset::new(space, x, y, classes, self.groups[..n].to_vec(), ids).unwrap()
    }

    /// The head that learned from the older pictures as they are labelled now.
    fn champion(&self) -> HeadRecord {
        let (data, backbone) = (self.data(OLD), BackboneRef { name: "tiny".into(), sha256: Digest::of(b"m"), dim: D });
        let fitted = trained(&data);
        let figures = compare(&data, &fitted, 1, None, &Rules::default()).challenger;
        fitted.into_record(1, CREATED, backbone, figures, Calibration::default())
    }

    fn disbelieved(&self, champion: &HeadRecord) -> Disbelief {
        let data = self.data(self.y.len());
        disbelieved(&data, &self.given, champion, &trained(&data))
    }

    /// Deals the labels of the new pictures out anew.
    fn shuffle(&mut self) {
        let mut labels = self.y[OLD..].to_vec();
        labels.shuffle(&mut self.rng);
        self.y[OLD..].copy_from_slice(&labels);
    }
}

fn trained(data: &Dataset) -> Fitted {
    let settings = Settings { l2: L2::Fixed(0.03), ..Settings::default() };
    fit(data, &settings, &mut |_| ControlFlow::Continue(())).unwrap()
}

#[test]
fn a_batch_labelled_at_random_is_left_out_and_nothing_of_the_older_labels() {
    for seed in 0..20 {
        let mut device = Device::new(seed);
        let (champion, truth) = (device.champion(), device.y.clone());
        device.shuffle();
        let found = device.disbelieved(&champion);
        assert_eq!(found.of, NEW, "seed {seed}");
        assert!(found.samples.keys().all(|&sample| sample >= OLD), "seed {seed}");
        let wrong = (OLD..OLD + NEW).filter(|&i| device.y[i] != truth[i]);
        let missed = wrong.filter(|i| !found.samples.contains_key(i)).count();
        assert!(missed <= 8, "seed {seed}: {missed} wrong labels are believed");
        assert!(
            found.believed(&device.data(OLD + NEW)).is_some_and(|data| data.n() == OLD + NEW - found.samples.len())
        );
    }
}

#[test]
fn two_classes_exchanged_in_a_batch_are_left_out_and_the_third_is_not() {
    for seed in 0..20 {
        let mut device = Device::new(seed);
        let champion = device.champion();
        device.y[OLD..].iter_mut().filter(|class| **class < 2).for_each(|class| *class = 1 - *class);
        let found = device.disbelieved(&champion);
        let third = found.samples.keys().filter(|&&sample| device.y[sample] == 2).count();
        assert!(
            found.samples.len() >= 30 && third == 0,
            "seed {seed}: {} left out, {third} of c2",
            found.samples.len()
        );
    }
}

#[test]
fn right_labels_are_believed_whatever_the_champion_thinks() {
    for seed in 0..20 {
        let plain = Device::new(seed);
        assert_eq!(plain.disbelieved(&plain.champion()).samples.len(), 0, "seed {seed}: more of the same");
        let mut other = Device::new(seed);
        let champion = other.champion();
        other.y[OLD..].iter_mut().filter(|class| **class == 2).for_each(|class| *class = 3);
        (OLD..OLD + NEW).filter(|&i| other.y[i] == 3).for_each(|i| other.x[[i, 5]] += 5.0);
        assert_eq!(other.disbelieved(&champion).samples.len(), 0, "seed {seed}: a new class");
        let mut moved = Device::new(seed);
        let champion = moved.champion();
        (OLD..OLD + NEW).for_each(|i| moved.x[[i, 6]] += 4.0);
        assert_eq!(moved.disbelieved(&champion).samples.len(), 0, "seed {seed}: another camera");
    }
}

#[test]
fn a_mistake_of_the_champion_is_put_right_on_the_very_same_images() {
    let mut device = Device::new(3);
    // A third of class 0, told by one value, had been called 1.
    let odd: Vec<usize> = (0..OLD).filter(|&i| device.y[i] == 0 && i % 9 == 0).collect();
    for &i in &odd {
        device.x[[i, 7]] += 6.0;
        device.y[i] = 1;
    }
    let champion = device.champion();
    for &i in &odd {
        (device.y[i], device.given[i].at) = (0, Timestamp(2_000));
    }
    let found = device.disbelieved(&champion);
    assert_eq!((found.samples.len(), found.of), (0, NEW + odd.len()));
}

#[test]
fn a_whole_class_that_is_renamed_to_a_known_one_waits_for_a_person() {
    let mut device = Device::new(4);
    let champion = device.champion();
    device.y.truncate(OLD);
    device.given.truncate(OLD);
    for i in (0..OLD).filter(|i| i % 3 < 2) {
        (device.y[i], device.given[i].at) = (1 - device.y[i], Timestamp(2_000));
    }
    let found = device.disbelieved(&champion);
    assert!(found.samples.len() > 40, "{}", found.samples.len());
    let verdict = found.verdict(2, &champion).unwrap();
    assert_eq!((verdict.promote, verdict.code), (false, VerdictCode::LabelsLeftOut));
    // Confirmed, they are believed.
    device.given.iter_mut().for_each(|given| given.is_confirmed = true);
    assert_eq!(device.disbelieved(&champion).samples.len(), 0);
}

#[test]
fn one_burst_of_a_hard_picture_is_no_batch_of_wrong_labels() {
    let mut device = Device::new(5);
    let champion = device.champion();
    // Twenty frames of one thing that looks like another class.
    for i in OLD..OLD + 20 {
        let like = device.x.row(1).to_owned();
        device.x.row_mut(i).assign(&like);
        (device.y[i], device.groups[i]) = (0, SampleId::of(b"burst"));
    }
    assert_eq!(device.disbelieved(&champion).samples.len(), 0);
}

#[test]
fn a_champion_that_was_never_measured_contradicts_nobody() {
    let mut device = Device::new(6);
    let champion = HeadRecord { figures: None, ..device.champion() };
    device.shuffle();
    assert_eq!(device.disbelieved(&champion), Disbelief::default());
}
