//! A backbone whose embeddings have 512 values.

use std::error::Error;
use std::fs;
use std::path::Path;

use edgetuned::backbone::Manifest;
use edgetuned::words::Digest;

use crate::filling::DIM;
use crate::onnx::Attribute::Int;
use crate::onnx::Net;

/// Writes model and manifest into `folder`: the mean colour of a picture, and drawn weights.
pub fn write(folder: &Path) -> Result<Manifest, Box<dyn Error>> {
    let dim = DIM as i64;
    let net = Net::default()
        .input("input", "n 3 16 16")
        .weight("w", &[3, dim])
        .node("GlobalAveragePool", "input", "pooled")
        .node_with("Flatten", "pooled", "flat", &[Int("axis", 1)])
        .node("MatMul", "flat w", "embedding")
        .output("embedding", &format!("n {dim}"));
    let model = net.bytes();
    fs::write(folder.join("wide.onnx"), &model)?;
    let manifest = folder.join("wide.yaml");
    let text = format!(
        "name: wide\nfile: wide.onnx\nsha256: {}\n\
         input: {{ tensor: input, layout: nchw, size: [16, 16], channels: rgb, mean: 127.5, std: 127.5, resize: stretch }}\n\
         embedding: {{ tensor: embedding, dim: {dim} }}\n",
        Digest::of(&model)
    );
    fs::write(&manifest, text)?;
    Ok(Manifest::load(&manifest)?)
}
