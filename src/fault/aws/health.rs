//! Route 53 health checks as they are read: which ones a step names, and what the checkers say.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_route53::types::{HealthCheck, HealthCheckType, TagResourceType};

use super::mark::Tags;
use super::params::TaggedSelector;
use super::place::Place;
use crate::aws::error::CallError;
use crate::aws::together::Together;

/// Share of the checkers that must report success: <https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/dns-failover-determining-health-of-endpoints.html>
const HEALTHY: f64 = 0.18;
/// `ListTagsForResources` takes at most so many.
const AT_ONCE: usize = 10;

/// What is known of a health check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its id, never given again.
    pub id: String,
    /// Counts its updates.
    pub version: i64,
    /// Whether healthy counts as unhealthy.
    pub inverted: bool,
    /// Whether it is off: it counts as healthy.
    pub disabled: bool,
    /// As Route 53 writes it: `HTTPS`, `CALCULATED`.
    pub sort: String,
    /// Whether a service of AWS made it, and owns it.
    pub of_service: Option<String>,
    /// Its tags; empty unless they were asked for.
    pub tags: Tags,
}

/// What health checkers say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It counts as healthy.
    Good,
    /// It counts as unhealthy, and why.
    Bad(String),
    /// Route 53's API does not say it: of calculated ones, and those of alarms.
    Unsaid,
}

/// Readings that are done together.
#[derive(Debug, Default)]
pub struct Readings(Together<Seen>);

/// Reads: one health check with its tags, together with others that are asked for now; none when there is none of that id.
pub async fn one(place: &Place, id: &str) -> Result<Option<Seen>, CallError> {
    let own = place.clone();
    let read = move |ids: Vec<String>| {
        let place = own.clone();
        async move { several(&place, &ids).await }
    };
    place.account.shared::<Readings>(&place.name()).0.ask(id, read).await
}

/// Route 53 answers five calls a second in all: many are read by listing them.
async fn several(place: &Place, ids: &[String]) -> Result<HashMap<String, Seen>, CallError> {
    let mut found = HashMap::new();
    if ids.len() > AT_ONCE {
        let wanted = all(place).await?.into_iter().filter(|seen| ids.contains(&seen.id));
        return Ok(wanted.map(|seen| (seen.id.clone(), seen)).collect());
    }
    for id in ids {
        found.extend(untagged(place, id).await?.map(|seen| (id.clone(), seen)));
    }
    // One that is gone would be an error for all.
    let there: Vec<String> = found.keys().cloned().collect();
    for (id, tags) in tags(place, &there).await? {
        found.entry(id).and_modify(|seen| seen.tags = tags);
    }
    Ok(found)
}

/// Reads: one health check without its tags.
async fn untagged(place: &Place, id: &str) -> Result<Option<Seen>, CallError> {
    let route53 = place.clients().await?.route53;
    match place.account.read("route53:GetHealthCheck", route53.get_health_check().health_check_id(id).send()).await {
        Err(error) if error.is_not_found() => Ok(None),
        found => Ok(found?.health_check().map(seen)),
    }
}

/// Reads: all health checks of an account with their tags, in order of their ids.
pub async fn all(place: &Place) -> Result<Vec<Seen>, CallError> {
    let pages = place.clients().await?.route53.list_health_checks().into_paginator().items().send();
    let checks: Vec<_> = place.account.read("route53:ListHealthChecks", pages.try_collect()).await?;
    let mut all: Vec<Seen> = checks.iter().map(seen).collect();
    all.sort_by(|one, other| one.id.cmp(&other.id));
    let ids: Vec<String> = all.iter().map(|seen| seen.id.clone()).collect();
    let mut tags = tags(place, &ids).await?;
    for seen in &mut all {
        seen.tags = tags.remove(&seen.id).unwrap_or_default();
    }
    Ok(all)
}

/// Those that a selector names.
pub fn chosen<'a>(all: &'a [Seen], selector: &TaggedSelector) -> Vec<&'a Seen> {
    let named = |seen: &&Seen| selector.ids.is_empty() || selector.ids.contains(&seen.id);
    let tagged = |seen: &&Seen| selector.tags.iter().all(|(key, value)| seen.tags.get(key) == Some(value));
    all.iter().filter(named).filter(tagged).collect()
}

/// Reads: whether Route 53 takes it for healthy now.
pub async fn health(place: &Place, id: &str) -> Result<Health, CallError> {
    let Some(seen) = untagged(place, id).await? else { return Ok(Health::Bad(format!("health check {id} is gone"))) };
    if seen.disabled {
        return Ok(Health::Good);
    }
    let said =
        [HealthCheckType::Calculated, HealthCheckType::CloudwatchMetric, HealthCheckType::RecoveryControl].map(|sort| sort.as_str().to_owned());
    if said.contains(&seen.sort) {
        return Ok(Health::Unsaid);
    }
    let request = place.clients().await?.route53.get_health_check_status().health_check_id(id);
    let status = place.account.read("route53:GetHealthCheckStatus", request.send()).await?;
    let reports: Vec<&str> = status.health_check_observations().iter().filter_map(|one| one.status_report()?.status()).collect();
    Ok(judged(id, seen.inverted, &reports))
}

fn judged(id: &str, inverted: bool, reports: &[&str]) -> Health {
    let good = reports.iter().filter(|report| report.starts_with("Success")).count();
    #[allow(clippy::cast_precision_loss)]
    let healthy = good as f64 > HEALTHY * reports.len() as f64;
    if healthy != inverted && !reports.is_empty() {
        return Health::Good;
    }
    let first = reports.iter().find(|report| !report.starts_with("Success")).copied().unwrap_or("no report");
    let turned = if inverted { ", inverted" } else { "" };
    Health::Bad(format!("health check {id} is not good: {good} of {} checkers report success{turned}: {first}", reports.len()))
}

async fn tags(place: &Place, ids: &[String]) -> Result<BTreeMap<String, Tags>, CallError> {
    let (mut found, route53) = (BTreeMap::new(), place.clients().await?.route53);
    for ids in ids.chunks(AT_ONCE) {
        let request = route53.list_tags_for_resources().resource_type(TagResourceType::Healthcheck).set_resource_ids(Some(ids.to_vec()));
        let answer = place.account.read("route53:ListTagsForResources", request.send()).await?;
        for set in answer.resource_tag_sets() {
            let tags = set.tags().iter().map(|tag| (tag.key().unwrap_or_default().to_owned(), tag.value().unwrap_or_default().to_owned()));
            found.insert(set.resource_id().unwrap_or_default().to_owned(), tags.collect());
        }
    }
    Ok(found)
}

fn seen(check: &HealthCheck) -> Seen {
    let config = check.health_check_config();
    Seen {
        id: check.id().to_owned(),
        version: check.health_check_version(),
        inverted: config.and_then(|config| config.inverted()).unwrap_or(false),
        disabled: config.and_then(|config| config.disabled()).unwrap_or(false),
        sort: config.map_or("", |config| config.r#type().as_str()).to_owned(),
        of_service: check.linked_service().map(|service| service.service_principal().unwrap_or("AWS").to_owned()),
        tags: Tags::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_18_percent_of_the_checkers_decide() {
        let reports = |good: usize, bad: usize| [vec!["Success: 200"; good], vec!["Failure: timed out"; bad]].concat();
        assert_eq!(judged("h", false, &reports(2, 8)), Health::Good);
        assert!(matches!(judged("h", false, &reports(1, 9)), Health::Bad(why) if why.contains("1 of 10 checkers") && why.contains("timed out")));
        assert!(matches!(judged("h", true, &reports(2, 8)), Health::Bad(why) if why.contains("inverted")));
        assert_eq!(judged("h", true, &reports(0, 3)), Health::Good);
        // Nobody has looked yet.
        assert!(matches!(judged("h", false, &[]), Health::Bad(_)));
    }
}
