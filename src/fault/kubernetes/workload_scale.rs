//! `workloadScale`: a Deployment or `StatefulSet` gets another number of replicas.
//!
//! The workload itself is patched, never its scale subresource, and carries no mark: its annotations would be copied to its `ReplicaSet`s and come back with
//! `kubectl rollout undo`. A companion `ConfigMap` marks it instead.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::node_examine::share;
use super::object::{self, Identity};
use super::place::{self, kubectl, protected, text};
use super::{budget, companion, mark, own, replicas};
use crate::clock::Timestamp;
use crate::cluster::access;
use crate::cluster::api::Cluster;
use crate::cluster::resource::{AUTOSCALERS, At, CONFIG_MAPS, DEPLOYMENTS, PODS, Resource, STATEFUL_SETS};
use crate::drill::about::{About, Permissions};
use crate::drill::spec::{DrillSpec, Step};
use crate::event::Phase;
use crate::fault::definition::{Definition, Places};
use crate::fault::shell::{blank, word};
use crate::fault::{Bite, ByHand, Examined, Expiry, Kind, KindError, Observed, Prepared, Record, TargetId};
use crate::needs::Needs;

const NAME: &str = "workloadScale";
/// What may be scaled.
const SCALED: [Resource; 2] = [DEPLOYMENTS, STATEFUL_SETS];

/// A workload gets another number of replicas: as a fault (fewer) or as an action (more on the surviving side).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WorkloadScale {
    /// A cluster of the environment.
    #[schemars(length(max = 63))]
    #[schemars(extend("format" = "cluster-name"))]
    pub cluster: String,
    /// The workload's namespace.
    #[schemars(length(max = 63))]
    #[schemars(extend("format" = "kubernetes-name"))]
    pub namespace: String,
    /// Name of a Deployment; or `statefulSet`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub deployment: Option<String>,
    /// Name of a StatefulSet; or `deployment`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub stateful_set: Option<String>,
    /// How many replicas.
    #[schemars(range(max = 10000))]
    pub replicas: u32,
}

impl WorkloadScale {
    fn at(&self) -> At<'_> {
        match (&self.deployment, &self.stateful_set) {
            (Some(name), _) => DEPLOYMENTS.at(Some(&self.namespace), name),
            (None, name) => STATEFUL_SETS.at(Some(&self.namespace), name.as_deref().unwrap_or_default()),
        }
    }
}

impl Definition for WorkloadScale {
    fn about() -> Option<About> {
        Some(About {
            mechanism: "A ConfigMap named after the run is made beside the workload and carries all that the undo needs. Then one JSON patch of the workload \
                        replaces `spec.replicas`, on the condition that it is the same object with the number that was planned.",
            undo: "One JSON patch puts the number back, on the condition that it is still the one that was set; then the ConfigMap is deleted. A number that \
                   someone changed meanwhile is left so, and so is a workload whose ConfigMap someone deleted: it is theirs now.",
            verified: "The workload's status is read: no more replicas than asked for, or all of them ready. Pods may need time; the step waits until its limit.",
            must_know: &[
                "A workload whose replicas an autoscaler sets is refused; KEDA's ScaledObject is named. Pause KEDA, or switch the HorizontalPodAutoscaler off \
                 with `selectPolicy: Disabled` in both directions.",
                "Argo CD, Flux, Helm and other owners are named by the plan: they may put their number back in the middle of the drill.",
                "A workload that has the wanted number already is left as it is, now and at the end.",
                "The workload gets no annotation: those are copied to ReplicaSets and come back with `kubectl rollout undo`.",
                "A StatefulSet that deletes its volumes when it is scaled down is refused; one that was scaled up keeps the volumes of the added replicas.",
                "`firedrill sweep` finds it by the ConfigMaps of all namespaces: it needs `list configmaps` there.",
                "A Kubernetes fault stays when firedrill dies: the environment must say `allow.noDeadMan: true`; `resume` or `sweep` undoes it.",
            ],
            permissions: Permissions {
                inject: &["create configmaps", "patch the Deployment or StatefulSet"],
                revert: &["patch the Deployment or StatefulSet", "delete configmaps"],
                read: &[
                    "get namespaces (kube-system)",
                    "get the Deployment or StatefulSet",
                    "get, list configmaps",
                    "list horizontalpodautoscalers",
                    "list pods",
                ],
            },
            example: "workloadScale: {cluster: west, namespace: shop, deployment: api, replicas: 12}",
        })
    }

    fn open(&self, places: &Places, _drill: &DrillSpec, step: &Step) -> Result<Arc<dyn Kind>, KindError> {
        let cluster = place::named(places, &self.cluster)?;
        Ok(Arc::new(Scale { cluster, wanted: Some(Wanted { scale: self.clone(), step: step.id.clone(), places: places.clone() }) }))
    }

    fn reopen(record: &Record, places: &Places) -> Result<Arc<dyn Kind>, KindError> {
        Ok(Arc::new(Scale { cluster: place::of_record(record, places)?, wanted: None }))
    }

    fn everywhere(places: &Places) -> Vec<Arc<dyn Kind>> {
        let clusters = places.clusters.all(&places.environment).into_iter();
        clusters.map(|cluster| Arc::new(Scale { cluster, wanted: None }) as Arc<dyn Kind>).collect()
    }
}

/// The workloads of one cluster that are scaled.
#[derive(Debug)]
struct Scale {
    cluster: Arc<Cluster>,
    /// None: opened for undoing.
    wanted: Option<Wanted>,
}

#[derive(Debug)]
struct Wanted {
    scale: WorkloadScale,
    step: String,
    places: Places,
}

impl Scale {
    fn wanted(&self) -> Result<&Wanted, KindError> {
        self.wanted.as_ref().ok_or_else(|| KindError::Failed(format!("'{NAME}' was opened for undoing, not for a step")))
    }

    /// Reads: the workload; none when it is gone, or another has its name.
    async fn workload(&self, target: &TargetId) -> Result<Option<Value>, KindError> {
        object::find(&self.cluster, &identity(target)?).await
    }

    /// Writes: another number, in place of exactly this one.
    async fn set(&self, target: &TargetId, from: &Value, to: &Value) -> Result<(), KindError> {
        let identity = identity(target)?;
        let operations =
            [mark::same(identity.uid), mark::test("/spec/replicas", from.clone()), json!({"op": "replace", "path": "/spec/replicas", "value": to})];
        Ok(self.cluster.patch(&identity.at, &operations).await?)
    }

    async fn look(&self, record: &Record) -> Result<Observed, KindError> {
        let Some(workload) = self.workload(&record.target).await? else { return Ok(Observed::Absent) };
        let now = count(&workload);
        Ok(if now == number(&record.prior) {
            Observed::Prior
        } else if now == number(&record.ours) {
            Observed::Ours { marked: companion::find(&self.cluster, record).await?.is_some() }
        } else {
            Observed::Other { current: json!({"replicas": now}) }
        })
    }

    /// After a patch whose conditions did not hold: it was made before, or the workload is not as it was planned.
    async fn not_as_planned(&self, record: &Record, first: bool) -> Result<(), KindError> {
        let (identity, now) = (identity(&record.target)?, self.workload(&record.target).await?.map(|workload| count(&workload)));
        if now == Some(number(&record.ours)) && !first {
            return Ok(());
        }
        if first {
            // This was the only attempt, and it changed nothing: whoever set the number, it was not this run.
            companion::drop(&self.cluster, record).await?;
        }
        Err(KindError::Conflict(match now {
            Some(now) => format!("{identity} has {now} replicas by now; {} were planned with", number(&record.prior)),
            None => format!("{identity} is gone"),
        }))
    }
}

#[async_trait]
impl Kind for Scale {
    fn name(&self) -> &'static str {
        NAME
    }

    fn expiry(&self) -> Expiry {
        Expiry::None
    }

    fn settle(&self) -> Duration {
        place::SETTLE
    }

    fn needs(&self) -> Needs {
        let Some(Wanted { scale, .. }) = &self.wanted else { return Needs::default() };
        let (at, namespace) = (scale.at(), Some(scale.namespace.as_str()));
        let workload = |verb| self.cluster.access(verb, at.resource, namespace).named(at.name);
        let companion = |verb| self.cluster.access(verb, CONFIG_MAPS, namespace);
        let list = |resource| self.cluster.access("list", resource, namespace);
        access::Needs {
            inject: vec![companion("create"), workload("patch")],
            revert: vec![workload("patch"), companion("delete")],
            read: vec![self.cluster.check_access(), workload("get"), companion("get"), companion("list"), list(AUTOSCALERS), list(PODS)],
        }
        .into()
    }

    async fn missing(&self) -> Result<Vec<String>, KindError> {
        place::missing(&self.needs(), &self.wanted()?.places).await
    }

    async fn examine(&self, records: &[Record]) -> Result<Examined, KindError> {
        let Wanted { scale, places, .. } = self.wanted()?;
        let mut examined = Examined::default();
        for record in records.iter().filter(|record| record.phase != Phase::Noop) {
            let identity = identity(&record.target)?;
            let Some(workload) = self.workload(&record.target).await? else { continue };
            let (prior, ours) = (number(&record.prior), number(&record.ours));
            examined.radius.push(radius(&identity, self.cluster.name(), prior, ours));
            if protected(places.environment.protect.as_ref(), &scale.namespace) {
                examined.refusals.push(format!("namespace '{}' is protected by the environment", scale.namespace));
            }
            let autoscalers = self.cluster.list(AUTOSCALERS, Some(&scale.namespace), None, None).await?;
            let kind = identity.at.resource.kind;
            examined.refusals.extend(autoscalers.iter().filter_map(|one| replicas::autoscaler_refusal(one, kind, identity.at.name, ours)));
            examined.warnings.extend(
                replicas::keepers(&workload)
                    .iter()
                    .map(|keeper| format!("{identity} is kept by {keeper}: it may put its own number of replicas back in the middle of the drill")),
            );
            volumes(&workload, &identity, ours - prior, &mut examined);
            if ours < prior {
                let pods = self.cluster.list(PODS, Some(&scale.namespace), None, None).await?;
                let own: Vec<&Value> =
                    pods.iter().filter(|pod| budget::selects(workload.pointer("/spec/selector"), pod.pointer("/metadata/labels"))).collect();
                examined
                    .refusals
                    .extend(own::among(&own).map(|own| format!("firedrill's own pod {own} belongs to {identity}, which would be scaled down")));
            }
        }
        Ok(examined)
    }

    async fn resolve(&self, _run: &str) -> Result<Vec<TargetId>, KindError> {
        let at = self.wanted()?.scale.at();
        match self.cluster.get(&at).await? {
            Some(workload) => Ok(vec![object::target(&self.cluster, at.resource, &workload)]),
            None => Err(KindError::Refused(format!(
                "cluster '{}' has no {} '{}' in namespace '{}'",
                self.cluster.name(),
                at.resource.kind,
                at.name,
                at.namespace.unwrap_or_default()
            ))),
        }
    }

    async fn prepare(&self, run: &str, target: &TargetId, _undo_by: Timestamp) -> Result<Prepared, KindError> {
        let (identity, Wanted { scale, step, .. }) = (identity(target)?, self.wanted()?);
        companion::refuse_marked(&self.cluster, target, &identity).await?;
        let workload = self.workload(target).await?.ok_or_else(|| KindError::Conflict(format!("{identity} is gone")))?;
        let (prior, ours) = (count(&workload), i64::from(scale.replicas));
        Ok(Prepared {
            prior: json!({ "replicas": prior }),
            ours: json!({ "replicas": ours }),
            companions: vec![companion::named(identity.namespace, run, step)],
            noop: prior == ours,
        })
    }

    fn invert(&self) -> Value {
        place::invert(&self.cluster)
    }

    async fn inject(&self, record: &Record) -> Result<(), KindError> {
        let first = companion::create(&self.cluster, record).await?;
        match self.set(&record.target, &record.prior["replicas"], &record.ours["replicas"]).await {
            Err(KindError::Conflict(_)) => self.not_as_planned(record, first).await,
            done => done,
        }
    }

    async fn observe(&self, record: &Record) -> Observed {
        self.look(record).await.unwrap_or_else(|error| Observed::Unreadable { error: error.to_string() })
    }

    async fn revert(&self, record: &Record) -> Result<(), KindError> {
        match self.look(record).await? {
            Observed::Ours { marked: true } => {
                self.set(&record.target, &record.ours["replicas"], &record.prior["replicas"]).await?;
                companion::drop(&self.cluster, record).await
            }
            Observed::Ours { marked: false } => {
                Err(KindError::Conflict(format!("{} has no mark of this run: someone may have adopted it", identity(&record.target)?)))
            }
            _ => Ok(()),
        }
    }

    async fn tidy(&self, record: &Record) -> Result<(), KindError> {
        // While the answer of an inject is not known it may still land. The companion is what tells it from someone else's change, so it stays until the
        // settle time is over: nothing else on this object could be a fence.
        if matches!(record.phase, Phase::Intent | Phase::Unknown) {
            return Ok(());
        }
        companion::drop(&self.cluster, record).await
    }

    async fn bite(&self, record: &Record) -> Bite {
        match self.look(record).await {
            Ok(Observed::Ours { marked: true }) => {}
            Ok(other) => return Bite::Unproven { why: format!("it does not have the replicas that were set: {other:?}") },
            Err(error) => return Bite::Unproven { why: error.to_string() },
        }
        match self.workload(&record.target).await {
            Ok(Some(workload)) => reached(&workload, number(&record.prior), number(&record.ours)),
            Ok(None) => Bite::Unproven { why: "it is gone".to_owned() },
            Err(error) => Bite::Unproven { why: error.to_string() },
        }
    }

    async fn discover(&self) -> Result<Vec<Record>, KindError> {
        let all = companion::all(&self.cluster, None).await?;
        Ok(all.into_iter().filter(|record| record.kind == NAME).collect())
    }

    fn by_hand(&self, record: &Record) -> ByHand {
        let Ok(identity) = identity(&record.target) else { return ByHand::default() };
        let (kubectl, namespace) = (kubectl(&self.cluster), word(identity.namespace));
        let count = |state: &Value| word(&state["replicas"].as_str().map_or_else(|| number(state).to_string(), str::to_owned));
        let (prior, ours) = (count(&record.prior), count(&record.ours));
        let what = format!("{}/{}", identity.at.resource.kind.to_lowercase(), identity.at.name);
        let scale =
            |from: &str, to: &str| format!("{kubectl} --namespace {namespace} scale {} --current-replicas={from} --replicas={to}", word(&what));
        let companions = record.companions.iter().filter_map(|id| id.rsplit('/').next());
        let delete = companions.map(|name| format!("{kubectl} --namespace {namespace} delete configmap {} --ignore-not-found", word(name)));
        ByHand { inject: vec![scale(&prior, &ours)], undo: std::iter::once(scale(&ours, &prior)).chain(delete).collect() }
    }

    fn blank(&self, _run: &str, step: &str) -> Option<(TargetId, Prepared)> {
        let Wanted { scale, .. } = self.wanted().ok()?;
        let at = scale.at();
        let id = format!("{}/{}/{}/<uid>", at.resource.plural, scale.namespace, at.name);
        let prior = json!({"replicas": blank("replicas before", step)});
        Some((
            TargetId { place: self.cluster.place(), id },
            Prepared { prior, ours: json!({"replicas": scale.replicas}), companions: Vec::new(), noop: false },
        ))
    }
}

fn identity(target: &TargetId) -> Result<Identity<'_>, KindError> {
    object::identity(target, &SCALED)
}

/// `spec.replicas` of a workload; the API server fills it in.
fn count(workload: &Value) -> i64 {
    workload.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(1)
}

fn number(state: &Value) -> i64 {
    state.get("replicas").and_then(Value::as_i64).unwrap_or(-1)
}

fn radius(identity: &Identity<'_>, cluster: &str, prior: i64, ours: i64) -> String {
    let size = |count: i64| usize::try_from(count).unwrap_or_default();
    if ours < prior {
        let fewer = share(size(prior - ours), size(prior));
        format!("{} of {prior} replicas ({fewer}) of {identity} of cluster '{cluster}' go; {ours} stay", prior - ours)
    } else {
        format!("{} more replicas of {identity} of cluster '{cluster}', {ours} instead of {prior}", ours - prior)
    }
}

/// What becomes of a `StatefulSet`'s volumes when it gets `more` replicas, or fewer.
fn volumes(workload: &Value, identity: &Identity<'_>, more: i64, examined: &mut Examined) {
    let own = workload.pointer("/spec/volumeClaimTemplates").and_then(Value::as_array).is_some_and(|templates| !templates.is_empty());
    let deletes = text(workload, "/spec/persistentVolumeClaimRetentionPolicy/whenScaled") == "Delete";
    if own && deletes && more < 0 {
        examined.refusals.push(format!(
            "{identity} deletes the volumes of the replicas that go (persistentVolumeClaimRetentionPolicy.whenScaled: Delete), and the undo cannot bring \
             their data back"
        ));
    } else if own && !deletes && more > 0 {
        examined.warnings.push(format!("{identity} makes volumes for the added replicas; they stay when it is scaled back"));
    }
}

/// Whether the controller has carried the number out.
fn reached(workload: &Value, prior: i64, ours: i64) -> Bite {
    let of = |pointer: &str| workload.pointer(pointer).and_then(Value::as_i64).unwrap_or_default();
    let unproven = |why: String| Bite::Unproven { why };
    if of("/status/observedGeneration") < of("/metadata/generation") {
        return unproven("its controller has not seen the new number yet".to_owned());
    }
    let (there, ready) = (of("/status/replicas"), of("/status/readyReplicas"));
    match ours < prior {
        true if there > ours => unproven(format!("{there} replicas are still there, {ours} are to stay")),
        false if ready < ours => unproven(format!("{ready} of {ours} replicas are ready")),
        _ => Bite::Verified,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_bites_when_the_controller_has_carried_it_out() {
        let look = |generation: i64, observed: i64, there: i64, ready: i64, (prior, ours): (i64, i64)| {
            let status = json!({"observedGeneration": observed, "replicas": there, "readyReplicas": ready});
            reached(&json!({"metadata": {"generation": generation}, "status": status}), prior, ours) == Bite::Verified
        };
        assert!(!look(3, 2, 0, 0, (4, 0)), "an old status says nothing");
        assert!(!look(3, 3, 1, 0, (4, 0)));
        assert!(look(3, 3, 0, 0, (4, 0)));
        assert!(look(3, 3, 2, 1, (4, 2)), "those that stay need not be ready");
        assert!(!look(3, 3, 9, 8, (4, 9)));
        assert!(look(3, 3, 9, 9, (4, 9)));
    }

    #[test]
    fn volumes_that_would_be_deleted_refuse_and_those_that_stay_are_told() {
        let target = TargetId { place: "kubernetes/u".into(), id: "statefulsets/shop/store/1".into() };
        let look = |policy: &str, more: i64| {
            let set = json!({"spec": {"volumeClaimTemplates": [{}], "persistentVolumeClaimRetentionPolicy": {"whenScaled": policy}}});
            let mut examined = Examined::default();
            volumes(&set, &identity(&target).unwrap(), more, &mut examined);
            (examined.refusals.len(), examined.warnings.len())
        };
        assert_eq!([look("Delete", -1), look("Retain", -1), look("Retain", 1), look("Delete", 1)], [(1, 0), (0, 0), (0, 1), (0, 0)]);
    }

    #[test]
    fn the_radius_says_how_many_and_what_share() {
        let target = TargetId { place: "kubernetes/u".into(), id: "deployments/shop/api/1".into() };
        let of = |prior, ours| radius(&identity(&target).unwrap(), "east", prior, ours);
        assert_eq!(of(4, 1), "3 of 4 replicas (75 %) of Deployment shop/api of cluster 'east' go; 1 stay");
        assert_eq!(of(4, 9), "5 more replicas of Deployment shop/api of cluster 'east', 9 instead of 4");
    }
}
