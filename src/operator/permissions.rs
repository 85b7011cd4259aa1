//! What the operator itself may do in its namespace, and what a gateway may that watches one, in one place: the chart's roles are made from it. What faults
//! need comes with their kinds.

use super::resource::Resource;

/// A rule of a role: verbs on a resource of the operator's namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// API group; empty for the core group.
    pub group: &'static str,
    /// Plural name, with its subresource.
    pub resource: &'static str,
    /// As in RBAC.
    pub verbs: &'static [&'static str],
    /// Why.
    pub why: &'static str,
}

const fn rule(group: &'static str, resource: &'static str, verbs: &'static [&'static str], why: &'static str) -> Rule {
    Rule { group, resource, verbs, why }
}

const OURS: &str = super::GROUP;

/// Beside these, `get` of the namespace `kube-system`: a cluster is known by its uid.
pub const NAMESPACED: [Rule; 15] = [
    rule(OURS, Resource::DRILL.plural, &["list", "watch"], "what runs and schedules name"),
    rule(OURS, "drills/status", &["patch"], "whether it is valid"),
    rule(OURS, Resource::ENVIRONMENT.plural, &["list", "watch"], "what runs and schedules name"),
    rule(OURS, "environments/status", &["patch"], "whether it is valid"),
    rule(OURS, Resource::DRILL_SCHEDULE.plural, &["list", "watch"], "when runs start"),
    rule(OURS, "drillschedules/status", &["patch"], "what was decided"),
    rule(
        OURS,
        Resource::DRILL_RUN.plural,
        &["get", "list", "watch", "create", "patch", "delete"],
        "a schedule's runs; its own finalizer; spec.abort",
    ),
    rule(OURS, "drillruns/status", &["patch"], "how far it is"),
    rule(OURS, Resource::DRILL_APPROVAL.plural, &["list", "watch"], "who has said yes"),
    rule(OURS, "drillapprovals/status", &["patch"], "whether it counts"),
    rule(
        OURS,
        Resource::DRILL_JOURNAL.plural,
        &["get", "list", "create", "patch", "delete"],
        "what undo needs; delete: events that were never committed",
    ),
    rule(OURS, "drilljournals/status", &["patch"], "phases of records"),
    rule("", "configmaps", &["create", "patch"], "reports"),
    rule("events.k8s.io", "events", &["create"], "what people read"),
    rule("coordination.k8s.io", "leases", &["get", "create", "patch"], "who leads"),
];

/// A gateway that watches a namespace, in that namespace; nothing beside these.
pub const GATEWAY: [Rule; 2] = [
    rule(OURS, Resource::GATEWAY_RULE.plural, &["list", "watch"], "which rules are in force"),
    rule(OURS, "gatewayrules/status", &["patch"], "what became of them"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gateway_follows_the_resource_that_is_defined() {
        assert_eq!(Resource::GATEWAY_RULE.api(), crate::cluster::resource::GATEWAY_RULES);
    }
}
