//! Custom resources as the API server hands them out: metadata, spec and status of one object.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::resource::Resource;
use super::{GROUP, VERSION};
use crate::clock::Timestamp;
use crate::cluster::resource as api;

/// Finalizer of runs and of what they must not lose: the object stays until everything is undone. Added and removed by firedrill only.
pub const FINALIZER: &str = "firedrill.dev/undo";

/// One object of a custom resource.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Object<Spec, Status> {
    /// Who it is.
    pub metadata: Meta,
    /// What was asked for.
    pub spec: Spec,
    /// What firedrill says of it.
    #[serde(default = "Option::default", skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
}

/// What every object has, as far as firedrill reads it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Meta {
    /// Its name.
    pub name: String,
    /// Its identity: an object of the same name that is made later has another.
    pub uid: String,
    /// Changes with every write.
    pub resource_version: String,
    /// Changes with every write of the spec.
    pub generation: Option<i64>,
    /// When it was made.
    pub creation_timestamp: Timestamp,
    /// Since when it is to go, as soon as its finalizers are gone.
    pub deletion_timestamp: Option<Timestamp>,
    /// For selectors.
    pub labels: BTreeMap<String, String>,
    /// Who keeps it from going.
    pub finalizers: Vec<String>,
}

impl Meta {
    /// Whether somebody has deleted it.
    #[must_use]
    pub fn deleted(&self) -> bool {
        self.deletion_timestamp.is_some()
    }

    /// Whether it waits for us before it goes.
    #[must_use]
    pub fn held(&self) -> bool {
        self.finalizers.iter().any(|one| one == FINALIZER)
    }
}

impl<Spec: DeserializeOwned, Status: DeserializeOwned> Object<Spec, Status> {
    /// Reads an object. The error names it: a field that this build does not know may be what matters.
    ///
    /// # Errors
    /// One sentence.
    pub fn read(value: &Value) -> Result<Self, String> {
        Self::deserialize(value).map_err(|error| {
            let of = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
            format!("{} '{}' cannot be read by this build: {error}", of("/kind"), of("/metadata/name"))
        })
    }
}

impl Resource {
    /// The same for calls of the API.
    #[must_use]
    pub const fn api(&self) -> api::Resource {
        api::Resource { group: GROUP, version: VERSION, plural: self.plural, kind: self.kind }
    }
}

/// A condition of a JSON patch (RFC 6902).
#[must_use]
pub fn test(path: &str, value: &Value) -> Value {
    json!({"op": "test", "path": path, "value": value})
}

/// Sets a field by a JSON patch, whether or not it is there.
#[must_use]
pub fn set(path: &str, value: &Value) -> Value {
    json!({"op": "add", "path": path, "value": value})
}

/// The patch that takes our finalizer away and leaves those of others, if it is there: it tests its place first.
#[must_use]
pub fn without_finalizer(meta: &Meta) -> Option<Vec<Value>> {
    let place = meta.finalizers.iter().position(|one| one == FINALIZER)?;
    let path = format!("/metadata/finalizers/{place}");
    Some(vec![test("/metadata/uid", &json!(meta.uid)), test(&path, &json!(FINALIZER)), json!({"op": "remove", "path": path})])
}

/// The patch that adds our finalizer beside those of others, if it is not there.
#[must_use]
pub fn with_finalizer(meta: &Meta) -> Option<Vec<Value>> {
    if meta.held() {
        return None;
    }
    let version = test("/metadata/resourceVersion", &json!(meta.resource_version));
    let add =
        if meta.finalizers.is_empty() { set("/metadata/finalizers", &json!([FINALIZER])) } else { set("/metadata/finalizers/-", &json!(FINALIZER)) };
    Some(vec![version, add])
}
