//! `report.json`: the run for programs. Field names are stable; a change that could break a reader changes [`FORMAT`].
//!
//! Instants are RFC 3339 in UTC, lengths of time are seconds, shares 0–1, scores and percentages 0–100. Fields may be added.

use std::io;

use serde::Serialize;
use serde_json::Value;

use super::story::Story;
use crate::clock::Timestamp;
use crate::event::{Cleanliness, ObjectiveInfo, Phase, RunEvent, StepInfo, StepOutcome, StopReason, Verdict};
use crate::score::Scorecard;

/// Names the shape of the file.
pub const FORMAT: &str = "firedrill.report/v1";

/// The file.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report<'a> {
    /// [`FORMAT`].
    pub format: &'static str,
    /// firedrill that wrote this file; the one that ran the drill is in `run`.
    pub written_by: &'static str,
    /// What was run.
    pub run: Header<'a>,
    /// A process was running it when this file was written: nothing in it is final.
    pub going_on: bool,
    /// What the process said at its end; null when it was killed, or goes on.
    pub result: Option<Ending<'a>>,
    /// Verdicts, clocks and the score, computed from the events.
    pub scorecard: &'a Scorecard,
    /// When the run did what.
    pub timeline: Timeline<'a>,
    /// The steps, in file order.
    pub steps: Vec<Step<'a>>,
    /// The objectives, in file order.
    pub objectives: Vec<Objective<'a>>,
    /// The undo record: every target, what it was, what we made of it, and its way back.
    pub targets: Vec<Target<'a>>,
    /// Targets that may still be in place.
    pub in_place: Vec<&'a str>,
    /// What the plan warned of.
    pub warnings: &'a [String],
    /// Remarks, in order.
    pub notes: Vec<Note<'a>>,
}

/// What was run.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)] // the fields are those of `RunStarted`
pub struct Header<'a> {
    pub id: &'a str,
    pub firedrill: &'a str,
    pub drill: &'a str,
    pub summary: &'a str,
    pub owner: &'a str,
    pub hypothesis: &'a str,
    pub failed_region: &'a str,
    pub surviving_regions: &'a [String],
    pub environment: &'a str,
    pub drill_hash: &'a str,
    pub environment_hash: &'a str,
    pub hold: f64,
    pub undo_by: f64,
}

/// What the process said at its end.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)] // the fields are those of `Event::RunEnded`
pub struct Ending<'a> {
    pub at: Timestamp,
    pub verdict: Verdict,
    pub cleanliness: Cleanliness,
    pub score: Option<f64>,
    pub exit_code: u8,
    pub reason: &'a str,
}

/// When the run did what; null where it did not.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Timeline<'a> {
    /// First event.
    pub began: Timestamp,
    /// First fault's first inject call.
    pub t0: Option<Timestamp>,
    /// Watch over the steady state: began, ended.
    pub baseline: Option<[Option<Timestamp>; 2]>,
    /// What was not steady.
    pub baseline_problems: &'a [String],
    /// The hold: began, planned end.
    pub hold: Option<[Timestamp; 2]>,
    /// Why the run turned round.
    pub stops: Vec<Stop<'a>>,
    /// Undo began; more than once when it was hurried or resumed.
    pub undo: Vec<Timestamp>,
    /// The faults were lifted.
    pub faults_lifted: Option<Timestamp>,
    /// The failed region answered the gate of fail-back.
    pub region_answered: Option<Timestamp>,
    /// The last undo was done.
    pub undo_ended: Option<Timestamp>,
    /// Last event.
    pub last: Timestamp,
}

/// Why the run turned round.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct Stop<'a> {
    pub at: Timestamp,
    pub reason: StopReason,
    pub detail: &'a str,
}

/// A step.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Step<'a> {
    /// As the drill says it.
    pub info: &'a StepInfo,
    /// When it began.
    pub began: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// How it ended.
    pub outcome: Option<&'a StepOutcome>,
    /// First inject call.
    pub inject_sent: Option<Timestamp>,
    /// Verified in effect.
    pub verified: Option<Timestamp>,
    /// Why it was not verified.
    pub problem: Option<&'a str>,
}

/// An objective.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Objective<'a> {
    /// As the drill says it.
    pub info: &'a ObjectiveInfo,
    /// Readings that said good (of a detection: that it fires).
    pub good: u64,
    /// Readings that said bad.
    pub bad: u64,
    /// Readings that said nothing.
    pub unknown: u64,
}

/// A target and its undo record.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Target<'a> {
    /// Step id.
    pub step: &'a str,
    /// Identity, as printed.
    pub target: &'a str,
    /// True for an action's target.
    pub action: bool,
    /// State before; null when the plan did not know the target.
    pub prior: Option<&'a Value>,
    /// State that was intended.
    pub ours: Option<&'a Value>,
    /// How it goes away when firedrill is dead.
    pub expiry: Option<&'a str>,
    /// Was in the fault state before.
    pub noop: bool,
    /// How a person undoes it by hand.
    pub undo_by_hand: &'a [String],
    /// Where its record ended.
    pub phase: Phase,
    /// Its phases, in order.
    pub phases: Vec<PhaseChange<'a>>,
}

/// One phase of a target.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct PhaseChange<'a> {
    pub at: Timestamp,
    pub phase: Phase,
    pub detail: Option<&'a str>,
}

/// A remark.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub struct Note<'a> {
    pub at: Timestamp,
    pub text: &'a str,
}

impl<'a> Report<'a> {
    /// The file's content.
    ///
    /// # Errors
    /// When the stream has no header.
    pub fn new(story: &'a Story, scorecard: &'a Scorecard) -> io::Result<Self> {
        let header = story.header.as_deref().ok_or_else(super::files::headless)?;
        Ok(Self {
            format: FORMAT,
            written_by: env!("CARGO_PKG_VERSION"),
            run: Header {
                id: &header.run,
                firedrill: &header.firedrill,
                drill: &header.drill,
                summary: &header.summary,
                owner: &header.owner,
                hypothesis: &header.hypothesis,
                failed_region: &header.failed_region,
                surviving_regions: &header.surviving_regions,
                environment: &header.environment,
                drill_hash: &header.drill_hash,
                environment_hash: &header.environment_hash,
                hold: header.hold.as_secs_f64(),
                undo_by: header.undo_by.as_secs_f64(),
            },
            going_on: story.going_on(),
            result: story.ended.as_ref().map(|end| Ending {
                at: end.at,
                verdict: end.verdict,
                cleanliness: end.cleanliness,
                score: end.score,
                exit_code: end.exit_code,
                reason: &end.reason,
            }),
            scorecard,
            timeline: timeline(story),
            steps: steps(story),
            objectives: objectives(story),
            targets: targets(story),
            in_place: story.in_place().map(|target| target.target.as_str()).collect(),
            warnings: &header.plan.warnings,
            notes: story.notes.iter().map(|(at, text)| Note { at: *at, text }).collect(),
        })
    }
}

fn timeline(story: &Story) -> Timeline<'_> {
    Timeline {
        began: story.began,
        t0: story.t0(),
        baseline: story.baseline.as_ref().map(|it| [Some(it.began), it.ended]),
        baseline_problems: story.baseline.as_ref().map_or(&[], |it| &it.problems),
        hold: story.hold.map(|(began, until)| [began, until]),
        stops: story.stops.iter().map(|(at, reason, detail)| Stop { at: *at, reason: *reason, detail }).collect(),
        undo: story.undo.iter().map(|(at, _)| *at).collect(),
        faults_lifted: story.lifted.as_ref().map(|(at, _)| *at),
        region_answered: story.region_healthy.as_ref().map(|(at, ..)| *at),
        undo_ended: story.undone.as_ref().map(|it| it.at),
        last: story.last,
    }
}

fn steps(story: &Story) -> Vec<Step<'_>> {
    story
        .steps
        .iter()
        .map(|it| Step {
            info: &it.info,
            began: it.began,
            ended: it.ended.as_ref().map(|(at, _)| *at),
            outcome: it.ended.as_ref().map(|(_, outcome)| outcome),
            inject_sent: it.sent,
            verified: it.verified.as_ref().filter(|(_, problem)| problem.is_none()).map(|(at, _)| *at),
            problem: it.verified.as_ref().and_then(|(_, problem)| problem.as_deref()),
        })
        .collect()
}

fn objectives(story: &Story) -> Vec<Objective<'_>> {
    story.objectives.iter().map(|it| Objective { info: &it.info, good: it.counts[0], bad: it.counts[1], unknown: it.counts[2] }).collect()
}

fn targets(story: &Story) -> Vec<Target<'_>> {
    story
        .targets
        .iter()
        .map(|it| {
            let plan = it.plan.as_ref();
            Target {
                step: &it.step,
                target: &it.target,
                action: it.action,
                prior: plan.map(|plan| &plan.prior),
                ours: plan.map(|plan| &plan.ours),
                expiry: plan.map(|plan| plan.expiry.as_str()),
                noop: plan.is_some_and(|plan| plan.noop),
                undo_by_hand: plan.map_or(&[], |plan| &plan.undo_by_hand),
                phase: it.phase(),
                phases: it.phases.iter().map(|(at, phase, detail)| PhaseChange { at: *at, phase: *phase, detail: detail.as_deref() }).collect(),
            }
        })
        .collect()
}

/// The file of these events as text.
///
/// # Errors
/// When the stream has no header.
pub fn render(events: &[RunEvent], scorecard: &Scorecard) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    write(&Story::of(events), scorecard, &mut out)?;
    Ok(out)
}

/// Writes the file as it is made: a long run's list of severities is large.
///
/// # Errors
/// When the stream has no header, or `out` takes no more.
pub fn write(story: &Story, scorecard: &Scorecard, mut out: impl io::Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut out, &Report::new(story, scorecard)?)?;
    out.write_all(b"\n")
}
