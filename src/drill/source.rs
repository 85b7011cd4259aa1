//! Reads a file within bounds and as UTF-8, whatever it is: a document, a device, a pipe.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::diagnostic::Diagnostic;
use super::tree::Place;

/// Most bytes of a file.
pub const LIMIT: u64 = 1024 * 1024;

/// The text of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Source {
    /// The file, as it was named.
    pub file: String,
    /// Its text, without a byte order mark.
    pub text: String,
    /// Where each line begins, in bytes.
    starts: Vec<usize>,
}

impl Source {
    /// A text that is in memory.
    #[must_use]
    pub fn of_text(file: impl Into<String>, text: impl Into<String>) -> Self {
        let text = text.into();
        let starts = std::iter::once(0).chain(text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(index, _)| index + 1)).collect();
        Self { file: file.into(), text, starts }
    }

    /// Reads a file; `-` is the standard input. The error says why it cannot be used.
    pub fn read(path: &Path) -> Result<Self, Diagnostic> {
        let file = path.display().to_string();
        let failed = |error: io::Error| Diagnostic::of_file(&file, format!("cannot be read: {}", plain(&error)));
        let too_large = |size: String| Diagnostic::of_file(&file, format!("file is {size} bytes; limit 1 MiB"));
        let mut bytes = Vec::new();
        // The size is a promise that devices and pipes do not make: reading is bounded as well.
        if path == Path::new("-") {
            io::stdin().take(LIMIT + 1).read_to_end(&mut bytes).map_err(failed)?;
        } else {
            let open = File::open(path).map_err(failed)?;
            let meta = open.metadata().map_err(failed)?;
            if meta.is_dir() {
                return Err(Diagnostic::of_file(&file, "is a folder, not a file"));
            }
            if meta.is_file() && meta.len() > LIMIT {
                return Err(too_large(meta.len().to_string()));
            }
            open.take(LIMIT + 1).read_to_end(&mut bytes).map_err(failed)?;
        }
        if bytes.len() as u64 > LIMIT {
            return Err(too_large(format!("more than {LIMIT}")));
        }
        Self::decode(file, bytes)
    }

    /// The text of bytes, which must be UTF-8.
    pub fn decode(file: String, mut bytes: Vec<u8>) -> Result<Self, Diagnostic> {
        if matches!(bytes.as_slice(), [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, 1..=255, ..] | [1..=255, 0, ..]) {
            return Err(Diagnostic::of_file(file, "looks like UTF-16; save as UTF-8"));
        }
        if bytes.starts_with(&[0xef, 0xbb, 0xbf]) {
            bytes.drain(..3);
        }
        String::from_utf8(bytes).map(|text| Self::of_text(file.clone(), text)).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            let before = &error.as_bytes()[..at];
            let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
            let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |position| position + 1);
            let column = String::from_utf8_lossy(&before[start..]).chars().count() + 1;
            let empty = Self::of_text(file, "");
            Diagnostic::error(&empty, Place { line: line as u32, column: column as u32 }, format!("invalid UTF-8 at byte {at} (line {line})"))
        })
    }

    /// A line, from 1.
    #[must_use]
    pub fn line(&self, number: u32) -> Option<&str> {
        let start = *self.starts.get((number as usize).checked_sub(1)?)?;
        self.text[start..].lines().next()
    }
}

/// The system's words without its number.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}
