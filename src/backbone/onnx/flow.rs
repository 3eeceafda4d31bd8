//! Walks through a network against the stream: from an output back to the layers, and the pooling, that made it.
//!
//! Every step goes to an earlier node of the file, so that a walk ends for every file, even a hostile one.

use std::collections::HashMap;

use super::graph::{Graph, Node};

/// A network, seen from its tensors.
pub struct Flow<'g> {
    graph: &'g Graph,
    maker: HashMap<&'g str, usize>,
}

/// A layer that mixes all values of what it reads: dense, or a convolution of 1 x 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layer<'g> {
    /// What it reads.
    pub input: &'g str,
    /// Whether it is a convolution.
    pub convolves: bool,
    /// Values it reads; `None` where the file does not state it.
    pub reads: Option<i64>,
    /// Values it makes; `None` where the file does not state it.
    pub makes: Option<i64>,
}

/// What an output is computed from.
#[derive(Debug, Default)]
pub struct Walk<'g> {
    /// Layers passed, the last one of the network first.
    pub layers: Vec<Layer<'g>>,
    /// What the pooling over the picture made, where the walk came to one.
    pub pooled: Option<&'g str>,
    /// Whether a softmax or sigmoid was passed before any layer.
    pub normalised: bool,
}

/// Steps that keep the values and change at most their axes or their type.
const KEEPING: [&str; 10] = [
    "Flatten",
    "Reshape",
    "Squeeze",
    "Unsqueeze",
    "Transpose",
    "Dropout",
    "Identity",
    "Cast",
    "QuantizeLinear",
    "DequantizeLinear",
];
/// Steps that change each value by itself.
const CHANGING: [&str; 18] = [
    "Relu",
    "LeakyRelu",
    "PRelu",
    "Elu",
    "Selu",
    "Sigmoid",
    "HardSigmoid",
    "HardSwish",
    "Swish",
    "Mish",
    "Gelu",
    "Tanh",
    "Clip",
    "Erf",
    "BatchNormalization",
    "LpNormalization",
    "Softmax",
    "LogSoftmax",
];
const COMBINING: [&str; 6] = ["Add", "Sub", "Mul", "Div", "Max", "Min"];
/// An activation that is written out (x times something of x) has no more steps than this.
const GATE: usize = 8;
/// Networks pool over maps of at least 4 x 4 at their end; smaller windows occur in their middle.
const LEAST_WHOLE: i64 = 4;

impl<'g> Flow<'g> {
    pub fn new(graph: &'g Graph) -> Self {
        let nodes = graph.nodes.iter().enumerate();
        let maker = nodes.flat_map(|(index, node)| node.outputs.iter().map(move |output| (output.as_str(), index)));
        Self { graph, maker: maker.collect() }
    }

    /// The position in the file of the node that computes `tensor`.
    pub fn place(&self, tensor: &str) -> Option<usize> {
        self.maker.get(tensor).copied()
    }

    /// The node that makes `tensor`.
    pub fn made_by(&self, tensor: &str) -> Option<&'g Node> {
        self.place(tensor).map(|index| &self.graph.nodes[index])
    }

    /// What `tensor` has the same values as, one step back.
    pub fn same(&self, tensor: &str) -> Option<&'g str> {
        let node = self.made_by(tensor).filter(|node| KEEPING.contains(&node.op.as_str()))?;
        self.earlier(node.inputs.first()?, tensor)
    }

    /// From `output` back through steps that keep or change single values and through layers, to the pooling over the
    /// picture or to the first step that is something else.
    pub fn walk(&self, output: &'g str) -> Walk<'g> {
        let mut walk = Walk::default();
        let mut tensor = output;
        while let Some(node) = self.made_by(tensor) {
            if self.pools(node) {
                walk.pooled = Some(tensor);
                break;
            }
            if walk.layers.is_empty() {
                walk.normalised |= ["Softmax", "LogSoftmax", "Sigmoid"].contains(&node.op.as_str());
            }
            let layer = self.layer(node);
            let Some(earlier) = (match layer {
                Some(layer) => self.earlier(layer.input, tensor),
                None => self.carried(tensor),
            }) else {
                break;
            };
            walk.layers.extend(layer);
            tensor = earlier;
        }
        if walk.pooled.is_none() {
            // Convolutions at the end of a map are the network's body; behind a pooling they are dense layers.
            while walk.layers.last().is_some_and(|layer| layer.convolves) {
                walk.layers.pop();
            }
        }
        walk
    }

    /// What the step that makes `tensor` takes each value from, where it does so.
    pub fn carried(&self, tensor: &str) -> Option<&'g str> {
        let node = self.made_by(tensor)?;
        let op = node.op.as_str();
        if KEEPING.contains(&op) || CHANGING.contains(&op) {
            return self.earlier(node.inputs.first()?, tensor);
        }
        let mut inputs = node.inputs.iter().filter(|input| !self.is_constant(input));
        match (COMBINING.contains(&op), inputs.next(), inputs.next(), inputs.next()) {
            (true, Some(only), None, None) => self.earlier(only, tensor),
            (true, Some(a), Some(b), None) if self.derived(a, b) => self.earlier(b, tensor),
            (true, Some(a), Some(b), None) if self.derived(b, a) => self.earlier(a, tensor),
            _ => None,
        }
    }

    /// Whether `tensor` is made of `origin` alone in a few steps that change single values.
    fn derived(&self, tensor: &'g str, origin: &'g str) -> bool {
        let mut tensor = tensor;
        for _ in 0..GATE {
            if tensor == origin {
                return true;
            }
            let Some(node) = self.made_by(tensor) else { return false };
            let mut inputs = node.inputs.iter().filter(|input| !self.is_constant(input));
            let alone = COMBINING.contains(&node.op.as_str()) || CHANGING.contains(&node.op.as_str());
            match (alone, inputs.next(), inputs.next()) {
                (true, Some(only), None) => tensor = only,
                _ => return false,
            }
        }
        false
    }

    /// The layer that `node` is.
    pub fn layer(&self, node: &'g Node) -> Option<Layer<'g>> {
        let input = node.inputs.first()?;
        let quantised = node.op.starts_with("QLinear") || node.op == "QGemm";
        let weight = node.inputs.get(if quantised { 3 } else { 1 })?;
        let shape = self.weight(weight)?;
        let (reads, makes, convolves) = match node.op.as_str() {
            "Gemm" | "QGemm" if node.transposed => (shape.get(1), shape.first(), false),
            "Gemm" | "QGemm" | "MatMul" | "QLinearMatMul" | "MatMulInteger" => {
                (shape.len().checked_sub(2).and_then(|at| shape.get(at)), shape.last(), false)
            }
            "Conv" | "QLinearConv" | "ConvInteger" if shape.len() > 2 && shape[2..].iter().all(|side| *side == 1) => {
                (shape.get(1), shape.first(), true)
            }
            _ => return None,
        };
        Some(Layer { input, convolves, reads: reads.copied(), makes: makes.copied() })
    }

    /// The shape of the weight called `name`, quantised or transposed as it may be; `None` for what is computed.
    fn weight(&self, name: &'g str) -> Option<Vec<i64>> {
        let (mut name, mut turned) = (name, false);
        for _ in 0..GATE {
            if let Some(shape) = self.graph.weights.get(name) {
                return Some(if turned { shape.iter().rev().copied().collect() } else { shape.clone() });
            }
            turned ^= self.made_by(name)?.op == "Transpose";
            name = self.same(name)?;
        }
        None
    }

    fn is_constant(&self, name: &'g str) -> bool {
        let mut name = name;
        for _ in 0..GATE {
            let made = self.made_by(name);
            if name.is_empty()
                || self.graph.weights.contains_key(name)
                || made.is_some_and(|node| node.op == "Constant")
            {
                return true;
            }
            let Some(source) = self.same(name) else { return false };
            name = source;
        }
        false
    }

    /// `source`, if it comes before `tensor`: a file may name a tensor as its own source.
    fn earlier(&self, source: &'g str, tensor: &str) -> Option<&'g str> {
        (self.place(source) < self.place(tensor)).then_some(source)
    }

    /// The nodes that pool over the picture, the last one first.
    pub fn poolings(&self) -> impl Iterator<Item = &'g Node> {
        self.graph.nodes.iter().rev().filter(|node| self.pools(node))
    }

    /// Whether `node` takes one value a channel from the whole picture.
    ///
    /// A mean over the last axis is part of a normalisation, one over axis 1 that stays is one over channels.
    fn pools(&self, node: &Node) -> bool {
        match node.op.as_str() {
            "GlobalAveragePool" | "GlobalMaxPool" => true,
            "AveragePool" => !node.kernel.is_empty() && node.kernel.iter().all(|side| *side >= LEAST_WHOLE),
            "ReduceMean" | "ReduceMax" => {
                let given = node.inputs.get(1).and_then(|name| self.graph.integers.get(name));
                let mut axes = given.unwrap_or(&node.axes).clone();
                axes.sort_unstable();
                let over_map = [[2, 3], [-2, -1], [1, 2], [-3, -2]].iter().any(|map| axes == map);
                over_map || (node.drops_axes && (axes == [1] || axes == [-2]))
            }
            _ => false,
        }
    }
}
