//! Other values for weights of a model.

use std::collections::HashMap;

use super::graph::BadModel;
use super::reader::{GRAPH, INITIALIZER, graph_fields, name_in};
use super::wire::{Value, fields, put_bytes, put_int};
use crate::head::TailWeight;

/// `TensorProto.DataType` of float32.
const FLOAT: i64 = 1;

/// The model in `bytes` with these `weights` in place of its own of the same names and numbers of values.
///
/// # Errors
/// [`BadModel`]; `UnknownWeight` when the model has no such weight.
pub fn replaced(bytes: &[u8], weights: &[TailWeight]) -> Result<Vec<u8>, BadModel> {
    let mut by_name: HashMap<&str, &TailWeight> = weights.iter().map(|weight| (weight.name.as_str(), weight)).collect();
    let mut graph = Vec::with_capacity(bytes.len());
    for field in graph_fields(bytes)? {
        let named = if field.number == INITIALIZER { name_in(field, 8) } else { None };
        match named.and_then(|name| by_name.remove(name.as_str())) {
            Some(weight) if shape(field.value) == weight.shape => {
                put_bytes(&mut graph, INITIALIZER, &tensor_of(weight));
            }
            Some(weight) => return Err(BadModel::UnknownWeight { weight: weight.name.clone() }),
            None => graph.extend_from_slice(field.raw),
        }
    }
    if let Some(weight) = by_name.keys().min() {
        return Err(BadModel::UnknownWeight { weight: (*weight).to_owned() });
    }
    let mut model = Vec::with_capacity(graph.len() + 1024);
    for field in fields(bytes).map_while(Result::ok).filter(|field| field.number != GRAPH) {
        model.extend_from_slice(field.raw);
    }
    put_bytes(&mut model, GRAPH, &graph);
    Ok(model)
}

/// The axes of the `TensorProto` in `message`.
fn shape(message: Value<'_>) -> Vec<usize> {
    let Value::Bytes(message) = message else { return Vec::new() };
    let mut axes = Vec::new();
    for field in fields(message).map_while(Result::ok).filter(|field| field.number == 1) {
        match field.value {
            Value::Varint(length) => axes.push(length as usize),
            Value::Bytes(lengths) => axes.extend(super::wire::packed(lengths).map(|length| length as usize)),
            Value::Fixed => {}
        }
    }
    axes
}

/// `weight` as a `TensorProto`.
pub fn tensor_of(weight: &TailWeight) -> Vec<u8> {
    let mut message = Vec::with_capacity(4 * weight.values.len() + 64);
    weight.shape.iter().for_each(|length| put_int(&mut message, 1, *length as i64));
    put_int(&mut message, 2, FLOAT);
    put_bytes(&mut message, 8, weight.name.as_bytes());
    let values: Vec<u8> = weight.values.iter().flat_map(|value| value.to_le_bytes()).collect();
    put_bytes(&mut message, 9, &values);
    message
}
