//! The least roles that allow a list of needs, as objects that `kubectl apply` takes: `firedrill policy` prints them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::access::{Access, Needs};

/// What a role is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// To plan, to watch and to read back.
    Read,
    /// To make the failure.
    Inject,
    /// To undo it.
    Revert,
}

impl Purpose {
    /// All, in the order in which they are printed.
    pub const ALL: [Self; 3] = [Self::Read, Self::Inject, Self::Revert];

    /// Last part of a role's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Inject => "inject",
            Self::Revert => "revert",
        }
    }

    fn what(self) -> &'static str {
        match self {
            Self::Read => "to plan, to watch and to read back",
            Self::Inject => "to make the failure",
            Self::Revert => "to undo it; undo reads too, so whoever undoes needs the role 'read' beside it",
        }
    }

    fn of(self, needs: &Needs) -> &[Access] {
        match self {
            Self::Read => &needs.read,
            Self::Inject => &needs.inject,
            Self::Revert => &needs.revert,
        }
    }
}

/// One rule of a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// API group; empty for the core group.
    pub group: String,
    /// Plural name, with its subresource.
    pub resource: String,
    /// Names of the objects; empty is all.
    pub names: Vec<String>,
    /// What may be done.
    pub verbs: Vec<String>,
}

/// A `ClusterRole`, or a `Role` of one namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// What it is for.
    pub purpose: Purpose,
    /// Its namespace; none is a `ClusterRole`.
    pub namespace: Option<String>,
    /// What it allows.
    pub rules: Vec<Rule>,
}

/// The least roles of one cluster that allow `needs`: read, inject and revert apart, each complete.
#[must_use]
pub fn roles(needs: &Needs, cluster: &str) -> Vec<Role> {
    let mut roles = Vec::new();
    for purpose in Purpose::ALL {
        let wanted: BTreeSet<Access> = purpose.of(needs).iter().filter(|access| access.cluster == cluster).map(Access::as_asked).collect();
        let mut by_namespace: BTreeMap<Option<&String>, Vec<&Access>> = BTreeMap::new();
        for access in wanted.iter().filter(|access| !wanted.iter().any(|other| other != *access && covers(other, access))) {
            by_namespace.entry(access.namespace.as_ref()).or_default().push(access);
        }
        roles.extend(by_namespace.into_iter().map(|(namespace, all)| Role { purpose, namespace: namespace.cloned(), rules: rules(&all) }));
    }
    roles
}

/// Whether `wide` allows all that `narrow` does.
fn covers(wide: &Access, narrow: &Access) -> bool {
    let all_of = |wide: &Option<String>, narrow: &Option<String>| wide.is_none() || wide == narrow;
    (&wide.verb, &wide.group, &wide.resource) == (&narrow.verb, &narrow.group, &narrow.resource)
        && all_of(&wide.namespace, &narrow.namespace)
        && all_of(&wide.name, &narrow.name)
}

/// Verbs on the same objects in one rule; then objects with the same verbs in one rule.
fn rules(all: &[&Access]) -> Vec<Rule> {
    let mut verbs: BTreeMap<(&str, &str, Option<&str>), BTreeSet<&str>> = BTreeMap::new();
    for access in all {
        verbs.entry((&access.group, &access.resource, access.name.as_deref())).or_default().insert(&access.verb);
    }
    let mut names: BTreeMap<(&str, &str, BTreeSet<&str>, bool), Vec<String>> = BTreeMap::new();
    for ((group, resource, name), verbs) in verbs {
        names.entry((group, resource, verbs, name.is_some())).or_default().extend(name.map(str::to_owned));
    }
    let rule = |((group, resource, verbs, _), names): ((&str, &str, BTreeSet<&str>, bool), Vec<String>)| Rule {
        group: group.to_owned(),
        resource: resource.to_owned(),
        names,
        verbs: verbs.into_iter().map(str::to_owned).collect(),
    };
    names.into_iter().map(rule).collect()
}

/// Who gets a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// `User:name`, as the API server knows them.
    User(String),
    /// `Group:name`.
    Group(String),
    /// `ServiceAccount:namespace/name`.
    ServiceAccount {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
}

impl std::str::FromStr for Subject {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // Names of users and groups have colons of their own: `User:system:serviceaccount:ops:firedrill`.
        match text.split_once(':') {
            Some(("User", name)) if !name.is_empty() => Ok(Self::User(name.to_owned())),
            Some(("Group", name)) if !name.is_empty() => Ok(Self::Group(name.to_owned())),
            Some(("ServiceAccount", account)) => match account.split_once('/') {
                Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => {
                    Ok(Self::ServiceAccount { namespace: namespace.to_owned(), name: name.to_owned() })
                }
                _ => Err("a service account is ServiceAccount:NAMESPACE/NAME".to_owned()),
            },
            _ => Err("expected User:NAME, Group:NAME or ServiceAccount:NAMESPACE/NAME".to_owned()),
        }
    }
}

/// The roles, and the bindings to `subjects`, as YAML documents. `drill` is the drill's name.
#[must_use]
pub fn yaml(roles: &[Role], drill: &str, cluster: &str, subjects: &[Subject]) -> String {
    let mut out = String::new();
    for role in roles {
        let place = role.namespace.as_ref().map_or_else(String::new, |namespace| format!(", namespace {namespace}"));
        let _ = writeln!(out, "---\n# cluster {cluster}{place}: {}", role.purpose.what());
        let kind = if role.namespace.is_some() { "Role" } else { "ClusterRole" };
        head(&mut out, kind, role, drill);
        out.push_str("rules:\n");
        for rule in &role.rules {
            let _ = writeln!(out, "  - apiGroups: [{}]", quoted(&rule.group));
            let _ = writeln!(out, "    resources: [{}]", quoted(&rule.resource));
            if !rule.names.is_empty() {
                let _ = writeln!(out, "    resourceNames: [{}]", list(&rule.names));
            }
            let _ = writeln!(out, "    verbs: [{}]", list(&rule.verbs));
        }
        if subjects.is_empty() {
            continue;
        }
        out.push_str("---\n");
        head(&mut out, &format!("{kind}Binding"), role, drill);
        let _ = writeln!(out, "roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: {kind}, name: {}}}", name(role, drill));
        out.push_str("subjects:\n");
        for subject in subjects {
            let _ = match subject {
                Subject::User(name) => writeln!(out, "  - {{apiGroup: rbac.authorization.k8s.io, kind: User, name: {}}}", quoted(name)),
                Subject::Group(name) => writeln!(out, "  - {{apiGroup: rbac.authorization.k8s.io, kind: Group, name: {}}}", quoted(name)),
                Subject::ServiceAccount { namespace, name } => {
                    writeln!(out, "  - {{kind: ServiceAccount, namespace: {}, name: {}}}", quoted(namespace), quoted(name))
                }
            };
        }
    }
    out
}

fn head(out: &mut String, kind: &str, role: &Role, drill: &str) {
    let _ = writeln!(out, "apiVersion: rbac.authorization.k8s.io/v1\nkind: {kind}\nmetadata:\n  name: {}", name(role, drill));
    if let Some(namespace) = &role.namespace {
        let _ = writeln!(out, "  namespace: {}", quoted(namespace));
    }
    out.push_str("  labels: {app.kubernetes.io/managed-by: firedrill}\n");
}

fn name(role: &Role, drill: &str) -> String {
    format!("firedrill-{drill}-{}", role.purpose.name())
}

fn list(words: &[String]) -> String {
    words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(", ")
}

/// A JSON string is a YAML string, whatever is in it.
fn quoted(word: &str) -> String {
    serde_json::Value::from(word).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::resource::{CONFIG_MAPS, DEPLOYMENTS, NODES, PODS};

    fn told(needs: &Needs) -> Vec<String> {
        let rule = |rule: &Rule| format!("{}/{} {:?} {}", rule.group, rule.resource, rule.names, rule.verbs.join(","));
        let role = |role: &Role| {
            let rules: Vec<String> = role.rules.iter().map(rule).collect();
            format!("{} {}: {}", role.purpose.name(), role.namespace.as_deref().unwrap_or("*"), rules.join("; "))
        };
        roles(needs, "east").iter().map(role).collect()
    }

    #[test]
    fn verbs_and_names_are_merged_and_no_rule_is_wider_than_what_is_needed() {
        let node = |verb| Access::to("east", verb, NODES);
        let scaled = |verb, name| Access::to("east", verb, DEPLOYMENTS).within("shop").named(name);
        let needs = Needs {
            read: vec![node("list"), node("get"), node("get"), scaled("get", "api"), scaled("get", "web"), Access::to("west", "list", PODS)],
            inject: vec![node("patch"), scaled("patch", "api"), scaled("patch", "web"), scaled("get", "web")],
            revert: vec![node("patch")],
        };
        assert_eq!(
            told(&needs),
            [
                "read *: /nodes [] get,list",
                r#"read shop: apps/deployments ["api", "web"] get"#,
                "inject *: /nodes [] patch",
                r#"inject shop: apps/deployments ["web"] get,patch; apps/deployments ["api"] patch"#,
                "revert *: /nodes [] patch",
            ]
        );
    }

    #[test]
    fn what_a_wider_need_allows_already_is_not_printed() {
        let needs = Needs {
            read: vec![
                Access::to("east", "get", PODS).within("shop").named("api"),
                Access::to("east", "get", PODS).within("shop"),
                Access::to("east", "list", PODS).within("shop"),
                Access::to("east", "list", PODS),
            ],
            ..Needs::default()
        };
        assert_eq!(told(&needs), ["read *: /pods [] list", "read shop: /pods [] get"]);
    }

    #[test]
    fn creating_cannot_be_narrowed_to_a_name_but_a_subresource_can() {
        let needs = Needs {
            inject: vec![
                Access::to("east", "create", CONFIG_MAPS).within("shop").named("firedrill-x"),
                Access::to("east", "create", PODS).subresource("eviction").within("shop").named("api"),
            ],
            ..Needs::default()
        };
        assert_eq!(told(&needs), [r#"inject shop: /configmaps [] create; /pods/eviction ["api"] create"#]);
    }

    #[test]
    fn subjects_are_read_as_rbac_names_them() {
        assert_eq!("User:alice@example.com".parse(), Ok(Subject::User("alice@example.com".into())));
        assert_eq!("Group:oidc:sre".parse(), Ok(Subject::Group("oidc:sre".into())));
        assert_eq!("ServiceAccount:ops/firedrill".parse(), Ok(Subject::ServiceAccount { namespace: "ops".into(), name: "firedrill".into() }));
        for wrong in ["alice", "User:", "user:alice", "ServiceAccount:firedrill", "ServiceAccount:/x", ""] {
            assert!(wrong.parse::<Subject>().is_err(), "{wrong}");
        }
    }
}
