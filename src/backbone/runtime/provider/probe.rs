//! One backbone beside another on the probe pictures: how alike their embeddings are, and how much faster one is.

use std::time::{Duration, Instant};

use crate::backbone::runtime::verify::pictures;
use crate::ports::{EmbedError, Embedder};

/// Pictures timed at most.
const RUNS: usize = 9;
/// No further one is timed after this long.
const PATIENCE: Duration = Duration::from_secs(2);

/// Least cosine of the embeddings of one picture, and the time of `reference` over that of `backbone`, in medians of
/// turns; both have run before.
///
/// # Errors
/// [`EmbedError`] when one fails on a picture.
pub(super) fn compare(backbone: &mut dyn Embedder, reference: &mut dyn Embedder) -> Result<(f64, f64), EmbedError> {
    let tensors = pictures().map(|picture| backbone.preprocess().apply(&picture));
    let mut least = f64::INFINITY;
    for tensor in &tensors {
        least = least.min(cosine(&backbone.embed(tensor, 1)?, &reference.embed(tensor, 1)?));
    }
    let (started, mut ours, mut theirs) = (Instant::now(), Vec::new(), Vec::new());
    while ours.is_empty() || (ours.len() < RUNS && started.elapsed() < PATIENCE) {
        ours.push(seconds(backbone, &tensors[0])?);
        theirs.push(seconds(reference, &tensors[0])?);
    }
    Ok((least, median(theirs) / median(ours)))
}

fn seconds(embedder: &mut dyn Embedder, tensor: &[f32]) -> Result<f64, EmbedError> {
    let started = Instant::now();
    embedder.embed(tensor, 1)?;
    Ok(started.elapsed().as_secs_f64().max(1e-9))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The cosine of the angle between two vectors, at most 1; 0 where it is none, since one of them is 0 alone.
fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    if a == b {
        return 1.0;
    }
    let cosine = dot(a, b) / (dot(a, a) * dot(b, b)).sqrt();
    if cosine.is_finite() { cosine.clamp(-1.0, 1.0) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cosine_is_that_of_the_angle() {
        let is = |a: &[f32], b: &[f32], expected: f64| (cosine(a, b) - expected).abs() < 1e-7;
        assert!(is(&[1.0, 2.0], &[2.0, 4.0], 1.0) && is(&[1.0, 0.0], &[0.0, 3.0], 0.0));
        assert!(is(&[1.0, 0.0], &[1.0, 1.0], 0.5_f64.sqrt()) && is(&[1.0], &[-2.0], -1.0));
        assert!(is(&[0.0; 2], &[0.0; 2], 1.0) && is(&[0.0; 2], &[1.0, 0.0], 0.0));
    }
}
