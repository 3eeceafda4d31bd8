//! The manifest of a model: its file, its input, and which of its tensors is the embedding.
//!
//! A manifest is checked whole when it is read: an unknown key, a wrong type or an impossible value is an error with
//! the line, the key, what was found and what was expected. The model file itself is not checked here.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use super::bundled::StandIn;
use super::inner::Inner;
use crate::head::{BackboneRef, Tail};
use crate::image::{Channels, Decode, Layout, Preprocess, Resize};
use crate::words::{Digest, EmbeddingSpace, Keyword as _, is_manifest_path, keywords, on_one_line};

/// A model's manifest, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// Where it was read.
    pub path: PathBuf,
    /// What reports call the backbone.
    pub name: String,
    /// The model file; a relative one was resolved against the manifest's folder.
    pub file: PathBuf,
    /// What the model file's bytes must hash to.
    pub sha256: Digest,
    /// Licence of the weights; empty where not stated.
    pub license: String,
    /// Where the weights come from; empty where not stated.
    pub source: String,
    /// Name of the input tensor.
    pub input: String,
    /// What happens between pixels and tensor.
    pub preprocess: Preprocess,
    /// Which tensor is the embedding.
    pub embedding: Embedding,
    /// Weights that take the place of the model's own, of a head that was trained together with them.
    pub tail: Option<Tail>,
    /// The execution provider that computes the embeddings, where they are not those of the CPU.
    pub provider: Option<String>,
    /// The bundled backbone that this one was found for, where that one's model file is missing.
    pub stands_in: Option<StandIn>,
}

/// Which tensor is the embedding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Embedding {
    /// A declared output or an inner tensor.
    pub tensor: String,
    /// Values of this tensor in one embedding; those of inner tensors come behind them.
    pub dim: usize,
    /// What happens to the tensor's spatial axes or tokens.
    #[serde(default)]
    pub pool: Pool,
    /// Further values of one embedding, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inner: Vec<Inner>,
}

keywords! {
    /// What happens to the embedding tensor's spatial axes or tokens.
    #[derive(Default, Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    pub enum Pool {
        /// Its values as they are.
        ///
        /// The tensor has `dim` values an image.
        #[default]
        None = "none",
        /// The mean over height and width.
        ///
        /// Of (n, dim, h, w) or (n, h, w, dim).
        Avg = "avg",
        /// The first token, a vision transformer's class token.
        ///
        /// Of (n, tokens, dim).
        Cls = "cls",
    }
}

/// Why there is no usable manifest.
#[derive(Debug, thiserror::Error)]
pub enum BadManifest {
    /// The file cannot be read.
    #[error("cannot read the manifest {}: give a manifest's path or a bundled name", .file.display())]
    Unreadable {
        /// The manifest.
        file: PathBuf,
        /// The system's own words.
        #[source]
        source: std::io::Error,
    },
    /// Something in it is wrong.
    #[error(transparent)]
    Wrong(Box<ManifestProblem>),
    /// A bundled name that no place has.
    #[error("there is no bundled backbone {name:?} in {}; available: {available}; give one of these or a manifest's \
             path",
        listed(.places))]
    UnknownName {
        /// The requested name.
        name: String,
        /// Every folder looked into.
        places: Vec<PathBuf>,
        /// The available names, as text.
        available: String,
    },
}

/// One thing that is wrong in a manifest, in the parts that `check` reports.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{}: {key}: found {found}, expected {expected}; {remedy}", .file.display(), line_suffix(*.line))]
pub struct ManifestProblem {
    /// The manifest.
    pub file: PathBuf,
    /// Counted from 1.
    pub line: Option<usize>,
    /// Dotted path of the key; `(document)` for the whole.
    pub key: String,
    /// What is there.
    pub found: String,
    /// What could be there.
    pub expected: String,
    /// What to do next.
    pub remedy: String,
}

impl From<ManifestProblem> for BadManifest {
    fn from(problem: ManifestProblem) -> Self {
        Self::Wrong(Box::new(problem))
    }
}

fn line_suffix(line: Option<usize>) -> String {
    line.map(|line| format!(":{line}")).unwrap_or_default()
}

fn listed(places: &[PathBuf]) -> String {
    places.iter().map(|place| place.display().to_string()).collect::<Vec<_>>().join(", ")
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    name: String,
    file: PathBuf,
    sha256: Digest,
    #[serde(default)]
    license: String,
    #[serde(default)]
    source: String,
    input: RawInput,
    embedding: Embedding,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawInput {
    tensor: String,
    layout: Layout,
    size: [u32; 2],
    channels: Channels,
    mean: PerChannel,
    std: PerChannel,
    #[serde(default = "one")]
    scale: PerChannel,
    /// With the default ratio and border.
    #[serde(deserialize_with = "resize_word")]
    resize: Resize,
    crop_ratio: Option<f32>,
    pad: Option<u8>,
    #[serde(default)]
    decode: Decode,
}

fn resize_word<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Resize, D::Error> {
    let word = String::deserialize(deserializer)?;
    Resize::from_word(&word).ok_or_else(|| D::Error::unknown_variant(&word, Resize::WORDS))
}

#[derive(Clone, Copy)]
struct PerChannel([f32; 3]);

fn one() -> PerChannel {
    PerChannel([1.0; 3])
}

impl<'de> Deserialize<'de> for PerChannel {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum OneOrThree {
            One(f32),
            Three([f32; 3]),
        }
        match OneOrThree::deserialize(deserializer) {
            Ok(OneOrThree::One(value)) => Ok(Self([value; 3])),
            Ok(OneOrThree::Three(values)) => Ok(Self(values)),
            Err(_) => {
                Err(D::Error::custom("invalid value: something else, expected one number or three, one a channel"))
            }
        }
    }
}

impl Manifest {
    /// Where the embeddings of this backbone can be compared: model bytes, tensor, pooling, inner values,
    /// preprocessing, and the execution provider where its embeddings are not those of the CPU.
    ///
    /// Its width lacks that of inner tensors whose channels are not known, since the model file is missing or does not
    /// tell: such a backbone does not open.
    #[must_use]
    pub fn space(&self) -> EmbeddingSpace {
        let trunk = self.trunk();
        self.tail.as_ref().map_or(trunk, |tail| tail.space(trunk))
    }

    /// The same of the model's own weights, whatever [`tail`](Self::tail) says.
    #[must_use]
    #[allow(clippy::missing_panics_doc, reason = "names and words can always be written as JSON")]
    pub fn trunk(&self) -> EmbeddingSpace {
        let Embedding { tensor, pool, inner, .. } = &self.embedding;
        let mut identity = format!("{} {tensor} {}", self.sha256, pool.as_str());
        if !inner.is_empty() {
            // As JSON: where one name ends and the next begins cannot be mistaken.
            identity.push(' ');
            identity.push_str(&serde_json::to_string(inner).expect("names and words"));
        }
        if let Some(provider) = &self.provider {
            identity.push_str(" on ");
            identity.push_str(provider);
        }
        EmbeddingSpace {
            backbone: Digest::of(identity.as_bytes()),
            preprocessing: self.preprocess.digest(),
            dim: self.embedding.width(),
        }
    }

    /// The backbone as heads and reports name it.
    #[must_use]
    pub fn reference(&self) -> BackboneRef {
        BackboneRef { name: self.name.clone(), sha256: self.sha256, dim: self.space().dim }
    }

    /// The backbone with embeddings that this execution provider makes otherwise than the CPU; `None` for those of the CPU.
    #[must_use]
    pub fn on(self, provider: Option<String>) -> Self {
        Self { provider, ..self }
    }

    /// The backbone with the weights of `tail`, if there is one, in place of its own.
    #[must_use]
    pub fn with_tail(self, tail: Option<Tail>) -> Self {
        Self { tail, ..self }
    }

    /// Reads and checks the manifest at `path`; where it names inner tensors, their channels are looked up in the model
    /// file ([`resolved`](Self::resolved)).
    ///
    /// # Errors
    /// [`BadManifest`] when the file cannot be read or is wrong.
    pub fn load(path: &Path) -> Result<Self, BadManifest> {
        match std::fs::read_to_string(path) {
            Ok(text) => Ok(Self::parse(&text, path)?.resolved()),
            Err(source) => Err(BadManifest::Unreadable { file: path.to_owned(), source }),
        }
    }

    /// The manifest that `--backbone` or `backbone.model` means: a path when it has a slash or ends in `.yaml` or
    /// `.yml`, else a bundled name, which another one may [stand in](Self::stands_in) for.
    ///
    /// # Errors
    /// [`BadManifest`] when there is none or it is wrong.
    pub fn resolve(name_or_path: &str) -> Result<Self, BadManifest> {
        if is_manifest_path(name_or_path) {
            Self::load(Path::new(name_or_path))
        } else {
            super::bundled::resolve(name_or_path)
        }
    }

    /// Checks `text`, the content of the manifest at `path`; touches no file.
    ///
    /// # Errors
    /// [`BadManifest::Wrong`] for the first thing that is wrong.
    pub fn parse(text: &str, path: &Path) -> Result<Self, BadManifest> {
        let mut raw: Raw = serde_path_to_error::deserialize(serde_yaml::Deserializer::from_str(text))
            .map_err(|error| explain(&error, text, path))?;
        let wrong = |key: &str, found: String, expected: &str| {
            BadManifest::from(ManifestProblem {
                file: path.to_owned(),
                line: line_of(text, key),
                key: key.to_owned(),
                found,
                expected: expected.to_owned(),
                remedy: "correct the manifest".to_owned(),
            })
        };
        let RawInput { tensor, layout, size, channels, mean, std, scale, resize, crop_ratio, pad, decode } = raw.input;
        for (key, value) in
            [("name", &raw.name), ("input.tensor", &tensor), ("embedding.tensor", &raw.embedding.tensor)]
        {
            if value.trim().is_empty() {
                return Err(wrong(key, "nothing".into(), "a name"));
            }
        }
        if size.iter().any(|side| !(1..=4096).contains(side)) {
            return Err(wrong("input.size", format!("{size:?}"), "[height, width], each 1 to 4096"));
        }
        for (key, PerChannel(values)) in [("input.mean", mean), ("input.std", std), ("input.scale", scale)] {
            let divides = key == "input.std";
            if values.iter().any(|value| !value.is_finite() || (divides && *value == 0.0)) {
                return Err(wrong(key, format!("{values:?}"), if divides { "numbers, none 0" } else { "numbers" }));
            }
        }
        if crop_ratio.is_some() && !matches!(resize, Resize::Crop { .. }) {
            return Err(wrong("input.crop_ratio", "a value".into(), "none, unless input.resize is crop"));
        }
        if let Some(ratio) = crop_ratio.filter(|ratio| !(0.05..=1.0).contains(ratio)) {
            return Err(wrong("input.crop_ratio", ratio.to_string(), "a number from 0.05 to 1"));
        }
        if !(1..=65_536).contains(&raw.embedding.dim) {
            return Err(wrong("embedding.dim", raw.embedding.dim.to_string(), "1 to 65536"));
        }
        if let Err((key, found, expected)) = raw.embedding.check_inner() {
            return Err(wrong(&key, found, expected));
        }
        let resize = match resize {
            Resize::Stretch => Resize::Stretch,
            Resize::Crop { ratio } => Resize::Crop { ratio: crop_ratio.unwrap_or(ratio) },
            Resize::Letterbox => Resize::Letterbox,
        };
        let (mean, std, scale, pad) = (mean.0, std.0, scale.0, pad.unwrap_or(Preprocess::PAD));
        Ok(Self {
            path: path.to_owned(),
            name: raw.name,
            file: path.parent().unwrap_or(Path::new("")).join(raw.file),
            sha256: raw.sha256,
            license: raw.license,
            source: raw.source,
            input: tensor,
            preprocess: Preprocess { size: size.into(), layout, channels, mean, std, scale, resize, pad, decode },
            embedding: raw.embedding,
            tail: None,
            provider: None,
            stands_in: None,
        })
    }
}

/// The first line that sets the last part of `key`, counted from 1.
fn line_of(text: &str, key: &str) -> Option<usize> {
    // An entry of a list is looked for where the list begins.
    let key = key.split('[').next().unwrap_or(key);
    let (section, leaf) = key.rsplit_once('.').unwrap_or(("", key));
    let start = text.lines().position(|line| line.trim_start().starts_with(section)).unwrap_or(0);
    let sets = |line: &str| line.split(|c: char| " {,".contains(c)).any(|word| word.strip_suffix(':') == Some(leaf));
    text.lines().skip(start).position(sets).map(|line| line + start + 1)
}

/// Serde's words ("invalid type: string "x", expected u32 at line 3 column 9") as the parts of a problem.
fn explain(error: &serde_path_to_error::Error<serde_yaml::Error>, text: &str, path: &Path) -> BadManifest {
    let mut message = error.inner().to_string();
    if let Some(at) = message.rfind(" at line ") {
        message.truncate(at);
    }
    let at = error.path().to_string();
    let mut key = if at == "." { "(document)".to_owned() } else { at.clone() };
    // The reader begins with the path of the key or of the section around it.
    let words =
        message.split_once(": ").filter(|(prefix, _)| at.starts_with(prefix)).map_or(&*message, |(_, rest)| rest);
    let (found, expected) = words.split_once(", expected ").unwrap_or((words, "what docs say of manifests"));
    let (mut found, mut expected) = (found.to_owned(), expected.to_owned());
    let mut remedy = "correct the manifest".to_owned();
    let quoted = |words: &str| words.split('`').nth(1).map(str::to_owned);
    if let (true, Some(unknown)) = (found.starts_with("unknown field"), quoted(&found)) {
        let known = expected.split('`').skip(1).step_by(2);
        let near = known.max_by(|a, b| strsim::jaro_winkler(a, &unknown).total_cmp(&strsim::jaro_winkler(b, &unknown)));
        remedy = near.map_or(remedy, |near| format!("did you mean {near:?}?"));
        found = format!("the unknown key {unknown:?}");
    } else if let (true, Some(missing)) = (found.starts_with("missing field"), quoted(&found)) {
        key = if at == "." { missing } else { format!("{at}.{missing}") };
        (found, expected) = ("nothing".into(), "a value".into());
        remedy = "add the key".into();
    }
    for prefix in ["invalid type: ", "invalid value: "] {
        found = found.strip_prefix(prefix).map_or(found.clone(), str::to_owned);
    }
    // The reader's own place is sometimes only that of the section.
    let line = line_of(text, &key).or_else(|| error.inner().location().map(|location| location.line()));
    // Serde repeats what it met, however long, and with its line breaks.
    let [key, found, expected] = [key, found, expected].map(|words| on_one_line(&words));
    ManifestProblem { file: path.to_owned(), line, key, found, expected, remedy }.into()
}

#[cfg(test)]
#[path = "manifest_tests.rs"]
mod tests;
