//! `dnsBlackhole`: the cluster's DNS answers wrongly for service × region names, by one block of ours in the Corefile of CoreDNS.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RecordType};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::corefile;
use super::place::{self, kubectl, text};
use super::{dns_block, dns_examine, dns_zones, mark};
use crate::clock::Timestamp;
use crate::cluster::access;
use crate::cluster::api::Cluster;
use crate::cluster::error::ApiError;
use crate::cluster::resource::{At, CONFIG_MAPS, PODS, SERVICES};
use crate::drill::about::{About, Permissions};
use crate::drill::spec::{DrillSpec, Step};
use crate::event::Phase;
use crate::fault::definition::{Definition, Places};
use crate::fault::shell::word;
use crate::fault::{Bite, ByHand, Examined, Expiry, Kind, KindError, Observed, Prepared, RECORD_VERSION, Record, TargetId};
use crate::http::dns;
use crate::needs::Needs;

const NAME: &str = "dnsBlackhole";
/// Namespace and name of the `ConfigMap` of kubeadm, EKS, AKS, k3s and most others.
pub const AT: (&str, &str) = ("kube-system", "coredns");
/// The Service in front of the cluster's DNS, in the same namespace.
const SERVICE: &str = "kube-dns";
/// JSON pointer of the Corefile.
const COREFILE: &str = "/data/Corefile";
/// Longest that one question may take, and questions in flight.
const PATIENCE: Duration = Duration::from_secs(3);
const AT_ONCE: usize = 8;

/// The cluster's DNS answers wrongly for service × region names; every pod of the cluster is touched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DnsBlackhole {
    /// A cluster of the environment.
    #[schemars(length(max = 63))]
    #[schemars(extend("format" = "cluster-name"))]
    pub cluster: String,
    /// AWS service names as in endpoints (`dynamodb`, `sts`), or `"*"` for all.
    #[schemars(length(min = 1, max = 64), inner(length(max = 64)))]
    pub services: Vec<String>,
    /// Default: the drill's `failedRegion`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    #[schemars(extend("format" = "aws-region"))]
    pub region: Option<String>,
    /// What is answered.
    pub answer: ClusterDnsAnswer,
}

/// What a cluster's DNS answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ClusterDnsAnswer {
    /// The name exists and has no address: what dynamodb.us-east-1 answered on 20 October 2025.
    #[serde(rename = "NODATA")]
    NoData,
    /// The name does not exist.
    #[serde(rename = "NXDOMAIN")]
    NxDomain,
    /// The server failed.
    #[serde(rename = "SERVFAIL")]
    ServFail,
}

impl ClusterDnsAnswer {
    /// As written in files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NoData => "NODATA",
            Self::NxDomain => "NXDOMAIN",
            Self::ServFail => "SERVFAIL",
        }
    }

    /// Its response code.
    #[must_use]
    pub fn code(self) -> ResponseCode {
        match self {
            Self::NoData => ResponseCode::NoError,
            Self::NxDomain => ResponseCode::NXDomain,
            Self::ServFail => ResponseCode::ServFail,
        }
    }
}

impl Definition for DnsBlackhole {
    fn limit() -> Duration {
        // A kubelet takes up to two minutes to bring a changed ConfigMap into a pod, and CoreDNS looks every 30 to 45 s by default.
        Duration::from_mins(3)
    }

    fn about() -> Option<About> {
        Some(About {
            mechanism: "One JSON patch puts one block, between two comment lines that name the run, at the end of the Corefile in the ConfigMap \
                        kube-system/coredns, on the condition that the Corefile is byte for byte the one that was planned with, and marks the ConfigMap with \
                        annotations. The block answers for the zones of the services (template plugin); CoreDNS reloads it by itself.",
            undo: "One JSON patch takes exactly that block out again, also when someone edited another part of the Corefile meanwhile. A block that someone \
                   edited is left as it is.",
            verified: "The cluster's DNS is asked for a name in each zone, and every answer is the one that was asked for, with an SOA record of this run \
                       (SERVFAIL carries none). Where it is reached: `dns` of the cluster in the environment, else the Service kube-system/kube-dns.",
            must_know: &[
                "Every pod of the cluster that asks the cluster's DNS is touched, whatever its namespace; firedrill too when it runs there.",
                "It takes a minute or two to bite and to end: a kubelet brings the ConfigMap into the pods, then CoreDNS reloads. Give the hold that time.",
                "Clients and NodeLocal DNSCache keep what they knew before until its time to live is over. Our answers may be kept for 5 s.",
                "When the DNS cannot be reached from where firedrill runs, the fault counts as not proven and the run ends inconclusive.",
                "Only one replica of CoreDNS answers each question: another may reload a few seconds later.",
                "A Corefile without `reload` is refused (CoreDNS would need a restart), and so is one that cannot be read, or that serves one of the zones.",
                "Whoever manages the add-on (EKS add-on, Addon Manager, GitOps) may put the Corefile back: the fault is lost then, and the run says so.",
                "Names of VPC endpoints and of accounts, buckets and queues below a service's name are in its zone. Private hosted zones with names of your own \
                 are not.",
                "With kube-system in protect.namespaces it is refused.",
                "A Kubernetes fault stays when firedrill dies: the environment must say `allow.noDeadMan: true`; `resume` or `sweep` undoes it.",
            ],
            permissions: Permissions {
                inject: &["patch configmaps (coredns in kube-system)"],
                revert: &["patch configmaps (coredns in kube-system)"],
                read: &[
                    "get namespaces (kube-system)",
                    "get configmaps (coredns in kube-system)",
                    "list pods",
                    "get services (kube-dns in kube-system), unless the environment says `dns` of the cluster",
                ],
            },
            example: "dnsBlackhole: {cluster: east, services: [dynamodb], answer: NODATA}",
        })
    }

    fn open(&self, places: &Places, drill: &DrillSpec, step: &Step) -> Result<Arc<dyn Kind>, KindError> {
        let cluster = place::named(places, &self.cluster)?;
        let region = self.region.as_ref().unwrap_or(&drill.failed_region);
        let zones = dns_zones::zones(&self.services, region).map_err(KindError::Refused)?;
        let wanted = Wanted { parameters: self.clone(), zones, step: step.id.clone(), places: places.clone() };
        Ok(Arc::new(ClusterDns { cluster, wanted: Some(wanted) }))
    }

    fn reopen(record: &Record, places: &Places) -> Result<Arc<dyn Kind>, KindError> {
        Ok(Arc::new(ClusterDns { cluster: place::of_record(record, places)?, wanted: None }))
    }

    fn everywhere(places: &Places) -> Vec<Arc<dyn Kind>> {
        let clusters = places.clusters.all(&places.environment).into_iter();
        clusters.map(|cluster| Arc::new(ClusterDns { cluster, wanted: None }) as Arc<dyn Kind>).collect()
    }
}

/// The DNS of one cluster.
#[derive(Debug)]
struct ClusterDns {
    cluster: Arc<Cluster>,
    /// None: opened for undoing.
    wanted: Option<Wanted>,
}

/// What a step asks for.
#[derive(Debug)]
pub struct Wanted {
    /// The step's parameters.
    pub parameters: DnsBlackhole,
    /// Zones that are answered wrongly.
    pub zones: Vec<String>,
    /// Step id.
    pub step: String,
    /// Where the step works.
    pub places: Places,
}

impl Wanted {
    /// Where the environment says that the cluster's DNS is.
    fn server(&self) -> Option<&str> {
        let all = &self.places.environment.kubernetes;
        all.iter().find(|cluster| cluster.name == self.parameters.cluster)?.dns.as_deref()
    }
}

impl ClusterDns {
    fn wanted(&self) -> Result<&Wanted, KindError> {
        self.wanted.as_ref().ok_or_else(|| KindError::Failed(format!("'{NAME}' was opened for undoing, not for a step")))
    }

    async fn read(&self) -> Result<Option<Value>, ApiError> {
        self.cluster.get(&at()).await
    }

    /// The ConfigMap with the uid of the target; none when it is gone, or another has its name.
    async fn find(&self, target: &TargetId) -> Result<Option<Value>, ApiError> {
        Ok(self.read().await?.filter(|map| self.target(map) == *target))
    }

    fn target(&self, map: &Value) -> TargetId {
        TargetId { place: self.cluster.place(), id: format!("configmaps/{}/{}/{}", AT.0, AT.1, mark::uid(map)) }
    }

    /// Where the cluster's DNS is asked.
    async fn server(&self) -> Result<SocketAddr, String> {
        let given = self.wanted.as_ref().and_then(Wanted::server);
        let read = |text: &str| text.parse().map_err(|_| format!("'{text}' is not an address with a port"));
        if let Some(given) = given {
            return read(given);
        }
        let service = self.cluster.get(&SERVICES.at(Some(AT.0), SERVICE)).await.map_err(|error| error.to_string())?;
        match service.as_ref().map(|service| text(service, "/spec/clusterIP")) {
            Some(ip) if !ip.is_empty() && ip != "None" => Ok(SocketAddr::new(ip.parse().map_err(|_| format!("'{ip}' is not an address"))?, 53)),
            _ => Err(format!("there is no Service {}/{SERVICE} with an address", AT.0)),
        }
    }

    /// Asks for a name in each zone; the first answer that is not as it should be.
    async fn ask(&self, wanted: &Wanted, run: &str) -> Result<(), String> {
        let fix = format!("give the address of its DNS as firedrill reaches it: `dns` of cluster '{}' in the environment", self.cluster.name());
        let server = self.server().await.map_err(|error| format!("the cluster's DNS is not known: {error}; {fix}"))?;
        let questions = wanted.zones.iter().cloned().map(|zone| async move {
            let name = dns_zones::sample(&zone);
            let asked = Name::from_ascii(format!("{name}.")).map_err(|error| format!("'{name}': {error}"))?;
            let told = match tokio::time::timeout(PATIENCE, dns::ask(server, &asked, RecordType::A)).await {
                Ok(Ok(told)) => told,
                Ok(Err(failure)) => return Err(format!("the cluster's DNS at {server} cannot be asked: {failure}")),
                Err(_) => return Err(format!("the cluster's DNS at {server} gave no answer within {PATIENCE:?}")),
            };
            if dns_block::answered(&told, wanted.parameters.answer, run) {
                return Ok(());
            }
            Err(format!("the cluster's DNS at {server} still answers '{name}' otherwise: {}", dns_block::described(&told)))
        });
        let answers: Vec<Result<(), String>> = futures::stream::iter(questions).buffered(AT_ONCE).collect().await;
        answers.into_iter().collect::<Result<(), String>>().map_err(|why| {
            let unreached = why.contains("cannot be asked") || why.contains("gave no answer");
            if unreached && wanted.server().is_none() { format!("{why}; {fix}") } else { why }
        })
    }
}

#[async_trait]
impl Kind for ClusterDns {
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
        vec!["touches every pod of the cluster; it bites, and ends, a minute or two after the change".to_owned()]
    }

    fn needs(&self) -> Needs {
        let Some(wanted) = &self.wanted else { return Needs::default() };
        let map = |verb| self.cluster.access(verb, CONFIG_MAPS, Some(AT.0)).named(AT.1);
        let mut read = vec![self.cluster.check_access(), map("get"), self.cluster.access("list", PODS, None)];
        if wanted.server().is_none() {
            read.push(self.cluster.access("get", SERVICES, Some(AT.0)).named(SERVICE));
        }
        access::Needs { inject: vec![map("patch")], revert: vec![map("patch")], read }.into()
    }

    async fn missing(&self) -> Result<Vec<String>, KindError> {
        place::missing(&self.needs(), &self.wanted()?.places).await
    }

    async fn examine(&self, records: &[Record]) -> Result<Examined, KindError> {
        let map = self.read().await?.unwrap_or_default();
        let prior = records.first().map(|record| text(&record.prior, "/corefile")).unwrap_or_default();
        dns_examine::examine(&self.cluster, self.wanted()?, &map, prior).await
    }

    async fn resolve(&self, _run: &str) -> Result<Vec<TargetId>, KindError> {
        let map = self.read().await?.ok_or_else(|| {
            KindError::Refused(format!(
                "cluster '{}' has no ConfigMap {}/{}: its DNS is not CoreDNS as usually installed",
                self.cluster.name(),
                AT.0,
                AT.1
            ))
        })?;
        Ok(vec![self.target(&map)])
    }

    async fn prepare(&self, run: &str, target: &TargetId, _undo_by: Timestamp) -> Result<Prepared, KindError> {
        let wanted = self.wanted()?;
        let map = self.find(target).await?.ok_or_else(|| KindError::Conflict(format!("{target} is gone")))?;
        if let Some(run) = mark::run(&map) {
            return Err(KindError::Refused(format!("the Corefile is marked by run {run}; `firedrill sweep` shows what it left")));
        }
        if map.get("immutable").and_then(Value::as_bool) == Some(true) {
            return Err(KindError::Refused(format!("ConfigMap {}/{} is immutable", AT.0, AT.1)));
        }
        let prior = map.pointer(COREFILE).and_then(Value::as_str).unwrap_or_default();
        let added = dns_block::addition(prior, wanted, run)
            .map_err(|why| KindError::Refused(format!("the Corefile of cluster '{}': {why}", self.cluster.name())))?;
        Ok(Prepared { prior: json!({"corefile": prior}), ours: json!({"added": added}), companions: Vec::new(), noop: false })
    }

    fn invert(&self) -> Value {
        place::invert(&self.cluster)
    }

    async fn inject(&self, record: &Record) -> Result<(), KindError> {
        let map = self.find(&record.target).await?.ok_or_else(|| KindError::Conflict(format!("{} is gone", record.target)))?;
        if matches!(seen(&map, record), Observed::Ours { .. }) {
            return Ok(());
        }
        let prior = text(&record.prior, "/corefile");
        let mut operations = vec![mark::same(mark::uid(&map)), mark::test(COREFILE, prior.into())];
        operations.extend(mark::add(record, mark::bare(&map)));
        operations.push(json!({"op": "replace", "path": COREFILE, "value": format!("{prior}{}", added(record))}));
        Ok(self.cluster.patch(&at(), &operations).await?)
    }

    async fn observe(&self, record: &Record) -> Observed {
        match self.find(&record.target).await {
            Ok(Some(map)) => seen(&map, record),
            Ok(None) => Observed::Absent,
            Err(error) => Observed::Unreadable { error: error.to_string() },
        }
    }

    async fn revert(&self, record: &Record) -> Result<(), KindError> {
        let map = self.find(&record.target).await?.ok_or_else(|| KindError::Conflict(format!("{} is gone", record.target)))?;
        let current = text(&map, COREFILE);
        let Some(left) = corefile::without(current, added(record)) else {
            return Err(KindError::Conflict("the block is not in the Corefile as this run put it there".to_owned()));
        };
        // On the whole text: whoever edits it at this moment wins, and the undo looks again.
        let mut operations = vec![mark::same(mark::uid(&map)), mark::test(COREFILE, current.into())];
        operations.push(json!({"op": "replace", "path": COREFILE, "value": left}));
        if mark::is_on(&map, record) {
            operations.extend(mark::remove(record, &map));
        }
        Ok(self.cluster.patch(&at(), &operations).await?)
    }

    async fn tidy(&self, record: &Record) -> Result<(), KindError> {
        let Some(map) = self.find(&record.target).await? else { return Ok(()) };
        // On a Corefile with something of ours that someone edited the mark stays: sweep goes on naming it.
        if !mark::is_on(&map, record) || seen(&map, record) != Observed::Prior {
            return Ok(());
        }
        let mut operations = vec![mark::same(mark::uid(&map))];
        operations.extend(mark::remove(record, &map));
        Ok(self.cluster.patch(&at(), &operations).await?)
    }

    async fn bite(&self, record: &Record) -> Bite {
        let asked = match self.wanted() {
            Ok(wanted) => self.ask(wanted, &record.run).await,
            Err(error) => Err(error.to_string()),
        };
        asked.map_or_else(|why| Bite::Unproven { why }, |()| Bite::Verified)
    }

    async fn discover(&self) -> Result<Vec<Record>, KindError> {
        let Some(map) = self.read().await? else { return Ok(Vec::new()) };
        let carried = mark::carried(&map, self.target(&map), place::invert(&self.cluster)).filter(|record| record.kind == NAME);
        // A block whose mark someone took off (or dropped by an apply) is still in effect, and says itself what it is.
        let known = |run: &str, step: &str| carried.as_ref().is_some_and(|record| record.run == run && record.step == step);
        let bare = corefile::blocks(text(&map, COREFILE)).into_iter().filter(|(run, step, _)| !known(run, step));
        let bare: Vec<Record> = bare.map(|(run, step, block)| self.unmarked(&map, run, step, block)).collect();
        Ok(carried.into_iter().chain(bare).collect())
    }

    fn by_hand(&self, record: &Record) -> ByHand {
        let kubectl = format!("{} -n {}", kubectl(&self.cluster), AT.0);
        let prior = text(&record.prior, "/corefile");
        let ours = format!("{prior}{}", added(record));
        let swap = |from: &str, to: &str| {
            let operations = json!([mark::test(COREFILE, from.into()), {"op": "replace", "path": COREFILE, "value": to}]);
            format!("{kubectl} patch configmap {} --type=json -p {}", AT.1, word(&operations.to_string()))
        };
        ByHand {
            inject: vec![swap(prior, &ours)],
            undo: vec![swap(&ours, prior), format!("{kubectl} annotate configmap {} {}- {}- {}-", AT.1, mark::RUN, mark::EXPIRES, mark::RECORD)],
        }
    }
}

impl ClusterDns {
    fn unmarked(&self, map: &Value, run: String, step: String, block: String) -> Record {
        Record {
            version: RECORD_VERSION,
            run,
            step,
            after: Vec::new(),
            kind: NAME.to_owned(),
            action: false,
            keep: false,
            target: self.target(map),
            prior: Value::Null,
            ours: json!({"added": block}),
            invert: place::invert(&self.cluster),
            companions: Vec::new(),
            undo_by: Timestamp::default(),
            phase: Phase::Injected,
        }
    }
}

fn at() -> At<'static> {
    CONFIG_MAPS.at(Some(AT.0), AT.1)
}

fn added(record: &Record) -> &str {
    text(&record.ours, "/added")
}

/// Where a ConfigMap that was read stands. The block names its run: without any mark it is still ours.
fn seen(map: &Value, record: &Record) -> Observed {
    let current = text(map, COREFILE);
    if corefile::without(current, added(record)).is_some() {
        Observed::Ours { marked: true }
    } else if corefile::has_trace(current, &record.run, &record.step) {
        Observed::Other { current: json!({"corefile": current}) }
    } else {
        Observed::Prior
    }
}
