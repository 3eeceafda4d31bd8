//! Values that only a trainable tail needs: those of weights, and the attributes of single nodes.
//!
//! Everything is read where it lies in the file; what is copied is in proportion to what the file holds.

use std::collections::{BTreeMap, HashMap};

use super::graph::BadModel;
use super::reader::{INITIALIZER, NODE, graph_fields, name_in};
use super::wire::{Field, Value, fields, packed};

/// `TensorProto.DataType`.
const FLOAT: u64 = 1;
const FLOAT16: u64 = 10;

/// The parts of a file, found once.
pub struct Values<'a> {
    /// `TensorProto` of each initializer, by name.
    initializers: HashMap<String, Field<'a>>,
    /// `NodeProto` of each node, in the order of the file.
    nodes: Vec<&'a [u8]>,
}

/// A constant of floating point numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Floats {
    /// Its axes.
    pub shape: Vec<usize>,
    /// Its values, widened to float32.
    pub values: Vec<f32>,
}

/// The attributes of one node.
#[derive(Debug, Default)]
pub struct Attributes {
    ints: BTreeMap<String, Vec<i64>>,
    floats: BTreeMap<String, f32>,
    texts: BTreeMap<String, String>,
}

impl<'a> Values<'a> {
    /// # Errors
    /// [`BadModel`] where the file is none.
    pub fn of(bytes: &'a [u8]) -> Result<Self, BadModel> {
        let mut values = Self { initializers: HashMap::new(), nodes: Vec::new() };
        for field in graph_fields(bytes)? {
            match (field.number, field.value) {
                (NODE, Value::Bytes(node)) => values.nodes.push(node),
                (INITIALIZER, Value::Bytes(_)) => {
                    values.initializers.extend(name_in(field, 8).map(|name| (name, field)));
                }
                _ => {}
            }
        }
        Ok(values)
    }

    /// The constant `name`, an initializer or made by the Constant node at `maker`.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn floats(&self, name: &str, maker: Option<usize>) -> Result<Floats, String> {
        let tensor = match self.initializers.get(name) {
            Some(field) => message(*field),
            None => maker.and_then(|node| self.constant(node)),
        };
        match tensor {
            Some(tensor) => floats(tensor),
            None => Err("is not in the file".to_owned()),
        }
    }

    /// The `value` of the Constant node at `place`.
    fn constant(&self, place: usize) -> Option<&'a [u8]> {
        let attributes = fields(self.nodes.get(place)?).map_while(Result::ok).filter(|field| field.number == 5);
        let named = |field: &Field<'a>| name_in(*field, 1).is_some_and(|name| name == "value");
        let value = attributes.filter(named).last()?;
        fields(message(value)?).map_while(Result::ok).filter(|field| field.number == 5).last().and_then(message)
    }

    /// The attributes of the node at `place`; what is broken ends the reading.
    pub fn attributes(&self, place: usize) -> Attributes {
        let mut read = Attributes::default();
        let node = self.nodes.get(place).copied().unwrap_or_default();
        for field in fields(node).map_while(Result::ok).filter(|field| field.number == 5) {
            let (Some(name), Some(attribute)) = (name_in(field, 1), message(field)) else { continue };
            let mut ints = Vec::new();
            for field in fields(attribute).map_while(Result::ok) {
                match (field.number, field.value) {
                    (2, Value::Fixed) => drop(read.floats.insert(name.clone(), last_float(field))),
                    (3 | 8, Value::Varint(value)) if ints.len() < 16 => ints.push(value.cast_signed()),
                    (8, Value::Bytes(bytes)) => ints.extend(packed(bytes).take(16)),
                    (4, Value::Bytes(text)) => {
                        read.texts.insert(name.clone(), String::from_utf8_lossy(text).into_owned());
                    }
                    _ => {}
                }
            }
            if !ints.is_empty() {
                read.ints.insert(name, ints);
            }
        }
        read
    }
}

impl Attributes {
    /// A list of integers, empty where there is none.
    pub fn ints(&self, name: &str) -> &[i64] {
        self.ints.get(name).map_or(&[], Vec::as_slice)
    }

    /// One integer.
    pub fn int(&self, name: &str, usual: i64) -> i64 {
        self.ints(name).first().copied().unwrap_or(usual)
    }

    /// One number.
    pub fn float(&self, name: &str) -> Option<f32> {
        self.floats.get(name).copied()
    }

    /// A text, empty where there is none.
    pub fn text(&self, name: &str) -> &str {
        self.texts.get(name).map_or("", String::as_str)
    }
}

fn message(field: Field<'_>) -> Option<&[u8]> {
    if let Value::Bytes(message) = field.value { Some(message) } else { None }
}

/// The value of a field of four bytes: they end it.
fn last_float(field: Field<'_>) -> f32 {
    field.raw.last_chunk().map_or(f32::NAN, |bytes| f32::from_le_bytes(*bytes))
}

/// Reads a `TensorProto` of float32 or float16.
fn floats(tensor: &[u8]) -> Result<Floats, String> {
    let (mut shape, mut element, mut values) = (Vec::new(), 0, Vec::new());
    let broken = |_| "is broken".to_owned();
    // Its type may stand behind its values.
    for field in fields(tensor) {
        match field.map(|field| (field.number, field.value)).map_err(broken)? {
            (1, Value::Varint(length)) if shape.len() < 16 => shape.push(length),
            (1, Value::Bytes(lengths)) => shape.extend(packed(lengths).take(16).map(i64::cast_unsigned)),
            (2, Value::Varint(kind)) => element = kind,
            (14, Value::Varint(1)) => return Err("is in a file of its own".to_owned()),
            _ => {}
        }
    }
    if ![FLOAT, FLOAT16].contains(&element) {
        return Err(format!("is of element type {element}, not of float32 or float16"));
    }
    let half = |bits: u16| half::f16::from_bits(bits).to_f32();
    for field in fields(tensor) {
        let field = field.map_err(broken)?;
        match (element, field.number, field.value) {
            (FLOAT, 4, Value::Fixed) => values.push(last_float(field)),
            (FLOAT, 4 | 9, Value::Bytes(raw)) => {
                values.extend(raw.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)));
            }
            (FLOAT16, 5, Value::Varint(bits)) => values.push(half(bits as u16)),
            (FLOAT16, 5, Value::Bytes(bits)) => values.extend(packed(bits).map(|bits| half(bits as u16))),
            (FLOAT16, 9, Value::Bytes(raw)) => {
                values.extend(raw.as_chunks::<2>().0.iter().map(|bytes| half(u16::from_le_bytes(*bytes))));
            }
            _ => {}
        }
    }
    let shape: Option<Vec<usize>> = shape.into_iter().map(|length| usize::try_from(length).ok()).collect();
    let length = |shape: &Vec<usize>| shape.iter().try_fold(1_usize, |length, side| length.checked_mul(*side));
    match shape {
        Some(shape) if length(&shape) == Some(values.len()) => Ok(Floats { shape, values }),
        _ => Err(format!("has {} values, which do not fill its shape", values.len())),
    }
}
