//! Settings by request: what is in force, and a patch with an answer. What a patch means and how it comes into force is
//! decided by [`super::config_patch`], as of one on the topic.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::super::context::Cx;
use super::Remote;
use crate::wire::Answer;
use crate::wire::command::{Config, ConfigChange, ConfigChanges, ConfigData, ConfigReport, Spec as _};

impl Remote {
    /// Answers what is in force, or judges a patch and, unless it is only to be judged, applies it.
    pub fn config_on_request(&mut self, cx: &mut Cx<'_>, config: &Config) -> Answer {
        let Config::Change { version, patch, dry_run } = config else {
            return Config::answer(&ConfigData::Read(Box::new(self.config_report(cx))));
        };
        let version = version.unwrap_or_else(|| self.config.applied_version.saturating_add(1));
        let mut answer = ConfigChanges { version, applied: Vec::new(), rejected: Vec::new(), changes: Vec::new() };
        match self.judge_patch(cx, version, patch) {
            Ok(good) => {
                answer.changes = changes(&cx.settings().configuration, &good.effective);
                answer.applied.clone_from(&good.applied);
                if !dry_run {
                    self.apply_patch(cx, "request/config", version, patch.clone(), good.applied);
                }
            }
            Err(rejected) if *dry_run => answer.rejected = rejected,
            Err(rejected) => {
                let first = rejected.first().map(|rejected| format!(": {}: {}", rejected.key, rejected.error));
                let message = format!("the settings stay as they are{}", first.unwrap_or_default());
                return Answer::rejected(message, rejected);
            }
        }
        Config::answer(&ConfigData::Change(answer))
    }

    fn config_report(&self, cx: &Cx<'_>) -> ConfigReport {
        let settings = cx.settings();
        ConfigReport {
            answer: self.config.answer.clone(),
            effective: settings.configuration.clone(),
            settable: settings.settable.clone(),
            schema: settings.schema.clone(),
        }
    }
}

/// Settings that differ, by their dotted keys in order; a list counts as a whole.
fn changes(before: &Value, after: &Value) -> Vec<ConfigChange> {
    let mut found = Vec::new();
    compare("", before, after, &mut found);
    found
}

fn compare(key: &str, before: &Value, after: &Value, found: &mut Vec<ConfigChange>) {
    let (Value::Object(of_before), Value::Object(of_after)) = (before, after) else {
        if before != after {
            found.push(ConfigChange { key: key.to_owned(), before: before.clone(), after: after.clone() });
        }
        return;
    };
    let names: BTreeSet<&String> = of_before.keys().chain(of_after.keys()).collect();
    let of = |fields: &Map<String, Value>, name: &String| fields.get(name).cloned().unwrap_or_default();
    for name in names {
        let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
        compare(&key, &of(of_before, name), &of(of_after, name), found);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn changes_are_dotted_keys_with_both_values_and_lists_count_as_a_whole() {
        let before = json!({ "a": { "b": 1, "c": 2 }, "watch": [{ "path": "/x" }], "same": [1], "gone": { "d": 1 } });
        let after = json!({ "a": { "b": 1, "c": 3 }, "watch": [], "same": [1], "new": { "e": "f" } });
        let change = |key: &str, before, after| ConfigChange { key: key.to_owned(), before, after };
        let expected = [
            change("a.c", json!(2), json!(3)),
            change("gone", json!({ "d": 1 }), json!(null)),
            change("new", json!(null), json!({ "e": "f" })),
            change("watch", json!([{ "path": "/x" }]), json!([])),
        ];
        assert_eq!(changes(&before, &after), expected);
        assert_eq!(changes(&before, &before), []);
    }
}
