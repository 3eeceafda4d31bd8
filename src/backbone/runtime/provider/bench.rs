//! What a backbone does on one execution provider: speed, memory, and how near its embeddings are to the CPU's.

use std::time::{Duration, Instant};

use super::{opened, probe};
use crate::backbone::manifest::Manifest;
use crate::backbone::runtime::errors::OpenError;
use crate::backbone::runtime::session::{OnnxBackbone, TOGETHER};
use crate::ports::{EmbedError, Embedder as _};
use crate::words::{CPU, Execution, Provider};

/// How long each figure is taken.
const LONG: Duration = Duration::from_secs(2);
/// Runs of each figure at least.
const RUNS: usize = 5;

/// What was measured of one provider.
#[derive(Debug, Clone, PartialEq)]
pub struct ProviderFigures {
    /// Images a second, 4 in a run.
    pub images_per_second: f64,
    /// Of one picture alone, the median, in milliseconds.
    pub latency_ms: f64,
    /// What `memory` returned once the backbone had run, before the one that it is compared with was opened.
    pub rss_bytes: u64,
    /// Least cosine of an embedding and the CPU's of the same picture; 1 on the CPU.
    pub cosine: f64,
}

/// Measures the model of `manifest` on `provider`, which may leave steps to the CPU; `memory` returns what the process
/// takes at the moment, in bytes.
///
/// # Errors
/// [`OpenError`]; [`OpenError::Provider`] where the provider does not start or computes nothing of the model.
pub fn measure_provider(
    manifest: &Manifest,
    provider: &Provider,
    threads: usize,
    memory: impl FnOnce() -> u64,
) -> Result<ProviderFigures, OpenError> {
    let mut providers = vec![provider.clone()];
    if provider.name != CPU {
        providers.push(Provider::named(CPU));
    }
    let found = opened(manifest, &Execution { threads, providers })?;
    let mut backbone = found.backbone;
    let file = || manifest.file.clone();
    if found.running != provider.name {
        let asked = vec![provider.name.clone()];
        return Err(OpenError::Provider { file: file(), asked, refused: found.refused });
    }
    let failed = |source: EmbedError| OpenError::Probe { file: file(), source };
    let tensor = vec![0.1; backbone.preprocess().tensor_len()];
    let latency_ms = 1e3 * median(timed(&mut backbone, &tensor, 1).map_err(failed)?);
    let together = timed(&mut backbone, &tensor.repeat(TOGETHER), TOGETHER).map_err(failed)?;
    let images_per_second = TOGETHER as f64 / median(together);
    let rss_bytes = memory();
    let cosine = if provider.name == CPU {
        1.0
    } else {
        let mut on_cpu = OnnxBackbone::open(&backbone.manifest, threads)?;
        probe::compare(&mut backbone, &mut on_cpu).map_err(failed)?.0
    };
    Ok(ProviderFigures { images_per_second, latency_ms, rss_bytes, cosine })
}

/// Seconds of runs of `n` pictures, the first one left out.
fn timed(backbone: &mut OnnxBackbone, tensors: &[f32], n: usize) -> Result<Vec<f64>, EmbedError> {
    backbone.embed(tensors, n)?;
    let (started, mut taken) = (Instant::now(), Vec::new());
    while taken.len() < RUNS || started.elapsed() < LONG {
        let run = Instant::now();
        backbone.embed(tensors, n)?;
        taken.push(run.elapsed().as_secs_f64());
    }
    Ok(taken)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
