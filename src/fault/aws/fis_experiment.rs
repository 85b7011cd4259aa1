//! `fisExperiment`: an experiment of the AWS Fault Injection Service runs; stopping it is the undo.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_fis::types::{Experiment, ExperimentStatus, ExperimentSummary};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::experiments::{self, Template};
use super::mark;
use super::params::FisExperiment;
use super::place::{self, Place, protecting};
use crate::aws::access::{self, Statement};
use crate::aws::error::CallError;
use crate::clock::{Clock, Timestamp};
use crate::drill::about::{About, Permissions};
use crate::drill::spec::{DrillSpec, Step};
use crate::event::Phase;
use crate::fault::definition::{Definition, Places};
use crate::fault::shell::word;
use crate::fault::{Bite, ByHand, Examined, Expiry, Kind, KindError, Observed, Prepared, Record, TargetId};
use crate::needs::Needs;

const NAME: &str = "fisExperiment";
/// Targets: `template/EXT…`.
const SORT: &str = "template/";
/// An experiment that there is not.
const NONE: &str = "EXPfiredrillasks";

impl Definition for FisExperiment {
    fn limit() -> Duration {
        Duration::from_mins(10)
    }

    fn about() -> Option<About> {
        Some(About {
            mechanism: "StartExperiment with the template, a token of the run (so that it starts once at most) and tags that undo it.",
            undo: "StopExperiment, then waiting until FIS has ended it with the actions' own rollback. FIS ends it by itself where every action of the template \
                   has a duration; else nothing does when firedrill is dead.",
            verified: "FIS says that the experiment runs, and names the resources that it resolved. Whether they are hurt is FIS's word alone: let probes see it. \
                       Against an emulator, whose experiments act on nothing, a run with this fault is inconclusive at best.",
            must_know: &[
                "What an experiment did is undone by FIS, not by firedrill, and only as far as its actions say. Refused: stop-instances without \
                 startInstancesAfterDuration, and actions that end resources for good. Plan names every other action that has no duration.",
                "An experiment that completed within the hold is as it should be, and no loss. One that ended early, by a stop condition or the safety lever, looks \
                 the same: put the stop condition's alarm into `haltWhen` with the awsAlarm probe.",
                "The safety lever is read by plan and again before the start; engaged, nothing starts. Engaged later, FIS ends the experiment itself. Where there is no \
                 such API, plan says `FIS safety lever: not checked`.",
                "A template that was changed between plan and start is refused. So is one whose actions would last beyond `undoBy`.",
                "The experiment and its tags stay in the history of FIS for 120 days; nobody can delete them.",
                "Whoever starts the first experiment of an account needs iam:CreateServiceLinkedRole for fis.amazonaws.com.",
            ],
            permissions: Permissions {
                inject: &["fis:StartExperiment", "fis:TagResource"],
                revert: &["fis:StopExperiment"],
                read: &[
                    "fis:GetExperimentTemplate",
                    "fis:ListExperiments",
                    "fis:GetExperiment",
                    "fis:ListExperimentResolvedTargets",
                    "fis:GetSafetyLever",
                ],
            },
            example: "fisExperiment: {account: main, template: EXT1a2b3c4d5e6f7}",
        })
    }

    fn open(&self, places: &Places, drill: &DrillSpec, _step: &Step) -> Result<Arc<dyn Kind>, KindError> {
        let region = self.region.as_deref().unwrap_or(&drill.failed_region);
        let place = Place::named(places, drill, &self.account, Some(region))?;
        let wanted = Wanted { template: self.template.clone(), places: places.clone() };
        Ok(Arc::new(Experimenting { place, ends: OnceLock::new(), wanted: Some(wanted) }))
    }

    fn reopen(record: &Record, places: &Places) -> Result<Arc<dyn Kind>, KindError> {
        let ends = OnceLock::from(record.ours["endsWithin"].is_u64());
        Ok(Arc::new(Experimenting { place: Place::of_record(record, places)?, ends, wanted: None }))
    }

    fn everywhere(places: &Places) -> Vec<Arc<dyn Kind>> {
        let all = Place::everywhere(places, false).into_iter();
        all.map(|place| Arc::new(Experimenting { place, ends: OnceLock::new(), wanted: None }) as Arc<dyn Kind>).collect()
    }
}

/// The experiments of one region.
#[derive(Debug)]
struct Experimenting {
    place: Place,
    /// Whether the experiment ends by itself; known once its template has been read.
    ends: OnceLock<bool>,
    /// None: opened for undoing.
    wanted: Option<Wanted>,
}

#[derive(Debug)]
struct Wanted {
    template: String,
    places: Places,
}

/// What there is of a record.
enum Seen {
    /// Its experiment, over or not.
    Own(Box<Experiment>),
    /// Another one of its template, which goes on. There was none before the run: it may be ours, with our tags taken off.
    Unmarked(String),
    None,
}

impl Experimenting {
    fn wanted(&self) -> Result<&Wanted, KindError> {
        self.wanted.as_ref().ok_or_else(|| KindError::Failed(format!("'{NAME}' was opened for undoing, not for a step")))
    }

    fn on(&self, action: &str, resources: &[&str]) -> Statement {
        self.place.account.may(action).on(resources.iter().map(|resource| self.place.arn("fis", resource)))
    }

    fn starting(&self, template: &str) -> Statement {
        self.on("fis:StartExperiment", &[&format!("experiment-template/{template}"), "experiment/*"])
    }

    fn tagging(&self) -> Statement {
        mark::tagging(self.on("fis:TagResource", &["experiment/*"]))
    }

    async fn template(&self, id: &str) -> Result<Option<Template>, CallError> {
        experiments::template(&self.place, id).await
    }

    /// Reads: the experiment of a record, as it is now; the one that is not over, if there were several.
    async fn seen(&self, record: &Record) -> Result<Seen, KindError> {
        let all = experiments::list(&self.place, Some(id(&record.target)?)).await?;
        let over = |one: &&ExperimentSummary| experiments::is_over(one.state().and_then(|state| state.status()));
        let (mut own, others): (Vec<_>, Vec<_>) = all.iter().partition(|one| mark::is_on(&experiments::tags(one.tags()), record));
        own.sort_by_key(over);
        let Some(found) = own.first().and_then(|one| one.id()) else {
            let open = others.into_iter().find(|one| !over(one)).and_then(|one| one.id());
            return Ok(open.map_or(Seen::None, |id| Seen::Unmarked(id.to_owned())));
        };
        let request = self.place.clients().await?.fis.get_experiment().id(found);
        let found = self.place.account.read("fis:GetExperiment", request.send()).await?.experiment;
        Ok(found.map_or(Seen::None, |found| Seen::Own(Box::new(found))))
    }
}

#[async_trait]
impl Kind for Experimenting {
    fn name(&self) -> &'static str {
        NAME
    }

    fn expiry(&self) -> Expiry {
        if self.ends.get() == Some(&true) { Expiry::Own } else { Expiry::None }
    }

    fn settle(&self) -> Duration {
        place::SETTLE
    }

    fn momentary(&self) -> bool {
        true
    }

    fn needs(&self) -> Needs {
        let Some(Wanted { template, .. }) = &self.wanted else { return Needs::default() };
        let needs = access::Needs {
            inject: vec![self.starting(template), self.tagging()],
            revert: vec![self.on("fis:StopExperiment", &["experiment/*"])],
            read: vec![
                self.on("fis:GetExperimentTemplate", &[&format!("experiment-template/{template}")]),
                self.place.account.may("fis:ListExperiments"),
                self.on("fis:GetExperiment", &["experiment/*"]),
                self.on("fis:ListExperimentResolvedTargets", &["experiment/*"]),
                self.on("fis:GetSafetyLever", &["safety-lever/*"]),
            ],
            dead_man: Vec::new(),
        };
        needs.into()
    }

    /// FIS has no dry run: it is asked to start with a token that it takes from nobody, and for an experiment that there is not.
    async fn missing(&self) -> Result<Vec<String>, KindError> {
        let template = &self.wanted()?.template;
        let (account, fis) = (&self.place.account, self.place.clients().await?.fis);
        // Whether it ends by itself is said even where something is missing.
        if let Ok(Some(found)) = self.template(template).await {
            let _ = self.ends.set(found.ends().is_some());
        }
        let start = || fis.start_experiment().experiment_template_id(template).client_token("firedrill asks");
        let mut missing: Vec<String> = Vec::new();
        missing.extend(account.allows(&self.starting(template), start().send()).await?);
        if missing.is_empty() {
            missing.extend(account.allows(&self.tagging(), start().tags(mark::RUN, "?").send()).await?);
        }
        missing.extend(account.allows(&self.on("fis:StopExperiment", &["experiment/*"]), fis.stop_experiment().id(NONE).send()).await?);
        missing.extend(account.allows(&self.on("fis:GetExperiment", &["experiment/*"]), fis.get_experiment().id(NONE).send()).await?);
        let resolved = fis.list_experiment_resolved_targets().experiment_id(NONE).send();
        missing.extend(account.allows(&self.on("fis:ListExperimentResolvedTargets", &["experiment/*"]), resolved).await?);
        Ok(missing)
    }

    async fn examine(&self, records: &[Record]) -> Result<Examined, KindError> {
        let Wanted { template: id, places, .. } = self.wanted()?;
        let mut examined = Examined::default();
        let Some(record) = records.iter().find(|record| record.phase != Phase::Noop) else { return Ok(examined) };
        let template = self.template(id).await?.ok_or_else(|| KindError::Conflict(format!("template {id} is gone")))?;
        // The reading that the undo needs too.
        self.seen(record).await?;
        let mut refuse = |why: String| examined.refusals.push(format!("template {id}: {why}"));
        if let Some(tag) = protecting(places.environment.protect.as_ref(), &template.tags) {
            refuse(format!("tag '{tag}' protects it"));
        }
        template.lasting().into_iter().for_each(&mut refuse);
        if let Some(why) = beyond(record) {
            refuse(why);
        }
        match experiments::lever(&self.place).await? {
            experiments::Lever::Free => {}
            experiments::Lever::Engaged(why) => refuse(format!("the FIS safety lever is engaged: {why}")),
            experiments::Lever::NotChecked(why) => examined.warnings.push(format!("FIS safety lever: not checked ({why})")),
        }
        examined.warnings.extend(template.unbounded().into_iter().map(|action| {
            format!("template {id}: action {action} has no duration; stopping the experiment may leave what it did, and nothing ends it when firedrill is dead")
        }));
        if template.unguarded {
            examined.warnings.push(format!("template {id} has no stop condition"));
        }
        if template.accounts > 0 {
            examined.warnings.push(format!("template {id} acts on {} other accounts too", template.accounts));
        }
        examined.radius.push(format!("experiment template {id} of {}: {}", self.place.name(), template.described()));
        Ok(examined)
    }

    async fn resolve(&self, _run: &str) -> Result<Vec<TargetId>, KindError> {
        let id = &self.wanted()?.template;
        let Some(template) = self.template(id).await? else {
            return Err(KindError::Refused(format!("{} has no experiment template {id}", self.place.name())));
        };
        // The same for every reading of this template: a later one changes nothing.
        let _ = self.ends.set(template.ends().is_some());
        Ok(vec![TargetId { place: self.place.name(), id: format!("{SORT}{id}") }])
    }

    async fn prepare(&self, _run: &str, target: &TargetId, _undo_by: Timestamp) -> Result<Prepared, KindError> {
        let id = id(target)?;
        let template = self.template(id).await?.ok_or_else(|| KindError::Conflict(format!("template {id} is gone")))?;
        let all = experiments::list(&self.place, Some(id)).await?;
        let open = all.iter().find(|one| !experiments::is_over(one.state().and_then(|state| state.status())));
        if let Some(run) = open.and_then(|one| mark::run(&experiments::tags(one.tags())).map(str::to_owned)) {
            return Err(KindError::Refused(format!("an experiment of template {id} is still going on for run {run}; `firedrill sweep` shows it")));
        }
        if let Some(open) = open {
            let found = open.id().unwrap_or_default();
            return Err(KindError::Refused(format!(
                "experiment {found} of template {id}, which is not firedrill's, is going on: wait until it is over"
            )));
        }
        Ok(Prepared {
            prior: json!({"experiment": "none"}),
            ours: json!({"experiment": "running", "template": template.changed, "endsWithin": template.ends().map(|ends| ends.as_secs())}),
            companions: Vec::new(),
            noop: false,
        })
    }

    fn invert(&self) -> Value {
        self.place.invert()
    }

    async fn inject(&self, record: &Record) -> Result<(), KindError> {
        let id = id(&record.target)?;
        let template = self.template(id).await?.ok_or_else(|| KindError::Conflict(format!("template {id} is gone")))?;
        if record.ours["template"] != template.changed {
            return Err(KindError::Conflict(format!("template {id} was changed since the plan")));
        }
        if let Some(why) = beyond(record) {
            return Err(KindError::Refused(format!("template {id}: {why}")));
        }
        if let experiments::Lever::Engaged(why) = experiments::lever(&self.place).await? {
            return Err(KindError::Refused(format!("the FIS safety lever is engaged: {why}")));
        }
        let fis = self.place.clients().await?.fis;
        let tags = mark::tags(record).into_iter().collect();
        let request = fis.start_experiment().experiment_template_id(id).client_token(token(record)).set_tags(Some(tags));
        self.place.account.write("fis:StartExperiment", request.send()).await?;
        Ok(())
    }

    async fn observe(&self, record: &Record) -> Observed {
        match self.seen(record).await {
            Ok(Seen::None) => Observed::Prior,
            Ok(Seen::Unmarked(id)) => Observed::Other { current: json!({"experiment": id, "mark": "none"}) },
            Ok(Seen::Own(seen)) => match seen.state().and_then(|state| state.status()) {
                status if experiments::is_over(status) => Observed::Prior,
                Some(ExperimentStatus::Stopping) => Observed::InTransition { detail: "FIS is ending the experiment".to_owned() },
                // Found by its tags: the mark is there.
                _ => Observed::Ours { marked: true },
            },
            Err(error) => Observed::Unreadable { error: error.to_string() },
        }
    }

    async fn revert(&self, record: &Record) -> Result<(), KindError> {
        let Seen::Own(seen) = self.seen(record).await? else { return Ok(()) };
        let status = seen.state().and_then(|state| state.status());
        if experiments::is_over(status) || status == Some(&ExperimentStatus::Stopping) {
            return Ok(());
        }
        let stop = self.place.clients().await?.fis.stop_experiment().id(seen.id().unwrap_or_default());
        match self.place.account.write("fis:StopExperiment", stop.send()).await {
            Err(error) if error.is_not_found() => Ok(()),
            done => Ok(done.map(|_| ())?),
        }
    }

    /// An experiment's tags stay in the history: it cannot be deleted, and is no leftover once it is over.
    async fn tidy(&self, _record: &Record) -> Result<(), KindError> {
        Ok(())
    }

    async fn bite(&self, record: &Record) -> Bite {
        let seen = match self.seen(record).await {
            Ok(Seen::Own(seen)) => seen,
            Ok(_) => return Bite::Unproven { why: "FIS does not list the experiment yet".to_owned() },
            Err(error) => return Bite::Unproven { why: error.to_string() },
        };
        let (id, state) = (seen.id().unwrap_or_default(), seen.state());
        let why = state.and_then(|state| state.reason()).unwrap_or_default();
        match state.and_then(|state| state.status()) {
            Some(ExperimentStatus::Running | ExperimentStatus::Completed) => {}
            Some(status) if experiments::is_over(Some(status)) => return Bite::Unprovable { why: format!("experiment {id} {status}: {why}") },
            status => return Bite::Unproven { why: format!("experiment {id} is {}", status.map_or("in no state", ExperimentStatus::as_str)) },
        }
        if self.place.account.reference().endpoint_url.is_some() {
            return Bite::Unprovable { why: format!("experiment {id} is one of an emulator, which acts on nothing") };
        }
        match experiments::resolved(&self.place, id).await {
            Ok(0) => Bite::Unprovable { why: format!("FIS names no resource that experiment {id} acts on") },
            Ok(_) => Bite::Verified,
            Err(error) => Bite::Unproven { why: error.to_string() },
        }
    }

    async fn discover(&self) -> Result<Vec<Record>, KindError> {
        let all = experiments::list(&self.place, None).await?;
        let open = all.iter().filter(|one| !experiments::is_over(one.state().and_then(|state| state.status())));
        let carried = open.filter_map(|one| {
            let target = TargetId { place: self.place.name(), id: format!("{SORT}{}", one.experiment_template_id().unwrap_or_default()) };
            mark::carried(&experiments::tags(one.tags()), &target, self.place.invert())
        });
        Ok(carried.filter(|record| record.kind == NAME).collect())
    }

    fn by_hand(&self, record: &Record) -> ByHand {
        let (aws, id) = (self.place.cli(), word(id(&record.target).unwrap_or_default()));
        let open = format!(
            "experiments[?tags.\"{}\"=='{}' && (state.status=='pending' || state.status=='initiating' || state.status=='running')].id",
            mark::RUN,
            record.run
        );
        let list = format!("{aws} fis list-experiments --experiment-template-id {id} --query {} --output text", word(&open));
        let tags = mark::tags(record).into_iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",");
        ByHand {
            inject: vec![format!("{aws} fis start-experiment --experiment-template-id {id} --client-token {} --tags {}", token(record), word(&tags))],
            undo: vec![format!("{list} | xargs -r -n 1 {aws} fis stop-experiment --id")],
        }
    }

    fn blank(&self, _run: &str, _step: &str) -> Option<(TargetId, Prepared)> {
        let id = format!("{SORT}{}", self.wanted.as_ref()?.template);
        Some((TargetId { place: self.place.name(), id }, Prepared { prior: Value::Null, ours: Value::Null, companions: Vec::new(), noop: false }))
    }
}

fn id(target: &TargetId) -> Result<&str, KindError> {
    target.id.strip_prefix(SORT).ok_or_else(|| KindError::Failed(format!("{target} is no experiment template")))
}

/// The same for every attempt at a record: FIS starts one experiment for a token.
fn token(record: &Record) -> String {
    let digest = Sha256::digest(format!("{}/{}", record.step, record.target));
    let short: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("firedrill-{}-{short}", record.run)
}

/// Why an experiment that begins now would not have ended by `undoBy`.
fn beyond(record: &Record) -> Option<String> {
    let ends = Duration::from_secs(record.ours["endsWithin"].as_u64()?);
    let now = Clock::system().now();
    (now.plus(ends) > record.undo_by).then(|| format!("its actions may last {} s, which is beyond undoBy: {}", ends.as_secs(), record.undo_by))
}
