//! One step's task: what a fault, an action, a manual step, a pause and a gate each do.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::clock::Timestamp;
use crate::event::{Event, StepKind, StepOutcome};
use crate::plan::PlannedStep;
use crate::probe::Probe;
use crate::probe::watch::until_stable;

use super::forward::Forward;
use super::ledger::Ledger;
use super::log::EventLog;
use super::runner::{GATE_INTERVAL, GATE_TIMEOUT, Message, Setup};
use super::{Answer, World};

/// A step at work.
pub(super) struct Work<'a> {
    pub(super) world: &'a World,
    pub(super) log: &'a EventLog,
    pub(super) ledger: &'a Ledger,
    pub(super) setup: &'a Setup,
    pub(super) run: &'a str,
    pub(super) step: &'a PlannedStep,
    pub(super) limit: Timestamp,
    pub(super) cancel: &'a CancellationToken,
    pub(super) send: &'a mpsc::UnboundedSender<Message>,
}

impl Work<'_> {
    /// Does the step, to its end or to the run's turn.
    pub(super) async fn go(&self) -> StepOutcome {
        let Some(spec) = self.setup.drill.steps.iter().find(|spec| spec.id == self.step.id) else {
            return failed("it is not in the drill");
        };
        match self.step.kind {
            StepKind::Fault | StepKind::Action => {
                let kind = match self.world.kinds.for_step(&self.setup.drill, spec) {
                    Ok(kind) => kind,
                    Err(error) => return failed(&error.to_string()),
                };
                if self.step.kind == StepKind::Fault {
                    let _ = self.send.send(Message::Injecting(self.world.clock.now()));
                }
                let (clock, ledger, log) = (&self.world.clock, self.ledger, self.log);
                let forward = Forward { clock, ledger, log, kind: kind.as_ref(), step: &self.step.id, limit: self.limit, cancel: self.cancel };
                forward.go(self.step.records.clone()).await
            }
            StepKind::Manual => match &spec.manual {
                Some(manual) => self.ask(&manual.role, &manual.instruction).await,
                None => failed("it has no manual part"),
            },
            StepKind::Wait => self.unless_cancelled(self.wait()).await,
            StepKind::Check => match &spec.check {
                Some(check) => match self.world.probes.open(&check.probe, self.run) {
                    Ok(probe) => {
                        let (interval, timeout) = (check.interval.map_or(GATE_INTERVAL, |i| *i), check.timeout.map_or(GATE_TIMEOUT, |t| *t));
                        self.unless_cancelled(self.check(probe.as_ref(), interval, timeout)).await
                    }
                    Err(error) => failed(&error),
                },
                None => failed("it has no check part"),
            },
        }
    }

    async fn wait(&self) -> StepOutcome {
        self.world.clock.sleep_until(self.limit).await;
        StepOutcome::Done
    }

    async fn check(&self, probe: &dyn Probe, interval: Duration, timeout: Duration) -> StepOutcome {
        let clock = &self.world.clock;
        match until_stable(clock, probe, interval, timeout, Duration::ZERO, self.limit.since(clock.now()), |_| {}).await {
            Ok(()) => StepOutcome::Done,
            Err(why) => failed(&format!("the check did not become good: {why}")),
        }
    }

    async fn ask(&self, role: &str, instruction: &str) -> StepOutcome {
        let (step, limit) = (self.step.id.clone(), self.limit);
        self.log.emit(Event::ManualAsked { step: step.clone(), role: role.to_owned(), instruction: instruction.to_owned(), limit }).await;
        self.unless_cancelled(async {
            tokio::select! {
                answer = self.world.people.ask(&step, role, instruction, limit) => match answer {
                    Answer::Done => StepOutcome::Done,
                    Answer::Skip(why) => StepOutcome::Skipped { why },
                    Answer::Failed(why) => failed(&why),
                },
                () = self.world.clock.sleep_until(limit) => failed("nobody confirmed it within its limit"),
            }
        })
        .await
    }

    /// For steps that change nothing: a stop ends them at once.
    async fn unless_cancelled(&self, work: impl Future<Output = StepOutcome>) -> StepOutcome {
        tokio::select! {
            outcome = work => outcome,
            () = self.cancel.cancelled() => StepOutcome::Skipped { why: "the run turned round first".to_owned() },
        }
    }
}

fn failed(why: &str) -> StepOutcome {
    StepOutcome::Failed { why: why.to_owned(), unreachable: false }
}
