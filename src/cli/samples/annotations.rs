//! Labels that Label Studio exports as JSON: the choice of each task, for the image that the task shows.
//!
//! An image is found by the SHA-256 in the task's data, else by one in its address, else by the name of its file. A task
//! of which image or label are in doubt changes nothing and is named.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::class_folders::wrong;
use super::file::{LabelLine, LeftOut, Read};
use super::label_studio::PICTURE;
use crate::store::ListedSample;
use crate::watch::{NameKind, name_kind};
use crate::wire::ImagePrefix;
use crate::words::{Label, SampleId};

/// The field of a task's data that names the image.
const SHA256: &str = "sha256";

/// What counts of a task.
#[derive(Debug, Deserialize)]
struct Task {
    #[serde(default)]
    id: Value,
    data: Map<String, Value>,
    #[serde(default)]
    meta: Option<Map<String, Value>>,
    #[serde(default)]
    annotations: Option<Vec<Annotation>>,
}

#[derive(Debug, Deserialize)]
struct Annotation {
    #[serde(default)]
    result: Vec<Answer>,
    #[serde(default)]
    was_cancelled: bool,
    #[serde(default)]
    ground_truth: bool,
}

#[derive(Debug, Deserialize)]
struct Answer {
    #[serde(default)]
    from_name: String,
    #[serde(default)]
    value: Value,
}

/// Samples by the names of their files.
#[derive(Debug, Default)]
pub struct Stored {
    ids: BTreeSet<SampleId>,
    /// By the last part of their path, with the part before it.
    names: BTreeMap<String, Vec<(String, SampleId)>>,
}

impl Stored {
    pub fn new(samples: &[ListedSample]) -> Self {
        let mut stored = Self::default();
        for sample in samples {
            stored.ids.insert(sample.id);
            let path = sample.origin.path().map(Path::to_string_lossy).unwrap_or_default();
            let (folder, name) = last_parts(&path);
            stored.names.entry(name.to_owned()).or_default().push((folder.to_owned(), sample.id));
        }
        stored
    }

    /// The only sample whose file is called so, of several the only one in a folder of that name.
    fn named(&self, folder: &str, name: &str) -> Result<SampleId, &'static str> {
        let found = self.names.get(name).map_or(&[][..], Vec::as_slice);
        let in_folder: Vec<_> = found.iter().filter(|(other, _)| other == folder).collect();
        match (found, &in_folder[..]) {
            ([(_, id)], _) | (_, [(_, id)]) => Ok(*id),
            ([], _) => Err("no sample has a file of this name"),
            _ => Err("several samples have files of this name; give the task sha256 in its data"),
        }
    }

    /// The only sample whose SHA-256 begins so.
    fn beginning(&self, digits: &str) -> Option<SampleId> {
        let first = format!("{digits:0<64}").parse::<SampleId>().ok()?;
        let mut found = self.ids.range(first..).take_while(|id| id.to_string().starts_with(digits));
        found.next().filter(|_| found.next().is_none()).copied()
    }
}

/// The labels in an export; `control` is the name of the control in question, where tasks have several.
pub fn read(bytes: &[u8], control: &str, stored: &Stored) -> Result<Read, String> {
    let tasks = serde_json::from_slice::<Vec<Task>>(bytes).map_err(|error| {
        format!(
            "{error}; expected tasks with 'data' and 'annotations', as Label Studio exports them as JSON (not JSON-MIN)"
        )
    })?;
    let mut read = Read::default();
    for (place, task) in (1..).zip(tasks) {
        let address = address(&task.data);
        let mut name = if task.id.is_null() { format!("task {place}") } else { format!("task {}", task.id) };
        if let Some(address) = address {
            name = format!("{name} ({})", address.chars().take(200).collect::<String>());
        }
        let found = chosen(&task, control).and_then(|label| Ok((label, image(&task, address, stored)?)));
        match found.map(|(label, image)| (Label::new(label), image)) {
            Ok((Ok(label), image)) => {
                read.lines.push(LabelLine { line: place, name: Some(name), task: None, image, label: Some(label) });
            }
            Ok((Err(bad), _)) => read.wrong.push(wrong(place, &name, &bad.to_string())),
            Err(reason) => read.left_out.push(LeftOut { name, reason }),
        }
    }
    Ok(read)
}

/// The address of the picture that a task shows.
fn address(data: &Map<String, Value>) -> Option<&str> {
    let is_picture = |text: &&str| matches!(name_kind(Path::new(&path_of(text))), NameKind::Image);
    let by_name = data.get(PICTURE).and_then(Value::as_str);
    by_name.or_else(|| data.values().filter_map(Value::as_str).find(is_picture))
}

/// The label that people gave.
fn chosen<'a>(task: &'a Task, control: &str) -> Result<&'a str, String> {
    let given = || task.annotations.iter().flatten().filter(|given| !given.was_cancelled && !given.result.is_empty());
    let is_settled = given().any(|given| given.ground_truth);
    let answers: Vec<&Answer> = (given().filter(|given| given.ground_truth || !is_settled))
        .flat_map(|given| &given.result)
        .filter(|answer| answer.value.get("choices").is_some())
        .collect();
    let controls: BTreeSet<&str> = answers.iter().map(|answer| answer.from_name.as_str()).collect();
    if controls.len() > 1 && !controls.contains(control) {
        let found = controls.into_iter().collect::<Vec<_>>().join(", ");
        return Err(format!(
            "it has choices of {found}, none of a control called {control}; name the one in question so"
        ));
    }
    let mut labels = BTreeSet::new();
    for answer in answers.into_iter().filter(|answer| controls.len() == 1 || answer.from_name == control) {
        match answer.value["choices"].as_array().map(|choices| choices.iter().map(Value::as_str).collect::<Vec<_>>()) {
            Some(choices) if choices.is_empty() => {}
            Some(choices) if choices.len() == 1 && choices[0].is_some() => labels.extend(choices[0]),
            _ => return Err("more than one class is chosen for it; an image has one".into()),
        }
    }
    let mut labels = labels.into_iter();
    match (labels.next(), labels.next()) {
        (Some(label), None) => Ok(label),
        (None, _) => Err("it has no label".into()),
        (Some(one), Some(other)) => {
            Err(format!("its annotations disagree, {one} and {other}; mark one as ground truth, or delete the other"))
        }
    }
}

/// The image that a task is about.
fn image(task: &Task, address: Option<&str>, stored: &Stored) -> Result<ImagePrefix, String> {
    let said =
        [Some(&task.data), task.meta.as_ref()].into_iter().flatten().find_map(|fields| fields.get(SHA256)?.as_str());
    if let Some(said) = said {
        return said.parse().map_err(|error| format!("its {SHA256}: {error}"));
    }
    let address = address.ok_or("its data have neither sha256 nor the address of an image")?;
    let path = path_of(address);
    let is_digits = |part: &&str| part.len() == 64 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    if let Some(digest) = path.split(['/', '.', '-', '_']).find(is_digits) {
        return digest.parse().map_err(|error| format!("{error}"));
    }
    let (folder, name) = last_parts(&path);
    let found = stored.named(folder, name).or_else(|reason| {
        // What is uploaded gets eight digits in front.
        let uploaded = name.split_once('-').filter(|(front, _)| is_hexadecimal(front, 8)).map(|(_, name)| name);
        let by_name = uploaded.and_then(|name| stored.named("", name).ok());
        let stem = uploaded.unwrap_or(name).split('.').next().unwrap_or_default();
        by_name.or_else(|| stored.beginning(stem).filter(|_| is_hexadecimal(stem, 16))).ok_or(reason)
    })?;
    Ok(found.to_string().parse().expect("digits of a SHA-256"))
}

fn is_hexadecimal(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The path within an address, without escapes; of local files what follows `?d=`.
fn path_of(address: &str) -> String {
    let path = address.split_once("?d=").map_or(address, |(_, path)| path);
    let path = if address.contains("://") || path.starts_with("/data/") {
        path.split(['?', '#', '&']).next().unwrap_or_default()
    } else {
        path
    };
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let [first, more @ ..] = rest {
        let escaped =
            || std::str::from_utf8(more.get(..2)?).ok().and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let (byte, after) = match escaped().filter(|_| *first == b'%') {
            Some(byte) => (byte, &more[2..]),
            None => (*first, more),
        };
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The name of the folder, and that of the file.
fn last_parts(path: &str) -> (&str, &str) {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    (folder.rsplit('/').next().unwrap_or_default(), name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::words::{Origin, Timestamp};

    fn stored() -> Stored {
        let paths = ["/srv/nut/1.jpg", "/srv/gear/1.jpg", "/srv/gear/späte M.jpg", "/srv/c/3.jpg", "/srv/d/4 e.jpg"];
        let sample = |path: &&str| ListedSample {
            id: SampleId::of(path.as_bytes()),
            origin: Origin::File(path.into()),
            label: None,
            arrived_at: Timestamp(0),
            predicted: None,
            group: SampleId::of(b""),
            excluded: false,
        };
        Stored::new(&paths.iter().map(sample).collect::<Vec<_>>())
    }

    fn task(data: &Value, annotations: &Value) -> Value {
        json!({ "id": 7, "data": data, "annotations": annotations, "predictions": [], "meta": {} })
    }

    fn annotation(from: &str, label: &str) -> Value {
        json!({ "result": [{ "from_name": from, "to_name": "image", "type": "choices", "value": { "choices": [label] } }] })
    }

    /// What becomes of one task: its image and label, or why none.
    fn read_one(task: &Value) -> Result<(String, String), String> {
        let bytes = serde_json::to_vec(&json!([task])).unwrap();
        let mut read = read(&bytes, "label", &stored())?;
        match (read.lines.pop(), read.left_out.pop(), read.wrong.pop()) {
            (Some(line), None, None) => Ok((line.image.to_string(), line.label.unwrap().to_string())),
            (None, Some(left), None) => Err(left.reason),
            (None, None, Some(wrong)) => Err(format!("wrong: {}", wrong.reason)),
            more => panic!("{more:?}"),
        }
    }

    #[test]
    fn an_image_is_found_by_its_digest_or_by_the_name_of_its_file() {
        let id = |path: &str| SampleId::of(path.as_bytes()).to_string();
        let (digest, third) = ("ab".repeat(32), id("/srv/c/3.jpg"));
        let by_start = format!("/data/upload/1/0123abcd-{}.png", &third[..16]);
        for (data, expected) in [
            (json!({ "sha256": digest, "image": "x/3.jpg" }), digest.clone()),
            (json!({ "sha256": "ABCDEF01", "image": 7 }), "abcdef01".into()),
            (json!({ "image": format!("http://x:80/api/v1/images/{digest}?a=1") }), digest.clone()),
            (json!({ "image": "https://x/b/3.jpg?token=a/b.jpg#x" }), third.clone()),
            (json!({ "image": "/data/upload/4/0123abcd-3.jpg" }), third.clone()),
            (json!({ "image": by_start }), third.clone()),
            (json!({ "image": "/data/local-files/?d=gear/sp%C3%A4te%20M.jpg" }), id("/srv/gear/späte M.jpg")),
            (json!({ "image": "s3://bucket/nut/1.jpg" }), id("/srv/nut/1.jpg")),
            (json!({ "text": "a", "photo": "4 e.jpg" }), id("/srv/d/4 e.jpg")),
        ] {
            let found = read_one(&task(&data, &json!([annotation("label", "cog")])));
            assert_eq!(found, Ok((expected, "cog".into())), "{data}");
        }
        for (data, reason) in [
            (json!({ "image": "1.jpg" }), "several samples have files of this name"),
            (json!({ "image": "/data/upload/4/0123abcd-1.jpg" }), "no sample has a file of this name"),
            (json!({ "image": "9.jpg" }), "no sample has a file of this name"),
            (json!({ "image": "%zz%" }), "no sample has a file of this name"),
            (json!({ "text": "a" }), "neither sha256 nor"),
            (json!({ "sha256": "xyz" }), "its sha256: expected"),
        ] {
            let refused = read_one(&task(&data, &json!([annotation("label", "cog")]))).unwrap_err();
            assert!(refused.contains(reason) && !refused.starts_with("wrong"), "{data}: {refused}");
        }
        let meta = json!({ "data": { "image": "1.jpg" }, "meta": { "sha256": digest }, "annotations": [annotation("label", "cog")] });
        assert_eq!(read_one(&meta), Ok((digest, "cog".into())));
    }

    #[test]
    fn the_label_is_what_people_agree_on_or_what_counts_as_true() {
        let data = json!({ "image": "3.jpg" });
        let of = |annotations: Value| read_one(&task(&data, &annotations)).map(|(_, label)| label);
        let marked = |from: &str, label: &str, field: &str| {
            let mut marked = annotation(from, label);
            marked[field] = true.into();
            marked
        };
        let both = json!([{ "result": [
            { "from_name": "light", "type": "choices", "value": { "choices": ["dim"] } },
            { "from_name": "label", "type": "choices", "value": { "choices": ["cog"] } },
            { "from_name": "box", "type": "rectanglelabels", "value": { "x": 1, "rectanglelabels": ["a"] } },
        ] }]);
        assert_eq!(of(both), Ok("cog".into()));
        assert_eq!(
            of(json!([annotation("other", " cog ")])),
            Ok("cog".into()),
            "a single control may be called anything"
        );
        assert_eq!(
            of(json!([annotation("label", "cog"), annotation("label", "cog"), { "result": [] }])),
            Ok("cog".into())
        );
        assert_eq!(of(json!([annotation("label", "nut"), marked("label", "cog", "ground_truth")])), Ok("cog".into()));
        assert_eq!(of(json!([annotation("label", "cog"), marked("label", "nut", "was_cancelled")])), Ok("cog".into()));
        for (annotations, reason) in [
            (json!([]), "it has no label"),
            (Value::Null, "it has no label"),
            (json!([marked("label", "cog", "was_cancelled")]), "it has no label"),
            (json!([annotation("label", "cog"), annotation("label", "nut")]), "disagree, cog and nut"),
            (json!([annotation("a", "cog"), annotation("b", "nut")]), "choices of a, b"),
            (json!([{ "result": [{ "value": { "choices": ["a", "b"] } }] }]), "more than one class"),
            (json!([{ "result": [{ "value": { "choices": 7 } }] }]), "more than one class"),
            (json!([annotation("label", "a/b")]), "wrong: task 7 (3.jpg): a label has no"),
        ] {
            let refused = of(annotations.clone()).unwrap_err();
            assert!(refused.contains(reason), "{annotations}: {refused}");
        }
    }

    #[test]
    fn what_is_no_export_is_refused() {
        for text in
            ["", "{}", "[7]", r#"[{"image": "1.jpg", "label": "nut"}]"#, r#"{"image": "ab", "label": null}"#, "[[["]
        {
            let refused = read(text.as_bytes(), "label", &Stored::default()).unwrap_err();
            assert!(refused.contains("not JSON-MIN"), "{refused}");
        }
        assert!(read(b"[]", "label", &Stored::default()).unwrap().lines.is_empty());
    }
}
