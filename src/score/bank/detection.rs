//! Detection, and the clocks of people that run from it.

use super::*;

/// Must be true within 180 s, read every 5 s: bars of 5.1 s. Good says true.
fn alert() -> ObjectiveInfo {
    ObjectiveInfo { detect_within: Some(span(180.0)), interval: span(5.0), ..objective("page") }
}

#[test]
fn detection_is_timed_to_the_first_true_sample() {
    let card = run(600.0).reads(alert(), &[(-10.0, Bad), (60.0, Good)]).card();
    expect(&card, Met, 1.0);
    assert_eq!(figure(first(&card).clocks.detect), Some((60.0, 5.1)));
    assert_eq!(figure(card.clocks.detect), Some((60.0, 5.1)));
    assert_eq!(first(&card).reason, "detected in 1m ± 5.1 s, target 3m");
    assert_eq!(card.verdict, Verdict::Passed);
}

#[test]
fn an_alert_that_does_not_fire_is_neither_impact_nor_outage() {
    let card = run(600.0).reads(alert(), &[(-10.0, Bad), (60.0, Good)]).card();
    let one = first(&card);
    assert_eq!((one.clocks.impact, one.clocks.recover, card.clocks.impact), (None, None, None));
    assert!(one.severity.is_empty() && !one.not_impacted);
}

#[test]
fn late_detection_loses_score_by_its_upper_bound() {
    // No latency: bar 5 s. Upper bounds 180, 225, 270, 360.
    for (fires, verdict, s) in [(175.0, Met, 1.0), (220.0, Missed, 0.75), (265.0, Missed, 0.5), (355.0, Missed, 0.0)] {
        let card = run(600.0).latency(0.0).reads(alert(), &[(-10.0, Bad), (fires, Good)]).card();
        expect(&card, verdict, s);
    }
}

#[test]
fn never_detected_is_missed() {
    let card = run(600.0).reads(alert(), &[(-10.0, Bad)]).card();
    expect(&card, Missed, 0.0);
    assert_eq!((first(&card).clocks.detect, card.clocks.detect), (None, None));
    // Undo at 170: it could still have come.
    expect(&run(170.0).reads(alert(), &[(-10.0, Bad)]).card(), NotKnown, 0.0);
}

#[test]
fn an_alert_that_fired_before_the_fault_proves_nothing() {
    for script in [vec![], vec![(-10.0, Bad), (-5.0, Good)], vec![(-10.0, Good), (-5.0, Bad), (60.0, Good)]] {
        let card = run(600.0).reads(alert(), &script).card();
        expect(&card, NotKnown, 0.0);
        assert_eq!(first(&card).reason, "it was already true before the fault, so being true proves nothing");
        assert_eq!(first(&card).clocks.detect, None);
    }
}

#[test]
fn an_alert_that_was_never_read_before_the_fault_proves_nothing() {
    for baseline in [Unknown, Gap] {
        let card = run(600.0).reads(alert(), &[(-10.0, baseline), (0.0, Bad), (60.0, Good)]).card();
        expect(&card, NotKnown, 0.0);
        assert!(first(&card).reason.starts_with("it was not read before the fault"), "{}", first(&card).reason);
    }
}

#[test]
fn true_at_the_first_reading_after_the_fault_is_a_detection() {
    let card = run(600.0).reads(alert(), &[(-10.0, Bad), (0.0, Good)]).card();
    expect(&card, Met, 1.0);
    assert_eq!(figure(first(&card).clocks.detect), Some((0.0, 5.1)));
}

#[test]
fn an_alert_that_resolves_again_was_still_raised() {
    let card = run(600.0).reads(alert(), &[(-10.0, Bad), (60.0, Good), (100.0, Bad)]).card();
    expect(&card, Met, 1.0);
}

#[test]
fn unknown_before_the_first_true_sample_may_have_been_true() {
    // False until 165, unknown at 170…190, true from 195: at best seen at 170, which would have met 180.
    let card = run(900.0).reads(alert(), &[(-10.0, Bad), (170.0, Unknown), (195.0, Good)]).card();
    expect(&card, NotKnown, 0.0);
    // Seen false at 190: then it was not true before.
    let card = run(900.0).reads(alert(), &[(-10.0, Bad), (170.0, Unknown), (190.0, Bad), (195.0, Good)]).card();
    expect(&card, Missed, 2.0 - 200.1 / 180.0);
    // The same with readings missing altogether.
    expect(&run(900.0).reads(alert(), &[(-10.0, Bad), (170.0, Gap), (195.0, Good)]).card(), NotKnown, 0.0);
    // Blind from T0 on: it may have fired at once.
    expect(&run(3000.0).reads(alert(), &[(-10.0, Bad), (0.0, Unknown), (195.0, Good)]).card(), NotKnown, 0.0);
    expect(&run(3000.0).reads(alert(), &[(-10.0, Bad), (0.0, Gap), (195.0, Good)]).card(), NotKnown, 0.0);
}

#[test]
fn a_deaf_instrument_is_inconclusive() {
    let card = run(600.0).reads(alert(), &[(-10.0, Bad), (0.0, Unknown)]).card();
    expect(&card, NotKnown, 0.0);
    assert_eq!((card.verdict, card.exit().code()), (Verdict::Inconclusive, 4));
    near(card.coverage, 0.0);
}

#[test]
fn a_staged_alert_must_be_false_when_its_stage_begins() {
    let staged = ObjectiveInfo { clock_from: Some("second".into()), ..alert() };
    let timeline = |script: &[(f64, Say)]| run(900.0).fault("second", 300.0, 301.0).reads(staged.clone(), script).card();
    let card = timeline(&[(-10.0, Bad), (360.0, Good)]);
    expect(&card, Met, 1.0);
    // 60 s from the second fault for the objective, 360 s from the first for the run.
    assert_eq!(figure(first(&card).clocks.detect), Some((60.0, 5.1)));
    assert_eq!(figure(card.clocks.detect), Some((360.0, 5.1)));
    // The first stage raised it already.
    let card = timeline(&[(-10.0, Bad), (60.0, Good)]);
    expect(&card, NotKnown, 0.0);
    assert!(first(&card).reason.contains("when its clock started"), "{}", first(&card).reason);
}

#[test]
fn decide_and_act_run_from_detection() {
    let card = run(600.0)
        .reads(alert(), &[(-10.0, Bad), (60.0, Good)])
        .acted("confirm", StepKind::Manual, 75.0, 90.0)
        .acted("shift", StepKind::Action, 50.0, 95.0)
        .acted("pause", StepKind::Wait, 100.0, 110.0)
        .card();
    let steps = &card.clocks.steps;
    assert_eq!(steps.len(), 2, "waits are nobody's decision");
    assert_eq!((steps[0].decide, steps[0].act, steps[0].before_detect), (Some(span(15.0)), Some(span(30.0)), false));
    // Automation that did not wait for the alert.
    assert_eq!((steps[1].decide, steps[1].act, steps[1].before_detect), (None, Some(span(35.0)), true));
    // A step that never began has no clock; without a detection none has.
    let mut unstarted = run(600.0).reads(alert(), &[(-10.0, Bad)]).acted("confirm", StepKind::Manual, 75.0, 90.0);
    unstarted.steps.push(step("later", StepKind::Manual));
    let steps = unstarted.card().clocks.steps;
    assert_eq!((steps[0].decide, steps[0].act), (None, None));
    assert_eq!((steps[1].started, steps[1].before_detect), (None, false));
}
