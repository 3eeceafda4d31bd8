//! The protobuf wire format, as much of it as ONNX files need.
//!
//! Every length is checked against the bytes that are there, nothing is allocated here, nothing recurses.

/// One field of a message.
#[derive(Debug, Clone, Copy)]
pub struct Field<'a> {
    /// Its number.
    pub number: u64,
    /// What it holds.
    pub value: Value<'a>,
    /// Tag and value, unchanged from the file.
    pub raw: &'a [u8],
}

/// What a field holds.
#[derive(Debug, Clone, Copy)]
pub enum Value<'a> {
    /// Integers, enumerations, booleans.
    Varint(u64),
    /// Text, bytes, messages, packed numbers.
    Bytes(&'a [u8]),
    /// Four or eight bytes wide; nothing here reads them.
    Fixed,
}

/// The bytes end in the middle of a field, or are not a protobuf message at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadWire {
    /// A field announces more bytes than there are.
    Truncated,
    /// No field begins so.
    Malformed,
}

/// The fields of the message in `bytes`, in their order; ends after the first error.
pub fn fields(bytes: &[u8]) -> impl Iterator<Item = Result<Field<'_>, BadWire>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let before = rest;
        let field =
            next(&mut rest).map(|(number, value)| Field { number, value, raw: &before[..before.len() - rest.len()] });
        if field.is_err() {
            rest = &[];
        }
        Some(field)
    })
}

fn next<'a>(rest: &mut &'a [u8]) -> Result<(u64, Value<'a>), BadWire> {
    let tag = varint(rest)?;
    if tag >> 3 == 0 {
        return Err(BadWire::Malformed);
    }
    let value = match tag & 7 {
        0 => Value::Varint(varint(rest)?),
        1 => take(rest, 8).map(|_| Value::Fixed)?,
        2 => {
            let length = varint(rest)?;
            Value::Bytes(take(rest, usize::try_from(length).map_err(|_| BadWire::Truncated)?)?)
        }
        5 => take(rest, 4).map(|_| Value::Fixed)?,
        _ => return Err(BadWire::Malformed),
    };
    Ok((tag >> 3, value))
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], BadWire> {
    let (taken, left) = rest.split_at_checked(length).ok_or(BadWire::Truncated)?;
    *rest = left;
    Ok(taken)
}

fn varint(rest: &mut &[u8]) -> Result<u64, BadWire> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(rest, 1)?[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(BadWire::Malformed)
}

/// The integers of a packed field; ends where they break off.
pub fn packed(bytes: &[u8]) -> impl Iterator<Item = i64> {
    let mut rest = bytes;
    std::iter::from_fn(move || if rest.is_empty() { None } else { varint(&mut rest).ok().map(u64::cast_signed) })
}

/// Appends a length-delimited field.
pub fn put_bytes(out: &mut Vec<u8>, number: u64, bytes: &[u8]) {
    put_varint(out, number << 3 | 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends a field with an integer.
pub fn put_int(out: &mut Vec<u8>, number: u64, value: i64) {
    put_varint(out, number << 3);
    put_varint(out, value.cast_unsigned());
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
