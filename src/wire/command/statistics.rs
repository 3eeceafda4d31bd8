//! `request/statistics`: what a device shares of its labelled images, as sums.

use base64ct::{Base64, Encoding as _};
use serde::{Deserialize, Serialize};

use super::{BadPayload, Effect, Spec};
use crate::words::Digest;

/// Bytes of the file in one answer, unless the request says otherwise: 64 KiB as text.
const LENGTH: u32 = 48 * 1024;
/// Most of them.
pub const STATISTICS_MAX: u32 = 16 << 20;
/// Fewest values of a shortened embedding.
const VALUES_MIN: u32 = 16;

/// Give counts, means and scatter of the labelled images, part by part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statistics {
    /// Values that an embedding is shortened to; all where it is `None`.
    pub values: Option<u32>,
    /// First byte of the part.
    pub offset: u64,
    /// Bytes of the part at most.
    pub length: u32,
    /// Of the file that earlier parts are of; `None` for a new one.
    pub sha256: Option<Digest>,
}

/// The arguments as they are sent.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Arguments {
    /// Shorten embeddings to so many values by a random projection, 16 or more and fewer than they have: for a slow link.
    #[serde(default)]
    #[cfg_attr(test, schemars(range(min = 16)))]
    values: Option<u32>,
    /// The first byte of the part that is asked for; 0 without.
    #[serde(default)]
    offset: u64,
    /// Bytes of the file in the answer at most, 1 to 16 MiB; 49152 without. Their text is a third longer.
    #[serde(default)]
    #[cfg_attr(test, schemars(range(min = 1, max = 16_777_216)))]
    length: Option<u32>,
    /// SHA-256 of the file that earlier parts are of, as their answers say; required from the second part on.
    #[serde(default)]
    sha256: Option<Digest>,
}

impl Spec for Statistics {
    const NAME: &'static str = "statistics";
    const ABOUT: &'static str = "Give counts, means and scatter of the labelled images, part by part.";
    const EFFECT: Effect = Effect::Works;
    const SHAPE: &'static str = "{values?, offset?, length?, sha256?}";
    const NOT_TEXT: &'static [&'static str] = &["values", "offset", "length"];
    type Arguments = Arguments;
    type Data = StatisticsPart;

    fn check(Arguments { values, offset, length, sha256 }: Arguments) -> Result<Self, BadPayload> {
        let wrong = |found: String| Err(BadPayload::Json { what: Self::SHAPE, found });
        if let Some(values) = values.filter(|values| *values < VALUES_MIN) {
            return wrong(format!("'values' is {values}, expected {VALUES_MIN} or more"));
        }
        let length = length.unwrap_or(LENGTH);
        if !(1..=STATISTICS_MAX).contains(&length) {
            return wrong(format!("'length' is {length}, expected 1 to {STATISTICS_MAX}"));
        }
        if offset > 0 && sha256.is_none() {
            return wrong("a part behind the first needs the 'sha256' that the answer with the first has".into());
        }
        Ok(Self { values, offset, length, sha256 })
    }
}

/// Data of `response/statistics`: a part of a statistics file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct StatisticsPart {
    /// SHA-256 of the whole file.
    pub sha256: Digest,
    /// Its length.
    pub bytes: u64,
    /// First byte of this part.
    pub offset: u64,
    /// The part, in base64.
    pub data: String,
}

impl StatisticsPart {
    /// The part of `file` from `offset` on; empty behind its end.
    #[must_use]
    pub fn of(file: &[u8], sha256: Digest, offset: u64, length: u32) -> Self {
        let begin = usize::try_from(offset).unwrap_or(usize::MAX).min(file.len());
        let end = begin.saturating_add(length as usize).min(file.len());
        Self { sha256, bytes: file.len() as u64, offset, data: Base64::encode_string(&file[begin..end]) }
    }

    /// The bytes of the part; `None` where the text is no base64.
    #[must_use]
    pub fn decoded(&self) -> Option<Vec<u8>> {
        Base64::decode_vec(&self.data).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::read;
    use super::*;

    #[test]
    fn parts_put_together_are_the_file() {
        let file: Vec<u8> = (0..=255).cycle().take(1_000).collect();
        let sha256 = Digest::of(&file);
        let mut whole = Vec::new();
        while whole.len() < file.len() {
            let part = StatisticsPart::of(&file, sha256, whole.len() as u64, 300);
            assert_eq!((part.bytes, part.sha256), (1_000, sha256));
            whole.extend(part.decoded().unwrap());
        }
        assert_eq!(whole, file);
        assert_eq!(StatisticsPart::of(&file, sha256, u64::MAX, 300).data, "");
    }

    #[test]
    fn bounds_and_continuations_are_checked() {
        assert_eq!(
            read::<Statistics>("{}").unwrap(),
            Statistics { values: None, offset: 0, length: 49_152, sha256: None }
        );
        assert!(read::<Statistics>(r#"{"values":15}"#).unwrap_err().contains("16 or more"));
        assert!(read::<Statistics>(r#"{"length":0}"#).unwrap_err().contains("1 to 16777216"));
        assert!(read::<Statistics>(r#"{"offset":1}"#).unwrap_err().contains("sha256"));
    }
}
