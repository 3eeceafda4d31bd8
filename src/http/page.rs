//! The page: files of the program itself, named in a fixed table and never joined to a folder.
//!
//! `GET /` is the shell. It names all other files by `v/<version>/`, a digest of all of them, so that browsers keep each for
//! good and never mix two versions. URLs are relative, so that the page works below any prefix.

use std::sync::OnceLock;

use axum::Router;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::routes::refuse;
use crate::wire::ErrorCode;
use crate::words::Digest;

/// A file of the page.
struct File {
    name: &'static str,
    bytes: &'static [u8],
}

macro_rules! files {
    ($($name:literal,)+) => {
        /// All files but the shell. A test compares them with the folder.
        const FILES: &[File] = &[$(File { name: $name, bytes: include_bytes!(concat!("../../web/", $name)) },)+];
    };
}

files! {
    "api.js",
    "columns.js",
    "dom.js",
    "figures.js",
    "icon.svg",
    "keys.js",
    "label/accept.js",
    "label/answers.js",
    "label/bench.js",
    "label/card.js",
    "label/classes.js",
    "label/queue.js",
    "label/stack.js",
    "label/stackview.js",
    "label/stage.js",
    "label/store.js",
    "label/tiles.js",
    "label/trail.js",
    "label/trial.js",
    "label/why.js",
    "label/wizard.js",
    "label/words.js",
    "labels.js",
    "live.js",
    "main.js",
    "map/mapview.js",
    "map/points.js",
    "places/label.js",
    "places/map.js",
    "places/overview.js",
    "places/samples.js",
    "places/system.js",
    "places/training.js",
    "preferences.js",
    "samples/bar.js",
    "samples/classbox.js",
    "samples/classes.js",
    "samples/desk.js",
    "samples/details.js",
    "samples/filter.js",
    "samples/filterbar.js",
    "samples/grid.js",
    "samples/gridmath.js",
    "samples/plan.js",
    "samples/tile.js",
    "selection.js",
    "style.css",
    "system/events.js",
    "system/health.js",
    "system/page_settings.js",
    "system/regions.js",
    "system/regions_editor.js",
    "system/settings.js",
    "system/settings_form.js",
    "system/states.js",
    "system/trial.js",
    "tables.js",
    "training/charts.js",
    "training/confusion.js",
    "training/heads.js",
    "training/reports.js",
}

const SHELL: &str = include_str!("../../web/index.html");

/// What the shell has in place of the folder of this version.
const FOLDER: &str = "@/";
/// What the form to sign in needs, which everybody may read.
const STYLE: &str = "style.css";
/// For files whose address changes with their contents.
const KEPT: &str = "public, max-age=31536000, immutable";

/// The routes.
pub(super) fn routes() -> Router {
    Router::new().route("/", get(shell)).route("/v/{version}/{*name}", get(file))
}

/// Where the form's style is, below the device's address.
pub(super) fn style() -> String {
    format!("v/{}/{STYLE}", version())
}

/// Whether this is a file of the form to sign in.
pub(super) fn is_for_login(path: &str) -> bool {
    path.strip_prefix('/').is_some_and(|path| path == style())
}

/// A digest of all files, 16 digits.
fn version() -> &'static str {
    static VERSION: OnceLock<String> = OnceLock::new();
    VERSION.get_or_init(|| {
        let mut all = SHELL.as_bytes().to_vec();
        for File { name, bytes } in FILES {
            all.extend([name.as_bytes(), b"\0", &bytes.len().to_le_bytes(), bytes].concat());
        }
        let mut digest = Digest::of(&all).to_string();
        digest.truncate(16);
        digest
    })
}

async fn shell() -> Response {
    let text = SHELL.replace(FOLDER, &format!("v/{}/", version()));
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], text).into_response()
}

/// By its path as it came: nothing is decoded, so that there is one address a file.
async fn file(uri: Uri) -> Response {
    let name = uri.path().strip_prefix("/v/").and_then(|rest| rest.strip_prefix(version())?.strip_prefix('/'));
    let Some(file) = name.and_then(|name| FILES.iter().find(|file| file.name == name)) else {
        let message = "the page has no such file in this version; reload the page";
        return refuse(StatusCode::NOT_FOUND, ErrorCode::NotFound, message);
    };
    ([(header::CONTENT_TYPE, content_type(file.name)), (header::CACHE_CONTROL, KEPT)], file.bytes).into_response()
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        _ => "image/svg+xml",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    /// Files below `folder`, by their path within it.
    fn below(folder: &Path, within: &str) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let name = format!("{within}{}", entry.file_name().to_str().unwrap());
            if entry.file_type().unwrap().is_dir() {
                found.extend(below(&entry.path(), &format!("{name}/")));
            } else {
                found.insert(name);
            }
        }
        found
    }

    #[test]
    fn the_table_has_every_file_of_the_page_and_no_other() {
        let web = Path::new(env!("CARGO_MANIFEST_DIR")).join("web");
        let there = below(&web, "")
            .into_iter()
            .filter(|name| !name.starts_with("tests/") && !["index.html", "package.json"].contains(&name.as_str()));
        let listed: Vec<_> = FILES.iter().map(|file| file.name.to_owned()).collect();
        assert_eq!(there.collect::<Vec<_>>(), listed, "in the order of their names");
    }

    #[test]
    fn files_name_each_other_relatively_and_nothing_outside() {
        for File { name, bytes } in FILES {
            let text = std::str::from_utf8(bytes).unwrap();
            let foreign =
                text.match_indices("://").map(|(at, _)| &text[at.saturating_sub(5)..(at + 20).min(text.len())]);
            let foreign: Vec<_> = foreign.filter(|found| !found.contains("www.w3.org")).collect();
            assert_eq!(foreign, [""; 0], "{name}");
        }
        assert!(!SHELL.contains("://") && !SHELL.contains("=\"/"));
        let named: Vec<&str> = SHELL.split('"').filter_map(|part| part.strip_prefix(FOLDER)).collect();
        assert!(named.contains(&"main.js") && named.contains(&STYLE), "{named:?}");
        assert!(named.iter().all(|name| FILES.iter().any(|file| file.name == *name)), "{named:?}");
    }

    #[test]
    fn a_file_is_found_at_one_address_only() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let status = |path: &str| runtime.block_on(file(path.parse().unwrap())).status().as_u16();
        assert_eq!(status(&format!("/{}", style())), 200);
        let version = version();
        for path in [
            "/v/0000000000000000/style.css".to_owned(),
            format!("/v/{version}/style%2Ecss"),
            format!("/v/{version}//style.css"),
            format!("/v/{version}/places/../style.css"),
            format!("/v/{version}/places/..%2fstyle.css"),
            format!("/v/{version}/"),
            format!("/v/{version}"),
        ] {
            assert_eq!(status(&path), 404, "{path}");
        }
        assert!(is_for_login(&format!("/{}", style())) && !is_for_login(&format!("/v/{version}/main.js")));
    }
}
