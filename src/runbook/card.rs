//! The abort card: one page with the commands that undo everything, in order. Faults first, then the gate, then fail-back.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::calendar::Moment;
use super::commands::{on_paper, shorten};
use super::steps::lines;
use super::{Given, Step, Target, count, outcome, reading};
use crate::drill::order::before;
use crate::event::StepKind;
use crate::report::words;

/// Lines of commands that a page holds beside the card's own words; those that each box and the gate take of them.
const PAGE: (usize, usize, usize) = (40, 2, 8);

/// Everything that the card says. A page, and the back of it where commands are too long for one.
#[must_use]
pub fn card(given: &Given<'_>) -> Value {
    let drill = &given.drill.spec;
    let recorded = given.record.map(|(story, _)| story);
    let run = recorded.and_then(|story| story.header.as_deref()).map(|header| header.run.as_str());
    let mut faults: Vec<Value> = backwards(given, |step| step.kind == StepKind::Fault).filter_map(|step| part(given, step)).collect();
    let mut actions: Vec<Value> = backwards(given, Step::fails_back).filter_map(|step| part(given, step)).collect();
    let mut gate = if actions.is_empty() { None } else { gate(given) };
    let missing = missing(&faults, &actions, gate.as_ref());
    let named = run.unwrap_or("latest");
    let embedded = given.is_embedded();
    let alive = recorded.is_some_and(|story| story.reader.alive);
    let (functions, back) = fit(&mut faults, &mut actions, gate.as_mut());
    json!({
        "of": run,
        "drill": given.drill.metadata.name,
        "environment": given.environment.map(|place| place.name),
        "region": drill.failed_region,
        "survivors": drill.surviving_regions.join(", "),
        "undoBy": undo_by(given),
        "dead": dead(given),
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
        "stay": given.stay(gate.is_some()),
        "cardOfRun": given.words.card("latest"),
        "functions": functions,
        "back": back,
        "marker": given.run,
        "ownNames": faults.iter().chain(&actions).any(|part| part["names"].as_array().is_some_and(|names| !names.is_empty())),
        "faults": faults,
        "gate": gate,
        "actions": actions,
        "kept": given.steps.iter().filter(|step| step.keep).map(|step| step.id.as_str()).collect::<Vec<_>>(),
    })
}

/// Sees to it that the card is one page: calls of a region become a function, then the longest blocks go to the back, each whole. The lines that define
/// the functions, and what is on the back.
fn fit(faults: &mut [Value], actions: &mut [Value], gate: Option<&mut Value>) -> (Vec<String>, Vec<Value>) {
    let (page, of_box, of_gate) = PAGE;
    let boxes = faults.len() + actions.len();
    let room = page.saturating_sub(of_box * boxes + if gate.is_some() { of_gate } else { 0 });
    let mut places: Vec<&mut Value> =
        faults.iter_mut().chain(&mut *actions).map(|part| &mut part["lines"]).chain(gate.map(|gate| &mut gate["read"])).collect();
    let mut blocks: Vec<Vec<String>> = places.iter_mut().map(|place| serde_json::from_value(place.take()).unwrap_or_default()).collect();
    let total = |blocks: &[Vec<String>]| blocks.iter().map(|block| on_paper(block)).sum::<usize>();
    let functions = if total(&blocks) > room { shorten(&mut blocks) } else { Vec::new() };
    let room = room.saturating_sub(functions.len());
    let mut behind = vec![false; blocks.len()];
    while (0..blocks.len()).filter(|at| !behind[*at]).map(|at| on_paper(&blocks[at])).sum::<usize>() > room {
        let Some(longest) = (0..boxes).filter(|at| !behind[*at]).max_by_key(|at| on_paper(&blocks[*at])) else { break };
        behind[longest] = true;
    }
    for (place, block) in places.iter_mut().zip(&blocks) {
        **place = json!(block);
    }
    let mut back = Vec::new();
    for part in faults.iter_mut().chain(actions).zip(behind).filter_map(|(part, behind)| behind.then_some(part)) {
        let letter = char::from(b'A' + u8::try_from(back.len()).unwrap_or(25).min(25));
        part["back"] = json!(letter);
        back.push(json!({"letter": letter, "id": part["id"], "lines": part["lines"].take()}));
    }
    (functions, back)
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

/// What becomes of the faults when nobody undoes them: what stays, then what ends by itself. None: no fault is left.
fn dead(given: &Given<'_>) -> Option<String> {
    let open = |step: &&Step| step.kind == StepKind::Fault && (given.record.is_none() || part(given, step).is_some());
    let named = |wanted: &dyn Fn(&str) -> bool| {
        let all = given.steps.iter().filter(open).filter(|step| step.expiry.as_deref().is_some_and(wanted));
        Some(all.map(|step| step.id.as_str()).collect::<Vec<_>>().join(", ")).filter(|all| !all.is_empty())
    };
    let itself = |expiry: &str| matches!(expiry, "own expiry" | "dead-man");
    let stays = named(&|expiry| !itself(expiry)).map(|all| format!("nothing undoes {all} but you"));
    let ends = named(&itself).map(|all| format!("{all} ends by itself, shortly after the time above"));
    Some(stays.into_iter().chain(ends).collect::<Vec<_>>().join("; ")).filter(|said| !said.is_empty()).map(|said| format!("{said}."))
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
    if open.is_empty() && (given.record.is_some() || !step.targets.is_empty()) {
        return None;
    }
    let all = lines(step, &open, |by_hand| &by_hand.undo);
    let without = all.is_empty().then_some("no commands: its targets were not looked up when this was made");
    Some(json!({
        "id": step.id,
        "name": step.name,
        "targets": if open.is_empty() { None } else { Some(count(open.len(), "target")) },
        "without": without,
        "blanks": if open.is_empty() { all.clone() } else { Vec::new() },
        "names": if given.record.is_none() { own_names(&all, &given.run) } else { Vec::new() },
        "remark": remark(given, step, &all),
        "lines": all,
        "back": Value::Null,
    }))
}

/// What whoever types the commands of a box must know first.
fn remark(given: &Given<'_>, step: &Step, lines: &[String]) -> Option<String> {
    let others = |wanted: fn(&Step) -> bool| {
        let all = given.steps.iter().filter(|other| other.id != step.id && wanted(other)).map(|other| other.id.as_str());
        Some(all.collect::<Vec<_>>().join(" and ")).filter(|all| !all.is_empty())
    };
    if lines.iter().any(|line| line.contains(" gateway remove ")) {
        return Some(
            "This one needs firedrill itself, on the gateway's own host. Without it, wait: the rule ends by itself at its deadline, then tick. Only if the incident commander says so: stop \
             the gateway's process, which ends every rule, and every call through it."
                .to_owned(),
        );
    }
    let mut all = Vec::new();
    if given.record.is_none() && lines.iter().any(|line| line.contains(" --ignore-not-found")) {
        all.push("After a run of firedrill, put its id in first (①): of a name that is not there, nothing is said.".to_owned());
    }
    if step.kind == StepKind::Action
        && step.name.ends_with("Scale")
        && let Some(moved) = others(|other| other.kind == StepKind::Action && !other.name.ends_with("Scale"))
    {
        all.push(format!("Only when {moved} is ticked and the TTL of its DNS records has passed since then: until it has, users still come here."));
    }
    if step.name == "launchRefusal"
        && let Some(stopped) = others(|other| other.name == "ec2Stop")
    {
        all.push(format!(
            "Only when {stopped} is ticked: a group that launches again replaces what is stopped, for good. Else the incident commander decides."
        ));
    }
    Some(all.join(" ")).filter(|all| !all.is_empty())
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
    fn a_card_is_a_page_and_its_longest_blocks_are_on_the_back_each_whole() {
        let part = |id: &str, lines: usize| json!({"id": id, "lines": vec!["kubectl uncordon a"; lines], "back": null});
        let (mut faults, mut actions, mut gate) = (vec![part("short", 3), part("long", 20)], vec![part("longest", 40)], json!({"read": ["look"]}));
        let (functions, back) = fit(&mut faults, &mut actions, Some(&mut gate));
        assert!(functions.is_empty());
        assert_eq!(back.iter().map(|block| (&block["letter"], &block["id"])).collect::<Vec<_>>(), [(&json!("A"), &json!("longest"))]);
        assert_eq!(back[0]["lines"].as_array().map(Vec::len), Some(40));
        assert_eq!((&actions[0]["back"], &actions[0]["lines"], &faults[1]["back"]), (&json!("A"), &Value::Null, &Value::Null));
        assert_eq!((faults[1]["lines"].as_array().map(Vec::len), &gate["read"]), (Some(20), &json!(["look"])));
    }

    #[test]
    fn calls_of_a_region_are_a_function_only_where_a_page_is_too_short() {
        let call = "aws --endpoint-url http://127.0.0.1:1 --region us-east-1 ec2 delete-network-acl --network-acl-id acl-0123456789 --dry-run";
        let part = |lines: usize| json!({"id": "x", "lines": vec![call; lines], "back": null});
        let told = |lines: usize| {
            let mut faults = vec![part(lines)];
            let (functions, back) = fit(&mut faults, &mut [], None);
            (functions.len(), back.len(), faults[0]["lines"][0].as_str().map(|line| line.starts_with("in_us_east_1 ec2 ")))
        };
        assert_eq!((told(5), told(35), told(60)), ((0, 0, Some(false)), (1, 0, Some(true)), (1, 1, None)));
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
