//! Reads one layer by the table of keys.

use std::collections::BTreeMap;

use super::key::{self, Key, Kind};
use super::value::{Located, Value, Values};
use super::yaml::{self, Content, MapKey, Node};
use super::{Problem, check, quoted, shown_key};

/// Reads a layer, and adds what is wrong to `problems`.
pub(super) struct Reader<'a> {
    file: &'a str,
    /// Whether the layer is a file, so that problems name lines.
    lined: bool,
    problems: &'a mut Vec<Problem>,
}

/// A place in the layer: by its name in the table, and as problems show it (`watch[].path`, `watch[2].path`).
struct Path<'a> {
    name: &'a str,
    shown: &'a str,
}

impl<'a> Reader<'a> {
    pub fn new(file: &'a str, problems: &'a mut Vec<Problem>) -> Self {
        Self { file, lined: false, problems }
    }

    /// The settings of a YAML document.
    pub fn document(&mut self, text: &str) -> Values {
        self.lined = true;
        let mut values = Values::default();
        if let Some(root) = self.parse(text, "") {
            self.section(&root, &Path { name: "", shown: "" }, &mut values);
        }
        values
    }

    /// The settings of dotted keys.
    pub fn pairs(&mut self, pairs: &[(String, String)]) -> Values {
        let mut values = Values::default();
        for (dotted, text) in pairs {
            let node = self.pair_node(key::find(dotted), text, dotted);
            if let Some(node) = node {
                // Keys of items stand in items, so none is found by its name in the table.
                let split = if dotted.contains("[]") { None } else { dotted.rsplit_once('.') };
                let (section, word) = split.unwrap_or(("", dotted));
                let key = MapKey { line: 1, text: word.to_owned() };
                let shown = if section.is_empty() { String::new() } else { shown_key(section) };
                self.entry(&key, &node, &Path { name: section, shown: &shown }, &mut values);
            }
        }
        values
    }

    /// The setting of a default, written as in a pair.
    pub fn default(&mut self, key: &'static Key, text: &str) -> Values {
        let mut values = Values::default();
        if let Some(node) = self.pair_node(Some(key), text, key.name) {
            self.setting(key, &node, key.name, &mut values);
        }
        values
    }

    fn pair_node(&mut self, key: Option<&Key>, text: &str, shown: &str) -> Option<Node> {
        let is_text = key.is_some_and(|key| check::is_text(key.kind));
        if is_text && !text.trim_start().starts_with(['"', '\'']) {
            return Some(Node { line: 1, content: Content::Scalar { text: text.trim().to_owned(), plain: true } });
        }
        self.parse(text, shown)
    }

    fn parse(&mut self, text: &str, key: &str) -> Option<Node> {
        match yaml::parse(text) {
            Ok(node) => Some(node),
            Err(stop) => {
                self.problem(stop.line.unwrap_or(0), key, stop.found, stop.expected.to_owned(), stop.remedy.to_owned());
                None
            }
        }
    }

    fn section(&mut self, node: &Node, at: &Path<'_>, values: &mut Values) {
        match &node.content {
            Content::Map(entries) => self.entries(entries, at, values),
            // A section of which everything is commented out.
            _ if node.is_empty() => {}
            _ => {
                let remedy = if at.name == "mqtt" && node.is_null() {
                    "to switch MQTT off, write mqtt.url: null".to_owned()
                } else {
                    "write keys below it, indented by two spaces, or remove it".to_owned()
                };
                self.problem(node.line, at.shown, node.describe(), map_of(at.name), remedy);
            }
        }
    }

    fn entries(&mut self, entries: &[(MapKey, Node)], at: &Path<'_>, values: &mut Values) {
        let mut lines: BTreeMap<&str, u64> = BTreeMap::new();
        for (key, node) in entries {
            match lines.insert(&key.text, key.line) {
                Some(first) => {
                    let found =
                        if self.lined { format!("the key again, after line {first}") } else { "it again".into() };
                    let shown = join(at.shown, &shown_key(&key.text));
                    self.problem(key.line, &shown, found, "each key once".into(), "remove one of the two".into());
                }
                None => self.entry(key, node, at, values),
            }
        }
    }

    fn entry(&mut self, key: &MapKey, node: &Node, at: &Path<'_>, values: &mut Values) {
        let name = join(at.name, &key.text);
        let shown = join(at.shown, &shown_key(&key.text));
        // Keys of items stand in items.
        let is_plain = !key.text.contains("[]");
        match key::find(&name).filter(|_| is_plain) {
            Some(found) => self.setting(found, node, &shown, values),
            None if is_plain && !key::below(&name).is_empty() => {
                self.section(node, &Path { name: &name, shown: &shown }, values);
            }
            None => {
                let whole = key::find(at.name).filter(|key| !matches!(key.kind, Kind::Section));
                let (expected, remedy) = match whole {
                    Some(whole) => (check::expected(whole.kind), format!("set {} as a whole", at.shown)),
                    None => (map_of(at.name), check::suggestion(at.name, &key.text)),
                };
                self.problem(key.line, &shown, format!("the unknown key {}", quoted(&key.text)), expected, remedy);
            }
        }
    }

    fn setting(&mut self, key: &'static Key, node: &Node, shown: &str, values: &mut Values) {
        let value = match key.kind {
            _ if node.is_null() && key.nullable => Value::Null,
            Kind::Items { max, example } => self.items(key, (max, example), node, shown),
            Kind::Section => {
                self.section(node, &Path { name: key.name, shown }, values);
                Value::Bool(true)
            }
            Kind::Over { section } => {
                let mut given = Values::default();
                self.section(node, &Path { name: section, shown }, &mut given);
                Value::Section(given)
            }
            kind => check::check(kind, node).unwrap_or_else(|refusal| {
                let example = key.default.filter(|default| *default != "null");
                let remedy = refusal.remedy.unwrap_or_else(|| match example {
                    Some(example) => format!("write for example {example}"),
                    None => "correct or remove it".to_owned(),
                });
                let found = refusal.found.unwrap_or_else(|| node.describe());
                let expected = check::expected(kind) + if key.nullable { ", or null" } else { "" };
                self.problem(node.line, shown, found, expected, remedy);
                Value::Invalid
            }),
        };
        values.insert(key.name, Located { value, file: self.file.to_owned(), line: self.line(node.line) });
    }

    fn items(&mut self, key: &'static Key, (max, example): (usize, &str), node: &Node, shown: &str) -> Value {
        let below = format!("{}[]", key.name);
        let nodes: &[Node] = match &node.content {
            Content::List(nodes) if nodes.len() <= max => nodes,
            _ if node.is_empty() => &[],
            content => {
                let found = match content {
                    Content::List(nodes) => format!("{} items", nodes.len()),
                    _ => node.describe(),
                };
                let expected = format!("a list of at most {max} items, each {}", map_of(&below));
                self.problem(node.line, shown, found, expected, format!("write - {example} below it"));
                return Value::Invalid;
            }
        };
        let items = nodes.iter().enumerate().map(|(index, node)| {
            let shown = format!("{shown}[{index}]");
            let mut item = key::defaults(key.name);
            let given = &mut Values::default();
            if matches!(node.content, Content::Map(_)) {
                self.section(node, &Path { name: &below, shown: &shown }, given);
            } else {
                self.problem(node.line, &shown, node.describe(), map_of(&below), format!("write {example}"));
            }
            item.extend(std::mem::take(given));
            self.require((&below, example), node, &shown, &mut item);
            item
        });
        Value::Items(items.collect())
    }

    /// Keys of an item that have no default have to be there.
    fn require(&mut self, (below, example): (&str, &str), node: &Node, shown: &str, item: &mut Values) {
        for word in key::below(below) {
            let name = join(below, word);
            let is_missing = |key: &&Key| key.is_required() && !item.has(key.name);
            let Some(key) = key::find(&name).filter(is_missing) else { continue };
            if matches!(node.content, Content::Map(_)) {
                let remedy = format!("add {example}");
                self.problem(node.line, &join(shown, word), "nothing".into(), check::expected(key.kind), remedy);
            }
            let (file, line) = (self.file.to_owned(), self.line(node.line));
            item.insert(key.name, Located { value: Value::Invalid, file, line });
        }
    }

    fn line(&self, line: u64) -> Option<u64> {
        Some(line).filter(|line| self.lined && *line > 0)
    }

    fn problem(&mut self, line: u64, key: &str, found: String, expected: String, remedy: String) {
        let (file, line) = (self.file.to_owned(), self.line(line));
        self.problems.push(Problem { file, line, key: key.to_owned(), found, expected, remedy });
    }
}

fn join(section: &str, word: &str) -> String {
    if section.is_empty() { word.to_owned() } else { format!("{section}.{word}") }
}

fn map_of(section: &str) -> String {
    format!("a map of {}", key::below(section).join(", "))
}
