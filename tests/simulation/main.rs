//! A whole run in an in-memory world on a virtual clock: crashed before, after, with a lost answer and with a late one at every effect, and again in
//! recovery; every invariant of the undo protocol that applies is checked each time, and broken variants show that the checks have teeth.
//!
//! Every story checks I1 (write-ahead), I2 (baseline once), I3 (convergence), I4 and I5 (only ours), I6 and I7 (idempotent: crashes repeat calls), I8 (order),
//! I11 (single writer), I12 (stop is final), I13 (verified truth), I16 (blast radius) and I21 (never into the dark); see `checks.rs` and `world.rs`.

#![allow(clippy::unwrap_used)]

mod checks;
mod journal;
mod kinds;
mod life;
mod world;

use life::{Kept, Recovery, Story};
use world::{Break, Fate};

/// Fates at which the process dies.
const DEADLY: [Fate; 3] = [Fate::DieBefore, Fate::DieAfter, Fate::DieLate];
/// Fates that the process survives.
const SURVIVED: [Fate; 3] = [Fate::LoseAnswer, Fate::AnswerLostAndLate, Fate::AcknowledgedNotApplied];

#[test]
fn an_undisturbed_run_passes_and_has_at_least_forty_effects() {
    let end = Story::new().tell();
    end.assert_restored();
    println!("{} effects, {} of them writes to the world", end.effects, end.writes.len());
    assert!(end.effects >= 40, "{} effects", end.effects);
    assert_eq!(end.exit, Some(firedrill::exit::Exit::Passed), "{:?}", end.reason);
}

#[test]
fn i3_one_resume_restores_the_world_whatever_effect_the_run_died_at() {
    let effects = Story::new().tell().effects;
    for at in 0..effects {
        for fate in DEADLY {
            Story::new().first(at, fate).recover_by(Recovery::Resume).tell().assert_restored();
        }
    }
}

#[test]
fn i3_i15_one_sweep_with_an_empty_journal_restores_the_world_whatever_effect_the_run_died_at() {
    let effects = Story::new().tell().effects;
    for at in 0..effects {
        for fate in DEADLY {
            Story::new().first(at, fate).recover_by(Recovery::SweepWithoutJournal).tell().assert_restored();
        }
    }
}

#[test]
fn i13_a_lost_or_late_or_untrue_answer_at_any_effect_is_read_back_and_undone() {
    let effects = Story::new().tell().effects;
    for at in 0..effects {
        for fate in SURVIVED {
            Story::new().first(at, fate).tell().assert_restored();
        }
    }
}

/// Every death that differs from the others: after each effect (which is also before the next one), and late where the effect writes to the world.
fn deaths(effects: usize, writes: &[usize]) -> impl Iterator<Item = (usize, Fate)> + use<> {
    let late: Vec<(usize, Fate)> = writes.iter().map(|&at| (at, Fate::DieLate)).collect();
    (0..effects).map(|at| (at, Fate::DieAfter)).chain(late)
}

fn second_crashes(recovery: Recovery) {
    let whole = Story::new().tell();
    for (at, fate) in deaths(whole.effects, &whole.writes) {
        let story = Story::new().first(at, fate).recover_by(recovery);
        let once = story.tell();
        for (second, second_fate) in deaths(once.recovery_effects, &once.writes) {
            story.second(second, second_fate).tell().assert_restored();
        }
    }
}

#[test]
fn a_second_crash_in_a_resume_changes_nothing_about_the_promise() {
    second_crashes(Recovery::Resume);
}

#[test]
fn a_second_crash_in_a_sweep_changes_nothing_about_the_promise() {
    second_crashes(Recovery::SweepWithoutJournal);
}

#[test]
fn i12_an_abort_in_the_hold_survives_a_crash_at_any_effect_and_nothing_is_injected_after_it() {
    let effects = Story::new().abort_in_the_hold().tell().effects;
    for at in 0..effects {
        for fate in DEADLY.into_iter().chain(SURVIVED) {
            Story::new().abort_in_the_hold().first(at, fate).recover_by(Recovery::Resume).tell().assert_restored();
        }
    }
    let end = Story::new().abort_in_the_hold().tell();
    assert_eq!(end.exit, Some(firedrill::exit::Exit::Aborted), "{:?}", end.reason);
}

#[test]
fn after_a_stop_the_first_revert_waits_for_no_write_of_the_journal() {
    use firedrill::event::Event;
    let end = Story::new().abort_in_the_hold().slow_disk_from_the_hold_on().tell();
    end.assert_restored();
    let stopped = end.inner.events.iter().find(|event| matches!(event.body, Event::Stopping { .. })).unwrap().at;
    let (reverted, _) = end.inner.seen.iter().find(|(_, seen)| matches!(seen, world::Seen::Revert(_))).unwrap();
    assert!(reverted.since(stopped) < std::time::Duration::from_secs(1), "stopped at {stopped}, first revert at {reverted}");
}

#[test]
fn i4_someone_elses_change_in_the_hold_is_left_alone_and_the_run_says_drifted() {
    let end = Story::new().foreign_change_in_the_hold().tell();
    end.assert_restored();
    assert_eq!(end.exit, Some(firedrill::exit::Exit::Drifted), "{:?}", end.reason);
}

#[test]
fn i8_a_target_that_cannot_be_undone_for_minutes_is_called_stuck_retried_and_does_not_stop_the_others() {
    let end = Story::new().stubborn_target().tell();
    end.assert_restored();
    let reverted = |id: &str| end.reverted_at(id).unwrap_or_else(|| panic!("{id} was never reverted"));
    assert!(reverted("node-a1") < reverted("node-b1"), "node-a1 waited for a stuck target");
    assert!(end.was_stuck("node-b1"));
}

#[test]
fn an_action_kept_on_purpose_stays_is_recorded_and_is_not_still_in_place() {
    for kept in [Kept::ByDrill, Kept::ByFlag] {
        let end = Story::new().kept(kept).tell();
        end.assert_lifted_but_evacuated();
        assert_eq!(end.exit, Some(firedrill::exit::Exit::Passed), "{kept:?}: {:?}", end.reason);
        assert!(end.inner.end.is_some() && end.inner.records.iter().all(|record| record.phase.is_closed()), "{kept:?}");
    }
}

#[test]
fn a_step_that_waits_says_now_and_then_for_what() {
    use firedrill::event::Event;
    let notes = |end: &life::End| -> Vec<String> {
        let waits = |event: &firedrill::event::RunEvent| match &event.body {
            Event::Note { text } if text.contains("waits for") => Some(text.clone()),
            _ => None,
        };
        end.inner.events.iter().filter_map(waits).collect()
    };
    let slow = Story::new().slow_target().tell();
    slow.assert_restored();
    // Twenty-five seconds of it, told every fifteen.
    assert_eq!(notes(&slow), ["step 'b' waits for 1 target(s): sim/node-b1: a budget lets nobody go"]);
    assert_eq!(notes(&Story::new().tell()), Vec::<String>::new());
}

#[test]
fn i21_a_region_that_stays_sick_keeps_its_evacuation_and_exits_seven() {
    let end = Story::new().sick_region().tell();
    end.assert_lifted_but_evacuated();
    assert_eq!(end.exit, Some(firedrill::exit::Exit::StillInPlace), "{:?}", end.reason);
}

/// Tells every story until one is caught; the name of the broken part must not matter to who catches it.
fn caught(broken: Break) -> bool {
    let whole = [Story::new(), Story::new().foreign_change_in_the_hold()];
    if whole.into_iter().any(|story| story.broken(broken).tell().violations().is_some()) {
        return true;
    }
    let effects = Story::new().tell().effects;
    (0..effects).any(|at| {
        DEADLY.into_iter().chain(SURVIVED).any(|fate| {
            [Recovery::Resume, Recovery::SweepWithoutJournal]
                .into_iter()
                .any(|recovery| Story::new().broken(broken).first(at, fate).recover_by(recovery).tell().violations().is_some())
        })
    })
}

#[test]
fn the_checks_have_teeth_each_journal_write_is_missed_when_it_is_taken_out() {
    for write in journal::WRITES {
        assert!(caught(Break::JournalWrite(write)), "nothing noticed that the journal drops '{write}'");
    }
}

#[test]
fn the_checks_have_teeth_a_missing_read_back_is_noticed() {
    assert!(caught(Break::NoReadBack));
}

#[test]
fn the_checks_have_teeth_actions_undone_before_faults_are_noticed() {
    assert!(caught(Break::ActionsWithFaults));
}
