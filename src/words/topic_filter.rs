//! Which topics a source's frames come on.

use std::fmt;

/// An MQTT topic, in which `+` stands for any one level but the first.
///
/// `#` and a `+` at the beginning would bring what nobody counted: they are refused. So are topics below `$`, which are
/// the broker's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicFilter(String);

/// Why a text is no such topic.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadTopicFilter {
    /// It is empty, longer than 256 bytes, or has control characters.
    #[error("a topic has 1 to 256 bytes and no control characters")]
    Text,
    /// `#` is in it.
    #[error("'#' would bring every topic below it; write one '+' for each level")]
    Hash,
    /// `+` is not a whole level.
    #[error("'+' stands for a whole level, between two '/'")]
    PartOfLevel,
    /// Its first level is `+`.
    #[error("a '+' at the beginning would bring what others publish; write the first level")]
    FirstLevel,
    /// It begins with `$`.
    #[error("topics that begin with '$' are the broker's own")]
    Dollar,
}

impl TopicFilter {
    /// Checks `text`.
    ///
    /// # Errors
    /// [`BadTopicFilter`].
    pub fn new(text: &str) -> Result<Self, BadTopicFilter> {
        if text.is_empty() || text.len() > 256 || text.contains(char::is_control) {
            return Err(BadTopicFilter::Text);
        }
        if text.contains('#') {
            return Err(BadTopicFilter::Hash);
        }
        if text.split('/').any(|level| level.contains('+') && level != "+") {
            return Err(BadTopicFilter::PartOfLevel);
        }
        match text.chars().next() {
            Some('+') => Err(BadTopicFilter::FirstLevel),
            Some('$') => Err(BadTopicFilter::Dollar),
            _ => Ok(Self(text.to_owned())),
        }
    }

    /// The text to subscribe to.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a message on `topic` belongs here.
    #[must_use]
    pub fn matches(&self, topic: &str) -> bool {
        self.fits(topic, |level, other| level == "+" || level == other)
    }

    /// Whether one topic can belong to both.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.fits(&other.0, |level, other| level == "+" || other == "+" || level == other)
    }

    /// Whether a topic below `base` can belong here.
    #[must_use]
    pub fn reaches_below(&self, base: &str) -> bool {
        let mut levels = self.0.split('/');
        let is_below = base.split('/').all(|part| levels.next().is_some_and(|level| level == "+" || level == part));
        is_below && levels.next().is_some()
    }

    fn fits(&self, other: &str, alike: impl Fn(&str, &str) -> bool) -> bool {
        let (mut levels, mut others) = (self.0.split('/'), other.split('/'));
        loop {
            match (levels.next(), others.next()) {
                (None, None) => return true,
                (Some(level), Some(other)) if alike(level, other) => {}
                _ => return false,
            }
        }
    }
}

impl fmt::Display for TopicFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(text: &str) -> TopicFilter {
        TopicFilter::new(text).unwrap()
    }

    #[test]
    fn a_plus_stands_for_exactly_one_level() {
        let snapshots = filter("frigate/+/car/snapshot");
        assert!(snapshots.matches("frigate/driveway/car/snapshot") && snapshots.matches("frigate//car/snapshot"));
        for other in ["frigate/driveway/snapshot", "frigate/a/b/car/snapshot", "frigate/a/car", "x/a/car/snapshot", ""]
        {
            assert!(!snapshots.matches(other), "{other}");
        }
        assert!(filter("a/+").matches("a/") && !filter("a/+").matches("a"));
        assert!(filter("/cam/jpg").matches("/cam/jpg"), "an empty level is one");
    }

    #[test]
    fn what_would_bring_too_much_or_is_no_topic_is_refused() {
        use BadTopicFilter as Bad;
        for (text, bad) in [
            ("", Bad::Text),
            ("a\u{0}b", Bad::Text),
            ("#", Bad::Hash),
            ("frigate/#", Bad::Hash),
            ("a/b#", Bad::Hash),
            ("a/b+/c", Bad::PartOfLevel),
            ("+", Bad::FirstLevel),
            ("+/snapshot", Bad::FirstLevel),
            ("$SYS/broker", Bad::Dollar),
            ("$share/group/a", Bad::Dollar),
        ] {
            assert_eq!(TopicFilter::new(text), Err(bad), "{text:?}");
        }
        assert_eq!(TopicFilter::new(&"x".repeat(257)), Err(Bad::Text));
        assert_eq!(filter(&"x".repeat(256)).as_str().len(), 256);
    }

    #[test]
    fn filters_overlap_where_one_topic_fits_both() {
        for (one, other, overlap) in [
            ("a/b", "a/b", true),
            ("a/+", "a/b", true),
            ("a/+/c", "a/b/+", true),
            ("a/+", "a/b/c", false),
            ("a/+/c", "a/+/d", false),
        ] {
            assert_eq!(filter(one).overlaps(&filter(other)), overlap, "{one} {other}");
            assert_eq!(filter(other).overlaps(&filter(one)), overlap, "{other} {one}");
        }
    }

    #[test]
    fn what_lies_below_a_base_is_found_whichever_level_is_open() {
        for (text, reaches) in [
            ("edgetuned/line-3/label", true),
            ("edgetuned/+/label", true),
            ("edgetuned/line-3/+/x", true),
            ("edgetuned/line-3", false),
            ("edgetuned/line-4/label", false),
            ("other/line-3/label", false),
        ] {
            assert_eq!(filter(text).reaches_below("edgetuned/line-3"), reaches, "{text}");
        }
    }
}
