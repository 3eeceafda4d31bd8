//! Views of labelled pictures for trainings (decision 38): embedded once, and kept in the store under a space of their
//! own, so that they go when their sample goes.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use ndarray::Array2;
use tracing::debug;

use super::files::stored_image;
use crate::backbone::embed_views;
use crate::image::{VIEWS, space_of_views};
use crate::ports::{EmbedError, Embedder};
use crate::store::{Cache, OpenOptions, StoreError};
use crate::train::{BadData, Dataset};
use crate::words::{SampleId, error_chain};

/// Views put into the cache at a time: work that a crash can cost.
const BATCH: usize = 16;

/// The views that are stored.
#[derive(Debug)]
pub struct Views {
    cache: Cache,
}

/// Why there are no views.
#[derive(Debug, thiserror::Error)]
pub enum ViewsError {
    /// The store cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The backbone failed.
    #[error(transparent)]
    Embed(#[from] EmbedError),
    /// What the store has of them is not usable.
    #[error(transparent)]
    Data(#[from] BadData),
}

impl Views {
    /// Opens the views of the pictures that `options` tells the space of.
    ///
    /// # Errors
    /// [`StoreError`] when the folder or its file cannot be used.
    pub fn open(folder: &Path, options: &OpenOptions<'_>) -> Result<Self, StoreError> {
        let cache = Cache::open(folder, &OpenOptions { space: space_of_views(options.space), ..*options })?;
        Ok(Self { cache })
    }

    /// Those of `ids` that have no views yet.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    pub fn missing(&self, ids: &[SampleId]) -> Result<Vec<SampleId>, StoreError> {
        let mut missing = Vec::new();
        for id in ids {
            if self.cache.get(id)?.is_none() {
                missing.push(*id);
            }
        }
        Ok(missing)
    }

    /// Embeds and keeps the views of the pictures in `jobs`, each from the first of its files that still has it; a
    /// picture without such a file gets none. `go_on` is asked after each picture. Returns how many were embedded.
    ///
    /// # Errors
    /// [`ViewsError`] when the backbone fails or the store cannot be written.
    pub fn embed(
        &mut self,
        embedder: &mut dyn Embedder,
        jobs: Vec<(SampleId, Vec<PathBuf>)>,
        mut go_on: impl FnMut() -> ControlFlow<()>,
    ) -> Result<usize, ViewsError> {
        let (mut embedded, mut batch, mut kept) = (0, Vec::new(), Ok(()));
        embed_views(
            embedder,
            jobs,
            |(id, paths)| stored_image(*id, paths).map(|image| (*id, image)),
            |(id, _), views| {
                match views {
                    Ok(views) => {
                        embedded += 1;
                        batch.push((id, views));
                    }
                    Err(error) => debug!(image = %id, error = error_chain(&error), "a picture without views"),
                }
                if batch.len() == BATCH {
                    kept = self.put(&mut batch);
                }
                if kept.is_ok() { go_on() } else { ControlFlow::Break(()) }
            },
        )?;
        kept?;
        self.put(&mut batch)?;
        Ok(embedded)
    }

    fn put(&mut self, batch: &mut Vec<(SampleId, Vec<f32>)>) -> Result<(), StoreError> {
        self.cache.put(batch.iter().map(|(id, views)| (id, views.as_slice())))?;
        batch.clear();
        Ok(())
    }

    /// `data` with the views of its samples, as far as there are any.
    ///
    /// # Errors
    /// [`ViewsError`] when the store cannot be read, or holds what is no embedding.
    pub fn of(&self, data: &Dataset) -> Result<Dataset, ViewsError> {
        let (mut values, mut of) = (Vec::new(), Vec::new());
        for (place, id) in data.ids().iter().enumerate() {
            if let Some(views) = self.cache.get(id)? {
                of.extend([place; VIEWS]);
                values.extend(views);
            }
        }
        let (views, width) = (of.len(), data.space().dim);
        let bad = |_| BadData::Shape { what: "the size of the views", expected: views * width, found: 0 };
        Ok(data.clone().seen_as(Array2::from_shape_vec((views, width), values).map_err(bad)?, of)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::BackboneRef;
    use crate::image::{Channels, Layout, Preprocess, Resize};
    use crate::words::{ClassSet, Digest, EmbeddingSpace, Label, Precision};

    /// Returns the first two values of its input, and counts its runs.
    struct Corner {
        preprocess: Preprocess,
        runs: usize,
    }

    impl Embedder for Corner {
        fn space(&self) -> EmbeddingSpace {
            space()
        }

        fn preprocess(&self) -> &Preprocess {
            &self.preprocess
        }

        fn embed(&mut self, tensors: &[f32], n: usize) -> Result<Vec<f32>, EmbedError> {
            self.runs += n;
            Ok(tensors[..2].to_vec())
        }
    }

    fn corner() -> Corner {
        let (layout, channels, resize) = (Layout::Nhwc, Channels::Rgb, Resize::Stretch);
        let (mean, std, scale) = ([0.0; 3], [1.0; 3], [1.0; 3]);
        Corner { preprocess: Preprocess { size: (2, 2), layout, channels, mean, std, scale, resize }, runs: 0 }
    }

    fn space() -> EmbeddingSpace {
        EmbeddingSpace { backbone: Digest::of(b"b"), preprocessing: Digest::of(b"p"), dim: 2 }
    }

    fn open(folder: &Path) -> Views {
        let backbone = BackboneRef { name: "tiny".into(), sha256: Digest::of(b"b"), dim: 2 };
        Views::open(folder, &OpenOptions { space: space(), backbone: &backbone, precision: Precision::F32 }).unwrap()
    }

    /// A picture of `shade` in `folder`.
    fn picture(folder: &Path, shade: u8) -> (SampleId, Vec<PathBuf>) {
        let path = folder.join(format!("{shade}.png"));
        let mut bytes = std::io::Cursor::new(Vec::new());
        image::RgbImage::from_pixel(5, 4, image::Rgb([shade, 2, 3]))
            .write_to(&mut bytes, image::ImageFormat::Png)
            .unwrap();
        std::fs::write(&path, bytes.get_ref()).unwrap();
        (SampleId::of(bytes.get_ref()), vec![folder.join("gone.png"), path])
    }

    #[test]
    fn views_are_embedded_once_and_reach_the_training_of_their_pictures() {
        let folder = tempfile::tempdir().unwrap();
        let (gear, nut) = (picture(folder.path(), 10), picture(folder.path(), 20));
        let lost = (SampleId::of(b"lost"), gear.1.clone());
        let ids = vec![gear.0, nut.0, lost.0];
        let (mut views, mut embedder) = (open(folder.path()), corner());
        assert_eq!(views.missing(&ids).unwrap(), ids);
        let jobs = vec![gear, nut, lost.clone()];
        let embedded = views.embed(&mut embedder, jobs, || ControlFlow::Continue(())).unwrap();
        assert_eq!((embedded, embedder.runs), (2, 2 * VIEWS), "no file has the bytes of the third");
        assert_eq!(open(folder.path()).missing(&ids).unwrap(), [lost.0]);
        let classes: ClassSet = ["gear", "nut"].map(|name| Label::new(name).unwrap()).into_iter().collect();
        let x = Array2::zeros((3, 2));
        let data = Dataset::new(space(), x, vec![0, 1, 1], classes, ids.clone(), ids).unwrap();
        let seen = |place| [place; VIEWS];
        let expected = data.clone().seen_as(
            Array2::from_shape_fn((2 * VIEWS, 2), |(row, value)| [[10.0, 2.0], [20.0, 2.0]][row / VIEWS][value]),
            [seen(0), seen(1)].concat(),
        );
        assert_eq!(format!("{:?}", views.of(&data).unwrap()), format!("{:?}", expected.unwrap()));
    }

    #[test]
    fn what_was_embedded_before_the_end_was_asked_for_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let jobs = vec![picture(folder.path(), 10), picture(folder.path(), 20)];
        let ids = [jobs[0].0, jobs[1].0];
        let (mut views, mut embedder) = (open(folder.path()), corner());
        assert_eq!(views.embed(&mut embedder, jobs, || ControlFlow::Break(())).unwrap(), 1);
        assert_eq!(views.missing(&ids).unwrap(), ids[1..]);
    }
}
