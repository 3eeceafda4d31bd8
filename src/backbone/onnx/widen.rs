//! From tensors of other element types to float32, in which embeddings are computed.

use super::flow::Flow;
use super::graph::{BadModel, Graph};
use super::operators::KEEPING;
use super::reader::{GRAPH, OUTPUT, graph_fields, versions};
use super::tail::{Attribute, Tail};
use super::wire::{fields, put_bytes};

/// `TensorProto.DataType` of float32.
const FLOAT: i64 = 1;
/// Steps between a quantised tensor and the one that made its values, at most.
const STEPS: usize = 8;

/// How the values of a tensor become float32.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Widening {
    /// As they are.
    Cast,
    /// By the scale and the zero point with which they were quantised.
    Dequantize {
        /// Name of the scale.
        scale: String,
        /// Name of the zero point.
        zero: String,
    },
}

impl Widening {
    /// How `tensor`, which is not of float32, becomes so: the quantised are given the values that they stand for.
    pub fn of(graph: &Graph, tensor: &str) -> Self {
        let flow = Flow::new(graph);
        let mut made = flow.made_by(tensor);
        for _ in 0..STEPS {
            let Some(node) = made else { break };
            let place = match node.op.as_str() {
                "QuantizeLinear" => 1,
                "QLinearConv" | "QLinearMatMul" | "QLinearAdd" | "QLinearMul" => 6,
                "QGemm" => 7,
                "QLinearConcat" => 0,
                op if op.starts_with("QLinear") => 3,
                op if KEEPING.contains(&op) || ["MaxPool", "Gather", "Slice"].contains(&op) => {
                    made = node.inputs.first().and_then(|input| flow.made_by(input));
                    continue;
                }
                _ => break,
            };
            let [Some(scale), Some(zero)] = [place, place + 1].map(|at| node.inputs.get(at)) else { break };
            return Self::Dequantize { scale: scale.clone(), zero: zero.clone() };
        }
        Self::Cast
    }

    /// Appends the step that makes float32 of `tensor`; the name of what it makes.
    pub fn append(&self, tail: &mut Tail, tensor: &str) -> String {
        match self {
            Self::Cast => tail.node("Cast", &[tensor], &[Attribute::Int("to", FLOAT)]),
            Self::Dequantize { scale, zero } => tail.node("DequantizeLinear", &[tensor, scale, zero], &[]),
        }
    }
}

/// The model in `bytes`, whose outputs are `tensors` in this order, with those made float32 that have a way to it.
///
/// # Errors
/// [`BadModel`].
pub fn widened(bytes: &[u8], tensors: &[(&str, Option<Widening>)]) -> Result<Vec<u8>, BadModel> {
    let mut tail = Tail::behind(bytes, versions(bytes));
    let (outputs, others): (Vec<_>, Vec<_>) =
        graph_fields(bytes)?.into_iter().partition(|field| field.number == OUTPUT);
    let mut graph = Vec::with_capacity(bytes.len());
    for field in others {
        graph.extend_from_slice(field.raw);
    }
    let mut infos = Vec::new();
    for (output, (tensor, widening)) in outputs.iter().zip(tensors) {
        if let Some(widening) = widening {
            let mut info = Vec::new();
            put_bytes(&mut info, 1, widening.append(&mut tail, tensor).as_bytes());
            put_bytes(&mut infos, OUTPUT, &info);
        } else {
            infos.extend_from_slice(output.raw);
        }
    }
    graph.extend(tail.into_fields());
    graph.extend(infos);
    let mut model = Vec::with_capacity(graph.len() + 1024);
    for field in fields(bytes).map_while(Result::ok).filter(|field| field.number != GRAPH) {
        model.extend_from_slice(field.raw);
    }
    put_bytes(&mut model, GRAPH, &graph);
    Ok(model)
}
