//! One topic as AsyncAPI describes it: where it is, what goes over it, and who speaks.

use serde_json::{Map, Value, json};

use crate::wire::{Qos, Topic};

/// A topic, or all topics that differ in a parameter only.
#[derive(Debug)]
pub(super) struct Channel {
    /// `{prefix}/{device}/train/state`.
    pub address: String,
    /// `trainState`: how the document calls it.
    pub name: String,
    about: &'static str,
    action: Action,
    messages: Vec<Message>,
    /// The name of the channel with the answer.
    reply: Option<String>,
}

/// Who speaks.
#[derive(Debug, Clone, Copy)]
enum Action {
    Send { qos: Qos, retain: bool },
    Receive { retain: bool },
}

/// One form of what goes over a channel.
#[derive(Debug)]
struct Message {
    name: String,
    content_type: &'static str,
    schema: Value,
}

impl Channel {
    /// What the daemon says on `topic`, in JSON of this schema.
    pub fn sent(topic: &Topic, about: &'static str, schema: Value) -> Self {
        let action = Action::Send { qos: topic.qos(), retain: topic.retain() };
        Self::new(&address(topic), about, action, "application/json", schema)
    }

    /// What the daemon listens to at `below` the base, in JSON of this schema.
    pub fn received(below: &str, about: &'static str, schema: Value) -> Self {
        Self::new(below, about, Action::Receive { retain: false }, "application/json", schema)
    }

    fn new(below: &str, about: &'static str, action: Action, content_type: &'static str, schema: Value) -> Self {
        // What is for everybody is not below the base.
        let address = if below.starts_with("homeassistant/") { below.to_owned() } else { join(below) };
        let name = name(below);
        let messages = vec![Message { name: name.clone(), content_type, schema }];
        Self { address, name, about, action, messages, reply: None }
    }

    /// The messages are one of `words`, without quotes.
    pub fn in_words(mut self, words: &[&str]) -> Self {
        self.messages[0].content_type = "text/plain";
        self.messages[0].schema = json!({ "type": "string", "enum": words });
        self
    }

    /// The messages are bytes of no form.
    pub fn in_bytes(mut self) -> Self {
        self.messages[0].content_type = "application/octet-stream";
        self.messages[0].schema = json!({ "type": "string", "format": "binary" });
        self
    }

    /// An empty message has a meaning of its own.
    pub fn or_empty(mut self, about: &str) -> Self {
        let schema = json!({ "type": "string", "const": "", "description": about });
        self.messages.push(Message { name: format!("{}Empty", self.name), content_type: "text/plain", schema });
        self
    }

    /// Whoever speaks lets the broker keep it.
    pub fn retained(mut self) -> Self {
        if let Action::Receive { retain } = &mut self.action {
            *retain = true;
        }
        self
    }

    /// It is answered on `response`, which is below the base.
    pub fn answered_on(mut self, response: &str) -> Self {
        self.reply = Some(name(response));
        self
    }

    /// The parameters in the address.
    pub fn parameters(&self) -> Vec<String> {
        let names = self.address.split('{').skip(1).filter_map(|rest| rest.split('}').next());
        names.map(str::to_owned).collect()
    }

    /// Its entry below `channels`.
    pub fn described(&self) -> (String, Value) {
        let parameters: Map<String, Value> = self
            .parameters()
            .into_iter()
            .map(|name| (name.clone(), json!({ "$ref": format!("#/components/parameters/{name}") })))
            .collect();
        let messages: Map<String, Value> =
            self.messages.iter().map(|message| (message.name.clone(), message.described())).collect();
        let mut described = json!({ "address": self.address, "description": self.about, "messages": messages });
        if !parameters.is_empty() {
            described["parameters"] = parameters.into();
        }
        (self.name.clone(), described)
    }

    /// Its entry below `operations`.
    pub fn operation(&self) -> (String, Value) {
        let (action, qos, retain) = match self.action {
            Action::Send { qos, retain } => ("send", u8::from(qos != Qos::AtMostOnce), retain),
            Action::Receive { retain } => ("receive", 1, retain),
        };
        let mut operation = json!({
            "action": action,
            "channel": { "$ref": format!("#/channels/{}", self.name) },
            "bindings": { "mqtt": { "qos": qos, "retain": retain, "bindingVersion": "0.2.0" } },
        });
        if let Some(reply) = &self.reply {
            operation["reply"] = json!({
                "channel": { "$ref": format!("#/channels/{reply}") },
                "messages": [{ "$ref": format!("#/channels/{reply}/messages/{reply}") }],
            });
        }
        (self.name.clone(), operation)
    }
}

impl Message {
    fn described(&self) -> Value {
        let mut described = json!({ "contentType": self.content_type, "payload": self.schema });
        let asks = self.name.starts_with("request") || self.name.starts_with("response");
        if asks && !self.schema["const"].is_string() {
            described["correlationId"] = json!({ "location": "$message.payload#/transaction" });
        }
        described
    }
}

/// A topic below the base, with parameters for what differs.
fn address(topic: &Topic) -> String {
    match topic {
        Topic::Alert(_) => "alert/{id}".to_owned(),
        Topic::Task(_, topic) => format!("task/{{task}}/{}", topic.as_str()),
        Topic::UpdateRequest(_) => "update/{kind}/request".to_owned(),
        Topic::UpdateState(_) => "update/{kind}/state".to_owned(),
        Topic::Discovery => "homeassistant/device/{device}/config".to_owned(),
        plain => plain.to_string(),
    }
}

fn join(below: &str) -> String {
    format!("{{prefix}}/{{device}}/{below}")
}

/// `train/state` becomes `trainState`, `alert/{id}` `alert`.
fn name(below: &str) -> String {
    let words = below.split(['/', '_', '-']).filter(|word| !word.starts_with('{'));
    words.enumerate().map(|(at, word)| if at == 0 { word.to_owned() } else { capitalised(word) }).collect()
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
