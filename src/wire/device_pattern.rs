//! Which devices are meant: an id, or a pattern for ids.

use std::fmt;
use std::str::FromStr;

use crate::words::wildcard;

/// The id of a device, or a pattern in which `*` stands for any characters, also none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevicePattern(String);

/// Why a text means no devices.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a device id of 1 to 64 of a-z, 0-9, _ and -, or a pattern with * for any characters, as 'line-*'")]
pub struct BadDevicePattern;

impl DevicePattern {
    /// The one device that it names; `None` of a pattern.
    #[must_use]
    pub fn single(&self) -> Option<&str> {
        (!self.0.contains('*')).then_some(self.0.as_str())
    }

    /// Whether it means the device with this id.
    #[must_use]
    pub fn matches(&self, device: &str) -> bool {
        wildcard::matches(self.0.as_bytes(), device.as_bytes())
    }
}

impl FromStr for DevicePattern {
    type Err = BadDevicePattern;

    fn from_str(text: &str) -> Result<Self, BadDevicePattern> {
        let known = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*');
        let good = (1..=64).contains(&text.len()) && text.bytes().all(known);
        good.then(|| Self(text.to_owned())).ok_or(BadDevicePattern)
    }
}

impl fmt::Display for DevicePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_means_every_device_that_it_matches_and_an_id_only_one() {
        let pattern = |text: &str| text.parse::<DevicePattern>().unwrap();
        assert_eq!((pattern("line-3").single(), pattern("line-*").single()), (Some("line-3"), None));
        assert!(pattern("line-3").matches("line-3") && !pattern("line-3").matches("line-33"));
        assert!(pattern("line-*").matches("line-33") && !pattern("line-*").matches("cam-1"));
        assert!(pattern("*").matches("cam-1"));
        for text in ["", "Line", "line-?", "line/3", "line 3", &"a".repeat(65)] {
            assert_eq!(text.parse::<DevicePattern>(), Err(BadDevicePattern), "{text:?}");
        }
    }
}
