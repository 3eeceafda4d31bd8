use ndarray::array;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::*;

/// A pool that owns its parts.
struct Owned {
    candidates: Vec<Candidate>,
    embeddings: Array2<f32>,
    labelled: Array2<f32>,
    labelled_groups: Vec<SampleId>,
    classes: ClassSet,
    doubts: Vec<Doubt>,
}

fn id(seed: u64, number: usize) -> SampleId {
    SampleId::of(format!("{seed} {number}").as_bytes())
}

/// `n` candidates, some in bursts, a few of them unknown, `labelled` labelled samples, `doubts` of them doubted.
fn owned(seed: u64, n: usize, labelled: usize, doubts: usize) -> Owned {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let classes: ClassSet = ["gear", "nut", "washer"].iter().map(|name| Label::new(name).unwrap()).collect();
    let candidate = |number: usize| {
        let own = id(seed, number);
        let group = if rng.random_bool(0.4) { id(seed, number % 11) } else { own };
        let mut p: Vec<f32> = (0..3).map(|_| rng.random()).collect();
        let sum: f32 = p.iter().sum();
        for p in &mut p {
            *p /= sum;
        }
        let (novelty, unknown) = (rng.random(), rng.random_bool(0.15));
        Candidate { id: own, group, probabilities: Some(p), novelty, unknown, arrived: number as u64 }
    };
    let candidates: Vec<Candidate> = (0..n).map(candidate).collect();
    let mut embed = |rows: usize| Array2::from_shape_simple_fn((rows, 4), || rng.random::<f32>() - 0.5);
    let doubt = |i: usize| Doubt {
        id: id(seed, 1_000 + i),
        group: id(seed, 1_000 + i / 2 * 2),
        suggestion: classes.labels()[i % 3].clone(),
        probability: 0.8,
    };
    Owned {
        embeddings: embed(n),
        labelled: embed(labelled),
        labelled_groups: (0..labelled).map(|i| id(seed, if i < 3 { i } else { 1_000 + i })).collect(),
        doubts: (0..doubts).map(doubt).collect(),
        candidates,
        classes,
    }
}

impl Owned {
    fn asks(&self, most: usize, seed: u64) -> Vec<Ask> {
        let Self { candidates, embeddings, labelled, labelled_groups, classes, doubts } = self;
        choose(&Pool { candidates, embeddings, labelled, labelled_groups, classes, doubts }, most, seed)
    }

    fn candidate(&self, id: SampleId) -> Option<&Candidate> {
        self.candidates.iter().find(|candidate| candidate.id == id)
    }

    fn group(&self, id: SampleId) -> SampleId {
        let doubted = || self.doubts.iter().find(|doubt| doubt.id == id).map(|doubt| doubt.group);
        self.candidate(id).map(|candidate| candidate.group).or_else(doubted).unwrap()
    }
}

fn count(asks: &[Ask], reason: Reason) -> usize {
    asks.iter().filter(|ask| ask.reason == reason).count()
}

#[test]
fn with_enough_of_everything_each_reason_has_its_share_and_is_spread_over_the_list() {
    for seed in 0..30 {
        let asks = owned(seed, 400, 60, 30).asks(20, seed);
        let shares = [Reason::Audit, Reason::Suspicious, Reason::Novel, Reason::Uncertain].map(|r| count(&asks, r));
        assert_eq!(shares, [2, 4, 4, 10], "seed {seed}");
        let half = [Reason::Audit, Reason::Suspicious, Reason::Novel, Reason::Uncertain].map(|r| count(&asks[..10], r));
        assert_eq!(half, [1, 2, 2, 5], "seed {seed}");
    }
}

#[test]
fn no_burst_is_asked_about_twice_and_audits_for_nothing_but_the_audit() {
    for seed in 0..200 {
        let pool = owned(seed, seed as usize, (seed as usize * 7) % 80, (seed as usize * 3) % 9);
        let asks = pool.asks(20, seed);
        assert!(asks.len() <= 20);
        let groups: BTreeSet<SampleId> = asks.iter().map(|ask| pool.group(ask.id)).collect();
        assert_eq!(groups.len(), asks.len(), "seed {seed}");
        for ask in &asks {
            let candidate = pool.candidate(ask.id);
            assert_eq!(candidate.is_none(), ask.reason == Reason::Suspicious, "seed {seed}");
            let Some(candidate) = candidate else { continue };
            assert_eq!(is_audit(&ask.id), ask.reason == Reason::Audit, "seed {seed}");
            let known = pool.labelled_groups.contains(&candidate.group);
            assert!(ask.reason == Reason::Audit || !known, "seed {seed}: a burst with a label");
            assert!(ask.reason == Reason::Audit || candidate.unknown == (ask.reason == Reason::Novel), "seed {seed}");
            assert_eq!(ask.suggestion.is_none(), ask.reason == Reason::Novel, "seed {seed}");
        }
        assert_eq!(asks, pool.asks(20, seed));
    }
}

#[test]
fn places_that_one_reason_does_not_need_go_to_the_others() {
    for seed in 0..50 {
        let pool = owned(seed, 0, 60, 30);
        let asks = pool.asks(20, seed);
        assert_eq!(count(&asks, Reason::Suspicious), 15, "seed {seed}: 30 doubts in 15 bursts");
        let mut pool = owned(seed, 400, 60, 0);
        pool.candidates.iter_mut().for_each(|candidate| candidate.unknown = false);
        let asks = pool.asks(20, seed);
        assert_eq!((count(&asks, Reason::Audit), count(&asks, Reason::Uncertain)), (2, 18), "seed {seed}");
    }
}

#[test]
fn while_labels_are_few_or_no_head_speaks_images_stand_for_clusters() {
    let mut pool = owned(1, 200, 29, 0);
    assert!(count(&pool.asks(20, 1), Reason::Diverse) > 0);
    pool = owned(1, 200, 30, 0);
    assert_eq!(count(&pool.asks(20, 1), Reason::Diverse), 0);
    pool.candidates.iter_mut().for_each(|candidate| candidate.probabilities = None);
    let asks = pool.asks(20, 1);
    assert!(count(&asks, Reason::Diverse) >= 10 && asks.iter().all(|ask| ask.probability.is_none()));
}

#[test]
fn the_first_images_asked_about_come_from_every_cluster_without_a_label() {
    for seed in 0..20 {
        let mut pool = owned(seed, 300, 4, 0);
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        // Ten clusters; the labels are in the first two.
        let mut near = |cluster: usize, j: usize| f32::from(u8::from(j == cluster)) + 0.02 * rng.random::<f32>();
        pool.embeddings = Array2::from_shape_fn((300, 10), |(i, j)| near(i % 10, j));
        pool.labelled = Array2::from_shape_fn((4, 10), |(i, j)| near(i % 2, j));
        pool.candidates.iter_mut().for_each(|c| (c.group, c.unknown) = (c.id, false));
        let asks = pool.asks(12, seed);
        let diverse = asks.iter().filter(|ask| ask.reason == Reason::Diverse);
        let hit: BTreeSet<usize> =
            diverse.map(|ask| pool.candidates.iter().position(|c| c.id == ask.id).unwrap() % 10).collect();
        assert!((2..10).all(|cluster| hit.contains(&cluster)), "seed {seed}: {hit:?}");
    }
}

#[test]
fn uncertain_images_have_small_margins_and_the_suggestion_is_the_likeliest_class() {
    for seed in 0..30 {
        let mut pool = owned(seed, 300, 60, 0);
        for (i, candidate) in pool.candidates.iter_mut().enumerate() {
            candidate.probabilities = Some(if i < 150 { vec![0.2, 0.45, 0.35] } else { vec![0.02, 0.95, 0.03] });
            (candidate.group, candidate.unknown) = (candidate.id, false);
        }
        let asks = pool.asks(20, seed);
        for ask in asks.iter().filter(|ask| ask.reason == Reason::Uncertain) {
            assert!(ask.suggestion.as_ref().is_some_and(|label| label.as_str() == "nut"));
            assert!(ask.probability.is_some_and(|p| (p - 0.45).abs() < 1e-6), "seed {seed}: {ask:?}");
        }
    }
}

#[test]
fn audits_come_latest_first() {
    let pool = owned(5, 400, 60, 0);
    let listed: Vec<u64> = pool
        .asks(20, 5)
        .iter()
        .filter(|ask| ask.reason == Reason::Audit)
        .filter_map(|ask| pool.candidate(ask.id).map(|candidate| candidate.arrived))
        .collect();
    let latest = pool.candidates.iter().filter(|c| is_audit(&c.id)).map(|c| c.arrived).max();
    assert_eq!(listed.first().copied(), latest);
    assert!(listed.is_sorted_by(|a, b| a > b));
}

#[test]
fn each_next_one_is_farthest_from_all_before() {
    let x = array![[1.0, 0.0], [0.8, 0.6], [0.0, 1.0], [-1.0, 0.0]];
    assert_eq!(spread(&x, &array![[1.0, 0.0]], 9), [3, 2, 1, 0]);
    assert_eq!(spread(&x, &Array2::zeros((0, 2)), 2), [0, 3]);
}
