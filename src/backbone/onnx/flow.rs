//! Walks through a network against the stream: from an output back to the layers, and the pooling, that made it.
//!
//! Every step goes to an earlier node of the file, so that a walk ends for every file, even a hostile one.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::graph::{Graph, Node};
use super::layer::Layer;
use super::operators::{CHANGING, CHOOSING, COMBINING, KEEPING, NORMALISING, REDUCING, SHAPES, known};

/// A network, seen from its tensors.
pub struct Flow<'g> {
    graph: &'g Graph,
    maker: HashMap<&'g str, usize>,
    /// Tensors that are the same for every picture, or say of a tensor only its shape or its range.
    constant: HashSet<&'g str>,
    /// Tensors that depend on the picture through pooled values alone.
    behind: HashSet<&'g str>,
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
    /// Whether classes were chosen before any layer: the largest score, its place …
    pub chosen: bool,
    /// Whether the values were scaled to a length of 1 before any layer, as embeddings are and scores are not.
    pub unit: bool,
    /// The last step whose operator is not known: what is before it could be anything.
    pub unknown: Option<&'g Node>,
}

/// An activation that is written out (x times something of x) has no more steps than this.
pub const GATE: usize = 8;
/// Networks pool over maps of at least 4 x 4 at their end; smaller windows occur in their middle.
const LEAST_WHOLE: i64 = 4;

impl<'g> Flow<'g> {
    pub fn new(graph: &'g Graph) -> Self {
        let nodes = graph.nodes.iter().enumerate();
        let maker = nodes.flat_map(|(index, node)| node.outputs.iter().map(move |output| (output.as_str(), index)));
        let mut flow = Self { graph, maker: maker.collect(), constant: HashSet::new(), behind: HashSet::new() };
        for node in &graph.nodes {
            let op = node.op.as_str();
            let mut inputs = node.inputs.iter().filter(|name| !name.is_empty()).peekable();
            let given = inputs.peek().is_some();
            let fixed = inputs.all(|name| flow.is_constant(name)) && (given || op == "Constant") && !node.has_subgraph;
            if fixed || SHAPES.contains(&op) {
                flow.constant.extend(node.outputs.iter().map(String::as_str));
                continue;
            }
            if op == "DynamicQuantizeLinear" {
                // Scale and zero point.
                flow.constant.extend(node.outputs.iter().skip(1).map(String::as_str));
            }
            let mut data = node.inputs.iter().filter(|name| !flow.is_constant(name)).peekable();
            let some = data.peek().is_some() && !node.has_subgraph;
            if flow.pools(node) || (some && data.all(|name| flow.behind.contains(name.as_str()))) {
                flow.behind.extend(node.outputs.iter().map(String::as_str));
            }
        }
        flow
    }

    /// The position in the file of the node that computes `tensor`.
    pub fn place(&self, tensor: &str) -> Option<usize> {
        self.maker.get(tensor).copied()
    }

    /// The node that makes `tensor`.
    pub fn made_by(&self, tensor: &str) -> Option<&'g Node> {
        self.place(tensor).map(|index| &self.graph.nodes[index])
    }

    /// The shape of the weight `name` as the file has it.
    pub fn shape_of_weight(&self, name: &str) -> Option<&'g Vec<i64>> {
        self.graph.weights.get(name)
    }

    /// What `tensor` has the same values as, one step back.
    pub fn same(&self, tensor: &str) -> Option<&'g str> {
        let node = self.made_by(tensor).filter(|node| KEEPING.contains(&node.op.as_str()))?;
        self.earlier(node.inputs.first()?, tensor)
    }

    /// From `output` back through steps that keep or change single values and through layers, to the pooling over the
    /// picture or to the first step that is something else; from there to the poolings all the same where nothing else
    /// of the picture comes in.
    pub fn walk(&self, output: &'g str) -> Walk<'g> {
        let mut walk = Walk::default();
        let mut tensor = output;
        while let Some(node) = self.made_by(tensor) {
            if self.pools(node) {
                walk.pooled = Some(tensor);
                break;
            }
            let layer = self.layer(node);
            if walk.layers.is_empty() && layer.is_none() {
                self.note(&mut walk, node);
            }
            let Some(earlier) = (match layer {
                Some(layer) => self.earlier(layer.input, tensor),
                None => self.carried(tensor).or_else(|| {
                    let place = self.place(tensor)?;
                    walk.unknown = walk.unknown.or(self.unknown(place));
                    self.earlier(self.unknown(place).and_then(|node| self.only(node))?, tensor)
                }),
            }) else {
                self.join(&mut walk, tensor);
                break;
            };
            walk.layers.extend(layer);
            tensor = earlier;
        }
        if walk.pooled.is_none() && !self.behind.contains(tensor) {
            // Convolutions at the end of a map are the network's body; behind a pooling they are dense layers.
            while walk.layers.last().is_some_and(|layer| layer.convolves) {
                walk.layers.pop();
            }
        }
        walk
    }

    /// Notes what a step at the end of a network says of its output.
    fn note(&self, walk: &mut Walk<'g>, node: &'g Node) {
        let op = node.op.as_str();
        walk.normalised |= NORMALISING.contains(&op);
        walk.chosen |= self.chooses(node);
        walk.unit |= op == "LpNormalization";
        if let ("Div" | "Mul" | "Sub", [a, b]) = (op, &node.inputs[..]) {
            // x / |x|, exp(x) / sum(exp(x)), x - log(sum(exp(x))).
            let of = |tensor: &'g str| self.statistic(tensor);
            let statistics = [of(a), of(b)];
            walk.unit |= statistics.iter().flatten().any(|op| ["ReduceL2", "ReduceSumSquare"].contains(op));
            walk.normalised |= statistics.iter().flatten().any(|op| *op == "ReduceLogSumExp");
        }
    }

    /// The reduction that `tensor` is made by in a few steps that change single values.
    fn statistic(&self, mut tensor: &'g str) -> Option<&'g str> {
        for _ in 0..GATE {
            let node = self.made_by(tensor)?;
            if REDUCING.contains(&node.op.as_str()) {
                let squares =
                    || self.made_by(node.inputs.first()?).filter(|node| ["Mul", "Pow"].contains(&node.op.as_str()));
                let of_squares = node.op == "ReduceSum" && squares().is_some();
                return Some(if of_squares { "ReduceSumSquare" } else { node.op.as_str() });
            }
            tensor = self.only_source(node)?;
        }
        None
    }

    /// From `tensor`, where a single path ends: through everything between it and the poolings, where these are all that
    /// it depends on.
    fn join(&self, walk: &mut Walk<'g>, tensor: &'g str) {
        let Some(first) = self.place(tensor) else { return };
        if !self.behind.contains(tensor) {
            walk.unknown = walk.unknown.or_else(|| self.unknown(first));
            return;
        }
        let (mut open, mut poolings, mut seen) = (BTreeSet::from([first]), Vec::new(), HashSet::new());
        // The last ones first, so that layers come in their order.
        while let Some(place) = open.pop_last() {
            let node = &self.graph.nodes[place];
            if !seen.insert(place) {
                continue;
            }
            if self.pools(node) {
                poolings.push(node);
                continue;
            }
            walk.layers.extend(self.layer(node));
            walk.unknown = walk.unknown.or_else(|| self.unknown(place));
            let sources = node.inputs.iter().filter(|name| !self.is_constant(name)).filter_map(|name| self.place(name));
            open.extend(sources.filter(|source| *source < place));
        }
        if let [only] = &poolings[..] {
            walk.pooled = only.outputs.first().map(String::as_str);
        }
    }

    /// The node at `place`, where nothing is known of what it does.
    fn unknown(&self, place: usize) -> Option<&'g Node> {
        let node = &self.graph.nodes[place];
        // A sum over the rows of a map, say, may be anything; one that keeps its axes is part of a normalisation.
        let reduces = REDUCING.contains(&node.op.as_str()) && node.drops_axes() && !self.pools(node);
        (self.layer(node).is_none() && (reduces || !known(&node.op))).then_some(node)
    }

    /// What the step that makes `tensor` takes each value from, where it does so.
    pub fn carried(&self, tensor: &str) -> Option<&'g str> {
        let node = self.made_by(tensor)?;
        let op = node.op.as_str();
        if KEEPING.contains(&op) || CHANGING.contains(&op) || self.chooses(node) {
            return self.earlier(node.inputs.iter().find(|name| !self.is_constant(name))?, tensor);
        }
        let mut inputs = node.inputs.iter().filter(|input| !self.is_constant(input));
        match (COMBINING.contains(&op), inputs.next(), inputs.next(), inputs.next()) {
            (true, Some(only), None, None) => self.earlier(only, tensor),
            (true, Some(a), Some(b), None) if self.derived(a, b) => self.earlier(b, tensor),
            (true, Some(a), Some(b), None) if self.derived(b, a) => self.earlier(a, tensor),
            _ => None,
        }
    }

    /// Whether `tensor` is made of `origin` alone in a few steps that change single values, reductions among them.
    fn derived(&self, tensor: &'g str, origin: &'g str) -> bool {
        let mut tensor = tensor;
        for _ in 0..GATE {
            if tensor == origin {
                return true;
            }
            let Some(source) = self.made_by(tensor).and_then(|node| self.only_source(node)) else { return false };
            tensor = source;
        }
        false
    }

    /// What `node` reads, where it changes single values of one tensor, or reduces them to a factor of each row.
    fn only_source(&self, node: &'g Node) -> Option<&'g str> {
        let op = node.op.as_str();
        let scale = ["ReduceL2", "ReduceSumSquare", "ReduceSum", "ReduceLogSumExp", "ReduceMax"].contains(&op);
        let scale = scale && (!node.drops_axes() || op == "ReduceLogSumExp");
        let kept = KEEPING.contains(&op) || op == "Expand";
        let mut inputs: Vec<&'g String> = node.inputs.iter().filter(|input| !self.is_constant(input)).collect();
        // x * x has one source.
        inputs.dedup();
        match (inputs.first(), inputs.get(1)) {
            (Some(only), None) if scale || kept || COMBINING.contains(&op) || CHANGING.contains(&op) => Some(only),
            _ => None,
        }
    }

    /// Whether `name` is the same for every picture.
    pub fn is_constant(&self, name: &str) -> bool {
        name.is_empty() || self.graph.weights.contains_key(name) || self.constant.contains(name)
    }

    /// `source`, if it comes before `tensor`: a file may name a tensor as its own source.
    fn earlier(&self, source: &'g str, tensor: &str) -> Option<&'g str> {
        (self.place(source) < self.place(tensor)).then_some(source)
    }

    /// The nodes that pool over the picture, the last one first.
    pub fn poolings(&self) -> impl Iterator<Item = &'g Node> {
        self.graph.nodes.iter().rev().filter(|node| self.pools(node))
    }

    /// What the last pooling over the picture made that `output` depends on, through whatever steps.
    pub fn last_pooled(&self, output: &str) -> Option<&'g str> {
        let mut open = BTreeSet::from([self.place(output)?]);
        while let Some(place) = open.pop_last() {
            let node = &self.graph.nodes[place];
            if self.pools(node) {
                return node.outputs.first().map(String::as_str);
            }
            open.extend(node.inputs.iter().filter_map(|name| self.place(name)).filter(|source| *source < place));
        }
        None
    }

    /// Whether `node` chooses among classes: by itself, or as the largest of values that are no map.
    fn chooses(&self, node: &Node) -> bool {
        let largest = ["ReduceMax", "ReduceMin"].contains(&node.op.as_str());
        CHOOSING.contains(&node.op.as_str()) || (largest && !self.pools(node))
    }

    /// Whether `node` takes one value a channel from the whole picture.
    ///
    /// A mean over the last axis is part of a normalisation, one over axis 1 that stays is one over channels.
    pub fn pools(&self, node: &Node) -> bool {
        let Some(input) = node.inputs.first() else { return false };
        match node.op.as_str() {
            "GlobalAveragePool" | "GlobalMaxPool" | "GlobalLpPool" | "QLinearGlobalAveragePool" => true,
            "AveragePool" | "QLinearAveragePool" | "LpPool" => {
                !node.kernel.is_empty() && node.kernel.iter().all(|side| *side >= LEAST_WHOLE)
            }
            "ReduceMean" | "ReduceMax" | "ReduceSum" | "ReduceL2" | "QLinearReduceMean" => {
                let given = node.inputs.get(1).and_then(|name| self.graph.integers.get(name));
                let mut axes = given.unwrap_or(&node.axes).clone();
                axes.sort_unstable();
                let over_map = [[2, 3], [-2, -1], [1, 2], [-3, -2]].iter().any(|map| axes == map);
                // Of tokens, or of a map in one row; of what a dense layer made it is a choice among classes.
                let over_rows = node.drops_axes() && (axes == [1] || axes == [-2]);
                let vector = self.behind.contains(input.as_str()) || (node.op != "ReduceMean" && self.is_dense(input));
                over_map || (over_rows && !vector)
            }
            _ => false,
        }
    }

    /// Whether `tensor` is what a dense layer made, but for steps that change single values.
    fn is_dense(&self, tensor: &str) -> bool {
        let Some(mut tensor) = self.maker.get_key_value(tensor).map(|(name, _)| *name) else { return false };
        for _ in 0..GATE {
            let Some(node) = self.made_by(tensor) else { return false };
            if self.layer(node).is_some_and(|layer| !layer.convolves) {
                return true;
            }
            let Some(earlier) = self.carried_simply(node) else { return false };
            tensor = earlier;
        }
        false
    }

    fn carried_simply(&self, node: &'g Node) -> Option<&'g str> {
        let op = node.op.as_str();
        let simple = KEEPING.contains(&op) || CHANGING.contains(&op) || COMBINING.contains(&op);
        self.only(node).filter(|_| simple)
    }

    /// The only tensor that depends on the picture among those that `node` reads.
    fn only(&self, node: &'g Node) -> Option<&'g str> {
        let mut inputs = node.inputs.iter().filter(|input| !self.is_constant(input));
        inputs.next().filter(|_| inputs.next().is_none()).map(String::as_str)
    }
}
