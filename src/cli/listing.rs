//! What commands print for people: columns, ages, text that cannot steer a terminal, commands to copy.

pub use crate::fault::shell::word as quoted;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::time::Duration;

use super::Context;
use crate::journal::place;

/// Prints to standard output. A closed output is no reason for another exit code.
pub fn print(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Text from a file or a platform on one line: control characters are shown, not obeyed.
#[must_use]
pub fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        // The bidirectional overrides and isolates reorder what stands around them (CVE-2021-42574).
        if character.is_control() || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
            let _ = write!(shown, "{}", character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// A length of time in its largest unit, rounded down: `12s`, `3m`, `5h`, `45d`.
#[must_use]
pub fn age(length: Duration) -> String {
    let seconds = length.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..86_400 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// Rows in aligned columns, two spaces apart, none at the end of a line.
#[must_use]
pub fn columns(rows: &[Vec<String>]) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..count).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{cell:<width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A firedrill command for the same state directory, to be copied into a shell.
#[must_use]
pub fn command(context: &Context, words: &str) -> String {
    format!("{} {words}", program(context))
}

/// How firedrill is called for the same state directory, from any folder.
#[must_use]
pub fn program(context: &Context) -> String {
    let dir = context.state_dir.as_ref().map(|dir| std::path::absolute(dir).unwrap_or_else(|_| dir.clone()));
    match dir.filter(|dir| place::default_dir().ok().as_ref() != Some(dir)) {
        Some(dir) => format!("firedrill --state-dir {}", quoted(&dir.display().to_string())),
        None => "firedrill".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_in_one_unit() {
        let text = [0, 59, 60, 3_599, 3_600, 86_399, 86_400, 45 * 86_400].map(|seconds| age(Duration::from_secs(seconds)));
        assert_eq!(text, ["0s", "59s", "1m", "59m", "1h", "23h", "1d", "45d"]);
    }

    #[test]
    fn text_cannot_steer_the_terminal() {
        assert_eq!(plain("a\x1b[2J\nb\u{202e}c"), r"a\u{1b}[2J\nb\u{202e}c");
        assert_eq!(plain("Zürich – ✓"), "Zürich – ✓");
    }

    #[test]
    fn a_printed_command_survives_the_shell() {
        let context = |dir: &str| Context { state_dir: Some(dir.into()) };
        assert_eq!(command(&context("/var/lib/firedrill"), "resume X"), "firedrill --state-dir /var/lib/firedrill resume X");
        assert_eq!(command(&context("/a b/it's"), "resume X"), r"firedrill --state-dir '/a b/it'\''s' resume X");
        assert_eq!(command(&Context { state_dir: None }, "resume X"), "firedrill resume X");
        assert_eq!(command(&Context { state_dir: place::default_dir().ok() }, "resume X"), "firedrill resume X");
        let here = std::env::current_dir().unwrap().join("state");
        assert_eq!(command(&context("state"), "resume X"), format!("firedrill --state-dir {} resume X", quoted(&here.display().to_string())));
    }

    #[test]
    fn columns_line_up() {
        let row = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        assert_eq!(columns(&[row(["RUN", "AGE"]), row(["longer", ""])]), "RUN     AGE\nlonger\n");
    }
}
