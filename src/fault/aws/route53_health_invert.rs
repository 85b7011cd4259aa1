//! `route53HealthInvert`: health checks are inverted, so that DNS fails over by its own rules.

use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_route53::types::{Tag, TagResourceType};
use serde_json::{Value, json};

use super::params::{Route53HealthInvert, TaggedSelector};
use super::place::{self, Place, protecting};
use super::{dead_man, health, mark};
use crate::aws::access::{self, Statement};
use crate::clock::Timestamp;
use crate::drill::about::{About, Permissions};
use crate::drill::spec::{DrillSpec, Step};
use crate::event::Phase;
use crate::fault::definition::{Definition, Places};
use crate::fault::shell::{blank, word};
use crate::fault::{Bite, ByHand, Examined, Expiry, Kind, KindError, Observed, Prepared, Record, TargetId};
use crate::needs::Needs;

const NAME: &str = "route53HealthInvert";
/// Targets: `healthcheck/ID`.
const SORT: &str = "healthcheck/";
/// Tags that a health check may have, and that one call may add: <https://docs.aws.amazon.com/Route53/latest/APIReference/API_ChangeTagsForResource.html>
const MOST_TAGS: usize = 10;
/// So many are inverted in a few seconds; more take long, at some calls of Route 53 for each.
/// <https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/DNSLimitations.html#limits-api-requests>
const FEW: usize = 10;
const CALLS: usize = 5;

impl Definition for Route53HealthInvert {
    fn about() -> Option<About> {
        Some(About {
            mechanism: "Each health check is tagged with what undoes it, then its `Inverted` is flipped: what is healthy counts as unhealthy, and records that \
                        use it are no longer answered, by the zone's own rules.",
            undo: "`Inverted` is flipped back, conditionally on the version that was just read; then the tags are taken off. With a dead-man role a schedule of \
                   EventBridge Scheduler does it two minutes after `undoBy` when firedrill is dead.",
            verified: "`Inverted` is read back. What resolvers see follows with the checkers and the TTL: measure it with a dns or route53Answer probe.",
            must_know: &[
                "One that is inverted already is left as it is, now and at the end.",
                "It fails over every record that uses the check, in all zones, and calculated checks above it. An endpoint that is unhealthy counts as healthy \
                 meanwhile.",
                "Refused: health checks that a service of AWS owns, protected ones, and those without room for the mark (10 tags).",
                "Health checks are changed in us-east-1 (of its partition) only.",
            ],
            permissions: Permissions {
                inject: &[
                    "route53:ChangeTagsForResource",
                    "route53:UpdateHealthCheck",
                    "scheduler:CreateSchedule and iam:PassRole with a dead-man role",
                ],
                revert: &["route53:UpdateHealthCheck", "route53:ChangeTagsForResource", "scheduler:DeleteSchedule with a dead-man role"],
                read: &["route53:ListHealthChecks", "route53:GetHealthCheck", "route53:ListTagsForResources"],
            },
            example: "route53HealthInvert: {account: main, healthChecks: {tags: {region: us-east-1}}}",
        })
    }

    fn open(&self, places: &Places, drill: &DrillSpec, step: &Step) -> Result<Arc<dyn Kind>, KindError> {
        let place = Place::named(places, drill, &self.account, None)?;
        let wanted = Wanted { checks: self.health_checks.clone(), places: places.clone(), drill: drill.clone(), step: step.id.clone() };
        Ok(Arc::new(Inverted { place, wanted: Some(wanted) }))
    }

    fn reopen(record: &Record, places: &Places) -> Result<Arc<dyn Kind>, KindError> {
        Ok(Arc::new(Inverted { place: Place::of_record(record, places)?, wanted: None }))
    }

    fn everywhere(places: &Places) -> Vec<Arc<dyn Kind>> {
        Place::everywhere(places, true).into_iter().map(|place| Arc::new(Inverted { place, wanted: None }) as Arc<dyn Kind>).collect()
    }
}

/// The health checks of one account that are inverted.
#[derive(Debug)]
struct Inverted {
    place: Place,
    /// None: opened for undoing.
    wanted: Option<Wanted>,
}

#[derive(Debug)]
struct Wanted {
    checks: TaggedSelector,
    places: Places,
    drill: DrillSpec,
    step: String,
}

impl Inverted {
    fn wanted(&self) -> Result<&Wanted, KindError> {
        self.wanted.as_ref().ok_or_else(|| KindError::Failed(format!("'{NAME}' was opened for undoing, not for a step")))
    }

    /// An action on the health checks that the step names; Route 53 knows no conditions on their tags.
    fn on_chosen(&self, action: &str) -> Statement {
        let arn = |id: &str| format!("arn:{}:route53:::healthcheck/{id}", self.place.account.reference().partition());
        let ids: Vec<String> = self.wanted.iter().flat_map(|wanted| &wanted.checks.ids).map(|id| arn(id)).collect();
        self.place.account.may(action).on(if ids.is_empty() { vec![arn("*")] } else { ids })
    }

    async fn seen(&self, record: &Record) -> Result<Option<health::Seen>, KindError> {
        Ok(health::one(&self.place, id(&record.target)?).await?)
    }

    async fn update(&self, seen: &health::Seen, inverted: bool) -> Result<(), KindError> {
        let route53 = self.place.clients().await?.route53;
        let request = route53.update_health_check().health_check_id(&seen.id).health_check_version(seen.version).inverted(inverted);
        match self.place.account.write("route53:UpdateHealthCheck", request.send()).await {
            Err(error) if error.code() == Some("HealthCheckVersionMismatch") => Err(KindError::Conflict(error.to_string())),
            done => Ok(done.map(|_| ())?),
        }
    }

    fn target(&self, seen: &health::Seen) -> TargetId {
        TargetId { place: self.place.name(), id: format!("{SORT}{}", seen.id) }
    }
}

#[async_trait]
impl Kind for Inverted {
    fn name(&self) -> &'static str {
        NAME
    }

    fn expiry(&self) -> Expiry {
        dead_man::expiry(&self.place)
    }

    fn settle(&self) -> std::time::Duration {
        place::SETTLE
    }

    fn needs(&self) -> Needs {
        if self.wanted.is_none() {
            return Needs::default();
        }
        let schedules = self.place.of_schedules();
        let change = || vec![self.on_chosen("route53:ChangeTagsForResource"), self.on_chosen("route53:UpdateHealthCheck")];
        let mut needs = access::Needs {
            inject: change(),
            revert: change(),
            read: vec![
                self.place.account.may("route53:ListHealthChecks"),
                self.on_chosen("route53:GetHealthCheck"),
                // Listing them with their tags reads those of all.
                self.place.account.may("route53:ListTagsForResources"),
            ],
            dead_man: Vec::new(),
        };
        dead_man::add_needs(&schedules, self.on_chosen("route53:UpdateHealthCheck"), &mut needs);
        needs.into()
    }

    /// A version that there is not yet, and a tag that is not there, change nothing.
    async fn missing(&self) -> Result<Vec<String>, KindError> {
        let all = health::all(&self.place).await?;
        let Some(seen) = health::chosen(&all, &self.wanted()?.checks).into_iter().next() else { return Ok(Vec::new()) };
        let mut missing = Vec::new();
        for place in [&self.place, &self.place.undoing()] {
            let route53 = place.clients().await?.route53;
            let tags = route53.change_tags_for_resource().resource_type(TagResourceType::Healthcheck).resource_id(&seen.id);
            let tags = tags.remove_tag_keys("firedrill-asks");
            missing.extend(place.account.allows(&self.on_chosen("route53:ChangeTagsForResource"), tags.send()).await?);
            let update = route53.update_health_check().health_check_id(&seen.id).health_check_version(seen.version + 1_000_000);
            missing.extend(place.account.allows(&self.on_chosen("route53:UpdateHealthCheck"), update.send()).await?);
        }
        missing.sort();
        missing.dedup();
        missing.extend(dead_man::missing(&self.place.of_schedules()).await?);
        Ok(missing)
    }

    async fn examine(&self, records: &[Record]) -> Result<Examined, KindError> {
        let Wanted { places, drill, .. } = self.wanted()?;
        let all = health::all(&self.place).await?;
        let touched: Vec<&Record> = records.iter().filter(|record| record.phase != Phase::Noop).collect();
        let mut examined = Examined::default();
        for record in &touched {
            let id = id(&record.target)?;
            let Some(seen) = all.iter().find(|seen| seen.id == id) else {
                examined.refusals.push(format!("health check {id} is gone"));
                continue;
            };
            let mut refuse = |why: String| examined.refusals.push(format!("health check {id}: {why}"));
            if let Some(tag) = protecting(places.environment.protect.as_ref(), &seen.tags) {
                refuse(format!("tag '{tag}' protects it"));
            }
            if let Some(service) = &seen.of_service {
                refuse(format!("it belongs to {service}, which alone may change it"));
            }
            let wanted = mark::tags(record).len();
            if seen.tags.len() + wanted > MOST_TAGS {
                refuse(format!("it has {} tags of {MOST_TAGS}: there is no room for the {wanted} of the mark", seen.tags.len()));
            }
        }
        let home = self.place.account.reference().global_region();
        if drill.failed_region == home {
            examined
                .warnings
                .push(format!("health checks are changed in {home}, the region that fails here: in a real outage that might not be possible"));
        }
        if touched.len() > FEW {
            examined.warnings.push(format!(
                "Route 53 answers five calls a second for the whole account: inverting {} health checks takes some {} s, and undoing it as long",
                touched.len(),
                touched.len() * CALLS / 5
            ));
        }
        examined.radius.push(format!("{} of {} health checks of account {}", touched.len(), all.len(), self.place.account.name()));
        examined.population.insert(self.place.name(), all.len());
        Ok(examined)
    }

    async fn resolve(&self, _run: &str) -> Result<Vec<TargetId>, KindError> {
        let (wanted, all) = (&self.wanted()?.checks, health::all(&self.place).await?);
        let chosen = health::chosen(&all, wanted);
        if let Some(missing) = wanted.ids.iter().find(|id| !chosen.iter().any(|seen| seen.id == **id)) {
            return Err(KindError::Refused(format!("account {} has no health check {missing} that fits", self.place.account.name())));
        }
        Ok(chosen.into_iter().map(|seen| self.target(seen)).collect())
    }

    async fn prepare(&self, run: &str, target: &TargetId, _undo_by: Timestamp) -> Result<Prepared, KindError> {
        let id = id(target)?;
        let seen = health::one(&self.place, id).await?.ok_or_else(|| KindError::Conflict(format!("health check {id} is gone")))?;
        mark::refuse_marked(&seen.tags, &format!("health check {id}"))?;
        Ok(Prepared {
            prior: json!({"inverted": seen.inverted}),
            ours: json!({"inverted": true}),
            companions: dead_man::companions(&self.place, run, &self.wanted()?.step, &target.id, 1),
            noop: seen.inverted,
        })
    }

    fn invert(&self) -> Value {
        self.place.invert()
    }

    async fn inject(&self, record: &Record) -> Result<(), KindError> {
        let id = id(&record.target)?;
        let gone = || KindError::Conflict(format!("health check {id} is gone"));
        let seen = self.seen(record).await?.ok_or_else(gone)?;
        if seen.inverted {
            return if mark::is_on(&seen.tags, record) { Ok(()) } else { Err(KindError::Conflict(format!("health check {id} is inverted by now"))) };
        }
        let tags = mark::tags(record).into_iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect();
        let request = self.place.clients().await?.route53.change_tags_for_resource().resource_type(TagResourceType::Healthcheck);
        self.place.account.write("route53:ChangeTagsForResource", request.resource_id(id).set_add_tags(Some(tags)).send()).await?;
        let call = dead_man::Call { api: "route53:updateHealthCheck", input: json!({"HealthCheckId": id, "Inverted": false}) };
        dead_man::arm(&self.place.of_schedules(), record, vec![call]).await?;
        self.update(&seen, true).await
    }

    async fn observe(&self, record: &Record) -> Observed {
        match self.seen(record).await {
            Ok(None) => Observed::Absent,
            Ok(Some(seen)) if !seen.inverted => Observed::Prior,
            Ok(Some(seen)) => Observed::Ours { marked: mark::is_on(&seen.tags, record) },
            Err(error) => Observed::Unreadable { error: error.to_string() },
        }
    }

    async fn revert(&self, record: &Record) -> Result<(), KindError> {
        match self.seen(record).await? {
            Some(seen) if seen.inverted && mark::is_on(&seen.tags, record) => self.update(&seen, false).await,
            _ => Ok(()),
        }
    }

    async fn tidy(&self, record: &Record) -> Result<(), KindError> {
        let marked = self.seen(record).await?.filter(|seen| mark::is_on(&seen.tags, record));
        dead_man::disarm(&self.place.of_schedules(), record).await?;
        let Some(seen) = marked else { return Ok(()) };
        let request = self.place.clients().await?.route53.change_tags_for_resource().resource_type(TagResourceType::Healthcheck);
        let request = request.resource_id(&seen.id).set_remove_tag_keys(Some(mark::keys(&seen.tags)));
        match self.place.account.write("route53:ChangeTagsForResource", request.send()).await {
            Err(error) if error.is_not_found() => Ok(()),
            done => Ok(done.map(|_| ())?),
        }
    }

    async fn bite(&self, record: &Record) -> Bite {
        match self.observe(record).await {
            Observed::Ours { .. } => Bite::Verified,
            other => Bite::Unproven { why: format!("the health check is not inverted: {other:?}") },
        }
    }

    async fn discover(&self) -> Result<Vec<Record>, KindError> {
        let all = health::all(&self.place).await?;
        let carried = all.iter().filter_map(|seen| mark::carried(&seen.tags, &self.target(seen), self.place.invert()));
        Ok(carried.filter(|record| record.kind == NAME).collect())
    }

    fn by_hand(&self, record: &Record) -> ByHand {
        let (aws, id) = (self.place.cli(), word(id(&record.target).unwrap_or_default()));
        let keys = mark::keys(&mark::tags(record)).join(" ");
        ByHand {
            inject: vec![format!("{aws} route53 update-health-check --health-check-id {id} --inverted")],
            undo: [
                format!("{aws} route53 update-health-check --health-check-id {id} --no-inverted"),
                format!("{aws} route53 change-tags-for-resource --resource-type healthcheck --resource-id {id} --remove-tag-keys {keys}"),
            ]
            .into_iter()
            .chain(dead_man::disarm_by_hand(&self.place, record))
            .collect(),
        }
    }

    fn blank(&self, _run: &str, step: &str) -> Option<(TargetId, Prepared)> {
        Some((
            TargetId { place: self.place.name(), id: format!("{SORT}{}", blank("each health check id", step)) },
            Prepared { prior: Value::Null, ours: Value::Null, companions: Vec::new(), noop: false },
        ))
    }
}

fn id(target: &TargetId) -> Result<&str, KindError> {
    target.id.strip_prefix(SORT).ok_or_else(|| KindError::Failed(format!("{target} is no health check")))
}
