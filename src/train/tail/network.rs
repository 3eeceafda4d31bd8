//! The last layers of a backbone as layers that can be trained: what they are, and in what order they compute.
//!
//! A network is put together by [`TailBuilder`](super::TailBuilder), layer by layer, from a cut tensor to the embedding.
//! It holds the original values; those in training are one flat list beside it, so that any number of models start from
//! the same network. How it runs is in `workspace`.

use super::convolution::{Taps, Window};
use super::elementwise::Clamp;
use super::plan::GradientPlan;
use crate::head::{Tail, TailWeight};

/// Pictures in a batch, by which memory is reckoned.
pub const BATCH: usize = 32;

/// The layers from a cut to the embedding.
#[derive(Debug, Clone)]
pub struct TailNetwork {
    pub(super) input: String,
    /// By slot; slot 0 is the cut.
    pub(super) shapes: Vec<Shape>,
    pub(super) steps: Vec<Step>,
    pub(super) parameters: Vec<Parameter>,
    /// The slot of the embedding, (dim, 1, 1).
    pub(super) output: usize,
}

/// Sides of a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Channels.
    pub channels: usize,
    /// Height.
    pub height: usize,
    /// Width.
    pub width: usize,
}

impl Shape {
    /// Height times width.
    #[must_use]
    pub fn places(&self) -> usize {
        self.height * self.width
    }

    /// Values of a picture.
    #[must_use]
    pub fn values(&self) -> usize {
        self.channels * self.places()
    }
}

/// A constant of the file.
#[derive(Debug, Clone)]
pub(super) struct Parameter {
    pub weight: TailWeight,
    /// Where its values are among those in training; `None` where they stay.
    pub place: Option<usize>,
}

/// One layer; `clamp(op + residual)`.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub op: Op,
    pub output: usize,
    pub residual: Option<usize>,
    pub clamp: Option<Clamp>,
}

/// What a layer does. Sources are slots, weights indices of parameters.
#[derive(Debug, Clone)]
pub(super) enum Op {
    /// Kernels (out, in, height, width), or (channels, 1, height, width) of a depthwise one.
    Convolution {
        source: usize,
        weight: usize,
        bias: Option<usize>,
        form: Form,
    },
    /// Batch normalisation with statistics that stay: `(x - mean) inverse scale + shift`.
    Normalisation {
        source: usize,
        scale: usize,
        shift: usize,
        mean: Vec<f32>,
        inverse: Vec<f32>,
    },
    /// Where it could not become part of the layer before.
    Clamp {
        source: usize,
    },
    HardSwish {
        source: usize,
    },
    /// Where it could not become the residual of a layer before.
    Add {
        sources: [usize; 2],
    },
    /// Over the places of a map.
    Mean {
        source: usize,
    },
}

/// How a convolution is computed.
#[derive(Debug, Clone)]
pub(super) enum Form {
    /// One product of matrices.
    Pointwise,
    /// Each channel by itself.
    Depthwise(Taps),
    /// One product for each value of a kernel.
    Dense(Taps),
}

impl Form {
    pub fn of(window: &Window, is_depthwise: bool, map: Shape, made: Shape) -> Self {
        let taps = || Taps::new(window, [map.height, map.width], [made.height, made.width]);
        if is_depthwise {
            Self::Depthwise(taps())
        } else if *window == Window::POINT {
            Self::Pointwise
        } else {
            Self::Dense(taps())
        }
    }
}

impl Op {
    /// What it reads.
    pub fn sources(&self) -> Vec<usize> {
        match self {
            Self::Convolution { source, .. }
            | Self::Normalisation { source, .. }
            | Self::Clamp { source }
            | Self::HardSwish { source }
            | Self::Mean { source } => vec![*source],
            Self::Add { sources } => sources.to_vec(),
        }
    }

    /// Its parameters.
    pub fn parameters(&self) -> Vec<usize> {
        match self {
            Self::Convolution { weight, bias, .. } => std::iter::once(*weight).chain(*bias).collect(),
            Self::Normalisation { scale, shift, .. } => vec![*scale, *shift],
            _ => Vec::new(),
        }
    }
}

impl TailNetwork {
    /// The tensor of the file that it starts from.
    #[must_use]
    pub fn input(&self) -> &str {
        &self.input
    }

    /// Of one picture at the cut.
    #[must_use]
    pub fn cut(&self) -> Shape {
        self.shapes[0]
    }

    /// Width of the embedding.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.shapes[self.output].channels
    }

    /// Values that are trained.
    #[must_use]
    pub fn trained(&self) -> usize {
        self.parameters.iter().filter(|p| p.place.is_some()).map(|p| p.weight.values.len()).sum()
    }

    /// The trained values as the file has them, flat.
    #[must_use]
    pub fn original(&self) -> Vec<f32> {
        let trained = self.parameters.iter().filter(|parameter| parameter.place.is_some());
        trained.flat_map(|parameter| &parameter.weight.values).copied().collect()
    }

    /// What a head carries of trained values `theta`, flat as [`original`](Self::original) has them.
    ///
    /// # Panics
    /// When `theta` has another length.
    #[must_use]
    pub fn tail(&self, theta: &[f32]) -> Tail {
        assert_eq!(theta.len(), self.trained(), "the values that are trained");
        let weight = |parameter: &Parameter| {
            let from = parameter.place?;
            let TailWeight { name, shape, values } = &parameter.weight;
            let values = theta[from..from + values.len()].to_vec();
            Some(TailWeight { name: name.clone(), shape: shape.clone(), values })
        };
        Tail { input: self.input.clone(), weights: self.parameters.iter().filter_map(weight).collect() }
    }

    /// The values of `tail`, flat as [`original`](Self::original) has them.
    ///
    /// # Errors
    /// [`ForeignTail`] where it starts elsewhere, or its weights are not those that are trained here.
    pub fn values_of(&self, tail: &Tail) -> Result<Vec<f32>, ForeignTail> {
        if tail.input != self.input {
            return Err(ForeignTail::Input { expected: self.input.clone(), found: tail.input.clone() });
        }
        let trained: Vec<&TailWeight> =
            self.parameters.iter().filter(|parameter| parameter.place.is_some()).map(|p| &p.weight).collect();
        let fits = |(own, other): (&&TailWeight, &TailWeight)| {
            own.name == other.name && own.shape == other.shape && own.values.len() == other.values.len()
        };
        if trained.len() != tail.weights.len() || !trained.iter().zip(&tail.weights).all(fits) {
            let other = trained.iter().zip(&tail.weights).find(|(own, other)| !fits((own, other)));
            let weight = other.map_or_else(|| "the number of weights".to_owned(), |(_, other)| other.name.clone());
            return Err(ForeignTail::Weight { weight });
        }
        Ok(tail.weights.iter().flat_map(|weight| &weight.values).copied().collect())
    }

    /// Bytes that a training in batches of `batch` needs beside the network itself: 16 a trained value, for it, its
    /// gradient and two moments, and the values and gradients of a batch.
    #[must_use]
    pub fn bytes(&self, batch: usize) -> Bytes {
        let values: usize = self.shapes.iter().map(Shape::values).sum();
        let gradients: usize = GradientPlan::new(self).sizes.iter().sum();
        let per_picture = values + gradients + self.scratch();
        Bytes { parameters: 16 * self.trained(), activations: 4 * batch * per_picture }
    }

    /// Values a picture that dense convolutions need for a moment.
    pub(super) fn scratch(&self) -> usize {
        let of = |step: &Step| match &step.op {
            Op::Convolution { source, form: Form::Dense(taps), .. } => self.shapes[*source].channels * taps.outputs(),
            _ => 0,
        };
        self.steps.iter().map(of).max().unwrap_or(0)
    }

    /// The values of a parameter, those in training from `theta`.
    pub(super) fn values<'a>(&'a self, parameter: usize, theta: &'a [f32]) -> &'a [f32] {
        let Parameter { weight, place } = &self.parameters[parameter];
        place.map_or(&weight.values[..], |from| &theta[from..from + weight.values.len()])
    }
}

/// What a training needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes {
    /// Of the layers.
    pub parameters: usize,
    /// Of what passes through them.
    pub activations: usize,
}

impl Bytes {
    /// Both.
    #[must_use]
    pub fn total(&self) -> usize {
        self.parameters + self.activations
    }
}

/// Why a tail is not one of this network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ForeignTail {
    /// It starts elsewhere.
    #[error("the head's tail starts from {found:?}, this one from {expected:?}: use the backbone it was trained on")]
    Input {
        /// Of this network.
        expected: String,
        /// Of the head.
        found: String,
    },
    /// Other weights.
    #[error("the head's tail does not fit the backbone in {weight:?}: use the backbone it was trained on")]
    Weight {
        /// The first that does not fit.
        weight: String,
    },
}
