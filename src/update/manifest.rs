//! The signed manifest of an update: its fields, their ranges, signing and opening.

use std::fmt;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::accept::{Code, Refusal};
use super::canonical::{EXACT_MAX, canonical, read_strictly};
use super::keys::{Signer, TrustedKeys};
use crate::head::BackboneRef;
use crate::wire::UpdateKind;
use crate::words::{Digest, EmbeddingSpace, TaskId, Timestamp};

/// Bytes of a manifest at most.
pub const MANIFEST_BYTES_MAX: usize = 64 << 10;
/// MiB of a head at most.
pub const HEAD_MIB_MAX: usize = 64;
/// MiB of a backbone at most.
pub const BACKBONE_MIB_MAX: usize = 512;
/// Bytes of a chunk at least.
pub const CHUNK_BYTES_MIN: u64 = 1 << 10;
/// Bytes of a chunk at most, where `mqtt.max_packet_kb` allows as much.
pub const CHUNK_BYTES_MAX: u64 = 1 << 20;
/// The highest version, so that every reader of JSON holds it exactly.
pub const VERSION_MAX: u64 = EXACT_MAX;

/// Name of the member with the signature, which is over all the others.
const SIGNATURE: &str = "signature";

/// The bytes that an update of this kind may have.
#[must_use]
pub fn bytes_max(kind: UpdateKind) -> u64 {
    let mib = match kind {
        UpdateKind::Head => HEAD_MIB_MAX,
        UpdateKind::Backbone => BACKBONE_MIB_MAX,
    };
    (mib as u64) << 20
}

/// A manifest that a trusted key has signed; every field is in its range.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// Name for people, 1 to 64 characters.
    pub name: String,
    /// Rises from one update to the next, 1 to [`VERSION_MAX`].
    pub version: u64,
    /// Bytes of the file, at least 1.
    pub size: u64,
    /// Of the file.
    pub sha256: Digest,
    /// Bytes of every chunk but the last, [`CHUNK_BYTES_MIN`] to [`CHUNK_BYTES_MAX`].
    pub chunk_bytes: u64,
    /// When it was signed.
    pub created: Timestamp,
    /// From then on it is no longer accepted.
    pub expires: Timestamp,
    /// Ids of the devices that take it, with `*` for any characters; `None` means all.
    pub devices: Option<Vec<String>>,
    /// What it installs.
    pub contents: Contents,
    /// Name of the key that signed it.
    pub signed_by: String,
}

/// What an update installs.
#[derive(Debug, Clone, PartialEq)]
pub enum Contents {
    /// A head that reads the embeddings of this backbone, prepared this way.
    Head {
        /// The task that it answers; the one called `default`, or the only one, where left out.
        task: Option<TaskId>,
        /// As people know it.
        backbone: BackboneRef,
        /// The embeddings that the head must read, whatever its file states.
        space: EmbeddingSpace,
    },
    /// A model file with this manifest, as JSON.
    Backbone {
        /// The keys of a `models/NAME.yaml` but for `file`.
        manifest: Value,
    },
}

impl Contents {
    /// What kind of update it is.
    #[must_use]
    pub fn kind(&self) -> UpdateKind {
        match self {
            Self::Head { .. } => UpdateKind::Head,
            Self::Backbone { .. } => UpdateKind::Backbone,
        }
    }
}

/// The members that this version knows.
#[derive(Deserialize)]
struct Fields {
    v: u64,
    kind: UpdateKind,
    name: String,
    version: u64,
    size: u64,
    sha256: Digest,
    chunk_bytes: u64,
    created: Timestamp,
    expires: Timestamp,
    devices: Option<Vec<String>>,
    task: Option<TaskId>,
    backbone: Option<BackboneRef>,
    space: Option<EmbeddingSpace>,
    manifest: Option<Value>,
}

impl Manifest {
    /// Reads `bytes`, all of which one of `keys` must have signed.
    ///
    /// # Errors
    /// [`Refusal`] with [`Code::NoKeys`], [`Code::Malformed`] or [`Code::BadSignature`].
    pub fn open(bytes: &[u8], keys: &TrustedKeys) -> Result<Self, Refusal> {
        if keys.0.is_empty() {
            let reason = "no keys, no updates: list the public keys of those who may sign in updates.trusted_keys";
            return Err(Refusal::new(Code::NoKeys, reason));
        }
        let (members, signature) = parts(bytes)?;
        let signer = keys.signer_of(&canonical(&Value::Object(members.clone())), &signature).ok_or_else(|| {
            let trusted = keys.ids();
            let reason = format!("none of the trusted keys ({trusted}) has signed it; sign it with one of theirs");
            Refusal::new(Code::BadSignature, reason)
        })?;
        read_members(members, signer.id())
    }

    /// Reads `bytes` without looking at the signature, for a sender: which keys a device trusts is not known there.
    /// `signed_by` is empty.
    ///
    /// # Errors
    /// [`Refusal`] with [`Code::Malformed`] or [`Code::TooLarge`], as every device would refuse it.
    pub fn read_unverified(bytes: &[u8]) -> Result<Self, Refusal> {
        let (members, _) = parts(bytes)?;
        read_members(members, String::new())
    }

    /// How many chunks the file has.
    ///
    /// # Panics
    /// Never: size and length of a chunk are in their ranges.
    #[must_use]
    pub fn chunks(&self) -> u32 {
        u32::try_from(self.size.div_ceil(self.chunk_bytes)).expect("512 MiB of at least 1 KiB each")
    }
}

/// As people read it: `"parts" 5, signed by key 1f2e3d4c5b6a`.
impl fmt::Display for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}, signed by key {}", self.name, self.version, self.signed_by)
    }
}

/// `members` with the signature of `signer` over their canonical JSON, as indented text.
///
/// # Errors
/// [`Refusal`] when a device that trusts the signer could not read it.
pub fn sign(mut members: Map<String, Value>, signer: &Signer) -> Result<String, Refusal> {
    members.remove(SIGNATURE);
    let signature = signer.sign(&canonical(&Value::Object(members.clone())));
    members.insert(SIGNATURE.into(), signature.into());
    let text = format!("{:#}\n", Value::Object(members));
    Manifest::open(text.as_bytes(), &TrustedKeys(vec![signer.public()])).map(|_| text)
}

/// All members but the signature, and the signature.
fn parts(bytes: &[u8]) -> Result<(Map<String, Value>, String), Refusal> {
    if bytes.len() > MANIFEST_BYTES_MAX {
        let reason = format!("a manifest has at most {MANIFEST_BYTES_MAX} bytes, this one has {}", bytes.len());
        return Err(Refusal::new(Code::Malformed, reason));
    }
    let value = read_strictly(bytes).map_err(|error| malformed(&error.to_string()))?;
    let Value::Object(mut members) = value else { return Err(malformed("it is not a JSON object")) };
    match members.remove(SIGNATURE) {
        Some(Value::String(signature)) => Ok((members, signature)),
        Some(_) => Err(malformed("'signature' is not text")),
        None => Err(malformed("it has no 'signature'")),
    }
}

fn malformed(found: &str) -> Refusal {
    Refusal::new(Code::Malformed, format!("expected a manifest as described in docs/updates.md: {found}"))
}

fn read_members(members: Map<String, Value>, signed_by: String) -> Result<Manifest, Refusal> {
    let fields = serde_json::from_value(Value::Object(members)).map_err(|error| malformed(&error.to_string()))?;
    let Fields { v, kind, name, version, size, sha256, chunk_bytes, created, expires, devices, .. } = fields;
    let hold = |holds: bool, found: &str| if holds { Ok(()) } else { Err(malformed(found)) };
    hold(v == 1, &format!("'v' is {v}, this version reads 1; update edgetuned"))?;
    let printable = !name.contains(char::is_control);
    hold((1..=64).contains(&name.chars().count()) && printable, "'name' does not have 1 to 64 printable characters")?;
    hold((1..=VERSION_MAX).contains(&version), "'version' is not from 1 to 2^53 - 1")?;
    hold(size > 0, "'size' is 0")?;
    if size > bytes_max(kind) {
        let reason = format!("a {kind} has at most {} bytes, this one has {size}", bytes_max(kind));
        return Err(Refusal::new(Code::TooLarge, reason));
    }
    let sizes = CHUNK_BYTES_MIN..=CHUNK_BYTES_MAX;
    hold(sizes.contains(&chunk_bytes), &format!("'chunk_bytes' is {chunk_bytes}, not from 1024 to 1048576"))?;
    hold(created < expires, "'expires' is not after 'created'")?;
    let odd = |pattern: &String| {
        let known = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*');
        !(1..=64).contains(&pattern.len()) || !pattern.bytes().all(known)
    };
    if let Some(found) = devices.iter().flatten().find(|pattern| odd(pattern)) {
        return Err(malformed(&format!(
            "'devices' has {found:?}, no device id of a-z, 0-9, _ and -, with or without *"
        )));
    }
    let contents = match (kind, fields.backbone, fields.space, fields.manifest) {
        (UpdateKind::Head, Some(backbone), Some(space), _) => Contents::Head { task: fields.task, backbone, space },
        (UpdateKind::Head, ..) => return Err(malformed("a head needs 'backbone' and 'space'")),
        (UpdateKind::Backbone, _, _, Some(manifest @ Value::Object(_))) => Contents::Backbone { manifest },
        (UpdateKind::Backbone, ..) => return Err(malformed("a backbone needs 'manifest', an object")),
    };
    Ok(Manifest { name, version, size, sha256, chunk_bytes, created, expires, devices, contents, signed_by })
}
