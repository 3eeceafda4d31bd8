//! Worlds of Gaussian classes as hard as photographs: what a device has labelled, what is labelled next, and the truth.

use std::ops::ControlFlow;

use edgetuned_learn::eval::compare;
use edgetuned_learn::eval::gate::Rules;
use edgetuned_learn::head::{BackboneRef, Calibration, DenseHead, HeadRecord};
use edgetuned_learn::train::{Dataset, Fitted, L2, Settings, fit};
use edgetuned_learn::words::{ClassSet, Digest, EmbeddingSpace, Label, SampleId, Timestamp};
use ndarray::Array2;
use rand::{Rng, RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// Pictures that the true accuracy is measured on.
const TEST: usize = 2_000;
/// When the champion was made; labels given later are new.
pub const CREATED: Timestamp = Timestamp(1_000);

/// Classes of pictures, each a Gaussian around a centre of its own.
pub struct World {
    pub rng: ChaCha8Rng,
    pub k: usize,
    centres: Array2<f32>,
}

/// One picture: embedding and true class.
#[derive(Clone)]
pub struct Picture {
    pub z: Vec<f32>,
    pub truth: usize,
}

/// One labelled picture of a device.
#[derive(Clone)]
pub struct Labelled {
    pub id: SampleId,
    pub picture: Picture,
    pub label: usize,
    /// Whether the label came after the champion.
    pub is_new: bool,
}

/// A draw from N(0, 1), near enough: twelve uniform ones added up.
fn normal(rng: &mut impl Rng) -> f32 {
    (0..12).map(|_| rng.random::<f32>()).sum::<f32>() - 6.0
}

impl World {
    /// Two to five classes, `more` of which the device does not know yet; a head gets 70 to 95 of 100 right.
    pub fn new(seed: u64, more: usize) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let k = rng.random_range(2..=5) + more;
        // With more values than pictures heads err more, so classes lie farther apart.
        let (dim, spread) = [(8, 1.0), (32, 1.05), (128, 1.25)][rng.random_range(0..3)];
        let apart = spread * rng.random_range(1.9..3.2_f32);
        let centres = Array2::from_shape_simple_fn((k, dim), || apart * normal(&mut rng) / (dim as f32).sqrt());
        Self { rng, k, centres }
    }

    pub fn picture(&mut self, truth: usize) -> Picture {
        let z = self.centres.row(truth).iter().map(|centre| centre + normal(&mut self.rng)).collect();
        Picture { z, truth }
    }

    /// `n` pictures of the classes below `k`, drawn.
    pub fn pictures(&mut self, n: usize, k: usize) -> Vec<Picture> {
        (0..n)
            .map(|i| if i < 2 * k { i % k } else { self.rng.random_range(0..k) })
            .collect::<Vec<_>>()
            .into_iter()
            .map(|truth| self.picture(truth))
            .collect()
    }

    pub fn test(&mut self, k: usize) -> Vec<Picture> {
        self.pictures(TEST, k)
    }

    /// A direction of this length.
    pub fn direction(&mut self, length: f32) -> Vec<f32> {
        let draw: Vec<f32> = (0..self.centres.ncols()).map(|_| normal(&mut self.rng)).collect();
        let norm = draw.iter().map(|z| z * z).sum::<f32>().sqrt();
        draw.into_iter().map(|z| length * z / norm).collect()
    }
}

pub fn labelled(pictures: Vec<Picture>, is_new: bool) -> Vec<Labelled> {
    let one = |(i, picture): (usize, Picture)| Labelled {
        id: SampleId::of(format!("{is_new} {i}").as_bytes()),
        label: picture.truth,
        picture,
        is_new,
    };
    pictures.into_iter().enumerate().map(one).collect()
}

pub fn dataset(samples: &[Labelled]) -> Option<Dataset> {
    let name = |class: usize| Label::new(&format!("c{class:02}")).expect("a label");
    let classes: ClassSet = samples.iter().map(|sample| name(sample.label)).collect();
    let y = samples.iter().filter_map(|sample| classes.index_of(&name(sample.label))).collect();
    let dim = samples.first()?.picture.z.len();
    let x = Array2::from_shape_fn((samples.len(), dim), |(i, j)| samples[i].picture.z[j]);
    let ids: Vec<SampleId> = samples.iter().map(|sample| sample.id).collect();
    let space = EmbeddingSpace { backbone: Digest::of(b"b"), preprocessing: Digest::of(b"p"), dim };
    Dataset::new(space, x, y, classes, ids.clone(), ids).ok()
}

pub fn trained(data: &Dataset) -> Fitted {
    let settings = Settings { l2: L2::Fixed(0.03), ..Settings::default() };
    fit(data, &settings, &mut |_| ControlFlow::Continue(())).expect("sound data")
}

/// The champion that a first training on `data` makes.
pub fn champion(data: &Dataset) -> HeadRecord {
    let fitted = trained(data);
    let figures = compare(data, &fitted, 1, None, &Rules::default()).challenger;
    let backbone = BackboneRef { name: "tiny".into(), sha256: Digest::of(b"m"), dim: data.space().dim };
    fitted.into_record(1, CREATED, backbone, figures, Calibration::default())
}

/// Share of `pictures` that `head` names rightly.
pub fn accuracy(head: &DenseHead, pictures: &[Picture]) -> f64 {
    let right = pictures.iter().filter(|picture| {
        let p = head.probabilities(&picture.z).expect("the same space");
        let best = (0..p.len()).max_by(|&a, &b| p[a].total_cmp(&p[b])).expect("classes");
        head.classes.labels()[best].as_str() == format!("c{:02}", picture.truth)
    });
    right.count() as f64 / pictures.len() as f64
}
