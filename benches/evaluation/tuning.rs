//! The second phase beside the first, both trained on all labels of a training split: what the gate says of it on held-out
//! answers, and what both are worth on pictures that took no part.

use std::ops::ControlFlow;

use edgetuned::backbone::OnnxBackbone;
use edgetuned::eval::gate::Rules;
use edgetuned::eval::{calibrate, compare_phases};
use edgetuned::head::{BackboneRef, DenseHead, Figures};
use edgetuned::ports::Embedder as _;
use edgetuned::shared::tuning::Trunk;
use edgetuned::train::{Latents, Settings, TuneSettings, fit, tune};
use edgetuned::words::{Region, Timestamp};
use ndarray::Array2;

use super::data::{Data, Photographs, Set, pictures};
use super::figures::{Answers, Bar, mean};
use super::parallel;
use super::table::{Table, percent};

/// Those whose last layers can be trained, one of each family.
const BACKBONES: [&str; 4] = ["photo", "default", "mobilenetv2-1.0-224-tf2-fp32", "mobilenetv1-0.25-128-fp32"];
/// A training split, and the tests of what was trained on it.
const TESTS: [(&str, &[&str]); 2] =
    [("trashnet", &["trashnet.test"]), ("corn-color", &["corn-color.test", "corn-segmented.test"])];

/// Accuracy and log-loss.
#[derive(Clone, Copy)]
struct Score {
    accuracy: f64,
    loss: f64,
}

/// Both phases of one training.
struct Trained {
    backbone: String,
    set: &'static str,
    /// Held out, first and second.
    held_out: [Score; 2],
    /// The second phase passes the gate.
    promoted: bool,
    /// By test: first and second.
    tests: Vec<(&'static str, [Score; 2])>,
}

pub fn section(data: &Data) -> String {
    let backbones = data.photographs.iter().filter(|photographs| BACKBONES.contains(&photographs.backbone.as_str()));
    let jobs: Vec<_> = backbones.flat_map(|photographs| TESTS.map(|(set, tests)| (photographs, set, tests))).collect();
    let trained = parallel::map(&jobs, |(photographs, set, tests)| Trained::of(photographs, set, tests));
    let mut table = Table::new(&[
        "backbone, test",
        "held out: first",
        "second",
        "log-loss: first",
        "second",
        "gate",
        "test: first",
        "second",
        "log-loss: first",
        "second",
    ]);
    for trained in &trained {
        for (test, scores) in &trained.tests {
            let mut row = vec![format!("{}, {test}", trained.backbone)];
            row.extend(trained.held_out.map(|score| percent(score.accuracy)));
            row.extend(trained.held_out.map(|score| format!("{:.3}", score.loss)));
            row.push(if trained.promoted { "second" } else { "first" }.to_owned());
            row.extend(scores.map(|score| percent(score.accuracy)));
            row.extend(scores.map(|score| format!("{:.3}", score.loss)));
            table.row(&row);
        }
    }
    let recipe = TuneSettings::default();
    format!(
        "All labels of a training split, the recipe of `training.tune` as it comes ({} steps, {} views, {} folds). `held out` \
         is what the folds answered, on which the gate decides which phase serves; its two columns of log-loss and those \
         of the test say whether the decision was right. corn-segmented is another kind of picture than its training \
         split. The settings were chosen on training splits.\n\n{}\n{}",
        TuneSettings::STEPS,
        recipe.views,
        recipe.folds,
        table.finish(),
        bars(&trained)
    )
}

fn bars(all: &[Trained]) -> String {
    let mut table = Table::new(&["bar", "figure", "verdict"]);
    let mut row = |what: &str, figure: f64, shown: String, bar: Bar| {
        table.row(&[what.to_owned(), shown, bar.verdict(figure).to_owned()]);
    };
    let of = |backbone: &str| all.iter().filter(|trained| trained.backbone == backbone).collect::<Vec<_>>();
    let photo = of("photo");
    let promoted = photo.iter().filter(|trained| trained.promoted).count() as f64;
    row(
        "`photo`: sets on which the second phase passes the gate, at least 1",
        promoted,
        promoted.to_string(),
        Bar::AtLeast(1.0),
    );
    // What serves is the second phase only where the gate took it.
    let changes = |trained: &Trained| -> Vec<Score> {
        let change = |[first, second]: [Score; 2]| {
            if trained.promoted {
                Score { accuracy: second.accuracy - first.accuracy, loss: second.loss - first.loss }
            } else {
                Score { accuracy: 0.0, loss: 0.0 }
            }
        };
        trained.tests.iter().map(|(_, scores)| change(*scores)).collect()
    };
    let worst = photo.iter().flat_map(|trained| changes(trained)).map(|change| change.loss).fold(f64::MIN, f64::max);
    row(
        "`photo`: log-loss of what serves over the first phase's, at worst 0.02",
        worst,
        format!("{worst:+.3}"),
        Bar::AtMost(0.02),
    );
    // A shifted test says nothing about an estimate on pictures of the training's kind.
    let gaps = |trained: &Trained| {
        let own = trained.tests.iter().find(|(test, _)| test.starts_with(trained.set)).expect("each set has a test");
        let (held_out, test) = (trained.held_out[1], own.1[1]);
        [100.0 * (held_out.accuracy - test.accuracy).abs(), (held_out.loss - test.loss).abs()]
    };
    for (part, what, most) in [
        (0, "`photo`: accuracy of the second phase, held out against test, at most 4 points", 4.0),
        (1, "`photo`: log-loss of the second phase, held out against test, at most 0.12", 0.12),
    ] {
        let worst = photo.iter().map(|trained| gaps(trained)[part]).fold(0.0, f64::max);
        row(what, worst, format!("{worst:.2}"), Bar::AtMost(most));
    }
    for backbone in BACKBONES {
        let changes: Vec<f64> =
            of(backbone).iter().flat_map(|trained| changes(trained)).map(|change| 100.0 * change.accuracy).collect();
        if !changes.is_empty() {
            let change = mean(&changes);
            let what =
                format!("{backbone}: accuracy of what serves over the first phase's, in the mean at least -0.5 points");
            row(&what, change, format!("{change:+.2}"), Bar::AtLeast(-0.5));
        }
    }
    table.finish()
}

impl Trained {
    fn of(photographs: &Photographs, set: &'static str, tests: &[&'static str]) -> Self {
        let Photographs { manifest, .. } = photographs;
        let split = format!("{set}.train");
        let train = photographs.get(&split);
        let data = train.dataset();
        let first = fit(&data, &Settings::default(), &mut |_| ControlFlow::Continue(())).expect("sound data");
        let settings = TuneSettings::default();
        let mut trunk = Trunk::open(manifest, settings.layers, 1).expect("a tail that is known");
        let latents = latents(&mut trunk, train, &split, settings.views);
        let second = tune(&data, &latents, &trunk.network, &first, &settings, &mut |_| ControlFlow::Continue(()))
            .expect("sound data");
        let reference = BackboneRef { name: manifest.name.clone(), sha256: manifest.sha256, dim: data.space().dim };
        let calibration = calibrate(&data, &first, 0);
        let record = first.clone().into_record(1, Timestamp::default(), reference, None, calibration);
        let compared = compare_phases(&data, &second.fitted, 2, &record, &Rules::default());
        let held_out =
            [compared.champion, compared.challenger].map(|figures| Score::of(&figures.expect("folds answered")));
        let mut tuned = OnnxBackbone::open(&manifest.clone().with_tail(Some(second.tail)), 1).expect("it opens");
        let tests = tests.iter().map(|test| {
            let set = photographs.get(test);
            let z = embedded(&mut tuned, test, set.n());
            let score = |dense: &DenseHead, z: &Array2<f32>| {
                let answers = Answers::of(&dense.probabilities_of(z).expect("one space"), &set.y(data.classes()));
                Score { accuracy: mean(&answers.right), loss: mean(&answers.loss) }
            };
            (*test, [score(&record.dense, &set.z), score(&second.fitted.dense, &z)])
        });
        let tests = tests.collect();
        Self { backbone: photographs.backbone.clone(), set, held_out, promoted: compared.verdict.promote, tests }
    }
}

impl Score {
    fn of(figures: &Figures) -> Self {
        Self { accuracy: figures.accuracy, loss: figures.log_loss }
    }
}

/// What the tail begins with, of `views` views of each picture of a split.
fn latents(trunk: &mut Trunk, set: &Set, split: &str, views: usize) -> Latents {
    let mut latents = trunk.latents();
    for (id, picture) in set.ids.iter().zip(pictures(split)) {
        let values = trunk.views(*id, &picture, &Region::WHOLE, views).expect("the photographs are whole");
        latents.push(&values).expect("one shape");
    }
    latents
}

/// (n, d), by a backbone with the weights of a tail.
fn embedded(backbone: &mut OnnxBackbone, split: &str, n: usize) -> Array2<f32> {
    let preprocess = backbone.preprocess().clone();
    let embed = |picture| backbone.embed(&preprocess.apply(&picture), 1).expect("finite values");
    let values: Vec<f32> = pictures(split).flat_map(embed).collect();
    let width = values.len() / n;
    Array2::from_shape_vec((n, width), values).expect("one width")
}
