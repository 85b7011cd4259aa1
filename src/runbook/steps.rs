//! What each step does, what should be seen, and how a person does it and undoes it.

use serde_json::{Value, json};

use super::commands;
use super::timeline::Times;
use super::{Given, Step, Target, count, outcome, reading, texts};
use crate::drill::about::{self, Described, Sort};
use crate::event::StepKind;
use crate::fault::ByHand;
use crate::report::words;

/// Targets that are named in a step; the rest is counted.
const NAMED: usize = 40;

/// Every step, in file order.
#[must_use]
pub fn all(given: &Given<'_>, times: &Times) -> Vec<Value> {
    let kinds = about::kinds();
    given.steps.iter().enumerate().map(|(index, step)| one(given, times, &kinds, index, step)).collect()
}

fn one(given: &Given<'_>, times: &Times, kinds: &[Described], index: usize, step: &Step) -> Value {
    let sort = if step.kind == StepKind::Action { Sort::Action } else { Sort::Fault };
    let about = kinds.iter().find(|kind| step.changes() && kind.sort == sort && kind.name == step.name);
    let known = about.and_then(|kind| kind.about);
    let touched: Vec<&Target> = step.targets.iter().filter(|target| !target.noop).collect();
    let undo = lines(step, &touched, |by_hand| &by_hand.undo);
    let check = given.drill.spec.steps.iter().find(|own| own.id == step.id).and_then(|own| own.check.as_ref());
    let read = check.map(|check| reading::by_hand(&check.probe, given.environment.as_ref()));
    let times = times.begins.get(&step.id).zip(times.done.get(&step.id));
    json!({
        "number": index + 1,
        "id": step.id,
        "kind": words::step_kind(step.kind),
        "name": if step.changes() { step.name.as_str() } else { "" },
        "who": step.role.as_deref().unwrap_or(texts::LEAD),
        "what": what(step, about),
        "mechanism": known.map(|it| it.mechanism),
        "summary": if step.changes() { Value::from(step.summary.as_str()) } else { Value::Null },
        "after": step.after.join(", "),
        "limit": words::duration(step.limit),
        "from": times.map(|(begins, _)| super::calendar::Moment::after(begins.from).offset()),
        "to": times.map(|(_, done)| super::calendar::Moment::after(done.to).offset()),
        "clock": times.and_then(|(begins, _)| Some(given.start?.clock(super::calendar::Moment::after(begins.from)))),
        "see": see(step, known.map(|it| it.verified), read.as_ref()),
        "read": read.map(|it| it.commands),
        "undo": if step.keep { Some("The action stays on purpose (`keep: true`): nothing of it is undone.") } else { known.map(|it| it.undo) },
        "expiry": step.expiry.as_deref().filter(|_| step.kind == StepKind::Fault).map(|text| expiry(text, given.environment.is_some())),
        "radius": step.radius,
        "targets": touched.iter().take(NAMED).map(|target| target.name.as_str()).collect::<Vec<_>>(),
        "targetsHidden": touched.len().saturating_sub(NAMED),
        "targetsCount": count(touched.len(), "target"),
        "noop": step.targets.iter().filter(|target| target.noop).map(|target| target.name.as_str()).take(NAMED).collect::<Vec<_>>(),
        "inject": given.record.is_none().then(|| lines(step, &touched, |by_hand| &by_hand.inject)).filter(|lines| !lines.is_empty()),
        "undoCommands": Some(&undo).filter(|lines| !lines.is_empty() && !step.keep),
        "without": without(given, step, &undo, known.is_some()),
        "changes": step.changes(),
        "blanks": step.changes() && step.targets.is_empty(),
        "actual": outcome::step(given, &step.id),
    })
}

fn what(step: &Step, about: Option<&Described>) -> String {
    match step.kind {
        StepKind::Fault | StepKind::Action => about.map_or_else(|| step.name.clone(), Described::summary),
        StepKind::Manual => step.summary.clone(),
        StepKind::Wait => format!("Nothing is done {}.", step.summary),
        StepKind::Check => "The drill goes on only when this is good.".to_owned(),
    }
}

fn see(step: &Step, verified: Option<&str>, read: Option<&reading::Reading>) -> String {
    match step.kind {
        StepKind::Fault | StepKind::Action => verified.unwrap_or_default().to_owned(),
        StepKind::Manual => format!("The role says “done”, and the {} types `done` at the terminal.", texts::LEAD.to_lowercase()),
        StepKind::Wait => "Nothing changes; if something does, say so aloud.".to_owned(),
        StepKind::Check => format!(
            "Good within {}: {}. Otherwise the run turns round and undoes everything.",
            words::duration(step.limit),
            read.map_or("", |read| read.good.as_str())
        ),
    }
}

/// What becomes of a fault when firedrill is dead, from what the plan says.
fn expiry(text: &str, looked_up: bool) -> &'static str {
    match text {
        "own expiry" => "The fault ends by itself at its deadline.",
        "dead-man" => "A schedule outside firedrill undoes it, two minutes after the deadline.",
        // Whether there is one is a matter of the environment.
        _ if !looked_up => "It STAYS until somebody undoes it, unless the environment has a dead-man for it.",
        _ => "It has no dead-man here: it STAYS until somebody undoes it.",
    }
}

/// Why there are no commands by hand.
fn without(given: &Given<'_>, step: &Step, undo: &[String], built: bool) -> Option<String> {
    if !step.changes() || !undo.is_empty() {
        return None;
    }
    if !step.targets.is_empty() {
        return Some("every target is in this state already: nothing is touched, nothing is undone.".to_owned());
    }
    if !built {
        return Some(format!("this version of firedrill takes `{}` in files and does not run it yet.", step.name));
    }
    let made = given.words.runbook(given.start.as_ref());
    Some(match given.environment {
        None => format!("its commands are made of what is there now, which nobody looked up: make this runbook with an environment, `{made}`."),
        Some(_) => format!(
            "its targets could not be looked up, so there are no commands. Mend what the plan refuses, and make this runbook again: `{made}`."
        ),
    })
}

/// The commands of a step for these of its targets, as few lines; with named blanks where none was looked up.
#[must_use]
pub fn lines(step: &Step, targets: &[&Target], of: fn(&ByHand) -> &Vec<String>) -> Vec<String> {
    let pattern = step.pattern.as_ref().filter(|_| step.targets.is_empty()).map(|pattern| ("", of(pattern).as_slice()));
    let own = targets.iter().map(|target| (target.identity.as_str(), of(&target.by_hand).as_slice()));
    commands::lines(&pattern.into_iter().chain(own).collect::<Vec<_>>())
}
