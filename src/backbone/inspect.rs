//! Candidates for the embedding in a model file, for the author of its manifest.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::manifest::Pool;
use super::onnx::flow::{Flow, Walk};
use super::onnx::functions::inlined;
use super::onnx::graph::{Axis, BadModel, Graph, Node, Tensor};
use super::onnx::layer::Layer;
use super::onnx::reader::versions;
use super::pooling::has_class_token;
use crate::words::Digest;

/// What a model file offers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Inspection {
    /// The file.
    pub file: PathBuf,
    /// Its bytes.
    pub bytes: usize,
    /// For the manifest.
    pub sha256: Digest,
    /// Steps of its computation.
    pub nodes: usize,
    /// Whether weights are in separate files; such a model cannot be used.
    pub external_weights: bool,
    /// What it eats.
    pub inputs: Vec<Tensor>,
    /// Its outputs.
    pub outputs: Vec<Tensor>,
    /// Tensors that look like an embedding, likeliest first, at most ten.
    pub candidates: Vec<Candidate>,
    /// Version of the standard operators, where the file states it.
    pub opset: Option<i64>,
    /// Height and width of the squares that a transformer cuts a picture into, where its first step shows them.
    #[serde(skip)]
    pub patch: Option<(u32, u32)>,
}

/// A tensor that looks like an embedding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Candidate {
    /// For `embedding.tensor`.
    pub tensor: String,
    /// The step that makes it.
    pub op: String,
    /// For `embedding.dim`; `None` where the file does not state it.
    pub dim: Option<i64>,
    /// For `embedding.pool`: `avg` for a map, `cls` for a list of tokens, else `none`.
    pub pool: Pool,
    /// Why it is listed.
    pub why: &'static str,
    /// What makes it doubtful, and what to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub doubt: Option<String>,
    /// Of a declared output: the pooled tensor that it depends on, which is no narrower unless a classifier is between.
    #[serde(skip)]
    pub pooled: Option<String>,
}

/// Why a model cannot be inspected.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// The file cannot be read.
    #[error("cannot read the model {}; give the path of an ONNX file", .file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// The system's own words.
        #[source]
        source: std::io::Error,
    },
    /// It is not a model.
    #[error("cannot inspect {}", .file.display())]
    Model {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        #[source]
        source: BadModel,
    },
}

/// What the model at `file` offers; needs no ONNX Runtime.
///
/// # Errors
/// [`InspectError`] when it cannot be read or is not an ONNX model.
pub fn inspect(file: &Path) -> Result<Inspection, InspectError> {
    let file = file.to_owned();
    let bytes = match std::fs::read(&file) {
        Ok(bytes) => bytes,
        Err(source) => return Err(InspectError::Unreadable { file, source }),
    };
    match Inspection::of(&file, &bytes) {
        Ok(inspection) => Ok(inspection),
        Err(source) => Err(InspectError::Model { file, source }),
    }
}

impl Inspection {
    /// What the model in `bytes`, the content of `file`, offers; touches no file.
    ///
    /// # Errors
    /// [`BadModel`] when it is not an ONNX model.
    pub fn of(file: &Path, bytes: &[u8]) -> Result<Self, BadModel> {
        let whole = inlined(bytes)?;
        let graph = Graph::read(&whole)?;
        Ok(Self {
            file: file.to_owned(),
            bytes: bytes.len(),
            sha256: Digest::of(bytes),
            nodes: graph.nodes.len(),
            external_weights: graph.external_weights,
            candidates: candidates(&graph),
            opset: versions(bytes).opset,
            patch: patch(&graph),
            inputs: graph.inputs,
            outputs: graph.outputs,
        })
    }
}

/// Widths of the class lists that published networks have: 1000 of `ImageNet`, with and without background, and 21k.
pub(super) const CLASS_WIDTHS: [i64; 4] = [1000, 1001, 21_841, 21_843];
/// What an output made by a dense layer may be called when it is meant as an embedding all the same.
const EMBEDDING_NAMES: [&str; 4] = ["embed", "feature", "pool", "hidden"];
/// How many are listed.
const MOST: usize = 10;
/// More outputs than any network for pictures has; others of a hostile file are ignored.
const MOST_OUTPUTS: usize = 64;

/// What an output is called that is none, whatever else its name says.
const SCORE_NAMES: [&str; 5] = ["logit", "score", "prob", "class", "pred"];

/// In this order: outputs that are no class scores and have one value list an image; what the classifier reads, its
/// pooled form first, and what steps read that are not known; outputs that are token lists or maps; what other poolings
/// make and read; outputs that may be class scores, and those that are.
fn candidates(graph: &Graph) -> Vec<Candidate> {
    let flow = Flow::new(graph);
    let mut list = List { graph, flow: &flow, found: Vec::new(), doubt: None, pooled: None };
    let outputs = graph.outputs.iter().take(MOST_OUTPUTS);
    let mut walks: Vec<_> = outputs.map(|output| (output, flow.walk(&output.name))).collect();
    walks.sort_by_key(|(output, _)| flow.place(&output.name));
    let (scores, others): (Vec<_>, Vec<_>) = walks.into_iter().partition(|(output, walk)| scores(&flow, output, walk));
    let vectors = |(output, _): &&(&Tensor, Walk<'_>)| axes_of(output).is_none_or(is_vector);
    let doubts = |output: &Tensor, walk: &Walk<'_>| doubt(&flow, output, walk);
    for (output, walk) in others.iter().filter(vectors).filter(|(_, walk)| walk.unknown.is_none()) {
        list.doubt = doubts(output, walk);
        list.declared(output, walk, "a declared output that is not a class score");
    }
    let declared = list.found.len();
    for (_, walk) in &scores {
        list.classifier(walk);
    }
    for (output, walk) in others.iter().filter(vectors) {
        if let Some(node) = walk.unknown {
            list.doubt = doubts(output, walk);
            list.before(node, walk);
        }
    }
    let classifier_tells = list.found.len() > declared;
    list.doubt = None;
    let (size, patch) = (size(graph), patch(graph));
    for (output, _) in &others {
        let dim = dim_of(graph, &output.name);
        match axes_of(output) {
            Some(axes @ [_, _, _]) if first_token(axes, size, patch) => {
                list.add(&output.name, dim, Pool::Cls, "a declared list of tokens, class token first");
            }
            Some([_, _, _, _]) => list.add(&output.name, dim, Pool::Avg, "a declared map"),
            _ => {}
        }
    }
    let unseen = others.iter().filter(vectors).filter(|(_, walk)| walk.unknown.is_some());
    list.doubt = unseen.clone().find_map(|(output, walk)| doubts(output, walk));
    // Where a classifier shows what is pooled, poolings elsewhere are gates inside the network.
    for node in flow.poolings().take(if classifier_tells { 0 } else { 3 }) {
        for output in &node.outputs {
            list.add(output, dim_of(graph, output), Pool::None, "made by pooling over the picture");
        }
        if let Some(input) = node.inputs.first() {
            list.add(input, dim_of(graph, input), Pool::Avg, "the map that pooling reads");
        }
    }
    for (output, walk) in unseen {
        list.doubt = doubts(output, walk);
        list.declared(output, walk, "a declared output that may be class scores");
    }
    for (output, _) in &scores {
        list.doubt = Some(format!(
            "{:?} is probably a list of class scores: a tensor before the classifier carries more information; choose \
             one with --tensor",
            output.name
        ));
        list.add(&output.name, dim_of(graph, &output.name), Pool::None, "a declared output, probably class scores");
    }
    list.found
}

/// Whether the name of `output`, or how its values are scaled, says that it is meant as an embedding.
fn meant(output: &Tensor, walk: &Walk<'_>) -> bool {
    let name = output.name.to_lowercase();
    let named = |words: &[&str]| words.iter().any(|word| name.contains(word));
    walk.unit || (named(&EMBEDDING_NAMES) && !named(&SCORE_NAMES))
}

/// Whether `output`, at the end of `walk`, is what a classifier answers.
fn scores(flow: &Flow<'_>, output: &Tensor, walk: &Walk<'_>) -> bool {
    if walk.normalised || walk.chosen {
        return true;
    }
    let classes = |layer: &Layer<'_>| layer.makes.is_some_and(|width| CLASS_WIDTHS.contains(&width));
    match walk.layers.first() {
        Some(last) => !meant(output, walk) || classes(last),
        None => convolved(flow, walk).is_some_and(|layer| classes(&layer)),
    }
}

/// What makes it doubtful that `output`, which is not known to be class scores, is an embedding.
fn doubt(flow: &Flow<'_>, output: &Tensor, walk: &Walk<'_>) -> Option<String> {
    let name = &output.name;
    if let Some(Node { op, .. }) = walk.unknown {
        return Some(format!(
            "the output {name:?} goes through a step that is not known here ({op}): it may be class scores, which make \
             a poor embedding; look at the model, and choose the pooled tensor with --tensor"
        ));
    }
    let layer = convolved(flow, walk).filter(|_| !meant(output, walk))?;
    let (reads, makes) = layer.reads.zip(layer.makes)?;
    (makes < reads).then(|| {
        format!(
            "the output {name:?} is the mean of a convolution that makes {makes} of {reads} values, as classifiers do: \
             if these are class scores, choose the map before it with --tensor {} --pool avg",
            layer.input
        )
    })
}

/// Height and width of the only input, where the file fixes them.
fn size(graph: &Graph) -> Option<(u32, u32)> {
    let [input] = &graph.inputs[..] else { return None };
    let three = |axis: &Axis| *axis == Axis::Fixed(3);
    let (h, w) = match axes_of(input)? {
        [_, c, h, w] if three(c) => (h, w),
        [_, h, w, c] if three(c) => (h, w),
        _ => return None,
    };
    let side = |axis: &Axis| if let Axis::Fixed(length) = axis { u32::try_from(*length).ok() } else { None };
    Some((side(h)?, side(w)?))
}

/// The squares of the first convolution, where it reads each value once.
fn patch(graph: &Graph) -> Option<(u32, u32)> {
    let convolutions = ["Conv", "FusedConv", "NhwcFusedConv", "QLinearConv", "ConvInteger"];
    let first = graph.nodes.iter().find(|node| convolutions.contains(&node.op.as_str()))?;
    match (&first.kernel[..], &first.strides[..]) {
        (&[h, w], &[down, right]) if (h, w) == (down, right) && h > 1 && w > 1 => {
            Some((u32::try_from(h).ok()?, u32::try_from(w).ok()?))
        }
        _ => None,
    }
}

/// The convolution before the pooling at the end of `walk`, where one is: the classifier of networks like `SqueezeNet`.
fn convolved<'g>(flow: &Flow<'g>, walk: &Walk<'g>) -> Option<Layer<'g>> {
    let mut tensor = flow.made_by(walk.pooled?)?.inputs.first()?.as_str();
    loop {
        if let Some(layer) = flow.layer(flow.made_by(tensor)?) {
            return layer.convolves.then_some(layer);
        }
        tensor = flow.carried(tensor)?;
    }
}

struct List<'a, 'g> {
    graph: &'g Graph,
    flow: &'a Flow<'g>,
    found: Vec<Candidate>,
    /// Of what is added next.
    doubt: Option<String>,
    /// Of what is added next.
    pooled: Option<String>,
}

impl<'g> List<'_, 'g> {
    /// Lists `tensor` unless it is listed, is computed by no step, or is quantised from one that is not.
    fn add(&mut self, tensor: &str, dim: Option<i64>, pool: Pool, why: &'static str) {
        let Some(node) = self.flow.made_by(tensor) else { return };
        let known = self.found.iter().any(|candidate| candidate.tensor == tensor);
        let quantised = ["QuantizeLinear", "DynamicQuantizeLinear"].contains(&node.op.as_str());
        if !known && self.found.len() < MOST && !quantised {
            let (tensor, op) = (tensor.to_owned(), node.op.clone());
            let (doubt, pooled) = (self.doubt.clone(), self.pooled.clone());
            self.found.push(Candidate { tensor, op, dim, pool, why, doubt, pooled });
        }
    }

    /// Lists a declared output of one value list an image.
    fn declared(&mut self, output: &Tensor, walk: &Walk<'g>, why: &'static str) {
        self.pooled = self.flow.last_pooled(&output.name).filter(|_| !meant(output, walk)).map(str::to_owned);
        self.add(&output.name, dim_of(self.graph, &output.name), Pool::None, why);
        self.pooled = None;
    }

    /// Lists what is pooled before `node`, of which nothing is known, or else what it reads.
    fn before(&mut self, node: &'g Node, walk: &Walk<'g>) {
        match walk.pooled {
            Some(pooled) => self.add_same(pooled, None, "pooled, before a step that is not known"),
            None => {
                for input in &node.inputs {
                    self.add(input, dim_of(self.graph, input), Pool::None, "what a step that is not known reads");
                }
            }
        }
    }

    /// Lists `tensor` and what it has the same values as, back to a step that computes.
    fn add_same(&mut self, tensor: &'g str, dim: Option<i64>, why: &'static str) {
        let mut next = Some(tensor);
        while let Some(tensor) = next {
            let known = dim.or_else(|| dim_of(self.graph, tensor));
            self.add(tensor, known, Pool::None, why);
            next = self.flow.same(tensor);
        }
    }

    /// Lists what the classifier at the end of `walk` reads.
    fn classifier(&mut self, walk: &Walk<'g>) {
        if let Some(layer) = convolved(self.flow, walk).filter(|_| walk.layers.is_empty()) {
            let dim = layer.reads.or_else(|| dim_of(self.graph, layer.input));
            self.add(layer.input, dim, Pool::Avg, "the map that the classifier, a convolution, reads");
        }
        if let (Some(pooled), Some(first)) = (walk.pooled, walk.layers.last()) {
            let why = if walk.layers.len() == 1 {
                "pooled, what the classifier reads"
            } else {
                "pooled, what the first layer of the classifier reads"
            };
            self.add_same(first.input, first.reads, why);
            if let Some(map) = self.flow.made_by(pooled).and_then(|node| node.inputs.first()) {
                self.add(
                    map,
                    first.reads.or_else(|| dim_of(self.graph, map)),
                    Pool::Avg,
                    "the map that is pooled for the classifier",
                );
            }
        }
        for layer in walk.layers.iter().take(3) {
            self.add_same(layer.input, layer.reads, "what the last dense layers read");
        }
    }
}

fn axes_of(tensor: &Tensor) -> Option<&[Axis]> {
    tensor.shape.as_deref()
}

/// (n, d), or a map of one place.
fn is_vector(axes: &[Axis]) -> bool {
    let one = |axis: &Axis| *axis == Axis::Fixed(1);
    match axes {
        [_, _] => true,
        [_, a, b, c] => (one(b) && one(c)) || (one(a) && one(b)),
        _ => false,
    }
}

/// Whether (n, tokens, d) begins with a class token; what the file leaves open is decided when it was measured.
fn first_token(axes: &[Axis], size: Option<(u32, u32)>, patch: Option<(u32, u32)>) -> bool {
    match (axes, size) {
        ([_, Axis::Fixed(tokens), _], Some(size)) => has_class_token(*tokens, size, patch),
        _ => true,
    }
}

/// Values an image, where the file states them: d of (n, d) and (n, tokens, d), channels of a map.
fn dim_of(graph: &Graph, tensor: &str) -> Option<i64> {
    let axes = axes_of(graph.tensor(tensor)?)?;
    let channels = match axes {
        [_, dim] | [_, _, dim] => dim,
        // The sides of a map are mostly alike, its channels are others.
        [_, first, side, last] if first == side && side != last => last,
        [_, first, _, _] => first,
        _ => return None,
    };
    match channels {
        Axis::Fixed(length) => Some(*length),
        Axis::Free(_) => None,
    }
}

#[cfg(test)]
#[path = "inspect_tests.rs"]
mod tests;
