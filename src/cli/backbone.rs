//! `edgetuned backbone`: lists backbones, inspects a model, writes the manifest of a new one, measures one on execution
//! providers, has the daemon change over.

mod add;
mod bench;
mod switch;

use std::io::{self, Write};

use serde::Serialize;

use super::args::{Args, Backbone};
use super::configuration;
use super::failure::{Failure, one_line_chain};
use super::output::{self, Output};
use crate::backbone::{Inspection, Manifest, Tensor, bundled, inspect};
use crate::shared::backbone::BackboneInUse;

#[derive(Debug, Serialize)]
struct Row {
    name: String,
    /// Whether it serves the store of the configuration; left out without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    serves: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<Model>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Debug, Serialize)]
struct Model {
    backbone: String,
    manifest: String,
    file: String,
    sha256: String,
    license: String,
    dim: usize,
    size: (u32, u32),
    /// How to get the model file, where it is not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    missing: Option<&'static str>,
}

pub fn backbone(args: &Args, command: &Backbone, output: Output) -> Result<(), Failure> {
    match command {
        Backbone::List => list(args, output),
        Backbone::Inspect { file } => {
            let found = inspect(file)?;
            output.print(&found, |out| describe(&found, out))
        }
        Backbone::Add(options) => add::add(options, output),
        Backbone::Bench { backbone, provider } => bench::bench(args, backbone.as_deref(), provider, output),
        Backbone::Switch { backbone } => switch::switch(args, backbone, output),
    }
}

fn list(args: &Args, output: Output) -> Result<(), Failure> {
    // What keeps the daemon from starting is for 'check' to say.
    let in_use = configuration::if_named(args)?.and_then(|config| BackboneInUse::find(&config).ok());
    let serves = |manifest: &Manifest| {
        in_use.as_ref().map(|in_use| in_use.manifest.clone().on(None).space() == manifest.space())
    };
    let rows: Vec<Row> = bundled::list()
        .into_iter()
        .map(|(name, manifest)| match manifest {
            Ok(manifest) => Row { name, serves: serves(&manifest), model: Some(model(&manifest)), error: None },
            Err(error) => Row { name, serves: None, model: None, error: Some(one_line_chain(&error)) },
        })
        .collect();
    output.print(&rows, |out| {
        if rows.is_empty() {
            writeln!(out, "none found; put manifests into models/, or give a manifest's path to --backbone")?;
        }
        for row in &rows {
            match (&row.model, &row.error) {
                (Some(model), _) => {
                    let (height, width) = model.size;
                    let missing =
                        model.missing.map(|remedy| format!(", its model {} is not there: {remedy}", model.file));
                    let serves = if row.serves == Some(true) { ", serves" } else { "" };
                    writeln!(
                        out,
                        "{:16} {}, {height}x{width}, {} values, {}{}{serves}",
                        row.name,
                        model.backbone,
                        model.dim,
                        model.manifest,
                        missing.unwrap_or_default()
                    )?;
                }
                (None, error) => writeln!(out, "{:16} {}", row.name, error.as_deref().unwrap_or("unreadable"))?,
            }
        }
        Ok(())
    })
}

fn model(manifest: &Manifest) -> Model {
    Model {
        backbone: manifest.name.clone(),
        manifest: manifest.path.display().to_string(),
        file: manifest.file.display().to_string(),
        sha256: manifest.sha256.to_string(),
        license: manifest.license.clone(),
        dim: manifest.space().dim,
        size: manifest.preprocess.size,
        missing: bundled::remedy_of(&manifest.path).filter(|_| !manifest.file.is_file()),
    }
}

fn describe(found: &Inspection, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}: {} bytes, {} steps, SHA-256 {}", found.file.display(), found.bytes, found.nodes, found.sha256)?;
    let tensor = |tensor: &Tensor| {
        let shape = serde_json::to_string(&tensor.shape).unwrap_or_default();
        format!("{} {} {}", tensor.name, tensor.element, shape.replace('"', ""))
    };
    found.inputs.iter().try_for_each(|input| writeln!(out, "input      {}", tensor(input)))?;
    found.outputs.iter().try_for_each(|output| writeln!(out, "output     {}", tensor(output)))?;
    writeln!(out, "tensors that could be the embedding, likeliest first:")?;
    found.candidates.iter().try_for_each(|candidate| writeln!(out, "  {}", output::candidate(candidate)))
}
