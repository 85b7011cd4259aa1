//! Two runs beside each other: what got better, what got worse, and what the error bars do not tell apart.

use std::time::Duration;

use serde::Serialize;

use crate::clock::Timestamp;
use crate::event::{Cleanliness, Verdict};
use crate::score::words::{duration, percent};
use crate::score::{Figure, ObjectiveScore, ObjectiveVerdict, Quantity, Scorecard, TargetKind};

/// A change of the score by less than this is noise of the clocks.
pub const SAME_SCORE: f64 = 0.5;

/// One of the two.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Side {
    /// Run id.
    pub run: String,
    /// Name of the drill.
    pub drill: String,
    /// Name of the environment.
    pub environment: String,
    /// SHA-256 of the drill.
    pub drill_hash: String,
    /// SHA-256 of the environment.
    pub environment_hash: String,
    /// When it began.
    pub began: Timestamp,
    /// How long it took, in seconds.
    pub took: f64,
    /// Its scorecard; left out of the printed comparison, which has its own rows.
    #[serde(skip)]
    pub card: Scorecard,
}

/// How the second differs from the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Change {
    /// Better by more than the error bars.
    Better,
    /// No difference, or one within the error bars.
    Same,
    /// Worse by more than the error bars.
    Worse,
    /// At least one of them is not known.
    NotKnown,
    /// The drill sets no target for it: shown, and neither good nor bad.
    NotJudged,
}

impl Change {
    /// The second figure against the first, where less is better: they differ when their error bars do not meet. Every comparison of clocks goes by this.
    #[must_use]
    pub fn of(a: Figure, b: Figure) -> Self {
        if b.upper < a.lower {
            Self::Better
        } else if b.lower > a.upper {
            Self::Worse
        } else {
            Self::Same
        }
    }
}

/// A clock or share of an objective in both runs.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// `recover`, `detect`, `lose`, `failBack` or `availability`.
    pub clock: &'static str,
    /// In the first run, in words.
    pub a: String,
    /// In the second run, in words.
    pub b: String,
    /// Second minus first: seconds, or percentage points; none when one is missing.
    pub delta: Option<f64>,
    /// What it means.
    pub change: Change,
}

/// An objective in both runs.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Pair {
    /// Objective id.
    pub objective: String,
    /// Verdict in the first run; none when it is not in it.
    pub a: Option<ObjectiveVerdict>,
    /// Verdict in the second run; none when it is not in it.
    pub b: Option<ObjectiveVerdict>,
    /// Of the verdict and of every row: the worst of them.
    pub change: Change,
    /// Its clocks.
    pub clocks: Vec<Row>,
}

/// What can be said of the second run against the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// Something got better, nothing worse.
    Better,
    /// No difference that the error bars let show.
    Same,
    /// Something got worse.
    Worse,
    /// The drill or the environment changed, or one of the runs did not measure.
    NotComparable,
}

/// The comparison.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Comparison {
    /// The first run.
    pub a: Side,
    /// The second run.
    pub b: Side,
    /// What can be said.
    pub outcome: Outcome,
    /// Why, one sentence each.
    pub reasons: Vec<String>,
    /// Verdicts, first and second.
    pub verdicts: [Verdict; 2],
    /// What they left behind, first and second.
    pub cleanliness: [Cleanliness; 2],
    /// Scores, first and second.
    pub scores: [Option<f64>; 2],
    /// Of the score.
    pub score_change: Change,
    /// The objectives, in the order of the first run, then those that only the second has.
    pub objectives: Vec<Pair>,
}

/// Compares the second run with the first.
#[must_use]
pub fn compare(a: Side, b: Side) -> Comparison {
    let objectives = pairs(&a.card, &b.card);
    let verdicts = [a.card.verdict, b.card.verdict];
    let cleanliness = [a.card.cleanliness, b.card.cleanliness];
    let scores = [a.card.score, b.card.score];
    let score_change = match scores {
        [Some(a), Some(b)] => by(b - a, SAME_SCORE),
        _ => Change::NotKnown,
    };
    let mut obstacles = Vec::new();
    let names = |side: &Side| format!("{} in {}", side.drill, side.environment);
    if a.drill != b.drill {
        obstacles.push(format!("different drills: {} and {}", names(&a), names(&b)));
    } else if a.drill_hash != b.drill_hash {
        obstacles.push("the drill changed in between".into());
    }
    if a.environment != b.environment {
        obstacles.push(format!("different environments: {} and {}", a.environment, b.environment));
    } else if a.environment_hash != b.environment_hash {
        obstacles.push("the environment changed in between".into());
    }
    for (which, side) in [("first", &a), ("second", &b)] {
        if !matches!(side.card.verdict, Verdict::Passed | Verdict::Failed) {
            obstacles.push(format!("the {which} run is no measurement: {}", said(side.card.verdict)));
        }
    }
    let mut worse: Vec<String> = objectives.iter().filter(|it| it.change == Change::Worse).flat_map(|it| sentences(it, Change::Worse)).collect();
    // What is left behind is worse whatever else may be compared.
    if badness(cleanliness[1]) > badness(cleanliness[0]) {
        worse.insert(0, format!("the second run left something behind: {}", left(cleanliness[1])));
    }
    if score_change == Change::Worse && worse.is_empty() {
        worse.push(format!("the score fell from {:.1} to {:.1}", scores[0].unwrap_or_default(), scores[1].unwrap_or_default()));
    }
    let mut better: Vec<String> = objectives.iter().flat_map(|it| sentences(it, Change::Better)).collect();
    if score_change == Change::Better && better.is_empty() {
        better.push(format!("the score rose from {:.1} to {:.1}", scores[0].unwrap_or_default(), scores[1].unwrap_or_default()));
    }
    let (outcome, reasons) = if !obstacles.is_empty() {
        (Outcome::NotComparable, obstacles)
    } else if !worse.is_empty() {
        (Outcome::Worse, worse)
    } else if !better.is_empty() {
        (Outcome::Better, better)
    } else {
        (Outcome::Same, vec!["no difference outside the error bars".into()])
    };
    Comparison { a, b, outcome, reasons, verdicts, cleanliness, scores, score_change, objectives }
}

/// A difference where more is better.
fn by(difference: f64, noise: f64) -> Change {
    match difference {
        more if more >= noise => Change::Better,
        less if less <= -noise => Change::Worse,
        _ => Change::Same,
    }
}

fn said(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Passed => "passed",
        Verdict::Failed => "failed",
        Verdict::Inconclusive => "inconclusive",
        Verdict::Aborted => "aborted",
        Verdict::Error => "a step could not be done",
        Verdict::Refused => "refused",
    }
}

fn badness(cleanliness: Cleanliness) -> u8 {
    match cleanliness {
        Cleanliness::Clean => 0,
        Cleanliness::Drifted => 1,
        Cleanliness::StillInPlace => 2,
    }
}

fn left(cleanliness: Cleanliness) -> &'static str {
    match cleanliness {
        Cleanliness::Clean => "clean",
        Cleanliness::Drifted => "someone else's change was left alone",
        Cleanliness::StillInPlace => "still in place",
    }
}

fn pairs(a: &Scorecard, b: &Scorecard) -> Vec<Pair> {
    let find = |card: &'_ Scorecard, id: &str| card.objectives.iter().find(|it| it.id == id).cloned();
    let only_b = b.objectives.iter().filter(|it| !a.objectives.iter().any(|other| other.id == it.id));
    a.objectives.iter().chain(only_b).map(|it| pair(&it.id, find(a, &it.id), find(b, &it.id))).collect()
}

fn pair(id: &str, a: Option<ObjectiveScore>, b: Option<ObjectiveScore>) -> Pair {
    let (Some(a), Some(b)) = (&a, &b) else {
        let verdict = |it: &Option<ObjectiveScore>| it.as_ref().map(|it| it.verdict);
        return Pair { objective: id.into(), a: verdict(&a), b: verdict(&b), change: Change::NotKnown, clocks: Vec::new() };
    };
    let verdict = match (a.verdict, b.verdict) {
        (ObjectiveVerdict::Unknown, _) | (_, ObjectiveVerdict::Unknown) => Change::NotKnown,
        (ObjectiveVerdict::Missed, ObjectiveVerdict::Met) => Change::Better,
        (ObjectiveVerdict::Met, ObjectiveVerdict::Missed) => Change::Worse,
        _ => Change::Same,
    };
    let lost = |it: &ObjectiveScore| it.clocks.lose.map(|loss| loss.age);
    let mut clocks = Vec::new();
    // What the drill asks nothing of may differ as it likes; no drill asks anything of fail-back.
    let mut take = |kind: Option<TargetKind>, row: Option<Row>| {
        let asked = kind.is_some_and(|kind| [a, b].iter().any(|it| it.targets.iter().any(|target| target.kind == kind)));
        clocks.extend(row.map(|row| if asked { row } else { Row { change: Change::NotJudged, ..row } }));
    };
    let verdicts = [a.verdict, b.verdict];
    take(Some(TargetKind::RecoverWithin), row("recover", a.clocks.recover, b.clocks.recover, verdicts));
    take(Some(TargetKind::DetectWithin), row("detect", a.clocks.detect, b.clocks.detect, verdicts));
    take(Some(TargetKind::LoseAtMost), row("lose", lost(a), lost(b), verdicts));
    take(None, row("failBack", a.clocks.fail_back, b.clocks.fail_back, verdicts));
    clocks.extend(share(a, b));
    let all = || clocks.iter().map(|row| row.change).chain([verdict]);
    // A verdict that turned decides; among the figures one that is worse does.
    let change = if verdict != Change::Same {
        verdict
    } else if all().any(|change| change == Change::Worse) {
        Change::Worse
    } else if all().any(|change| change == Change::Better) {
        Change::Better
    } else {
        Change::Same
    };
    Pair { objective: id.into(), a: Some(a.verdict), b: Some(b.verdict), change, clocks }
}

/// A length of time, where less is better; none when neither run has it.
fn row(clock: &'static str, a: Option<Figure>, b: Option<Figure>, verdicts: [ObjectiveVerdict; 2]) -> Option<Row> {
    let words = |figure: Option<Figure>| figure.map_or("–".to_owned(), |it| if it == Figure::ZERO { none(clock).into() } else { it.to_string() });
    let change = match (a, b) {
        (None, None) => return None,
        (Some(a), Some(b)) => Change::of(a, b),
        // It never came, and that is known.
        (Some(_), None) if verdicts[1] == ObjectiveVerdict::Missed => Change::Worse,
        (None, Some(_)) if verdicts[0] == ObjectiveVerdict::Missed => Change::Better,
        _ => Change::NotKnown,
    };
    let delta = a.zip(b).map(|(a, b)| b.value.as_secs_f64() - a.value.as_secs_f64());
    Some(Row { clock, a: words(a), b: words(b), delta, change })
}

fn none(clock: &str) -> &'static str {
    if clock == "lose" { "none" } else { "not impacted" }
}

/// Availability, where more is better: a count without an error bar, so that what reads the same is the same.
fn share(a: &ObjectiveScore, b: &ObjectiveScore) -> Option<Row> {
    let of = |it: &ObjectiveScore| {
        let target = it.targets.iter().find(|target| target.kind == TargetKind::Availability)?;
        Some(match target.measured {
            Some(Quantity::Percent(share)) => Some(share),
            _ => None,
        })
    };
    let (a, b) = (of(a)?, of(b)?);
    let words = |share: Option<f64>| share.map_or("–".to_owned(), percent);
    let delta = a.zip(b).map(|(a, b)| b - a);
    let change = match (a, b, delta) {
        (Some(a), Some(b), _) if percent(a) == percent(b) => Change::Same,
        (.., Some(delta)) => by(delta, 0.0),
        _ => Change::NotKnown,
    };
    Some(Row { clock: "availability", a: words(a), b: words(b), delta, change })
}

/// What changed that way, in words.
fn sentences(pair: &Pair, change: Change) -> Vec<String> {
    let id = &pair.objective;
    let verdict = match (pair.a, pair.b) {
        (Some(ObjectiveVerdict::Met), Some(ObjectiveVerdict::Missed)) if change == Change::Worse => Some(format!("'{id}' was met and is missed")),
        (Some(ObjectiveVerdict::Missed), Some(ObjectiveVerdict::Met)) if change == Change::Better => Some(format!("'{id}' was missed and is met")),
        _ => None,
    };
    let rows = pair.clocks.iter().filter(|row| row.change == change);
    let rows = rows.map(|row| format!("'{id}' {}: {} before, {} now", named(row.clock), row.a, row.b));
    verdict.into_iter().chain(rows).collect()
}

/// The name of a clock for people.
#[must_use]
pub fn named(clock: &str) -> &str {
    match clock {
        "failBack" => "fail back",
        other => other,
    }
}

/// `+4.2 s`, `−0.3`: a difference of a clock (seconds) or of a share (percentage points).
#[must_use]
pub fn delta(clock: &str, value: f64) -> String {
    let sign = if value < 0.0 { "\u{2212}" } else { "+" };
    if clock == "availability" {
        return format!("{sign}{} points", percent(value.abs()).trim_end_matches('%'));
    }
    format!("{sign}{}", duration(Duration::try_from_secs_f64(value.abs()).unwrap_or_default()))
}
