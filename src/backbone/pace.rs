//! Whether a backbone is slow on this device, and which bundled one is faster.
//!
//! It is a hint and no more: nothing changes the backbone by a measured time, since labels and heads hang on it and a
//! clock is noisy (decision 36).

use std::fmt;
use std::time::Duration;

/// One picture may take this long; a folder gets some 3 a second at most then.
pub const SLOW: Duration = Duration::from_millis(300);

/// A backbone that takes longer than [`SLOW`] for one picture, though there is a faster one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slow {
    /// What one picture took.
    pub one_picture: Duration,
    /// Bundled names, to choose from.
    pub faster: &'static str,
}

impl Slow {
    /// What to say of the backbone whose manifest has this `name`, wherever that lies; `None` when it is fast enough, or
    /// there is nothing faster.
    #[must_use]
    pub fn of(name: &str, one_picture: Duration) -> Option<Self> {
        let faster = match name {
            "efficientnet-lite0-int8-128" | "edgetuned-photo" | "edgetuned-photo-int8" => return None,
            "efficientnet-lite0-int8-160" => "faster",
            _ => "fast or faster",
        };
        (one_picture > SLOW).then_some(Self { one_picture, faster })
    }

    /// What to do.
    #[must_use]
    pub fn remedy(&self) -> String {
        let first = self.faster.split(' ').next().unwrap_or_default();
        format!(
            "{} takes less, at some cost in accuracy: 'edgetuned backbone switch {first}' changes over (docs/backbones.md)",
            self.faster
        )
    }
}

impl fmt::Display for Slow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (took, most) = (self.one_picture.as_millis(), SLOW.as_millis());
        write!(f, "one picture takes {took} ms, more than {most}; {}", self.remedy())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::backbone::Manifest;

    #[test]
    fn a_slow_backbone_is_told_of_the_faster_ones_and_the_fastest_of_none() {
        let (slow, quick) = (SLOW + Duration::from_millis(112), SLOW);
        let said = |model: &str, took| {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("models/{model}.yaml"));
            Slow::of(&Manifest::load(&path).unwrap().name, took).map(|slow| slow.to_string())
        };
        let wanted = "one picture takes 412 ms, more than 300; fast or faster takes less, at some cost in accuracy: \
                      'edgetuned backbone switch fast' changes over (docs/backbones.md)";
        for model in ["default", "default-int8", "tiny-test"] {
            assert_eq!(said(model, slow).as_deref(), Some(wanted));
            assert_eq!(said(model, quick), None, "{model}");
        }
        assert!(said("fast", slow).is_some_and(|said| said.contains("switch faster'")));
        for model in ["faster", "photo", "photo-int8"] {
            assert_eq!(said(model, slow), None, "{model}");
        }
    }
}
