//! `vpcEndpointDeny`: VPC endpoints deny operations by their policy.
//!
//! The run-unique Sid of the one statement that is added is the mark: who finds it in a policy can take it out again, and nothing else is ours.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_ec2::types::Tag;
use serde_json::{Value, json};

use super::endpoints::{self, Seen, digest, plain, with, without};
use super::params::{TaggedSelector, VpcEndpointDeny};
use super::place::{self, Place, protecting};
use super::{dead_man, instances, mark};
use crate::aws::access::{self, Statement};
use crate::clock::Timestamp;
use crate::drill::about::{About, Permissions};
use crate::drill::spec::{DrillSpec, Step};
use crate::event::Phase;
use crate::fault::definition::{Definition, Places};
use crate::fault::shell::word;
use crate::fault::{Bite, ByHand, Examined, Expiry, Kind, KindError, Observed, Prepared, Record, TargetId};
use crate::needs::Needs;

const NAME: &str = "vpcEndpointDeny";
/// Targets: `endpoint/vpce-…`.
const SORT: &str = "endpoint/";
/// Most characters of an endpoint's policy, white space included.
/// <https://docs.aws.amazon.com/vpc/latest/privatelink/vpc-endpoints-access.html>
const LONGEST: usize = 20_480;
/// Tags that the mark may take with a policy in it.
const MOST_OF_MARK: usize = 16;
/// Services that the undo of AWS kinds calls: last parts of endpoints' service names.
const CALLED_BY_UNDO: [&str; 7] = ["ec2", "iam", "route53", "sts", "autoscaling", "scheduler", "fis"];

impl Definition for VpcEndpointDeny {
    fn about() -> Option<About> {
        Some(About {
            mechanism: "Each endpoint is tagged with what undoes it, then ModifyVpcEndpoint adds one statement to its policy that denies the actions to everybody, \
                        under a Sid that names the run.",
            undo: "ModifyVpcEndpoint with the policy before, byte for byte; read back, then the tags are taken off. When others changed the policy in the hold, \
                   only the statement is taken out, and the run says Drifted. With a dead-man role a schedule of EventBridge Scheduler puts the policy before \
                   back two minutes after `undoBy` when firedrill is dead.",
            verified: "It is not: the policy is read back, but whether a caller is denied is seen only from inside the VPC. A run with this fault is inconclusive at \
                       best.",
            must_know: &[
                "Only calls that go through the endpoint are denied. A caller with another way (NAT, another endpoint, another region's address) is not.",
                "The policy takes some time to act on all calls, and so does its undo.",
                "Endpoints without policies are refused: Gateway Load Balancer endpoints, and those of services that take none. So are those that an AWS service \
                 made for itself.",
                "If firedrill itself calls AWS through the endpoint, a deny of ec2, iam, route53, sts, autoscaling, scheduler or fis there may deny its undo: plan \
                 warns of it, and cannot know. Run firedrill elsewhere.",
                "Swept without the journal, a policy of more than some 3,000 characters comes back with other white space. The dead-man overwrites what others \
                 changed in the hold.",
            ],
            permissions: Permissions {
                inject: &["ec2:CreateTags", "ec2:ModifyVpcEndpoint", "scheduler:CreateSchedule and iam:PassRole with a dead-man role"],
                revert: &["ec2:ModifyVpcEndpoint", "ec2:DeleteTags", "scheduler:DeleteSchedule with a dead-man role"],
                read: &["ec2:DescribeVpcEndpoints"],
            },
            example: "vpcEndpointDeny: {account: main, endpoints: {tags: {Name: dynamodb}}, actions: [\"dynamodb:*\"]}",
        })
    }

    fn open(&self, places: &Places, drill: &DrillSpec, step: &Step) -> Result<Arc<dyn Kind>, KindError> {
        let region = self.region.as_deref().unwrap_or(&drill.failed_region);
        let place = Place::named(places, drill, &self.account, Some(region))?;
        let wanted = Wanted { endpoints: self.endpoints.clone(), actions: self.actions.clone(), places: places.clone(), step: step.id.clone() };
        Ok(Arc::new(Deny { place, wanted: Some(wanted) }))
    }

    fn reopen(record: &Record, places: &Places) -> Result<Arc<dyn Kind>, KindError> {
        Ok(Arc::new(Deny { place: Place::of_record(record, places)?, wanted: None }))
    }

    fn everywhere(places: &Places) -> Vec<Arc<dyn Kind>> {
        Place::everywhere(places, false).into_iter().map(|place| Arc::new(Deny { place, wanted: None }) as Arc<dyn Kind>).collect()
    }
}

/// The endpoints of one region that deny.
#[derive(Debug)]
struct Deny {
    place: Place,
    /// None: opened for undoing.
    wanted: Option<Wanted>,
}

#[derive(Debug)]
struct Wanted {
    endpoints: TaggedSelector,
    actions: Vec<String>,
    places: Places,
    step: String,
}

/// A policy beside a record.
enum State {
    Prior,
    Ours,
    Other,
}

impl Deny {
    fn wanted(&self) -> Result<&Wanted, KindError> {
        self.wanted.as_ref().ok_or_else(|| KindError::Failed(format!("'{NAME}' was opened for undoing, not for a step")))
    }

    /// Actions on the endpoints that the step names, as narrow as its selector.
    fn on_chosen(&self, action: &str) -> Statement {
        let statement = self.place.account.may(action);
        let Some(Wanted { endpoints, .. }) = &self.wanted else { return statement };
        let arns: Vec<String> = endpoints.ids.iter().map(|id| self.place.arn("ec2", &format!("vpc-endpoint/{id}"))).collect();
        let statement = statement.on(if arns.is_empty() { vec![self.place.arn("ec2", "vpc-endpoint/*")] } else { arns });
        statement.tagged(&endpoints.tags)
    }

    fn tagging(&self, action: &str) -> Statement {
        mark::tagging(self.on_chosen(action))
    }

    async fn seen(&self, record: &Record) -> Result<Option<Seen>, KindError> {
        Ok(endpoints::one(&self.place, id(&record.target)?).await?)
    }

    async fn modify(&self, id: &str, policy: &str) -> Result<(), KindError> {
        let request = self.place.clients().await?.ec2.modify_vpc_endpoint().vpc_endpoint_id(id).policy_document(policy);
        self.place.account.write("ec2:ModifyVpcEndpoint", request.send()).await?;
        Ok(())
    }
}

#[async_trait]
impl Kind for Deny {
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
        let mut needs = access::Needs {
            inject: vec![self.tagging("ec2:CreateTags"), self.on_chosen("ec2:ModifyVpcEndpoint")],
            revert: vec![self.on_chosen("ec2:ModifyVpcEndpoint"), self.tagging("ec2:DeleteTags")],
            read: vec![self.place.account.may("ec2:DescribeVpcEndpoints")],
            dead_man: Vec::new(),
        };
        dead_man::add_needs(&self.place, self.on_chosen("ec2:ModifyVpcEndpoint"), &mut needs);
        needs.into()
    }

    async fn missing(&self) -> Result<Vec<String>, KindError> {
        let (account, ec2) = (&self.place.account, self.place.clients().await?.ec2);
        let tag = Tag::builder().key(mark::RUN).value("?").build();
        let mut missing: Vec<String> = Vec::new();
        for seen in endpoints::chosen(&self.place, &self.wanted()?.endpoints).await? {
            let tagging = ec2.create_tags().resources(&seen.id).tags(tag.clone()).dry_run(true).send();
            missing.extend(account.allows(&self.tagging("ec2:CreateTags"), tagging).await?);
            let modifying = ec2.modify_vpc_endpoint().vpc_endpoint_id(&seen.id).policy_document(&seen.policy).dry_run(true).send();
            missing.extend(account.allows(&self.on_chosen("ec2:ModifyVpcEndpoint"), modifying).await?);
            let untagging = ec2.delete_tags().resources(&seen.id).tags(tag.clone()).dry_run(true).send();
            missing.extend(account.allows(&self.tagging("ec2:DeleteTags"), untagging).await?);
            if !missing.is_empty() {
                break;
            }
        }
        missing.extend(dead_man::missing(&self.place).await?);
        Ok(missing)
    }

    async fn examine(&self, records: &[Record]) -> Result<Examined, KindError> {
        let Wanted { endpoints: selector, places, actions, .. } = self.wanted()?;
        let mut examined = Examined::default();
        let mut touched = Vec::new();
        for seen in endpoints::chosen(&self.place, selector).await? {
            let Some(record) = records.iter().find(|record| id(&record.target).ok() == Some(&seen.id) && record.phase != Phase::Noop) else {
                continue;
            };
            let mut refuse = |why: String| examined.refusals.push(format!("endpoint {}: {why}", seen.id));
            if let Some(tag) = protecting(places.environment.protect.as_ref(), &seen.tags) {
                refuse(format!("tag '{tag}' protects it"));
            }
            if seen.managed {
                refuse("an AWS service made it for itself, and looks after it".to_owned());
            }
            if seen.tags.len() + mark::tags(&slim(record)).len() > mark::MOST_TAGS {
                refuse(format!("it has {} tags: there is no room for the mark", seen.tags.len()));
            }
            let service = seen.service.rsplit('.').next().unwrap_or_default();
            if CALLED_BY_UNDO.contains(&service) {
                examined.warnings.push(format!(
                    "endpoint {} is one of {service}, which undoing calls: if firedrill calls AWS through it (it would run in {}), its undo may be denied; run \
                     firedrill elsewhere",
                    seen.id, seen.vpc
                ));
            }
            touched.push(format!("{} ({})", seen.id, seen.service));
        }
        for place in self.place.all_regions() {
            let count = endpoints::chosen(&place, &TaggedSelector::default()).await?.len();
            examined.population.insert(place.name(), count);
        }
        let there = examined.population.get(&self.place.name()).copied().unwrap_or_default();
        examined.radius.push(format!("{} of {there} VPC endpoints of {} deny {}", touched.len(), self.place.name(), actions.join(", ")));
        examined.radius.extend(touched);
        Ok(examined)
    }

    async fn resolve(&self, _run: &str) -> Result<Vec<TargetId>, KindError> {
        let wanted = &self.wanted()?.endpoints;
        let found = endpoints::chosen(&self.place, wanted).await?;
        if let Some(missing) = wanted.ids.iter().find(|id| !found.iter().any(|seen| seen.id == **id)) {
            return Err(KindError::Refused(format!("{} has no VPC endpoint {missing} that fits", self.place.name())));
        }
        Ok(found.iter().map(|seen| self.target(seen)).collect())
    }

    async fn prepare(&self, run: &str, target: &TargetId, _undo_by: Timestamp) -> Result<Prepared, KindError> {
        let (id, wanted) = (id(target)?, self.wanted()?);
        let seen = endpoints::one(&self.place, id).await?.ok_or_else(|| KindError::Conflict(format!("endpoint {id} is gone")))?;
        mark::refuse_marked(&seen.tags, &format!("endpoint {id}"))?;
        if seen.state != "available" {
            return Err(KindError::Refused(format!("endpoint {id} is {}: wait until it is available", seen.state)));
        }
        let ours = json!({"Sid": sid(run), "Effect": "Deny", "Principal": "*", "Action": wanted.actions, "Resource": "*"});
        let (changed, alone) = with(&seen.policy, &ours).ok_or_else(|| {
            KindError::Refused(format!("endpoint {id} ({}, {}) has no policy that a statement could go into", seen.sort, seen.service))
        })?;
        let length = changed.chars().count();
        if length > LONGEST {
            return Err(KindError::Refused(format!("the policy of endpoint {id} would have {length} characters, and {LONGEST} are the most")));
        }
        Ok(Prepared {
            prior: json!({"policy": seen.policy}),
            ours: json!({"statement": ours, "alone": alone}),
            companions: dead_man::companions(&self.place, run, &wanted.step, &target.id, 1),
            noop: false,
        })
    }

    fn invert(&self) -> Value {
        self.place.invert()
    }

    async fn inject(&self, record: &Record) -> Result<(), KindError> {
        let id = id(&record.target)?;
        let seen = self.seen(record).await?.ok_or_else(|| KindError::Conflict(format!("endpoint {id} is gone")))?;
        if !matches!(state(&seen.policy, record), State::Prior) {
            return Err(KindError::Conflict(format!("the policy of endpoint {id} is another by now")));
        }
        let (changed, _) =
            with(&seen.policy, &record.ours["statement"]).ok_or_else(|| KindError::Conflict(format!("endpoint {id} has no policy by now")))?;
        let (account, ec2) = (&self.place.account, self.place.clients().await?.ec2);
        let tags = mark::tags(&slim(record)).into_iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect();
        account.write("ec2:CreateTags", ec2.create_tags().resources(id).set_tags(Some(tags)).send()).await?;
        let input = json!({"VpcEndpointId": id, "PolicyDocument": seen.policy});
        dead_man::arm(&self.place, record, vec![dead_man::Call { api: "ec2:modifyVpcEndpoint", input }]).await?;
        self.modify(id, &changed).await
    }

    async fn observe(&self, record: &Record) -> Observed {
        match self.seen(record).await {
            Ok(None) => Observed::Absent,
            Ok(Some(seen)) => match state(&seen.policy, record) {
                State::Prior => Observed::Prior,
                State::Ours => Observed::Ours { marked: true },
                State::Other => Observed::Other { current: json!({"policy": seen.policy}) },
            },
            Err(error) => Observed::Unreadable { error: error.to_string() },
        }
    }

    async fn revert(&self, record: &Record) -> Result<(), KindError> {
        let Some(seen) = self.seen(record).await?.filter(|seen| matches!(state(&seen.policy, record), State::Ours)) else { return Ok(()) };
        let Some((rest, _)) = without(&seen.policy, &sid(&record.run), alone(record)) else { return Ok(()) };
        let policy = record.prior["policy"].as_str().filter(|_| is_prior(&rest, record)).map_or_else(|| rest.to_string(), str::to_owned);
        self.modify(&seen.id, &policy).await
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
            Observed::Ours { .. } => {
                Bite::Unprovable { why: "the policy is read back, but whether callers inside the VPC are denied is seen only from there".to_owned() }
            }
            other => Bite::Unproven { why: format!("the statement is not in the endpoint's policy: {other:?}") },
        }
    }

    async fn discover(&self) -> Result<Vec<Record>, KindError> {
        let marked = endpoints::list(&self.place, vec![instances::filter("tag-key", [mark::RUN.to_owned()])]).await?;
        let carried = marked.iter().filter_map(|seen| {
            let record = mark::carried(&seen.tags, &self.target(seen), self.place.invert()).filter(|record| record.kind == NAME)?;
            Some(whole(record, &seen.policy))
        });
        Ok(carried.collect())
    }

    fn by_hand(&self, record: &Record) -> ByHand {
        let (aws, id) = (self.place.cli(), id(&record.target).unwrap_or_default());
        let modify = |policy: &str| format!("{aws} ec2 modify-vpc-endpoint --vpc-endpoint-id {id} --policy-document {}", word(policy));
        let keys = mark::keys(&mark::tags(&slim(record))).into_iter().map(|key| format!("Key={key}")).collect::<Vec<_>>().join(" ");
        let untag = format!("{aws} ec2 delete-tags --resources {id} --tags {keys}");
        let Some(prior) = record.prior["policy"].as_str() else {
            // Someone else changed it since: only they know what it should be.
            let show = format!("{aws} ec2 describe-vpc-endpoints --vpc-endpoint-ids {id} --query 'VpcEndpoints[0].PolicyDocument' --output text");
            return ByHand { inject: Vec::new(), undo: vec![show, untag] };
        };
        let changed = with(prior, &record.ours["statement"]).map(|(changed, _)| changed).unwrap_or_default();
        ByHand {
            inject: vec![modify(&changed)],
            undo: [modify(prior), untag].into_iter().chain(dead_man::disarm_by_hand(&self.place, record)).collect(),
        }
    }
}

impl Deny {
    fn target(&self, seen: &Seen) -> TargetId {
        TargetId { place: self.place.name(), id: format!("{SORT}{}", seen.id) }
    }
}

fn id(target: &TargetId) -> Result<&str, KindError> {
    target.id.strip_prefix(SORT).ok_or_else(|| KindError::Failed(format!("{target} is no VPC endpoint")))
}

/// Letters and digits alone, which is all that a Sid may have.
fn sid(run: &str) -> String {
    format!("firedrill{}", run.chars().filter(char::is_ascii_alphanumeric).collect::<String>())
}

fn alone(record: &Record) -> bool {
    record.ours["alone"] == true
}

/// What fits into tags: all of it, but for a policy that may be twenty thousand characters long. Its digest tells whether what is left once our statement is
/// out is the policy before.
fn slim(record: &Record) -> Record {
    if mark::tags(record).len() <= MOST_OF_MARK {
        return record.clone();
    }
    let digest = record.prior["policy"].as_str().and_then(|policy| serde_json::from_str(policy).ok()).map(|policy: Value| digest(&policy));
    let prior = digest.map_or_else(|| record.prior.clone(), |digest| json!({"digest": digest}));
    Record { prior, ours: json!({"alone": record.ours["alone"]}), ..record.clone() }
}

/// The record that [`slim`] was made of, as far as the policy that is there now can tell.
fn whole(mut record: Record, policy: &str) -> Record {
    if record.prior["policy"].is_string() {
        return record;
    }
    let (rest, statement) = match without(policy, &sid(&record.run), alone(&record)) {
        Some((rest, statement)) => (rest, statement),
        None => (serde_json::from_str(policy).unwrap_or_default(), Value::Null),
    };
    if is_prior(&rest, &record) {
        record.prior = json!({"policy": rest.to_string()});
    }
    record.ours["statement"] = statement;
    record
}

fn is_prior(policy: &Value, record: &Record) -> bool {
    match record.prior["policy"].as_str() {
        Some(prior) => serde_json::from_str::<Value>(prior).is_ok_and(|prior| plain(&prior) == plain(policy)),
        None => record.prior["digest"] == digest(policy),
    }
}

fn state(policy: &str, record: &Record) -> State {
    match without(policy, &sid(&record.run), alone(record)) {
        Some((_, statement)) if plain(&statement) == plain(&record.ours["statement"]) => State::Ours,
        Some(_) => State::Other,
        None if serde_json::from_str(policy).is_ok_and(|policy: Value| is_prior(&policy, record)) => State::Prior,
        None => State::Other,
    }
}
