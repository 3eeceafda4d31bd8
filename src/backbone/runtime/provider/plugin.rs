//! Plug-ins: libraries of their own that bring an execution provider into ONNX Runtime, each registered once a process.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ort::AsPointer as _;
use ort::environment::Environment;

use crate::backbone::runtime::message::RuntimeMessage;

/// A library that was registered.
struct Plugin {
    library: PathBuf,
    /// What ONNX Runtime calls the providers of the devices that it offers.
    names: Vec<String>,
}

static PLUGINS: Mutex<BTreeMap<String, Plugin>> = Mutex::new(BTreeMap::new());

fn plugins() -> MutexGuard<'static, BTreeMap<String, Plugin>> {
    PLUGINS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Registers `library` as `name` unless it is; what ONNX Runtime calls the providers of the devices that it offers, none
/// where it offers none.
///
/// # Errors
/// The file is no plug-in, or another one has the name in this process.
pub(super) fn registered(environment: &Environment, name: &str, library: &Path) -> Result<Vec<String>, RuntimeMessage> {
    let mut plugins = plugins();
    if let Some(Plugin { library: former, names }) = plugins.get(name) {
        if former == library {
            return Ok(names.clone());
        }
        return Err(RuntimeMessage::new(format!(
            "this process uses {} for it already, and a plug-in cannot be replaced in it: restart the daemon",
            former.display()
        )));
    }
    // A pipe in the place of the library would hang the process.
    match std::fs::metadata(library) {
        Ok(found) if found.is_file() => {}
        Ok(_) => return Err(RuntimeMessage::new(format!("{} is no file", library.display()))),
        Err(error) => return Err(RuntimeMessage::new(format!("{}: {error}", library.display()))),
    }
    let devices = || environment.devices().map(|device| device.ptr() as usize);
    let before: Vec<usize> = devices().collect();
    environment.register_ep_library(name, library)?;
    let fresh = environment.devices().filter(|device| !before.contains(&(device.ptr() as usize)));
    let mut names: Vec<String> = fresh.filter_map(|device| device.ep().ok().map(str::to_owned)).collect();
    names.sort();
    names.dedup();
    plugins.insert(name.to_owned(), Plugin { library: library.to_owned(), names: names.clone() });
    Ok(names)
}

/// Whether any plug-in was registered in this process.
pub(super) fn any() -> bool {
    !plugins().is_empty()
}

/// What ONNX Runtime calls the providers of the plug-in `name`; none where it was not registered.
pub(super) fn names(name: &str) -> Vec<String> {
    plugins().get(name).map(|plugin| plugin.names.clone()).unwrap_or_default()
}
