//! What a runbook is made of: a plan, the drill alone, or the record of a run.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::cli::listing::program;
use crate::cli::plan::named;
use crate::cli::prepare::prepare_for;
use crate::cli::report::find;
use crate::cli::session::warn;
use crate::cli::{Context, existing_journal, fail, fail_invalid, fail_journal};
use crate::clock::Timestamp;
use crate::drill::load;
use crate::drill::lookup::{Piece, pieces};
use crate::drill::spec::{Drill, EnvironmentSpec};
use crate::engine::runner::objective_infos;
use crate::event::{ObjectiveInfo, Phase};
use crate::exit::Exit;
use crate::fault::registry::Registry;
use crate::journal::sqlite::Sqlite;
use crate::journal::{Journal, JournalError, RunSummary};
use crate::plan::unresolved;
use crate::prepare::default_baseline;
use crate::probe::params::ProbeSpec;
use crate::probe::{Probe, ProbeSource};
use crate::report::story::{Reader, Story};
use crate::report::summary;
use crate::runbook::calendar::Start;
use crate::runbook::{Given, Place, Step, Words};
use crate::score::{Scorecard, Scorer};

/// What the commands by hand of a runbook without a plan name what they make after.
const BY_HAND: &str = "by-hand";

/// What a runbook is made of, owned.
pub struct Sources {
    drill: Drill,
    environment: Option<(String, EnvironmentSpec, bool)>,
    steps: Vec<Step>,
    warnings: Vec<String>,
    /// Why the plan would refuse.
    pub refusals: Vec<String>,
    baseline: Duration,
    objectives: Vec<ObjectiveInfo>,
    start: Option<Start>,
    made: Timestamp,
    run: String,
    words: Words,
    record: Option<(Story, Scorecard)>,
    phases: BTreeMap<(String, String), Phase>,
}

impl Sources {
    /// As the runbook takes it.
    pub fn given(&self) -> Given<'_> {
        Given {
            drill: &self.drill,
            environment: self.environment.as_ref().map(|(name, spec, embedded)| Place { name, spec, embedded: *embedded }),
            steps: self.steps.clone(),
            warnings: self.warnings.clone(),
            refusals: self.refusals.clone(),
            baseline: self.baseline,
            objectives: self.objectives.clone(),
            start: self.start,
            made: self.made,
            run: self.run.clone(),
            words: self.words.clone(),
            record: self.record.as_ref().map(|(story, card)| (story, card)),
            phases: self.phases.clone(),
        }
    }
}

fn now() -> Timestamp {
    SystemTime::now().into()
}

/// From the plan: everything is looked up, nothing is touched.
pub async fn planned(context: &Context, file: &Path, env: &str, start: Option<Start>) -> Result<Sources, Exit> {
    let made = now();
    if let Some(over) = start.filter(|start| start.instant() < made) {
        warn(&format!("--start {} is over: the deadlines in the commands count from now", over.text()));
    }
    let prepared = prepare_for(file, env, false, start.map(|start| start.instant())).await?;
    let environment = &prepared.opened.environment;
    let document = prepared.setup.header.drill_document.clone();
    let drill: Drill = serde_json::from_value(document).map_err(|error| fail(Exit::Internal, format!("the bound drill: {error}")))?;
    let sources = Sources {
        environment: Some((environment.metadata.name.clone(), environment.spec.clone(), prepared.opened.embedded())),
        steps: Step::of_plan(&prepared.setup.plan, &drill.spec, named),
        warnings: prepared.setup.plan.warnings.clone(),
        refusals: prepared.refusals.iter().map(ToString::to_string).collect(),
        baseline: prepared.setup.baseline,
        objectives: prepared.setup.started.objectives.clone(),
        start,
        made,
        run: prepared.run.clone(),
        words: Words { program: program(context), drill: file.display().to_string(), environment: env.to_owned() },
        record: None,
        phases: BTreeMap::new(),
        drill,
    };
    prepared.opened.close().await;
    Ok(sources)
}

/// From the drill alone.
pub fn unresolved(context: &Context, file: &Path, start: Option<Start>) -> Result<Sources, Exit> {
    let loaded = load::load_drill(file).map_err(|found| fail_invalid(&found))?;
    let mut document = serde_json::to_value(&loaded.value).unwrap_or_default();
    blanks(&mut document);
    let drill: Drill = serde_json::from_value(document).map_err(|error| fail(Exit::Internal, format!("the drill without its look-ups: {error}")))?;
    let kinds = Registry::new(&unresolved::environment(&drill.spec));
    let objectives = objective_infos(&drill.spec, &Described, BY_HAND);
    Ok(Sources {
        environment: None,
        steps: Step::of_plan(&unresolved::plan(BY_HAND, &drill.spec, &kinds), &drill.spec, named),
        warnings: Vec::new(),
        refusals: Vec::new(),
        baseline: drill.spec.baseline.map_or_else(|| default_baseline(&objectives), |length| *length),
        objectives,
        start,
        made: now(),
        run: BY_HAND.to_owned(),
        words: Words { program: program(context), drill: file.display().to_string(), environment: "<environment>".to_owned() },
        record: None,
        phases: BTreeMap::new(),
        drill,
    })
}

/// Look-ups as named blanks: `${endpoints.checkout}` becomes `<endpoints.checkout>`.
fn blanks(tree: &mut Value) {
    match tree {
        Value::String(text) => {
            let parts = pieces(text).unwrap_or_default();
            *text = parts
                .iter()
                .map(|piece| match piece {
                    Piece::Text(text) => (*text).to_owned(),
                    Piece::Name(name) => format!("<{name}>"),
                })
                .collect();
        }
        Value::Array(items) => items.iter_mut().for_each(blanks),
        Value::Object(fields) => fields.values_mut().for_each(blanks),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Probes that are only told, never read: their parameters, as the drill has them.
struct Described;

impl ProbeSource for Described {
    fn open(&self, spec: &ProbeSpec, _run: &str) -> Result<Arc<dyn Probe>, String> {
        let all = serde_json::to_value(spec).unwrap_or_default();
        let told = all.as_object().and_then(|one| one.iter().find(|(_, value)| !value.is_null()));
        Err(told.map_or_else(String::new, |(kind, parameters)| format!("{kind} {parameters}")))
    }
}

/// From the journal: a run that took place, or goes on.
pub async fn recorded(context: &Context, run: &str, zone: Option<&str>) -> Result<Sources, Exit> {
    let journal = existing_journal(context, run).map_err(|error| fail_journal(&error))?;
    let (summary, story, card, phases) = read(context, &journal, run).await.map_err(|error| fail_journal(&error))?;
    let Some(header) = story.header.as_deref() else {
        return Err(fail(Exit::Internal, format!("run '{}' has no events: it died before it began, and touched nothing", summary.header.run)));
    };
    let unreadable = |what: &str, error: serde_json::Error| fail(Exit::Internal, format!("the {what} of run {}: {error}", summary.header.run));
    let drill: Drill = serde_json::from_value(summary.header.drill_document.clone()).map_err(|error| unreadable("drill", error))?;
    let spec = summary.header.environment_document.get("spec").cloned().unwrap_or_default();
    let environment: EnvironmentSpec = serde_json::from_value(spec).map_err(|error| unreadable("environment", error))?;
    let start = Start::at(story.began, zone).map_err(|error| fail(Exit::Usage, format!("--time-zone: {error}")))?;
    let length = story.baseline.as_ref().map(|it| it.until.since(it.began)).or(drill.spec.baseline.map(|length| *length));
    Ok(Sources {
        steps: Step::of_story(&story, &drill.spec),
        warnings: header.plan.warnings.clone(),
        refusals: Vec::new(),
        baseline: length.unwrap_or_default(),
        objectives: header.objectives.clone(),
        start: Some(start),
        made: now(),
        run: header.run.clone(),
        words: Words {
            program: program(context),
            drill: format!("<file of drill {}>", header.drill),
            environment: format!("<file of environment {}>", header.environment),
        },
        environment: Some((header.environment.clone(), environment, summary.header.embedded())),
        record: Some((story, card)),
        phases,
        drill,
    })
}

type Phases = BTreeMap<(String, String), Phase>;

async fn read(context: &Context, journal: &Sqlite, name: &str) -> Result<(RunSummary, Story, Scorecard, Phases), JournalError> {
    let run = find(journal, name).await?;
    // Before the events are read: a run that ends meanwhile says so itself.
    let summary = journal.run(&run).await?;
    let reader = Reader { program: Some(program(context)), alive: summary.alive, gone: summary.header.embedded() && !summary.alive };
    let (mut story, scorer) = journal
        .replay(&run, (Story::default(), Scorer::default()), |(story, scorer), event| {
            story.take(event);
            scorer.take(event);
        })
        .await?;
    story.reader = reader;
    let card = summary::so_far(&story, scorer.card());
    // What is on record of each target, which may be ahead of the events of a run that was killed.
    let records = journal.records(&run).await?;
    let phases = records.into_iter().map(|record| ((record.step, record.target.to_string()), record.phase)).collect();
    Ok((summary, story, card, phases))
}
