//! A YAML document as a tree in which every key and value knows its line and column.
//!
//! Read from the parser's events (the parser of serde-saphyr): serde would expand aliases and drop tags before anyone could point at them.
//! What a drill file may not hold (aliases, merge keys, tags, tab indentation, duplicate keys) is reported with its place, all of it.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::{Map, Number, Value as Json};
use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, ScanError, Span};

use super::diagnostic::Diagnostic;
use super::source::Source;

/// Deepest nesting.
pub const DEPTH: usize = 64;

/// A position in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Place {
    /// Line from 1.
    pub line: u32,
    /// Column in characters from 1.
    pub column: u32,
}

/// A value and where it begins.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where it begins.
    pub at: Place,
    /// The value.
    pub value: Value,
}

/// A value of the YAML 1.2 core schema.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `null`, `~` or nothing.
    Null,
    /// `true` or `false`; nothing else is a boolean.
    Bool(bool),
    /// A number that JSON knows.
    Number(Number),
    /// `.inf` or `.nan`, as written.
    NotFinite(String),
    /// Everything else.
    String(String),
    /// A list.
    List(Vec<Node>),
    /// A map in the file's order; keys are unique.
    Map(Vec<Entry>),
    /// Something that has been reported (an alias): nothing more is said about it.
    Refused,
}

/// A key and its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key begins.
    pub at: Place,
    /// The value.
    pub node: Node,
}

impl Node {
    /// The value of a key, when this is a map that has it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|entry| &entry.node)
    }

    /// The entry of a key, when this is a map that has it.
    #[must_use]
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// The text, when this is a string.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The text of a key's value.
    #[must_use]
    pub fn text_of(&self, key: &str) -> Option<&str> {
        self.get(key)?.text()
    }

    /// The items, when this is a list; none otherwise.
    #[must_use]
    pub fn items(&self) -> &[Self] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// The entries, when this is a map; none otherwise.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The items of a key's list; none when there is none.
    #[must_use]
    pub fn items_of(&self, key: &str) -> &[Self] {
        self.get(key).map_or(&[], Self::items)
    }

    /// Every string in it, values and not keys.
    pub fn each_text<'a>(&'a self, visit: &mut impl FnMut(&'a Self, &'a str)) {
        match &self.value {
            Value::String(text) => visit(self, text),
            Value::List(items) => items.iter().for_each(|item| item.each_text(visit)),
            Value::Map(entries) => entries.iter().for_each(|entry| entry.node.each_text(visit)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::NotFinite(_) | Value::Refused => {}
        }
    }

    /// The same without positions.
    #[must_use]
    pub fn to_json(&self) -> Json {
        match &self.value {
            Value::Null | Value::Refused => Json::Null,
            Value::Bool(value) => Json::Bool(*value),
            Value::Number(value) => Json::Number(value.clone()),
            Value::NotFinite(text) | Value::String(text) => Json::String(text.clone()),
            Value::List(items) => Json::Array(items.iter().map(Self::to_json).collect()),
            Value::Map(entries) => Json::Object(entries.iter().map(|entry| (entry.key.clone(), entry.node.to_json())).collect::<Map<_, _>>()),
        }
    }

    /// A tree of data that was never in a file: every place is 0:0.
    #[must_use]
    pub fn of_json(json: &Json) -> Self {
        let value = match json {
            Json::Null => Value::Null,
            Json::Bool(value) => Value::Bool(*value),
            Json::Number(value) => Value::Number(value.clone()),
            Json::String(text) => Value::String(text.clone()),
            Json::Array(items) => Value::List(items.iter().map(Self::of_json).collect()),
            Json::Object(map) => {
                Value::Map(map.iter().map(|(key, value)| Entry { key: key.clone(), at: Place::default(), node: Self::of_json(value) }).collect())
            }
        };
        Self { at: Place::default(), value }
    }

    /// What it is, for people.
    #[must_use]
    pub fn described(&self) -> &'static str {
        match &self.value {
            Value::Null | Value::Refused => "nothing",
            Value::Bool(_) => "a boolean",
            Value::Number(_) | Value::NotFinite(_) => "a number",
            Value::String(_) => "a string",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }
}

/// The documents of a file up to the first syntax error, and everything in them that a drill file may not hold.
#[must_use]
pub fn parse(source: &Source) -> (Vec<Node>, Vec<Diagnostic>) {
    let options = serde_saphyr::granit_parser::options! { emit_unresolved_aliases: true, emit_comments: false };
    let parser = Parser::new_from_str_with_options(&source.text, options);
    let mut reader = Reader { source, parser, tabs: source.text.contains('\t'), found: Vec::new() };
    let mut documents = Vec::new();
    if let Err(stop) = reader.documents(&mut documents) {
        reader.found.extend(stop);
    }
    (documents, reader.found)
}

/// Parsing cannot go on; the reason, unless it has been reported.
type Stop = Option<Diagnostic>;

struct Reader<'a> {
    source: &'a Source,
    parser: Parser<'a, serde_saphyr::granit_parser::StrInput<'a>>,
    /// Whether the file has any tab: most have none, and no line is looked at.
    tabs: bool,
    found: Vec<Diagnostic>,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span), Stop> {
        loop {
            match self.parser.next() {
                Some(Ok((Event::Comment(..) | Event::StreamStart, _))) => {}
                Some(Ok(event)) => return Ok(event),
                Some(Err(error)) => return Err(Some(self.syntax(&error))),
                None => return Ok((Event::StreamEnd, Span::default())),
            }
        }
    }

    fn documents(&mut self, documents: &mut Vec<Node>) -> Result<(), Stop> {
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => return Ok(()),
                (Event::DocumentStart(..), _) => {
                    let (event, span) = self.next()?;
                    if matches!(event, Event::DocumentEnd) {
                        continue;
                    }
                    let node = self.node(event, span, 1)?;
                    if node.value != Value::Null {
                        documents.push(node);
                    }
                }
                _ => {}
            }
        }
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, Stop> {
        let at = place(&span);
        if depth > DEPTH {
            return Err(Some(Diagnostic::error(self.source, at, format!("nested deeper than {DEPTH} levels"))));
        }
        self.no_tab(at);
        let value = match event {
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                self.no_alias(at);
                Value::Refused
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.plain_only(at, &span, anchor, tag.is_some());
                if style == ScalarStyle::Plain { plain(&text) } else { Value::String(text.into_owned()) }
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.plain_only(at, &span, anchor, tag.is_some());
                Value::List(self.list(depth)?)
            }
            Event::MappingStart(_, anchor, tag) => {
                self.plain_only(at, &span, anchor, tag.is_some());
                Value::Map(self.map(depth)?)
            }
            _ => Value::Null,
        };
        Ok(Node { at, value })
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Node>, Stop> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd | Event::StreamEnd, _) => return Ok(items),
                (event, span) => items.push(self.node(event, span, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Vec<Entry>, Stop> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut seen: HashMap<String, Place> = HashMap::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::MappingEnd | Event::StreamEnd) {
                return Ok(entries);
            }
            let key_at = place(&span);
            let key = self.key(event, span, depth)?;
            let (event, span) = self.next()?;
            let node = self.node(event, span, depth + 1)?;
            let Some(key) = key else { continue };
            match seen.get(key.as_ref()) {
                Some(first) => {
                    let message = format!("duplicate key '{key}' (first at {}:{})", first.line, first.column);
                    self.found.push(Diagnostic::error(self.source, key_at, message));
                }
                None => {
                    seen.insert(key.to_string(), key_at);
                    entries.push(Entry { key: key.into_owned(), at: key_at, node });
                }
            }
        }
    }

    /// A key's text; nothing when it is none that a drill file may hold, which is reported.
    fn key(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Option<Cow<'a, str>>, Stop> {
        let at = place(&span);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.no_tab(at);
                self.plain_only(at, &span, anchor, tag.is_some());
                if style == ScalarStyle::Plain && text == "<<" {
                    self.found.push(Diagnostic::error(self.source, at, "merge keys are not allowed").with_help("write the fields out"));
                    return Ok(None);
                }
                Ok(Some(text))
            }
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                self.no_alias(at);
                Ok(None)
            }
            other => {
                self.found.push(Diagnostic::error(self.source, at, "a key must be a plain string"));
                self.node(other, span, depth + 1)?;
                Ok(None)
            }
        }
    }

    fn no_alias(&mut self, at: Place) {
        self.found.push(Diagnostic::error(self.source, at, "aliases are not allowed").with_help("write the value out where it is used"));
    }

    fn plain_only(&mut self, at: Place, span: &Span, anchor: usize, tagged: bool) {
        if tagged {
            let at = span.tag_start().map_or(at, |mark| Place { line: mark.line() as u32, column: mark.col() as u32 + 1 });
            self.found.push(Diagnostic::error(self.source, at, "tag not allowed").with_help("remove the tag; quote a value to make it a string"));
        }
        // An anchor that nothing refers to is harmless, and refused with the same words: aliases are what it is for.
        if anchor > 0 {
            self.found
                .push(Diagnostic::error(self.source, at, "anchors and aliases are not allowed").with_help("write the value out where it is used"));
        }
    }

    fn no_tab(&mut self, at: Place) {
        if let Some(found) = self.tab(at) {
            self.found.push(found);
        }
    }

    /// A tab before the first character of the line on which something begins.
    fn tab(&self, at: Place) -> Option<Diagnostic> {
        if !self.tabs {
            return None;
        }
        let line = self.source.line(at.line)?;
        let indent = line.chars().take_while(|c| c.is_whitespace()).collect::<Vec<_>>();
        let column = indent.iter().position(|c| *c == '\t')? as u32 + 1;
        (column < at.column.max(2)).then(|| Diagnostic::error(self.source, Place { line: at.line, column }, "tabs cannot indent YAML; use spaces"))
    }

    fn syntax(&self, error: &ScanError) -> Diagnostic {
        let mark = error.marker();
        let at = Place { line: (mark.line() as u32).max(1), column: mark.col() as u32 + 1 };
        let nearby = [at.line, at.line.saturating_sub(1), at.line + 1];
        let tab = nearby.iter().find_map(|line| self.tab(Place { line: *line, column: u32::MAX }));
        if let Some(tab) = tab {
            return tab;
        }
        let text = error.info();
        // The parser stops at an alias without an anchor; for a reader it is an alias like any other.
        if text.contains("anchor") {
            return Diagnostic::error(self.source, at, "aliases are not allowed").with_help("quote a value that begins with '*' or '&'");
        }
        if text.contains("nesting") || text.contains("recursion") {
            return Diagnostic::error(self.source, at, format!("nested deeper than {DEPTH} levels"));
        }
        if text.contains("tag") && !text.contains("stage") {
            return Diagnostic::error(self.source, at, "tag not allowed");
        }
        Diagnostic::error(self.source, at, format!("not YAML: {text}"))
    }
}

fn place(span: &Span) -> Place {
    Place { line: span.start.line() as u32, column: span.start.col() as u32 + 1 }
}

/// A plain scalar by the YAML 1.2 core schema (section 10.3.2): `yes`, `on` and dates are strings.
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" | "-.inf" | "-.Inf" | "-.INF" | ".nan" | ".NaN" | ".NAN" => {
            return Value::NotFinite(text.to_owned());
        }
        _ => {}
    }
    let number = integer(text).or_else(|| float(text));
    number.map_or_else(|| Value::String(text.to_owned()), Value::Number)
}

fn integer(text: &str) -> Option<Number> {
    let radix = |digits: &str, radix| (!digits.starts_with(['+', '-'])).then(|| u64::from_str_radix(digits, radix).ok()).flatten().map(Number::from);
    if let Some(digits) = text.strip_prefix("0x") {
        return radix(digits, 16);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return radix(digits, 8);
    }
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.strip_prefix('+').unwrap_or(text).parse::<i64>().map(Number::from).or_else(|_| digits.parse::<u64>().map(Number::from)).ok()
}

fn float(text: &str) -> Option<Number> {
    let body = text.strip_prefix(['+', '-']).unwrap_or(text);
    let shaped = body.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && body.bytes().any(|byte| byte.is_ascii_digit())
        && body.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-'));
    // Overflow to infinity stays a string, which no numeric field accepts.
    shaped.then(|| text.parse::<f64>().ok()).flatten().and_then(Number::from_f64)
}
