//! `firedrill history`: past runs, and whether they got better.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use clap::Args;
use serde::Serialize;

use super::Context;
use super::compare::scored;
use super::listing::{age, columns, plain, print};
use crate::clock::Timestamp;
use crate::event::{Cleanliness, Verdict};
use crate::exit::Exit;
use crate::journal::sqlite::Sqlite;
use crate::journal::{Journal, JournalError, RunSummary};
use crate::report::compare::{Outcome, Side, compare};
use crate::report::inert::{clip, terminal};
use crate::score::Scorecard;
use trend::{Point, RUNS};

mod trend;

/// A pass older than this proves little about today (scoring.md).
const STALE: Duration = Duration::from_secs(30 * 86_400);

/// List runs, newest first, each compared with the one before it
///
/// A run is compared with the last run before it of the same drill in the same environment that was measured to its end, by the rules of `firedrill compare`:
/// better, same or WORSE. They are only comparable when neither the drill nor the environment has changed in between. A pass older than 30 days is marked as stale.
///
/// Below the list each drill in each environment has a trend: score and recovery of its comparable runs as a line, oldest first, and the latest against
/// the median of the earlier ones. A recovery whose error bar meets that of the median is "same". `firedrill compare` says more about two runs.
#[derive(Debug, Args)]
pub struct History {
    /// Only runs of this drill
    #[arg(long, value_name = "NAME")]
    pub drill: Option<String>,

    /// At most so many runs
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub limit: usize,

    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    pub format: super::Format,
}

/// A run with what makes it comparable.
#[derive(Debug, Clone)]
struct Past {
    summary: RunSummary,
    /// Hash of the drill and of the environment; none when the run died before its first event.
    hashes: Option<(String, String)>,
    abandoned: bool,
}

/// How a run compares with the one before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "result", rename_all = "camelCase")]
enum Trend {
    Better { against: String },
    Worse { against: String },
    Same { against: String },
    NotComparable { why: &'static str },
    First,
    NotMeasured,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ShownRun {
    run: String,
    started: Timestamp,
    drill: String,
    environment: String,
    /// None while it is open.
    verdict: Option<Verdict>,
    cleanliness: Option<Cleanliness>,
    score: Option<f64>,
    exit_code: Option<u8>,
    alive: bool,
    open_records: usize,
    abandoned: bool,
    age_seconds: u64,
    comparison: Trend,
    /// A pass that is too old to count.
    stale: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct LastPass {
    drill: String,
    environment: String,
    run: String,
    age_seconds: u64,
    stale: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    runs: Vec<ShownRun>,
    /// Runs that `--limit` left out.
    left_out: usize,
    last_passes: Vec<LastPass>,
    /// Where each drill in each environment is heading.
    trends: Vec<trend::Trend>,
}

/// Runs the command.
pub async fn run(context: &Context, args: History) -> Exit {
    let Read { past, cards, trends } = match read(context, &args).await {
        Ok(found) => found,
        Err(error) => return super::fail_journal(&error),
    };
    let shown = Shown { trends, ..show(&past, &cards, args.limit, SystemTime::now().into()) };
    print(&match args.format {
        // Strings, numbers and lists only: it cannot fail.
        super::Format::Json => serde_json::to_string_pretty(&shown).unwrap_or_default() + "\n",
        super::Format::Text => text(&shown, args.drill.as_deref(), terminal()),
    });
    Exit::Passed
}

/// What the journal says.
#[derive(Default)]
struct Read {
    past: Vec<Past>,
    /// By run: those that are compared with another one.
    cards: Cards,
    trends: Vec<trend::Trend>,
}

type Cards = HashMap<String, Scorecard>;

async fn read(context: &Context, args: &History) -> Result<Read, JournalError> {
    let Some(journal) = Sqlite::open_existing(context.state_dir.as_deref())? else { return Ok(Read::default()) };
    let mut past = Vec::new();
    for summary in journal.runs().await?.into_iter().filter(|run| args.drill.as_deref().is_none_or(|name| run.header.drill == name)) {
        let started = journal.started(&summary.header.run).await?;
        let abandoned = journal.tombstone(&summary.header.run).await?.is_some();
        past.push(Past { hashes: started.map(|started| (started.drill_hash, started.environment_hash)), abandoned, summary });
    }
    let lines = comparable(&past, args.limit);
    let pairs = past.iter().enumerate().take(args.limit).filter_map(|(index, run)| Some([run, before(run, &past[index + 1..]).ok()?]));
    let compared: Vec<&Past> = pairs.flatten().chain(lines.iter().flatten().map(|(run, _)| *run)).collect();
    let mut cards = Cards::new();
    for run in compared {
        let run = &run.summary.header.run;
        if !cards.contains_key(run) {
            let (card, ..) = scored(&journal, run).await?;
            cards.insert(run.clone(), card);
        }
    }
    let mut trends = Vec::new();
    for runs in lines {
        let point = |(run, score): &(&Past, f64)| Some(Point::of(&run.summary.header.run, *score, cards.get(&run.summary.header.run)?));
        let header = runs.last().map(|(run, _)| &run.summary.header);
        trends.extend(header.and_then(|header| trend::Trend::of(&header.drill, &header.environment, runs.iter().filter_map(point).collect())));
    }
    Ok(Read { past, cards, trends })
}

/// Of each drill in each environment that is listed: its newest runs that can be compared with the newest measured one, oldest first, with their scores.
fn comparable(past: &[Past], limit: usize) -> Vec<Vec<(&Past, f64)>> {
    let conclusive = |run: &'_ Past| measured(run).filter(|(verdict, _)| *verdict != Verdict::Inconclusive).map(|(_, score)| score);
    let name = |run: &Past| (run.summary.header.drill.clone(), run.summary.header.environment.clone());
    let mut names: Vec<_> = past.iter().take(limit).map(name).collect();
    names.sort();
    names.dedup();
    let of = |wanted: &(String, String)| {
        let own = || past.iter().filter(|run| name(run) == *wanted).filter_map(|run| Some((run, conclusive(run)?)));
        let hashes = own().next().and_then(|(run, _)| run.hashes.clone());
        let mut runs: Vec<_> = own().filter(|(run, _)| hashes.is_some() && run.hashes == hashes).take(RUNS).collect();
        runs.reverse();
        runs
    };
    names.iter().map(of).filter(|runs| !runs.is_empty()).collect()
}

/// Newest first in, newest first out.
fn show(past: &[Past], cards: &Cards, limit: usize, now: Timestamp) -> Shown {
    let runs = past.iter().enumerate().take(limit).map(|(index, run)| {
        let (header, end) = (&run.summary.header, run.summary.end.as_ref());
        let length = now.since(header.started);
        ShownRun {
            run: header.run.clone(),
            started: header.started,
            drill: header.drill.clone(),
            environment: header.environment.clone(),
            verdict: end.map(|end| end.verdict),
            cleanliness: end.map(|end| end.cleanliness),
            score: end.and_then(|end| end.score),
            exit_code: end.map(|end| end.exit_code),
            alive: run.summary.alive,
            open_records: run.summary.open_records,
            abandoned: run.abandoned,
            age_seconds: length.as_secs(),
            comparison: trend(run, &past[index + 1..], cards),
            stale: passed(run) && length > STALE,
        }
    });
    Shown { runs: runs.collect(), left_out: past.len().saturating_sub(limit), last_passes: last_passes(past, now), trends: Vec::new() }
}

fn passed(run: &Past) -> bool {
    run.summary.end.as_ref().is_some_and(|end| end.verdict == Verdict::Passed && end.cleanliness == Cleanliness::Clean)
}

/// Verdict and score of a run that measured to its end.
fn measured(run: &Past) -> Option<(Verdict, f64)> {
    let end = run.summary.end.as_ref()?;
    let whole = matches!(end.verdict, Verdict::Passed | Verdict::Failed | Verdict::Inconclusive);
    end.score.filter(|_| whole).map(|score| (end.verdict, score))
}

/// The run that this one is compared with; else why there is none.
fn before<'p>(run: &Past, earlier: &'p [Past]) -> Result<&'p Past, Trend> {
    let Some((verdict, _)) = measured(run) else { return Err(Trend::NotMeasured) };
    let same =
        |other: &&Past| other.summary.header.drill == run.summary.header.drill && other.summary.header.environment == run.summary.header.environment;
    let Some((before, (verdict_before, _))) = earlier.iter().filter(same).find_map(|other| Some((other, measured(other)?))) else {
        return Err(Trend::First);
    };
    match (&run.hashes, &before.hashes) {
        (Some((drill, _)), Some((drill_before, _))) if drill != drill_before => Err(Trend::NotComparable { why: "the drill changed" }),
        (Some((_, env)), Some((_, env_before))) if env != env_before => Err(Trend::NotComparable { why: "the environment changed" }),
        // What was not known cannot have become better or worse.
        (Some(_), Some(_)) if [verdict, verdict_before].contains(&Verdict::Inconclusive) => Err(Trend::NotComparable { why: "inconclusive" }),
        (Some(_), Some(_)) => Ok(before),
        _ => Err(Trend::NotComparable { why: "its events are missing" }),
    }
}

fn trend(run: &Past, earlier: &[Past], cards: &Cards) -> Trend {
    let before = match before(run, earlier) {
        Ok(before) => before,
        Err(why) => return why,
    };
    let against = before.summary.header.run.clone();
    match (side(before, cards), side(run, cards)) {
        (Some(a), Some(b)) => match compare(a, b).outcome {
            Outcome::Better => Trend::Better { against },
            Outcome::Same => Trend::Same { against },
            Outcome::Worse => Trend::Worse { against },
            Outcome::NotComparable => Trend::NotComparable { why: "inconclusive" },
        },
        _ => Trend::NotComparable { why: "its events are missing" },
    }
}

/// A run as `compare` takes it.
fn side(run: &Past, cards: &Cards) -> Option<Side> {
    let header = &run.summary.header;
    let (drill_hash, environment_hash) = run.hashes.clone()?;
    Some(Side {
        run: header.run.clone(),
        drill: header.drill.clone(),
        environment: header.environment.clone(),
        drill_hash,
        environment_hash,
        began: header.started,
        took: 0.0,
        card: cards.get(&header.run)?.clone(),
    })
}

/// The newest pass of each drill in each environment.
fn last_passes(past: &[Past], now: Timestamp) -> Vec<LastPass> {
    let mut newest = BTreeMap::new();
    for run in past.iter().filter(|run| passed(run)) {
        let header = &run.summary.header;
        newest.entry((header.drill.clone(), header.environment.clone())).or_insert(header);
    }
    let shown = newest.into_iter().map(|((drill, environment), header)| {
        let length = now.since(header.started);
        LastPass { drill, environment, run: header.run.clone(), age_seconds: length.as_secs(), stale: length > STALE }
    });
    shown.collect()
}

/// `width` is that of the terminal; none where it is a pipe or a file, which takes lines of any length.
fn text(shown: &Shown, drill: Option<&str>, width: Option<usize>) -> String {
    if shown.runs.is_empty() && shown.left_out == 0 {
        return drill
            .map_or_else(|| "no run has been remembered yet\n".into(), |drill| format!("no run of drill '{}' has been remembered\n", plain(drill)));
    }
    let mut rows = vec![["RUN", "AGE", "DRILL", "ENVIRONMENT", "VERDICT", "LEFT", "SCORE", "SINCE THE LAST"].map(str::to_owned).to_vec()];
    rows.extend(shown.runs.iter().map(row));
    let mut text = match width {
        Some(width) => fitted(rows, width),
        None => columns(&rows),
    };
    if shown.left_out > 0 {
        let _ = writeln!(text, "… and {} older; --limit shows more", shown.left_out);
    }
    for trend in &shown.trends {
        let (drill, environment) = (plain(&trend.drill), plain(&trend.environment));
        let runs = if trend.runs.len() == 1 { "1 run".into() } else { format!("{} comparable runs", trend.runs.len()) };
        let _ = writeln!(text, "\n{drill} in {environment}, {runs}:");
        for line in trend.lines() {
            let _ = writeln!(text, "{line}");
        }
        for pass in shown.last_passes.iter().filter(|pass| pass.drill == trend.drill && pass.environment == trend.environment) {
            let _ = writeln!(text, "  {}", last_pass(pass));
        }
    }
    let told = |pass: &&LastPass| !shown.trends.iter().any(|trend| trend.drill == pass.drill && trend.environment == pass.environment);
    for pass in shown.last_passes.iter().filter(told) {
        let _ = writeln!(text, "{} in {}: {}", plain(&pass.drill), plain(&pass.environment), last_pass(pass));
    }
    text
}

fn last_pass(pass: &LastPass) -> String {
    let stale = if pass.stale { ": STALE, rehearse again" } else { "" };
    format!("last pass {} ago{stale}", age(Duration::from_secs(pass.age_seconds)))
}

/// The table in so many columns: ids as short as they stay unique, then names cut; the end of a line goes last.
fn fitted(mut rows: Vec<Vec<String>>, width: usize) -> String {
    const RUN: usize = 0;
    const DRILL: usize = 2;
    const ENVIRONMENT: usize = 3;
    let widest = |rows: &[Vec<String>], column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let needed = |rows: &[Vec<String>]| (0..rows[0].len()).map(|column| widest(rows, column) + 2).sum::<usize>() - 2;
    if needed(&rows) > width {
        let ids: Vec<String> = rows[1..].iter().map(|row| row[RUN].clone()).collect();
        let unique = |length: usize| {
            let short: std::collections::BTreeSet<&str> = ids.iter().map(|id| id.get(..length).unwrap_or(id)).collect();
            short.len() == ids.len()
        };
        let length = (8..26).find(|length| unique(*length)).unwrap_or(26);
        rows[1..].iter_mut().for_each(|row| row[RUN] = clip_plain(&row[RUN], length));
    }
    let mut said = String::new();
    let same = |rows: &[Vec<String>]| rows[1..].windows(2).all(|two| two[0][DRILL..=ENVIRONMENT] == two[1][DRILL..=ENVIRONMENT]);
    if needed(&rows) > width && same(&rows) {
        // Said once instead of in every line.
        said = format!("{} in {}\n", rows[1][DRILL], rows[1][ENVIRONMENT]);
        rows.iter_mut().for_each(|row| drop(row.drain(DRILL..=ENVIRONMENT)));
    } else {
        for (column, least) in [(ENVIRONMENT, 8), (DRILL, 10)] {
            let over = needed(&rows).saturating_sub(width);
            let room = widest(&rows, column).saturating_sub(over).max(least);
            rows.iter_mut().for_each(|row| row[column] = clip(&row[column], room).into_owned());
        }
    }
    said + &columns(&rows).lines().map(|line| clip(line, width).into_owned() + "\n").collect::<String>()
}

/// The beginning, without a sign that something was cut: a prefix is as good as the id.
fn clip_plain(id: &str, length: usize) -> String {
    id.chars().take(length).collect()
}

fn row(run: &ShownRun) -> Vec<String> {
    let verdict = match (run.verdict, run.alive) {
        (_, true) => "going on".to_owned(),
        (None, false) => "died".to_owned(),
        (Some(verdict), false) if run.stale => format!("{} (stale)", format!("{verdict:?}").to_lowercase()),
        (Some(verdict), false) => format!("{verdict:?}").to_lowercase(),
    };
    let left = match (run.abandoned, run.open_records, run.cleanliness) {
        (true, ..) => "abandoned".to_owned(),
        (false, 0, Some(Cleanliness::Drifted)) => "drifted".to_owned(),
        (false, 0, Some(_)) => "clean".to_owned(),
        (false, 0, None) => "–".to_owned(),
        (false, open, _) => format!("{open} IN PLACE"),
    };
    let trend = match &run.comparison {
        Trend::Better { .. } => "better".to_owned(),
        Trend::Worse { .. } => "WORSE".to_owned(),
        Trend::Same { .. } => "same".to_owned(),
        Trend::NotComparable { why } => format!("not comparable: {why}"),
        Trend::First => "first".to_owned(),
        Trend::NotMeasured => "–".to_owned(),
    };
    vec![
        plain(&run.run),
        age(Duration::from_secs(run.age_seconds)),
        plain(&run.drill),
        plain(&run.environment),
        verdict,
        left,
        run.score.map_or_else(|| "–".to_owned(), |score| format!("{score:.1}")),
        trend,
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::journal::{RunEnd, RunHeader};

    const DAY: i64 = 86_400_000_000;

    fn past(run: &str, day: i64, verdict: Verdict, score: Option<f64>, hashes: (&str, &str)) -> Past {
        let header = RunHeader {
            run: run.into(),
            drill: "evacuate".into(),
            environment: "sandbox".into(),
            drill_document: Value::Null,
            environment_document: Value::Null,
            started: Timestamp(day * DAY),
        };
        let end = RunEnd { at: Timestamp(day * DAY), verdict, cleanliness: Cleanliness::Clean, score, exit_code: 0 };
        let summary = RunSummary { header, end: Some(end), open_records: 0, alive: false };
        Past { summary, hashes: Some((hashes.0.into(), hashes.1.into())), abandoned: false }
    }

    /// A card for each that has a score, as the journal would give it.
    fn cards(past: &[Past]) -> Cards {
        let card = |run: &Past| {
            let (verdict, score) = measured(run)?;
            Some((run.summary.header.run.clone(), Scorecard { verdict, score: Some(score), ..crate::score::evaluate(&[]) }))
        };
        past.iter().filter_map(card).collect()
    }

    fn trends(past: &[Past]) -> Vec<Trend> {
        show(past, &cards(past), 99, Timestamp(100 * DAY)).runs.into_iter().map(|run| run.comparison).collect()
    }

    #[test]
    fn a_run_is_compared_with_the_last_measured_one() {
        let runs = [
            past("e", 5, Verdict::Passed, Some(100.0), ("d", "e")),
            past("d", 4, Verdict::Aborted, None, ("d", "e")),
            past("c", 3, Verdict::Failed, Some(60.0), ("d", "e")),
            past("b", 2, Verdict::Failed, Some(60.2), ("d", "e")),
            past("a", 1, Verdict::Passed, Some(100.0), ("d", "e")),
        ];
        let wanted = [
            Trend::Better { against: "c".into() },
            Trend::NotMeasured,
            Trend::Same { against: "b".into() },
            Trend::Worse { against: "a".into() },
            Trend::First,
        ];
        assert_eq!(trends(&runs), wanted);
    }

    #[test]
    fn a_changed_drill_or_environment_or_an_unknown_result_is_not_comparable() {
        let runs = [
            past("d", 4, Verdict::Inconclusive, Some(50.0), ("new", "new")),
            past("c", 3, Verdict::Passed, Some(100.0), ("new", "new")),
            past("b", 2, Verdict::Passed, Some(100.0), ("new", "old")),
            past("a", 1, Verdict::Passed, Some(90.0), ("old", "old")),
        ];
        let wanted = [
            Trend::NotComparable { why: "inconclusive" },
            Trend::NotComparable { why: "the environment changed" },
            Trend::NotComparable { why: "the drill changed" },
            Trend::First,
        ];
        assert_eq!(trends(&runs), wanted);
    }

    #[test]
    fn a_pass_older_than_thirty_days_is_stale() {
        let at = |day| past("a", day, Verdict::Passed, Some(100.0), ("d", "e"));
        let stale = |day| show(&[at(day)], &Cards::new(), 9, Timestamp(100 * DAY));
        assert!(stale(69).runs[0].stale && stale(69).last_passes[0].stale);
        assert!(!stale(70).runs[0].stale && !stale(70).last_passes[0].stale);
        assert!(text(&stale(69), None, None).contains("STALE"));
    }

    #[test]
    fn the_run_before_the_limit_still_counts() {
        let runs = [past("b", 2, Verdict::Passed, Some(100.0), ("d", "e")), past("a", 1, Verdict::Failed, Some(10.0), ("d", "e"))];
        let shown = show(&runs, &cards(&runs), 1, Timestamp(3 * DAY));
        assert_eq!(shown.runs[0].comparison, Trend::Better { against: "a".into() });
        assert_eq!(shown.left_out, 1);
    }

    #[test]
    fn the_list_fits_a_terminal_of_80_columns_and_a_pipe_gets_whole_lines() {
        let mut runs: Vec<Past> = (0..6)
            .map(|n| past(&format!("01KB2QXW{n}V5Z3M4N7P9R1S6T8D"), 10 - n, Verdict::Passed, Some(100.0), ("d", if n < 2 { "new" } else { "old" })))
            .collect();
        for run in &mut runs {
            run.summary.header.drill = "evacuate-us-east-1-in-one-go".into();
            run.summary.header.environment = "staging-of-the-payments-team".into();
        }
        let shown = show(&runs, &cards(&runs), 99, Timestamp(100 * DAY));
        for width in [80, 100, 60] {
            let narrow = text(&shown, None, Some(width));
            assert!(narrow.lines().take(8).all(|line| line.chars().count() <= width), "{narrow}");
            assert!(narrow.contains("01KB2QXW0 ") && narrow.contains("01KB2QXW5 "), "ids are as short as they stay unique: {narrow}");
            assert!(narrow.contains("not compa"), "{narrow}");
        }
        let one = text(&shown, None, Some(80));
        assert!(one.starts_with("evacuate-us-east-1-in-one-go in staging-of-the-payments-team\n"), "{one}");
        assert!(one.contains("not comparable: the environme"), "{one}");
        runs[3].summary.header.environment = "elsewhere".into();
        let two = text(&show(&runs, &cards(&runs), 99, Timestamp(100 * DAY)), None, Some(80));
        assert!(two.lines().take(7).all(|line| line.chars().count() <= 80) && two.contains("elsewh") && two.contains("evacuate-"), "{two}");
        runs[3].summary.header.environment = "staging-of-the-payments-team".into();
        let piped = text(&shown, None, None);
        assert!(
            piped.contains("evacuate-us-east-1-in-one-go  staging-of-the-payments-team") && piped.contains("not comparable: the environment changed")
        );
    }

    #[test]
    fn a_trend_begins_anew_when_the_drill_or_the_environment_changes() {
        let runs = [
            past("e", 5, Verdict::Passed, Some(100.0), ("new", "e")),
            past("d", 4, Verdict::Inconclusive, Some(10.0), ("new", "e")),
            past("c", 3, Verdict::Failed, Some(60.0), ("new", "e")),
            past("b", 2, Verdict::Aborted, None, ("new", "e")),
            past("a", 1, Verdict::Passed, Some(90.0), ("old", "e")),
        ];
        let comparable = comparable(&runs, 99);
        let ids: Vec<&str> = comparable[0].iter().map(|(run, _)| run.summary.header.run.as_str()).collect();
        assert_eq!((comparable.len(), ids), (1, vec!["c", "e"]));
    }
}
