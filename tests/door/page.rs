//! The files of the page.

use std::iter::repeat;

use crate::{Stage, TOKEN};

/// Addresses that a text of the page names in quotes, of files in its own folder.
fn named(text: &str) -> Vec<String> {
    text.split('"').filter(|part| part.starts_with("v/")).map(str::to_owned).collect()
}

#[test]
fn the_page_names_files_that_are_kept_for_good() {
    let stage = Stage::set("");
    let client = stage.client();
    let shell = client.get("/");
    assert_eq!((shell.status, shell.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert_eq!(shell.header("cache-control"), Some("no-store"));
    let files = named(&shell.text());
    assert!(files.len() >= 3, "{files:?}");
    let kinds =
        ["image/svg+xml", "text/css; charset=utf-8"].into_iter().chain(repeat("text/javascript; charset=utf-8"));
    for (file, kind) in files.iter().zip(kinds) {
        let reply = client.get(&format!("/{file}"));
        assert_eq!((reply.status, reply.header("content-type")), (200, Some(kind)), "{file}");
        assert_eq!(reply.header("cache-control"), Some("public, max-age=31536000, immutable"));
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
    }
    let other_version = files[2].replace(&files[2][2..6], "0000");
    assert_eq!(client.get(&format!("/{other_version}")).status, 404);
}

#[test]
fn without_a_session_only_the_form_and_its_style_are_given() {
    let stage = Stage::guarded("");
    let client = stage.client();
    let form = client.get("/login");
    let style = named(&form.text());
    assert!(form.status == 200 && style.len() == 1, "{}", form.text());
    assert_eq!(client.get(&format!("/{}", style[0])).status, 200);
    let program = style[0].replace("style.css", "main.js");
    assert_eq!(client.get(&format!("/{program}")).status, 401);
    assert_eq!(client.with_token(TOKEN).get(&format!("/{program}")).status, 200);
}
