//! Which memory holds which gradient: one is needed from the last reader of a value back to what made it, so a chain of
//! layers needs two at a time.

use super::network::{Step, TailNetwork};

/// Where the gradients of a network's slots are.
#[derive(Debug, Clone)]
pub(super) struct GradientPlan {
    /// By slot; `None` where no gradient is needed: nothing before it is trained.
    pub buffer_of: Vec<Option<usize>>,
    /// By buffer, values a picture.
    pub sizes: Vec<usize>,
    /// By step: its residual, where it has one, and its sources.
    pub reads: Vec<Vec<usize>>,
    /// By step: whether the gradients by them are added to what is there.
    pub adds: Vec<Vec<bool>>,
}

impl GradientPlan {
    pub fn new(network: &TailNetwork) -> Self {
        let mut needed = vec![false; network.shapes.len()];
        for step in &network.steps {
            let trains = |parameter: &usize| network.parameters[*parameter].place.is_some();
            needed[step.output] =
                step.op.parameters().iter().any(trains) || reads(step).into_iter().any(|source| needed[source]);
        }
        let reads = network.steps.iter().map(reads).collect();
        let mut plan = Self { buffer_of: vec![None; needed.len()], sizes: Vec::new(), reads, adds: Vec::new() };
        let mut free = Vec::new();
        if needed[network.output] {
            plan.take(&mut free, network.output, network.shapes[network.output].values());
        }
        for step in network.steps.iter().rev() {
            let mut adds = Vec::new();
            if needed[step.output] {
                for source in self::reads(step) {
                    adds.push(plan.buffer_of[source].is_some());
                    if needed[source] && plan.buffer_of[source].is_none() {
                        plan.take(&mut free, source, network.shapes[source].values());
                    }
                }
                free.extend(plan.buffer_of[step.output]);
            }
            plan.adds.push(adds);
        }
        plan.adds.reverse();
        plan
    }

    /// Gives `slot` the free buffer that fits best, or a new one.
    fn take(&mut self, free: &mut Vec<usize>, slot: usize, values: usize) {
        let fits = (0..free.len()).filter(|&at| self.sizes[free[at]] >= values).min_by_key(|&at| self.sizes[free[at]]);
        let largest = || (0..free.len()).max_by_key(|&at| self.sizes[free[at]]);
        let buffer = fits.or_else(largest).map_or(self.sizes.len(), |at| free.swap_remove(at));
        if buffer == self.sizes.len() {
            self.sizes.push(0);
        }
        self.sizes[buffer] = self.sizes[buffer].max(values);
        self.buffer_of[slot] = Some(buffer);
    }
}

/// The residual of a step, where it has one, and its sources.
fn reads(step: &Step) -> Vec<usize> {
    step.residual.into_iter().chain(step.op.sources()).collect()
}
