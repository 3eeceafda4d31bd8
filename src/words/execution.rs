//! Where a backbone is computed: threads, and execution providers of ONNX Runtime in order of preference.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// The provider that every build of ONNX Runtime has.
pub const CPU: &str = "cpu";

/// Providers that are known without a library of their own; whether the loaded ONNX Runtime has one shows when it is
/// asked.
pub const BUILT_IN_PROVIDERS: [&str; 5] = [CPU, "openvino", "cuda", "tensorrt", "qnn"];

/// An execution provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provider {
    /// One of [`BUILT_IN_PROVIDERS`], or any name where there is a library.
    pub name: String,
    /// The plug-in that brings it.
    pub library: Option<PathBuf>,
    /// Its options, as its documentation writes them.
    pub options: BTreeMap<String, String>,
}

impl Provider {
    /// A provider without a library and options.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned(), library: None, options: BTreeMap::new() }
    }

    /// Whether nothing more than its name is needed.
    #[must_use]
    pub fn is_built_in(name: &str) -> bool {
        BUILT_IN_PROVIDERS.contains(&name)
    }
}

/// Where and on how many threads a backbone is computed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Execution {
    /// Threads within one inference; 0 counts as 1.
    pub threads: usize,
    /// In order of preference; at least one, and nothing behind [`CPU`].
    pub providers: Vec<Provider>,
}

impl Execution {
    /// On the CPU alone.
    #[must_use]
    pub fn on_cpu(threads: usize) -> Self {
        Self { threads, providers: vec![Provider::named(CPU)] }
    }

    /// The providers that are tried before the CPU; without the CPU there is no other way than the first one.
    #[must_use]
    pub fn accelerators(&self) -> &[Provider] {
        match self.providers.split_last() {
            Some((last, before)) if last.name == CPU => before,
            Some(_) => &self.providers[..1],
            None => &[],
        }
    }

    /// Whether the CPU may compute what no other provider does.
    #[must_use]
    pub fn allows_cpu(&self) -> bool {
        self.providers.last().is_none_or(|last| last.name == CPU)
    }

    /// Names of the providers, in order.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.providers.iter().map(|provider| provider.name.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_second_way_only_where_the_cpu_is_named() {
        let with = |names: &[&str]| Execution {
            threads: 1,
            providers: names.iter().map(|name| Provider::named(name)).collect(),
        };
        for (names, accelerators, allowed) in
            [(&["cpu"][..], 0, true), (&["tensorrt", "cuda", "cpu"], 2, true), (&["tensorrt", "cuda"], 1, false)]
        {
            let execution = with(names);
            assert_eq!((execution.accelerators().len(), execution.allows_cpu()), (accelerators, allowed), "{names:?}");
        }
    }
}
