//! One look at a `DrillSchedule`: the pure decision of `drill::schedule`, done, and only then written.

use std::sync::Arc;
use std::time::Duration;

use chrono::{SecondsFormat, TimeZone};
use serde_json::{Value, json};

use super::documents::{Run, environment_of};
use super::drill_run::Trouble;
use super::lead::Operator;
use super::notify::Notice;
use super::object::{Object, set, test};
use super::queue::Again;
use super::resource::Resource;
use super::status::{DrillScheduleStatus, RunPhase};
use super::tell::{self, News, now, owned_by};
use super::{GROUP, VERSION};
use crate::clock::{Timestamp, seconds};
use crate::cluster::error::ApiError;
use crate::drill::schedule::decide::{Act, Decision, Run as Started, Situation, Standing, decide};
use crate::drill::spec::{DrillScheduleSpec, Scheduled};
use crate::event::{Cleanliness, Verdict};

/// The clock on the wall may be set meanwhile: nothing is slept through for longer.
const LONGEST_SLEEP: Duration = Duration::from_mins(5);

type Schedule = Object<DrillScheduleSpec, DrillScheduleStatus>;

impl Operator {
    /// Looks at a schedule.
    pub(super) async fn look_at_schedule(self: &Arc<Self>, name: &str) -> Result<Again, Trouble> {
        let Some(value) = self.stores.schedules.get(name) else { return Ok(Again::Changed) };
        let schedule = Schedule::read(&value).map_err(Trouble::Unread)?;
        if schedule.metadata.deleted() {
            return Ok(Again::Changed);
        }
        let environment = self.stores.environments.get(&schedule.spec.environment);
        let environment = match environment.map(|value| environment_of(&schedule.spec.environment, &value["spec"])) {
            Some(Ok(environment)) => environment,
            // Its freezes are not known: what is due is decided when they are.
            unusable => {
                let why = match unusable {
                    Some(Err(why)) => why,
                    _ => format!("there is no Environment '{}' in this namespace", schedule.spec.environment),
                };
                self.say(&schedule, "EnvironmentUnreadable", &why).await?;
                return Ok(Again::Changed);
            }
        };
        let runs = self.runs_of(&schedule);
        let started: Vec<Started> = runs
            .iter()
            .filter_map(|run| Some(Started { name: run.metadata.name.clone(), instant: run.spec.scheduled.as_ref()?.at, standing: standing(run) }))
            .collect();
        let before = schedule.status.clone().unwrap_or_default();
        let state = before.state.clone().unwrap_or_default();
        let (meta, at) = (&schedule.metadata, now());
        let situation = Situation {
            name: &meta.name,
            uid: &meta.uid,
            created: meta.creation_timestamp,
            spec: &schedule.spec,
            freezes: &environment.spec.freezes,
            state: &state,
            runs: &started,
            now: at,
        };
        let decision = match decide(&situation) {
            Ok(decision) => decision,
            Err(why) => {
                self.say(&schedule, "Invalid", &why).await?;
                return Ok(Again::Changed);
            }
        };
        self.carry_out(&schedule, &runs, &decision).await?;
        self.write_schedule(&schedule, &runs, &decision).await?;
        // After the state: told twice is worse than told late.
        self.announce(&schedule, &decision, at).await;
        let after = |wake: Timestamp| wake.since(now()).min(LONGEST_SLEEP) + Duration::from_millis(1);
        Ok(decision.wake.map_or(Again::Changed, |wake| Again::After(after(wake))))
    }

    fn runs_of(&self, schedule: &Schedule) -> Vec<Run> {
        let of = |value: &Value| value.pointer("/spec/scheduled/uid").and_then(Value::as_str) == Some(&schedule.metadata.uid);
        let mut runs: Vec<Run> = self.stores.runs.all().iter().filter(|value| of(value)).filter_map(|value| Run::read(value).ok()).collect();
        runs.sort_by_key(|run| run.spec.scheduled.as_ref().map(|scheduled| scheduled.at));
        runs
    }

    /// Does what was decided about runs. All of it may be repeated: after a crash it is decided again.
    async fn carry_out(&self, schedule: &Schedule, runs: &[Run], decision: &Decision) -> Result<(), Trouble> {
        let runs_api = Resource::DRILL_RUN.api();
        match &decision.act {
            Act::Nothing => {}
            Act::Start(start) => {
                let (meta, spec) = (&schedule.metadata, &schedule.spec);
                let scheduled = Scheduled { schedule: meta.name.clone(), uid: meta.uid.clone(), at: start.instant };
                let mut object = json!({
                    "apiVersion": format!("{GROUP}/{VERSION}"), "kind": Resource::DRILL_RUN.kind,
                    "metadata": {
                        "name": start.name, "labels": {"firedrill.dev/schedule": meta.name}, "ownerReferences": owned_by(&Resource::DRILL_SCHEDULE, meta),
                    },
                    "spec": {"drill": spec.drill, "environment": spec.environment, "scheduled": scheduled},
                });
                if let Some(who) = &spec.requested_by {
                    object["spec"]["requestedBy"] = json!(who);
                }
                match self.cluster.create(runs_api, Some(&self.namespace), &object).await {
                    Ok(made) => self.stores.runs.put(made),
                    // The run of this schedule and instant is there: an earlier leader made it.
                    Err(ApiError::Conflict { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Act::AbortFirst { runs, .. } => {
                for name in runs {
                    match self.cluster.patch(&runs_api.at(Some(&self.namespace), name), &[set("/spec/abort", &json!(true))]).await {
                        Ok(_) | Err(ApiError::NotFound { .. }) => {}
                        Err(error) => return Err(error.into()),
                    }
                }
            }
        }
        for run in runs.iter().filter(|run| decision.delete.contains(&run.metadata.name)) {
            self.cluster.delete(&runs_api.at(Some(&self.namespace), &run.metadata.name), &run.metadata.uid).await?;
        }
        Ok(())
    }

    async fn write_schedule(&self, schedule: &Schedule, runs: &[Run], decision: &Decision) -> Result<(), Trouble> {
        let before = schedule.status.clone().unwrap_or_default();
        let last = runs.iter().rev().filter_map(|run| run.status.as_ref()).find(|status| status.phase == Some(RunPhase::Over));
        let active = runs.iter().rev().find(|run| standing(run) == Standing::Active).map(|run| run.metadata.name.clone());
        let mut after = DrillScheduleStatus {
            observed_generation: schedule.metadata.generation,
            next: Some(next(&schedule.spec, decision)),
            last_verdict: last.and_then(|status| status.verdict).or(before.last_verdict),
            last_cleanliness: last.and_then(|status| status.cleanliness).or(before.last_cleanliness),
            last_score: last.map_or(before.last_score, |status| status.score),
            active,
            state: Some(decision.state.clone()),
            conditions: before.conditions.clone(),
        };
        let (runs_it, reason, message) =
            if schedule.spec.suspend { (false, "Suspended", "it is suspended") } else { (true, "Scheduled", "runs start by themselves") };
        tell::set(&mut after.conditions, "Running", Some(runs_it), reason, message, schedule.metadata.generation);
        self.put_schedule(schedule, &before, &after).await
    }

    /// A schedule about which nothing can be decided.
    async fn say(&self, schedule: &Schedule, reason: &str, why: &str) -> Result<(), Trouble> {
        let before = schedule.status.clone().unwrap_or_default();
        let mut after = DrillScheduleStatus { next: Some("unknown".to_owned()), observed_generation: schedule.metadata.generation, ..before.clone() };
        tell::set(&mut after.conditions, "Running", Some(false), reason, why, schedule.metadata.generation);
        if after != before {
            self.tell(&Resource::DRILL_SCHEDULE, &schedule.metadata, News::of(reason, true, why)).await;
        }
        self.put_schedule(schedule, &before, &after).await
    }

    async fn put_schedule(&self, schedule: &Schedule, before: &DrillScheduleStatus, after: &DrillScheduleStatus) -> Result<(), Trouble> {
        if before == after {
            return Ok(());
        }
        let operations = [test("/metadata/uid", &json!(schedule.metadata.uid)), set("/status", &json!(after))];
        match self.cluster.patch_status(&Resource::DRILL_SCHEDULE.api().at(Some(&self.namespace), &schedule.metadata.name), &operations).await {
            Ok(written) => {
                self.stores.schedules.put(written);
                Ok(())
            }
            Err(ApiError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn announce(&self, schedule: &Schedule, decision: &Decision, at: Timestamp) {
        let about = |reason, warning, note: String, notice| async move {
            self.tell(&Resource::DRILL_SCHEDULE, &schedule.metadata, News { notice, ..News::of(reason, warning, &note) }).await;
        };
        if let Act::Start(start) = &decision.act {
            about("RunStarted", false, format!("DrillRun '{}' for {}", start.name, seconds(start.instant)), None).await;
        }
        for announcement in &decision.announcements {
            let left = announcement.instant.since(at).as_secs();
            let note = format!(
                "Drill '{}' runs in Environment '{}' at {}, in {}m",
                schedule.spec.drill,
                schedule.spec.environment,
                seconds(announcement.instant),
                left / 60
            );
            about("Announced", false, note, Some(Notice::Announce)).await;
        }
        for miss in &decision.missed.last {
            about(miss.reason.name(), true, format!("the run of {} was missed: {}", seconds(miss.instant), miss.message), None).await;
        }
    }
}

fn standing(run: &Run) -> Standing {
    let Some(status) = run.status.as_ref().filter(|status| status.phase == Some(RunPhase::Over)) else { return Standing::Active };
    if status.in_place.unwrap_or(0) > 0 || status.cleanliness == Some(Cleanliness::StillInPlace) && status.in_place != Some(0) {
        return Standing::StillInPlace;
    }
    if status.verdict == Some(Verdict::Passed) { Standing::Passed } else { Standing::NotPassed }
}

/// The next run in the schedule's zone, or why there is none.
fn next(spec: &DrillScheduleSpec, decision: &Decision) -> String {
    match (decision.next, spec.time_zone.parse::<chrono_tz::Tz>()) {
        _ if spec.suspend => "suspended".to_owned(),
        (Some(at), Ok(zone)) => zone.from_utc_datetime(&at.utc().naive_utc()).to_rfc3339_opts(SecondsFormat::Secs, false),
        (Some(at), Err(_)) => seconds(at),
        // Before the first decision is written it is not computed.
        (None, _) => "unknown".to_owned(),
    }
}
