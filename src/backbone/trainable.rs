//! Which last layers of a backbone can be trained, and reading them from its file.
//!
//! What is read are convolutions and what stands between and behind them in networks of the usual kinds; everything else is
//! refused in words, and the backbone stays frozen.

mod hard_swish;
mod reading;

use std::collections::HashSet;

use super::manifest::Embedding;
use super::onnx::flow::{Flow, GATE};
use super::onnx::graph::{BadModel, Graph, Node};
use super::onnx::waist::{Broken, Waist};
use crate::train::{BadLayer, TailLayers, TailNetwork, Untrainable};

/// Why the last layers stay as they are; the head can be trained all the same.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum NotTrainable {
    /// A step that cannot be trained.
    #[error("the tail is not trainable: {op} {node:?} {why}; train the head alone")]
    Operator {
        /// Its operator.
        op: String,
        /// What it makes.
        node: String,
        /// What is not known of it.
        why: String,
    },
    /// A step in whole numbers.
    #[error(
        "the tail is not trainable: {op} {node:?} belongs to a quantised network; use the same model in float32, or train \
         the head alone"
    )]
    Quantised {
        /// Its operator.
        op: String,
        /// What it makes.
        node: String,
    },
    /// Nothing that is asked for.
    #[error("the tail is not trainable: before {tensor:?} there is no {missing}; train the head alone")]
    Missing {
        /// The embedding.
        tensor: String,
        /// What there would have to be.
        missing: &'static str,
    },
    /// The cut lets something pass beside it.
    #[error("the tail is not trainable: {tensor:?} depends on more than {input:?}; cut the network elsewhere")]
    Beside {
        /// The cut.
        input: String,
        /// The embedding.
        tensor: String,
    },
    /// What it makes is not the embedding.
    #[error("the tail is not trainable: it makes {found} values, the embedding has {expected}; correct the manifest")]
    Width {
        /// The embedding's.
        expected: usize,
        /// The tail's.
        found: usize,
    },
    /// The cut itself.
    #[error("the tail is not trainable: from a cut {why}; cut the network elsewhere")]
    Cut {
        /// What is wrong with it.
        why: BadLayer,
    },
    /// Too much memory, or nothing to train.
    #[error("the tail is not trainable: {0}; train the head alone")]
    Network(#[from] Untrainable),
    /// The file.
    #[error(transparent)]
    Model(#[from] BadModel),
}

impl NotTrainable {
    fn operator(node: &Node, why: impl Into<String>) -> Self {
        let made = node.outputs.first().cloned().unwrap_or_default();
        Self::Operator { op: node.op.clone(), node: made, why: why.into() }
    }
}

/// Steps of a quantised network.
fn is_quantised(node: &Node) -> bool {
    let op = node.op.as_str();
    op.starts_with("QLinear")
        || ["QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "ConvInteger", "MatMulInteger", "QGemm"]
            .contains(&op)
}

/// The tensor of `graph` that a tail of `layers` starts from, `embedding` being the embedding tensor.
///
/// It is one that everything passes through. Of [`TailLayers::LastConv`] it is the nearest before the last convolution. Of
/// [`TailLayers::LastBlock`] there is a convolution over more than one place between it and the last convolution, and
/// of the tensors with no second one behind them it is that of the fewest values a picture, the later of equals; where the
/// last convolution is itself one over more than one place, it is the nearest residual sum before it.
///
/// # Errors
/// [`NotTrainable`] where there is none, or steps of a quantised network are in between.
pub fn tail_input(graph: &Graph, embedding: &str, layers: TailLayers) -> Result<String, NotTrainable> {
    let Some(end) = graph.nodes.iter().flat_map(|node| &node.outputs).find(|name| *name == embedding) else {
        return Err(graph.unknown(embedding).into());
    };
    let flow = Flow::new(graph);
    let broken = |Broken { node }| NotTrainable::operator(&graph.nodes[node], "reads what comes after it, or branches");
    let waists = flow.waists(graph, end).map_err(broken)?;
    let candidates = candidates(graph, &flow, &waists)?;
    let missing = |missing| NotTrainable::Missing { tensor: embedding.to_owned(), missing };
    let first = candidates.first().ok_or_else(|| missing("convolution to cut before"))?;
    if layers == TailLayers::LastConv {
        return Ok(first.tensor.to_owned());
    }
    if first.is_last_spatial {
        let join = candidates.iter().take_while(|candidate| candidate.spatial <= BLOCK);
        if let Some(join) = join.into_iter().find(|candidate| is_sum(&flow, candidate.tensor)) {
            return Ok(join.tensor.to_owned());
        }
    }
    let least = candidates.iter().map(|candidate| candidate.spatial).find(|spatial| *spatial > 0);
    let of_block = candidates.iter().filter(|candidate| Some(candidate.spatial) == least);
    let smallest = of_block.min_by_key(|candidate| candidate.values);
    smallest.map(|candidate| candidate.tensor.to_owned()).ok_or_else(|| missing("block of convolutions to cut before"))
}

/// Convolutions over more than one place, beside the last, that a residual block has at most.
const BLOCK: usize = 2;

/// A waist before the last convolution.
struct Candidate<'g> {
    tensor: &'g str,
    /// Convolutions over more than one place between it and the last convolution.
    spatial: usize,
    is_last_spatial: bool,
    /// Values a picture, in units that all candidates share.
    values: usize,
}

/// The waists before the last convolution that a node makes, the last first.
fn candidates<'g>(graph: &'g Graph, flow: &Flow<'g>, waists: &[Waist<'g>]) -> Result<Vec<Candidate<'g>>, NotTrainable> {
    let (mut found, mut is_last_spatial, mut spatial) = (Vec::new(), None, 0);
    let mut area = 1_usize;
    for (behind, waist) in waists.iter().zip(&waists[1..]) {
        for node in waist.nodes.iter().map(|&place| &graph.nodes[place]) {
            if is_quantised(node) {
                let made = node.outputs.first().cloned().unwrap_or_default();
                return Err(NotTrainable::Quantised { op: node.op.clone(), node: made });
            }
            if node.op == "Conv" {
                let kernel = shape_of(graph, flow, node).and_then(|shape| shape.get(2..));
                let over = kernel.is_some_and(|kernel| kernel.iter().any(|side| *side > 1));
                match is_last_spatial {
                    None => is_last_spatial = Some(over),
                    Some(_) => spatial += usize::from(over),
                }
            }
        }
        area = area.saturating_mul(strides(graph, flow, behind.tensor, waist.tensor));
        if let (Some(is_last_spatial), Some(_)) = (is_last_spatial, flow.place(waist.tensor)) {
            let channels = channels(graph, flow, waist.tensor).unwrap_or(usize::MAX);
            let values = channels.saturating_mul(area);
            found.push(Candidate { tensor: waist.tensor, spatial, is_last_spatial, values });
        }
    }
    Ok(found)
}

/// The shape of a convolution's weight, a converted one's too.
fn shape_of<'g>(graph: &'g Graph, flow: &Flow<'g>, node: &'g Node) -> Option<&'g [i64]> {
    let mut name = node.inputs.get(1)?;
    for _ in 0..GATE {
        if let Some(shape) = graph.weights.get(name) {
            return Some(shape);
        }
        name = flow.made_by(name).filter(|node| ["Cast", "Identity"].contains(&node.op.as_str()))?.inputs.first()?;
    }
    None
}

/// By what the area of a map is divided on the way from `start` to `end`, both of which everything passes through.
fn strides<'g>(graph: &'g Graph, flow: &Flow<'g>, end: &'g str, start: &str) -> usize {
    let (mut tensor, mut product) = (end, 1_usize);
    while tensor != start {
        let Some(place) = flow.place(tensor) else { break };
        let node = &graph.nodes[place];
        let sides = node.strides.iter().filter_map(|side| usize::try_from(*side).ok());
        product = sides.fold(product, usize::saturating_mul);
        let source = node.inputs.iter().find(|name| !flow.is_constant(name));
        let Some(source) = source.filter(|source| flow.place(source) < Some(place)) else { break };
        tensor = source;
    }
    product
}

/// Channels of a map, as the last convolution before it has them.
fn channels(graph: &Graph, flow: &Flow<'_>, tensor: &str) -> Option<usize> {
    let mut place = flow.place(tensor)?;
    loop {
        let node = &graph.nodes[place];
        if node.op == "Conv" {
            return usize::try_from(*shape_of(graph, flow, node)?.first()?).ok();
        }
        let keeping = ["Concat", "Split", "Slice", "Gather", "Reshape", "Transpose", "MatMul", "Gemm"];
        let source = node.inputs.iter().find(|name| !flow.is_constant(name))?;
        place = flow.place(source).filter(|source| *source < place && !keeping.contains(&node.op.as_str()))?;
    }
}

/// Whether `tensor` is the sum of two that depend on the picture, but for an activation.
fn is_sum(flow: &Flow<'_>, tensor: &str) -> bool {
    let both =
        |node: &Node| node.inputs.iter().filter(|name| !flow.is_constant(name)).collect::<HashSet<_>>().len() == 2;
    let Some(node) = flow.made_by(tensor) else { return false };
    let before = || node.inputs.first().and_then(|source| flow.made_by(source));
    let sum = if ["Relu", "Clip", "HardSwish"].contains(&node.op.as_str()) { before() } else { Some(node) };
    sum.is_some_and(|node| node.op == "Add" && both(node))
}

/// The layers of the model in `bytes` from the tensor `input` to the embedding row, their weights those of the file.
///
/// `shape` is [channels, height, width] of `input` for one picture, as the runtime gives it. Of
/// [`TailLayers::LastConv`] weight and bias of the last convolution are trained, else all weights, biases and scales; those
/// that a step outside the tail reads too stay as they are.
///
/// # Errors
/// [`NotTrainable`]
pub fn tail_network(
    bytes: &[u8],
    graph: &Graph,
    input: &str,
    embedding: &Embedding,
    shape: [usize; 3],
    layers: TailLayers,
) -> Result<TailNetwork, NotTrainable> {
    reading::read(bytes, graph, input, embedding, shape, layers)
}

#[cfg(test)]
#[path = "trainable_tests.rs"]
mod tests;
