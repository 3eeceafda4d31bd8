//! SHA-256 digests, the identities built from them (of an image, an embedding space, a head), and random draws that
//! depend only on the image, so that every caller draws the same and nothing has to be stored.

#[cfg(feature = "schema")]
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

#[cfg(feature = "schema")]
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use super::{Region, keywords};

/// A SHA-256 digest; shown and serialised as 64 lowercase hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The first twelve hexadecimal digits, for messages to people.
    #[must_use]
    pub fn short(&self) -> String {
        self.to_string()[..12].to_owned()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}…", self.short())
    }
}

/// What is wrong with a text that should be a SHA-256 digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected 64 hexadecimal digits, found {found:?}")]
pub struct BadDigest {
    /// The text, cut to 80 characters.
    pub found: String,
}

impl FromStr for Digest {
    type Err = BadDigest;

    fn from_str(text: &str) -> Result<Self, BadDigest> {
        let bad = || BadDigest { found: text.chars().take(80).collect() };
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(bad());
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| bad())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| bad())?;
        }
        Ok(Self(bytes))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(feature = "schema")]
impl JsonSchema for Digest {
    fn schema_name() -> Cow<'static, str> {
        "Digest".into()
    }

    /// Capital digits are read, too, and never written.
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let digits = if generator.contract().is_deserialize() { "0-9A-Fa-f" } else { "0-9a-f" };
        json_schema!({
            "type": "string",
            "description": "SHA-256 in hexadecimal digits.",
            "pattern": format!("^[{digits}]{{64}}$"),
        })
    }
}

/// Identity of an image: the SHA-256 of its file's bytes, so one picture under two names is one sample.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct SampleId(pub Digest);

impl SampleId {
    /// The identity of a file with these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Digest::of(bytes))
    }

    /// Its start, for long lists.
    #[must_use]
    pub fn short(&self) -> ShortId {
        let [a, b, c, d, e, f, g, h, ..] = self.0.0;
        ShortId([a, b, c, d, e, f, g, h])
    }
}

/// The first 8 bytes of an image's identity; shown and serialised as 16 lowercase hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShortId(pub [u8; 8]);

impl fmt::Display for ShortId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl Serialize for ShortId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(feature = "schema")]
impl JsonSchema for ShortId {
    fn schema_name() -> Cow<'static, str> {
        "ShortId".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "The first 16 hexadecimal digits of an image's SHA-256.",
            "pattern": "^[0-9a-f]{16}$",
        })
    }
}

impl fmt::Display for SampleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for SampleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl FromStr for SampleId {
    type Err = BadDigest;

    fn from_str(text: &str) -> Result<Self, BadDigest> {
        text.parse().map(Self)
    }
}

/// Where embeddings can be compared: same backbone bytes, same preprocessing.
///
/// Two backbones of one width differ in `backbone`, so their embeddings never mix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EmbeddingSpace {
    /// SHA-256 of the model file, mixed with the name of the embedding tensor and its pooling.
    pub backbone: Digest,
    /// Digest of everything that happens between file and tensor.
    pub preprocessing: Digest,
    /// Width of one embedding.
    pub dim: usize,
}

impl EmbeddingSpace {
    /// The space of embeddings of this part of pictures: of the whole picture the same.
    #[must_use]
    pub fn within(&self, region: &Region) -> Self {
        Self { preprocessing: region.within(self.preprocessing), ..*self }
    }
}

/// Identity of a head by content: the first twelve hexadecimal digits of the SHA-256 of its weights and classes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
#[cfg_attr(feature = "schema", schemars(extend("pattern" = "^[0-9a-f]{12}$")))]
pub struct HeadId(pub String);

impl fmt::Display for HeadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A head's two names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HeadRef {
    /// Identity by content.
    pub id: HeadId,
    /// Rising number within one state folder; 1 for a head trained offline.
    pub version: u64,
}

keywords! {
    /// Status of a head.
    #[derive(Serialize, Deserialize)]
    #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
    #[serde(rename_all = "lowercase")]
    pub enum HeadStatus {
        /// In service.
        Champion = "champion",
        /// Was in service, or waits for a person; can be put in service again.
        Kept = "kept",
        /// Did not pass the gate, or was rolled back.
        Rejected = "rejected",
    }
}

impl fmt::Display for HeadRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "head {} ({})", self.version, self.id)
    }
}

/// One image in this many is an audit image.
const ONE_IN: u64 = 10;

/// A number uniform over 0..2^64 for the image `id`; draws for different `purpose`s are independent.
///
/// It is the start of the SHA-256 of purpose and identity. Keeping the images with the smallest draws keeps a uniform
/// sample of all that ever came, however many come later.
#[must_use]
pub fn draw(id: &SampleId, purpose: &str) -> u64 {
    let digest = Digest::of(&[purpose.as_bytes(), b"\0", &id.0.0[..]].concat());
    digest.0.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Whether the image is one of the tenth that is labelled for the live figure alone.
///
/// The review list proposes images because they are hard, new or odd, so their labels are a biased sample. A tenth of
/// all images is designated by a draw of its own, before any model has seen them; on those the share of right
/// predictions is an unbiased estimate of the live accuracy (a simple random sample; Cochran 1977, Sampling Techniques,
/// chapter 2), as far as the designated ones are labelled without regard to what they show.
#[must_use]
pub fn is_audit(id: &SampleId) -> bool {
    draw(id, "audit").is_multiple_of(ONE_IN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_survives_its_own_text() {
        let digest = Digest::of(b"abc");
        // FIPS 180-2, appendix B.1.
        assert_eq!(digest.to_string(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(digest.to_string().parse(), Ok(digest));
    }

    #[test]
    fn a_text_that_is_no_digest_is_refused() {
        for text in ["", "ba78", &"g".repeat(64), &"é".repeat(32)] {
            assert!(text.parse::<Digest>().is_err(), "{text:?}");
        }
    }

    fn ids(count: u32) -> impl Iterator<Item = SampleId> {
        (0..count).map(|i| SampleId::of(&i.to_le_bytes()))
    }

    #[test]
    fn one_in_ten_is_an_audit() {
        let audits = ids(20_000).filter(is_audit).count();
        // 2,000 expected, standard deviation 42.
        assert!((1830..2170).contains(&audits), "{audits}");
    }

    #[test]
    fn draws_for_different_purposes_do_not_go_together() {
        let small = |id: &SampleId, purpose| draw(id, purpose) < u64::MAX / 4;
        let both = ids(20_000).filter(|id| is_audit(id) && small(id, "subset")).count();
        // 500 expected, standard deviation 22.
        assert!((410..590).contains(&both), "{both}");
    }

    #[test]
    fn the_designated_images_stay_the_same_from_version_to_version() {
        let found: Vec<u32> = ids(40).zip(0..).filter(|(id, _)| is_audit(id)).map(|(_, i)| i).collect();
        // python: int.from_bytes(sha256(b"audit\0" + sha256(struct.pack("<I", i)).digest()).digest()[:8], "big") % 10
        // == 0
        assert_eq!(found, [7, 12, 28, 29]);
    }
}
