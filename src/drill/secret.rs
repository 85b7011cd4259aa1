//! Literals that look like keys: found, and never shown.

use std::sync::LazyLock;

use regex::Regex;

/// Shapes of keys that their issuers publish, so that leaked ones can be found.
const SHAPES: &str = concat!(
    r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b", // AWS access key ids
    r"|(?s:-----BEGIN [A-Z ]*PRIVATE KEY.*)",   // PEM, with all that follows
    r"|\bgh[pousr]_[A-Za-z0-9]{20,}",           // GitHub
    r"|\bgithub_pat_[A-Za-z0-9_]{20,}",
    r"|\bglpat-[A-Za-z0-9_-]{20,}",                                   // GitLab
    r"|\bxox[abeoprs]-[A-Za-z0-9-]{10,}",                             // Slack
    r"|\b[sr]k_(?:live|test)_[A-Za-z0-9]{16,}",                       // Stripe
    r"|\bAIza[A-Za-z0-9_-]{35}",                                      // Google
    r"|\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*", // JSON web tokens
    r"|(?i:\b(?:bearer|basic)) [A-Za-z0-9._~+/=-]{16,}",              // Authorization headers
    r"|(?i:\b(?:password|passwd|secret|token|api[_-]?key)=)[^\s&]{6,}",
);

/// What every shape contains, in lower case: most strings have none, and no expression is compiled for them.
const HINTS: [&str; 19] = [
    "akia",
    "asia",
    "abia",
    "acca",
    "-----begin",
    "gh",
    "glpat",
    "xox",
    "k_live",
    "k_test",
    "aiza",
    "eyj",
    "bearer",
    "basic",
    "passw",
    "secret=",
    "token=",
    "key=",
    "pat_",
];

static SECRET: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(SHAPES).ok());
/// Long runs of key characters: an AWS secret key has 40, a PEM line 64.
static LONG: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"[A-Za-z0-9+/_-]{40,}={0,2}").ok());

const MASK: &str = "•••";

/// Whether a literal looks like a key.
pub fn looks_like(text: &str) -> bool {
    hinted(text) && SECRET.as_ref().is_some_and(|shapes| shapes.is_match(text))
}

/// The text with keys masked.
pub fn masked(text: &str) -> String {
    match SECRET.as_ref().filter(|_| hinted(text)) {
        Some(shapes) => shapes.replace_all(text, MASK).into_owned(),
        None => text.to_owned(),
    }
}

/// A line of a file with keys, and whatever is as long as one, masked.
pub fn masked_line(text: &str) -> String {
    let text = masked(text);
    let has_long = text.split(|c: char| !(c.is_ascii_alphanumeric() || "+/_-=".contains(c))).any(|run| run.len() >= 40);
    match LONG.as_ref().filter(|_| has_long) {
        Some(long) => long.replace_all(&text, MASK).into_owned(),
        None => text,
    }
}

fn hinted(text: &str) -> bool {
    if text.len() < 12 {
        return false;
    }
    let lower = text.to_ascii_lowercase();
    HINTS.iter().any(|hint| lower.contains(hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_and_masked() {
        for key in [
            "AKIAIOSFODNN7EXAMPLE",
            "-----BEGIN RSA PRIVATE KEY-----",
            "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
            "Bearer abcdefghijklmnop1234",
            "https://h/?token=abcdef123456",
        ] {
            assert!(looks_like(key), "{key}");
            assert!(!masked(&format!("x {key} y")).contains(&key[8..]), "{key}");
        }
    }

    #[test]
    fn ordinary_text_is_left_alone() {
        for text in
            ["payments-oncall", "https://checkout.staging.example.com/healthz", "ALERTS{alertname=\"RegionDown\"}", "the light of the night, ghost"]
        {
            assert!(!looks_like(text), "{text}");
            assert_eq!(masked(text), text);
        }
    }
}
