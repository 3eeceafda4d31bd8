//! The parts that come down the line.

use std::fmt;
use std::str::FromStr;

/// A kind of machine part; its name is the class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// Hexagon with a threaded hole.
    Nut,
    /// Hexagon head, threaded shaft.
    Bolt,
    /// Flat ring.
    Washer,
    /// Toothed wheel.
    Gear,
    /// Countersunk slotted head, tapered shaft with a coarse thread, point.
    Screw,
    /// Wire helix.
    Spring,
    /// Smooth cylinder with a groove and a cross hole.
    Pin,
    /// Two rings with balls between them.
    Bearing,
}

impl Part {
    /// Every part.
    pub const ALL: [Self; 8] =
        [Self::Nut, Self::Bolt, Self::Washer, Self::Gear, Self::Screw, Self::Spring, Self::Pin, Self::Bearing];

    /// Its class name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nut => "nut",
            Self::Bolt => "bolt",
            Self::Washer => "washer",
            Self::Gear => "gear",
            Self::Screw => "screw",
            Self::Spring => "spring",
            Self::Pin => "pin",
            Self::Bearing => "bearing",
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Part {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|part| part.name() == text).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|part| part.name()).collect();
            format!("no part is called {text:?}; there are {}", known.join(", "))
        })
    }
}
