//! Which execution provider computes the backbone, and what it was worth on the probe pictures.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::words::CPU;

/// Cosine of two embeddings of one picture below which they are of different spaces.
pub const SAME_SPACE: f64 = 0.9999;

/// The execution provider, as `info` shows it: measured on the probe pictures at the start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ProviderReport {
    /// `backbone.execution_providers`, in order.
    pub asked: Vec<String>,
    /// The first of them that computes steps of the model.
    pub running: String,
    /// Steps of the model by the provider that computes them. Where only the CPU was asked for, those of the model file; else
    /// those that ran, in which a provider may have joined many into one.
    pub nodes: BTreeMap<String, u64>,
    /// Least cosine of an embedding and the CPU's of the same picture; 1 on the CPU.
    #[cfg_attr(test, schemars(range(min = -1.0, max = 1.0)))]
    pub cosine: f64,
    /// Time of a picture on the CPU over that on the provider; 1 on the CPU.
    #[cfg_attr(test, schemars(range(min = 0.0)))]
    pub speedup: f64,
}

impl ProviderReport {
    /// The provider whose embeddings are not those of the CPU, so that they are of a space of their own.
    #[must_use]
    pub fn of_its_own(&self) -> Option<&str> {
        // A cosine that is no number is not at or above the bound either.
        let is_same = self.cosine >= SAME_SPACE;
        (!is_same && self.running != CPU).then_some(self.running.as_str())
    }
}

/// An execution provider that was asked for and does not compute the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedProvider {
    /// Its name.
    pub name: String,
    /// Why not, for people.
    pub why: String,
}

/// What became of the execution providers that were asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct ProviderUse {
    /// What `info` shows.
    pub report: ProviderReport,
    /// Those that were tried before the one that runs.
    pub refused: Vec<RefusedProvider>,
}

impl ProviderUse {
    /// On the CPU, which alone was asked for and computes all of so many steps.
    #[must_use]
    pub fn on_cpu(steps: u64) -> Self {
        let (asked, nodes) = (vec![CPU.to_owned()], BTreeMap::from([(CPU.to_owned(), steps)]));
        let report = ProviderReport { asked, running: CPU.to_owned(), nodes, cosine: 1.0, speedup: 1.0 };
        Self { report, refused: Vec::new() }
    }

    /// What a person should know where another provider than the first one computes the model.
    #[must_use]
    pub fn fallback(&self) -> Option<String> {
        let ProviderReport { asked, running, .. } = &self.report;
        let first = asked.first().filter(|first| *first != running)?;
        Some(format!(
            "the backbone runs on {running} instead of {first}: {}; correct backbone.execution_providers and \
             backbone.providers, or the driver of the device, and restart: docs/accelerators.md",
            reasons(&self.refused)
        ))
    }

    /// What a person may know where the provider leaves steps to others.
    #[must_use]
    pub fn shared(&self) -> Option<String> {
        let ProviderReport { running, nodes, .. } = &self.report;
        let all: u64 = nodes.values().sum();
        let others: Vec<String> = nodes
            .iter()
            .filter(|(name, count)| *name != running && **count > 0)
            .map(|(name, count)| format!("{count} of {all} steps run on {name}"))
            .collect();
        (!others.is_empty()).then(|| format!("the backbone runs on {running}, and {}", others.join(", ")))
    }
}

/// Names with their reasons, in one line.
#[must_use]
pub fn reasons(refused: &[RefusedProvider]) -> String {
    let each: Vec<String> = refused.iter().map(|RefusedProvider { name, why }| format!("{name}: {why}")).collect();
    each.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn use_of(asked: &[&str], running: &str, nodes: &[(&str, u64)], cosine: f64) -> ProviderUse {
        let report = ProviderReport {
            asked: asked.iter().map(|name| (*name).to_owned()).collect(),
            running: running.to_owned(),
            nodes: nodes.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect(),
            cosine,
            speedup: 2.0,
        };
        let tried = asked.iter().take_while(|name| **name != running);
        let refused = tried.map(|name| RefusedProvider { name: (*name).to_owned(), why: "no device".to_owned() });
        ProviderUse { report, refused: refused.collect() }
    }

    #[test]
    fn a_fall_back_is_said_with_every_reason() {
        assert_eq!(use_of(&["cpu"], "cpu", &[("cpu", 9)], 1.0).fallback(), None);
        assert_eq!(use_of(&["cuda", "cpu"], "cuda", &[("cuda", 8), ("cpu", 1)], 1.0).fallback(), None);
        let text = use_of(&["tensorrt", "cuda", "cpu"], "cpu", &[("cpu", 9)], 1.0).fallback().unwrap();
        assert!(text.contains("runs on cpu instead of tensorrt"), "{text}");
        assert!(text.contains("tensorrt: no device; cuda: no device; correct"), "{text}");
    }

    #[test]
    fn steps_on_others_are_counted() {
        let shared = |nodes: &[(&str, u64)]| use_of(&["cuda", "cpu"], "cuda", nodes, 1.0).shared();
        assert_eq!(shared(&[("cuda", 8), ("cpu", 0)]), None);
        assert_eq!(
            shared(&[("cuda", 8), ("cpu", 2)]).unwrap(),
            "the backbone runs on cuda, and 2 of 10 steps run on cpu"
        );
    }

    #[test]
    fn a_provider_with_other_embeddings_has_a_space_of_its_own() {
        let own = |running: &str, cosine| use_of(&["cuda", "cpu"], running, &[], cosine).report.of_its_own().is_some();
        assert!(!own("cuda", 1.0) && !own("cuda", SAME_SPACE));
        assert!(own("cuda", 0.99989) && own("cuda", f64::NAN));
        assert!(!own("cpu", 0.5), "the CPU is what the others are compared with");
    }
}
