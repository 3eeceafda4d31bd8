//! `edgetuned backbone bench`: a backbone on execution providers, beside the CPU.
//!
//! Each provider is measured in a process of its own: memory that one took would count for the next, and a provider that
//! ends the process takes no other figure with it.

use std::io::{self, Write};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use crate::backbone::{Manifest, ProviderFigures, measure_provider};
use crate::cli::args::Args;
use crate::cli::configuration;
use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::config::{Config, unknown_remedy};
use crate::daemon::rss_bytes;
use crate::shared::backbone::BackboneInUse;
use crate::words::{BUILT_IN_PROVIDERS, CPU, Provider};

/// What was measured of one provider.
#[derive(Debug, Serialize, Deserialize)]
struct Row {
    provider: String,
    images_per_second: f64,
    latency_ms: f64,
    rss_bytes: u64,
    cosine: f64,
}

/// What a process that failed prints.
#[derive(Deserialize)]
struct Failed {
    error: String,
}

pub fn bench(args: &Args, backbone: Option<&str>, names: &[String], output: Output) -> Result<(), Failure> {
    let config = configuration::if_named(args)?;
    let providers = providers(config.as_ref(), names)?;
    let manifest = match (backbone, &config) {
        (None, Some(config)) => BackboneInUse::find(config)?.manifest,
        (model, _) => Manifest::resolve(model.unwrap_or("default"))?,
    };
    if let Some(stand_in) = &manifest.stands_in {
        tracing::warn!("{stand_in}");
    }
    let rows = if let [only] = &providers[..] {
        let threads = config.as_ref().map_or(1, |config| config.backbone.threads);
        vec![measured(&manifest, only, threads)?]
    } else {
        let allows_cpu = providers.iter().any(|provider| provider.name == CPU);
        let mut rows = Vec::new();
        for provider in &providers {
            match in_a_process(args, backbone, &provider.name) {
                Ok(row) => rows.push(row),
                // The CPU's figures stand alone then.
                Err(failure) if allows_cpu && failure.is_unavailable() => failure.complain(),
                Err(failure) => return Err(failure),
            }
        }
        rows
    };
    output.print(&rows, |out| describe(&manifest.name, &rows, out))
}

/// Those that are named, else those of the configuration and the CPU.
fn providers(config: Option<&Config>, names: &[String]) -> Result<Vec<Provider>, Failure> {
    let mut wanted: Vec<String> = names.to_vec();
    if wanted.is_empty() {
        wanted.extend(config.iter().flat_map(|config| config.backbone.execution_providers.clone()));
        wanted.push(CPU.to_owned());
    }
    let mut providers: Vec<Provider> = Vec::new();
    for name in wanted {
        let provider = config.map_or_else(|| Provider::named(&name), |config| config.backbone.provider(&name));
        if !Provider::is_built_in(&name) && provider.library.is_none() {
            return Err(Failure::configuration(format!(
                "there is no execution provider {name:?}: expected one of {}, or a name with a library in \
                 backbone.providers of --config; {}",
                BUILT_IN_PROVIDERS.join(", "),
                unknown_remedy(&name)
            )));
        }
        if !providers.contains(&provider) {
            providers.push(provider);
        }
    }
    Ok(providers)
}

fn measured(manifest: &Manifest, provider: &Provider, threads: usize) -> Result<Row, Failure> {
    let memory = || rss_bytes().unwrap_or(0);
    let ProviderFigures { images_per_second, latency_ms, rss_bytes, cosine } =
        measure_provider(manifest, provider, threads, memory)?;
    Ok(Row { provider: provider.name.clone(), images_per_second, latency_ms, rss_bytes, cosine })
}

/// The same by this program anew.
fn in_a_process(args: &Args, backbone: Option<&str>, provider: &str) -> Result<Row, Failure> {
    let started =
        |error: io::Error| Failure::failed(format!("cannot start this program again to measure {provider}: {error}"));
    let mut command = Command::new(std::env::current_exe().map_err(started)?);
    command.args(args.config.iter().flat_map(|config| ["--config".as_ref(), config.as_os_str()]));
    command
        .args(["--json", "backbone", "bench", "--provider", provider])
        .args(backbone.iter().flat_map(|name| ["--", name]));
    let done = command.stdin(Stdio::null()).stderr(Stdio::null()).output().map_err(started)?;
    if done.status.success() {
        let rows: Vec<Row> = serde_json::from_slice(&done.stdout).map_err(Failure::failed)?;
        return rows.into_iter().next().ok_or_else(|| Failure::failed("nothing was measured"));
    }
    let reason = serde_json::from_slice(&done.stdout).map_or_else(
        |_| {
            format!("the process that measured {provider} ended with {}; the provider cannot be used here", done.status)
        },
        |Failed { error }| error,
    );
    Err(match done.status.code() {
        Some(78) => Failure::configuration(reason),
        Some(1) => Failure::failed(reason),
        // A provider that ends the process does not start here, either.
        _ => Failure::unavailable(reason),
    })
}

fn describe(name: &str, rows: &[Row], out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{name}, each provider in a process of its own")?;
    writeln!(out, "{:16} {:>10} {:>10} {:>8} {:>10}", "provider", "images/s", "ms alone", "MB", "cosine")?;
    rows.iter().try_for_each(|row| {
        let Row { provider, images_per_second, latency_ms, rss_bytes, cosine } = row;
        let mb = *rss_bytes as f64 / 1e6;
        writeln!(out, "{provider:16} {images_per_second:10.1} {latency_ms:10.2} {mb:8.0} {cosine:10.6}")
    })
}
