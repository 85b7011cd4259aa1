//! Who does what when: each row from its earliest moment to its latest, from the drill's own limits, waits and hold.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::calendar::Moment;
use super::{Given, Step, texts};
use crate::drill::spec::DrillSpec;
use crate::event::StepKind;

/// When something happens: at the earliest, and at the latest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Window {
    /// Earliest.
    pub from: Duration,
    /// Latest.
    pub to: Duration,
}

/// When each part of a drill happens, counted from the start of the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Times {
    /// When each step begins.
    pub begins: BTreeMap<String, Window>,
    /// When each step is done.
    pub done: BTreeMap<String, Window>,
    /// When the hold begins.
    pub hold: Window,
    /// When undo begins.
    pub undo: Window,
    /// When the region counts as healthy, counted from the end of lifting, which has no limit: the earliest, the latest. None: no gate.
    pub gate: Option<Window>,
}

impl Times {
    /// The times of a drill.
    #[must_use]
    pub fn of(drill: &DrillSpec, steps: &[Step], baseline: Duration) -> Self {
        let (mut begins, mut done) = (BTreeMap::new(), BTreeMap::<String, Window>::new());
        // Each pass finishes at least one step of those that are left; a drill has no circles.
        for _ in steps {
            for step in steps {
                let ready = step.after.iter().all(|id| done.contains_key(id) || !steps.iter().any(|other| other.id == *id));
                if done.contains_key(&step.id) || !ready {
                    continue;
                }
                let latest = |of: fn(&Window) -> Duration| step.after.iter().filter_map(|id| done.get(id)).map(of).max().unwrap_or(baseline);
                let begin = Window { from: latest(|it| it.from), to: latest(|it| it.to) };
                let least = if step.kind == StepKind::Wait { step.limit } else { Duration::ZERO };
                done.insert(step.id.clone(), Window { from: begin.from + least, to: begin.to + step.limit });
                begins.insert(step.id.clone(), begin);
            }
        }
        let end = |of: fn(&Window) -> Duration| done.values().map(of).max().unwrap_or(baseline);
        let hold = Window { from: end(|it| it.from), to: end(|it| it.to) };
        let first = steps.iter().filter(|step| step.changes()).filter_map(|step| begins.get(&step.id)).map(|window| window.to).min();
        let due = first.map_or(Duration::MAX, |first| first.saturating_add(*drill.undo_by));
        let undo = Window { from: (hold.from + *drill.hold).min(due), to: (hold.to + *drill.hold).min(due) };
        let gate = drill.region_healthy.as_ref().filter(|_| steps.iter().any(Step::fails_back));
        Self { begins, done, hold, undo, gate: gate.map(|gate| Window { from: *gate.stable_for, to: *gate.limit }) }
    }

    fn undo_at(&self) -> Moment {
        Moment::after(self.undo.to)
    }

    /// When everything is undone and healthy, without what lifting takes, which has no limit.
    #[must_use]
    pub fn end(&self) -> Window {
        let gate = self.gate.unwrap_or_default();
        Window { from: self.undo.from + gate.from, to: self.undo.to + gate.to }
    }
}

/// Names of rows that are no step's: with a blank, which no step has in its id.
const START: &str = "the start";
const BASELINE: &str = "the baseline";
const HOLD: &str = "the hold";
const LIFT: &str = "the lifting";
const GATE: &str = "the gate";
const BACK: &str = "the fail-back";
const VERDICT: &str = "the verdict";

/// One row.
#[derive(Default)]
struct Row {
    /// What other rows call it.
    name: String,
    /// The rows that it waits for.
    after: Vec<String>,
    from: Moment,
    to: Option<Moment>,
    who: String,
    what: String,
    see: String,
    /// What is typed: it stands below the table, where it is whole.
    command: Option<String>,
    /// The step that it is.
    step: Option<String>,
}

impl Row {
    fn at(from: Moment, who: &str, what: impl Into<String>, see: impl Into<String>) -> Self {
        Self { from, who: who.to_owned(), what: what.into(), see: see.into(), ..Self::default() }
    }

    fn until(self, to: Moment) -> Self {
        Self { to: Some(to), ..self }
    }

    fn typing(self, command: String) -> Self {
        Self { command: Some(command), ..self }
    }

    fn named(self, name: &str) -> Self {
        Self { name: name.to_owned(), ..self }
    }

    fn after(self, names: &[&str]) -> Self {
        Self { after: names.iter().map(|name| (*name).to_owned()).collect(), ..self }
    }
}

/// The rows, in order of their earliest moments.
#[must_use]
pub fn rows(given: &Given<'_>, times: &Times) -> Vec<Value> {
    let mut rows = before(given);
    rows.extend(start(given, times));
    // Steps that wait for others come after them, in whichever order the drill names them.
    let mut steps: Vec<(usize, &Step)> = given.steps.iter().enumerate().collect();
    steps.sort_by_key(|(index, step)| (times.begins.get(&step.id).map(|window| (window.from, window.to)), *index));
    rows.extend(steps.into_iter().filter_map(|(index, step)| of_step(index, step, times)));
    rows.extend(undo(given, times));
    rows.extend(end(given, times));
    rows.sort_by_key(|row| row.from);
    (0..rows.len()).map(|index| told(given, index, &rows)).collect()
}

fn before(given: &Given<'_>) -> Vec<Row> {
    let row = |before: Duration, who: &str, what: String, see: &str| Row::at(Moment::before(before), who, what, see);
    vec![
        row(
            texts::DAY,
            &given.drill.spec.owner,
            "finds somebody for each role under “Who”, and names the channel; the scribe writes both down where everybody sees it".into(),
            "incident commander and drill lead are two people",
        ),
        row(texts::DAY, texts::COMMS, "sends announcement A1".into(), "nobody objects; an objection moves the drill"),
        row(
            texts::HOUR,
            texts::COMMS,
            "sends announcement A2".into(),
            "on-call of both sides answers “seen”; who has not by the go/no-go is a no-go",
        ),
        row(
            texts::MADE,
            texts::SCRIBE,
            "makes this runbook again, and prints a copy for each role and the abort card, and takes the old ones away: what is there may have changed".into(),
            "the targets of this runbook, or those that everybody agrees to",
        )
        .typing(given.words.runbook(given.start.as_ref())),
        row(texts::HOUR, texts::LEAD, "reads the plan again".into(), "exit 0; the targets are those of this runbook, else make it again")
            .typing(given.words.plan()),
        row(
            texts::HOUR,
            texts::SCRIBE,
            "fills in the lines at the head of this runbook, on the abort card and under “Break glass”, and tries the second machine".into(),
            "no line is empty but the run's id",
        ),
        row(
            texts::GO,
            texts::COMMANDER,
            "calls the roll, goes through the go/no-go checklist, asks each role “go or no-go?”".into(),
            "every role says “go”; one “no-go” is enough to stop, and Comms sends A8",
        ),
        row(texts::SOON, texts::COMMS, "sends announcement A3".into(), "the channel is quiet"),
    ]
}

fn start(given: &Given<'_>, times: &Times) -> Vec<Row> {
    let (now, steady) = (Moment::after(Duration::ZERO), Moment::after(given.baseline));
    let lost = if given.is_embedded() {
        "The machine dies: the sandbox dies with it".to_owned()
    } else {
        format!("The machine dies before there is one: on the second machine `{}`, see “Break glass”", given.words.sweep())
    };
    vec![
        Row::at(
            now,
            texts::LEAD,
            "says “Starting now”, starts the run in the working folder, pastes the run's id into the channel",
            "a line with the run's id; the baseline begins. No id: nothing was touched, read the message aloud",
        )
        .typing(given.words.run())
        .named(START),
        Row::at(now, texts::COMMS, "sends announcement A4, with the run's id", "everybody knows how to stop it").after(&[START]),
        Row::at(
            now,
            texts::LEAD,
            "watches the baseline. Nothing is touched yet: Ctrl-C here costs nothing",
            format!("{}; else the run ends untouched, and Comms sends A8", texts::steady(given, "is", "")),
        )
        .until(steady)
        .named(BASELINE)
        .after(&[START]),
        Row::at(
            now,
            texts::SCRIBE,
            format!(
                "writes the run's id on the abort card; then makes this run's own card, in a second terminal of the machine of the run and in its working folder, prints the file that it names and gives it to the {} in the place of the other; comms writes down the steps meanwhile. Too late for it: the other one, with the run's id put in",
                texts::LEAD.to_lowercase(),
            ),
            format!("a card with the run's id; the one in this runbook is for what was done by hand. {lost}"),
        )
        .until(times.undo_at())
        .typing(given.words.card("latest"))
        .after(&[START]),
    ]
}

fn of_step(index: usize, step: &Step, times: &Times) -> Option<Row> {
    let (begins, done) = (times.begins.get(&step.id)?, times.done.get(&step.id)?);
    let number = index + 1;
    let (who, what, see) = match step.kind {
        StepKind::Fault => (
            texts::LEAD.to_owned(),
            format!("lets firedrill break it: {}", step.name),
            "“verified in effect”; without it the run goes on, and proves nothing".to_owned(),
        ),
        // Capacity that is asked for has moved nobody.
        StepKind::Action if step.name.ends_with("Scale") => (
            texts::LEAD.to_owned(),
            format!("lets firedrill ask for capacity: {}", step.name),
            "“done”: the capacity that was asked for is there".to_owned(),
        ),
        StepKind::Action => (
            texts::LEAD.to_owned(),
            format!("lets firedrill move traffic: {}", step.name),
            "“done”: new requests are sent to where they should go".to_owned(),
        ),
        StepKind::Manual => {
            let see = format!("says “done”; the {} types `done` at the terminal", texts::LEAD.to_lowercase());
            (step.role.clone().unwrap_or_default(), step.summary.clone(), see)
        }
        StepKind::Wait => (texts::LEAD.to_owned(), format!("waits {}", step.summary.trim_start_matches("for ")), "nothing new".to_owned()),
        StepKind::Check => (
            texts::LEAD.to_owned(),
            "waits for the check".to_owned(),
            "good within its limit, or the run turns round and undoes everything".to_owned(),
        ),
    };
    let after = if step.after.is_empty() { vec![BASELINE.to_owned()] } else { step.after.clone() };
    let row = Row::at(Moment::after(begins.from), &who, format!("step {number}, `{}`: {what}", step.id), see).until(Moment::after(done.to));
    Some(Row { after, step: Some(step.id.clone()), ..row.named(&step.id) })
}

/// From the hold to fail-back.
fn undo(given: &Given<'_>, times: &Times) -> Vec<Row> {
    let after = |length: Duration| Moment::after(length);
    let objectives = given.objectives.iter().map(|it| format!("`{}`", it.id)).collect::<Vec<_>>().join(", ");
    // The steps that no other one waits for.
    let last: Vec<&str> =
        given.steps.iter().map(|step| step.id.as_str()).filter(|id| !given.steps.iter().any(|other| other.after.iter().any(|it| it == id))).collect();
    let (lift, lifted) = (after(times.undo.from), after(times.undo.to));
    let mut rows = vec![
        Row::at(
            after(times.hold.from),
            texts::LEAD,
            format!("holds for {} and reads the objectives aloud at each change", given.drill.spec.hold),
            format!("{objectives}: see “Objectives” for what good means. Red is a result, not a stop, but for what “Stop” names"),
        )
        .until(lifted)
        .named(HOLD)
        .after(&last),
        Row::at(
            lift,
            texts::LEAD,
            "lets firedrill lift every fault, in reverse order; says “Lifting”",
            "each target is read back as it was before; “every fault is lifted”. A line with STUCK (after a minute; where instances start, after ten): read it aloud; the incident commander decides: wait, have it repaired, or Ctrl-C three times and the abort card from 2 on; Comms: A10. Nothing new at all: “Neither works” under “Stop”",
        )
        .until(lifted)
        .named(LIFT)
        .after(&[HOLD]),
        Row::at(lift, texts::COMMS, "on “Lifting” sends announcement A5", "nobody changes anything in between").until(lifted).after(&[HOLD]),
    ];
    let Some(gate) = times.gate else { return rows };
    let from = &given.drill.spec.failed_region;
    rows.push(
        Row::at(
            lift,
            texts::COMMANDER,
            format!(
                "watches the gate: firedrill goes on to fail-back by itself once {from} has been healthy for {}. To stay evacuated, says “stay” at once, for it must come before fail-back begins: the drill lead presses Ctrl-C until two are pressed in the terminal of the run, never a third. The scribe reads the gate by hand, too: “Objectives”",
                crate::report::words::duration(gate.from)
            ),
            "“the failed region is healthy”; or it “did not become healthy, actions stay”: evacuated is the safe state",
        )
        .until(after(times.undo.to.saturating_add(gate.to)))
        .named(GATE)
        .after(&[LIFT]),
    );
    rows.push(
        Row::at(
            after(times.end().from),
            texts::LEAD,
            "lets firedrill fail the actions back, in reverse order",
            format!(
                "traffic comes home; the objectives stay good. It goes to its end, no Ctrl-C helps here; then the incident commander decides: to evacuate again, the drill lead types “Do” of the actions under “Steps”, in the order of this table; Comms: A9, and no A6 until users are home again: {}",
                texts::HOME_BY_HAND
            ),
        )
        .until(after(times.end().to))
        .named(BACK)
        .after(&[GATE]),
    );
    rows
}

fn end(given: &Given<'_>, times: &Times) -> Vec<Row> {
    let at = times.end();
    let row = |later: Duration, who: &str, what: String, see: &str| {
        Row::at(Moment::after(at.from.saturating_add(later)), who, what, see).until(Moment::after(at.to.saturating_add(later)))
    };
    let first = if times.gate.is_some() { BACK } else { LIFT };
    let mut rows = vec![
        row(
            Duration::from_secs(1),
            texts::LEAD,
            "reads the last lines and the exit code aloud. A verdict in red is a result, not a stop".into(),
            "a line of the table “How it ended”, below: it says what comes now",
        )
        .typing("echo $?".to_owned())
        .named(VERDICT)
        .after(&[first]),
    ];
    rows.push(
        row(
            Duration::from_secs(2),
            texts::COMMS,
            "when nothing is in place any more, sends announcement A6".into(),
            "monitoring is as before the drill",
        )
        .after(&[VERDICT]),
    );
    rows.push(
        row(
            Duration::from_secs(3),
            texts::SCRIBE,
            "writes the post-game report, on the machine of the run and in its working folder; that is lost: the scribe’s table is the report".into(),
            "the times of this table are filled in",
        )
        .typing(given.words.record("latest")),
    );
    rows.push(Row {
        to: None,
        ..row(texts::HALF, texts::COMMANDER, "opens the debrief: now, or within two days".into(), "everybody who took part is there")
    });
    rows
}

fn told(given: &Given<'_>, index: usize, rows: &[Row]) -> Value {
    let row = &rows[index];
    let clock = |moment: Moment| given.start.map(|start| start.clock(moment));
    json!({
        "number": index + 1,
        "from": row.from.offset(),
        "to": row.to.filter(|to| *to != row.from).map(Moment::offset),
        "clock": clock(row.from),
        "clockTo": row.to.filter(|to| *to != row.from).and_then(clock),
        "order": order(index, rows),
        "who": row.who,
        "what": row.what,
        "see": row.see,
        "typed": row.command.iter().collect::<Vec<_>>(),
        "actual": row.step.as_deref().and_then(|id| super::outcome::step(given, id)),
    })
}

/// `after rows 10 and 12, together with row 14`; none for what only its time tells.
fn order(index: usize, rows: &[Row]) -> Option<String> {
    let row = &rows[index];
    let numbers = |wanted: &dyn Fn(usize, &Row) -> bool| -> Vec<usize> {
        rows.iter().enumerate().filter(|(at, other)| wanted(*at, other)).map(|(at, _)| at + 1).collect()
    };
    let before = numbers(&|_, other| !other.name.is_empty() && row.after.contains(&other.name));
    // Steps begin with each other; of other rows their time says enough.
    let beside = numbers(&|at, other| at != index && row.step.is_some() && other.step.is_some() && other.after == row.after);
    let mut said = Vec::new();
    said.extend(listed(&before).map(|rows| format!("after {rows}")));
    said.extend(listed(&beside).map(|rows| format!("together with {rows}")));
    Some(said.join(", ")).filter(|said| !said.is_empty())
}

/// `row 3`, `rows 3 and 4`, `rows 3, 4 and 6`.
fn listed(numbers: &[usize]) -> Option<String> {
    let (last, first) = numbers.split_last()?;
    let first = first.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    Some(if first.is_empty() { format!("row {last}") } else { format!("rows {first} and {last}") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drill::text::DurationText;

    fn step(id: &str, kind: StepKind, after: &[&str], limit: u64) -> Step {
        Step {
            id: id.into(),
            kind,
            name: String::new(),
            summary: String::new(),
            role: None,
            after: after.iter().map(|id| (*id).to_owned()).collect(),
            limit: Duration::from_secs(limit),
            keep: false,
            expiry: None,
            radius: Vec::new(),
            targets: Vec::new(),
            pattern: None,
        }
    }

    #[test]
    fn moments_come_from_limits_waits_and_hold_and_undo_by_caps_them() {
        let seconds = |n| DurationText(Duration::from_secs(n));
        let drill = DrillSpec { hold: seconds(60), undo_by: seconds(300), ..DrillSpec::default() };
        let steps = [step("b", StepKind::Fault, &["a"], 30), step("a", StepKind::Wait, &[], 20), step("c", StepKind::Check, &["b"], 10)];
        let times = Times::of(&drill, &steps, Duration::from_secs(10));
        let window = |from, to| Window { from: Duration::from_secs(from), to: Duration::from_secs(to) };
        assert_eq!((times.begins["a"], times.begins["b"], times.begins["c"]), (window(10, 10), window(30, 30), window(30, 60)));
        assert_eq!((times.hold, times.undo), (window(30, 70), window(90, 130)));
        let soon = Times::of(&DrillSpec { undo_by: seconds(70), ..drill }, &steps, Duration::from_secs(10));
        assert_eq!(soon.undo, window(90, 100));
    }
}
