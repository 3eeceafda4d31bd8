//! Many images through a backbone, decoding one while the network works on another.
//!
//! A reading thread runs at most a few images ahead, so memory is bounded whatever the number of jobs; results come
//! in the order of the jobs. One bad image costs that image; a failing network ends the run.

use std::ops::ControlFlow;
use std::sync::mpsc::sync_channel;

use crate::image::Preprocess;
use crate::ports::{EmbedError, Embedder};
use crate::words::Region;

/// Prepared tensors waiting for the network at most: enough to ride out one slow file, a few MB.
const AHEAD: usize = 4;

/// The embeddings (dim,) of one image's regions, in their order; inside, what the network makes that is none.
pub type OfRegions = Vec<Result<Vec<f32>, EmbedError>>;

/// Why one image has no embedding.
#[derive(Debug, thiserror::Error)]
pub enum ItemError<E: std::error::Error + 'static> {
    /// It could not be read or decoded.
    #[error(transparent)]
    Read(E),
    /// The network makes something that is not an embedding of it.
    #[error(transparent)]
    Embed(EmbedError),
}

/// Embeds the image of every job and hands each result to `sink`, in the order of `jobs`.
///
/// `read` makes the tensors (n, 3*h*w) of n regions of a job ([`Preprocess::look`]); it runs on a thread of its own, beside
/// the network. `sink` may end the run early by `ControlFlow::Break`.
///
/// # Errors
/// [`EmbedError::Backend`] when the network itself fails; jobs behind that one are not done.
pub fn embed_all<J, E>(
    embedder: &mut dyn Embedder,
    jobs: impl IntoIterator<Item = J, IntoIter: Send>,
    read: impl Fn(&J, &Preprocess, &[Region]) -> Result<Vec<f32>, E> + Send,
    mut sink: impl FnMut(J, Result<Vec<f32>, ItemError<E>>) -> ControlFlow<()>,
) -> Result<(), EmbedError>
where
    J: Send,
    E: std::error::Error + Send + 'static,
{
    embed_regions(embedder, &[Region::WHOLE], jobs, read, |job, result| {
        let embedding = match result {
            Ok(mut whole) => whole.swap_remove(0).map_err(ItemError::Embed),
            Err(error) => Err(ItemError::Read(error)),
        };
        sink(job, embedding)
    })
}

/// The same for `regions`, at least one, of every image: it is decoded once, and they go through the network together.
///
/// # Errors
/// [`EmbedError::Backend`] when the network itself fails; jobs behind that one are not done.
pub fn embed_regions<J, E>(
    embedder: &mut dyn Embedder,
    regions: &[Region],
    jobs: impl IntoIterator<Item = J, IntoIter: Send>,
    read: impl Fn(&J, &Preprocess, &[Region]) -> Result<Vec<f32>, E> + Send,
    mut sink: impl FnMut(J, Result<OfRegions, E>) -> ControlFlow<()>,
) -> Result<(), EmbedError>
where
    J: Send,
    E: std::error::Error + Send + 'static,
{
    let preprocess = embedder.preprocess().clone();
    let jobs = jobs.into_iter();
    std::thread::scope(|scope| {
        let (sender, prepared) = sync_channel((AHEAD / regions.len()).max(1));
        scope.spawn(move || {
            for job in jobs {
                let tensors = read(&job, &preprocess, regions);
                // The receiver is gone when the run has ended early.
                if sender.send((job, tensors)).is_err() {
                    break;
                }
            }
        });
        for (job, tensors) in prepared {
            let result = match tensors {
                Err(error) => Err(error),
                Ok(tensors) => Ok(embedder.embed_each(&tensors, regions.len())?),
            };
            if sink(job, result).is_break() {
                break;
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{Channels, Decode, Layout, Resize, Rgb};
    use crate::words::{Digest, EmbeddingSpace};

    /// Returns the mean of its input; 13 breaks it, 7 is not finite.
    struct Mean(Preprocess);

    impl Embedder for Mean {
        fn space(&self) -> EmbeddingSpace {
            EmbeddingSpace { backbone: Digest([0; 32]), preprocessing: self.0.digest(), dim: 1 }
        }

        fn preprocess(&self) -> &Preprocess {
            &self.0
        }

        fn embed(&mut self, tensors: &[f32], n: usize) -> Result<Vec<f32>, EmbedError> {
            let rows = tensors.chunks(tensors.len() / n).enumerate();
            let mean = |(image, row): (usize, &[f32])| {
                let mean = row.iter().sum::<f32>() / row.len() as f32;
                match mean.round() as u8 {
                    13 => Err(EmbedError::Backend { n, source: "broken".into() }),
                    7 => Err(EmbedError::NotFinite { image, place: 0, value: f32::NAN }),
                    _ => Ok(mean),
                }
            };
            rows.map(mean).collect()
        }
    }

    fn mean() -> Mean {
        let (size, layout, channels) = ((2, 2), Layout::Nchw, Channels::Rgb);
        let (mean, std, scale) = ([0.0; 3], [1.0; 3], [1.0; 3]);
        Mean(Preprocess {
            size,
            layout,
            channels,
            mean,
            std,
            scale,
            resize: Resize::Stretch,
            pad: Preprocess::PAD,
            decode: Decode::Exact,
        })
    }

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature that the pipeline asks for")]
    fn grey(job: &u8, way: &Preprocess, regions: &[Region]) -> Result<Vec<f32>, std::fmt::Error> {
        let image = Rgb::new(2, 2, vec![*job; 12]).expect("2 x 2");
        if *job == 99 { Err(std::fmt::Error) } else { Ok(way.apply_regions(&image, regions)) }
    }

    #[test]
    fn results_keep_their_order_and_a_bad_image_costs_only_itself() {
        let mut seen = Vec::new();
        embed_all(&mut mean(), [1, 99, 7, 4, 5, 6, 8, 9, 10], grey, |job, result| {
            seen.push((job, result.ok().map(|embedding| embedding[0] as u8)));
            ControlFlow::Continue(())
        })
        .unwrap();
        let wanted = [1, 99, 7, 4, 5, 6, 8, 9, 10].map(|job| (job, (job != 99 && job != 7).then_some(job)));
        assert_eq!(seen, wanted);
    }

    #[test]
    fn every_region_has_its_embedding_and_a_bad_one_costs_only_itself() {
        // Left 7, right the job, in two rows.
        let read = |job: &u8, way: &Preprocess, regions: &[Region]| {
            let image = Rgb::new(2, 2, [[7; 3], [*job; 3]].concat().repeat(2)).ok_or(std::fmt::Error)?;
            Ok::<_, std::fmt::Error>(way.apply_regions(&image, regions))
        };
        let regions = ["0.5,0,1,1", "0,0,0.5,1", "0,0,1,1"].map(|text| text.parse().unwrap());
        let mut seen = Vec::new();
        embed_regions(&mut mean(), &regions, [5, 11], read, |job, result| {
            let values = result.unwrap().into_iter().map(|embedding| embedding.ok().map(|values| values[0] as u8));
            seen.push((job, values.collect::<Vec<_>>()));
            ControlFlow::Continue(())
        })
        .unwrap();
        assert_eq!(seen, [(5, vec![Some(5), None, Some(6)]), (11, vec![Some(11), None, Some(9)])]);
        let broken = embed_regions(&mut mean(), &regions, [13], read, |_, _| ControlFlow::Continue(()));
        assert!(matches!(broken, Err(EmbedError::Backend { .. })), "{broken:?}");
    }

    #[test]
    fn a_broken_network_or_a_full_sink_ends_the_run_at_once() {
        let mut seen = 0;
        let result = embed_all(&mut mean(), [1, 13, 2].into_iter().cycle(), grey, |_, _| {
            seen += 1;
            ControlFlow::Continue(())
        });
        assert!(matches!(result, Err(EmbedError::Backend { n: 1, .. })));
        assert_eq!(seen, 1);
        let endless = embed_all(&mut mean(), [1].into_iter().cycle(), grey, |_, _| {
            seen += 1;
            if seen == 20 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert!(endless.is_ok());
        assert_eq!(seen, 20);
    }
}
