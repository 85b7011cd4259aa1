//! Auto Scaling groups as they are read: which ones a step names, and which of them launch nothing.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_autoscaling::types::AutoScalingGroup;

use super::mark::Tags;
use super::params::{LaunchRefusal, NamedSelector};
use super::place::Place;
use crate::aws::error::CallError;
use crate::drill::spec::DrillSpec;

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
    let earlier = earlier(drill, before);
    for step in drill.steps.iter().filter(|step| earlier.contains(step.id.as_str())) {
        let Some(LaunchRefusal { account, region, groups }) = step.fault.as_ref().and_then(|fault| fault.launch_refusal.as_ref()) else { continue };
        let here = account == place.account.name() && region.as_ref().or(Some(&drill.failed_region)) == place.region.as_ref();
        if here {
            found.extend(chosen(place, groups).await?.into_iter().map(|seen| seen.name));
        }
    }
    Ok(found)
}

/// Every step, direct or not, that `step` comes after.
pub fn earlier<'a>(drill: &'a DrillSpec, step: &str) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let mut open = vec![step];
    while let Some(id) = open.pop() {
        for before in drill.steps.iter().filter(|step| step.id == id).flat_map(|step| &step.after) {
            if found.insert(before.as_str()) {
                open.push(before);
            }
        }
    }
    found
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
