//! `egressBlackhole`: pods cannot reach the given addresses, by a NetworkPolicy named after the run.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::address_ranges::AddressRanges;
use super::egress_policy::{self, Vanishing};
use super::params::PodSelector;
use super::place::{self, kubectl, text};
use super::{egress_examine, mark};
use crate::clock::Timestamp;
use crate::cluster::access;
use crate::cluster::api::Cluster;
use crate::cluster::error::ApiError;
use crate::cluster::resource::{At, DAEMON_SETS, NETWORK_POLICIES, NODES, PODS};
use crate::drill::about::{About, Permissions};
use crate::drill::spec::{DrillSpec, Step};
use crate::fault::definition::{Definition, Places};
use crate::fault::shell::{blank, word};
use crate::fault::{Bite, ByHand, Examined, Expiry, Kind, KindError, Observed, Prepared, Record, TargetId};
use crate::needs::Needs;

const NAME: &str = "egressBlackhole";
/// More ranges than this make a policy that network plugins choke on, and a mark that does not fit into annotations (256 KiB).
const MOST_RANGES: usize = 1500;
/// Longest name of a NetworkPolicy (RFC 1123 subdomain).
const LONGEST_NAME: usize = 253;

/// Pods cannot reach the given addresses: everything else stays open.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EgressBlackhole {
    /// A cluster of the environment.
    #[schemars(length(max = 63))]
    #[schemars(extend("format" = "cluster-name"))]
    pub cluster: String,
    /// The pods' namespace.
    #[schemars(length(max = 63))]
    #[schemars(extend("format" = "kubernetes-name"))]
    pub namespace: String,
    /// Which pods.
    pub pods: PodSelector,
    /// Addresses that vanish, in CIDR form; or `services`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 500), inner(length(max = 64)))]
    #[schemars(extend("format" = "cidr"))]
    pub cidrs: Vec<String>,
    /// AWS services whose published addresses vanish, by their names in AWS's address-range file (`S3`, `DYNAMODB`), which the environment's
    /// `network.awsAddressRanges` names; or `cidrs`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(max = 64)))]
    pub services: Vec<String>,
    /// Region of `services`. Default: the drill's `failedRegion`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    #[schemars(extend("format" = "aws-region"))]
    pub region: Option<String>,
}

impl Definition for EgressBlackhole {
    fn limit() -> Duration {
        Duration::from_mins(2)
    }

    fn about() -> Option<About> {
        Some(About {
            mechanism: "One NetworkPolicy, named after the run and the step, selects the pods and opens everything to them but the given addresses: 0.0.0.0/0 and \
                        ::/0 except those, the pods of all namespaces, and the addresses of the nodes.",
            undo: "The policy is deleted, on the condition that it is still the one that this run made, unchanged. One that someone edited is left as it is.",
            verified: "Not proven: whether a network plugin enforces the policy cannot be seen through the API. The run ends inconclusive; let a probe from inside \
                       the pods tell.",
            must_know: &[
                "A network plugin that does not enforce policies (flannel, the default of some managed clusters) makes this without effect.",
                "Policies are unions: this one opens what it does not close. When any policy with egress already selects one of the pods, it would lift that one's \
                 denial, so the plan refuses. Policies of other kinds (CiliumNetworkPolicy, Calico's, AdminNetworkPolicy) are not looked at.",
                "On Cilium address ranges do not match pods and nodes of the cluster.",
                "Connections that are open already may live on: most plugins let them.",
                "Pods with hostNetwork are not touched by policies; when all of them have it, the plan refuses.",
                "Pods with these labels that start during the hold are cut off too.",
                "`services` come from the file that network.awsAddressRanges names (AWS publishes it as ip-ranges.json), which is never fetched. It lists few: no \
                 IAM, STS or SQS. Interface VPC endpoints have addresses of your own and bypass it; gateway endpoints do not.",
                "`firedrill sweep` needs to list networkpolicies in all namespaces.",
                "A Kubernetes fault stays when firedrill dies: the environment must say `allow.noDeadMan: true`; `resume` or `sweep` undoes it.",
            ],
            permissions: Permissions {
                inject: &["create networkpolicies.networking.k8s.io (in the namespace)"],
                revert: &["delete networkpolicies.networking.k8s.io (in the namespace)"],
                read: &[
                    "get namespaces (kube-system)",
                    "get, list networkpolicies.networking.k8s.io, list pods (in the namespace)",
                    "list nodes",
                    "get daemonsets.apps (cilium in kube-system)",
                ],
            },
            example: "egressBlackhole: {cluster: east, namespace: shop, pods: {labels: {app: api}}, cidrs: [203.0.113.0/24]}",
        })
    }

    fn open(&self, places: &Places, drill: &DrillSpec, step: &Step) -> Result<Arc<dyn Kind>, KindError> {
        let region = self.region.clone().unwrap_or_else(|| drill.failed_region.clone());
        let wanted = Wanted { parameters: self.clone(), region, step: step.id.clone(), places: places.clone() };
        Ok(Arc::new(Egress { cluster: place::named(places, &self.cluster)?, wanted: Some(wanted) }))
    }

    fn reopen(record: &Record, places: &Places) -> Result<Arc<dyn Kind>, KindError> {
        Ok(Arc::new(Egress { cluster: place::of_record(record, places)?, wanted: None }))
    }

    fn everywhere(places: &Places) -> Vec<Arc<dyn Kind>> {
        let clusters = places.clusters.all(&places.environment).into_iter();
        clusters.map(|cluster| Arc::new(Egress { cluster, wanted: None }) as Arc<dyn Kind>).collect()
    }
}

/// The policy of one step, in one cluster.
#[derive(Debug)]
struct Egress {
    cluster: Arc<Cluster>,
    /// None: opened for undoing.
    wanted: Option<Wanted>,
}

/// What a step asks for.
#[derive(Debug)]
pub struct Wanted {
    /// The step's parameters.
    pub parameters: EgressBlackhole,
    /// Region of its services.
    pub region: String,
    /// Step id.
    pub step: String,
    /// Where the step works.
    pub places: Places,
}

impl Wanted {
    /// The addresses that vanish, and where they come from when they were looked up.
    pub fn vanishing(&self) -> Result<(Vanishing, Option<String>), KindError> {
        let (nets, source) = if self.parameters.services.is_empty() {
            let parsed = self.parameters.cidrs.iter().map(|cidr| cidr.parse::<IpNet>().map_err(|_| format!("'{cidr}' is not an address range")));
            (parsed.collect::<Result<Vec<_>, _>>().map_err(KindError::Refused)?, None)
        } else {
            let network = self.places.environment.network.as_ref();
            let file = network.and_then(|network| network.aws_address_ranges.as_deref()).ok_or_else(|| {
                let fix = "name AWS's ip-ranges.json in network.awsAddressRanges of the environment, or give `cidrs`";
                KindError::Refused(format!("the addresses of {} are not known; {fix}", self.parameters.services.join(", ")))
            })?;
            let ranges = AddressRanges::read(file).map_err(KindError::Refused)?;
            let nets = ranges.of(&self.parameters.services, &self.region).map_err(KindError::Refused)?;
            (nets, Some(format!("{} in {} by {file} {}", self.parameters.services.join(", "), self.region, ranges.dated())))
        };
        let vanishing: Vanishing = nets.into_iter().collect();
        if vanishing.len() > MOST_RANGES {
            return Err(KindError::Refused(format!(
                "{} address ranges are more than one policy holds ({MOST_RANGES}); name fewer services",
                vanishing.len()
            )));
        }
        Ok((vanishing, source))
    }
}

impl Egress {
    fn wanted(&self) -> Result<&Wanted, KindError> {
        self.wanted.as_ref().ok_or_else(|| KindError::Failed(format!("'{NAME}' was opened for undoing, not for a step")))
    }

    async fn find(&self, record: &Record) -> Result<Option<Value>, ApiError> {
        let (namespace, name) = parts(&record.target);
        self.cluster.get(&at(namespace, name)).await
    }

    fn target(&self, namespace: &str, name: &str) -> TargetId {
        TargetId { place: self.cluster.place(), id: format!("networkpolicies/{namespace}/{name}") }
    }
}

#[async_trait]
impl Kind for Egress {
    fn name(&self) -> &'static str {
        NAME
    }

    fn expiry(&self) -> Expiry {
        Expiry::None
    }

    fn settle(&self) -> Duration {
        place::SETTLE
    }

    fn warnings(&self) -> Vec<String> {
        vec!["cannot be proven through the API: the run will end inconclusive, whatever the objectives say".to_owned()]
    }

    fn needs(&self) -> Needs {
        let Some(wanted) = &self.wanted else { return Needs::default() };
        let policies = |verb| self.cluster.access(verb, NETWORK_POLICIES, Some(&wanted.parameters.namespace));
        access::Needs {
            inject: vec![policies("create")],
            revert: vec![policies("delete")],
            read: vec![
                self.cluster.check_access(),
                policies("get"),
                policies("list"),
                self.cluster.access("list", PODS, Some(&wanted.parameters.namespace)),
                self.cluster.access("list", NODES, None),
                self.cluster.access("get", DAEMON_SETS, Some(egress_examine::CILIUM.0)).named(egress_examine::CILIUM.1),
            ],
        }
        .into()
    }

    async fn missing(&self) -> Result<Vec<String>, KindError> {
        place::missing(&self.needs(), &self.wanted()?.places).await
    }

    async fn examine(&self, _records: &[Record]) -> Result<Examined, KindError> {
        egress_examine::examine(&self.cluster, self.wanted()?).await
    }

    async fn resolve(&self, run: &str) -> Result<Vec<TargetId>, KindError> {
        let wanted = self.wanted()?;
        Ok(vec![self.target(&wanted.parameters.namespace, &policy_name(run, &wanted.step))])
    }

    async fn prepare(&self, _run: &str, target: &TargetId, _undo_by: Timestamp) -> Result<Prepared, KindError> {
        let wanted = self.wanted()?;
        let (namespace, name) = parts(target);
        if self.cluster.get(&at(namespace, name)).await?.is_some() {
            return Err(KindError::Refused(format!(
                "networkpolicy '{name}' is in namespace '{namespace}' already; `firedrill sweep` shows what runs left"
            )));
        }
        let (vanishing, _) = wanted.vanishing()?;
        let nodes = self.cluster.list(NODES, None, None, None).await?;
        let addresses: Vec<IpAddr> = nodes.iter().flat_map(egress_examine::internal_addresses).collect();
        let spec = egress_policy::spec(&wanted.parameters.pods.labels, &vanishing, &addresses);
        Ok(Prepared { prior: Value::Null, ours: json!({"spec": spec}), companions: Vec::new(), noop: false })
    }

    fn invert(&self) -> Value {
        place::invert(&self.cluster)
    }

    async fn inject(&self, record: &Record) -> Result<(), KindError> {
        let (namespace, _) = parts(&record.target);
        match self.cluster.create(NETWORK_POLICIES, Some(namespace), &object(record, true)).await {
            Ok(_) => Ok(()),
            // The name is the run's: when it is there, an earlier call whose answer was lost has made it.
            Err(error @ ApiError::Conflict { .. }) => match self.observe(record).await {
                Observed::Ours { .. } => Ok(()),
                _ => Err(error.into()),
            },
            Err(error) => Err(error.into()),
        }
    }

    async fn observe(&self, record: &Record) -> Observed {
        match self.find(record).await {
            Ok(found) => seen(found.as_ref(), record),
            Err(error) => Observed::Unreadable { error: error.to_string() },
        }
    }

    async fn revert(&self, record: &Record) -> Result<(), KindError> {
        let Some(policy) = self.find(record).await? else { return Ok(()) };
        if !matches!(seen(Some(&policy), record), Observed::Ours { .. }) {
            return Err(KindError::Conflict(format!("{} is not as this run made it", record.target)));
        }
        let (namespace, name) = parts(&record.target);
        Ok(self.cluster.delete_unchanged(&at(namespace, name), &policy).await?)
    }

    async fn tidy(&self, _record: &Record) -> Result<(), KindError> {
        // The mark is part of the policy: it goes with it, and stays on one that someone edited.
        Ok(())
    }

    async fn bite(&self, record: &Record) -> Bite {
        match self.observe(record).await {
            Observed::Ours { .. } => {
                let why = "the policy is in place; whether the cluster's network enforces it cannot be seen through the API";
                Bite::Unprovable { why: why.to_owned() }
            }
            other => Bite::Unproven { why: format!("the policy is not in place: {other:?}") },
        }
    }

    async fn discover(&self) -> Result<Vec<Record>, KindError> {
        let policies = self.cluster.list(NETWORK_POLICIES, None, None, None).await?;
        let carried = policies.iter().filter_map(|policy| {
            let target = self.target(text(policy, "/metadata/namespace"), text(policy, "/metadata/name"));
            mark::carried(policy, target, place::invert(&self.cluster))
        });
        Ok(carried.filter(|record| record.kind == NAME).collect())
    }

    fn by_hand(&self, record: &Record) -> ByHand {
        let (namespace, name) = parts(&record.target);
        let kubectl = kubectl(&self.cluster);
        ByHand {
            inject: vec![format!("printf %s {} | {kubectl} create -f -", word(&object(record, false).to_string()))],
            undo: vec![format!("{kubectl} delete networkpolicy {} -n {}", word(name), word(namespace))],
        }
    }

    fn blank(&self, run: &str, step: &str) -> Option<(TargetId, Prepared)> {
        let Wanted { parameters, .. } = self.wanted().ok()?;
        let target = self.target(&parameters.namespace, &policy_name(run, step));
        let spec = blank("spec of the NetworkPolicy", step);
        Some((target, Prepared { prior: Value::Null, ours: json!({ "spec": spec }), companions: Vec::new(), noop: false }))
    }
}

/// Where a policy that was read stands. Its name is the run's: without any mark, and otherwise as it was made, it is still ours.
fn seen(policy: Option<&Value>, record: &Record) -> Observed {
    let Some(policy) = policy else { return Observed::Prior };
    if !text(policy, "/metadata/deletionTimestamp").is_empty() {
        return Observed::InTransition { detail: "the policy is being deleted; its finalizers are waited for".to_owned() };
    }
    let ours = policy.get("spec") == record.ours.get("spec");
    if ours && (mark::is_on(policy, record) || mark::run(policy).is_none()) {
        return Observed::Ours { marked: true };
    }
    Observed::Other { current: json!({"spec": policy.get("spec"), "run": mark::run(policy)}) }
}

/// The policy as it is created; by hand without a mark, which nothing would take off again.
fn object(record: &Record, marked: bool) -> Value {
    let (namespace, name) = parts(&record.target);
    let mut metadata = json!({"name": name, "namespace": namespace, "labels": {"app.kubernetes.io/managed-by": "firedrill"}});
    if marked {
        let all: serde_json::Map<String, Value> = mark::annotations(record).into_iter().map(|(key, value)| (key.to_owned(), value.into())).collect();
        metadata["annotations"] = all.into();
    }
    json!({
        "apiVersion": NETWORK_POLICIES.api_version(), "kind": NETWORK_POLICIES.kind, "metadata": metadata,
        "spec": record.ours.get("spec").cloned().unwrap_or_default(),
    })
}

/// `firedrill-<run>-<step>`, as an RFC 1123 name.
fn policy_name(run: &str, step: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let name: String = format!("firedrill-{run}-{step}").chars().map(plain).take(LONGEST_NAME).collect();
    name.trim_end_matches('-').to_owned()
}

fn at<'a>(namespace: &'a str, name: &'a str) -> At<'a> {
    NETWORK_POLICIES.at(Some(namespace), name)
}

/// Namespace and name of a target; empty when it is no policy's.
fn parts(target: &TargetId) -> (&str, &str) {
    target.id.strip_prefix("networkpolicies/").and_then(|rest| rest.split_once('/')).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Phase;
    use crate::fault::RECORD_VERSION;

    fn record() -> Record {
        Record {
            version: RECORD_VERSION,
            run: "01JRUN".into(),
            step: "cut".into(),
            after: vec![],
            kind: NAME.into(),
            action: false,
            keep: false,
            target: TargetId { place: "kubernetes/u".into(), id: format!("networkpolicies/shop/{}", policy_name("01JRUN", "cut")) },
            prior: Value::Null,
            ours: json!({"spec": {"policyTypes": ["Egress"]}}),
            invert: Value::Null,
            companions: vec![],
            undo_by: Timestamp::default(),
            phase: Phase::Injected,
        }
    }

    #[test]
    fn the_policy_is_named_after_the_run_and_the_step_as_kubernetes_wants_names() {
        assert_eq!(policy_name("01JABCDEF", "cut-s3"), "firedrill-01jabcdef-cut-s3");
        assert_eq!(policy_name("a_b.", "-"), "firedrill-a-b");
    }

    #[test]
    fn only_the_policy_that_this_run_made_and_nobody_edited_is_taken_away() {
        let record = record();
        let made = object(&record, true);
        assert_eq!(seen(Some(&made), &record), Observed::Ours { marked: true });
        assert_eq!(seen(None, &record), Observed::Prior);
        let mut edited = made.clone();
        edited["spec"]["egress"] = json!([{}]);
        assert!(matches!(seen(Some(&edited), &record), Observed::Other { .. }));
        let mut unmarked = made.clone();
        unmarked["metadata"]["annotations"] = json!({});
        assert_eq!(seen(Some(&unmarked), &record), Observed::Ours { marked: true }, "its name is the run's");
        let mut theirs = made.clone();
        theirs["metadata"]["annotations"][mark::RUN] = json!("01JOTHER");
        assert!(matches!(seen(Some(&theirs), &record), Observed::Other { .. }));
        let mut leaving = made;
        leaving["metadata"]["deletionTimestamp"] = json!("2026-11-22T19:00:00Z");
        assert!(matches!(seen(Some(&leaving), &record), Observed::InTransition { .. }));
    }
}
