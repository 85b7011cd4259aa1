//! The timeline as geometry: faults as bands, objectives as rows, clocks as marks, in the units of one SVG view box.
//!
//! However many samples a run has, the plot is bounded: readings are folded into columns, and a row draws one path for each state, not a shape for each reading.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use serde::Serialize;

use super::inert::clip;
use super::story::{ObjectiveStory, Reading, StepStory, Story};
use super::words;
use crate::clock::Timestamp;
use crate::event::{Health, Phase, StepKind};
use crate::score::{Figure, ObjectiveScore, ObjectiveVerdict, Scorecard, Severity};

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

/// A step's row.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs)]
pub struct Band {
    pub y: f64,
    pub text_y: f64,
    pub bar_y: f64,
    pub label: String,
    pub title: String,
    pub parts: Vec<Shade>,
    pub right: String,
    pub class: &'static str,
}

/// An objective's row.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs)]
pub struct Lane {
    pub y: f64,
    pub base: f64,
    pub label_y: f64,
    pub sub_y: f64,
    pub label: String,
    pub sub: String,
    pub title: String,
    pub paths: Vec<Path>,
    pub marks: Vec<Mark>,
    pub deadline: Option<Deadline>,
    pub class: &'static str,
    pub verdict: &'static str,
    pub glyph: &'static str,
    pub figure: String,
}

/// All shapes of one state in a row.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs)]
pub struct Path {
    pub class: &'static str,
    pub d: String,
}

/// A clock of an objective, with its error bar.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs)]
pub struct Mark {
    pub class: &'static str,
    pub shape: String,
    pub whisker: String,
    pub text_x: f64,
    pub text_y: f64,
    pub anchor: &'static str,
    pub label: String,
    pub title: String,
}

/// Where a target ends.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs)]
pub struct Deadline {
    pub x: f64,
    pub y: f64,
    pub y2: f64,
    pub title: String,
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
        story.steps.iter().take(BANDS).enumerate().map(|(row, step)| band(story, step, scale, bands_top + BAND * row as f64)).collect();
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
        .map(|(row, objective)| lane(objective, score_of(&objective.info.id), scale, columns, lanes_top + LANE * row as f64))
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

fn band(story: &Story, step: &StepStory, scale: Scale, y: f64) -> Band {
    let targets: Vec<_> = story.targets.iter().filter(|target| target.step == step.info.id).collect();
    let open = targets.iter().any(|target| !target.phase().is_closed());
    let changes = || targets.iter().flat_map(|target| &target.phases);
    let reverting = changes().filter(|(_, phase, _)| *phase == Phase::Reverting).map(|(at, ..)| *at).min();
    let closed = changes().filter(|(_, phase, _)| phase.is_closed()).map(|(at, ..)| *at).max();
    let kept = targets.iter().any(|target| matches!(target.phase(), Phase::Kept | Phase::Abandoned));
    let mut parts = Vec::new();
    let mut right = String::new();
    let place = matches!(step.info.kind, StepKind::Fault | StepKind::Action);
    let class = if step.info.kind == StepKind::Fault { "fault" } else { "action" };
    match (place, step.sent.or_else(|| place.then_some(step.began).flatten())) {
        (true, Some(sent)) => {
            let end = if open || kept { story.last } else { closed.unwrap_or(story.last) };
            // An action is not verified as a step; its targets are.
            let seen = || changes().filter(|(_, phase, _)| *phase == Phase::Verified).map(|(at, ..)| *at).max();
            let bites = match &step.verified {
                Some((at, None)) => Some(*at),
                Some((_, Some(_))) => None,
                None => seen(),
            };
            let bites = bites.unwrap_or(end).clamp(sent, end.max(sent));
            let lifting = reverting.unwrap_or(end).clamp(bites, end.max(bites));
            let solid = if step.info.kind == StepKind::Fault { "band-fault" } else { "band-action" };
            parts.push(scale.span("band-sent", sent, bites, 1.5));
            parts.push(scale.span(solid, bites, lifting, 1.5));
            if !kept {
                parts.push(scale.span("band-lifting", lifting, end, 1.0));
            }
            right = match (open, kept) {
                (true, _) => "STILL IN PLACE".into(),
                (_, true) => "kept on purpose".into(),
                _ => format!("in place {}", words::duration(end.since(sent))),
            };
        }
        _ => {
            if let Some(began) = step.began {
                let end = step.ended.as_ref().map_or(story.last, |(at, _)| *at);
                parts.push(scale.span("band-step", began, end, 2.0));
            }
            if let Some((_, outcome)) = &step.ended {
                let took = step.took(story.last).map(words::duration).unwrap_or_default();
                right = format!("{} {took}", words::outcome(outcome).0);
            }
        }
    }
    if parts.is_empty() && right.is_empty() {
        right = step.ended.as_ref().map_or("not begun", |(_, outcome)| words::outcome(outcome).0).into();
    }
    parts.retain(|part| part.w > 0.0);
    Band {
        y,
        text_y: y + 16.0,
        bar_y: y + 4.0,
        label: clip(&step.info.id, 22).into_owned(),
        title: format!("{} ({}, {})", step.info.id, words::step_kind(step.info.kind), step.info.name),
        parts,
        class: if open { "alarm" } else { class },
        right,
    }
}

fn lane(objective: &ObjectiveStory, score: Option<&ObjectiveScore>, scale: Scale, columns: usize, y: f64) -> Lane {
    let base = y + 42.0;
    let mut paths = Paths::default();
    if !objective.detects_only() {
        skyline(&mut paths, score, scale, base, columns);
    }
    samples(&mut paths, objective, scale, base, columns);
    let (class, verdict, glyph) = match score.map(|score| score.verdict) {
        Some(ObjectiveVerdict::Met) => ("met", "met", "✓"),
        Some(ObjectiveVerdict::Missed) => ("missed", "missed", "✗"),
        Some(ObjectiveVerdict::Unknown) | None => ("unknown", "unknown", "?"),
    };
    let clocks = score.map(|score| &score.clocks);
    let figure = match (clocks, score) {
        (Some(_), Some(score)) if score.not_impacted && !objective.detects_only() => "not impacted".into(),
        (Some(clocks), _) => clocks.detect.filter(|_| objective.detects_only()).or(clocks.recover).map(|it| it.to_string()).unwrap_or_default(),
        _ => String::new(),
    };
    Lane {
        y,
        base,
        label_y: y + 25.0,
        sub_y: y + 40.0,
        label: clip(&objective.info.id, 21).into_owned(),
        sub: clip(&objective.info.probe, 27).into_owned(),
        title: format!("{}: {}", objective.info.id, objective.info.probe),
        paths: paths.done(),
        marks: score.map(|score| marks(objective, score, scale, y, base)).unwrap_or_default(),
        deadline: deadline(objective, score, scale, y, base),
        class,
        verdict,
        glyph,
        figure,
    }
}

/// One path for each class, so that a row is a handful of elements.
#[derive(Default)]
struct Paths(BTreeMap<&'static str, String>);

impl Paths {
    fn rect(&mut self, class: &'static str, x: f64, y: f64, w: f64, h: f64) {
        // Writing to a string cannot fail.
        let _ = write!(self.0.entry(class).or_default(), "M{} {}h{}v{}h-{}z", round(x), round(y), round(w), round(h), round(w));
    }

    fn done(self) -> Vec<Path> {
        self.0.into_iter().map(|(class, d)| Path { class, d }).collect()
    }
}

/// How bad it was: the taller the worse, so that it reads without colour.
fn skyline(paths: &mut Paths, score: Option<&ObjectiveScore>, scale: Scale, base: f64, columns: usize) {
    let windows = score.map_or(&[][..], |score| &score.severity);
    let width = (RIGHT - LEFT) / columns as f64;
    // Windows narrower than a column are folded into it, the worst one counts.
    let mut worst: Vec<Option<Severity>> = vec![None; columns];
    for window in windows {
        let first = (((scale.x(window.from) - LEFT) / width) as usize).min(columns - 1);
        let last = (((scale.x(window.to) - LEFT) / width).ceil() as usize).clamp(first + 1, columns);
        for cell in &mut worst[first..last] {
            if cell.is_none_or(|known| rank(window.severity) > rank(known)) {
                *cell = Some(window.severity);
            }
        }
    }
    let mut column = 0;
    for run in worst.chunk_by(|a, b| a == b) {
        if let Some(severity) = run[0] {
            let (class, height) = match severity {
                Severity::None => ("sev-none", 4.0),
                Severity::Degraded => ("sev-degraded", 10.0),
                Severity::Disruption => ("sev-disruption", 17.0),
                Severity::Outage => ("sev-outage", 24.0),
                Severity::Unknown => ("sev-unknown", 24.0),
            };
            paths.rect(class, LEFT + width * column as f64, base - height, width * run.len() as f64, height);
        }
        column += run.len();
    }
}

fn rank(severity: Severity) -> u8 {
    match severity {
        Severity::None => 0,
        Severity::Degraded => 1,
        Severity::Unknown => 2,
        Severity::Disruption => 3,
        Severity::Outage => 4,
    }
}

/// The readings themselves, below the skyline; of a detection they are the row.
fn samples(paths: &mut Paths, objective: &ObjectiveStory, scale: Scale, base: f64, columns: usize) {
    let detects = objective.detects_only();
    let width = (RIGHT - LEFT) / columns as f64;
    let interval = scale.x(scale.from.plus(*objective.info.interval)) - LEFT;
    let shape = |health: Health| match (health, detects) {
        (Health::Good, false) => ("smp-good", base + 6.0, 2.0),
        (Health::Bad, false) => ("smp-bad", base + 3.0, 8.0),
        (Health::Unknown, _) => ("smp-unknown", base + 3.0, 5.0),
        (Health::Good, true) => ("det-fires", base - 14.0, 22.0),
        (Health::Bad, true) => ("det-quiet", base + 4.0, 4.0),
    };
    if objective.readings.len() <= columns {
        // Every reading is a tick of its own, as wide as the interval where there is room.
        let tick = (interval - 0.8).clamp(0.9, if detects { f64::MAX } else { 5.0 });
        for reading in &objective.readings {
            let (class, y, h) = shape(reading.health);
            let x = scale.x(reading.at);
            paths.rect(class, x, y, tick.min(RIGHT - x).max(0.9), h);
        }
        return;
    }
    let mut cells: Vec<Option<Health>> = vec![None; columns];
    for Reading { at, health } in &objective.readings {
        let cell = &mut cells[(((scale.x(*at) - LEFT) / width) as usize).min(columns - 1)];
        // What is wrong shows: bad before unknown before good. Of a detection, that it fired.
        let weight = |health: Health| match (health, detects) {
            (Health::Bad, false) | (Health::Good, true) => 2,
            (Health::Unknown, _) => 1,
            (Health::Good, false) | (Health::Bad, true) => 0,
        };
        if cell.is_none_or(|known| weight(*health) > weight(known)) {
            *cell = Some(*health);
        }
    }
    let mut column = 0;
    for run in cells.chunk_by(|a, b| a == b) {
        if let Some(health) = run[0] {
            let (class, y, h) = shape(health);
            paths.rect(class, LEFT + width * column as f64, y, width * run.len() as f64, h);
        }
        column += run.len();
    }
}

fn marks(objective: &ObjectiveStory, score: &ObjectiveScore, scale: Scale, y: f64, base: f64) -> Vec<Mark> {
    let Some(t0) = score.t0.map(|t0| t0.early) else { return Vec::new() };
    let mut wanted: Vec<(&'static str, &'static str, &Figure, Timestamp)> = Vec::new();
    let clocks = &score.clocks;
    if objective.detects_only() {
        wanted.extend(clocks.detect.as_ref().map(|it| ("mark-detect", "detected", it, t0)));
    } else if !score.not_impacted {
        wanted.extend(clocks.impact.as_ref().map(|it| ("mark-impact", "impact", it, t0)));
        wanted.extend(clocks.recover.as_ref().map(|it| ("mark-recover", "recovered", it, t0)));
    }
    let mut marks: Vec<Mark> = wanted.iter().map(|(class, name, figure, zero)| mark(class, name, figure, *zero, scale, y, base)).collect();
    // Two labels that would meet: the first one turns to the left of its mark.
    if let [first, second] = marks.as_mut_slice()
        && first.text_x + first.label.chars().count() as f64 * ADVANCE > second.text_x - 8.0
    {
        first.text_x -= 14.0;
        first.anchor = "end";
    }
    marks
}

fn mark(class: &'static str, name: &str, figure: &Figure, zero: Timestamp, scale: Scale, y: f64, base: f64) -> Mark {
    let at = |span: Duration| scale.x(zero.plus(span));
    let (x, low, high) = (at(*figure.value), at(*figure.lower), at(*figure.upper));
    let tip = y + 16.0;
    let shape = match class {
        "mark-impact" => format!("M{} {}h8l-4 6.5z", round(x - 4.0), tip - 6.5),
        "mark-detect" => format!("M{x} {}l4.5 4.5l-4.5 4.5l-4.5 -4.5z", tip - 9.0),
        _ => format!("M{} {tip}h8l-4 -6.5z", round(x - 4.0)),
    };
    let whisker = if high - low < 1.5 { String::new() } else { format!("M{low} {0}v4m0 -2H{high}m0 -2v4", tip + 2.0) };
    let stem = format!("M{x} {tip}V{base}");
    let label = format!("{name} +{figure}");
    Mark {
        class,
        shape,
        whisker: format!("{stem}{whisker}"),
        text_x: round(x + 7.0),
        text_y: y + 14.0,
        anchor: "start",
        title: format!("{name} {figure} after T0, at {}", words::instant(zero.plus(*figure.value))),
        label,
    }
}

fn deadline(objective: &ObjectiveStory, score: Option<&ObjectiveScore>, scale: Scale, y: f64, base: f64) -> Option<Deadline> {
    let (within, name) = match (objective.info.recover_within, objective.info.detect_within) {
        (Some(within), _) => (within, "recoverWithin"),
        (None, within) => (within?, "detectWithin"),
    };
    let at = score?.t0?.early.plus(*within);
    let title = format!("{name} {} ends at {}", words::duration(*within), words::time_of_day(at));
    (at <= scale.to).then(|| Deadline { x: scale.x(at), y: y + 19.0, y2: base + 12.0, title })
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
