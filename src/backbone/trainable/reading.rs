//! Reads the steps of a tail, in the order of the file, as layers.

use std::collections::{BTreeSet, HashMap};

use super::hard_swish::{self, Seen, Step};
use super::{NotTrainable, is_quantised};
use crate::backbone::manifest::{Embedding, Pool};
use crate::backbone::onnx::flow::{Flow, GATE};
use crate::backbone::onnx::graph::{Graph, Node};
use crate::backbone::onnx::values::{Attributes, Values};
use crate::backbone::onnx::waist::Broken;
use crate::head::TailWeight;
use crate::train::{BadLayer, Clamp, Constant, Made, TailBuilder, TailLayers, TailNetwork, Window};

struct Reading<'g> {
    graph: &'g Graph,
    flow: Flow<'g>,
    values: Values<'g>,
    /// Positions of the steps of the tail.
    inside: BTreeSet<usize>,
    /// By tensor: positions of the steps that read it.
    readers: HashMap<&'g str, Vec<usize>>,
    /// The convolution that alone is trained, where one alone is.
    only: Option<usize>,
    builder: TailBuilder,
    seen: HashMap<&'g str, Seen>,
}

/// As [`tail_network`](super::tail_network).
pub fn read<'g>(
    bytes: &'g [u8],
    graph: &'g Graph,
    input: &'g str,
    embedding: &'g Embedding,
    shape: [usize; 3],
    layers: TailLayers,
) -> Result<TailNetwork, NotTrainable> {
    let flow = Flow::new(graph);
    let (end, values) = (embedding.tensor.as_str(), Values::of(bytes)?);
    if !graph.computes(end) {
        return Err(graph.unknown(end).into());
    }
    let broken = |Broken { node }| NotTrainable::operator(&graph.nodes[node], "reads what comes after it, or branches");
    let beside = || NotTrainable::Beside { input: input.to_owned(), tensor: end.to_owned() };
    let inside = flow.between(graph, input, end).map_err(broken)?.ok_or_else(beside)?;
    let last = inside.iter().rev().copied().find(|place| graph.nodes[*place].op == "Conv");
    let mut readers: HashMap<&str, Vec<usize>> = HashMap::new();
    for (place, node) in graph.nodes.iter().enumerate() {
        node.inputs.iter().for_each(|name| readers.entry(name).or_default().push(place));
    }
    let (builder, cut) = TailBuilder::new(input, shape).map_err(|why| NotTrainable::Cut { why })?;
    let missing = || NotTrainable::Missing { tensor: end.to_owned(), missing: "convolution behind the cut" };
    let only = if layers == TailLayers::LastConv { Some(last.ok_or_else(missing)?) } else { None };
    let seen = HashMap::from([(input, Seen::Map(cut))]);
    let mut reading = Reading { graph, flow, values, inside, readers, only, builder, seen };
    for place in reading.inside.clone() {
        reading.step(place)?;
    }
    let made = match reading.seen.get(end) {
        Some(Seen::Map(made)) => *made,
        _ => return Err(beside()),
    };
    let row = match embedding.pool {
        Pool::None => made.shape.values(),
        Pool::Avg => made.shape.channels,
        Pool::Cls => 0,
    };
    let wanted = embedding.dim;
    if row != wanted || made.shape.channels != wanted {
        let found = if embedding.pool == Pool::Avg { made.shape.channels } else { made.shape.values() };
        return Err(NotTrainable::Width { expected: wanted, found });
    }
    Ok(reading.builder.finish(made)?)
}

impl<'g> Reading<'g> {
    fn step(&mut self, place: usize) -> Result<(), NotTrainable> {
        let node = &self.graph.nodes[place];
        if is_quantised(node) {
            let made = node.outputs.first().cloned().unwrap_or_default();
            return Err(NotTrainable::Quantised { op: node.op.clone(), node: made });
        }
        let attributes = self.values.attributes(place);
        let seen = match node.op.as_str() {
            "Conv" => Seen::Map(self.convolution(place, node, &attributes)?),
            "BatchNormalization" => Seen::Map(self.normalisation(place, node, &attributes)?),
            "Relu" => Seen::Map(self.clamp(node, Clamp { low: 0.0, high: f32::INFINITY })?),
            "Clip" => self.clip(node, &attributes)?,
            "HardSwish" => {
                let x = self.map(node)?;
                Seen::Map(self.builder.hard_swish(x))
            }
            "HardSigmoid" => {
                let number = |name, usual| attributes.float(name).unwrap_or(usual);
                let part = hard_swish::hard_sigmoid(self.map(node)?, number("alpha", 0.2), number("beta", 0.5));
                self.part(node, part, "is not that of a HardSwish")?
            }
            "Add" => self.add(node)?,
            "Mul" | "Div" => self.product(node)?,
            "Identity" | "Dropout" if node.inputs.get(2).is_none_or(|flag| self.is_off(flag)) => self.first(node)?,
            "GlobalAveragePool" | "ReduceMean" | "AveragePool" => self.pool(node, &attributes)?,
            "Flatten" | "Reshape" | "Squeeze" => {
                let x = self.map(node)?;
                if x.shape.places() > 1 {
                    return Err(NotTrainable::operator(node, "changes the axes of a map"));
                }
                Seen::Map(x)
            }
            _ => return Err(NotTrainable::operator(node, "is an operator that no tail is trained through")),
        };
        if let Some(output) = node.outputs.first() {
            self.seen.insert(output, seen);
        }
        Ok(())
    }

    fn convolution(&mut self, place: usize, node: &'g Node, attributes: &Attributes) -> Result<Made, NotTrainable> {
        let x = self.map(node)?;
        let weight = self.constant(node, 1, place)?;
        let bias = match node.inputs.get(2).filter(|name| !name.is_empty()) {
            Some(_) => Some(self.constant(node, 2, place)?),
            None => None,
        };
        let [_, _, height, width] = weight.weight.shape[..] else {
            return Err(NotTrainable::operator(node, "with a kernel that has not two axes"));
        };
        if attributes.ints("dilations").iter().any(|dilation| *dilation != 1) {
            return Err(NotTrainable::operator(node, format!("with dilations {:?}", attributes.ints("dilations"))));
        }
        let map = [x.shape.height, x.shape.width];
        let window = window([height, width], map, attributes).map_err(|why| NotTrainable::operator(node, why))?;
        let groups = usize::try_from(attributes.int("group", 1)).unwrap_or(0);
        self.builder.convolution(x, weight, bias, window, groups).map_err(|why| cannot(node, &why))
    }

    fn normalisation(&mut self, place: usize, node: &'g Node, attributes: &Attributes) -> Result<Made, NotTrainable> {
        let x = self.map(node)?;
        if attributes.int("training_mode", 0) != 0 {
            return Err(NotTrainable::operator(node, "normalises by the batch"));
        }
        let (scale, shift) = (self.constant(node, 1, place)?, self.constant(node, 2, place)?);
        let (mean, variance) = (self.constant(node, 3, place)?.weight, self.constant(node, 4, place)?.weight);
        let epsilon = attributes.float("epsilon").unwrap_or(1e-5);
        let made = self.builder.normalisation(x, scale, shift, mean, &variance, epsilon);
        made.map_err(|why| cannot(node, &why))
    }

    fn clip(&mut self, node: &'g Node, attributes: &Attributes) -> Result<Seen, NotTrainable> {
        let bound = |name, at: usize, none: f32| match node.inputs.get(at).filter(|name| !name.is_empty()) {
            Some(input) => self.number(input).ok_or_else(|| NotTrainable::operator(node, "with a computed bound")),
            None => Ok(attributes.float(name).unwrap_or(none)),
        };
        let clamp = Clamp { low: bound("min", 1, f32::NEG_INFINITY)?, high: bound("max", 2, f32::INFINITY)? };
        if clamp.low.is_nan() || clamp.high.is_nan() || clamp.low > clamp.high {
            return Err(NotTrainable::operator(node, "with bounds that leave nothing"));
        }
        if let Seen::Shifted(x) = self.first(node)? {
            return self.part(node, hard_swish::clamped(x, clamp), "is not that of a HardSwish");
        }
        Ok(Seen::Map(self.clamp(node, clamp)?))
    }

    fn clamp(&mut self, node: &'g Node, clamp: Clamp) -> Result<Made, NotTrainable> {
        let x = self.map(node)?;
        Ok(self.builder.clamp(x, clamp))
    }

    fn add(&mut self, node: &'g Node) -> Result<Seen, NotTrainable> {
        match self.two(node)? {
            (Seen::Map(a), Ok(Seen::Map(b))) => self.builder.add(a, b).map(Seen::Map).map_err(|why| cannot(node, &why)),
            (Seen::Map(x), Err(by)) => {
                let part = by.and_then(|by| hard_swish::shifted(x, by));
                self.part(node, part, "of a map and a constant")
            }
            _ => Err(NotTrainable::operator(node, "of what is no map")),
        }
    }

    fn product(&mut self, node: &'g Node) -> Result<Seen, NotTrainable> {
        let divides = node.op == "Div";
        let step = match self.two(node)? {
            (a, Ok(b)) if !divides => hard_swish::multiplied(a, b),
            (a, Err(Some(by))) if !divides || self.is_variable(node.inputs.first()) => {
                hard_swish::scaled(a, if divides { 1.0 / by } else { by })
            }
            _ => None,
        };
        self.part(node, step, "is no part of a HardSwish")
    }

    fn pool(&mut self, node: &'g Node, attributes: &Attributes) -> Result<Seen, NotTrainable> {
        let x = self.map(node)?;
        let is_whole = match node.op.as_str() {
            "GlobalAveragePool" => true,
            "ReduceMean" => {
                let given = node.inputs.get(1).and_then(|name| self.graph.integers.get(name));
                let axes = given.map_or(attributes.ints("axes"), Vec::as_slice);
                let of_four = |axis: &i64| if *axis < 0 { axis.saturating_add(4) } else { *axis };
                axes.iter().map(of_four).collect::<BTreeSet<i64>>() == BTreeSet::from([2, 3])
            }
            _ => {
                let sides = [x.shape.height as i64, x.shape.width as i64];
                attributes.ints("kernel_shape") == sides && attributes.ints("pads").iter().all(|pad| *pad == 0)
            }
        };
        if !is_whole {
            return Err(NotTrainable::operator(node, "does not take the mean of a whole map"));
        }
        Ok(Seen::Map(self.builder.mean(x)))
    }

    /// What a step makes, where it is part of an activation.
    fn part(&mut self, node: &Node, step: Option<Step>, why: &str) -> Result<Seen, NotTrainable> {
        match step {
            Some(Step::Part(part)) => Ok(part),
            Some(Step::HardSwish(x)) => Ok(Seen::Map(self.builder.hard_swish(x))),
            None => Err(NotTrainable::operator(node, why)),
        }
    }

    fn first(&self, node: &Node) -> Result<Seen, NotTrainable> {
        let seen = node.inputs.first().and_then(|name| self.seen.get(name.as_str()));
        seen.copied().ok_or_else(|| NotTrainable::operator(node, "reads what no step of the tail made"))
    }

    fn map(&self, node: &Node) -> Result<Made, NotTrainable> {
        match self.first(node)? {
            Seen::Map(made) => Ok(made),
            _ => Err(NotTrainable::operator(node, "reads a part of a HardSwish")),
        }
    }

    /// The first that depends on the picture of the two that a step reads, and the other, a number where it is constant.
    #[allow(clippy::type_complexity, reason = "two that are read")]
    fn two(&self, node: &Node) -> Result<(Seen, Result<Seen, Option<f32>>), NotTrainable> {
        let [a, b] = &node.inputs[..] else { return Err(NotTrainable::operator(node, "does not read two tensors")) };
        let (first, other) = if self.seen.contains_key(a.as_str()) { (a, b) } else { (b, a) };
        let Some(first) = self.seen.get(first.as_str()) else {
            return Err(NotTrainable::operator(node, "reads what no step of the tail made"));
        };
        Ok((*first, self.seen.get(other.as_str()).copied().ok_or_else(|| self.number(other))))
    }

    fn is_variable(&self, name: Option<&String>) -> bool {
        name.is_some_and(|name| self.seen.contains_key(name.as_str()))
    }

    /// Whether a flag is given and false, or not given.
    fn is_off(&self, flag: &str) -> bool {
        flag.is_empty() || self.graph.integers.get(flag).is_some_and(|values| values == &[0])
    }

    /// A constant of one value.
    fn number(&self, name: &str) -> Option<f32> {
        let (_, _, floats) = self.floats(name).ok()?;
        if let [value] = floats.values[..] { Some(value) } else { None }
    }

    /// A weight of the step at `place`, and whether it is trained.
    fn constant(&self, node: &'g Node, at: usize, place: usize) -> Result<Constant, NotTrainable> {
        let missing = || NotTrainable::operator(node, "lacks a weight");
        let name = node.inputs.get(at).filter(|name| !name.is_empty()).ok_or_else(missing)?;
        let (name, chain, weight) = self.floats(name).map_err(|why| match why {
            Why::Quantised(node) => {
                NotTrainable::Quantised { op: node.op.clone(), node: node.outputs.first().cloned().unwrap_or_default() }
            }
            Why::Words(words) => NotTrainable::operator(node, format!("with a weight {name:?} that {words}")),
        })?;
        let inside = |reader: &usize| self.inside.contains(reader) || chain.contains(reader);
        let reads = |name: &str| self.readers.get(name).is_none_or(|readers| readers.iter().all(inside));
        let made = chain.iter().flat_map(|place| &self.graph.nodes[*place].outputs);
        // What a Constant step holds is no entry of the file that another one could take the place of.
        let is_own = self.flow.place(name).is_none() && reads(name) && made.into_iter().all(|name| reads(name));
        let is_trained = is_own && self.only.is_none_or(|only| only == place);
        Ok(Constant { weight: TailWeight { name: name.to_owned(), ..weight }, is_trained })
    }

    /// The constant that `name` is or is converted from: its name in the file, the positions of the conversions, values.
    fn floats<'n>(&'n self, mut name: &'n str) -> Result<(&'n str, Vec<usize>, TailWeight), Why<'g>> {
        let mut chain = Vec::new();
        for _ in 0..GATE {
            let place = self.flow.place(name);
            if self.graph.weights.contains_key(name) {
                let floats = self.values.floats(name, place).map_err(Why::Words)?;
                return Ok((
                    name,
                    chain,
                    TailWeight { name: String::new(), shape: floats.shape, values: floats.values },
                ));
            }
            let Some(place) = place else { break };
            let node = &self.graph.nodes[place];
            if is_quantised(node) {
                return Err(Why::Quantised(node));
            }
            match (node.op.as_str(), node.inputs.first()) {
                ("Cast" | "Identity", Some(source)) => name = source,
                _ => return Err(Why::Words(format!("{} computes", node.op))),
            }
            chain.push(place);
        }
        Err(Why::Words("is not in the file".to_owned()))
    }
}

/// Why a constant cannot be read.
enum Why<'g> {
    Quantised(&'g Node),
    Words(String),
}

fn cannot(node: &Node, why: &BadLayer) -> NotTrainable {
    NotTrainable::operator(node, why.to_string())
}

/// How a kernel goes over a `map`, by the attributes of a convolution.
fn window(kernel: [usize; 2], map: [usize; 2], attributes: &Attributes) -> Result<Window, String> {
    let sides = |name: &str, usual: usize| -> Result<Vec<usize>, String> {
        let given = attributes.ints(name);
        let sides: Option<Vec<usize>> = given.iter().map(|side| usize::try_from(*side).ok()).collect();
        let count = if name == "pads" { 4 } else { 2 };
        match sides {
            Some(sides) if sides.is_empty() => Ok(vec![usual; count]),
            Some(sides) if sides.len() == count => Ok(sides),
            _ => Err(format!("with {name} {given:?}")),
        }
    };
    let (stride, pads) = (sides("strides", 1)?, sides("pads", 0)?);
    let stride = [stride[0], stride[1]];
    if stride.contains(&0) {
        return Err(format!("with strides {stride:?}"));
    }
    let auto = attributes.text("auto_pad");
    // As many places as the stride leaves of the map.
    let total = |axis: usize| {
        let last = (map[axis].div_ceil(stride[axis]) - 1) * stride[axis];
        (last + kernel[axis]).saturating_sub(map[axis])
    };
    let (less, more) = ([total(0) / 2, total(1) / 2], [total(0).div_ceil(2), total(1).div_ceil(2)]);
    let (before, after) = match auto {
        "" | "NOTSET" => ([pads[0], pads[1]], [pads[2], pads[3]]),
        "VALID" => ([0; 2], [0; 2]),
        "SAME_UPPER" => (less, more),
        "SAME_LOWER" => (more, less),
        _ => return Err(format!("with auto_pad {auto:?}")),
    };
    Ok(Window { kernel, stride, before, after })
}
