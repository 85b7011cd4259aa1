//! A namespaced object as a target: its identity, and how it is found again by its uid.

use serde_json::Value;

use super::mark;
use super::place::text;
use crate::cluster::api::Cluster;
use crate::cluster::resource::{At, Resource};
use crate::fault::{KindError, TargetId};

/// Where a target is, and which object it is for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity<'a> {
    /// Where it is.
    pub at: At<'a>,
    /// Its namespace.
    pub namespace: &'a str,
    /// Its uid.
    pub uid: &'a str,
}

impl std::fmt::Display for Identity<'_> {
    /// `Deployment shop/api`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}/{}", self.at.resource.kind, self.namespace, self.at.name)
    }
}

/// An object as a target: `deployments/shop/api/<uid>`.
pub fn target(cluster: &Cluster, resource: Resource, object: &Value) -> TargetId {
    let (namespace, name) = (text(object, "/metadata/namespace"), text(object, "/metadata/name"));
    TargetId { place: cluster.place(), id: format!("{}/{namespace}/{name}/{}", resource.plural, mark::uid(object)) }
}

/// The identity of a target that is one of some resources.
pub fn identity<'a>(target: &'a TargetId, among: &[Resource]) -> Result<Identity<'a>, KindError> {
    let parts: Vec<&str> = target.id.split('/').collect();
    let found = among.iter().find(|resource| parts.first() == Some(&resource.plural));
    match (found, parts.as_slice()) {
        (Some(resource), [_, namespace, name, uid]) => Ok(Identity { at: resource.at(Some(namespace), name), namespace, uid }),
        _ => Err(KindError::Failed(format!("{target} is not what this kind works on"))),
    }
}

/// Reads: the object; none when it is gone, or another has its name.
pub async fn find(cluster: &Cluster, identity: &Identity<'_>) -> Result<Option<Value>, KindError> {
    Ok(cluster.get(&identity.at).await?.filter(|object| mark::uid(object) == identity.uid))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::resource::{DEPLOYMENTS, SERVICES};

    #[test]
    fn a_target_says_what_it_is_and_nothing_else_passes_for_it() {
        let target = |id: &str| TargetId { place: "kubernetes/u".into(), id: id.into() };
        let api = target("deployments/shop/api/1234");
        let found = identity(&api, &[SERVICES, DEPLOYMENTS]).unwrap();
        assert_eq!(
            (found.to_string().as_str(), found.uid, found.at.path().as_str()),
            ("Deployment shop/api", "1234", "/apis/apps/v1/namespaces/shop/deployments/api")
        );
        for wrong in ["deployments/shop/api", "nodes/n1/1234", "deployments/shop/api/1234/x", ""] {
            assert!(identity(&target(wrong), &[DEPLOYMENTS]).is_err(), "{wrong}");
        }
        assert!(identity(&api, &[SERVICES]).is_err());
    }
}
