//! Small ONNX files, drawn by hand: nodes, weights from a fixed generator, stated shapes.
//!
//! Fields are numbered as in `onnx/onnx.proto`.

/// A network under construction; every call appends, `bytes` ends it.
#[derive(Default)]
pub struct Net {
    graph: Vec<u8>,
    /// Fields of the model beside the graph: functions, and the domains of other operators.
    beside: Vec<u8>,
    drawn: u64,
    opset: Option<i64>,
    ir: Option<i64>,
}

/// An attribute of a node.
pub enum Attribute<'a> {
    /// `transB`, `keepdims`, `axis` …
    Int(&'a str, i64),
    /// `axes`, `kernel_shape`, `perm` …
    Ints(&'a str, &'a [i64]),
    /// `value` of a Constant.
    Integers(&'a str, &'a [i64]),
    /// `value` of a Constant of float32, drawn.
    Floats(&'a str, &'a [i64]),
    /// `equation` …
    Text(&'a str, &'a str),
    /// `epsilon`, `alpha` …
    Float(&'a str, f32),
    /// `then_branch` …: nodes and outputs of a net.
    Graph(&'a str, &'a Net),
    /// Of a function's node: the value that its caller gives by the second name.
    Given(&'a str, &'a str),
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

    /// A declared output of another element type.
    pub fn output_of(self, name: &str, element: u64, shape: &str) -> Self {
        self.typed(12, name, element, shape)
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

    /// A node with attributes; `output` may name several with spaces between.
    pub fn node_with(self, op: &str, inputs: &str, output: &str, attributes: &[Attribute<'_>]) -> Self {
        self.node_of("", op, inputs, output, attributes)
    }

    /// A node whose operator is of another domain, which the file imports.
    pub fn node_of(mut self, domain: &str, op: &str, inputs: &str, output: &str, attributes: &[Attribute<'_>]) -> Self {
        let mut node = Vec::new();
        inputs.split(' ').filter(|_| !inputs.is_empty()).for_each(|input| {
            put(&mut node, 1, if input == "-" { b"" } else { input.as_bytes() });
        });
        output.split(' ').for_each(|output| put(&mut node, 2, output.as_bytes()));
        put(&mut node, 4, op.as_bytes());
        for attribute in attributes {
            put(&mut node, 5, &self.attribute(attribute));
        }
        if !domain.is_empty() {
            put(&mut node, 7, domain.as_bytes());
            self = self.import(domain);
        }
        put(&mut self.graph, 1, &node);
        self
    }

    fn attribute(&mut self, attribute: &Attribute<'_>) -> Vec<u8> {
        let (mut message, name, kind) = match attribute {
            Attribute::Int(name, value) => (number(3, *value), name, 2),
            Attribute::Text(name, text) => (bytes(4, text.as_bytes()), name, 3),
            // Field 2, four bytes wide.
            Attribute::Float(name, value) => ([&[2 << 3 | 5][..], &value.to_le_bytes()].concat(), name, 1),
            Attribute::Integers(name, values) => {
                (bytes(5, &tensor("", 7, &[values.len() as i64], &little_endian(values))), name, 4)
            }
            Attribute::Floats(name, shape) => {
                let raw = self.draw(shape, None);
                (bytes(5, &tensor("", 1, shape, &raw)), name, 4)
            }
            Attribute::Graph(name, net) => (bytes(6, &[net.graph.clone(), bytes(2, b"branch")].concat()), name, 5),
            Attribute::Ints(name, values) => (values.iter().flat_map(|value| number(8, *value)).collect(), name, 7),
            Attribute::Given(name, given) => (bytes(21, given.as_bytes()), name, 2),
        };
        put(&mut message, 1, name.as_bytes());
        put_number(&mut message, 20, kind);
        message
    }

    /// A function that the file defines: its body is the nodes of `body`, which has no weights.
    pub fn function(mut self, domain: &str, name: &str, inputs: &str, outputs: &str, body: &Net) -> Self {
        let mut function = bytes(1, name.as_bytes());
        inputs.split(' ').for_each(|input| put(&mut function, 4, input.as_bytes()));
        outputs.split(' ').for_each(|output| put(&mut function, 5, output.as_bytes()));
        let mut rest = &body.graph[..];
        while let Some((field, message, after)) = first(rest) {
            assert_eq!(field, 1, "a body of nodes alone");
            put(&mut function, 7, message);
            rest = after;
        }
        put(&mut function, 9, &number(2, self.opset.unwrap_or(18)));
        let mut imports = &body.beside[..];
        while let Some((_, import, after)) = first(imports) {
            put(&mut function, 9, import);
            imports = after;
        }
        put(&mut function, 10, domain.as_bytes());
        put(&mut self.beside, 25, &function);
        self
    }

    fn import(mut self, domain: &str) -> Self {
        let mut import = bytes(1, domain.as_bytes());
        put_number(&mut import, 2, 1);
        let import = bytes(8, &import);
        if !self.beside.windows(import.len()).any(|there| there == import) {
            self.beside.extend(import);
        }
        self
    }

    /// In operators of this version, 18 unless said.
    pub fn opset(mut self, version: i64) -> Self {
        self.opset = Some(version);
        self
    }

    /// In this version of the file's structure, 8 unless said.
    pub fn ir(mut self, version: i64) -> Self {
        self.ir = Some(version);
        self
    }

    /// A weight of float16, its values between -0.5 and 0.5.
    pub fn half_weight(mut self, name: &str, shape: &[i64]) -> Self {
        let floats = self.draw(shape, None);
        let (words, _) = floats.as_chunks::<4>();
        let raw: Vec<u8> =
            words.iter().flat_map(|word| half::f16::from_f32(f32::from_le_bytes(*word)).to_le_bytes()).collect();
        self.tensor(name, 10, shape, &raw)
    }

    /// A weight of one truth value.
    pub fn flag(self, name: &str, value: bool) -> Self {
        self.tensor(name, 9, &[], &[u8::from(value)])
    }

    /// A weight of float32, its values between -0.5 and 0.5.
    pub fn weight(self, name: &str, shape: &[i64]) -> Self {
        self.weight_of(name, shape, None)
    }

    /// A weight whose values are all `value`, or drawn.
    pub fn weight_of(mut self, name: &str, shape: &[i64], value: Option<f32>) -> Self {
        let raw = self.draw(shape, value);
        self.tensor(name, 1, shape, &raw)
    }

    fn draw(&mut self, shape: &[i64], value: Option<f32>) -> Vec<u8> {
        let mut raw = Vec::new();
        for _ in 0..shape.iter().product::<i64>() {
            // Knuth's MMIX generator; only that it is fixed matters.
            self.drawn = self.drawn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let drawn = (self.drawn >> 40) as f32 / 16_777_216.0 - 0.5;
            raw.extend(value.unwrap_or(drawn).to_le_bytes());
        }
        raw
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
        let (mut model, mut graph) = (number(1, self.ir.unwrap_or(8)), self.graph);
        put(&mut graph, 2, b"net");
        put(&mut model, 8, &number(2, self.opset.unwrap_or(18)));
        put(&mut model, 7, &graph);
        [model, self.beside].concat()
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

/// The first field of a message of fields with bytes in them: number, content, and what comes behind it.
fn first(message: &[u8]) -> Option<(u64, &[u8], &[u8])> {
    let varint = |from: &[u8]| {
        let length = from.iter().position(|byte| byte & 0x80 == 0)? + 1;
        let value = from[..length].iter().rev().fold(0, |value, byte| value << 7 | u64::from(byte & 0x7f));
        Some((value, length))
    };
    let (tag, tag_bytes) = varint(message)?;
    let (length, length_bytes) = varint(&message[tag_bytes..])?;
    let (content, rest) = message[tag_bytes + length_bytes..].split_at(length as usize);
    Some((tag >> 3, content, rest))
}

fn bytes(field: u64, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, field, content);
    out
}

fn number(field: u64, value: i64) -> Vec<u8> {
    let mut out = Vec::new();
    put_number(&mut out, field, value);
    out
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
