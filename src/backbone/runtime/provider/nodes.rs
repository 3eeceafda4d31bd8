//! Which execution provider ran each step of a model, from ONNX Runtime's profile of a run.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

/// An event of a profile; there are others than runs of steps.
#[derive(Deserialize)]
struct Event {
    #[serde(default)]
    cat: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    args: Arguments,
}

#[derive(Default, Deserialize)]
struct Arguments {
    #[serde(default)]
    provider: String,
}

/// Number of steps by the name that ONNX Runtime has for their provider, each step once however often it ran; `None` when
/// `profile` is no profile.
pub fn by_provider(profile: &str) -> Option<BTreeMap<String, u64>> {
    let events: Vec<Event> = serde_json::from_str(profile).ok()?;
    let runs = events.into_iter().filter(|event| event.cat == "Node" && event.name.ends_with("_kernel_time"));
    let steps: BTreeSet<(String, String)> = runs.map(|event| (event.args.provider, event.name)).collect();
    let mut counts = BTreeMap::new();
    for (provider, _) in steps {
        if !provider.is_empty() {
            *counts.entry(provider).or_default() += 1;
        }
    }
    Some(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_is_counted_once_by_its_provider() {
        // As ONNX Runtime 1.27 writes it, shortened.
        let profile = r#"[
{"cat" : "Session","pid" :1,"tid" :1,"dur" :9,"ts" :1,"ph" : "X","name" :"model_loading_array","args" : {}},
{"cat" : "Node","pid" :1,"tid" :1,"dur" :5,"ts" :2,"ph" : "X","name" :"a_kernel_time","args" : {"op_name" : "Conv","provider" : "CPUExecutionProvider","node_index" : "0"}},
{"cat" : "Node","pid" :1,"tid" :1,"dur" :5,"ts" :3,"ph" : "X","name" :"b_kernel_time","args" : {"op_name" : "X","provider" : "OpenVINOExecutionProvider"}},
{"cat" : "Node","pid" :1,"tid" :1,"dur" :5,"ts" :4,"ph" : "X","name" :"a_fence_before","args" : {"op_name" : "Conv"}},
{"cat" : "Node","pid" :1,"tid" :1,"dur" :5,"ts" :5,"ph" : "X","name" :"a_kernel_time","args" : {"op_name" : "Conv","provider" : "CPUExecutionProvider"}},
{"cat" : "Node","pid" :1,"tid" :1,"dur" :5,"ts" :6,"ph" : "X","name" :"c_kernel_time","args" : {"provider" : "CPUExecutionProvider"}}
]"#;
        let counts = by_provider(profile).unwrap();
        let expected = [("CPUExecutionProvider".to_owned(), 2), ("OpenVINOExecutionProvider".to_owned(), 1)];
        assert_eq!(counts, BTreeMap::from(expected));
        assert_eq!(by_provider(""), None);
        assert_eq!(by_provider("[]"), Some(BTreeMap::new()));
    }
}
