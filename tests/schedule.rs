//! `firedrill schedule next`: the coming runs as people and programs read them, from the real binary.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

const ENVIRONMENT: &str = "\
apiVersion: firedrill.dev/v1alpha1
kind: Environment
metadata: {name: staging}
spec:
  freezes: [{from: 2027-01-12, to: 2027-01-13, timeZone: UTC, reason: audit}]
";

const MONTHLY: &str = "\
apiVersion: firedrill.dev/v1alpha1
kind: DrillSchedule
metadata: {name: monthly}
spec:
  drill: evacuate
  environment: staging
  cron: '0 10 * * TUE#2'
  timeZone: America/New_York
  blackouts: [{from: 2026-12-01, to: 2026-12-25, reason: peak weeks}]
";

fn daily(at: &str, more: &str) -> String {
    format!(
        "apiVersion: firedrill.dev/v1alpha1\nkind: DrillSchedule\nmetadata: {{name: daily}}\nspec: \
        {{drill: evacuate, environment: staging, cron: '{at}', timeZone: America/New_York{more}}}\n"
    )
}

fn next(dir: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_firedrill")).current_dir(dir).args(["schedule", "next"]).args(args).output().unwrap()
}

fn said(dir: &Path, args: &[&str]) -> String {
    let output = next(dir, args);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    files.iter().for_each(|(name, text)| std::fs::write(dir.path().join(name), text).unwrap());
    dir
}

#[test]
fn coming_runs_are_shown_in_both_times_and_what_is_taken_away_with_its_reason() {
    let dir = folder(&[("all.yaml", &format!("{MONTHLY}---\n{ENVIRONMENT}"))]);
    let text = said(dir.path(), &["all.yaml", "-n", "3", "--from", "2026-10-10T10:00:00Z"]);
    let expected = "\
monthly: drill evacuate in environment staging, 0 10 * * TUE#2 America/New_York
LOCAL TIME                       UTC                WHEN        NOTE
Tue 2026-10-13 10:00 EDT -04:00  2026-10-13T14:00Z  in 3d 4h
Tue 2026-11-10 10:00 EST -05:00  2026-11-10T15:00Z  in 31d 5h
Tue 2026-12-08 10:00 EST -05:00  2026-12-08T15:00Z  in 59d 5h   NO RUN: blackout (peak weeks)
Tue 2027-01-12 10:00 EST -05:00  2027-01-12T15:00Z  in 94d 5h   NO RUN: freeze (audit)
Tue 2027-02-09 10:00 EST -05:00  2027-02-09T15:00Z  in 122d 5h
";
    assert_eq!(text, expected);
}

#[test]
fn programs_read_the_same() {
    let dir = folder(&[("all.yaml", &format!("{MONTHLY}---\n{ENVIRONMENT}"))]);
    let json: Value =
        serde_json::from_str(&said(dir.path(), &["all.yaml", "-n", "2", "--from", "2026-11-20T00:00:00Z", "--format", "json"])).unwrap();
    let schedule = &json["schedules"][0];
    assert_eq!((&schedule["schedule"], &schedule["suspended"], &schedule["freezesKnown"]), (&"monthly".into(), &false.into(), &true.into()));
    let coming = schedule["coming"].as_array().unwrap();
    let starts: Vec<&str> = coming.iter().filter(|one| one["starts"] == true).map(|one| one["at"].as_str().unwrap()).collect();
    assert_eq!(starts, ["2027-02-09T15:00:00Z", "2027-03-09T15:00:00Z"]);
    assert_eq!(coming[0]["local"], "2026-12-08T10:00:00-05:00");
    assert_eq!(coming[0]["leftOut"]["by"], "blackout");
    assert_eq!(coming[0]["leftOut"]["until"], "2026-12-25T05:00:00Z");
    assert_eq!(coming[1]["leftOut"]["by"], "freeze");
    assert_eq!(coming[1]["leftOut"]["reason"], "audit");
}

#[test]
fn freezes_of_an_environment_in_another_file_count_with_env_and_are_said_to_be_missing_without() {
    let dir = folder(&[("monthly.yaml", MONTHLY), ("staging.yaml", ENVIRONMENT), ("prod.yaml", &ENVIRONMENT.replace("staging", "prod"))]);
    let from = ["--from", "2026-12-30T00:00:00Z", "-n", "1"];
    let without = said(dir.path(), &[&["monthly.yaml"], &from[..]].concat());
    assert!(without.contains("The freezes of environment staging are not counted"), "{without}");
    assert!(without.contains("Tue 2027-01-12 10:00") && !without.contains("NO RUN"), "{without}");
    let with = said(dir.path(), &[&["monthly.yaml", "--env", "staging.yaml"], &from[..]].concat());
    assert!(!with.contains("not counted") && with.contains("NO RUN: freeze (audit)"), "{with}");
    let other = next(dir.path(), &["monthly.yaml", "--env", "prod.yaml"]);
    assert_eq!(other.status.code(), Some(2));
    let error = String::from_utf8(other.stderr).unwrap();
    assert_eq!(error, "firedrill: error: --env is environment 'prod'; what is scheduled here runs in: staging\n");
}

#[test]
fn what_daylight_saving_does_is_said_at_the_run() {
    let dir = folder(&[("skipped.yaml", &daily("30 2 * * *", "")), ("twice.yaml", &daily("30 1 * * *", ""))]);
    let skipped = said(dir.path(), &["skipped.yaml", "-n", "2", "--from", "2026-03-07T12:00:00Z"]);
    let line = skipped.lines().find(|line| line.contains("2026-03-08")).unwrap();
    assert!(line.starts_with("Sun 2026-03-08 03:00 EDT -04:00  2026-03-08T07:00Z"), "{line}");
    assert!(line.ends_with("02:30 does not exist that day (clocks go forward): runs at 03:00"), "{line}");
    assert_eq!(skipped.lines().last(), Some("Mon 2026-03-09 02:30 EDT -04:00  2026-03-09T06:30Z  in 1d 18h"));
    let twice = said(dir.path(), &["twice.yaml", "-n", "2", "--from", "2026-10-31T12:00:00Z"]);
    let line = twice.lines().find(|line| line.contains("2026-11-01")).unwrap();
    assert!(line.ends_with("01:30 comes twice that day (clocks go back): runs the first time only"), "{line}");
    assert_eq!(twice.matches("2026-11-01T").count(), 1, "{twice}");
}

#[test]
fn a_suspended_schedule_says_so_and_a_program_sees_no_start() {
    let dir = folder(&[("daily.yaml", &daily("0 0 * * *", ", suspend: true"))]);
    let text = said(dir.path(), &["daily.yaml", "-n", "1"]);
    assert!(text.contains("SUSPENDED: nothing starts until `suspend` is false."), "{text}");
    let json: Value = serde_json::from_str(&said(dir.path(), &["daily.yaml", "-n", "1", "--format", "json"])).unwrap();
    assert_eq!(json["schedules"][0]["suspended"], true);
    assert_eq!(json["schedules"][0]["coming"][0]["starts"], false);
}

#[test]
fn a_long_blackout_is_one_line_however_often_the_schedule_fires() {
    let blackout = ", blackouts: [{from: 2026-12-01, to: 2026-12-03, reason: peak}]";
    let dir = folder(&[("minutes.yaml", &daily("* * * * *", blackout)), ("days.yaml", &daily("0 8 * * *", blackout))]);
    let text = said(dir.path(), &["minutes.yaml", "-n", "2", "--from", "2026-12-01T04:58:30Z"]);
    let last = "the last Wed 2026-12-02 23:59 EST -05:00";
    assert!(text.contains(&format!("NO RUN: blackout (peak); nor the more than 999 after it, {last}")), "{text}");
    assert_eq!(text.lines().count(), 6, "{text}");
    let text = said(dir.path(), &["days.yaml", "-n", "1", "--from", "2026-12-01T04:58:30Z"]);
    assert!(text.contains("NO RUN: blackout (peak); nor Wed 2026-12-02 08:00 EST -05:00"), "{text}");
}

#[test]
fn every_schedule_of_a_file_is_shown_or_the_one_that_is_named() {
    let dir = folder(&[("two.yaml", &format!("{MONTHLY}---\n{}", daily("0 0 * * *", "")))]);
    let both = said(dir.path(), &["two.yaml", "-n", "1"]);
    assert!(both.contains("monthly: drill") && both.contains("daily: drill"), "{both}");
    let one = said(dir.path(), &["two.yaml#daily", "-n", "1"]);
    assert!(!one.contains("monthly: drill") && one.contains("daily: drill"), "{one}");
    let none = next(dir.path(), &["two.yaml#dayly"]);
    assert_eq!(none.status.code(), Some(2));
    assert!(String::from_utf8(none.stderr).unwrap().contains("no DrillSchedule 'dayly' in this file; did you mean 'daily'?"));
}

#[test]
fn mistakes_are_told_with_their_place() {
    let dir = folder(&[("wrong.yaml", &MONTHLY.replace("0 10 *", "0 25 *")), ("environment.yaml", ENVIRONMENT)]);
    let wrong = next(dir.path(), &["wrong.yaml"]);
    assert_eq!(wrong.status.code(), Some(2));
    let error = String::from_utf8(wrong.stderr).unwrap();
    assert!(error.starts_with("wrong.yaml:7:12: error: hour: '25' is out of range 0-23"), "{error}");
    let none = next(dir.path(), &["environment.yaml"]);
    assert!(String::from_utf8(none.stderr).unwrap().contains("environment.yaml: error: has no document of kind DrillSchedule"));
    let from = next(dir.path(), &["wrong.yaml", "--from", "tomorrow"]);
    assert_eq!(from.status.code(), Some(2));
    assert!(String::from_utf8(from.stderr).unwrap().contains("is no instant; write it with its offset, such as 2026-11-01T00:00:00Z"));
}
