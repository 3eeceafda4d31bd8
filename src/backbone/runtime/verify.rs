//! Verifies a backbone with two images: whether their embeddings differ, how long one takes, and warnings.

use std::time::{Duration, Instant};

use crate::image::Rgb;
use crate::ports::{EmbedError, Embedder};

/// A backbone whose embeddings depend on the image.
#[derive(Debug, Clone, PartialEq)]
pub struct Verified {
    /// Time of one picture through the network, the median of a few; preprocessing is not in it.
    pub ms_per_image: f64,
    /// Warnings for the user.
    pub warnings: Vec<String>,
}

/// Why a backbone that opened is unusable.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// A picture has no embedding.
    #[error(transparent)]
    Embed(#[from] EmbedError),
    /// Different images have the same embedding.
    #[error("two different images get the same embedding{}: it does not depend on the image, or the normalisation \
             makes all images alike; choose another tensor, or check mean, std and scale", zero(*.all_zero))]
    Constant {
        /// Whether all of it is 0.
        all_zero: bool,
    },
}

fn zero(all_zero: bool) -> &'static str {
    if all_zero { ", all zeros" } else { "" }
}

/// Runs timed at most.
const RUNS: usize = 9;
/// No further run is timed after this long.
const PATIENCE: Duration = Duration::from_millis(1500);
/// Wider embeddings make training slow and the store large.
const WIDE: usize = 4096;

/// Embeds two images, one of smooth colours and one of hard edges, and compares the embeddings.
///
/// # Errors
/// [`Unfit`] when one has no finite embedding, or both have the same.
pub fn verify(embedder: &mut dyn Embedder) -> Result<Verified, Unfit> {
    let [smooth, edges] = pictures().map(|picture| embedder.preprocess().apply(&picture));
    let (a, b) = (embedder.embed(&smooth, 1)?, embedder.embed(&edges, 1)?);
    let warnings = judge(&a, &b)?;
    let started = Instant::now();
    let mut times = Vec::with_capacity(RUNS);
    while times.is_empty() || (times.len() < RUNS && started.elapsed() < PATIENCE) {
        let run = Instant::now();
        embedder.embed(&smooth, 1)?;
        times.push(run.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    Ok(Verified { ms_per_image: times[times.len() / 2], warnings })
}

/// 256 x 192: colours that flow into each other; a board of two colours.
pub(super) fn pictures() -> [Rgb; 2] {
    let draw = |colour: fn(u32, u32) -> [u8; 3]| {
        let pixels = (0..192).flat_map(|y| (0..256).flat_map(move |x| colour(x, y))).collect();
        Rgb::new(256, 192, pixels).expect("256 x 192 pixels of three bytes")
    };
    [
        draw(|x, y| [x as u8, (255 - x) as u8, (y * 255 / 191) as u8]),
        draw(|x, y| if (x / 24 + y / 24) % 2 == 0 { [230, 200, 40] } else { [20, 30, 90] }),
    ]
}

/// What the embeddings of two different pictures show.
fn judge(a: &[f32], b: &[f32]) -> Result<Vec<String>, Unfit> {
    let largest = a.iter().chain(b).map(|value| value.abs()).fold(0.0, f32::max);
    let same = a.iter().zip(b).filter(|(a, b)| (*a - *b).abs() <= 1e-5 * largest).count();
    let dim = a.len();
    if same == dim {
        return Err(Unfit::Constant { all_zero: largest == 0.0 });
    }
    let mut warnings = Vec::new();
    if same * 10 > dim * 9 {
        warnings.push(format!(
            "{same} of {dim} values are the same for two different pictures: check mean, std and scale, or choose \
             another tensor"
        ));
    }
    let probabilities =
        |row: &[f32]| dim > 1 && row.iter().all(|value| *value >= 0.0) && (row.iter().sum::<f32>() - 1.0).abs() < 1e-3;
    if probabilities(a) && probabilities(b) {
        warnings.push(
            "the values sum to 1, as class probabilities do: a tensor before the classifier carries more information; \
             choose one with --tensor"
                .into(),
        );
    } else if i64::try_from(dim).is_ok_and(|dim| crate::backbone::inspect::CLASS_WIDTHS.contains(&dim)) {
        warnings.push(format!(
            "{dim} is as many values as ImageNet has classes: if they are scores, a tensor before the classifier \
             carries more information; choose one with --tensor"
        ));
    }
    if dim > WIDE {
        warnings.push(format!(
            "{dim} values a picture make training slow and the store large: a pooled tensor has fewer; choose one with \
             --tensor or --pool avg"
        ));
    }
    Ok(warnings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(dim: usize, value: impl Fn(usize) -> f32) -> Vec<f32> {
        (0..dim).map(value).collect()
    }

    #[test]
    fn embeddings_that_are_the_same_are_refused() {
        let constant = row(8, |k| k as f32);
        assert!(matches!(judge(&constant, &constant), Err(Unfit::Constant { all_zero: false })));
        let message = judge(&[0.0; 4], &[0.0; 4]).unwrap_err().to_string();
        assert!(message.contains("same embedding, all zeros:") && message.contains("another tensor"), "{message}");
        assert_eq!(judge(&row(8, |k| k as f32), &row(8, |k| 8.0 - k as f32)).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn odd_embeddings_are_warned_of() {
        let warned = |a: &[f32], b: &[f32], words: &str| {
            let warnings = judge(a, b).unwrap();
            assert!(warnings.len() == 1 && warnings[0].contains(words), "{warnings:?} for {words}");
        };
        warned(&row(100, |_| 1.0), &row(100, |k| if k < 5 { 2.0 } else { 1.0 }), "95 of 100 values are the same");
        warned(&[0.25, 0.75], &[0.5, 0.5], "sum to 1");
        warned(&row(1000, |k| k as f32), &row(1000, |k| -(k as f32) - 1.0), "1000 is as many values as ImageNet");
        warned(&row(5000, |k| k as f32), &row(5000, |k| -(k as f32) - 1.0), "5000 values a picture");
    }
}
