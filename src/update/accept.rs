//! Whether this device takes a manifest that is signed.

use serde::{Deserialize, Serialize};

use super::manifest::{Contents, Manifest};
use crate::wire::{Unsettled, UpdateKind, settle};
use crate::words::{Digest, EmbeddingSpace, TaskId, Timestamp, keywords, wildcard};

keywords! {
    /// Why an update is refused, not finished, or rolled back; the code for programs.
    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum Code {
        /// No key is trusted here.
        NoKeys = "no_keys",
        /// The manifest cannot be read.
        Malformed = "malformed",
        /// No trusted key has signed it.
        BadSignature = "bad_signature",
        /// It came on the topic of another kind.
        WrongKind = "wrong_kind",
        /// It is for other devices.
        WrongDevice = "wrong_device",
        /// It has expired.
        Expired = "expired",
        /// A version that is as high or higher is installed.
        NotNewer = "not_newer",
        /// This version was installed before and rolled back.
        FailedBefore = "failed_before",
        /// It is over the bound of its kind, or of the device's store.
        TooLarge = "too_large",
        /// Its chunks do not fit into a packet.
        ChunkTooLarge = "chunk_too_large",
        /// It is for a task that this device does not have, or does not say for which of several.
        UnknownTask = "unknown_task",
        /// Somebody is switching to another backbone.
        Switching = "switching",
        /// It is for another backbone or another preprocessing.
        WrongBackbone = "wrong_backbone",
        /// The file does not match the manifest.
        Sha256 = "sha256",
        /// The file is not a head, or not one that can predict.
        BadContent = "bad_content",
        /// It is worse on this device's labels than the head in service.
        Worse = "worse",
        /// It was installed and rolled back.
        DidNotHold = "did_not_hold",
        /// This version cannot install it.
        NotPossible = "not_possible",
    }
}

/// Why an update is refused; nothing has changed then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{reason}")]
pub struct Refusal {
    /// For programs.
    pub code: Code,
    /// The message, with the remedy.
    pub reason: String,
}

impl Refusal {
    /// A refusal with this reason, which ends in the remedy.
    pub fn new(code: Code, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into() }
    }
}

/// What of a device decides whether it takes a manifest.
#[derive(Debug, Clone, Copy)]
pub struct Device<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its tasks, each with the embeddings that its heads read; `default` alone where the configuration names none.
    pub tasks: &'a [(TaskId, EmbeddingSpace)],
    /// Bytes of a chunk that fit into a packet.
    pub chunk_bytes_max: u64,
    /// Bytes of a file that its store has room for.
    pub bytes_max: u64,
    /// The update of this kind that was installed last.
    pub installed: Option<&'a Installed>,
    /// Versions that were installed and rolled back.
    pub failed: &'a [u64],
}

/// An update that was installed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Installed {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: u64,
    /// Of the file.
    pub sha256: Digest,
}

/// What to do with a manifest that is not refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// It is to be fetched.
    Begin,
    /// It is what is installed; nothing is to be done.
    Nothing,
}

/// Whether this device takes a signed manifest that came on the topic of `kind`, at `now` by its clock.
///
/// A clock that is earlier than the manifest's creation is wrong, so it cannot expire the manifest.
///
/// # Errors
/// The first [`Refusal`] there is: kind, device, version, task, backbone, chunks, time.
pub fn accept(manifest: &Manifest, kind: UpdateKind, device: &Device<'_>, now: Timestamp) -> Result<Accepted, Refusal> {
    let refuse = |code, reason: String| Err(Refusal::new(code, reason));
    let found = manifest.contents.kind();
    if found != kind {
        return refuse(Code::WrongKind, format!("it brings a {found}; publish it on update/{found}/desired"));
    }
    if !manifest.devices.as_ref().is_none_or(|patterns| {
        patterns.iter().any(|pattern| wildcard::matches(pattern.as_bytes(), device.id.as_bytes()))
    }) {
        return refuse(Code::WrongDevice, format!("it is not for {}; sign one with --device {0}", device.id));
    }
    let version = manifest.version;
    if let Some(installed) = device.installed {
        if installed.version == version && installed.sha256 == manifest.sha256 {
            return Ok(Accepted::Nothing);
        }
        if installed.version >= version {
            let reason = format!(
                "version {version} is not higher than {}, which is installed; sign a higher one",
                installed.version
            );
            return refuse(Code::NotNewer, reason);
        }
    }
    if device.failed.contains(&version) {
        let reason = format!("version {version} was installed and rolled back; sign another file as a higher version");
        return refuse(Code::FailedBefore, reason);
    }
    if let Contents::Head { task, backbone, space } = &manifest.contents
        && *space != space_of(task.as_ref(), device)?
    {
        let (name, sha256) = (&backbone.name, backbone.sha256.short());
        let reason = format!(
            "it is for embeddings of backbone {name} ({sha256}), which this device does not use; train a head for its \
             backbone"
        );
        return refuse(Code::WrongBackbone, reason);
    }
    if manifest.size > device.bytes_max {
        let (found, limit) = (manifest.size, device.bytes_max);
        let reason = format!(
            "it has {found} bytes, and the quota of this device's store leaves room for {limit}; raise store.quota_mb"
        );
        return refuse(Code::TooLarge, reason);
    }
    if manifest.chunk_bytes > device.chunk_bytes_max {
        let (found, limit) = (manifest.chunk_bytes, device.chunk_bytes_max);
        let reason = format!(
            "its chunks have {found} bytes, {limit} fit into a packet; sign it with a smaller --chunk-kb, or raise \
             mqtt.max_packet_kb"
        );
        return refuse(Code::ChunkTooLarge, reason);
    }
    in_time(manifest, now)?;
    Ok(Accepted::Begin)
}

/// The embeddings that heads of the task read which is meant by the one that is `asked` for.
fn space_of(asked: Option<&TaskId>, device: &Device<'_>) -> Result<EmbeddingSpace, Refusal> {
    let ids: Vec<TaskId> = device.tasks.iter().map(|(task, _)| task.clone()).collect();
    let refused = |why: Unsettled| {
        let here = ids.iter().map(TaskId::as_str).collect::<Vec<_>>().join(", ");
        let reason = match why {
            Unsettled::NotFound { asked, .. } => {
                format!("it is for task {asked}, and this device has {here}; sign it with --task for one of these")
            }
            Unsettled::Several { .. } => format!("it does not say for which of {here} it is; sign it with --task"),
        };
        Refusal::new(Code::UnknownTask, reason)
    };
    let meant = settle(asked, &ids).map_err(refused)?;
    let (_, space) = device.tasks.iter().find(|(task, _)| task == meant).expect("it is one of these");
    Ok(*space)
}

/// Whether the manifest has not expired; checked again before installing, since fetching can take days.
///
/// # Errors
/// [`Code::Expired`].
pub fn in_time(manifest: &Manifest, now: Timestamp) -> Result<(), Refusal> {
    let Manifest { created, expires, .. } = manifest;
    if now >= *created && now >= *expires {
        let reason = format!("it expired at {expires}, the time here is {now}; sign it again");
        return Err(Refusal::new(Code::Expired, reason));
    }
    Ok(())
}
