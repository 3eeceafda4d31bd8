//! The statements in the source of the store, as far as they are written there: what a `format!` puts in is any text.

use std::fs;
use std::path::Path;

const VERBS: [&str; 5] = ["SELECT ", "INSERT ", "UPDATE ", "DELETE ", "WITH "];

/// Whether a text is a statement that reads or writes tables.
pub(super) fn is_statement(sql: &str) -> bool {
    VERBS.iter().any(|verb| sql.starts_with(verb))
}

/// With one space between words.
pub(super) fn plain(sql: &str) -> String {
    sql.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The parts of a statement between what is put in.
#[derive(Debug)]
pub(super) struct Statement(Vec<String>);

impl Statement {
    /// `None` of a literal that is no statement.
    fn of(literal: &str) -> Option<Self> {
        let text = plain(literal);
        let is_meant = is_statement(&text) || (text.starts_with('{') && text.contains("} WHERE "));
        let mut parts = text.split('{');
        let first = parts.next()?.to_owned();
        let rest = parts.map(|part| part.split_once('}').map_or(part, |(_, rest)| rest).to_owned());
        is_meant.then(|| Self(std::iter::once(first).chain(rest).collect()))
    }

    /// Whether `sql` is this with something put in, and perhaps more behind it.
    pub(super) fn fits(&self, sql: &str) -> bool {
        let Some(mut rest) = self.0.first().and_then(|first| sql.strip_prefix(first.as_str())) else { return false };
        self.0.iter().skip(1).all(|part| {
            let found = rest.split_once(part.as_str());
            rest = found.map_or(rest, |(_, rest)| rest);
            found.is_some()
        })
    }
}

/// Each with its file. What `database.rs` asks is about the file, before there is a schema.
pub(super) fn of_the_store() -> Vec<(String, Statement)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store");
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.extension().is_some_and(|extension| extension == "rs") && !["tests.rs", "database.rs"].contains(&&*name)
        {
            let source = fs::read_to_string(&path).unwrap();
            let literals = literals(source.split("mod tests {").next().unwrap_or_default());
            found.extend(literals.iter().filter_map(|text| Statement::of(text)).map(|one| (name.clone(), one)));
        }
    }
    found
}

/// The string literals of a source, without its comments.
fn literals(source: &str) -> Vec<String> {
    let (mut found, mut rest) = (Vec::new(), source);
    while let Some(at) = rest.find(['"', '/', '\'']) {
        let before = &rest[..at];
        rest = &rest[at..];
        if rest.starts_with("//") {
            rest = rest.split_once('\n').map_or("", |(_, next)| next);
        } else if rest.starts_with('"') {
            let hashes = before.len() - before.trim_end_matches('#').len();
            let is_raw = before.trim_end_matches('#').ends_with('r');
            let (text, next) = if is_raw { raw(&rest[1..], hashes) } else { escaped(&rest[1..]) };
            found.push(text);
            rest = next;
        } else {
            // A character, or the name of a lifetime.
            let end = rest.strip_prefix("'\\").and_then(|rest| rest.find('\'')).map(|end| end + 3);
            let plain = rest.char_indices().nth(2).filter(|(_, third)| *third == '\'').map(|(place, _)| place + 1);
            rest = &rest[end.or(plain).unwrap_or(1)..];
        }
    }
    found
}

fn raw(rest: &str, hashes: usize) -> (String, &str) {
    let (text, next) = rest.split_once(&format!("\"{}", "#".repeat(hashes))).expect("a literal has an end");
    (text.to_owned(), next)
}

fn escaped(rest: &str) -> (String, &str) {
    let (mut text, mut signs) = (String::new(), rest.char_indices());
    while let Some((place, sign)) = signs.next() {
        match sign {
            '"' => return (text, &rest[place + 1..]),
            // Whatever it stands for, it is none of the words of a statement.
            '\\' => {
                signs.next();
                text.push(' ');
            }
            _ => text.push(sign),
        }
    }
    panic!("a literal has an end")
}

#[test]
fn literals_are_found_whatever_is_around_them() {
    let source = r##"
        // "no" 'a
        const A: &'static str = "one \"two\" \
                                 three"; let b = '"'; let c = ['\'', '\\', b'"'];
        let d = r#"SELECT "x" FROM y"#; /// "neither"
        f(r"raw \", "last // none");
    "##;
    let found: Vec<_> = literals(source).iter().map(|text| plain(text)).collect();
    assert_eq!(found, ["one two three", r#"SELECT "x" FROM y"#, r"raw \", "last // none"]);
}

#[test]
fn a_statement_fits_with_whatever_is_put_in() {
    let statement = Statement::of("DELETE FROM {table}\n  WHERE task = ?1").unwrap();
    assert!(statement.fits("DELETE FROM heads WHERE task = ?1"));
    assert!(!statement.fits("DELETE FROM heads WHERE version = ?1") && !statement.fits("SELECT 1"));
    assert!(Statement::of("{SAMPLE} WHERE task = ?1").is_some_and(|it| it.fits("SELECT x FROM y WHERE task = ?1")));
    assert!(Statement::of("deletes from").is_none());
}
