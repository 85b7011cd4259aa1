//! The resources that firedrill reads and writes, and their paths in the API.

/// One resource of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resource {
    /// API group; empty for the core group.
    pub group: &'static str,
    /// Version in its group.
    pub version: &'static str,
    /// Plural name, as in paths and RBAC rules.
    pub plural: &'static str,
    /// As in `kind:` of its objects.
    pub kind: &'static str,
}

const fn resource(group: &'static str, version: &'static str, plural: &'static str, kind: &'static str) -> Resource {
    Resource { group, version, plural, kind }
}

/// Namespaces.
pub const NAMESPACES: Resource = resource("", "v1", "namespaces", "Namespace");
/// Nodes.
pub const NODES: Resource = resource("", "v1", "nodes", "Node");
/// Pods.
pub const PODS: Resource = resource("", "v1", "pods", "Pod");
/// Services.
pub const SERVICES: Resource = resource("", "v1", "services", "Service");
/// `ConfigMap`s.
pub const CONFIG_MAPS: Resource = resource("", "v1", "configmaps", "ConfigMap");
/// Deployments.
pub const DEPLOYMENTS: Resource = resource("apps", "v1", "deployments", "Deployment");
/// `StatefulSet`s.
pub const STATEFUL_SETS: Resource = resource("apps", "v1", "statefulsets", "StatefulSet");
/// `DaemonSet`s.
pub const DAEMON_SETS: Resource = resource("apps", "v1", "daemonsets", "DaemonSet");
/// `ReplicaSet`s.
pub const REPLICA_SETS: Resource = resource("apps", "v1", "replicasets", "ReplicaSet");
/// Pod disruption budgets.
pub const DISRUPTION_BUDGETS: Resource = resource("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget");
/// Horizontal pod autoscalers.
pub const AUTOSCALERS: Resource = resource("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler");
/// Network policies.
pub const NETWORK_POLICIES: Resource = resource("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy");
/// Endpoint slices.
pub const ENDPOINT_SLICES: Resource = resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice");
/// Admission webhooks that check.
pub const VALIDATING_WEBHOOKS: Resource =
    resource("admissionregistration.k8s.io", "v1", "validatingwebhookconfigurations", "ValidatingWebhookConfiguration");
/// Admission webhooks that change.
pub const MUTATING_WEBHOOKS: Resource =
    resource("admissionregistration.k8s.io", "v1", "mutatingwebhookconfigurations", "MutatingWebhookConfiguration");
/// Leases.
pub const LEASES: Resource = resource("coordination.k8s.io", "v1", "leases", "Lease");
/// Events.
pub const EVENTS: Resource = resource("events.k8s.io", "v1", "events", "Event");
/// Rules of egress gateways, defined by `firedrill crds`.
pub const GATEWAY_RULES: Resource = resource("firedrill.dev", "v1alpha1", "gatewayrules", "GatewayRule");
/// Reviews of what the caller may do.
pub const ACCESS_REVIEWS: Resource = resource("authorization.k8s.io", "v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview");

impl Resource {
    /// `apiVersion` of its objects.
    #[must_use]
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.to_owned() } else { format!("{}/{}", self.group, self.version) }
    }

    /// Path of the collection; in one namespace when given, else of all or without one.
    #[must_use]
    pub fn path(&self, namespace: Option<&str>) -> String {
        let root = if self.group.is_empty() { "/api" } else { "/apis" };
        let within = namespace.map(|namespace| format!("/namespaces/{namespace}")).unwrap_or_default();
        format!("{root}/{}{within}/{}", self.api_version(), self.plural)
    }

    /// One object of it.
    #[must_use]
    pub fn at<'a>(&self, namespace: Option<&'a str>, name: &'a str) -> At<'a> {
        At { resource: *self, namespace, name }
    }
}

/// Where one object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct At<'a> {
    /// What it is.
    pub resource: Resource,
    /// Its namespace, where it has one.
    pub namespace: Option<&'a str>,
    /// Its name.
    pub name: &'a str,
}

impl At<'_> {
    /// Its path.
    #[must_use]
    pub fn path(&self) -> String {
        format!("{}/{}", self.resource.path(self.namespace), self.name)
    }
}

impl std::fmt::Display for At<'_> {
    /// `deployments/shop/api`, `nodes/n1`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.namespace {
            Some(namespace) => write!(f, "{}/{namespace}/{}", self.resource.plural, self.name),
            None => write!(f, "{}/{}", self.resource.plural, self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_api() {
        assert_eq!(NODES.at(None, "n1").path(), "/api/v1/nodes/n1");
        assert_eq!(DEPLOYMENTS.at(Some("shop"), "api").path(), "/apis/apps/v1/namespaces/shop/deployments/api");
        assert_eq!(PODS.path(None), "/api/v1/pods");
    }
}
