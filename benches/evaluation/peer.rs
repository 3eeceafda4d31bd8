//! Peers in Python, on the same embeddings.

use std::process::Command;

use serde_json::{Value, json};

use super::data::Set;

/// What `benches/evaluation/peer.py TASK` answers for `train` and `test`; `None` where it cannot run.
pub fn ask(task: &str, train: &Set, test: &Set) -> Option<Value> {
    let folder = tempfile::tempdir().ok()?;
    let mut document = json!({});
    for (name, set) in [("train", train), ("test", test)] {
        let bytes: Vec<u8> = set.z.iter().flat_map(|value| value.to_le_bytes()).collect();
        std::fs::write(folder.path().join(format!("{name}.f32")), bytes).ok()?;
        document[name] = json!({ "shape": [set.z.nrows(), set.z.ncols()], "labels": set.labels });
    }
    std::fs::write(folder.path().join("sets.json"), document.to_string()).ok()?;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/evaluation/peer.py");
    let python = std::env::var("EDGETUNED_PYTHON").unwrap_or_else(|_| "python3".into());
    let output = Command::new(python).arg(script).arg(task).arg(folder.path()).output().ok()?;
    if !output.status.success() {
        eprintln!(
            "the peer did not run: {}",
            String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default()
        );
        return None;
    }
    serde_json::from_slice(&output.stdout).ok()
}
