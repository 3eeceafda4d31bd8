//! How sure a task has to be of its state: the keys below `state`.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::words::Label;

/// The most predictions that are looked back at.
const OF_MAX: u8 = 100;

/// How many of the last predictions have to vote for a state; written `2 of 3`. Where two states have enough at once, the one
/// with more votes holds; of as many, the present one, or else the one with the newest vote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Confirm {
    votes: u8,
    of: u8,
}

/// What is wrong with a [`Confirm`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected 'N of M' with 1 <= N <= M <= {OF_MAX}, as in '2 of 3'; found {found:?}")]
pub struct BadConfirm {
    /// The text, cut to 80 characters.
    pub found: String,
}

impl Confirm {
    /// `votes` of the last `of` predictions.
    ///
    /// # Errors
    /// [`BadConfirm`] unless 1 <= votes <= of <= 100.
    pub fn new(votes: u8, of: u8) -> Result<Self, BadConfirm> {
        if (1..=of).contains(&votes) && of <= OF_MAX {
            Ok(Self { votes, of })
        } else {
            Err(BadConfirm { found: format!("{votes} of {of}") })
        }
    }

    /// Votes that a state needs.
    pub fn votes(self) -> usize {
        usize::from(self.votes)
    }

    /// Predictions among which they are counted.
    pub fn of(self) -> usize {
        usize::from(self.of)
    }
}

impl fmt::Display for Confirm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.votes, self.of)
    }
}

impl FromStr for Confirm {
    type Err = BadConfirm;

    fn from_str(text: &str) -> Result<Self, BadConfirm> {
        let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let number = |text: &str| text.parse::<u8>().ok().filter(|_| is_digits(text));
        let read = match text.split_whitespace().collect::<Vec<_>>()[..] {
            [votes, "of", of] => number(votes).zip(number(of)),
            _ => None,
        };
        read.and_then(|(votes, of)| Self::new(votes, of).ok())
            .ok_or_else(|| BadConfirm { found: text.chars().take(80).collect() })
    }
}

/// When predictions become a state.
#[derive(Debug, Clone, PartialEq)]
pub struct StateSettings {
    /// Votes that a state needs, and among how many predictions.
    pub confirm: Confirm,
    /// How long it has to have them without a break before it is published.
    pub hold: Duration,
    /// The least probability, 0..1, of a vote for a class; none for classes that are not named.
    pub thresholds: BTreeMap<Label, f32>,
    /// How long without any vote until the state is unknown.
    pub unknown_after: Duration,
}

impl Default for StateSettings {
    /// `{ confirm: 2 of 3, hold: 0s, thresholds: {}, unknown_after: 5m }`
    fn default() -> Self {
        Self {
            confirm: Confirm { votes: 2, of: 3 },
            hold: Duration::ZERO,
            thresholds: BTreeMap::new(),
            unknown_after: Duration::from_mins(5),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_and_the_rest_is_refused() {
        for text in ["1 of 1", "2 of 3", "100 of 100"] {
            assert_eq!(text.parse::<Confirm>().map(|confirm| confirm.to_string()), Ok(text.to_owned()));
        }
        for text in ["", "2", "0 of 3", "4 of 3", "1 of 101", "2of3", "-1 of 3", "2 of 3 of 4", "300 of 300"] {
            let error = text.parse::<Confirm>().unwrap_err();
            assert!(error.to_string().contains("2 of 3"), "{error}");
        }
    }
}
