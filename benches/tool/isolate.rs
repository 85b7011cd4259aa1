//! Subnets isolated and restored by a plain EC2 client: the same changes as `subnetIsolate` makes, with nothing guarded, remembered or armed.

use std::future::Future;
use std::time::Instant;

use aws_config::{BehaviorVersion, Region};
use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{NetworkAcl, NetworkAclEntry, ResourceType, RuleAction, Tag, TagSpecification};
use futures::{StreamExt, TryStreamExt};
use serde_json::{Value, json};

use super::Failure;

/// The deny entries that each clone gets before its original's: rule number and addresses, in both directions.
const DENIES: [(i32, &str); 2] = [(1, "0.0.0.0/0"), (2, "::/0")];
/// Rules that every ACL has by itself begin here.
const LAST: i32 = 32767;
/// What its clones are tagged with.
const TAG: &str = "firedrill-bench";

/// One subnet as it is moved: its association's id, which is new after each move, and where it goes.
struct Move {
    association: String,
    to: String,
}

/// Isolates every subnet that has an ACL of its own, then restores them, with so many calls at once. The same reads as a careful script makes: all ACLs
/// before the first change, and all again after the last one, to see that it worked.
pub async fn and_restored(endpoint: String, region: String, at_once: usize) -> Result<Value, Failure> {
    let config = aws_config::defaults(BehaviorVersion::latest()).endpoint_url(endpoint).region(Region::new(region)).load().await;
    let ec2 = &Client::new(&config);
    // As whoever has planned before: connected, and the credentials obtained.
    ec2.describe_vpcs().send().await?;
    let began = Instant::now();
    let originals: Vec<NetworkAcl> =
        acls(ec2).await?.into_iter().filter(|acl| acl.is_default() != Some(true) && !acl.associations().is_empty()).collect();
    let clones: Vec<String> = all(at_once, originals.iter().map(|acl| create(ec2, acl))).await?;
    let entries = originals.iter().zip(&clones).flat_map(|(acl, clone)| {
        let own = acl.entries().iter().filter(|entry| entry.rule_number().is_some_and(|number| number < LAST)).cloned();
        denies().into_iter().chain(own).map(move |entry| add(ec2, clone, entry))
    });
    all(at_once, entries).await?;
    let away = originals.iter().zip(&clones).flat_map(|(acl, clone)| acl.associations().iter().map(move |one| (one, acl, clone)));
    let moves = away.map(|(one, acl, clone)| async move {
        let from = one.network_acl_association_id().unwrap_or_default();
        Ok(Move { association: replace(ec2, from, clone).await?, to: acl.network_acl_id().unwrap_or_default().to_owned() })
    });
    let moved: Vec<Move> = all(at_once, moves).await?;
    let isolate = began.elapsed();

    let began = Instant::now();
    all(at_once, moved.iter().map(|one| replace(ec2, &one.association, &one.to))).await?;
    let deleted = clones.iter().map(|clone| async move { Ok(ec2.delete_network_acl().network_acl_id(clone).send().await.map(drop)?) });
    all(at_once, deleted).await?;
    let back = acls(ec2).await?;
    let restore = began.elapsed();
    if held(&originals) != held(&back.into_iter().filter(|acl| acl.is_default() != Some(true)).collect::<Vec<_>>()) {
        return Err("the network ACLs are not as they were".into());
    }
    Ok(json!({"subnets": moved.len(), "isolate": isolate.as_secs_f64(), "restore": restore.as_secs_f64()}))
}

/// Answers of all calls, so many at once.
async fn all<T>(at_once: usize, calls: impl Iterator<Item = impl Future<Output = Result<T, Failure>>>) -> Result<Vec<T>, Failure> {
    futures::stream::iter(calls).buffered(at_once).try_collect().await
}

async fn acls(ec2: &Client) -> Result<Vec<NetworkAcl>, Failure> {
    Ok(ec2.describe_network_acls().max_results(1000).into_paginator().items().send().try_collect().await?)
}

async fn create(ec2: &Client, original: &NetworkAcl) -> Result<String, Failure> {
    let tag = Tag::builder().key(TAG).value(original.network_acl_id().unwrap_or_default()).build();
    let tags = TagSpecification::builder().resource_type(ResourceType::NetworkAcl).tags(tag).build();
    let made = ec2.create_network_acl().set_vpc_id(original.vpc_id().map(str::to_owned)).tag_specifications(tags).send().await?;
    Ok(made.network_acl().and_then(NetworkAcl::network_acl_id).ok_or("an ACL without an id")?.to_owned())
}

async fn add(ec2: &Client, acl: &str, entry: NetworkAclEntry) -> Result<(), Failure> {
    let create = ec2
        .create_network_acl_entry()
        .network_acl_id(acl)
        .set_rule_number(entry.rule_number)
        .set_protocol(entry.protocol)
        .set_rule_action(entry.rule_action)
        .set_egress(entry.egress)
        .set_cidr_block(entry.cidr_block)
        .set_ipv6_cidr_block(entry.ipv6_cidr_block)
        .set_icmp_type_code(entry.icmp_type_code)
        .set_port_range(entry.port_range);
    Ok(create.send().await.map(drop)?)
}

async fn replace(ec2: &Client, association: &str, acl: &str) -> Result<String, Failure> {
    let made = ec2.replace_network_acl_association().association_id(association).network_acl_id(acl).send().await?;
    Ok(made.new_association_id().ok_or("an association without an id")?.to_owned())
}

fn denies() -> Vec<NetworkAclEntry> {
    let entry = |(number, addresses): (i32, &str), egress: bool| {
        let entry = NetworkAclEntry::builder().rule_number(number).protocol("-1").rule_action(RuleAction::Deny).egress(egress);
        if addresses.contains(':') { entry.ipv6_cidr_block(addresses).build() } else { entry.cidr_block(addresses).build() }
    };
    DENIES.into_iter().flat_map(|deny| [entry(deny, false), entry(deny, true)]).collect()
}

/// ACLs and the subnets that have them, in order.
fn held(acls: &[NetworkAcl]) -> Vec<(String, Vec<String>)> {
    let subnets = |acl: &NetworkAcl| {
        let mut all: Vec<String> = acl.associations().iter().filter_map(|one| one.subnet_id().map(str::to_owned)).collect();
        all.sort();
        all
    };
    let mut all: Vec<_> = acls.iter().map(|acl| (acl.network_acl_id().unwrap_or_default().to_owned(), subnets(acl))).collect();
    all.sort();
    all
}
