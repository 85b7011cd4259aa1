//! A controller on a virtual clock, through downtime, crashes, suspensions, edits, blackouts and freezes: no instant runs twice, and each is run,
//! recorded as missed exactly once, or still to come.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::json;

use super::decide::{Act, Decision, Run, Situation, Standing, decide};
use super::rule::Rule;
use super::rule::tests::at;
use super::state::{Missed, ScheduleState};
use crate::clock::Timestamp;
use crate::drill::spec::{ConcurrencyPolicy, DrillScheduleSpec, Freeze};

const MINUTE: i64 = 60_000_000;

/// What happens to the controller and around it.
#[derive(Debug, Clone)]
enum Event {
    /// The controller lives for so many minutes, and looks whenever it asked to.
    Alive(i64),
    /// It is down for so many minutes.
    Down(i64),
    /// It looks once, and dies after it has acted, before the status is written.
    DiesAfterActing,
    /// It looks once, and its status is written, then again at once.
    LooksTwice,
    Suspend(bool),
    /// The active runs end so.
    RunsEnd(Standing),
    /// What was in place is undone by hand.
    UndoneByHand,
    Cron(usize),
    /// A freeze of the environment from some minutes on, for so many minutes.
    Freeze(i64, i64),
    Thaw,
}

const EXPRESSIONS: [&str; 5] = ["*/17 * * * *", "0 * * * *", "30 1,2 * * *", "*/30 1-3 * * *", "5 */6 * * *"];

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        5 => (1i64..400).prop_map(Event::Alive),
        3 => (1i64..2_000).prop_map(Event::Down),
        3 => Just(Event::DiesAfterActing),
        1 => Just(Event::LooksTwice),
        2 => any::<bool>().prop_map(Event::Suspend),
        3 => prop::sample::select(vec![Standing::Passed, Standing::NotPassed, Standing::StillInPlace]).prop_map(Event::RunsEnd),
        2 => Just(Event::UndoneByHand),
        1 => (0..EXPRESSIONS.len()).prop_map(Event::Cron),
        2 => (-60i64..60, 1i64..600).prop_map(|(from, length)| Event::Freeze(from, length)),
        1 => Just(Event::Thaw),
    ]
}

struct World {
    spec: DrillScheduleSpec,
    freezes: Vec<Freeze>,
    state: ScheduleState,
    runs: Vec<Run>,
    now: Timestamp,
    created: Timestamp,
    /// By name: how often a run was made. The API server takes a name once.
    created_runs: BTreeMap<String, Timestamp>,
    announced: BTreeSet<(Timestamp, u128)>,
    /// Instants that are accounted for by written decisions.
    accounted: u64,
}

impl World {
    fn decide(&self) -> Decision {
        let Self { spec, freezes, state, runs, now, created, .. } = self;
        decide(&Situation { name: "s", uid: "u", created: *created, spec, freezes, state, runs, now: *now }).unwrap()
    }

    /// Does what the decision says, short of writing the status, and checks it.
    fn act(&mut self, decision: &Decision) -> Result<(), TestCaseError> {
        if let Act::Start(run) = &decision.act {
            prop_assert!(!self.spec.suspend, "started while suspended");
            let closed = super::calendar::Calendar::new(&self.spec, &self.freezes);
            prop_assert!(closed.closed_at(self.now).is_none() && closed.closed_at(run.instant).is_none(), "started in a freeze");
            prop_assert!(run.instant <= self.now && self.now <= run.instant.plus(super::decide::STARTING_DEADLINE), "started too early or too late");
            prop_assert!(
                self.runs.iter().all(|other| !matches!(other.standing, Standing::Active | Standing::StillInPlace)),
                "started beside another"
            );
            prop_assert!(!self.created_runs.values().any(|instant| *instant == run.instant), "{} runs twice", run.instant);
            self.created_runs.insert(run.name.clone(), run.instant);
            self.runs.push(Run { name: run.name.clone(), instant: run.instant, standing: Standing::Active });
        }
        if let Act::AbortFirst { runs, .. } = &decision.act {
            prop_assert_eq!(self.spec.concurrency_policy, Some(ConcurrencyPolicy::Replace));
            prop_assert!(!runs.is_empty());
        }
        let deleted = |run: &Run| decision.delete.contains(&run.name);
        prop_assert!(self.runs.iter().filter(|run| deleted(run)).all(|run| matches!(run.standing, Standing::Passed | Standing::NotPassed)));
        self.runs.retain(|run| !deleted(run));
        Ok(())
    }

    /// Writes the status, and checks that every instant between the last one and it is a run or a miss.
    fn write(&mut self, decision: Decision) -> Result<(), TestCaseError> {
        let before = self.state.handled.unwrap_or(self.created);
        let after = decision.state.handled.unwrap_or(self.created);
        prop_assert!(after >= before, "time went back");
        if after > before {
            // The rule that was in force: an edit closes the old one's instants.
            let rule = match &self.state.rule {
                Some(old) => Rule::parse(&old.cron, &old.time_zone).unwrap(),
                None => Rule::of(&self.spec).unwrap(),
            };
            let instants: BTreeSet<Timestamp> = rule.from(before).take_while(|at| *at <= after).collect();
            let run: BTreeSet<Timestamp> = self.created_runs.values().copied().filter(|at| before < *at && *at <= after).collect();
            prop_assert!(run.is_subset(&instants), "a run at no instant");
            prop_assert_eq!(decision.missed.count as usize, instants.len() - run.len(), "instants were lost, or counted twice");
            prop_assert_eq!(decision.state.started - self.state.started, run.len() as u64);
            prop_assert!(!decision.missed.at_least);
            let not_run: Vec<Timestamp> = instants.difference(&run).copied().collect();
            let listed: Vec<Timestamp> = decision.missed.last.iter().map(|miss| miss.instant).collect();
            prop_assert_eq!(&not_run[not_run.len() - listed.len()..], &listed[..], "the wrong instants are listed");
            // Beside runs, of which the list has no place for as many misses.
            prop_assert!(listed.len() + run.len() >= not_run.len().min(super::state::KEPT));
            self.accounted += instants.len() as u64;
        } else {
            prop_assert_eq!(&decision.missed, &Missed::default());
        }
        for one in &decision.announcements {
            prop_assert!(one.instant > self.now, "announced after it began");
            prop_assert!(one.instant <= self.now.plus(*one.lead), "announced too early");
            prop_assert!(self.announced.insert((one.instant, one.lead.as_millis())) || self.state.rule != decision.state.rule, "announced twice");
        }
        self.state = decision.state;
        Ok(())
    }

    fn look(&mut self) -> Result<Option<Timestamp>, TestCaseError> {
        if self.state.rule.is_none() {
            let first = self.decide();
            prop_assert_eq!((&first.act, first.wake), (&Act::Nothing, Some(self.now)));
            self.write(first)?;
        }
        let decision = self.decide();
        let wake = decision.wake;
        self.act(&decision)?;
        self.write(decision)?;
        let again = self.decide();
        prop_assert!(matches!(again.act, Act::Nothing | Act::AbortFirst { .. }), "acts twice at one moment: {:?}", again.act);
        prop_assert_eq!(&again.state, &self.state, "looking again changes something");
        Ok(wake)
    }

    fn happen(&mut self, event: &Event) -> Result<(), TestCaseError> {
        match event {
            Event::Alive(minutes) => {
                let end = Timestamp(self.now.0 + minutes * MINUTE);
                let mut at_once = 0;
                while let Some(wake) = self.look()?.filter(|wake| *wake <= end) {
                    prop_assert!(wake >= self.now, "wants to be woken in the past");
                    at_once = if wake > self.now { 0 } else { at_once + 1 };
                    prop_assert!(at_once < 3, "never sleeps");
                    self.now = wake;
                }
                self.now = end;
            }
            Event::Down(minutes) => self.now = Timestamp(self.now.0 + minutes * MINUTE),
            Event::DiesAfterActing => {
                let decision = self.decide();
                self.act(&decision)?;
            }
            Event::LooksTwice => {
                self.look()?;
                self.look()?;
            }
            Event::Suspend(suspend) => self.spec.suspend = *suspend,
            Event::RunsEnd(standing) => self.runs.iter_mut().filter(|run| run.standing == Standing::Active).for_each(|run| run.standing = *standing),
            Event::UndoneByHand => {
                self.runs.iter_mut().filter(|run| run.standing == Standing::StillInPlace).for_each(|run| run.standing = Standing::NotPassed);
            }
            Event::Cron(index) => {
                self.spec.cron = EXPRESSIONS[*index].to_owned();
                // Announcements of the old rule are no promise of the new one.
                self.announced.clear();
            }
            Event::Freeze(from, length) => {
                let [from, to] = [*from, from + length].map(|minutes| Timestamp(self.now.0 + minutes * MINUTE).to_string());
                self.freezes.push(Freeze { from, to, time_zone: None, reason: "freeze".to_owned() });
            }
            Event::Thaw => self.freezes.clear(),
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_instant_is_run_once_or_recorded_as_missed_once(
        events in prop::collection::vec(event(), 1..60), cron in 0..EXPRESSIONS.len(), replace in any::<bool>(),
        start in prop::sample::select(vec!["2026-03-07T12:00:00Z", "2026-10-31T12:00:00Z", "2026-06-15T00:00:00Z"]),
    ) {
        let blackout = json!([{"from": "2026-03-09", "to": "2026-03-10", "reason": "b"}, {"from": "2026-11-02", "to": "2026-11-03", "reason": "b"}]);
        let policy = if replace { "Replace" } else { "Forbid" };
        let spec = json!({"drill": "d", "environment": "e", "cron": EXPRESSIONS[cron], "timeZone": "America/New_York", "concurrencyPolicy": policy,
            "blackouts": blackout, "announce": ["6h", "1h"], "successfulRunsHistoryLimit": 2, "failedRunsHistoryLimit": 0});
        let now = at(start);
        let mut world = World {
            spec: serde_json::from_value(spec).unwrap(), freezes: Vec::new(), state: ScheduleState::default(), runs: Vec::new(), now, created: now,
            created_runs: BTreeMap::new(), announced: BTreeSet::new(), accounted: 0,
        };
        for event in &events {
            world.happen(event)?;
        }
        // At the end somebody looks, with nothing in the way: what is left lies in the future.
        world.spec.suspend = false;
        world.happen(&Event::RunsEnd(Standing::Passed))?;
        world.look()?;
        world.look()?;
        prop_assert_eq!(world.state.started + world.state.missed.count, world.accounted);
        prop_assert_eq!(world.state.started, world.created_runs.len() as u64);
        let rule = Rule::of(&world.spec).unwrap();
        let handled = world.state.handled.unwrap_or(world.created);
        prop_assert_eq!(rule.from(handled).take_while(|at| *at <= world.now).count(), 0, "an instant of the past is neither run nor missed");
    }
}
