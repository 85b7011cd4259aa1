//! `podKill`: pods are evicted, and their owners start others.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::evict::{self, Fate};
use super::node_examine::{has_local_data, share, some};
use super::object::{self, Identity};
use super::params::PodSelector;
use super::place::{self, kubectl, protected, text};
use super::{budget, mark, own};
use crate::clock::Timestamp;
use crate::cluster::access;
use crate::cluster::api::Cluster;
use crate::cluster::error::ApiError;
use crate::cluster::resource::{DAEMON_SETS, DISRUPTION_BUDGETS, PODS, REPLICA_SETS, Resource, STATEFUL_SETS};
use crate::drill::about::{About, Permissions};
use crate::drill::spec::{DrillSpec, Step};
use crate::drill::text::Percent;
use crate::fault::definition::{Definition, Places};
use crate::fault::shell::{blank, word};
use crate::fault::{Bite, ByHand, Examined, Expiry, Kind, KindError, Observed, Prepared, Progress, Record, TargetId};
use crate::needs::Needs;

const NAME: &str = "podKill";
/// Owners that start a pod again, and whose count of ready pods tells when they have.
const OWNERS: [Resource; 3] = [REPLICA_SETS, STATEFUL_SETS, DAEMON_SETS];

/// Pods are evicted: a count or a share, chosen by a seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PodKill {
    /// A cluster of the environment.
    #[schemars(length(max = 63))]
    #[schemars(extend("format" = "cluster-name"))]
    pub cluster: String,
    /// Their namespace.
    #[schemars(length(max = 63))]
    #[schemars(extend("format" = "kubernetes-name"))]
    pub namespace: String,
    /// Which pods.
    pub pods: PodSelector,
    /// How many; or `percent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000))]
    pub count: Option<u32>,
    /// What share of those that match, rounded up; or `count`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<Percent>,
    /// Makes the choice repeatable. Default: from the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 4294967295u64))]
    pub seed: Option<u64>,
}

impl Definition for PodKill {
    fn about() -> Option<About> {
        Some(About {
            mechanism: "Each chosen pod is asked to leave by an eviction (policy/v1) that names its uid: what `kubectl drain` does, without the node. The pods \
                        are chosen by a seed, the same for the same pods.",
            undo: "Nothing has to be put back: the pod's owner starts another. The target counts as undone when the owner has as many ready pods as before.",
            verified: "The pod with the recorded uid is gone, or is ending.",
            must_know: &[
                "A disruption budget that allows no eviction is waited for, until the step's limit; nothing is deleted or forced.",
                "Pods without an owner, pods of Jobs and of owners whose count cannot be read (only ReplicaSet, StatefulSet and DaemonSet can) are refused.",
                "A share is rounded up, and is one of the pods that match and are not ending already.",
                "The seed chooses by name: pods of a StatefulSet keep their names, pods of a Deployment get new ones.",
                "Firedrill's own pod, and pods of protected namespaces, are refused.",
            ],
            permissions: Permissions {
                inject: &["create pods/eviction"],
                revert: &["nothing: the owner starts other pods"],
                read: &["get namespaces (kube-system)", "get, list pods", "get replicasets, statefulsets, daemonsets", "list poddisruptionbudgets"],
            },
            example: "podKill: {cluster: east, namespace: shop, pods: {labels: {app: api}}, percent: \"50%\"}",
        })
    }

    fn open(&self, places: &Places, _drill: &DrillSpec, _step: &Step) -> Result<Arc<dyn Kind>, KindError> {
        let cluster = place::named(places, &self.cluster)?;
        Ok(Arc::new(Kill { cluster, wanted: Some(Wanted { kill: self.clone(), places: places.clone() }), read: Mutex::default() }))
    }

    fn reopen(record: &Record, places: &Places) -> Result<Arc<dyn Kind>, KindError> {
        Ok(Arc::new(Kill { cluster: place::of_record(record, places)?, wanted: None, read: Mutex::default() }))
    }
}

/// The pods of one cluster that are evicted.
#[derive(Debug)]
struct Kill {
    cluster: Arc<Cluster>,
    /// None: opened for undoing.
    wanted: Option<Wanted>,
    /// Every pod of the namespace, as [`Kind::resolve`] read it.
    read: Mutex<Vec<Value>>,
}

#[derive(Debug)]
struct Wanted {
    kill: PodKill,
    places: Places,
}

impl Kill {
    fn wanted(&self) -> Result<&Wanted, KindError> {
        self.wanted.as_ref().ok_or_else(|| KindError::Failed(format!("'{NAME}' was opened for undoing, not for a step")))
    }

    fn pods(&self) -> Vec<Value> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads: the pod, unless it is ending or gone.
    async fn alive(&self, target: &TargetId) -> Result<Option<Value>, KindError> {
        let pod = object::find(&self.cluster, &identity(target)?).await?;
        Ok(pod.filter(|pod| text(pod, "/metadata/deletionTimestamp").is_empty()))
    }

    /// Reads: the owner that a record names; none when it is gone, or another has its name.
    async fn owner(&self, record: &Record) -> Result<Option<(String, Ready)>, KindError> {
        let (kind, name) = (text(&record.prior, "/owner/kind"), text(&record.prior, "/owner/name"));
        let resource = owners(kind).ok_or_else(|| KindError::Failed(format!("the record of {} names no owner", record.target)))?;
        let at = resource.at(Some(identity(&record.target)?.namespace), name);
        let found = self.cluster.get(&at).await?.filter(|owner| mark::uid(owner) == text(&record.prior, "/owner/uid"));
        Ok(found.map(|owner| (format!("{kind} {name}"), Ready::of(&owner))))
    }

    async fn look(&self, record: &Record) -> Result<Observed, KindError> {
        if self.alive(&record.target).await?.is_some() {
            return Ok(Observed::Prior);
        }
        let Some((owner, now)) = self.owner(record).await? else { return Ok(Observed::Absent) };
        let before = record.prior.pointer("/owner/ready").and_then(Value::as_i64).unwrap_or(i64::MAX);
        Ok(if now.ready >= before.min(now.wanted) {
            Observed::Prior
        } else {
            Observed::InTransition { detail: format!("{owner} has {} of {} pods ready", now.ready, now.wanted) }
        })
    }

    /// Writes: asks the pod to leave, once. Waiting: a budget does not allow it now.
    async fn ask(&self, target: &TargetId) -> Result<Progress, KindError> {
        let identity = identity(target)?;
        match self.cluster.evict(identity.namespace, identity.at.name, identity.uid, None).await {
            // Gone (404 is success), or another pod has its name by now (409).
            Ok(()) | Err(ApiError::Conflict { .. }) => Ok(Progress::Done),
            Err(ApiError::LostAnswer { why, .. }) => Ok(Progress::Waiting { why }),
            Err(ApiError::TooMany { what, .. }) => Ok(Progress::Waiting { why: format!("{identity}: {what}") }),
            Err(error) => Err(error.into()),
        }
    }
}

#[async_trait]
impl Kind for Kill {
    fn name(&self) -> &'static str {
        NAME
    }

    /// The owner puts it back, whether firedrill lives or not.
    fn expiry(&self) -> Expiry {
        Expiry::Own
    }

    fn settle(&self) -> Duration {
        place::SETTLE
    }

    fn momentary(&self) -> bool {
        true
    }

    fn warnings(&self) -> Vec<String> {
        vec!["ends pods for good: their owners start others".to_owned()]
    }

    fn needs(&self) -> Needs {
        let Some(Wanted { kill, .. }) = &self.wanted else { return Needs::default() };
        let to = |verb, resource| self.cluster.access(verb, resource, Some(&kill.namespace));
        let mut read = vec![self.cluster.check_access(), to("get", PODS), to("list", PODS), to("list", DISRUPTION_BUDGETS)];
        read.extend(OWNERS.map(|owner| to("get", owner)));
        access::Needs { inject: vec![to("create", PODS).subresource("eviction")], revert: Vec::new(), read }.into()
    }

    async fn missing(&self) -> Result<Vec<String>, KindError> {
        place::missing(&self.needs(), &self.wanted()?.places).await
    }

    async fn examine(&self, records: &[Record]) -> Result<Examined, KindError> {
        let Wanted { kill, places } = self.wanted()?;
        let (all, mut examined) = (self.pods(), Examined::default());
        let matching = all.iter().filter(|pod| matches(kill, pod)).count();
        let chosen = |pod: &&Value| records.iter().any(|record| record.target == object::target(&self.cluster, PODS, pod));
        let leaving: Vec<&Value> = all.iter().filter(chosen).collect();
        let of_owners: std::collections::BTreeSet<&str> = leaving.iter().filter_map(|pod| Some(text(evict::controller(pod)?, "/name"))).collect();
        examined.radius.push(format!(
            "{} of {matching} matching pods ({}) of namespace '{}' of cluster '{}', of {} owner(s); {} of its {} pods",
            leaving.len(),
            share(leaving.len(), matching),
            kill.namespace,
            self.cluster.name(),
            of_owners.len(),
            share(leaving.len(), all.len()),
            all.len(),
        ));
        // A share of the namespace's pods: who may evict there need not be allowed to count all others.
        examined.population = BTreeMap::from([(format!("{}/{}", self.cluster.place(), kill.namespace), all.len())]);
        if protected(places.environment.protect.as_ref(), &kill.namespace) {
            examined.refusals.push(format!("namespace '{}' is protected by the environment", kill.namespace));
        }
        let asked = kill.count.map_or(0, |count| count as usize);
        if asked > matching {
            examined.refusals.push(format!("{asked} pods are asked for, {matching} match"));
        }
        examined.refusals.extend(own::among(&leaving).map(|own| format!("firedrill's own pod {own} would be evicted")));
        let local = leaving.iter().filter(|pod| has_local_data(pod)).count();
        if local > 0 {
            examined.warnings.push(format!("{local} pod(s) keep data in emptyDir volumes, which is lost with them"));
        }
        let budgets = self.cluster.list(DISRUPTION_BUDGETS, Some(&kill.namespace), None, None).await?;
        budget::examine(&budgets, &leaving, true, &mut examined);
        Ok(examined)
    }

    async fn resolve(&self, run: &str) -> Result<Vec<TargetId>, KindError> {
        let kill = &self.wanted()?.kill;
        let all = self.cluster.list(PODS, Some(&kill.namespace), None, None).await?;
        let matching: Vec<&Value> = all.iter().filter(|pod| matches(kill, pod)).collect();
        let orphans: Vec<String> = matching.iter().filter(|pod| owner_of(pod).is_none()).map(|pod| evict::name(pod)).collect();
        if !orphans.is_empty() {
            return Err(KindError::Refused(format!(
                "{} of the pods that match have no owner that would verifiably start them again (ReplicaSet, StatefulSet, DaemonSet): {}",
                orphans.len(),
                some(&orphans)
            )));
        }
        let seed = kill.seed.map_or_else(|| run.to_owned(), |seed| seed.to_string());
        let chosen = choose(&matching, size(kill, matching.len()), &seed);
        let targets = chosen.into_iter().map(|pod| object::target(&self.cluster, PODS, pod)).collect();
        *self.read.lock().unwrap_or_else(PoisonError::into_inner) = all;
        Ok(targets)
    }

    async fn prepare(&self, _run: &str, target: &TargetId, _undo_by: Timestamp) -> Result<Prepared, KindError> {
        let identity = identity(target)?;
        let gone = || KindError::Conflict(format!("{identity} is gone"));
        let pods = self.pods();
        let pod = pods.iter().find(|pod| mark::uid(pod) == identity.uid).ok_or_else(gone)?;
        let (resource, owner) = owner_of(pod).ok_or_else(|| KindError::Refused(format!("{identity} has no owner that would start it again")))?;
        let (name, uid) = (text(owner, "/name"), text(owner, "/uid"));
        let found = self.cluster.get(&resource.at(Some(identity.namespace), name)).await?;
        let found = found.filter(|found| mark::uid(found) == uid).ok_or_else(gone)?;
        let ready = Ready::of(&found).ready;
        let prior = json!({"running": true, "owner": {"kind": resource.kind, "name": name, "uid": uid, "ready": ready}});
        Ok(Prepared { prior, ours: json!({"running": false}), companions: Vec::new(), noop: false })
    }

    fn invert(&self) -> Value {
        place::invert(&self.cluster)
    }

    /// A budget's no is not the end of it: [`Kind::proceed`] asks again.
    async fn inject(&self, record: &Record) -> Result<(), KindError> {
        self.ask(&record.target).await.map(|_| ())
    }

    async fn proceed(&self, record: &Record) -> Result<Progress, KindError> {
        if self.alive(&record.target).await?.is_none() { Ok(Progress::Done) } else { self.ask(&record.target).await }
    }

    async fn observe(&self, record: &Record) -> Observed {
        self.look(record).await.unwrap_or_else(|error| Observed::Unreadable { error: error.to_string() })
    }

    async fn revert(&self, _record: &Record) -> Result<(), KindError> {
        Ok(())
    }

    async fn tidy(&self, _record: &Record) -> Result<(), KindError> {
        Ok(())
    }

    async fn bite(&self, record: &Record) -> Bite {
        match self.alive(&record.target).await {
            Ok(None) => Bite::Verified,
            Ok(Some(_)) => Bite::Unproven { why: "the pod still runs".to_owned() },
            Err(error) => Bite::Unproven { why: error.to_string() },
        }
    }

    /// Nothing of it is in place after the call.
    async fn discover(&self) -> Result<Vec<Record>, KindError> {
        Ok(Vec::new())
    }

    fn by_hand(&self, record: &Record) -> ByHand {
        let Ok(identity) = identity(&record.target) else { return ByHand::default() };
        let (kubectl, namespace, name) = (kubectl(&self.cluster), word(identity.namespace), identity.at.name);
        let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": identity.namespace}});
        let owner = format!("{}/{}", text(&record.prior, "/owner/kind").to_lowercase(), text(&record.prior, "/owner/name"));
        ByHand {
            inject: vec![format!("echo {} | {kubectl} create --raw {}/eviction -f -", word(&eviction.to_string()), word(&identity.at.path()))],
            // The owner does it; a person looks whether it has.
            undo: vec![format!("{kubectl} --namespace {namespace} get {}", word(&owner))],
        }
    }

    fn blank(&self, _run: &str, step: &str) -> Option<(TargetId, Prepared)> {
        let namespace = &self.wanted().ok()?.kill.namespace;
        let id = format!("{}/{namespace}/{}/<uid>", PODS.plural, blank("each pod", step));
        let prior = json!({"owner": {"kind": blank("kind of the owner", step), "name": blank("name of the owner", step)}});
        Some((TargetId { place: self.cluster.place(), id }, Prepared { prior, ours: Value::Null, companions: Vec::new(), noop: false }))
    }
}

fn identity(target: &TargetId) -> Result<Identity<'_>, KindError> {
    object::identity(target, &[PODS])
}

/// Pods that an owner has, and should have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ready {
    ready: i64,
    wanted: i64,
}

impl Ready {
    fn of(owner: &Value) -> Self {
        let at = |pointer: &str| owner.pointer(pointer).and_then(Value::as_i64);
        // A DaemonSet counts by nodes.
        let ready = at("/status/readyReplicas").or(at("/status/numberReady")).unwrap_or(0);
        Self { ready, wanted: at("/spec/replicas").or(at("/status/desiredNumberScheduled")).unwrap_or(0) }
    }
}

fn owners(kind: &str) -> Option<Resource> {
    OWNERS.into_iter().find(|resource| resource.kind == kind)
}

/// The owner of a pod, when it is one that starts it again and says so.
fn owner_of(pod: &Value) -> Option<(Resource, &Value)> {
    let owner = evict::controller(pod).filter(|owner| text(owner, "/apiVersion").starts_with("apps/"))?;
    Some((owners(text(owner, "/kind"))?, owner))
}

/// Whether a pod may be chosen: it matches, and is neither over, nor ending, nor the kubelet's own.
fn matches(kill: &PodKill, pod: &Value) -> bool {
    let labels = pod.pointer("/metadata/labels");
    let labelled = kill.pods.labels.iter().all(|(key, value)| labels.and_then(|labels| labels.get(key)).and_then(Value::as_str) == Some(value));
    labelled && text(pod, "/metadata/deletionTimestamp").is_empty() && !matches!(evict::fate(pod), Fate::Ended | Fate::Mirror)
}

/// How many of the matching pods are evicted.
fn size(kill: &PodKill, matching: usize) -> usize {
    match (kill.count, kill.percent) {
        (Some(count), _) => (count as usize).min(matching),
        // Rounded up: a share of a few is not none.
        (None, Some(percent)) => (((percent.0 * matching as f64) / 100.0).ceil() as usize).min(matching),
        (None, None) => 0,
    }
}

/// The pods that a seed chooses, by name: those whose names hash lowest with it, so that one more pod changes one choice at most.
fn choose<'a>(pods: &[&'a Value], size: usize, seed: &str) -> Vec<&'a Value> {
    let rank = |pod: &Value| <[u8; 32]>::from(Sha256::digest(format!("{seed}/{}", text(pod, "/metadata/name")).as_bytes()));
    let mut ranked: Vec<_> = pods.iter().map(|pod| (rank(pod), *pod)).collect();
    ranked.sort_by_key(|(rank, _)| *rank);
    let mut chosen: Vec<&Value> = ranked.into_iter().take(size).map(|(_, pod)| pod).collect();
    chosen.sort_by_key(|pod| text(pod, "/metadata/name"));
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pods(count: usize) -> Vec<Value> {
        (0..count).map(|number| json!({"metadata": {"name": format!("api-{number}"), "namespace": "shop"}})).collect()
    }

    fn chosen(pods: &[Value], size: usize, seed: &str) -> Vec<String> {
        choose(&pods.iter().collect::<Vec<_>>(), size, seed).into_iter().map(|pod| text(pod, "/metadata/name").to_owned()).collect()
    }

    #[test]
    fn the_seed_chooses_and_the_order_of_the_answer_does_not() {
        let all = pods(20);
        let mut backwards = all.clone();
        backwards.reverse();
        assert_eq!(chosen(&all, 5, "7"), chosen(&backwards, 5, "7"));
        assert_ne!(chosen(&all, 5, "7"), chosen(&all, 5, "8"));
        assert_eq!(chosen(&all, 5, "7").len(), 5);
        let (few, more) = (chosen(&all, 5, "7"), chosen(&pods(21), 5, "7"));
        assert!(few.iter().filter(|name| more.contains(name)).count() >= 4, "one more pod: {few:?} {more:?}");
        // Over many seeds every pod is chosen about as often.
        for pod in 0..20 {
            let hits = (0..400).filter(|seed| chosen(&all, 5, &seed.to_string()).contains(&format!("api-{pod}"))).count();
            assert!((60..=140).contains(&hits), "api-{pod}: {hits} of 400");
        }
    }

    fn kill(count: Option<u32>, percent: Option<f64>) -> PodKill {
        let labels = BTreeMap::from([("app".to_owned(), "api".to_owned())]);
        PodKill { cluster: "east".into(), namespace: "shop".into(), pods: PodSelector { labels }, count, percent: percent.map(Percent), seed: None }
    }

    #[test]
    fn a_share_is_rounded_up_and_never_more_than_there_are() {
        let of = |percent, matching| size(&kill(None, Some(percent)), matching);
        assert_eq!([of(50.0, 3), of(1.0, 3), of(100.0, 3), of(50.0, 0)], [2, 1, 3, 0]);
        assert_eq!([size(&kill(Some(2), None), 3), size(&kill(Some(5), None), 3)], [2, 3]);
    }

    #[test]
    fn only_pods_that_run_and_match_may_be_chosen() {
        let pod = |labels: Value, metadata: Value, phase: &str| {
            let mut pod = json!({"metadata": metadata, "status": {"phase": phase}});
            pod["metadata"]["labels"] = labels;
            matches(&kill(Some(1), None), &pod)
        };
        assert!(pod(json!({"app": "api", "tier": "web"}), json!({}), "Running"));
        assert!(!pod(json!({"app": "web"}), json!({}), "Running"));
        assert!(!pod(json!({"app": "api"}), json!({}), "Succeeded"));
        assert!(!pod(json!({"app": "api"}), json!({"deletionTimestamp": "2026-01-01T00:00:00Z"}), "Running"));
        assert!(!pod(json!({"app": "api"}), json!({"annotations": {"kubernetes.io/config.mirror": "x"}}), "Running"));
    }

    #[test]
    fn only_owners_that_count_their_pods_are_trusted_to_start_others() {
        let owned = |version: &str, kind: &str| {
            let pod = json!({"metadata": {"ownerReferences": [{"apiVersion": version, "kind": kind, "name": "x", "controller": true}]}});
            owner_of(&pod).map(|(resource, _)| resource.plural)
        };
        assert_eq!(owned("apps/v1", "ReplicaSet"), Some("replicasets"));
        assert_eq!(owned("apps/v1", "StatefulSet"), Some("statefulsets"));
        assert_eq!(owned("batch/v1", "Job"), None);
        assert_eq!(owned("apps.kruise.io/v1beta1", "StatefulSet"), None, "another group's");
        assert_eq!(owner_of(&json!({"metadata": {}})), None);
    }

    #[test]
    fn owners_say_how_many_they_have_and_want() {
        let set = json!({"spec": {"replicas": 4}, "status": {"readyReplicas": 3}});
        assert_eq!(Ready::of(&set), Ready { ready: 3, wanted: 4 });
        assert_eq!(Ready::of(&json!({"spec": {"replicas": 4}, "status": {}})), Ready { ready: 0, wanted: 4 });
        assert_eq!(Ready::of(&json!({"spec": {}, "status": {"numberReady": 5, "desiredNumberScheduled": 6}})), Ready { ready: 5, wanted: 6 });
    }
}
