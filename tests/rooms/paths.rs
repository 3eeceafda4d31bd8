//! Reads the paths that Rust source names, without a compiler: `use a::{b, c::d}` gives `a::b` and `a::c::d`.

/// Every path with its line, counted from 1; single names are paths of one part.
pub fn paths(source: &str) -> Vec<(usize, Vec<String>)> {
    let text = without_comments_and_texts(source);
    let mut found = Vec::new();
    // Prefixes of the open `prefix::{…}` groups; `None` for any other brace.
    let mut groups: Vec<Option<Vec<String>>> = Vec::new();
    let mut path: Vec<String> = Vec::new();
    let mut continues = false;
    let mut line = 1;
    let mut rest = text.as_str();
    while let Some(c) = rest.chars().next() {
        let word_len = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
        if word_len > 0 {
            if !continues {
                path = groups.last().cloned().flatten().unwrap_or_default();
            }
            path.push(rest[..word_len].to_owned());
            rest = &rest[word_len..];
            continues = rest.starts_with("::");
            if continues {
                rest = &rest[2..];
            }
            if !continues {
                found.push((line, path.clone()));
            }
            continue;
        }
        match c {
            '{' => groups.push(continues.then(|| path.clone())),
            '}' => drop(groups.pop()),
            '\n' => line += 1,
            _ => {}
        }
        continues = continues && c.is_whitespace();
        rest = &rest[c.len_utf8()..];
    }
    found
}

/// The source with comments, strings and characters replaced by blanks; line breaks stay.
fn without_comments_and_texts(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(c) = rest.chars().next() {
        let len = comment_len(rest).or_else(|| text_len(rest, &out)).unwrap_or(0);
        if len == 0 {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        } else {
            out.push(' ');
            out.extend(rest[..len].chars().filter(|&c| c == '\n'));
            rest = &rest[len..];
        }
    }
    out
}

/// Length of the comment that `rest` starts with; block comments nest.
fn comment_len(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if !rest.starts_with("/*") {
        return None;
    }
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        let step = match rest.get(at..at + 2) {
            Some("/*") => {
                depth += 1;
                2
            }
            Some("*/") => {
                depth -= 1;
                2
            }
            _ => rest[at..].chars().next().map_or(1, char::len_utf8),
        };
        at += step;
        if depth == 0 {
            return Some(at);
        }
    }
    Some(rest.len())
}

/// Length of the string or character that `rest` starts with; `before` tells `r"` from a name that ends in r.
fn text_len(rest: &str, before: &str) -> Option<usize> {
    let in_name = before.ends_with(|c: char| c.is_alphanumeric() || c == '_');
    if let Some(behind_r) = rest.strip_prefix('r').filter(|_| !in_name) {
        let hashes = behind_r.bytes().take_while(|&byte| byte == b'#').count();
        if behind_r[hashes..].starts_with('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let body = 2 + hashes;
            return Some(rest[body..].find(&end).map_or(rest.len(), |at| body + at + end.len()));
        }
    }
    if let Some(body) = rest.strip_prefix('"') {
        let mut escaped = false;
        let end = body.find(|c| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        return Some(end.map_or(rest.len(), |at| at + 2));
    }
    // A lifetime has no closing quote behind its first character.
    let mut characters = rest.strip_prefix('\'')?.char_indices();
    match characters.next()?.1 {
        '\\' => rest[3..].find('\'').map(|at| at + 4),
        _ => characters.next().filter(|(_, c)| *c == '\'').map(|(at, _)| at + 2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn use_trees_and_plain_paths_are_spelt_out() {
        let source = "use a::{self, b::{c, d as e}};\nfn f() { g::h(); loop {} }\nuse i::*;";
        let found: Vec<_> = paths(source).into_iter().map(|(line, path)| (line, path.join("::"))).collect();
        for expected in [(1, "a::self"), (1, "a::b::c"), (1, "a::b::d"), (2, "g::h"), (2, "loop")] {
            assert!(found.contains(&(expected.0, expected.1.to_owned())), "{expected:?} in {found:?}");
        }
    }
}
