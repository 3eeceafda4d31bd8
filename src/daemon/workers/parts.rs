//! The parts of an image that tasks look at, on their way to embeddings: what the store has of them is not made again, the
//! others are cut out of one decoding and go through the backbone as one batch.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::daemon::serving::Servings;
use crate::daemon::view_plan::{self, PlannedView};
use crate::head::HeadRecord;
use crate::image::{BadImage, Limits, Preprocess, thumbnail};
use crate::ports::{EmbedError, TailedEmbedder};
use crate::store::{Reader, StoreError};
use crate::words::{EmbeddingSpace, Region, SampleId, error_chain};

/// Embeddings (dim,), each space once.
pub(super) type Embeddings = Vec<(EmbeddingSpace, Vec<f32>)>;

/// The embedding of this space.
pub(super) fn of<'a>(embeddings: &'a Embeddings, space: &EmbeddingSpace) -> Option<&'a [f32]> {
    embeddings.iter().find(|(known, _)| known == space).map(|(_, embedding)| embedding.as_slice())
}

/// What the store knows of an image.
pub(super) struct Known {
    /// Each part that is looked at, with its embedding (dim,) where it has one.
    cached: Vec<(Region, EmbeddingSpace, Option<Vec<f32>>)>,
    /// The views by which it does not know the image.
    new: Vec<bool>,
    /// Whether a thumbnail is to be made.
    lacks_thumbnail: bool,
}

/// An image whose missing parts are cut out.
pub(super) struct Prepared {
    /// Each part that a task looks at, in the order of the first views of it; its embedding where the store has it.
    parts: Vec<(EmbeddingSpace, Option<Vec<f32>>)>,
    /// Pixels (n, 3*h*w) of the n parts that have none.
    tensors: Vec<f32>,
    new: Vec<bool>,
    thumbnail: Option<Vec<u8>>,
}

/// An image with its embeddings.
pub(super) struct Embedded {
    pub embeddings: Embeddings,
    /// What the tails of heads in service make of it; these are not stored.
    pub tuned: Embeddings,
    /// The spaces of those that the backbone made just now.
    pub made: Vec<EmbeddingSpace>,
    /// How many parts are looked at.
    pub parts: usize,
    /// The views by which the store does not know it.
    pub new: Vec<bool>,
    /// It in small, where the store has no thumbnail of it and is to have one.
    pub thumbnail: Option<Vec<u8>>,
    /// The backbone; zero when all embeddings came from the store.
    pub embed: Duration,
    /// Why a part has no embedding, where one has none.
    pub failed: Option<String>,
}

impl Known {
    /// What the store knows of an image that these views are of; `thumbnails`: whether it keeps one of each. What a head with
    /// a tail looks at has to go through the backbone again.
    pub fn of(
        reader: &Reader,
        (views, servings): (&[PlannedView], &Servings),
        id: &SampleId,
        thumbnails: bool,
    ) -> Result<Self, StoreError> {
        let has_tail =
            |space: &EmbeddingSpace| views.iter().any(|view| view.space == *space && servings.has_tail(&view.task));
        let cached = |(region, space): (&Region, EmbeddingSpace)| {
            let cached = if has_tail(&space) { None } else { reader.embedding(id, &space)? };
            Ok((region.clone(), space, cached))
        };
        let is_new = |view: &PlannedView| Ok(!reader.is_looked_at(&view.task, id, &view.space)?);
        Ok(Self {
            cached: view_plan::parts(views).into_iter().map(cached).collect::<Result<_, StoreError>>()?,
            new: views.iter().map(is_new).collect::<Result<_, StoreError>>()?,
            lacks_thumbnail: thumbnails && !reader.has_thumbnail(id)?,
        })
    }

    /// Decodes the image if a part of it or its thumbnail is missing, and cuts the missing ones out. What nobody looks at is decoded too: a
    /// file that is no image is put aside.
    pub fn prepare(self, preprocess: &Preprocess, bytes: &[u8], limits: &Limits) -> Result<Prepared, BadImage> {
        let Self { cached, new, lacks_thumbnail } = self;
        let lacks = |(_, _, cached): &&(Region, EmbeddingSpace, Option<Vec<f32>>)| cached.is_none();
        let missing: Vec<Region> = cached.iter().filter(lacks).map(|(region, ..)| region.clone()).collect();
        let is_complete = missing.is_empty() && !cached.is_empty() && !lacks_thumbnail;
        let looked = if is_complete { None } else { Some(preprocess.look(bytes, limits, &missing)?) };
        let (tensors, picture) = looked.map_or((Vec::new(), None), |looked| (looked.tensors, Some(looked.picture)));
        let thumbnail = picture.filter(|_| lacks_thumbnail).as_ref().and_then(thumbnail);
        let parts = cached.into_iter().map(|(_, space, cached)| (space, cached)).collect();
        Ok(Prepared { parts, tensors, new, thumbnail })
    }
}

impl Prepared {
    /// Has the backbone make the embeddings that are missing, all at once; one that is not finite costs its own part only.
    pub fn embed(self, embedder: &mut dyn TailedEmbedder, heads: &[Arc<HeadRecord>]) -> Result<Embedded, EmbedError> {
        let Self { parts, tensors, new, thumbnail } = self;
        let made: Vec<EmbeddingSpace> =
            parts.iter().filter(|(_, cached)| cached.is_none()).map(|(space, _)| *space).collect();
        let started = Instant::now();
        let rows = if made.is_empty() { Vec::new() } else { embedder.embed_tailed(&tensors, made.len())? };
        let embed = if made.is_empty() { Duration::ZERO } else { started.elapsed() };
        let (count, mut rows, mut failed) = (parts.len(), rows.into_iter(), None);
        let (mut embeddings, mut tuned) = (Embeddings::new(), Embeddings::new());
        for (space, cached) in parts {
            let (embedding, tails) = match cached {
                Some(cached) => (Ok(cached), Vec::new()),
                None => rows.next().expect("the backbone gives a row for each part"),
            };
            match embedding {
                Ok(embedding) => embeddings.push((space, embedding)),
                Err(error) => failed = Some(error_chain(&error)),
            }
            let of_part = heads.iter().zip(tails).filter(|(head, _)| head.frozen().space == space);
            tuned.extend(of_part.map(|(head, tail)| (head.dense.space, tail)));
        }
        Ok(Embedded { embeddings, tuned, made, parts: count, new, thumbnail, embed, failed })
    }
}
