//! Verdicts, cleanliness, stages and the clocks of whole runs.

use super::*;

fn passing() -> Run {
    run(600.0).reads(rto(300.0), &[(5.0, Bad), (100.0, Good)])
}

fn verdict(run: &Run) -> (Verdict, Cleanliness, u8) {
    let card = run.card();
    (card.verdict, card.cleanliness, card.exit().code())
}

use crate::event::Cleanliness::{Clean, Drifted, StillInPlace};

fn failed(unreachable: bool) -> StepOutcome {
    StepOutcome::Failed { why: "connection refused".into(), unreachable }
}

#[test]
fn an_empty_stream_is_no_run() {
    let card = evaluate(&[]);
    assert_eq!((card.verdict, card.cleanliness, card.score, card.coverage), (Verdict::Aborted, Clean, None, 0.0));
    assert!(card.objectives.is_empty());
}

#[test]
fn a_killed_run_is_aborted_and_still_in_place() {
    let card = passing().killed(200.0).card();
    assert_eq!((card.verdict, card.cleanliness, card.exit().code()), (Verdict::Aborted, StillInPlace, 7));
    assert_eq!(card.score, Some(0.0));
    assert_eq!(card.reason, "the stream ends before the hold was over; STILL IN PLACE: dark: dark-target");
    // What was measured until then is told all the same.
    assert_eq!(figure(first(&card).clocks.recover), Some((100.0, 1.1)));
    assert_eq!(first(&card).verdict, Met);
}

#[test]
fn every_truncation_of_a_passing_run_is_not_passed() {
    let events = passing().events();
    for length in 0..events.len() - 1 {
        let card = evaluate(&events[..length]);
        assert_ne!(card.verdict, Verdict::Passed, "cut to {length} events");
        assert_ne!(card.exit().code(), 0, "cut to {length} events");
    }
    assert_eq!(evaluate(&events).exit().code(), 0);
}

#[test]
fn a_call_that_was_sent_without_a_record_is_still_in_place_until_undo_ends() {
    let silent = passing().without(|event| matches!(event, Event::TargetPhase { .. }));
    assert_eq!(verdict(&silent), (Verdict::Passed, Clean, 0));
    assert_eq!(verdict(&silent.killed(200.0)), (Verdict::Aborted, StillInPlace, 7));
}

#[test]
fn a_resumed_run_is_aborted_and_clean_once_undone() {
    let died = passing().without(|event| matches!(event, Event::Stopping { .. } | Event::UndoStarted { .. } | Event::UndoEnded { .. }));
    let resumed = died
        .event(900.0, Event::Stopping { reason: StopReason::Resumed, detail: "by hand".into() })
        .event(900.0, Event::UndoStarted { targets: 1, hurried: false })
        .phase(901.0, "dark", Phase::Reverted)
        .event(902.0, Event::UndoEnded { left: vec![], drifted: vec![], kept: vec![] });
    assert_eq!(verdict(&resumed), (Verdict::Aborted, Clean, 6));
    // 300 s without anybody looking: unknown.
    assert_eq!(first(&resumed.card()).verdict, NotKnown);
}

#[test]
fn a_resume_that_finishes_an_undo_makes_the_run_clean() {
    let stuck = passing().phase(601.5, "dark", Phase::Stuck).without(|event| matches!(event, Event::UndoEnded { .. }));
    let stuck = stuck.event(602.0, Event::UndoEnded { left: vec!["dark-target".into()], drifted: vec![], kept: vec![] });
    assert_eq!(verdict(&stuck), (Verdict::Passed, StillInPlace, 7));
    let card = stuck.card();
    assert_eq!(card.score, Some(0.0));
    near(first(&card).points, 100.0);
    assert!(card.reason.ends_with("STILL IN PLACE: dark: dark-target"), "{}", card.reason);
    let ended = Event::RunEnded { verdict: Verdict::Passed, cleanliness: StillInPlace, score: Some(0.0), exit_code: 7, reason: String::new() };
    let resumed = stuck
        .event(603.0, ended)
        .event(700.0, Event::Stopping { reason: StopReason::Resumed, detail: "by hand".into() })
        .event(700.0, Event::UndoStarted { targets: 1, hurried: false })
        .phase(701.0, "dark", Phase::Reverted);
    assert_eq!(verdict(&resumed), (Verdict::Aborted, Clean, 6));
    let reason = resumed.card().reason;
    assert_eq!(reason, "the run ended (passed) with changes in place, and was resumed to undo them: by hand", "what was measured is not forgotten");
}

#[test]
fn what_undo_names_as_left_is_still_in_place() {
    let left = passing().without(|event| matches!(event, Event::UndoEnded { .. }));
    let left = left.event(602.0, Event::UndoEnded { left: vec!["weights of edge".into()], drifted: vec![], kept: vec![] });
    assert_eq!(verdict(&left), (Verdict::Passed, StillInPlace, 7));
    assert!(left.card().reason.contains("weights of edge"));
}

#[test]
fn open_phases_outrank_an_undo_that_says_it_is_done() {
    for phase in [Phase::Intent, Phase::Injected, Phase::Verified, Phase::Reverting, Phase::Stuck, Phase::Unknown] {
        assert_eq!(verdict(&passing().phase(601.5, "dark", phase)).1, StillInPlace, "{phase:?}");
    }
    for phase in [Phase::Reverted, Phase::Gone, Phase::Noop, Phase::Kept, Phase::Abandoned] {
        assert_eq!(verdict(&passing().phase(601.5, "dark", phase)).1, Clean, "{phase:?}");
    }
}

#[test]
fn drift_is_named_and_outranked_only_by_what_is_in_place() {
    let drifted = passing().phase(601.5, "dark", Phase::Drifted);
    assert_eq!(verdict(&drifted), (Verdict::Passed, Drifted, 10));
    assert_eq!(drifted.card().score, Some(100.0));
    assert!(drifted.card().reason.ends_with("someone else's change was left alone: dark-target"), "{}", drifted.card().reason);
    assert_eq!(verdict(&drifted.phase(1.5, "other", Phase::Stuck)).1, StillInPlace);
}

#[test]
fn a_run_that_ended_says_the_same_with_its_last_event() {
    let ended = Event::RunEnded { verdict: Verdict::Refused, cleanliness: Drifted, score: None, exit_code: 1, reason: "x".into() };
    let (without, with) = (passing().card(), passing().event(603.0, ended).card());
    assert_eq!(with, without);
}

#[test]
fn a_stop_for_any_reason_but_the_end_of_the_hold_is_an_abort() {
    use StopReason::*;
    for reason in [AbortWhen, HaltWhen, UndoBy, ClockJumped, AbortRequested, Signal, SecondSignal, Resumed] {
        assert_eq!(verdict(&passing().stopped(reason)), (Verdict::Aborted, Clean, 6), "{reason:?}");
    }
    assert_eq!(verdict(&passing().stopped(HoldOver)), (Verdict::Passed, Clean, 0));
    for reason in [StepFailed, JournalFailed] {
        assert_eq!(verdict(&passing().stopped(reason)), (Verdict::Error, Clean, 9), "{reason:?}");
    }
}

#[test]
fn an_abort_outranks_a_missed_objective() {
    let timeline = run(600.0).reads(rto(300.0), &[(5.0, Bad)]);
    assert_eq!(verdict(&timeline), (Verdict::Failed, Clean, 3));
    assert_eq!(verdict(&timeline.stopped(StopReason::Signal)), (Verdict::Aborted, Clean, 6));
}

#[test]
fn a_step_that_could_not_be_done_is_an_error() {
    let end = |unreachable| Event::StepEnded { step: "confirm".into(), outcome: failed(unreachable) };
    let timeline = passing().acted("confirm", StepKind::Check, 10.0, 20.0);
    assert_eq!(verdict(&timeline), (Verdict::Passed, Clean, 0));
    let card = timeline.clone().event(21.0, end(false)).card();
    assert_eq!((card.verdict, card.unreachable, card.exit().code()), (Verdict::Error, false, 9));
    assert_eq!(card.reason, "step 'confirm' could not be done: connection refused");
    let card = timeline.clone().event(21.0, end(true)).card();
    assert_eq!((card.verdict, card.unreachable, card.exit().code()), (Verdict::Error, true, 8));
    // 9 outranks 8: one failure that is not the platform's absence is enough.
    let other = Event::StepEnded { step: "shift".into(), outcome: failed(false) };
    assert_eq!(timeline.clone().event(21.0, end(true)).event(22.0, other).card().exit().code(), 9);
    // A skipped step is no error; an error outranks an abort.
    let skipped = Event::StepEnded { step: "confirm".into(), outcome: StepOutcome::Skipped { why: "unattended".into() } };
    assert_eq!(verdict(&timeline.clone().event(21.0, skipped)), (Verdict::Passed, Clean, 0));
    assert_eq!(verdict(&timeline.event(21.0, end(false)).stopped(StopReason::Signal)), (Verdict::Error, Clean, 9));
}

fn untouched() -> Run {
    run(600.0).reads_until(rto(300.0), 0.0, &[]).without(|event| {
        use Event::*;
        matches!(event, InjectSent { .. } | FaultVerified { .. } | TargetPhase { .. } | Stopping { .. } | UndoStarted { .. } | UndoEnded { .. })
    })
}

#[test]
fn an_unsteady_state_refuses_the_run() {
    let refused = untouched().event(-0.4, Event::BaselineEnded { problems: vec!["checkout is bad: 503".into()] });
    let card = refused.card();
    assert_eq!((card.verdict, card.cleanliness, card.exit().code()), (Verdict::Refused, Clean, 5));
    assert_eq!((card.score, card.t0), (None, None));
    assert_eq!(card.reason, "the steady state did not hold: checkout is bad: 503");
    assert_eq!(first(&card).reason, "no fault was injected, so no clock started");
}

#[test]
fn halted_before_anything_was_touched_is_a_refusal_and_after_it_an_abort() {
    let halt = Event::Stopping { reason: StopReason::HaltWhen, detail: "live-incident is true".into() };
    assert_eq!(verdict(&untouched().event(-0.2, halt)), (Verdict::Refused, Clean, 5));
    assert_eq!(verdict(&passing().stopped(StopReason::HaltWhen)).0, Verdict::Aborted);
    let signal = Event::Stopping { reason: StopReason::Signal, detail: "SIGINT".into() };
    assert_eq!(verdict(&untouched().event(-0.2, signal)), (Verdict::Aborted, Clean, 6));
}

#[test]
fn a_fault_that_did_not_bite_is_inconclusive() {
    let bites = |problem: Option<&str>| Event::FaultVerified { step: "dark".into(), problem: problem.map(Into::into) };
    let unverified = passing().without(|event| matches!(event, Event::FaultVerified { .. }));
    assert_eq!(verdict(&unverified), (Verdict::Inconclusive, Clean, 4));
    assert_eq!(unverified.card().t0.unwrap().late, None);
    let not = unverified.clone().event(2.0, bites(Some("canary shows no enforcement")));
    assert_eq!(not.card().reason, "fault 'dark' was not verified in effect: canary shows no enforcement");
    // Verified at the second look.
    let second = not.event(3.0, bites(None));
    assert_eq!(verdict(&second), (Verdict::Passed, Clean, 0));
    assert_eq!(second.card().t0.unwrap().late, Some(at(3.0)));
    // A fault of the drill that was never sent is not verified either.
    let mut skipped = passing();
    skipped.steps.push(step("second", StepKind::Fault));
    assert_eq!(verdict(&skipped), (Verdict::Inconclusive, Clean, 4));
}

#[test]
fn a_fault_removed_by_someone_else_is_inconclusive_unless_undo_had_begun() {
    let lost = |seconds| passing().event(seconds, Event::FaultLost { step: "dark".into(), target: "edge".into(), detail: "rule is gone".into() });
    assert_eq!(verdict(&lost(200.0)), (Verdict::Inconclusive, Clean, 4));
    assert_eq!(lost(200.0).card().reason, "fault 'dark' was removed from edge by someone else: rule is gone");
    assert_eq!(verdict(&lost(600.5)), (Verdict::Passed, Clean, 0));
    // A missed objective outranks it.
    let missed = run(600.0).reads(rto(300.0), &[(5.0, Bad)]);
    let missed = missed.event(200.0, Event::FaultLost { step: "dark".into(), target: "edge".into(), detail: "x".into() });
    assert_eq!(verdict(&missed), (Verdict::Failed, Clean, 3));
}

#[test]
fn a_run_without_objectives_is_inconclusive() {
    let card = run(600.0).card();
    assert_eq!((card.verdict, card.score, card.exit().code()), (Verdict::Inconclusive, None, 4));
}

#[test]
fn an_objective_without_targets_is_unknown() {
    let card = run(600.0).reads(objective("checkout"), &[]).card();
    expect(&card, NotKnown, 0.0);
    assert_eq!(first(&card).reason, "it has no target");
    assert_eq!(card.table.len(), 1);
}

#[test]
fn an_objective_of_a_later_stage_runs_from_its_own_step() {
    let staged = ObjectiveInfo { clock_from: Some("second".into()), ..rto(120.0) };
    let card = run(900.0).fault("second", 300.0, 310.0).reads(staged.clone(), &[(5.0, Bad), (50.0, Good), (304.0, Bad), (400.0, Good)]).card();
    expect(&card, Met, 1.0);
    let one = first(&card);
    assert_eq!(one.t0, Some(T0 { early: at(300.0), late: Some(at(310.0)) }));
    assert_eq!((figure(one.clocks.impact), figure(one.clocks.recover)), (Some((4.0, 1.1)), Some((100.0, 1.1))));
    // The run's clock starts with the first fault.
    assert_eq!(figure(card.clocks.impact), Some((304.0, 1.1)));
    assert_eq!(card.t0.unwrap().early, at(0.0));
    // A step that injects nothing starts the clock when it starts.
    let from_manual = ObjectiveInfo { clock_from: Some("announce".into()), ..rto(120.0) };
    let card = run(900.0).acted("announce", StepKind::Manual, 200.0, 230.0).reads(from_manual, &[(210.0, Bad), (250.0, Good)]).card();
    assert_eq!(first(&card).t0, Some(T0 { early: at(200.0), late: Some(at(230.0)) }));
    assert_eq!(figure(first(&card).clocks.recover), Some((50.0, 1.1)));
    // A step that never came leaves it unknown.
    let mut never = run(900.0).reads(staged, &[]);
    never.steps.push(step("second", StepKind::Fault));
    expect(&never.card(), NotKnown, 0.0);
    assert_eq!(first(&never.card()).reason, "its clock starts with step 'second', which never started");
}

#[test]
fn the_first_fault_sent_starts_the_clock_whatever_the_order_of_the_file() {
    let card = run(600.0).fault("earlier", -3.0, 20.0).reads(rto(300.0), &[(5.0, Bad), (100.0, Good)]).card();
    assert_eq!(card.t0, Some(T0 { early: at(-3.0), late: Some(at(20.0)) }));
    assert_eq!(figure(first(&card).clocks.recover), Some((103.0, 1.1)));
}

#[test]
fn what_blocked_what_follows_the_order_of_recovery() {
    let named =
        |id: &str, depends: &[&str]| ObjectiveInfo { id: id.into(), depends_on: depends.iter().map(|id| (*id).into()).collect(), ..rto(300.0) };
    let blocked = |database: &[(f64, Say)], search: &[(f64, Say)]| {
        run(600.0).reads(named("database", &[]), database).reads(named("search", &["database", "nobody", "search"]), search).card().objectives[1]
            .blocked_by
            .clone()
    };
    let blocker = |until: Option<f64>| vec![Blocker { objective: "database".into(), until: until.map(at) }];
    // Search came back only after the database.
    assert_eq!(blocked(&[(5.0, Bad), (60.0, Good)], &[(6.0, Bad), (90.0, Good)]), blocker(Some(60.0)));
    // Neither came back.
    assert_eq!(blocked(&[(5.0, Bad)], &[(6.0, Bad)]), blocker(None));
    // Search came back first, or was hit only after the database was well, or not at all; or the database was never hit.
    assert_eq!(blocked(&[(5.0, Bad), (90.0, Good)], &[(6.0, Bad), (60.0, Good)]), []);
    assert_eq!(blocked(&[(5.0, Bad), (60.0, Good)], &[(80.0, Bad), (90.0, Good)]), []);
    assert_eq!(blocked(&[(5.0, Bad), (60.0, Good)], &[]), []);
    assert_eq!(blocked(&[], &[(6.0, Bad), (90.0, Good)]), []);
}

#[test]
fn the_run_recovers_with_its_slowest_objective() {
    let named = |id: &str| ObjectiveInfo { id: id.into(), ..rto(300.0) };
    let both = |slow: &[(f64, Say)]| run(600.0).reads(named("a"), &[(5.0, Bad), (50.0, Good)]).reads(named("b"), slow).card();
    assert_eq!(figure(both(&[(9.0, Bad), (80.0, Good)]).clocks.recover), Some((80.0, 1.1)));
    assert_eq!(figure(both(&[(9.0, Bad), (80.0, Good)]).clocks.impact), Some((5.0, 1.1)));
    assert_eq!(both(&[(9.0, Bad)]).clocks.recover, None);
}

#[test]
fn fail_back_runs_from_undo_to_good_after_the_last_undo() {
    // Undo from 600; the last target is closed at 601; a wobble at 605…607; good from 608, 30 s shown at 638.
    let timeline = |until| run(600.0).reads_until(rto(300.0), until, &[(5.0, Bad), (100.0, Good), (605.0, Bad), (608.0, Good)]);
    let card = timeline(700.0).card();
    assert_eq!(figure(first(&card).clocks.fail_back), Some((8.0, 1.1)));
    assert_eq!(figure(card.clocks.fail_back), Some((8.0, 1.1)));
    assert_eq!(timeline(638.0).card().clocks.fail_back, None, "not stable for long enough");
    assert_eq!(timeline(700.0).phase(601.5, "dark", Phase::Stuck).card().clocks.fail_back, None, "not undone");
    // The wobble after undo began is no matter of the objectives.
    expect(&card, Met, 1.0);
}

#[test]
fn the_card_survives_a_round_trip_through_json() {
    let card = passing().acted("confirm", StepKind::Manual, 75.0, 90.0).card();
    let text = serde_json::to_string(&card).unwrap();
    assert!(text.contains("\"plusMinus\":1.1") && text.contains("\"notImpacted\":false"), "{text}");
    assert_eq!(serde_json::from_str::<Scorecard>(&text).unwrap(), card);
}
