//! Rules in CEL, which the API server checks by itself: what must be set, what may be set together, what never changes.
//!
//! They say what `validate` says of a file ([`exactly_one_of`] is one table for both), each about one object, so that their cost grows with the
//! drill's size and no faster: the API server refuses a definition whose rules could cost more than its budget.

use serde_json::{Value as Json, json};

use crate::drill::{at_least_one_of, exactly_one_of};

/// A rule of `x-kubernetes-validations`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rule {
    /// True: allowed.
    pub rule: String,
    /// What the user is told.
    pub message: String,
    /// The same with what was found; it stands instead of the message.
    pub message_expression: Option<String>,
    /// The field that it is about, when that is not the object itself: `.abort`.
    pub field: Option<String>,
}

impl Rule {
    fn new(rule: impl Into<String>, message: impl Into<String>) -> Self {
        Self { rule: rule.into(), message: message.into(), ..Self::default() }
    }

    /// As it stands in a definition.
    #[must_use]
    pub fn to_json(&self) -> Json {
        let mut out = json!({"rule": self.rule, "message": self.message});
        if let Some(expression) = &self.message_expression {
            out["messageExpression"] = json!(expression);
        }
        if let Some(field) = &self.field {
            out["fieldPath"] = json!(field);
        }
        out
    }
}

/// The rules of a type, by its name in the schema. `fields`: those that this build has.
#[must_use]
pub fn rules_of(definition: &str, fields: &[&str]) -> Vec<Rule> {
    let mut rules = Vec::new();
    if let Some((what, names)) = exactly_one_of(definition).or_else(|| own_choice(definition)) {
        let names: Vec<&str> = names.iter().filter(|name| fields.contains(name)).copied().collect();
        rules.push(exactly_one(what, &names));
    }
    if let Some((what, names)) = at_least_one_of(definition) {
        rules.push(Rule::new(any(names), format!("{what} needs at least one of {}", names.join(", "))));
    }
    match definition {
        "Step" => rules.push(Rule {
            field: Some(".keep".to_owned()),
            ..Rule::new("!has(self.keep) || !self.keep || has(self.action)", "'keep' is for actions; a fault is always undone")
        }),
        "Objective" => rules.push(Rule::new(
            any(&["recoverWithin", "availability", "detectWithin", "loseAtMost"]),
            "an objective needs a target: at least one of recoverWithin, availability, detectWithin, loseAtMost",
        )),
        "DrillSpec" => rules.push(Rule::new(
            "has(self.regionHealthy) || !self.steps.exists(step, has(step.action))",
            "a drill with actions needs regionHealthy: the gate of fail-back says when traffic may return",
        )),
        "DrillRunSpec" => {
            rules.extend(fields.iter().filter(|field| **field != "abort").map(|field| fixed(field, "a run", "create another run")));
            rules.push(Rule {
                field: Some(".abort".to_owned()),
                ..Rule::new(
                    "!has(oldSelf.abort) || !oldSelf.abort || (has(self.abort) && self.abort)",
                    "an abort cannot be taken back: 'abort' goes from false to true only; create another run",
                )
            });
        }
        "DrillApprovalSpec" => rules.extend(fields.iter().map(|field| fixed(field, "an approval", "delete it, or create another one"))),
        "GatewayRuleSpec" => rules.extend(fields.iter().map(|field| fixed(field, "a rule", "delete it, and create another one"))),
        "DrillJournalSpec" => {
            rules.extend(fields.iter().map(|field| fixed(field, "a part of a journal", "nobody edits what undo relies on")));
            rules.push(Rule::new(
                "self.part == 'records' ? has(self.records) && !has(self.text) : has(self.text) && !has(self.records)",
                "a part of records has 'records', every other part has 'text'",
            ));
        }
        _ => {}
    }
    rules
}

/// Choices of kinds that are no files.
fn own_choice(definition: &str) -> Option<(&'static str, &'static [&'static str])> {
    (definition == "RuleEffect").then_some(("an effect", crate::gateway::object::RuleEffect::NAMES))
}

/// The name of an object that others refer to: as `validate` wants names in files.
#[must_use]
pub fn short_name() -> Rule {
    Rule::new(
        "self.metadata.name.size() <= 63 && !self.metadata.name.contains('.')",
        "a name is lower-case letters, digits and hyphens, at most 63: other objects refer to it",
    )
}

/// What was found is put together with `+`, whose cost the API server can estimate; that of a `join` it takes for endless.
fn exactly_one(what: &str, names: &[&str]) -> Rule {
    let set = names.iter().map(|name| format!("has(self.{name})")).collect::<Vec<_>>().join(", ");
    let found: String = names.iter().map(|name| format!(" + (has(self.{name}) ? ' {name}' : '')")).collect();
    let wanted = format!("{what} is exactly one of {}", names.join(", "));
    Rule {
        message_expression: Some(format!("\"{wanted}; found:\" + ([{set}].exists(set, set) ? '' : ' none'){found}")),
        ..Rule::new(format!("[{set}].exists_one(set, set)"), wanted)
    }
}

fn any(names: &[&str]) -> String {
    names.iter().map(|name| format!("has(self.{name})")).collect::<Vec<_>>().join(" || ")
}

/// A field that stays as it was created.
fn fixed(field: &str, what: &str, way_out: &str) -> Rule {
    Rule {
        field: Some(format!(".{field}")),
        ..Rule::new(
            format!("has(self.{field}) == has(oldSelf.{field}) && (!has(self.{field}) || self.{field} == oldSelf.{field})"),
            format!("'{field}' of {what} never changes; {way_out}"),
        )
    }
}
