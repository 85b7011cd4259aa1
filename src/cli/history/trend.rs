//! Where a drill is heading: score and recovery of its comparable runs as a line, and the latest against the median of the earlier ones.

use std::time::Duration;

use serde::Serialize;

use crate::clock::Span;
use crate::report::compare::{Change, SAME_SCORE};
use crate::score::words::duration;
use crate::score::{Figure, Scorecard, TargetKind};

/// Runs that a line shows at most.
pub const RUNS: usize = 16;

/// A drill in an environment over its comparable runs: those since the drill or the environment last changed, that were measured to their end.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Trend {
    /// Name of the drill.
    pub drill: String,
    /// Name of the environment.
    pub environment: String,
    /// The runs, oldest first.
    pub runs: Vec<Point>,
    /// Median score of all but the latest; none when it is the only one.
    pub median_score: Option<f64>,
    /// The latest score against it.
    pub score: Option<Change>,
    /// Median recovery of all but the latest, in seconds, where they recovered.
    pub median_recovery: Option<f64>,
    /// The latest recovery against it: the same when their error bars meet.
    pub recovery: Option<Change>,
}

/// One of them.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Point {
    /// Run id.
    pub run: String,
    /// 0–100.
    pub score: f64,
    /// The slowest recovery; none when it did not recover, or nothing says.
    pub recovery: Option<Figure>,
    /// Whether the drill says how fast it must be.
    #[serde(skip)]
    pub judged: bool,
}

impl Point {
    /// What a card says.
    #[must_use]
    pub fn of(run: &str, score: f64, card: &Scorecard) -> Self {
        let judged = card.objectives.iter().flat_map(|it| &it.targets).any(|target| target.kind == TargetKind::RecoverWithin);
        Self { run: run.to_owned(), score, recovery: card.clocks.recover, judged }
    }
}

impl Trend {
    /// The trend of these runs, oldest first; none without any.
    #[must_use]
    pub fn of(drill: &str, environment: &str, runs: Vec<Point>) -> Option<Self> {
        let (latest, earlier) = runs.split_last()?;
        let median_score = median(earlier.iter().map(|run| run.score).collect());
        let median_figure = median_figure(earlier.iter().filter_map(|run| run.recovery).collect());
        let median_recovery = median_figure.map(|it| it.value.as_secs_f64());
        let score = median_score.map(|median| match latest.score - median {
            more if more >= SAME_SCORE => Change::Better,
            less if less <= -SAME_SCORE => Change::Worse,
            _ => Change::Same,
        });
        let recovery = match (median_figure, latest.recovery) {
            _ if !latest.judged && !earlier.is_empty() => Some(Change::NotJudged),
            (Some(median), Some(now)) => Some(Change::of(median, now)),
            // It did recover before.
            (Some(_), None) => Some(Change::Worse),
            (None, Some(_)) if !earlier.is_empty() => Some(Change::Better),
            (None, _) => None,
        };
        Some(Self { drill: drill.to_owned(), environment: environment.to_owned(), median_score, score, median_recovery, recovery, runs })
    }

    /// Two lines for people, each with its sparkline; at most 80 columns.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let Some(latest) = self.runs.last() else { return Vec::new() };
        let scores: Vec<Option<f64>> = self.runs.iter().map(|run| Some(run.score)).collect();
        let recoveries: Vec<Option<f64>> = self.runs.iter().map(|run| Some(run.recovery?.value.as_secs_f64())).collect();
        let line = |name: &str, spark: String, now: String, change: Option<Change>, median: Option<String>| {
            let against = median.map(|median| format!(" (median {median})")).unwrap_or_default();
            let said = match change {
                Some(Change::Better) => format!("better{against}"),
                Some(Change::Worse) => format!("WORSE{against}"),
                Some(Change::Same) => format!("same{against}"),
                Some(Change::NotJudged) => String::new(),
                Some(Change::NotKnown) | None => "nothing earlier to compare with".into(),
            };
            let said = if said.is_empty() { against } else { format!(", {said}") };
            format!("  {name:<8}  {spark:<width$}  {now}{said}", width = self.runs.len())
        };
        let mut lines = vec![line(
            "score",
            sparkline(&scores, 100.0),
            format!("{:.1}", latest.score),
            self.score,
            self.median_score.map(|median| format!("{median:.1}")),
        )];
        if recoveries.iter().any(Option::is_some) {
            let most = recoveries.iter().flatten().copied().fold(0.0, f64::max);
            let now = latest.recovery.map_or("not recovered".into(), |it| if it == Figure::ZERO { "not impacted".into() } else { it.to_string() });
            let median = self.median_recovery.map(|median| duration(*Span(Duration::try_from_secs_f64(median).unwrap_or_default())));
            lines.push(line("recovery", sparkline(&recoveries, most), now, self.recovery, median));
        }
        lines
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

/// The figure in the middle, with its error bars; of two in the middle what lies between them.
fn median_figure(mut figures: Vec<Figure>) -> Option<Figure> {
    figures.sort_by_key(|it| it.value);
    let middle = figures.len() / 2;
    let high = *figures.get(middle)?;
    let low = figures[if figures.len() % 2 == 1 { middle } else { middle - 1 }];
    let between = |a: Span, b: Span| Span((*a + *b) / 2);
    Some(Figure {
        value: between(low.value, high.value),
        plus_minus: between(low.plus_minus, high.plus_minus),
        lower: between(low.lower, high.lower),
        upper: between(low.upper, high.upper),
    })
}

/// One block a value, the full one at `most`; `×` where there is none.
fn sparkline(values: &[Option<f64>], most: f64) -> String {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let block = |value: &Option<f64>| match value {
        None => '×',
        Some(value) if most > 0.0 => BLOCKS[((value / most * 7.0).round().clamp(0.0, 7.0)) as usize],
        Some(_) => BLOCKS[0],
    };
    values.iter().map(block).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(of: &[(f64, Option<f64>)]) -> Trend {
        let span = |seconds: f64| Span(Duration::from_secs_f64(seconds));
        let figure = |seconds: f64| Figure { value: span(seconds), plus_minus: span(1.0), lower: span(seconds - 1.0), upper: span(seconds + 1.0) };
        let points = of.iter().map(|(score, recovery)| Point { run: "r".into(), score: *score, recovery: recovery.map(figure), judged: true });
        Trend::of("evacuate", "sandbox", points.collect()).unwrap()
    }

    #[test]
    fn the_latest_run_is_held_against_the_median_of_the_earlier_ones() {
        let trend = runs(&[(100.0, Some(5.0)), (40.0, Some(60.0)), (100.0, Some(6.0)), (100.0, Some(6.8))]);
        assert_eq!((trend.median_score, trend.score), (Some(100.0), Some(Change::Same)));
        assert_eq!((trend.median_recovery, trend.recovery), (Some(6.0), Some(Change::Same)), "within the error bar");
        assert_eq!(trend.lines()[0], "  score     █▄██  100.0, same (median 100.0)");
        assert_eq!(trend.lines()[1], "  recovery  ▂█▂▂  6.8 s ± 1 s, same (median 6 s)");
        // Both have an error bar of a second, as in `firedrill compare`.
        assert_eq!(runs(&[(100.0, Some(5.0)), (100.0, Some(6.9))]).recovery, Some(Change::Same));
        assert_eq!(runs(&[(100.0, Some(5.0)), (100.0, Some(7.1))]).recovery, Some(Change::Worse));
        assert_eq!(runs(&[(100.0, Some(5.0)), (100.0, Some(3.1))]).recovery, Some(Change::Same));
        assert_eq!(runs(&[(100.0, Some(5.0)), (100.0, Some(2.9))]).recovery, Some(Change::Better));
        assert_eq!(runs(&[(100.0, Some(4.0)), (100.0, Some(6.0)), (100.0, Some(7.1))]).recovery, Some(Change::Worse));
        let mut unasked = runs(&[(100.0, Some(5.0)), (100.0, Some(9.0))]).runs;
        unasked.iter_mut().for_each(|point| point.judged = false);
        let unasked = Trend::of("evacuate", "sandbox", unasked).unwrap();
        assert_eq!(unasked.lines()[1], "  recovery  ▅█  9 s ± 1 s (median 5 s)", "no target, no verdict");
        assert_eq!(runs(&[(100.0, Some(5.0)), (50.0, None)]).lines()[1], "  recovery  █×  not recovered, WORSE (median 5 s)");
        assert_eq!(runs(&[(80.0, None), (100.0, Some(5.0))]).score, Some(Change::Better));
    }

    #[test]
    fn a_first_run_has_nothing_to_be_compared_with_and_lines_are_short() {
        let first = runs(&[(62.5, Some(5.0))]);
        assert_eq!((first.score, first.recovery), (None, None));
        assert!(first.lines()[0].contains("nothing earlier"));
        let long: Vec<(f64, Option<f64>)> = (0..RUNS).map(|n| (100.0 - n as f64, Some(3723.4 + n as f64 * 600.0))).collect();
        assert!(runs(&long).lines().iter().all(|line| line.chars().count() <= 80), "{:?}", runs(&long).lines());
    }
}
