//! The files of backbones that took over on this device, and of one that is prepared.

use std::fs;
use std::io::Write as _;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use tracing::warn;

use super::super::job::AnyError;
use crate::backbone::Manifest;
use crate::engine::{ModelSource, SwapOrder};
use crate::store::files::{self, NewFile};
use crate::store::{Precision, Reader};
use crate::wire::UpdateKind;
use crate::words::{Digest, Execution};

/// The folder of models that took over on this device, below the state folder.
pub(crate) const FOLDER: &str = "backbones";

/// Where backbones are stored, and how they are opened.
#[derive(Debug, Clone)]
pub(crate) struct BackboneDir {
    /// The state folder.
    pub folder: PathBuf,
    pub execution: Execution,
    pub precision: Precision,
}

impl BackboneDir {
    /// Removes the files of a backbone that are called so.
    pub fn forget(&self, files: &Digest) {
        for extension in ["onnx", "yaml"] {
            remove(&self.folder.join(FOLDER).join(format!("{files}.{extension}")));
        }
    }

    /// Removes what a crash left of backbones that were not taken; `keeps` says whose files stay. Files that are called
    /// otherwise are not ours.
    pub fn tidy(&self, keeps: impl Fn(Digest) -> bool) {
        let Ok(entries) = fs::read_dir(self.folder.join(FOLDER)) else { return };
        for path in entries.flatten().map(|entry| entry.path()) {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let digest = name.split('.').next().and_then(|digest| digest.parse::<Digest>().ok());
            if digest.is_some_and(|digest| !keeps(digest)) {
                remove(&path);
            }
        }
    }
}

fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        warn!(path = %path.display(), %error, "cannot remove a file of a previous backbone; remove it yourself");
    }
}

/// Writes the model and its manifest into the state folder, whole or not at all.
///
/// # Errors
/// When the folder or the model cannot be used, or the manifest is none.
pub(super) fn stage(order: &SwapOrder, reader: &Reader, dir: &BackboneDir) -> Result<Manifest, AnyError> {
    let folder = dir.folder.join(FOLDER);
    files::create_folder(&folder)?;
    let model = folder.join(format!("{}.onnx", order.files));
    if !model.exists() {
        let mut file = NewFile::begin(&model)?;
        match &order.model {
            ModelSource::Chunks => {
                let mut written = Ok(());
                reader.chunks(UpdateKind::Backbone, |_, bytes| {
                    written = file.write_all(bytes);
                    if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
                })?;
                written?;
            }
            ModelSource::File { path, .. } => copy(path, &mut file)?,
        }
        file.put()?;
    }
    let path = folder.join(format!("{}.yaml", order.files));
    // JSON is YAML.
    files::write(&path, text(order).as_bytes())?;
    let manifest = Manifest::load(&path)?;
    match order.model {
        ModelSource::File { space, .. } if space != manifest.space() => Err(format!(
            "the manifest that was written from the one of {} makes other embeddings; report this with that manifest",
            order.name
        )
        .into()),
        _ => Ok(manifest),
    }
}

/// The manifest file of the model: its keys, with name, file and digest of the order.
fn text(order: &SwapOrder) -> String {
    let model = match order.model {
        ModelSource::Chunks => order.files,
        ModelSource::File { sha256, .. } => sha256,
    };
    let mut fields = order.manifest.clone();
    if let Some(fields) = fields.as_object_mut() {
        fields.insert("name".into(), order.name.clone().into());
        fields.insert("file".into(), format!("{}.onnx", order.files).into());
        fields.insert("sha256".into(), model.to_string().into());
    }
    fields.to_string()
}

/// Writes the model at `path` into `file`.
fn copy(path: &Path, file: &mut NewFile) -> Result<(), AnyError> {
    let copied = fs::File::open(path).and_then(|mut model| std::io::copy(&mut model, file));
    copied.map(drop).map_err(|error| {
        format!(
            "cannot copy the model {} into the state folder: {error}; check that it is there, and the room",
            path.display()
        )
        .into()
    })
}
