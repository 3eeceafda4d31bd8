//! A network's last layers once more, with other weights: heads that were trained together with them share what comes before.

use std::collections::{HashMap, HashSet};

use super::graph::{BadModel, Graph};
use super::reader::{GRAPH, INITIALIZER, NODE, OUTPUT, graph_fields};
use super::replace::tensor_of;
use super::wire::{Field, Value, fields, put_bytes};
use crate::head::Tail;

/// The model in `bytes`, in which `tensor` is the embedding, with the layers between the beginning of each of `tails` and the
/// embedding once more, with the tail's weights; what they make follows as further outputs, in the order of `tails`.
///
/// # Errors
/// [`BadModel`] when a tail begins nowhere in this model, or has weights that it does not.
pub fn with_tails(bytes: &[u8], graph: &Graph, tensor: &str, tails: &[&Tail]) -> Result<Vec<u8>, BadModel> {
    let fields_of_graph = graph_fields(bytes)?;
    let nodes: Vec<Field<'_>> = fields_of_graph
        .iter()
        .filter(|field| field.number == NODE && matches!(field.value, Value::Bytes(_)))
        .copied()
        .collect();
    let mut more = Vec::new();
    for (place, tail) in tails.iter().enumerate() {
        let copy = Copy::of(graph, tensor, tail, place)?;
        for weight in &tail.weights {
            let named = crate::head::TailWeight { name: copy.renamed(&weight.name), ..weight.clone() };
            put_bytes(&mut more, INITIALIZER, &tensor_of(&named));
        }
        for (_, node) in nodes.iter().enumerate().filter(|(index, _)| copy.nodes.contains(index)) {
            if let Value::Bytes(message) = node.value {
                put_bytes(&mut more, NODE, &copy.node(message));
            }
        }
        let mut info = Vec::new();
        put_bytes(&mut info, 1, copy.renamed(tensor).as_bytes());
        put_bytes(&mut more, OUTPUT, &info);
    }
    let mut whole: Vec<u8> = fields_of_graph.iter().flat_map(|field| field.raw).copied().collect();
    whole.extend(more);
    let mut model = Vec::with_capacity(whole.len() + 1024);
    for field in fields(bytes).map_while(Result::ok).filter(|field| field.number != GRAPH) {
        model.extend_from_slice(field.raw);
    }
    put_bytes(&mut model, GRAPH, &whole);
    Ok(model)
}

/// The layers of a tail, to be written once more.
struct Copy {
    /// Their places in the file.
    nodes: HashSet<usize>,
    /// New names by old ones: of what they make, and of the weights that are other ones.
    names: HashMap<String, String>,
}

impl Copy {
    fn of(graph: &Graph, tensor: &str, tail: &Tail, place: usize) -> Result<Self, BadModel> {
        if !graph.computes(&tail.input) {
            return Err(graph.unknown(&tail.input));
        }
        let before = graph.needed_for(&[&tail.input]);
        let nodes: HashSet<usize> = graph.needed_for(&[tensor]).difference(&before).copied().collect();
        let read: HashSet<&str> =
            nodes.iter().flat_map(|&index| &graph.nodes[index].inputs).map(String::as_str).collect();
        if let Some(weight) = tail.weights.iter().find(|weight| !read.contains(weight.name.as_str())) {
            return Err(BadModel::UnknownWeight { weight: weight.name.clone() });
        }
        let made = nodes.iter().flat_map(|&index| &graph.nodes[index].outputs).filter(|name| !name.is_empty());
        let renamed = made.chain(tail.weights.iter().map(|weight| &weight.name));
        let names = renamed.map(|name| (name.clone(), format!("{name}/tail{place}"))).collect();
        Ok(Self { nodes, names })
    }

    fn renamed(&self, name: &str) -> String {
        self.names.get(name).map_or(name, String::as_str).to_owned()
    }

    /// The `NodeProto` in `message` with the new names; without its own, which nobody needs.
    fn node(&self, message: &[u8]) -> Vec<u8> {
        const INPUT: u64 = 1;
        const OUTPUT: u64 = 2;
        const NAME: u64 = 3;
        let mut node = Vec::with_capacity(message.len() + 64);
        for field in fields(message).map_while(Result::ok) {
            match (field.number, field.value) {
                (INPUT | OUTPUT, Value::Bytes(name)) => {
                    let name = String::from_utf8_lossy(name);
                    put_bytes(&mut node, field.number, self.renamed(&name).as_bytes());
                }
                (NAME, _) => {}
                _ => node.extend_from_slice(field.raw),
            }
        }
        node
    }
}
