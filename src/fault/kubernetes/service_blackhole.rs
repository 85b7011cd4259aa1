//! `serviceBlackhole`: a Service selects nothing, and whoever calls it finds nobody.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::object::{self, Identity};
use super::place::{self, kubectl, protected, text};
use super::{mark, replicas};
use crate::clock::Timestamp;
use crate::cluster::access;
use crate::cluster::api::Cluster;
use crate::cluster::error::ApiError;
use crate::cluster::resource::{ENDPOINT_SLICES, MUTATING_WEBHOOKS, SERVICES, VALIDATING_WEBHOOKS};
use crate::drill::about::{About, Permissions};
use crate::drill::spec::{DrillSpec, Step};
use crate::event::Phase;
use crate::fault::definition::{Definition, Places};
use crate::fault::shell::{blank, word};
use crate::fault::{Bite, ByHand, Examined, Expiry, Kind, KindError, Observed, Prepared, Record, TargetId};
use crate::needs::Needs;

const NAME: &str = "serviceBlackhole";
/// The label that no pod has. Its value is unique to run and step: who finds it in a selector knows who put it there.
const NOBODY: &str = "firedrill.dev/blackhole";
/// Longest value of a label.
const LONGEST: usize = 63;

/// A Service selects nothing: its selector is swapped for a run-unique one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceBlackhole {
    /// A cluster of the environment.
    #[schemars(length(max = 63))]
    #[schemars(extend("format" = "cluster-name"))]
    pub cluster: String,
    /// The Service's namespace.
    #[schemars(length(max = 63))]
    #[schemars(extend("format" = "kubernetes-name"))]
    pub namespace: String,
    /// Name of the Service.
    #[schemars(length(max = 63))]
    pub service: String,
}

impl Definition for ServiceBlackhole {
    fn limit() -> Duration {
        Duration::from_mins(1)
    }

    fn about() -> Option<About> {
        Some(About {
            mechanism: "One JSON patch swaps the Service's selector for a label that no pod has, `firedrill.dev/blackhole: RUN-STEP`, on the condition that it \
                        is the same object with the selector that was planned, and marks it with annotations. The selector from before rides in the mark.",
            undo: "One JSON patch puts the selector back and takes the mark off, on the condition that our selector is still there. A selector that someone \
                   replaced meanwhile is left so; where someone's change was merged with ours, only our label is taken out.",
            verified: "No EndpointSlice of the Service has a ready endpoint left.",
            must_know: &[
                "New connections are refused or time out, as the cluster's proxy does it; connections that are open stay open.",
                "Clients that resolve a headless Service keep the addresses that they know until they ask again.",
                "EndpointSlices that something else than Kubernetes maintains keep their endpoints: then the effect is not proven.",
                "Services without a selector, `kubernetes` of namespace `default`, and those behind an admission webhook that must answer (the undo itself may \
                 need it) are refused. A Service without a ready endpoint is left as it is.",
                "Argo CD, Flux, Helm and other owners are named by the plan: they may put the selector back in the middle of the drill.",
                "A Kubernetes fault stays when firedrill dies: the environment must say `allow.noDeadMan: true`; `resume` or `sweep` undoes it.",
            ],
            permissions: Permissions {
                inject: &["patch the Service"],
                revert: &["patch the Service"],
                read: &[
                    "get namespaces (kube-system)",
                    "get the Service",
                    "list endpointslices",
                    "list validatingwebhookconfigurations, mutatingwebhookconfigurations",
                ],
            },
            example: "serviceBlackhole: {cluster: east, namespace: shop, service: api}",
        })
    }

    fn open(&self, places: &Places, _drill: &DrillSpec, step: &Step) -> Result<Arc<dyn Kind>, KindError> {
        let cluster = place::named(places, &self.cluster)?;
        Ok(Arc::new(Blackhole { cluster, wanted: Some(Wanted { service: self.clone(), step: step.id.clone(), places: places.clone() }) }))
    }

    fn reopen(record: &Record, places: &Places) -> Result<Arc<dyn Kind>, KindError> {
        Ok(Arc::new(Blackhole { cluster: place::of_record(record, places)?, wanted: None }))
    }

    fn everywhere(places: &Places) -> Vec<Arc<dyn Kind>> {
        let clusters = places.clusters.all(&places.environment).into_iter();
        clusters.map(|cluster| Arc::new(Blackhole { cluster, wanted: None }) as Arc<dyn Kind>).collect()
    }
}

/// The Services of one cluster that select nothing.
#[derive(Debug)]
struct Blackhole {
    cluster: Arc<Cluster>,
    /// None: opened for undoing.
    wanted: Option<Wanted>,
}

#[derive(Debug)]
struct Wanted {
    service: ServiceBlackhole,
    step: String,
    places: Places,
}

impl Blackhole {
    fn wanted(&self) -> Result<&Wanted, KindError> {
        self.wanted.as_ref().ok_or_else(|| KindError::Failed(format!("'{NAME}' was opened for undoing, not for a step")))
    }

    /// Reads: the Service; none when it is gone, or another has its name.
    async fn service(&self, target: &TargetId) -> Result<Option<Value>, KindError> {
        object::find(&self.cluster, &identity(target)?).await
    }

    async fn swap(&self, record: &Record, bare: bool) -> Result<(), KindError> {
        let identity = identity(&record.target)?;
        let mut operations = vec![mark::same(identity.uid), mark::test("/spec/selector", record.prior["selector"].clone())];
        operations.extend(mark::add(record, bare));
        operations.push(json!({"op": "replace", "path": "/spec/selector", "value": record.ours["selector"]}));
        Ok(self.cluster.patch(&identity.at, &operations).await?)
    }

    async fn look(&self, record: &Record) -> Result<Observed, KindError> {
        let Some(service) = self.service(&record.target).await? else { return Ok(Observed::Absent) };
        let now = service.pointer("/spec/selector").cloned().unwrap_or_default();
        Ok(if now == record.prior["selector"] {
            Observed::Prior
        } else if ours_in(&now, record) {
            // The label is unique to run and step: a mark of its own.
            Observed::Ours { marked: true }
        } else {
            Observed::Other { current: json!({ "selector": now }) }
        })
    }

    /// Reads: endpoints of a Service that take connections, and the slices that hold any.
    async fn endpoints(&self, namespace: &str, service: &str) -> Result<(usize, usize), KindError> {
        let label = format!("kubernetes.io/service-name={service}");
        let slices = self.cluster.list(ENDPOINT_SLICES, Some(namespace), Some(&label), None).await?;
        let ready: Vec<usize> = slices.iter().map(ready).filter(|count| *count > 0).collect();
        Ok((ready.iter().sum(), ready.len()))
    }
}

#[async_trait]
impl Kind for Blackhole {
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
        let Some(Wanted { service: ServiceBlackhole { namespace, service, .. }, .. }) = &self.wanted else { return Needs::default() };
        let own = |verb| self.cluster.access(verb, SERVICES, Some(namespace)).named(service);
        let list = |resource, namespace| self.cluster.access("list", resource, namespace);
        access::Needs {
            inject: vec![own("patch")],
            revert: vec![own("patch")],
            read: vec![
                self.cluster.check_access(),
                own("get"),
                list(ENDPOINT_SLICES, Some(namespace.as_str())),
                list(VALIDATING_WEBHOOKS, None),
                list(MUTATING_WEBHOOKS, None),
            ],
        }
        .into()
    }

    async fn missing(&self) -> Result<Vec<String>, KindError> {
        place::missing(&self.needs(), &self.wanted()?.places).await
    }

    async fn examine(&self, records: &[Record]) -> Result<Examined, KindError> {
        let Wanted { service: ServiceBlackhole { namespace, service, .. }, places, .. } = self.wanted()?;
        let mut examined = Examined::default();
        if protected(places.environment.protect.as_ref(), namespace) {
            examined.refusals.push(format!("namespace '{namespace}' is protected by the environment"));
        }
        for resource in [VALIDATING_WEBHOOKS, MUTATING_WEBHOOKS] {
            let configurations = self.cluster.list(resource, None, None, None).await?;
            examined.refusals.extend(configurations.iter().filter_map(|one| webhook_refusal(one, namespace, service)));
        }
        for record in records.iter().filter(|record| record.phase != Phase::Noop) {
            let identity = identity(&record.target)?;
            let Some(found) = self.service(&record.target).await? else { continue };
            let (ready, slices) = self.endpoints(namespace, service).await?;
            examined
                .radius
                .push(format!("{ready} ready endpoint(s) of {identity} of cluster '{}', in {slices} EndpointSlice(s)", self.cluster.name()));
            examined.warnings.extend(
                (replicas::keepers(&found).iter())
                    .map(|keeper| format!("{identity} is kept by {keeper}: it may put its own selector back in the middle of the drill")),
            );
        }
        Ok(examined)
    }

    async fn resolve(&self, _run: &str) -> Result<Vec<TargetId>, KindError> {
        let ServiceBlackhole { namespace, service, .. } = &self.wanted()?.service;
        if (namespace.as_str(), service.as_str()) == ("default", "kubernetes") {
            return Err(KindError::Refused("Service 'kubernetes' of namespace 'default' is the cluster's API: the undo needs it".to_owned()));
        }
        match self.cluster.get(&SERVICES.at(Some(namespace), service)).await? {
            Some(found) => Ok(vec![object::target(&self.cluster, SERVICES, &found)]),
            None => Err(KindError::Refused(format!("cluster '{}' has no Service '{service}' in namespace '{namespace}'", self.cluster.name()))),
        }
    }

    async fn prepare(&self, run: &str, target: &TargetId, _undo_by: Timestamp) -> Result<Prepared, KindError> {
        let (identity, step) = (identity(target)?, &self.wanted()?.step);
        let found = self.service(target).await?.ok_or_else(|| KindError::Conflict(format!("{identity} is gone")))?;
        if let Some(run) = mark::run(&found) {
            return Err(KindError::Refused(format!("{identity} is marked by run {run}; `firedrill sweep` shows what it left")));
        }
        let selector = found.pointer("/spec/selector").filter(|selector| selector.as_object().is_some_and(|map| !map.is_empty()));
        let Some(selector) = selector.filter(|_| text(&found, "/spec/type") != "ExternalName") else {
            return Err(KindError::Refused(format!("{identity} has no selector: something else maintains its endpoints")));
        };
        if let Some(value) = selector.get(NOBODY) {
            return Err(KindError::Refused(format!(
                "{identity} still selects {NOBODY}={value}, of a run whose mark is gone; put its selector back first"
            )));
        }
        let noop = self.endpoints(identity.namespace, identity.at.name).await?.0 == 0;
        Ok(Prepared { prior: json!({ "selector": selector }), ours: json!({"selector": {NOBODY: nobody(run, step)}}), companions: Vec::new(), noop })
    }

    fn invert(&self) -> Value {
        place::invert(&self.cluster)
    }

    async fn inject(&self, record: &Record) -> Result<(), KindError> {
        match self.swap(record, false).await {
            // A Service without a single annotation has no map to add one to; the answer to a failed test does not say so.
            Err(KindError::Conflict(why)) => match self.service(&record.target).await? {
                Some(found) if mark::is_on(&found, record) => Ok(()),
                Some(found) if mark::bare(&found) => self.swap(record, true).await,
                _ => Err(KindError::Conflict(format!("{} is not as it was planned: {why}", identity(&record.target)?))),
            },
            done => done,
        }
    }

    async fn observe(&self, record: &Record) -> Observed {
        self.look(record).await.unwrap_or_else(|error| Observed::Unreadable { error: error.to_string() })
    }

    async fn revert(&self, record: &Record) -> Result<(), KindError> {
        let Some(found) = self.service(&record.target).await? else { return Ok(()) };
        let now = found.pointer("/spec/selector").cloned().unwrap_or_default();
        if !ours_in(&now, record) {
            return Ok(());
        }
        let identity = identity(&record.target)?;
        let mut operations = vec![mark::same(identity.uid), mark::test("/spec/selector", now.clone())];
        if mark::is_on(&found, record) {
            operations.extend(mark::remove(record, &found));
        }
        operations.push(json!({"op": "replace", "path": "/spec/selector", "value": without_ours(&now, record)}));
        Ok(self.cluster.patch(&identity.at, &operations).await?)
    }

    async fn tidy(&self, record: &Record) -> Result<(), KindError> {
        let Some(found) = self.service(&record.target).await? else { return Ok(()) };
        if !mark::is_on(&found, record) {
            return Ok(());
        }
        let identity = identity(&record.target)?;
        let mut operations = vec![mark::same(identity.uid)];
        operations.extend(mark::remove(record, &found));
        match self.cluster.patch(&identity.at, &operations).await {
            Ok(()) | Err(ApiError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn bite(&self, record: &Record) -> Bite {
        let looked = async {
            let identity = identity(&record.target)?;
            Ok::<_, KindError>((self.look(record).await?, self.endpoints(identity.namespace, identity.at.name).await?.0))
        };
        match looked.await {
            Ok((Observed::Ours { .. }, 0)) => Bite::Verified,
            Ok((Observed::Ours { .. }, ready)) => Bite::Unproven { why: format!("{ready} endpoint(s) are still ready") },
            Ok((other, _)) => Bite::Unproven { why: format!("it does not have the selector that was set: {other:?}") },
            Err(error) => Bite::Unproven { why: error.to_string() },
        }
    }

    async fn discover(&self) -> Result<Vec<Record>, KindError> {
        let all = self.cluster.list(SERVICES, None, None, None).await?;
        let carried = |service: &Value| mark::carried(service, object::target(&self.cluster, SERVICES, service), place::invert(&self.cluster));
        Ok(all.iter().filter_map(carried).filter(|record| record.kind == NAME).collect())
    }

    fn by_hand(&self, record: &Record) -> ByHand {
        let Ok(identity) = identity(&record.target) else { return ByHand::default() };
        let service = format!("{} --namespace {}", kubectl(&self.cluster), word(identity.namespace));
        let name = word(identity.at.name);
        let patch = |selector: &Value| {
            let patch = json!([{"op": "replace", "path": "/spec/selector", "value": selector}]);
            format!("{service} patch service {name} --type=json --patch {}", word(&patch.to_string()))
        };
        ByHand {
            inject: vec![patch(&record.ours["selector"])],
            undo: vec![
                patch(&record.prior["selector"]),
                format!("{service} annotate service {name} {}- {}- {}-", mark::RUN, mark::EXPIRES, mark::RECORD),
            ],
        }
    }

    fn blank(&self, run: &str, step: &str) -> Option<(TargetId, Prepared)> {
        let Wanted { service, .. } = self.wanted().ok()?;
        let id = format!("{}/{}/{}/<uid>", SERVICES.plural, service.namespace, service.service);
        let (prior, ours) = (json!({"selector": blank("selector before", step)}), json!({"selector": {NOBODY: nobody(run, step)}}));
        Some((TargetId { place: self.cluster.place(), id }, Prepared { prior, ours, companions: Vec::new(), noop: false }))
    }
}

fn identity(target: &TargetId) -> Result<Identity<'_>, KindError> {
    object::identity(target, &[SERVICES])
}

/// The value that nobody's label has: `<run>-<step>`, cut to what a label may hold. The run comes first and is unique, so the cut harms nothing.
fn nobody(run: &str, step: &str) -> String {
    let mut value = format!("{run}-{step}").to_lowercase();
    value.truncate(LONGEST);
    value.trim_end_matches(|c: char| !c.is_ascii_alphanumeric()).to_owned()
}

/// Whether our label is in a selector, alone or merged with what someone applied since.
fn ours_in(selector: &Value, record: &Record) -> bool {
    let ours = record.ours["selector"].as_object();
    ours.is_some_and(|ours| !ours.is_empty() && ours.iter().all(|(key, value)| selector.get(key) == Some(value)))
}

/// What a selector is when our label is taken out: the one from before when it was alone, else what someone else made of it.
fn without_ours(selector: &Value, record: &Record) -> Value {
    if *selector == record.ours["selector"] {
        return record.prior["selector"].clone();
    }
    let mut left = selector.as_object().cloned().unwrap_or_default();
    left.retain(|key, _| record.ours["selector"].get(key).is_none());
    Value::Object(left)
}

/// Endpoints of a slice that take connections. The API says to take an unknown `ready` for true.
fn ready(slice: &Value) -> usize {
    let endpoints = slice.get("endpoints").and_then(Value::as_array).into_iter().flatten();
    endpoints.filter(|endpoint| endpoint.pointer("/conditions/ready").and_then(Value::as_bool).unwrap_or(true)).count()
}

/// Why an admission configuration forbids taking a Service away: a webhook of it that must answer stands behind it.
fn webhook_refusal(configuration: &Value, namespace: &str, service: &str) -> Option<String> {
    let behind = |hook: &&Value| {
        let at = |pointer: &str| text(hook, pointer);
        (at("/clientConfig/service/namespace"), at("/clientConfig/service/name")) == (namespace, service) && at("/failurePolicy") != "Ignore"
    };
    let hook = configuration.get("webhooks").and_then(Value::as_array)?.iter().find(behind)?;
    Some(format!(
        "Service '{namespace}/{service}' answers for the admission webhook '{}' of '{}', which must answer (failurePolicy: Fail): the undo could be denied",
        text(hook, "/name"),
        text(configuration, "/metadata/name")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::RECORD_VERSION;

    fn record() -> Record {
        Record {
            version: RECORD_VERSION,
            run: "01KB2QXW8V5Z3M4N7P9R1S6T8D".into(),
            step: "dark".into(),
            after: vec![],
            kind: NAME.into(),
            action: false,
            keep: false,
            target: TargetId { place: "kubernetes/u".into(), id: "services/shop/api/1".into() },
            prior: json!({"selector": {"app": "api"}}),
            ours: json!({"selector": {NOBODY: nobody("01KB2QXW8V5Z3M4N7P9R1S6T8D", "dark")}}),
            invert: Value::Null,
            companions: vec![],
            undo_by: Timestamp::default(),
            phase: Phase::Verified,
        }
    }

    #[test]
    fn nobodys_label_is_one_that_the_api_takes() {
        assert_eq!(nobody("01KB2QXW8V5Z3M4N7P9R1S6T8D", "dark"), "01kb2qxw8v5z3m4n7p9r1s6t8d-dark");
        let cut = nobody("01KB2QXW8V5Z3M4N7P9R1S6T8D", &format!("{}-{}", "a".repeat(35), "b".repeat(20)));
        assert_eq!(cut, format!("01kb2qxw8v5z3m4n7p9r1s6t8d-{}", "a".repeat(35)), "no dash at the end");
    }

    #[test]
    fn our_label_is_taken_out_and_nothing_else() {
        let (record, ours) = (record(), record().ours["selector"].clone());
        assert!(ours_in(&ours, &record));
        assert_eq!(without_ours(&ours, &record), json!({"app": "api"}));
        let merged = |key: &str, value: &str| {
            let mut merged = ours.clone();
            merged[key] = value.into();
            (ours_in(&merged, &record), without_ours(&merged, &record))
        };
        assert_eq!(merged("app", "api"), (true, json!({"app": "api"})), "someone applied the manifest");
        assert_eq!(merged("app", "other"), (true, json!({"app": "other"})), "someone applied another one");
        assert!(!ours_in(&json!({"app": "api"}), &record));
        assert!(!ours_in(&json!({NOBODY: "another-run"}), &record));
    }

    #[test]
    fn endpoints_that_are_not_said_to_be_unready_count() {
        let slice = json!({"endpoints": [{"conditions": {"ready": true}}, {"conditions": {"ready": false}}, {"conditions": {}}, {}]});
        assert_eq!(ready(&slice), 3);
        assert_eq!(ready(&json!({"endpoints": null})), 0);
    }

    #[test]
    fn a_service_that_admission_needs_is_refused() {
        let configuration = |policy: Value| {
            json!({"metadata": {"name": "policies"}, "webhooks": [
                {"name": "by-url.example.com", "clientConfig": {"url": "https://x"}},
                {"name": "check.example.com", "failurePolicy": policy, "clientConfig": {"service": {"namespace": "shop", "name": "api"}}},
            ]})
        };
        let refusal = webhook_refusal(&configuration(json!("Fail")), "shop", "api").unwrap();
        assert!(refusal.contains("check.example.com") && refusal.contains("'policies'"), "{refusal}");
        assert!(webhook_refusal(&configuration(json!(null)), "shop", "api").is_some(), "the default is Fail");
        assert_eq!(webhook_refusal(&configuration(json!("Ignore")), "shop", "api"), None);
        assert_eq!(webhook_refusal(&configuration(json!("Fail")), "shop", "web"), None);
    }
}
