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
            self.by_parameters(step, g, work, gradient);
            for at in 0..work.plan.reads[index].len() {
                let source = work.plan.reads[index][at];
                let Some(buffer) = work.plan.buffer_of[source] else { continue };
                let mut of_source = std::mem::take(&mut work.gradients[buffer]);
                let to = &mut of_source[..self.shapes[source].values() * work.batch];
                let add = work.plan.adds[index][at];
                if at == 0 && step.residual.is_some() {
                    each::put(g, to, add);
                } else {
                    self.by_source(step, g, theta, work, to, add);
                }
                work.gradients[buffer] = of_source;
            }
            work.gradients[buffer] = held;
        }
    }

    /// Adds the gradients by the parameters of a step, of that by its output, `g`.
    fn by_parameters(&self, step: &Step, g: &[f32], work: &mut Workspace, gradient: &mut [f32]) {
        let Workspace { batch, activations, scratch, gemm, .. } = work;
        let (shape, batch) = (self.shapes[step.output], *batch);
        let places = shape.places() * batch;
        match &step.op {
            Op::Convolution { source, weight, bias, form } => {
                if let Some(sums) = bias.and_then(|bias| self.part(bias, gradient)) {
                    each::add_row_sums(g, sums, places);
                }
                let Some(dw) = self.part(*weight, gradient) else { return };
                let (x, channels) = (&activations[*source][..], self.shapes[*source].channels);
                let (size, rows) = ([shape.channels, places, channels], Matrix::rows(g, places));
                match form {
                    Form::Pointwise => {
                        let target = Target::rows(dw, channels).adding(true);
                        gemm.multiply(size, rows, Matrix::transposed(x, places), target);
                    }
                    Form::Depthwise(taps) => taps.correlate(g, x, dw, batch),
                    Form::Dense(taps) => {
                        let scratch = &mut scratch[..channels * places];
                        let (row, column) = (channels * taps.count(), taps.count());
                        for tap in 0..taps.count() {
                            taps.shift(tap, x, scratch, batch);
                            let target = Target { values: &mut dw[tap..], row, column, add: true };
                            gemm.multiply(size, rows, Matrix::transposed(scratch, places), target);
                        }
                    }
                }
            }
            Op::Normalisation { source, scale, shift, mean, inverse } => {
                if let Some(sums) = self.part(*shift, gradient) {
                    each::add_row_sums(g, sums, places);
                }
                let Some(sums) = self.part(*scale, gradient) else { return };
                let rows = g.chunks_exact(places).zip(activations[*source].chunks_exact(places));
                for (c, (g, x)) in rows.enumerate() {
                    sums[c] += inverse[c] * each::centred_product(g, x, mean[c]);
                }
            }
            Op::Clamp { .. } | Op::HardSwish { .. } | Op::Add { .. } | Op::Mean { .. } => {}
        }
    }

    /// Writes the gradient by a source of a step, of that by its output, `g`, or adds it, to `to`.
    fn by_source(&self, step: &Step, g: &[f32], theta: &[f32], work: &mut Workspace, to: &mut [f32], add: bool) {
        let Workspace { batch, activations, scratch, gemm, .. } = work;
        let (shape, batch) = (self.shapes[step.output], *batch);
        let places = shape.places() * batch;
        match &step.op {
            Op::Convolution { source, weight, form, .. } => {
                let (w, channels) = (self.values(*weight, theta), self.shapes[*source].channels);
                let (size, rows) = ([channels, shape.channels, places], Matrix::rows(g, places));
                match form {
                    Form::Pointwise => {
                        let target = Target::rows(to, places).adding(add);
                        gemm.multiply(size, Matrix::transposed(w, channels), rows, target);
                    }
                    Form::Depthwise(taps) => taps.convolve_back(w, g, to, batch, add),
                    Form::Dense(taps) => {
                        if !add {
                            to.fill(0.0);
                        }
                        let scratch = &mut scratch[..channels * places];
                        for tap in 0..taps.count() {
                            let w = Matrix { values: &w[tap..], row: taps.count(), column: channels * taps.count() };
                            gemm.multiply(size, w, rows, Target::rows(scratch, places));
                            taps.unshift(tap, scratch, to, batch);
                        }
                    }
                }
            }
            Op::Normalisation { scale, inverse, .. } => {
                let scale = self.values(*scale, theta);
                each::put_scaled(g, to, |c| scale[c] * inverse[c], places, add);
            }
            Op::Clamp { .. } | Op::Add { .. } => each::put(g, to, add),
            Op::HardSwish { source } => each::hard_swish_back(g, &activations[*source], to, add),
            Op::Mean { source } => each::mean_back(g, to, self.shapes[*source].places(), batch, add),
        }
    }

    /// Where the gradient by a parameter goes; `None` where it is not trained.
    fn part<'g>(&self, parameter: usize, gradient: &'g mut [f32]) -> Option<&'g mut [f32]> {
        let parameter = &self.parameters[parameter];
        parameter.place.map(|from| &mut gradient[from..from + parameter.weight.values.len()])
    }
}
