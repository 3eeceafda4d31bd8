//! Execution providers: which of those that were asked for compute a model, and what they are worth.
//!
//! ONNX Runtime falls back to the CPU without a word in many ways: a library without the provider, a plug-in without a
//! device, a model with an operator that it lacks. So every provider has to start first; then a session is asked for in
//! which the CPU may compute nothing, and only after that one in which it may; the steps that each provider ran are
//! counted in a profile of the probe pictures; and embeddings and times are compared with the CPU's.

mod bench;
mod nodes;
mod plugin;
mod probe;
mod profile;
mod way;

pub use bench::{ProviderFigures, measure_provider};
pub use way::Way;

use std::collections::BTreeMap;

use super::environment;
use super::errors::OpenError;
use super::session::{OnnxBackbone, read};
use crate::backbone::manifest::Manifest;
use crate::ports::Embedder as _;
use crate::wire::{ProviderReport, ProviderUse, RefusedProvider};
use crate::words::{CPU, EmbeddingSpace, Execution, Provider, error_chain};
use profile::ProfileFolder;

/// Why a model does not run on providers.
enum Failed {
    /// It would not on the CPU either.
    Model(OpenError),
    /// The first of them cannot compute it.
    Provider(String),
}

/// A backbone that is open, and by what, before it was compared with the CPU.
pub(super) struct Opened {
    pub backbone: OnnxBackbone,
    /// The first provider that computes steps of it.
    pub running: String,
    /// Steps by provider.
    nodes: BTreeMap<String, u64>,
    /// Those that were tried before.
    pub refused: Vec<RefusedProvider>,
}

impl OnnxBackbone {
    /// Opens the model of `manifest` on the first provider of `execution` that computes it, counts what each computes,
    /// and compares its embeddings and its time with the CPU's. Where the embeddings differ, the backbone is of a space
    /// of its own ([`manifest`](Self::manifest)).
    ///
    /// # Errors
    /// [`OpenError`]; [`OpenError::Provider`] where no provider computes it and the CPU was not asked for.
    pub fn open_on(manifest: &Manifest, execution: &Execution) -> Result<(Self, ProviderUse), OpenError> {
        let Opened { mut backbone, running, nodes, refused } = opened(manifest, execution)?;
        let (cosine, speedup) = if running == CPU {
            (1.0, 1.0)
        } else {
            let mut on_cpu = Self::open(&backbone.manifest, execution.threads)?;
            let file = backbone.manifest.file.clone();
            probe::compare(&mut backbone, &mut on_cpu).map_err(|source| OpenError::Probe { file, source })?
        };
        let report = ProviderReport { asked: execution.names(), running, nodes, cosine, speedup };
        backbone.manifest.provider = report.of_its_own().map(str::to_owned);
        let dim = backbone.space().dim;
        backbone.space = EmbeddingSpace { dim, ..backbone.manifest.space() };
        Ok((backbone, ProviderUse { report, refused }))
    }
}

/// The model of `manifest` on the first provider of `execution` that computes it, as a backbone of the CPU's space.
///
/// # Errors
/// As [`OnnxBackbone::open_on`].
pub(super) fn opened(manifest: &Manifest, execution: &Execution) -> Result<Opened, OpenError> {
    let manifest = manifest.clone().on(None);
    let (mut able, mut refused) = started(execution)?;
    while !able.is_empty() {
        match by(&manifest, execution, &able) {
            Ok((backbone, nodes)) => {
                let computes = |provider: &&Provider| nodes.contains_key(&provider.name);
                let idle = able.iter().take_while(|provider| !computes(provider));
                refused.extend(idle.map(|provider| refusal(provider, TAKES_NOTHING)));
                let running = able.iter().find(computes).map_or_else(|| CPU.to_owned(), |found| found.name.clone());
                return Ok(Opened { backbone, running, nodes, refused });
            }
            Err(Failed::Model(error)) => return Err(error),
            Err(Failed::Provider(why)) => refused.push(refusal(&able.remove(0), &why)),
        }
    }
    if !execution.allows_cpu() {
        return Err(OpenError::Provider { file: manifest.file, asked: execution.names(), refused });
    }
    let backbone = OnnxBackbone::open(&manifest, execution.threads)?;
    let nodes = BTreeMap::from([(CPU.to_owned(), read(&manifest)?.1.nodes.len() as u64)]);
    Ok(Opened { backbone, running: CPU.to_owned(), nodes, refused })
}

/// The providers before the CPU that can be asked for, and the others.
fn started(execution: &Execution) -> Result<(Vec<Provider>, Vec<RefusedProvider>), OpenError> {
    let (mut able, mut refused) = (Vec::new(), Vec::new());
    if execution.accelerators().is_empty() {
        return Ok((able, refused));
    }
    let environment = environment()?;
    for provider in execution.accelerators() {
        match way::starts(&environment, provider) {
            Ok(()) => able.push(provider.clone()),
            Err(why) => refused.push(refusal(provider, &why.to_string())),
        }
    }
    Ok((able, refused))
}

fn refusal(provider: &Provider, why: &str) -> RefusedProvider {
    RefusedProvider { name: provider.name.clone(), why: why.trim_end_matches('.').to_owned() }
}

/// The backbone by these providers, without the CPU if that can be, and the number of steps of each.
fn by(
    manifest: &Manifest,
    execution: &Execution,
    providers: &[Provider],
) -> Result<(OnnxBackbone, BTreeMap<String, u64>), Failed> {
    let folder = ProfileFolder::new().map_err(|error| {
        Failed::Provider(format!("no folder for profiles in {}: {error}", std::env::temp_dir().display()))
    })?;
    let open = |strict| {
        let way = Way::by(execution, providers, strict);
        OnnxBackbone::open_recorded(manifest, &way, Some(&folder.prefix())).map_err(|error| match error {
            OpenError::Runtime(_)
            | OpenError::Unreadable { .. }
            | OpenError::NotMade { .. }
            | OpenError::Checksum { .. }
            | OpenError::Model { .. } => Failed::Model(error),
            error => Failed::Provider(cause(&error)),
        })
    };
    let (mut backbone, is_whole) = match open(true) {
        Err(Failed::Provider(_)) if execution.allows_cpu() => (open(false)?, false),
        opened => (opened?, true),
    };
    let counts = profile::counted(&mut backbone.session).map_err(Failed::Provider)?;
    let mut nodes = BTreeMap::new();
    for (long, count) in counts {
        *nodes.entry(way::configured_name(&long, providers)).or_default() += count;
    }
    if providers.iter().any(|provider| nodes.contains_key(&provider.name)) {
        return Ok((backbone, nodes));
    }
    match providers {
        // Without the CPU nobody else can have run it, whatever the profile calls it.
        [only] if is_whole => Ok((backbone, BTreeMap::from([(only.name.clone(), nodes.values().sum())]))),
        _ => Err(Failed::Provider(TAKES_NOTHING.to_owned())),
    }
}

/// What ONNX Runtime says of a session in which the CPU may compute nothing.
const LEFT_TO_CPU: &str = "assigned to the default CPU EP";
const LEAVES_STEPS: &str = "it leaves steps of this model to the CPU, for want of an operator";
const TAKES_NOTHING: &str =
    "it computes no step of this model, for want of an operator; choose another backbone for it";

/// What a provider said, without the advice about the model, which the CPU may well compute.
fn cause(error: &OpenError) -> String {
    match error {
        OpenError::Refused { source, .. } if source.to_string().contains(LEFT_TO_CPU) => LEAVES_STEPS.to_owned(),
        OpenError::Refused { source, .. } | OpenError::Fails { source, .. } => source.to_string(),
        error => error_chain(error),
    }
}
