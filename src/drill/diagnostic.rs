//! A mistake in a file: where it is, what it is, and the way out.

use std::fmt;

use serde::Serialize;

use super::secret;
use super::source::Source;
use super::tree::Place;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Severity {
    /// The file is not usable.
    Error,
    /// The drill can run, and cannot pass, or will surprise.
    Warning,
}

impl Severity {
    fn text(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The file, as it was named.
    pub file: String,
    /// Line from 1; 0 where the whole file is meant.
    pub line: u32,
    /// Column in characters from 1; 0 where the whole file is meant.
    pub column: u32,
    /// Lower-case sentence. Never carries a secret.
    pub message: String,
    /// The way out, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// The line of the file, without secrets and control characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_line: Option<String>,
}

impl Diagnostic {
    /// A mistake at a place of a file.
    #[must_use]
    pub fn new(source: &Source, at: Place, severity: Severity, message: impl Into<String>) -> Self {
        Self {
            severity,
            file: source.file.clone(),
            line: at.line,
            column: at.column,
            message: printable(&secret::masked(&message.into())),
            help: None,
            source_line: source.line(at.line).map(|line| printable(&secret::masked_line(line))),
        }
    }

    /// An error at a place of a file.
    #[must_use]
    pub fn error(source: &Source, at: Place, message: impl Into<String>) -> Self {
        Self::new(source, at, Severity::Error, message)
    }

    /// An error of a whole file, or of a flag.
    #[must_use]
    pub fn of_file(file: impl Into<String>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, file: file.into(), line: 0, column: 0, message: printable(&message.into()), help: None, source_line: None }
    }

    /// Adds the way out.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(multiline_printable(&secret::masked(&help.into())));
        self
    }

    /// Whether it is an error.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl fmt::Display for Diagnostic {
    /// `drill.yaml:12:7: error: …`, the source line with a caret, and `help:`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { severity, file, line, column, message, help, source_line } = self;
        write!(f, "{}", printable(file))?;
        if *line > 0 {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}: {message}", severity.text())?;
        if let Some(text) = source_line {
            let (shown, caret) = window(text, *column as usize);
            write!(f, "\n{line:>6} | {shown}\n       | {:caret$}^", "")?;
        }
        for (index, text) in help.iter().flat_map(|help| help.lines()).enumerate() {
            write!(f, "\n{} {text}", if index == 0 { " help:" } else { "      " })?;
        }
        Ok(())
    }
}

/// The part of a long line around a column, and the caret's offset in it.
fn window(line: &str, column: usize) -> (String, usize) {
    const WIDTH: usize = 150;
    let at = column.saturating_sub(1).min(line.chars().count());
    if line.chars().count() <= WIDTH {
        return (line.to_owned(), at);
    }
    let start = at.saturating_sub(WIDTH / 2);
    let text: String = line.chars().skip(start).take(WIDTH).collect();
    if start == 0 { (format!("{text}…"), at) } else { (format!("…{text}…"), at - start + 1) }
}

/// What a terminal shows as it stands: no control character, no character that turns the direction of text.
#[must_use]
pub fn printable(text: &str) -> String {
    let hostile = |c: char| c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars()
        .map(|c| match c {
            '\t' => ' ',
            c if hostile(c) => '\u{fffd}',
            c => c,
        })
        .collect()
}

fn multiline_printable(text: &str) -> String {
    text.lines().map(printable).collect::<Vec<_>>().join("\n")
}
