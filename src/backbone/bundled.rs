//! Backbones known by name: manifests in a few fixed folders, and which one serves where a model file is missing.
//!
//! The models of EfficientNet-Lite0 are made at set-up from a download; those of edgetuned-photo are in the repository.
//! Where the download failed, the latter stand in. A manifest that is named by its path has no stand-in.

use std::fmt;
use std::path::{Path, PathBuf};

use super::manifest::{BadManifest, Manifest};

/// Where the Debian package has them.
const PACKAGED: &str = "/usr/share/edgetuned/models";

/// Names whose model is made at set-up, and the name that serves without it: float32 for float32, 8 bits for 8 bits.
const STAND_INS: [(&str, &str); 4] =
    [("default", "photo"), ("default-int8", "photo-int8"), ("fast", "photo-int8"), ("faster", "photo-int8")];

/// Why a manifest is not that of the name that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StandIn {
    /// The name that was asked for.
    pub asked: String,
    /// Its model file, which is not there.
    pub missing: PathBuf,
    /// The name that serves.
    pub serves: &'static str,
    /// How to get the missing file.
    pub remedy: &'static str,
}

impl fmt::Display for StandIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { asked, missing, serves, remedy } = self;
        write!(f, "the model {} of the backbone {asked} is not there, so {serves} serves: {remedy}", missing.display())
    }
}

/// The manifest called `name`: `<name>.yaml` in the first place that has it; where its model file is missing, that of
/// its stand-in, which says so in [`stands_in`](Manifest::stands_in).
///
/// # Errors
/// [`BadManifest::UnknownName`] with the places looked into and the names there are; [`BadManifest`] of a wrong one.
pub fn resolve(name: &str) -> Result<Manifest, BadManifest> {
    resolve_in(name, &places())
}

fn resolve_in(name: &str, places: &[PathBuf]) -> Result<Manifest, BadManifest> {
    let asked = Manifest::load(&find_in(name, places)?)?;
    if asked.file.is_file() {
        return Ok(asked);
    }
    let Some(serves) = stand_in_of(name) else { return Ok(asked) };
    match find_in(serves, places).and_then(|path| Manifest::load(&path)) {
        Ok(found) if found.file.is_file() => {
            let remedy = remedy(&asked.path);
            let stands_in = StandIn { asked: name.to_owned(), missing: asked.file, serves, remedy };
            Ok(Manifest { stands_in: Some(stands_in), ..found })
        }
        // Nothing serves: opening the one that was asked for says what is missing.
        _ => Ok(asked),
    }
}

fn stand_in_of(name: &str) -> Option<&'static str> {
    STAND_INS.iter().find(|(asked, _)| *asked == name).map(|(_, serves)| *serves)
}

/// How to get the missing model of the manifest at `path`; `None` where set-up does not make it.
#[must_use]
pub fn remedy_of(path: &Path) -> Option<&'static str> {
    let name = path.file_stem()?.to_str().filter(|name| stand_in_of(name).is_some())?;
    places().iter().any(|place| place.join(format!("{name}.yaml")) == path).then(|| remedy(path))
}

fn remedy(path: &Path) -> &'static str {
    if path.starts_with(PACKAGED) {
        "install the package again ('apt-get install --reinstall ./edgetuned_*.deb')"
    } else {
        "run 'make setup', which makes it"
    }
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
    places.push(PathBuf::from(PACKAGED));
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

    /// Puts a manifest called `name` into `place`, with its model where `with_model` says so.
    fn put(place: &Path, name: &str, with_model: bool) {
        let text = include_str!("../../models/tiny-test.yaml");
        let text = text.replace("tiny-test.onnx", &format!("{name}.onnx"));
        std::fs::write(place.join(format!("{name}.yaml")), text).unwrap();
        if with_model {
            std::fs::write(place.join(format!("{name}.onnx")), "").unwrap();
        }
    }

    #[test]
    fn a_name_whose_model_was_not_made_is_served_by_its_stand_in_which_says_so() {
        let (near, far) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let places = [near.path().to_owned(), far.path().to_owned()];
        for (asked, serves) in STAND_INS {
            put(near.path(), asked, false);
            put(far.path(), serves, true);
            let found = resolve_in(asked, &places).unwrap();
            assert_eq!(found.path, far.path().join(format!("{serves}.yaml")));
            let missing = near.path().join(format!("{asked}.onnx"));
            let said = found.stands_in.unwrap().to_string();
            let wanted = format!(
                "the model {} of the backbone {asked} is not there, so {serves} serves: run 'make setup', which makes it",
                missing.display()
            );
            assert_eq!(said, wanted);
            std::fs::write(missing, "").unwrap();
            let found = resolve_in(asked, &places).unwrap();
            assert_eq!((found.path, found.stands_in), (near.path().join(format!("{asked}.yaml")), None));
        }
    }

    #[test]
    fn nothing_stands_in_for_other_names_or_with_a_model_that_is_missing_too() {
        let folder = tempfile::tempdir().unwrap();
        let places = [folder.path().to_owned()];
        put(folder.path(), "default", false);
        put(folder.path(), "photo", false);
        put(folder.path(), "mine", false);
        for name in ["default", "photo", "mine"] {
            let found = resolve_in(name, &places).unwrap();
            assert_eq!((found.path, found.stands_in), (folder.path().join(format!("{name}.yaml")), None));
        }
    }

    #[test]
    fn a_missing_model_of_the_package_comes_back_with_the_package() {
        assert!(remedy(Path::new("/usr/share/edgetuned/models/default.yaml")).contains("--reinstall"));
        let here = Path::new("models/default.yaml");
        assert!(remedy(here).contains("make setup"));
        assert_eq!(remedy_of(here), Some(remedy(here)));
        assert_eq!(remedy_of(Path::new("models/photo.yaml")), None, "it is in the repository");
        assert_eq!(remedy_of(Path::new("/elsewhere/default.yaml")), None, "it is somebody's own");
    }

    #[test]
    fn a_binary_at_any_depth_below_target_knows_its_checkout() {
        assert_eq!(checkout_of(Path::new("/src/target/debug/deps/x")), Some(Path::new("/src")));
        assert_eq!(checkout_of(Path::new("/usr/bin/edgetuned")), None);
    }
}
