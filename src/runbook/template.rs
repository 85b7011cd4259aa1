//! The templates of a runbook: those that are built in, or a person's own. A name that is not there is an error, with its line.

use std::fmt;

use handlebars::{Context, Handlebars, Helper, HelperResult, Output, RenderContext, RenderError, RenderErrorReason};
use serde_json::Value;

use super::fold::fold;
use super::markdown;
use crate::drill::suggest::did_you_mean;
use crate::report::html::STYLE;
use crate::report::inert::inert_tree;

/// A form of the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// For wikis, repositories and chat.
    Markdown,
    /// For browsers and paper.
    Html,
}

/// One of the documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The whole runbook.
    Runbook,
    /// The abort card alone.
    Card,
}

impl Format {
    /// The end of a file's name.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::Markdown => "md",
            Self::Html => "html",
        }
    }

    /// The template that is built in.
    #[must_use]
    pub fn template(self, part: Part) -> &'static str {
        match (self, part) {
            (Self::Markdown, Part::Runbook) => include_str!("templates/runbook.md.hbs"),
            (Self::Markdown, Part::Card) => "{{> card}}",
            (Self::Html, Part::Runbook) => include_str!("templates/runbook.html.hbs"),
            (Self::Html, Part::Card) => include_str!("templates/card-page.html.hbs"),
        }
    }

    /// Parts that every template of this form may take in.
    fn partials(self) -> Vec<(&'static str, &'static str)> {
        match self {
            Self::Markdown => vec![("card", include_str!("templates/card.md.hbs"))],
            Self::Html => vec![
                ("style", STYLE),
                ("runbook-style", include_str!("templates/runbook.css.hbs")),
                ("card", include_str!("templates/card.html.hbs")),
                ("card-part", include_str!("templates/card-part.html.hbs")),
                ("steps", include_str!("templates/steps.html.hbs")),
            ],
        }
    }
}

/// A template of a person's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Own {
    /// Its file, for errors.
    pub file: String,
    /// What it says.
    pub text: String,
}

/// What is wrong with a template, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct TemplateError {
    /// The template's file.
    pub file: String,
    /// Line and column, from 1.
    pub at: Option<(usize, usize)>,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            Some((line, column)) => write!(f, "{}:{line}:{column}: {}", self.file, self.what),
            None => write!(f, "{}: {}", self.file, self.what),
        }
    }
}

/// The document as text.
///
/// # Errors
/// When the template is none, or names something that is not there.
pub fn render(format: Format, part: Part, own: Option<&Own>, view: &Value) -> Result<String, TemplateError> {
    let mut view = view.clone();
    // Escaping is the form's; this takes away what escaping leaves active: control characters and direction overrides.
    inert_tree(&mut view);
    let (file, text) = own.map_or(("the built-in template", format.template(part)), |own| (own.file.as_str(), own.text.as_str()));
    let mut engine = Handlebars::new();
    engine.set_strict_mode(true);
    match format {
        Format::Markdown => engine.register_escape_fn(markdown::escaped),
        Format::Html => engine.register_escape_fn(handlebars::html_escape),
    }
    engine.register_helper("code", Box::new(Words { format, of: code }));
    engine.register_helper("prose", Box::new(Words { format, of: prose }));
    engine.register_helper("cell", Box::new(Words { format, of: cell }));
    engine.register_helper("sh", Box::new(Commands(format)));
    for (name, partial) in format.partials() {
        engine.register_partial(name, partial).map_err(|error| malformed(name, &error))?;
    }
    engine.register_template_string(file, text).map_err(|error| malformed(file, &error))?;
    engine.render(file, &view).map_err(|error| failed(file, &error, &view))
}

fn malformed(file: &str, error: &handlebars::TemplateError) -> TemplateError {
    TemplateError { file: file.to_owned(), at: error.pos(), what: error.reason().to_string() }
}

fn failed(file: &str, error: &RenderError, view: &Value) -> TemplateError {
    let what = match error.reason() {
        RenderErrorReason::MissingVariable(Some(name)) => {
            let last = name.rsplit(['.', '/']).next().unwrap_or(name);
            let mut known = Vec::new();
            names(view, &mut known);
            let better = did_you_mean(last, known.iter().map(String::as_str));
            format!("there is no variable '{name}'{better}; `firedrill runbook DRILL --print-variables` shows all that there are")
        }
        reason => reason.to_string(),
    };
    let file = error.template_name.as_deref().unwrap_or(file).to_owned();
    TemplateError { file, at: error.line_no.zip(error.column_no), what }
}

/// Every name of a tree, once.
fn names(tree: &Value, known: &mut Vec<String>) {
    match tree {
        Value::Object(fields) => {
            for (name, value) in fields {
                if !known.contains(name) {
                    known.push(name.clone());
                }
                names(value, known);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| names(item, known)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Text and code between backticks, in order; true for code.
pub(super) fn parts(text: &str) -> impl Iterator<Item = (&str, bool)> {
    let mut rest = text;
    let mut pending: Option<&str> = None;
    std::iter::from_fn(move || {
        if let Some(code) = pending.take() {
            return Some((code, true));
        }
        if rest.is_empty() {
            return None;
        }
        let open = rest.find('`');
        let close = open.and_then(|open| rest[open + 1..].find('`').map(|length| open + 1 + length)).filter(|close| Some(close - 1) != open);
        let (Some(open), Some(close)) = (open, close) else { return Some((std::mem::take(&mut rest), false)) };
        let before = &rest[..open];
        pending = Some(&rest[open + 1..close]);
        rest = &rest[close + 1..];
        if before.is_empty() { Some((pending.take().unwrap_or_default(), true)) } else { Some((before, false)) }
    })
}

/// `{{code x}}`, `{{prose x}}` and `{{cell x}}`.
struct Words {
    format: Format,
    of: fn(Format, &str) -> String,
}

impl handlebars::HelperDef for Words {
    fn call<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        let given = given(helper)?;
        let text = given.as_str().map_or_else(|| given.to_string(), str::to_owned);
        Ok(out.write(&(self.of)(self.format, &text))?)
    }
}

/// `{{sh commands}}`: a list of commands as a block.
struct Commands(Format);

impl handlebars::HelperDef for Commands {
    fn call<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        let given = given(helper)?;
        let lines: Vec<&str> = match given {
            Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
            one => one.as_str().into_iter().collect(),
        };
        let folded = lines.iter().map(|line| fold(line).join("\n")).collect::<Vec<_>>();
        let block = match self.0 {
            Format::Markdown => markdown::block(&folded),
            Format::Html => {
                let each = |line: &String| format!("<span>{}</span>", handlebars::html_escape(line));
                format!("<pre class=\"sh\" tabindex=\"0\">{}</pre>", folded.iter().map(each).collect::<String>())
            }
        };
        Ok(out.write(&block)?)
    }
}

/// The first parameter; one that is not there is an error, as elsewhere in strict mode.
fn given<'a>(helper: &'a Helper<'_>) -> Result<&'a Value, RenderError> {
    let given = helper.param(0).ok_or(RenderErrorReason::ParamNotFoundForIndex("code, prose or sh", 0))?;
    if given.is_value_missing() {
        return Err(RenderErrorReason::MissingVariable(given.relative_path().cloned()).into());
    }
    Ok(given.value())
}

fn code(format: Format, text: &str) -> String {
    match format {
        Format::Markdown => markdown::code(text),
        Format::Html => {
            // Each word by itself, so that no browser breaks an option at its hyphens.
            let words = text.split(' ').map(|word| format!("<span>{}</span>", handlebars::html_escape(word)));
            let whole = || handlebars::html_escape(text);
            format!("<code>{}</code>", if text.contains(' ') { words.collect::<Vec<_>>().join(" ") } else { whole() })
        }
    }
}

fn prose(format: Format, text: &str) -> String {
    match format {
        Format::Markdown => markdown::prose(text),
        Format::Html => parts(text).map(|(part, is_code)| if is_code { code(format, part) } else { handlebars::html_escape(part) }).collect(),
    }
}

/// Prose in a table, where in Markdown even code may not hold a bare pipe.
fn cell(format: Format, text: &str) -> String {
    match format {
        Format::Markdown => {
            parts(text).map(|(part, is_code)| if is_code { markdown::code(part).replace('|', "\\|") } else { markdown::escaped(part) }).collect()
        }
        Format::Html => prose(format, text),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn own(text: &str) -> Own {
        Own { file: "mine.hbs".into(), text: text.into() }
    }

    #[test]
    fn a_variable_that_there_is_not_is_told_with_its_line_and_a_better_one() {
        let error = render(Format::Markdown, Part::Runbook, Some(&own("# {{title}}\n\n{{hypotesis}}\n")), &json!({"title": "x", "hypothesis": "y"}))
            .unwrap_err();
        let told = error.to_string();
        assert!(told.starts_with("mine.hbs:3:") && told.contains("'hypotesis'") && told.contains("did you mean 'hypothesis'?"), "{told}");
        let error = render(Format::Html, Part::Runbook, Some(&own("{{title}}\n{{code nothing}}")), &json!({"title": "x"})).unwrap_err();
        assert!(error.to_string().starts_with("mine.hbs:2:") && error.what.contains("'nothing'"), "{error}");
        let error = render(Format::Html, Part::Runbook, Some(&own("{{#if title}}\n")), &json!({"title": "x"})).unwrap_err();
        assert!(error.to_string().starts_with("mine.hbs:"), "{error}");
    }

    #[test]
    fn text_between_backticks_is_code() {
        let all = |text| parts(text).collect::<Vec<_>>();
        assert_eq!(all("a `b` c"), [("a ", false), ("b", true), (" c", false)]);
        assert_eq!(all("`b`"), [("b", true)]);
        assert_eq!(all("a ` b"), [("a ` b", false)]);
        assert_eq!(all("``"), [("``", false)]);
    }

    #[test]
    fn no_template_has_an_unescaped_value() {
        for format in [Format::Markdown, Format::Html] {
            let own = [Part::Runbook, Part::Card].map(|part| ("page", format.template(part)));
            for (name, text) in own.into_iter().chain(format.partials()) {
                assert!(!text.contains("{{{") && !text.contains("{{&"), "{name}");
            }
        }
    }
}
