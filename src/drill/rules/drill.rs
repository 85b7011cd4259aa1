//! Rules of a drill as a whole: regions, objectives, steps and what they refer to.

use std::collections::HashMap;

use crate::drill::region;
use crate::drill::suggest::{did_you_mean, short};
use crate::drill::tree::{Node, Place, Value};

use super::{Findings, duration_of, graph, timing};

pub fn check(spec: &Node, found: &mut Findings<'_>) {
    regions(spec, found);
    let steps = spec.items_of("steps");
    let objectives = spec.items_of("objectives");
    unique(steps, "id", "step", found);
    unique(objectives, "id", "objective", found);
    let step_graph = graph::members(steps, "after");
    graph::check(&step_graph, found);
    graph::check(&graph::members(objectives, "dependsOn"), found);
    for objective in objectives {
        self::objective(objective, steps, found);
    }
    for step in steps {
        if let (Some(keep), None) = (step.entry("keep"), step.get("action")) {
            found.error(keep.at, "'keep' is for actions; a fault is always undone");
        }
        gate(step.get("check"), "check", found);
    }
    gate(spec.get("regionHealthy"), "regionHealthy", found);
    for abort in spec.items_of("abortWhen") {
        if let (Some(name), Some(node)) = (abort.text_of("objective"), abort.get("objective")) {
            refers(name, node.at, objectives, "objective", found);
        }
    }
    if let Some(entry) = spec.get("limits").and_then(|limits| limits.entry("maxRegions")) {
        found.error(entry.at, "'maxRegions' belongs to the environment");
    }
    let first_action = steps.iter().find(|step| step.get("action").is_some());
    if let (Some(action), None) = (first_action.and_then(|step| step.entry("action")), spec.get("regionHealthy")) {
        found.error_with_help(
            action.at,
            "missing field 'regionHealthy'",
            "a drill with actions needs it: the gate of fail-back says when traffic may return",
        );
    }
    timing::check(spec, &step_graph, found);
}

fn regions(spec: &Node, found: &mut Findings<'_>) {
    let Some(failed) = spec.text_of("failedRegion") else { return };
    let mut seen: Vec<&str> = Vec::new();
    for survivor in spec.items_of("survivingRegions") {
        let Some(name) = survivor.text() else { continue };
        if name == failed {
            found.error(survivor.at, format!("'{}' is the region that fails", short(name)));
        } else if seen.contains(&name) {
            found.error(survivor.at, format!("'{}' is named twice", short(name)));
        } else if region::partition(name) != region::partition(failed) {
            found.error(
                survivor.at,
                format!("'{}' is in partition {}, '{}' in {}", short(name), region::partition(name), short(failed), region::partition(failed)),
            );
        }
        seen.push(name);
    }
}

/// Reports the second and later uses of a name.
pub fn unique(list: &[Node], key: &str, what: &str, found: &mut Findings<'_>) {
    let mut seen: HashMap<&str, Place> = HashMap::new();
    for item in list {
        let (Some(name), Some(node)) = (item.text_of(key), item.get(key)) else { continue };
        match seen.get(name) {
            Some(first) => found.error(node.at, format!("duplicate {what} '{}' (first at {}:{})", short(name), first.line, first.column)),
            None => drop(seen.insert(name, node.at)),
        }
    }
}

fn refers(name: &str, at: Place, list: &[Node], what: &str, found: &mut Findings<'_>) {
    let ids = || list.iter().filter_map(|item| item.text_of("id"));
    if !ids().any(|id| id == name) {
        found.error(at, format!("no {what} '{}'{}", short(name), did_you_mean(name, ids())));
    }
}

fn objective(objective: &Node, steps: &[Node], found: &mut Findings<'_>) {
    const TARGETS: [&str; 4] = ["recoverWithin", "availability", "detectWithin", "loseAtMost"];
    if !matches!(objective.value, Value::Map(_)) {
        return;
    }
    let id = short(objective.text_of("id").unwrap_or("?"));
    // A misspelt target has been told; it was meant to be the one.
    let misspelt = objective.entries().iter().any(|entry| TARGETS.iter().any(|target| strsim::osa_distance(&entry.key, target) <= 3));
    if !TARGETS.iter().any(|target| objective.get(target).is_some()) && !misspelt {
        found.error(
            objective.at,
            format!("objective '{id}' has no target; give at least one of recoverWithin, availability, detectWithin or loseAtMost"),
        );
    }
    let probe = objective.get("probe");
    let prometheus = probe.and_then(|probe| probe.get("prometheus"));
    if let (Some(detect), Some(prometheus)) = (objective.entry("detectWithin"), prometheus)
        && prometheus.get("alive").is_none()
    {
        found.error_with_help(
            detect.at,
            format!("objective '{id}': detectWithin needs 'alive'"),
            "an empty vector is what 'not firing' looks like; alive tells it from a source that measures nothing",
        );
    }
    let canary = probe.is_some_and(|probe| probe.get("canary").is_some());
    if let (Some(lose), false, true) = (objective.entry("loseAtMost"), canary, probe.is_some_and(|probe| !probe.entries().is_empty())) {
        found.error(lose.at, format!("objective '{id}': loseAtMost needs a canary probe"));
    }
    readings(objective, found);
    if let (Some(name), Some(node)) = (objective.text_of("clockFrom"), objective.get("clockFrom")) {
        refers(name, node.at, steps, "step", found);
    }
}

/// A gate is read as objectives are.
fn gate(gate: Option<&Node>, what: &str, found: &mut Findings<'_>) {
    let Some(gate) = gate else { return };
    readings(gate, found);
    if let (Some(stable), Some(limit), Some(entry)) = (duration_of(gate, "stableFor"), duration_of(gate, "limit"), gate.entry("stableFor"))
        && stable >= limit
    {
        found.error(entry.at, format!("{what}: stableFor {stable} does not fit its limit {limit}"));
    }
}

/// A reading must be over before the next one begins.
pub fn readings(node: &Node, found: &mut Findings<'_>) {
    if let (Some(timeout), Some(interval), Some(entry)) = (duration_of(node, "timeout"), duration_of(node, "interval"), node.entry("timeout"))
        && timeout > interval
    {
        found.error(entry.node.at, format!("timeout {timeout} is longer than the interval {interval}"));
    }
}
