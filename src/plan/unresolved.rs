//! What is known of a drill when nothing is looked up: its steps, and how each is done by hand, with named blanks. Calls nothing.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Plan, PlannedStep, planned};
use crate::clock::Timestamp;
use crate::drill::order::before;
use crate::drill::spec::{AwsAccount, Cluster, ClusterConnection, DrillSpec, EnvironmentSpec, GatewayConnection, GatewayRef, Step};
use crate::event::{Phase, StepKind};
use crate::fault::{ByHand, Kind, KindSource, RECORD_VERSION, Record};

/// The plan of a drill without an environment: no targets, no refusals. `run` stands in the names of what is made by hand.
#[must_use]
pub fn plan(run: &str, drill: &DrillSpec, kinds: &dyn KindSource) -> Plan {
    let one = |step: &Step| {
        let known = planned(step);
        if !matches!(known.kind, StepKind::Fault | StepKind::Action) {
            return known;
        }
        let opened = kinds.for_step(drill, step).ok();
        let pattern = opened.as_ref().and_then(|kind| pattern(run, drill, step, kind.as_ref()));
        PlannedStep { expiry: opened.map(|kind| kind.expiry()), pattern, ..known }
    };
    Plan { steps: drill.steps.iter().map(one).collect(), ..Plan::default() }
}

/// The commands of a step whose targets are not known. None: without a look-up there are none.
pub(super) fn pattern(run: &str, drill: &DrillSpec, step: &Step, kind: &dyn Kind) -> Option<ByHand> {
    let (target, blank) = kind.blank(run, &step.id)?;
    let record = Record {
        version: RECORD_VERSION,
        run: run.to_owned(),
        step: step.id.clone(),
        after: before(drill, &step.id).into_iter().collect(),
        kind: kind.name().to_owned(),
        action: step.action.is_some(),
        keep: step.keep,
        target,
        prior: blank.prior,
        ours: blank.ours,
        invert: kind.invert(),
        companions: blank.companions,
        undo_by: Timestamp::default(),
        phase: Phase::Planned,
    };
    Some(kind.by_hand(&record))
}

/// An environment that has every place which the drill's steps name, and nothing else: where each is, is a named blank.
#[must_use]
pub fn environment(drill: &DrillSpec) -> EnvironmentSpec {
    let named = |field: &str| {
        let parameters = drill.steps.iter().flat_map(|step| [serde_json::to_value(&step.fault), serde_json::to_value(&step.action)]);
        let inner = parameters.filter_map(|one| one.ok()?.as_object()?.values().next()?.get(field).and_then(Value::as_str).map(str::to_owned));
        inner.collect::<BTreeSet<String>>()
    };
    let regions: Vec<String> = std::iter::once(&drill.failed_region).chain(&drill.surviving_regions).cloned().collect();
    EnvironmentSpec {
        aws: (named("account").into_iter())
            .map(|name| AwsAccount {
                account: format!("<account {name}>"),
                name,
                regions: regions.clone(),
                role_arn: None,
                undo_role_arn: None,
                dead_man_role_arn: None,
            })
            .collect(),
        kubernetes: (named("cluster").into_iter())
            .map(|name| Cluster {
                uid: format!("<uid of cluster {name}>"),
                region: drill.failed_region.clone(),
                connection: ClusterConnection { context: Some(format!("<context of cluster {name}>")), ..ClusterConnection::default() },
                dns: None,
                name,
            })
            .collect(),
        gateways: (named("gateway").into_iter())
            .map(|name| GatewayRef {
                connection: GatewayConnection { socket: Some(format!("<socket of gateway {name}>")), ..GatewayConnection::default() },
                name,
            })
            .collect(),
        ..EnvironmentSpec::default()
    }
}
