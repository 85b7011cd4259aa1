//! What became of a drill, from its run's record: times and results where the runbook had blanks.

use serde_json::{Value, json};

use super::{Given, Step, Target};
use crate::clock::Timestamp;
use crate::event::{Phase, StepKind, StepOutcome};
use crate::report::story::{StepStory, Story};
use crate::report::words;

/// The run as a whole; null without a record.
#[must_use]
pub fn run(given: &Given<'_>) -> Value {
    let Some((story, card)) = given.record else { return Value::Null };
    let header = story.header.as_deref();
    let ended = story.ended.as_ref();
    json!({
        "run": header.map(|header| header.run.as_str()),
        "began": words::instant(story.began),
        "ended": ended.map(|end| words::instant(end.at)),
        "goingOn": story.going_on(),
        "verdict": words::headline(story, card),
        "cleanliness": if story.going_on() { "going on" } else { words::cleanliness(card.cleanliness) },
        "reason": card.reason,
        "score": card.score.map(|score| format!("{score:.0} of 100")),
        "exitCode": ended.map(|end| end.exit_code),
        "t0": story.t0().map(words::instant),
        "inPlace": story.in_place().map(|target| target.target.as_str()).collect::<Vec<_>>(),
        "report": story.command("report"),
    })
}

/// A moment of the run as the offsets of the runbook count: from its start.
fn offset(story: &Story, at: Timestamp) -> String {
    super::calendar::Moment::after(at.since(story.began)).offset()
}

/// What became of a step; none without a record.
#[must_use]
pub fn step(given: &Given<'_>, id: &str) -> Option<Value> {
    let (story, _) = given.record?;
    let it = story.steps.iter().find(|step| step.info.id == id)?;
    let began = it.sent.or(it.began);
    Some(json!({
        "began": began.map(|at| offset(story, at)),
        "clock": began.and_then(|at| Some(given.start?.clock(super::calendar::Moment::after(at.since(story.began))))),
        "took": it.took(story.last).map(words::duration),
        "result": result(it),
    }))
}

fn result(it: &StepStory) -> String {
    let outcome = match &it.ended {
        Some((_, outcome)) => {
            let (word, why) = words::outcome(outcome);
            why.map_or_else(|| word.to_owned(), |why| format!("{word}: {why}"))
        }
        None if it.began.is_some() => "did not end".into(),
        None => "not begun".into(),
    };
    let verified = match (&it.verified, it.sent) {
        (Some((at, None)), Some(sent)) => format!(", verified in effect after {}", words::duration(at.since(sent))),
        (Some((_, Some(problem))), _) => format!(", NOT verified in effect: {problem}"),
        (None, Some(_)) if it.info.kind == StepKind::Fault && matches!(it.ended, Some((_, StepOutcome::Done))) => ", NOT verified in effect".into(),
        _ => String::new(),
    };
    format!("{outcome}{verified}")
}

/// What became of an objective: a line for each of its targets.
#[must_use]
pub fn objective(given: &Given<'_>, id: &str) -> Vec<Value> {
    let Some((_, card)) = given.record else { return Vec::new() };
    let rows = card.table.iter().filter(|row| row.objective == id);
    rows.map(|row| {
        json!({
            "verdict": words::objective_verdict(row.verdict),
            "target": row.target.map_or("–", words::target_kind),
            "wanted": row.wanted,
            "measured": row.measured,
        })
    })
    .collect()
}

/// The scribe's table, as far as the run itself knows it.
#[must_use]
pub fn log(given: &Given<'_>) -> Vec<Value> {
    let Some((story, _)) = given.record else { return Vec::new() };
    let mut moments: Vec<(Timestamp, String)> = vec![(story.began, "the run starts".to_owned())];
    moments.extend(story.baseline.as_ref().and_then(|it| {
        let said =
            if it.problems.is_empty() { "the baseline holds".to_owned() } else { format!("the baseline does not hold: {}", it.problems.join("; ")) };
        Some((it.ended?, said))
    }));
    for step in &story.steps {
        moments.extend(step.sent.or(step.began).map(|at| (at, format!("step {} begins", step.info.id))));
        moments.extend(step.asked.as_ref().zip(step.began).map(|((role, _), at)| (at, format!("{role} is asked for step {}", step.info.id))));
        moments.extend(step.ended.as_ref().map(|(at, _)| (*at, format!("step {}: {}", step.info.id, result(step)))));
        moments.extend(step.lost.iter().map(|(at, target, detail)| (*at, format!("{target} was removed by somebody else: {detail}"))));
    }
    moments.extend(story.hold.map(|(at, _)| (at, "the hold begins".to_owned())));
    moments.extend(story.stops.iter().map(|(at, reason, detail)| {
        let why = words::stop(*reason);
        (*at, if detail.is_empty() { format!("the run turns round: {why}") } else { format!("the run turns round: {why}: {detail}") })
    }));
    moments.extend(story.undo.iter().map(|(at, hurried)| (*at, if *hurried { "undo begins, hurried" } else { "undo begins" }.to_owned())));
    moments.extend(story.lifted.as_ref().map(|(at, left)| {
        (*at, if left.is_empty() { "every fault is lifted".to_owned() } else { format!("faults are NOT all lifted: {}", left.join(", ")) })
    }));
    moments.extend(story.region_healthy.as_ref().map(|(at, healthy, detail)| {
        (*at, if *healthy { "the region is healthy".to_owned() } else { format!("the region is NOT healthy: {detail}") })
    }));
    moments.extend(story.undone.as_ref().map(|it| {
        let left = if it.left.is_empty() { String::new() } else { format!("; STILL IN PLACE: {}", it.left.join(", ")) };
        let drifted =
            if it.drifted.is_empty() { String::new() } else { format!("; changed by somebody else, left alone: {}", it.drifted.join(", ")) };
        (it.at, format!("undo ends{left}{drifted}"))
    }));
    moments.extend(story.notes.iter().cloned());
    moments.extend(story.ended.as_ref().map(|it| (it.at, format!("the run ends: {}, exit {}", words::verdict(it.verdict), it.exit_code))));
    moments.sort_by_key(|(at, _)| *at);
    let row = |(at, what): (Timestamp, String)| {
        let clock = given.start.map(|start| start.clock(super::calendar::Moment::after(at.since(story.began))));
        json!({"at": offset(story, at), "clock": clock, "what": what})
    };
    moments.into_iter().map(row).collect()
}

/// Whether something of a target may be in place. Without a record everything may.
#[must_use]
pub fn may_be_in_place(given: &Given<'_>, step: &Step, target: &Target) -> bool {
    let Some((story, _)) = given.record else { return true };
    match given.phases.get(&(step.id.clone(), target.identity.clone())) {
        // A run that lives may still come to it.
        Some(Phase::Planned) | None => story.reader.alive && story.undo_began().is_none(),
        Some(phase) => !phase.is_closed(),
    }
}
