//! Which nodes are layers that mix all values of what they read, as classifiers are made of.

use super::flow::Flow;
use super::graph::Node;
use super::operators::{BODY, CLASSIFIERS, known};

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

impl<'g> Flow<'g> {
    /// The layer that `node` is: whatever mixes what a picture makes with a weight of at least two axes.
    ///
    /// An operator that is not known counts as one when it reads such a weight: it may be a classifier in another form.
    pub fn layer(&self, node: &'g Node) -> Option<Layer<'g>> {
        let input = node.inputs.iter().find(|name| !self.is_constant(name))?;
        let layer = |reads: Option<&i64>, makes: Option<&i64>, convolves| {
            Some(Layer { input, convolves, reads: reads.copied(), makes: makes.copied() })
        };
        let op = node.op.as_str();
        match op {
            "MatMulNBits" | "MatMulBnb4" | "MatMulFpQ4" => layer(node.ints.get("K"), node.ints.get("N"), false),
            _ if CLASSIFIERS.contains(&op) => layer(None, None, false),
            "Einsum" => self.contraction(node, input),
            "Gemm"
            | "FusedGemm"
            | "QGemm"
            | "MatMul"
            | "FusedMatMul"
            | "QLinearMatMul"
            | "MatMulInteger"
            | "MatMulIntegerToFloat"
            | "DynamicQuantizeMatMul" => {
                let at = if op.starts_with('Q') { 3 } else { 1 };
                // The picture's values may stand on the right-hand side.
                let constant = |at: usize| node.inputs.get(at).filter(|name| self.is_constant(name));
                let shape = match (constant(0), constant(at)) {
                    (Some(left), _) => self.weight(left).map(|shape| shape.into_iter().rev().collect()),
                    (None, Some(right)) => self.weight(right),
                    (None, None) => return None,
                };
                let Some(shape) = shape else { return layer(None, None, false) };
                let matrix = shape.len().checked_sub(2).map_or(&shape[..], |at| &shape[at..]);
                let turned = node.int("transB").is_some_and(|flag| flag != 0);
                match (matrix, turned) {
                    ([makes, reads], true) | ([reads, makes], false) => layer(Some(reads), Some(makes), false),
                    _ => layer(None, matrix.first(), false),
                }
            }
            "Conv" | "FusedConv" | "NhwcFusedConv" | "QLinearConv" | "ConvInteger" => {
                let shape = self.weight(node.inputs.get(if op.starts_with('Q') { 3 } else { 1 })?)?;
                let dense = shape.len() > 2 && shape[2..].iter().all(|side| *side == 1);
                if dense { layer(shape.get(1), shape.first(), true) } else { None }
            }
            _ if known(op) || BODY.contains(&op) => None,
            _ => {
                let mut weights = node.inputs.iter().filter_map(|name| self.weight(name));
                if weights.any(|shape| shape.len() > 1) { layer(None, None, false) } else { None }
            }
        }
    }

    /// The layer that an `Einsum` with one weight is: it reads what the weight shares with the picture's values and does
    /// not keep, and makes what only the weight has.
    fn contraction(&self, node: &'g Node, input: &'g str) -> Option<Layer<'g>> {
        let at = node.inputs.iter().position(|name| self.is_constant(name))?;
        let shape = self.weight(&node.inputs[at]).unwrap_or_default();
        let equation: String = node.equation.split_whitespace().collect();
        let (read, made) = equation.split_once("->").unwrap_or((&equation, ""));
        let letters = read.split(',').nth(at).unwrap_or_default();
        let others = |letter| read.split(',').enumerate().any(|(index, part)| index != at && part.contains(letter));
        let length = |wanted: fn(bool, bool) -> bool| {
            let axes =
                letters.chars().zip(&shape).filter(|(letter, _)| wanted(others(*letter), made.contains(*letter)));
            axes.map(|(_, length)| *length).reduce(i64::saturating_mul)
        };
        let reads = length(|shared, kept| shared && !kept);
        let makes = length(|shared, kept| !shared && kept);
        Some(Layer { input, convolves: false, reads, makes })
    }

    /// The shape of the weight called `name`, quantised, transposed or scaled as it may be; `None` where other steps
    /// compute it, and for what depends on the picture.
    pub fn weight(&self, name: &str) -> Option<Vec<i64>> {
        if name.is_empty() || !self.is_constant(name) {
            return None;
        }
        let (mut name, mut turned) = (name, false);
        for _ in 0..super::flow::GATE {
            if let Some(shape) = self.shape_of_weight(name) {
                return Some(if turned { shape.iter().rev().copied().collect() } else { shape.clone() });
            }
            let node = self.made_by(name)?;
            turned ^= node.op == "Transpose";
            // Where it is scaled or normalised, the first of what a step reads that has axes is the weight itself.
            let axes = |name: &&String| self.shape_of_weight(name).is_none_or(|shape| shape.len() > 1);
            let reshapes = ["Reshape", "Unsqueeze", "Squeeze", "Flatten", "Concat", "Gather", "Slice"];
            name = node.inputs.iter().find(axes).filter(|_| !reshapes.contains(&node.op.as_str()))?;
        }
        None
    }
}
