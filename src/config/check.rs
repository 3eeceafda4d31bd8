//! Checks a written value by its key's kind, reports what is expected, and finds settings that contradict each other.

use std::path::{Component, Path};

use super::key::{self, Kind};
use super::table::KEYS;
use super::value::{Located, Value, Values, parse_duration, show_duration};
use super::yaml::{Content, Node};
use super::{Problem, providers, quoted, sources, tasks, written};
use crate::wire::Base;
use crate::words::{BUILT_IN_PROVIDERS, BrokerUrl, SourceId, TopicFilter};

/// What is wrong, where a problem is more than kind and node.
#[derive(Debug, Default)]
pub(super) struct Refusal {
    pub found: Option<String>,
    pub remedy: Option<String>,
}

impl Refusal {
    pub fn remedy(text: impl Into<String>) -> Self {
        Self { found: None, remedy: Some(text.into()) }
    }
}

/// Whether values of this kind are text, used unchanged where no YAML surrounds it.
pub(super) fn is_text(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Text
            | Kind::Path
            | Kind::Cron
            | Kind::BrokerUrl
            | Kind::DeviceId
            | Kind::TopicPrefix
            | Kind::Slug
            | Kind::TopicFilter
            | Kind::HttpUrl
            | Kind::Listen
            | Kind::Rate
            | Kind::Confirm { .. }
            | Kind::Choice { .. }
            | Kind::Poll { .. }
    )
}

/// The values that a key of this kind accepts, as text.
pub(super) fn expected(kind: Kind) -> String {
    match kind {
        Kind::Bool => "true or false".to_owned(),
        Kind::Text => "text of 1 to 256 characters on one line".to_owned(),
        Kind::Path => "an absolute path without '..'".to_owned(),
        Kind::Paths { max } => format!("a list of at most {max} absolute paths without '..'"),
        Kind::Names { max } => {
            format!("a list of at most {max} names of 1 to 255 bytes without '/', in which * and ? are wildcards")
        }
        Kind::Poll { min, max } => {
            format!("auto, always, never, or a duration from {} to {}", show_duration(min), show_duration(max))
        }
        Kind::LabelFrom { max } => format!("folder, none, or {{ folder: N }} with N from 1 to {max}"),
        Kind::Integer { min, max } => format!("a whole number from {min} to {max}"),
        Kind::Number { min, max } => format!("a number from {min} to {max}"),
        Kind::AutoOrNumber { min, max } => format!("auto, or a number from {min:e} to {max:e}"),
        Kind::Duration { min, max } => {
            format!("a duration from {} to {}", show_duration(min), show_duration(max))
        }
        Kind::Choice { words } => words.join(" or "),
        Kind::Providers { max } => {
            format!(
                "a list of 1 to {max} of {}, or of names with a library in backbone.providers",
                BUILT_IN_PROVIDERS.join(", ")
            )
        }
        Kind::ProviderOptions { max } => {
            format!("a map of at most {max} execution providers, each with a map of its options")
        }
        Kind::Cron => "a cron time of five fields (minute hour day month weekday)".to_owned(),
        Kind::BrokerUrl => "mqtt://HOST[:PORT] or mqtts://HOST[:PORT]".to_owned(),
        Kind::DeviceId => "1 to 64 of a-z, 0-9, _ and -".to_owned(),
        Kind::TopicPrefix => "topic levels without '+', '#', a leading '$' and a '/' at either end".to_owned(),
        Kind::Slug => "1 to 32 of a-z, 0-9, _ and -".to_owned(),
        Kind::TopicFilter => "a topic, in which + may stand for a level but the first".to_owned(),
        Kind::HttpUrl => {
            "http://HOST[:PORT]/PATH or https://HOST[:PORT]/PATH, without a user and a password".to_owned()
        }
        Kind::Rate => "a rate from 100/s to 1/1d, such as 2/s, 30/m or 1/10s".to_owned(),
        Kind::Region => "[left, top, right, bottom] or [[x, y], …] in parts of width and height".to_owned(),
        Kind::Confirm { max } => format!("N of M with M from 1 to {max} and N from 1 to M, such as 2 of 3"),
        Kind::Shares { max } => format!("a map of at most {max} labels, each with a number from 0 to 1"),
        Kind::Items { max, .. } => format!("a list of at most {max} items"),
        Kind::Section | Kind::Over { .. } => "a map".to_owned(),
        Kind::Listen => "ADDRESS:PORT with a port from 1 to 65535".to_owned(),
        Kind::Hosts { max } => format!("a list of at most {max} host names without a port"),
        Kind::Networks { max } => format!("a list of at most {max} addresses and networks"),
    }
}

/// The value of `node`, when it is of `kind`. Lists of items are the reader's.
pub(super) fn check(kind: Kind, node: &Node) -> Result<Value, Refusal> {
    if let Kind::Providers { max } = kind {
        return providers::list(node, max);
    }
    if let Kind::ProviderOptions { max } = kind {
        return providers::options(node, max);
    }
    if let Kind::Paths { max } = kind {
        return texts(node, max, |text| checked_text(Kind::Path, text));
    }
    if let Kind::Names { max } = kind {
        let is_name = |text: &str| (1..=255).contains(&text.len()) && !text.contains(['/', '\0']);
        return texts(node, max, |text| if is_name(text) { Ok(()) } else { Err(Refusal::default()) });
    }
    if let Kind::Hosts { max } = kind {
        return texts(node, max, written::host);
    }
    if let Kind::Networks { max } = kind {
        return texts(node, max, written::network);
    }
    if let Kind::LabelFrom { max } = kind {
        return label_from(node, max);
    }
    match kind {
        Kind::Region => return written::region(node),
        Kind::Shares { max } => return written::shares(node, max),
        _ => {}
    }
    let Content::Scalar { text, .. } = &node.content else { return Err(Refusal::default()) };
    let plain = node.plain();
    match kind {
        Kind::Bool => match plain {
            Some("true" | "True" | "TRUE") => Ok(Value::Bool(true)),
            Some("false" | "False" | "FALSE") => Ok(Value::Bool(false)),
            _ => Err(Refusal::default()),
        },
        Kind::Integer { min, max } => {
            let number = plain.and_then(|text| text.parse().ok()).filter(|number| (min..=max).contains(number));
            number.map(Value::Integer).ok_or_else(|| unquoted(node))
        }
        Kind::Number { min, max } => number(plain, min, max).ok_or_else(|| unquoted(node)),
        Kind::AutoOrNumber { .. } if text == "auto" => Ok(Value::Text(text.clone())),
        Kind::AutoOrNumber { min, max } => number(plain, min, max).ok_or_else(|| unquoted(node)),
        Kind::Duration { min, max } => {
            let duration = parse_duration(text).filter(|duration| (min..=max).contains(duration));
            let remedy = "write a whole number and one of ms, s, m, h, d, without a space: 500ms, 10s, 5m, 1h, 7d";
            duration.map(Value::Duration).ok_or_else(|| Refusal::remedy(remedy))
        }
        Kind::Poll { .. } if ["auto", "always", "never"].contains(&text.as_str()) => Ok(Value::Text(text.clone())),
        Kind::Poll { min, max } => {
            let duration = parse_duration(text).filter(|duration| (min..=max).contains(duration));
            duration.map(Value::Duration).ok_or_else(Refusal::default)
        }
        _ if node.is_null() => Err(Refusal::default()),
        Kind::Rate => written::rate(text).map(Value::Rate),
        Kind::Confirm { .. } => written::confirm(text).map(Value::Confirm),
        _ => checked_text(kind, text).map(|()| Value::Text(text.clone())),
    }
}

fn checked_text(kind: Kind, text: &str) -> Result<(), Refusal> {
    let require = |holds: bool| if holds { Ok(()) } else { Err(Refusal::default()) };
    match kind {
        Kind::Choice { words } if words.contains(&text) => Ok(()),
        Kind::Choice { words } => Err(Refusal { found: None, remedy: nearest(text, words).map(|word| meant(&word)) }),
        Kind::Path => {
            let path = Path::new(text);
            if path.is_relative() {
                return Err(Refusal::remedy("begin it with '/': a daemon has no working folder to start from"));
            }
            require(text.len() <= 4096 && !path.components().any(|part| part == Component::ParentDir))
        }
        Kind::Cron => {
            if text.split_whitespace().count() != 5 {
                return Err(Refusal::default());
            }
            let correct = |why| Refusal::remedy(format!("correct the time: {why}"));
            // The parser takes ',' for a field that no time has, and would then look for one until the year 5000.
            if text.split_whitespace().flat_map(|field| field.split(',')).any(str::is_empty) {
                return Err(Refusal::remedy("correct the time: an item of a list is empty"));
            }
            let cron = text.parse::<croner::Cron>().map_err(correct)?;
            // From any start on it shows that a time never comes, such as the 30th of February.
            let start = jiff::Timestamp::UNIX_EPOCH.to_zoned(jiff::tz::TimeZone::UTC);
            let never = |_| Refusal::remedy("write a time that exists: this one never comes");
            cron.find_next_occurrence(&start, true).map(|_| ()).map_err(never)
        }
        Kind::BrokerUrl => match text.parse::<BrokerUrl>() {
            Ok(_) => Ok(()),
            Err(bad) => Err(Refusal { found: None, remedy: bad.remedy.map(str::to_owned) }),
        },
        Kind::HttpUrl => written::http_url(text),
        Kind::Listen => written::listen(text),
        Kind::TopicFilter => TopicFilter::new(text).map(|_| ()).map_err(|bad| Refusal::remedy(bad.to_string())),
        Kind::Slug => require(SourceId::new(text).is_ok()),
        Kind::DeviceId => require(Base::new("prefix", text).is_ok()),
        Kind::TopicPrefix => require(Base::new(text, "device").is_ok()),
        _ => require(!text.is_empty() && text.chars().count() <= 256 && !text.contains(char::is_control)),
    }
}

fn number(plain: Option<&str>, min: f64, max: f64) -> Option<Value> {
    // The range leaves out infinity and NaN, which Rust reads, too.
    plain?.parse().ok().filter(|number| (min..=max).contains(number)).map(Value::Number)
}

fn unquoted(node: &Node) -> Refusal {
    match &node.content {
        Content::Scalar { text, plain: false } if text.parse::<f64>().is_ok() => {
            Refusal::remedy("write it without quotes")
        }
        _ => Refusal::default(),
    }
}

/// The level of the folder that names the class: 0 for none.
fn label_from(node: &Node, max: u64) -> Result<Value, Refusal> {
    let level = match &node.content {
        Content::Scalar { text, .. } if text == "folder" => Some(1),
        Content::Scalar { text, .. } if text == "none" => Some(0),
        Content::Map(entries) => match entries.as_slice() {
            [(key, level)] if key.text == "folder" => level.plain().and_then(|text| text.parse().ok()),
            _ => None,
        },
        _ => None,
    };
    let is_folder = !matches!(&node.content, Content::Map(_)) || level != Some(0);
    level.filter(|level| *level <= max && is_folder).map(Value::Integer).ok_or_else(Refusal::default)
}

fn texts(node: &Node, max: usize, check: impl Fn(&str) -> Result<(), Refusal>) -> Result<Value, Refusal> {
    let Content::List(items) = &node.content else { return Err(Refusal::default()) };
    if items.len() > max {
        return Err(Refusal { found: Some(format!("{} items", items.len())), remedy: None });
    }
    let texts = items.iter().map(|item| match &item.content {
        Content::Scalar { text, .. } if !item.is_null() => check(text).map(|()| text.clone()),
        _ => Err(Refusal { found: Some(item.describe()), remedy: None }),
    });
    texts.collect::<Result<_, _>>().map(Value::Texts)
}

/// What to do about the unknown key `word` in `section`.
pub(super) fn suggestion(section: &str, word: &str) -> String {
    if section == "mqtt" && word.eq_ignore_ascii_case("password") {
        return "write the password into a file of its own and name that in mqtt.password_file".to_owned();
    }
    let siblings = key::below(section);
    if let Some(near) = nearest(word, &siblings) {
        return meant(&near);
    }
    match KEYS.iter().find(|key| key.name.rsplit('.').next() == Some(word)) {
        Some(key) => meant(key.name),
        None => "remove it".to_owned(),
    }
}

pub(super) fn meant(word: &str) -> String {
    format!("did you mean {}?", quoted(word).replace('"', "'"))
}

/// The entry of `words` that `word` was probably meant to be.
pub(super) fn nearest(word: &str, words: &[&str]) -> Option<String> {
    const ALIKE: f64 = 0.8;
    let word: String = word.chars().take(64).collect::<String>().to_lowercase();
    let likeness = |other: &&str| {
        // In a short word a single slip weighs more than it should.
        let slip = word.len() > 2 && strsim::osa_distance(&word, other) <= 1;
        strsim::jaro_winkler(&word, other).max(if slip { 0.9 } else { 0.0 })
    };
    let best = words.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(best) >= ALIKE).then(|| (*best).to_owned())
}

/// Adds the contradictions in the merged layers; invalid values, which have a problem already, are left out.
///
/// `device_id` is the one that the device will have.
pub(super) fn contradictions(
    values: &Values,
    device_id: &str,
    problems: &mut Vec<Problem>,
    warnings: &mut Vec<Problem>,
) {
    needs(values, "mqtt.password_file", "mqtt.username", problems);
    needs(values, "mqtt.cert_file", "mqtt.key_file", problems);
    needs(values, "mqtt.key_file", "mqtt.cert_file", problems);
    listens_beyond_loopback(values, problems);
    folders(values, problems);
    unused_tls(values, warnings);
    providers::contradictions(values, problems, warnings);
    sources::contradictions(values, device_id, problems, warnings);
    tasks::contradictions(values, problems, warnings);
}

/// The id of `item` in `list` is none of those of the `former` ones.
pub(super) fn unique_id(list: &str, item: &Values, former: &[Values], problems: &mut Vec<Problem>) {
    let name = format!("{list}[].id");
    let Some(id) = item.text(&name) else { return };
    if let Some(first) = former.iter().position(|other| other.text(&name).as_ref() == Some(&id)) {
        let key = format!("{list}[{}].id", former.len());
        let found = format!("{} again, after {list}[{first}].id", quoted(&id));
        problems.push(problem(
            item.located(&name),
            &key,
            found,
            "an id of its own".into(),
            "change one of the two".into(),
        ));
    }
}

/// `key` has no meaning without `other`.
fn needs(values: &Values, key: &str, other: &str, problems: &mut Vec<Problem>) {
    let located = values.located(key);
    if let (Value::Text(_), Value::Null) = (&located.value, values.value(other)) {
        let (found, expected) = (format!("it without {other}"), format!("{other} beside it"));
        problems.push(problem(located, key, found, expected, format!("set {other} or remove {key}")));
    }
}

/// Whoever reaches the device could use what asks for no token.
fn listens_beyond_loopback(values: &Values, problems: &mut Vec<Problem>) {
    let located = values.located("http.listen");
    let listen: Option<core::net::SocketAddr> = values.text("http.listen").and_then(|text| text.parse().ok());
    if let Some(listen) = listen
        && !listen.ip().to_canonical().is_loopback()
        && *values.value("http.token_file") == Value::Null
    {
        let found = format!("{listen} without http.token_file");
        let expected = "http.token_file beside it, or an address of this machine alone".to_owned();
        let remedy = "set http.token_file, or listen on 127.0.0.1".to_owned();
        problems.push(problem(located, "http.listen", found, expected, remedy));
    }
}

/// Watched folders and the state folder must not contain each other: a file that the daemon writes would be taken for
/// an image, and an image could come twice with two labels.
fn folders(values: &Values, problems: &mut Vec<Problem>) {
    let watched: Vec<_> = values.items("watch").iter().map(|item| item.path("watch[].path")).collect();
    let store = values.path("store.path");
    for (index, (item, path)) in values.items("watch").iter().zip(&watched).enumerate() {
        let Some(path) = path else { continue };
        let located = item.located("watch[].path");
        let key = format!("watch[{index}].path");
        let former = watched[..index].iter().enumerate().find_map(|(index, former)| {
            let former = former.as_deref()?;
            overlap(path, former).map(|how| format!("{} {how} watch[{index}].path", shown(path)))
        });
        if let Some(found) = former {
            let expected = "watched folders that do not contain each other".to_owned();
            problems.push(problem(located, &key, found, expected, "remove one of the two".to_owned()));
        }
        if let Some(how) = store.as_deref().and_then(|store| overlap(path, store)) {
            let found = format!("{} {how} store.path", shown(path));
            let expected = "a folder apart from the state folder".to_owned();
            problems.push(problem(located, &key, found, expected, "move one of the two".to_owned()));
        }
    }
}

/// How `path` contains `other` or the other way round.
fn overlap(path: &Path, other: &Path) -> Option<&'static str> {
    match (path.starts_with(other), other.starts_with(path)) {
        (true, true) => Some("is the same as"),
        (true, false) => Some("lies inside"),
        (false, true) => Some("contains"),
        (false, false) => None,
    }
}

fn shown(path: &Path) -> String {
    quoted(&path.to_string_lossy())
}

fn unused_tls(values: &Values, warnings: &mut Vec<Problem>) {
    if !values.text("mqtt.url").is_some_and(|url| url.starts_with("mqtt://")) {
        return;
    }
    for key in ["mqtt.ca_file", "mqtt.cert_file", "mqtt.key_file"] {
        let located = values.located(key);
        if let Value::Text(path) = &located.value {
            let (found, expected) = (quoted(path), "null, since mqtt:// is not encrypted".to_owned());
            warnings.push(problem(located, key, found, expected, "write mqtts:// in mqtt.url to encrypt".to_owned()));
        }
    }
}

pub(super) fn problem(located: &Located, key: &str, found: String, expected: String, remedy: String) -> Problem {
    Problem { file: located.file.clone(), line: located.line, key: key.to_owned(), found, expected, remedy }
}
