//! The policy for firedrill's own account: of each resource that its kinds touch, the fields that they own, and nothing else.
//!
//! RBAC gives `patch nodes`; whoever got hold of the account's token could relabel them, or give a Deployment another image. What undo writes must always
//! pass: it is the same fields, and what it deletes is known by a name that no edit of the object changes.

use super::policy::{Named, Policy, Reach, Request, Validation, same_but};
use crate::cluster::resource::{CONFIG_MAPS, DEPLOYMENTS, NETWORK_POLICIES, NODES, PODS, Resource, SERVICES, STATEFUL_SETS};
use crate::fault::kubernetes::dns_blackhole::AT as DNS;
use crate::fault::kubernetes::mark;

/// What the kinds do with one resource.
struct Owned {
    resource: Resource,
    /// When it is admitted. None: never.
    create: Option<String>,
    update: Option<String>,
    delete: Option<String>,
    /// What they change, for people.
    says: &'static str,
}

/// The policy. `namespace`: the operator's, where it keeps reports.
#[must_use]
pub fn policy(namespace: Option<&str>, account: &str) -> Policy {
    let owned = owned(namespace);
    Policy {
        name: "firedrill-account",
        about: "Firedrill's own account changes the fields that its kinds own, and nothing else of the objects that RBAC lets it write.",
        reach: Reach::Cluster,
        requests: owned.chunk_by(|one, next| one.resource.group == next.resource.group).map(request).collect(),
        conditions: vec![Named::new("it-is-firedrill", format!("request.userInfo.username == '{account}'"))],
        variables: variables(),
        validations: owned.iter().map(validation).collect(),
    }
}

fn request(of_group: &[Owned]) -> Request {
    Request { resources: of_group.iter().map(|one| one.resource).collect(), operations: &["CREATE", "UPDATE", "DELETE"] }
}

fn validation(one: &Owned) -> Validation {
    let Owned { resource, create, update, delete, says } = one;
    let admitted = [("CREATE", create), ("UPDATE", update), ("DELETE", delete)];
    let admitted: Vec<String> =
        admitted.into_iter().filter_map(|(operation, when)| Some(format!("(request.operation == '{operation}' && {})", when.as_ref()?))).collect();
    let not_this = format!("request.resource.resource != '{}'", resource.plural);
    Validation {
        expression: std::iter::once(not_this).chain(admitted).collect::<Vec<_>>().join(" || "),
        message: format!("of {} firedrill's own account only {says}; whatever else it does there is not a drill's", resource.plural),
        told: None,
    }
}

fn owned(namespace: Option<&str>) -> Vec<Owned> {
    let workload = |resource| Owned {
        resource,
        create: None,
        update: Some(format!("{REST} && {METADATA} && {ANNOTATIONS} && {}", spec_but("replicas"))),
        delete: None,
        says: "changes spec.replicas",
    };
    let marked = format!("{REST} && {METADATA} && {MARKS}");
    // Its name is the run's. Labels and annotations may have been taken off meanwhile, and it must go all the same.
    let ours = format!("variables.before.metadata.name.matches('{OF_A_RUN}')");
    let made = format!("variables.now.metadata.name.matches('{OF_A_RUN}')");
    let dns = format!("request.namespace == '{}' && request.name == '{}' && {MARKS} && {}", DNS.0, DNS.1, data_but(&["Corefile"]));
    let report = namespace.map(|namespace| {
        let ours = |object: &str| {
            format!(
                "request.namespace == '{namespace}' && {object}.metadata.name.endsWith('-report') && \
                 {object}.metadata.?ownerReferences.orValue([]).exists(owner, owner.kind == 'DrillRun')"
            )
        };
        (ours("variables.now"), format!("{ANNOTATIONS} && {}", ours("variables.before")))
    });
    let or = |first: String, second: Option<String>| match second {
        Some(second) => format!("(({first}) || ({second}))"),
        None => format!("({first})"),
    };
    let companion = format!(
        "{made} && '{}' in variables.now.metadata.?labels.orValue({{}}) && variables.now.?immutable.orValue(false) && variables.now.?data.orValue({{}}).all(key, key == 'record')",
        mark::RUN
    );
    vec![
        Owned {
            resource: NODES,
            create: None,
            update: Some(format!("{marked} && {}", spec_but("unschedulable"))),
            delete: None,
            says: "changes spec.unschedulable and its own annotations",
        },
        Owned { resource: PODS, create: None, update: None, delete: None, says: "asks for evictions" },
        Owned {
            resource: SERVICES,
            create: None,
            update: Some(format!("{marked} && {}", spec_but("selector"))),
            delete: None,
            says: "changes spec.selector and its own annotations",
        },
        Owned {
            resource: CONFIG_MAPS,
            create: Some(or(companion, report.as_ref().map(|(create, _)| create.clone()))),
            update: Some(format!("{DATA} && {METADATA} && {}", or(dns, report.map(|(_, update)| update)))),
            delete: Some(ours.clone()),
            says: "writes reports and records, and the Corefile of the cluster's DNS",
        },
        workload(DEPLOYMENTS),
        workload(STATEFUL_SETS),
        Owned {
            resource: NETWORK_POLICIES,
            create: Some(format!(
                "{made} && '{}' in variables.now.metadata.?annotations.orValue({{}}) && variables.now.spec.policyTypes == ['Egress']",
                mark::RUN
            )),
            update: None,
            delete: Some(ours),
            says: "creates and deletes those of egress that are named firedrill-RUN-STEP",
        },
    ]
}

/// What a run makes is named after it: its id is a ULID.
const OF_A_RUN: &str = "^firedrill-[0-9a-z]{26}-";

const REST: &str = "variables.rest";
const DATA: &str = "variables.onlyData";
const METADATA: &str = "variables.metadata";
const ANNOTATIONS: &str = "variables.annotations";
const MARKS: &str = "variables.marks";

/// `dyn`: what is a type to the API server's own check is a map to the expressions.
fn variables() -> Vec<Named> {
    let (now, before) = ("variables.now", "variables.before");
    let within = |path: &str| (format!("{now}.?{path}.orValue({{}})"), format!("{before}.?{path}.orValue({{}})"));
    let (metadata, old_metadata) = within("metadata");
    let (annotations, old_annotations) = within("metadata.?annotations");
    let written_by_the_server = ["annotations", "managedFields", "resourceVersion", "generation"];
    vec![
        Named::new("now", "dyn(object)"),
        Named::new("before", "dyn(oldObject)"),
        Named::new("rest", same_but(now, before, &["apiVersion", "kind", "metadata", "spec", "status"])),
        Named::new("onlyData", same_but(now, before, &["apiVersion", "kind", "metadata", "data"])),
        Named::new("metadata", same_but(&metadata, &old_metadata, &written_by_the_server)),
        Named::new("annotations", format!("{annotations} == {old_annotations}")),
        Named::new("marks", same_but(&annotations, &old_annotations, &[mark::RUN, mark::EXPIRES, mark::RECORD])),
    ]
}

fn spec_but(field: &str) -> String {
    same_but("variables.now.?spec.orValue({})", "variables.before.?spec.orValue({})", &[field])
}

fn data_but(keys: &[&str]) -> String {
    same_but("variables.now.?data.orValue({})", "variables.before.?data.orValue({})", keys)
}
