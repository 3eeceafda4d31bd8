//! Columns of numbers, one behind another, after a header in JSON that says where each begins.
//!
//! Little-endian: the length of the header as u32; the header, filled up with spaces so that both together are a multiple
//! of 8; then the columns, each at a multiple of 8. `offset` counts from the end of the header.

use serde_json::{Value, json};

/// A column, encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// What it is called in the header.
    pub name: &'static str,
    /// `u8`, `u16`, `u32`, `i16`, or `u8x8` for eight octets a row.
    pub kind: &'static str,
    /// Its values.
    pub bytes: Vec<u8>,
}

impl Column {
    /// Numbers in the narrowest type that holds all of them, up to `most`; `none` becomes the largest number of that type.
    #[must_use]
    pub fn narrow(name: &'static str, values: &[u32], most: usize, none: u32) -> Self {
        let with = |kind, width: usize| {
            let bytes = |value: &u32| if *value == none { [0xff; 4] } else { value.to_le_bytes() };
            Self { name, kind, bytes: values.iter().flat_map(|value| bytes(value).into_iter().take(width)).collect() }
        };
        match most {
            0..=0xfe => with("u8", 1),
            0xff..=0xfffe => with("u16", 2),
            _ => with("u32", 4),
        }
    }

    /// Octets.
    #[must_use]
    pub fn u8(name: &'static str, values: &[u8]) -> Self {
        Self { name, kind: "u8", bytes: values.to_vec() }
    }

    /// Numbers of two octets, with a sign.
    #[must_use]
    pub fn i16(name: &'static str, values: impl Iterator<Item = i16>) -> Self {
        Self { name, kind: "i16", bytes: values.flat_map(i16::to_le_bytes).collect() }
    }

    /// Numbers of four octets.
    #[must_use]
    pub fn u32(name: &'static str, values: &[u32]) -> Self {
        Self { name, kind: "u32", bytes: values.iter().flat_map(|value| value.to_le_bytes()).collect() }
    }
}

/// The octets of `columns` behind `header`, an object that gets the list of them as `columns`.
#[must_use]
pub fn pack(mut header: Value, columns: &[Column]) -> Vec<u8> {
    let mut offset = 0;
    let place = |column: &Column| {
        let at = offset;
        offset = (at + column.bytes.len()).next_multiple_of(8);
        json!({ "name": column.name, "type": column.kind, "offset": at })
    };
    header["columns"] = columns.iter().map(place).collect();
    let mut header = header.to_string().into_bytes();
    header.resize((4 + header.len()).next_multiple_of(8) - 4, b' ');
    let mut octets = Vec::with_capacity(4 + header.len() + offset);
    octets.extend((header.len() as u32).to_le_bytes());
    octets.extend(header);
    for column in columns {
        octets.extend(&column.bytes);
        octets.resize(octets.len().next_multiple_of(8), 0);
    }
    octets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_as_narrow_as_its_numbers_allow() {
        let column = |most| {
            let Column { kind, bytes, .. } = Column::narrow("a", &[3, u32::MAX, 254], most, u32::MAX);
            (kind, bytes)
        };
        assert_eq!(column(254), ("u8", vec![3, 255, 254]));
        assert_eq!(column(255), ("u16", vec![3, 0, 255, 255, 254, 0]));
        assert_eq!(column(65_534).0, "u16");
        assert_eq!(column(65_535), ("u32", [[3, 0, 0, 0], [255; 4], [254, 0, 0, 0]].concat()));
    }

    #[test]
    fn every_column_begins_at_a_multiple_of_eight_whatever_comes_before_it() {
        for length in 0..20 {
            let header = json!({ "text": "x".repeat(length) });
            let columns = [
                Column::u8("a", &vec![7; length]),
                Column::i16("b", (0..3).map(|value| -value)),
                Column::u32("c", &[1, u32::MAX]),
            ];
            let octets = pack(header, &columns);
            let begin = 4 + u32::from_le_bytes(*octets.first_chunk().unwrap()) as usize;
            assert_eq!((begin % 8, octets.len() % 8), (0, 0), "{length}");
            let header: Value = serde_json::from_slice(&octets[4..begin]).unwrap();
            for (told, column) in header["columns"].as_array().unwrap().iter().zip(&columns) {
                let at = begin + told["offset"].as_u64().unwrap() as usize;
                assert_eq!((at % 8, &told["type"]), (0, &json!(column.kind)), "{length}");
                assert_eq!(octets[at..at + column.bytes.len()], column.bytes, "{length}");
            }
        }
    }
}
