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
    /// The line of the file, or the part of a long one around the column; without secrets and control characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_line: Option<String>,
    /// Characters of it before the column.
    #[serde(skip)]
    caret: usize,
}

impl Diagnostic {
    /// A mistake at a place of a file.
    #[must_use]
    pub fn new(source: &Source, at: Place, severity: Severity, message: impl Into<String>) -> Self {
        let (source_line, caret) = source.line(at.line).map(|line| window(line, at.column as usize)).unzip();
        Self {
            severity,
            file: source.file.clone(),
            line: at.line,
            column: at.column,
            message: printable(&secret::masked(&message.into())),
            help: None,
            source_line,
            caret: caret.unwrap_or_default(),
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
        Self {
            severity: Severity::Error,
            file: file.into(),
            line: 0,
            column: 0,
            message: printable(&message.into()),
            help: None,
            source_line: None,
            caret: 0,
        }
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
        let Self { severity, file, line, column, message, help, source_line, caret } = self;
        write!(f, "{}", printable(file))?;
        if *line > 0 {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}: {message}", severity.text())?;
        if let Some(shown) = source_line {
            write!(f, "\n{line:>6} | {shown}\n       | {:caret$}^", "")?;
        }
        for (index, text) in help.iter().flat_map(|help| help.lines()).enumerate() {
            write!(f, "\n{} {text}", if index == 0 { " help:" } else { "      " })?;
        }
        Ok(())
    }
}

/// The part of a line around a column as it may be shown, and the characters of it before the column.
fn window(line: &str, column: usize) -> (String, usize) {
    const BEFORE: usize = 90;
    const WHOLE: usize = 150;
    let start = line.char_indices().nth(column.saturating_sub(1)).map_or(line.len(), |(index, _)| index);
    let (before, after) = line.split_at(start);
    // Each side is masked by itself: a key that begins at the column is whole in the second.
    let (before, after) = (secret::masked_line(before), secret::masked_line(after));
    let long = before.chars().count() + after.chars().count() > WHOLE;
    let hidden = if long { before.chars().count().saturating_sub(BEFORE) } else { 0 };
    let mut shown: String = if hidden > 0 { "…".to_owned() } else { String::new() };
    shown.extend(before.chars().skip(hidden));
    let caret = shown.chars().count();
    let room = WHOLE.saturating_sub(caret);
    shown.extend(after.chars().take(room));
    if after.chars().nth(room).is_some() {
        shown.push('…');
    }
    (printable(&shown), caret)
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
