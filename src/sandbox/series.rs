//! A very small part of Prometheus: series, the text format they are scraped in, and selectors with exact label matches.

use std::collections::BTreeMap;

/// The label that holds a series' name.
const NAME: &str = "__name__";

/// One series with its newest value.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Labels, the name among them.
    pub labels: BTreeMap<String, String>,
    /// Newest value.
    pub value: f64,
}

impl Series {
    /// A series of this name and these labels.
    pub fn new(name: &str, labels: &[(&str, &str)], value: f64) -> Self {
        let labels = [(NAME, name)].iter().chain(labels).map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Self { labels, value }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.label(NAME)
    }

    /// A label's value; a label that is absent is empty, as everywhere in Prometheus.
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }
}

/// Exact matches, all of which must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector(Vec<(String, String)>);

impl Selector {
    /// Reads `name`, `name{label="value", …}` or `{__name__="name", …}`; the error is Prometheus-like and names the position (from 1).
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut reader = Reader { text, at: 0 };
        let selector = reader.selector()?;
        reader.space();
        if reader.at < text.len() {
            return Err(reader.error("unexpected text after the selector; this endpoint evaluates plain selectors only"));
        }
        if selector.0.iter().all(|(_, value)| value.is_empty()) {
            return Err("vector selector must contain at least one non-empty matcher".to_owned());
        }
        Ok(selector)
    }

    /// Whether a series matches.
    pub fn matches(&self, series: &Series) -> bool {
        self.0.iter().all(|(name, value)| series.label(name) == value)
    }
}

/// Reads the text format: `name{label="value"} 1.5` lines; comments and what is not understood are left out.
pub fn scraped(text: &str) -> Vec<Series> {
    text.lines().filter_map(scraped_line).collect()
}

fn scraped_line(line: &str) -> Option<Series> {
    let (series, value) = line.rsplit_once(' ')?;
    let Selector(labels) = Selector::parse(series).ok()?;
    Some(Series { labels: labels.into_iter().collect(), value: value.parse().ok()? })
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn selector(&mut self) -> Result<Selector, String> {
        let mut matchers = Vec::new();
        self.space();
        let name = self.identifier(true);
        if !name.is_empty() {
            matchers.push((NAME.to_owned(), name));
        }
        self.space();
        if !self.eat('{') {
            return if matchers.is_empty() { Err(self.error("expected a metric name or '{'")) } else { Ok(Selector(matchers)) };
        }
        loop {
            self.space();
            if self.eat('}') {
                return Ok(Selector(matchers));
            }
            let label = self.identifier(false);
            if label.is_empty() {
                return Err(self.error("expected a label name or '}'"));
            }
            self.space();
            if !self.eat('=') || self.peek() == Some('~') {
                return Err(self.error("expected '='; this endpoint knows exact matches only"));
            }
            self.space();
            let value = self.string()?;
            if label == NAME && matchers.iter().any(|(name, _)| name == NAME) {
                return Err(self.error("metric name must not be set twice"));
            }
            matchers.push((label, value));
            self.space();
            if !self.eat(',') && self.peek() != Some('}') {
                return Err(self.error("expected ',' or '}'"));
            }
        }
    }

    /// A label name, or a metric name, which may hold colons.
    fn identifier(&mut self, metric: bool) -> String {
        let rest = &self.text[self.at..];
        let fits = |(index, c): (usize, char)| c.is_ascii_alphabetic() || c == '_' || (metric && c == ':') || (index > 0 && c.is_ascii_digit());
        let end = rest.char_indices().find(|next| !fits(*next)).map_or(rest.len(), |(end, _)| end);
        self.at += end;
        rest[..end].to_owned()
    }

    /// A quoted string with backslash escapes.
    fn string(&mut self) -> Result<String, String> {
        let quote = self.peek().filter(|c| matches!(c, '"' | '\'')).ok_or_else(|| self.error("expected a quoted string"))?;
        self.at += 1;
        let mut value = String::new();
        loop {
            let next = self.next().ok_or_else(|| self.error("unterminated quoted string"))?;
            match next {
                '\\' => match self.next() {
                    Some('n') => value.push('\n'),
                    Some(escaped @ ('\\' | '"' | '\'')) => value.push(escaped),
                    _ => return Err(self.error("unknown escape sequence")),
                },
                end if end == quote => return Ok(value),
                other => value.push(other),
            }
        }
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    fn eat(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += if found { wanted.len_utf8() } else { 0 };
        found
    }

    fn space(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.next();
        }
    }

    fn error(&self, what: &str) -> String {
        format!("1:{}: parse error: {what}", self.text[..self.at].chars().count() + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn firing() -> Series {
        Series::new("ALERTS", &[("alertname", "RegionDown"), ("alertstate", "firing"), ("region", "us-east-1")], 1.0)
    }

    #[test]
    fn selectors_match_exactly_and_an_absent_label_is_an_empty_one() {
        for (text, wanted) in [
            ("ALERTS", true),
            (r#"ALERTS{alertname="RegionDown",alertstate="firing"}"#, true),
            (r#" ALERTS { alertname = 'RegionDown' , } "#, true),
            (r#"{__name__="ALERTS"}"#, true),
            (r#"ALERTS{team=""}"#, true),
            (r#"ALERTS{region=""}"#, false),
            (r#"ALERTS{alertstate="pending"}"#, false),
            ("ALERT", false),
        ] {
            assert_eq!(Selector::parse(text).unwrap().matches(&firing()), wanted, "{text}");
        }
    }

    #[test]
    fn what_is_no_plain_selector_is_refused_with_its_position() {
        for (text, part) in [
            ("", "1:1: parse error"),
            ("{}", "at least one non-empty matcher"),
            (r#"{a=""}"#, "at least one non-empty matcher"),
            ("up == 1", "1:4: parse error"),
            ("rate(up[5m])", "1:5: parse error"),
            (r#"up{job=~"e.*"}"#, "exact matches only"),
            (r#"up{job!="e"}"#, "exact matches only"),
            (r#"up{job="e}"#, "unterminated"),
            (r#"up{job="\q"}"#, "escape"),
            ("up{job=edge}", "quoted string"),
            (r#"up{job="a" x="b"}"#, "expected ','"),
            (r#"up{__name__="down"}"#, "twice"),
            ("1up", "1:1: parse error"),
            ("ü", "1:1: parse error"),
        ] {
            let error = Selector::parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn the_text_format_is_read_line_by_line() {
        let read = scraped("# HELP up x\nup{job=\"a b\"} 1\nlag_seconds 0.045\n\nbroken{ 1\nnot_a_number x\n");
        assert_eq!(read, [Series::new("up", &[("job", "a b")], 1.0), Series::new("lag_seconds", &[], 0.045)]);
    }
}
