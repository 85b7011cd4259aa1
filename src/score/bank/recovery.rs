//! Impact and recovery.

use super::*;

#[test]
fn never_impacted_is_exactly_zero_and_met() {
    let card = run(600.0).reads(rto(300.0), &[]).card();
    expect(&card, Met, 1.0);
    let one = first(&card);
    assert!(one.not_impacted);
    assert_eq!(figure(one.clocks.recover), Some((0.0, 0.0)));
    assert_eq!(one.clocks.impact, None);
    assert_eq!(one.reason, "not impacted");
    assert_eq!((card.score, card.verdict), (Some(100.0), Verdict::Passed));
    assert_eq!(one.samples, Coverage { expected: 600, good: 600, bad: 0, unknown: 0, share: 1.0 });
}

#[test]
fn recovery_is_timed_from_the_first_inject_call_to_the_first_good_sample() {
    // Bad at 5…99, good from 100. Bars: 1 s interval + 0.1 s latency. Last known bad at 99, nearer than 100 − 1.1.
    let card = run(600.0).reads(rto(300.0), &[(5.0, Bad), (100.0, Good)]).card();
    let one = first(&card);
    assert_eq!(figure(one.clocks.impact), Some((5.0, 1.1)));
    assert_eq!(figure(one.clocks.recover), Some((100.0, 1.1)));
    let recover = one.clocks.recover.unwrap();
    assert_eq!((recover.lower, recover.upper), (span(98.9), span(101.1)));
    assert_eq!(card.t0, Some(T0 { early: at(0.0), late: Some(at(1.0)) }));
    assert_eq!(one.reason, "recovered in 1m 40s ± 1.1 s, target 5m");
    assert!(one.relapse.is_none() && !one.not_impacted);
}

#[test]
fn an_upper_bound_that_equals_the_target_is_met_and_a_microsecond_over_is_not() {
    // Good again at 100: the upper bound is 101.1.
    let script = [(5.0, Bad), (100.0, Good)];
    expect(&run(600.0).reads(rto(101.1), &script).card(), Met, 1.0);
    let card = run(600.0).reads(rto(101.099_999), &script).card();
    expect(&card, Missed, 2.0 - 101.1 / 101.099_999);
    assert_eq!(card.exit().code(), 3);
    assert!(card.reason.contains("'checkout': recovered in 1m 40s ± 1.1 s"), "{}", card.reason);
    assert!(card.reason.contains("over by up to 1 ms"), "{}", card.reason);
}

#[test]
fn partial_credit_falls_linearly_to_nothing_at_twice_the_target() {
    // No latency: bar 1 s. Target 100. Upper bounds 100, 125, 150, 175, 200, 300.
    for (good_from, s) in [(99.0, 1.0), (124.0, 0.75), (149.0, 0.5), (174.0, 0.25), (199.0, 0.0), (299.0, 0.0)] {
        let card = run(600.0).latency(0.0).reads(rto(100.0), &[(0.0, Bad), (good_from, Good)]).card();
        expect(&card, if s == 1.0 { Met } else { Missed }, s);
        near(card.score.unwrap(), 100.0 * s);
    }
}

#[test]
fn never_recovered_is_missed_without_a_figure() {
    let card = run(600.0).reads(rto(300.0), &[(5.0, Bad)]).card();
    expect(&card, Missed, 0.0);
    assert_eq!(first(&card).targets[0].measured, None);
    assert_eq!(first(&card).clocks.recover, None);
    assert_eq!(card.clocks.recover, None);
    assert_eq!(first(&card).reason, "not recovered within 10m after T0, when measurement ended; target 5m");
    assert_eq!((card.verdict, card.score), (Verdict::Failed, Some(0.0)));
}

#[test]
fn a_recovery_that_needed_the_undo_is_no_recovery() {
    let card = run(600.0).reads_until(rto(300.0), 700.0, &[(5.0, Bad), (600.0, Good)]).card();
    expect(&card, Missed, 0.0);
    assert_eq!(first(&card).clocks.recover, None);
}

#[test]
fn a_good_answer_that_came_after_undo_began_does_not_count() {
    // Bad until 297; the reading of 298 takes 3 s and is answered at 301, undo begins at 300. stableFor 0: it alone would have been the recovery.
    let info = ObjectiveInfo { stable_for: span(0.0), ..rto(300.0) };
    let early = run(300.0).reads(info.clone(), &[(5.0, Bad), (298.0, Gap)]);
    expect(&early.clone().reading("checkout", 298.0, 1.0, Health::Good).card(), Met, 1.0);
    let card = early.reading("checkout", 298.0, 3.0, Health::Good).card();
    assert_ne!(first(&card).verdict, Met, "{}", first(&card).reason);
    assert_eq!(first(&card).clocks.recover, None);
}

#[test]
fn flapping_recovers_when_it_has_been_good_for_stable_for() {
    // 10 s bad, 10 s good, … until 200; stableFor 30. Good stretches at 10, 30, …, 170 are too short; the one that begins at 190 is not.
    let script: Vec<(f64, Say)> = (0..20).map(|turn| (f64::from(turn) * 10.0, if turn % 2 == 0 { Bad } else { Good })).collect();
    let card = run(600.0).reads(rto(300.0), &script).card();
    expect(&card, Met, 1.0);
    assert_eq!(figure(first(&card).clocks.recover), Some((190.0, 1.1)));
    // For ever flapping: never.
    let script: Vec<(f64, Say)> = (0..60).map(|turn| (f64::from(turn) * 10.0, if turn % 2 == 0 { Bad } else { Good })).collect();
    expect(&run(600.0).reads(rto(300.0), &script).card(), Missed, 0.0);
}

#[test]
fn a_stretch_one_sample_short_of_stable_for_does_not_count() {
    // Good at 10…40 is 30 s (the sample at 40 began 30 s after the one at 10); good at 10…39 is not.
    let card = run(600.0).reads(rto(300.0), &[(0.0, Bad), (10.0, Good), (41.0, Bad), (50.0, Good)]).card();
    assert_eq!(figure(first(&card).clocks.recover), Some((10.0, 1.1)));
    let card = run(600.0).reads(rto(300.0), &[(0.0, Bad), (10.0, Good), (40.0, Bad), (50.0, Good)]).card();
    assert_eq!(figure(first(&card).clocks.recover), Some((50.0, 1.1)));
}

#[test]
fn slow_poison_counts_from_t0_however_late_it_bites() {
    let script = [(400.0, Bad), (410.0, Good)];
    let card = run(900.0).reads(rto(300.0), &script).card();
    expect(&card, Missed, 2.0 - 411.1 / 300.0);
    assert_eq!(figure(first(&card).clocks.impact), Some((400.0, 1.1)));
    assert_eq!(figure(first(&card).clocks.recover), Some((410.0, 1.1)));
    expect(&run(900.0).reads(rto(500.0), &script).card(), Met, 1.0);
}

#[test]
fn half_dead_is_not_recovered() {
    let card = run(600.0).reads(rto(300.0), &[(5.0, Half)]).card();
    expect(&card, Missed, 0.0);
    let one = first(&card);
    assert!((one.samples.bad as f64 / 595.0 - 0.5).abs() < 0.01);
    assert!(one.severity.iter().any(|window| window.severity == Severity::Disruption));
    assert!(one.severity.iter().all(|window| window.severity != Severity::Outage));
}

#[test]
fn a_relapse_that_heals_is_reported_and_the_first_recovery_counts() {
    let card = run(600.0).reads(rto(300.0), &[(5.0, Bad), (50.0, Good), (200.0, Bad), (220.0, Good)]).card();
    expect(&card, Met, 1.0);
    let one = first(&card);
    assert_eq!(figure(one.clocks.recover), Some((50.0, 1.1)));
    assert_eq!(one.relapse, Some(Relapse { after: span(200.0), bad: 20, down_at_undo: false }));
    assert!(one.reason.ends_with("bad again 3m 20s after T0 (20 samples)"), "{}", one.reason);
}

#[test]
fn down_again_when_undo_begins_is_not_recovered() {
    // Down from 560 to the undo at 600: 40 s of only bad samples, more than stableFor.
    let card = run(600.0).reads(rto(300.0), &[(5.0, Bad), (50.0, Good), (560.0, Bad)]).card();
    expect(&card, Missed, 0.0);
    assert!(first(&card).relapse.unwrap().down_at_undo);
    // One lost request right before the undo is no outage.
    let card = run(600.0).reads(rto(300.0), &[(5.0, Bad), (50.0, Good), (599.0, Bad)]).card();
    expect(&card, Met, 1.0);
    assert_eq!(first(&card).relapse, Some(Relapse { after: span(599.0), bad: 1, down_at_undo: false }));
}

#[test]
fn an_unknown_sample_restarts_the_stable_stretch_and_may_leave_it_met() {
    // Good from 100, unknown at 110: the stretch of only good samples begins at 111.
    let card = run(600.0).reads(rto(300.0), &[(5.0, Bad), (100.0, Good), (110.0, Unknown), (111.0, Good)]).card();
    expect(&card, Met, 1.0);
    let recover = first(&card).clocks.recover.unwrap();
    assert_eq!(figure(Some(recover)), Some((111.0, 1.1)));
    // It may have been well since 99, when it was last seen bad.
    assert_eq!(recover.lower, span(99.0));
}

#[test]
fn unknown_at_the_deciding_moment_is_unknown_not_missed() {
    let script = [(5.0, Bad), (100.0, Good), (110.0, Unknown), (111.0, Good)];
    // Target 105: good from 100 would have met it (101.1), good from 111 does not.
    let card = run(600.0).reads(rto(105.0), &script).card();
    expect(&card, NotKnown, 0.0);
    assert_eq!((card.verdict, card.exit().code()), (Verdict::Inconclusive, 4));
    // Target 95: missed either way.
    expect(&run(600.0).reads(rto(95.0), &script).card(), Missed, 2.0 - 112.1 / 95.0);
    // Unknown from the last bad sample to the first good one: it may have recovered in between.
    let blind = [(5.0, Bad), (80.0, Unknown), (100.0, Good)];
    expect(&run(600.0).reads(rto(90.0), &blind).card(), NotKnown, 0.0);
    expect(&run(600.0).reads(rto(80.0), &blind).card(), Missed, 2.0 - 101.1 / 80.0);
}

#[test]
fn missing_samples_are_as_unknown_as_unknown_ones() {
    let card = run(600.0).reads(rto(90.0), &[(5.0, Bad), (80.0, Gap), (100.0, Good)]).card();
    expect(&card, NotKnown, 0.0);
    // One missing tick breaks a stretch too.
    let card = run(600.0).reads(rto(300.0), &[(5.0, Bad), (100.0, Good), (110.0, Gap), (111.0, Good)]).card();
    assert_eq!(figure(first(&card).clocks.recover), Some((111.0, 1.1)));
}

#[test]
fn jitter_of_less_than_a_tick_is_no_gap() {
    let mut timeline = run(600.0).reads(rto(300.0), &[(-10.0, Gap)]);
    for tick in 0..610 {
        let jitter = if tick % 3 == 0 { 0.4 } else { 0.0 };
        let health = if (15..110).contains(&tick) { Health::Bad } else { Health::Good };
        timeline = timeline.reading("checkout", -10.0 + f64::from(tick) + jitter, 0.1, health);
    }
    let card = timeline.card();
    expect(&card, Met, 1.0);
    assert_eq!(figure(first(&card).clocks.recover), Some((100.0, 1.1)));
}

#[test]
fn ninety_percent_known_is_enough_and_less_is_not() {
    // 600 expected. 60 unknown: 90 %. 61: not.
    let known = |unknown: f64| run(600.0).reads(rto(300.0), &[(5.0, Bad), (50.0, Good), (500.0, Unknown), (500.0 + unknown, Good)]).card();
    expect(&known(60.0), Met, 1.0);
    let card = known(61.0);
    expect(&card, NotKnown, 0.0);
    assert!(first(&card).reason.starts_with("only 539 of 600 expected samples were known"), "{}", first(&card).reason);
    // The clocks are still told, as what they are.
    assert_eq!(figure(first(&card).clocks.recover), Some((50.0, 1.1)));
    assert_eq!(first(&card).targets[0].measured, None);
}

#[test]
fn gaps_count_as_not_known() {
    let card = run(600.0).reads(rto(300.0), &[(5.0, Bad), (50.0, Good), (400.0, Gap), (500.0, Good)]).card();
    expect(&card, NotKnown, 0.0);
    near(first(&card).samples.share, 500.0 / 600.0);
    assert_eq!(first(&card).samples.unknown, 0);
}

#[test]
fn proof_of_a_miss_on_too_few_samples_is_still_unknown() {
    let card = run(600.0).reads(rto(300.0), &[(5.0, Bad), (350.0, Unknown), (450.0, Bad)]).card();
    expect(&card, NotKnown, 0.0);
    assert!(first(&card).reason.contains("those say: not recovered"), "{}", first(&card).reason);
}

#[test]
fn not_impacted_needs_samples_where_the_target_is_decided() {
    // 5.8 % unknown overall, but all of it in the 30 s that the target gives: an outage could hide there.
    let card = run(600.0).reads(rto(30.0), &[(1.0, Unknown), (36.0, Good)]).card();
    expect(&card, NotKnown, 0.0);
    assert!(first(&card).reason.contains("1 of 30 expected samples"), "{}", first(&card).reason);
    // The same blindness later hides nothing of this target.
    expect(&run(600.0).reads(rto(30.0), &[(101.0, Unknown), (136.0, Good)]).card(), Met, 1.0);
}

#[test]
fn not_impacted_needs_a_watch_as_long_as_the_target() {
    let card = run(60.0).reads(rto(300.0), &[]).card();
    expect(&card, NotKnown, 0.0);
    assert_eq!(first(&card).reason, "not impacted, but watched for only 1m of 5m after T0");
}

#[test]
fn nothing_read_is_not_the_same_as_not_impacted() {
    let card = run(600.0).reads(rto(300.0), &[(0.0, Unknown)]).card();
    expect(&card, NotKnown, 0.0);
    assert!(!first(&card).not_impacted);
    assert_eq!(first(&card).clocks.recover, None);
    assert_eq!(card.coverage, 0.0);
}

#[test]
fn a_run_cut_short_before_the_deadline_proves_nothing() {
    // Undo at 100, still bad: 300 was still possible.
    expect(&run(100.0).reads(rto(300.0), &[(5.0, Bad)]).card(), NotKnown, 0.0);
    // At 299 a recovery seen at the next tick would have an upper bound of 300 at least: still possible. At 300 no longer.
    expect(&run(299.0).reads(rto(300.0), &[(5.0, Bad)]).card(), NotKnown, 0.0);
    expect(&run(300.0).reads(rto(300.0), &[(5.0, Bad)]).card(), Missed, 0.0);
}

#[test]
fn a_stable_stretch_cut_by_undo_is_unknown_when_it_began_in_time() {
    // Good from 90, undo at 110: 20 s of 30.
    let script = [(5.0, Bad), (90.0, Good)];
    let card = run(110.0).reads(rto(100.0), &script).card();
    expect(&card, NotKnown, 0.0);
    assert!(first(&card).reason.starts_with("good again 1m 30s after T0, but only for 20 s of 30 s"), "{}", first(&card).reason);
    // Began too late for the target: missed whatever would have come.
    expect(&run(110.0).reads(rto(80.0), &script).card(), Missed, 0.0);
}

#[test]
fn a_slow_probe_is_no_gap_and_its_timeouts_weigh_what_they_displaced() {
    // From 0 on each reading times out after 3 s, so that one is made every 3 s, until 60; from then good ones every second.
    let mut timeline = run(300.0).reads(rto(100.0), &[(0.0, Gap), (60.0, Good)]);
    for tick in 0..20 {
        timeline = timeline.reading("checkout", f64::from(tick) * 3.0, 3.0, Health::Bad);
    }
    let card = timeline.card();
    expect(&card, Met, 1.0);
    assert_eq!(first(&card).samples, Coverage { expected: 300, good: 240, bad: 60, unknown: 0, share: 1.0 });
    let recover = first(&card).clocks.recover.unwrap();
    assert_eq!(figure(Some(recover)), Some((60.0, 1.1)));
    // The last bad reading began at 57: the truth may lie that far back, and the lower bound says so.
    assert_eq!(recover.lower, span(57.0));
}

#[test]
fn a_request_in_flight_at_t0_is_no_impact() {
    let card = run(600.0).reads(rto(300.0), &[]).reading("checkout", -0.05, 0.1, Health::Bad).card();
    assert!(first(&card).not_impacted);
}

#[test]
fn bad_before_t0_is_not_this_faults_impact() {
    let card = run(600.0).reads(rto(300.0), &[(-5.0, Bad), (-2.0, Good)]).card();
    assert!(first(&card).not_impacted);
}

#[test]
fn order_and_duplicates_of_events_change_nothing() {
    let events = run(600.0).reads(rto(300.0), &[(5.0, Bad), (100.0, Good), (300.0, Half), (320.0, Good)]).events();
    let card = evaluate(&events);
    let doubled: Vec<RunEvent> = events.iter().flat_map(|event| [event.clone(), event.clone()]).collect();
    assert_eq!(evaluate(&doubled), card);
    let is_sample = |event: &&RunEvent| matches!(event.body, Event::Sample(_));
    let mut shuffled: Vec<RunEvent> = events.iter().filter(|event| !is_sample(event)).cloned().collect();
    shuffled.extend(events.iter().rev().filter(is_sample).cloned());
    assert_eq!(evaluate(&shuffled), card);
}

#[test]
fn of_two_readings_at_one_instant_the_worse_counts() {
    let card = run(600.0).reads(rto(300.0), &[]).reading("checkout", 50.0, 0.1, Health::Bad).card();
    assert_eq!(figure(first(&card).clocks.impact), Some((50.0, 1.1)));
    assert_eq!(first(&card).samples.known(), 600);
}

#[test]
fn a_single_sample_proves_nothing() {
    for health in [Health::Good, Health::Bad, Health::Unknown] {
        let card = run(600.0).reads(rto(300.0), &[(-10.0, Gap)]).reading("checkout", 20.0, 0.1, health).card();
        expect(&card, NotKnown, 0.0);
    }
}

#[test]
fn absurd_latencies_neither_panic_nor_flatter() {
    let mut timeline = run(600.0).reads(rto(300.0), &[(-10.0, Gap)]);
    for tick in 0..600 {
        let sample = Sample {
            objective: "checkout".into(),
            at: at(f64::from(tick)),
            latency: Span(Duration::MAX),
            health: Health::Good,
            detail: None,
            canary: None,
        };
        timeline = timeline.event(f64::from(tick), Event::Sample(sample));
    }
    expect(&timeline.card(), NotKnown, 0.0);
}

#[test]
fn a_target_of_zero_is_met_only_when_not_impacted() {
    expect(&run(600.0).reads(rto(0.0), &[]).card(), Met, 1.0);
    expect(&run(600.0).reads(rto(0.0), &[(5.0, Bad), (6.0, Good)]).card(), Missed, 0.0);
}

#[test]
fn without_stable_for_the_first_good_sample_is_the_recovery() {
    let info = ObjectiveInfo { stable_for: span(0.0), ..rto(300.0) };
    let card = run(600.0).reads(info, &[(5.0, Bad), (20.0, Good), (21.0, Bad), (40.0, Good)]).card();
    assert_eq!(figure(first(&card).clocks.recover), Some((20.0, 1.1)));
    assert_eq!(first(&card).relapse.unwrap().bad, 19);
}

#[test]
fn equal_clocks_measure_nothing() {
    let card = run(0.0).reads(rto(300.0), &[]).card();
    expect(&card, NotKnown, 0.0);
    assert_eq!(first(&card).samples.expected, 1);
}
