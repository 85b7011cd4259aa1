//! The timeline as geometry: faults as bands, objectives as rows, clocks as marks, in the units of one SVG view box.
//!
//! However many samples a run has, the plot is bounded: readings are folded into columns, and a row draws one path for each state, not a shape for each reading.

mod band;
mod lane;

use std::time::Duration;

use serde::Serialize;

use super::story::Story;
use super::words;
use crate::clock::Timestamp;
use crate::score::Scorecard;

pub use band::Band;
pub use lane::{Deadline, Lane, Mark, Path};

const LEFT: f64 = 168.0;
const RIGHT: f64 = 902.0;
/// Width of the view box.
pub const WIDTH: f64 = 1060.0;
const BAND: f64 = 24.0;
const LANE: f64 = 58.0;
/// Columns that all rows together may take, and one row at most: bounds the size of the file.
const COLUMNS: usize = 24_000;
const COLUMNS_OF_ROW: usize = 367;
/// Step rows drawn; the table below has all of them.
const BANDS: usize = 40;
/// Average advance of the small type, for placing labels; a label that is wider than that only comes closer to its neighbour.
const ADVANCE: f64 = 6.1;

/// The timeline. Lengths are view box units.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs)] // named as drawn
pub struct Plot {
    pub width: f64,
    pub height: f64,
    pub left: f64,
    pub right: f64,
    pub right_text: f64,
    pub top: f64,
    pub span: f64,
    pub bottom: f64,
    pub axis_y: f64,
    pub utc_y: f64,
    /// What the plot shows, in sentences.
    pub description: Vec<String>,
    pub shade: Vec<Shade>,
    pub flags: Vec<Flag>,
    pub stages: Vec<Stage>,
    pub stages_y: f64,
    pub stages_text_y: f64,
    pub bands: Vec<Band>,
    pub bands_hidden: usize,
    pub bands_hidden_y: f64,
    pub lanes: Vec<Lane>,
    pub ticks: Vec<Tick>,
    pub day: String,
}

/// A stretch of time behind everything.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs)]
pub struct Shade {
    pub class: &'static str,
    pub x: f64,
    pub w: f64,
}

/// A labelled instant of the run.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs)]
pub struct Flag {
    pub class: &'static str,
    pub x: f64,
    pub y: f64,
    pub line_y: f64,
    pub text_x: f64,
    pub anchor: &'static str,
    pub label: String,
}

/// What the run was doing.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs)]
pub struct Stage {
    pub class: &'static str,
    pub x: f64,
    pub w: f64,
    pub mid: f64,
    pub label: String,
}

/// A tick of the axis.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs)]
pub struct Tick {
    pub x: f64,
    pub label: String,
    pub utc: String,
    pub zero: bool,
}

/// Maps instants to the plot's width.
#[derive(Debug, Clone, Copy)]
struct Scale {
    from: Timestamp,
    to: Timestamp,
}

impl Scale {
    fn x(self, at: Timestamp) -> f64 {
        let whole = self.to.since(self.from).as_secs_f64();
        round(LEFT + (RIGHT - LEFT) * (at.since(self.from).as_secs_f64() / whole).clamp(0.0, 1.0))
    }

    fn span(self, class: &'static str, from: Timestamp, to: Timestamp, least: f64) -> Shade {
        let (x, end) = (self.x(from), self.x(to));
        Shade { class, x, w: round((end - x).max(least)) }
    }
}

fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// Draws the run.
#[must_use]
pub fn plot(story: &Story, card: &Scorecard) -> Plot {
    let to = story.last.max(story.began.plus(Duration::from_millis(1)));
    let scale = Scale { from: story.began, to };
    let (flags, tiers) = flags(story, scale);
    let stages_y = 8.0 + 15.0 * f64::from(tiers);
    let mut y = stages_y + 30.0;
    let bands_top = y;
    let bands: Vec<Band> =
        story.steps.iter().take(BANDS).enumerate().map(|(row, step)| band::band(story, step, scale, bands_top + BAND * row as f64)).collect();
    let bands_hidden = story.steps.len() - bands.len();
    let bands_hidden_y = bands_top + BAND * bands.len() as f64 + 12.0;
    y += BAND * bands.len() as f64 + if bands_hidden > 0 { 18.0 } else { 0.0 } + 10.0;
    let columns = (COLUMNS / story.objectives.len().max(1)).clamp(24, COLUMNS_OF_ROW);
    let lanes_top = y;
    let score_of = |id: &str| card.objectives.iter().find(|score| score.id == id);
    let lanes: Vec<Lane> = story
        .objectives
        .iter()
        .enumerate()
        .map(|(row, objective)| lane::lane(objective, score_of(&objective.info.id), scale, columns, lanes_top + LANE * row as f64))
        .collect();
    y += LANE * lanes.len() as f64 + 4.0;
    Plot {
        width: WIDTH,
        height: y + 44.0,
        left: LEFT,
        right: RIGHT,
        right_text: RIGHT + 14.0,
        top: stages_y + 22.0,
        span: y - stages_y - 22.0,
        bottom: y,
        axis_y: y + 17.0,
        utc_y: y + 32.0,
        description: description(story, card),
        shade: shade(story, card, scale),
        flags,
        stages: stages(story, scale),
        stages_y,
        stages_text_y: stages_y + 12.5,
        bands,
        bands_hidden,
        bands_hidden_y,
        lanes,
        ticks: ticks(scale, story.zero()),
        day: story.zero().utc().format("%Y-%m-%d").to_string(),
    }
}

/// When the faults were in place, and the interval in which T0 lies.
fn shade(story: &Story, card: &Scorecard, scale: Scale) -> Vec<Shade> {
    let Some(t0) = story.t0() else { return Vec::new() };
    let until = story.lifted.as_ref().filter(|(_, left)| left.is_empty()).map_or(story.last, |(at, _)| *at);
    let mut shades = vec![scale.span("shade-fault", t0, until.max(t0), 0.0)];
    if let Some(late) = card.t0.and_then(|t0| t0.late) {
        shades.push(scale.span("shade-t0", t0, late, 1.0));
    }
    shades
}

fn flags(story: &Story, scale: Scale) -> (Vec<Flag>, u8) {
    let zero = story.zero();
    let mut wanted: Vec<(Timestamp, &'static str, String)> = Vec::new();
    wanted.extend(story.t0().map(|at| (at, "flag-t0", "T0".into())));
    wanted.extend(story.undo_began().map(|at| (at, "flag-undo", format!("undo begins {}", words::offset(at, zero)))));
    wanted.extend(story.lifted.as_ref().map(|(at, left)| {
        let label = if left.is_empty() { "faults lifted" } else { "faults NOT all lifted" };
        (*at, "flag-minor", format!("{label} {}", words::offset(*at, zero)))
    }));
    wanted.extend(story.region_healthy.as_ref().map(|(at, healthy, _)| {
        let label = if *healthy { "region healthy" } else { "region NOT healthy" };
        (*at, "flag-minor", format!("{label} {}", words::offset(*at, zero)))
    }));
    wanted.extend(story.undone.as_ref().map(|it| (it.at, "flag-minor", format!("undo ends {}", words::offset(it.at, zero)))));
    // From right to left, each label starts at its line or, where it would leave the plot, ends there; a label that meets one already placed goes a tier up.
    let mut placed: Vec<(f64, f64, u8)> = Vec::new();
    let mut flags = Vec::new();
    for (at, class, label) in wanted.into_iter().rev() {
        let x = scale.x(at);
        let length = label.chars().count() as f64 * ADVANCE + 10.0;
        let fits = x + length < WIDTH - 30.0;
        let (from, to) = if fits { (x, x + length) } else { (x - length, x) };
        let mut tier = 0;
        while placed.iter().any(|(a, b, t)| *t == tier && from < *b && *a < to) {
            tier += 1;
        }
        placed.push((from, to, tier));
        flags.push((x, class, label, fits, tier));
    }
    let tiers = flags.iter().map(|flag| flag.4 + 1).max().unwrap_or(0);
    let flag = |(x, class, label, fits, tier): (f64, &'static str, String, bool, u8)| Flag {
        class,
        x,
        y: 11.0 + 15.0 * f64::from(tiers - 1 - tier),
        line_y: 2.0 + 15.0 * f64::from(tiers - 1 - tier),
        text_x: if fits { x + 5.0 } else { x - 5.0 },
        anchor: if fits { "start" } else { "end" },
        label,
    };
    (flags.into_iter().map(flag).collect(), tiers)
}

fn stages(story: &Story, scale: Scale) -> Vec<Stage> {
    let mut cuts: Vec<(Timestamp, &'static str, &'static str)> = Vec::new();
    cuts.extend(story.baseline.as_ref().map(|it| (it.began, "stage-baseline", "baseline")));
    cuts.extend(story.steps.iter().filter_map(|step| step.began).min().map(|at| (at, "stage-steps", "steps")));
    cuts.extend(story.hold.map(|(at, _)| (at, "stage-hold", "hold")));
    cuts.extend(story.undo_began().map(|at| (at, "stage-undo", "undo")));
    cuts.extend(story.region_waiting.map(|(at, _)| (at, "stage-region", "region heals")));
    cuts.extend(story.region_healthy.as_ref().filter(|(_, healthy, _)| *healthy).map(|(at, ..)| (*at, "stage-undo", "fail-back")));
    cuts.extend(story.undone.as_ref().map(|it| (it.at, "stage-after", "after")));
    cuts.sort_by_key(|(at, ..)| *at);
    let ends = cuts.iter().skip(1).map(|(at, ..)| *at).chain([story.last]);
    cuts.iter()
        .zip(ends)
        .map(|((from, class, label), to)| {
            let shade = scale.span(class, *from, to, 0.0);
            let room = shade.w > label.chars().count() as f64 * ADVANCE + 6.0;
            Stage { class, x: shade.x, w: shade.w, mid: round(shade.x + shade.w / 2.0), label: if room { (*label).into() } else { String::new() } }
        })
        .filter(|stage| stage.w > 0.0)
        .collect()
}

fn ticks(scale: Scale, zero: Timestamp) -> Vec<Tick> {
    const STEPS: [u64; 22] = [
        1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000, 600_000, 900_000, 1_800_000,
        3_600_000,
    ];
    let whole = scale.to.since(scale.from).as_millis().max(1) as u64;
    let step = STEPS.into_iter().find(|step| whole / step <= 10).unwrap_or_else(|| (whole / 8 / 3_600_000 + 1) * 3_600_000);
    let step_micros = i64::try_from(step * 1000).unwrap_or(i64::MAX);
    let first = (scale.from.0 - zero.0).div_euclid(step_micros) + i64::from((scale.from.0 - zero.0).rem_euclid(step_micros) != 0);
    let last = (scale.to.0 - zero.0).div_euclid(step_micros);
    (first..=last)
        .map(|n| {
            let at = Timestamp(zero.0 + n * step_micros);
            let utc = if step < 1000 { words::time_of_day(at) } else { at.utc().format("%H:%M:%S").to_string() };
            Tick { x: scale.x(at), label: if n == 0 { "T0".into() } else { words::offset(at, zero) }, utc, zero: n == 0 }
        })
        .collect()
}

/// The plot in sentences: for people who do not see it, and for search.
fn description(story: &Story, card: &Scorecard) -> Vec<String> {
    let zero = story.zero();
    let mut lines = vec![format!(
        "Timeline from {} to {} around T0 at {}.",
        words::offset(story.began, zero),
        words::offset(story.last, zero),
        words::instant(zero)
    )];
    for step in story.steps.iter().filter(|step| step.sent.is_some()).take(BANDS) {
        let sent = step.sent.map(|at| words::offset(at, zero)).unwrap_or_default();
        lines.push(format!("Step {} ({}) injected at {sent}.", step.info.id, step.info.name));
    }
    lines.extend(story.undo_began().map(|at| format!("Undo begins at {}.", words::offset(at, zero))));
    lines.extend(
        card.objectives.iter().map(|it| format!("Objective {}: {}: {}.", it.id, words::objective_verdict(it.verdict).to_lowercase(), it.reason)),
    );
    lines
}
