//! The invariants of the undo protocol, as far as a story shows them.

use std::collections::BTreeSet;

use firedrill::event::{Event, Phase};

use super::life::End;
use super::world::{Inner, Seen};

impl Inner {
    /// The state directory was deleted.
    pub fn lose_the_journal(&mut self) {
        self.header = None;
        self.records.clear();
        self.history.clear();
        self.events.clear();
        self.end = None;
        self.baseline.clear();
    }
}

pub fn violations(end: &End) -> Vec<String> {
    let mut found = end.inner.problems.clone();
    let mut check = |holds: bool, what: String| {
        if !holds {
            found.push(what);
        }
    };
    let inner = &end.inner;
    // I3 convergence, I4 no foreign overwrite, I5 only ours, I16 blast radius.
    for (id, before) in &end.before {
        let now = &inner.objects[id];
        let foreign = end.story.has_foreign_change() && id == "node-a1";
        let expected = if foreign { "repaired by someone" } else { before.value.as_str() };
        check(now.value == expected && now.mark.is_none(), format!("I3/I4: {id} is {now:?}, should be '{expected}'"));
    }
    for (_, seen) in &inner.seen {
        if let Seen::Inject(id) | Seen::Landed(id) = seen {
            check(id != "bystander" && id != "node-a3", format!("I5/I16: {id} was touched"));
        }
        // I13 verified truth.
        if let Seen::Reverted { target, read } = seen {
            check(*read == end.before[target].value, format!("I13: {target} was called Reverted while it was '{read}'"));
        }
    }
    check(end.exit != Some(firedrill::exit::Exit::StillInPlace), format!("everything is restored, and the exit code says {:?}", end.exit));
    // Every process that lived to its end leaves a closed, complete memory.
    let empty_after_sweep = end.story.empties_the_journal() && inner.header.is_none();
    let nothing_happened = inner.header.is_none() && end.story.disturbed();
    if !empty_after_sweep && !nothing_happened {
        memory(end, &mut check);
    }
    found
}

fn memory(end: &End, check: &mut impl FnMut(bool, String)) {
    let inner = &end.inner;
    check(inner.header.is_some(), "the run was never opened".into());
    check(inner.end.is_some() || inner.records.iter().any(|record| !record.phase.is_closed()), "the run was never closed".into());
    for (position, event) in inner.events.iter().enumerate() {
        check(event.seq == position as u64, format!("the stream has a gap at {position}"));
    }
    check(inner.events.iter().any(|event| matches!(event.body, Event::RunEnded { .. })), "the stream has no end".into());
    // I2 baseline once.
    for record in &inner.records {
        check(inner.baseline.get(&record.target.id) == Some(&record.prior), format!("I2: the prior state of {} changed", record.target));
        check(record.phase.is_closed(), format!("{} stays {:?}", record.target, record.phase));
        phases(end, &record.target.id, check);
    }
    // What was touched is remembered.
    let touched: BTreeSet<&String> = inner.seen.iter().filter_map(|(_, seen)| if let Seen::Landed(id) = seen { Some(id) } else { None }).collect();
    if !end.story.empties_the_journal() {
        for id in touched {
            check(inner.records.iter().any(|record| record.target.id == *id), format!("I1: {id} was touched and is not in the journal"));
        }
    }
}

/// The phases of one record: a path of the protocol, and the same in the journal and in the stream.
fn phases(end: &End, id: &str, check: &mut impl FnMut(bool, String)) {
    let path: Vec<Phase> = end.inner.history.iter().filter(|(target, _)| target == id).map(|(_, phase)| *phase).collect();
    for step in path.windows(2) {
        let legal = match (step[0], step[1]) {
            (from, to) if from == to => true,
            (Phase::Intent, Phase::Injected | Phase::Reverting) => true,
            (Phase::Injected, Phase::Verified | Phase::Reverting) => true,
            (Phase::Verified, Phase::Reverting) => true,
            (Phase::Reverting, Phase::Reverted | Phase::Gone | Phase::Drifted | Phase::Stuck) => true,
            (Phase::Stuck, Phase::Reverting) => true,
            _ => false,
        };
        check(legal, format!("{id} went from {:?} to {:?}: {path:?}", step[0], step[1]));
    }
    if end.story.disturbed() {
        return;
    }
    let told: Vec<Phase> = (end.inner.events.iter())
        .filter_map(|event| match &event.body {
            Event::TargetPhase { target, phase, .. } if target.ends_with(&format!("/{id}")) => Some(*phase),
            _ => None,
        })
        .collect();
    check(told == path, format!("{id}: the stream tells {told:?}, the journal has {path:?}"));
}
