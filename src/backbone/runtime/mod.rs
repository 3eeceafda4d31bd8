//! ONNX Runtime: finding and loading the library, once a process; sessions and the proof that their embeddings depend on
//! one picture alone, the pipeline for many images, and the check of a model that is new.
//!
//! The library is loaded by an explicit path: `ort`'s own lazy way panics or hangs when it is missing. Nothing that is no
//! regular file is opened, so a pipe in its place cannot hang the program. Telemetry is switched off.

pub(super) mod errors;
mod input;
pub(super) mod message;
pub(super) mod pipeline;
pub(super) mod provider;
pub(super) mod session;
mod steady;
mod tailed;
pub(super) mod verify;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use ort::environment::Environment;
use ort::logging::{LogLevel, LoggerFunction};

/// The ONNX Runtime library cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no usable ONNX Runtime library (1.24 or newer); tried {}; {remedy}", listed(.tried))]
pub struct RuntimeMissing {
    /// Every place tried, in order, and why it would not do.
    pub tried: Vec<(String, String)>,
    /// What to do next.
    pub remedy: &'static str,
}

fn listed(tried: &[(String, String)]) -> String {
    tried.iter().map(|(place, why)| format!("{place} ({why})")).collect::<Vec<_>>().join(", ")
}

/// One place to search.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    /// How messages call it.
    name: String,
    /// A file, a folder with the library in it, or a bare name for the loader.
    path: PathBuf,
    /// Whether nothing else counts when this does not load.
    binding: bool,
}

/// The library and the file that it came from.
static LOADED: Mutex<Option<(Environment, PathBuf)>> = Mutex::new(None);

/// The process's ONNX Runtime, loaded at the first call.
///
/// Looked for at `EDGETUNED_ORT` (which, when set, is the only place), `ORT_DYLIB_PATH`, beside the binary, in `.ort`
/// beside the `target` folder of a checkout, in `/usr/lib/edgetuned`, and on the loader's path.
///
/// # Errors
/// [`RuntimeMissing`] with every place tried; a later call tries again.
pub fn environment() -> Result<Environment, RuntimeMissing> {
    let mut loaded = LOADED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some((environment, _)) = &*loaded {
        return Ok(environment.clone());
    }
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let exe = std::env::current_exe().ok();
    let places = places(variable("EDGETUNED_ORT"), variable("ORT_DYLIB_PATH"), exe.as_deref());
    let (environment, library) = first_that_loads(&places)?;
    *loaded = Some((environment.clone(), library));
    Ok(environment)
}

/// Version of the loaded library: what its file name ends in, else how its build names itself; empty before
/// [`environment`] succeeded.
#[must_use]
pub fn runtime_version() -> String {
    let loaded = LOADED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let Some((_, library)) = &*loaded else { return String::new() };
    let file = std::fs::canonicalize(library).unwrap_or_else(|_| library.clone());
    match file.to_str().and_then(|file| file.rsplit_once(".so.")) {
        Some((_, version)) => version.to_owned(),
        None => ort::info().to_owned(),
    }
}

fn places(own: Option<PathBuf>, general: Option<PathBuf>, exe: Option<&Path>) -> Vec<Place> {
    let place = |name: &str, path: PathBuf| Place { name: name.to_owned(), path, binding: false };
    let mut places = Vec::new();
    places.extend(own.map(|path| Place { binding: true, ..place("EDGETUNED_ORT", path) }));
    places.extend(general.map(|path| place("ORT_DYLIB_PATH", path)));
    places.extend(exe.and_then(Path::parent).map(|folder| place("beside the binary", folder.to_owned())));
    let checkout = exe.and_then(super::bundled::checkout_of);
    places.extend(checkout.map(|folder| place("in the checkout", folder.join(".ort"))));
    places.push(place("system folder", "/usr/lib/edgetuned".into()));
    places.extend(["libonnxruntime.so.1", "libonnxruntime.so"].map(|name| place("on the loader's path", name.into())));
    places
}

fn first_that_loads(places: &[Place]) -> Result<(Environment, PathBuf), RuntimeMissing> {
    const UNPACK: &str = "unpack the official library of ONNX Runtime 1.27 and set EDGETUNED_ORT to it";
    let mut tried = Vec::new();
    for place in places {
        match library_at(&place.path).and_then(|library| Ok((load(&library)?, library))) {
            Ok(loaded) => return Ok(loaded),
            Err(why) => tried.push((format!("{} {}", place.name, place.path.display()), why)),
        }
        if place.binding {
            return Err(RuntimeMissing { tried, remedy: "correct EDGETUNED_ORT, or unset it to search elsewhere" });
        }
    }
    Err(RuntimeMissing { tried, remedy: UNPACK })
}

/// The file to load for `path`: itself, the newest library in it, or the bare name.
fn library_at(path: &Path) -> Result<PathBuf, String> {
    if path.components().count() == 1 && path.is_relative() && !path.exists() {
        return Ok(path.to_owned());
    }
    let kind = std::fs::metadata(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => "not there".to_owned(),
        _ => error.to_string(),
    })?;
    if kind.is_file() {
        // A bare name would be looked up by the loader instead.
        return std::path::absolute(path).map_err(|error| error.to_string());
    }
    if !kind.is_dir() {
        return Err("neither a file nor a folder".to_owned());
    }
    let entries = std::fs::read_dir(path).map_err(|error| error.to_string())?;
    let version = |name: &str| -> Option<Vec<u32>> {
        let rest = name.strip_prefix("libonnxruntime.so")?;
        if rest.is_empty() {
            return Some(vec![u32::MAX]);
        }
        let numbers: Option<Vec<u32>> = rest.strip_prefix('.')?.split('.').map(|part| part.parse().ok()).collect();
        numbers.filter(|numbers| numbers[0] == 1)
    };
    let named = entries.flatten().filter_map(|entry| Some((version(entry.file_name().to_str()?)?, entry.path())));
    let newest = named.filter(|(_, path)| path.is_file()).max();
    let (_, library) = newest.ok_or("no libonnxruntime.so in it")?;
    std::path::absolute(library).map_err(|error| error.to_string())
}

fn load(library: &Path) -> Result<Environment, String> {
    let builder = ort::init_from(library).map_err(|error| why_not(&error))?;
    let builder = builder.with_name("edgetuned").with_telemetry(false).with_logger(logger());
    let environment = builder.build().map_err(|error| error.to_string())?;
    // With a logger of one's own it would hand over every step that it takes.
    environment.set_log_level(LogLevel::Warning);
    Ok(environment)
}

/// Writes what ONNX Runtime logs into this program's log, where it is of use to developers alone: what fails is returned
/// as an error too, and said by the caller.
fn logger() -> LoggerFunction {
    Arc::new(|level: LogLevel, _: &str, _: &str, place: &str, message: &str| {
        tracing::debug!(?level, place, message, "ONNX Runtime");
    })
}

fn why_not(error: &ort::LoadDynamicError) -> String {
    use ort::LoadDynamicError as Error;
    match error {
        Error::Dlopen { error, .. } => {
            // The loader's message is the cause and repeats the path that the caller already reports.
            let cause = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
            cause.rsplit_once(": ").map_or(cause.clone(), |(_, reason)| reason.to_owned())
        }
        Error::MissingApi { .. } => "a library, but not ONNX Runtime".to_owned(),
        Error::InvalidVersionString => "its version is not text".to_owned(),
        Error::BadVersion { version_str, .. } => format!("version {version_str}, expected 1.24 or newer"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_tried_in_the_promised_order() {
        let places = places(Some("/a".into()), Some("/b".into()), Some(Path::new("/src/target/debug/edgetuned")));
        let paths: Vec<_> = places.iter().map(|place| place.path.to_str().unwrap()).collect();
        let rest = ["/src/target/debug", "/src/.ort", "/usr/lib/edgetuned", "libonnxruntime.so.1", "libonnxruntime.so"];
        assert_eq!(paths, [&["/a", "/b"], &rest[..]].concat());
        assert_eq!(places.iter().filter(|place| place.binding).count(), 1);
    }

    #[test]
    fn a_folder_gives_its_plain_name_first_then_the_highest_version() {
        let folder = tempfile::tempdir().unwrap();
        let touch = |name: &str| std::fs::write(folder.path().join(name), "").unwrap();
        assert_eq!(library_at(folder.path()), Err("no libonnxruntime.so in it".into()));
        for name in ["libonnxruntime.so.1.9.0", "libonnxruntime.so.1.27.0", "libonnxruntime_providers_shared.so"] {
            touch(name);
        }
        assert_eq!(library_at(folder.path()).unwrap(), folder.path().join("libonnxruntime.so.1.27.0"));
        touch("libonnxruntime.so");
        assert_eq!(library_at(folder.path()).unwrap(), folder.path().join("libonnxruntime.so"));
        assert_eq!(library_at(&folder.path().join("none.so")), Err("not there".into()));
        assert_eq!(library_at(Path::new("/dev/null")), Err("neither a file nor a folder".into()));
    }
}
