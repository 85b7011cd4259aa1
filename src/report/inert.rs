//! Makes text from drills and probes harmless to show: nothing in it moves a cursor, changes a colour or turns the reading direction.

use std::borrow::Cow;

use serde_json::Value;

/// The text with every control character, direction override and invisible character made visible; line breaks and tabs become spaces.
///
/// Control characters of ASCII become their pictures (`␛`), the others their number (`⟨U+202E⟩`). Escaping for a format (HTML, JSON) is that format's.
#[must_use]
pub fn inert(text: &str) -> Cow<'_, str> {
    harmless(text, false)
}

fn harmless(text: &str, keep_lines: bool) -> Cow<'_, str> {
    if !text.chars().any(is_active) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' if keep_lines => out.push(c),
            '\n' | '\r' | '\t' => out.push(' '),
            '\0'..='\u{1f}' => out.push(char::from_u32(0x2400 + u32::from(c)).unwrap_or('\u{fffd}')),
            '\u{7f}' => out.push('\u{2421}'),
            _ if is_active(c) => out.push_str(&format!("⟨U+{:04X}⟩", u32::from(c))),
            _ => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// Makes every string of a tree harmless, as [`inert`] does but with its line breaks: what a page is given, where they lead nowhere.
pub fn inert_tree(tree: &mut Value) {
    match tree {
        Value::String(text) => {
            if let Cow::Owned(harmless) = harmless(text, true) {
                *text = harmless;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(inert_tree),
        Value::Object(fields) => fields.values_mut().for_each(inert_tree),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Control characters, and those of Unicode that change how their neighbours read or hide (Unicode Technical Report 36, "bidirectional text spoofing").
fn is_active(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// Columns that a text takes on a terminal.
#[must_use]
pub fn columns(text: &str) -> usize {
    console::measure_text_width(text)
}

/// Columns of the terminal that standard output is; none when it is a pipe or a file.
#[must_use]
pub fn terminal() -> Option<usize> {
    console::Term::stdout().size_checked().map(|(_, columns)| usize::from(columns))
}

/// The text cut to at most `limit` columns, ending in `…` when something was cut.
#[must_use]
pub fn clip(text: &str, limit: usize) -> Cow<'_, str> {
    if limit == 0 { Cow::Borrowed("") } else { console::truncate_str(text, limit, "…") }
}

/// Cut or filled with spaces to exactly `limit` columns.
#[must_use]
pub fn pad(text: &str, limit: usize) -> String {
    let text = clip(text, limit);
    let missing = limit.saturating_sub(columns(&text));
    format!("{text}{}", " ".repeat(missing))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_and_direction_overrides_become_visible() {
        assert_eq!(inert("a\x1b[2Jb"), "a␛[2Jb");
        assert_eq!(inert("a\u{9b}31mb"), "a⟨U+009B⟩31mb");
        assert_eq!(inert("safe\u{202e}exe.txt"), "safe⟨U+202E⟩exe.txt");
        assert_eq!(inert("two\r\nlines\tx"), "two  lines x");
        assert_eq!(inert("\u{7f}\0"), "␡␀");
    }

    #[test]
    fn honest_text_in_any_script_is_left_alone() {
        for text in ["Überlast in São Paulo", "שלום", "東京リージョン", "e\u{301}t\u{e9}", "🔥 drill"] {
            assert!(matches!(inert(text), Cow::Borrowed(_)), "{text}");
        }
    }

    #[test]
    fn text_is_cut_by_columns_not_by_bytes() {
        assert_eq!(clip("東京リージョン", 7), "東京リ…");
        assert_eq!(columns(&pad("東京", 7)), 7);
        assert_eq!(clip("abc", 3), "abc");
        assert_eq!(clip("abcd", 3), "ab…");
    }
}
