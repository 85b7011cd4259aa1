//! Everything that the templates name, as plain data, in the order of the page.

use serde_json::{Value, json};

use super::timeline::{Times, rows};
use super::{Given, announcements, card, count, outcome, reading, steps, texts};
use crate::clock::Timestamp;
use crate::event::{ObjectiveInfo, StepKind};
use crate::plan::unresolved;
use crate::report::words;

/// Rows that are left free for the scribe.
const FREE: usize = 30;

/// The document as data.
#[must_use]
pub fn view(given: &Given<'_>) -> Value {
    let drill = &given.drill.spec;
    let times = Times::of(drill, &given.steps, given.baseline);
    let recorded = outcome::run(given);
    let title = if recorded.is_null() { "Runbook" } else { "Post-game report" };
    let card = card::card(given);
    let run = recorded["run"].as_str().map_or_else(|| format!("runbook of {}", given.drill.metadata.name), |run| format!("run {run}"));
    json!({
        "sort": title,
        "title": drill.summary,
        "drill": given.drill.metadata.name,
        "run": run,
        "environment": given.environment.map(|place| place.name),
        "lookedUp": given.environment.is_some(),
        "embedded": given.is_embedded(),
        "firedrill": env!("CARGO_PKG_VERSION"),
        "made": words::minute(given.made),
        "expires": expires(given),
        "start": given.start.map(|start| json!({"at": start.text(), "utc": Some(start.utc()).filter(|utc| *utc != start.text()), "zone": start.zone()})),
        "hypothesis": drill.hypothesis,
        "owner": drill.owner,
        "failedRegion": drill.failed_region,
        "survivingRegions": drill.surviving_regions.join(", "),
        "facts": {
            "baseline": words::duration(given.baseline),
            "hold": words::duration(*drill.hold),
            "undoBy": words::duration(*drill.undo_by),
            "shortest": words::duration(times.end().from),
            "longest": words::duration(times.end().to),
        },
        "scope": scope(given),
        "refusals": given.refusals,
        "warnings": given.warnings,
        "commands": {
            "plan": given.words.plan(),
            "run": given.words.run(),
            "abort": format!("{} --wait", given.words.of("abort", "latest")),
            "status": given.words.status(),
            "resume": given.words.of("resume", "latest"),
            "report": given.words.of("report", "latest"),
            "sweep": given.words.sweep(),
            "sweepApply": given.words.sweep_apply(),
            "sweepStay": given.stay(times.gate.is_some()),
            "card": given.words.card("latest"),
            "record": given.words.record("latest"),
            "runbook": recorded["run"].as_str().map_or_else(|| given.words.runbook(given.start.as_ref()), |run| given.words.record(run)),
        },
        "roles": texts::roles(given),
        "handover": texts::HANDOVER,
        "ends": texts::ends(given, times.gate.is_some()),
        "checklist": texts::checklist(given, &times, card["missing"].as_str()),
        "announcements": announcements::announcements(given, &times),
        "timeline": rows(given, &times),
        "steps": steps::all(given, &times),
        "stops": texts::stops(given),
        "card": card,
        "gate": card::gate(given),
        "objectives": given.objectives.iter().map(|it| objective(given, it)).collect::<Vec<_>>(),
        "prepared": announcements::prepared(given),
        "ways": ways(given),
        "log": outcome::log(given),
        "free": (0..FREE).collect::<Vec<_>>(),
        "debrief": texts::DEBRIEF.map(|(question, hint)| json!({"question": question, "hint": hint})),
        "glossary": texts::GLOSSARY.map(|(word, meaning)| json!({"word": word, "meaning": meaning})),
        "record": recorded,
    })
}

/// Until when the commands of this runbook are good: some carry the deadline of their fault.
fn expires(given: &Given<'_>) -> Option<String> {
    let begin: Timestamp = given.start.map_or(given.made, |start| start.instant());
    let looked_up = given.environment.is_some() && given.record.is_none();
    let due = begin.plus(given.baseline).plus(*given.drill.spec.undo_by);
    looked_up.then(|| match given.start {
        Some(start) => start.clock(super::calendar::Moment::after(given.baseline + *given.drill.spec.undo_by)),
        None => words::minute(due),
    })
}

fn scope(given: &Given<'_>) -> Value {
    let changing = || given.steps.iter().filter(|step| step.changes());
    let row = |step: &super::Step| {
        let touched = step.targets.iter().filter(|target| !target.noop).count();
        json!({
            "id": step.id,
            "kind": words::step_kind(step.kind),
            "name": step.name,
            "targets": if step.targets.is_empty() { "not looked up".to_owned() } else { count(touched, "target") },
            "radius": step.radius.join("; "),
        })
    };
    let touched: usize = changing().map(|step| step.targets.iter().filter(|target| !target.noop).count()).sum();
    let unknown = changing().any(|step| step.targets.is_empty());
    json!({
        "rows": changing().map(row).collect::<Vec<_>>(),
        "targets": if unknown { "The plan looks the targets up".to_owned() } else { format!("{} in all", count(touched, "target")) },
        "limits": texts::limits(given),
        "faults": changing().filter(|step| step.kind == StepKind::Fault).count(),
    })
}

fn objective(given: &Given<'_>, info: &ObjectiveInfo) -> Value {
    let spec = given.drill.spec.objectives.iter().find(|objective| objective.id == info.id);
    let read = spec.map(|spec| reading::by_hand(&spec.probe, given.environment.as_ref()));
    let from = info.clock_from.as_ref().map_or_else(|| "the first fault".to_owned(), |step| format!("step `{step}`"));
    let mut wants = Vec::new();
    wants.extend(info.recover_within.map(|span| {
        format!("good again within {} of {from}, and then good for {} on end (RTO)", words::duration(*span), words::duration(*info.stable_for))
    }));
    wants.extend(info.availability.map(|share| {
        let since = info.recover_within.map_or_else(|| from.clone(), |span| format!("{} after {from}", words::duration(*span)));
        format!("{} of the readings good, from {since} until undo begins", words::percent(share))
    }));
    wants.extend(info.detect_within.map(|span| format!("quiet before the fault, then fires within {} of {from} (MTTD)", words::duration(*span))));
    wants.extend(info.lose_at_most.map(|span| match words::duration(*span).as_str() {
        "0 s" => "nothing that was accepted is lost (RPO)".to_owned(),
        age => format!("nothing that was accepted more than {age} before {from} is lost (RPO)"),
    }));
    json!({
        "id": info.id,
        "probe": info.probe,
        "wants": wants,
        "interval": words::duration(*info.interval),
        "good": read.as_ref().map(|read| match info.detect_within {
            Some(_) => format!("quiet before the fault, firing after it. It fires when {}", read.good),
            None => read.good.clone(),
        }).unwrap_or_default(),
        "read": read.map(|read| read.commands),
        "dependsOn": info.depends_on.join(", "),
        "results": outcome::objective(given, &info.id),
    })
}

/// Ways in for undoing, beside the machine at the keyboard: one for each place that the drill changes, or that the environment has.
fn ways(given: &Given<'_>) -> Vec<String> {
    let known = given.environment.map(|place| place.spec.clone());
    let region = |region: &str| if known.is_some() { format!(" ({region})") } else { String::new() };
    let spec = known.clone().unwrap_or_else(|| unresolved::environment(&given.drill.spec));
    let clusters =
        spec.kubernetes.iter().map(|cluster| format!("cluster `{}`{}: {}", cluster.name, region(&cluster.region), connection(&cluster.connection)));
    let accounts = spec.aws.iter().map(|account| {
        let role =
            account.undo_role_arn.as_ref().map_or("any role that `firedrill policy` lists for undo".to_owned(), |role| format!("role `{role}`"));
        format!("account `{}` (`{}`): {role}; regions {}", account.name, account.account, account.regions.join(", "))
    });
    let gateways = spec.gateways.iter().map(|gateway| {
        format!(
            "gateway `{}`: `firedrill gateway` on its own host; stopping the gateway's process ends every rule, and all calls through it",
            gateway.name
        )
    });
    accounts.chain(clusters).chain(gateways).collect()
}

fn connection(connection: &crate::drill::spec::ClusterConnection) -> String {
    match (&connection.kubeconfig_file, &connection.context) {
        (Some(file), _) => format!("kubeconfig `{file}`"),
        (None, Some(context)) => format!("context `{context}`"),
        (None, None) => "from inside the cluster".to_owned(),
    }
}
