//! Subnets and network ACLs as they are read: which subnets a step names, which ACL each has, and whose network interfaces are in them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_ec2::types::{Filter, NetworkAcl, NetworkAclEntry, NetworkInterface, RuleAction};

use super::instances::{filter, tags};
use super::mark::Tags;
use super::params::{ManagedInterface, ZonedSelector};
use super::place::Place;
use crate::aws::error::CallError;
use crate::aws::together::Together;

/// Number of the last rule of every ACL, which denies the rest and cannot be changed.
pub const LAST: i32 = 32767;

/// What is known of a subnet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subnet {
    /// `subnet-…`.
    pub id: String,
    /// Its VPC.
    pub vpc: String,
    /// Its tags.
    pub tags: Tags,
}

/// Which ACL a subnet has.
#[derive(Debug, Clone, PartialEq)]
pub struct Association {
    /// `aclassoc-…`: the token of the next change.
    pub id: String,
    /// The ACL.
    pub acl: Arc<Acl>,
}

/// What is known of a network ACL.
#[derive(Debug, Clone, PartialEq)]
pub struct Acl {
    /// `acl-…`.
    pub id: String,
    /// Its VPC.
    pub vpc: String,
    /// Its tags.
    pub tags: Tags,
    /// Its rules, without the last of each direction.
    pub entries: Vec<NetworkAclEntry>,
    /// Subnets and their association's id.
    pub subnets: BTreeMap<String, String>,
}

impl Acl {
    /// Whether it lets nothing through.
    pub fn lets_nothing_through(&self) -> bool {
        !self.entries.iter().any(|entry| entry.rule_action() == Some(&RuleAction::Allow))
    }

    /// Number of its first rule.
    pub fn first_number(&self) -> i32 {
        self.entries.iter().filter_map(NetworkAclEntry::rule_number).min().unwrap_or(LAST)
    }
}

/// Readings of one place that are done together.
#[derive(Debug, Default)]
pub struct Readings {
    by_subnet: Together<Association>,
    by_tag: Together<Vec<Acl>>,
    /// What was read last of each subnet, until it is changed.
    last: Mutex<HashMap<String, Association>>,
}

/// Reads: the subnets that a selector names, in order of their ids.
pub async fn chosen(place: &Place, selector: &ZonedSelector) -> Result<Vec<Subnet>, CallError> {
    let mut filters: Vec<Filter> = selector.tags.iter().map(|(key, value)| filter(&format!("tag:{key}"), [value.clone()])).collect();
    if !selector.zones.is_empty() {
        filters.push(filter("availability-zone", selector.zones.clone()));
    }
    let (mut found, ec2) = (BTreeMap::new(), place.clients().await?.ec2);
    // At most 200 values of a filter.
    let chunks: Vec<&[String]> = if selector.ids.is_empty() { vec![&[]] } else { selector.ids.chunks(200).collect() };
    for ids in chunks {
        let mut filters = filters.clone();
        filters.extend((!ids.is_empty()).then(|| filter("subnet-id", ids.to_vec())));
        let pages = ec2.describe_subnets().set_filters(Some(filters)).max_results(1000).into_paginator().items().send();
        let all: Vec<_> = place.account.read("ec2:DescribeSubnets", pages.try_collect()).await?;
        found.extend(all.iter().map(|subnet| {
            let id = subnet.subnet_id().unwrap_or_default().to_owned();
            (id.clone(), Subnet { id, vpc: subnet.vpc_id().unwrap_or_default().to_owned(), tags: tags(subnet.tags()) })
        }));
    }
    Ok(found.into_values().collect())
}

/// Reads: the ACL of a subnet, together with others that are asked for now. None: the subnet is gone, since every subnet has one.
pub async fn association(place: &Place, subnet: &str) -> Result<Option<Association>, CallError> {
    let own = place.clone();
    let read = move |subnets: Vec<String>| {
        let place = own.clone();
        async move {
            let mut each = HashMap::new();
            for acl in acls(&place, vec![filter("association.subnet-id", subnets)]).await?.into_iter().map(Arc::new) {
                each.extend(acl.subnets.iter().map(|(subnet, id)| (subnet.clone(), Association { id: id.clone(), acl: acl.clone() })));
            }
            Ok(each)
        }
    };
    let readings = place.account.shared::<Readings>(&place.name());
    let found = readings.by_subnet.ask(subnet, read).await?;
    let mut last = readings.last.lock().unwrap_or_else(PoisonError::into_inner);
    match &found {
        Some(found) => last.insert(subnet.to_owned(), found.clone()),
        None => last.remove(subnet),
    };
    Ok(found)
}

/// What the last reading said of a subnet, once. Good for a change only: every replacement gives a subnet a new association, so that one whose id is still
/// taken is one whose ACL is still the same.
pub fn last_seen(place: &Place, subnet: &str) -> Option<Association> {
    place.account.shared::<Readings>(&place.name()).last.lock().unwrap_or_else(PoisonError::into_inner).remove(subnet)
}

/// Reads: the ACLs that have a tag with this value, together with others that are asked for now.
pub async fn tagged(place: &Place, key: &'static str, value: &str) -> Result<Vec<Acl>, CallError> {
    let own = place.clone();
    let read = move |values: Vec<String>| {
        let place = own.clone();
        async move {
            let mut all: HashMap<String, Vec<Acl>> = HashMap::new();
            for acl in acls(&place, vec![filter(&format!("tag:{key}"), values)]).await? {
                all.entry(acl.tags.get(key).cloned().unwrap_or_default()).or_default().push(acl);
            }
            Ok(all)
        }
    };
    Ok(place.account.shared::<Readings>(&place.name()).by_tag.ask(value, read).await?.unwrap_or_default())
}

/// Reads: every network ACL that fits the filters.
pub async fn acls(place: &Place, filters: Vec<Filter>) -> Result<Vec<Acl>, CallError> {
    let ec2 = place.clients().await?.ec2;
    let pages = ec2.describe_network_acls().set_filters(Some(filters)).max_results(1000).into_paginator().items().send();
    let all: Vec<_> = place.account.read("ec2:DescribeNetworkAcls", pages.try_collect()).await?;
    Ok(all.iter().map(acl).collect())
}

/// Reads: the network interfaces in these subnets.
pub async fn interfaces(place: &Place, subnets: &[String]) -> Result<Vec<NetworkInterface>, CallError> {
    let (mut found, ec2) = (Vec::new(), place.clients().await?.ec2);
    for subnets in subnets.chunks(200) {
        let pages =
            ec2.describe_network_interfaces().filters(filter("subnet-id", subnets.to_vec())).max_results(1000).into_paginator().items().send();
        let all: Vec<NetworkInterface> = place.account.read("ec2:DescribeNetworkInterfaces", pages.try_collect()).await?;
        found.extend(all);
    }
    Ok(found)
}

/// The managed service that owns an interface and would be cut off with it, if it is one that a step must name. EC2 says a type only of some; the others are
/// known by the description that the service gives its interfaces (Amazon VPC user guide, "Requester-managed network interfaces").
pub fn managed(interface: &NetworkInterface) -> Option<ManagedInterface> {
    let description = interface.description().unwrap_or_default();
    match interface.interface_type().map_or("", |sort| sort.as_str()) {
        "natGateway" | "nat_gateway" => Some(ManagedInterface::Nat),
        "vpc_endpoint" | "gateway_load_balancer_endpoint" => Some(ManagedInterface::VpcEndpoint),
        _ if description.starts_with("Amazon EKS") => Some(ManagedInterface::Eks),
        _ if description.starts_with("RDSNetworkInterface") => Some(ManagedInterface::Rds),
        _ => None,
    }
}

fn acl(found: &NetworkAcl) -> Acl {
    let entries = found.entries().iter().filter(|entry| entry.rule_number().is_some_and(|number| number < LAST));
    let subnet = |association: &aws_sdk_ec2::types::NetworkAclAssociation| {
        Some((association.subnet_id()?.to_owned(), association.network_acl_association_id()?.to_owned()))
    };
    Acl {
        id: found.network_acl_id().unwrap_or_default().to_owned(),
        vpc: found.vpc_id().unwrap_or_default().to_owned(),
        tags: tags(found.tags()),
        entries: entries.cloned().collect(),
        subnets: found.associations().iter().filter_map(subnet).collect(),
    }
}
