//! What a drill will touch: frozen targets, prior state, blast radius, reasons to refuse. Reads only.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};

use crate::clock::Timestamp;
use crate::drill::limits::default_limit;
use crate::drill::order::before;
use crate::drill::spec::{DrillSpec, EnvironmentSpec, Step};
use crate::event::{Phase, PlanInfo, StepInfo, StepKind, TargetInfo};
use crate::fault::params::FaultSpec;
use crate::fault::{ByHand, Expiry, Kind, KindError, KindSource, RECORD_VERSION, Record, TargetId};

pub mod unresolved;

/// Most readings of one step in flight.
const AT_ONCE: usize = 32;
/// At most so many targets are named in one sentence.
const NAMED: usize = 5;

/// What a drill will touch.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    /// The steps, in file order.
    pub steps: Vec<PlannedStep>,
    /// Undo has begun by then; faults with a deadline of their own are gone by then.
    pub undo_by: Timestamp,
    /// Reasons not to run; none may be ignored.
    pub refusals: Vec<Refusal>,
    /// What people should know before they run it.
    pub warnings: Vec<String>,
}

/// A reason not to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The step it concerns.
    pub step: Option<String>,
    /// One sentence.
    pub reason: String,
    /// The platform could not be asked.
    pub unreachable: bool,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.step {
            Some(step) => write!(f, "step '{step}': {}", self.reason),
            None => f.write_str(&self.reason),
        }
    }
}

/// A step, resolved.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedStep {
    /// Step id.
    pub id: String,
    /// What it is.
    pub kind: StepKind,
    /// Kind of fault or action, or `manual`, `wait`, `check`.
    pub name: String,
    /// Its parameters, for people.
    pub summary: String,
    /// Steps it waits for.
    pub after: Vec<String>,
    /// Its limit, given or its kind's.
    pub limit: Duration,
    /// Its frozen targets.
    pub records: Vec<Record>,
    /// How each target's fault goes away when firedrill is dead.
    pub expiry: Option<Expiry>,
    /// How a person does it by hand, one for each record.
    pub by_hand: Vec<ByHand>,
    /// The same with named blanks, where no target was found; see [`unresolved`].
    pub pattern: Option<ByHand>,
    /// What is touched, in counts and shares.
    pub radius: Vec<String>,
    /// How many targets of this kind there are in each place; empty where a share means nothing.
    pub population: BTreeMap<String, usize>,
}

/// Resolves a bound drill against an environment. `begin` is when the first mutation may come; `run` names what is made.
pub async fn resolve(run: &str, drill: &DrillSpec, environment: &EnvironmentSpec, kinds: &dyn KindSource, begin: Timestamp) -> Plan {
    let mut plan = Plan { undo_by: begin.plus(*drill.undo_by), ..Plan::default() };
    for step in &drill.steps {
        let planned = plan_step(run, drill, environment, kinds, step, &mut plan).await;
        plan.steps.push(planned);
    }
    refuse_overlaps(&mut plan);
    refuse_blast_radius(drill, environment, &mut plan);
    plan
}

/// A step of which nothing is known but what the drill says.
fn planned(step: &Step) -> PlannedStep {
    let (kind, name, summary, limit) = describe(step);
    PlannedStep {
        id: step.id.clone(),
        kind,
        name,
        summary,
        after: step.after.clone(),
        limit: step.limit.map_or(limit, |limit| *limit),
        records: Vec::new(),
        expiry: None,
        by_hand: Vec::new(),
        pattern: None,
        radius: Vec::new(),
        population: BTreeMap::new(),
    }
}

async fn plan_step(run: &str, drill: &DrillSpec, environment: &EnvironmentSpec, kinds: &dyn KindSource, step: &Step, plan: &mut Plan) -> PlannedStep {
    let mut planned = planned(step);
    if !matches!(planned.kind, StepKind::Fault | StepKind::Action) {
        return planned;
    }
    let mut refuse = |error: &KindError| {
        let unreachable = matches!(error, KindError::Unreachable(_));
        // That it is refused is said of every refusal.
        let reason = if let KindError::Refused(why) = error { why.clone() } else { error.to_string() };
        plan.refusals.push(Refusal { step: Some(step.id.clone()), reason, unreachable });
    };
    if planned.kind == StepKind::Fault && !environment.allow.faults.contains(&planned.name) {
        refuse(&KindError::Refused(format!("the environment does not allow fault '{}'; add it to allow.faults", planned.name)));
    }
    let opened = match kinds.for_step(drill, step) {
        Ok(opened) => opened,
        Err(error) => {
            refuse(&error);
            return planned;
        }
    };
    planned.pattern = unresolved::pattern(run, drill, step, opened.as_ref());
    plan.warnings.extend(opened.warnings().into_iter().map(|warning| format!("step '{}': {} {warning}", step.id, planned.name)));
    // Before anything else is read: what is missing would only be a worse message there.
    let allowed = match opened.missing().await {
        Ok(missing) => {
            missing.iter().for_each(|access| refuse(&KindError::Refused(format!("permission missing: {access}"))));
            missing.is_empty()
        }
        Err(error) => {
            refuse(&error);
            false
        }
    };
    if !allowed {
        refuse_staying(opened.as_ref(), environment, &mut planned, refuse);
        return planned;
    }
    match targets(run, drill, step, opened.as_ref(), plan.undo_by).await {
        Ok(records) if records.is_empty() => refuse(&KindError::Refused("matched 0 targets".to_owned())),
        Ok(records) => {
            match opened.examine(&records).await {
                Ok(examined) => {
                    examined.refusals.into_iter().for_each(|why| refuse(&KindError::Refused(why)));
                    plan.warnings.extend(examined.warnings.into_iter().map(|warning| format!("step '{}': {warning}", step.id)));
                    (planned.radius, planned.population) = (examined.radius, examined.population);
                }
                Err(error) => refuse(&error),
            }
            planned.by_hand = records.iter().map(|record| opened.by_hand(record)).collect();
            planned.pattern = None;
            planned.records = records;
        }
        Err(error) => refuse(&error),
    }
    refuse_staying(opened.as_ref(), environment, &mut planned, refuse);
    plan.warnings.extend(noop_warnings(&planned));
    planned
}

/// Once the step was read: whether an experiment of FIS ends by itself stands in its template.
fn refuse_staying(opened: &dyn Kind, environment: &EnvironmentSpec, planned: &mut PlannedStep, mut refuse: impl FnMut(&KindError)) {
    planned.expiry = Some(opened.expiry());
    if planned.kind == StepKind::Fault && opened.expiry() == Expiry::None && !environment.allow.no_dead_man {
        refuse(&KindError::Refused("the fault has no dead-man; the environment must say allow.noDeadMan: true".to_owned()));
    }
}

fn noop_warnings(step: &PlannedStep) -> Vec<String> {
    let noop: Vec<String> = step.records.iter().filter(|record| record.phase == Phase::Noop).map(|record| record.target.to_string()).collect();
    if noop.len() > NAMED {
        return vec![format!(
            "step '{}': {} targets are already in the fault state; they are left as they are: {}",
            step.id,
            noop.len(),
            some(&noop)
        )];
    }
    noop.iter().map(|target| format!("step '{}': {target} is already in the fault state; it is left as it is", step.id)).collect()
}

/// The first few names of many.
fn some(names: &[String]) -> String {
    let named = names.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > NAMED { format!("{named} and {} more", names.len() - NAMED) } else { named }
}

async fn targets(run: &str, drill: &DrillSpec, step: &Step, kind: &dyn Kind, undo_by: Timestamp) -> Result<Vec<Record>, KindError> {
    let after: Vec<String> = before(drill, &step.id).into_iter().collect();
    let record = |target: TargetId| async {
        let prepared = kind.prepare(run, &target, undo_by).await?;
        Ok(Record {
            version: RECORD_VERSION,
            run: run.to_owned(),
            step: step.id.clone(),
            after: after.clone(),
            kind: kind.name().to_owned(),
            action: step.action.is_some(),
            keep: step.keep,
            target,
            prior: prepared.prior,
            ours: prepared.ours,
            invert: kind.invert(),
            companions: prepared.companions,
            undo_by,
            phase: if prepared.noop { Phase::Noop } else { Phase::Planned },
        })
    };
    // Together: kinds answer many at once by one reading.
    futures::stream::iter(kind.resolve(run).await?).map(record).buffered(AT_ONCE).try_collect().await
}

fn describe(step: &Step) -> (StepKind, String, String, Duration) {
    let parameters = |value: Option<serde_json::Value>| {
        let inner = value.and_then(|value| value.as_object().and_then(|map| map.values().next().cloned()));
        inner.map_or_else(String::new, |inner| inner.to_string())
    };
    if let Some(fault) = &step.fault {
        let name = fault.one().map_or("", |kind| kind.name());
        return (StepKind::Fault, name.to_owned(), parameters(serde_json::to_value(fault).ok()), default_limit(name));
    }
    if let Some(action) = &step.action {
        let name = action.one().map_or("", |kind| kind.name());
        return (StepKind::Action, name.to_owned(), parameters(serde_json::to_value(action).ok()), default_limit(name));
    }
    if let Some(manual) = &step.manual {
        return (StepKind::Manual, "manual".to_owned(), format!("{}: {}", manual.role, manual.instruction), *manual.limit);
    }
    if let Some(wait) = &step.wait {
        return (StepKind::Wait, "wait".to_owned(), format!("for {}", wait.duration), *wait.duration);
    }
    let limit = step.check.as_ref().map_or(Duration::ZERO, |check| *check.limit);
    let summary = step.check.as_ref().map_or_else(String::new, |check| parameters(serde_json::to_value(&check.probe).ok()));
    (StepKind::Check, "check".to_owned(), summary, limit)
}

/// Two steps may not own the same target: the later one would record the earlier one's fault as its prior state.
fn refuse_overlaps(plan: &mut Plan) {
    let mut owner = BTreeMap::new();
    let mut shared: BTreeMap<(&str, &str), Vec<String>> = BTreeMap::new();
    for step in &plan.steps {
        for record in &step.records {
            if let Some(first) = owner.insert(&record.target, step.id.as_str()) {
                shared.entry((first, &step.id)).or_default().push(record.target.to_string());
            }
        }
    }
    let refusal = |((first, second), targets): ((&str, &str), Vec<String>)| {
        let many = if targets.len() > NAMED { format!("{} targets: ", targets.len()) } else { String::new() };
        let reason = format!("steps '{first}' and '{second}' both change {many}{}", some(&targets));
        Refusal { step: Some(second.to_owned()), reason, unreachable: false }
    };
    let refusals: Vec<Refusal> = shared.into_iter().map(refusal).collect();
    plan.refusals.extend(refusals);
}

fn refuse_blast_radius(drill: &DrillSpec, environment: &EnvironmentSpec, plan: &mut Plan) {
    let limits = [("drill", drill.limits.as_ref()), ("environment", environment.limits.as_ref())];
    let mut by_kind: BTreeMap<&str, usize> = BTreeMap::new();
    for step in plan.steps.iter().filter(|step| step.kind == StepKind::Fault) {
        *by_kind.entry(&step.name).or_default() += step.records.iter().filter(|record| record.phase != Phase::Noop).count();
    }
    let shares = shares(plan);
    let regions = failed_regions(drill);
    let mut refusals = Vec::new();
    for (whose, limits) in limits {
        let Some(limits) = limits else { continue };
        for (kind, count) in &by_kind {
            if limits.max_targets.is_some_and(|most| *count > most as usize) {
                refusals.push(format!(
                    "would touch {count} targets with {kind}; limits.maxTargets of the {whose} is {}",
                    limits.max_targets.unwrap_or(0)
                ));
            }
        }
        for (kind, (count, of)) in &shares {
            if let Some(most) = limits.max_percent.filter(|most| *count as f64 * 100.0 > most.0 * *of as f64) {
                let share = *count as f64 * 100.0 / (*of).max(1) as f64;
                refusals.push(format!("would touch {count} of {of} targets ({share:.0} %) with {kind}; limits.maxPercent of the {whose} is {most}"));
            }
        }
        if limits.max_regions.is_some_and(|most| regions.len() > most as usize) {
            let names: Vec<&str> = regions.iter().map(String::as_str).collect();
            refusals.push(format!(
                "would fail {} regions ({}); limits.maxRegions of the {whose} is {}",
                regions.len(),
                names.join(", "),
                limits.max_regions.unwrap_or(0)
            ));
        }
    }
    plan.refusals.extend(refusals.into_iter().map(|reason| Refusal { step: None, reason, unreachable: false }));
}

/// Of each kind that has a share: how many targets are touched, and how many there are in all places together.
fn shares(plan: &Plan) -> BTreeMap<String, (usize, usize)> {
    let mut found: BTreeMap<String, (usize, BTreeMap<&String, usize>)> = BTreeMap::new();
    for step in plan.steps.iter().filter(|step| step.kind == StepKind::Fault && !step.population.is_empty()) {
        let (count, population) = found.entry(step.name.clone()).or_default();
        *count += step.records.iter().filter(|record| record.phase != Phase::Noop).count();
        population.extend(step.population.iter().map(|(place, of)| (place, *of)));
    }
    found.into_iter().map(|(kind, (count, population))| (kind, (count, population.values().sum()))).collect()
}

fn failed_regions(drill: &DrillSpec) -> BTreeSet<String> {
    let named = |fault: &FaultSpec| {
        let value = serde_json::to_value(fault).ok()?;
        let parameters = value.as_object()?.values().next()?;
        Some(parameters.get("region")?.as_str()?.to_owned())
    };
    (drill.steps.iter()).filter_map(|step| step.fault.as_ref()).map(|fault| named(fault).unwrap_or_else(|| drill.failed_region.clone())).collect()
}

impl Plan {
    /// The plan as the event stream carries it.
    #[must_use]
    pub fn info(&self) -> PlanInfo {
        let target = |step: &PlannedStep, record: &Record, by_hand: &ByHand| TargetInfo {
            step: step.id.clone(),
            target: record.target.to_string(),
            prior: record.prior.clone(),
            ours: record.ours.clone(),
            expiry: if record.action { "never: an action" } else { step.expiry.map_or("", Expiry::text) }.to_owned(),
            noop: record.phase == Phase::Noop,
            undo_by_hand: by_hand.undo.clone(),
        };
        let targets =
            self.steps.iter().flat_map(|step| step.records.iter().zip(&step.by_hand).map(move |(record, by_hand)| target(step, record, by_hand)));
        PlanInfo { targets: targets.collect(), warnings: self.warnings.clone() }
    }

    /// The steps as the event stream carries them.
    #[must_use]
    pub fn step_infos(&self) -> Vec<StepInfo> {
        let info = |step: &PlannedStep| StepInfo {
            id: step.id.clone(),
            kind: step.kind,
            name: step.name.clone(),
            summary: step.summary.clone(),
            after: step.after.clone(),
            limit: step.limit.into(),
        };
        self.steps.iter().map(info).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::drill::spec::Limits;
    use crate::drill::text::Percent;
    use crate::fault::TargetId;

    /// A step with `touched` targets, `noop` of them already in the fault state.
    fn step(id: &str, name: &str, from: usize, touched: usize, noop: usize, population: &[(&str, usize)]) -> PlannedStep {
        let record = |index: usize| Record {
            version: RECORD_VERSION,
            run: "run".into(),
            step: id.into(),
            after: Vec::new(),
            kind: name.into(),
            action: false,
            keep: false,
            target: TargetId { place: "kubernetes/east".into(), id: format!("nodes/{index:03}") },
            prior: Value::Null,
            ours: Value::Null,
            invert: Value::Null,
            companions: Vec::new(),
            undo_by: Timestamp(0),
            phase: if index - from < noop { Phase::Noop } else { Phase::Planned },
        };
        PlannedStep {
            id: id.into(),
            kind: StepKind::Fault,
            name: name.into(),
            summary: String::new(),
            after: Vec::new(),
            limit: Duration::ZERO,
            records: (from..from + touched).map(record).collect(),
            expiry: None,
            by_hand: Vec::new(),
            pattern: None,
            radius: Vec::new(),
            population: population.iter().map(|(place, of)| ((*place).to_owned(), *of)).collect(),
        }
    }

    fn refused(steps: Vec<PlannedStep>, drill: Option<f64>, environment: Option<f64>) -> Vec<String> {
        let limits = |percent: Option<f64>| percent.map(|percent| Limits { max_percent: Some(Percent(percent)), ..Limits::default() });
        let drill = DrillSpec { limits: limits(drill), ..DrillSpec::default() };
        let environment = EnvironmentSpec { limits: limits(environment), ..EnvironmentSpec::default() };
        let mut plan = Plan { steps, ..Plan::default() };
        refuse_blast_radius(&drill, &environment, &mut plan);
        plan.refusals.into_iter().map(|refusal| refusal.reason).collect()
    }

    const BOTH: &[(&str, usize)] = &[("kubernetes/east", 30), ("kubernetes/west", 30)];

    #[test]
    fn a_limit_in_percent_is_a_share_of_all_places_together_and_may_be_reached() {
        assert_eq!(refused(vec![step("a", "nodeDrain", 0, 30, 0, BOTH)], Some(50.0), None), Vec::<String>::new());
        assert_eq!(
            refused(vec![step("a", "nodeDrain", 0, 31, 0, BOTH)], Some(50.0), None),
            ["would touch 31 of 60 targets (52 %) with nodeDrain; limits.maxPercent of the drill is 50%"]
        );
    }

    #[test]
    fn steps_of_one_kind_add_up_and_kinds_do_not() {
        let steps = |other: &str| vec![step("a", "nodeDrain", 0, 20, 0, BOTH), step("b", other, 30, 20, 0, BOTH)];
        assert_eq!(refused(steps("nodeDrain"), None, Some(50.0)).len(), 1);
        assert!(refused(steps("nodeDrain"), None, Some(50.0))[0].contains("40 of 60 targets (67 %)"));
        assert_eq!(refused(steps("nodeCordon"), None, Some(50.0)), Vec::<String>::new());
    }

    #[test]
    fn what_is_in_the_fault_state_already_is_not_counted() {
        assert_eq!(refused(vec![step("a", "nodeDrain", 0, 31, 1, BOTH)], Some(50.0), None), Vec::<String>::new());
    }

    #[test]
    fn a_kind_without_a_population_has_no_share() {
        assert_eq!(refused(vec![step("a", "gatewayRefuse", 0, 9, 0, &[])], Some(1.0), None), Vec::<String>::new());
    }

    #[test]
    fn the_stricter_of_drill_and_environment_holds() {
        let both = refused(vec![step("a", "nodeDrain", 0, 31, 0, BOTH)], Some(60.0), Some(10.0));
        assert_eq!(both, ["would touch 31 of 60 targets (52 %) with nodeDrain; limits.maxPercent of the environment is 10%"]);
    }

    #[test]
    fn many_targets_of_two_steps_are_one_sentence() {
        let mut plan = Plan { steps: vec![step("a", "nodeDrain", 0, 30, 0, BOTH), step("b", "nodeCordon", 10, 30, 0, BOTH)], ..Plan::default() };
        refuse_overlaps(&mut plan);
        let [refusal] = plan.refusals.as_slice() else { panic!("{:?}", plan.refusals) };
        assert_eq!(refusal.step.as_deref(), Some("b"));
        assert!(refusal.reason.starts_with("steps 'a' and 'b' both change 20 targets: kubernetes/east/nodes/010, "), "{}", refusal.reason);
        assert!(refusal.reason.ends_with(" and 15 more"), "{}", refusal.reason);
    }

    #[test]
    fn many_targets_in_the_fault_state_are_one_warning() {
        assert_eq!(noop_warnings(&step("a", "nodeDrain", 0, 30, 0, BOTH)), Vec::<String>::new());
        assert_eq!(noop_warnings(&step("a", "nodeDrain", 0, 30, 2, BOTH)).len(), 2);
        let many = noop_warnings(&step("a", "nodeDrain", 0, 30, 20, BOTH));
        assert!(many.len() == 1 && many[0].contains("20 targets are already in the fault state"), "{many:?}");
    }
}
