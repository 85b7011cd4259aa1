//! `route53Shift`: weighted records send traffic away from one set identifier to another.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_route53::types::{ChangeAction, ChangeStatus};
use serde_json::{Value, json};

use super::health::{Health, health};
use super::params::Route53Shift;
use super::place::{self, Place, protecting};
use super::record_change::{At, SORT, at, batch, changed, exchange, is_there, tags, zone_of};
use super::record_mark;
use crate::aws::access::{self, Statement};
use crate::aws::hosted_zones::{self, RecordSet, Zone, normal, type_name};
use crate::clock::Timestamp;
use crate::drill::about::{About, Permissions};
use crate::drill::spec::{DrillSpec, Step};
use crate::event::Phase;
use crate::fault::definition::{Definition, Places};
use crate::fault::shell::word;
use crate::fault::{Bite, ByHand, Examined, Expiry, Kind, KindError, Observed, Prepared, Record, TargetId};
use crate::needs::Needs;

const NAME: &str = "route53Shift";
/// Before the names of IAM's condition keys of the change.
const KEYS: &str = "route53:ChangeResourceRecordSets";

impl Definition for Route53Shift {
    fn limit() -> Duration {
        Duration::from_mins(10)
    }

    fn about() -> Option<About> {
        Some(About {
            mechanism: "One batch of changes: every set named in `from` is deleted exactly as it was read and created with weight 0. A TXT record under \
                        `_firedrill` of the zone, in the same batch, carries what undoes it.",
            undo: "The inverse batch, which Route 53 refuses when anybody has changed one of the sets since. Failed back once the region is healthy; an action \
                   has no dead-man, evacuated is the safe state.",
            verified: "GetChange says INSYNC: every name server of Route 53 has it. Resolvers keep the old answer until its TTL has passed; the plan says how long.",
            must_know: &[
                "Refused: no set of `to` left with a weight above 0 (when all weights are 0, Route 53 answers with every set), or the health check of one \
                 that is not good. The health of calculated checks and those of alarms cannot be read: the plan names them.",
                "Sets that are not weighted, or belong to a traffic policy, are refused: they could not be put back exactly.",
                "Route 53 takes one change of a zone at a time; others wait. A private and a public zone of one name are told apart by id only.",
                "Route 53 is changed in us-east-1 (of its partition) only. In a real outage of us-east-1 records may not be changed: shift by health checks \
                 or Route 53 ARC instead.",
            ],
            permissions: Permissions {
                inject: &["route53:ChangeResourceRecordSets"],
                revert: &["route53:ChangeResourceRecordSets"],
                read: &[
                    "route53:GetHostedZone or route53:ListHostedZonesByName",
                    "route53:ListResourceRecordSets",
                    "route53:ListTagsForResource",
                    "route53:GetChange",
                    "route53:GetHealthCheck",
                    "route53:GetHealthCheckStatus",
                ],
            },
            example: "route53Shift: {account: main, zone: example.com, record: api.example.com, type: A, from: east, to: west}",
        })
    }

    fn open(&self, places: &Places, drill: &DrillSpec, _step: &Step) -> Result<Arc<dyn Kind>, KindError> {
        let place = Place::named(places, drill, &self.account, None)?;
        Ok(Arc::new(Shift { place, wanted: Some(Wanted { shift: self.clone(), places: places.clone(), drill: drill.clone() }) }))
    }

    fn reopen(record: &Record, places: &Places) -> Result<Arc<dyn Kind>, KindError> {
        Ok(Arc::new(Shift { place: Place::of_record(record, places)?, wanted: None }))
    }

    fn everywhere(places: &Places) -> Vec<Arc<dyn Kind>> {
        Place::everywhere(places, true).into_iter().map(|place| Arc::new(Shift { place, wanted: None }) as Arc<dyn Kind>).collect()
    }
}

/// The records of one account that are shifted.
#[derive(Debug)]
struct Shift {
    place: Place,
    /// None: opened for undoing.
    wanted: Option<Wanted>,
}

#[derive(Debug)]
struct Wanted {
    shift: Route53Shift,
    places: Places,
    drill: DrillSpec,
}

/// What this process knows of a zone's changes.
#[derive(Debug, Default)]
struct Changes {
    /// Route 53 refuses a second change of a zone while one is being accepted.
    one_at_a_time: tokio::sync::Mutex<()>,
    /// Id of the last change of a target, until it is in sync.
    pending: Mutex<HashMap<TargetId, String>>,
}

/// What stands under a target's name now.
struct Current {
    sets: Vec<RecordSet>,
    mark: Option<RecordSet>,
}

impl Shift {
    fn wanted(&self) -> Result<&Wanted, KindError> {
        self.wanted.as_ref().ok_or_else(|| KindError::Failed(format!("'{NAME}' was opened for undoing, not for a step")))
    }

    fn zone_arn(&self) -> String {
        let zone = self.wanted.as_ref().map(|wanted| wanted.shift.zone.trim_start_matches("/hostedzone/")).filter(|zone| !zone.contains('.'));
        format!("arn:{}:route53:::hostedzone/{}", self.place.account.reference().partition(), zone.unwrap_or("*"))
    }

    fn on_zone(&self, action: &str) -> Statement {
        self.place.account.may(action).on([self.zone_arn()])
    }

    /// The change, of this record and its mark only.
    fn may_change(&self) -> Statement {
        let statement = self.on_zone("route53:ChangeResourceRecordSets");
        let Some(Wanted { shift, .. }) = &self.wanted else { return statement };
        let name = normal(&shift.record).trim_end_matches('.').to_owned();
        statement
            .when("ForAllValues:StringLike", &format!("{KEYS}NormalizedRecordNames"), [name, "*._firedrill.*".to_owned()])
            .when("ForAllValues:StringEquals", &format!("{KEYS}RecordTypes"), [type_name(shift.record_type).to_owned(), "TXT".to_owned()])
            .when("ForAllValues:StringEquals", &format!("{KEYS}Actions"), ["CREATE".to_owned(), "DELETE".to_owned()])
    }

    fn changes(&self, zone: &str) -> Arc<Changes> {
        self.place.account.shared::<Changes>(zone)
    }

    /// None: the zone is gone.
    async fn current(&self, record: &Record) -> Result<Option<Current>, KindError> {
        let at = at(&record.target)?;
        let Some(sets) = self.sets(&at).await? else { return Ok(None) };
        let marks = self.marks(&at, record).await?;
        Ok(Some(Current { sets, mark: marks }))
    }

    /// Sets of that name and type that can be written back exactly. None: the zone is gone.
    async fn sets(&self, at: &At<'_>) -> Result<Option<Vec<RecordSet>>, KindError> {
        let own = |set: &aws_sdk_route53::types::ResourceRecordSet| normal(set.name()) == at.name && set.r#type().as_str() == at.r#type;
        match hosted_zones::records(&self.place.account, at.zone, (at.name, Some(at.r#type)), own).await {
            Err(error) if error.is_not_found() => Ok(None),
            found => Ok(Some(found?.iter().filter_map(RecordSet::read).collect())),
        }
    }

    async fn marks(&self, at: &At<'_>, record: &Record) -> Result<Option<RecordSet>, KindError> {
        // The zone's name is not in the target; the mark's name ends with it, and begins with what only this record has.
        let zone = zone_of(record)?;
        let name = record_mark::name(record, zone);
        let own = |set: &aws_sdk_route53::types::ResourceRecordSet| normal(set.name()) == name;
        let found = hosted_zones::records(&self.place.account, at.zone, (&name, Some("TXT")), own).await?;
        let carried = |mark: &RecordSet| record_mark::carried(mark, &record.target.place, at.zone, Value::Null);
        Ok(found.iter().filter_map(RecordSet::read).find(|mark| carried(mark).is_some_and(|found| found.target == record.target)))
    }

    /// Writes: a batch, as a whole or not at all.
    async fn change(&self, record: &Record, changes: Vec<(ChangeAction, RecordSet)>) -> Result<(), KindError> {
        let zone = at(&record.target)?.zone;
        let batch = batch(&changes, &format!("firedrill run {} step {}", record.run, record.step))?;
        let (known, route53) = (self.changes(zone), self.place.clients().await?.route53);
        let request = route53.change_resource_record_sets().hosted_zone_id(zone).change_batch(batch);
        let turn = known.one_at_a_time.lock().await;
        let answer = self.place.account.write("route53:ChangeResourceRecordSets", request.send()).await;
        drop(turn);
        match answer {
            Err(error) if error.code() == Some("InvalidChangeBatch") => Err(KindError::Conflict(error.to_string())),
            answer => {
                let id = answer?.change_info.map(|info| info.id);
                let mut pending = known.pending.lock().unwrap_or_else(PoisonError::into_inner);
                id.map(|id| pending.insert(record.target.clone(), id.trim_start_matches("/change/").to_owned()));
                Ok(())
            }
        }
    }

    /// Why the last change of this process is not everywhere yet, if it is not.
    async fn pending(&self, target: &TargetId) -> Result<Option<String>, KindError> {
        let known = self.changes(at(target)?.zone);
        let id = known.pending.lock().unwrap_or_else(PoisonError::into_inner).get(target).cloned();
        let Some(id) = id else { return Ok(None) };
        let status = self.place.account.read("route53:GetChange", self.place.clients().await?.route53.get_change().id(&id).send()).await;
        match status {
            Ok(status) if status.change_info().is_some_and(|info| *info.status() == ChangeStatus::Pending) => {
                Ok(Some(format!("change {id} is PENDING: not every name server has it yet")))
            }
            Err(error) if !error.is_not_found() => Err(error.into()),
            _ => {
                known.pending.lock().unwrap_or_else(PoisonError::into_inner).remove(target);
                Ok(None)
            }
        }
    }

    /// Why traffic must not be sent to what stays, one sentence each; and what cannot be known of it.
    async fn survivor(&self, sets: &[RecordSet]) -> Result<(Vec<String>, Vec<String>), KindError> {
        let (mut refusals, mut warnings) = (Vec::new(), Vec::new());
        for name in &self.wanted()?.shift.to.0 {
            let Some(set) = sets.iter().find(|set| set.set_identifier.as_ref() == Some(name)) else {
                refusals.push(format!("there is no weighted set '{name}' to send traffic to"));
                continue;
            };
            if set.weight.unwrap_or_default() == 0 {
                refusals.push(format!("set '{name}' has weight 0: with all weights 0 Route 53 answers with every set"));
            }
            let Some(check) = &set.health_check_id else { continue };
            match health(&self.place, check).await? {
                Health::Good => {}
                Health::Bad(why) => refusals.push(format!("set '{name}': {why}")),
                Health::Unsaid => warnings.push(format!("the health of check {check} of set '{name}' cannot be read: look at it yourself")),
            }
        }
        Ok((refusals, warnings))
    }
}

#[async_trait]
impl Kind for Shift {
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
        let Some(Wanted { shift, .. }) = &self.wanted else { return Needs::default() };
        let may = |action: &str, resource: &str| {
            self.place.account.may(action).on([format!("arn:{}:route53:::{resource}", self.place.account.reference().partition())])
        };
        let by_name = shift.zone.contains('.');
        let zone = if by_name { self.place.account.may("route53:ListHostedZonesByName") } else { self.on_zone("route53:GetHostedZone") };
        access::Needs {
            inject: vec![self.may_change()],
            revert: vec![self.may_change()],
            read: vec![
                zone,
                self.on_zone("route53:ListResourceRecordSets"),
                self.on_zone("route53:ListTagsForResource"),
                may("route53:GetChange", "change/*"),
                may("route53:GetHealthCheck", "healthcheck/*"),
                may("route53:GetHealthCheckStatus", "healthcheck/*"),
            ],
            dead_man: Vec::new(),
        }
        .into()
    }

    /// A batch that deletes what is not there is refused as a whole, and there is no change of that id.
    async fn missing(&self) -> Result<Vec<String>, KindError> {
        let zone = hosted_zones::find(&self.place.account, &self.wanted()?.shift.zone).await?;
        let absent = RecordSet {
            name: format!("asks.{}", record_mark::under(&zone)),
            r#type: "TXT".to_owned(),
            set_identifier: None,
            weight: None,
            ttl: Some(60),
            resource_records: vec![hosted_zones::Content { value: "\"asks\"".to_owned() }],
            alias_target: None,
            health_check_id: None,
        };
        let mut missing = Vec::new();
        for place in [&self.place, &self.place.undoing()] {
            let batch = batch(&[(ChangeAction::Delete, absent.clone())], "firedrill asks whether it may")?;
            let request = place.clients().await?.route53.change_resource_record_sets().hosted_zone_id(&zone.id).change_batch(batch);
            missing.extend(place.account.allows(&self.may_change(), request.send()).await?);
        }
        missing.dedup();
        let change = self.place.clients().await?.route53.get_change().id("CFIREDRILLASKS");
        missing.extend(self.place.account.allows(&self.place.account.may("route53:GetChange"), change.send()).await?);
        Ok(missing)
    }

    async fn examine(&self, records: &[Record]) -> Result<Examined, KindError> {
        let Wanted { places, drill, shift } = self.wanted()?;
        let mut examined = Examined::default();
        for record in records.iter().filter(|record| record.phase != Phase::Noop) {
            let at = at(&record.target)?;
            let sets = self.sets(&at).await?.unwrap_or_default();
            let (refusals, warnings) = self.survivor(&sets).await?;
            examined.refusals.extend(refusals);
            examined.warnings.extend(warnings);
            let tags = tags(&self.place, at.zone).await?;
            if let Some(tag) = protecting(places.environment.protect.as_ref(), &tags) {
                examined.refusals.push(format!("zone {}: tag '{tag}' protects it", at.zone));
            }
            if record_mark::too_long(&record_mark::of(record, zone_of(record)?)) {
                examined.refusals.push("what undoes it does not fit into one TXT record: name fewer sets in one step".to_owned());
            }
            let weights: Vec<String> = changed(&record.prior)
                .iter()
                .map(|set| format!("{} {}", set.set_identifier.as_deref().unwrap_or_default(), set.weight.unwrap_or_default()))
                .collect();
            examined.radius.push(format!(
                "{} of {} record sets of {} {}: {} -> 0",
                weights.len(),
                sets.len(),
                at.name,
                at.r#type,
                weights.join(", ")
            ));
            match changed(&record.prior).iter().filter_map(|set| set.ttl).max() {
                Some(ttl) => examined.warnings.push(format!("resolvers keep the old answer for {} {} for up to {ttl} s (TTL)", at.name, at.r#type)),
                None => examined.warnings.push(format!("{} is an alias: resolvers keep the old answer as long as its target's TTL says", at.name)),
            }
        }
        let home = self.place.account.reference().global_region();
        if drill.failed_region == home {
            examined.warnings.push(format!(
                "Route 53 is changed in {home}, the region that fails here: in a real outage '{}' might not be shifted like this",
                shift.record
            ));
        }
        Ok(examined)
    }

    async fn resolve(&self, _run: &str) -> Result<Vec<TargetId>, KindError> {
        let Wanted { shift, .. } = self.wanted()?;
        let zone: Zone = hosted_zones::find(&self.place.account, &shift.zone).await?;
        let (name, r#type) = (normal(&shift.record), type_name(shift.record_type));
        if name != zone.name && !name.ends_with(&format!(".{}", zone.name)) {
            return Err(KindError::Refused(format!("record '{}' is not in zone {}", shift.record, zone.name)));
        }
        Ok(vec![TargetId { place: self.place.name(), id: format!("{SORT}{}/{name}/{type}", zone.id) }])
    }

    async fn prepare(&self, _run: &str, target: &TargetId, _undo_by: Timestamp) -> Result<Prepared, KindError> {
        let Wanted { shift, .. } = self.wanted()?;
        let at = at(target)?;
        let zone: Zone = hosted_zones::find(&self.place.account, &shift.zone).await?;
        let sets = self.sets(&at).await?.unwrap_or_default();
        let mut prior = Vec::new();
        for name in &shift.from.0 {
            let set = sets.iter().find(|set| set.set_identifier.as_ref() == Some(name));
            let set = set.filter(|set| set.weight.is_some()).ok_or_else(|| {
                let names: Vec<&str> = sets.iter().filter(|set| set.weight.is_some()).filter_map(|set| set.set_identifier.as_deref()).collect();
                let has = if names.is_empty() { "it has none".to_owned() } else { format!("it has: {}", names.join(", ")) };
                KindError::Refused(format!("{} {} has no weighted set '{name}'; {has}", at.name, at.r#type))
            })?;
            prior.push(set.clone());
        }
        prior.retain(|set| set.weight != Some(0));
        let ours: Vec<RecordSet> = prior.iter().cloned().map(|set| RecordSet { weight: Some(0), ..set }).collect();
        let noop = prior.is_empty();
        // The zone's name is where the mark stands.
        let state = |sets: &[RecordSet]| json!({"zone": zone.name, "sets": sets});
        Ok(Prepared { prior: state(&prior), ours: state(&ours), companions: Vec::new(), noop })
    }

    fn invert(&self) -> Value {
        self.place.invert()
    }

    async fn inject(&self, record: &Record) -> Result<(), KindError> {
        let (prior, ours) = (changed(&record.prior), changed(&record.ours));
        let current = self.current(record).await?.ok_or_else(|| KindError::Conflict("the zone is gone".to_owned()))?;
        if current.mark.is_some() && is_there(&ours, &current.sets) {
            return Ok(());
        }
        if !is_there(&prior, &current.sets) {
            return Err(KindError::Conflict(format!("the record sets are not as they were: {}", json!(current.sets))));
        }
        if let Some(why) = self.survivor(&current.sets).await?.0.first() {
            return Err(KindError::Refused(why.clone()));
        }
        let mark = record_mark::of(record, zone_of(record)?);
        self.change(record, exchange(prior, ours, (ChangeAction::Create, mark))).await
    }

    async fn observe(&self, record: &Record) -> Observed {
        let seen = async {
            if let Some(detail) = self.pending(&record.target).await? {
                return Ok(Observed::InTransition { detail });
            }
            let Some(current) = self.current(record).await? else { return Ok(Observed::Absent) };
            Ok::<_, KindError>(if is_there(&changed(&record.ours), &current.sets) {
                Observed::Ours { marked: current.mark.is_some() }
            } else if is_there(&changed(&record.prior), &current.sets) {
                Observed::Prior
            } else if changed(&record.prior).iter().all(|set| !current.sets.iter().any(|one| one.set_identifier == set.set_identifier)) {
                Observed::Absent
            } else {
                Observed::Other { current: json!({"sets": current.sets}) }
            })
        };
        seen.await.unwrap_or_else(|error| Observed::Unreadable { error: error.to_string() })
    }

    async fn revert(&self, record: &Record) -> Result<(), KindError> {
        let (prior, ours) = (changed(&record.prior), changed(&record.ours));
        match self.current(record).await? {
            Some(Current { sets, mark: Some(mark) }) if is_there(&ours, &sets) => {
                self.change(record, exchange(ours, prior, (ChangeAction::Delete, mark))).await
            }
            _ => Ok(()),
        }
    }

    async fn tidy(&self, record: &Record) -> Result<(), KindError> {
        match self.current(record).await? {
            Some(Current { mark: Some(mark), .. }) => self.change(record, vec![(ChangeAction::Delete, mark)]).await,
            _ => Ok(()),
        }
    }

    async fn bite(&self, record: &Record) -> Bite {
        match self.observe(record).await {
            Observed::Ours { .. } => Bite::Verified,
            Observed::InTransition { detail } => Bite::Unproven { why: detail },
            other => Bite::Unproven { why: format!("the weights are not shifted: {other:?}") },
        }
    }

    async fn discover(&self) -> Result<Vec<Record>, KindError> {
        let mut found = Vec::new();
        for zone in hosted_zones::all(&self.place.account).await? {
            let ours = |set: &aws_sdk_route53::types::ResourceRecordSet| record_mark::is_name(&normal(set.name()), &zone);
            let marks = hosted_zones::records(&self.place.account, &zone.id, (&record_mark::under(&zone), None), ours).await?;
            let carried = marks.iter().filter_map(RecordSet::read);
            found.extend(carried.filter_map(|mark| record_mark::carried(&mark, &self.place.name(), &zone.id, self.place.invert())));
        }
        Ok(found.into_iter().filter(|record| record.kind == NAME).collect())
    }

    fn by_hand(&self, record: &Record) -> ByHand {
        let zone = word(at(&record.target).map_or("", |at| at.zone));
        let command = |from: Vec<RecordSet>, to: Vec<RecordSet>| {
            let change = |action: &str, set: RecordSet| json!({"Action": action, "ResourceRecordSet": set});
            let changes = from.into_iter().map(|set| change("DELETE", set)).chain(to.into_iter().map(|set| change("CREATE", set)));
            let batch = json!({"Changes": changes.collect::<Vec<_>>()}).to_string();
            let change = format!("{} route53 change-resource-record-sets --hosted-zone-id {zone} --change-batch {}", self.place.cli(), word(&batch));
            let id = format!("id=$({change} --query ChangeInfo.Id --output text)");
            vec![id, format!("{} route53 wait resource-record-sets-changed --id \"$id\"", self.place.cli())]
        };
        let (prior, ours) = (changed(&record.prior), changed(&record.ours));
        let unmark =
            record_mark::delete_by_hand(&self.place.cli(), &zone, &record_mark::name(record, record.prior["zone"].as_str().unwrap_or_default()));
        ByHand { inject: command(prior.clone(), ours.clone()), undo: command(ours, prior).into_iter().chain(unmark).collect() }
    }
}
