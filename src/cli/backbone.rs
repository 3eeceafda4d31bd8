//! `edgetuned backbone`: lists backbones, inspects a model, writes the manifest of a new one.

mod add;

use std::io::{self, Write};

use serde::Serialize;

use super::args::Backbone;
use super::failure::{Failure, one_line_chain};
use super::output::{self, Output};
use crate::backbone::{Inspection, Manifest, Tensor, bundled, inspect};

#[derive(Debug, Serialize)]
struct Row {
    name: String,
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

pub fn backbone(command: &Backbone, output: Output) -> Result<(), Failure> {
    match command {
        Backbone::List => list(output),
        Backbone::Inspect { file } => {
            let found = inspect(file)?;
            output.print(&found, |out| describe(&found, out))
        }
        Backbone::Add(options) => add::add(options, output),
    }
}

fn list(output: Output) -> Result<(), Failure> {
    let rows: Vec<Row> = bundled::list()
        .into_iter()
        .map(|(name, manifest)| match manifest {
            Ok(manifest) => Row { name, model: Some(model(&manifest)), error: None },
            Err(error) => Row { name, model: None, error: Some(one_line_chain(&error)) },
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
                    writeln!(
                        out,
                        "{:16} {}, {height}x{width}, {} values, {}{}",
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
        dim: manifest.embedding.dim,
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
