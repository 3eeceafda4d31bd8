//! The embeddings of every stored image that can still be read, by the next backbone.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use tracing::debug;

use super::super::job::{AnyError, Control};
use crate::backbone::embed_regions;
use crate::daemon::pictures::bytes_of;
use crate::head::BackboneRef;
use crate::image::{BadImage, Limits, Preprocess};
use crate::ports::Embedder;
use crate::store::{Cache, CacheOptions, Precision, Reader, SpacesInUse, StoreError};
use crate::words::{EmbeddingSpace, Region, SampleId};

/// Embeddings in one commit.
const BATCH: usize = 16;

/// Why an image cannot be embedded again.
#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error(transparent)]
    Image(#[from] BadImage),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("no file has its bytes any more, and they are not kept")]
    Gone,
}

/// What a backbone embeds of the stored images.
pub(super) struct Embedding<'a> {
    /// Of the present spaces.
    pub reader: &'a Reader,
    pub folder: &'a Path,
    pub precision: Precision,
    pub backbone: &'a BackboneRef,
    /// Through which tasks look with this backbone.
    pub spaces: &'a SpacesInUse,
    pub control: &'a Control,
}

/// The embeddings of one part of pictures.
struct Part {
    region: Region,
    cache: Cache,
    /// What is not stored yet.
    batch: Vec<(SampleId, Vec<f32>)>,
}

impl Part {
    fn store(&mut self) -> Result<(), StoreError> {
        self.cache.put(self.batch.iter().map(|(id, embedding)| (id, embedding.as_slice())))?;
        self.batch.clear();
        Ok(())
    }
}

/// Images to embed, with their files, by the places of the parts that they lack.
type Jobs = BTreeMap<Vec<usize>, Vec<(SampleId, Vec<PathBuf>)>>;

impl Embedding<'_> {
    /// Embeds what tasks look at and has no embedding yet, each image once for all of them; how many have all of it now,
    /// and of how many no file can be read any more. `None` when it was cancelled. `report` hears the images that are
    /// embedded, and of how many.
    pub fn run(
        &self,
        embedder: &mut dyn Embedder,
        mut report: impl FnMut(u64, u64),
    ) -> Result<Option<(u64, u64)>, AnyError> {
        let mut parts = self.spaces.all().into_iter().map(|part| self.open(part)).collect::<Result<Vec<_>, _>>()?;
        let (of, jobs) = self.jobs(&parts)?;
        let mut embedded = of - jobs.values().map(|jobs| jobs.len() as u64).sum::<u64>();
        let (mut missing, mut failed) = (0, None);
        // Embedding pauses like a training but has no time limit: after a restart it continues where it stopped.
        let mut throttle = self.control.throttle();
        // Pictures are decoded on several threads.
        let pictures = Mutex::new(Reader::open(self.folder, SpacesInUse::default())?);
        for (places, jobs) in jobs {
            let regions: Vec<Region> = places.iter().map(|&place| parts[place].region.clone()).collect();
            embed_regions(
                embedder,
                &regions,
                jobs,
                |(id, paths), preprocess, regions| look(&pictures, (*id, paths), preprocess, regions),
                |(id, _), found| {
                    let mut is_whole = true;
                    let mut lacks = |why: &dyn std::fmt::Display| {
                        is_whole = false;
                        debug!(image = %id, %why, "not embedded again");
                    };
                    match found {
                        Ok(embeddings) => {
                            for (&place, embedding) in places.iter().zip(embeddings) {
                                match embedding {
                                    Ok(embedding) => parts[place].batch.push((id, embedding)),
                                    Err(why) => lacks(&why),
                                }
                            }
                        }
                        Err(why) => lacks(&why),
                    }
                    *(if is_whole { &mut embedded } else { &mut missing }) += 1;
                    if parts.iter().any(|part| part.batch.len() >= BATCH) {
                        failed = parts.iter_mut().try_for_each(Part::store).err();
                        report(embedded, of);
                    }
                    self.control.wait(&mut throttle);
                    if failed.is_some() || self.control.is_cancelled() {
                        ControlFlow::Break(())
                    } else {
                        ControlFlow::Continue(())
                    }
                },
            )?;
            if let Some(error) = failed {
                return Err(error.into());
            }
            if self.control.is_cancelled() {
                break;
            }
        }
        parts.iter_mut().try_for_each(Part::store)?;
        Ok((!self.control.is_cancelled()).then_some((embedded, missing)))
    }

    fn open(&self, (region, space): (Region, EmbeddingSpace)) -> Result<Part, StoreError> {
        let options = CacheOptions { space, backbone: self.backbone, precision: self.precision };
        Ok(Part { region, cache: Cache::open(self.folder, &options)?, batch: Vec::new() })
    }

    /// How many images there are, and those that lack an embedding: of each group labelled ones first, then the newest.
    fn jobs(&self, parts: &[Part]) -> Result<(u64, Jobs), StoreError> {
        let mut kept = self.reader.looked_at()?;
        kept.sort_by_key(|sample| (!sample.is_labelled, Reverse(sample.number)));
        let mut jobs = Jobs::new();
        for sample in &kept {
            let mut lacking = Vec::new();
            for (place, part) in parts.iter().enumerate() {
                if sample.regions.contains(&part.region) && part.cache.get(&sample.id)?.is_none() {
                    lacking.push(place);
                }
            }
            if !lacking.is_empty() {
                jobs.entry(lacking).or_default().push((sample.id, self.reader.files_of(&sample.id)?));
            }
        }
        Ok((kept.len() as u64, jobs))
    }
}

/// The tensors (n, 3*h*w) of n regions of an image that has these files.
fn look(
    pictures: &Mutex<Reader>,
    (id, files): (SampleId, &[PathBuf]),
    preprocess: &Preprocess,
    regions: &[Region],
) -> Result<Vec<f32>, ReadError> {
    let limits = Limits::default();
    let bytes = bytes_of(&id, files, pictures, &limits)?.ok_or(ReadError::Gone)?;
    Ok(preprocess.look(&bytes, &limits, regions)?.tensors)
}

#[cfg(test)]
#[path = "embedding_tests.rs"]
mod tests;
