//! Embedding many files offline, through the cache; and a head's file with the backbone whose embeddings it uses.

use std::collections::{BTreeSet, HashMap};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use indicatif::ProgressBar;
use ndarray::Array2;

use super::args::HeadChoice;
use super::configuration;
use super::failure::{Failure, one_line_chain};
use super::output::Output;
use crate::backbone::{ItemError, Manifest, OnnxBackbone, bundled, embed_regions};
use crate::config::Config;
use crate::head::{BackboneRef, HeadRecord, Tail};
use crate::image::{self, BadImage, Limits, Preprocess};
use crate::ports::Embedder;
use crate::shared::backbone::{BackboneInUse, NoBackbone};
use crate::shared::files::{PictureError, read_picture};
use crate::shared::settings;
use crate::store::{Cache, CacheOptions};
use crate::words::{BUILT_IN_PROVIDERS, CPU, EmbeddingSpace, Execution, Region, SampleId};

/// Embeddings put into the cache at a time: work that a crash can cost.
const BATCH: usize = 64;

/// A backbone with the cache of its embeddings of one region.
pub struct Embeddings {
    backbone: OnnxBackbone,
    region: Region,
    cache: Cache,
    manifest: Manifest,
}

/// The embeddings of the files that are images: row i belongs to `files[i]`.
#[derive(Debug)]
pub struct Embedded {
    /// Index of each in the requested list.
    pub files: Vec<usize>,
    /// SHA-256 of each.
    pub ids: Vec<SampleId>,
    /// (n, dim)
    pub embeddings: Array2<f32>,
    /// Files that are not images: index and reason.
    pub refused: Vec<(usize, String)>,
    /// How many of them the backbone saw; the others came from the cache.
    pub computed: usize,
    /// How long all of it took.
    pub seconds: f64,
}

/// Why one file has no embedding.
#[derive(Debug, thiserror::Error)]
pub enum BadFile {
    #[error(transparent)]
    Picture(#[from] PictureError),
    #[error("cannot use {}", .path.display())]
    Image {
        path: PathBuf,
        #[source]
        source: BadImage,
    },
}

impl Embeddings {
    /// Opens the backbone called `model`, or else the one that serves the configuration's store, for this region of
    /// pictures, and the cache: that store, or else the user's cache folder.
    pub fn open(config: Option<&Config>, model: Option<&str>, region: &Region) -> Result<Self, Failure> {
        let manifest = match (model, config) {
            (None, Some(config)) => BackboneInUse::find(config)?.manifest,
            (model, _) => Manifest::resolve(model.unwrap_or("default"))?,
        };
        Self::open_with(config, &manifest, region)
    }

    /// The same for a manifest that was found.
    pub fn open_with(config: Option<&Config>, manifest: &Manifest, region: &Region) -> Result<Self, Failure> {
        if let Some(stand_in) = &manifest.stands_in {
            tracing::warn!("{stand_in}");
        }
        let execution = config.map_or(Execution::on_cpu(1), |config| config.backbone.execution());
        let (backbone, provider) = OnnxBackbone::open_on(manifest, &execution)?;
        if let Some(text) = provider.fallback() {
            tracing::warn!("{text}");
        }
        Self::with_backbone(config, backbone, region)
    }

    fn with_backbone(config: Option<&Config>, backbone: OnnxBackbone, region: &Region) -> Result<Self, Failure> {
        let manifest = backbone.manifest().clone();
        let folder = match config {
            Some(config) => config.store.path.clone(),
            None => configuration::cache_folder().ok_or_else(|| {
                Failure::unavailable("no place for the embedding cache; set XDG_CACHE_HOME or HOME, or give --config")
            })?,
        };
        let reference = reference(&backbone);
        let precision = settings::precision(config);
        let space = backbone.space().within(region);
        let cache = Cache::open(&folder, &CacheOptions { space, backbone: &reference, precision })?;
        Ok(Self { backbone, region: region.clone(), cache, manifest })
    }

    /// The backbone as reports name it.
    pub fn reference(&self) -> BackboneRef {
        reference(&self.backbone)
    }

    /// The path of its manifest, unless it is a bundled one: what a head remembers of its training.
    pub fn manifest(&self) -> Option<String> {
        whereabouts(&self.manifest.path)
    }

    /// The manifest itself.
    pub fn backbone(&self) -> &Manifest {
        &self.manifest
    }

    /// The same backbone and region with the weights of `tail`, if there is one, in place of the model's own.
    pub fn with_tail(&self, config: Option<&Config>, tail: Option<Tail>) -> Result<Self, Failure> {
        let backbone = OnnxBackbone::open_by(&self.manifest.clone().with_tail(tail), self.backbone.way())?;
        Self::with_backbone(config, backbone, &self.region)
    }

    /// What of a picture is embedded.
    pub fn region(&self) -> &Region {
        &self.region
    }

    /// Widths of the parts of an embedding.
    pub fn parts(&self) -> Vec<usize> {
        self.backbone.parts()
    }

    /// Where its embeddings can be compared.
    pub fn space(&self) -> EmbeddingSpace {
        self.backbone.space().within(&self.region)
    }

    /// Embeds the images among `files`; those in the cache are not embedded again.
    ///
    /// The cached value counts, the first time too: it keeps half precision, and the same pictures must
    /// give the same head whether they were embedded now or before.
    pub fn embed(&mut self, files: &[PathBuf], output: Output) -> Result<Embedded, Failure> {
        let started = Instant::now();
        let bar = output.progress(files.len() as u64, "embedding");
        let mut found: Vec<Result<(SampleId, Vec<f32>), String>> = Vec::with_capacity(files.len());
        let mut missing = Vec::new();
        // Files with the same bytes are embedded once.
        let mut first_of: HashMap<SampleId, usize> = HashMap::new();
        for (index, path) in files.iter().enumerate() {
            found.push(match read_picture(path, &Limits::default()) {
                Err(error) => Err(one_line_chain(&error)),
                Ok(picture) => {
                    let cached = self.cache.get(&picture.id)?;
                    if cached.is_none() && *first_of.entry(picture.id).or_insert(index) == index {
                        missing.push((index, path.as_path()));
                    }
                    Ok((picture.id, cached.unwrap_or_default()))
                }
            });
        }
        bar.inc((files.len() - missing.len()) as u64);
        let computed = self.compute(&missing, &mut found, &bar)?;
        bar.finish_and_clear();
        let failed: HashMap<SampleId, String> =
            first_of.into_iter().filter_map(|(id, index)| Some((id, found[index].clone().err()?))).collect();
        self.collect(found, &failed, computed, started.elapsed().as_secs_f64())
    }

    /// Embeds the files that are not in the cache, and stores them there in batches.
    fn compute(
        &mut self,
        missing: &[(usize, &Path)],
        found: &mut [Result<(SampleId, Vec<f32>), String>],
        bar: &ProgressBar,
    ) -> Result<usize, Failure> {
        let mut computed = 0;
        let mut batch: Vec<(SampleId, Vec<f32>)> = Vec::new();
        let mut kept = Ok(());
        let cache = &mut self.cache;
        embed_regions(
            &mut self.backbone,
            std::slice::from_ref(&self.region),
            missing.iter().copied(),
            |(_, path), preprocess, regions| look(path, preprocess, regions),
            |(index, _), result| {
                bar.inc(1);
                let embedded = result
                    .map_err(ItemError::Read)
                    .and_then(|mut of_region| of_region.swap_remove(0).map_err(ItemError::Embed));
                match embedded {
                    Err(error) => found[index] = Err(one_line_chain(&error)),
                    Ok(embedding) => {
                        computed += 1;
                        if let Ok((id, _)) = &found[index] {
                            batch.push((*id, embedding));
                        }
                    }
                }
                if batch.len() >= BATCH {
                    kept = cache.put(batch.iter().map(|(id, embedding)| (id, embedding.as_slice())));
                    batch.clear();
                }
                if kept.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            },
        )?;
        kept?;
        cache.put(batch.iter().map(|(id, embedding)| (id, embedding.as_slice())))?;
        Ok(computed)
    }

    fn collect(
        &self,
        found: Vec<Result<(SampleId, Vec<f32>), String>>,
        failed: &HashMap<SampleId, String>,
        computed: usize,
        seconds: f64,
    ) -> Result<Embedded, Failure> {
        let dim = self.space().dim;
        let (mut files, mut ids, mut values, mut refused) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (index, found) in found.into_iter().enumerate() {
            let embedding = match found {
                Ok((id, embedding)) if embedding.is_empty() => match self.cache.get(&id)? {
                    Some(embedding) => Ok((id, embedding)),
                    None => Err(failed.get(&id).cloned().unwrap_or_else(|| "the cache lost it; try again".into())),
                },
                other => other,
            };
            match embedding {
                Ok((id, embedding)) => {
                    files.push(index);
                    ids.push(id);
                    values.extend(embedding);
                }
                Err(reason) => refused.push((index, reason)),
            }
        }
        let embeddings = Array2::from_shape_vec((files.len(), dim), values).map_err(Failure::failed)?;
        Ok(Embedded { files, ids, embeddings, refused, computed, seconds })
    }
}

fn reference(backbone: &OnnxBackbone) -> BackboneRef {
    BackboneRef { name: backbone.name().to_owned(), sha256: backbone.sha256(), dim: backbone.space().dim }
}

/// Reads and decodes a picture within the limits.
pub fn read(path: &Path) -> Result<image::Rgb, BadFile> {
    decoded(path, image::decode)
}

/// The same for what a backbone looks at.
pub fn read_for(path: &Path, preprocess: &Preprocess, region: &Region) -> Result<image::Rgb, BadFile> {
    decoded(path, |bytes, limits| preprocess.decode(bytes, limits, region))
}

/// The tensors (n, 3*h*w) of n regions of a picture.
fn look(path: &Path, preprocess: &Preprocess, regions: &[Region]) -> Result<Vec<f32>, BadFile> {
    decoded(path, |bytes, limits| Ok(preprocess.look(bytes, limits, regions)?.tensors))
}

fn decoded<T>(path: &Path, decode: impl FnOnce(&[u8], &Limits) -> Result<T, BadImage>) -> Result<T, BadFile> {
    let limits = Limits::default();
    let picture = read_picture(path, &limits)?;
    decode(&picture.bytes, &limits).map_err(|source| BadFile::Image { path: path.to_owned(), source })
}

/// Reads a head and opens the backbone whose embeddings it uses, for the head's region; where one is `expected`, it must
/// be that.
pub fn open_head(
    config: Option<&Config>,
    choice: &HeadChoice,
    expected: Option<&Region>,
) -> Result<(HeadRecord, Embeddings), Failure> {
    let (record, manifest) = find_head(config, choice)?;
    if let Some(expected) = expected.filter(|expected| **expected != record.region) {
        return Err(Failure::usage(format!(
            "the head {} looks at {}, --region names {}: leave --region out, or train a head for it",
            choice.file.display(),
            record.region.in_words(),
            expected.in_words()
        )));
    }
    let embeddings = Embeddings::open_with(config, &manifest, &record.region)?;
    if embeddings.space() != record.dense.space {
        let [needed, here] =
            [&manifest, embeddings.backbone()].map(|backbone| backbone.provider.as_deref().unwrap_or(CPU));
        return Err(Failure::unavailable(format!(
            "the head {} was trained on embeddings that {needed} makes of {}, and those of {here}, which computes it here, are \
             others: have it computed by {needed} (backbone.execution_providers in --config), or train a head here",
            choice.file.display(),
            manifest.name
        )));
    }
    Ok((record, embeddings))
}

/// The absolute path of a `manifest`, unless it is bundled or its path is not text.
fn whereabouts(manifest: &Path) -> Option<String> {
    let path = manifest.canonicalize().ok()?;
    let is_bundled = bundled::all().iter().any(|(_, known)| known.canonicalize().is_ok_and(|known| known == path));
    (!is_bundled).then(|| path.to_str().map(str::to_owned)).flatten()
}

/// The manifest that the head in `file` remembers: where it was at the training, else one of the same name beside the
/// head; `None` when there is none that can be read.
fn remembered(record: &HeadRecord, file: &Path) -> Option<Manifest> {
    let path = Path::new(record.manifest.as_deref()?);
    let beside = file.parent().zip(path.file_name()).map(|(folder, name)| folder.join(name));
    let found = [Some(path.to_owned()), beside].into_iter().flatten().find(|path| path.is_file())?;
    Manifest::load(&found)
        .inspect_err(|error| tracing::debug!(error = one_line_chain(error), "the head's manifest"))
        .ok()
}

/// The backbone with the embeddings of the CPU, and with those of each provider that may make others.
fn by_provider(manifest: &Manifest, config: Option<&Config>) -> Vec<Manifest> {
    let asked = config.map_or(Vec::new(), |config| config.backbone.execution_providers.clone());
    let named = asked.into_iter().chain(BUILT_IN_PROVIDERS.map(str::to_owned)).filter(|name| name != CPU);
    [None].into_iter().chain(named.map(Some)).map(|provider| manifest.clone().on(provider)).collect()
}

/// Reads a head and finds the backbone whose embeddings it uses: by digest, among the one that was named or serves the
/// configuration's store, the bundled ones, and the one that the head remembers.
pub fn find_head(config: Option<&Config>, choice: &HeadChoice) -> Result<(HeadRecord, Manifest), Failure> {
    let path = choice.file.display();
    let bytes = std::fs::read(&choice.file).map_err(|error| {
        Failure::failed(format!("cannot read the head {path}: {error}; give the path of a trained head"))
    })?;
    let record = HeadRecord::from_bytes(&bytes)
        .map_err(|error| Failure::failed(format!("cannot use {path}: {}", one_line_chain(&error))))?;
    let named = match (choice.backbone.as_deref(), config) {
        (Some(named), _) => Some(Manifest::resolve(named)?),
        (None, Some(config)) => match BackboneInUse::find(config) {
            Ok(in_use) => Some(in_use.manifest),
            // Another one may be what the head needs.
            Err(NoBackbone::Gone(_)) => None,
            Err(error) => return Err(error.into()),
        },
        (None, None) => None,
    };
    let mut manifests: Vec<Manifest> = named.into_iter().collect();
    // A stand-in that the head needs is no stand-in.
    for manifest in &mut manifests {
        manifest.stands_in = None;
    }
    manifests.extend(bundled::all().into_iter().filter_map(|(_, path)| Manifest::load(&path).ok()));
    manifests.extend(remembered(&record, &choice.file));
    let manifests = manifests.into_iter().map(|manifest| manifest.with_tail(record.tail().cloned()));
    let mut manifests: Vec<Manifest> = manifests.flat_map(|manifest| by_provider(&manifest, config)).collect();
    let fits = |manifest: &Manifest| manifest.space().within(&record.region) == record.dense.space;
    let whole = manifests.iter().position(|manifest| fits(manifest) && manifest.file.is_file());
    let fits = whole.or_else(|| manifests.iter().position(fits));
    let Some(fits) = fits else {
        let looked_at: BTreeSet<&str> = manifests.iter().map(|manifest| manifest.name.as_str()).collect();
        let looked_at: Vec<&str> = looked_at.into_iter().collect();
        return Err(Failure::configuration(format!(
            "no matching backbone for {path}: it needs {} (SHA-256 {}) with its own preprocessing; tried {}; pass its \
             manifest with --backbone",
            record.backbone.name,
            record.backbone.sha256,
            looked_at.join(", ")
        )));
    };
    Ok((record, manifests.swap_remove(fits)))
}
