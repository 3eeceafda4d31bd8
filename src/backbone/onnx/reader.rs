//! Reads the few fields of an ONNX file that matter here; their numbers are those of `onnx/onnx.proto`.
//!
//! Memory stays in proportion to the file: names are counted against a bound, and of weights' values only those of a
//! few integers are copied.

use super::graph::{Axis, BadModel, Graph, Node, Tensor};
use super::wire::{BadWire, Field, Value, fields, packed};

/// More names than any network has; a file that goes beyond is hostile.
const MOST_NAMES: usize = 500_000;

/// Domains of ONNX's own operators and of those that ONNX Runtime adds, whose names are known here.
const OWN_DOMAINS: [&str; 5] = ["", "ai.onnx", "ai.onnx.ml", "com.microsoft", "com.ms.internal.nhwc"];

/// Longest list of integers that is read: no tensor here has more axes.
const MOST_INTEGERS: usize = 8;

/// `TensorProto.DataType`.
const INT64: u64 = 7;
const BOOL: u64 = 9;

/// Everything that the graph in `bytes` states, weights among its inputs included.
///
/// # Errors
/// [`BadModel::Truncated`] or [`BadModel::NotOnnx`].
pub fn read(bytes: &[u8]) -> Result<Graph, BadModel> {
    let mut reader = Reader { graph: Graph::default(), names: 0 };
    for field in graph_fields(bytes)? {
        reader.graph_field(field).map_err(|bad| bad.within(bytes.len()))?;
    }
    Ok(reader.graph)
}

/// In which versions of the format a model is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versions {
    /// Of the file's structure.
    pub ir: i64,
    /// Of the standard operators; `None` where the file does not state it, as before version 3 of the structure.
    pub opset: Option<i64>,
}

/// The versions that the model in `bytes` states; what is broken ends the reading.
pub fn versions(bytes: &[u8]) -> Versions {
    let mut found = Versions { ir: 0, opset: None };
    for field in fields(bytes).map_while(Result::ok) {
        match (field.number, field.value) {
            (1, Value::Varint(ir)) => found.ir = ir.cast_signed(),
            (8, Value::Bytes(import)) => {
                let (mut domain, mut version): (&[u8], _) = (b"", None);
                for field in fields(import).map_while(Result::ok) {
                    match (field.number, field.value) {
                        (1, Value::Bytes(name)) => domain = name,
                        (2, Value::Varint(number)) => version = Some(number.cast_signed()),
                        _ => {}
                    }
                }
                if domain.is_empty() || domain == b"ai.onnx" {
                    found.opset = version;
                }
            }
            _ => {}
        }
    }
    found
}

/// Fields of `ModelProto`.
pub const GRAPH: u64 = 7;
/// A field of `ModelProto`.
pub const METADATA: u64 = 14;
/// Fields of `GraphProto`, here and below.
pub const NODE: u64 = 1;
/// A field of `GraphProto`.
pub const INITIALIZER: u64 = 5;
/// A field of `GraphProto`.
pub const INPUT: u64 = 11;
/// A field of `GraphProto`.
pub const OUTPUT: u64 = 12;
/// A field of `GraphProto`.
pub const VALUE_INFO: u64 = 13;
const ELEMENTS: [&str; 17] = [
    "unknown",
    "float32",
    "uint8",
    "int8",
    "uint16",
    "int16",
    "int32",
    "int64",
    "string",
    "bool",
    "float16",
    "float64",
    "uint32",
    "uint64",
    "complex64",
    "complex128",
    "bfloat16",
];

/// Why reading stopped, before it is known how long the file is.
enum Stop {
    Wire(BadWire),
    TooManyNames,
}

impl From<BadWire> for Stop {
    fn from(bad: BadWire) -> Self {
        Self::Wire(bad)
    }
}

impl Stop {
    fn within(self, bytes: usize) -> BadModel {
        match self {
            Self::Wire(BadWire::Truncated) => BadModel::Truncated { bytes },
            Self::Wire(BadWire::Malformed) => BadModel::NotOnnx { found: "bytes that are not a protobuf message" },
            Self::TooManyNames => BadModel::NotOnnx { found: "more names than any network has" },
        }
    }
}

/// The fields of the model's graph; protobuf lets a message come in several pieces, which are read as one.
pub fn graph_fields(bytes: &[u8]) -> Result<Vec<Field<'_>>, BadModel> {
    let mut found = Vec::new();
    let stop = |bad: BadWire| Stop::from(bad).within(bytes.len());
    for field in fields(bytes) {
        let field = field.map_err(stop)?;
        if let (GRAPH, Value::Bytes(graph)) = (field.number, field.value) {
            for inner in fields(graph) {
                found.push(inner.map_err(stop)?);
                if found.len() > MOST_NAMES {
                    return Err(Stop::TooManyNames.within(bytes.len()));
                }
            }
        }
    }
    if found.is_empty() { Err(BadModel::NotOnnx { found: "none" }) } else { Ok(found) }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The text in field `number` of the message in `field`; the last one where there are several, as protobuf has it.
pub fn name_in(field: Field<'_>, number: u64) -> Option<String> {
    let Value::Bytes(message) = field.value else { return None };
    let named = fields(message).map_while(Result::ok).filter(|field| field.number == number);
    let names = named.filter_map(|field| if let Value::Bytes(name) = field.value { Some(name) } else { None });
    names.last().map(text)
}

struct Reader {
    graph: Graph,
    names: usize,
}

impl Reader {
    fn count(&mut self) -> Result<(), Stop> {
        self.names += 1;
        if self.names > MOST_NAMES { Err(Stop::TooManyNames) } else { Ok(()) }
    }

    fn graph_field(&mut self, field: Field<'_>) -> Result<(), Stop> {
        let Value::Bytes(message) = field.value else { return Ok(()) };
        self.count()?;
        match field.number {
            NODE => {
                let node = self.node(message)?;
                self.graph.nodes.push(node);
            }
            INITIALIZER => self.weight(message)?,
            INPUT => self.graph.inputs.push(tensor(message)?),
            OUTPUT => self.graph.outputs.push(tensor(message)?),
            VALUE_INFO => {
                let tensor = tensor(message)?;
                self.graph.stated.insert(tensor.name.clone(), tensor);
            }
            _ => {}
        }
        Ok(())
    }

    fn node(&mut self, message: &[u8]) -> Result<Node, Stop> {
        let mut node = Node::default();
        let (mut domain, mut constants) = (String::new(), Vec::new());
        for field in fields(message) {
            let field = field?;
            let Value::Bytes(bytes) = field.value else { continue };
            self.count()?;
            match field.number {
                1 => node.inputs.push(text(bytes)),
                2 => node.outputs.push(text(bytes)),
                4 => node.op = text(bytes),
                5 => constants.extend(attribute(bytes, &mut node)?),
                7 => domain = text(bytes),
                _ => {}
            }
        }
        if let ("Constant", Some(output)) = (node.op.as_str(), node.outputs.first()) {
            for Constant { shape, integers, .. } in constants {
                self.graph.weights.insert(output.clone(), shape);
                self.graph.integers.extend(integers.map(|integers| (output.clone(), integers)));
            }
        }
        if !OWN_DOMAINS.contains(&domain.as_str()) {
            node.op = format!("{domain}:{}", node.op);
        }
        Ok(node)
    }

    fn weight(&mut self, message: &[u8]) -> Result<(), Stop> {
        self.graph.external_weights |= fields(message)
            .map_while(Result::ok)
            .any(|field| matches!((field.number, field.value), (14, Value::Varint(1))));
        let Constant { name, shape, integers } = constant(message)?;
        if let Some(integers) = integers {
            self.graph.integers.insert(name.clone(), integers);
        }
        self.graph.weights.insert(name, shape);
        Ok(())
    }
}

/// A weight or another constant.
struct Constant {
    name: String,
    shape: Vec<i64>,
    /// Its values, where they are a few int64 or truth values.
    integers: Option<Vec<i64>>,
}

/// Reads an `AttributeProto`, as far as it matters for `node`; the constant that it is, if it is one.
fn attribute(message: &[u8], node: &mut Node) -> Result<Option<Constant>, Stop> {
    let mut name = String::new();
    let (mut integers, mut length, mut int, mut constant_in) = (Vec::new(), 0, None, None);
    for field in fields(message) {
        let field = field?;
        match (field.number, field.value) {
            (1, Value::Bytes(bytes)) => name = text(bytes),
            (3, Value::Varint(value)) => int = Some(value.cast_signed()),
            (4, Value::Bytes(bytes)) if name == "equation" => node.equation = text(bytes),
            (5, Value::Bytes(bytes)) => constant_in = Some(bytes),
            (7, Value::Fixed) => length += 1,
            (7, Value::Bytes(packed)) => length += packed.len() as i64 / 4,
            (8, Value::Varint(value)) if integers.len() < MOST_INTEGERS => integers.push(value.cast_signed()),
            (8, Value::Bytes(bytes)) => integers.extend(packed(bytes).take(MOST_INTEGERS)),
            (6 | 11, Value::Bytes(_)) => node.has_subgraph = true,
            _ => {}
        }
    }
    let scalar = |integers| Constant { name: String::new(), shape: Vec::new(), integers };
    let list = |length, integers| Constant { name: String::new(), shape: vec![length], integers };
    let made = match name.as_str() {
        "value" | "sparse_value" => constant_in.map(constant).transpose()?,
        "value_float" => Some(scalar(None)),
        "value_int" => Some(scalar(int.map(|int| vec![int]))),
        "value_floats" => Some(list(length, None)),
        "value_ints" => Some(list(integers.len() as i64, (integers.len() < MOST_INTEGERS).then(|| integers.clone()))),
        _ => None,
    };
    match name.as_str() {
        "axes" => node.axes = integers,
        "kernel_shape" => node.kernel = integers,
        "strides" => node.strides = integers,
        _ => node.ints.extend(int.map(|int| (name, int))),
    }
    Ok(made)
}

/// Reads a `TensorProto`.
fn constant(message: &[u8]) -> Result<Constant, Stop> {
    let (mut name, mut shape, mut element, mut values) = (String::new(), Vec::new(), 0, Vec::new());
    for field in fields(message) {
        let field = field?;
        match (field.number, field.value) {
            (1, Value::Varint(length)) if shape.len() < 16 => shape.push(length.cast_signed()),
            (2, Value::Varint(kind)) => element = kind,
            (5 | 7, Value::Varint(value)) if values.len() <= MOST_INTEGERS => values.push(value.cast_signed()),
            (5 | 7, Value::Bytes(bytes)) => values.extend(packed(bytes).take(MOST_INTEGERS + 1)),
            (9, Value::Bytes(raw)) if element == BOOL => {
                values.extend(raw.iter().take(MOST_INTEGERS + 1).map(|byte| i64::from(*byte)));
            }
            (8, Value::Bytes(bytes)) => name = text(bytes),
            (9, Value::Bytes(raw)) if raw.len() <= 8 * MOST_INTEGERS => {
                let (words, _) = raw.as_chunks::<8>();
                values.extend(words.iter().map(|word| i64::from_le_bytes(*word)));
            }
            _ => {}
        }
    }
    let few = [INT64, BOOL].contains(&element) && (1..=MOST_INTEGERS).contains(&values.len());
    Ok(Constant { name, shape, integers: few.then_some(values) })
}

/// Reads a `ValueInfoProto`.
fn tensor(message: &[u8]) -> Result<Tensor, Stop> {
    let mut tensor = Tensor { element: ELEMENTS[0], ..Tensor::default() };
    for field in fields(message) {
        match field.map(|field| (field.number, field.value))? {
            (1, Value::Bytes(bytes)) => tensor.name = text(bytes),
            (2, Value::Bytes(kind)) => {
                for field in fields(kind) {
                    if let (1, Value::Bytes(message)) = field.map(|field| (field.number, field.value))? {
                        tensor_type(message, &mut tensor)?;
                    }
                }
            }
            _ => {}
        }
    }
    Ok(tensor)
}

/// Reads a `TypeProto.Tensor`.
fn tensor_type(message: &[u8], tensor: &mut Tensor) -> Result<(), Stop> {
    for field in fields(message) {
        match field.map(|field| (field.number, field.value))? {
            (1, Value::Varint(element)) => {
                let known = usize::try_from(element).ok().and_then(|element| ELEMENTS.get(element));
                tensor.element = known.copied().unwrap_or(ELEMENTS[0]);
            }
            (2, Value::Bytes(shape)) => {
                let mut axes = Vec::new();
                for axis in fields(shape) {
                    let Value::Bytes(axis) = axis?.value else { continue };
                    let mut length = Axis::Free(String::new());
                    for field in fields(axis) {
                        match field.map(|field| (field.number, field.value))? {
                            // Some exporters write -1 for a free axis.
                            (1, Value::Varint(value)) if value.cast_signed() >= 0 => {
                                length = Axis::Fixed(value.cast_signed());
                            }
                            (2, Value::Bytes(name)) => length = Axis::Free(text(name)),
                            _ => {}
                        }
                    }
                    axes.push(length);
                    if axes.len() > 16 {
                        return Err(Stop::TooManyNames);
                    }
                }
                tensor.shape = Some(axes);
            }
            _ => {}
        }
    }
    Ok(())
}
