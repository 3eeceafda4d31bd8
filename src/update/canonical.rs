//! Strict reading of JSON, and its canonical form (RFC 8785).
//!
//! A signature covers what a text means, not how it is written, so a text that readers could understand differently is
//! refused: a name given twice, a whole number that not every reader holds exactly, half of a surrogate pair.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// The largest whole number that a double holds exactly with its neighbours, 2^53 - 1 (RFC 7493, section 2.2).
pub(super) const EXACT_MAX: u64 = (1 << 53) - 1;

/// Canonical JSON has an exponent from here on; whole numbers below are written with all their digits.
const DIGITS_MAX: f64 = 1e21;

/// The canonical JSON of `value` by RFC 8785: names in the order of their UTF-16 units, numbers as ECMAScript writes
/// them, no white space.
///
/// # Panics
/// Never for what [`read_strictly`] returned: all its numbers are finite.
#[must_use]
pub fn canonical(value: &Value) -> Vec<u8> {
    serde_json_canonicalizer::to_vec(value).expect("JSON values have text keys and finite numbers")
}

/// The value of `bytes`, if all readers agree on it; `5` and `5.0` are the same number.
///
/// # Errors
/// The parser's words, with line and column, when it is no JSON, is nested deeper than 128, gives a name twice, or has
/// a whole number beyond 2^53 - 1; from 1e21 on numbers are no longer written as whole ones, and are read.
pub fn read_strictly(bytes: &[u8]) -> Result<Value, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = Strict.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

#[derive(Clone, Copy)]
struct Strict;

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, truth: bool) -> Result<Value, E> {
        Ok(Value::Bool(truth))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(text.to_owned()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Value, E> {
        if number > EXACT_MAX { Err(inexact(number)) } else { Ok(number.into()) }
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Value, E> {
        if number.unsigned_abs() > EXACT_MAX { Err(inexact(number)) } else { Ok(number.into()) }
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
        if number.fract() == 0.0 && number.abs() < DIGITS_MAX {
            let exact = number.abs() <= EXACT_MAX as f64;
            return if exact { Ok((number as i64).into()) } else { Err(inexact(number)) };
        }
        Number::from_f64(number).map(Value::Number).ok_or_else(|| E::custom("an infinite number"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(self)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut values = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            if values.contains_key(&name) {
                return Err(A::Error::custom(format_args!("the name {name:?} is given twice")));
            }
            let value = map.next_value_seed(self)?;
            values.insert(name, value);
        }
        Ok(Value::Object(values))
    }
}

fn inexact<E: Error>(number: impl fmt::Display) -> E {
    E::custom(format_args!("the whole number {number} is beyond 2^53 - 1, which not every reader holds exactly"))
}
