//! What is said of one kind, whatever the form: gathered from its description, its schema, and an instance that its own example opens.

use serde::Serialize;

use crate::cli::init;
use crate::drill::about::{Described, Permissions, Sort, indented, sample};
use crate::drill::bind;
use crate::drill::fields::{self, Field};
use crate::drill::load::{Options, load_text};
use crate::drill::text::DurationText;
use crate::fault::Expiry;
use crate::fault::definition::Places;

/// One kind.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// As written in files.
    pub name: &'static str,
    /// `fault`, `action` or `probe`.
    pub sort: &'static str,
    /// Whether this build runs it.
    pub built: bool,
    /// Its first sentence.
    pub summary: String,
    /// All of its description.
    pub description: String,
    /// Everything else, of a kind that is built.
    #[serde(flatten)]
    pub more: Option<More>,
    /// The limit of a step that gives none.
    pub default_limit: Option<DurationText>,
    /// Its fields, those of its objects too.
    pub fields: Vec<Field>,
}

/// What a kind that is built says of itself.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct More {
    pub mechanism: &'static str,
    pub undo: &'static str,
    pub verified: &'static str,
    /// What becomes of it when firedrill dies; none for probes.
    pub without_firedrill: Option<&'static str>,
    pub must_know: &'static [&'static str],
    pub permissions: Needs,
    /// A step or the probe of an objective, as YAML.
    pub example: String,
}

/// [`Permissions`], for programs.
#[derive(Debug, Clone, Serialize)]
pub struct Needs {
    pub inject: &'static [&'static str],
    pub revert: &'static [&'static str],
    pub read: &'static [&'static str],
}

/// A field, or a document.
#[derive(Debug, Clone, Serialize)]
pub struct Part {
    /// As asked for.
    pub path: String,
    /// The field itself; none for a document.
    pub field: Option<Field>,
    /// What its type says of itself.
    pub description: String,
    /// Its fields.
    pub fields: Vec<Field>,
}

impl Part {
    /// What its type says of itself, where that is not said already: a field says what it is there.
    pub fn of_type(&self) -> &str {
        if self.field.as_ref().is_some_and(|field| !field.meaning.is_empty()) { "" } else { &self.description }
    }
}

impl Entry {
    pub fn of(kind: &Described) -> Self {
        let more = kind.about.map(|about| More {
            mechanism: about.mechanism,
            undo: about.undo,
            verified: about.verified,
            without_firedrill: without_firedrill(kind),
            must_know: about.must_know,
            permissions: Needs::of(about.permissions),
            example: step(kind.sort, kind.name, about.example),
        });
        Self {
            name: kind.name,
            sort: kind.sort.name(),
            built: kind.about.is_some(),
            summary: kind.summary(),
            description: kind.description(),
            more,
            default_limit: kind.limit.map(DurationText),
            fields: fields::list(&kind.schema, &kind.schema, true),
        }
    }
}

impl Needs {
    fn of(permissions: Permissions) -> Self {
        Self { inject: permissions.inject, revert: permissions.revert, read: permissions.read }
    }
}

/// An example as it stands in a drill.
fn step(sort: Sort, name: &str, example: &str) -> String {
    let id: String = name.chars().flat_map(|c| if c.is_ascii_uppercase() { vec!['-', c.to_ascii_lowercase()] } else { vec![c] }).collect();
    format!("- id: {id}\n  {}:\n{}", sort.name(), indented(example, 4))
}

/// The expiry that the kind itself states, asked of an instance that its example opens in the environment of `firedrill init`.
fn without_firedrill(kind: &Described) -> Option<&'static str> {
    if kind.sort == Sort::Probe {
        return None;
    }
    let drill = load_text("example", &sample(kind.sort, kind.about?.example), &Options::default()).drills.into_iter().next()?;
    let mut environment = load_text("environment", &places(), &Options::default()).environments.into_iter().next()?.value;
    environment.spec.allow.faults = vec![kind.name.to_owned(), "gatewayBlackhole".to_owned()];
    environment.spec.allow.no_dead_man = true;
    let bound = bind(&drill, &environment).ok()?;
    let step = bound.spec.steps.first()?;
    let fault = step.fault.as_ref().and_then(|fault| fault.one()).map(|kind| kind.definition());
    let action = step.action.as_ref().and_then(|action| action.one()).map(|kind| kind.definition());
    let places = Places { environment: environment.spec, ..Places::default() };
    let opened = fault.or(action)?.open(&places, &bound.spec, step).ok()?;
    Some(match (opened.expiry(), kind.sort) {
        (Expiry::Own, _) => "it ends by itself at the run's `undoBy` (own expiry)",
        (Expiry::DeadMan, _) => "a schedule outside firedrill undoes it at the run's `undoBy` (dead-man)",
        (Expiry::None, Sort::Action) => "it stays until fail-back: evacuated is the safe state (an action has no expiry)",
        (Expiry::None, _) => {
            "it stays until `firedrill resume` or `firedrill sweep` undoes it; the environment must say `allow.noDeadMan` (no dead-man)"
        }
    })
}

/// The environment of `firedrill init`, its commented-out accounts and clusters switched on.
#[must_use]
pub fn places() -> String {
    let mut on = false;
    let switched = init::ENVIRONMENT.lines().map(|line| {
        let comment = line.trim_start().strip_prefix("# ");
        on = comment.is_some_and(|text| on || matches!(text, "aws:" | "kubernetes:"));
        match comment.filter(|_| on) {
            Some(text) => format!("  {text}\n"),
            None => format!("{line}\n"),
        }
    });
    switched.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drill::about::kinds;

    #[test]
    fn every_example_is_a_valid_drill_that_finds_its_places_in_the_environment_of_init() {
        let environment = load_text("environment.yaml", &places(), &Options::default());
        assert!(environment.diagnostics.is_empty(), "{:?}", environment.diagnostics);
        let mut seen = 0;
        for kind in kinds() {
            let Some(about) = kind.about else { continue };
            let text = sample(kind.sort, about.example);
            let loaded = load_text("example.yaml", &text, &Options::default());
            // A warning counts too: it would be an example of what not to do.
            assert!(loaded.diagnostics.is_empty(), "{}: {:#?}\n{text}", kind.name, loaded.diagnostics);
            let mut places = environment.environments[0].value.clone();
            places.spec.allow.faults = vec![kind.name.to_owned(), "gatewayBlackhole".to_owned()];
            places.spec.allow.no_dead_man = true;
            let bound = bind(&loaded.drills[0], &places).unwrap_or_else(|found| panic!("{}: {found:#?}\n{text}", kind.name));
            let step = &bound.spec.steps[0];
            let named = match kind.sort {
                Sort::Fault => step.fault.as_ref().unwrap().one().unwrap().name(),
                Sort::Action => step.action.as_ref().unwrap().one().unwrap().name(),
                Sort::Probe => step.check.as_ref().unwrap().probe.one().unwrap().name(),
            };
            assert_eq!(named, kind.name, "the example is of another kind");
            seen += 1;
        }
        assert!(seen >= 5, "only {seen} examples");
    }

    #[test]
    fn every_kind_that_is_built_says_all_of_it() {
        for kind in kinds().iter().filter(|kind| kind.about.is_some()) {
            let more = Entry::of(kind).more.unwrap();
            let sentences = [more.mechanism].into_iter().chain(more.must_know.iter().copied());
            let changes = kind.sort != Sort::Probe;
            for text in sentences.chain([more.undo, more.verified].into_iter().filter(|_| changes)) {
                assert!(text.ends_with(['.', '?']), "{}: not a sentence: '{text}'", kind.name);
            }
            assert!(!more.must_know.is_empty(), "{}: nothing surprises?", kind.name);
            assert_eq!(more.without_firedrill.is_some(), changes, "{}: what becomes of it when firedrill dies is not known", kind.name);
            let needs = &more.permissions;
            assert!(!needs.read.is_empty() && needs.inject.is_empty() != changes && needs.revert.is_empty() != changes, "{}: {needs:?}", kind.name);
        }
    }
}
