//! Puts a network together, layer by layer, and joins activations and residuals to the layers before them.

use std::collections::HashMap;

use super::convolution::Window;
use super::elementwise::Clamp;
use super::network::{BATCH, Bytes, Form, Op, Parameter, Shape, Step, TailNetwork};
use crate::head::TailWeight;

/// Values a picture that no map of a tail has; what goes beyond is hostile.
const MOST_VALUES: usize = 1 << 24;
/// Places of a map times values of a kernel.
const MOST_TAPS: usize = 1 << 20;
/// Bytes that the training of a tail may need.
pub const MOST_BYTES: usize = 64 << 20;

/// A network under construction.
#[derive(Debug)]
pub struct TailBuilder {
    network: TailNetwork,
    by_name: HashMap<String, usize>,
}

/// What a layer made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Made {
    slot: usize,
    /// Of one picture.
    pub shape: Shape,
}

/// A constant of the file that a layer reads.
#[derive(Debug, Clone)]
pub struct Constant {
    /// Its values.
    pub weight: TailWeight,
    /// Whether they are trained.
    pub is_trained: bool,
}

/// Why a layer cannot be computed here; the words go behind its name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadLayer {
    /// Neither dense nor depthwise.
    #[error("with group {groups} over {channels} channels: known are 1 and one for each channel")]
    Groups {
        /// Groups.
        groups: usize,
        /// Channels that it reads.
        channels: usize,
    },
    /// A constant that does not fit.
    #[error("with a constant {name:?} of shape {found:?} where {expected:?} is expected")]
    Shape {
        /// Its name.
        name: String,
        /// What fits.
        expected: Vec<usize>,
        /// What it has.
        found: Vec<usize>,
    },
    /// A kernel that does not fit into its map.
    #[error("with a kernel of {kernel:?} over a map of {map:?}")]
    Window {
        /// Height and width.
        kernel: [usize; 2],
        /// Height and width.
        map: [usize; 2],
    },
    /// Maps of different shapes.
    #[error("of {left:?} and {right:?}: both have to have one shape")]
    Sides {
        /// Channels, height, width.
        left: [usize; 3],
        /// Channels, height, width.
        right: [usize; 3],
    },
    /// Larger than any tail.
    #[error("that makes more values than any tail has")]
    Huge,
    /// A variance below zero, or a value that is not a number.
    #[error("with a constant {name:?} that has a value that it may not have")]
    Value {
        /// Its name.
        name: String,
    },
}

/// Why a network is no tail that can be trained.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Untrainable {
    /// Nothing to train.
    #[error("none of its values is trained")]
    Nothing,
    /// Too much memory.
    #[error(
        "{} MiB for the layers ({} bytes) and {} MiB for a batch of {BATCH} pictures are more than {} MiB",
        .needed.parameters >> 20, .needed.parameters, .needed.activations >> 20, MOST_BYTES >> 20
    )]
    Memory {
        /// What it needs.
        needed: Bytes,
    },
}

impl TailBuilder {
    /// A network that starts from the tensor `input` of [channels, height, width] `shape`.
    ///
    /// # Errors
    /// [`BadLayer::Huge`], of shapes without a value too.
    pub fn new(input: &str, [channels, height, width]: [usize; 3]) -> Result<(Self, Made), BadLayer> {
        let shape = Shape { channels, height, width };
        checked(shape)?;
        let network = TailNetwork {
            input: input.to_owned(),
            shapes: vec![shape],
            steps: Vec::new(),
            parameters: Vec::new(),
            output: 0,
        };
        Ok((Self { network, by_name: HashMap::new() }, Made { slot: 0, shape }))
    }

    /// A convolution: `weight` is (out, in / groups, height, width), `bias` (out,).
    ///
    /// # Errors
    /// [`BadLayer`]
    pub fn convolution(
        &mut self,
        x: Made,
        weight: Constant,
        bias: Option<Constant>,
        window: Window,
        groups: usize,
    ) -> Result<Made, BadLayer> {
        let channels = x.shape.channels;
        let is_depthwise = groups > 1 && groups == channels;
        let [height, width] = window.kernel;
        let out = weight.weight.shape.first().copied().unwrap_or(0);
        if groups != 1 && !(is_depthwise && out == channels) {
            return Err(BadLayer::Groups { groups, channels });
        }
        let expected = vec![out, if is_depthwise { 1 } else { channels }, height, width];
        let weight = self.constant(weight, &expected)?;
        let bias = bias.map(|bias| self.constant(bias, &[out])).transpose()?;
        let map = [x.shape.height, x.shape.width];
        let made = window.of(map).ok_or(BadLayer::Window { kernel: window.kernel, map })?;
        let shape = Shape { channels: out, height: made[0], width: made[1] };
        checked(shape)?;
        if shape.places().saturating_mul(height * width) > MOST_TAPS {
            return Err(BadLayer::Huge);
        }
        let form = Form::of(&window, is_depthwise, x.shape, shape);
        Ok(self.step(Op::Convolution { source: x.slot, weight, bias, form }, shape))
    }

    /// Batch normalisation with statistics that stay; all four are (channels,), `epsilon` is added to the variance.
    ///
    /// # Errors
    /// [`BadLayer`]
    pub fn normalisation(
        &mut self,
        x: Made,
        scale: Constant,
        shift: Constant,
        mean: TailWeight,
        variance: &TailWeight,
        epsilon: f32,
    ) -> Result<Made, BadLayer> {
        let expected = vec![x.shape.channels];
        let (scale, shift) = (self.constant(scale, &expected)?, self.constant(shift, &expected)?);
        fitting(&mean, &expected)?;
        fitting(variance, &expected)?;
        let inverse: Vec<f32> = variance.values.iter().map(|variance| 1.0 / (variance + epsilon).sqrt()).collect();
        if !inverse.iter().all(|inverse| inverse.is_finite()) {
            return Err(BadLayer::Value { name: variance.name.clone() });
        }
        Ok(self.step(Op::Normalisation { source: x.slot, scale, shift, mean: mean.values, inverse }, x.shape))
    }

    /// `min(max(x, low), high)`
    pub fn clamp(&mut self, x: Made, clamp: Clamp) -> Made {
        let made = self.step(Op::Clamp { source: x.slot }, x.shape);
        if let Some(step) = self.network.steps.last_mut() {
            step.clamp = Some(clamp);
        }
        made
    }

    /// `x min(max(x + 3, 0), 6) / 6`
    pub fn hard_swish(&mut self, x: Made) -> Made {
        self.step(Op::HardSwish { source: x.slot }, x.shape)
    }

    /// The sum of two.
    ///
    /// # Errors
    /// [`BadLayer::Sides`]
    pub fn add(&mut self, a: Made, b: Made) -> Result<Made, BadLayer> {
        let sides = |shape: Shape| [shape.channels, shape.height, shape.width];
        if a.shape != b.shape {
            return Err(BadLayer::Sides { left: sides(a.shape), right: sides(b.shape) });
        }
        Ok(self.step(Op::Add { sources: [a.slot, b.slot] }, a.shape))
    }

    /// The mean over the places.
    pub fn mean(&mut self, x: Made) -> Made {
        self.step(Op::Mean { source: x.slot }, Shape { height: 1, width: 1, ..x.shape })
    }

    /// The network whose embedding is `x`, the mean of a map where it is one.
    ///
    /// # Errors
    /// [`Untrainable`]
    pub fn finish(mut self, x: Made) -> Result<TailNetwork, Untrainable> {
        let x = if x.shape.places() > 1 { self.mean(x) } else { x };
        let mut network = self.network;
        network.output = x.slot;
        joined(&mut network);
        let mut place = 0;
        for parameter in network.parameters.iter_mut().filter(|parameter| parameter.place.is_some()) {
            parameter.place = Some(place);
            place += parameter.weight.values.len();
        }
        if place == 0 {
            return Err(Untrainable::Nothing);
        }
        let needed = network.bytes(BATCH);
        if needed.total() > MOST_BYTES { Err(Untrainable::Memory { needed }) } else { Ok(network) }
    }

    fn step(&mut self, op: Op, shape: Shape) -> Made {
        let slot = self.network.shapes.len();
        self.network.shapes.push(shape);
        self.network.steps.push(Step { op, output: slot, residual: None, clamp: None });
        Made { slot, shape }
    }

    /// The index of a constant; one that is read twice is one parameter.
    fn constant(&mut self, constant: Constant, expected: &[usize]) -> Result<usize, BadLayer> {
        let Constant { weight, is_trained } = constant;
        fitting(&weight, expected)?;
        if let Some(&index) = self.by_name.get(&weight.name) {
            let known = &mut self.network.parameters[index];
            if known.weight.shape == weight.shape {
                known.place = known.place.or(is_trained.then_some(0));
                return Ok(index);
            }
        }
        let index = self.network.parameters.len();
        self.by_name.insert(weight.name.clone(), index);
        self.network.parameters.push(Parameter { weight, place: is_trained.then_some(0) });
        Ok(index)
    }
}

fn checked(shape: Shape) -> Result<(), BadLayer> {
    let values = shape.channels.checked_mul(shape.height).and_then(|values| values.checked_mul(shape.width));
    if values.is_some_and(|values| (1..=MOST_VALUES).contains(&values)) { Ok(()) } else { Err(BadLayer::Huge) }
}

fn fitting(weight: &TailWeight, expected: &[usize]) -> Result<(), BadLayer> {
    let TailWeight { name, shape, values } = weight;
    let length = expected.iter().try_fold(1_usize, |length, side| length.checked_mul(*side));
    if shape != expected || Some(values.len()) != length || values.is_empty() {
        let (name, expected, found) = (name.clone(), expected.to_vec(), shape.clone());
        return Err(BadLayer::Shape { name, expected, found });
    }
    let finite = values.iter().all(|value| value.is_finite());
    if finite { Ok(()) } else { Err(BadLayer::Value { name: name.clone() }) }
}

/// Makes sums the residual of the layer before, and clamps part of it, where nothing else reads what lies between.
fn joined(network: &mut TailNetwork) {
    let mut readers = vec![0_usize; network.shapes.len()];
    readers[network.output] += 1;
    for step in &network.steps {
        step.op.sources().into_iter().for_each(|source| readers[source] += 1);
    }
    let (mut steps, mut now) = (Vec::<Step>::new(), (0..network.shapes.len()).collect::<Vec<usize>>());
    // By slot: the step that makes it.
    let mut maker: Vec<Option<usize>> = vec![None; network.shapes.len()];
    for mut step in std::mem::take(&mut network.steps) {
        let original = step.op.sources();
        renamed(&mut step.op, &now);
        let open = |slot: usize, original: usize, steps: &[Step], maker: &[Option<usize>]| {
            maker[slot].filter(|&at| readers[original] == 1 && takes_more(&steps[at]))
        };
        let joins = match &step.op {
            Op::Clamp { source } => open(*source, original[0], &steps, &maker).map(|at| (at, None)),
            Op::Add { sources: [a, b] } if a != b => {
                let before = |slot: usize, at: usize| maker[slot].is_none_or(|made| made < at);
                let fits = |at: &usize, other: usize| steps[*at].residual.is_none() && before(other, *at);
                let left = open(*a, original[0], &steps, &maker).filter(|at| fits(at, *b)).map(|at| (at, Some(*b)));
                let right = || open(*b, original[1], &steps, &maker).filter(|at| fits(at, *a)).map(|at| (at, Some(*a)));
                left.or_else(right)
            }
            _ => None,
        };
        if let Some((at, residual)) = joins {
            steps[at].residual = steps[at].residual.or(residual);
            steps[at].clamp = step.clamp;
            now[step.output] = steps[at].output;
        } else {
            maker[step.output] = Some(steps.len());
            steps.push(step);
        }
    }
    network.output = now[network.output];
    network.steps = steps;
    dropped(network);
}

/// Whether a sum or a clamp can become part of a layer: its own value is not needed for its gradient.
fn takes_more(step: &Step) -> bool {
    let linear = matches!(step.op, Op::Convolution { .. } | Op::Normalisation { .. } | Op::Add { .. });
    linear && step.clamp.is_none()
}

/// Takes out the slots that nothing makes any more.
fn dropped(network: &mut TailNetwork) {
    let mut kept = vec![false; network.shapes.len()];
    kept[0] = true;
    network.steps.iter().for_each(|step| kept[step.output] = true);
    let mut now = vec![0; kept.len()];
    let mut shapes = Vec::new();
    for (slot, shape) in network.shapes.iter().enumerate().filter(|(slot, _)| kept[*slot]) {
        now[slot] = shapes.len();
        shapes.push(*shape);
    }
    for step in &mut network.steps {
        renamed(&mut step.op, &now);
        step.output = now[step.output];
        step.residual = step.residual.map(|slot| now[slot]);
    }
    network.output = now[network.output];
    network.shapes = shapes;
}

fn renamed(op: &mut Op, now: &[usize]) {
    match op {
        Op::Convolution { source, .. }
        | Op::Normalisation { source, .. }
        | Op::Clamp { source }
        | Op::HardSwish { source }
        | Op::Mean { source } => *source = now[*source],
        Op::Add { sources } => sources.iter_mut().for_each(|source| *source = now[*source]),
    }
}
