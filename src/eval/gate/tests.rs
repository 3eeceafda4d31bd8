use ndarray::Array2;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::*;

/// Both heads on `sizes[class]` samples a class, each its own group; `old` and `new` say how many of them each head
/// gets right.
struct Pair {
    labels: Vec<Label>,
    y: Vec<usize>,
    groups: Vec<SampleId>,
    old: Array2<f32>,
    new: Array2<f32>,
}

/// Probabilities that call `answers` with `confidence` and share the rest.
fn certain(answers: &[usize], k: usize, confidence: f32) -> Array2<f32> {
    let rest = (1.0 - confidence) / (k - 1) as f32;
    Array2::from_shape_fn((answers.len(), k), |(i, class)| if class == answers[i] { confidence } else { rest })
}

impl Pair {
    fn new(sizes: &[usize], old: &[usize], new: &[usize]) -> Self {
        let k = sizes.len();
        let each = || sizes.iter().enumerate().flat_map(|(class, &size)| (0..size).map(move |i| (class, i)));
        let answers = |right: &[usize]| -> Vec<usize> {
            each().map(|(class, i)| if i < right[class] { class } else { (class + 1) % k }).collect()
        };
        Self {
            labels: ["glass", "metal", "paper"][..k].iter().map(|name| Label::new(name).unwrap()).collect(),
            y: each().map(|(class, _)| class).collect(),
            groups: each().map(|(class, i)| SampleId::of(&[class as u8, i as u8])).collect(),
            old: certain(&answers(old), k, 0.9),
            new: certain(&answers(new), k, 0.9),
        }
    }

    fn paired<'a>(&'a self, gained: &'a [Label], lost: &'a [Label]) -> PairedComparison<'a> {
        let Self { labels, y, groups, old, new } = self;
        let predictions = PairedPredictions { classes: labels, y, groups, old, new };
        PairedComparison {
            champion: 6,
            challenger: 7,
            champion_measured: true,
            gained,
            lost,
            shared: predictions,
            all: predictions,
        }
    }

    /// The last class is one that only the new head knows; the old one calls its images by the other names.
    fn verdict_with_last_class_new(&self, rules: &Rules) -> Verdict {
        let k = self.labels.len();
        let known: Vec<usize> = (0..self.y.len()).filter(|&i| self.y[i] < k - 1).collect();
        let shared_only = |all: &Array2<f32>| {
            let mut shared = all.select(ndarray::Axis(0), &known).slice_move(ndarray::s![.., ..k - 1]);
            shared.rows_mut().into_iter().for_each(|mut row| row /= row.sum());
            shared
        };
        let mut all_old = self.old.clone();
        all_old.column_mut(k - 1).fill(0.0);
        let (old, new) = (shared_only(&all_old), shared_only(&self.new));
        let y: Vec<usize> = known.iter().map(|&i| self.y[i]).collect();
        let groups: Vec<SampleId> = known.iter().map(|&i| self.groups[i]).collect();
        let shared = PairedPredictions { classes: &self.labels[..k - 1], y: &y, groups: &groups, old: &old, new: &new };
        let all = PairedPredictions {
            classes: &self.labels,
            y: &self.y,
            groups: &self.groups,
            old: &all_old,
            new: &self.new,
        };
        judge(&PairedComparison { shared, all, ..self.paired(&self.labels[k - 1..], &[]) }, rules)
    }

    fn verdict(&self) -> Verdict {
        judge(&self.paired(&[], &[]), &Rules::default())
    }
}

#[test]
fn a_clearly_better_challenger_is_promoted_with_its_numbers() {
    let verdict = Pair::new(&[40, 40], &[28, 28], &[38, 38]).verdict();
    assert!(verdict.promote && !verdict.provisional && verdict.code == VerdictCode::Better, "{verdict:?}");
    assert!(verdict.reason.starts_with("promoted head 7, better than head 6: balanced accuracy changes by +25.0"));
    assert!(verdict.change.is_some_and(|[change, low]| (change - 0.25).abs() < 1e-9 && low > 0.0 && low < change));
}

#[test]
fn a_challenger_with_the_same_answers_is_promoted_as_not_worse() {
    let verdict = Pair::new(&[30, 30, 30], &[25, 25, 25], &[25, 25, 25]).verdict();
    assert_eq!((verdict.promote, verdict.code), (true, VerdictCode::NotWorse));
    // It is no proof: what happened to none of 90 images may happen to three.
    assert!(
        verdict.change.is_some_and(|[change, low]| change.abs() < 1e-9 && (-0.05..-0.02).contains(&low)),
        "{verdict:?}"
    );
}

#[test]
fn a_challenger_that_gains_a_little_and_loses_nothing_is_promoted_and_one_loss_more_is_too_many() {
    let (gains, loses) = (Pair::new(&[30, 30], &[24, 24], &[25, 24]), Pair::new(&[30, 30], &[24, 24], &[25, 23]));
    assert_eq!((gains.verdict().code, loses.verdict().code), (VerdictCode::NotWorse, VerdictCode::Worse));
}

#[test]
fn frames_of_one_burst_do_not_show_that_a_class_is_lost() {
    let mut pair = Pair::new(&[60, 20], &[50, 18], &[56, 9]);
    assert_eq!(pair.verdict().code, VerdictCode::ClassRecallLoss);
    pair.groups[60..].fill(SampleId::of(b"burst"));
    assert_ne!(pair.verdict().code, VerdictCode::ClassRecallLoss, "{:?}", pair.verdict());
}

#[test]
fn a_loss_on_one_class_keeps_the_champion_though_the_rest_gained() {
    let verdict = Pair::new(&[49, 31], &[30, 29], &[49, 21]).verdict();
    assert_eq!(
        (verdict.code, verdict.reason.as_str()),
        (
            VerdictCode::ClassRecallLoss,
            "kept head 6: head 7 is better on glass (+38.8 points) but loses 8 of 31 on metal"
        )
    );
    assert!(!verdict.promote);
}

#[test]
fn three_images_of_a_class_that_may_be_chance_do_not_outweigh_a_gain() {
    let verdict = Pair::new(&[52, 52], &[45, 30], &[42, 44]).verdict();
    assert_eq!((verdict.promote, verdict.code), (true, VerdictCode::Better), "{verdict:?}");
}

#[test]
fn a_lower_log_loss_decides_where_so_few_answers_changed_that_none_can() {
    // Of 240 images two are lost and two gained: at worst the change is below the margin, whatever the truth is.
    let mut pair = Pair::new(&[120, 120], &[90, 90], &[90, 90]);
    for (row, like) in [(0, 119), (1, 118), (118, 0), (119, 1)] {
        let p = pair.old.row(like).to_owned();
        pair.new.row_mut(row).assign(&p);
    }
    let verdict = pair.verdict();
    assert_eq!((verdict.promote, verdict.code), (false, VerdictCode::Worse), "{verdict:?}");
    // The same answers, less sure where they are wrong.
    for (mut p, &y) in pair.new.rows_mut().into_iter().zip(&pair.y) {
        if p[y] < 0.5 {
            p[y] = 0.4;
            p[1 - y] = 0.6;
        }
    }
    let verdict = pair.verdict();
    assert_eq!((verdict.promote, verdict.code), (true, VerdictCode::Better), "{verdict:?}");
    assert!(verdict.reason.starts_with("promoted head 7, better than head 6: log-loss falls by 0.34"), "{verdict:?}");
}

#[test]
fn a_slightly_worse_challenger_is_kept_out_by_the_bound() {
    let verdict = Pair::new(&[60, 60], &[50, 50], &[48, 48]).verdict();
    assert_eq!((verdict.promote, verdict.code), (false, VerdictCode::Worse));
    assert!(verdict.reason.contains("-3.3 points") && verdict.reason.contains("margin is -0.5"), "{verdict:?}");
}

#[test]
fn the_same_answers_with_more_confidence_in_mistakes_are_refused_by_log_loss() {
    let mut pair = Pair::new(&[40, 40], &[30, 30], &[30, 30]);
    pair.new.mapv_inplace(|p| if p > 0.5 { 0.9999 } else { 0.0001 });
    let verdict = pair.verdict();
    assert_eq!((verdict.promote, verdict.code), (false, VerdictCode::LogLoss));
}

#[test]
fn a_class_that_the_challenger_no_longer_knows_is_never_given_up() {
    let pair = Pair::new(&[40, 40], &[10, 10], &[40, 40]);
    let lost = [Label::new("washer").unwrap()];
    let verdict = judge(&pair.paired(&[], &lost), &Rules::default());
    assert_eq!((verdict.promote, verdict.code), (false, VerdictCode::ClassLost));
    assert!(verdict.reason.contains("'washer'"));
}

#[test]
fn a_new_class_that_is_learnt_outweighs_doubt_about_the_others() {
    // Nothing is known to have changed on the 80 old images, and nothing can be: of them, one is lost and one gained.
    let mut pair = Pair::new(&[40, 40, 40], &[39, 39, 0], &[39, 39, 37]);
    let swapped = pair.new.row(0).to_owned();
    let wrong = pair.new.row(39).to_owned();
    pair.new.row_mut(39).assign(&swapped);
    pair.new.row_mut(0).assign(&wrong);
    let verdict = pair.verdict_with_last_class_new(&Rules::default());
    assert_eq!((verdict.promote, verdict.code), (true, VerdictCode::Better), "{verdict:?}");
    let says = "'paper' is new (37 of 40 right), the 2 classes that both know change by +0.0 points";
    assert!(verdict.reason.contains(says), "{verdict:?}");
}

#[test]
fn a_new_class_does_not_excuse_a_loss_on_the_others() {
    // Under 20 images a class, so that no class is refused for itself.
    let verdict = Pair::new(&[19, 19, 19], &[19, 19, 0], &[14, 14, 19]).verdict_with_last_class_new(&Rules::default());
    assert_eq!((verdict.promote, verdict.code), (false, VerdictCode::Worse), "{verdict:?}");
    assert!(
        verdict.reason.starts_with("kept head 6: head 7 is worse on the classes that both know, at best by -"),
        "{verdict:?}"
    );
    let verdict = Pair::new(&[40, 40, 40], &[40, 40, 0], &[40, 30, 40]).verdict_with_last_class_new(&Rules::default());
    assert_eq!((verdict.promote, verdict.code), (false, VerdictCode::Worse), "{verdict:?}");
}

#[test]
fn a_class_that_was_favoured_may_give_way_when_new_ones_are_learnt() {
    // The champion called metal glass too often; of glass 7 are lost, of metal 12 gained, and paper is learnt.
    let pair = Pair::new(&[52, 52, 52], &[50, 30, 0], &[43, 42, 43]);
    let verdict = pair.verdict_with_last_class_new(&Rules::default());
    assert_eq!((verdict.promote, verdict.code), (true, VerdictCode::Better), "{verdict:?}");
}

#[test]
fn a_class_swallowed_by_a_new_one_keeps_the_champion() {
    // Of metal 28 of 40 go over to paper; among glass and metal alone all would be named rightly.
    let mut pair = Pair::new(&[40, 40, 40], &[40, 40, 0], &[40, 12, 40]);
    for row in 52..80 {
        pair.new.row_mut(row).assign(&ndarray::array![0.05, 0.1, 0.85]);
    }
    let verdict = pair.verdict_with_last_class_new(&Rules::default());
    assert_eq!((verdict.promote, verdict.code), (false, VerdictCode::ClassRecallLoss), "{verdict:?}");
    assert!(verdict.reason.contains("loses 28 of 40 on metal"), "{verdict:?}");
}

#[test]
fn a_champion_of_fewer_classes_is_not_better_for_having_fewer_names_to_choose_from() {
    // A fifth of either old class goes over to the new one, which is found; on glass and metal alone both heads agree.
    let mut pair = Pair::new(&[40, 40, 40], &[40, 40, 0], &[32, 32, 36]);
    for (row, answers) in (32..40).map(|row| (row, 0)).chain((72..80).map(|row| (row, 1))) {
        let mut p = [0.01, 0.01, 0.7];
        p[answers] = 0.29;
        pair.new.row_mut(row).assign(&ndarray::arr1(&p));
    }
    let verdict = pair.verdict_with_last_class_new(&Rules::default());
    assert_eq!((verdict.promote, verdict.code), (true, VerdictCode::Better), "{verdict:?}");
}

#[test]
fn a_few_images_lost_to_a_new_class_do_not_keep_it_out() {
    let pair = Pair::new(&[32, 32, 40], &[24, 24, 0], &[27, 16, 24]);
    assert_eq!(pair.verdict().code, VerdictCode::ClassRecallLoss, "without a new class they do");
    let verdict = pair.verdict_with_last_class_new(&Rules::default());
    assert_eq!((verdict.promote, verdict.code), (true, VerdictCode::Better), "{verdict:?}");
}

#[test]
fn a_new_class_that_is_significantly_found_does_not_wait_for_more_images_of_the_others() {
    // Of 24 images of the others three change: no bound could be above the margin.
    let pair = Pair::new(&[12, 12, 6], &[12, 9, 0], &[9, 12, 5]);
    let verdict = pair.verdict_with_last_class_new(&Rules { margin: 0.0, ..Rules::default() });
    assert_eq!((verdict.promote, verdict.code), (true, VerdictCode::Better), "{verdict:?}");
    let verdict = Pair::new(&[12, 12, 6], &[12, 9, 0], &[9, 12, 2]).verdict_with_last_class_new(&Rules::default());
    assert_eq!((verdict.promote, verdict.code), (false, VerdictCode::Worse), "{verdict:?}");
}

#[test]
fn a_new_class_of_noise_is_kept_out() {
    for seed in 0..200 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut pair = Pair::new(&[40, 40, 20], &[38, 38, 0], &[0, 0, 0]);
        // Images of the old classes under a new name: a third of everything is called by it, whatever it is.
        let answers: Vec<usize> =
            pair.y.iter().map(|&y| if rng.random_range(0..3) == 0 { 2 } else { y.min(1) }).collect();
        pair.new = certain(&answers, 3, 0.6);
        let verdict = pair.verdict_with_last_class_new(&Rules { seed, ..Rules::default() });
        assert!(!verdict.promote, "seed {seed}: {verdict:?}");
    }
}

#[test]
fn too_little_held_out_is_a_reason_of_its_own() {
    assert_eq!(Pair::new(&[9, 9], &[1, 1], &[9, 9]).verdict().code, VerdictCode::TooFewHeldout);
    let mut bursts = Pair::new(&[20, 20], &[5, 5], &[20, 20]);
    bursts.groups = (0..40_u8).map(|i| SampleId::of(&[i / 5])).collect();
    let verdict = bursts.verdict();
    assert_eq!((verdict.promote, verdict.code), (false, VerdictCode::TooFewHeldout));
    assert!(verdict.reason.contains("only 40 images in 8 groups"), "{verdict:?}");
}

#[test]
fn a_champion_that_was_never_measured_gives_way_to_one_that_has_learnt_from_more() {
    let pair = Pair::new(&[9, 6], &[9, 6], &[9, 6]);
    let verdict = judge(&PairedComparison { champion_measured: false, ..pair.paired(&[], &[]) }, &Rules::default());
    assert!(verdict.promote && verdict.provisional && verdict.code == VerdictCode::TooFewHeldout, "{verdict:?}");
    assert!(
        verdict.reason.starts_with("promoted head 7 provisionally, head 6 was not evaluated either"),
        "{verdict:?}"
    );
    let lost = [Label::new("washer").unwrap()];
    let verdict = judge(&PairedComparison { champion_measured: false, ..pair.paired(&[], &lost) }, &Rules::default());
    assert!(!verdict.promote, "a class is not lost for it: {verdict:?}");
}

#[test]
fn the_first_head_serves_when_it_beats_chance_or_provisionally_when_that_cannot_be_told() {
    let first = |pair: &Pair| judge_first(1, &pair.y, &pair.groups, &pair.new, &Rules::default());
    let good = first(&Pair::new(&[20, 20], &[0, 0], &[17, 17]));
    assert!(good.promote && !good.provisional && good.code == VerdictCode::First, "{good:?}");
    let guess = first(&Pair::new(&[20, 20], &[0, 0], &[11, 11]));
    assert!(!guess.promote && guess.code == VerdictCode::Chance, "{guess:?}");
    let few = first(&Pair::new(&[3, 3], &[0, 0], &[3, 3]));
    assert!(few.promote && few.provisional && few.code == VerdictCode::TooFewHeldout, "{few:?}");
}

#[test]
fn challengers_trained_on_shuffled_labels_are_never_promoted_over_a_good_champion() {
    for seed in 0..200 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut pair = Pair::new(&[15, 15, 15], &[13, 13, 13], &[0, 0, 0]);
        let answers: Vec<usize> = pair.y.iter().map(|_| rng.random_range(0..3)).collect();
        pair.new = certain(&answers, 3, rng.random_range(0.34..0.99));
        let verdict = judge(&pair.paired(&[], &[]), &Rules { seed, ..Rules::default() });
        assert!(!verdict.promote, "seed {seed}: {verdict:?}");
    }
}

#[test]
fn challengers_that_only_lost_a_rare_class_are_never_promoted() {
    for seed in 0..100 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let rare = rng.random_range(4..30);
        let keeps = rng.random_range(0..=rare / 2);
        let verdict = Pair::new(&[60, 60, rare], &[55, 55, rare], &[55, 55, keeps]).verdict();
        assert!(!verdict.promote, "seed {seed}: {rare} rare ones, {keeps} kept: {verdict:?}");
    }
}

#[test]
fn a_code_is_the_same_word_in_reports_and_in_json_and_a_verdict_promotes_by_its_code() {
    use VerdictCode::{
        Better, Chance, ClassLost, ClassRecallLoss, First, LabelsLeftOut, LogLoss, NoLabels, NotWorse, TooFewHeldout,
        Worse,
    };
    let all = [
        Better,
        NotWorse,
        First,
        Worse,
        ClassLost,
        ClassRecallLoss,
        LogLoss,
        TooFewHeldout,
        Chance,
        NoLabels,
        LabelsLeftOut,
    ];
    for code in all {
        assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        assert_eq!(verdict(code, String::new(), None).promote, [Better, NotWorse, First].contains(&code), "{code}");
    }
}

#[test]
fn a_backbone_without_a_head_goes_only_where_no_head_serves() {
    let (first, other) = (judge_without_head(None), judge_without_head(Some(7)));
    assert_eq!((first.promote, first.code), (true, VerdictCode::First));
    assert_eq!((other.promote, other.code), (false, VerdictCode::NoLabels));
    assert!(other.reason.contains("compare it with head 7"), "{}", other.reason);
}

/// The verdict on a second phase whose answers are these.
fn second_phase(pair: &Pair) -> Verdict {
    judge_second_phase(&pair.paired(&[], &[]), &Rules::default())
}

#[test]
fn a_second_phase_serves_only_where_log_loss_falls_by_more_than_a_standard_error() {
    let better = Pair::new(&[60, 60], &[45, 45], &[54, 54]);
    let found = second_phase(&better);
    assert!(found.promote && found.code == VerdictCode::Better, "{}", found.reason);
    assert!(found.reason.contains("the second phase is better than the first"), "{}", found.reason);
    let same = Pair::new(&[60, 60], &[45, 45], &[45, 45]);
    assert_eq!(same.verdict().code, VerdictCode::NotWorse, "newer labels would do");
    let found = second_phase(&same);
    assert!(!found.promote && found.code == VerdictCode::NotBetter, "{}", found.reason);
    assert!(found.reason.contains("kept the first phase"), "{}", found.reason);
    let mut overconfident = Pair::new(&[60, 60], &[45, 45], &[46, 45]);
    overconfident.new.mapv_inplace(|p| if p > 0.5 { 0.999 } else { 0.001 });
    assert!(!second_phase(&overconfident).promote, "{}", second_phase(&overconfident).reason);
    let few = Pair::new(&[4, 4], &[2, 2], &[4, 4]);
    let found = second_phase(&few);
    assert!(!found.promote && found.code == VerdictCode::TooFewHeldout, "{}", found.reason);
}
