//! Execution providers: which are asked for, and with which libraries and options.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use serde_json::{Map, Value as Json, json};

use super::check::{Refusal, nearest, problem};
use super::value::{Setting, Value, Values};
use super::yaml::{Content, Node};
use super::{Backbone, Problem, quoted};
use crate::words::{BUILT_IN_PROVIDERS, CPU, Execution, Provider};

/// The longest name of a provider or of an option of one.
const NAME_MAX: usize = 64;
/// The longest value of an option.
const OPTION_MAX: usize = 4096;
/// Options of one provider at most.
const OPTIONS_MAX: usize = 64;
/// The key of the list.
const KEY: &str = "backbone.execution_providers";
/// The option that is a file here, and none of the provider's own.
const LIBRARY: &str = "library";

/// What is said of one execution provider.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProviderSettings {
    /// The plug-in that brings it, absolute.
    pub library: Option<PathBuf>,
    /// Its options, as its documentation writes them.
    pub options: BTreeMap<String, String>,
}

impl Backbone {
    /// Where and on how many threads the backbone is computed.
    #[must_use]
    pub fn execution(&self) -> Execution {
        let providers = self.execution_providers.iter().map(|name| self.provider(name)).collect();
        Execution { threads: self.threads, providers }
    }

    /// The provider of this name with what the configuration says of it.
    #[must_use]
    pub fn provider(&self, name: &str) -> Provider {
        let ProviderSettings { library, options } = self.providers.get(name).cloned().unwrap_or_default();
        Provider { name: name.to_owned(), library, options }
    }
}

impl Setting for BTreeMap<String, ProviderSettings> {
    fn read(value: &Value) -> Option<Self> {
        if let Value::Providers(providers) = value { Some(providers.clone()) } else { None }
    }

    fn to_json(&self) -> Json {
        let one = |ProviderSettings { library, options }: &ProviderSettings| {
            let library = library.iter().map(|path| (LIBRARY.to_owned(), json!(path)));
            Json::Object(library.chain(options.iter().map(|(key, value)| (key.clone(), json!(value)))).collect())
        };
        Json::Object(self.iter().map(|(name, settings)| (name.clone(), one(settings))).collect::<Map<_, _>>())
    }
}

fn is_name(text: &str) -> bool {
    (1..=NAME_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// A list of names, each once, `cpu` at its end if it is there. Whether a name is known is seen in [`contradictions`].
pub(super) fn list(node: &Node, max: usize) -> Result<Value, Refusal> {
    let Content::List(items) = &node.content else { return Err(Refusal::default()) };
    if items.is_empty() || items.len() > max {
        return Err(Refusal { found: Some(format!("{} items", items.len())), remedy: None });
    }
    let mut names: Vec<String> = Vec::new();
    for item in items {
        let refused =
            |found: String, remedy: &str| Err(Refusal { found: Some(found), remedy: Some(remedy.to_owned()) });
        let Content::Scalar { text, .. } = &item.content else {
            return refused(item.describe(), "write for example [openvino, cpu]");
        };
        if item.is_null() || !is_name(text) {
            return refused(item.describe(), "write a name of letters, digits, '.', '_' and '-'");
        }
        if names.contains(text) {
            return refused(format!("{} again", quoted(text)), "remove one of the two");
        }
        if names.last().is_some_and(|last| last == CPU) {
            let found = format!("{} behind {CPU}", quoted(text));
            return refused(found, "put cpu last: it computes every model, so nothing behind it is ever asked");
        }
        names.push(text.clone());
    }
    Ok(Value::Texts(names))
}

/// A map from names to maps of options.
pub(super) fn options(node: &Node, max: usize) -> Result<Value, Refusal> {
    let refused = |found: String, remedy: &str| Err(Refusal { found: Some(found), remedy: Some(remedy.to_owned()) });
    let example = "write for example { openvino: { device_type: GPU } }";
    let entries = match &node.content {
        Content::Map(entries) => entries.as_slice(),
        _ if node.is_empty() => &[],
        _ => return refused(node.describe(), example),
    };
    if entries.len() > max {
        return Err(Refusal { found: Some(format!("{} providers", entries.len())), remedy: None });
    }
    let mut providers = BTreeMap::new();
    for (key, node) in entries {
        let name = &key.text;
        if !is_name(name) {
            return refused(quoted(name), "write a name of letters, digits, '.', '_' and '-'");
        }
        if name == CPU {
            return refused(
                quoted(name),
                "remove it: cpu has no options; backbone.threads says how many threads it uses",
            );
        }
        let settings = match &node.content {
            Content::Map(options) => one(name, options)?,
            _ if node.is_empty() => ProviderSettings::default(),
            _ => return refused(format!("{} for {}", node.describe(), quoted(name)), example),
        };
        if providers.insert(name.clone(), settings).is_some() {
            return refused(format!("{} again", quoted(name)), "remove one of the two");
        }
    }
    Ok(Value::Providers(providers))
}

/// What is said of the provider `name`.
fn one(name: &str, entries: &[(super::yaml::MapKey, Node)]) -> Result<ProviderSettings, Refusal> {
    let refused = |found: String, remedy: String| Err(Refusal { found: Some(found), remedy: Some(remedy) });
    if entries.len() > OPTIONS_MAX {
        return refused(format!("{} options of {}", entries.len(), quoted(name)), "remove some".to_owned());
    }
    let mut settings = ProviderSettings::default();
    for (key, node) in entries {
        let shown = format!("{name}.{}", key.text);
        let Content::Scalar { text, .. } = &node.content else {
            let remedy = "write text, a number, true or false, as the provider's documentation does".to_owned();
            return refused(format!("{} for {}", node.describe(), quoted(&shown)), remedy);
        };
        let is_value = text.len() <= OPTION_MAX && !text.contains(char::is_control) && !node.is_null();
        if !is_name(&key.text) || !is_value {
            return refused(format!("{} for {}", node.describe(), quoted(&shown)), "correct or remove it".to_owned());
        }
        if key.text == LIBRARY {
            let path = Path::new(text);
            if path.is_relative() || path.components().any(|part| part == Component::ParentDir) {
                let remedy = "write the absolute path of the provider's .so file, without '..'".to_owned();
                return refused(format!("{} for {}", quoted(text), quoted(&shown)), remedy);
            }
            if settings.library.replace(path.components().collect()).is_some() {
                return refused(format!("{} again", quoted(&shown)), "remove one of the two".to_owned());
            }
        } else if settings.options.insert(key.text.clone(), text.clone()).is_some() {
            return refused(format!("{} again", quoted(&shown)), "remove one of the two".to_owned());
        }
    }
    Ok(settings)
}

/// A provider that this program knows nothing of and that has no library; one that is never asked.
pub(super) fn contradictions(values: &Values, problems: &mut Vec<Problem>, warnings: &mut Vec<Problem>) {
    let located = values.located(KEY);
    let (Value::Texts(asked), Value::Providers(settings)) = (&located.value, values.value("backbone.providers")) else {
        return;
    };
    if asked.len() > 1 && asked.last().is_some_and(|last| last != CPU) {
        let found = format!("{} behind {} without cpu", quoted(&asked[1..].join(", ")), quoted(&asked[0]));
        let expected = "cpu at the end, or one provider alone".to_owned();
        let remedy = "put cpu last to have the others tried; without it the first one computes the whole model or the \
                      daemon ends";
        warnings.push(problem(located, KEY, found, expected, remedy.to_owned()));
    }
    let has_library = |name: &String| settings.get(name).is_some_and(|settings| settings.library.is_some());
    for name in asked.iter().filter(|name| !Provider::is_built_in(name) && !has_library(name)) {
        let expected =
            format!("one of {}, or a name with a library in backbone.providers", BUILT_IN_PROVIDERS.join(", "));
        problems.push(problem(located, KEY, quoted(name), expected, unknown_remedy(name)));
    }
}

/// What to do about a provider that this program knows nothing of.
#[must_use]
pub fn unknown_remedy(name: &str) -> String {
    match nearest(name, &BUILT_IN_PROVIDERS) {
        Some(near) => format!("did you mean '{near}'?"),
        None => format!("set backbone.providers.{name}.library to the path of its plug-in, or remove it"),
    }
}
