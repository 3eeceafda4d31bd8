//! Milliseconds for one label to take effect, beside a factorisation from new and beside scikit-learn's refit.
//!
//! `cargo bench --bench lda [-- D SAMPLES CLASSES]`; by default 1280, 500 and 10, one thread. scikit-learn runs
//! in `EDGETUNED_PYTHON` or `python3`, when it is importable there; its refit is of the same shape.

use std::process::Command;
use std::time::Instant;

use edgetuned::train::{LabelStats, OnlineLearner};
use edgetuned::words::{ClassSet, Digest, EmbeddingSpace, Label, SampleId, Timestamp};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

const ROUNDS: usize = 5;
/// Labels of one round, all waiting for one verdict.
const LABELS: usize = 60;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut sizes = std::env::args().skip(1).filter_map(|argument| argument.parse().ok());
    let mut size = |or: usize| sizes.next().unwrap_or(or);
    let (d, n, k) = (size(1280), size(500), size(10));
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let labels: Vec<Label> = (0..k).map(|class| Label::new(&format!("class {class}"))).collect::<Result<_, _>>()?;
    let known: ClassSet = labels.iter().cloned().collect();
    let mut picture = |class: usize| -> Vec<f32> {
        (0..d).map(|j| rng.random::<f32>() + if j % k == class { 0.5 } else { 0.0 }).collect()
    };
    let id = |number: usize| SampleId::of(&number.to_le_bytes());
    let samples: Vec<_> = (0..n).map(|i| (id(i), i % k, picture(i % k))).collect();

    let space = EmbeddingSpace { backbone: Digest::of(b"b"), preprocessing: Digest::of(b"p"), dim: d };
    let mut statistics = LabelStats::new(space);
    let started = Instant::now();
    statistics.add_all(samples.iter().map(|(id, class, z)| (*id, &labels[*class], z.as_slice())));
    println!("{n} samples of {d} values, {k} classes; batch of statistics {:.1} ms", ms(started));
    println!("checkpoint {:.2} MB", statistics.to_bytes().len() as f64 / 1e6);
    let mut learner = OnlineLearner::new(statistics);

    for round in 0..=ROUNDS {
        let started = Instant::now();
        learner.refactorise()?;
        let anchor = ms(started);
        let started = Instant::now();
        learner.statistics().sums().head(0.3)?;
        let refit = ms(started);
        // As a champion that is never right, so that each label has a component of its own.
        let wrong = |class: usize| {
            move |_: &[f32]| (0..k).map(|other| f32::from(u8::from(other == (class + 1) % k))).collect::<Vec<_>>()
        };
        let (mut given, mut taken) = (Vec::new(), Vec::new());
        let new: Vec<_> = (0..LABELS).map(|label| (id(1_000_000 + label), label % k, picture(label % k))).collect();
        for (label, (id, class, z)) in new.iter().enumerate() {
            let started = Instant::now();
            learner.learn(*id, Timestamp(label as i64), Some(&labels[*class]), z);
            std::hint::black_box(learner.overlay(&known, &wrong(*class)));
            given.push(ms(started));
        }
        for (label, (id, class, z)) in new.iter().enumerate().rev() {
            let started = Instant::now();
            learner.learn(*id, Timestamp(label as i64), None, z);
            std::hint::black_box(learner.overlay(&known, &wrong(*class)));
            taken.push(ms(started));
        }
        for (label, (id, class, z)) in new.iter().enumerate() {
            learner.learn(*id, Timestamp(label as i64), Some(&labels[*class]), z);
        }
        let started = Instant::now();
        learner.fold_in(Timestamp(LABELS as i64));
        let settled = ms(started) / LABELS as f64;
        for (label, (id, _, z)) in new.iter().enumerate() {
            learner.learn(*id, Timestamp(label as i64), None, z);
        }
        learner.fold_in(Timestamp(LABELS as i64));
        // The first round warms caches and allocators.
        if round > 0 {
            let [given, taken] = [given, taken].map(|mut times| {
                times.sort_by(f64::total_cmp);
                format!("{:.2} (90 % {:.2})", times[times.len() / 2], times[times.len() * 9 / 10])
            });
            println!(
                "round {round}, ms: label into the overlay {given}, out of it {taken}, into the statistics at a \
                 verdict {settled:.2}, head from new {refit:.1}, anchor {anchor:.1}"
            );
        }
    }
    println!("scikit-learn LDA(lsqr, 0.3) refit, ms: {}", scikit_learn(d, n, k));
    Ok(())
}

fn ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

fn scikit_learn(d: usize, n: usize, k: usize) -> String {
    let script = format!(
        "import time, numpy as np\n\
         from sklearn.discriminant_analysis import LinearDiscriminantAnalysis as L\n\
         r = np.random.default_rng(1); x = r.random(({n}, {d})); y = np.arange({n}) % {k}\n\
         t = []\n\
         for _ in range({ROUNDS} + 1):\n\
        \x20   s = time.perf_counter(); L(solver='lsqr', shrinkage=.3).fit(x, y); t.append(time.perf_counter() - s)\n\
         print(f'{{1e3 * np.median(t[1:]):.1f}}')\n"
    );
    let python = std::env::var("EDGETUNED_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let answer = Command::new(python)
        .args(["-c", &script])
        .envs([("OPENBLAS_NUM_THREADS", "1"), ("OMP_NUM_THREADS", "1")])
        .env_remove("OPENBLAS_CORETYPE")
        .env_remove("OPENBLAS_L2_SIZE")
        .output();
    match answer {
        Ok(answer) if answer.status.success() => String::from_utf8_lossy(&answer.stdout).trim().to_owned(),
        _ => "not importable here (set EDGETUNED_PYTHON)".to_owned(),
    }
}
