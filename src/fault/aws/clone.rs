//! The clone of a network ACL that denies everything first: made once for all subnets of a step that share the original, deleted with the last of them.
//!
//! Its name is unique to run, step and original, and its tags carry what undoes it. Without its four deny entries it works like the original: that is what
//! the dead-man's schedules make of it.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex as Held, MutexGuard, PoisonError};

use aws_sdk_ec2::types::builders::NetworkAclEntryBuilder;
use aws_sdk_ec2::types::{NetworkAclEntry, ResourceType, RuleAction, Tag, TagSpecification};
use futures::StreamExt;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;

use super::network::{self, Acl};
use super::place::Place;
use super::{dead_man, mark};
use crate::aws::error::CallError;
use crate::fault::shell::word;
use crate::fault::{KindError, Record, TargetId};

/// Tag that says which clone it is.
pub const CLONE: &str = "firedrill.dev/clone";
/// How a clone is named in a record's companions, and as a target when no subnet is left on it.
pub const SORT: &str = "clone/";
/// All protocols.
const ALL: &str = "-1";

/// The deny entries: rule number and addresses. Each stands in both directions.
const DENIES: [(i32, &str); 2] = [(1, "0.0.0.0/0"), (2, "::/0")];
/// An original must begin later.
pub const ROOM: i32 = 2;
/// How many schedules take the deny entries away again.
pub const SCHEDULES: usize = DENIES.len() * 2;
/// Rules of one direction that an ACL may have by default (Amazon VPC quotas: "Rules per network ACL").
pub const RULES: usize = 20;

/// Most entries that are made at once.
const AT_ONCE: usize = 16;

/// What this process knows of the clones of one place, by name.
#[derive(Debug, Default)]
struct Clones(Held<HashMap<String, Arc<One>>>);

/// What this process knows of one clone.
#[derive(Debug, Default)]
struct One {
    /// Held by whoever makes or deletes it.
    state: Mutex<State>,
    seen: Held<Seen>,
}

/// What was read of a clone by those that are on it.
#[derive(Debug, Default)]
struct Seen {
    /// `acl-…`, as it was read last.
    id: Option<String>,
    /// Targets that were seen on it and not tidied since. The clone is theirs to delete: each of them comes back to it when it is closed.
    on: HashSet<TargetId>,
}

#[derive(Debug, Default)]
enum State {
    /// It was neither made nor deleted here.
    #[default]
    Unknown,
    /// Made, with all of its entries.
    Made {
        id: String,
    },
    Deleted,
}

impl One {
    fn of(place: &Place, name: &str) -> Arc<Self> {
        let all = place.account.shared::<Clones>(&place.name());
        all.0.lock().unwrap_or_else(PoisonError::into_inner).entry(name.to_owned()).or_default().clone()
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A clone's name: `firedrill-<run>-<step>-<original>`.
pub fn name(run: &str, step: &str, original: &str) -> String {
    format!("firedrill-{run}-{step}-{original}")
}

/// The clone's name as a record carries it.
pub fn of(record: &Record) -> Result<&str, KindError> {
    let named = record.companions.iter().find_map(|companion| companion.strip_prefix(SORT));
    named.ok_or_else(|| KindError::Failed(format!("the record of {} names no clone", record.target)))
}

/// Reads: the clone of this name. Two are an error: a copy carries our tags, and nobody may guess which one is ours.
pub async fn find(place: &Place, name: &str) -> Result<Option<Acl>, KindError> {
    let mut found = network::tagged(place, CLONE, name).await?;
    if found.len() > 1 {
        let ids: Vec<&str> = found.iter().map(|acl| acl.id.as_str()).collect();
        return Err(KindError::Failed(format!("network ACLs {} all have the tag {CLONE}={name}: take it off those that are copies", ids.join(", "))));
    }
    Ok(found.pop())
}

/// The id of a record's clone when this process has made it.
pub async fn made(place: &Place, record: &Record) -> Option<String> {
    let one = One::of(place, of(record).ok()?);
    match &*one.state.lock().await {
        State::Made { id } => Some(id.clone()),
        State::Unknown | State::Deleted => None,
    }
}

/// Remembers that a target is on its clone, which has this id.
pub fn seen_on(place: &Place, record: &Record, id: &str) {
    if let Ok(name) = of(record) {
        let one = One::of(place, name);
        let mut seen = one.seen();
        seen.on.insert(record.target.clone());
        seen.id = Some(id.to_owned());
    }
}

/// Writes: makes the clone of a record's ACL with its deny entries, and arms the dead-man. The id of one that is there already. `found` is what [`find`] said
/// shortly before; one that was made since has the same client token, so that it is not made twice.
pub async fn make(place: &Place, record: &Record, original: &Acl, found: Option<Acl>) -> Result<String, KindError> {
    let name = of(record)?;
    let one = One::of(place, name);
    // One at a time: all subnets of a step wait for the same clone.
    let mut state = one.state.lock().await;
    match &*state {
        State::Made { id } => return Ok(id.clone()),
        State::Deleted => return Err(KindError::Conflict(format!("network ACL {name} was deleted by the undo"))),
        State::Unknown => {}
    }
    let (account, ec2) = (&place.account, place.clients().await?.ec2);
    let id = match found {
        Some(found) => found.id,
        None => {
            let tags = tags(place, record, name).into_iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect();
            let marked = TagSpecification::builder().resource_type(ResourceType::NetworkAcl).set_tags(Some(tags)).build();
            let create = ec2.create_network_acl().vpc_id(&original.vpc).client_token(token(name)).tag_specifications(marked);
            let created = account.write("ec2:CreateNetworkAcl", create.send()).await?;
            let id = created.network_acl().and_then(|acl| acl.network_acl_id()).unwrap_or_default().to_owned();
            if id.is_empty() {
                return Err(KindError::LostAnswer(format!("network ACL {name} was made without an id")));
            }
            id
        }
    };
    // At once: nothing has the clone yet.
    let entries = denies().into_iter().chain(original.entries.iter().cloned()).map(|entry| {
        let create = ec2
            .create_network_acl_entry()
            .network_acl_id(&id)
            .set_rule_number(entry.rule_number)
            .set_protocol(entry.protocol)
            .set_rule_action(entry.rule_action)
            .set_egress(entry.egress)
            .set_cidr_block(entry.cidr_block)
            .set_ipv6_cidr_block(entry.ipv6_cidr_block)
            .set_icmp_type_code(entry.icmp_type_code)
            .set_port_range(entry.port_range);
        async move {
            match account.write("ec2:CreateNetworkAclEntry", create.send()).await {
                Err(error) if error.code() == Some("NetworkAclEntryAlreadyExists") => Ok(()),
                done => done.map(|_| ()),
            }
        }
    });
    // Every call is awaited to its end, whatever the others answer.
    let added: Vec<Result<(), CallError>> = futures::stream::iter(entries).buffer_unordered(AT_ONCE).collect().await;
    added.into_iter().collect::<Result<(), _>>()?;
    let calls = denies().into_iter().map(|entry| dead_man::Call {
        api: "ec2:deleteNetworkAclEntry",
        input: json!({"NetworkAclId": id, "RuleNumber": entry.rule_number, "Egress": entry.egress}),
    });
    dead_man::arm(place, record, calls.collect()).await?;
    *state = State::Made { id: id.clone() };
    Ok(id)
}

/// Writes: deletes the clone of a record and its schedules, once no subnet has it any more. That it is gone is success.
pub async fn drop_unused(place: &Place, record: &Record) -> Result<(), KindError> {
    let name = of(record)?;
    let one = One::of(place, name);
    let (last, read) = {
        let mut seen = one.seen();
        seen.on.remove(&record.target);
        let last = seen.on.is_empty();
        (last, seen.id.take_if(|_| last))
    };
    // The last of those that were seen on it deletes it. A clone without subnets, which sweep found, is its own last one.
    if !last && !record.target.id.starts_with(SORT) {
        return Ok(());
    }
    // Schedules are cancelled only when no subnet has it any more. Without them EC2's own refusal is enough.
    let id = match read.filter(|_| !dead_man::is_armed(record)) {
        Some(id) => Some(id),
        // Asked before the lock is taken: all subnets of a step ask together, and one of them deletes.
        None => match find(place, name).await? {
            Some(acl) if !acl.subnets.is_empty() => return Ok(()),
            found => found.map(|acl| acl.id),
        },
    };
    let mut state = one.state.lock().await;
    if matches!(*state, State::Deleted) && id.is_none() {
        return Ok(());
    }
    dead_man::disarm(place, record).await?;
    if let Some(id) = id {
        let delete = place.clients().await?.ec2.delete_network_acl().network_acl_id(id);
        match place.account.write("ec2:DeleteNetworkAcl", delete.send()).await {
            Err(error) if error.code() == Some("DependencyViolation") => return Ok(()),
            Err(error) if error.is_not_found() => {}
            done => done.map(|_| ())?,
        }
    }
    *state = State::Deleted;
    Ok(())
}

/// A clone as a person makes and finds it.
pub struct InHand {
    /// The command that makes it. It has no entries, so it lets nothing through ("Custom network ACLs", Amazon VPC User Guide).
    pub make: String,
    /// Its id, as a word of a shell.
    pub id: String,
}

/// The clone of this name by hand.
pub fn by_hand(aws: &str, name: &str, original: &str) -> InHand {
    let id = format!(
        "\"$({aws} ec2 describe-network-acls --filters {} --query 'NetworkAcls[0].NetworkAclId' --output text)\"",
        word(&format!("Name=tag:{CLONE},Values={name}"))
    );
    let vpc = format!("\"$({aws} ec2 describe-network-acls --network-acl-ids {original} --query 'NetworkAcls[0].VpcId' --output text)\"");
    let tags = word(&format!("ResourceType=network-acl,Tags=[{{Key={CLONE},Value={name}}}]"));
    InHand { make: format!("{aws} ec2 create-network-acl --vpc-id {vpc} --tag-specifications {tags}"), id }
}

/// Writes: takes the deny entries off a clone, so that it works like its original.
pub async fn open(place: &Place, acl: &Acl) -> Result<(), KindError> {
    let ec2 = place.clients().await?.ec2;
    for entry in denies() {
        let delete = ec2.delete_network_acl_entry().network_acl_id(&acl.id).set_rule_number(entry.rule_number).set_egress(entry.egress);
        match place.account.write("ec2:DeleteNetworkAclEntry", delete.send()).await {
            Err(error) if error.is_not_found() => {}
            done => done.map(|_| ())?,
        }
    }
    Ok(())
}

/// Whether all of its deny entries are there.
pub fn denies_all(acl: &Acl) -> bool {
    let there = |wanted: &NetworkAclEntry| {
        let same = |entry: &NetworkAclEntry| {
            (entry.rule_number, entry.egress, &entry.rule_action) == (wanted.rule_number, wanted.egress, &wanted.rule_action)
                && (&entry.cidr_block, &entry.ipv6_cidr_block) == (&wanted.cidr_block, &wanted.ipv6_cidr_block)
        };
        acl.entries.iter().any(same)
    };
    denies().iter().all(there)
}

/// The records that a clone's tags carry: one for each subnet that has it, or one for the clone alone.
pub fn records(place: &Place, acl: &Acl) -> Vec<Record> {
    let Some(name) = acl.tags.get(CLONE) else { return Vec::new() };
    let Some(carried) = mark::carried(&acl.tags, &target(place, name), place.invert()) else { return Vec::new() };
    if acl.subnets.is_empty() {
        return vec![carried];
    }
    let of = |subnet: &String| Record { target: super::subnet_isolate::target(place, subnet), ..carried.clone() };
    acl.subnets.keys().map(of).collect()
}

/// The clone as a target: what sweep finds when no subnet is left on it.
pub fn target(place: &Place, name: &str) -> TargetId {
    TargetId { place: place.name(), id: format!("{SORT}{name}") }
}

/// The tags of a clone: they carry the record that is the same for every subnet of the step.
fn tags(place: &Place, record: &Record, name: &str) -> mark::Tags {
    let mut tags = mark::tags(&Record { target: target(place, name), ..record.clone() });
    tags.insert(CLONE.to_owned(), name.to_owned());
    tags.insert("Name".to_owned(), format!("firedrill {}", record.step));
    tags
}

fn denies() -> Vec<NetworkAclEntry> {
    let entry = |(number, addresses): (i32, &str), egress: bool| {
        let entry = NetworkAclEntryBuilder::default().rule_number(number).protocol(ALL).rule_action(RuleAction::Deny).egress(egress);
        if addresses.contains(':') { entry.ipv6_cidr_block(addresses).build() } else { entry.cidr_block(addresses).build() }
    };
    DENIES.into_iter().flat_map(|deny| [entry(deny, false), entry(deny, true)]).collect()
}

/// At most 64 characters, the same for the same clone: a repeated call makes no second one.
fn token(name: &str) -> String {
    Sha256::digest(name).iter().map(|byte| format!("{byte:02x}")).collect()
}
