//! Route 53 hosted zones and their record sets as they are read: which zone a file means, and what stands under a name.

use aws_sdk_route53::types::{AliasTarget, HostedZone, ResourceRecord, ResourceRecordSet, RrType};
use serde::{Deserialize, Serialize};

use super::account::Account;
use super::error::CallError;
use crate::drill::text::RecordType;

/// A hosted zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    /// Without `/hostedzone/`.
    pub id: String,
    /// In lower case, with its last dot.
    pub name: String,
    /// Whether it answers in VPCs only.
    pub private: bool,
}

/// Why there is no zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoZone {
    /// None has this id or name, or several have this name.
    #[error("{0}")]
    Unclear(String),
    /// Route 53 could not be asked.
    #[error(transparent)]
    Call(#[from] CallError),
}

/// A record set, in the shape that `aws route53 change-resource-record-sets` takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RecordSet {
    /// In lower case, with its last dot.
    pub name: String,
    /// `A`, `TXT`.
    pub r#type: String,
    /// Tells sets of one name and type apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_identifier: Option<String>,
    /// Of weighted sets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<i64>,
    /// Seconds; an alias has none.
    #[serde(rename = "TTL", default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<i64>,
    /// Its values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resource_records: Vec<Content>,
    /// What an alias stands for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias_target: Option<Alias>,
    /// Its health check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check_id: Option<String>,
}

/// One value of a record set.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Content {
    /// As in a zone file.
    pub value: String,
}

/// What an alias stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Alias {
    /// Zone of the target.
    pub hosted_zone_id: String,
    /// Its name.
    #[serde(rename = "DNSName")]
    pub dns_name: String,
    /// Whether it counts as unhealthy with its target.
    pub evaluate_target_health: bool,
}

/// Reads: the zone with this id, or the only one with this name.
///
/// # Errors
/// There is none, or there are several of that name.
pub async fn find(account: &Account, zone: &str) -> Result<Zone, NoZone> {
    let route53 = account.clients(None).await?.route53;
    let zone = zone.trim_start_matches("/hostedzone/");
    // An id has no dot, and a name hardly ever none.
    if !zone.contains('.') {
        match account.read("route53:GetHostedZone", route53.get_hosted_zone().id(zone).send()).await {
            Err(error) if error.is_not_found() || error.code() == Some("InvalidInput") => {}
            found => {
                let found = found?.hosted_zone.map(|found| described(&found));
                return found.ok_or_else(|| NoZone::Unclear(format!("Route 53 says nothing of zone {zone}")));
            }
        }
    }
    let named = by_name(account, &normal(zone)).await?;
    match named.as_slice() {
        [only] => Ok(only.clone()),
        [] => Err(NoZone::Unclear(format!("account '{}' has no hosted zone '{zone}'", account.name()))),
        several => {
            let ids: Vec<String> = several.iter().map(|zone| format!("{} ({})", zone.id, if zone.private { "private" } else { "public" })).collect();
            Err(NoZone::Unclear(format!("several hosted zones are named '{zone}': write the id of one: {}", ids.join(", "))))
        }
    }
}

async fn by_name(account: &Account, name: &str) -> Result<Vec<Zone>, CallError> {
    let route53 = account.clients(None).await?.route53;
    let (mut found, mut from, mut id) = (Vec::new(), Some(name.to_owned()), None);
    // The SDK has no pages of its own for this call. Zones of one name stand together, and the list begins with that name.
    while let Some(start) = from.take() {
        let request = route53.list_hosted_zones_by_name().dns_name(start).set_hosted_zone_id(id.take());
        let page = account.read("route53:ListHostedZonesByName", request.send()).await?;
        let all: Vec<Zone> = page.hosted_zones().iter().map(described).collect();
        let beyond = all.iter().any(|zone| zone.name != name);
        found.extend(all.into_iter().filter(|zone| zone.name == name));
        if page.is_truncated() && !beyond {
            (from, id) = (page.next_dns_name, page.next_hosted_zone_id);
        }
    }
    Ok(found)
}

/// Reads: every zone of the account.
///
/// # Errors
/// As [`CallError`].
pub async fn all(account: &Account) -> Result<Vec<Zone>, CallError> {
    let pages = account.clients(None).await?.route53.list_hosted_zones().into_paginator().items().send();
    let zones: Vec<_> = account.read("route53:ListHostedZones", pages.try_collect()).await?;
    Ok(zones.iter().map(described).collect())
}

/// Reads: record sets in Route 53's order (by labels, last first), from a name on, as long as they are `wanted`.
///
/// # Errors
/// As [`CallError`].
pub async fn records(
    account: &Account,
    zone: &str,
    from: (&str, Option<&str>),
    wanted: impl Fn(&ResourceRecordSet) -> bool,
) -> Result<Vec<ResourceRecordSet>, CallError> {
    let route53 = account.clients(None).await?.route53;
    let mut found = Vec::new();
    let mut next = Some((from.0.to_owned(), from.1.map(RrType::from), None));
    // The SDK has no pages of its own for this call.
    while let Some((name, r#type, identifier)) = next.take() {
        let request = route53.list_resource_record_sets().hosted_zone_id(zone);
        let request = request.start_record_name(name).set_start_record_type(r#type).set_start_record_identifier(identifier);
        let page = account.read("route53:ListResourceRecordSets", request.send()).await?;
        let beyond = page.resource_record_sets().iter().any(|set| !wanted(set));
        if page.is_truncated() && !beyond {
            next = page.next_record_name.clone().map(|name| (name, page.next_record_type.clone(), page.next_record_identifier.clone()));
        }
        found.extend(page.resource_record_sets.into_iter().filter(|set| wanted(set)));
    }
    Ok(found)
}

/// A name as Route 53 keeps it: in lower case, with its last dot, a star as `\052`.
/// <https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/DomainNameFormat.html>
#[must_use]
pub fn normal(name: &str) -> String {
    format!("{}.", name.trim_end_matches('.').to_ascii_lowercase().replace('*', "\\052"))
}

/// As Route 53 writes a type.
#[must_use]
pub fn type_name(of: RecordType) -> &'static str {
    match of {
        RecordType::A => "A",
        RecordType::Aaaa => "AAAA",
        RecordType::Cname => "CNAME",
        RecordType::Txt => "TXT",
    }
}

fn described(zone: &HostedZone) -> Zone {
    let private = zone.config().is_some_and(|config| config.private_zone());
    Zone { id: zone.id().trim_start_matches("/hostedzone/").to_owned(), name: normal(zone.name()), private }
}

impl RecordSet {
    /// What was read; none when it has more than could be written back exactly.
    #[must_use]
    pub fn read(set: &ResourceRecordSet) -> Option<Self> {
        let elsewhere = set.region().is_some()
            || set.geo_location().is_some()
            || set.failover().is_some()
            || set.multi_value_answer().is_some()
            || set.traffic_policy_instance_id().is_some()
            || set.cidr_routing_config().is_some()
            || set.geo_proximity_location().is_some();
        let alias = set.alias_target().map(|alias| Alias {
            hosted_zone_id: alias.hosted_zone_id().to_owned(),
            dns_name: alias.dns_name().to_owned(),
            evaluate_target_health: alias.evaluate_target_health(),
        });
        let mut values: Vec<Content> = set.resource_records().iter().map(|record| Content { value: record.value().to_owned() }).collect();
        values.sort();
        (!elsewhere).then(|| Self {
            name: normal(set.name()),
            r#type: set.r#type().as_str().to_owned(),
            set_identifier: set.set_identifier().map(str::to_owned),
            weight: set.weight(),
            ttl: set.ttl(),
            resource_records: values,
            alias_target: alias,
            health_check_id: set.health_check_id().map(str::to_owned),
        })
    }

    /// As the SDK sends it. None: it lacks a name or a type.
    #[must_use]
    pub fn sent(&self) -> Option<ResourceRecordSet> {
        let values =
            self.resource_records.iter().filter_map(|content| ResourceRecord::builder().value(&content.value).build().ok()).collect::<Vec<_>>();
        let alias = self.alias_target.as_ref().and_then(|alias| {
            let target = AliasTarget::builder().hosted_zone_id(&alias.hosted_zone_id).dns_name(&alias.dns_name);
            target.evaluate_target_health(alias.evaluate_target_health).build().ok()
        });
        ResourceRecordSet::builder()
            .name(&self.name)
            .r#type(RrType::from(self.r#type.as_str()))
            .set_set_identifier(self.set_identifier.clone())
            .set_weight(self.weight)
            .set_ttl(self.ttl)
            .set_resource_records((!values.is_empty()).then_some(values))
            .set_alias_target(alias)
            .set_health_check_id(self.health_check_id.clone())
            .build()
            .ok()
    }
}
