//! What an exported ONNX file says of itself besides its graph.

use serde::Serialize;
use serde_json::json;

use super::manifest::Manifest;
use crate::head::HeadRecord;
use crate::image::{Channels, Decode, Layout, Resize};
use crate::words::Region;

/// Keys of the metadata and their values, JSON documents: what a user of the file needs besides the graph.
pub(super) fn metadata(manifest: &Manifest, record: &HeadRecord) -> Vec<(&'static str, String)> {
    let Manifest { name, sha256, license, source, embedding, .. } = manifest;
    let mut backbone = json!({
        "name": name, "sha256": sha256, "tensor": embedding.tensor, "dim": embedding.dim, "pool": embedding.pool,
        "license": license, "source": source,
    });
    if !embedding.inner.is_empty() {
        backbone["inner"] = json!(embedding.inner);
    }
    let HeadRecord { head, created, training, region, .. } = record;
    let head = json!({ "id": head.id, "version": head.version, "created": created, "kind": training.kind });
    let preprocessing =
        serde_json::to_string(&Preprocessing::of(manifest, region)).expect("strings, numbers and lists");
    let part = (!region.is_whole()).then(|| ("region", json!(region).to_string()));
    let always = [
        ("classes", json!(record.dense.classes.labels()).to_string()),
        ("backbone", backbone.to_string()),
        ("head", head.to_string()),
        ("preprocessing", preprocessing),
    ];
    always.into_iter().chain(part).collect()
}

/// The manifest's section `input`, defaults filled in, with a description.
#[derive(Serialize)]
struct Preprocessing<'a> {
    tensor: &'a str,
    layout: Layout,
    size: (u32, u32),
    channels: Channels,
    mean: [f32; 3],
    std: [f32; 3],
    scale: [f32; 3],
    resize: &'static str,
    crop_ratio: Option<f32>,
    pad: Option<u8>,
    resizing: String,
    formula: &'static str,
}

impl<'a> Preprocessing<'a> {
    fn of(manifest: &'a Manifest, region: &Region) -> Self {
        let way = &manifest.preprocess;
        let cut = match region.corners() {
            _ if region.is_whole() => String::new(),
            None => "cut to the pixels whose centres lie in region, then ".to_owned(),
            Some(_) => format!(
                "cut to the box around the pixels whose centres lie in region by the even-odd rule, its other pixels \
                 {grey} on all channels, then ",
                grey = way.pad
            ),
        };
        let decoded = match way.decode {
            Decode::Exact => "",
            Decode::Scaled => {
                "JPEGs decoded by libjpeg at 1/8, 1/4 or 1/2, the smallest with a pixel for each of the tensor's, "
            }
        };
        let (resize, crop_ratio, pad, words) = match way.resize {
            Resize::Stretch => ("stretch", None, None, "to size, whatever the proportions"),
            Resize::Crop { ratio } => (
                "crop",
                Some(ratio),
                None,
                "in proportion until round(size / crop_ratio) is just covered, then the centre, offsets floored",
            ),
            Resize::Letterbox => (
                "letterbox",
                None,
                Some(way.pad),
                "in proportion to fit into size, centred, offsets floored, the rest pad",
            ),
        };
        Self {
            tensor: &manifest.input,
            layout: way.layout,
            size: way.size,
            channels: way.channels,
            mean: way.mean,
            std: way.std,
            scale: way.scale,
            resize,
            crop_ratio,
            pad,
            resizing: format!(
                "{decoded}turned upright as EXIF says, then {cut}{words}; antialiased bilinear (triangle filter, Pillow's BILINEAR) \
                 on 8-bit values"
            ),
            formula: "(pixel * scale - mean) / std in float32, pixels 0..255, each in the order of channels",
        }
    }
}
