//! Tasks of Label Studio: one for each sample, its label as an annotation, what was predicted as a prediction.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::cli::failure::Failure;
use crate::cli::task::Meant;
use crate::config::Config;
use crate::store::Reader;
use crate::wire::SampleEntry;
use crate::words::{Label, SampleId, SourceId, TaskId};

/// The control of the labelling interface where the configuration names no tasks; else it is called as the task.
const CONTROL: &str = "label";

/// The picture in the labelling interface, and the field of a task that has its address.
pub const PICTURE: &str = "image";

/// What stands for a picture's SHA-256 in an address.
const IMAGE: &str = "{image}";

/// The name of the control that a task's labels belong to.
pub fn control(task: Option<&TaskId>) -> &str {
    task.map_or(CONTROL, TaskId::as_str)
}

#[derive(Debug, Serialize)]
struct Task<'a> {
    data: Data<'a>,
    annotations: Vec<Annotation<'a>>,
    predictions: Vec<Prediction<'a>>,
}

#[derive(Debug, Serialize)]
struct Data<'a> {
    image: String,
    sha256: SampleId,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a SourceId>,
}

#[derive(Debug, Serialize)]
struct Annotation<'a> {
    result: [Choice<'a>; 1],
}

#[derive(Debug, Serialize)]
struct Prediction<'a> {
    model_version: String,
    score: f32,
    result: [Choice<'a>; 1],
}

#[derive(Debug, Serialize)]
struct Choice<'a> {
    id: String,
    from_name: &'a str,
    to_name: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    value: Value<'a>,
}

#[derive(Debug, Serialize)]
struct Value<'a> {
    choices: [&'a Label; 1],
}

/// Addresses of pictures, where Label Studio finds them.
pub struct Images<'a> {
    root: Option<&'a str>,
    watched: Vec<PathBuf>,
}

impl<'a> Images<'a> {
    /// Below this address, or their paths as they are.
    pub fn new(config: &Config, root: Option<&'a str>) -> Self {
        Self { root, watched: config.watch.iter().map(|watch| watch.path.clone()).collect() }
    }

    /// The address of a sample's picture.
    fn address(&self, row: &SampleEntry) -> String {
        let digest = row.image.to_string();
        match self.root {
            Some(root) if root.contains(IMAGE) => root.replace(IMAGE, &digest),
            Some(root) => {
                let path = row.path.as_deref().map_or(digest.as_str(), |path| self.below(path));
                let between = if root.ends_with(['/', '=']) { "" } else { "/" };
                format!("{root}{between}{}", escaped(path))
            }
            None => row.path.clone().unwrap_or(digest),
        }
    }

    /// The path below its watched folder, the innermost of those that hold it; else without the slash in front.
    fn below<'p>(&self, path: &'p str) -> &'p str {
        let below = self.watched.iter().filter_map(|folder| Path::new(path).strip_prefix(folder).ok()?.to_str());
        below.min_by_key(|rest| rest.len()).unwrap_or_else(|| path.trim_start_matches('/'))
    }
}

/// A path as part of an address: what is neither a letter, a digit, `/` nor one of `-._~` becomes `%` and two digits.
fn escaped(path: &str) -> String {
    let escaped = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    path.bytes().map(escaped).collect()
}

/// `rows` as the bytes of a file that Label Studio imports.
pub fn bytes(reader: &Reader, task: &Meant, rows: &[SampleEntry], images: &Images<'_>) -> Result<Vec<u8>, Failure> {
    let listed = reader.samples(task.id())?;
    let heads: BTreeMap<SampleId, u64> =
        listed.into_iter().filter_map(|sample| Some((sample.id, sample.predicted?.head))).collect();
    let tasks: Vec<Task<'_>> = rows
        .iter()
        .map(|row| of_sample(row, heads.get(&row.image).copied(), control(task.name()), images.address(row)))
        .collect();
    let mut bytes = serde_json::to_vec_pretty(&tasks).map_err(Failure::failed)?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn of_sample<'a>(row: &'a SampleEntry, head: Option<u64>, control: &'a str, image: String) -> Task<'a> {
    let chosen = |id: &str, label: &'a Label| {
        let id = format!("{}-{id}", &row.image.to_string()[..16]);
        [Choice { id, from_name: control, to_name: PICTURE, kind: "choices", value: Value { choices: [label] } }]
    };
    let annotations = row.label.iter().map(|label| Annotation { result: chosen("label", label) }).collect();
    let predictions = (row.predicted.iter())
        .zip(row.probability)
        .map(|(label, score)| Prediction {
            // Version 0 stands for the unknown one of samples of early stores.
            model_version: head.filter(|head| *head > 0).map_or("edgetuned".into(), |head| format!("head {head}")),
            score,
            result: chosen("prediction", label),
        })
        .collect();
    let data = Data { image, sha256: row.image, source: row.source.as_ref() };
    Task { data, annotations, predictions }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::words::Timestamp;

    fn row(path: Option<&str>) -> SampleEntry {
        SampleEntry {
            image: SampleId::of(b"1"),
            path: path.map(Into::into),
            label: Some(Label::new("nut").unwrap()),
            label_source: None,
            labelled_at: None,
            arrived_at: Timestamp(0),
            predicted: Some(Label::new("gear").unwrap()),
            probability: Some(0.75),
            group: SampleId::of(b"1"),
            fold: None,
            excluded: false,
            source: None,
        }
    }

    #[test]
    fn a_task_has_the_label_as_annotation_and_the_prediction_with_its_head() {
        let id = SampleId::of(b"1");
        let choice = |of: &str, label: &str| {
            json!([{
                "id": format!("{}-{of}", &id.to_string()[..16]), "from_name": "door", "to_name": "image",
                "type": "choices", "value": { "choices": [label] },
            }])
        };
        let expected = json!({
            "data": { "image": "a.jpg", "sha256": id },
            "annotations": [{ "result": choice("label", "nut") }],
            "predictions": [{ "model_version": "head 4", "score": 0.75, "result": choice("prediction", "gear") }],
        });
        let row = row(None);
        assert_eq!(serde_json::to_value(of_sample(&row, Some(4), "door", "a.jpg".into())).unwrap(), expected);
        let without = SampleEntry { label: None, predicted: None, probability: None, ..row };
        let value = serde_json::to_value(of_sample(&without, None, "label", String::new())).unwrap();
        assert_eq!((&value["annotations"], &value["predictions"]), (&json!([]), &json!([])));
    }

    #[test]
    fn addresses_lead_below_the_root_or_name_the_picture() {
        let watched = ["/srv/camera", "/srv"].map(PathBuf::from).to_vec();
        let address = |root, path| Images { root, watched: watched.clone() }.address(&row(path));
        let (inner, other) = (Some("/srv/camera/späte M/1.jpg"), Some("/mnt/2.jpg"));
        let id = SampleId::of(b"1").to_string();
        assert_eq!(address(None, inner), "/srv/camera/späte M/1.jpg");
        assert_eq!(address(Some("/data/local-files/?d="), inner), "/data/local-files/?d=sp%C3%A4te%20M/1.jpg");
        assert_eq!(address(Some("https://x/y"), other), "https://x/y/mnt/2.jpg");
        assert_eq!(address(Some("https://x/y/"), None), format!("https://x/y/{id}"));
        assert_eq!(address(Some("http://x/images/{image}?a=1"), inner), format!("http://x/images/{id}?a=1"));
        assert_eq!(address(None, None), id);
    }
}
