//! The abort card: one page with the commands that undo everything, in order. Faults first, then the gate, then fail-back.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::calendar::Moment;
use super::fold::fold;
use super::steps::lines_of;
use super::{Given, Step, Target, count, outcome, reading};
use crate::drill::order::before;
use crate::event::StepKind;
use crate::report::words;

/// Lines of paper of a step's commands on the card; a page holds little more.
const LINES: usize = 48;

/// Everything that the card says.
#[must_use]
pub fn card(given: &Given<'_>) -> Value {
    let drill = &given.drill.spec;
    let recorded = given.record.map(|(story, _)| story);
    let run = recorded.and_then(|story| story.header.as_deref()).map(|header| header.run.as_str());
    let faults: Vec<Value> = backwards(given, |step| step.kind == StepKind::Fault).filter_map(|step| part(given, step)).collect();
    let actions: Vec<Value> = backwards(given, Step::fails_back).filter_map(|step| part(given, step)).collect();
    let gate = if actions.is_empty() { None } else { gate(given) };
    let missing = missing(&faults, &actions, gate.as_ref());
    let named = run.unwrap_or("latest");
    let embedded = given.environment.is_some_and(|place| place.embedded);
    let alive = recorded.is_some_and(|story| story.reader.alive);
    json!({
        "of": run,
        "drill": given.drill.metadata.name,
        "environment": given.environment.map(|place| place.name),
        "region": drill.failed_region,
        "survivors": drill.surviving_regions.join(", "),
        "undoBy": undo_by(given),
        "missing": missing,
        "nothing": faults.is_empty() && actions.is_empty(),
        "recorded": recorded.is_some(),
        "alive": alive,
        // What a run that is over has begun is known; of any other the scribe knows it.
        "onlyBegun": recorded.is_none() || alive,
        "gone": recorded.is_some_and(|story| story.reader.gone) || embedded,
        "embedded": embedded,
        "abort": format!("{} --wait", given.words.of("abort", named)),
        "resume": given.words.of("resume", named),
        "sweep": given.words.sweep_apply(),
        "cardOfRun": given.words.card("latest"),
        "runbook": given.words.record(named),
        "marker": given.run,
        "ownNames": faults.iter().chain(&actions).any(|part| part["names"].as_array().is_some_and(|names| !names.is_empty())),
        "faults": faults,
        "gate": gate,
        "actions": actions,
        "kept": given.steps.iter().filter(|step| step.keep).map(|step| step.id.as_str()).collect::<Vec<_>>(),
    })
}

/// The question before fail-back; none in a drill without one.
#[must_use]
pub fn gate(given: &Given<'_>) -> Option<Value> {
    let drill = &given.drill.spec;
    let gate = drill.region_healthy.as_ref().filter(|_| given.steps.iter().any(Step::fails_back))?;
    let read = reading::by_hand(&gate.probe, given.environment.as_ref());
    Some(json!({
        "region": drill.failed_region,
        "good": read.good,
        "read": read.commands,
        "stableFor": words::duration(*gate.stable_for),
        "limit": words::duration(*gate.limit),
    }))
}

/// When undo begins at the latest: the instant, where it is known, and how long that is after the first change.
fn undo_by(given: &Given<'_>) -> Value {
    let length = *given.drill.spec.undo_by;
    let at = match (given.record, given.start) {
        (Some((story, _)), Some(start)) => story.t0().map(|first| start.clock(Moment::after(first.since(story.began) + length))),
        (None, Some(start)) => Some(start.clock(Moment::after(given.baseline + length))),
        (_, None) => None,
    };
    json!({"at": at, "after": words::duration(length)})
}

/// `3 blanks to fill in, 1 step without commands`. None: the card is ready.
fn missing(faults: &[Value], actions: &[Value], gate: Option<&Value>) -> Option<String> {
    let parts = || faults.iter().chain(actions);
    let lines = parts().map(|part| &part["blanks"]).chain(gate.map(|gate| &gate["read"]));
    let mut all = BTreeSet::new();
    lines.flat_map(|lines| lines.as_array().into_iter().flatten()).filter_map(Value::as_str).for_each(|line| all.extend(blanks(line)));
    let without = parts().filter(|part| !part["without"].is_null()).count();
    let said = [(all.len(), "blank", "to fill in"), (without, "step", "without commands")];
    let said = said.iter().filter(|(count, ..)| *count > 0).map(|(number, one, how)| format!("{} {how}", count(*number, one)));
    Some(said.collect::<Vec<_>>().join(", ")).filter(|said| !said.is_empty())
}

/// The named blanks in a text: `<each node of step drained>`.
fn blanks(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices('<').filter_map(|(at, _)| {
        let inside = &text[at + 1..][..text[at + 1..].find('>')?];
        (inside.starts_with(|first: char| first.is_ascii_lowercase()) && !inside.contains('<')).then_some(inside)
    })
}

/// Steps that stand before what comes after them last.
fn backwards<'a>(given: &'a Given<'_>, wanted: fn(&Step) -> bool) -> impl Iterator<Item = &'a Step> {
    let mut left: Vec<(&Step, BTreeSet<String>)> = given.steps.iter().map(|step| (step, before(&given.drill.spec, &step.id))).collect();
    let mut order = Vec::new();
    // The last in the file of those that nothing left comes after.
    while let Some(at) = (0..left.len()).rev().find(|at| left.iter().all(|(_, before)| !before.contains(&left[*at].0.id))) {
        order.push(left.remove(at).0);
    }
    order.into_iter().filter(move |step| wanted(step))
}

/// A step on the card; none when nothing of it can be in place.
fn part(given: &Given<'_>, step: &Step) -> Option<Value> {
    let open: Vec<&Target> = step.targets.iter().filter(|target| !target.noop && outcome::may_be_in_place(given, step, target)).collect();
    let pattern = step.pattern.as_ref().filter(|_| step.targets.is_empty());
    if open.is_empty() && (given.record.is_some() || !step.targets.is_empty()) {
        return None;
    }
    let all = pattern.map_or_else(|| lines_of(open.iter().copied(), |by_hand| &by_hand.undo), |pattern| pattern.undo.clone());
    let without = all.is_empty().then_some("no commands: its targets were not looked up when this was made");
    let elsewhere = all.iter().map(|line| fold(line).len()).sum::<usize>() > LINES;
    Some(json!({
        "number": given.steps.iter().position(|other| other.id == step.id).map(|at| at + 1),
        "id": step.id,
        "name": step.name,
        "targets": if open.is_empty() { None } else { Some(count(open.len(), "target")) },
        "without": without,
        "blanks": if pattern.is_some() { all.clone() } else { Vec::new() },
        "names": if given.record.is_none() { own_names(&all, &given.run) } else { Vec::new() },
        "gateway": all.iter().any(|line| line.contains(" gateway remove ")),
        // What does not fit on the page: half a loop would be worse than none.
        "elsewhere": elsewhere,
        "lines": if elsewhere { Vec::new() } else { all },
    }))
}

/// What commands name after this runbook, as a run of firedrill names it: with RUN for the run's id.
fn own_names(lines: &[String], run: &str) -> Vec<String> {
    let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let mut names = BTreeSet::new();
    for token in lines.iter().flat_map(|line| line.split(|c| !part(c))) {
        let lower = run.to_lowercase();
        if token.contains(run) {
            names.insert(token.replace(run, "RUN"));
        } else if token.contains(&lower) {
            // Kubernetes takes small letters only.
            names.insert(token.replace(&lower, "run"));
        }
    }
    names.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_are_counted_once_and_no_comparison_is_taken_for_one() {
        let found: Vec<&str> = blanks("a '<each node of step x>' b '<url>/y' if 1 < 2 && 3 > 2").collect();
        assert_eq!(found, ["each node of step x", "url"]);
        let part = |lines: &[&str], without: Option<&str>| json!({"blanks": lines, "without": without});
        let told =
            missing(&[part(&["x '<a of step s>' '<a of step s>'"], None)], &[part(&[], Some("no commands"))], Some(&json!({"read": ["y <b>"]})));
        assert_eq!(told.as_deref(), Some("2 blanks to fill in, 1 step without commands"));
        assert_eq!(missing(&[part(&["x"], None)], &[], None), None);
    }

    #[test]
    fn a_run_has_names_of_its_own_in_the_place_of_the_runbook_s() {
        let lines = [
            "aws iam delete-role-policy --policy-name firedrill-01ABC-denied".to_owned(),
            "kubectl delete netpol/firedrill-01abc-cut-off".to_owned(),
        ];
        assert_eq!(own_names(&lines, "01ABC"), ["firedrill-RUN-denied", "firedrill-run-cut-off"]);
    }
}
