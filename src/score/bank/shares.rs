//! Availability, severity, weights.

use super::*;

fn available(target: f64) -> ObjectiveInfo {
    ObjectiveInfo { availability: Some(target), ..objective("checkout") }
}

#[test]
fn the_error_budget_may_be_spent_once_and_is_gone_when_spent_twice() {
    // 1000 samples; a budget of 99.5 % is 5 bad ones.
    for (bad, verdict, s) in
        [(0.0, Met, 1.0), (5.0, Met, 1.0), (6.0, Missed, 0.8), (7.5, Missed, 0.4), (8.0, Missed, 0.4), (10.0, Missed, 0.0), (900.0, Missed, 0.0)]
    {
        let bad = f64::ceil(bad);
        let card = run(1000.0).reads(available(99.5), &[(100.0, Bad), (100.0 + bad, Good)]).card();
        expect(&card, verdict, s);
        assert_eq!(first(&card).targets[0].measured, Some(Quantity::Percent(100.0 - bad / 10.0)));
        assert_eq!(first(&card).targets[0].plus_minus, None);
    }
    // 2000 samples: 10 may be bad, 15 is one and a half times the budget.
    expect(&run(2000.0).reads(available(99.5), &[(100.0, Bad), (115.0, Good)]).card(), Missed, 0.5);
}

#[test]
fn rounding_of_the_target_does_not_decide() {
    // 1 of 1000 is exactly the budget of 99.9 %, though 100 − 99.9 is less than 0.1 in floating point.
    expect(&run(1000.0).reads(available(99.9), &[(100.0, Bad), (101.0, Good)]).card(), Met, 1.0);
}

#[test]
fn one_bad_sample_ends_a_hundred_percent() {
    expect(&run(1000.0).reads(available(100.0), &[]).card(), Met, 1.0);
    expect(&run(1000.0).reads(available(100.0), &[(100.0, Bad), (101.0, Good)]).card(), Missed, 0.0);
}

#[test]
fn a_target_of_zero_percent_is_always_met_by_what_is_known() {
    expect(&run(1000.0).reads(available(0.0), &[(0.0, Bad)]).card(), Met, 1.0);
}

#[test]
fn availability_counts_from_the_recovery_deadline() {
    // Bad 5…250; recoverWithin 300: of the 300 samples from 300 to 600 none is bad.
    let both = ObjectiveInfo { availability: Some(99.5), ..rto(300.0) };
    let card = run(600.0).reads(both.clone(), &[(5.0, Bad), (250.0, Good)]).card();
    expect(&card, Met, 1.0);
    assert_eq!(first(&card).targets[1].measured, Some(Quantity::Percent(100.0)));
    // Without recoverWithin from T0: 245 of 600 bad.
    let card = run(600.0).reads(available(99.5), &[(5.0, Bad), (250.0, Good)]).card();
    expect(&card, Missed, 0.0);
    assert!(first(&card).reason.starts_with("59.17% available (245 of 600 samples bad), target 99.5%"), "{}", first(&card).reason);
    // A relapse after the deadline shows: 3 of 300 bad is twice the budget of 1.5.
    let card = run(600.0).reads(both, &[(5.0, Bad), (250.0, Good), (400.0, Bad), (403.0, Good)]).card();
    expect(&card, Missed, 0.0);
    let targets = &first(&card).targets;
    assert_eq!((targets[0].verdict, targets[1].verdict), (Met, Missed));
}

#[test]
fn availability_without_a_window_is_unknown() {
    let both = ObjectiveInfo { availability: Some(99.5), ..rto(300.0) };
    let card = run(300.0).reads(both, &[(5.0, Bad), (50.0, Good)]).card();
    assert_eq!((first(&card).targets[0].verdict, first(&card).targets[1].verdict), (Met, NotKnown));
    expect(&card, NotKnown, 0.0);
}

#[test]
fn ninety_percent_must_be_known_where_availability_counts() {
    // 40 of 600 unknown is enough overall, but they are 40 of the 100 that count.
    let both = ObjectiveInfo { availability: Some(50.0), ..rto(500.0) };
    let card = run(600.0).reads(both, &[(550.0, Unknown), (590.0, Good)]).card();
    assert_eq!(first(&card).targets[1].verdict, NotKnown);
    assert!(first(&card).targets[1].reason.contains("60 of 100"), "{}", first(&card).targets[1].reason);
}

#[test]
fn an_objective_takes_its_worst_target() {
    // Recovery: upper 151.1 of 100: 0.489. Availability from 100: 50 of 500 bad is 10 %, one and a quarter of 8 %: 0.75.
    let both = ObjectiveInfo { availability: Some(92.0), ..rto(100.0) };
    let card = run(600.0).reads(both, &[(0.0, Bad), (150.0, Good)]).card();
    expect(&card, Missed, 0.489);
    near(first(&card).targets[1].s, 0.75);
    let rows: Vec<(bool, f64)> = card.table.iter().map(|row| (row.counts, row.points)).collect();
    assert_eq!(rows.len(), 2);
    assert!(rows[0].0 && !rows[1].0);
    near(rows[0].1, 48.9);
    assert_eq!(rows[1].1, 0.0);
}

#[test]
fn weights_share_out_the_score_and_unknown_earns_nothing() {
    let named = |id: &str, weight: u32, info: ObjectiveInfo| ObjectiveInfo { id: id.into(), weight, ..info };
    let timeline = run(600.0)
        .latency(0.0)
        .reads(named("a", 3, rto(300.0)), &[])
        .reads(named("b", 1, rto(100.0)), &[(0.0, Bad), (149.0, Good)])
        .reads(named("c", 4, rto(300.0)), &[(0.0, Unknown)]);
    let card = timeline.card();
    // (3·1 + 1·0.5 + 4·0) / 8 = 43.75; known: 4 of 8.
    near(card.score.unwrap(), 43.75);
    near(card.coverage, 0.5);
    near(card.table.iter().map(|row| row.points).sum(), 43.75);
    assert_eq!(card.verdict, Verdict::Failed);
    assert!(card.reason.starts_with("missed 'b': recovered in 2m 29s ± 1 s, target 1m 40s"), "{}", card.reason);
    assert!(!card.reason.contains("'c'"), "a failed run names what was missed: {}", card.reason);
}

#[test]
fn an_objective_without_weight_still_decides_the_verdict() {
    let info = |id: &str, weight| ObjectiveInfo { id: id.into(), weight, ..rto(300.0) };
    let card = run(600.0).reads(info("a", 1), &[]).reads(info("b", 0), &[(0.0, Bad)]).card();
    assert_eq!((card.verdict, card.score), (Verdict::Failed, Some(100.0)));
    let card = run(600.0).reads(info("b", 0), &[(0.0, Bad)]).card();
    assert_eq!((card.verdict, card.score), (Verdict::Failed, None));
}

#[test]
fn severity_is_said_by_the_share_of_bad_samples_in_ten_intervals() {
    // From T0, windows of 10: 0–10 none, 10–20 one bad of ten, 20–30 half, 30–50 all, 50–60 unknown, then none.
    let script = [(10.0, Bad), (11.0, Good), (20.0, Half), (30.0, Bad), (50.0, Unknown), (60.0, Good)];
    let card = run(100.0).reads(rto(50.0), &script).card();
    let seen: Vec<(f64, f64, Severity, Option<f64>)> = first(&card)
        .severity
        .iter()
        .map(|window| ((window.from.0 - BASE) as f64 / 1e6, (window.to.0 - BASE) as f64 / 1e6, window.severity, window.bad))
        .collect();
    assert_eq!(
        seen,
        [
            (-10.0, 10.0, Severity::None, Some(0.0)),
            (10.0, 20.0, Severity::Degraded, Some(0.1)),
            (20.0, 30.0, Severity::Disruption, Some(0.5)),
            (30.0, 50.0, Severity::Outage, Some(1.0)),
            (50.0, 60.0, Severity::Unknown, None),
            (60.0, 100.0, Severity::None, Some(0.0)),
        ]
    );
}

#[test]
fn the_levels_of_severity_are_those_that_providers_avoid_saying() {
    for (bad_of_ten, severity) in [
        (0, Severity::None),
        (1, Severity::Degraded),
        (2, Severity::Degraded),
        (3, Severity::Disruption),
        (9, Severity::Disruption),
        (10, Severity::Outage),
    ] {
        let card = run(20.0).reads(rto(10.0), &[(0.0, Bad), (f64::from(bad_of_ten), Good)]).card();
        let window = first(&card).severity.iter().find(|window| window.from <= at(0.0) && window.to > at(0.0)).copied().unwrap();
        assert_eq!(window.severity, severity, "{bad_of_ten} of 10");
    }
}

#[test]
fn a_century_without_readings_is_one_unknown_window() {
    let century = 3_155_760_000.0;
    let card = run(century + 100.0).reads(rto(50.0), &[(-10.0, Gap)]);
    let card = card.reading("checkout", 1.0, 0.1, Health::Good).reading("checkout", century, 0.1, Health::Good).card();
    assert!(first(&card).severity.len() <= 5, "{}", first(&card).severity.len());
}
