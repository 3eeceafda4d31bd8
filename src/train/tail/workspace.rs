//! Runs a tail forwards and backwards over a batch, in memory that is taken once.
//!
//! Maps are (channels, places, batch): a convolution of 1 x 1 is one product of matrices, a larger one a product for
//! each value of its kernel.

use super::elementwise as each;
use super::gemm::{Gemm, Matrix, Target};
use super::network::{Form, Op, Step, TailNetwork};
use super::plan::GradientPlan;

/// The values of one batch, and their gradients.
pub(super) struct Workspace {
    batch: usize,
    /// By slot.
    activations: Vec<Vec<f32>>,
    plan: GradientPlan,
    /// By buffer of the plan; empty where nothing goes backwards.
    gradients: Vec<Vec<f32>>,
    scratch: Vec<f32>,
    gemm: Gemm,
}

impl Workspace {
    /// For batches of `batch` pictures, which go backwards too.
    pub fn new(network: &TailNetwork, batch: usize) -> Self {
        let mut work = Self::forwards(network, batch);
        work.gradients = work.plan.sizes.iter().map(|size| vec![0.0; size * batch]).collect();
        work
    }

    /// For batches of `batch` pictures that only go forwards.
    pub fn forwards(network: &TailNetwork, batch: usize) -> Self {
        Self {
            batch,
            activations: network.shapes.iter().map(|shape| vec![0.0; shape.values() * batch]).collect(),
            plan: GradientPlan::new(network),
            gradients: Vec::new(),
            scratch: vec![0.0; network.scratch() * batch],
            gemm: Gemm::default(),
        }
    }

    /// Pictures in a batch.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Where the batch is put: (channels, places, batch).
    pub fn input(&mut self) -> &mut [f32] {
        &mut self.activations[0]
    }

    /// The embeddings of the batch, (dim, batch).
    pub fn embeddings(&self, network: &TailNetwork) -> &[f32] {
        &self.activations[network.output]
    }

    /// Where the gradient by the embeddings is put, (dim, batch).
    pub fn embedding_gradient(&mut self, network: &TailNetwork) -> &mut [f32] {
        let buffer = self.plan.buffer_of[network.output].expect("something in the network is trained");
        &mut self.gradients[buffer][..network.dim() * self.batch]
    }
}

impl TailNetwork {
    /// Computes the embeddings of the batch in `work` with the trained values `theta`.
    pub(super) fn forward(&self, theta: &[f32], work: &mut Workspace) {
        for step in &self.steps {
            let mut out = std::mem::take(&mut work.activations[step.output]);
            self.compute(step, theta, work, &mut out);
            work.activations[step.output] = out;
        }
    }

    fn compute(&self, step: &Step, theta: &[f32], work: &mut Workspace, out: &mut [f32]) {
        let Workspace { batch, activations, scratch, gemm, .. } = work;
        let batch = *batch;
        let shape = self.shapes[step.output];
        let places = shape.places() * batch;
        let mut added = None;
        match &step.op {
            Op::Convolution { source, weight, bias, form } => {
                let (x, w) = (&activations[*source][..], self.values(*weight, theta));
                added = bias.map(|bias| self.values(bias, theta));
                let size = [shape.channels, self.shapes[*source].channels, places];
                match form {
                    Form::Pointwise => {
                        let w = Matrix::rows(w, size[1]);
                        gemm.multiply(size, w, Matrix::rows(x, places), Target::rows(out, places));
                    }
                    Form::Depthwise(taps) => taps.convolve(w, x, out, batch),
                    Form::Dense(taps) => {
                        let scratch = &mut scratch[..size[1] * places];
                        for tap in 0..taps.count() {
                            taps.shift(tap, x, scratch, batch);
                            let w = Matrix { values: &w[tap..], row: size[1] * taps.count(), column: taps.count() };
                            let target = Target::rows(out, places).adding(tap > 0);
                            gemm.multiply(size, w, Matrix::rows(scratch, places), target);
                        }
                    }
                }
            }
            Op::Normalisation { source, scale, shift, mean, inverse } => {
                let (scale, shift) = (self.values(*scale, theta), self.values(*shift, theta));
                let line = |c: usize| {
                    let slope = scale[c] * inverse[c];
                    [slope, shift[c] - mean[c] * slope]
                };
                each::affine(&activations[*source], out, line, places);
            }
            Op::Clamp { source } => out.copy_from_slice(&activations[*source]),
            Op::HardSwish { source } => each::hard_swish(&activations[*source], out),
            Op::Add { sources: [a, b] } => {
                out.copy_from_slice(&activations[*a]);
                each::put(&activations[*b], out, true);
            }
            Op::Mean { source } => each::mean(&activations[*source], out, self.shapes[*source].places(), batch),
        }
        let residual = step.residual.map(|slot| &activations[slot][..]);
        if added.is_some() || residual.is_some() || step.clamp.is_some() {
            each::finish(out, added, residual, step.clamp, places);
        }
    }

    /// Adds the gradient by the trained values to `gradient`, from that by the embeddings, after a
    /// [`forward`](Self::forward) with the same `theta`.
    pub(super) fn backward(&self, theta: &[f32], work: &mut Workspace, gradient: &mut [f32]) {
        for (index, step) in self.steps.iter().enumerate().rev() {
            let Some(buffer) = work.plan.buffer_of[step.output] else { continue };
            let mut held = std::mem::take(&mut work.gradients[buffer]);
            let g = &mut held[..self.shapes[step.output].values() * work.batch];
            if let Some(clamp) = step.clamp {
                each::mask(g, &work.activations[step.output], clamp);
            }
            self.back(index, g, theta, work, gradient);
            work.gradients[buffer] = held;
        }
    }

    fn back(&self, index: usize, g: &[f32], theta: &[f32], work: &mut Workspace, gradient: &mut [f32]) {
        let Workspace { batch, activations, plan, gradients, scratch, gemm } = work;
        let (step, batch) = (&self.steps[index], *batch);
        let shape = self.shapes[step.output];
        let places = shape.places() * batch;
        let values = |slot: usize| self.shapes[slot].values() * batch;
        let mut adds = plan.adds[index].iter().copied();
        if let Some(residual) = step.residual {
            let add = adds.next().unwrap_or(false);
            if let Some(buffer) = plan.buffer_of[residual] {
                each::put(g, &mut gradients[buffer][..values(residual)], add);
            }
        }
        let mut towards = |source: usize| {
            let add = adds.next().unwrap_or(false);
            plan.buffer_of[source].map(|buffer| (buffer, add))
        };
        match &step.op {
            Op::Convolution { source, weight, bias, form } => {
                if let Some(sums) = bias.and_then(|bias| self.part(bias, gradient)) {
                    each::add_row_sums(g, sums, places);
                }
                let to = towards(*source).map(|(buffer, add)| (&mut gradients[buffer][..values(*source)], add));
                let (x, w) = (&activations[*source][..], self.values(*weight, theta));
                let sides = [shape.channels, self.shapes[*source].channels, places];
                let dw = self.part(*weight, gradient);
                match form {
                    Form::Pointwise => pointwise_back(gemm, sides, [g, x, w], dw, to),
                    Form::Depthwise(taps) => {
                        if let Some(dw) = dw {
                            taps.correlate(g, x, dw, batch);
                        }
                        if let Some((to, add)) = to {
                            taps.convolve_back(w, g, to, batch, add);
                        }
                    }
                    Form::Dense(taps) => {
                        let scratch = &mut scratch[..sides[1] * places];
                        let [out, channels, _] = sides;
                        let (row, column) = (channels * taps.count(), taps.count());
                        if let Some(dw) = dw {
                            for tap in 0..taps.count() {
                                taps.shift(tap, x, scratch, batch);
                                let target = Target { values: &mut dw[tap..], row, column, add: true };
                                let x = Matrix::transposed(scratch, places);
                                gemm.multiply([out, places, channels], Matrix::rows(g, places), x, target);
                            }
                        }
                        if let Some((to, add)) = to {
                            if !add {
                                to.fill(0.0);
                            }
                            for tap in 0..taps.count() {
                                let w = Matrix { values: &w[tap..], row: column, column: row };
                                let size = [channels, out, places];
                                gemm.multiply(size, w, Matrix::rows(g, places), Target::rows(scratch, places));
                                taps.unshift(tap, scratch, to, batch);
                            }
                        }
                    }
                }
            }
            Op::Normalisation { source, scale, shift, mean, inverse } => {
                if let Some(sums) = self.part(*shift, gradient) {
                    each::add_row_sums(g, sums, places);
                }
                let x = &activations[*source];
                if let Some(sums) = self.part(*scale, gradient) {
                    for (c, (g, x)) in g.chunks_exact(places).zip(x.chunks_exact(places)).enumerate() {
                        sums[c] += inverse[c] * each::centred_product(g, x, mean[c]);
                    }
                }
                if let Some((buffer, add)) = towards(*source) {
                    let scale = self.values(*scale, theta);
                    let slope = |c: usize| scale[c] * inverse[c];
                    each::put_scaled(g, &mut gradients[buffer][..values(*source)], slope, places, add);
                }
            }
            Op::Clamp { source } => {
                if let Some((buffer, add)) = towards(*source) {
                    each::put(g, &mut gradients[buffer][..values(*source)], add);
                }
            }
            Op::HardSwish { source } => {
                if let Some((buffer, add)) = towards(*source) {
                    let to = &mut gradients[buffer][..values(*source)];
                    each::hard_swish_back(g, &activations[*source], to, add);
                }
            }
            Op::Add { sources } => {
                for source in sources {
                    if let Some((buffer, add)) = towards(*source) {
                        each::put(g, &mut gradients[buffer][..values(*source)], add);
                    }
                }
            }
            Op::Mean { source } => {
                if let Some((buffer, add)) = towards(*source) {
                    let to = &mut gradients[buffer][..values(*source)];
                    each::mean_back(g, to, self.shapes[*source].places(), batch, add);
                }
            }
        }
    }

    /// Where the gradient by a parameter goes; `None` where it is not trained.
    fn part<'g>(&self, parameter: usize, gradient: &'g mut [f32]) -> Option<&'g mut [f32]> {
        let parameter = &self.parameters[parameter];
        parameter.place.map(|from| &mut gradient[from..from + parameter.weight.values.len()])
    }
}

/// The gradients of `y = w x` (out, places): by the weights (out, channels), added to `dw`, and by `x`.
fn pointwise_back(
    gemm: &mut Gemm,
    [out, channels, places]: [usize; 3],
    [g, x, w]: [&[f32]; 3],
    dw: Option<&mut [f32]>,
    to: Option<(&mut [f32], bool)>,
) {
    if let Some(dw) = dw {
        let target = Target::rows(dw, channels).adding(true);
        gemm.multiply([out, places, channels], Matrix::rows(g, places), Matrix::transposed(x, places), target);
    }
    if let Some((to, add)) = to {
        let target = Target::rows(to, places).adding(add);
        gemm.multiply([channels, out, places], Matrix::transposed(w, channels), Matrix::rows(g, places), target);
    }
}
