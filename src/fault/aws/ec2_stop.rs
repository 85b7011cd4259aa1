//! `ec2Stop`: instances are stopped, and started again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_ec2::types::Tag;
use serde_json::{Value, json};

use super::params::{Ec2Stop, ZonedSelector};
use super::place::{self, Place, own_addresses, protecting};
use super::{dead_man, groups, instances, mark};
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

const NAME: &str = "ec2Stop";
/// Targets: `instance/i-…`.
const SORT: &str = "instance/";

impl Definition for Ec2Stop {
    fn limit() -> Duration {
        Duration::from_mins(10)
    }

    fn about() -> Option<About> {
        Some(About {
            mechanism: "Each instance is tagged with what undoes it, then StopInstances is called, without force.",
            undo: "StartInstances, once the instance has stopped; `running` is read back, then the tags are taken off. With a dead-man role a schedule of \
                   EventBridge Scheduler starts the instance two minutes after `undoBy` when firedrill is dead.",
            verified: "The instance is read back as `stopped`.",
            must_know: &[
                "An instance that is stopped already is left as it is, now and at the end.",
                "Refused: instances of an Auto Scaling group unless its Launch, Terminate and ReplaceUnhealthy are suspended (by launchRefusal before it); any \
                 instance store; a public address that AWS lent; spot instances.",
                "Starting may be refused by EC2: no capacity, a quota, a KMS key. The run says so, goes on trying, and exits 7.",
                "Starting an instance with an encrypted volume needs `kms:CreateGrant` on its key, which stopping it does not. It cannot be asked for in \
                 advance: plan names the instances.",
            ],
            permissions: Permissions {
                inject: &["ec2:CreateTags", "ec2:StopInstances", "scheduler:CreateSchedule and iam:PassRole with a dead-man role"],
                revert: &["ec2:StartInstances", "ec2:DeleteTags", "scheduler:DeleteSchedule with a dead-man role"],
                read: &["ec2:DescribeInstances", "ec2:DescribeInstanceTypes", "ec2:DescribeVolumes", "autoscaling:DescribeAutoScalingGroups"],
            },
            example: "ec2Stop: {account: main, instances: {tags: {app: checkout}, zones: [us-east-1a]}}",
        })
    }

    fn open(&self, places: &Places, drill: &DrillSpec, step: &Step) -> Result<Arc<dyn Kind>, KindError> {
        let region = self.region.as_deref().unwrap_or(&drill.failed_region);
        let place = Place::named(places, drill, &self.account, Some(region))?;
        let wanted = Wanted { instances: self.instances.clone(), places: places.clone(), drill: drill.clone(), step: step.id.clone() };
        Ok(Arc::new(Stop { place, wanted: Some(wanted) }))
    }

    fn reopen(record: &Record, places: &Places) -> Result<Arc<dyn Kind>, KindError> {
        Ok(Arc::new(Stop { place: Place::of_record(record, places)?, wanted: None }))
    }

    fn everywhere(places: &Places) -> Vec<Arc<dyn Kind>> {
        Place::everywhere(places, false).into_iter().map(|place| Arc::new(Stop { place, wanted: None }) as Arc<dyn Kind>).collect()
    }
}

/// The instances of one region that are stopped.
#[derive(Debug)]
struct Stop {
    place: Place,
    /// None: opened for undoing.
    wanted: Option<Wanted>,
}

#[derive(Debug)]
struct Wanted {
    instances: ZonedSelector,
    places: Places,
    drill: DrillSpec,
    step: String,
}

impl Stop {
    fn wanted(&self) -> Result<&Wanted, KindError> {
        self.wanted.as_ref().ok_or_else(|| KindError::Failed(format!("'{NAME}' was opened for undoing, not for a step")))
    }

    /// Actions on the instances that the step names, as narrow as its selector.
    fn on_chosen(&self, action: &str) -> Statement {
        let statement = self.place.account.may(action);
        let Some(Wanted { instances, .. }) = &self.wanted else { return statement };
        let arns: Vec<String> = instances.ids.iter().map(|id| self.place.arn("ec2", &format!("instance/{id}"))).collect();
        let statement = statement.on(if arns.is_empty() { vec![self.place.arn("ec2", "instance/*")] } else { arns });
        let statement =
            if instances.zones.is_empty() { statement } else { statement.when("StringEquals", "ec2:AvailabilityZone", instances.zones.clone()) };
        statement.tagged(&instances.tags)
    }

    fn tagging(&self, action: &str) -> Statement {
        mark::tagging(self.on_chosen(action))
    }

    async fn seen(&self, record: &Record) -> Result<Option<instances::Seen>, KindError> {
        Ok(instances::one(&self.place, id(&record.target)?).await?)
    }
}

#[async_trait]
impl Kind for Stop {
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
        if self.wanted.is_none() {
            return Needs::default();
        }
        let may = |action: &str| self.place.account.may(action);
        let mut needs = access::Needs {
            inject: vec![self.tagging("ec2:CreateTags"), self.on_chosen("ec2:StopInstances")],
            revert: vec![self.on_chosen("ec2:StartInstances"), self.tagging("ec2:DeleteTags")],
            read: ["ec2:DescribeInstances", "ec2:DescribeInstanceTypes", "ec2:DescribeVolumes", "autoscaling:DescribeAutoScalingGroups"]
                .map(may)
                .into(),
            dead_man: Vec::new(),
        };
        dead_man::add_needs(&self.place, self.on_chosen("ec2:StartInstances"), &mut needs);
        needs.into()
    }

    async fn missing(&self) -> Result<Vec<String>, KindError> {
        let found = instances::chosen(&self.place, &self.wanted()?.instances).await?;
        let ids = Some(found.into_iter().map(|seen| seen.id).collect::<Vec<_>>());
        if ids.as_ref().is_none_or(Vec::is_empty) {
            return Ok(Vec::new());
        }
        let (account, ec2) = (&self.place.account, self.place.clients().await?.ec2);
        let tag = Tag::builder().key(mark::RUN).value("?").build();
        let mut missing: Vec<String> = Vec::new();
        let tagging = ec2.create_tags().set_resources(ids.clone()).tags(tag.clone()).dry_run(true).send();
        missing.extend(account.allows(&self.tagging("ec2:CreateTags"), tagging).await?);
        let stopping = ec2.stop_instances().set_instance_ids(ids.clone()).dry_run(true).send();
        missing.extend(account.allows(&self.on_chosen("ec2:StopInstances"), stopping).await?);
        let undoing = self.place.undoing();
        let (account, ec2) = (&undoing.account, undoing.clients().await?.ec2);
        let starting = ec2.start_instances().set_instance_ids(ids.clone()).dry_run(true).send();
        missing.extend(account.allows(&self.on_chosen("ec2:StartInstances"), starting).await?);
        let untagging = ec2.delete_tags().set_resources(ids).tags(tag).dry_run(true).send();
        missing.extend(account.allows(&self.tagging("ec2:DeleteTags"), untagging).await?);
        missing.extend(dead_man::missing(&self.place).await?);
        Ok(missing)
    }

    async fn examine(&self, records: &[Record]) -> Result<Examined, KindError> {
        let Wanted { instances, places, drill, step } = self.wanted()?;
        let all = instances::chosen(&self.place, instances).await?;
        let touched: Vec<&instances::Seen> =
            all.iter().filter(|seen| records.iter().any(|record| record.phase != Phase::Noop && id(&record.target).ok() == Some(&seen.id))).collect();
        let mut examined = Examined::default();
        let own = own_addresses();
        let ephemeral = ephemeral_sizes(&self.place, &touched).await?;
        let exempt = groups::launching_nothing(&self.place, drill, step).await?;
        for seen in &touched {
            let mut refuse = |why: String| examined.refusals.push(format!("instance {}: {why}", seen.id));
            if let Some(tag) = protecting(places.environment.protect.as_ref(), &seen.tags) {
                refuse(format!("tag '{tag}' protects it"));
            }
            if let Some(group) = seen.tags.get(groups::MEMBER).filter(|group| !exempt.contains(*group)) {
                refuse(format!("Auto Scaling group '{group}' would replace it: suspend its launches with launchRefusal in a step before"));
            }
            if seen.ephemeral_root || ephemeral.contains(&seen.size) {
                refuse("its instance store would be lost".to_owned());
            }
            if let Some(address) = &seen.lent_address {
                refuse(format!("its public address {address} is lent by AWS and would be lost: give it an Elastic IP address"));
            }
            if seen.spot {
                refuse("it is a spot instance, and may not come back".to_owned());
            }
            if seen.addresses.iter().any(|address| own.contains(address)) {
                refuse("firedrill itself runs on it: the undo needs it".to_owned());
            }
            if seen.tags.len() + 8 > mark::MOST_TAGS {
                refuse(format!("it has {} tags: there is no room for the mark", seen.tags.len()));
            }
        }
        let encrypted = encrypted(&self.place, &touched).await?;
        if !encrypted.is_empty() {
            examined.warnings.push(format!(
                "{} have encrypted volumes: whoever starts them needs kms:CreateGrant on their keys, which cannot be asked for in advance",
                encrypted.join(", ")
            ));
        }
        for place in self.place.all_regions() {
            let count = instances::chosen(&place, &ZonedSelector::default()).await?.len();
            examined.population.insert(place.name(), count);
        }
        let there = examined.population.get(&self.place.name()).copied().unwrap_or_default();
        examined.radius.push(format!("{} of {there} instances of {}", touched.len(), self.place.name()));
        Ok(examined)
    }

    async fn resolve(&self, _run: &str) -> Result<Vec<TargetId>, KindError> {
        let wanted = &self.wanted()?.instances;
        let found = instances::chosen(&self.place, wanted).await?;
        if let Some(missing) = wanted.ids.iter().find(|id| !found.iter().any(|seen| seen.id == **id)) {
            return Err(KindError::Refused(format!("{} has no instance {missing} that fits", self.place.name())));
        }
        Ok(found.iter().map(|seen| TargetId { place: self.place.name(), id: format!("{SORT}{}", seen.id) }).collect())
    }

    async fn prepare(&self, run: &str, target: &TargetId, _undo_by: Timestamp) -> Result<Prepared, KindError> {
        let id = id(target)?;
        let seen = instances::one(&self.place, id).await?.ok_or_else(|| KindError::Conflict(format!("instance {id} is gone")))?;
        mark::refuse_marked(&seen.tags, &format!("instance {id}"))?;
        if !["running", "stopped"].contains(&seen.state.as_str()) {
            return Err(KindError::Refused(format!("instance {id} is {}: wait until it is running or stopped", seen.state)));
        }
        Ok(Prepared {
            prior: json!({"state": seen.state}),
            ours: json!({"state": "stopped"}),
            companions: dead_man::companions(&self.place, run, &self.wanted()?.step, &target.id, 1),
            noop: seen.state == "stopped",
        })
    }

    fn invert(&self) -> Value {
        self.place.invert()
    }

    async fn inject(&self, record: &Record) -> Result<(), KindError> {
        let id = id(&record.target)?;
        let state = self.seen(record).await?.map_or_else(|| "gone".to_owned(), |seen| seen.state);
        if state != "running" {
            return Err(KindError::Conflict(format!("instance {id} is {state} by now")));
        }
        let (account, ec2) = (&self.place.account, self.place.clients().await?.ec2);
        let tags = mark::tags(record).into_iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect();
        account.write("ec2:CreateTags", ec2.create_tags().resources(id).set_tags(Some(tags)).send()).await?;
        let call = dead_man::Call { api: "ec2:startInstances", input: json!({"InstanceIds": [id]}) };
        dead_man::arm(&self.place, record, vec![call]).await?;
        account.write("ec2:StopInstances", ec2.stop_instances().instance_ids(id).send()).await?;
        Ok(())
    }

    async fn observe(&self, record: &Record) -> Observed {
        match self.seen(record).await {
            Ok(None) => Observed::Absent,
            Ok(Some(seen)) => match seen.state.as_str() {
                "running" => Observed::Prior,
                "stopped" => Observed::Ours { marked: mark::is_on(&seen.tags, record) },
                other => Observed::InTransition { detail: format!("it is {other}") },
            },
            Err(error) => Observed::Unreadable { error: error.to_string() },
        }
    }

    async fn revert(&self, record: &Record) -> Result<(), KindError> {
        let start = self.place.clients().await?.ec2.start_instances().instance_ids(id(&record.target)?);
        self.place.account.write("ec2:StartInstances", start.send()).await?;
        Ok(())
    }

    async fn tidy(&self, record: &Record) -> Result<(), KindError> {
        let marked = self.seen(record).await?.filter(|seen| mark::is_on(&seen.tags, record));
        dead_man::disarm(&self.place, record).await?;
        let Some(seen) = marked else { return Ok(()) };
        let keys = mark::keys(&seen.tags).into_iter().map(|key| Tag::builder().key(key).build()).collect();
        let delete = self.place.clients().await?.ec2.delete_tags().resources(&seen.id).set_tags(Some(keys));
        self.place.account.write("ec2:DeleteTags", delete.send()).await?;
        Ok(())
    }

    async fn bite(&self, record: &Record) -> Bite {
        match self.observe(record).await {
            Observed::Ours { .. } => Bite::Verified,
            Observed::InTransition { detail } => Bite::Unproven { why: detail },
            other => Bite::Unproven { why: format!("the instance is not stopped: {other:?}") },
        }
    }

    async fn discover(&self) -> Result<Vec<Record>, KindError> {
        let marked = instances::list(&self.place, vec![instances::filter("tag-key", [mark::RUN.to_owned()])]).await?;
        let target = |seen: &instances::Seen| TargetId { place: self.place.name(), id: format!("{SORT}{}", seen.id) };
        let carried = marked.iter().filter(|seen| seen.state != "terminated");
        let carried = carried.filter_map(|seen| mark::carried(&seen.tags, &target(seen), self.place.invert()));
        Ok(carried.filter(|record| record.kind == NAME).collect())
    }

    fn by_hand(&self, record: &Record) -> ByHand {
        let (aws, id) = (self.place.cli(), word(id(&record.target).unwrap_or_default()));
        let keys = mark::keys(&mark::tags(record)).into_iter().map(|key| format!("Key={key}")).collect::<Vec<_>>().join(" ");
        ByHand {
            inject: vec![format!("{aws} ec2 stop-instances --instance-ids {id}"), format!("{aws} ec2 wait instance-stopped --instance-ids {id}")],
            undo: [
                // Waiting for `stopped` would stand still for ten minutes before an instance that was never stopped; starting one is no error.
                format!("until {aws} ec2 start-instances --instance-ids {id}; do sleep 5; done   # IncorrectInstanceState: it stops, wait; another, or 10 min: Ctrl-C, all again without it"),
                format!("{aws} ec2 wait instance-running --instance-ids {id}"),
                format!("{aws} ec2 delete-tags --resources {id} --tags {keys}"),
            ]
            .into_iter()
            .chain(dead_man::disarm_by_hand(&self.place, record))
            .collect(),
        }
    }

    fn blank(&self, _run: &str, step: &str) -> Option<(TargetId, Prepared)> {
        Some((
            TargetId { place: self.place.name(), id: format!("{SORT}{}", blank("each instance id", step)) },
            Prepared { prior: Value::Null, ours: Value::Null, companions: Vec::new(), noop: false },
        ))
    }
}

fn id(target: &TargetId) -> Result<&str, KindError> {
    target.id.strip_prefix(SORT).ok_or_else(|| KindError::Failed(format!("{target} is no instance")))
}

/// Reads: those of the instances' types that have instance store.
async fn ephemeral_sizes(place: &Place, instances: &[&instances::Seen]) -> Result<BTreeSet<String>, CallError> {
    let sizes: BTreeSet<&str> = instances.iter().map(|seen| seen.size.as_str()).collect();
    let sizes: Vec<_> = sizes.into_iter().map(aws_sdk_ec2::types::InstanceType::from).collect();
    let (mut found, ec2) = (BTreeSet::new(), place.clients().await?.ec2);
    // At most 100 types in one call.
    for sizes in sizes.chunks(100) {
        let pages = ec2.describe_instance_types().set_instance_types(Some(sizes.to_vec())).into_paginator().items().send();
        let all: Vec<_> = place.account.read("ec2:DescribeInstanceTypes", pages.try_collect()).await?;
        let with = all.iter().filter(|size| size.instance_storage_supported() == Some(true));
        found.extend(with.filter_map(|size| size.instance_type().map(|size| size.as_str().to_owned())));
    }
    Ok(found)
}

/// Reads: ids of the instances with an encrypted volume.
async fn encrypted(place: &Place, instances: &[&instances::Seen]) -> Result<Vec<String>, CallError> {
    let ids: Vec<String> = instances.iter().flat_map(|seen| seen.volumes.clone()).collect();
    let (mut found, ec2) = (BTreeSet::new(), place.clients().await?.ec2);
    for ids in ids.chunks(200) {
        let pages = ec2.describe_volumes().filters(instances::filter("volume-id", ids.to_vec())).into_paginator().items().send();
        let all: Vec<_> = place.account.read("ec2:DescribeVolumes", pages.try_collect()).await?;
        found.extend(all.iter().filter(|volume| volume.encrypted() == Some(true)).filter_map(|volume| volume.volume_id().map(str::to_owned)));
    }
    Ok(instances.iter().filter(|seen| seen.volumes.iter().any(|volume| found.contains(volume))).map(|seen| seen.id.clone()).collect())
}
