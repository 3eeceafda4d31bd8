//! That an exported model computes what the program computes.

use std::path::Path;

use ndarray::Array2;

use super::export::PROBABILITIES;
use super::manifest::{Embedding, Manifest, Pool};
use super::runtime::session::{OnnxBackbone, OpenError};
use crate::head::{HeadRecord, Unreadable};
use crate::image::Rgb;
use crate::ports::{EmbedError, Embedder};
use crate::words::Digest;

/// How far a probability of the exported model may be from the program's own.
const TOLERANCE: f32 = 1e-4;

/// The program's own answers to a few very different images, to compare an exported model with.
#[derive(Debug)]
pub struct Proof<'a> {
    manifest: &'a Manifest,
    threads: usize,
    pictures: Vec<Vec<f32>>,
    expected: Array2<f32>,
}

/// Why a model is not proved.
#[derive(Debug, thiserror::Error)]
pub enum Unproved {
    /// It does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It fails on a picture.
    #[error(transparent)]
    Embed(#[from] EmbedError),
    /// The head does not fit the backbone.
    #[error(transparent)]
    Head(#[from] Unreadable),
    /// Its answers differ.
    #[error(
        "the exported model's probabilities differ from the program's own by {apart}, expected at most {TOLERANCE}; \
         it was not written: report it, with the name of the backbone"
    )]
    Differs {
        /// The largest difference.
        apart: f32,
    },
}

impl<'a> Proof<'a> {
    /// Runs backbone and head, on `threads` threads.
    ///
    /// # Errors
    /// [`Unproved`] when the backbone does not open or the head does not fit it.
    pub fn prepare(manifest: &'a Manifest, threads: usize, record: &HeadRecord) -> Result<Self, Unproved> {
        let mut backbone = OnnxBackbone::open(manifest, threads)?;
        let pictures = pictures(&backbone);
        let embeddings = outputs(&mut backbone, &pictures)?;
        let expected = record.dense.probabilities_of(&embeddings)?;
        Ok(Self { manifest, threads, pictures, expected })
    }

    /// The number of images on which both are compared.
    #[must_use]
    pub fn pictures(&self) -> usize {
        self.pictures.len()
    }

    /// The largest difference between a probability of the exported model in `file`, whose bytes have this SHA-256, and
    /// the program's own.
    ///
    /// # Errors
    /// [`Unproved`], with [`Unproved::Differs`] where it is more than 1e-4.
    pub fn compare(&self, file: &Path, sha256: Digest) -> Result<f32, Unproved> {
        // The exported model is a backbone whose embedding are the probabilities.
        let embedding = Embedding { tensor: PROBABILITIES.to_owned(), dim: self.expected.ncols(), pool: Pool::None };
        let exported =
            Manifest { file: file.to_owned(), path: file.to_owned(), sha256, embedding, ..self.manifest.clone() };
        let found = outputs(&mut OnnxBackbone::open(&exported, self.threads)?, &self.pictures)?;
        let apart = (&found - &self.expected).iter().fold(0.0, |apart: f32, difference| apart.max(difference.abs()));
        if apart > TOLERANCE { Err(Unproved::Differs { apart }) } else { Ok(apart) }
    }
}

/// Tensors of plain grey, a slope of each colour in its own direction, and noise.
fn pictures(backbone: &OnnxBackbone) -> Vec<Vec<f32>> {
    const SIDE: u32 = 256;
    let pictures: [fn(u32, u32) -> [u32; 3]; 3] = [
        |_, _| [128; 3],
        |x, y| [x, y, 255 - x.midpoint(y)],
        // Three of the primes that scatter neighbours: no two of them are alike.
        |x, y| [7919, 104_729, 1_299_709].map(|prime| (x * SIDE + y + 1).wrapping_mul(prime) >> 7),
    ];
    let tensor = |picture: fn(u32, u32) -> [u32; 3]| {
        let places = (0..SIDE).flat_map(|y| (0..SIDE).map(move |x| (x, y)));
        let pixels = places.flat_map(|(x, y)| picture(x, y)).map(|value| (value & 255) as u8).collect();
        backbone.preprocess().apply(&Rgb::new(SIDE, SIDE, pixels).expect("three bytes a pixel"))
    };
    pictures.into_iter().map(tensor).collect()
}

/// What `network` makes of the tensors (n, 3*h*w): (n, dim).
fn outputs(network: &mut OnnxBackbone, tensors: &[Vec<f32>]) -> Result<Array2<f32>, EmbedError> {
    let values = network.embed(&tensors.concat(), tensors.len())?;
    Ok(Array2::from_shape_vec((tensors.len(), network.space().dim), values).expect("a row of dim values an image"))
}
