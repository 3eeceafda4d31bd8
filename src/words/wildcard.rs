//! Patterns for file names: `*` matches any number of characters, also none, `?` exactly one.

/// Whether `pattern` matches all of `text`, byte by byte.
///
/// It goes back to the last `*` only, so its time is at most the product of both lengths.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut seen) = (0, 0);
    // Where the last star is, and how far the text was when it was met.
    let mut star: Option<(usize, usize)> = None;
    while seen < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, seen));
                at += 1;
            }
            Some(wanted) if *wanted == b'?' || *wanted == text[seen] => (at, seen) = (at + 1, seen + 1),
            _ => {
                // The star matches one more.
                let Some((place, taken)) = star else { return false };
                star = Some((place, taken + 1));
                (at, seen) = (place + 1, taken + 1);
            }
        }
    }
    pattern[at..].iter().all(|left| *left == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks_stand_for_any_characters() {
        let cases = [
            ("@eaDir", "@eaDir", true),
            ("@eaDir", "@eadir", false),
            (".*", ".cache", true),
            (".*", "a.cache", false),
            ("FOUND.???", "FOUND.000", true),
            ("FOUND.???", "FOUND.00", false),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("line-*-a", "line-1-a-2-a", true),
            ("line-*-a", "line-1-b", false),
            ("**b", "aab", true),
            ("a*b*c", "a-b-b-d", false),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn many_stars_take_no_exponential_time() {
        assert!(!matches("*a".repeat(60).as_bytes(), "a".repeat(59).as_bytes()));
        assert!(!matches(["*a".repeat(60).as_bytes(), b"b"].concat().as_slice(), "a".repeat(5_000).as_bytes()));
    }
}
