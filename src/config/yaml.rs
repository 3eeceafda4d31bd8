//! YAML text as a tree of nodes with their lines.
//!
//! Scalars stay text: the key decides how its value is read, so `id: 007` keeps its zeros. Refused are anchors, aliases,
//! tags and several documents, which a configuration does not need, text above [`BYTES_MAX`] and nesting above
//! [`DEPTH_MAX`]: memory stays proportional to the text.

use std::borrow::Cow;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput, Tag};

use super::{quoted, written};

/// Bytes of a text at most.
pub(super) const BYTES_MAX: usize = 256 * 1024;
/// Levels of lists and maps at most.
pub(super) const DEPTH_MAX: usize = 16;

/// A value in the text.
#[derive(Debug, Clone)]
pub(super) struct Node {
    /// Line in the text, from 1.
    pub line: u64,
    pub content: Content,
}

#[derive(Debug, Clone)]
pub(super) enum Content {
    /// `plain` is without quotes and not in a block.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    /// In the order of the text; a key that comes twice is there twice.
    Map(Vec<(MapKey, Node)>),
}

#[derive(Debug, Clone)]
pub(super) struct MapKey {
    pub line: u64,
    pub text: String,
}

impl Node {
    /// Nothing is written, as after `key:`.
    pub fn is_empty(&self) -> bool {
        matches!(&self.content, Content::Scalar { text, plain: true } if text.is_empty())
    }

    pub fn is_null(&self) -> bool {
        matches!(self.plain(), Some("" | "~" | "null" | "Null" | "NULL"))
    }

    /// The text of a plain scalar.
    pub fn plain(&self) -> Option<&str> {
        match &self.content {
            Content::Scalar { text, plain: true } => Some(text),
            _ => None,
        }
    }

    /// What is there, for a problem.
    pub fn describe(&self) -> String {
        match &self.content {
            _ if self.is_empty() => "nothing".to_owned(),
            Content::Scalar { text, plain: true } if self.is_null() => text.clone(),
            // They may hold a password, which no message repeats.
            Content::Scalar { text, .. } if written::has_secret(text) => {
                "a URL with a password or a token in it".to_owned()
            }
            Content::Scalar { text, .. } if text.contains("://") && text.contains('@') => {
                "a URL with a user in it".to_owned()
            }
            Content::Scalar { text, .. } => quoted(text),
            Content::List(_) => "a list".to_owned(),
            Content::Map(_) => "a map".to_owned(),
        }
    }
}

/// The tree of `text`.
///
/// # Errors
/// The first thing that cannot be read.
pub(super) fn parse(text: &str) -> Result<Node, Stop> {
    check_text(text)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    Builder { parser: Parser::new_from_str(text) }.document()
}

/// Why reading stopped.
#[derive(Debug)]
pub(super) struct Stop {
    pub line: Option<u64>,
    pub found: String,
    pub expected: &'static str,
    pub remedy: &'static str,
}

fn check_text(text: &str) -> Result<(), Stop> {
    if text.len() > BYTES_MAX {
        return Err(Stop {
            line: None,
            found: format!("{} bytes", text.len()),
            expected: "at most 262144 bytes",
            remedy: "name the configuration's file, not another one",
        });
    }
    // The parser takes a NUL for the end of the text and would drop what follows.
    match text.find(|c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        Some(at) => Err(Stop {
            line: Some(1 + text[..at].matches('\n').count() as u64),
            found: quoted(&text[at..].chars().take(1).collect::<String>()),
            expected: "text without control characters",
            remedy: "remove the character",
        }),
        None => Ok(()),
    }
}

struct Builder<'a> {
    parser: Parser<'a, StrInput<'a>>,
}

impl<'a> Builder<'a> {
    fn document(&mut self) -> Result<Node, Stop> {
        let empty = Content::Scalar { text: String::new(), plain: true };
        let mut root = Node { line: 1, content: empty };
        let mut documents = 0;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => return Ok(root),
                Event::DocumentStart(_) if documents == 1 => {
                    return Err(stop(span, "a second document", "one document", "merge it into the first one"));
                }
                Event::DocumentStart(_) => documents += 1,
                Event::StreamStart | Event::DocumentEnd | Event::Nothing => {}
                event => root = self.node(event, span, 0)?,
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'a>, Span), Stop> {
        match self.parser.next_event() {
            Some(Ok(next)) => Ok(next),
            Some(Err(error)) => Err(Stop {
                line: Some(error.marker().line() as u64),
                found: format!("broken syntax ({})", error.info()),
                expected: "YAML",
                remedy: "correct the syntax here or just above; text with ': ', '#' or a leading '*' needs quotes",
            }),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, Stop> {
        let line = span.start.line() as u64;
        if depth > DEPTH_MAX {
            return Err(stop(span, "deeper nesting", "at most 16 levels", "remove levels: no key needs more than 4"));
        }
        let content = match event {
            Event::Alias(_) => return Err(anchored(span)),
            Event::Scalar(text, style, anchor, tag) => {
                refuse_decoration(anchor, tag.as_ref(), span)?;
                Content::Scalar { text: text.into_owned(), plain: style == ScalarStyle::Plain }
            }
            Event::SequenceStart(anchor, tag) => {
                refuse_decoration(anchor, tag.as_ref(), span)?;
                self.list(depth)?
            }
            Event::MappingStart(anchor, tag) => {
                refuse_decoration(anchor, tag.as_ref(), span)?;
                self.map(depth)?
            }
            other => unreachable!("the parser begins a node with one of the above, not with {other:?}"),
        };
        Ok(Node { line, content })
    }

    fn list(&mut self, depth: usize) -> Result<Content, Stop> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Content::List(items)),
                (event, span) => items.push(self.node(event, span, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Content, Stop> {
        let mut entries = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                return Ok(Content::Map(entries));
            }
            let key = self.node(event, span, depth + 1)?;
            let (event, value_span) = self.next()?;
            let value = self.node(event, value_span, depth + 1)?;
            let Content::Scalar { text, .. } = key.content else {
                return Err(stop(span, "a list or a map as a key", "a word as a key", "write KEY: VALUE"));
            };
            entries.push((MapKey { line: key.line, text }, value));
        }
    }
}

fn refuse_decoration(anchor: usize, tag: Option<&Cow<'_, Tag>>, span: Span) -> Result<(), Stop> {
    match tag {
        _ if anchor != 0 => Err(anchored(span)),
        Some(_) => Err(stop(span, "a tag", "a value without a tag", "remove the word that begins with '!'")),
        None => Ok(()),
    }
}

fn anchored(span: Span) -> Stop {
    stop(span, "an anchor or an alias", "values written out", "write the value itself, or quote a leading '*' or '&'")
}

fn stop(span: Span, found: &str, expected: &'static str, remedy: &'static str) -> Stop {
    Stop { line: Some(span.start.line() as u64), found: found.to_owned(), expected, remedy }
}
