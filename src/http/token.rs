//! The token of the door: its file, comparing without telling how much of it was right, and who has tried too often.

use std::collections::HashMap;
use std::fs;
use std::net::{IpAddr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use subtle::ConstantTimeEq;

use crate::words::Digest;

/// Characters that a token has at least.
const SHORTEST: usize = 16;
/// Characters that it has at most.
const LONGEST: usize = 512;

/// Wrong tokens of one address within [`WINDOW`], after which no other is looked at.
const WRONG: usize = 5;
const WINDOW: Duration = Duration::from_mins(1);
/// Addresses whose wrong tokens are remembered.
const ADDRESSES: usize = 1024;

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read.
    #[error("cannot read http.token_file {}; put the file there for the daemon's user, or correct the path", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// What is in it would protect nothing, or no client could send it.
    #[error(
        "http.token_file {} holds no usable token ({found}); write {SHORTEST} to {LONGEST} visible characters on one line \
         into it, such as those of 'openssl rand -hex 32'",
        path.display()
    )]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is there instead, without what it says.
        found: String,
    },
}

/// What is known of a token: enough to recognise it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token(Digest);

impl Token {
    /// Reads the file at `path`; white space at its end does not count.
    pub fn read(path: &Path) -> Result<Self, TokenError> {
        let unreadable = |source| TokenError::Unreadable { path: path.to_owned(), source };
        let unusable = |found: String| TokenError::Unusable { path: path.to_owned(), found };
        // A pipe would be waited for.
        let metadata = fs::metadata(path).map_err(unreadable)?;
        if !metadata.is_file() || metadata.len() > 4 * LONGEST as u64 {
            return Err(unusable("no file of one line".to_owned()));
        }
        let bytes = fs::read(path).map_err(unreadable)?;
        let token = bytes.trim_ascii_end();
        match token.len() {
            0 => Err(unusable("it is empty".to_owned())),
            length if !(SHORTEST..=LONGEST).contains(&length) => Err(unusable(format!("{length} characters"))),
            _ if !token.iter().all(u8::is_ascii_graphic) => Err(unusable("other characters".to_owned())),
            _ => Ok(Self(Digest::of(token))),
        }
    }

    /// Whether `text` is this token. Digests of the whole are compared, so the time it takes tells nothing of either.
    pub fn is(&self, text: &[u8]) -> bool {
        self.is_same(&Self(Digest::of(text)))
    }

    /// Whether the file still holds the same.
    pub fn is_same(&self, other: &Self) -> bool {
        self.0.0.ct_eq(&other.0.0).into()
    }
}

/// Checks the token in the file at `path`; whether every user of the machine may read it.
///
/// # Errors
/// [`TokenError`].
pub fn check_token(path: &Path) -> Result<bool, TokenError> {
    use std::os::unix::fs::PermissionsExt;
    Token::read(path)?;
    Ok(fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0))
}

/// Wrong tokens, by the address that they came from.
#[derive(Debug, Default)]
pub(super) struct Throttle(HashMap<IpAddr, Vec<Instant>>);

impl Throttle {
    /// Whether no token of this address is looked at now.
    pub fn is_held(&self, address: IpAddr, now: Instant) -> bool {
        let recent = |times: &Vec<Instant>| times.iter().filter(|time| now.duration_since(**time) < WINDOW).count();
        self.0.get(&neighbourhood(address)).is_some_and(|times| recent(times) >= WRONG)
    }

    /// Notes a wrong token.
    pub fn note(&mut self, address: IpAddr, now: Instant) {
        let address = neighbourhood(address);
        if self.0.len() >= ADDRESSES && !self.0.contains_key(&address) {
            self.0.retain(|_, times| times.iter().any(|time| now.duration_since(*time) < WINDOW));
            // With so many at it, the one that has been quiet for longest is forgotten.
            let quiet = self.0.iter().min_by_key(|(_, times)| times.last().copied()).map(|(address, _)| *address);
            if let Some(quiet) = quiet.filter(|_| self.0.len() >= ADDRESSES) {
                self.0.remove(&quiet);
            }
        }
        let times = self.0.entry(address).or_default();
        times.retain(|time| now.duration_since(*time) < WINDOW);
        times.push(now);
    }
}

/// Whoever has one address of IPv6 has the other 2^64 beside it.
fn neighbourhood(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from(u128::from(address) & (u128::MAX << 64))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_recognised_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        fs::write(&path, "0123456789abcdef\n").unwrap();
        let token = Token::read(&path).unwrap();
        assert!(token.is(b"0123456789abcdef"));
        for wrong in ["", "0123456789abcde", "0123456789abcdeF", "0123456789abcdef0", "0123456789abcdef\n"] {
            assert!(!token.is(wrong.as_bytes()), "{wrong:?}");
        }
    }

    #[test]
    fn a_file_that_protects_nothing_is_refused_without_its_text() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        for text in ["", "\n", "hunter2\n", "two words of a token", "0123456789abcdef\nmore", &"x".repeat(513)] {
            fs::write(&path, text).unwrap();
            let refused = Token::read(&path).unwrap_err().to_string();
            assert!(refused.contains("openssl rand -hex 32") && !refused.contains("hunter2"), "{text:?}: {refused}");
        }
        assert!(matches!(Token::read(folder.path()), Err(TokenError::Unusable { .. })));
        assert!(matches!(Token::read(&folder.path().join("gone")), Err(TokenError::Unreadable { .. })));
    }

    #[test]
    fn after_five_wrong_ones_a_minute_an_address_is_held_and_no_other() {
        let (mut throttle, begun) = (Throttle::default(), Instant::now());
        let at = |seconds| begun + Duration::from_secs(seconds);
        let [one, other]: [IpAddr; 2] = ["10.0.0.1", "10.0.0.2"].map(|address| address.parse().unwrap());
        for second in 0..5 {
            assert!(!throttle.is_held(one, at(second)));
            throttle.note(one, at(second));
        }
        assert!(throttle.is_held(one, at(5)) && !throttle.is_held(other, at(5)));
        assert!(throttle.is_held(one, at(59)) && !throttle.is_held(one, at(60)), "the first is a minute old");
        let [near, beside]: [IpAddr; 2] = ["fd00::1", "fd00::2"].map(|address| address.parse().unwrap());
        (0..5).for_each(|second| throttle.note(near, at(second)));
        assert!(throttle.is_held(beside, at(5)), "the same subnet");
    }

    #[test]
    fn the_number_of_addresses_is_bounded() {
        let (mut throttle, begun) = (Throttle::default(), Instant::now());
        for number in 0..5_000_u32 {
            throttle.note(IpAddr::V4(number.into()), begun + Duration::from_millis(u64::from(number)));
        }
        assert_eq!(throttle.0.len(), ADDRESSES);
    }
}
