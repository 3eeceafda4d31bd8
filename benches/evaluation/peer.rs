//! Peers in Python, on the same embeddings and the same draws: `peer.py` describes them.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::process::Command;
use std::sync::Once;

use ndarray::Array2;
use serde_json::{Value, json};

use super::data::Set;

/// What is to be learned and tested.
pub struct Job<'a> {
    pub train: &'a Set,
    pub tests: &'a [&'a Set],
    /// Rows of `train` that each head learns from.
    pub draws: &'a [Vec<usize>],
    /// As `peer.py` names them.
    pub methods: &'a [&'a str],
}

/// By method, draw and test: probabilities (n, k) for the classes of `train`.
pub type Answer = BTreeMap<String, Vec<Vec<Array2<f32>>>>;

/// What the peers answer; `None` where they cannot run, with the reason on standard error.
pub fn ask(job: &Job<'_>) -> Option<Answer> {
    static SAID: Once = Once::new();
    run(job).map_err(|reason| SAID.call_once(|| eprintln!("the peers did not run: {reason}"))).ok()
}

fn run(job: &Job<'_>) -> io::Result<Answer> {
    let folder = tempfile::tempdir()?;
    let classes = job.train.classes();
    let mut document = json!({ "draws": job.draws, "methods": job.methods });
    document["train"] = write(folder.path(), "train.f32", job.train)?;
    document["train"]["y"] = json!(job.train.y(&classes));
    let tests = job.tests.iter().enumerate();
    let tests: Vec<_> =
        tests.map(|(at, test)| write(folder.path(), &format!("test{at}.f32"), test)).collect::<io::Result<_>>()?;
    document["tests"] = json!(tests);
    std::fs::write(folder.path().join("job.json"), document.to_string())?;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/evaluation/peer.py");
    let python = std::env::var("EDGETUNED_PYTHON").unwrap_or_else(|_| "python3".into());
    let output = Command::new(python).arg(script).arg(folder.path()).output()?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        return Err(io::Error::other(complaint.lines().last().unwrap_or_default().to_owned()));
    }
    let raw: BTreeMap<String, Vec<Vec<Vec<f32>>>> = serde_json::from_slice(&output.stdout)?;
    let table = |values: Vec<f32>| {
        Array2::from_shape_vec((values.len() / classes.len(), classes.len()), values).map_err(io::Error::other)
    };
    let draw = |tests: Vec<Vec<f32>>| tests.into_iter().map(table).collect::<io::Result<Vec<_>>>();
    raw.into_iter()
        .map(|(method, draws)| Ok((method, draws.into_iter().map(draw).collect::<io::Result<_>>()?)))
        .collect()
}

/// Writes the embeddings of `set`, and says where.
fn write(folder: &Path, file: &str, set: &Set) -> io::Result<Value> {
    let bytes: Vec<u8> = set.z.iter().flat_map(|value| value.to_le_bytes()).collect();
    std::fs::write(folder.join(file), bytes)?;
    Ok(json!({ "file": file, "rows": set.n() }))
}
