//! One thing that a cluster must allow: what a plan checks, and `firedrill policy` prints.

use serde::{Deserialize, Serialize};

use super::resource::Resource;

/// A verb on a resource, as RBAC and access reviews name it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Access {
    /// Name of the cluster in its environment.
    pub cluster: String,
    /// Namespace; none is the whole cluster.
    pub namespace: Option<String>,
    /// API group; empty for the core group.
    pub group: String,
    /// Plural name, with its subresource: `pods`, `pods/eviction`.
    pub resource: String,
    /// Name of the one object; none is all of them.
    pub name: Option<String>,
    /// As in RBAC: `get`, `list`, `create`, `patch`, `delete`.
    pub verb: String,
}

impl Access {
    /// A verb on every object of a resource in the whole cluster.
    #[must_use]
    pub fn to(cluster: &str, verb: &str, resource: Resource) -> Self {
        Self {
            cluster: cluster.to_owned(),
            namespace: None,
            group: resource.group.to_owned(),
            resource: resource.plural.to_owned(),
            name: None,
            verb: verb.to_owned(),
        }
    }

    /// The same on a subresource.
    #[must_use]
    pub fn subresource(mut self, name: &str) -> Self {
        self.resource = format!("{}/{name}", self.resource);
        self
    }

    /// The same in one namespace only.
    #[must_use]
    pub fn within(mut self, namespace: &str) -> Self {
        self.namespace = Some(namespace.to_owned());
        self
    }

    /// The same on one object only.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// As the API server is asked for it, and as a role can grant it: creating, and what works on a collection, knows no name.
    #[must_use]
    pub fn as_asked(&self) -> Self {
        let nameless = match self.verb.as_str() {
            "create" => !self.resource.contains('/'),
            verb => matches!(verb, "list" | "watch" | "deletecollection"),
        };
        Self { name: self.name.clone().filter(|_| !nameless), ..self.clone() }
    }
}

impl std::fmt::Display for Access {
    /// `patch deployments.apps/api in namespace shop of cluster east`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (plural, sub) = self.resource.split_once('/').map_or((self.resource.as_str(), None), |(plural, sub)| (plural, Some(sub)));
        write!(f, "{} {plural}", self.verb)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        if let Some(sub) = sub {
            write!(f, "/{sub}")?;
        }
        if let Some(name) = &self.name {
            write!(f, " '{name}'")?;
        }
        if let Some(namespace) = &self.namespace {
            write!(f, " in namespace {namespace}")?;
        }
        write!(f, " of cluster {}", self.cluster)
    }
}

/// What a kind must be allowed, by purpose.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    /// To make the failure.
    pub inject: Vec<Access>,
    /// To undo it.
    pub revert: Vec<Access>,
    /// To plan, to watch and to read back.
    pub read: Vec<Access>,
}

impl Needs {
    /// Adds what something else needs.
    pub fn extend(&mut self, more: Self) {
        self.inject.extend(more.inject);
        self.revert.extend(more.revert);
        self.read.extend(more.read);
    }

    /// All, each once.
    #[must_use]
    pub fn all(&self) -> Vec<Access> {
        let mut all: Vec<Access> = self.inject.iter().chain(&self.revert).chain(&self.read).cloned().collect();
        all.sort();
        all.dedup();
        all
    }
}
