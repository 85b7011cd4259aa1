//! What a kind of fault, action or probe says about itself: `firedrill explain` prints it, and `docs/kinds.md` is made of it.

use std::time::Duration;

use serde_json::Value as Json;

use super::{editor, fields};
use crate::fault::params::{ActionSpec, FaultSpec};
use crate::probe::params::ProbeSpec;

/// One kind, for people. Its fields come from its schema, its first sentence from the documentation of its parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct About {
    /// What it does, and by which means.
    pub mechanism: &'static str,
    /// How it is undone, and what does that when firedrill is dead. Empty for probes: they change nothing.
    pub undo: &'static str,
    /// How its effect is verified. Empty for probes.
    pub verified: &'static str,
    /// What surprises people: limits, side effects, what it cannot do.
    pub must_know: &'static [&'static str],
    /// What it must be allowed to do.
    pub permissions: Permissions,
    /// It inside a step (`fault:` …, `action:` …), or a probe (`http:` …), as YAML that validates.
    pub example: &'static str,
}

/// What a kind must be allowed to do, in the words of its platform. None of one sort is an empty list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Permissions {
    /// To make the failure.
    pub inject: &'static [&'static str],
    /// To undo it.
    pub revert: &'static [&'static str],
    /// To look.
    pub read: &'static [&'static str],
}

/// What a kind is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// It breaks something.
    Fault,
    /// It moves traffic or capacity; undone as fail-back.
    Action,
    /// It reads a signal.
    Probe,
}

impl Sort {
    /// All, in the order of the book.
    pub const ALL: [Self; 3] = [Self::Fault, Self::Action, Self::Probe];

    /// As written in drills.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Fault => "fault",
            Self::Action => "action",
            Self::Probe => "probe",
        }
    }
}

/// A kind with everything that is known of it without opening it.
#[derive(Debug, Clone)]
pub struct Described {
    /// What it is for.
    pub sort: Sort,
    /// As written in files.
    pub name: &'static str,
    /// Its parameters, as [`editor::parameters`].
    pub schema: Json,
    /// None: this build accepts it in files and does not run it.
    pub about: Option<About>,
    /// The limit of a step that gives none. Probes have none.
    pub limit: Option<Duration>,
}

impl Described {
    /// Everything that the documentation of its parameters says.
    #[must_use]
    pub fn description(&self) -> String {
        let text = self.schema.get("description").and_then(Json::as_str).unwrap_or_default();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// The first sentence of it.
    #[must_use]
    pub fn summary(&self) -> String {
        fields::sentences(&self.description()).first().copied().unwrap_or_default().to_owned()
    }
}

/// Every kind of fault, action and probe that drills may name, in the order of the tables.
#[must_use]
pub fn kinds() -> Vec<Described> {
    let mut all = Vec::new();
    for (sort, table) in [(Sort::Fault, FaultSpec::KINDS), (Sort::Action, ActionSpec::KINDS)] {
        all.extend(table.iter().map(|kind| Described {
            sort,
            name: kind.name,
            schema: editor::parameters((kind.schema)()),
            about: (kind.about)(),
            limit: Some((kind.limit)()),
        }));
    }
    all.extend(ProbeSpec::KINDS.iter().map(|kind| Described {
        sort: Sort::Probe,
        name: kind.name,
        schema: editor::parameters((kind.schema)()),
        about: (kind.about)(),
        limit: None,
    }));
    all
}

/// Faults of this build that a gateway makes: what an environment with nothing but a gateway can allow.
#[must_use]
pub fn gateway_faults() -> Vec<String> {
    let steered = |schema: Json| schema.pointer("/properties/gateway/format").is_some_and(|format| format == "gateway-name");
    let built = FaultSpec::KINDS.iter().filter(|kind| (kind.about)().is_some());
    built.filter(|kind| steered((kind.schema)().to_value())).map(|kind| kind.name.to_owned()).collect()
}

/// A drill around an example.
#[must_use]
pub fn sample(sort: Sort, example: &str) -> String {
    // A drill that breaks nothing is warned of.
    let fault = "    - id: dark\n      fault: {gatewayBlackhole: {gateway: edge, services: [\"*\"]}}\n";
    let (field, gate, limit) = match sort {
        Sort::Fault => ("fault", "", ""),
        Sort::Action => ("action", "  regionHealthy: {probe: {http: {url: \"${endpoints.east}/healthz\"}}, stableFor: 1m, limit: 15m}\n", ""),
        Sort::Probe => ("check", "", "        limit: 1m\n"),
    };
    let inside = if sort == Sort::Probe { format!("        probe:\n{}", indented(example, 10)) } else { indented(example, 8) };
    format!(
        "apiVersion: firedrill.dev/v1alpha1\nkind: Drill\nmetadata: {{name: example}}\nspec:\n  summary: An example\n  owner: platform-team\n  \
         hypothesis: The example is valid.\n  failedRegion: us-east-1\n  survivingRegions: [us-west-2]\n{gate}  hold: 10m\n  undoBy: 2h\n  objectives:\n    \
         - id: checkout\n      probe: {{http: {{url: \"${{endpoints.checkout}}/healthz\"}}}}\n      interval: 1s\n      recoverWithin: 5m\n  \
         steps:\n    - id: example\n      {field}:\n{inside}{limit}{}",
        if sort == Sort::Fault { "" } else { fault }
    )
}

/// Lines, moved to the right.
#[must_use]
pub fn indented(text: &str, by: usize) -> String {
    text.trim_end().lines().map(|line| format!("{:by$}{line}\n", "")).collect()
}
