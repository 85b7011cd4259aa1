//! How people play a drill: the document that a plan becomes, for a game day without firedrill at hand, or beside it.
//!
//! | file | says |
//! |---|---|
//! | [`document`] | everything that the templates name, in the order of the page |
//! | [`steps`] | what each step does, and its commands by hand |
//! | [`card`] | the abort card: the commands that undo everything, in order |
//! | [`commands`] | many targets' commands as few lines |
//! | [`fold`] | a long command as lines of paper |
//! | [`reading`] | how a probe is read by hand |
//! | [`timeline`] | who does what when |
//! | [`calendar`] | offsets from the start, and times of day in a zone |
//! | [`texts`] | roles, checklist, why to stop, debrief, glossary |
//! | [`announcements`] | what comms says when, and texts to prepare |
//! | [`outcome`] | what became of it, from the run's record |
//! | [`template`] | the templates, built in or a person's own |
//! | [`markdown`] | how text stands in Markdown |

pub mod announcements;
pub mod calendar;
pub mod card;
pub mod commands;
pub mod document;
pub mod fold;
pub mod markdown;
pub mod outcome;
pub mod reading;
pub mod steps;
pub mod template;
pub mod texts;
pub mod timeline;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::drill::spec::{Drill, DrillSpec, EnvironmentSpec, Manual};
use crate::event::{ObjectiveInfo, Phase, StepKind};
use crate::fault::{ByHand, Expiry};
use crate::plan::Plan;
use crate::report::story::Story;
use crate::score::Scorecard;
use calendar::Start;

/// What a runbook is made of.
pub struct Given<'a> {
    /// The drill; its look-ups are resolved where there is an environment.
    pub drill: &'a Drill,
    /// Where it runs; none makes a runbook with named blanks.
    pub environment: Option<Place<'a>>,
    /// The steps, in file order.
    pub steps: Vec<Step>,
    /// What the plan warns of.
    pub warnings: Vec<String>,
    /// Why the plan would refuse.
    pub refusals: Vec<String>,
    /// How long the steady state is watched.
    pub baseline: Duration,
    /// The objectives.
    pub objectives: Vec<ObjectiveInfo>,
    /// When it starts, if that is known.
    pub start: Option<Start>,
    /// When the runbook was made.
    pub made: Timestamp,
    /// What the commands by hand name what they make after.
    pub run: String,
    /// The commands of firedrill that it shows.
    pub words: Words,
    /// A run that took place, or goes on.
    pub record: Option<(&'a Story, &'a Scorecard)>,
    /// What its journal has of each target, by step and identity.
    pub phases: BTreeMap<(String, String), Phase>,
}

impl Given<'_> {
    /// Whether all of it lives and dies with the command that runs it.
    #[must_use]
    pub fn is_embedded(&self) -> bool {
        self.environment.is_some_and(|place| place.embedded)
    }

    /// What lifts the faults of a run that died and leaves its actions; none where nothing is failed back (`gated` is false), or nothing outlives the run.
    #[must_use]
    pub fn stay(&self, gated: bool) -> Option<String> {
        (gated && !self.is_embedded()).then(|| self.words.sweep_stay())
    }
}

/// Where a drill runs.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it has.
    pub spec: &'a EnvironmentSpec,
    /// It lives and ends with the run's process.
    pub embedded: bool,
}

/// How firedrill is called: words of a shell.
#[derive(Debug, Clone)]
pub struct Words {
    /// `firedrill`, with `--state-dir` where it is not the default.
    pub program: String,
    /// The drill as it was named.
    pub drill: String,
    /// The environment as it was named.
    pub environment: String,
}

/// A step as the runbook needs it.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Step id.
    pub id: String,
    /// What it is.
    pub kind: StepKind,
    /// Kind of fault or action, or `manual`, `wait`, `check`.
    pub name: String,
    /// Its parameters, for people; of a person's step what to do.
    pub summary: String,
    /// Whose step it is, when it is a person's.
    pub role: Option<String>,
    /// Steps it waits for.
    pub after: Vec<String>,
    /// Its limit.
    pub limit: Duration,
    /// The action stays on purpose.
    pub keep: bool,
    /// How its fault goes away when firedrill is dead: `own expiry`, `dead-man`, `no dead-man`.
    pub expiry: Option<String>,
    /// What is touched, in counts and shares.
    pub radius: Vec<String>,
    /// Its targets. Empty: nothing was looked up, or nothing was found.
    pub targets: Vec<Target>,
    /// The commands with named blanks, where there are no targets.
    pub pattern: Option<ByHand>,
}

/// One target.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// As people name it.
    pub name: String,
    /// Its identity, as printed.
    pub identity: String,
    /// In the fault state already: nothing is touched.
    pub noop: bool,
    /// How a person does it.
    pub by_hand: ByHand,
}

impl Step {
    /// The steps of a plan. `named` says how people name a target.
    #[must_use]
    pub fn of_plan(plan: &Plan, drill: &DrillSpec, named: impl Fn(&crate::fault::Record) -> String) -> Vec<Self> {
        let keep = |id: &str| drill.steps.iter().any(|step| step.id == id && step.keep);
        let one = |step: &crate::plan::PlannedStep| Self {
            id: step.id.clone(),
            kind: step.kind,
            name: step.name.clone(),
            summary: manual(drill, &step.id).map_or_else(|| step.summary.clone(), |manual| manual.instruction.clone()),
            role: manual(drill, &step.id).map(|manual| manual.role.clone()),
            after: step.after.clone(),
            limit: step.limit,
            keep: keep(&step.id),
            expiry: step.expiry.map(|expiry| Expiry::text(expiry).to_owned()),
            radius: step.radius.clone(),
            targets: (step.records.iter().zip(&step.by_hand))
                .map(|(record, by_hand)| Target {
                    name: named(record),
                    identity: record.target.to_string(),
                    noop: record.phase == Phase::Noop,
                    by_hand: by_hand.clone(),
                })
                .collect(),
            pattern: step.pattern.clone(),
        };
        plan.steps.iter().map(one).collect()
    }

    /// The steps of a run, as its record has them: how they were undone, or would be, and not how they were injected, which is over.
    #[must_use]
    pub fn of_story(story: &Story, drill: &DrillSpec) -> Vec<Self> {
        let one = |it: &crate::report::story::StepStory| {
            let own = || story.targets.iter().filter(|target| target.step == it.info.id);
            let target = |target: &crate::report::story::TargetStory| Target {
                name: crate::report::words::target(&target.target),
                identity: target.target.clone(),
                noop: target.plan.as_ref().is_some_and(|plan| plan.noop),
                by_hand: ByHand { inject: Vec::new(), undo: target.plan.as_ref().map(|plan| plan.undo_by_hand.clone()).unwrap_or_default() },
            };
            Self {
                id: it.info.id.clone(),
                kind: it.info.kind,
                name: it.info.name.clone(),
                summary: manual(drill, &it.info.id).map_or_else(|| it.info.summary.clone(), |manual| manual.instruction.clone()),
                role: manual(drill, &it.info.id).map(|manual| manual.role.clone()),
                after: it.info.after.clone(),
                limit: *it.info.limit,
                keep: drill.steps.iter().any(|step| step.id == it.info.id && step.keep),
                expiry: own().find_map(|target| target.plan.as_ref()).map(|plan| plan.expiry.clone()).filter(|_| it.info.kind == StepKind::Fault),
                radius: Vec::new(),
                targets: own().map(target).collect(),
                pattern: None,
            }
        };
        story.steps.iter().map(one).collect()
    }

    /// Whether it changes something.
    #[must_use]
    pub fn changes(&self) -> bool {
        matches!(self.kind, StepKind::Fault | StepKind::Action)
    }

    /// Whether the run fails it back.
    #[must_use]
    pub fn fails_back(&self) -> bool {
        self.kind == StepKind::Action && !self.keep
    }
}

fn manual<'a>(drill: &'a DrillSpec, id: &str) -> Option<&'a Manual> {
    drill.steps.iter().find(|step| step.id == id).and_then(|step| step.manual.as_ref())
}

/// `1 target`, `3 targets`.
fn count(n: usize, one: &str) -> String {
    crate::report::words::count(n, one)
}
