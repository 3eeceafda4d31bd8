//! How many channels the maps inside a network have, by the weights of the convolutions that make them.

use std::collections::HashMap;

use super::flow::Flow;
use super::graph::{Graph, Node};
use super::operators::{CHANGING, COMBINING, STANDARDISING};

/// Steps that give a map as many channels as the first tensor has that they read.
const CARRYING: [&str; 15] = [
    "Transpose",
    "Dropout",
    "Identity",
    "Cast",
    "CastLike",
    "QuantizeLinear",
    "DequantizeLinear",
    "DynamicQuantizeLinear",
    "MaxPool",
    "AveragePool",
    "QLinearAveragePool",
    "LpPool",
    "Pad",
    "Resize",
    "Upsample",
];

/// Channels of every map of `graph` of which they are known, by the name of its tensor.
///
/// One pass in the order of the file: what a convolution makes, carried through steps that keep it. Steps that could
/// change the axes (Reshape) end it.
pub fn channels(graph: &Graph) -> HashMap<&str, i64> {
    let flow = Flow::new(graph);
    let mut known = HashMap::new();
    for node in &graph.nodes {
        if let (Some(made), Some(output)) = (made(&flow, node, &known), node.outputs.first())
            && made > 0
        {
            known.insert(output.as_str(), made);
        }
    }
    known
}

/// Channels of the first output of `node`, those of earlier tensors being `known`.
fn made(flow: &Flow<'_>, node: &Node, known: &HashMap<&str, i64>) -> Option<i64> {
    let of = |name: &String| known.get(name.as_str()).copied();
    let op = node.op.as_str();
    match op {
        "Conv" | "FusedConv" | "NhwcFusedConv" | "QLinearConv" | "ConvInteger" | "ConvTranspose" => {
            let shape = flow.weight(node.inputs.get(if op.starts_with('Q') { 3 } else { 1 })?)?;
            let transposed = op == "ConvTranspose";
            let groups = node.int("group").filter(|_| transposed).unwrap_or(1);
            shape.get(usize::from(transposed)).filter(|_| shape.len() == 4)?.checked_mul(groups)
        }
        "Concat" if [Some(1), Some(-3)].contains(&node.int("axis")) => {
            node.inputs.iter().map(of).try_fold(0_i64, |sum, channels| sum.checked_add(channels?))
        }
        // A factor of each place has one channel, what it multiplies has more.
        "Sum" | "Mean" => node.inputs.iter().filter_map(of).max(),
        _ if COMBINING.contains(&op) => node.inputs.iter().filter_map(of).max(),
        _ if CARRYING.contains(&op) || CHANGING.contains(&op) || STANDARDISING.contains(&op) => {
            node.inputs.first().and_then(of)
        }
        _ => None,
    }
}

#[cfg(test)]
#[path = "channels_tests.rs"]
mod tests;
