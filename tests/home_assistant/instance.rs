//! Home Assistant as a process that is talked to: a JSON object a line, answered with one.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use crate::skip;

/// The interpreter that has Home Assistant.
pub fn python() -> Option<OsString> {
    let python = std::env::var_os("EDGETUNED_HA_PYTHON");
    if python.is_none() {
        skip::not_here("EDGETUNED_HA_PYTHON names no Python with Home Assistant (make home-assistant)");
    }
    python
}

fn script(python: &OsString) -> Command {
    let mut command = Command::new(python);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/home_assistant/validate.py"));
    command
}

/// What its schemas say against a document, a line for each fault.
pub fn schema_faults(python: &OsString, document: &Value) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("document.json");
    std::fs::write(&path, document.to_string()).unwrap();
    let output = script(python).arg("schemas").arg(path).output().expect("EDGETUNED_HA_PYTHON is a program");
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let as_it_should = matches!(output.status.code(), Some(0 | 1)) && output.status.success() == said.is_empty();
    assert!(as_it_should, "{}: {said}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    said
}

/// A running Home Assistant; it is killed when dropped.
pub struct Instance {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Instance {
    /// Starts one at the broker on this port; its own page is on the port `http`. Returns when it runs.
    pub fn start(python: &OsString, broker: u16, http: u16) -> Self {
        let mut command = script(python);
        command.args(["live".to_owned(), broker.to_string(), http.to_string()]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it is a program");
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut instance = Self { child, input, output };
        let ready = instance.hear();
        assert!(ready["ready"].is_string(), "{ready}");
        instance
    }

    fn hear(&mut self) -> Value {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "Home Assistant ended");
        serde_json::from_str(&line).unwrap()
    }

    /// Asks it, as `validate.py` lists; its answer.
    pub fn ask(&mut self, what: &Value) -> Value {
        writeln!(self.input, "{what}").unwrap();
        self.hear()
    }

    /// Waits until the device's entity has this state and these attributes.
    pub fn shows(&mut self, entity: &str, expected: &Value) {
        let shown = self.ask(&json!({ "wait": format!("line-3_{entity}"), "is": expected }));
        let same = expected.as_object().unwrap().iter().all(|(field, value)| shown.get(field) == Some(value));
        assert!(same, "{entity} has to be {expected}, is {shown}\n{}", self.faults().join("\n"));
    }

    /// Waits until it knows the device's entity no more.
    pub fn forgets(&mut self, entity: &str) {
        let gone = self.ask(&json!({ "gone": format!("line-3_{entity}") }));
        assert_eq!(gone, json!({ "gone": true }), "{entity}: {}", self.faults().join("\n"));
    }

    /// Its warnings and errors since the last time.
    pub fn faults(&mut self) -> Vec<String> {
        serde_json::from_value(self.ask(&json!({ "faults": true }))["faults"].take()).unwrap()
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
