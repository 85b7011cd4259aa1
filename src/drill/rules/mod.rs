//! What the schema cannot say: every rule reads the tree, says nothing about what is missing or of the wrong type (the schema did), and goes on.

mod drill;
mod environment;
mod graph;
mod schedule;
mod timing;
mod values;

pub use values::{at_least_one_of, exactly_one_of, text_of_format};

use super::diagnostic::{Diagnostic, Severity};
use super::load::Options;
use super::schema::Kind;
use super::source::Source;
use super::text::DurationText;
use super::tree::{Node, Place};

/// Where rules put what they find.
pub(super) struct Findings<'a> {
    pub source: &'a Source,
    pub options: &'a Options,
    pub list: Vec<Diagnostic>,
}

impl Findings<'_> {
    pub fn error(&mut self, at: Place, message: impl Into<String>) {
        self.list.push(Diagnostic::error(self.source, at, message));
    }

    pub fn error_with_help(&mut self, at: Place, message: impl Into<String>, help: impl Into<String>) {
        self.list.push(Diagnostic::error(self.source, at, message).with_help(help));
    }

    /// A drill that cannot pass, or will surprise.
    pub fn warning(&mut self, at: Place, message: impl Into<String>) {
        self.list.push(Diagnostic::new(self.source, at, Severity::Warning, message));
    }
}

/// Every rule of a kind of document.
pub(super) fn check(kind: Kind, document: &Node, source: &Source, options: &Options) -> Vec<Diagnostic> {
    let mut found = Findings { source, options, list: Vec::new() };
    values::check(kind, document, &mut found);
    if let Some(spec) = document.get("spec") {
        match kind {
            Kind::Drill => drill::check(spec, &mut found),
            Kind::Environment => environment::check(spec, &mut found),
            Kind::DrillSchedule => schedule::check(spec, &mut found),
            // Its own drill, where it brings one.
            Kind::DrillRun => spec.get("frozenDrill").into_iter().for_each(|frozen| drill::check(frozen, &mut found)),
        }
    }
    found.list
}

/// The duration of a key, when it is there and is one.
fn duration_of(node: &Node, key: &str) -> Option<DurationText> {
    DurationText::parse(node.text_of(key)?).ok()
}
