//! Nodes and weights to be put behind those of a network, written as `onnx/onnx.proto` has them.

use super::graph::Axis;
use super::reader::{INITIALIZER, INPUT, NODE, Versions};
use super::wire::{put_bytes, put_int};

/// `TensorProto.DataType`.
const FLOAT: i64 = 1;
const INT64: i64 = 7;
/// `AttributeProto.AttributeType`.
const INT: i64 = 2;
const INTS: i64 = 7;

/// Nodes in the order in which they run, and their weights.
#[derive(Debug)]
pub struct Tail {
    prefix: String,
    versions: Versions,
    /// Fields of a `GraphProto`.
    fields: Vec<u8>,
    nodes: usize,
}

/// An attribute of a node.
#[derive(Debug, Clone, Copy)]
pub enum Attribute<'a> {
    /// One integer.
    Int(&'a str, i64),
    /// Several.
    Ints(&'a str, &'a [i64]),
}

impl Tail {
    /// A tail for the model in `bytes`, in whose `versions` it is written; the names in it occur nowhere in the model,
    /// graphs within nodes included.
    pub fn behind(bytes: &[u8], versions: Versions) -> Self {
        let taken = |prefix: &String| bytes.windows(prefix.len()).any(|window| window == prefix.as_bytes());
        let mut prefix = "edgetuned/".to_owned();
        let mut number = 1;
        while taken(&prefix) {
            number += 1;
            prefix = format!("edgetuned{number}/");
        }
        Self { prefix, versions, fields: Vec::new(), nodes: 0 }
    }

    /// The version of the standard operators.
    pub fn opset(&self) -> i64 {
        self.versions.opset.unwrap_or_default()
    }

    /// A weight of float32 and this shape; its name in the graph.
    pub fn floats(&mut self, name: &str, shape: &[usize], values: impl Iterator<Item = f32>) -> String {
        let raw: Vec<u8> = values.flat_map(f32::to_le_bytes).collect();
        self.weight(name, FLOAT, shape, &raw)
    }

    /// A list of int64; its name in the graph.
    pub fn integers(&mut self, name: &str, values: &[i64]) -> String {
        let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.weight(name, INT64, &[values.len()], &raw)
    }

    fn weight(&mut self, name: &str, element: i64, shape: &[usize], raw: &[u8]) -> String {
        let name = format!("{}{name}", self.prefix);
        let mut tensor = Vec::new();
        for length in shape {
            put_int(&mut tensor, 1, *length as i64);
        }
        put_int(&mut tensor, 2, element);
        put_bytes(&mut tensor, 8, name.as_bytes());
        put_bytes(&mut tensor, 9, raw);
        put_bytes(&mut self.fields, INITIALIZER, &tensor);
        if self.versions.ir < 4 {
            // Until then every weight is listed among the inputs, too.
            let axes: Vec<Axis> = shape.iter().map(|length| Axis::Fixed(*length as i64)).collect();
            put_bytes(&mut self.fields, INPUT, &value_info(&name, element, &axes));
        }
        name
    }

    /// A node; the name of what it computes.
    pub fn node(&mut self, op: &str, inputs: &[&str], attributes: &[Attribute<'_>]) -> String {
        let output = format!("{}{}_{}", self.prefix, op.to_lowercase(), self.nodes);
        self.node_called(op, inputs, attributes, &output);
        output
    }

    /// A node that computes `output`.
    pub fn node_called(&mut self, op: &str, inputs: &[&str], attributes: &[Attribute<'_>], output: &str) {
        let mut node = Vec::new();
        for input in inputs {
            put_bytes(&mut node, 1, input.as_bytes());
        }
        put_bytes(&mut node, 2, output.as_bytes());
        put_bytes(&mut node, 3, format!("{}node_{}", self.prefix, self.nodes).as_bytes());
        put_bytes(&mut node, 4, op.as_bytes());
        for attribute in attributes {
            let mut message = Vec::new();
            match attribute {
                Attribute::Int(name, value) => {
                    put_bytes(&mut message, 1, name.as_bytes());
                    put_int(&mut message, 3, *value);
                    put_int(&mut message, 20, INT);
                }
                Attribute::Ints(name, values) => {
                    put_bytes(&mut message, 1, name.as_bytes());
                    for value in *values {
                        put_int(&mut message, 8, *value);
                    }
                    put_int(&mut message, 20, INTS);
                }
            }
            put_bytes(&mut node, 5, &message);
        }
        put_bytes(&mut self.fields, NODE, &node);
        self.nodes += 1;
    }

    /// The mean of `input` over `axes`, which vanish; the name of what is computed.
    ///
    /// `ReduceMean` has them as an attribute before opset 18, as an input from there on.
    pub fn mean(&mut self, input: &str, axes: &[i64]) -> String {
        self.reduced(input, axes, 0)
    }

    /// The same with `axes` of length 1.
    pub fn mean_kept(&mut self, input: &str, axes: &[i64]) -> String {
        self.reduced(input, axes, 1)
    }

    fn reduced(&mut self, input: &str, axes: &[i64], keepdims: i64) -> String {
        let kept = Attribute::Int("keepdims", keepdims);
        if self.opset() < 18 {
            return self.node("ReduceMean", &[input], &[Attribute::Ints("axes", axes), kept]);
        }
        let axes = self.integers(&format!("axes_{}", self.nodes), axes);
        self.node("ReduceMean", &[input, &axes], &[kept])
    }

    /// The fields of a `GraphProto` that all of this is.
    pub fn into_fields(self) -> Vec<u8> {
        self.fields
    }
}

/// The `ValueInfoProto` of a float32 tensor.
pub fn float_info(name: &str, shape: &[Axis]) -> Vec<u8> {
    value_info(name, FLOAT, shape)
}

fn value_info(name: &str, element: i64, shape: &[Axis]) -> Vec<u8> {
    let (mut axes, mut tensor, mut kind, mut info) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for length in shape {
        let mut axis = Vec::new();
        match length {
            Axis::Fixed(length) => put_int(&mut axis, 1, *length),
            Axis::Free(name) if name.is_empty() => {}
            Axis::Free(name) => put_bytes(&mut axis, 2, name.as_bytes()),
        }
        put_bytes(&mut axes, 1, &axis);
    }
    put_int(&mut tensor, 1, element);
    put_bytes(&mut tensor, 2, &axes);
    put_bytes(&mut kind, 1, &tensor);
    put_bytes(&mut info, 1, name.as_bytes());
    put_bytes(&mut info, 2, &kind);
    info
}
