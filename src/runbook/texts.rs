//! What is said the same for every drill: roles, checklist, announcements, texts to prepare, debrief, glossary. Roles only, never names of persons.

use std::time::Duration;

use serde_json::{Value, json};

use super::calendar::{Moment, Start};
use super::timeline::Times;
use super::{Given, Words, count, reading};
use crate::drill::spec::Objective;
use crate::drill::text::DurationText;
use crate::event::StepKind;
use crate::fault::shell::word;
use crate::report::words;

/// Decides.
pub const COMMANDER: &str = "Incident commander";
/// At the keyboard.
pub const LEAD: &str = "Drill lead";
/// Writes down.
pub const SCRIBE: &str = "Scribe";
/// Speaks to everybody else.
pub const COMMS: &str = "Comms";

/// How users come home without firedrill, once every fault is lifted.
pub const HOME_BY_HAND: &str =
    "the abort card, by hand: “In each shell first”, where it has that, then from “Then” on; the boxes between count as ticked";

/// The first announcement.
pub const DAY: Duration = Duration::from_hours(24);
/// The runbook is made again, and printed.
pub const MADE: Duration = Duration::from_hours(2);
/// The second.
pub const HOUR: Duration = Duration::from_hours(1);
/// Go or no-go.
pub const GO: Duration = Duration::from_mins(15);
/// The third announcement.
pub const SOON: Duration = Duration::from_mins(5);
/// From the end to the debrief.
pub const HALF: Duration = Duration::from_mins(30);

impl Words {
    fn with(&self, verb: &str, rest: &str) -> String {
        format!("{} {verb} {}{rest}", self.program, word(&self.drill))
    }

    /// `firedrill run …`.
    #[must_use]
    pub fn run(&self) -> String {
        self.with("run", &format!(" --env {}", word(&self.environment)))
    }

    /// `firedrill plan …`.
    #[must_use]
    pub fn plan(&self) -> String {
        self.with("plan", &format!(" --env {}", word(&self.environment)))
    }

    /// `firedrill runbook …`, for a runbook of this drill and environment.
    #[must_use]
    pub fn runbook(&self, start: Option<&Start>) -> String {
        let start = start.map(|start| format!(" --start {} --time-zone {}", start.written(), word(start.zone()))).unwrap_or_default();
        self.with("runbook", &format!(" --env {}{start} --out runbook", word(&self.environment)))
    }

    /// `firedrill sweep …`: it lists what is in place.
    #[must_use]
    pub fn sweep(&self) -> String {
        format!("{} sweep --env {}", self.program, word(&self.environment))
    }

    /// The same with the drill: what it says on the second machine, `--apply` would undo there.
    #[must_use]
    pub fn sweep_of_drill(&self) -> String {
        format!("{} --drill {}", self.sweep(), word(&self.drill))
    }

    /// `firedrill sweep … --apply`: it undoes it. The drill has the gate of fail-back.
    #[must_use]
    pub fn sweep_apply(&self) -> String {
        format!("{} --apply", self.sweep_of_drill())
    }

    /// `firedrill sweep … --apply` without the drill: faults are lifted, actions stay.
    #[must_use]
    pub fn sweep_stay(&self) -> String {
        format!("{} --apply", self.sweep())
    }

    /// `firedrill status`.
    #[must_use]
    pub fn status(&self) -> String {
        format!("{} status", self.program)
    }

    /// `firedrill abort RUN`.
    #[must_use]
    pub fn of(&self, verb: &str, run: &str) -> String {
        format!("{} {verb} {run}", self.program)
    }

    /// The card of a run.
    #[must_use]
    pub fn card(&self, run: &str) -> String {
        format!("{} runbook --record {run} --card", self.program)
    }

    /// The post-game report of a run.
    #[must_use]
    pub fn record(&self, run: &str) -> String {
        format!("{} runbook --record {run} --out post-game", self.program)
    }
}

/// Who is needed, and for what.
#[must_use]
pub fn roles(given: &Given<'_>) -> Vec<Value> {
    let drill = &given.drill.spec;
    let role = |role: &str, does: String| json!({"role": role, "does": does});
    let mut roles = vec![
        role(COMMANDER, "decides: go or no-go, what comes after a stop, whether to stay evacuated. Types nothing, and can be reached by phone".into()),
        role(LEAD, "is at the keyboard: starts the run, reads aloud what it says, stops it when anybody says “stop”, has the abort card on paper and types it when firedrill cannot".into()),
        role(
            SCRIBE,
            "writes down what happens with the time, from the first minute, and which steps have begun; sits at the second machine; makes the card and the post-game report"
                .into(),
        ),
        role(COMMS, "sends the announcements, answers questions, reads the channel and repeats every “stop” there aloud at once".into()),
        role(&drill.owner, "answers for the drill: knows why it is built as it is, and what may be changed in it".into()),
    ];
    for step in drill.steps.iter().filter_map(|step| step.manual.as_ref().map(|manual| (&step.id, manual))) {
        let known = roles.iter_mut().find(|role| role["role"] == step.1.role.as_str());
        let does = format!("does step `{}` by hand", step.0);
        match known {
            Some(known) => known["does"] = format!("{}; {does}", known["does"].as_str().unwrap_or_default()).into(),
            None => roles.push(role(&step.1.role, does)),
        }
    }
    roles
}

/// Who is who when it is not clear, and how a role changes hands.
pub const HANDOVER: [&str; 3] = [
    "In doubt a role is whose name the scribe wrote down last. It is handed over aloud, “I hand the drill to …”, “I have the drill”; the scribe writes the time, comms tells the channel.",
    "The incident commander cannot be reached for two minutes: the drill lead decides, and stops.",
    "The commander of a real incident goes first: the drill is stopped, then ours does what they say.",
];

/// What must be true before the start. `missing` is what the abort card lacks.
#[must_use]
pub fn checklist(given: &Given<'_>, times: &Times, missing: Option<&str>) -> Vec<Value> {
    let drill = &given.drill.spec;
    let item = |text: String| json!({"text": text, "command": Value::Null});
    let run = |text: &str, command: String| json!({"text": text, "command": command});
    let due = Moment::after(times.end().to + HOUR);
    let until = given.start.map_or_else(|| format!("{} after the start", words::duration(times.end().to + HOUR)), |start| start.clock(due));
    let mut all = vec![
        run("the plan is read again, exits 0, and names the targets of this runbook", given.words.plan()),
        item("no incident is open, no freeze, no other drill, no deployment is going on in either region".into()),
        item(format!("{}{}; dashboards and alerts are open on a screen that everybody sees", steady(given, "is", "now"), unread(given))),
        item("every role above is taken, by somebody who knows that they may say “stop”".into()),
        item("on-call of every team in scope knows the time and the channel".into()),
        item(format!("whoever would undo by hand has logged in, with credentials valid until at least {until}, and has typed a reading command of “Objectives”")),
        item(format!("the way in for undoing (login, VPN, bastion) does not lead through {}", drill.failed_region)),
        item("the machine of the run is on mains power, does not sleep by itself, and keeps its terminal when the network goes".into()),
        item(missing.map_or_else(
            || "the abort card does not say NOT READY: no blanks, and commands for every step; printed, it lies beside the keyboard".to_owned(),
            |missing| format!("the abort card is NOT READY: {missing}. Fill them in, or make this runbook again where everything can be looked up; print the card, lay it beside the keyboard"),
        )),
        item("no line is empty at the head of this runbook, at the head of the abort card (but for the run's id), and in the ways in under “Break glass”".into()),
    ];
    if !given.is_embedded() {
        all.push(run(
            "the second machine has firedrill, the files of the drill and the environment, and credentials: the plan, made there too, names the same targets, and this finds nothing there, exit 0",
            given.words.sweep_of_drill(),
        ));
    }
    if drill.steps.iter().any(|step| step.action.is_some()) {
        all.push(item(format!("{} can take all of the traffic: capacity, quotas, limits", drill.surviving_regions.join(", "))));
    }
    for step in given.steps.iter().filter(|step| step.kind == StepKind::Fault && step.expiry.as_deref() == Some("no dead-man")) {
        all.push(item(format!("step `{}` does not end by itself: somebody stays at the keyboard until it is undone", step.id)));
    }
    for warning in &given.warnings {
        all.push(item(format!("known and accepted: {warning}")));
    }
    all
}

/// What the steady state is: every objective good, and those that detect quiet, since they fire because of the fault.
#[must_use]
pub fn steady(given: &Given<'_>, verb: &str, when: &str) -> String {
    let detecting: Vec<String> = given.objectives.iter().filter(|it| it.detect_within.is_some()).map(|it| format!("`{}`", it.id)).collect();
    if detecting.is_empty() {
        return format!("every objective {verb} good {when}").trim_end().to_owned();
    }
    let are = if detecting.len() == 1 { "is" } else { "are" };
    format!("every objective {verb} good {when}").trim_end().to_owned() + &format!(", and {} {are} quiet before the fault", detecting.join(", "))
}

/// Objectives that nobody can read before a run has its id.
fn unread(given: &Given<'_>) -> String {
    let needs_run = |it: &&Objective| reading::by_hand(&it.probe, given.environment.as_ref()).commands.iter().any(|line| line.contains(reading::RUN));
    let all: Vec<String> = given.drill.spec.objectives.iter().filter(needs_run).map(|it| format!("`{}`", it.id)).collect();
    if all.is_empty() { String::new() } else { format!(" ({} only once the run has an id: in the baseline)", all.join(" and ")) }
}

/// Why anybody stops it.
#[must_use]
pub fn stops(given: &Given<'_>) -> Vec<String> {
    let drill = &given.drill.spec;
    let mut all = vec![
        "a real incident begins, anywhere".to_owned(),
        "users are hurt in a way that nobody expected".to_owned(),
        format!("{} is in trouble, or anything outside the scope is, and the incident commander says so", drill.surviving_regions.join(", ")),
        "the way to undo is lost: credentials, network, the machine at the keyboard (see “Break glass”)".to_owned(),
        "somebody says “stop”. Nobody has to give a reason".to_owned(),
    ];
    all.push("by itself: a step cannot be done within its limit. The run turns round and undoes everything; nobody types anything".to_owned());
    all.extend(
        drill
            .abort_when
            .iter()
            .map(|it| format!("by itself: availability of `{}` is below {} for {}", it.objective, it.availability_below, it.window)),
    );
    let halts = given.environment.map_or(&[][..], |place| &place.spec.halt_when);
    all.extend(halts.iter().map(|halt| format!("by itself: the condition `{}` of the environment is true", halt.id)));
    all.push(format!("by itself: undo has not begun {} after the first change", drill.undo_by));
    all
}

/// What the drill touches at most.
#[must_use]
pub fn limits(given: &Given<'_>) -> Vec<String> {
    let named = |whose: &str, limits: Option<&crate::drill::spec::Limits>| -> Vec<String> {
        let Some(limits) = limits else { return Vec::new() };
        let targets = limits.max_targets.map(|most| format!("at most {} of one kind (limit of the {whose})", count(most as usize, "target")));
        let share = limits.max_percent.map(|most| format!("at most {most} of what the environment has of one kind (limit of the {whose})"));
        let regions = limits.max_regions.map(|most| format!("at most {} with a fault (limit of the {whose})", count(most as usize, "region")));
        targets.into_iter().chain(share).chain(regions).collect()
    };
    let mut all = named("drill", given.drill.spec.limits.as_ref());
    all.extend(named("environment", given.environment.and_then(|place| place.spec.limits.as_ref())));
    all.push(format!("undo begins {} after the first change at the latest, as long as firedrill runs", DurationText(*given.drill.spec.undo_by)));
    all
}

/// What each exit code asks for: codes, what they mean, who does what.
#[must_use]
pub fn ends(given: &Given<'_>, gated: bool) -> Vec<Value> {
    let resume = given.words.of("resume", "latest");
    let stay = given
        .stay(gated)
        .map(|stay| format!("“Stay” was said: the drill lead types `{stay}`, which leaves the actions; a 7 that names only them is good then: A9, never A6. Else: "))
        .unwrap_or_default();
    let end = |code: &str, means: String, next: String| json!({"exit": code, "means": means, "next": next});
    let mut all = vec![
        end("0", "passed".into(), "Comms: A6".into()),
        end("3", "an objective was missed: a result, everything is undone".into(), "Comms: A6".into()),
        end("4", "the run proves nothing, everything is undone".into(), "Comms: A6".into()),
        end("6", "stopped, everything is undone".into(), "Comms: A6".into()),
        end("5, or none and no run's id", "refused: nothing was touched".into(), "Comms: A8".into()),
        end(
            "8 or 9",
            "a platform did not answer, or a step could not be done; everything is undone".into(),
            "Comms: A6, or A8 when nothing was touched".into(),
        ),
        end(
            "10",
            "somebody else changed a target meanwhile; it was left as it is, all others are undone".into(),
            "The incident commander asks its owner: leave it, or set it by hand; the last lines name it. Comms: A6, with its name".into(),
        ),
        end(
            "7 and “STILL IN PLACE” names a fault",
            "it could not be undone".into(),
            format!(
                "{stay}The drill lead types `{resume}`: good is exit 6. A second 7 that still names a fault: the abort card, by hand, from its 2 on. Comms: A10"
            ),
        ),
    ];
    if gated {
        all.push(end(
            "7, no fault is named, and either “did not become healthy” or Ctrl-C was pressed twice",
            format!("actions stay on purpose, and are named: users are not in {}", given.drill.spec.failed_region),
            format!("Evacuated is the safe state. Comms: A9. The incident commander has the owner of {} repair it; the scribe reads the gate by hand every minute. When it is good and the incident commander says “go on”, and not before, the drill lead types `{resume}`", given.drill.spec.failed_region),
        ));
        all.push(end(
            "7, the region was healthy, and an action is named",
            "its fail-back failed".into(),
            format!(
                "Comms: A10. The incident commander decides when; then the drill lead types `{resume}`. A second 7 like this one: {HOME_BY_HAND}"
            ),
        ));
    }
    all.push(end(
        "any other, or the program is gone",
        "it did not come to its end".into(),
        format!(
            "The drill lead types `{}`, which says what is in place; then as for 7. Nothing is in place: A6, or A8 when nothing was touched",
            given.words.status()
        ),
    ));
    all
}

/// Questions without blame.
pub const DEBRIEF: [(&str, &str); 8] = [
    ("What did we expect?", "The hypothesis, in the words of before."),
    ("What happened?", "From the scribe's table and the report; times, not opinions."),
    ("What surprised us?", "Each surprise is a gap between the system and what we believed of it."),
    ("How did we notice?", "Which signal came first, who saw it, and which one was missing or false."),
    ("What helped?", "Tools, pages, people's knowledge that is written nowhere."),
    ("What stood in the way?", "Ask “what made this the sensible thing to do then?”, never “who did this?”."),
    ("Would it have gone the same at 3 a.m., with others on call?", "If not: what would have to be written down, or built?"),
    ("What do we change, by when, and which role sees to it?", "Few things, each with a date; and the date of the next drill that shows it."),
];

/// Words that somebody who was just woken up should not have to guess.
pub const GLOSSARY: [(&str, &str); 25] = [
    ("abort", "end the drill early; everything is undone in the same order as always"),
    ("action", "part of the evacuation, such as moving traffic; undone last, as fail-back, and only when the failed region is healthy"),
    ("baseline", "the minutes before the first change, in which everything must be good"),
    ("blast radius", "all that a drill may touch; nothing outside is ever changed"),
    ("by hand", "with kubectl, aws or curl, by a person, when firedrill cannot do it"),
    ("check", "a step that only reads: not good within its limit, and the run turns round and undoes everything"),
    ("dead-man", "something outside firedrill that undoes a fault when firedrill is dead"),
    ("drifted", "somebody else changed it meanwhile; it is shown and left as it is (exit 10)"),
    ("exit 7", "something is still in place; the lines above it name what"),
    ("journal", "what a run has changed, on disk in the state directory before it is changed"),
    ("fail-back", "undoing the actions: traffic comes home"),
    ("fault", "what the drill breaks on purpose"),
    ("gate", "the question “is the failed region healthy?” between lifting the faults and fail-back"),
    ("hold", "how long the faults stay after the last step"),
    ("mark", "what firedrill writes on each thing that it changes, so that sweep finds it"),
    ("objective", "what must survive, measured by one probe"),
    ("probe", "a reading that says good, bad, or unknown"),
    ("resume", "finishes the undo of a run that died, from its state directory; it never goes on with the drill"),
    ("RTO, MTTD, RPO", "how fast users are served again; how fast it is noticed; how old the data is that may be lost"),
    ("state directory", "where firedrill keeps what a run has changed, on the machine of the run"),
    ("sweep", "finds and undoes what is in place by the marks alone, from any machine"),
    ("T", "the start of the run: the moment that every offset in this runbook is counted from"),
    ("target", "one thing that a fault or an action changes: a node, a subnet, a record"),
    ("verdict, score", "whether every objective was met; and how well, from 0 to 100"),
    ("verified in effect", "firedrill saw that the fault bites; without that the run proves nothing"),
];
