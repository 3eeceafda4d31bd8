//! Images that come otherwise than as files: where from, how often, and of which the bytes are kept.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value as Json, json};

use super::value::{Located, Setting, Value, Values, show_duration};
use super::{Problem, check};
use crate::wire::Base;
use crate::words::{Access, Keep, SourceId, TopicFilter};

/// One camera, or a program in its place.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageSource {
    /// Its name in tasks, topics and requests; no other source has it.
    pub id: SourceId,
    /// How its frames come. Those that are posted are taken whatever it is.
    pub feed: Feed,
    /// Most frames that are looked at; the newest one waits, older ones are skipped.
    pub rate: Rate,
    /// Of which frames the bytes are kept.
    pub keep: Keep,
}

/// How frames come.
#[derive(Debug, Clone, PartialEq)]
pub enum Feed {
    /// Somebody publishes them; no other source's topics overlap these, and the device's own do not either.
    Mqtt(TopicFilter),
    /// They are fetched.
    Http(Http),
    /// Somebody posts them.
    Post,
}

/// A camera that is asked for its picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Http {
    /// `http://` or `https://`, without a user, a password or a token.
    pub url: String,
    /// Who the device is to the camera.
    pub access: Option<Access>,
    /// PEM with the authorities that the camera's certificate is checked against; `None`: the system's.
    pub ca_file: Option<PathBuf>,
    /// Between two pictures.
    pub every: Duration,
    /// Longest time of one request.
    pub timeout: Duration,
    /// How closely it is looked at while something changes.
    pub burst: Option<Burst>,
}

/// A time of closer looking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Burst {
    /// Between two pictures; shorter than the source's.
    pub every: Duration,
    /// How long it lasts.
    pub length: Duration,
}

/// Frames in a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many, 1 or more.
    pub frames: u32,
    /// In which time.
    pub per: Duration,
}

impl Rate {
    /// The shortest time between two frames.
    pub fn gap(self) -> Duration {
        self.per / self.frames.max(1)
    }
}

impl ImageSource {
    /// Reads an item of `sources`, in which every key is and none is invalid.
    pub(super) fn read(item: &Values) -> Self {
        let feed = if let Some(filter) = item.read::<Option<TopicFilter>>("sources[].mqtt") {
            Feed::Mqtt(filter)
        } else {
            item.read::<Option<String>>("sources[].http").map_or(Feed::Post, |url| Feed::Http(Http::read(url, item)))
        };
        let id = item.read("sources[].id");
        Self { id, feed, rate: item.read("sources[].rate"), keep: item.read("sources[].keep") }
    }

    /// As it is written in YAML.
    pub(super) fn to_json(&self) -> Json {
        let mut source = Map::new();
        source.insert("id".into(), json!(self.id));
        match &self.feed {
            Feed::Mqtt(filter) => drop(source.insert("mqtt".into(), Setting::to_json(filter))),
            Feed::Http(http) => source.extend(http.to_json()),
            Feed::Post => {}
        }
        source.insert("rate".into(), self.rate.to_json());
        source.insert("keep".into(), self.keep.to_json());
        Json::Object(source)
    }
}

impl Http {
    fn read(url: String, item: &Values) -> Self {
        let every: Duration = item.read("sources[].every");
        let burst = Burst { every: item.read("sources[].burst.every"), length: item.read("sources[].burst.for") };
        // One that was not asked for is left out where it would change nothing.
        let is_closer = !burst.length.is_zero() && burst.every < every;
        let is_let_through = burst.every >= item.read::<Rate>("sources[].rate").gap();
        let access = if let Some(token_file) = item.read("sources[].token_file") {
            Some(Access::Bearer { token_file })
        } else {
            let password_file = item.read("sources[].password_file");
            let username = item.read::<Option<String>>("sources[].username");
            username.map(|username| Access::Basic { username, password_file })
        };
        Self {
            url,
            access,
            ca_file: item.read("sources[].ca_file"),
            every,
            timeout: item.read("sources[].timeout"),
            burst: Some(burst).filter(|_| is_closer && is_let_through),
        }
    }

    fn to_json(&self) -> Map<String, Json> {
        let (username, password_file, token_file) = match &self.access {
            None => (None, None, None),
            Some(Access::Basic { username, password_file }) => (Some(username), password_file.as_ref(), None),
            Some(Access::Bearer { token_file }) => (None, None, Some(token_file)),
        };
        let burst = self.burst.map_or_else(
            || json!({ "for": "0s" }),
            |burst| json!({ "every": show_duration(burst.every), "for": show_duration(burst.length) }),
        );
        let fields = json!({
            "http": self.url,
            "username": username,
            "password_file": password_file,
            "token_file": token_file,
            "ca_file": self.ca_file,
            "every": show_duration(self.every),
            "timeout": show_duration(self.timeout),
            "burst": burst,
        });
        match fields {
            Json::Object(fields) => fields,
            _ => unreachable!("the literal above is an object"),
        }
    }
}

impl Setting for Rate {
    fn read(value: &Value) -> Option<Self> {
        if let Value::Rate(rate) = value { Some(*rate) } else { None }
    }

    fn to_json(&self) -> Json {
        let per = show_duration(self.per);
        // A rate reads better without the one: 2/s.
        let per = per.strip_prefix('1').filter(|unit| unit.starts_with(char::is_alphabetic)).unwrap_or(&per);
        json!(format!("{}/{per}", self.frames))
    }
}

/// Keys that have a meaning only where a picture is fetched.
const HTTP_ONLY: [&str; 8] =
    ["username", "password_file", "token_file", "ca_file", "every", "timeout", "burst.every", "burst.for"];

/// Adds what contradicts itself in `sources`; `device_id` is the one that the device will have.
pub(super) fn contradictions(
    values: &Values,
    device_id: &str,
    problems: &mut Vec<Problem>,
    warnings: &mut Vec<Problem>,
) {
    let sources = values.items("sources");
    let base = values.text("mqtt.prefix").and_then(|prefix| Base::new(&prefix, device_id).ok());
    for (index, item) in sources.iter().enumerate() {
        let mut one = One { item, index, problems };
        one.unique(&sources[..index]);
        one.feeds();
        one.secrets();
        one.pace();
        one.topics(&sources[..index], base.as_ref().map(ToString::to_string).as_deref());
        let located = item.located("sources[].mqtt");
        if matches!((&located.value, values.value("mqtt.url")), (Value::Text(_), Value::Null)) {
            let expected = "a broker, since mqtt.url is null".to_owned();
            let found = "it without a link to a broker".to_owned();
            let remedy = "set mqtt.url; until then only pictures that are posted come from this source".to_owned();
            warnings.push(check::problem(located, &format!("sources[{index}].mqtt"), found, expected, remedy));
        }
    }
}

/// A source that is looked at.
struct One<'a> {
    item: &'a Values,
    index: usize,
    problems: &'a mut Vec<Problem>,
}

impl One<'_> {
    fn unique(&mut self, former: &[Values]) {
        check::unique_id("sources", self.item, former, self.problems);
    }

    fn feeds(&mut self) {
        if self.has("mqtt") && self.has("http") {
            let expected = "one of mqtt and http";
            self.problem("http", "it beside mqtt".into(), expected, "make two sources of them, or remove one");
        }
        if !self.has("http") && !self.is_invalid("http") {
            for key in HTTP_ONLY {
                if !self.is_given(key) {
                    continue;
                }
                let remedy = "remove it; only a picture that is fetched by http has it";
                self.problem(key, "it without http".into(), "http beside it", remedy);
            }
        }
    }

    fn secrets(&mut self) {
        if self.has("password_file") && !self.has("username") && !self.is_invalid("username") {
            self.problem("password_file", "it without username".into(), "username beside it", "set username");
        }
        if self.has("token_file") && (self.has("username") || self.has("password_file")) {
            let expected = "a token, or a username and a password";
            self.problem("token_file", "it beside a username or a password".into(), expected, "remove one of the two");
        }
        let is_plain = self.item.text("sources[].http").is_some_and(|url| url.starts_with("http:"));
        if is_plain && self.has("ca_file") {
            let expected = "https:// in http, since http:// is not encrypted";
            self.problem("ca_file", "it with http://".into(), expected, "write https:// or remove ca_file");
        }
    }

    fn pace(&mut self) {
        let (Some(every), Some(burst)) = (self.duration("every"), self.duration("burst.every")) else { return };
        if !self.has("http") {
            return;
        }
        if self.is_given("burst.every") && burst >= every {
            let found = format!("{}, every is {}", show_duration(burst), show_duration(every));
            self.problem("burst.every", found, "a time shorter than every", "shorten it, or write burst: { for: 0s }");
        }
        let Value::Rate(rate) = *self.item.value("sources[].rate") else { return };
        let gap = rate.gap();
        if every < gap {
            let key = if self.is_given("every") { "every" } else { "rate" };
            let found = format!("a picture each {}, and a rate of one in {}", show_duration(every), show_duration(gap));
            let remedy = "lengthen every or raise rate: the other pictures would be thrown away";
            self.problem(key, found, "pictures no faster than rate", remedy);
        } else if self.is_given("burst.every") && burst < gap {
            let found = format!("{}, and a rate of one in {}", show_duration(burst), show_duration(gap));
            let remedy = "lengthen it or raise rate: the other pictures would be thrown away";
            self.problem("burst.every", found, "pictures no faster than rate", remedy);
        }
    }

    fn topics(&mut self, former: &[Values], base: Option<&str>) {
        let filter = |item: &Values| item.text("sources[].mqtt").and_then(|text| TopicFilter::new(&text).ok());
        let Some(mine) = filter(self.item) else { return };
        let overlapping = former.iter().position(|other| filter(other).is_some_and(|other| other.overlaps(&mine)));
        if let Some(other) = overlapping {
            let found = format!("{:?}, which overlaps sources[{other}].mqtt", mine.as_str());
            let expected = "topics that belong to one source";
            self.problem("mqtt", found, expected, "narrow one of the two: a picture would come twice");
        }
        if let Some(base) = base.filter(|base| mine.reaches_below(base)) {
            let found = format!("{:?}, which takes in topics below {base}", mine.as_str());
            self.problem("mqtt", found, "topics of others", "publish pictures elsewhere: those are this device's own");
        }
    }

    fn name(&self, key: &str) -> &Located {
        self.item.located(&format!("sources[].{key}"))
    }

    /// Whether it has a value.
    fn has(&self, key: &str) -> bool {
        !matches!(self.name(key).value, Value::Null | Value::Invalid)
    }

    fn is_invalid(&self, key: &str) -> bool {
        self.name(key).value == Value::Invalid
    }

    /// Whether somebody wrote it, and not null.
    fn is_given(&self, key: &str) -> bool {
        !self.name(key).file.is_empty() && self.name(key).value != Value::Null
    }

    fn duration(&self, key: &str) -> Option<Duration> {
        Duration::read(&self.name(key).value)
    }

    fn problem(&mut self, key: &str, found: String, expected: &str, remedy: &str) {
        let shown = format!("sources[{}].{key}", self.index);
        let problem = check::problem(self.name(key), &shown, found, expected.to_owned(), remedy.to_owned());
        self.problems.push(problem);
    }
}
