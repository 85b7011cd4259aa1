//! The dead-man: one-shot schedules of EventBridge Scheduler that undo a fault when firedrill is dead. Armed before the mutation, cancelled after the
//! reading that shows it undone.

use std::time::Duration;

use aws_sdk_scheduler::types::{ActionAfterCompletion, FlexibleTimeWindow, FlexibleTimeWindowMode, Target};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::place::Place;
use crate::aws::access::{Needs, Statement};
use crate::aws::error::CallError;
use crate::clock::Timestamp;
use crate::fault::shell::word;
use crate::fault::{Expiry, KindError, Record};

/// How long after `undoBy` the schedules fire: undo of ours has begun by `undoBy`, and a fault is gone five minutes later (undo.md, I9).
const GRACE: Duration = Duration::from_secs(120);
/// How a companion that is a schedule is named in a record.
const COMPANION: &str = "schedule/";

/// One call of a schedule.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// `ec2:startInstances`: service and operation as the universal target names them.
    pub api: &'static str,
    /// Its input.
    pub input: Value,
}

/// How a fault of this place goes away when firedrill is dead.
pub fn expiry(place: &Place) -> Expiry {
    if role(place).is_some() { Expiry::DeadMan } else { Expiry::None }
}

/// Companions of a record for so many schedules; none without a role. `of` is unique among the targets of the step.
pub fn companions(place: &Place, run: &str, step: &str, of: &str, count: usize) -> Vec<String> {
    let names = (0..count).map(|index| format!("{COMPANION}{}", name(run, step, of, index)));
    names.filter(|_| role(place).is_some()).collect()
}

/// Whether a record has schedules.
pub fn is_armed(record: &Record) -> bool {
    names(record).next().is_some()
}

/// Writes: arms the schedules of a record, whose companions they are. That one is there already is success.
pub async fn arm(place: &Place, record: &Record, calls: Vec<Call>) -> Result<(), KindError> {
    let Some(role) = role(place) else { return Ok(()) };
    let scheduler = place.clients().await?.scheduler;
    for (name, call) in names(record).zip(calls) {
        let target = Target::builder().arn(target_arn(place, call.api)).role_arn(role).input(call.input.to_string()).build();
        let request = scheduler
            .create_schedule()
            .name(name)
            .description(format!("firedrill run {} step {}: undoes it if firedrill cannot", record.run, record.step))
            .schedule_expression(expression(record.undo_by))
            .schedule_expression_timezone("UTC")
            .flexible_time_window(window())
            .action_after_completion(ActionAfterCompletion::Delete)
            .target(target.map_err(|error| KindError::Failed(error.to_string()))?);
        match place.account.write("scheduler:CreateSchedule", request.send()).await {
            Err(error) if error.code() == Some("ConflictException") => {}
            done => done.map(|_| ())?,
        }
    }
    Ok(())
}

/// Writes: cancels the schedules of a record. That one is gone already, or has fired, is success.
pub async fn disarm(place: &Place, record: &Record) -> Result<(), KindError> {
    for name in names(record) {
        let request = place.clients().await?.scheduler.delete_schedule().name(name);
        match place.account.write("scheduler:DeleteSchedule", request.send()).await {
            Err(error) if error.is_not_found() => {}
            done => done.map(|_| ())?,
        }
    }
    Ok(())
}

/// Commands that cancel the schedules of a record by hand. None is there when the fault was made by hand: then they do nothing.
pub fn disarm_by_hand(place: &Place, record: &Record) -> Option<String> {
    let all = names(record).next()?.rsplit_once('-')?.0;
    let aws = place.of_schedules().cli();
    let list = format!("{aws} scheduler list-schedules --name-prefix {} --query {} --output text", word(all), word("Schedules[].[Name]"));
    Some(format!("{list} | xargs -r -n 1 {aws} scheduler delete-schedule --name"))
}

/// Adds what arming and cancelling need, and what the schedules' role does; nothing without a role.
pub fn add_needs(place: &Place, call: Statement, needs: &mut Needs) {
    needs.inject.extend(inject_needs(place));
    needs.revert.extend(revert_needs(place));
    needs.dead_man.extend(role(place).map(|_| call));
}

/// What arming needs.
fn inject_needs(place: &Place) -> Vec<Statement> {
    let Some(role) = role(place) else { return Vec::new() };
    let pass = place.account.may("iam:PassRole").on([role.to_owned()]);
    vec![schedules(place, "scheduler:CreateSchedule"), pass.when("StringEquals", "iam:PassedToService", ["scheduler.amazonaws.com".to_owned()])]
}

/// What cancelling needs.
fn revert_needs(place: &Place) -> Vec<Statement> {
    if role(place).is_some() { vec![schedules(place, "scheduler:DeleteSchedule")] } else { Vec::new() }
}

/// Reads: those of both that are not allowed. Neither call can change anything: the first names a time that there is not, the second a schedule that there
/// is not.
pub async fn missing(place: &Place) -> Result<Vec<String>, CallError> {
    let Some(role) = role(place) else { return Ok(Vec::new()) };
    let scheduler = place.clients().await?.scheduler;
    let target = Target::builder().arn(target_arn(place, "ec2:describeInstances")).role_arn(role).input("{}").build();
    let create =
        scheduler.create_schedule().name("firedrill-asks").schedule_expression("at(never)").flexible_time_window(window()).set_target(target.ok());
    let undoing = place.undoing();
    let delete = undoing.clients().await?.scheduler.delete_schedule().name("firedrill-asks");
    let mut missing = Vec::new();
    for need in inject_needs(place).into_iter().take(1) {
        missing.extend(place.account.allows(&need, create.clone().send()).await?);
    }
    for need in revert_needs(place) {
        missing.extend(undoing.account.allows(&need, delete.clone().send()).await?);
    }
    Ok(missing)
}

fn role(place: &Place) -> Option<&str> {
    place.account.reference().account.dead_man_role_arn.as_deref()
}

fn schedules(place: &Place, action: &str) -> Statement {
    place.account.may(action).on([place.arn("scheduler", "schedule/default/firedrill-*")])
}

/// Universal targets: `arn:aws:scheduler:::aws-sdk:ec2:startInstances`.
fn target_arn(place: &Place, api: &str) -> String {
    format!("arn:{}:scheduler:::aws-sdk:{api}", place.account.reference().partition())
}

fn names(record: &Record) -> impl Iterator<Item = &str> {
    record.companions.iter().filter_map(|companion| companion.strip_prefix(COMPANION))
}

/// Unique among all runs, and at most 64 characters.
fn name(run: &str, step: &str, of: &str, index: usize) -> String {
    let digest = Sha256::digest(format!("{step}/{of}"));
    let short: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("firedrill-{run}-{short}-{index}")
}

fn expression(undo_by: Timestamp) -> String {
    format!("at({})", undo_by.plus(GRACE).utc().format("%Y-%m-%dT%H:%M:%S"))
}

fn window() -> FlexibleTimeWindow {
    FlexibleTimeWindow::builder().mode(FlexibleTimeWindowMode::Off).build().unwrap_or_else(|_| unreachable!("the mode is set"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_have_names_that_the_service_takes_and_fire_after_undo_by() {
        let name = name("01KB2QXW8V5Z3M4N7P9R1S6T8D", "stopped", "instance/i-0123456789abcdef0", 3);
        assert!(name.len() <= 64 && name.starts_with("firedrill-01KB2QXW8V5Z3M4N7P9R1S6T8D-") && name.ends_with("-3"), "{name}");
        assert_ne!(name, super::name("01KB2QXW8V5Z3M4N7P9R1S6T8D", "stopped", "instance/i-1", 3));
        assert_eq!(expression(Timestamp(1_700_000_000_000_000)), "at(2023-11-14T22:15:20)");
    }
}
