//! The policies for people, and for what acts for them: who writes, runs, schedules and approves a drill.
//!
//! `use` is a verb of RBAC that no request has: it is looked up by the expressions alone. `faults` and `actions` are no resources either; their names
//! are those of the kinds.

use super::policy::{Named, Policy, Reach, Request, Validation, list, same_but};
use crate::fault::params::{ActionSpec, FaultSpec};
use crate::operator::GROUP;
use crate::operator::resource::Resource;

/// Whether it is firedrill that asks.
const OPERATOR: &str = "variables.operator";
const WHO: &str = "request.userInfo.username";

/// Every policy that is about people. `account`: firedrill's own user name.
#[must_use]
pub fn policies(account: &str) -> Vec<Policy> {
    vec![
        kinds(Sort { policy: "firedrill-faults", one: "fault", many: "faults", names: FaultSpec::NAMES }),
        kinds(Sort { policy: "firedrill-actions", one: "action", many: "actions", names: ActionSpec::NAMES }),
        runs(account),
        approvals(),
        own_runs(),
    ]
}

/// What a drill may hold.
#[derive(Debug, Clone, Copy)]
struct Sort {
    policy: &'static str,
    /// As a step has it.
    one: &'static str,
    /// As rules of RBAC have it.
    many: &'static str,
    names: &'static [&'static str],
}

/// One validation for each kind: an expression may ask the authorizer twice, and no more.
fn kinds(sort: Sort) -> Policy {
    let Sort { policy, one, many, names } = sort;
    let validation = |name: &&str| Validation {
        expression: format!("!('{name}' in variables.kinds) || {}", may(many, &format!("'{name}'"))),
        message: format!("a drill with the {one} {name} takes the verb 'use' on {many}.{GROUP} '{name}'"),
        told: Some(format!(
            "'{one} {name}: ' + {WHO} + ' may not use it in namespace ' + request.namespace + '; a role with this rule allows all {many} of the drill: \
             apiGroups: [{GROUP}], resources: [{many}], resourceNames: [' + variables.kinds.join(', ') + '], verbs: [use]'"
        )),
    };
    Policy {
        name: policy,
        about: if one == "fault" {
            "Whoever writes a drill, or brings one in a run, needs the verb use on each kind of fault in it."
        } else {
            "Whoever writes a drill, or brings one in a run, needs the verb use on each kind of action in it."
        },
        reach: Reach::Namespace,
        requests: vec![Request { resources: vec![Resource::DRILL.api(), Resource::DRILL_RUN.api()], operations: &["CREATE", "UPDATE"] }],
        // Labels, finalizers and the abort of a run are anybody's: the garbage collector has no `use`, and who stops a drill needs none.
        conditions: vec![Named::new(
            "the-drill-changes",
            "request.operation == 'CREATE' || (request.resource.resource == 'drills' ? object.spec != oldObject.spec : object.spec.?frozenDrill != oldObject.spec.?frozenDrill)",
        )],
        variables: vec![
            Named::new(
                "steps",
                "request.resource.resource == 'drills' ? object.spec.steps : (has(object.spec.frozenDrill) ? object.spec.frozenDrill.steps : [])",
            ),
            Named::new(many, format!("variables.steps.filter(step, has(step.{one})).map(step, step.{one})")),
            Named::new("kinds", format!("{}.filter(kind, variables.{many}.exists({one}, kind in {one}))", list(names))),
        ],
        validations: names.iter().map(validation).collect(),
    }
}

/// Whether who asks may use an object or a kind.
fn may(resource: &str, name: &str) -> String {
    format!("authorizer.group('{GROUP}').resource('{resource}').namespace(request.namespace).name({name}).check('use').allowed()")
}

fn runs(account: &str) -> Policy {
    let used = |one: &str, many: &str| Validation {
        expression: format!("{OPERATOR} || {}", may(many, &format!("object.spec.{one}"))),
        message: format!("who runs or schedules a drill needs the verb 'use' on the {one}"),
        told: Some(format!(
            "{WHO} + ' may not use {one} ' + object.spec.{one} + ' in namespace ' + request.namespace + '; a role with this rule allows it: \
             apiGroups: [{GROUP}], resources: [{many}], resourceNames: [' + object.spec.{one} + '], verbs: [use]'"
        )),
    };
    let spec = same_but("object.spec", "oldObject.spec", &["suspend"]);
    Policy {
        name: "firedrill-runs",
        about: "Whoever runs or schedules a drill needs the verb use on the drill and on the environment, and says no name but his own.",
        reach: Reach::Namespace,
        requests: vec![
            Request { resources: vec![Resource::DRILL_RUN.api()], operations: &["CREATE"] },
            Request { resources: vec![Resource::DRILL_SCHEDULE.api()], operations: &["CREATE", "UPDATE"] },
        ],
        // Whoever may write a schedule at all may suspend it: nobody should need more to stop something than to let it go.
        conditions: vec![Named::new(
            "more-than-a-suspension",
            format!("request.operation == 'CREATE' || !({spec}) || (oldObject.spec.?suspend.orValue(false) && !object.spec.?suspend.orValue(false))"),
        )],
        variables: vec![Named::new("operator", format!("{WHO} == '{account}'")), Named::new("run", "request.resource.resource == 'drillruns'")],
        validations: vec![
            used("drill", "drills"),
            used("environment", "environments"),
            Validation {
                expression: format!("{OPERATOR} || !has(object.spec.requestedBy) || object.spec.requestedBy == {WHO}"),
                message: "spec.requestedBy is somebody else; it is who creates or changes the object".to_owned(),
                told: Some(format!(
                    "'spec.requestedBy is ' + object.spec.requestedBy + ', and the request is of ' + {WHO} + ': write your own name, or none'"
                )),
            },
            // `dyn`: a schedule has neither field, and the API server checks the types of every expression for both.
            Validation {
                expression: format!("!variables.run || {OPERATOR} == has(dyn(object).spec.scheduled)"),
                message: "spec.scheduled is set by firedrill alone, in runs that it makes for a DrillSchedule; leave it out".to_owned(),
                told: None,
            },
            Validation {
                expression: format!("!{OPERATOR} || !has(dyn(object).spec.frozenDrill)"),
                message: "firedrill's own runs name a drill, and bring none".to_owned(),
                told: None,
            },
        ],
    }
}

fn approvals() -> Policy {
    Policy {
        name: "firedrill-approvals",
        about: "An approval is that of the user who creates it.",
        reach: Reach::Namespace,
        requests: vec![Request { resources: vec![Resource::DRILL_APPROVAL.api()], operations: &["CREATE", "UPDATE"] }],
        conditions: vec![Named::new("the-approval-changes", "request.operation == 'CREATE' || object.spec != oldObject.spec")],
        variables: Vec::new(),
        validations: vec![Validation {
            expression: format!("object.spec.approver == {WHO}"),
            message: "spec.approver is somebody else; nobody approves in another one's name".to_owned(),
            told: Some(format!(
                "'spec.approver is ' + object.spec.approver + ', and the request is of ' + {WHO} + ': nobody approves in the name of another'"
            )),
        }],
    }
}

/// A policy cannot read the run that an approval names, but it can be asked about every run of the namespace.
fn own_runs() -> Policy {
    Policy {
        name: "firedrill-own-runs",
        about: "Nobody approves his own run.",
        reach: Reach::EachRun,
        requests: vec![Request { resources: vec![Resource::DRILL_APPROVAL.api()], operations: &["CREATE"] }],
        conditions: Vec::new(),
        variables: Vec::new(),
        validations: vec![Validation {
            expression: format!("params.metadata.name != object.spec.run || params.spec.?requestedBy.orValue('') != {WHO}"),
            message: "nobody approves his own run; ask somebody else".to_owned(),
            told: Some(format!("'DrillRun ' + object.spec.run + ' was requested by ' + {WHO} + ': nobody approves his own run, ask somebody else'")),
        }],
    }
}
