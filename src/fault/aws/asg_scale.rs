//! `asgScale`: a survivor's Auto Scaling group gets another desired capacity.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::params::{AsgScale, NamedSelector};
use super::place::{self, Place, protecting};
use super::{groups, mark};
use crate::aws::access::{self, Statement};
use crate::aws::error::CallError;
use crate::clock::Timestamp;
use crate::drill::about::{About, Permissions};
use crate::drill::spec::{DrillSpec, Step};
use crate::event::Phase;
use crate::fault::definition::{Definition, Places};
use crate::fault::shell::{blank, word};
use crate::fault::{Bite, ByHand, Examined, Expiry, Kind, KindError, Observed, Prepared, Record, TargetId};
use crate::needs::Needs;

const NAME: &str = "asgScale";

impl Definition for AsgScale {
    fn limit() -> Duration {
        Duration::from_mins(15)
    }

    fn about() -> Option<About> {
        Some(About {
            mechanism: "The group is tagged with what undoes it, then SetDesiredCapacity is called, without waiting for a cooldown.",
            undo: "SetDesiredCapacity with the capacity before, as fail-back, if it is still the one that was set; read back, then the tags are taken off. It is \
                   an action: no schedule undoes it.",
            verified: "As many instances are read back as `InService` as are desired.",
            must_know: &[
                "The capacity must lie within the group's minimum and maximum: neither is changed.",
                "Refused: a group whose Launch (to grow) or Terminate (to shrink) is suspended, also by a launchRefusal before it: nothing would come.",
                "A scaling policy or a scheduled action may move the capacity in the hold. It is then left as it is, and the run says Drifted.",
                "Scaling back in ends the instances that the group's termination policy chooses, which may be others than those that came.",
                "New instances may be refused by EC2 (capacity, quota): the step fails at its limit, and the group's activities say why.",
            ],
            permissions: Permissions {
                inject: &["autoscaling:CreateOrUpdateTags", "autoscaling:SetDesiredCapacity"],
                revert: &["autoscaling:SetDesiredCapacity", "autoscaling:DeleteTags"],
                read: &["autoscaling:DescribeAutoScalingGroups", "autoscaling:DescribePolicies"],
            },
            example: "asgScale: {account: main, region: us-west-2, group: web, desired: 6}",
        })
    }

    fn open(&self, places: &Places, drill: &DrillSpec, step: &Step) -> Result<Arc<dyn Kind>, KindError> {
        let place = Place::named(places, drill, &self.account, Some(&self.region))?;
        let wanted = Wanted { group: self.group.clone(), desired: self.desired, places: places.clone(), drill: drill.clone(), step: step.id.clone() };
        Ok(Arc::new(Scale { place, wanted: Some(wanted) }))
    }

    fn reopen(record: &Record, places: &Places) -> Result<Arc<dyn Kind>, KindError> {
        Ok(Arc::new(Scale { place: Place::of_record(record, places)?, wanted: None }))
    }

    fn everywhere(places: &Places) -> Vec<Arc<dyn Kind>> {
        Place::everywhere(places, false).into_iter().map(|place| Arc::new(Scale { place, wanted: None }) as Arc<dyn Kind>).collect()
    }
}

/// A group of one region that is scaled.
#[derive(Debug)]
struct Scale {
    place: Place,
    /// None: opened for undoing.
    wanted: Option<Wanted>,
}

#[derive(Debug)]
struct Wanted {
    group: String,
    desired: u32,
    places: Places,
    drill: DrillSpec,
    step: String,
}

impl Wanted {
    fn selector(&self) -> NamedSelector {
        NamedSelector { names: vec![self.group.clone()], ..NamedSelector::default() }
    }
}

impl Scale {
    fn wanted(&self) -> Result<&Wanted, KindError> {
        self.wanted.as_ref().ok_or_else(|| KindError::Failed(format!("'{NAME}' was opened for undoing, not for a step")))
    }

    async fn seen(&self, record: &Record) -> Result<Option<groups::Seen>, KindError> {
        groups::of_target(&self.place, &record.target).await
    }

    async fn set(&self, name: &str, desired: i32) -> Result<(), KindError> {
        let autoscaling = self.place.clients().await?.autoscaling;
        let request = autoscaling.set_desired_capacity().auto_scaling_group_name(name).desired_capacity(desired).honor_cooldown(false);
        self.place.account.write("autoscaling:SetDesiredCapacity", request.send()).await?;
        Ok(())
    }
}

#[async_trait]
impl Kind for Scale {
    fn name(&self) -> &'static str {
        NAME
    }

    fn expiry(&self) -> Expiry {
        Expiry::None
    }

    fn settle(&self) -> Duration {
        place::SETTLE
    }

    fn needs(&self) -> Needs {
        let Some(wanted) = &self.wanted else { return Needs::default() };
        let selector = wanted.selector();
        let setting = groups::on_chosen(&self.place, "autoscaling:SetDesiredCapacity", &selector);
        let needs = access::Needs {
            inject: vec![groups::tagging(&self.place, "autoscaling:CreateOrUpdateTags", &selector), setting.clone()],
            revert: vec![setting, groups::tagging(&self.place, "autoscaling:DeleteTags", &selector)],
            read: ["autoscaling:DescribeAutoScalingGroups", "autoscaling:DescribePolicies"].map(|action| self.place.account.may(action)).into(),
            dead_man: Vec::new(),
        };
        needs.into()
    }

    /// Auto Scaling has no dry run: it is asked for a capacity below every minimum, which it refuses once it has seen who asks.
    async fn missing(&self) -> Result<Vec<String>, KindError> {
        let selector = self.wanted()?.selector();
        let mut missing: Vec<String> = Vec::new();
        for seen in groups::chosen(&self.place, &selector).await? {
            let setting: Statement = groups::on_chosen(&self.place, "autoscaling:SetDesiredCapacity", &selector);
            let request = self.place.clients().await?.autoscaling.set_desired_capacity().auto_scaling_group_name(&seen.name).desired_capacity(-1);
            missing.extend(self.place.account.allows(&setting, request.send()).await?);
            missing.extend(groups::missing_tagging(&self.place, &seen.name, &selector).await?);
        }
        Ok(missing)
    }

    async fn examine(&self, records: &[Record]) -> Result<Examined, KindError> {
        let Wanted { group, desired, places, drill, step } = self.wanted()?;
        let mut examined = Examined { population: groups::population(&self.place).await?, ..Examined::default() };
        if self.place.region.as_ref() == Some(&drill.failed_region) {
            examined
                .warnings
                .push(format!("group {group} is in {}, the region that fails: who scales it there may get no answer", drill.failed_region));
        }
        let Some(record) = records.iter().find(|record| record.phase != Phase::Noop) else { return Ok(examined) };
        let Some(seen) = self.seen(record).await? else { return Ok(examined) };
        let mut refuse = |why: String| examined.refusals.push(format!("group {group}: {why}"));
        if let Some(tag) = protecting(places.environment.protect.as_ref(), &seen.tags) {
            refuse(format!("tag '{tag}' protects it"));
        }
        if seen.tags.len() + mark::tags(record).len() > mark::MOST_TAGS {
            refuse(format!("it has {} tags: there is no room for the mark", seen.tags.len()));
        }
        let now = seen.sizes.1;
        let needed = if i64::from(*desired) > i64::from(now) { "Launch" } else { "Terminate" };
        if seen.suspended.contains_key(needed) {
            refuse(format!("its {needed} is suspended: nothing would come of another capacity; resume it first"));
        } else if groups::launching_nothing(&self.place, drill, step).await?.contains(group) {
            refuse(format!("a launchRefusal before this step suspends its {needed}: nothing would come of another capacity"));
        }
        let policies = policies(&self.place, group).await?;
        if !policies.is_empty() && !seen.suspended.contains_key("AlarmNotification") {
            examined.warnings.push(format!("group {group} has scaling policies that may move its capacity again: {}", policies.join(", ")));
        }
        examined.radius.push(format!("group {group} of {}: {now} to {desired} instances, {} in service now", self.place.name(), seen.in_service));
        Ok(examined)
    }

    async fn resolve(&self, _run: &str) -> Result<Vec<TargetId>, KindError> {
        let wanted = self.wanted()?;
        let found = groups::chosen(&self.place, &wanted.selector()).await?;
        if found.is_empty() {
            return Err(KindError::Refused(format!("{} has no Auto Scaling group '{}'", self.place.name(), wanted.group)));
        }
        Ok(found.iter().map(|seen| seen.target(&self.place)).collect())
    }

    async fn prepare(&self, _run: &str, target: &TargetId, _undo_by: Timestamp) -> Result<Prepared, KindError> {
        let (name, desired) = (groups::name(target)?, self.wanted()?.desired);
        let seen = groups::of_target(&self.place, target).await?.ok_or_else(|| KindError::Conflict(format!("group {name} is gone")))?;
        mark::refuse_marked(&seen.tags, &format!("group {name}"))?;
        let (least, now, most) = seen.sizes;
        if !(i64::from(least)..=i64::from(most)).contains(&i64::from(desired)) {
            return Err(KindError::Refused(format!("group {name} may have {least} to {most} instances, and {desired} are wanted")));
        }
        Ok(Prepared {
            prior: json!({"desired": now}),
            ours: json!({"desired": desired}),
            companions: Vec::new(),
            noop: i64::from(now) == i64::from(desired),
        })
    }

    fn invert(&self) -> Value {
        self.place.invert()
    }

    async fn inject(&self, record: &Record) -> Result<(), KindError> {
        let name = groups::name(&record.target)?;
        let seen = self.seen(record).await?.ok_or_else(|| KindError::Conflict(format!("group {name} is gone")))?;
        if seen.sizes.1 != capacity(&record.prior)? {
            return Err(KindError::Conflict(format!("{} instances of group {name} are desired by now", seen.sizes.1)));
        }
        groups::mark(&self.place, record).await?;
        self.set(name, capacity(&record.ours)?).await
    }

    async fn observe(&self, record: &Record) -> Observed {
        match self.seen(record).await {
            Ok(None) => Observed::Absent,
            Ok(Some(seen)) => match json!({"desired": seen.sizes.1}) {
                now if now == record.prior => Observed::Prior,
                now if now == record.ours => Observed::Ours { marked: mark::is_on(&seen.tags, record) },
                current => Observed::Other { current },
            },
            Err(error) => Observed::Unreadable { error: error.to_string() },
        }
    }

    async fn revert(&self, record: &Record) -> Result<(), KindError> {
        let ours = capacity(&record.ours)?;
        // Somebody else's capacity by now, or adopted with our mark off: left to the next reading.
        let Some(seen) = self.seen(record).await?.filter(|seen| seen.sizes.1 == ours && mark::is_on(&seen.tags, record)) else { return Ok(()) };
        self.set(&seen.name, capacity(&record.prior)?).await
    }

    async fn tidy(&self, record: &Record) -> Result<(), KindError> {
        groups::unmark(&self.place, record).await
    }

    async fn bite(&self, record: &Record) -> Bite {
        match self.seen(record).await {
            Ok(Some(seen)) if json!({"desired": seen.sizes.1}) != record.ours => {
                Bite::Unproven { why: format!("{} instances are desired", seen.sizes.1) }
            }
            Ok(Some(seen)) if i64::try_from(seen.in_service).ok() == record.ours["desired"].as_i64() => Bite::Verified,
            Ok(Some(seen)) => Bite::Unproven { why: format!("{} of {} instances are in service", seen.in_service, seen.sizes.1) },
            Ok(None) => Bite::Unproven { why: "the group is gone".to_owned() },
            Err(error) => Bite::Unproven { why: error.to_string() },
        }
    }

    async fn discover(&self) -> Result<Vec<Record>, KindError> {
        groups::marked(&self.place, NAME).await
    }

    fn by_hand(&self, record: &Record) -> ByHand {
        let (aws, name) = (self.place.cli(), word(groups::name(&record.target).unwrap_or_default()));
        let to = |state: &Value| {
            let desired = word(&state["desired"].as_str().map_or_else(|| state["desired"].to_string(), str::to_owned));
            format!("{aws} autoscaling set-desired-capacity --auto-scaling-group-name {name} --desired-capacity {desired} --no-honor-cooldown")
        };
        ByHand { inject: vec![to(&record.ours)], undo: vec![to(&record.prior), groups::unmark_by_hand(&self.place, record)] }
    }

    fn blank(&self, _run: &str, step: &str) -> Option<(TargetId, Prepared)> {
        let wanted = self.wanted().ok()?;
        let target = TargetId { place: self.place.name(), id: groups::id(&wanted.group, "group") };
        let prior = json!({"desired": blank("desired capacity before", step)});
        Some((target, Prepared { prior, ours: json!({ "desired": wanted.desired }), companions: Vec::new(), noop: false }))
    }
}

fn capacity(state: &Value) -> Result<i32, KindError> {
    let found = state["desired"].as_i64().and_then(|desired| i32::try_from(desired).ok());
    found.ok_or_else(|| KindError::Failed("the record does not say a capacity".to_owned()))
}

/// Reads: names of the scaling policies that act on a group.
async fn policies(place: &Place, group: &str) -> Result<Vec<String>, CallError> {
    let pages = place.clients().await?.autoscaling.describe_policies().auto_scaling_group_name(group).into_paginator().items().send();
    let all: Vec<_> = place.account.read("autoscaling:DescribePolicies", pages.try_collect()).await?;
    Ok(all.iter().filter(|policy| policy.enabled() != Some(false)).filter_map(|policy| policy.policy_name().map(str::to_owned)).collect())
}
