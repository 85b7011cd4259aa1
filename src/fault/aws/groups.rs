//! Auto Scaling groups: which ones a step names, what is known of them, and the mark on them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use aws_sdk_autoscaling::types::{AutoScalingGroup, Tag};

use super::mark::{self, Tags};
use super::params::{LaunchRefusal, NamedSelector};
use super::place::Place;
use crate::aws::access::Statement;
use crate::aws::error::CallError;
use crate::aws::together::Together;
use crate::drill::order;
use crate::drill::spec::DrillSpec;
use crate::fault::shell::word;
use crate::fault::{KindError, Record, TargetId};

/// Tag that Auto Scaling puts on a group's instances: its name.
pub const MEMBER: &str = "aws:autoscaling:groupName";
/// The processes that launchRefusal suspends. Without the other two an instance that fails would be replaced, or taken away, while nothing is launched.
pub const PROCESSES: [&str; 3] = ["Launch", "ReplaceUnhealthy", "Terminate"];

/// What is known of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its name.
    pub name: String,
    /// Its ARN, which tells it from a later group of the same name.
    pub arn: String,
    /// Its tags.
    pub tags: Tags,
    /// Suspended processes, and why.
    pub suspended: BTreeMap<String, String>,
    /// Smallest, wanted and largest size.
    pub sizes: (i32, i32, i32),
    /// Instances that are in service.
    pub in_service: usize,
}

/// Targets: `group/NAME:UUID`. A group's name has no colon; the number of its ARN tells it from a later group of the same name.
const SORT: &str = "group/";
/// What Auto Scaling calls a group where it takes tags.
const TAGGED: &str = "auto-scaling-group";

/// Readings of one place that are done together.
#[derive(Debug, Default)]
pub struct Readings(Together<Seen>);

impl Seen {
    /// It as a target.
    pub fn target(&self, place: &Place) -> TargetId {
        // arn:aws:autoscaling:REGION:ACCOUNT:autoScalingGroup:UUID:autoScalingGroupName/NAME
        let number = self.arn.split(':').nth(6).unwrap_or_default();
        TargetId { place: place.name(), id: id(&self.name, number) }
    }
}

/// Name of a target.
pub fn name(target: &TargetId) -> Result<&str, KindError> {
    let found = target.id.strip_prefix(SORT).and_then(|rest| rest.rsplit_once(':')).map(|(name, _)| name);
    found.ok_or_else(|| KindError::Failed(format!("{target} is no Auto Scaling group")))
}

/// A target's id.
pub fn id(name: &str, number: &str) -> String {
    format!("{SORT}{name}:{number}")
}

/// Reads: the group that is a target, together with others that are asked for now; none when it does not exist any more, or another one has its name.
pub async fn of_target(place: &Place, target: &TargetId) -> Result<Option<Seen>, KindError> {
    let own = place.clone();
    let readings = place.account.shared::<Readings>(&place.name());
    let read = move |names: Vec<String>| {
        let place = own.clone();
        async move {
            let all = chosen(&place, &NamedSelector { names, ..NamedSelector::default() }).await?;
            Ok(all.into_iter().map(|seen| (seen.name.clone(), seen)).collect::<HashMap<_, _>>())
        }
    };
    Ok(readings.0.ask(name(target)?, read).await?.filter(|seen| seen.target(place) == *target))
}

/// Reads: the targets of a place that carry a mark, as records.
pub async fn marked(place: &Place, kind: &str) -> Result<Vec<Record>, KindError> {
    let all = chosen(place, &NamedSelector::default()).await?;
    let carried = all.iter().filter_map(|seen| mark::carried(&seen.tags, &seen.target(place), place.invert()));
    Ok(carried.filter(|record| record.kind == kind).collect())
}

/// Writes: marks the group of a record. Its instances do not get the mark.
pub async fn mark(place: &Place, record: &Record) -> Result<(), KindError> {
    let name = name(&record.target)?;
    let tags = mark::tags(record).into_iter().map(|(key, value)| tag(name, &key).value(value).propagate_at_launch(false).build());
    let request = place.clients().await?.autoscaling.create_or_update_tags().set_tags(Some(tags.collect()));
    place.account.write("autoscaling:CreateOrUpdateTags", request.send()).await?;
    Ok(())
}

/// Writes: takes the mark of a record off its group. No mark of it is success, and so is no group.
pub async fn unmark(place: &Place, record: &Record) -> Result<(), KindError> {
    let Some(seen) = of_target(place, &record.target).await?.filter(|seen| mark::is_on(&seen.tags, record)) else { return Ok(()) };
    let tags = mark::keys(&seen.tags).iter().map(|key| tag(&seen.name, key).build()).collect();
    let request = place.clients().await?.autoscaling.delete_tags().set_tags(Some(tags));
    place.account.write("autoscaling:DeleteTags", request.send()).await?;
    Ok(())
}

/// An action on the groups that a selector names, as narrow as it.
pub fn on_chosen(place: &Place, action: &str, selector: &NamedSelector) -> Statement {
    let any = vec!["*".to_owned()];
    let names = if selector.names.is_empty() { &any } else { &selector.names };
    let arns = names.iter().map(|name| place.arn("autoscaling", &format!("autoScalingGroup:*:autoScalingGroupName/{name}")));
    place.account.may(action).on(arns).tagged(&selector.tags)
}

/// The same for an action that writes or deletes the mark.
pub fn tagging(place: &Place, action: &str, selector: &NamedSelector) -> Statement {
    mark::tagging(on_chosen(place, action, selector))
}

/// Reads: whether the mark of a group may not be written or taken off, by name. Auto Scaling has no dry run: the first call has a value that is too long
/// for a tag, the second a tag that is not there.
pub async fn missing_tagging(place: &Place, name: &str, selector: &NamedSelector) -> Result<Vec<String>, CallError> {
    let (account, autoscaling) = (&place.account, place.clients().await?.autoscaling);
    let (mark, unmark) = (tagging(place, "autoscaling:CreateOrUpdateTags", selector), tagging(place, "autoscaling:DeleteTags", selector));
    let long = tag(name, mark::RUN).value("x".repeat(257)).propagate_at_launch(false).build();
    let marking = account.allows(&mark, autoscaling.create_or_update_tags().tags(long).send()).await?;
    let absent = tag(name, "firedrill.dev/asks").build();
    let unmarking = account.allows(&unmark, autoscaling.delete_tags().tags(absent).send()).await?;
    Ok(marking.into_iter().chain(unmarking).collect())
}

/// Reads: how many groups there are in each region of the account.
pub async fn population(place: &Place) -> Result<BTreeMap<String, usize>, CallError> {
    let mut found = BTreeMap::new();
    for place in place.all_regions() {
        found.insert(place.name(), chosen(&place, &NamedSelector::default()).await?.len());
    }
    Ok(found)
}

/// A command that takes a mark off by hand: the end of every undo.
pub fn unmark_by_hand(place: &Place, record: &Record) -> String {
    let name = name(&record.target).unwrap_or_default();
    let keys = mark::keys(&mark::tags(record));
    let ends: Vec<&str> = keys.iter().filter_map(|key| key.strip_prefix(mark::PREFIX)).collect();
    let tag = word(&format!("ResourceId={name},ResourceType={TAGGED},Key={}", mark::PREFIX));
    // Each tag has to name group and type again, so a list of them is longer than a loop.
    format!("for key in {}; do {} autoscaling delete-tags --tags {tag}$key; done", ends.join(" "), place.cli())
}

fn tag(name: &str, key: &str) -> aws_sdk_autoscaling::types::builders::TagBuilder {
    Tag::builder().resource_id(name).resource_type(TAGGED).key(key)
}

/// Reads: the groups that a selector names, in order of their names. An empty selector is all.
pub async fn chosen(place: &Place, selector: &NamedSelector) -> Result<Vec<Seen>, CallError> {
    let autoscaling = place.clients().await?.autoscaling;
    let mut found = BTreeMap::new();
    // At most 50 names in one call.
    let chunks: Vec<&[String]> = if selector.names.is_empty() { vec![&[]] } else { selector.names.chunks(50).collect() };
    for names in chunks {
        let names = (!names.is_empty()).then(|| names.to_vec());
        let pages = autoscaling.describe_auto_scaling_groups().set_auto_scaling_group_names(names).max_records(100).into_paginator().items().send();
        let all: Vec<_> = place.account.read("autoscaling:DescribeAutoScalingGroups", pages.try_collect()).await?;
        let fits = |seen: &Seen| selector.tags.iter().all(|(key, value)| seen.tags.get(key) == Some(value));
        found.extend(all.iter().map(seen).filter(fits).map(|seen| (seen.name.clone(), seen)));
    }
    Ok(found.into_values().collect())
}

/// Reads: names of the groups that launch nothing when the step `before` begins: suspended already, or by a launchRefusal that the step comes after.
pub async fn launching_nothing(place: &Place, drill: &DrillSpec, before: &str) -> Result<BTreeSet<String>, CallError> {
    let all = chosen(place, &NamedSelector::default()).await?;
    let still = |seen: &&Seen| PROCESSES.iter().all(|process| seen.suspended.contains_key(*process));
    let mut found: BTreeSet<String> = all.iter().filter(still).map(|seen| seen.name.clone()).collect();
    let earlier = order::before(drill, before);
    for step in drill.steps.iter().filter(|step| earlier.contains(&step.id)) {
        let Some(LaunchRefusal { account, region, groups }) = step.fault.as_ref().and_then(|fault| fault.launch_refusal.as_ref()) else { continue };
        let here = account == place.account.name() && region.as_ref().or(Some(&drill.failed_region)) == place.region.as_ref();
        if here {
            found.extend(chosen(place, groups).await?.into_iter().map(|seen| seen.name));
        }
    }
    Ok(found)
}

fn seen(group: &AutoScalingGroup) -> Seen {
    let tags = group.tags().iter().map(|tag| (tag.key().unwrap_or_default().to_owned(), tag.value().unwrap_or_default().to_owned()));
    let suspended = group.suspended_processes().iter();
    let suspended = suspended.map(|one| (one.process_name().unwrap_or_default().to_owned(), one.suspension_reason().unwrap_or_default().to_owned()));
    let in_service = |instance: &&aws_sdk_autoscaling::types::Instance| instance.lifecycle_state().is_some_and(|state| state.as_str() == "InService");
    Seen {
        name: group.auto_scaling_group_name().unwrap_or_default().to_owned(),
        arn: group.auto_scaling_group_arn().unwrap_or_default().to_owned(),
        tags: tags.collect(),
        suspended: suspended.collect(),
        sizes: (group.min_size().unwrap_or(0), group.desired_capacity().unwrap_or(0), group.max_size().unwrap_or(0)),
        in_service: group.instances().iter().filter(in_service).count(),
    }
}
