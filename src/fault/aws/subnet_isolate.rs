//! `subnetIsolate`: subnets lose all traffic that network ACLs see.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_ec2::types::NetworkInterface;
use futures::future::try_join_all;
use serde_json::{Value, json};

use super::instances::filter;
use super::network::{self, Acl, Association};
use super::params::{ManagedInterface, SubnetIsolate};
use super::place::{self, Place, own_addresses, protecting};
use super::{clone, dead_man, mark};
use crate::aws::access::{self, Statement};
use crate::aws::error::CallError;
use crate::clock::Timestamp;
use crate::drill::about::{About, Permissions};
use crate::drill::spec::{DrillSpec, Step};
use crate::event::Phase;
use crate::fault::definition::{Definition, Places};
use crate::fault::shell::{self, blank};
use crate::fault::{Bite, ByHand, Examined, Expiry, Kind, KindError, Observed, Prepared, Record, TargetId};
use crate::needs::Needs;

const NAME: &str = "subnetIsolate";
/// Targets: `subnet/subnet-…`.
const SORT: &str = "subnet/";

impl Definition for SubnetIsolate {
    fn about() -> Option<About> {
        Some(About {
            mechanism: "For each network ACL that the subnets have, one clone of it is made that denies everything first (IPv4 and IPv6, in and out), tagged with \
                        what undoes it; then each subnet's association is replaced by one with the clone.",
            undo: "Each subnet gets its ACL back, by the association id that is read just before; the clone goes with its last subnet. With a dead-man role four \
                   schedules of EventBridge Scheduler for each clone delete its deny entries two minutes after `undoBy` when firedrill is dead: the clone then \
                   works like the original, and `sweep` tidies it up.",
            verified: "The subnet's association is read back with the clone, and the clone with its deny entries.",
            must_know: &[
                "Network ACLs have no state: connections that are open are cut too.",
                "Network ACLs do not stop the VPC's DNS resolver, the instance metadata service, the time service, DHCP, or traffic inside a subnet.",
                "Every network interface in the subnets is named by the plan. Those of NAT gateways, VPC endpoints, EKS and RDS are refused unless `including` names them.",
                "A subnet whose ACL lets nothing through is left as it is. One whose ACL begins at rule 1 or 2 is refused: there is no room for the deny entries.",
                "The clone counts against the quotas of network ACLs per VPC, and of rules per ACL (20 in each direction by default; it has two more than its \
                 original).",
            ],
            permissions: Permissions {
                inject: &[
                    "ec2:CreateNetworkAcl and ec2:CreateTags with it",
                    "ec2:CreateNetworkAclEntry",
                    "ec2:ReplaceNetworkAclAssociation",
                    "scheduler:CreateSchedule and iam:PassRole with a dead-man role",
                ],
                revert: &[
                    "ec2:ReplaceNetworkAclAssociation",
                    "ec2:DeleteNetworkAclEntry",
                    "ec2:DeleteNetworkAcl",
                    "scheduler:DeleteSchedule with a dead-man role",
                ],
                read: &["ec2:DescribeSubnets", "ec2:DescribeNetworkAcls", "ec2:DescribeNetworkInterfaces"],
            },
            example: "subnetIsolate: {account: main, subnets: {tags: {tier: private}, zones: [us-east-1a, us-east-1b]}, including: [vpcEndpoint]}",
        })
    }

    fn open(&self, places: &Places, drill: &DrillSpec, step: &Step) -> Result<Arc<dyn Kind>, KindError> {
        let region = self.region.as_deref().unwrap_or(&drill.failed_region);
        let place = Place::named(places, drill, &self.account, Some(region))?;
        Ok(Arc::new(Isolate { place, wanted: Some(Wanted { parameters: self.clone(), places: places.clone(), step: step.id.clone() }) }))
    }

    fn reopen(record: &Record, places: &Places) -> Result<Arc<dyn Kind>, KindError> {
        Ok(Arc::new(Isolate { place: Place::of_record(record, places)?, wanted: None }))
    }

    fn everywhere(places: &Places) -> Vec<Arc<dyn Kind>> {
        Place::everywhere(places, false).into_iter().map(|place| Arc::new(Isolate { place, wanted: None }) as Arc<dyn Kind>).collect()
    }
}

/// A subnet as a target.
pub fn target(place: &Place, subnet: &str) -> TargetId {
    TargetId { place: place.name(), id: format!("{SORT}{subnet}") }
}

/// The subnets of one region that are isolated.
#[derive(Debug)]
struct Isolate {
    place: Place,
    /// None: opened for undoing.
    wanted: Option<Wanted>,
}

#[derive(Debug)]
struct Wanted {
    parameters: SubnetIsolate,
    places: Places,
    step: String,
}

impl Isolate {
    fn wanted(&self) -> Result<&Wanted, KindError> {
        self.wanted.as_ref().ok_or_else(|| KindError::Failed(format!("'{NAME}' was opened for undoing, not for a step")))
    }

    /// EC2 looks at conditions before it answers a dry run, and the plan has no clone yet to ask with: these are as narrow as can be asked.
    fn on_acls(&self, action: &str) -> Statement {
        self.place.account.may(action).on([self.place.arn("ec2", "network-acl/*")])
    }

    fn replacing(&self) -> Statement {
        let arns = ["network-acl/*", "subnet/*"].map(|resource| self.place.arn("ec2", resource));
        self.place.account.may("ec2:ReplaceNetworkAclAssociation").on(arns)
    }

    fn creating(&self) -> Vec<Statement> {
        let arns = ["network-acl/*", "vpc/*"].map(|resource| self.place.arn("ec2", resource));
        vec![
            self.place.account.may("ec2:CreateNetworkAcl").on(arns),
            self.on_acls("ec2:CreateTags").when("StringEquals", "ec2:CreateAction", ["CreateNetworkAcl".to_owned()]),
            self.on_acls("ec2:CreateNetworkAclEntry"),
        ]
    }

    async fn look(&self, record: &Record) -> Result<Observed, KindError> {
        if let Some(name) = record.target.id.strip_prefix(clone::SORT) {
            return Ok(match clone::find(&self.place, name).await? {
                Some(_) => Observed::Ours { marked: true },
                None => Observed::Prior,
            });
        }
        let Some(found) = network::association(&self.place, id(&record.target)?).await? else { return Ok(Observed::Absent) };
        Ok(if Some(found.acl.id.as_str()) == record.prior["networkAcl"].as_str() {
            Observed::Prior
        } else if is_ours(&found, record) {
            clone::seen_on(&self.place, record, &found.acl.id);
            // The clone's name is unique to run, step and original: a mark of its own.
            Observed::Ours { marked: true }
        } else {
            Observed::Other { current: json!({"networkAcl": found.acl.id}) }
        })
    }

    /// Writes: gives a subnet another ACL, if it still has the one that was read. False: its ACL was changed since, and nothing else was.
    async fn replace(&self, read: &Association, acl: &str) -> Result<bool, CallError> {
        let replace = self.place.clients().await?.ec2.replace_network_acl_association().association_id(&read.id).network_acl_id(acl);
        match self.place.account.write("ec2:ReplaceNetworkAclAssociation", replace.send()).await {
            Err(error) if error.code() == Some("InvalidAssociationID.NotFound") => Ok(false),
            done => done.map(|_| true),
        }
    }

    /// Writes: gives a subnet that has the clone its own ACL back. False as of [`Self::replace`].
    async fn put_back(&self, record: &Record, read: &Association) -> Result<bool, KindError> {
        let original = record.prior["networkAcl"].as_str().unwrap_or_default();
        match self.replace(read, original).await {
            // Nothing can be put back; what is left lets the traffic through again.
            Err(error) if error.code() == Some("InvalidNetworkAclID.NotFound") => {
                clone::open(&self.place, &read.acl).await?;
                Err(KindError::Failed(format!(
                    "its network ACL {original} was deleted; {} has its place and the same rules, without ours: associate the subnet with what you want",
                    read.acl.id
                )))
            }
            done => Ok(done?),
        }
    }
}

#[async_trait]
impl Kind for Isolate {
    fn name(&self) -> &'static str {
        NAME
    }

    fn expiry(&self) -> Expiry {
        dead_man::expiry(&self.place)
    }

    fn settle(&self) -> Duration {
        place::SETTLE
    }

    fn needs(&self) -> Needs {
        if self.wanted.is_none() {
            return Needs::default();
        }
        let read = ["ec2:DescribeSubnets", "ec2:DescribeNetworkAcls", "ec2:DescribeNetworkInterfaces"].map(|action| self.place.account.may(action));
        let mut needs = access::Needs {
            inject: self.creating(),
            revert: vec![self.replacing(), self.on_acls("ec2:DeleteNetworkAclEntry"), self.on_acls("ec2:DeleteNetworkAcl")],
            read: read.into(),
            dead_man: Vec::new(),
        };
        needs.inject.push(self.replacing());
        dead_man::add_needs(&self.place, self.on_acls("ec2:DeleteNetworkAclEntry"), &mut needs);
        needs.into()
    }

    async fn missing(&self) -> Result<Vec<String>, KindError> {
        let subnets = network::chosen(&self.place, &self.wanted()?.parameters.subnets).await?;
        let Some(subnet) = subnets.first() else { return Ok(Vec::new()) };
        let Some(found) = network::association(&self.place, &subnet.id).await? else { return Ok(Vec::new()) };
        let (account, ec2, acl) = (&self.place.account, self.place.clients().await?.ec2, &found.acl.id);
        let undoing = self.place.undoing();
        let (undoer, undo) = (&undoing.account, undoing.clients().await?.ec2);
        let mut missing: Vec<String> = Vec::new();
        let tag = aws_sdk_ec2::types::Tag::builder().key(clone::CLONE).value("?").build();
        let marked = aws_sdk_ec2::types::TagSpecification::builder().resource_type(aws_sdk_ec2::types::ResourceType::NetworkAcl).tags(tag).build();
        let creating = self.creating();
        // The untagged call tells which of the two is missing.
        let plain = account.allows(&creating[0], ec2.create_network_acl().vpc_id(&found.acl.vpc).dry_run(true).send()).await?;
        if plain.is_none() {
            let tagged = ec2.create_network_acl().vpc_id(&found.acl.vpc).tag_specifications(marked).dry_run(true).send();
            missing.extend(account.allows(&creating[1], tagged).await?);
        }
        missing.extend(plain);
        let entry = ec2.create_network_acl_entry().network_acl_id(acl).rule_number(1).protocol("-1").egress(false).cidr_block("0.0.0.0/0");
        let entry = entry.rule_action(aws_sdk_ec2::types::RuleAction::Deny).dry_run(true).send();
        missing.extend(account.allows(&creating[2], entry).await?);
        let replace = ec2.replace_network_acl_association().association_id(&found.id).network_acl_id(acl).dry_run(true).send();
        missing.extend(account.allows(&self.replacing(), replace).await?);
        let replace = undo.replace_network_acl_association().association_id(&found.id).network_acl_id(acl).dry_run(true).send();
        missing.extend(undoer.allows(&self.replacing(), replace).await?);
        let entry = undo.delete_network_acl_entry().network_acl_id(acl).rule_number(1).egress(false).dry_run(true).send();
        missing.extend(undoer.allows(&self.on_acls("ec2:DeleteNetworkAclEntry"), entry).await?);
        let delete = undo.delete_network_acl().network_acl_id(acl).dry_run(true).send();
        missing.extend(undoer.allows(&self.on_acls("ec2:DeleteNetworkAcl"), delete).await?);
        missing.extend(dead_man::missing(&self.place).await?);
        missing.dedup();
        Ok(missing)
    }

    async fn examine(&self, records: &[Record]) -> Result<Examined, KindError> {
        let Wanted { parameters, places, .. } = self.wanted()?;
        let mut examined = Examined::default();
        let touched: BTreeSet<&str> =
            records.iter().filter(|record| record.phase != Phase::Noop).filter_map(|record| id(&record.target).ok()).collect();
        let subnets = network::chosen(&self.place, &parameters.subnets).await?;
        for subnet in subnets.iter().filter(|subnet| touched.contains(subnet.id.as_str())) {
            if let Some(tag) = protecting(places.environment.protect.as_ref(), &subnet.tags) {
                examined.refusals.push(format!("subnet {}: tag '{tag}' protects it", subnet.id));
            }
        }
        let mut originals: BTreeMap<String, Arc<Acl>> = BTreeMap::new();
        for found in try_join_all(touched.iter().map(|subnet| network::association(&self.place, subnet))).await?.into_iter().flatten() {
            originals.insert(found.acl.id.clone(), found.acl);
        }
        for acl in originals.values() {
            if acl.first_number() <= clone::ROOM {
                examined.refusals.push(format!(
                    "network ACL {} begins at rule {}: the deny entries need rules 1 and 2; number its rules from {} on",
                    acl.id,
                    acl.first_number(),
                    clone::ROOM + 1
                ));
            }
            let most = [false, true].map(|egress| acl.entries.iter().filter(|entry| entry.egress() == Some(egress)).count()).into_iter().max();
            if most.unwrap_or(0) + 2 > clone::RULES {
                examined.warnings.push(format!(
                    "the clone of network ACL {} needs {} rules in one direction: the quota is {} where nobody raised it",
                    acl.id,
                    most.unwrap_or(0) + 2,
                    clone::RULES
                ));
            }
        }
        let ids: Vec<String> = touched.iter().map(|id| (*id).to_owned()).collect();
        let interfaces = network::interfaces(&self.place, &ids).await?;
        let own = own_addresses();
        for interface in &interfaces {
            let name = named(interface);
            if let Some(service) = network::managed(interface).filter(|service| !parameters.including.contains(service)) {
                examined.refusals.push(format!("{name} is of {}; add `including: [{}]` if it may be cut off too", what(service), word(service)));
            }
            if interface
                .private_ip_addresses()
                .iter()
                .any(|address| address.private_ip_address().is_some_and(|address| own.iter().any(|own| own == address)))
            {
                examined.refusals.push(format!("{name} is firedrill's own: the undo needs it"));
            }
        }
        for place in self.place.all_regions() {
            examined.population.insert(place.name(), network::chosen(&place, &super::params::ZonedSelector::default()).await?.len());
        }
        let there = examined.population.get(&self.place.name()).copied().unwrap_or_default();
        examined.radius.push(format!(
            "{} of {there} subnets of {}, with {} network ACL(s) and {} network interface(s)",
            touched.len(),
            self.place.name(),
            originals.len(),
            interfaces.len()
        ));
        examined.radius.extend(interfaces.iter().map(|interface| format!("  {}", named(interface))));
        Ok(examined)
    }

    async fn resolve(&self, _run: &str) -> Result<Vec<TargetId>, KindError> {
        let wanted = &self.wanted()?.parameters.subnets;
        let found = network::chosen(&self.place, wanted).await?;
        if let Some(missing) = wanted.ids.iter().find(|id| !found.iter().any(|subnet| subnet.id == **id)) {
            return Err(KindError::Refused(format!("{} has no subnet {missing} that fits", self.place.name())));
        }
        Ok(found.iter().map(|subnet| target(&self.place, &subnet.id)).collect())
    }

    async fn prepare(&self, run: &str, target: &TargetId, _undo_by: Timestamp) -> Result<Prepared, KindError> {
        let (id, step) = (id(target)?, &self.wanted()?.step);
        let found = network::association(&self.place, id).await?.ok_or_else(|| KindError::Conflict(format!("subnet {id} is gone")))?;
        if let Some(run) = mark::run(&found.acl.tags) {
            return Err(KindError::Refused(format!("subnet {id} has a network ACL of run {run}; `firedrill sweep` shows what it left")));
        }
        let name = clone::name(run, step, &found.acl.id);
        let mut companions = vec![format!("{}{name}", clone::SORT)];
        companions.extend(dead_man::companions(&self.place, run, step, &name, clone::SCHEDULES));
        Ok(Prepared { prior: json!({"networkAcl": found.acl.id}), ours: json!({"clone": name}), companions, noop: found.acl.lets_nothing_through() })
    }

    fn invert(&self) -> Value {
        self.place.invert()
    }

    async fn inject(&self, record: &Record) -> Result<(), KindError> {
        let id = id(&record.target)?;
        let prior = record.prior["networkAcl"].as_str();
        // With the clone made, what the plan read is enough to change what is still so.
        if let Some(clone) = clone::made(&self.place, record).await
            && let Some(read) = network::last_seen(&self.place, id).filter(|read| prior == Some(read.acl.id.as_str()))
            && self.replace(&read, &clone).await?
        {
            return Ok(());
        }
        let reading = async { Ok::<_, KindError>(network::association(&self.place, id).await?) };
        let (found, made) = tokio::try_join!(reading, clone::find(&self.place, clone::of(record)?))?;
        let found = found.ok_or_else(|| KindError::Conflict(format!("subnet {id} is gone")))?;
        if prior != Some(found.acl.id.as_str()) {
            return Err(KindError::Conflict(format!("subnet {id} has network ACL {} by now", found.acl.id)));
        }
        let clone = clone::make(&self.place, record, &found.acl, made).await?;
        if self.replace(&found, &clone).await? {
            return Ok(());
        }
        Err(KindError::Conflict(format!("someone changed the network ACL of subnet {id} meanwhile")))
    }

    async fn observe(&self, record: &Record) -> Observed {
        self.look(record).await.unwrap_or_else(|error| Observed::Unreadable { error: error.to_string() })
    }

    async fn revert(&self, record: &Record) -> Result<(), KindError> {
        if record.target.id.starts_with(clone::SORT) {
            return clone::drop_unused(&self.place, record).await;
        }
        let id = id(&record.target)?;
        // What it was seen with is enough to change what is still so.
        if let Some(read) = network::last_seen(&self.place, id).filter(|read| is_ours(read, record))
            && self.put_back(record, &read).await?
        {
            return Ok(());
        }
        let Some(found) = network::association(&self.place, id).await?.filter(|found| is_ours(found, record)) else { return Ok(()) };
        if self.put_back(record, &found).await? {
            return Ok(());
        }
        Err(KindError::Conflict(format!("someone changed the network ACL of subnet {id} meanwhile")))
    }

    async fn tidy(&self, record: &Record) -> Result<(), KindError> {
        clone::drop_unused(&self.place, record).await
    }

    async fn bite(&self, record: &Record) -> Bite {
        let looked = async { Ok::<_, KindError>(network::association(&self.place, id(&record.target)?).await?) };
        match looked.await {
            Ok(Some(found)) if !is_ours(&found, record) => Bite::Unproven { why: format!("the subnet has network ACL {}", found.acl.id) },
            Ok(Some(found)) if clone::denies_all(&found.acl) => Bite::Verified,
            Ok(Some(found)) => Bite::Unproven { why: format!("network ACL {} does not deny everything", found.acl.id) },
            Ok(None) => Bite::Unproven { why: "the subnet is gone".to_owned() },
            Err(error) => Bite::Unproven { why: error.to_string() },
        }
    }

    async fn discover(&self) -> Result<Vec<Record>, KindError> {
        let clones = network::acls(&self.place, vec![filter("tag-key", [clone::CLONE.to_owned()])]).await?;
        Ok(clones.iter().flat_map(|acl| clone::records(&self.place, acl)).collect())
    }

    fn by_hand(&self, record: &Record) -> ByHand {
        let (aws, id) = (self.place.cli(), id(&record.target).unwrap_or_default());
        let original = shell::word(record.prior["networkAcl"].as_str().unwrap_or_default());
        let name = record.ours["clone"].as_str().unwrap_or_default();
        let associated = shell::word(&format!("Name=association.subnet-id,Values={id}"));
        let association = format!(
            "association=$({aws} ec2 describe-network-acls --filters {associated} --query \"NetworkAcls[0].Associations[?SubnetId=='{id}'].NetworkAclAssociationId\" --output text)"
        );
        let to = |acl: &str| {
            [association.clone(), format!("{aws} ec2 replace-network-acl-association --association-id \"$association\" --network-acl-id {acl}")]
        };
        let clone = clone::by_hand(&aws, name, &original);
        let delete = format!("{aws} ec2 delete-network-acl --network-acl-id {}   # after the last subnet", clone.id);
        ByHand {
            inject: std::iter::once(clone.make).chain(to(&clone.id)).collect(),
            undo: to(&original).into_iter().chain([delete]).chain(dead_man::disarm_by_hand(&self.place, record)).collect(),
        }
    }

    fn blank(&self, run: &str, step: &str) -> Option<(TargetId, Prepared)> {
        let original = blank("network ACL", step);
        let name = clone::name(run, step, "clone");
        let target = TargetId { place: self.place.name(), id: format!("{SORT}{}", blank("each subnet id", step)) };
        Some((target, Prepared { prior: json!({ "networkAcl": original }), ours: json!({ "clone": name }), companions: Vec::new(), noop: false }))
    }
}

/// Whether what a subnet has is the record's clone.
fn is_ours(found: &Association, record: &Record) -> bool {
    let clone = record.ours["clone"].as_str();
    clone.is_some() && found.acl.tags.get(clone::CLONE).map(String::as_str) == clone
}

fn id(target: &TargetId) -> Result<&str, KindError> {
    target.id.strip_prefix(SORT).ok_or_else(|| KindError::Failed(format!("{target} is no subnet")))
}

/// `eni-… (10.0.0.5, instance i-…)`.
fn named(interface: &NetworkInterface) -> String {
    let address = interface.private_ip_address().unwrap_or("no address");
    let user = interface.attachment().and_then(|attachment| attachment.instance_id()).map(|instance| format!("instance {instance}"));
    let user = user.or_else(|| interface.description().filter(|text| !text.is_empty()).map(str::to_owned)).unwrap_or_else(|| "not in use".to_owned());
    format!("{} ({address}, {user})", interface.network_interface_id().unwrap_or_default())
}

fn what(service: ManagedInterface) -> &'static str {
    match service {
        ManagedInterface::Nat => "a NAT gateway",
        ManagedInterface::VpcEndpoint => "a VPC endpoint",
        ManagedInterface::Eks => "an EKS control plane",
        ManagedInterface::Rds => "an RDS database",
    }
}

/// As written in files.
fn word(service: ManagedInterface) -> String {
    serde_json::to_value(service).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}
