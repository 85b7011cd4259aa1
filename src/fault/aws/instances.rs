//! EC2 instances as they are read: which ones a step names, and the few facts of each that count.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_ec2::types::{Filter, Instance, InstanceLifecycleType, InstanceStateName};

use super::mark::Tags;
use super::params::ZonedSelector;
use super::place::Place;
use crate::aws::error::CallError;
use crate::aws::together::Together;

/// States in which an instance still exists.
const THERE: [&str; 4] = ["pending", "running", "stopping", "stopped"];

/// What is known of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// `i-…`.
    pub id: String,
    /// `pending`, `running`, `stopping`, `stopped`, `shutting-down`, `terminated`.
    pub state: String,
    /// Its tags.
    pub tags: Tags,
    /// Its type.
    pub size: String,
    /// Whether its root device is lost when it stops.
    pub ephemeral_root: bool,
    /// Whether it is a spot instance.
    pub spot: bool,
    /// A public address that AWS gave it and takes back when it stops.
    pub lent_address: Option<String>,
    /// Its private addresses.
    pub addresses: Vec<String>,
    /// Its volumes.
    pub volumes: Vec<String>,
}

/// Readings of one place that are done together.
#[derive(Debug, Default)]
pub struct Readings(Together<Seen>);

/// Reads: the instances that a selector names, and that exist, in order of their ids.
pub async fn chosen(place: &Place, selector: &ZonedSelector) -> Result<Vec<Seen>, CallError> {
    let mut filters: Vec<Filter> = selector.tags.iter().map(|(key, value)| filter(&format!("tag:{key}"), [value.clone()])).collect();
    if !selector.zones.is_empty() {
        filters.push(filter("availability-zone", selector.zones.clone()));
    }
    let mut found = BTreeMap::new();
    // At most 200 values of a filter.
    let chunks: Vec<&[String]> = if selector.ids.is_empty() { vec![&[]] } else { selector.ids.chunks(200).collect() };
    for ids in chunks {
        let mut filters = filters.clone();
        filters.push(filter("instance-state-name", THERE.map(str::to_owned)));
        if !ids.is_empty() {
            filters.push(filter("instance-id", ids.to_vec()));
        }
        found.extend(list(place, filters).await?.into_iter().map(|seen| (seen.id.clone(), seen)));
    }
    Ok(found.into_values().collect())
}

/// Reads: every instance that fits the filters.
pub async fn list(place: &Place, filters: Vec<Filter>) -> Result<Vec<Seen>, CallError> {
    let ec2 = place.clients().await?.ec2;
    let pages = ec2.describe_instances().set_filters(Some(filters)).max_results(1000).into_paginator().items().send();
    let reservations: Vec<_> = place.account.read("ec2:DescribeInstances", pages.try_collect()).await?;
    Ok(reservations.iter().flat_map(|reservation| reservation.instances()).map(seen).collect())
}

/// Reads: one instance, together with others that are asked for now; none when it does not exist any more.
pub async fn one(place: &Place, id: &str) -> Result<Option<Seen>, CallError> {
    let own = place.clone();
    let readings = place.account.shared::<Readings>(&place.name());
    let read = move |ids: Vec<String>| {
        let place = own.clone();
        async move {
            let all = list(&place, vec![filter("instance-id", ids)]).await?;
            Ok(all.into_iter().map(|seen| (seen.id.clone(), seen)).collect::<HashMap<_, _>>())
        }
    };
    Ok(readings.0.ask(id, read).await?.filter(|seen| seen.state != "terminated"))
}

/// A filter of EC2's describe calls.
pub fn filter(name: &str, values: impl IntoIterator<Item = String>) -> Filter {
    Filter::builder().name(name).set_values(Some(values.into_iter().collect())).build()
}

/// Tags of an EC2 resource.
pub fn tags(all: &[aws_sdk_ec2::types::Tag]) -> Tags {
    all.iter().map(|tag| (tag.key().unwrap_or_default().to_owned(), tag.value().unwrap_or_default().to_owned())).collect()
}

fn seen(instance: &Instance) -> Seen {
    let state = instance.state().and_then(|state| state.name()).map_or("", InstanceStateName::as_str);
    let lent = |interface: &aws_sdk_ec2::types::InstanceNetworkInterface| {
        let association = interface.association()?;
        (association.ip_owner_id() == Some("amazon")).then(|| association.public_ip().unwrap_or_default().to_owned())
    };
    let addresses = instance.network_interfaces().iter().flat_map(|interface| interface.private_ip_addresses());
    Seen {
        id: instance.instance_id().unwrap_or_default().to_owned(),
        state: state.to_owned(),
        tags: tags(instance.tags()),
        size: instance.instance_type().map_or("", |size| size.as_str()).to_owned(),
        ephemeral_root: instance.root_device_type().is_some_and(|root| root.as_str() == "instance-store"),
        spot: instance.instance_lifecycle() == Some(&InstanceLifecycleType::Spot),
        lent_address: instance.network_interfaces().iter().find_map(lent),
        addresses: addresses.filter_map(|address| address.private_ip_address().map(str::to_owned)).collect(),
        volumes: instance.block_device_mappings().iter().filter_map(|device| device.ebs()?.volume_id().map(str::to_owned)).collect(),
    }
}
