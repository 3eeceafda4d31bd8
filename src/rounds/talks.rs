//! What is asked of a device.

use base64ct::{Base64, Encoding as _};
use serde_json::{Map, Value, json};

use super::Talk;
use crate::fleet::{Score, Statistics};
use crate::wire::ErrorCode;
use crate::wire::command::{self, Spec as _, StatisticsPart};
use crate::words::{Digest, TaskId};

/// Statistics files longer than this are not gathered: 4,096 values in single precision.
const FILE_MAX: u64 = 64 << 20;
/// Files of a device that are begun at most, when it restarts meanwhile.
const BEGUN_MAX: u32 = 4;

/// A statistics file, part by part.
#[derive(Debug, Clone)]
pub struct Gathering {
    task: Option<TaskId>,
    values: Option<u32>,
    /// Bytes of a part.
    length: u32,
    bytes: Vec<u8>,
    /// Of the file whose parts are in `bytes`.
    sha256: Option<Digest>,
    begun: u32,
}

impl Gathering {
    /// The statistics of `task`, of embeddings shortened to `values`, `length` bytes at a time.
    #[must_use]
    pub fn new(task: Option<TaskId>, values: Option<u32>, length: u32) -> Self {
        Self { task, values, length, bytes: Vec::new(), sha256: None, begun: 1 }
    }

    /// The file, once all of it was answered.
    #[must_use]
    pub fn file(&self) -> &[u8] {
        &self.bytes
    }

    fn begin_again(&mut self) -> bool {
        self.bytes.clear();
        self.sha256 = None;
        self.begun += 1;
        self.begun <= BEGUN_MAX
    }
}

impl Talk for Gathering {
    fn request(&self) -> (&'static str, Map<String, Value>) {
        let mut arguments = Map::from_iter([("length".to_owned(), json!(self.length))]);
        arguments.extend(self.task.as_ref().map(|task| ("task".to_owned(), json!(task))));
        match self.sha256 {
            None => arguments.extend(self.values.map(|values| ("values".to_owned(), json!(values)))),
            Some(sha256) => {
                arguments.insert("offset".to_owned(), json!(self.bytes.len()));
                arguments.insert("sha256".to_owned(), json!(sha256));
            }
        }
        (command::Statistics::NAME, arguments)
    }

    fn take(&mut self, data: Value) -> Result<bool, String> {
        let part: StatisticsPart = serde_json::from_value(data)
            .map_err(|error| format!("its answer is none of this program's: {error}; update one of the two"))?;
        if part.bytes > FILE_MAX {
            return Err(format!(
                "its statistics have {} bytes, more than {FILE_MAX}; ask for fewer values",
                part.bytes
            ));
        }
        let is_next = part.offset == self.bytes.len() as u64 && self.sha256.is_none_or(|sha256| sha256 == part.sha256);
        let bytes = part.decoded().filter(|bytes| is_next && !bytes.is_empty());
        let Some(bytes) = bytes.filter(|bytes| part.offset + bytes.len() as u64 <= part.bytes) else {
            return Err("the part that it sent is not the one that was asked for; collect again".to_owned());
        };
        self.sha256 = Some(part.sha256);
        self.bytes.extend(bytes);
        if (self.bytes.len() as u64) < part.bytes {
            return Ok(false);
        }
        if Digest::of(&self.bytes) != part.sha256 {
            return Err("its statistics were damaged on the way; collect again".to_owned());
        }
        Statistics::from_bytes(&self.bytes).map(|_| true).map_err(|error| error.to_string())
    }

    fn goes_on(&mut self, code: ErrorCode) -> bool {
        match code {
            // It restarted, or somebody else asked for a first part.
            ErrorCode::NotFound if self.sha256.is_some() => self.begin_again(),
            _ => false,
        }
    }
}

/// Heads that a device measures, one after another.
#[derive(Debug, Clone)]
pub struct Scoring {
    task: Option<TaskId>,
    /// As text.
    heads: Vec<String>,
    scores: Vec<Score>,
}

impl Scoring {
    /// These heads on the labels of `task`.
    #[must_use]
    pub fn new(task: Option<TaskId>, heads: &[Vec<u8>]) -> Self {
        let heads = heads.iter().map(|head| Base64::encode_string(head)).collect();
        Self { task, heads, scores: Vec::new() }
    }

    /// What each head is worth, in their order.
    #[must_use]
    pub fn scores(&self) -> &[Score] {
        &self.scores
    }
}

impl Talk for Scoring {
    fn request(&self) -> (&'static str, Map<String, Value>) {
        let head = self.heads.get(self.scores.len()).map_or("", String::as_str);
        let mut arguments = Map::from_iter([("head".to_owned(), json!(head))]);
        arguments.extend(self.task.as_ref().map(|task| ("task".to_owned(), json!(task))));
        (command::Score::NAME, arguments)
    }

    fn take(&mut self, data: Value) -> Result<bool, String> {
        let score = serde_json::from_value(data)
            .map_err(|error| format!("its answer is none of this program's: {error}; update one of the two"))?;
        self.scores.push(score);
        Ok(self.scores.len() >= self.heads.len())
    }

    fn goes_on(&mut self, _: ErrorCode) -> bool {
        false
    }
}
