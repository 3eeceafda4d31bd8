//! Whether a backbone is slow on this device, and which bundled one is faster.
//!
//! It is a hint and no more: nothing changes the backbone by a measured time, since labels and heads hang on it and a
//! clock is noisy (decision 36).

use std::fmt;
use std::path::Path;
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
    /// What to say of the backbone of the manifest at `path`; `None` when it is fast enough, or there is nothing faster.
    #[must_use]
    pub fn of(path: &Path, one_picture: Duration) -> Option<Self> {
        let faster = match path.file_stem().and_then(|stem| stem.to_str()) {
            Some("faster" | "photo" | "photo-int8") => return None,
            Some("fast") => "faster",
            _ => "fast or faster",
        };
        (one_picture > SLOW).then_some(Self { one_picture, faster })
    }

    /// What to do.
    #[must_use]
    pub fn remedy(&self) -> String {
        format!("{} in its place takes less, at some cost in accuracy (docs/backbones.md)", self.faster)
    }
}

impl fmt::Display for Slow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (took, most) = (self.one_picture.as_millis(), SLOW.as_millis());
        write!(f, "one picture takes {took} ms, more than {most}; backbone.model: {}", self.remedy())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_backbone_is_told_of_the_faster_ones_and_the_fastest_of_none() {
        let (slow, quick) = (SLOW + Duration::from_millis(112), SLOW);
        let said = |model: &str, took| Slow::of(Path::new(model), took).map(|slow| slow.to_string());
        let wanted = "one picture takes 412 ms, more than 300; backbone.model: fast or faster in its place takes less, at \
                      some cost in accuracy (docs/backbones.md)";
        for model in ["models/default.yaml", "default-int8.yaml", "/etc/edgetuned/own.yaml"] {
            assert_eq!(said(model, slow).as_deref(), Some(wanted));
            assert_eq!(said(model, quick), None, "{model}");
        }
        assert!(said("models/fast.yaml", slow).is_some_and(|said| said.contains("backbone.model: faster in")));
        for model in ["faster.yaml", "models/photo.yaml", "photo-int8.yaml"] {
            assert_eq!(said(model, slow), None, "{model}");
        }
    }
}
