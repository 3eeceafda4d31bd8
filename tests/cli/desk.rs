//! A folder to work in, with pictures and a cache of its own, and the program run in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use edgetuned::backbone::Manifest;
use serde_json::Value;
use tempfile::TempDir;

use crate::camera::{Camera, Light, Part};

/// Of every picture.
pub const SEED: u64 = 11;

/// A working folder.
pub struct Desk(TempDir);

/// How a command ended.
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Desk {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// A desk with `train/` (eight pictures of each of three parts) and `test/` (four others of each).
    pub fn with_pictures() -> Self {
        let desk = Self::new();
        for part in [Part::Nut, Part::Gear, Part::Spring] {
            desk.shoot("train", part, 0..8);
            desk.shoot("test", part, 100..104);
        }
        desk
    }

    /// Puts pictures of `part` into `<folder>/<part>`.
    pub fn shoot(&self, folder: &str, part: Part, indices: std::ops::Range<u64>) {
        for index in indices {
            self.put(&format!("{folder}/{part}/{index:03}.jpg"), &picture(part, index));
        }
    }

    pub fn put(&self, path: &str, bytes: &[u8]) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    pub fn root(&self) -> &Path {
        self.0.path()
    }

    /// The program, to be run in this folder; `words` are split at spaces.
    pub fn command(&self, words: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_edgetuned"));
        command.args(words.split(' ').filter(|word| !word.is_empty()));
        command.current_dir(self.0.path()).env("XDG_CACHE_HOME", self.path("cache")).stdin(Stdio::null());
        for name in ["EDGETUNED_LOG", "EDGETUNED_ORT"] {
            command.env_remove(name);
        }
        command
    }

    pub fn run(&self, words: &str) -> Ran {
        Ran::of(self.command(words).output().unwrap())
    }

    /// Runs with `--json`; standard output must be one document whatever happens.
    pub fn json(&self, words: &str) -> (Option<i32>, Value) {
        let ran = self.run(&format!("{words} --json"));
        (ran.code, ran.document())
    }

    /// The document of a command that must succeed.
    pub fn good(&self, words: &str) -> Value {
        let ran = self.run(&format!("{words} --json"));
        assert_eq!(ran.code, Some(0), "edgetuned {words}: {}{}, seed {SEED}", ran.out, ran.err);
        ran.document()
    }

    /// The command must end with `code` and say one line with all of `says` in it.
    pub fn fails(&self, words: &str, code: i32, says: &[&str]) {
        self.run(words).failed(code, says);
        let (json_code, document) = self.json(words);
        assert_eq!(json_code, Some(code), "with --json: {document}");
        assert!(document["error"].is_string(), "{document}");
    }
}

impl Ran {
    pub fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    pub fn document(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("no JSON ({error}): {:?} {}", self.out, self.err))
    }

    pub fn failed(&self, code: i32, says: &[&str]) {
        let reported: Vec<&str> = self.err.lines().filter(|line| line.starts_with("edgetuned: ")).collect();
        assert_eq!(reported.len(), 1, "one line says what is wrong: {:?}", self.err);
        assert_eq!(self.code, Some(code), "{}", self.err);
        assert_eq!(self.out, "", "nothing is a result");
        for words in says {
            assert!(reported[0].contains(words), "{words:?} is not in {:?}", reported[0]);
        }
    }
}

/// A small picture as the bytes of a JPEG.
pub fn picture(part: Part, index: u64) -> Vec<u8> {
    Camera::new(SEED).with_size(96, 72).jpeg(part, index, &Light::DAY)
}

/// What `default` is on this machine: where its model could not be made, another backbone serves.
pub fn default_backbone() -> Manifest {
    Manifest::resolve("default").unwrap()
}

/// The repository's folder of models.
pub fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models")
}
