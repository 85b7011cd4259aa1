//! What a schedule's controller does next: start a run, abort one first, record what was missed, announce, tidy up, and when to look again.
//!
//! The controller calls [`decide`], does what it says, and only then writes [`Decision::state`] to the status. A crash in between repeats the decision:
//! runs have names that follow from the schedule and the instant, so a second creation meets the first, and a run that exists counts as started. Every
//! instant is thus run, recorded as missed exactly once, or still to come; none runs twice.

use std::time::Duration;

use sha2::{Digest, Sha256};

use super::announce::{self, Announcement};
use super::calendar::{Calendar, Closed, Coming, Whose, coming};
use super::rule::Rule;
use super::state::{KEPT, Miss, MissReason, Missed, RuleText, ScheduleState, Started};
use crate::clock::Timestamp;
use crate::drill::spec::{ConcurrencyPolicy, DrillScheduleSpec, Freeze};
use crate::drill::text::DurationText;

/// How late a missed run may start where the schedule does not say.
pub const STARTING_DEADLINE: Duration = Duration::from_mins(10);
/// Finished runs kept where the schedule does not say, of those that passed and of those that did not.
pub const HISTORY_LIMIT: u32 = 10;
/// Instants that are counted at most when nobody looked for long. Beyond it a status says "at least".
pub const MOST_COUNTED: usize = 1_000;
/// Runs that one decision deletes at most; the next goes on.
const MOST_DELETED: usize = 50;
/// Characters of a miss's message.
const LONGEST_MESSAGE: usize = 300;
/// Characters of a schedule's name in the names of its runs.
const LONGEST_PREFIX: usize = 40;

/// What a decision is made from. Nothing else: the same situation has the same decision.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// Name of the schedule.
    pub name: &'a str,
    /// Its uid: a schedule that was deleted and made again is another one, with runs of its own.
    pub uid: &'a str,
    /// When it was created: nothing before is missed.
    pub created: Timestamp,
    /// What it says now.
    pub spec: &'a DrillScheduleSpec,
    /// The freezes of its environment. Where the environment cannot be read, nothing may be decided: what was missed is recorded later.
    pub freezes: &'a [Freeze],
    /// What it remembers.
    pub state: &'a ScheduleState,
    /// All its runs that exist, in any order.
    pub runs: &'a [Run],
    /// The time.
    pub now: Timestamp,
}

/// A run of the schedule, as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Its name.
    pub name: String,
    /// The instant that it was started for.
    pub instant: Timestamp,
    /// How it stands.
    pub standing: Standing,
}

/// How a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Waits for approvals, runs, or is being undone.
    Active,
    /// Over, with everything undone: passed.
    Passed,
    /// Over, with everything undone: any other verdict.
    NotPassed,
    /// Over, and something is still in place. Blocks every start, and is never deleted.
    StillInPlace,
}

/// What is to be done, in this order; `state` is written last.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Decision {
    /// The run.
    pub act: Act,
    /// Instants that are recorded as missed by this decision: how many, and the latest of them. They are in `state` already.
    pub missed: Missed,
    /// What to announce now, the nearest run first.
    pub announcements: Vec<Announcement>,
    /// Names of finished runs beyond the history limits, the oldest first.
    pub delete: Vec<String>,
    /// What to remember. Equal to what was remembered when nothing happened.
    pub state: ScheduleState,
    /// When the next run starts, as far as the calendar says; none while suspended.
    pub next: Option<Timestamp>,
    /// When to decide again at the latest, if no run and no spec changes before; none: only a change calls for it.
    pub wake: Option<Timestamp>,
}

/// What happens to a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Act {
    /// Nothing.
    #[default]
    Nothing,
    /// Create the run for this instant. One of this name that exists already is the same.
    Start(Started),
    /// Ask these runs to abort; the run of this instant starts when they are undone, if that is inside the starting deadline.
    AbortFirst {
        /// The instant that waits.
        instant: Timestamp,
        /// Names of the active runs.
        runs: Vec<String>,
    },
}

/// Decides. The error says what of the spec cannot be read; nothing is then done.
pub fn decide(situation: &Situation<'_>) -> Result<Decision, String> {
    let Situation { spec, now, .. } = *situation;
    let rule = Rule::of(spec)?;
    let calendar = Calendar::new(spec, situation.freezes);
    let mut state = situation.state.clone();
    let written = RuleText::of(spec);
    if state.rule.is_none() {
        // Nothing is done before it is on record by which rule: after a crash and an edit nobody could tell what had been owed.
        let state = ScheduleState { rule: Some(written), handled: Some(state.handled.unwrap_or(situation.created)), ..state };
        return Ok(Decision { state, wake: Some(now), ..Decision::default() });
    }
    let edited = state.rule.as_ref().is_some_and(|old| *old != written);
    let mut outcome = Outcome::default();
    // While it is suspended nothing is written; what was missed is recorded when that ends.
    if edited || !spec.suspend || state.suspended_since.is_none() {
        // A rule in the status that cannot be read was written there by hand: its instants are nobody's.
        let old = state.rule.as_ref().filter(|_| edited).map(|old| Rule::parse(&old.cron, &old.time_zone).ok());
        let due_by = old.as_ref().map_or(Some(&rule), Option::as_ref);
        let floor = state.handled.unwrap_or(situation.created);
        let due = due_by.map_or_else(Due::default, |rule| Due::between(rule, floor, now, situation.runs));
        outcome = Closing { situation, calendar: &calendar, edited }.close(&due);
        state.missed.add(&outcome.missed);
        state.started += outcome.started;
        state.last_run = outcome.last_run.take().or(state.last_run);
        state.handled = outcome.handled.or(state.handled);
        if edited {
            // What the new rule says of the past was never promised.
            state.handled = Some(now.max(floor));
            state.announced.clear();
        }
        state.rule = Some(written);
        state.suspended_since = if spec.suspend { state.suspended_since.or(Some(now)) } else { None };
    }
    let (mut announcements, mut next, mut wake) = (Vec::new(), None, None);
    if !spec.suspend {
        let told = announce::due(&rule, &calendar, spec, &state.announced, now);
        state.announced = told.announced;
        announcements = told.announcements;
        let from = state.handled.map_or(now, |handled| handled.max(now));
        next = coming(&rule, &calendar, from, 1).into_iter().find_map(|one| match one {
            Coming::Start(at) => Some(at),
            Coming::LeftOut { .. } => None,
        });
        // Every instant, those of a blackout too: each is recorded when it has come.
        wake = [rule.next(from), told.wake, outcome.retry].into_iter().flatten().min();
    }
    // By what is on record, not by what this decision adds: a run that is deleted before the status says that it started would be made again.
    let mut delete = beyond_limits(spec, situation.runs, situation.state.handled);
    delete.truncate(MOST_DELETED);
    if beyond_limits(spec, situation.runs, state.handled).len() > delete.len() {
        wake = Some(now);
    }
    Ok(Decision { act: outcome.act, missed: outcome.missed, announcements, delete, state, next, wake })
}

/// The name of a run: the same for the same schedule and instant, another for every other. A DNS label.
#[must_use]
pub fn run_name(schedule: &str, uid: &str, instant: Timestamp) -> String {
    let digest = Sha256::digest(format!("{uid}/{}", instant.0));
    let hash: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let prefix: String = schedule.chars().take(LONGEST_PREFIX).collect();
    format!("{}-{}-{hash}", prefix.trim_end_matches('-'), instant.utc().format("%Y%m%d-%H%M"))
}

/// Instants that have come and are not handled yet.
#[derive(Debug, Default)]
struct Due {
    /// The latest of them, in order.
    latest: Vec<Timestamp>,
    /// How many there are, up to [`MOST_COUNTED`].
    count: usize,
    at_least: bool,
    /// Those that have a run, in order.
    started: Vec<Started>,
}

impl Due {
    /// Those after `after` and not after `until`. Bounded work, however long that is.
    fn between(rule: &Rule, after: Timestamp, until: Timestamp, runs: &[Run]) -> Self {
        let mut latest: Vec<Timestamp> = rule.from(after).take_while(|at| *at <= until).take(MOST_COUNTED + 1).collect();
        let at_least = latest.len() > MOST_COUNTED;
        let count = latest.len().min(MOST_COUNTED);
        // One more than is kept of the missed: the very last may start.
        let some = KEPT + 1;
        if at_least {
            latest = std::iter::successors(rule.last(after, until), |at| rule.last(after, Timestamp(at.0 - 1))).take(some).collect();
            latest.reverse();
        }
        latest.drain(..latest.len().saturating_sub(some));
        // Runs whose creation was not remembered: the process died in between.
        let of_rule = |run: &&Run| after < run.instant && run.instant <= until && rule.next(Timestamp(run.instant.0 - 1)) == Some(run.instant);
        let mut started: Vec<Started> = runs.iter().filter(of_rule).map(|run| Started { instant: run.instant, name: run.name.clone() }).collect();
        started.sort_by_key(|run| run.instant);
        Self { latest, count, at_least, started }
    }
}

/// What became of the instants that were due.
#[derive(Debug, Default)]
struct Outcome {
    act: Act,
    missed: Missed,
    started: u64,
    last_run: Option<Started>,
    handled: Option<Timestamp>,
    retry: Option<Timestamp>,
}

/// What becomes of one instant.
enum Fate {
    Missed(MissReason, String),
    AbortFirst(Vec<String>),
    Start,
}

/// Closes the instants that are due.
struct Closing<'a> {
    situation: &'a Situation<'a>,
    calendar: &'a Calendar,
    edited: bool,
}

impl Closing<'_> {
    fn close(&self, due: &Due) -> Outcome {
        let Situation { name, uid, .. } = *self.situation;
        let Some(latest) = due.latest.last().copied() else { return Outcome::default() };
        let mut outcome =
            Outcome { started: due.started.len() as u64, last_run: due.started.last().cloned(), handled: Some(latest), ..Outcome::default() };
        let mut missed = due.count.saturating_sub(due.started.len()) as u64;
        for at in due.latest.iter().copied().filter(|at| due.started.iter().all(|run| run.instant != *at)) {
            match self.fate(at, latest) {
                Fate::Missed(reason, message) => {
                    let message = message.chars().take(LONGEST_MESSAGE).collect();
                    outcome.missed.last.push(Miss { instant: at, reason, message });
                }
                Fate::Start => {
                    missed -= 1;
                    let run = Started { instant: at, name: run_name(name, uid, at) };
                    outcome.started += 1;
                    outcome.last_run = Some(run.clone());
                    outcome.act = Act::Start(run);
                }
                Fate::AbortFirst(runs) => {
                    missed -= 1;
                    // It stays due; those before it do not.
                    outcome.handled = due.latest.iter().rev().nth(1).copied();
                    outcome.retry = Some(at.plus(self.deadline()).plus(Duration::from_secs(1)));
                    outcome.act = Act::AbortFirst { instant: at, runs };
                }
            }
        }
        outcome.missed.count = missed;
        outcome.missed.at_least = due.at_least;
        let old = outcome.missed.last.len().saturating_sub(KEPT);
        outcome.missed.last.drain(..old);
        outcome
    }

    fn fate(&self, at: Timestamp, latest: Timestamp) -> Fate {
        let Situation { spec, state, now, .. } = *self.situation;
        let suspended = || Fate::Missed(MissReason::Suspended, "the schedule was suspended".to_owned());
        if state.suspended_since.is_some() {
            return suspended();
        }
        if let Some(closed) = self.calendar.closed_at(at) {
            return missed_by(closed);
        }
        let replace = spec.concurrency_policy == Some(ConcurrencyPolicy::Replace);
        let active = self.runs(Standing::Active);
        if at.plus(self.deadline()) < now {
            return match active.first().filter(|_| replace && at == latest) {
                Some(run) => {
                    Fate::Missed(MissReason::RunActive, format!("run {run} was not undone within startingDeadline ({})", self.deadline_text()))
                }
                None => Fate::Missed(MissReason::TooLate, format!("nobody looked until {now}; startingDeadline is {}", self.deadline_text())),
            };
        }
        if spec.suspend {
            return suspended();
        }
        if self.edited {
            return Fate::Missed(MissReason::ScheduleChanged, "the schedule was given another cron or timeZone".to_owned());
        }
        if at < latest {
            return Fate::Missed(MissReason::Superseded, format!("{latest} was due too: only the latest starts"));
        }
        // A run starts now, not then: no freeze may be on now either.
        if let Some(closed) = self.calendar.closed_at(now) {
            return missed_by(closed);
        }
        if let Some(run) = self.runs(Standing::StillInPlace).first() {
            return Fate::Missed(MissReason::StillInPlace, format!("run {run} left something in place"));
        }
        match active.first() {
            None => Fate::Start,
            Some(_) if replace => Fate::AbortFirst(active),
            Some(run) => Fate::Missed(MissReason::RunActive, format!("run {run} was going on")),
        }
    }

    fn runs(&self, standing: Standing) -> Vec<String> {
        self.situation.runs.iter().filter(|run| run.standing == standing).map(|run| run.name.clone()).collect()
    }

    fn deadline(&self) -> Duration {
        self.situation.spec.starting_deadline.map_or(STARTING_DEADLINE, |deadline| *deadline)
    }

    fn deadline_text(&self) -> DurationText {
        DurationText(self.deadline())
    }
}

fn missed_by(closed: &Closed) -> Fate {
    let reason = match closed.whose {
        Whose::Blackout => MissReason::Blackout,
        Whose::Freeze => MissReason::Freeze,
    };
    Fate::Missed(reason, closed.reason.clone())
}

/// Finished runs that are more than the limits keep, the oldest first. Never one whose instant is not handled yet: it would be made again.
fn beyond_limits(spec: &DrillScheduleSpec, runs: &[Run], handled: Option<Timestamp>) -> Vec<String> {
    let limits = [(Standing::Passed, spec.successful_runs_history_limit), (Standing::NotPassed, spec.failed_runs_history_limit)];
    let mut old: Vec<&Run> = Vec::new();
    for (standing, limit) in limits {
        let mut finished: Vec<&Run> = runs.iter().filter(|run| run.standing == standing).collect();
        finished.sort_by(|a, b| b.instant.cmp(&a.instant).then_with(|| a.name.cmp(&b.name)));
        old.extend(
            finished.into_iter().skip(limit.unwrap_or(HISTORY_LIMIT) as usize).filter(|run| handled.is_some_and(|handled| run.instant <= handled)),
        );
    }
    old.sort_by_key(|run| run.instant);
    old.into_iter().map(|run| run.name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use serde_json::json;

    use super::*;
    use crate::drill::schedule::rule::tests::{STEPS, at};

    /// A schedule, and what its controller knows.
    struct World {
        spec: DrillScheduleSpec,
        freezes: Vec<Freeze>,
        state: ScheduleState,
        runs: Vec<Run>,
    }

    impl World {
        fn new(cron: &str, zone: &str, more: serde_json::Value) -> Self {
            let mut spec = json!({"drill": "d", "environment": "e", "cron": cron, "timeZone": zone});
            spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let mut world =
                Self { spec: serde_json::from_value(spec).unwrap(), freezes: Vec::new(), state: ScheduleState::default(), runs: Vec::new() };
            let first = world.act("2026-01-01T00:00:00Z");
            assert_eq!((first.act, first.wake), (Act::Nothing, Some(at("2026-01-01T00:00:00Z"))));
            world
        }

        fn look(&self, now: &str) -> Decision {
            let Self { spec, freezes, state, runs } = self;
            let created = at("2026-01-01T00:00:00Z");
            decide(&Situation { name: "monthly", uid: "uid-1", created, spec, freezes, state, runs, now: at(now) }).unwrap()
        }

        /// Decides, and does as the decision says.
        fn act(&mut self, now: &str) -> Decision {
            let decision = self.look(now);
            if let Act::Start(run) = &decision.act {
                self.runs.push(Run { name: run.name.clone(), instant: run.instant, standing: Standing::Active });
            }
            self.runs.retain(|run| !decision.delete.contains(&run.name));
            self.state = decision.state.clone();
            decision
        }

        fn all_end(&mut self, standing: Standing) {
            self.runs.iter_mut().for_each(|run| run.standing = standing);
        }
    }

    fn started(decision: &Decision) -> Option<Timestamp> {
        match &decision.act {
            Act::Start(run) => Some(run.instant),
            Act::Nothing | Act::AbortFirst { .. } => None,
        }
    }

    fn reasons(decision: &Decision) -> Vec<MissReason> {
        decision.missed.last.iter().map(|miss| miss.reason).collect()
    }

    #[test]
    fn a_run_starts_at_its_instant_once_and_the_controller_sleeps_until_the_next() {
        let mut world = World::new("0 10 * * *", "UTC", json!({}));
        let early = world.act("2026-01-01T09:00:00Z");
        assert_eq!((early.act, early.wake, early.next), (Act::Nothing, Some(at("2026-01-01T10:00:00Z")), Some(at("2026-01-01T10:00:00Z"))));
        let due = world.act("2026-01-01T10:00:00Z");
        assert_eq!(started(&due), Some(at("2026-01-01T10:00:00Z")));
        assert_eq!(due.wake, Some(at("2026-01-02T10:00:00Z")));
        let again = world.act("2026-01-01T10:00:01Z");
        assert_eq!((again.act, again.missed), (Act::Nothing, Missed::default()));
        // Looking writes nothing.
        assert_eq!(again.state, due.state);
        assert_eq!((world.state.started, world.state.missed.count), (1, 0));
    }

    #[test]
    fn a_controller_that_died_between_the_creation_and_the_status_starts_nothing_twice() {
        let mut world = World::new("0 10 * * *", "UTC", json!({}));
        let before = world.state.clone();
        let first = world.act("2026-01-01T10:00:00Z");
        world.state = before;
        // Even after the deadline: the run exists, so it was not missed.
        for now in ["2026-01-01T10:00:05Z", "2026-01-01T11:00:00Z"] {
            let again = world.look(now);
            assert_eq!((&again.act, again.missed.count, again.state.started), (&Act::Nothing, 0, 1));
            assert_eq!(again.state.last_run, first.state.last_run);
        }
        // Where even the run was not seen yet, it is asked for by the same name, which the API server refuses.
        world.runs.clear();
        assert_eq!(world.look("2026-01-01T10:00:05Z").act, first.act);
    }

    #[test]
    fn a_controller_that_was_down_over_200_instants_starts_only_the_latest_and_only_inside_the_deadline() {
        for (now, start) in [("2026-01-09T07:05:00Z", Some("2026-01-09T07:00:00Z")), ("2026-01-09T07:10:01Z", None)] {
            let mut world = World::new("0 * * * *", "UTC", json!({}));
            let back = world.act(now);
            assert_eq!(started(&back), start.map(at));
            let missed = 199 - u64::from(start.is_some());
            assert_eq!((back.missed.count, back.missed.at_least, back.missed.last.len()), (missed, false, KEPT), "{now}");
            assert!(back.missed.last.iter().all(|miss| miss.reason == MissReason::TooLate));
            assert_eq!(world.state.started + world.state.missed.count, 199);
            // Each is recorded once.
            assert_eq!(world.act(now).missed, Missed::default());
        }
    }

    #[test]
    fn of_several_inside_the_deadline_only_the_latest_starts() {
        let mut world = World::new("*/5 * * * *", "UTC", json!({}));
        let back = world.act("2026-01-01T00:16:00Z");
        assert_eq!(started(&back), Some(at("2026-01-01T00:15:00Z")));
        assert_eq!(reasons(&back), [MissReason::TooLate, MissReason::Superseded]);
    }

    #[test]
    fn years_of_downtime_cost_no_more_than_hours() {
        STEPS.with(|steps| steps.set(0));
        let mut world = World::new("* * * * *", "America/New_York", json!({"startingDeadline": "30s", "announce": ["24h", "1h"]}));
        let back = world.act("2036-06-01T00:00:20Z");
        let steps = STEPS.with(Cell::get);
        assert!(steps < 3_000, "the calendar was searched {steps} times");
        assert_eq!(started(&back), Some(at("2036-06-01T00:00:00Z")));
        assert_eq!((back.missed.count, back.missed.at_least, back.missed.last.len()), (MOST_COUNTED as u64 - 1, true, KEPT));
        assert_eq!(back.missed.last[KEPT - 1].instant, at("2036-05-31T23:59:00Z"));
        assert!(serde_json::to_string(&world.state).unwrap().len() < 4_000);
    }

    #[test]
    fn six_months_of_suspension_start_nothing_and_are_recorded_at_the_end() {
        let mut world = World::new("0 10 * * *", "UTC", json!({}));
        world.act("2026-01-01T10:00:00Z");
        world.all_end(Standing::Passed);
        world.spec.suspend = true;
        let suspended = world.act("2026-01-01T12:00:00Z");
        assert_eq!((suspended.wake, suspended.next), (None, None));
        // Nobody writes a status of every schedule that sleeps.
        assert_eq!(world.act("2026-03-01T10:00:00Z").state, suspended.state);
        world.spec.suspend = false;
        // Inside the deadline of the last one: it was suspended all the same.
        let resumed = world.act("2026-07-01T10:05:00Z");
        assert_eq!((&resumed.act, resumed.missed.count), (&Act::Nothing, 181));
        assert!(reasons(&resumed).iter().all(|reason| *reason == MissReason::Suspended));
        assert_eq!(resumed.wake, Some(at("2026-07-02T10:00:00Z")));
        assert_eq!(world.act("2026-07-01T10:06:00Z").missed.count, 0);
        assert_eq!(started(&world.act("2026-07-02T10:00:00Z")), Some(at("2026-07-02T10:00:00Z")));
    }

    #[test]
    fn nothing_starts_in_a_blackout_or_a_freeze_nor_late_into_one() {
        let blackouts = json!([{"from": "2026-01-02", "to": "2026-01-03", "reason": "peak"}]);
        let mut world = World::new("0 10 * * *", "UTC", json!({"blackouts": blackouts}));
        world.freezes =
            vec![serde_json::from_value(json!({"from": "2026-01-03T10:02:00Z", "to": "2026-01-03T12:00:00Z", "reason": "incident"})).unwrap()];
        world.act("2026-01-01T10:00:00Z");
        world.all_end(Standing::Passed);
        let blackout = world.act("2026-01-02T10:00:00Z");
        assert_eq!((&blackout.act, reasons(&blackout)), (&Act::Nothing, vec![MissReason::Blackout]));
        assert_eq!(blackout.missed.last[0].message, "peak");
        // Due before the freeze, looked at in it.
        let freeze = world.act("2026-01-03T10:03:00Z");
        assert_eq!((&freeze.act, reasons(&freeze)), (&Act::Nothing, vec![MissReason::Freeze]));
        assert_eq!(world.state.missed.count, 2);
        // Due in the blackout, looked at when it was over, inside the deadline.
        world.spec.blackouts[0].from = "2026-01-04T09:00:00Z".to_owned();
        world.spec.blackouts[0].to = "2026-01-04T10:01:00Z".to_owned();
        let over = world.act("2026-01-04T10:02:00Z");
        assert_eq!((&over.act, reasons(&over)), (&Act::Nothing, vec![MissReason::Blackout]));
    }

    #[test]
    fn a_freeze_that_cannot_be_read_holds_always() {
        let mut world = World::new("0 10 * * *", "UTC", json!({}));
        world.freezes = vec![serde_json::from_value(json!({"from": "soon", "to": "later", "reason": "peak"})).unwrap()];
        let decision = world.act("2026-01-01T10:00:00Z");
        assert_eq!((&decision.act, reasons(&decision), decision.next), (&Act::Nothing, vec![MissReason::Freeze], None));
    }

    #[test]
    fn forbid_records_the_new_run_as_missed() {
        let mut world = World::new("0 10 * * *", "UTC", json!({}));
        let first = world.act("2026-01-01T10:00:00Z");
        let second = world.act("2026-01-02T10:00:00Z");
        assert_eq!((&second.act, reasons(&second)), (&Act::Nothing, vec![MissReason::RunActive]));
        let Act::Start(run) = first.act else { panic!("nothing was started") };
        assert_eq!(second.missed.last[0].message, format!("run {} was going on", run.name));
        world.all_end(Standing::Passed);
        // It was missed: it does not start when the old run ends.
        assert_eq!(world.act("2026-01-02T10:01:00Z").act, Act::Nothing);
    }

    #[test]
    fn replace_aborts_the_old_run_first_and_waits_for_its_undo() {
        let mut world = World::new("0 10 * * *", "UTC", json!({"concurrencyPolicy": "Replace"}));
        world.act("2026-01-01T10:00:00Z");
        let old = world.runs[0].name.clone();
        let due = at("2026-01-02T10:00:00Z");
        for now in ["2026-01-02T10:00:00Z", "2026-01-02T10:04:00Z"] {
            let waiting = world.act(now);
            assert_eq!(waiting.act, Act::AbortFirst { instant: due, runs: vec![old.clone()] });
            assert_eq!((waiting.missed.count, waiting.wake), (0, Some(at("2026-01-02T10:10:01Z"))));
        }
        let mut too_late = World { spec: world.spec.clone(), freezes: Vec::new(), state: world.state.clone(), runs: world.runs.clone() };
        world.all_end(Standing::NotPassed);
        assert_eq!(started(&world.act("2026-01-02T10:05:00Z")), Some(due));
        // An undo that takes longer than the deadline: the instant is recorded, once.
        let missed = too_late.act("2026-01-02T10:10:01Z");
        assert_eq!((&missed.act, reasons(&missed)), (&Act::Nothing, vec![MissReason::RunActive]));
        too_late.all_end(Standing::NotPassed);
        assert_eq!(too_late.act("2026-01-02T10:10:02Z").missed.count, 0);
    }

    #[test]
    fn nothing_starts_on_top_of_what_is_still_in_place() {
        for policy in ["Forbid", "Replace"] {
            let mut world = World::new("0 10 * * *", "UTC", json!({"concurrencyPolicy": policy, "failedRunsHistoryLimit": 0}));
            world.act("2026-01-01T10:00:00Z");
            world.all_end(Standing::StillInPlace);
            let second = world.act("2026-01-02T10:00:00Z");
            assert_eq!((&second.act, reasons(&second), second.delete.len()), (&Act::Nothing, vec![MissReason::StillInPlace], 0), "{policy}");
        }
    }

    #[test]
    fn another_cron_starts_nothing_of_the_past() {
        let mut world = World::new("0 10 * * *", "UTC", json!({}));
        world.act("2026-01-01T10:00:00Z");
        world.all_end(Standing::Passed);
        // 11:55 would have been inside the deadline.
        world.spec.cron = "55 11 * * *".to_owned();
        let edited = world.act("2026-01-01T12:00:00Z");
        assert_eq!((&edited.act, edited.missed.count, edited.wake), (&Act::Nothing, 0, Some(at("2026-01-02T11:55:00Z"))));
        // What the old rule owed is recorded.
        world.spec.cron = "0 18 * * *".to_owned();
        let edited = world.act("2026-01-02T12:00:00Z");
        assert_eq!((&edited.act, edited.missed.count), (&Act::Nothing, 1));
        world.spec.time_zone = "Europe/Berlin".to_owned();
        let edited = world.act("2026-01-02T18:05:00Z");
        assert_eq!(reasons(&edited), [MissReason::ScheduleChanged]);
    }

    #[test]
    fn a_run_is_announced_once_for_each_lead() {
        let mut world = World::new("0 10 * * MON", "UTC", json!({"announce": ["24h", "1h"]}));
        let monday = at("2026-01-05T10:00:00Z");
        let told = |decision: &Decision| decision.announcements.iter().map(|one| (one.instant, one.lead.to_string())).collect::<Vec<_>>();
        let first = world.act("2026-01-01T00:00:00Z");
        assert_eq!((told(&first), first.wake), (vec![], Some(at("2026-01-04T10:00:00Z"))));
        let day = world.act("2026-01-04T10:00:00Z");
        assert_eq!((told(&day), day.wake), (vec![(monday, "24h".to_owned())], Some(at("2026-01-05T09:00:00Z"))));
        assert_eq!(told(&world.act("2026-01-04T10:00:01Z")), []);
        // Looked at too late for the hour: announced with what is left.
        assert_eq!(told(&world.act("2026-01-05T09:40:00Z")), [(monday, "1h".to_owned())]);
        let started = world.act("2026-01-05T10:00:00Z");
        assert_eq!((told(&started), started.wake), (vec![], Some(at("2026-01-11T10:00:00Z"))));
        // Both leads have come: one announcement, the nearer.
        world.state.announced.clear();
        assert_eq!(told(&world.act("2026-01-12T09:30:00Z")), [(at("2026-01-12T10:00:00Z"), "1h".to_owned())]);
    }

    #[test]
    fn what_will_not_start_is_not_announced() {
        let blackouts = json!([{"from": "2026-01-05", "to": "2026-01-06", "reason": "peak"}]);
        let mut world = World::new("0 10 * * MON", "UTC", json!({"announce": ["24h"], "blackouts": blackouts}));
        let decision = world.act("2026-01-04T12:00:00Z");
        assert_eq!((decision.announcements.len(), decision.next), (0, Some(at("2026-01-12T10:00:00Z"))));
        world.spec.suspend = true;
        assert_eq!(world.act("2026-01-11T12:00:00Z").announcements, []);
        world.spec.suspend = false;
        assert_eq!(world.act("2026-01-11T13:00:00Z").announcements.len(), 1);
    }

    #[test]
    fn history_keeps_the_latest_of_each_sort_and_all_that_is_not_undone() {
        let mut world = World::new("0 10 * * *", "UTC", json!({"successfulRunsHistoryLimit": 2, "failedRunsHistoryLimit": 1}));
        let run = |day: u32, standing: Standing| Run { name: format!("run-{day}"), instant: at(&format!("2026-01-{day:02}T10:00:00Z")), standing };
        let (passed, failed) = (Standing::Passed, Standing::NotPassed);
        world.runs =
            vec![run(3, passed), run(1, passed), run(2, passed), run(4, failed), run(5, failed), run(6, Standing::StillInPlace), run(7, passed)];
        // Not before it is on record that they were started: deleted first, they would be made again after a crash.
        let first = world.act("2026-01-07T10:00:00Z");
        assert_eq!((first.delete.len(), first.wake), (0, Some(at("2026-01-07T10:00:00Z"))));
        let second = world.act("2026-01-07T10:00:00Z");
        assert_eq!((second.delete, second.wake), (["run-1", "run-2", "run-4"].map(str::to_owned).to_vec(), Some(at("2026-01-08T10:00:00Z"))));
        assert_eq!(world.act("2026-01-07T10:00:01Z").delete.len(), 0);
    }

    #[test]
    fn a_clock_that_goes_back_starts_nothing_again() {
        let mut world = World::new("0 10 * * *", "UTC", json!({}));
        world.act("2026-01-02T10:00:00Z");
        world.all_end(Standing::Passed);
        world.runs.clear();
        let back = world.act("2026-01-01T09:00:00Z");
        assert_eq!((back.act, back.missed.count, back.wake), (Act::Nothing, 0, Some(at("2026-01-03T10:00:00Z"))));
    }

    #[test]
    fn names_of_runs_are_labels_that_follow_from_the_schedule_and_the_instant() {
        let instant = at("2026-11-10T15:00:00Z");
        let name = run_name("evacuate-us-east-1-monthly", "uid-1", instant);
        assert_eq!(name, run_name("evacuate-us-east-1-monthly", "uid-1", instant));
        assert!(name.starts_with("evacuate-us-east-1-monthly-20261110-1500-"), "{name}");
        assert_ne!(name, run_name("evacuate-us-east-1-monthly", "uid-2", instant));
        let long = run_name(&format!("{}-{}", "a".repeat(39), "b".repeat(23)), "uid", instant);
        assert!(long.len() <= 63 && long.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'), "{long}");
    }

    #[test]
    fn a_status_is_read_back_as_it_was_written() {
        let mut world = World::new("0 10 * * *", "UTC", json!({"announce": ["24h"]}));
        world.act("2026-01-05T10:05:00Z");
        let text = serde_json::to_string(&world.state).unwrap();
        assert_eq!(serde_json::from_str::<ScheduleState>(&text).unwrap(), world.state);
    }
}
