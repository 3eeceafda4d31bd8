//! Small ONNX files, drawn by hand: nodes, weights from a fixed generator, stated shapes.
//!
//! Fields are numbered as in `onnx/onnx.proto`.

/// A network under construction; every call appends, `bytes` ends it.
#[derive(Default)]
pub struct Net {
    graph: Vec<u8>,
    drawn: u64,
}

/// An attribute of a node.
pub enum Attribute<'a> {
    /// `transB`, `keepdims`, `axis` …
    Int(&'a str, i64),
    /// `axes`, `kernel_shape`, `perm` …
    Ints(&'a str, &'a [i64]),
    /// `value` of a Constant.
    Integers(&'a str, &'a [i64]),
}

impl Net {
    /// An input; `shape` names its axes, `"n 3 16 16"`, numbers being fixed.
    pub fn input(self, name: &str, shape: &str) -> Self {
        self.typed(11, name, 1, shape)
    }

    /// The same of another element type, 10 being float16.
    pub fn input_of(self, name: &str, element: u64, shape: &str) -> Self {
        self.typed(11, name, element, shape)
    }

    /// A declared output.
    pub fn output(self, name: &str, shape: &str) -> Self {
        self.typed(12, name, 1, shape)
    }

    /// What the file says of an inner tensor.
    pub fn stated(self, name: &str, shape: &str) -> Self {
        self.typed(13, name, 1, shape)
    }

    /// A node; `inputs` has names with spaces between.
    pub fn node(self, op: &str, inputs: &str, output: &str) -> Self {
        self.node_with(op, inputs, output, &[])
    }

    /// A node with attributes.
    pub fn node_with(mut self, op: &str, inputs: &str, output: &str, attributes: &[Attribute<'_>]) -> Self {
        let mut node = Vec::new();
        inputs.split(' ').for_each(|input| put(&mut node, 1, input.as_bytes()));
        put(&mut node, 2, output.as_bytes());
        put(&mut node, 4, op.as_bytes());
        for attribute in attributes {
            let mut message = Vec::new();
            match attribute {
                Attribute::Int(name, value) => {
                    put(&mut message, 1, name.as_bytes());
                    put_number(&mut message, 3, *value);
                    put_number(&mut message, 20, 2);
                }
                Attribute::Integers(name, values) => {
                    put(&mut message, 1, name.as_bytes());
                    put(&mut message, 5, &tensor("", 7, &[values.len() as i64], &little_endian(values)));
                    put_number(&mut message, 20, 4);
                }
                Attribute::Ints(name, values) => {
                    put(&mut message, 1, name.as_bytes());
                    values.iter().for_each(|value| put_number(&mut message, 8, *value));
                    put_number(&mut message, 20, 7);
                }
            }
            put(&mut node, 5, &message);
        }
        put(&mut self.graph, 1, &node);
        self
    }

    /// A weight of float32, its values between -0.5 and 0.5.
    pub fn weight(self, name: &str, shape: &[i64]) -> Self {
        self.weight_of(name, shape, None)
    }

    /// A weight whose values are all `value`, or drawn.
    pub fn weight_of(mut self, name: &str, shape: &[i64], value: Option<f32>) -> Self {
        let mut raw = Vec::new();
        for _ in 0..shape.iter().product::<i64>() {
            // Knuth's MMIX generator; only that it is fixed matters.
            self.drawn = self.drawn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let drawn = (self.drawn >> 40) as f32 / 16_777_216.0 - 0.5;
            raw.extend(value.unwrap_or(drawn).to_le_bytes());
        }
        self.tensor(name, 1, shape, &raw)
    }

    /// A weight of uint8, of a quantised network.
    pub fn bytes_weight(self, name: &str, shape: &[i64]) -> Self {
        let raw: Vec<u8> = (0..shape.iter().product::<i64>()).map(|k| (k * 37 % 251) as u8).collect();
        self.tensor(name, 2, shape, &raw)
    }

    /// Constant integers.
    pub fn integers(self, name: &str, values: &[i64]) -> Self {
        self.tensor(name, 7, &[values.len() as i64], &little_endian(values))
    }

    /// The file.
    pub fn bytes(self) -> Vec<u8> {
        let (mut model, mut opset, mut graph) = (Vec::new(), Vec::new(), self.graph);
        put(&mut graph, 2, b"net");
        put_number(&mut model, 1, 8);
        put_number(&mut opset, 2, 18);
        put(&mut model, 8, &opset);
        put(&mut model, 7, &graph);
        model
    }

    fn tensor(mut self, name: &str, element: u64, shape: &[i64], raw: &[u8]) -> Self {
        put(&mut self.graph, 5, &tensor(name, element, shape, raw));
        self
    }

    fn typed(mut self, field: u64, name: &str, element: u64, shape: &str) -> Self {
        let mut axes = Vec::new();
        for axis in shape.split(' ') {
            let mut message = Vec::new();
            match axis.parse() {
                Ok(length) => put_number(&mut message, 1, length),
                Err(_) => put(&mut message, 2, axis.as_bytes()),
            }
            put(&mut axes, 1, &message);
        }
        let (mut tensor, mut kind, mut info) = (Vec::new(), Vec::new(), Vec::new());
        put_number(&mut tensor, 1, element as i64);
        put(&mut tensor, 2, &axes);
        put(&mut kind, 1, &tensor);
        put(&mut info, 1, name.as_bytes());
        put(&mut info, 2, &kind);
        put(&mut self.graph, field, &info);
        self
    }
}

/// 3 -> 8 channels and a `Relu`: a body that maps (n, 3, 16, 16) to `map`, (n, 8, 16, 16).
pub fn body() -> Net {
    let net = Net::default().input("input", "n 3 16 16").weight("w", &[8, 3, 1, 1]);
    net.node("Conv", "input w", "conv").node("Relu", "conv", "map")
}

/// A second piece of a model, which protobuf reads as if it stood in the first: so many weights that nothing reads.
pub fn more_weights(name: &str, values: i64) -> Vec<u8> {
    let (mut graph, mut model) = (Vec::new(), Vec::new());
    put(&mut graph, 5, &tensor(name, 1, &[values], &vec![0; 4 * values as usize]));
    put(&mut model, 7, &graph);
    model
}

/// A `TensorProto`.
fn tensor(name: &str, element: u64, shape: &[i64], raw: &[u8]) -> Vec<u8> {
    let mut tensor = Vec::new();
    for side in shape {
        put_number(&mut tensor, 1, *side);
    }
    put_number(&mut tensor, 2, element as i64);
    put(&mut tensor, 8, name.as_bytes());
    put(&mut tensor, 9, raw);
    tensor
}

fn little_endian(values: &[i64]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn put(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    put_varint(out, field << 3 | 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn put_number(out: &mut Vec<u8>, field: u64, value: i64) {
    put_varint(out, field << 3);
    put_varint(out, value.cast_unsigned());
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
