//! What the engine did in 200 lives, as digests: a change within the engine that means to change nothing shows here.
//!
//! Every step of a life is rendered line by line, first its writes in their order, then its acts in theirs, and hashed.
//! `golden.txt` has a line for each seed: the seed, the digest of these lines, and the digest of the same lines sorted
//! within each step and without the numbers of messages. Where the first differs and the second does not, a step does
//! the same in another order. `UPDATE_GOLDEN=1 cargo test --test simulate` writes the file anew.
//!
//! The words of this rendering are its own, so that a type or a variant can be renamed. Of prose only the figures count,
//! so that it can be worded better.

use std::fmt::Write as _;

use edgetuned::engine::{Act, FileDisposition, Next, Query, Step, Systemd, TaskAct, Write};
use edgetuned::words::{HeadStatus, LabelSource, Now};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// Lives in the record.
pub const LIVES: u64 = 200;

/// Fields of payloads and of remembered state that hold prose.
const PROSE: [&str; 4] = ["reason", "message", "error", "text"];

/// Requests that `info` lists and nobody sends in these lives.
const UNUSED: [&str; 2] = ["exclude", "config"];

/// What one life did so far.
#[derive(Clone, Default)]
pub struct Record {
    ordered: Sha256,
    unordered: Sha256,
}

impl Record {
    /// Adds one step.
    pub fn step(&mut self, now: Now, step: &Step) {
        // What is kept is what was published, which is recorded.
        let recorded = step.writes.iter().filter(|write| !matches!(write, Write::Keep(_)));
        let writes: Vec<String> = recorded.map(write).collect();
        // What the loop does after all other acts, wherever it is asked for.
        let (last, first): (Vec<_>, Vec<_>) = step.acts.iter().partition(|act| matches!(act, Act::SendOutbox));
        // The journal has what the broker gets, which is recorded.
        let acts = first.into_iter().filter(|act| !matches!(act, Act::LogEvent(_))).map(act).collect();
        let then = match step.then {
            Next::Continue => None,
            Next::Restart => Some("restart".to_owned()),
            Next::Exit => Some("exit".to_owned()),
        };
        let mut ends: Vec<String> = last.into_iter().map(act).chain(then).collect();
        ends.sort_unstable();
        ends.dedup();
        let at = format!("{} {}", now.wall.0, now.mono.as_millis());
        let mut lines = [writes, acts, ends].concat();
        add(&mut self.ordered, &at, &lines);
        for line in &mut lines {
            *line = without_seq(line);
        }
        lines.sort_unstable();
        add(&mut self.unordered, &at, &lines);
    }

    /// The line of this life in the file.
    pub fn line(self, seed: u64) -> String {
        format!("{seed} {} {}", hex(&self.ordered.finalize()), hex(&self.unordered.finalize()))
    }
}

fn add(digest: &mut Sha256, at: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    for line in std::iter::once(at).chain(lines.iter().map(String::as_str)) {
        if std::env::var_os("SIMULATE_SHOW").is_some() {
            println!("{line}");
        }
        digest.update(line);
        digest.update(b"\n");
    }
}

/// Half of the digest is enough to tell lives apart.
fn hex(digest: &[u8]) -> String {
    digest.iter().take(16).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Fails where the lives differ from the file; writes it where it is to be updated.
pub fn compare(lines: &[String]) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/simulate/golden.txt");
    let now = lines.join("\n") + "\n";
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        return std::fs::write(path, now).expect("the record can be written");
    }
    let before = std::fs::read_to_string(path).expect("the record is committed");
    let part = |line: &str, n: usize| line.split(' ').nth(n).unwrap_or_default().to_owned();
    let differ = |n: usize| {
        let pairs = before.lines().zip(now.lines());
        pairs.filter(|(before, now)| part(before, n) != part(now, n)).map(|(_, now)| part(now, 0)).collect::<Vec<_>>()
    };
    assert_eq!(before.lines().count(), now.lines().count(), "the record has another number of lives");
    let (ordered, unordered) = (differ(1), differ(2));
    assert!(
        ordered.is_empty(),
        "{} of {} lives differ from tests/simulate/golden.txt, {} of them in more than the order within a step; seeds {:?}. \
         SIMULATE_SEED=n SIMULATE_SHOW=1 shows a life step by step, UPDATE_GOLDEN=1 takes the change",
        ordered.len(),
        now.lines().count(),
        unordered.len(),
        ordered.iter().take(10).collect::<Vec<_>>(),
    );
}

/// The line without its `seq`, which depends on the order.
fn without_seq(line: &str) -> String {
    match line.split_once("seq=") {
        Some((before, after)) => {
            let rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
            format!("{before}seq{rest}")
        }
        None => line.to_owned(),
    }
}

/// The numbers in a text, in their order.
fn figures(text: &str) -> String {
    let is_part = |c: char| c.is_ascii_digit() || c == '.';
    let words = text.split(|c: char| !is_part(c)).filter(|word| word.chars().any(|c| c.is_ascii_digit()));
    words.map(|word| word.trim_matches('.')).collect::<Vec<_>>().join(" ")
}

/// JSON with sorted keys, numbers to nine digits, and of prose its figures.
fn json(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().filter(|(key, _)| *key != "seq").collect();
            // The number of a change of labels is not what it did.
            let is_of_labels = ["set", "kept"].iter().all(|key| fields.iter().any(|(other, _)| other == key));
            fields.retain(|(key, _)| !is_of_labels || *key != "change");
            fields.sort_unstable_by_key(|(key, _)| *key);
            let field = |(key, value): &(&String, &Value)| match value {
                Value::String(text) if PROSE.contains(&key.as_str()) => format!("{key}:{}", figures(text)),
                // A release changes nothing else.
                Value::String(text) if text == env!("CARGO_PKG_VERSION") => format!("{key}:version"),
                value => format!("{key}:{}", json(value)),
            };
            format!("{{{}}}", fields.iter().map(field).collect::<Vec<_>>().join(","))
        }
        Value::Array(items) => {
            let is_used = |item: &&Value| item.as_str().is_none_or(|name| !UNUSED.contains(&name));
            format!("[{}]", items.iter().filter(is_used).map(json).collect::<Vec<_>>().join(","))
        }
        Value::Number(number) if number.is_f64() => format!("{:.9e}", number.as_f64().unwrap_or_default()),
        other => other.to_string(),
    }
}

fn payload(bytes: &[u8]) -> String {
    serde_json::from_slice(bytes).map_or_else(|_| String::from_utf8_lossy(bytes).into_owned(), |value| json(&value))
}

fn of(state: &impl Serialize) -> String {
    json(&serde_json::to_value(state).expect("state has text keys"))
}

fn status(status: HeadStatus) -> &'static str {
    match status {
        HeadStatus::Champion => "champion",
        HeadStatus::Rejected => "rejected",
        HeadStatus::Kept => "kept",
    }
}

fn source(source: LabelSource) -> String {
    of(&source)
}

#[allow(clippy::too_many_lines, reason = "a line for each kind of write")]
fn write(write: &Write) -> String {
    match write {
        Write::Sample(sample) => {
            let [look] = &sample.looks[..] else { panic!("one task looks at {}", sample.id) };
            let predicted = look.predicted.as_ref().map_or_else(
                || "none".to_owned(),
                |predicted| format!("{} {:.6} {}", predicted.label, predicted.probability, predicted.head),
            );
            let (id, group) = (sample.id, sample.group);
            let path = sample.origin.path().map_or_else(String::new, |path| path.display().to_string());
            format!(
                "write sample {id} {path} {} {} {:?} {group} {predicted}",
                sample.bytes, sample.arrived_at.0, sample.embeddings[0].1
            )
        }
        Write::Thumbnail { id, jpeg } => format!("write thumbnail {id} {}", jpeg.len()),
        Write::DeletePicture { id } => format!("delete picture {id}"),
        Write::Embedding { id, embedding, .. } => format!("write embedding {id} {embedding:?}"),
        Write::File { path, stamp, fate } => {
            let fate = match fate {
                FileDisposition::Sample(id) => format!("sample {id}"),
                FileDisposition::Quarantined(reason) => format!("quarantined {}", figures(reason)),
            };
            format!("write file {} {} {} {fate}", path.display(), stamp.size, stamp.mtime_ns)
        }
        Write::Label { id, label, source: by, at, .. } => {
            let label = label.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string);
            format!("write label {id} {label} {} {}", source(*by), at.0)
        }
        Write::PendingLabel(awaited) => {
            format!(
                "write pending-label {} {} {} {}",
                awaited.prefix,
                awaited.label,
                source(awaited.source),
                awaited.at.0
            )
        }
        Write::Excluded { id, excluded, source: by, at, .. } => {
            format!("write excluded {id} {excluded} {} {}", source(*by), at.0)
        }
        Write::Folder { id, class, in_doubt, .. } => {
            let class = class.as_ref().map_or("none", |class| class.as_str());
            format!("write folder {id} {class} {in_doubt}")
        }
        Write::ClassFolders(folders) => format!("write class-folders {}", of(folders)),
        Write::ChangeUndone { change } => format!("undo change {change}"),
        Write::DeletePendingLabel { prefix, .. } => format!("delete pending-label {prefix}"),
        Write::Outbox(message) => format!(
            "write outbox seq={} {} {} {}",
            message.seq,
            message.topic,
            message.made_at.0,
            payload(&message.payload)
        ),
        Write::Keep(_) => unreachable!("not recorded"),
        Write::DeleteMessage { seq } => format!("delete outbox seq={seq}"),
        Write::SeqReserved(seq) => format!("write reserved seq={seq}"),
        Write::Reply(entry) => {
            format!("write reply {} {} {} {}", entry.transaction, entry.name, entry.at.0, payload(&entry.answer))
        }
        Write::DeleteReply { transaction } => format!("delete reply {transaction}"),
        Write::Head { record, .. } => {
            let tail = record.tail().map(|tail| format!(" {} {:?}", tail.input, tail.weights[0].values));
            format!("write head {}{}", record.head, tail.unwrap_or_default())
        }
        Write::HeadStatus { version, status: now, reason, at, .. } => {
            format!("write head-status {version} {} {} {}", status(*now), figures(reason), at.0)
        }
        Write::TrainingState { state, .. } => format!("write training {}", of(state)),
        Write::DeleteSample { id } => format!("delete sample {id}"),
        Write::DeleteFile { path } => format!("delete file {}", path.display()),
        Write::Statistics { file, .. } => format!("write statistics {}", file.len()),
        Write::DeleteOtherStatistics => "delete other-statistics".into(),
        Write::DeleteHead { version, .. } => format!("delete head {version}"),
        Write::Look { task, id, .. } => format!("write look {task} {id}"),
        Write::PurgeTask { task } => format!("purge {task}"),
        Write::BackboneState(state) => format!("write backbone {}", of(state)),
        Write::DeleteOtherSpaces => "delete other-spaces".into(),
        Write::ConfigPatchState(state) => format!("write settings {}", of(state)),
        Write::BrokerRecord(record) => format!("write broker {}", of(record)),
        Write::DoubtedTimes(times) => format!("write doubted times {}", of(times)),
        Write::StateRecord { record, .. } => format!("write state {}", of(&**record)),
        Write::LiveState { state, .. } => format!("write live {}", of(&**state)),
        Write::UpdateState { kind, memory } => format!("write update {} {}", of(kind), of(&**memory)),
        Write::Chunk { kind, n, bytes } => format!("write chunk {} {n} {}", of(kind), bytes.len()),
        Write::DeleteChunks(kind) => format!("delete chunks {}", of(kind)),
    }
}

fn act(act: &Act) -> String {
    match act {
        Act::Show { topic, payload: bytes } => format!("show {topic} {}", payload(bytes)),
        Act::Publish { topic, payload: bytes } => format!("publish {topic} {}", payload(bytes)),
        Act::Ack(delivery) => format!("acknowledge {delivery}"),
        Act::Answer { ticket, response } => format!("answer {ticket} {}", of(&**response)),
        Act::Query { job, query } => format!("query {job} {}", asked(query)),
        Act::FindUnseen { after, limit } => format!("find unseen {after} {limit}"),
        Act::Ingest { root, path } => format!("ingest {root} {}", path.display()),
        Act::IngestFrame { source } => format!("ingest-frame {source}"),
        Act::IngestPicture { id } => format!("ingest-picture {id}"),
        Act::Burst(source) => format!("burst {source}"),
        Act::Stat { root, path } => format!("stat {root} {}", path.display()),
        Act::Rescan => "rescan".into(),
        Act::PauseScans(held) => format!("pause-scans {held}"),
        Act::Task(task, act) => {
            let name = if task.is_default() { String::new() } else { format!("{task} ") };
            name + &task_act(act)
        }
        Act::CheckFiles(ids) => {
            format!("check-files {}", ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
        }
        Act::Evict { count } => format!("evict {count}"),
        Act::PrepareBackbone(order) => format!("prepare-backbone {}", order.files),
        Act::DeleteBackbone(files) => format!("delete-backbone {files}"),
        Act::VerifyUpdate { manifest, .. } => format!("verify-update {}", manifest.sha256),
        Act::SendOutbox => "send-outbox".into(),
        Act::AdaptToBroker(terms) => format!("adapt-to-broker {terms:?}"),
        Act::LogEvent(_) => unreachable!("not recorded"),
        Act::Systemd(word) => match word {
            Systemd::Ready => "systemd ready".into(),
            Systemd::Reloading => "systemd reloading".into(),
            Systemd::WatchdogPing => "systemd watchdog".into(),
            Systemd::Status(words) => format!("systemd status {}", figures(words)),
            Systemd::Stopping => "systemd stopping".into(),
        },
    }
}

fn task_act(act: &TaskAct) -> String {
    let version = |version: &Option<u64>| version.map_or_else(|| "none".to_owned(), |version| version.to_string());
    match act {
        TaskAct::Train { order, .. } => format!("train {}", of(order)),
        TaskAct::Serve(head) => format!("serve {}", version(head)),
        TaskAct::Resume(head) => format!("serve {head}"),
        TaskAct::Shadow(head) => format!("shadow {}", version(head)),
        TaskAct::UpdateOnline(ids) => {
            format!("learn {}", ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
        }
        TaskAct::FoldInLabels(before) => format!("fold-in {}", before.0),
        TaskAct::JudgeAgain(image) => format!("judge {image}"),
        TaskAct::Review { since } => format!("review {:?}", since.map(|since| since.0)),
    }
}

fn asked(query: &Query) -> String {
    match query {
        Query::Samples { limit, after, label, unlabelled, .. } => {
            let after = after.map_or_else(|| "none".to_owned(), |id| id.to_string());
            let label = label.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string);
            format!("samples {limit} {after} {label} {unlabelled}")
        }
        Query::Predict(_, id) => format!("predict {id}"),
        Query::Forget(ids) => format!("forget {}", ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")),
        Query::Undo { change, newest } => format!("undo {change:?} of {newest}"),
        Query::Backbone(asked) => format!("backbone {asked}"),
        Query::Reload => "reload".into(),
        Query::Export(_, head) => format!("export {head}"),
        Query::Purge(task) => format!("purge {task}"),
        Query::Statistics { part, .. } => format!("statistics {part:?}"),
        Query::Score(_, head) => format!("score {} bytes", head.len()),
    }
}

#[test]
fn of_prose_only_the_figures_count() {
    let line = |text: &str| payload(text.as_bytes());
    assert_eq!(line(r#"{"reason": "head 7 fell to 0.61."}"#), line(r#"{"reason": "0 heads"}"#).replace('0', "7 0.61"));
    assert_ne!(line(r#"{"reason": "head 7"}"#), line(r#"{"reason": "head 8"}"#));
    assert_ne!(line(r#"{"label": "nut"}"#), line(r#"{"label": "bolt"}"#), "labels are no prose");
}

#[test]
fn another_order_and_another_act_are_told_apart() {
    let of = |acts: Vec<Act>| {
        let mut record = Record::default();
        record.step(
            Now { wall: edgetuned::words::Timestamp(1), mono: std::time::Duration::ZERO },
            &Step { acts, ..Step::default() },
        );
        record.line(0).split(' ').skip(1).map(str::to_owned).collect::<Vec<_>>()
    };
    let serve = |version| Act::Task(edgetuned::words::TaskId::default(), TaskAct::Serve(version));
    let (one, other, more) =
        (of(vec![Act::Rescan, serve(None)]), of(vec![serve(None), Act::Rescan]), of(vec![serve(Some(1)), Act::Rescan]));
    assert!(one[0] != other[0] && one[1] == other[1], "the same in another order");
    assert!(other[0] != more[0] && other[1] != more[1], "another act");
}
