//! Rules of time: does everything fit undoBy, and can the drill pass at all.

use std::time::Duration;

use crate::drill::limits::default_limit;
use crate::drill::suggest::short;
use crate::drill::text::DurationText;
use crate::drill::tree::{Node, Value};

use super::graph::{Member, ancestors, longest};
use super::{Findings, duration_of};

pub fn check(spec: &Node, graph: &[Member<'_>], found: &mut Findings<'_>) {
    let steps = spec.items_of("steps");
    undo_by(spec, steps, graph, found);
    let hold = duration_of(spec, "hold");
    for objective in spec.items_of("objectives") {
        can_pass(spec, objective, hold, found);
        if let Some(within) = duration_of(objective, "recoverWithin") {
            waits_for_people(objective, within, steps, graph, found);
        }
    }
    for abort in spec.items_of("abortWhen") {
        let objective = spec
            .items_of("objectives")
            .iter()
            .find(|objective| objective.get("id").is_some() && objective.text_of("id") == abort.text_of("objective"));
        let within = objective.and_then(|objective| duration_of(objective, "recoverWithin"));
        if let (Some(within), Some(window), Some(entry)) = (within, duration_of(abort, "for"), abort.entry("for"))
            && window <= within
        {
            found.warning(
                entry.node.at,
                format!("abortWhen for {window} is no longer than recoverWithin {within}: the drill ends before it may recover"),
            );
        }
    }
    let whole = !steps.is_empty() && steps.iter().all(|step| matches!(step.value, Value::Map(_)));
    if let Some(entry) = spec.entry("steps").filter(|_| whole && !steps.iter().any(|step| step.get("fault").is_some())) {
        found.warning(entry.at, "no step is a fault: no clock starts, and nothing is proved");
    }
}

/// The limit of a step; nothing when it cannot be told.
fn limit(step: &Node) -> Option<Duration> {
    let given = |node: &Node, key: &str| node.get(key).map(|_| duration_of(node, key).map(|limit| *limit));
    let own = ["manual", "check"].iter().find_map(|key| given(step.get(key)?, "limit")).or_else(|| given(step.get("wait")?, "for"));
    if let Some(limit) = given(step, "limit").or(own) {
        return limit;
    }
    let kind = step.get("fault").or_else(|| step.get("action"))?.entries().first()?;
    Some(default_limit(&kind.key))
}

fn undo_by(spec: &Node, steps: &[Node], graph: &[Member<'_>], found: &mut Findings<'_>) {
    let (Some(undo_by), Some(hold), Some(entry)) = (duration_of(spec, "undoBy"), duration_of(spec, "hold"), spec.entry("undoBy")) else { return };
    // A step without an id is not in the graph: it has been told.
    let limits: Option<Vec<Duration>> = (graph.len() == steps.len()).then(|| steps.iter().map(limit).collect()).flatten();
    let Some(ends) = limits.and_then(|limits| longest(graph, &limits)) else { return };
    let needed = ends.into_iter().max().unwrap_or_default();
    let total = needed + *hold;
    if total > *undo_by {
        let (needed, over) = (DurationText(needed), DurationText(total - *undo_by));
        found.error_with_help(
            entry.node.at,
            format!("steps ({needed}) + hold ({hold}) exceed undoBy {undo_by} by {over}"),
            "steps counts the longest path of limits; a step without a limit has its kind's default, which plan shows",
        );
    }
}

fn can_pass(spec: &Node, objective: &Node, hold: Option<DurationText>, found: &mut Findings<'_>) {
    let at = spec.entry("hold").map(|entry| entry.node.at).unwrap_or_default();
    let id = short(objective.text_of("id").unwrap_or("?"));
    let interval = duration_of(objective, "interval");
    if let (Some(hold), Some(within)) = (hold, duration_of(objective, "recoverWithin")) {
        let stable = duration_of(objective, "stableFor").unwrap_or(DurationText(Duration::from_secs(30)));
        if *hold < *within + *stable {
            found.warning(
                at,
                format!("hold {hold} is shorter than recoverWithin {within} + stableFor {stable} of objective '{id}': a late recovery is not seen"),
            );
        }
    }
    if let (Some(hold), Some(within)) = (hold, duration_of(objective, "detectWithin"))
        && hold < within
    {
        found.warning(at, format!("hold {hold} is shorter than detectWithin {within} of objective '{id}': a late detection is not seen"));
    }
    for key in ["recoverWithin", "detectWithin"] {
        // The error bar is an interval: the upper bound of the first reading is past the target already.
        if let (Some(within), Some(interval), Some(entry)) = (duration_of(objective, key), interval, objective.entry(key))
            && within < interval
        {
            found.warning(entry.node.at, format!("{key} {within} is shorter than the interval {interval}: no reading can prove it"));
        }
    }
}

/// A person may take as long as the limit allows; the recovery that waits for them then comes too late.
fn waits_for_people(objective: &Node, within: DurationText, steps: &[Node], graph: &[Member<'_>], found: &mut Findings<'_>) {
    let Some(entry) = objective.entry("recoverWithin") else { return };
    let manual = |id: &str| steps.iter().find(|step| step.text_of("id") == Some(id)).and_then(|step| duration_of(step.get("manual")?, "limit"));
    for action in steps.iter().filter(|step| step.get("action").is_some()) {
        let Some(id) = action.text_of("id") else { continue };
        let slow = ancestors(graph, id).into_iter().find_map(|before| manual(before).filter(|limit| *limit >= within).map(|limit| (before, limit)));
        if let Some((before, limit)) = slow {
            let message = format!("recoverWithin {within}, but the shift '{}' waits for manual step '{}' (limit {limit})", short(id), short(before));
            return found.warning(entry.node.at, message);
        }
    }
}
