//! Pillow and onnxruntime, where Python has them.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use edgetuned::backbone::Manifest;
use edgetuned::image::Resize;
use serde_json::json;

/// `peer.py`, waiting for work.
pub struct Peer {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    /// What it runs.
    pub versions: String,
}

impl Peer {
    /// For these pictures; `None` where `EDGETUNED_PYTHON`, or `python3`, lacks something.
    pub fn start(manifest: &Manifest, pictures: &[PathBuf]) -> Option<Self> {
        let way = &manifest.preprocess;
        let ratio = match way.resize {
            Resize::Stretch => None,
            Resize::Crop { ratio } => Some(ratio),
            // Nobody asks for it here.
            Resize::Letterbox => return None,
        };
        let way = json!({
            "model": manifest.file, "input": manifest.input, "output": manifest.embedding.tensor, "size": way.size,
            "layout": way.layout, "channels": way.channels, "mean": way.mean, "std": way.std, "scale": way.scale,
            "ratio": ratio, "pictures": pictures,
        });
        let python = std::env::var("EDGETUNED_PYTHON").unwrap_or_else(|_| "python3".to_owned());
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/embed/peer.py");
        let mut child = Command::new(python)
            .arg(script)
            .arg(way.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let (to, from) = (child.stdin.take()?, child.stdout.take()?);
        let mut peer = Self { child, to, from: BufReader::new(from), versions: String::new() };
        peer.versions = peer.line()?;
        Some(peer)
    }

    /// Seconds of all pictures, decoded `exact` or by `draft`.
    pub fn seconds(&mut self, how: &str) -> Option<f64> {
        writeln!(self.to, "{how}").ok()?;
        self.line()?.parse().ok()
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self.from.read_line(&mut line).ok()?;
        (read > 0).then(|| line.trim().to_owned())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
