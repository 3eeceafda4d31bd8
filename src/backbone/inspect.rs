//! What a model file offers, for someone who writes its manifest.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::graph::{Axis, BadModel, Graph, Tensor};
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
    /// What it eats.
    pub inputs: Vec<Tensor>,
    /// What it hands out.
    pub outputs: Vec<Tensor>,
    /// Tensors that look like an embedding, likeliest first, at most ten.
    pub candidates: Vec<Candidate>,
}

/// A tensor that looks like an embedding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Candidate {
    /// For `embedding.tensor`.
    pub tensor: String,
    /// The step that makes it.
    pub op: String,
    /// For `embedding.dim`; `None` where the file does not tell.
    pub dim: Option<i64>,
    /// For `embedding.pool`: `avg` for a map, else `none`.
    pub pool: &'static str,
    /// Why it is listed.
    pub why: &'static str,
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
    /// It is no model.
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
/// [`InspectError`] when it cannot be read or is no ONNX model.
pub fn inspect(file: &Path) -> Result<Inspection, InspectError> {
    let file = file.to_owned();
    let bytes = match std::fs::read(&file) {
        Ok(bytes) => bytes,
        Err(source) => return Err(InspectError::Unreadable { file, source }),
    };
    match Graph::read(&bytes) {
        Ok(graph) => Ok(Inspection {
            file,
            bytes: bytes.len(),
            sha256: Digest::of(&bytes),
            nodes: graph.nodes.len(),
            candidates: candidates(&graph),
            inputs: graph.inputs,
            outputs: graph.outputs,
        }),
        Err(source) => Err(InspectError::Model { file, source }),
    }
}

/// Steps that only rearrange or normalise what came in.
const PASSING: [&str; 10] = [
    "Flatten",
    "Reshape",
    "Squeeze",
    "Dropout",
    "Identity",
    "Relu",
    "QuantizeLinear",
    "DequantizeLinear",
    "Cast",
    "Clip",
];
const POOLING: [&str; 3] = ["GlobalAveragePool", "ReduceMean", "GlobalMaxPool"];

/// In this order: what the last dense layer reads and what that is made of, outputs declared before it, what the last
/// poolings make and read, other declared outputs.
fn candidates(graph: &Graph) -> Vec<Candidate> {
    let maker: HashMap<&str, usize> = (graph.nodes.iter().enumerate())
        .flat_map(|(index, node)| node.outputs.iter().map(move |output| (output.as_str(), index)))
        .collect();
    let mut found: Vec<Candidate> = Vec::new();
    let mut add = |tensor: &str, dim: Option<i64>, pool, why| {
        if let Some(&index) = maker.get(tensor)
            && found.len() < 10
            && found.iter().all(|candidate| candidate.tensor != tensor)
        {
            let (tensor, op) = (tensor.to_owned(), graph.nodes[index].op.clone());
            found.push(Candidate { tensor, op, dim, pool, why });
        }
    };
    let dense = graph.nodes.iter().rev().find(|node| ["Gemm", "MatMul"].contains(&node.op.as_str()));
    if let Some(dense) = dense {
        let weight = dense.inputs.get(1).and_then(|name| graph.weights.get(name));
        let dim = weight.and_then(|shape| shape.get(usize::from(dense.transposed))).copied();
        let mut tensor = dense.inputs.first();
        while let Some(name) = tensor {
            add(name, dim.or_else(|| dim_of(graph, name)), "none", "what the last dense layer reads");
            let made_by = maker.get(name.as_str()).map(|&index| &graph.nodes[index]);
            let passing = made_by.filter(|node| PASSING.contains(&node.op.as_str()));
            // A file may name a tensor as its own source; each step must go back.
            let earlier = |source: &&String| maker.get(source.as_str()) < maker.get(name.as_str());
            tensor = passing.and_then(|node| node.inputs.first()).filter(earlier);
        }
    }
    // Scores come from the last dense layer, so an output made before it is likelier meant as an embedding.
    let scores = dense.and_then(|dense| dense.outputs.first()).and_then(|output| maker.get(output.as_str()));
    let early = |output: &&Tensor| scores.is_none_or(|scores| maker.get(output.name.as_str()) < Some(scores));
    // The classifier may be a convolution; what is made first is likelier the embedding, too.
    let mut outputs: Vec<&Tensor> = graph.outputs.iter().filter(early).collect();
    outputs.sort_by_key(|output| maker.get(output.name.as_str()));
    for output in outputs {
        add(&output.name, dim_of(graph, &output.name), "none", "a declared output");
    }
    for node in graph.nodes.iter().rev().filter(|node| POOLING.contains(&node.op.as_str())).take(3) {
        for output in &node.outputs {
            add(output, dim_of(graph, output), "none", "made by pooling over the picture");
        }
        if let Some(input) = node.inputs.first() {
            add(input, dim_of(graph, input), "avg", "the map that pooling reads");
        }
    }
    for output in &graph.outputs {
        add(&output.name, dim_of(graph, &output.name), "none", "a declared output");
    }
    found
}

/// The length of the second axis, where the file states it: channels of (n, c, h, w), values of (n, d).
fn dim_of(graph: &Graph, tensor: &str) -> Option<i64> {
    match graph.tensor(tensor)?.shape.as_ref()?.get(1)? {
        Axis::Fixed(length) => Some(*length),
        Axis::Free(_) => None,
    }
}
