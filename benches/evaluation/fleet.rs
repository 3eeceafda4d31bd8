//! Ten devices that see two classes each: heads of their own, heads of their merged statistics, and a head of all their pictures in
//! one place.

use std::ops::ControlFlow;

use edgetuned::fleet::{Aliases, Candidate, Merge, Projection, Source, Statistics, Trial, candidates, choose, score};
use edgetuned::head::{BackboneRef, DenseHead};
use edgetuned::train::{Settings, fit};
use edgetuned::words::{Region, TaskId};

use super::data::{Data, Photographs, Set};
use super::figures::{Bar, mean};
use super::parallel;
use super::personal;
use super::table::{Table, percent};

const DEVICES: usize = 10;
/// A training split and a test of what was trained on it.
pub const TESTS: [(&str, &str); 2] = [("trashnet", "trashnet.test"), ("corn-color", "corn-color.test")];

pub fn section(data: &Data) -> String {
    let jobs: Vec<_> = data.some().into_iter().flat_map(|photographs| TESTS.map(|pair| (photographs, pair))).collect();
    let rows = parallel::map(&jobs, |(photographs, (set, test))| {
        let train = photographs.get(&format!("{set}.train"));
        Row::of(photographs, train, photographs.get(test))
    });
    let mut table = Table::new(&[
        "backbone, set",
        "alone",
        "lda",
        "ridge",
        "softmax on draws",
        "chosen by devices",
        "256 values",
        "pooled softmax",
    ]);
    for ((photographs, (set, _)), row) in jobs.iter().zip(&rows) {
        let cells = [row.alone, row.lda, row.ridge, row.softmax, row.chosen, row.short, row.pooled].map(percent);
        table.row(&[vec![format!("{}, {set}", photographs.backbone)], cells.to_vec()].concat());
    }
    let of = |what: fn(&Row) -> f64| mean(&rows.iter().map(what).collect::<Vec<_>>());
    let mut bars = Table::new(&["bar", "figure", "verdict"]);
    let mut bar = |what: &str, figure: f64, bar: Bar| {
        bars.row(&[what.to_owned(), format!("{figure:+.1}"), bar.verdict(figure).to_owned()]);
    };
    let points = 100.0;
    bar(
        "merged, as devices choose, over pooled softmax, in the mean of the rows at least -2",
        points * of(|row| row.chosen - row.pooled),
        Bar::AtLeast(-2.0),
    );
    bar(
        "merged, softmax on draws, over pooled softmax, in the mean of the rows at least -2",
        points * of(|row| row.softmax - row.pooled),
        Bar::AtLeast(-2.0),
    );
    bar(
        "merged, softmax on draws, over a device alone, in the mean of the rows at least +20",
        points * of(|row| row.softmax - row.alone),
        Bar::AtLeast(20.0),
    );
    let gaps = rows.iter().map(|row| row.gap).fold(0.0, f64::max);
    format!(
        "Accuracy on all test pictures. {DEVICES} devices share the training pictures of a set, each has two classes; `alone` is the \
         mean of their own heads, the columns behind it are heads of their merged [statistics](fleet.md), `pooled softmax` is a \
         head of all pictures in one place. Devices choose by answering, for each kind of head made without their own statistics, \
         how well it does on their pictures. How heads are made was chosen on halves of the training splits. Merged statistics \
         differ from those of all pictures by at most {gaps:.0e} of the largest value.\n\n{}\n{}\n{}",
        table.finish(),
        bars.finish(),
        personal::tables(data)
    )
}

struct Row {
    alone: f64,
    lda: f64,
    ridge: f64,
    softmax: f64,
    chosen: f64,
    short: f64,
    pooled: f64,
    /// Merged against pooled statistics.
    gap: f64,
}

impl Row {
    fn of(photographs: &Photographs, train: &Set, test: &Set) -> Self {
        let devices = devices(train);
        let accuracy = |head: &DenseHead| accuracy(head, test);
        let alone: Vec<f64> = devices.iter().map(|own| accuracy(&pooled(own))).collect();
        let whole = Fleet::of(photographs, &devices, None, 2);
        let kinds = candidates();
        let heads: Vec<DenseHead> = kinds.iter().map(|kind| whole.head(*kind, None)).collect();
        let at =
            |kind: Candidate| accuracy(&heads[kinds.iter().position(|other| *other == kind).expect("it is tried")]);
        let mut trials = Vec::new();
        for (place, device) in devices.iter().enumerate() {
            for (candidate, kind) in kinds.iter().enumerate() {
                let score = score(&whole.head(*kind, Some(place)), device.z.view(), &device.labels);
                trials.push(Trial { device: place.to_string(), candidate, score });
            }
        }
        let best = choose(&trials, kinds.len()).expect("every device has pictures");
        let short = Fleet::of(photographs, &devices, Some(Projection { values: 256, seed: 0 }), 2);
        let direct = statistics(photographs, train, None, 2);
        Self {
            alone: mean(&alone),
            lda: at(Candidate::Lda),
            ridge: at(Candidate::Ridge { lambda: 1.0 }),
            softmax: at(Candidate::Softmax),
            chosen: accuracy(&heads[best.candidate]),
            short: accuracy(&short.head(Candidate::Softmax, None)),
            pooled: accuracy(&pooled(train)),
            gap: gap(&whole.merged(None), &direct),
        }
    }
}

/// Share of the pictures of a test that `head` is right about; a class that it does not know is never its answer.
pub fn accuracy(head: &DenseHead, test: &Set) -> f64 {
    let p = head.probabilities_of(&test.z).expect("one space");
    let truth: Vec<_> = test.labels.iter().map(|label| head.classes.index_of(label)).collect();
    let right = p.rows().into_iter().zip(truth).filter(|(row, truth)| {
        let best = (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b]));
        truth.is_some() && best == *truth
    });
    right.count() as f64 / test.n() as f64
}

/// The statistics of devices.
pub struct Fleet(Vec<Statistics>);

impl Fleet {
    /// Of classes with so many pictures at least.
    pub fn of(photographs: &Photographs, devices: &[Set], projection: Option<Projection>, min: u64) -> Self {
        Self(devices.iter().map(|device| statistics(photographs, device, projection, min)).collect())
    }

    /// All of them but one.
    fn merged(&self, without: Option<usize>) -> Statistics {
        let mut merge = Merge::new(Aliases::default());
        for (place, statistics) in self.0.iter().enumerate().filter(|(place, _)| Some(*place) != without) {
            merge.add(&place.to_string(), statistics).expect("one space");
        }
        merge.finish().expect("a device").statistics
    }

    pub fn head(&self, kind: Candidate, without: Option<usize>) -> DenseHead {
        kind.head(&self.merged(without), 0).expect("several classes").dense
    }
}

fn statistics(photographs: &Photographs, set: &Set, projection: Option<Projection>, min: u64) -> Statistics {
    let manifest = &photographs.manifest;
    let backbone = BackboneRef { name: manifest.name.clone(), sha256: manifest.sha256, dim: set.space.dim };
    let source = Source { task: TaskId::default(), backbone, space: set.space, region: Region::WHOLE, projection };
    Statistics::gather(source, set.z.view(), &set.labels, None, min).expect("enough pictures of a class")
}

/// The largest difference of two sums' means, in parts of the largest value.
fn gap(a: &Statistics, b: &Statistics) -> f64 {
    let largest = b.sums.means().iter().fold(0.0_f64, |most, value| most.max(value.abs()));
    let means = a.sums.means();
    means.iter().zip(b.sums.means()).fold(0.0_f64, |most, (a, b)| most.max((a - b).abs())) / largest
}

pub fn pooled(set: &Set) -> DenseHead {
    fit(&set.dataset(), &Settings::default(), &mut |_| ControlFlow::Continue(())).expect("sound data").dense
}

/// Each device has two classes, and its share of their pictures.
pub fn devices(train: &Set) -> Vec<Set> {
    let classes = train.by_class();
    let mut rows = vec![Vec::new(); DEVICES];
    for (class, of_class) in classes.values().enumerate() {
        let having: Vec<usize> =
            (0..DEVICES).filter(|device| (0..2).any(|more| (device + more) % classes.len() == class)).collect();
        for (place, row) in of_class.iter().enumerate() {
            rows[having[place % having.len()]].push(*row);
        }
    }
    rows.iter().map(|rows| train.select(rows)).collect()
}
