//! Sessions of people who signed in, kept in memory: a restart of the process ends them.

use std::time::{Duration, Instant};

use super::token::Token;
use crate::words::Digest;

/// Sessions at a time; one more ends the one that was unused for longest.
const SESSIONS: usize = 16;
/// A session ends when it was not used for so long.
const IDLE: Duration = Duration::from_hours(12);
/// And in any case after this.
pub(super) const LONGEST: Duration = Duration::from_hours(7 * 24);

/// The sessions.
#[derive(Debug, Default)]
pub(super) struct Sessions(Vec<Session>);

/// One of them. Its value is known by the digest alone.
#[derive(Debug)]
struct Session {
    value: Digest,
    /// What it was opened with.
    token: Token,
    begun: Instant,
    used: Instant,
}

impl Sessions {
    /// Begins a session of this value, which must be random.
    pub fn begin(&mut self, value: &str, token: Token, now: Instant) {
        self.0.retain(|session| session.holds(&token, now));
        if self.0.len() >= SESSIONS
            && let Some(unused) = (0..self.0.len()).min_by_key(|index| self.0[*index].used)
        {
            self.0.swap_remove(unused);
        }
        self.0.push(Session { value: Digest::of(value.as_bytes()), token, begun: now, used: now });
    }

    /// Whether a session of this value is open; it counts as used then. Those of another token than the present one end.
    pub fn is_open(&mut self, value: &str, token: &Token, now: Instant) -> bool {
        self.0.retain(|session| session.holds(token, now));
        let value = Digest::of(value.as_bytes());
        let found = self.0.iter_mut().find(|session| session.value == value);
        found.is_some_and(|session| {
            session.used = now;
            true
        })
    }

    /// Ends the session of this value.
    pub fn end(&mut self, value: &str) {
        let value = Digest::of(value.as_bytes());
        self.0.retain(|session| session.value != value);
    }
}

impl Session {
    fn holds(&self, token: &Token, now: Instant) -> bool {
        self.token.is_same(token) && now.duration_since(self.used) < IDLE && now.duration_since(self.begun) < LONGEST
    }
}

/// The cookie's name on this device. Cookies do not tell the ports of one host apart, so it names the device.
pub(super) fn cookie_name(device: &str) -> String {
    format!("edgetuned-{}", &Digest::of(device.as_bytes()).to_string()[..8])
}

/// The values that a `Cookie` header has for `name`.
pub(super) fn cookie_value<'a>(cookies: &'a str, name: &str) -> Vec<&'a str> {
    let pairs = cookies.split(';').filter_map(|pair| pair.trim().split_once('='));
    pairs.filter(|(found, _)| *found == name).map(|(_, value)| value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(text: &str) -> Token {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Token::read(file.path()).unwrap()
    }

    #[test]
    fn a_session_ends_by_itself_by_logout_and_with_its_token() {
        let (now, token, changed) = (Instant::now(), token("0123456789abcdef"), token("fedcba9876543210"));
        let after = |hours| now + Duration::from_hours(hours);
        let mut sessions = Sessions::default();
        let mut open = |at| {
            sessions.begin("a", token, now);
            at
        };
        assert_eq!(open(0), 0);
        assert!(sessions.is_open("a", &token, after(11)) && !sessions.is_open("b", &token, after(11)));
        assert!(sessions.is_open("a", &token, after(22)), "it was used meanwhile");
        assert!(!sessions.is_open("a", &token, after(34)), "it was not");
        sessions.begin("a", token, now);
        assert!((0..16).all(|turn| sessions.is_open("a", &token, after(turn * 10))), "used again and again");
        assert!(!sessions.is_open("a", &token, after(168)), "a week is the most");
        sessions.begin("a", token, now);
        sessions.end("a");
        assert!(!sessions.is_open("a", &token, now));
        sessions.begin("a", token, now);
        assert!(!sessions.is_open("a", &changed, now) && !sessions.is_open("a", &token, now), "it ended for good");
    }

    #[test]
    fn their_number_is_bounded() {
        let (now, token) = (Instant::now(), token("0123456789abcdef"));
        let mut sessions = Sessions::default();
        for number in 0..100_u64 {
            sessions.begin(&number.to_string(), token, now + Duration::from_secs(number));
        }
        let open = (0..100).filter(|number| sessions.is_open(&number.to_string(), &token, now + IDLE / 2)).count();
        assert_eq!(open, SESSIONS);
        assert!(sessions.is_open("99", &token, now + IDLE / 2));
    }

    #[test]
    fn a_cookie_is_found_among_others() {
        let name = cookie_name("line-3");
        assert!(name.len() == 18 && name != cookie_name("line-4"), "{name}");
        let cookies = format!("a=b; {name}=one;{name}=two; x{name}=three; {name}; =");
        assert_eq!(cookie_value(&cookies, &name), ["one", "two"]);
    }
}
