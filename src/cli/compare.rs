//! `firedrill compare`: two runs beside each other, with an exit code that a pipeline can act on.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use clap::Args;
use serde::Deserialize;

use super::Context;
use super::listing::{columns, plain, print};
use super::report::find;
use crate::clock::Timestamp;
use crate::event::{Cleanliness, Event, RunEvent, Verdict};
use crate::exit::Exit;
use crate::journal::JournalError;
use crate::journal::sqlite::Sqlite;
use crate::report::compare::{Change, Comparison, Outcome, Side, compare, delta, named};
use crate::report::json::FORMAT;
use crate::score::words::duration;
use crate::score::{ObjectiveVerdict, Scorecard, Scorer};

/// Compare two runs of a drill: is the second one better, the same, or worse?
///
/// Each objective's verdict, clocks and availability are held against each other with their error bars: a difference within them is "same". A clock that
/// the drill sets no target for is shown and not judged. Two runs are
/// only comparable when neither the drill nor the environment changed, and both measured to their end.
///
/// Exits 0 when the second run is not worse, 3 when it is, 4 when they are not comparable, 2 when a run or file is not there.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  firedrill compare latest~1 latest
  firedrill compare 01J9 01JA --format json
  firedrill compare baseline/report.json latest")]
pub struct Compare {
    /// The run before: an id, a unique prefix, `latest`, `latest~1`, or a report.json
    pub a: String,

    /// The run that is asked about
    pub b: String,

    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    pub format: super::Format,
}

/// Runs the command.
pub async fn run(context: &Context, args: Compare) -> Exit {
    let (a, b) = match (side(context, &args.a).await, side(context, &args.b).await) {
        (Ok(a), Ok(b)) => (a, b),
        (Err(exit), _) | (_, Err(exit)) => return exit,
    };
    let comparison = compare(a, b);
    print(&match args.format {
        super::Format::Text => text(&comparison),
        // Strings, numbers and lists only: it cannot fail.
        super::Format::Json => serde_json::to_string_pretty(&comparison).unwrap_or_default() + "\n",
    });
    match comparison.outcome {
        Outcome::Better | Outcome::Same => Exit::Passed,
        Outcome::Worse => Exit::Missed,
        Outcome::NotComparable => Exit::Inconclusive,
    }
}

async fn side(context: &Context, name: &str) -> Result<Side, Exit> {
    let path = Path::new(name);
    if path.is_file() {
        return from_file(path).map_err(|why| super::fail(Exit::Usage, format_args!("cannot compare {name}: {why}")));
    }
    if name.contains(['/', '.']) {
        return Err(super::fail(Exit::Usage, format_args!("no file '{name}'; give a report.json, a run id, or `latest`")));
    }
    let found = from_journal(context, name).await.map_err(|error| super::fail_journal(&error))?;
    found.ok_or_else(|| super::fail(Exit::Usage, format_args!("run '{name}' has no events: it died before it began")))
}

/// What of a `report.json` is compared.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stored {
    run: StoredRun,
    scorecard: Scorecard,
    timeline: StoredTimeline,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoredRun {
    id: String,
    drill: String,
    environment: String,
    drill_hash: String,
    environment_hash: String,
}

#[derive(Debug, Deserialize)]
struct StoredTimeline {
    began: Timestamp,
    last: Timestamp,
}

fn from_file(path: &Path) -> Result<Side, String> {
    let text = std::fs::read(path).map_err(|error| error.to_string())?;
    let value: serde_json::Value = serde_json::from_slice(&text).map_err(|error| format!("it is not JSON: {error}"))?;
    match value.get("format").and_then(serde_json::Value::as_str) {
        Some(format) if format == FORMAT => {}
        Some(other) => return Err(format!("its format is '{other}', this build reads {FORMAT}")),
        None => return Err("it is not a report.json: it names no format".into()),
    }
    let Stored { run, scorecard, timeline } = serde_json::from_value(value).map_err(|error| format!("it is not a whole report: {error}"))?;
    Ok(Side {
        run: run.id,
        drill: run.drill,
        environment: run.environment,
        drill_hash: run.drill_hash,
        environment_hash: run.environment_hash,
        began: timeline.began,
        took: timeline.last.since(timeline.began).as_secs_f64(),
        card: scorecard,
    })
}

/// None when the run died before its first event.
async fn from_journal(context: &Context, name: &str) -> Result<Option<Side>, JournalError> {
    let journal = super::existing_journal(context, name)?;
    let run = find(&journal, name).await?;
    let Some(header) = journal.started(&run).await? else { return Ok(None) };
    let (card, began, last) = scored(&journal, &run).await?;
    Ok(Some(Side {
        run: header.run,
        drill: header.drill,
        environment: header.environment,
        drill_hash: header.drill_hash,
        environment_hash: header.environment_hash,
        began,
        took: last.since(began).as_secs_f64(),
        card,
    }))
}

/// A run while it is read: its score, its first instant and its last.
#[derive(Default)]
struct Reading {
    scorer: Scorer,
    began: Option<Timestamp>,
    last: Timestamp,
}

impl Reading {
    fn take(&mut self, event: &RunEvent) {
        self.scorer.take(event);
        self.began.get_or_insert(event.at);
        let at = if let Event::Sample(sample) = &event.body { event.at.max(sample.at) } else { event.at };
        self.last = self.last.max(at);
    }
}

/// A stored run's card, its first instant and its last.
pub(super) async fn scored(journal: &Sqlite, run: &str) -> Result<(Scorecard, Timestamp, Timestamp), JournalError> {
    let Reading { scorer, began, last } = journal.replay(run, Reading::default(), Reading::take).await?;
    Ok((scorer.card(), began.unwrap_or(last), last))
}

fn text(it: &Comparison) -> String {
    let mut text = String::new();
    let (head, why) = match it.outcome {
        Outcome::Better => ("BETTER", "the second run is better"),
        Outcome::Same => ("SAME", "the second run is not worse"),
        Outcome::Worse => ("WORSE", "the second run is worse"),
        Outcome::NotComparable => ("NOT COMPARABLE", "nothing can be said of better or worse"),
    };
    let _ = writeln!(text, "{head}  {why}");
    for reason in &it.reasons {
        let _ = writeln!(text, "  {}", plain(reason));
    }
    text.push('\n');
    let when = |side: &Side| side.began.utc().format("%Y-%m-%d %H:%M UTC").to_string();
    let score = |score: Option<f64>| score.map_or_else(|| "–".to_owned(), |score| format!("{score:.1}"));
    let moved = it.scores[0].zip(it.scores[1]).map(|(a, b)| b - a).filter(|moved| moved.abs() >= 0.05);
    let difference = moved.map_or(String::new(), |moved| format!("{moved:+.1}").replace('-', "\u{2212}"));
    // Of runs that are not comparable the differences are shown, but not judged.
    let change = |it_is: Change| if it.outcome == Outcome::NotComparable { "" } else { change(it_is) };
    let row = |cells: [String; 4]| cells.map(|cell| plain(&cell)).to_vec();
    let mut rows = vec![
        row([String::new(), "FIRST".into(), "SECOND".into(), "CHANGE".into()]),
        row(["run".into(), it.a.run.clone(), it.b.run.clone(), String::new()]),
        row(["began".into(), when(&it.a), when(&it.b), String::new()]),
    ];
    if it.a.drill != it.b.drill || it.a.environment != it.b.environment {
        rows.push(row(["drill".into(), it.a.drill.clone(), it.b.drill.clone(), String::new()]));
        rows.push(row(["environment".into(), it.a.environment.clone(), it.b.environment.clone(), String::new()]));
    }
    let took = |side: &Side| duration(Duration::try_from_secs_f64(side.took).unwrap_or_default());
    rows.push(row(["took".into(), took(&it.a), took(&it.b), delta("took", it.b.took - it.a.took)]));
    rows.push(row(["verdict".into(), verdict(it.verdicts[0]).into(), verdict(it.verdicts[1]).into(), String::new()]));
    rows.push(row(["left".into(), left(it.cleanliness[0]).into(), left(it.cleanliness[1]).into(), String::new()]));
    rows.push(row(["score".into(), score(it.scores[0]), score(it.scores[1]), format!("{} {difference}", change(it.score_change)).trim().to_owned()]));
    for pair in &it.objectives {
        let said = |verdict: Option<ObjectiveVerdict>| match verdict {
            None => "–",
            Some(ObjectiveVerdict::Met) => "met",
            Some(ObjectiveVerdict::Missed) => "MISSED",
            Some(ObjectiveVerdict::Unknown) => "UNKNOWN",
        };
        rows.push(row([pair.objective.clone(), said(pair.a).into(), said(pair.b).into(), change(pair.change).into()]));
        for clock in &pair.clocks {
            let difference = clock.delta.filter(|delta| *delta != 0.0).map_or(String::new(), |value| delta(clock.clock, value));
            let name = format!("  {}", named(clock.clock));
            rows.push(row([name, clock.a.clone(), clock.b.clone(), format!("{} {difference}", change(clock.change)).trim().to_owned()]));
        }
    }
    text + &columns(&rows)
}

fn change(change: Change) -> &'static str {
    match change {
        Change::Better => "better",
        Change::Same => "same",
        Change::Worse => "WORSE",
        Change::NotKnown => "not known",
        Change::NotJudged => "",
    }
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Passed => "passed",
        Verdict::Failed => "failed",
        Verdict::Inconclusive => "inconclusive",
        Verdict::Aborted => "aborted",
        Verdict::Error => "error",
        Verdict::Refused => "refused",
    }
}

fn left(cleanliness: Cleanliness) -> &'static str {
    match cleanliness {
        Cleanliness::Clean => "clean",
        Cleanliness::Drifted => "drifted",
        Cleanliness::StillInPlace => "STILL IN PLACE",
    }
}
