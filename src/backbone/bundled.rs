//! Backbones known by name: manifests in a few fixed folders.

use std::path::{Path, PathBuf};

use super::manifest::{BadManifest, Manifest};

/// The manifest called `name`: `<name>.yaml` in the first place that has it.
///
/// # Errors
/// [`BadManifest::UnknownName`] with the places looked into and the names there are.
pub fn find(name: &str) -> Result<PathBuf, BadManifest> {
    find_in(name, &places())
}

/// The backbone of the project's own tests: it is found by its name, and nobody else is offered it.
const FOR_TESTS: &str = "tiny-test";

/// Every bundled backbone to offer: its bundled name and its manifest, or why that is refused; sorted by name. A name
/// that several places have counts in the first.
#[must_use]
pub fn list() -> Vec<(String, Result<Manifest, BadManifest>)> {
    all().into_iter().filter(|(name, _)| name != FOR_TESTS).map(|(name, path)| (name, Manifest::load(&path))).collect()
}

/// The same names with the paths of their manifests, that for tests included.
#[must_use]
pub fn all() -> Vec<(String, PathBuf)> {
    names(&places()).into_iter().collect()
}

/// `models/` in the working folder, beside the binary, beside the `target` folder that the binary is in (a
/// checkout), and in `/usr/share/edgetuned`.
fn places() -> Vec<PathBuf> {
    let mut places = vec![PathBuf::from("models")];
    if let Ok(exe) = std::env::current_exe() {
        places.extend(exe.parent().map(|folder| folder.join("models")));
        places.extend(checkout_of(&exe).map(|folder| folder.join("models")));
    }
    places.push(PathBuf::from("/usr/share/edgetuned/models"));
    places
}

/// The folder whose `target` folder, at any depth, holds `exe`.
pub(super) fn checkout_of(exe: &Path) -> Option<&Path> {
    exe.ancestors().skip(1).find(|folder| folder.file_name().is_some_and(|name| name == "target"))?.parent()
}

fn find_in(name: &str, places: &[PathBuf]) -> Result<PathBuf, BadManifest> {
    let paths = places.iter().map(|place| place.join(format!("{name}.yaml")));
    let found = (!name.contains(['/', '\\'])).then(|| paths.into_iter().find(|path| path.is_file())).flatten();
    found.ok_or_else(|| {
        let names: Vec<_> = names(places).into_keys().filter(|name| name != FOR_TESTS).collect();
        let available = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        BadManifest::UnknownName { name: name.to_owned(), places: places.to_vec(), available }
    })
}

fn names(places: &[PathBuf]) -> std::collections::BTreeMap<String, PathBuf> {
    let mut names = std::collections::BTreeMap::new();
    for place in places {
        let Ok(entries) = std::fs::read_dir(place) else { continue };
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.extension().is_some_and(|extension| extension == "yaml")
                && let Some(name) = path.file_stem().and_then(|stem| stem.to_str())
            {
                names.entry(name.to_owned()).or_insert(path);
            }
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_place_wins_and_a_wrong_name_lists_places_and_names() {
        let (near, far) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(near.path().join("default.yaml"), "").unwrap();
        std::fs::write(far.path().join("default.yaml"), "").unwrap();
        std::fs::write(far.path().join("small.yaml"), "").unwrap();
        let places = [near.path().to_owned(), far.path().to_owned()];
        assert_eq!(find_in("default", &places).unwrap(), near.path().join("default.yaml"));
        assert_eq!(find_in("small", &places).unwrap(), far.path().join("small.yaml"));
        let message = find_in("smal", &places).unwrap_err().to_string();
        assert!(message.contains("\"smal\"") && message.contains("default, small"), "{message}");
        assert!(message.contains(&*near.path().to_string_lossy()), "{message}");
        assert!(find_in("../default", &places).is_err());
    }

    #[test]
    fn a_binary_at_any_depth_below_target_knows_its_checkout() {
        assert_eq!(checkout_of(Path::new("/src/target/debug/deps/x")), Some(Path::new("/src")));
        assert_eq!(checkout_of(Path::new("/usr/bin/edgetuned")), None);
    }
}
