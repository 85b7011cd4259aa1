//! A policy and its binding, as the API server takes them.

use serde_json::{Value as Json, json};

use crate::cluster::resource::Resource;
use crate::operator::{GROUP, VERSION};

/// Kind of a policy.
pub const KIND: &str = "ValidatingAdmissionPolicy";
const API: &str = "admissionregistration.k8s.io/v1";

/// What is asked of the API server about resources of one group and version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The resources, without their subresources.
    pub resources: Vec<Resource>,
    /// `CREATE`, `UPDATE`, `DELETE`.
    pub operations: &'static [&'static str],
}

/// An expression with a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Its name.
    pub name: &'static str,
    /// In CEL.
    pub expression: String,
}

impl Named {
    /// A named expression.
    pub fn new(name: &'static str, expression: impl Into<String>) -> Self {
        Self { name, expression: expression.into() }
    }
}

/// What must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validation {
    /// True: admitted.
    pub expression: String,
    /// What the user is told.
    pub message: String,
    /// The same, as an expression that knows the request; it stands instead of the message.
    pub told: Option<String>,
}

/// Where a policy holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// In the operator's namespace.
    Namespace,
    /// The same, and it is asked once for each `DrillRun` there, as `params`.
    EachRun,
    /// In the whole cluster.
    Cluster,
}

/// A policy with the binding that puts it in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Its name, before that of the namespace.
    pub name: &'static str,
    /// One sentence.
    pub about: &'static str,
    /// Where it holds.
    pub reach: Reach,
    /// What it looks at.
    pub requests: Vec<Request>,
    /// Requests that do not meet all of these are not looked at.
    pub conditions: Vec<Named>,
    /// What its expressions share; each is computed once, when it is needed.
    pub variables: Vec<Named>,
    /// What must hold.
    pub validations: Vec<Validation>,
}

impl Policy {
    /// The policy and its binding.
    #[must_use]
    pub fn documents(&self, namespace: Option<&str>) -> [Json; 2] {
        // Both are of the cluster, which may have several operators.
        let name = namespace.map_or_else(|| self.name.to_owned(), |namespace| format!("{}.{namespace}", self.name));
        let metadata = json!({"name": name, "labels": {"app.kubernetes.io/name": "firedrill", "app.kubernetes.io/part-of": "firedrill"}});
        let mut spec = json!({
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": self.requests.iter().map(rule).collect::<Vec<_>>()},
        });
        if self.reach == Reach::EachRun {
            spec["paramKind"] = json!({"apiVersion": format!("{GROUP}/{VERSION}"), "kind": "DrillRun"});
        }
        for (key, all) in [("matchConditions", &self.conditions), ("variables", &self.variables)] {
            if !all.is_empty() {
                spec[key] = all.iter().map(|one| json!({"name": one.name, "expression": one.expression})).collect();
            }
        }
        spec["validations"] = self.validations.iter().map(validation).collect();
        let mut binding = json!({"policyName": name, "validationActions": ["Deny"]});
        if self.reach == Reach::EachRun {
            // Of the namespace of the request. Without any run there is nothing to compare with.
            binding["paramRef"] = json!({"selector": {}, "parameterNotFoundAction": "Allow"});
        }
        if let Some(namespace) = namespace.filter(|_| self.reach != Reach::Cluster) {
            binding["matchResources"] = json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}});
        }
        [
            json!({"apiVersion": API, "kind": KIND, "metadata": metadata, "spec": spec}),
            json!({"apiVersion": API, "kind": format!("{KIND}Binding"), "metadata": metadata, "spec": binding}),
        ]
    }
}

fn rule(request: &Request) -> Json {
    let all = |of: fn(&Resource) -> &'static str| {
        let mut all: Vec<&str> = request.resources.iter().map(of).collect();
        all.dedup();
        all
    };
    json!({
        "apiGroups": all(|one| one.group), "apiVersions": all(|one| one.version), "operations": request.operations, "resources": all(|one| one.plural),
    })
}

fn validation(one: &Validation) -> Json {
    let mut out = json!({"expression": one.expression, "message": one.message, "reason": "Forbidden"});
    if let Some(told) = &one.told {
        out["messageExpression"] = json!(told);
    }
    out
}

/// Names as a list of CEL.
#[must_use]
pub fn list(names: &[&str]) -> String {
    format!("[{}]", names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", "))
}

/// Whether two maps are the same but for some keys.
#[must_use]
pub fn same_but(now: &str, before: &str, keys: &[&str]) -> String {
    let keys = list(keys);
    format!("{now}.all(key, key in {keys} || (key in {before} && {now}[key] == {before}[key])) && {before}.all(key, key in {keys} || key in {now})")
}
