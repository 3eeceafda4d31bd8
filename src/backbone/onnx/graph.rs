//! What an ONNX file computes, and the surgery that makes some of its inner tensors its outputs.
//!
//! Files come from anywhere: damaged and hostile ones are refused.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Serialize;

use super::reader::{self, GRAPH, INITIALIZER, INPUT, NODE, OUTPUT, VALUE_INFO, graph_fields, name_in};
use super::wire::{Field, Value, fields, put_bytes};

/// A network's inputs, outputs and nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Graph {
    /// Fed from outside; weights are not among them.
    pub inputs: Vec<Tensor>,
    /// An output of the graph.
    pub outputs: Vec<Tensor>,
    /// In the order of the file, which ONNX demands to be one of execution.
    pub nodes: Vec<Node>,
    /// Inner tensors whose type the file states, by name.
    pub stated: HashMap<String, Tensor>,
    /// Shapes of the weights, by name; those that a Constant node makes are among them.
    pub weights: HashMap<String, Vec<i64>>,
    /// Constant integers, by name, where they are few (axes, for one), and truth values as 0 and 1.
    pub integers: HashMap<String, Vec<i64>>,
    /// Whether weights are in separate files.
    pub external_weights: bool,
}

/// A tensor's name and its type, as far as the file states it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Tensor {
    /// Its name.
    pub name: String,
    /// `float32`, `uint8` …; `unknown` where the file does not state it.
    pub element: &'static str,
    /// Its axes; `None` where the file does not state it.
    pub shape: Option<Vec<Axis>>,
}

/// Length of an axis.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Axis {
    /// Always this.
    Fixed(i64),
    /// Any, under a name that may be empty.
    Free(String),
}

/// One step of the computation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Node {
    /// `Conv`, `Gemm` …; behind its domain where that is neither ONNX's own nor ONNX Runtime's: `my.domain:Head`.
    pub op: String,
    /// Tensors it reads.
    pub inputs: Vec<String>,
    /// Tensors it makes.
    pub outputs: Vec<String>,
    /// Attributes that are one integer: `transB`, `keepdims`, `training_mode` …
    pub ints: BTreeMap<String, i64>,
    /// Attribute `equation` of `Einsum`.
    pub equation: String,
    /// Attribute `axes`, of reductions for one.
    pub axes: Vec<i64>,
    /// Attribute `kernel_shape` of convolutions and poolings.
    pub kernel: Vec<i64>,
    /// Attribute `strides` of convolutions and poolings.
    pub strides: Vec<i64>,
    /// Whether it runs graphs of its own (If, Loop), which may read any tensor outside.
    pub has_subgraph: bool,
}

/// Why bytes are not a usable model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadModel {
    /// The end is missing.
    #[error("the model is truncated after {bytes} bytes: copy it again")]
    Truncated {
        /// Bytes there are.
        bytes: usize,
    },
    /// Not the protobuf message of an ONNX model.
    #[error("this is not an ONNX model: expected a protobuf message with a graph, found {found}; give an .onnx file")]
    NotOnnx {
        /// What was found instead.
        found: &'static str,
    },
    /// Nothing in the graph computes it.
    #[error("the model computes no tensor {tensor:?}; {near}; 'edgetuned backbone inspect' lists them")]
    UnknownTensor {
        /// The requested name.
        tensor: String,
        /// Similar names, as text.
        near: String,
    },
    /// It has no such weight, or one of another shape.
    #[error(
        "the model has no weight {weight:?} of the shape that the head's tail has: use the backbone that the head was trained on"
    )]
    UnknownWeight {
        /// The name.
        weight: String,
    },
}

impl Node {
    /// The attribute `name`, where it is one integer.
    #[must_use]
    pub fn int(&self, name: &str) -> Option<i64> {
        self.ints.get(name).copied()
    }

    /// Whether a reduction drops its axes.
    #[must_use]
    pub fn drops_axes(&self) -> bool {
        self.int("keepdims") == Some(0)
    }
}

impl Graph {
    /// What the model in `bytes` computes.
    ///
    /// # Errors
    /// [`BadModel::Truncated`] or [`BadModel::NotOnnx`].
    pub fn read(bytes: &[u8]) -> Result<Self, BadModel> {
        let graph = reader::read(bytes)?;
        let Self { mut inputs, outputs, nodes, stated, weights, integers, external_weights } = graph;
        if nodes.is_empty() {
            return Err(BadModel::NotOnnx { found: "a graph without a node" });
        }
        // Old files list weights among the inputs, as values that may be overridden.
        inputs.retain(|input| !weights.contains_key(&input.name));
        Ok(Self { inputs, outputs, nodes, stated, weights, integers, external_weights })
    }

    /// The stated type of the output or inner tensor `name`; `None` where the file states none.
    #[must_use]
    pub fn tensor(&self, name: &str) -> Option<&Tensor> {
        self.outputs.iter().find(|output| output.name == name).or_else(|| self.stated.get(name))
    }

    /// Whether a node computes `name`.
    #[must_use]
    pub fn computes(&self, name: &str) -> bool {
        self.nodes.iter().any(|node| node.outputs.iter().any(|output| output == name))
    }

    /// The error of a `tensor` that does not exist, with the names nearest to it.
    #[must_use]
    pub fn unknown(&self, tensor: &str) -> BadModel {
        let outputs = self.nodes.iter().flat_map(|node| &node.outputs).filter(|name| !name.is_empty());
        let mut near: Vec<_> = outputs.map(|name| (strsim::jaro_winkler(name, tensor), name)).collect();
        near.sort_by(|a, b| b.0.total_cmp(&a.0));
        let listed = |names: Vec<&String>| names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
        let near: Vec<_> = near.iter().take_while(|(score, _)| *score > 0.7).take(5).map(|(_, name)| *name).collect();
        let near = if near.is_empty() {
            format!("its outputs are {}", listed(self.outputs.iter().map(|output| &output.name).collect()))
        } else {
            format!("names near it are {}", listed(near))
        };
        BadModel::UnknownTensor { tensor: tensor.to_owned(), near }
    }

    /// Indices of the nodes that `tensors` depend on; all of them where a subgraph makes that unclear.
    pub(super) fn needed_for(&self, tensors: &[&str]) -> HashSet<usize> {
        if self.nodes.iter().any(|node| node.has_subgraph) {
            return (0..self.nodes.len()).collect();
        }
        let maker: HashMap<&str, usize> = (self.nodes.iter().enumerate())
            .flat_map(|(index, node)| node.outputs.iter().map(move |output| (output.as_str(), index)))
            .collect();
        let mut needed = HashSet::new();
        let mut open = tensors.to_vec();
        while let Some(name) = open.pop() {
            if let Some(&index) = maker.get(name)
                && needed.insert(index)
            {
                open.extend(self.nodes[index].inputs.iter().map(String::as_str));
            }
        }
        needed
    }
}

/// The model in `bytes`, made to compute `tensors`, each of another name, and nothing else: they become its outputs in
/// this order, and nodes and weights that they do not depend on (a classifier behind them, for one) are left out.
///
/// # Errors
/// [`BadModel`]; `UnknownTensor` for the first of `tensors` that no node computes.
pub fn expose(bytes: &[u8], graph: &Graph, tensors: &[&str]) -> Result<Vec<u8>, BadModel> {
    if let Some(tensor) = tensors.iter().find(|tensor| tensor.is_empty() || !graph.computes(tensor)) {
        return Err(graph.unknown(tensor));
    }
    let needed = graph.needed_for(tensors);
    let prune = needed.len() < graph.nodes.len();
    let names: HashSet<&str> = (needed.iter())
        .flat_map(|&index| graph.nodes[index].inputs.iter().chain(&graph.nodes[index].outputs))
        .map(String::as_str)
        .collect();
    let mut cut = Vec::with_capacity(bytes.len());
    let mut stated = vec![None; tensors.len()];
    let mut index = 0;
    for field in graph_fields(bytes)? {
        let named = |number| name_in(field, number).is_some_and(|name| names.contains(name.as_str()));
        let keep = match field.number {
            // Only a message is a node, and was counted as one.
            NODE if !matches!(field.value, Value::Bytes(_)) => false,
            NODE => {
                index += 1;
                needed.contains(&(index - 1))
            }
            INITIALIZER => !prune || named(8),
            // A weight listed here, as old files do, would be required once its value is gone.
            INPUT => !prune || named(1) || name_in(field, 1).is_some_and(|name| !graph.weights.contains_key(&name)),
            OUTPUT | VALUE_INFO => {
                let name = name_in(field, 1);
                match tensors.iter().position(|tensor| name.as_deref() == Some(*tensor)) {
                    Some(place) => {
                        stated[place] = Some(field);
                        false
                    }
                    None => field.number == VALUE_INFO && (!prune || named(1)),
                }
            }
            _ => true,
        };
        if keep {
            cut.extend_from_slice(field.raw);
        }
    }
    for (tensor, field) in tensors.iter().zip(stated) {
        if let Some(Field { value: Value::Bytes(info), .. }) = field {
            put_bytes(&mut cut, OUTPUT, info);
        } else {
            // A name is enough: the runtime infers the type.
            let mut info = Vec::new();
            put_bytes(&mut info, 1, tensor.as_bytes());
            put_bytes(&mut cut, OUTPUT, &info);
        }
    }
    let mut model = Vec::with_capacity(cut.len() + 1024);
    for field in fields(bytes).map_while(Result::ok).filter(|field| field.number != GRAPH) {
        model.extend_from_slice(field.raw);
    }
    put_bytes(&mut model, GRAPH, &cut);
    Ok(model)
}

#[cfg(test)]
#[path = "graph_tests.rs"]
mod tests;
