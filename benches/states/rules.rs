//! How each program turns predictions into a state: ours, and the two peers' as their sources and documents have it.

use std::time::Duration;

use edgetuned::engine::{Ages, Change, Judgement, StateMachine, StateRecord, StateSettings};
use edgetuned::words::{Label, Now, SampleId, Timestamp};

/// What the head says of one frame of one task.
#[derive(Debug, Clone)]
pub struct Prediction {
    /// Seconds since the beginning of the evening.
    pub s: f64,
    pub image: SampleId,
    /// Of each class.
    pub p: Vec<f32>,
    /// Conformal set as class indices.
    pub set: Option<Vec<usize>>,
}

impl Prediction {
    /// The best class and its probability.
    pub fn best(&self) -> (usize, f32) {
        let best = (0..self.p.len()).max_by(|a, b| self.p[*a].total_cmp(&self.p[*b])).unwrap_or(0);
        (best, self.p[best])
    }
}

/// A rule: what is so after a prediction, and after time has passed; `None` is unknown.
pub trait Rule {
    fn predicted(&mut self, prediction: &Prediction) -> Option<usize>;
    fn waited(&mut self, s: f64) -> Option<usize>;
}

/// Ours.
pub struct Ours {
    machine: StateMachine,
    classes: Vec<Label>,
    state: Option<usize>,
}

impl Ours {
    pub fn new(settings: StateSettings, classes: Vec<Label>) -> Self {
        Self { machine: StateMachine::new(settings, StateRecord::default()), classes, state: None }
    }

    /// The judgement as the daemon makes it of a prediction.
    pub fn judgement(prediction: &Prediction, classes: &[Label]) -> Judgement {
        let (best, probability) = prediction.best();
        let set = prediction.set.as_ref().map(|set| set.iter().map(|class| classes[*class].clone()).collect());
        Judgement { image: prediction.image, label: Some(classes[best].clone()), probability, set, is_stale: false }
    }

    /// The state after this.
    fn after(&mut self, change: Change) -> Option<usize> {
        if change.publish {
            let view = self.machine.view();
            self.state = self.classes.iter().position(|class| Some(class) == view.state.class());
        }
        self.state
    }
}

/// The present of a simulated clock.
pub fn ages(s: f64) -> Ages {
    let mono = Duration::from_secs_f64(s);
    Ages::believing(Now { wall: Timestamp(1_790_000_000_000).plus(mono), mono })
}

impl Rule for Ours {
    fn predicted(&mut self, prediction: &Prediction) -> Option<usize> {
        let change = self.machine.predicted(&ages(prediction.s), &Self::judgement(prediction, &self.classes));
        self.after(change)
    }

    fn waited(&mut self, s: f64) -> Option<usize> {
        let change = self.machine.tick(&ages(s));
        self.after(change)
    }
}

/// Frigate 0.18: a probability of 0.8 counts, less neither counts nor resets; three identical in a row.
#[derive(Default)]
pub struct Frigate {
    state: Option<usize>,
    row: Option<(usize, usize)>,
}

impl Rule for Frigate {
    fn predicted(&mut self, prediction: &Prediction) -> Option<usize> {
        let (class, p) = prediction.best();
        if p >= 0.8 {
            let before = self.row.filter(|(candidate, _)| *candidate == class).map_or(0, |(_, n)| n);
            self.row = Some((class, before + 1));
            if before + 1 >= 3 {
                self.state = Some(class);
            }
        }
        self.state
    }

    fn waited(&mut self, _: f64) -> Option<usize> {
        self.state
    }
}

/// `VisionState`: below 0.7 is unknown, which is a state as others are; two in a row.
#[derive(Default)]
pub struct VisionState {
    state: Option<usize>,
    /// What the last frame said; unknown before the first, as it begins.
    last: Option<usize>,
}

impl Rule for VisionState {
    fn predicted(&mut self, prediction: &Prediction) -> Option<usize> {
        let (class, p) = prediction.best();
        let said = Some(class).filter(|_| p >= 0.7);
        if std::mem::replace(&mut self.last, said) == said {
            self.state = said;
        }
        self.state
    }

    fn waited(&mut self, _: f64) -> Option<usize> {
        self.state
    }
}
