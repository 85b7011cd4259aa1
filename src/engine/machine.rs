//! The state machine of a run: one synchronous function from state, input and time to commands. No I/O, no clock reads.
//!
//! ```text
//! Baseline -> Steps -> Hold -> Draining -> Lifting -> Region -> FailingBack -> Settling -> Done
//!      \________\_______\____________^
//! ```
//! Every way to stop leads through `Draining`: no undo begins while a step of the run may still be writing.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::event::{StepOutcome, StopReason};

/// What the machine needs to know of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Script {
    /// The steps, in file order.
    pub steps: Vec<ScriptStep>,
    /// How long the faults stay after the last step is done.
    pub hold: Duration,
    /// Undo has begun by then.
    pub undo_by: Timestamp,
    /// How long fail-back waits for the failed region; none when the drill has no `regionHealthy`.
    pub region_limit: Option<Duration>,
    /// Longest time that the objectives are watched after the last undo.
    pub settle: Duration,
    /// Actions stay on purpose.
    pub skip_failback: bool,
}

/// A step, as far as order goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptStep {
    /// Step id.
    pub id: String,
    /// Indices of the steps it waits for.
    pub after: Vec<usize>,
    /// It makes something that must be failed back.
    pub failback: bool,
}

/// What happened outside.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// The steady state was watched.
    BaselineEnded {
        /// What was not steady; empty when it held.
        problems: Vec<String>,
    },
    /// A step's task ended.
    StepEnded {
        /// Index of the step.
        step: usize,
        /// How.
        outcome: StepOutcome,
    },
    /// Someone or something asks to turn round.
    Stop {
        /// Why.
        reason: StopReason,
        /// A sentence for people.
        detail: String,
    },
    /// Time passed.
    Tick,
    /// The undo of the faults ended.
    FaultsLifted {
        /// Targets still in place.
        left: usize,
    },
    /// The gate of fail-back was answered.
    RegionAnswered {
        /// Whether the failed region is healthy again.
        healthy: bool,
    },
    /// The undo of the actions ended.
    FailedBack,
    /// Every objective has been good for its `stableFor` since the last undo.
    Settled,
}

/// What the runner does next.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Start a step's task.
    StartStep(usize),
    /// Tell every running step to start nothing more.
    CancelSteps,
    /// Record that the run turns round.
    SayStopping(StopReason, String),
    /// Tell people that the undo was asked to hurry, or the watch after it to end.
    SayNote(String),
    /// Record that the hold began.
    SayHold(Timestamp),
    /// Undo the faults.
    LiftFaults,
    /// Ask whether the failed region is healthy, until this instant.
    AskRegion(Timestamp),
    /// Undo the actions.
    FailBack,
    /// Record actions that stay on purpose.
    KeepActions,
    /// Watch the objectives until this instant.
    Settle(Timestamp),
    /// The run is over.
    Finish,
}

/// Where the run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The steady state is watched; nothing was touched.
    Baseline,
    /// Steps go on.
    Steps,
    /// All steps are done.
    Hold(Timestamp),
    /// Turned round; running steps come to their end.
    Draining,
    /// The faults are being lifted.
    Lifting,
    /// Waiting for the failed region.
    Region,
    /// The actions are being undone.
    FailingBack,
    /// The objectives are watched after the last undo.
    Settling(Timestamp),
    /// Over.
    Done,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Waiting,
    Running,
    Passed,
    Ended,
}

/// The state of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Machine {
    script: Script,
    progress: Vec<Progress>,
    stage: Stage,
    stop: Option<StopReason>,
    acted: bool,
    lifting_begun: bool,
}

impl Machine {
    /// A run that is about to watch its steady state.
    #[must_use]
    pub fn new(script: Script) -> Self {
        let progress = vec![Progress::Waiting; script.steps.len()];
        Self { script, progress, stage: Stage::Baseline, stop: None, acted: false, lifting_begun: false }
    }

    /// A run whose process died: its faults are being lifted, and nothing is started again. `acted` when an action may be in place.
    #[must_use]
    pub fn resuming(script: Script, acted: bool) -> Self {
        Self {
            progress: vec![Progress::Ended; script.steps.len()],
            script,
            stage: Stage::Lifting,
            stop: Some(StopReason::Resumed),
            acted,
            lifting_begun: true,
        }
    }

    /// Whether the undo has been started; a run that turned round in its baseline has nothing to undo.
    #[must_use]
    pub fn undo_begun(&self) -> bool {
        self.lifting_begun
    }

    /// Where the run is.
    #[must_use]
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// The most urgent reason to stop so far.
    #[must_use]
    pub fn stop_reason(&self) -> Option<StopReason> {
        self.stop
    }

    /// The next instant at which [`Input::Tick`] is due.
    #[must_use]
    pub fn next_tick(&self) -> Option<Timestamp> {
        match self.stage {
            Stage::Steps => Some(self.script.undo_by),
            Stage::Hold(until) => Some(until.min(self.script.undo_by)),
            Stage::Settling(until) => Some(until),
            Stage::Baseline | Stage::Draining | Stage::Lifting | Stage::Region | Stage::FailingBack | Stage::Done => None,
        }
    }

    /// The one transition function.
    pub fn step(&mut self, input: Input, now: Timestamp) -> Vec<Command> {
        let mut commands = Vec::new();
        match input {
            Input::BaselineEnded { problems } if self.stage == Stage::Baseline => {
                if problems.is_empty() {
                    self.stage = Stage::Steps;
                    self.start_ready(now, &mut commands);
                } else {
                    self.finish(&mut commands);
                }
            }
            Input::StepEnded { step, outcome } => self.step_ended(step, outcome, now, &mut commands),
            Input::Stop { reason, detail } => self.turn_round(reason, detail, &mut commands),
            Input::Tick => self.tick(now, &mut commands),
            Input::FaultsLifted { left } if self.stage == Stage::Lifting => self.faults_lifted(left, now, &mut commands),
            Input::RegionAnswered { healthy } if self.stage == Stage::Region => {
                if healthy {
                    self.stage = Stage::FailingBack;
                    commands.push(Command::FailBack);
                } else {
                    // Evacuated is the safe state: the actions stay, named.
                    self.finish(&mut commands);
                }
            }
            Input::FailedBack if self.stage == Stage::FailingBack => self.settle(now, &mut commands),
            Input::Settled if matches!(self.stage, Stage::Settling(_)) => self.finish(&mut commands),
            // Answers that come after the stage has moved on.
            Input::BaselineEnded { .. } | Input::FaultsLifted { .. } | Input::RegionAnswered { .. } | Input::FailedBack | Input::Settled => {}
        }
        commands
    }

    fn step_ended(&mut self, step: usize, outcome: StepOutcome, now: Timestamp, commands: &mut Vec<Command>) {
        let passes = matches!(outcome, StepOutcome::Done | StepOutcome::Skipped { .. });
        self.progress[step] = if passes { Progress::Passed } else { Progress::Ended };
        // An action that was begun may be in place, however it ended.
        self.acted |= self.script.steps[step].failback;
        match self.stage {
            Stage::Steps => match outcome {
                StepOutcome::Done | StepOutcome::Skipped { .. } => self.start_ready(now, commands),
                StepOutcome::Failed { why, .. } => {
                    let detail = format!("step '{}' could not be done: {why}", self.script.steps[step].id);
                    self.turn_round(StopReason::StepFailed, detail, commands);
                }
            },
            Stage::Draining => self.lift_when_drained(commands),
            Stage::Baseline | Stage::Hold(_) | Stage::Lifting | Stage::Region | Stage::FailingBack | Stage::Settling(_) | Stage::Done => {}
        }
    }

    fn start_ready(&mut self, now: Timestamp, commands: &mut Vec<Command>) {
        for index in 0..self.progress.len() {
            let ready = self.progress[index] == Progress::Waiting
                && self.script.steps[index].after.iter().all(|&before| self.progress[before] == Progress::Passed);
            if ready {
                self.progress[index] = Progress::Running;
                commands.push(Command::StartStep(index));
            }
        }
        if self.progress.iter().all(|&progress| progress == Progress::Passed) {
            let until = now.plus(self.script.hold);
            self.stage = Stage::Hold(until);
            commands.push(Command::SayHold(until));
        }
    }

    fn turn_round(&mut self, reason: StopReason, detail: String, commands: &mut Vec<Command>) {
        if self.stage == Stage::Done {
            return;
        }
        // A failed step while the run already turns round is said by the step itself.
        if self.stop.is_none_or(|before| reason > before) {
            match self.stage {
                Stage::Baseline | Stage::Steps | Stage::Hold(_) | Stage::Draining => commands.push(Command::SayStopping(reason, detail)),
                // The drill is over already: what comes now can hurry its undo, and does not change what it proved.
                Stage::Lifting | Stage::Region | Stage::FailingBack | Stage::Settling(_) | Stage::Done => commands.push(Command::SayNote(detail)),
            }
            self.stop = Some(reason);
        }
        match self.stage {
            Stage::Baseline => self.finish(commands),
            Stage::Steps | Stage::Hold(_) => {
                self.stage = Stage::Draining;
                commands.push(Command::CancelSteps);
                self.lift_when_drained(commands);
            }
            // Whoever asks to stop does not want to wait for the objectives to settle.
            Stage::Settling(_) => self.finish(commands),
            Stage::Draining | Stage::Lifting | Stage::Region | Stage::FailingBack | Stage::Done => {}
        }
    }

    fn tick(&mut self, now: Timestamp, commands: &mut Vec<Command>) {
        match self.stage {
            Stage::Steps | Stage::Hold(_) if now >= self.script.undo_by => {
                self.turn_round(StopReason::UndoBy, "undoing everything now".to_owned(), commands);
            }
            Stage::Hold(until) if now >= until => self.turn_round(StopReason::HoldOver, "undoing everything".to_owned(), commands),
            Stage::Settling(until) if now >= until => self.finish(commands),
            Stage::Baseline
            | Stage::Steps
            | Stage::Hold(_)
            | Stage::Draining
            | Stage::Lifting
            | Stage::Region
            | Stage::FailingBack
            | Stage::Settling(_)
            | Stage::Done => {}
        }
    }

    fn lift_when_drained(&mut self, commands: &mut Vec<Command>) {
        if !self.progress.contains(&Progress::Running) {
            self.stage = Stage::Lifting;
            self.lifting_begun = true;
            commands.push(Command::LiftFaults);
        }
    }

    fn faults_lifted(&mut self, left: usize, now: Timestamp, commands: &mut Vec<Command>) {
        let hurried = self.stop >= Some(StopReason::SecondSignal);
        if left > 0 || (self.acted && hurried && !self.script.skip_failback) {
            // No action is undone while a fault is in place, nor in a hurry.
            return self.finish(commands);
        }
        if self.acted && self.script.skip_failback {
            commands.push(Command::KeepActions);
            return self.settle(now, commands);
        }
        if !self.acted {
            return self.settle(now, commands);
        }
        match self.script.region_limit {
            Some(limit) => {
                self.stage = Stage::Region;
                commands.push(Command::AskRegion(now.plus(limit)));
            }
            // Validation asks for the gate where there are actions; without one nobody can say that the region is healthy.
            None => self.finish(commands),
        }
    }

    fn settle(&mut self, now: Timestamp, commands: &mut Vec<Command>) {
        if self.stop == Some(StopReason::HoldOver) {
            let until = now.plus(self.script.settle);
            self.stage = Stage::Settling(until);
            commands.push(Command::Settle(until));
        } else {
            self.finish(commands);
        }
    }

    fn finish(&mut self, commands: &mut Vec<Command>) {
        self.stage = Stage::Done;
        commands.push(Command::Finish);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: Timestamp = Timestamp(1_000_000_000);

    fn seconds(s: u64) -> Timestamp {
        T.plus(Duration::from_secs(s))
    }

    fn script(steps: &[(&str, &[usize], bool)]) -> Script {
        Script {
            steps: steps
                .iter()
                .map(|(id, after, failback)| ScriptStep { id: (*id).to_owned(), after: after.to_vec(), failback: *failback })
                .collect(),
            hold: Duration::from_secs(10),
            undo_by: seconds(60),
            region_limit: Some(Duration::from_secs(30)),
            settle: Duration::from_secs(5),
            skip_failback: false,
        }
    }

    fn held(machine: &mut Machine) -> Vec<Command> {
        machine.step(Input::BaselineEnded { problems: vec![] }, seconds(0))
    }

    fn done(machine: &mut Machine, step: usize, at: u64) -> Vec<Command> {
        machine.step(Input::StepEnded { step, outcome: StepOutcome::Done }, seconds(at))
    }

    #[test]
    fn steps_start_when_what_they_wait_for_is_done_and_then_the_hold_runs() {
        let mut machine = Machine::new(script(&[("a", &[], false), ("b", &[0], false), ("c", &[0], false), ("d", &[1, 2], false)]));
        assert_eq!(held(&mut machine), [Command::StartStep(0)]);
        assert_eq!(done(&mut machine, 0, 1), [Command::StartStep(1), Command::StartStep(2)]);
        assert_eq!(done(&mut machine, 2, 2), []);
        assert_eq!(done(&mut machine, 1, 3), [Command::StartStep(3)]);
        assert_eq!(done(&mut machine, 3, 4), [Command::SayHold(seconds(14))]);
        assert_eq!(machine.next_tick(), Some(seconds(14)));
        assert!(machine.step(Input::Tick, seconds(14)).contains(&Command::LiftFaults));
        assert_eq!(machine.step(Input::FaultsLifted { left: 0 }, seconds(15)), [Command::Settle(seconds(20))]);
        assert_eq!(machine.step(Input::Settled, seconds(17)), [Command::Finish]);
    }

    #[test]
    fn an_unsteady_baseline_ends_the_run_before_any_step() {
        let mut machine = Machine::new(script(&[("a", &[], false)]));
        assert_eq!(machine.step(Input::BaselineEnded { problems: vec!["bad".into()] }, T), [Command::Finish]);
    }

    #[test]
    fn a_stop_waits_for_running_steps_and_starts_no_other() {
        let mut machine = Machine::new(script(&[("a", &[], false), ("b", &[0], false)]));
        held(&mut machine);
        let stop = machine.step(Input::Stop { reason: StopReason::Signal, detail: String::new() }, seconds(1));
        assert!(stop.contains(&Command::CancelSteps) && !stop.contains(&Command::LiftFaults), "{stop:?}");
        assert_eq!(done(&mut machine, 0, 2), [Command::LiftFaults]);
        assert_eq!(machine.step(Input::FaultsLifted { left: 0 }, seconds(3)), [Command::Finish], "an abort does not settle");
    }

    #[test]
    fn a_stop_in_the_same_tick_as_the_end_of_the_hold_is_still_one_undo() {
        let mut machine = Machine::new(script(&[("a", &[], false)]));
        held(&mut machine);
        done(&mut machine, 0, 0);
        let over = machine.step(Input::Tick, seconds(10));
        let stop = machine.step(Input::Stop { reason: StopReason::Signal, detail: String::new() }, seconds(10));
        assert_eq!(over.iter().chain(&stop).filter(|command| **command == Command::LiftFaults).count(), 1);
    }

    #[test]
    fn a_signal_after_the_hold_hurries_the_undo_and_does_not_call_the_drill_aborted() {
        let mut machine = Machine::new(script(&[("a", &[], false)]));
        held(&mut machine);
        done(&mut machine, 0, 0);
        machine.step(Input::Tick, seconds(10));
        let late = machine.step(Input::Stop { reason: StopReason::Signal, detail: "again".into() }, seconds(11));
        assert_eq!(late, [Command::SayNote("again".into())]);
    }

    #[test]
    fn undo_begins_by_undo_by_whatever_the_steps_do() {
        let mut machine = Machine::new(script(&[("a", &[], false)]));
        held(&mut machine);
        assert_eq!(machine.next_tick(), Some(seconds(60)));
        machine.step(Input::Tick, seconds(60));
        assert_eq!((machine.stage(), machine.stop_reason()), (Stage::Draining, Some(StopReason::UndoBy)));
    }

    fn with_action(hurry: bool) -> Machine {
        let mut machine = Machine::new(script(&[("fault", &[], false), ("shift", &[0], true)]));
        held(&mut machine);
        done(&mut machine, 0, 1);
        done(&mut machine, 1, 2);
        if hurry {
            machine.step(Input::Stop { reason: StopReason::Signal, detail: String::new() }, seconds(3));
            machine.step(Input::Stop { reason: StopReason::SecondSignal, detail: String::new() }, seconds(3));
        } else {
            machine.step(Input::Tick, seconds(12));
        }
        machine
    }

    #[test]
    fn actions_are_failed_back_only_after_every_fault_and_a_healthy_region() {
        let mut machine = with_action(false);
        assert_eq!(machine.step(Input::FaultsLifted { left: 0 }, seconds(13)), [Command::AskRegion(seconds(43))]);
        assert_eq!(machine.step(Input::RegionAnswered { healthy: true }, seconds(14)), [Command::FailBack]);
        assert_eq!(machine.step(Input::FailedBack, seconds(15)), [Command::Settle(seconds(20))]);
    }

    #[test]
    fn actions_stay_when_a_fault_is_left_or_the_region_is_sick_or_in_a_hurry() {
        assert_eq!(with_action(false).step(Input::FaultsLifted { left: 1 }, seconds(13)), [Command::Finish]);
        let mut sick = with_action(false);
        sick.step(Input::FaultsLifted { left: 0 }, seconds(13));
        assert_eq!(sick.step(Input::RegionAnswered { healthy: false }, seconds(43)), [Command::Finish]);
        assert_eq!(with_action(true).step(Input::FaultsLifted { left: 0 }, seconds(13)), [Command::Finish]);
    }
}
