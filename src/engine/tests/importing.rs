//! Labels from a file, by one request or several.

use serde_json::{Value, json};

use super::undoing::{answer, ask, awaited, labels};
use super::*;
use crate::words::TaskId;

fn items(items: &[(&str, Option<&str>)]) -> Vec<Value> {
    items.iter().map(|(image, label)| json!({"image": image, "label": label})).collect()
}

fn counts(step: &Step) -> [u64; 5] {
    let data = &answer(step)["data"];
    ["change", "changed", "unchanged", "awaited", "dropped"].map(|count| data[count].as_u64().unwrap())
}

#[test]
fn all_requests_of_an_import_are_one_change_from_the_import() {
    let mut engine = engine(PromotionPolicy::Gated, Snapshot { changes: 4, ..snapshot() });
    let [bolt, nut] = ["bolt", "nut"].map(|name| SampleId::of(name.as_bytes()));
    let (first, second) = (bolt.to_string(), nut.to_string());
    let import = LabelSource::Import;
    let labelled = items(&[(&first, Some("gear")), (&second, Some("nut")), ("01234567", Some("cog"))]);
    let step = ask(&mut engine, "import", &json!({ "items": labelled }));
    assert_eq!(counts(&step), [5, 1, 1, 1, 0]);
    assert_eq!(
        labels(&step),
        [(bolt, Some(label("gear")), import, Some(5)), (nut, Some(label("nut")), import, Some(5))]
    );
    assert_eq!(awaited(&step), [("01234567".into(), "cog".into(), Some(5))]);
    // Between two of its requests somebody else labels an image.
    ask(&mut engine, "label", &json!({"items": items(&[(&first, Some("pin"))])}));
    let more = items(&[(&first[..8], None), ("01234567", None), ("01234567", None), (&second, Some("nut"))]);
    let step = ask(&mut engine, "import", &json!({"items": more, "change": 5}));
    assert_eq!(counts(&step), [5, 1, 2, 1, 0]);
    assert_eq!(labels(&step), [(bolt, None, import, Some(5))], "it gave the label of nut before");
}

#[test]
fn an_import_goes_on_only_while_it_is_the_latest_and_no_change_is_undone() {
    let next = |change: u64| json!({"items": items(&[("01234567", Some("cog"))]), "change": change});
    let mut engine = engine(PromotionPolicy::Gated, Snapshot { changes: 4, ..snapshot() });
    let refused = |engine: &mut Engine, change: u64| {
        let step = ask(engine, "import", &next(change));
        assert!(awaited(&step).is_empty());
        let error = answer(&step)["error"].clone();
        assert!(error["message"].as_str().unwrap().contains("no longer under way"), "{error}");
        error["code"] == "not_possible"
    };
    assert!(refused(&mut engine, 4), "one from before the start");
    ask(&mut engine, "import", &json!({"items": []}));
    assert_eq!(counts(&ask(&mut engine, "import", &next(5)))[0], 5);
    ask(&mut engine, "import", &json!({"items": []}));
    assert!(refused(&mut engine, 5), "another one began");
    ask(&mut engine, "undo", &json!({}));
    assert!(refused(&mut engine, 6), "a change is being undone");
}

#[test]
fn an_ambiguous_image_refuses_all_of_its_request() {
    let mut snapshot = snapshot();
    for last in [1, 2] {
        let mut bytes = [0xab; 32];
        bytes[31] = last;
        let id = SampleId(Digest(bytes));
        snapshot.samples.push(id);
        snapshot.default_task().samples.push(StoredSample::new(id));
    }
    let mut engine = engine(PromotionPolicy::Gated, snapshot);
    let bolt = SampleId::of(b"bolt").to_string();
    let step = ask(&mut engine, "import", &json!({"items": items(&[(&bolt, Some("nut")), ("abababab", Some("nut"))])}));
    assert_eq!((labels(&step), &answer(&step)["error"]["code"]), (vec![], &json!("bad_request")));
}

#[test]
fn past_their_bound_the_oldest_waiting_labels_go_and_are_counted() {
    let waiting = |n: usize| PendingLabel {
        task: TaskId::default(),
        prefix: format!("{n:08x}"),
        label: label("nut"),
        source: LabelSource::Mqtt,
        at: Timestamp(n as i64),
        change: Some(1),
        former: None,
    };
    let awaited = (0..PENDING_MAX).map(waiting).collect();
    let mut engine = engine(PromotionPolicy::Gated, Snapshot { awaited, changes: 1, ..snapshot() });
    // The oldest one is named again, which keeps it.
    let step =
        ask(&mut engine, "import", &json!({"items": items(&[("00000000", Some("nut")), ("ffffffff", Some("nut"))])}));
    assert_eq!(counts(&step), [2, 0, 1, 1, 1]);
    let gone =
        |write: &Write| if let Write::DeletePendingLabel { prefix, .. } = write { Some(prefix.clone()) } else { None };
    assert_eq!(step.writes.iter().filter_map(gone).collect::<Vec<_>>(), ["00000001"]);
}
