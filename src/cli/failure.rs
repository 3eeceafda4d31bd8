//! A command's failure and its exit code: 1 failed, 64 wrong usage, 69 unavailable, 78 bad configuration.

use std::path::Path;
use std::process::ExitCode;

use clap::error::ErrorKind;
use serde::Serialize;
use serde_json::json;

use super::log;
use super::output::Output;
use crate::backbone::{BadManifest, InspectError, OpenError, Unproved};
use crate::config::Problem;
use crate::daemon::RunError;
use crate::http::DoorError;
use crate::ports::EmbedError;
use crate::shared::backbone::NoBackbone;
use crate::store::StoreError;
use crate::words::SourceId;

/// A command that failed.
#[derive(Debug)]
pub struct Failure {
    code: u8,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// One error with its causes.
    Error(Box<dyn std::error::Error>),
    /// A configuration's problems.
    Problems(Vec<Problem>),
    /// Wrong lines of a file.
    Lines { file: String, lines: Vec<LineProblem> },
    /// The printed result already says what failed.
    AlreadyPrinted,
}

/// A line of a file that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LineProblem {
    /// From 1.
    pub line: u64,
    /// What is wrong there and what to do.
    pub reason: String,
}

impl Failure {
    /// The work could not be done.
    pub fn failed(error: impl Into<Box<dyn std::error::Error>>) -> Self {
        Self { code: 1, kind: Kind::Error(error.into()) }
    }

    /// The arguments make no sense together.
    pub fn usage(error: impl Into<Box<dyn std::error::Error>>) -> Self {
        Self { code: 64, kind: Kind::Error(error.into()) }
    }

    /// Something needed is not there.
    pub fn unavailable(error: impl Into<Box<dyn std::error::Error>>) -> Self {
        Self { code: 69, kind: Kind::Error(error.into()) }
    }

    /// The configuration, or a file that it names, is wrong.
    pub fn configuration(error: impl Into<Box<dyn std::error::Error>>) -> Self {
        Self { code: 78, kind: Kind::Error(error.into()) }
    }

    /// The configuration is wrong in these places.
    pub fn problems(problems: Vec<Problem>) -> Self {
        Self { code: 78, kind: Kind::Problems(problems) }
    }

    /// A file that cannot be used because of these lines in it.
    pub fn lines(file: &Path, lines: Vec<LineProblem>) -> Self {
        Self { code: 1, kind: Kind::Lines { file: file.display().to_string(), lines } }
    }

    /// Failed, and the printed result already says how.
    pub fn already_printed(code: u8) -> Self {
        Self { code, kind: Kind::AlreadyPrinted }
    }

    /// Whether something needed is not there.
    pub fn is_unavailable(&self) -> bool {
        self.code == 69
    }

    /// The same, with a second sentence that says how things stand.
    pub fn and(self, how: &str) -> Self {
        match self.kind {
            Kind::Error(error) => {
                let error = format!("{}; {how}", one_line_chain(&*error)).into();
                Self { kind: Kind::Error(error), ..self }
            }
            _ => self,
        }
    }

    /// Reports it on standard error alone: the command goes on.
    pub fn complain(self) {
        self.report(Output { json: false });
    }

    /// Reports it on standard error, and with `--json` as the document on standard output; the exit code.
    pub fn report(self, output: Output) -> ExitCode {
        let (lines, document): (Vec<String>, _) = match &self.kind {
            Kind::AlreadyPrinted => return self.code.into(),
            Kind::Error(error) => {
                let text = one_line_chain(&**error);
                let document = json!({ "error": text });
                (vec![text], document)
            }
            Kind::Problems(problems) => {
                let lines: Vec<String> = problems.iter().map(|problem| one_line(&problem.to_string())).collect();
                let document = json!({ "error": lines.join("; "), "problems": problems });
                (lines, document)
            }
            Kind::Lines { file, lines: problems } => {
                let line = |problem: &LineProblem| one_line(&format!("{file}:{}: {}", problem.line, problem.reason));
                let lines: Vec<String> = problems.iter().map(line).collect();
                let document = json!({ "error": lines.join("; "), "problems": problems });
                (lines, document)
            }
        };
        if output.json {
            // If standard output is broken, the lines below still report the failure.
            let _ = output.print(&document, |_| Ok(()));
        }
        for line in lines {
            log::complain(&line);
        }
        self.code.into()
    }
}

/// An error with its causes, in one line.
pub fn one_line_chain(error: &dyn std::error::Error) -> String {
    one_line(&crate::words::error_chain(error))
}

/// Where an image comes from: the path of its file, or the name of its source.
pub fn whence(path: Option<&str>, source: Option<&SourceId>) -> String {
    path.map_or_else(|| source.map_or("-", SourceId::as_str).to_owned(), one_line)
}

/// `text` without line breaks and control characters: file names are not trusted.
pub fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\r' => line.push(' '),
            c if c.is_control() => line.extend(c.escape_default()),
            c => line.push(c),
        }
    }
    line
}

/// Prints clap's result; help and version are not failures, everything else is wrong usage.
pub fn usage(error: &clap::Error, output: Output) -> ExitCode {
    // If it cannot be printed, nothing can be reported.
    let _ = error.print();
    if let ErrorKind::DisplayHelp | ErrorKind::DisplayVersion = error.kind() {
        return ExitCode::SUCCESS;
    }
    if output.json {
        let text = error.render().to_string();
        let message = text.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ");
        let words: Vec<&str> = message.split_whitespace().collect();
        let _ = output.print(&json!({ "error": words.join(" ") }), |_| Ok(()));
    }
    64.into()
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::unavailable(error)
    }
}

impl From<BadManifest> for Failure {
    fn from(error: BadManifest) -> Self {
        Self::configuration(error)
    }
}

impl From<NoBackbone> for Failure {
    fn from(error: NoBackbone) -> Self {
        match error {
            NoBackbone::Manifest(error) => error.into(),
            // It may come back: a service manager goes on trying.
            NoBackbone::Gone(error) => Self::unavailable(error),
            NoBackbone::Store(error) => error.into(),
        }
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        if error.is_unavailable() { Self::unavailable(error) } else { Self::configuration(error) }
    }
}

impl From<Unproved> for Failure {
    fn from(error: Unproved) -> Self {
        match error {
            Unproved::Open(error) => error.into(),
            Unproved::Embed(error) => error.into(),
            Unproved::Head(_) | Unproved::Differs { .. } | Unproved::Neighbours { .. } => Self::failed(error),
        }
    }
}

impl From<InspectError> for Failure {
    fn from(error: InspectError) -> Self {
        Self::failed(error)
    }
}

impl From<EmbedError> for Failure {
    fn from(error: EmbedError) -> Self {
        Self::failed(error)
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Configuration(problems) => Self::problems(problems),
            RunError::NoBackbone(error) => error.into(),
            RunError::Backbone(error) => error.into(),
            RunError::Store(error) => error.into(),
            RunError::Socket(_) | RunError::Door(DoorError::Address { .. }) => Self::unavailable(error),
            RunError::Settings(_) | RunError::Door(DoorError::Token(_)) => Self::configuration(error),
            _ => Self::failed(error),
        }
    }
}
