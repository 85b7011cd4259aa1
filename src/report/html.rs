//! `report.html`: one file for people, without scripts and without anything fetched; what each part says is in `html/`.

mod record;
mod sections;
mod timeline;

use std::io;

use handlebars::Handlebars;

use super::account::Account;
use super::inert::inert_tree;
use crate::event::RunEvent;
use crate::score::Scorecard;

/// How the report and its kin look.
pub const STYLE: &str = include_str!("templates/style.css.hbs");

const TEMPLATES: [(&str, &str); 5] = [
    ("report", include_str!("templates/report.html.hbs")),
    ("style", STYLE),
    ("timeline", include_str!("templates/timeline.svg.hbs")),
    ("tables", include_str!("templates/tables.html.hbs")),
    ("undo", include_str!("templates/undo.html.hbs")),
];

/// The file of these events as text; see [`page`].
///
/// # Errors
/// When the stream has no header, or a template names something that is not there.
pub fn render(events: &[RunEvent], scorecard: &Scorecard) -> io::Result<String> {
    page(&Account::of(events), scorecard)
}

/// The file as text.
///
/// # Errors
/// When the stream has no header, or a template names something that is not there.
pub fn page(account: &Account, scorecard: &Scorecard) -> io::Result<String> {
    let header = account.story().header.as_deref().ok_or_else(super::files::headless)?;
    let mut view = sections::view(account, header, scorecard);
    // Escaping is the template's; this takes away what escaping leaves active: control characters and direction overrides.
    inert_tree(&mut view);
    let mut page = Handlebars::new();
    page.set_strict_mode(true);
    for (name, text) in TEMPLATES {
        page.register_template_string(name, text).map_err(io::Error::other)?;
    }
    page.render("report", &view).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::TEMPLATES;

    #[test]
    fn no_template_has_an_unescaped_value() {
        for (name, text) in TEMPLATES {
            assert!(!text.contains("{{{") && !text.contains("{{&"), "{name}");
        }
    }
}
