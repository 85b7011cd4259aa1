//! Words of commands that people type into a POSIX shell.

/// One word, quoted where it must be.
#[must_use]
pub fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !text.is_empty() && text.chars().all(plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// What a person fills in, because nobody looked it up: `<node of step drained>`. A shell takes it for a word that there is not, never for a command: quoted
/// by [`word`], it stands in quotes.
#[must_use]
pub fn blank(what: &str, step: &str) -> String {
    format!("<{what} of step {step}>")
}
