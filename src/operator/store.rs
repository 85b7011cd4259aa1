//! The objects of a collection as a watch tells of them: what controllers read instead of asking the API server.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use serde_json::Value;
use tokio::sync::{mpsc, watch};

use super::queue::Key;
use crate::cluster::api::Cluster;
use crate::cluster::error::ApiError;
use crate::cluster::resource::Resource;
use crate::cluster::watch::Change;

/// The first pause after a failure, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));

/// Objects by name.
#[derive(Debug)]
pub struct Store {
    resource: Resource,
    objects: Mutex<BTreeMap<String, Arc<Value>>>,
    synced: watch::Sender<bool>,
}

impl Store {
    /// Empty, and not known to be complete.
    #[must_use]
    pub fn new(resource: Resource) -> Self {
        Self { resource, objects: Mutex::default(), synced: watch::Sender::new(false) }
    }

    /// The object as far as is known.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Arc<Value>> {
        self.hold().get(name).cloned()
    }

    /// All of them, by name.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Value>> {
        self.hold().values().cloned().collect()
    }

    /// Their names.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.hold().keys().cloned().collect()
    }

    /// Takes what a write answered, unless something newer is known.
    pub fn put(&self, mut value: Value) {
        let Some(name) = name_of(&value) else { return };
        // Who wrote which field when: half of an object, and nothing that is asked for here.
        if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("managedFields");
        }
        let mut objects = self.hold();
        let older = objects.get(&name).is_some_and(|known| same_object(known, &value) && version(known) > version(&value));
        if !older {
            objects.insert(name, Arc::new(value));
        }
    }

    /// Waits until every object that there was at the beginning is known.
    pub async fn synced(&self) {
        // The sender is ours: it cannot be gone.
        let _ = self.synced.subscribe().wait_for(|synced| *synced).await;
    }

    /// Follows the collection for good, and tells of every change.
    pub async fn follow(&self, cluster: &Cluster, namespace: &str, changed: &mpsc::UnboundedSender<Key>) {
        let mut pause = PAUSE.0;
        loop {
            match self.once(cluster, namespace, changed).await {
                Ok(()) => pause = PAUSE.0,
                Err(error) => {
                    let hint = if matches!(error, ApiError::NotFound { .. }) { "; is it defined? `firedrill crds | kubectl apply -f -`" } else { "" };
                    tracing::warn!("{}: {error}{hint}", self.resource.plural);
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE.1);
                }
            }
        }
    }

    /// Lists, and watches until the version is too old.
    async fn once(&self, cluster: &Cluster, namespace: &str, changed: &mpsc::UnboundedSender<Key>) -> Result<(), ApiError> {
        let (items, mut version) = cluster.list_at(self.resource, namespace).await?;
        let there: Vec<String> = items.iter().filter_map(name_of).collect();
        let gone: Vec<String> = self.names().into_iter().filter(|name| !there.contains(name)).collect();
        gone.iter().for_each(|name| drop(self.hold().remove(name)));
        items.into_iter().for_each(|item| self.put(item));
        self.synced.send_replace(true);
        there.into_iter().chain(gone).for_each(|name| self.tell(name, changed));
        loop {
            let mut changes = cluster.watch(self.resource, namespace, &version).await?;
            while let Some(change) = changes.next().await {
                let change = change?;
                if let Some(now) = change.version() {
                    now.clone_into(&mut version);
                }
                match change {
                    Change::Is(value) => {
                        let name = name_of(&value);
                        self.put(value);
                        name.into_iter().for_each(|name| self.tell(name, changed));
                    }
                    Change::Gone(value) => {
                        let Some(name) = name_of(&value) else { continue };
                        self.hold().remove(&name);
                        self.tell(name, changed);
                    }
                    Change::Mark(_) => {}
                    Change::TooOld => return Ok(()),
                }
            }
        }
    }

    fn tell(&self, name: String, changed: &mpsc::UnboundedSender<Key>) {
        // Nobody listens any more at the end of the process only.
        let _ = changed.send(Key { kind: self.resource.kind, name });
    }

    fn hold(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Value>>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn name_of(value: &Value) -> Option<String> {
    value.pointer("/metadata/name")?.as_str().map(str::to_owned)
}

fn same_object(one: &Value, other: &Value) -> bool {
    one.pointer("/metadata/uid") == other.pointer("/metadata/uid")
}

/// Versions of one collection are numbers that rise (KEP-5504).
fn version(value: &Value) -> u64 {
    value.pointer("/metadata/resourceVersion").and_then(Value::as_str).and_then(|text| text.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_older_watch_does_not_take_back_what_a_write_answered() {
        let store = Store::new(crate::cluster::resource::PODS);
        let object = |uid: &str, version: &str| json!({"metadata": {"name": "a", "uid": uid, "resourceVersion": version, "managedFields": []}});
        let now = || store.get("a").unwrap().pointer("/metadata/resourceVersion").cloned().unwrap();
        store.put(object("1", "9"));
        store.put(object("1", "10"));
        store.put(object("1", "9"));
        assert_eq!(now(), "10");
        store.put(object("2", "3"));
        assert_eq!(now(), "3", "another object of the same name");
        assert!(store.get("a").unwrap().pointer("/metadata/managedFields").is_none());
    }
}
