//! The configuration: layers, problems, hostile text, and the files in `config/` against the code.

mod files;
mod hostile;
mod http;
mod layers;
mod meaning;
mod problems;
mod schema;
mod sources;
mod tasks;

use edgetuned::config::{self, Config, Layer, Loaded, Problem, Source};

fn yaml(name: &str, text: &str) -> Layer {
    Layer { name: name.to_owned(), source: Source::Yaml(text.to_owned()) }
}

fn pairs(name: &str, pairs: &[(&str, &str)]) -> Layer {
    let pairs = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Layer { name: name.to_owned(), source: Source::Pairs(pairs) }
}

fn load(layers: &[Layer]) -> Result<Loaded, Vec<Problem>> {
    config::load(layers, "Line-3.local")
}

fn load_text(text: &str) -> Result<Loaded, Vec<Problem>> {
    load(&[yaml("config.yaml", text)])
}

fn good(text: &str) -> Config {
    load_text(text).unwrap_or_else(|problems| panic!("{text}: {problems:#?}")).config
}

/// The only problem of `text`.
fn fault(text: &str) -> Problem {
    let mut problems = load_text(text).expect_err(text);
    assert_eq!(problems.len(), 1, "{text}: {problems:#?}");
    problems.remove(0)
}
