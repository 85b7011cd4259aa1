//! `launchRefusal`: Auto Scaling groups launch nothing, and take nothing away.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::groups::{self, PROCESSES};
use super::params::{LaunchRefusal, NamedSelector};
use super::place::{self, Place, protecting};
use super::{dead_man, mark};
use crate::aws::access::{self, Statement};
use crate::clock::Timestamp;
use crate::drill::about::{About, Permissions};
use crate::drill::spec::{DrillSpec, Step};
use crate::event::Phase;
use crate::fault::definition::{Definition, Places};
use crate::fault::shell::{blank, word};
use crate::fault::{Bite, ByHand, Examined, Expiry, Kind, KindError, Observed, Prepared, Record, TargetId};
use crate::needs::Needs;

const NAME: &str = "launchRefusal";

impl Definition for LaunchRefusal {
    fn limit() -> Duration {
        Duration::from_mins(2)
    }

    fn about() -> Option<About> {
        Some(About {
            mechanism: "Each group is tagged with what undoes it, then SuspendProcesses is called for those of Launch, Terminate and ReplaceUnhealthy that \
                        are not suspended yet.",
            undo: "ResumeProcesses for exactly those, read back, then the tags are taken off. What was suspended before stays suspended. With a dead-man role \
                   a schedule of EventBridge Scheduler resumes them two minutes after `undoBy` when firedrill is dead.",
            verified: "All three are read back as suspended.",
            must_know: &[
                "The desired capacity can still be changed, by people and by scaling policies; nothing comes of it until the undo, which then catches up.",
                "Launch and Terminate are both held back, so that the group keeps what it has: instances that fail are neither replaced nor taken away.",
                "HealthCheck goes on. An instance that was found unhealthy in the hold (ec2Stop stops some) is replaced once ReplaceUnhealthy is resumed, even \
                 if it is well again by then: the group's instances may be others at the end.",
                "A group of which all three are suspended already is left as it is, now and at the end.",
                "Somebody who resumes one of the three in the hold has the last word: the run says Drifted, names the group, and leaves it alone.",
                "A group that was deleted and made again under the same name is another one: it is not touched.",
            ],
            permissions: Permissions {
                inject: &[
                    "autoscaling:CreateOrUpdateTags",
                    "autoscaling:SuspendProcesses",
                    "scheduler:CreateSchedule and iam:PassRole with a dead-man role",
                ],
                revert: &["autoscaling:ResumeProcesses", "autoscaling:DeleteTags", "scheduler:DeleteSchedule with a dead-man role"],
                read: &["autoscaling:DescribeAutoScalingGroups"],
            },
            example: "launchRefusal: {account: main, groups: {tags: {app: web}}}",
        })
    }

    fn open(&self, places: &Places, drill: &DrillSpec, step: &Step) -> Result<Arc<dyn Kind>, KindError> {
        let region = self.region.as_deref().unwrap_or(&drill.failed_region);
        let place = Place::named(places, drill, &self.account, Some(region))?;
        let wanted = Wanted { groups: self.groups.clone(), places: places.clone(), step: step.id.clone() };
        Ok(Arc::new(Refusal { place, wanted: Some(wanted) }))
    }

    fn reopen(record: &Record, places: &Places) -> Result<Arc<dyn Kind>, KindError> {
        Ok(Arc::new(Refusal { place: Place::of_record(record, places)?, wanted: None }))
    }

    fn everywhere(places: &Places) -> Vec<Arc<dyn Kind>> {
        Place::everywhere(places, false).into_iter().map(|place| Arc::new(Refusal { place, wanted: None }) as Arc<dyn Kind>).collect()
    }
}

/// The groups of one region that launch nothing.
#[derive(Debug)]
struct Refusal {
    place: Place,
    /// None: opened for undoing.
    wanted: Option<Wanted>,
}

#[derive(Debug)]
struct Wanted {
    groups: NamedSelector,
    places: Places,
    step: String,
}

impl Refusal {
    fn wanted(&self) -> Result<&Wanted, KindError> {
        self.wanted.as_ref().ok_or_else(|| KindError::Failed(format!("'{NAME}' was opened for undoing, not for a step")))
    }

    fn on_chosen(&self, action: &str) -> Statement {
        let all = NamedSelector::default();
        groups::on_chosen(&self.place, action, self.wanted.as_ref().map_or(&all, |wanted| &wanted.groups))
    }

    async fn seen(&self, record: &Record) -> Result<Option<groups::Seen>, KindError> {
        groups::of_target(&self.place, &record.target).await
    }
}

#[async_trait]
impl Kind for Refusal {
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
        let Some(Wanted { groups, .. }) = &self.wanted else { return Needs::default() };
        let mut needs = access::Needs {
            inject: vec![groups::tagging(&self.place, "autoscaling:CreateOrUpdateTags", groups), self.on_chosen("autoscaling:SuspendProcesses")],
            revert: vec![self.on_chosen("autoscaling:ResumeProcesses"), groups::tagging(&self.place, "autoscaling:DeleteTags", groups)],
            read: vec![self.place.account.may("autoscaling:DescribeAutoScalingGroups")],
            dead_man: Vec::new(),
        };
        dead_man::add_needs(&self.place, self.on_chosen("autoscaling:ResumeProcesses"), &mut needs);
        needs.into()
    }

    /// Auto Scaling has no dry run: it is asked for a process that there is not, which it refuses once it has seen who asks.
    async fn missing(&self) -> Result<Vec<String>, KindError> {
        let selector = &self.wanted()?.groups;
        let (account, autoscaling) = (&self.place.account, self.place.clients().await?.autoscaling);
        let mut missing: Vec<String> = Vec::new();
        for seen in groups::chosen(&self.place, selector).await?.iter().take(1) {
            let suspending = autoscaling.suspend_processes().auto_scaling_group_name(&seen.name).scaling_processes("firedrill-asks").send();
            missing.extend(account.allows(&self.on_chosen("autoscaling:SuspendProcesses"), suspending).await?);
            let resuming = autoscaling.resume_processes().auto_scaling_group_name(&seen.name).scaling_processes("firedrill-asks").send();
            missing.extend(account.allows(&self.on_chosen("autoscaling:ResumeProcesses"), resuming).await?);
            missing.extend(groups::missing_tagging(&self.place, &seen.name, selector).await?);
            missing.extend(dead_man::missing(&self.place).await?);
        }
        Ok(missing)
    }

    async fn examine(&self, records: &[Record]) -> Result<Examined, KindError> {
        let Wanted { groups: selector, places, .. } = self.wanted()?;
        let mut examined = Examined { population: groups::population(&self.place).await?, ..Examined::default() };
        let (mut touched, mut instances) = (0, 0);
        for seen in groups::chosen(&self.place, selector).await? {
            let target = seen.target(&self.place);
            let Some(record) = records.iter().find(|record| record.target == target && record.phase != Phase::Noop) else { continue };
            (touched, instances) = (touched + 1, instances + seen.in_service);
            let mut refuse = |why: String| examined.refusals.push(format!("group {}: {why}", seen.name));
            if let Some(tag) = protecting(places.environment.protect.as_ref(), &seen.tags) {
                refuse(format!("tag '{tag}' protects it"));
            }
            if seen.tags.len() + mark::tags(record).len() > mark::MOST_TAGS {
                refuse(format!("it has {} tags: there is no room for the mark", seen.tags.len()));
            }
        }
        let there = examined.population.get(&self.place.name()).copied().unwrap_or_default();
        examined.radius.push(format!("{touched} of {there} groups of {}, with {instances} instances in service", self.place.name()));
        Ok(examined)
    }

    async fn resolve(&self, _run: &str) -> Result<Vec<TargetId>, KindError> {
        let wanted = &self.wanted()?.groups;
        let found = groups::chosen(&self.place, wanted).await?;
        if let Some(missing) = wanted.names.iter().find(|name| !found.iter().any(|seen| seen.name == **name)) {
            return Err(KindError::Refused(format!("{} has no Auto Scaling group '{missing}' that fits", self.place.name())));
        }
        Ok(found.iter().map(|seen| seen.target(&self.place)).collect())
    }

    async fn prepare(&self, run: &str, target: &TargetId, _undo_by: Timestamp) -> Result<Prepared, KindError> {
        let name = groups::name(target)?;
        let seen = groups::of_target(&self.place, target).await?.ok_or_else(|| KindError::Conflict(format!("group {name} is gone")))?;
        mark::refuse_marked(&seen.tags, &format!("group {name}"))?;
        let before = suspended(&seen);
        Ok(Prepared {
            prior: json!({"suspended": before}),
            ours: json!({"suspended": PROCESSES}),
            companions: dead_man::companions(&self.place, run, &self.wanted()?.step, &target.id, 1),
            noop: before.len() == PROCESSES.len(),
        })
    }

    fn invert(&self) -> Value {
        self.place.invert()
    }

    async fn inject(&self, record: &Record) -> Result<(), KindError> {
        let name = groups::name(&record.target)?;
        let seen = self.seen(record).await?.ok_or_else(|| KindError::Conflict(format!("group {name} is gone")))?;
        if json!({"suspended": suspended(&seen)}) != record.prior {
            return Err(KindError::Conflict(format!("other processes of group {name} are suspended by now: {}", suspended(&seen).join(", "))));
        }
        groups::mark(&self.place, record).await?;
        let input = json!({"AutoScalingGroupName": name, "ScalingProcesses": added(record)});
        dead_man::arm(&self.place, record, vec![dead_man::Call { api: "autoscaling:resumeProcesses", input }]).await?;
        let processes = Some(added(record).into_iter().map(str::to_owned).collect());
        let suspend = self.place.clients().await?.autoscaling.suspend_processes().auto_scaling_group_name(name).set_scaling_processes(processes);
        self.place.account.write("autoscaling:SuspendProcesses", suspend.send()).await?;
        Ok(())
    }

    async fn observe(&self, record: &Record) -> Observed {
        match self.seen(record).await {
            Ok(None) => Observed::Absent,
            Ok(Some(seen)) => {
                let (now, added) = (suspended(&seen), added(record));
                let still = added.iter().filter(|process| now.contains(process)).count();
                match still {
                    0 => Observed::Prior,
                    all if all == added.len() => Observed::Ours { marked: mark::is_on(&seen.tags, record) },
                    _ => Observed::Other { current: json!({"suspended": now}) },
                }
            }
            Err(error) => Observed::Unreadable { error: error.to_string() },
        }
    }

    async fn revert(&self, record: &Record) -> Result<(), KindError> {
        // Suspended by others, with our mark off: theirs by now.
        let Some(seen) = self.seen(record).await?.filter(|seen| mark::is_on(&seen.tags, record)) else { return Ok(()) };
        let processes = Some(added(record).into_iter().map(str::to_owned).collect());
        let resume = self.place.clients().await?.autoscaling.resume_processes().auto_scaling_group_name(seen.name).set_scaling_processes(processes);
        self.place.account.write("autoscaling:ResumeProcesses", resume.send()).await?;
        Ok(())
    }

    async fn tidy(&self, record: &Record) -> Result<(), KindError> {
        dead_man::disarm(&self.place, record).await?;
        groups::unmark(&self.place, record).await
    }

    async fn bite(&self, record: &Record) -> Bite {
        match self.observe(record).await {
            Observed::Ours { .. } => Bite::Verified,
            other => Bite::Unproven { why: format!("the group's processes are not suspended: {other:?}") },
        }
    }

    async fn discover(&self) -> Result<Vec<Record>, KindError> {
        groups::marked(&self.place, NAME).await
    }

    fn by_hand(&self, record: &Record) -> ByHand {
        let (aws, name) = (self.place.cli(), word(groups::name(&record.target).unwrap_or_default()));
        let processes = added(record).join(" ");
        ByHand {
            inject: vec![format!("{aws} autoscaling suspend-processes --auto-scaling-group-name {name} --scaling-processes {processes}")],
            undo: [
                format!("{aws} autoscaling resume-processes --auto-scaling-group-name {name} --scaling-processes {processes}"),
                groups::unmark_by_hand(&self.place, record),
            ]
            .into_iter()
            .chain(dead_man::disarm_by_hand(&self.place, record))
            .collect(),
        }
    }

    fn blank(&self, _run: &str, step: &str) -> Option<(TargetId, Prepared)> {
        let target = TargetId { place: self.place.name(), id: groups::id(&blank("each group", step), "group") };
        Some((target, Prepared { prior: json!({"suspended": []}), ours: json!({ "suspended": PROCESSES }), companions: Vec::new(), noop: false }))
    }
}

/// Those of our processes that are suspended.
fn suspended(seen: &groups::Seen) -> Vec<&'static str> {
    PROCESSES.into_iter().filter(|process| seen.suspended.contains_key(*process)).collect()
}

/// Those of our processes that this record suspends: what the undo resumes, and all that it looks at.
fn added(record: &Record) -> Vec<&'static str> {
    let before = record.prior["suspended"].as_array().map(Vec::as_slice).unwrap_or_default();
    PROCESSES.into_iter().filter(|process| !before.iter().any(|one| one == process)).collect()
}
