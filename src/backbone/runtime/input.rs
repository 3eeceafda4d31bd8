//! Whether the input of a model is the one that its manifest describes.

use super::errors::OpenError;
use crate::backbone::manifest::Manifest;
use crate::backbone::onnx::graph::{Axis, Graph};
use crate::image::Layout;

/// Compares the manifest's input with the model's; returns the batch when the model fixes it.
pub(super) fn checked_input(graph: &Graph, manifest: &Manifest) -> Result<Option<usize>, OpenError> {
    let mismatch = |key: &str, expected: String, found: String| OpenError::Mismatch {
        manifest: manifest.path.clone(),
        key: key.to_owned(),
        expected,
        found,
    };
    let names = || graph.inputs.iter().map(|input| format!("{:?}", input.name)).collect::<Vec<_>>().join(", ");
    let wanted = &manifest.input;
    let Some(input) = graph.inputs.iter().find(|input| input.name == *wanted) else {
        return Err(mismatch("input.tensor", format!("{wanted:?}"), format!("the inputs {}", names())));
    };
    if graph.inputs.len() > 1 {
        return Err(mismatch("input.tensor", "one input".into(), format!("the inputs {}", names())));
    }
    if graph.external_weights {
        return Err(mismatch("file", "one file".into(), "weights in files of their own".into()));
    }
    if input.element != "float32" {
        return Err(mismatch("input.tensor", "a float32 tensor".into(), format!("one of {}", input.element)));
    }
    let Some(shape) = &input.shape else { return Ok(None) };
    let (h, w) = (i64::from(manifest.preprocess.size.0), i64::from(manifest.preprocess.size.1));
    let (layout, expected) = match manifest.preprocess.layout {
        Layout::Nchw => ("nchw", [3, h, w]),
        Layout::Nhwc => ("nhwc", [h, w, 3]),
    };
    let fits = |(axis, length): (&Axis, i64)| matches!(axis, Axis::Free(_)) || *axis == Axis::Fixed(length);
    if shape.len() != 4 || !shape[1..].iter().zip(expected).all(fits) {
        let axes = shape.iter().map(|axis| match axis {
            Axis::Fixed(length) => length.to_string(),
            Axis::Free(name) => if name.is_empty() { "?" } else { name }.to_owned(),
        });
        let found = format!("an input of shape [{}]", axes.collect::<Vec<_>>().join(", "));
        return Err(mismatch("input", format!("size [{h}, {w}], layout {layout}"), found));
    }
    match shape[0] {
        Axis::Fixed(batch @ 1..=1024) => Ok(Some(batch as usize)),
        Axis::Fixed(batch) => Err(mismatch("input", "a batch of 1 to 1024".into(), batch.to_string())),
        Axis::Free(_) => Ok(None),
    }
}
