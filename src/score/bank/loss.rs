//! Lost writes: a canary every 500 ms, each reading taking 100 ms, acknowledged 50 ms after it began; bars of 0.6 s.

use super::*;
use crate::event::{CanarySample, MissingWrite};

fn rpo(target: f64) -> ObjectiveInfo {
    ObjectiveInfo { lose_at_most: Some(span(target)), interval: span(0.5), ..objective("orders") }
}

/// Both sides of a canary, as the reading at a tick finds them.
#[derive(Clone)]
struct World {
    /// Acknowledged at that time?
    writes: fn(f64) -> bool,
    /// Can the reading side show, at the second time, a write of the first time? None: the read fails.
    shows: fn(f64, f64) -> Option<bool>,
}

const fn healthy() -> World {
    World { writes: |_| true, shows: |_, _| Some(true) }
}

fn canary(timeline: Run, info: ObjectiveInfo, until: f64, world: &World) -> Run {
    let mut timeline = timeline.reads(ObjectiveInfo { interval: span(0.5), ..info.clone() }, &[(-10.0, Gap)]);
    let mut written: Vec<(u64, f64)> = vec![];
    for tick in 0..((until + 10.0) * 2.0) as u64 {
        let now = -10.0 + tick as f64 * 0.5;
        let acknowledged = (world.writes)(now).then_some(tick + 1);
        written.extend(acknowledged.map(|number| (number, now)));
        let readable = (world.shows)(now, now).is_some();
        let missing = readable.then(|| {
            let lost = written.iter().filter(|(_, when)| (world.shows)(*when, now) == Some(false));
            lost.map(|(number, when)| MissingWrite { number: *number, acknowledged: at(when + 0.05) }).collect()
        });
        let health = if readable && acknowledged.is_some() { Health::Good } else { Health::Bad };
        let canary = Some(CanarySample { acknowledged, missing });
        let sample = Sample { objective: info.id.clone(), at: at(now), latency: span(0.1), health, detail: None, canary };
        timeline = timeline.event(now + 0.1, Event::Sample(sample));
    }
    timeline
}

fn card(target: f64, world: &World) -> Scorecard {
    canary(run(60.0), rpo(target), 60.0, world).card()
}

#[test]
fn none_lost_is_exactly_zero_without_an_error_bar() {
    let card = card(0.0, &healthy());
    expect(&card, Met, 1.0);
    assert_eq!(first(&card).clocks.lose, Some(Loss { age: Figure::ZERO, count: 0 }));
    assert_eq!(first(&card).reason, "no acknowledged write lost, target 0 s");
    assert_eq!(card.table[0].measured, "none lost");
    assert_eq!(card.verdict, Verdict::Passed);
}

#[test]
fn writes_that_never_arrive_are_lost_back_to_the_oldest() {
    // What was written from −2 until T0 is gone: −2.0, −1.5, −1.0, −0.5, acknowledged 50 ms later. Oldest −1.95, so 1.95 s back from T0.
    let world = World { shows: |when, now| Some(now < 0.0 || !(-2.0..0.0).contains(&when)), ..healthy() };
    let lost = card(3.0, &world);
    expect(&lost, Met, 1.0);
    let loss = first(&lost).clocks.lose.unwrap();
    assert_eq!((figure(Some(loss.age)), loss.count), (Some((1.95, 0.6)), 4));
    assert_eq!(lost.clocks.lose, Some(loss));
    // 2.55 at most: 1.0 at 2.55, 0.725 of 2.0, and missed at once for 0.
    expect(&card(2.55, &world), Met, 1.0);
    expect(&card(2.0, &world), Missed, 2.0 - 2.55 / 2.0);
    expect(&card(1.2, &world), Missed, 0.0);
    let none = card(0.0, &world);
    expect(&none, Missed, 0.0);
    assert!(none.reason.contains("'orders': 4 acknowledged writes lost, 2 s ± 600 ms back"), "{}", none.reason);
}

#[test]
fn a_single_lost_write_misses_a_target_of_zero() {
    let world = World { shows: |when, _| Some(when != 3.0), ..healthy() };
    let card = card(0.0, &world);
    expect(&card, Missed, 0.0);
    // Oldest and newest are one, after T0: no age of its own, but the bar.
    let loss = first(&card).clocks.lose.unwrap();
    assert_eq!((figure(Some(loss.age)), loss.count), (Some((0.0, 0.6)), 1));
}

#[test]
fn loss_after_t0_reaches_to_the_newest_lost_write() {
    // Replication died 1 s before T0, and the dying side acknowledged until 5: lost −1.0…4.5, from −0.95 to 4.55.
    let world = World { shows: |when, now| Some(now < -1.0 || !(-1.0..5.0).contains(&when)), ..healthy() };
    let card = card(10.0, &world);
    let loss = first(&card).clocks.lose.unwrap();
    assert_eq!((figure(Some(loss.age)), loss.count), (Some((5.5, 0.6)), 12));
}

#[test]
fn writes_on_their_way_are_not_lost() {
    // A lag of 1.2 s, as before the fault: the last read misses the last three writes, aged 1.05, 0.55 and 0.05 s.
    let world = World { shows: |when, now| Some(now - when > 1.2), ..healthy() };
    let card = card(0.0, &world);
    expect(&card, Met, 1.0);
}

#[test]
fn what_is_older_than_the_normal_lag_is_lost() {
    // Lag 1.2 s, and replication dies at T0: every write that had not arrived is missing, the oldest of −1.0 (missing at 0: 1.0 ≤ 1.2).
    let world = World { shows: |when, now| Some(now - when > 1.2 && when < -1.1), ..healthy() };
    let card = card(0.0, &world);
    expect(&card, Missed, 0.0);
    let loss = first(&card).clocks.lose.unwrap();
    // Oldest acknowledged at −0.95. Newest judged: the last read is over at 59.6; the lag seen is 1.05 + 0.5 of interval = 1.55 s; so up to 58.05: the
    // write of 58.0. 119 writes from −1.0 to 58.0; the age is 58.05 + 0.95 = 59.
    assert_eq!((figure(Some(loss.age)), loss.count), (Some((59.0, 0.6)), 119));
}

#[test]
fn a_dead_write_side_loses_nothing_by_being_dead() {
    let world = World { writes: |when| when < 0.0, ..healthy() };
    let card = card(0.0, &world);
    expect(&card, Met, 1.0);
    assert_eq!(figure(first(&card).clocks.impact), Some((0.0, 0.6)));
}

#[test]
fn a_dead_read_side_leaves_it_unknown() {
    let world = World { shows: |_, now| (now < 0.0).then_some(true), ..healthy() };
    let card = card(0.0, &world);
    expect(&card, NotKnown, 0.0);
    assert!(first(&card).reason.contains("never read between T0"), "{}", first(&card).reason);
    assert_eq!(first(&card).clocks.lose, None);
}

#[test]
fn writes_acknowledged_after_the_last_answered_read_are_unknown_not_safe() {
    // Read until 30, then refused, while writes go on.
    let world = World { shows: |_, now| (now < 30.0).then_some(true), ..healthy() };
    let unread = card(0.0, &world);
    expect(&unread, NotKnown, 0.0);
    assert!(first(&unread).reason.contains("after the last read that was answered"), "{}", first(&unread).reason);
    // When both sides stop at 30, nothing is unaccounted for.
    expect(&card(0.0, &World { writes: |when| when < 30.0, ..world }), Met, 1.0);
    // One refused read at the very end: its write could not have been judged anyway.
    expect(&card(0.0, &World { shows: |_, now| (now < 59.5).then_some(true), ..healthy() }), Met, 1.0);
}

#[test]
fn reads_after_undo_began_do_not_count() {
    // The undo brings the writes back at 61.
    let world = World { shows: |when, now| Some(!(0.0..=61.0).contains(&now) || !(-2.0..0.0).contains(&when)), ..healthy() };
    let card = canary(run(60.0), rpo(0.0), 90.0, &world).card();
    expect(&card, Missed, 0.0);
    assert_eq!(first(&card).clocks.lose.unwrap().count, 4);
}

#[test]
fn writes_that_arrive_before_undo_are_not_lost() {
    let world = World { shows: |when, now| Some(!(0.0..=40.0).contains(&now) || !(-2.0..0.0).contains(&when)), ..healthy() };
    expect(&card(0.0, &world), Met, 1.0);
}

#[test]
fn a_probe_without_canary_readings_cannot_show_that_nothing_was_lost() {
    let card = run(60.0).reads(rpo(0.0), &[]).card();
    expect(&card, NotKnown, 0.0);
}
