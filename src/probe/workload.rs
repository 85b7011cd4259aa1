//! The workload probe: how many of the wanted replicas are ready, as the cluster's own API says it.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use super::definition::Definition;
use super::open::Opening;
use super::params::WorkloadProbe;
use super::{Probe, Reading, Unasked};
use crate::cluster::access::{self, Access};
use crate::cluster::api::Cluster;
use crate::cluster::resource::{At, DAEMON_SETS, DEPLOYMENTS, Resource, STATEFUL_SETS};
use crate::drill::about::{About, Permissions};
use crate::drill::text::Percent;
use crate::needs::Needs;

/// One object of one cluster, read again at each tick.
struct Workload {
    cluster: Arc<Cluster>,
    resource: Resource,
    namespace: String,
    name: String,
    ready: Percent,
}

impl Definition for WorkloadProbe {
    fn about() -> Option<About> {
        Some(About {
            mechanism: "One GET a tick of the Deployment, StatefulSet or DaemonSet; its ready replicas are held against those that its spec wants \
                        (a DaemonSet's against the nodes that it is wanted on).",
            undo: "",
            verified: "",
            must_know: &[
                "A workload that is not there is bad, and so is one of which nothing is wanted (0 replicas, no node): it serves nobody.",
                "No answer of the API server, a missing permission, and another cluster at the address are unknown: the instrument is broken, not the workload.",
                "Unknown too: a status of an older spec (`observedGeneration` behind `generation`). Its controller has not counted yet, or does not run.",
                "Every ready pod counts, those of an older version during a rollout too. Ready is what the readiness probes of the pods say: to see what \
                 users see, measure with http as well.",
                "It reads the cluster's control plane. In the region that fails that may be down too, and the readings are unknown then.",
            ],
            permissions: Permissions {
                inject: &[],
                revert: &[],
                read: &["get namespaces (kube-system)", "get deployments.apps, statefulsets.apps or daemonsets.apps (that one)"],
            },
            example: "workload: {cluster: west, namespace: shop, deployment: checkout, ready: \"90%\"}",
        })
    }

    fn open(&self, opening: &Opening<'_>) -> Result<Arc<dyn Probe>, String> {
        let named = [(DEPLOYMENTS, &self.deployment), (STATEFUL_SETS, &self.stateful_set), (DAEMON_SETS, &self.daemon_set)];
        let mut named = named.into_iter().filter_map(|(resource, name)| Some((resource, name.clone()?)));
        let (Some((resource, name)), None) = (named.next(), named.next()) else {
            return Err("names one workload: exactly one of deployment, statefulSet, daemonSet".to_owned());
        };
        let cluster = opening.clusters.named(opening.environment, &self.cluster)?;
        Ok(Arc::new(Workload { cluster, resource, namespace: self.namespace.clone(), name, ready: self.ready }))
    }
}

impl Workload {
    fn at(&self) -> At<'_> {
        self.resource.at(Some(&self.namespace), &self.name)
    }

    fn wanted(&self) -> Vec<Access> {
        vec![self.cluster.check_access(), self.cluster.access("get", self.resource, Some(&self.namespace)).named(&self.name)]
    }

    fn judge(&self, found: &Value) -> Reading {
        let number = |pointer: &str| found.pointer(pointer).and_then(Value::as_u64);
        let count = |pointer: &str| number(pointer).unwrap_or(0);
        if count("/status/observedGeneration") < count("/metadata/generation") {
            return Reading::unknown(format!(
                "the status of {} is of an older spec: its controller has not counted since the last change",
                self.at()
            ));
        }
        let (ready, wanted, what) = if self.resource == DAEMON_SETS {
            (count("/status/numberReady"), count("/status/desiredNumberScheduled"), "nodes")
        } else {
            // The API server writes the default into every object; an object without it means the same.
            (count("/status/readyReplicas"), number("/spec/replicas").unwrap_or(1), "replicas")
        };
        if wanted == 0 {
            return Reading::bad(format!("0 {what} wanted: it serves nobody"));
        }
        let share = ready as f64 * 100.0;
        if share >= self.ready.0 * wanted as f64 {
            return Reading::good();
        }
        Reading::bad(format!("{ready} of {wanted} {what} ready ({:.0}%), {} wanted", (share / wanted as f64).floor(), self.ready))
    }
}

#[async_trait]
impl Probe for Workload {
    async fn read(&self) -> Reading {
        match self.cluster.get(&self.at()).await {
            Ok(Some(found)) => self.judge(&found),
            Ok(None) => Reading::bad(format!("there is no {}", self.at())),
            Err(error) => Reading::unknown(error.to_string()),
        }
    }

    fn timed_out(&self) -> Reading {
        Reading::unknown(format!("cluster '{}' did not answer in time", self.cluster.name()))
    }

    fn describe(&self) -> String {
        format!("workload {} of {} ready ≥ {}", self.at(), self.cluster.name(), self.ready)
    }

    fn needs(&self) -> Needs {
        access::Needs { read: self.wanted(), ..access::Needs::default() }.into()
    }

    async fn missing(&self) -> Result<Vec<String>, Unasked> {
        Ok(self.cluster.missing(self.wanted()).await?.iter().map(Access::to_string).collect())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cluster::Reference;
    use crate::drill::spec::ClusterConnection;
    use crate::event::Health;

    fn reading(resource: Resource, object: Value) -> (Health, String) {
        let reference = Reference { name: "east".into(), uid: "u".into(), connection: ClusterConnection::default() };
        let workload =
            Workload { cluster: Arc::new(Cluster::new(reference)), resource, namespace: "shop".into(), name: "api".into(), ready: Percent(80.0) };
        let reading = workload.judge(&object);
        (reading.health, reading.detail.unwrap_or_default())
    }

    fn deployment(wanted: u64, ready: u64) -> Value {
        json!({"metadata": {"generation": 3}, "spec": {"replicas": wanted}, "status": {"observedGeneration": 3, "readyReplicas": ready}})
    }

    #[test]
    fn the_ready_share_decides_and_reaching_it_is_enough() {
        assert_eq!(reading(DEPLOYMENTS, deployment(10, 8)).0, Health::Good);
        let (health, detail) = reading(DEPLOYMENTS, deployment(10, 7));
        assert_eq!((health, detail.as_str()), (Health::Bad, "7 of 10 replicas ready (70%), 80% wanted"));
        // No rounding up to the threshold.
        assert_eq!(reading(STATEFUL_SETS, deployment(1000, 799)), (Health::Bad, "799 of 1000 replicas ready (79%), 80% wanted".to_owned()));
        // A field of 0 is left out of a status.
        let none = json!({"metadata": {"generation": 1}, "spec": {"replicas": 2}, "status": {"observedGeneration": 1}});
        assert_eq!(reading(DEPLOYMENTS, none).0, Health::Bad);
    }

    #[test]
    fn nothing_wanted_is_bad_never_good() {
        assert_eq!(reading(DEPLOYMENTS, deployment(0, 0)).0, Health::Bad);
        let nowhere = json!({"metadata": {"generation": 1}, "status": {"observedGeneration": 1, "desiredNumberScheduled": 0, "numberReady": 0}});
        assert_eq!(reading(DAEMON_SETS, nowhere), (Health::Bad, "0 nodes wanted: it serves nobody".to_owned()));
    }

    #[test]
    fn the_status_of_an_older_spec_says_nothing() {
        let mut stale = deployment(10, 10);
        stale["metadata"]["generation"] = json!(4);
        let (health, detail) = reading(DEPLOYMENTS, stale);
        assert_eq!(health, Health::Unknown);
        assert!(detail.contains("deployments/shop/api is of an older spec"), "{detail}");
        // Just created: no controller has looked yet.
        assert_eq!(reading(DEPLOYMENTS, json!({"metadata": {"generation": 1}, "spec": {"replicas": 1}})).0, Health::Unknown);
    }

    #[test]
    fn a_daemon_set_is_wanted_on_nodes() {
        let set = |ready: u64| json!({"metadata": {"generation": 1}, "status": {"observedGeneration": 1, "desiredNumberScheduled": 5, "numberReady": ready}});
        assert_eq!(reading(DAEMON_SETS, set(4)).0, Health::Good);
        assert_eq!(reading(DAEMON_SETS, set(3)), (Health::Bad, "3 of 5 nodes ready (60%), 80% wanted".to_owned()));
    }
}
