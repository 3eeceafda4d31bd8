//! Finding and reading the configuration's layers.

use std::fs;
use std::path::{Path, PathBuf};

use super::args::Args;
use super::failure::Failure;
use crate::config::{self, Config, Layer, Loaded, Problem, Source};
use crate::daemon::ConfigLayers;

/// The default path of the configuration.
const DEFAULT: &str = "/etc/edgetuned/config.yaml";

/// The configuration's file.
pub fn path(args: &Args) -> PathBuf {
    args.config.clone().unwrap_or_else(|| DEFAULT.into())
}

/// The configuration; warnings go to the log.
pub fn load(args: &Args) -> Result<Config, Failure> {
    let loaded = read(&path(args)).map_err(Failure::problems)?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    Ok(loaded.config)
}

/// The configuration if `--config` names one; commands that can do without it do not look for it.
pub fn if_named(args: &Args) -> Result<Option<Config>, Failure> {
    args.config.is_some().then(|| load(args)).transpose()
}

/// Reads and checks the file at `path`, `conf.d/*.yaml` beside it, and the environment.
pub fn read(path: &Path) -> Result<Loaded, Vec<Problem>> {
    let ConfigLayers { layers, host_name } = sources(path)?;
    config::load(&layers, &host_name)
}

/// The same with what is valid of it, and every problem.
///
/// # Errors
/// The problem of a file that cannot be read.
pub fn read_valid(path: &Path) -> Result<(Loaded, Vec<Problem>), Vec<Problem>> {
    let ConfigLayers { layers, host_name } = sources(path)?;
    Ok(config::load_valid(&layers, &host_name))
}

/// The same as text.
pub fn sources(path: &Path) -> Result<ConfigLayers, Vec<Problem>> {
    let mut layers = vec![file(path)?];
    if let Ok(entries) = path.parent().unwrap_or(Path::new(".")).join("conf.d").read_dir() {
        let mut drop_ins: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        drop_ins.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
        drop_ins.sort();
        for path in drop_ins {
            layers.push(file(&path)?);
        }
    }
    // A variable that is not UTF-8 cannot be one of ours.
    let variables =
        std::env::vars_os().filter_map(|(name, value)| name.into_string().ok().zip(value.into_string().ok()));
    layers.push(Layer { name: "environment".into(), source: Source::Pairs(config::env_pairs(variables)) });
    Ok(ConfigLayers { layers, host_name: host_name() })
}

fn file(path: &Path) -> Result<Layer, Vec<Problem>> {
    let name = path.display().to_string();
    match fs::read(path).map(String::from_utf8) {
        Ok(Ok(text)) => Ok(Layer { name, source: Source::Yaml(text) }),
        Ok(Err(_)) => Err(vec![problem(name, "bytes that are not UTF-8", "save the file as UTF-8")]),
        Err(error) => {
            let remedy = "give the right path with --config; config/minimal.yaml is a start";
            Err(vec![problem(name, &found(&error), remedy)])
        }
    }
}

fn found(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "no such file".into(),
        _ => error.to_string(),
    }
}

fn problem(file: String, found: &str, remedy: &str) -> Problem {
    let (expected, remedy) = ("a configuration file".into(), remedy.into());
    Problem { file, line: None, key: String::new(), found: found.into(), expected, remedy }
}

fn host_name() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}

/// The user's cache folder for embeddings.
pub fn cache_folder() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")))?;
    Some(base.join("edgetuned"))
}
