//! What refuses a run before anything is touched, and what manual steps and halt conditions do; each with the real binary.

use rustix::process::Signal;

use crate::bench::{Bench, Done};

/// The bench's environment with `fields` added to its spec.
fn environment(bench: &Bench, fields: &str) -> String {
    let text = std::fs::read_to_string(bench.path("env.yaml")).unwrap();
    let path = bench.path("changed.yaml");
    std::fs::write(&path, text.replacen("spec:\n", &format!("spec:\n{fields}\n"), 1)).unwrap();
    path.display().to_string()
}

/// The bench's drill with one text replaced.
fn drill(bench: &Bench, from: &str, to: &str) -> String {
    let text = std::fs::read_to_string(bench.path("short.yaml")).unwrap();
    assert!(text.contains(from), "{from}");
    let path = bench.path("changed-drill.yaml");
    std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
    path.display().to_string()
}

fn refused(bench: &Bench, command: &str, drill: &str, env: &str, says: &str) {
    let done = bench.done(&[command, drill, "--env", env]);
    assert_eq!(done.code, Some(5), "{done:?}");
    let told = format!("{}{}", done.out, done.err);
    assert!(told.contains(says), "'{says}' is not in: {done:?}");
    assert_eq!(bench.done(&["sweep", "--env", &bench.env()]).code, Some(0), "something was touched");
}

#[test]
fn a_freeze_refuses_and_names_the_next_permitted_instant() {
    let bench = Bench::new();
    let env = environment(&bench, "  freezes: [{from: 2020-01-01, to: 2120-01-01, timeZone: UTC, reason: peak century}]");
    let drill = bench.path("short.yaml").display().to_string();
    for command in ["plan", "run"] {
        refused(&bench, command, &drill, &env, "peak century");
        refused(&bench, command, &drill, &env, "2120-01-01T00:00:00Z");
    }
}

#[test]
fn kinds_that_are_not_built_yet_validate_and_plan_refuses_them_by_name() {
    let bench = Bench::new();
    let env = environment(&bench, "");
    let text = std::fs::read_to_string(&env).unwrap().replace("- gatewayBlackhole", "- gatewayDns\n    - gatewayBlackhole");
    std::fs::write(&env, text).unwrap();
    let fault =
        drill(&bench, "{gatewayBlackhole: {gateway: edge, services: [\"*\"]}}", "{gatewayDns: {gateway: edge, services: [\"*\"], answer: NODATA}}");
    let valid = bench.done(&["validate", &fault, "--env", &env]);
    assert_eq!(valid.code, Some(0), "{valid:?}");
    refused(&bench, "plan", &fault, &env, "gatewayDns");
    refused(&bench, "plan", &fault, &env, "not built yet");
}

#[test]
fn plan_warns_that_error_documents_reach_plain_http_only_and_run_undoes_them() {
    let bench = Bench::new();
    let env = environment(&bench, "");
    let text = std::fs::read_to_string(&env).unwrap().replace("- gatewayBlackhole", "- gatewayError\n    - gatewayBlackhole");
    std::fs::write(&env, text).unwrap();
    let step = "    - id: denied\n      fault: {gatewayError: {gateway: edge, services: [iam], operations: [ListPolicies], error: AccessDenied}}\n      limit: 3s\n";
    // The blackhole that comes after it goes before it.
    let drill = drill(&bench, "    - id: dark\n", &format!("{step}    - id: dark\n      after: [denied]\n"));
    let planned = bench.done(&["plan", &drill, "--env", &env]);
    assert_eq!(planned.code, Some(0), "{planned:?}");
    let warning = "step 'denied': gatewayError acts on plain HTTP only: TLS interception is not built yet";
    assert!(planned.out.contains(warning), "{planned:?}");
    let run = bench.done(&["run", &drill, "--env", &env]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(bench.done(&["sweep", "--env", &env]).code, Some(0), "a rule was left behind");
}

#[test]
fn a_blast_radius_above_the_limit_refuses() {
    let bench = Bench::new();
    let second =
        "  limits: {maxTargets: 1}\n  steps:\n    - id: refuse\n      fault: {gatewayRefuse: {gateway: edge, services: [sts]}}\n      limit: 1s\n";
    let both = drill(&bench, "  steps:\n", second);
    // Each kind is counted on its own.
    assert_eq!(bench.done(&["plan", &both, "--env", &bench.env()]).code, Some(0));
    let twice = drill(&bench, "  steps:\n", &second.replace("gatewayRefuse", "gatewayBlackhole"));
    refused(&bench, "plan", &twice, &bench.env(), "would touch 2 targets with gatewayBlackhole; limits.maxTargets of the drill is 1");
}

#[test]
fn a_halt_condition_that_is_true_or_cannot_be_read_refuses() {
    let bench = Bench::new();
    let drill = bench.path("short.yaml").display().to_string();
    let query = |query: &str| format!("  haltWhen: [{{id: live-incident, probe: {{prometheus: {{source: main, query: '{query}'}}}}}}]");
    refused(&bench, "run", &drill, &environment(&bench, &query("up")), "haltWhen 'live-incident' of the environment is true");
    refused(&bench, "run", &drill, &environment(&bench, &query("sum(up)")), "haltWhen 'live-incident' of the environment cannot be read");
}

#[test]
fn a_halt_condition_that_becomes_true_in_the_hold_aborts() {
    let bench = Bench::new();
    let query = "ALERTS{alertname=\"RegionDown\",alertstate=\"firing\"}";
    let env =
        environment(&bench, &format!("  haltWhen: [{{id: paged, interval: 500ms, probe: {{prometheus: {{source: main, query: '{query}'}}}}}}]"));
    let done = bench.done(&["run", &bench.path("short.yaml").display().to_string(), "--env", &env]);
    assert_eq!(done.code, Some(6), "{done:?}");
    assert!(done.out.contains("paged"), "{done:?}");
    assert_eq!(bench.east(), "200");
}

#[test]
fn an_availability_that_stays_below_its_threshold_aborts() {
    let bench = Bench::new();
    let drill = drill(&bench, "  steps:\n", "  abortWhen: [{objective: checkout, availabilityBelow: \"100%\", for: 1s}]\n  steps:\n");
    let done = bench.done(&["run", &drill, "--env", &bench.env()]);
    assert_eq!(done.code, Some(6), "{done:?}");
    assert!(done.out.contains("availability of 'checkout'"), "{done:?}");
    assert_eq!(bench.east(), "200");
}

const MANUAL: &str = "  steps:\n    - id: tell\n      manual: {role: incident-commander, instruction: Say that it starts., limit: 1s}\n";

fn with_manual(bench: &Bench, flags: &[&str]) -> Done {
    let drill = drill(bench, "  steps:\n", MANUAL);
    let mut args = vec!["run", &drill, "--env"];
    let env = bench.env();
    args.push(&env);
    args.extend(flags);
    bench.done(&args)
}

#[test]
fn a_manual_step_without_a_terminal_asks_for_a_flag_before_anything_is_touched() {
    let bench = Bench::new();
    let done = with_manual(&bench, &[]);
    assert_eq!(done.code, Some(2), "{done:?}");
    assert!(done.err.contains("--confirm STEP") && done.err.contains("--unattended=fail|skip"), "{done:?}");
    let unknown = with_manual(&bench, &["--confirm", "tel"]);
    assert_eq!(unknown.code, Some(2), "{unknown:?}");
}

#[test]
fn a_manual_step_is_confirmed_in_advance_or_skipped_or_failed_by_policy() {
    let bench = Bench::new();
    for (flags, code) in [(["--confirm", "tell"], 0), (["--unattended", "skip"], 0), (["--unattended", "fail"], 9)] {
        let done = with_manual(&bench, &flags);
        assert_eq!(done.code, Some(code), "{flags:?}: {done:?}");
        assert_eq!(bench.east(), "200");
        crate::wait_until_users_are_back(&bench);
    }
}

#[test]
fn a_state_directory_that_others_may_write_refuses_before_anything_is_touched() {
    use std::os::unix::fs::PermissionsExt;
    let bench = Bench::new();
    std::fs::create_dir(bench.path("state")).unwrap();
    std::fs::set_permissions(bench.path("state"), std::fs::Permissions::from_mode(0o777)).unwrap();
    let drill = bench.path("short.yaml").display().to_string();
    let done = bench.done(&["run", &drill, "--env", &bench.env()]);
    assert_eq!(done.code, Some(5), "{done:?}");
    assert!(done.err.contains("chmod 700"), "{done:?}");
    assert_eq!(bench.east(), "200");
}

#[test]
fn a_second_run_is_refused_while_the_first_is_going_on() {
    let bench = Bench::new();
    let mut first = bench.run();
    first.wait_for("baseline");
    let second = bench.run().finish();
    assert_eq!(second.code, Some(5), "{second:?}");
    assert!(second.err.contains("is going on in 'sandbox'"), "{second:?}");
    first.signal(Signal::INT);
    assert_eq!(first.finish().code, Some(6));
}

#[test]
fn resuming_a_run_that_is_going_on_is_refused() {
    let bench = Bench::new();
    let mut run = bench.run();
    run.wait_for_the_hold();
    let resumed = bench.done(&["resume", &bench.only_run()]);
    assert_eq!(resumed.code, Some(5), "{resumed:?}");
    assert_eq!(bench.east(), "000", "the drill goes on");
    run.signal(Signal::INT);
    assert_eq!(run.finish().code, Some(6));
}
