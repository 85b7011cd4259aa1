//! What comms says to whom and when, and the words that lie ready for users. `<…>` is filled in on the day.

use std::time::Duration;

use serde_json::{Value, json};

use super::Given;
use super::calendar::Moment;
use super::texts::{DAY, HOUR, SOON};
use super::timeline::Times;
use crate::report::words;

/// Everybody who has to do with it.
const EVERYBODY: &str = "everybody in scope, on-call, support, management";
/// Those who take part.
const CHANNEL: &str = "<channel>";

/// What is said to whom when.
#[must_use]
pub fn announcements(given: &Given<'_>, times: &Times) -> Vec<Value> {
    let drill = &given.drill.spec;
    let place = given.environment.map_or("<environment>", |place| place.name);
    let (from, survivors, summary) = (&drill.failed_region, drill.surviving_regions.join(", "), drill.summary.trim_end_matches('.'));
    let when = given.start.map_or("<date, time, zone>".to_owned(), |start| match (start.text(), start.utc()) {
        (text, utc) if text == utc => text,
        (text, utc) => format!("{text} ({utc})"),
    });
    let long = words::duration(times.end().to);
    let say = |id: &str, moment: Option<Moment>, label: &str, to: &str, text: String| {
        json!({
            "id": id,
            "when": moment.map_or_else(|| label.to_owned(), Moment::offset),
            "clock": moment.and_then(|moment| given.start.map(|start| start.clock(moment))),
            "to": to,
            "text": text,
        })
    };
    // Announcement A9 is of drills that fail back.
    let evacuated = if times.gate.is_some() { ", A9" } else { "" };
    let mut all = vec![
        say(
            "A1",
            Some(Moment::before(DAY)),
            "",
            EVERYBODY,
            format!(
                "On {when} we rehearse the loss of {from} in {place}. What we want to see: {summary}. We expect: {} It takes about {long}, undoing begins {} after the first change at the latest, and everything is put back. \
                 Objections, and dates that are worse for you than we know: to {} before the go/no-go, in <channel>.",
                sentence(&drill.hypothesis),
                words::duration(*drill.undo_by),
                drill.owner
            ),
        ),
        say(
            "A2",
            Some(Moment::before(HOUR)),
            "",
            EVERYBODY,
            format!(
                "In one hour, at {when}, {from} fails in {place}, on purpose. {survivors} must carry on. Alerts that fire are real signals: acknowledge them, write them into \
                 <channel>, and do not repair anything without asking there first. Please answer “seen” there now. A real incident goes first: say “stop the drill” in <channel>."
            ),
        ),
        say(
            "A3",
            Some(Moment::before(SOON)),
            "",
            CHANNEL,
            format!("Five minutes to the drill: {summary}. From now on <channel> is for the drill only."),
        ),
        say(
            "A4",
            Some(Moment::after(Duration::ZERO)),
            "",
            CHANNEL,
            format!(
                "The drill has started, run <id>. {from} fails from about {} after now. To stop it, anybody: “stop the drill”.",
                words::duration(given.baseline)
            ),
        ),
        say("A5", None, "when undo begins", CHANNEL, "The faults are being lifted. Please wait for the all-clear before you change anything.".into()),
        say(
            "A6",
            None,
            "when everything is undone",
            EVERYBODY,
            format!(
                "The drill is over: {from} is back, everything was read back as it was before. Result: <verdict>, <score>. Debrief: <date, place>. Thank you."
            ),
        ),
        say(
            "A7",
            None,
            &format!("as soon as it is aborted, or turns round by itself, and every 10 minutes until A6{evacuated} or A10"),
            EVERYBODY,
            "The drill was stopped at <time>, because <reason>. <The faults are being lifted. / Its machine is lost; they are lifted by hand. / Users are being brought home.> The next word comes in 10 minutes, at <time>.".into(),
        ),
        say(
            "A8",
            None,
            "on “no-go”, or when the run ends before its first change",
            EVERYBODY,
            format!(
                "The drill of {when} does not take place: <reason>. Nothing was touched in {place}. The next date: <date, or “it will be announced here”>."
            ),
        ),
    ];
    all.extend(times.gate.map(|_| {
        let text = format!(
            "The faults of the drill are lifted, and <{from} is not healthy yet. / we stay away from {from} for now.> So users stay with {survivors}: evacuated and safe, not back yet. Nobody needs to do \
             anything; please change nothing in {from}, and send no traffic there. The next word comes at <time>."
        );
        say("A9", None, "when the run exits 7 and only actions are in place, on purpose; and after “evacuate again”", EVERYBODY, text)
    }));
    let text = "Not all of the drill could be undone yet: <what is still in place>. We are working on it: <who, how>. Please change nothing there. The next word comes at <time>.";
    all.push(say(
        "A10",
        None,
        if times.gate.is_some() {
            "when a fault is still in place after the end, or a fail-back failed, and every 10 minutes until A6 or A9"
        } else {
            "when a fault is still in place after the end, and every 10 minutes until A6"
        },
        EVERYBODY,
        text.into(),
    ));
    all
}

fn sentence(text: &str) -> String {
    if text.ends_with(['.', '!', '?']) { text.to_owned() } else { format!("{text}.") }
}

/// Words for users, in case they notice; nothing of it is sent as long as they do not. Of data they say only what an objective measures.
#[must_use]
pub fn prepared(given: &Given<'_>) -> Vec<Value> {
    let drill = &given.drill.spec;
    let (from, survivors) = (&drill.failed_region, drill.surviving_regions.join(", "));
    let measured = given.objectives.iter().filter(|objective| objective.lose_at_most.is_some()).map(|objective| objective.id.as_str());
    let measured = measured.collect::<Vec<_>>().join(" and ");
    let (during, after) = if measured.is_empty() {
        let silent = "<Say nothing of data: this drill does not measure whether any is lost.>".to_owned();
        (silent.clone(), silent)
    } else {
        (
            format!("<Only while {measured} is good: Data that we confirmed to you is safe.>"),
            format!("<Only when {measured} was met: Nothing that we confirmed to you was lost.>"),
        )
    };
    let text = |name: &str, text: String| json!({"name": name, "text": text});
    vec![
        text("Status page: investigating", "We are investigating errors in <service> since <time, zone>. Some requests fail or are slow. Next update: <time>.".into()),
        text(
            "Status page: identified",
            format!("Requests that were served from {from} are affected. <We are moving them to {survivors}. / We are bringing them back.> {during} Next update: <time>."),
        ),
        text("Status page: resolved", "The disturbance from <time> to <time> is over. <Only if the incident commander says that it was ours: It came from a planned test of our own, which we ended.> We are sorry, and will say here what we change.".into()),
        text(
            "To a customer who asks",
            format!(
                "You noticed a planned test of how we cope with the loss of a data-centre region. It went further than planned for <minutes> minutes; we stopped it at <time>. \
                 {after} <name of the account team> will tell you what we learned by <date>."
            ),
        ),
    ]
}
