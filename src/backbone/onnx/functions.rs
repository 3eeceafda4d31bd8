//! Functions that a model file defines for itself, replaced by their bodies: nothing else here looks inside one.
//!
//! What cannot be replaced truly stays as it is, a step of its own: a body with graphs within nodes, one in operators of
//! another version, one that is called out of a graph within a node, or so many calls that the file would grow many times.

use std::borrow::Cow;
use std::collections::HashMap;

use super::graph::BadModel;
use super::reader::{GRAPH, NODE, graph_fields, name_in};
use super::wire::{Field, Value, fields, put_bytes};

/// A field of `ModelProto`.
const FUNCTION: u64 = 25;
/// A field of `ModelProto`.
const OPSET: u64 = 8;
/// Functions that call functions go no deeper in any file that a program wrote.
const DEEPEST: usize = 16;
/// How many times larger the calls' bodies may be than the file.
const GROWTH: usize = 4;

/// A `FunctionProto`.
#[derive(Debug, Default)]
struct Function<'a> {
    inputs: Vec<String>,
    outputs: Vec<String>,
    /// Each a `NodeProto`.
    nodes: Vec<&'a [u8]>,
    /// Default values of attributes, by name: each an `AttributeProto`.
    defaults: HashMap<String, &'a [u8]>,
    /// Versions of operators, by domain, with the field that states each.
    opsets: HashMap<String, (u64, &'a [u8])>,
}

/// Domain, name and overload.
type Key = (String, String, String);

/// The model in `bytes` with the functions that it defines replaced by their bodies where they are called.
///
/// Names within a body get the function's name and the number of the call before them: `Head_3/pooled`.
///
/// # Errors
/// [`BadModel`] when `bytes` are no model.
pub fn inlined(bytes: &[u8]) -> Result<Cow<'_, [u8]>, BadModel> {
    let (mut functions, mut opsets) = (HashMap::new(), HashMap::new());
    for field in fields(bytes).map_while(Result::ok) {
        match (field.number, field.value) {
            (FUNCTION, Value::Bytes(message)) => functions.extend(function(message)),
            (OPSET, Value::Bytes(message)) => opsets.extend([opset(message)]),
            _ => {}
        }
    }
    functions.retain(|_, function: &mut Function<'_>| {
        function.opsets.iter().all(|(domain, (version, _))| opsets.get(domain).is_none_or(|own| own.0 == *version))
    });
    if functions.is_empty() {
        return Ok(Cow::Borrowed(bytes));
    }
    let mut calls = Calls { functions: &functions, made: 0, room: GROWTH * bytes.len(), added: HashMap::new() };
    let mut graph = Vec::with_capacity(bytes.len());
    for field in graph_fields(bytes)? {
        match (field.number, field.value) {
            (NODE, Value::Bytes(node)) => calls.put(node, DEEPEST, &mut graph),
            _ => graph.extend_from_slice(field.raw),
        }
    }
    if calls.made == 0 {
        return Ok(Cow::Borrowed(bytes));
    }
    let mut model = Vec::with_capacity(graph.len() + 1024);
    for field in fields(bytes).map_while(Result::ok).filter(|field| field.number != GRAPH) {
        model.extend_from_slice(field.raw);
    }
    for (domain, message) in calls.added {
        if !opsets.contains_key(&domain) {
            put_bytes(&mut model, OPSET, message);
        }
    }
    put_bytes(&mut model, GRAPH, &graph);
    Ok(Cow::Owned(model))
}

/// Reads a `FunctionProto`; `None` for one whose body cannot stand elsewhere.
fn function(message: &[u8]) -> Option<(Key, Function<'_>)> {
    let mut found = Function::default();
    let (mut name, mut domain, mut overload) = Default::default();
    for field in fields(message) {
        let Value::Bytes(bytes) = field.ok()?.value else { continue };
        match field.ok()?.number {
            1 => name = text(bytes),
            4 => found.inputs.push(text(bytes)),
            5 => found.outputs.push(text(bytes)),
            7 => found.nodes.push(bytes),
            9 => found.opsets.extend([opset(bytes)]),
            10 => domain = text(bytes),
            11 => found.defaults.extend([(text_in(bytes, 1), bytes)]),
            13 => overload = text(bytes),
            _ => {}
        }
    }
    let attributes = || found.nodes.iter().flat_map(|node| messages(node, 5));
    let has_graph =
        attributes().any(|attribute| fields(attribute).flatten().any(|field| [6, 11].contains(&field.number)));
    (!has_graph).then_some(((domain, name, overload), found))
}

/// Domain of an `OperatorSetIdProto`, its version, and itself.
fn opset(message: &[u8]) -> (String, (u64, &[u8])) {
    let version = fields(message).flatten().find_map(|field| match (field.number, field.value) {
        (2, Value::Varint(version)) => Some(version),
        _ => None,
    });
    let domain = text_in(message, 1);
    let domain = if domain == "ai.onnx" { String::new() } else { domain };
    (domain, (version.unwrap_or_default(), message))
}

struct Calls<'f, 'a> {
    functions: &'f HashMap<Key, Function<'a>>,
    /// Calls that were replaced.
    made: usize,
    /// Bytes that bodies may still take.
    room: usize,
    /// Versions of operators that bodies need, by domain.
    added: HashMap<String, &'a [u8]>,
}

impl Calls<'_, '_> {
    /// Writes the `NodeProto` in `node` as a field of a graph, or, where it calls a function, the function's nodes.
    fn put(&mut self, node: &[u8], depth: usize, graph: &mut Vec<u8>) {
        let key = (text_in(node, 7), text_in(node, 4), text_in(node, 8));
        let functions = self.functions;
        let Some(function) = functions.get(&key).filter(|_| depth > 0) else {
            return put_bytes(graph, NODE, node);
        };
        let size = function.nodes.iter().map(|inner| inner.len() + 64).sum();
        let Some(room) = self.room.checked_sub(size) else { return put_bytes(graph, NODE, node) };
        self.room = room;
        self.made += 1;
        self.added.extend(function.opsets.iter().map(|(domain, (_, message))| (domain.clone(), *message)));
        let call = Call::new(node, function, format!("{}_{}", key.1, self.made));
        for inner in &function.nodes {
            self.put(&call.renamed(inner), depth - 1, graph);
        }
    }
}

/// One call of a function.
struct Call<'a> {
    prefix: String,
    /// What the function's own inputs and outputs are outside, by their names inside.
    outside: HashMap<&'a str, String>,
    /// Attributes that the caller gives, or their defaults, by name.
    attributes: HashMap<String, &'a [u8]>,
}

impl<'a> Call<'a> {
    fn new(node: &'a [u8], function: &'a Function<'_>, prefix: String) -> Self {
        let mut outside = HashMap::new();
        for (names, number) in [(&function.inputs, 1), (&function.outputs, 2)] {
            let given: Vec<String> = messages(node, number).map(text).collect();
            for (index, name) in names.iter().enumerate() {
                let given = given.get(index).cloned().unwrap_or_default();
                // An output that nobody outside wants may be read inside.
                let given = if given.is_empty() && number == 2 { format!("{prefix}/{name}") } else { given };
                outside.insert(name.as_str(), given);
            }
        }
        let mut attributes: HashMap<String, &[u8]> = function.defaults.iter().map(|(k, v)| (k.clone(), *v)).collect();
        attributes.extend(messages(node, 5).map(|attribute| (text_in(attribute, 1), attribute)));
        Self { prefix, outside, attributes }
    }

    fn name(&self, inside: &str) -> String {
        if inside.is_empty() {
            return String::new();
        }
        self.outside.get(inside).cloned().unwrap_or_else(|| format!("{}/{inside}", self.prefix))
    }

    /// A node of the function's body as it stands outside.
    fn renamed(&self, node: &[u8]) -> Vec<u8> {
        let mut renamed = Vec::with_capacity(node.len() + 64);
        for field in fields(node).map_while(Result::ok) {
            match (field.number, field.value) {
                (number @ (1 | 2), Value::Bytes(name)) => {
                    put_bytes(&mut renamed, number, self.name(&text(name)).as_bytes());
                }
                (3, Value::Bytes(name)) => {
                    put_bytes(&mut renamed, 3, format!("{}/{}", self.prefix, text(name)).as_bytes());
                }
                (5, Value::Bytes(attribute)) => self.attribute(attribute, field, &mut renamed),
                _ => renamed.extend_from_slice(field.raw),
            }
        }
        renamed
    }

    /// Writes an attribute, with the caller's value where it refers to that; one that the caller leaves out is left out.
    fn attribute(&self, attribute: &[u8], field: Field<'_>, node: &mut Vec<u8>) {
        let Some(referred) = name_in(field, 21).filter(|name| !name.is_empty()) else {
            return node.extend_from_slice(field.raw);
        };
        let Some(value) = self.attributes.get(&referred) else { return };
        let mut message = Vec::with_capacity(value.len());
        put_bytes(&mut message, 1, text_in(attribute, 1).as_bytes());
        for field in fields(value).map_while(Result::ok).filter(|field| field.number != 1) {
            message.extend_from_slice(field.raw);
        }
        put_bytes(node, 5, &message);
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The bytes of each field `number` of `message`.
fn messages(message: &[u8], number: u64) -> impl Iterator<Item = &[u8]> {
    let fields = fields(message).map_while(Result::ok).filter(move |field| field.number == number);
    fields.filter_map(|field| if let Value::Bytes(bytes) = field.value { Some(bytes) } else { None })
}

/// The text in field `number` of `message`, empty where there is none.
fn text_in(message: &[u8], number: u64) -> String {
    messages(message, number).last().map(text).unwrap_or_default()
}

#[cfg(test)]
#[path = "functions_tests.rs"]
mod tests;
