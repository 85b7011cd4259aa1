//! The API server's audit log, read as data.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use firedrill::clock::Timestamp;
use serde_json::Value;

use super::{Cluster, eventually};

/// A call that could change something, answered. Reads, Leases and Events are not logged (`tests/testbed/launcher/cluster.py` has the policy).
#[derive(Debug, Clone)]
pub struct Entry {
    pub id: String,
    /// When the API server got it.
    pub at: Timestamp,
    pub user: String,
    /// `kubectl/v1.36.3 …`
    pub agent: String,
    /// `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: String,
    /// `pods`
    pub resource: String,
    /// `eviction`, `status`; empty for the object itself.
    pub subresource: String,
    pub namespace: String,
    pub name: String,
    /// HTTP status of the answer.
    pub status: u16,
    /// Path and query: says `dryRun=All`, `fieldManager=…`.
    pub uri: String,
    /// What was sent; null for the control plane's own calls, tokens and secrets.
    pub body: Value,
}

impl Entry {
    /// Whether it changed something: it succeeded, was no dry run, and no question in the shape of an object (an access review).
    pub fn changed(&self) -> bool {
        let dry = self.uri.contains("dryRun=All") || !self.body["dryRun"].is_null() || !self.body["deleteOptions"]["dryRun"].is_null();
        self.status < 300 && !dry && !self.resource.ends_with("reviews")
    }

    fn read(line: &str) -> Self {
        let all: Value = serde_json::from_str(line).unwrap();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let object = &all["objectRef"];
        Self {
            id: text(&all["auditID"]),
            at: serde_json::from_value(all["requestReceivedTimestamp"].clone()).unwrap(),
            user: text(&all["user"]["username"]),
            agent: text(&all["userAgent"]),
            verb: text(&all["verb"]),
            resource: text(&object["resource"]),
            subresource: text(&object["subresource"]),
            namespace: text(&object["namespace"]),
            name: text(&object["name"]),
            status: all["responseStatus"]["code"].as_u64().unwrap_or_default() as u16,
            uri: text(&all["requestURI"]),
            body: all["requestObject"].clone(),
        }
    }
}

/// Name of the calls that [`until_now`] makes.
const MARK: &str = "testbed-audit-mark";

/// Reads the log. An answer may arrive before its line is written: a call of our own is made (a dry run), and what stands before its line is complete.
pub fn until_now(cluster: &Cluster, log: &Path) -> Vec<Entry> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let mark = format!("{MARK}-{}", NUMBER.fetch_add(1, Ordering::SeqCst));
    cluster.kubectl(&["-n", "default", "create", "configmap", &mark, "--dry-run=server"]);
    eventually(|| {
        let text = std::fs::read_to_string(log).unwrap();
        // The last line may still be being written.
        let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
        let entries: Vec<Entry> = whole.lines().map(Entry::read).collect();
        let at = entries.iter().position(|entry| entry.name == mark).ok_or_else(|| "the audit log misses a call".to_owned())?;
        Ok(entries.into_iter().take(at).filter(|entry| !entry.name.starts_with(MARK)).collect())
    })
}
