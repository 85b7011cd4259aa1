//! An objective's row of the timeline: severity, readings, clocks with their error bars.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use serde::Serialize;

use super::{ADVANCE, LEFT, RIGHT, Scale, round};
use crate::clock::Timestamp;
use crate::event::Health;
use crate::report::inert::clip;
use crate::report::story::ObjectiveStory;
use crate::report::track::Stretch;
use crate::report::words;
use crate::score::{Figure, ObjectiveClocks, ObjectiveScore, ObjectiveVerdict, Severity, TargetKind};

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

/// Draws the row whose upper edge is `y`, folded into at most `columns`.
pub(super) fn lane(objective: &ObjectiveStory, score: Option<&ObjectiveScore>, scale: Scale, columns: usize, y: f64) -> Lane {
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
    let lost =
        score.and_then(|score| score.targets.iter().find(|it| it.verdict == ObjectiveVerdict::Missed)).filter(|it| it.kind == TargetKind::LoseAtMost);
    let figure = match (clocks, score) {
        // What the verdict is about: it may have recovered in time, and lost data.
        (Some(ObjectiveClocks { lose: Some(lose), .. }), _) if lost.is_some() => format!("{} of writes lost", lose.age),
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
    // What is wrong shows: bad before unknown before good. Of a detection, that it fired.
    let worst = |stretch: &Stretch| {
        let order = if detects { [Health::Good, Health::Unknown, Health::Bad] } else { [Health::Bad, Health::Unknown, Health::Good] };
        order.into_iter().find(|health| stretch.count(*health) > 0)
    };
    let stretches = objective.track.stretches();
    if objective.track.exact() && stretches.len() <= columns {
        // Every reading is a tick of its own, as wide as the interval where there is room.
        let tick = (interval - 0.8).clamp(0.9, if detects { f64::MAX } else { 5.0 });
        for (stretch, health) in stretches.iter().filter_map(|stretch| Some((stretch, worst(stretch)?))) {
            let (class, y, h) = shape(health);
            let x = scale.x(stretch.from);
            paths.rect(class, x, y, tick.min(RIGHT - x).max(0.9), h);
        }
        return;
    }
    let mut cells: Vec<Option<Stretch>> = vec![None; columns];
    let column = |at: Timestamp| (((scale.x(at) - LEFT) / width) as usize).min(columns - 1);
    for stretch in stretches {
        for cell in &mut cells[column(stretch.from)..=column(stretch.to)] {
            match cell {
                Some(known) => known.join(stretch),
                None => *cell = Some(*stretch),
            }
        }
    }
    // Of a column with bad readings the bar is as tall as their share, in quarters; never too small to be seen, however few they are.
    let drawn = |cell: &Option<Stretch>| {
        let cell = cell.as_ref()?;
        let (class, y, h) = shape(worst(cell)?);
        if class != "smp-bad" {
            return Some((class, y, h));
        }
        let (bad, good) = (u64::from(cell.count(Health::Bad)), u64::from(cell.count(Health::Good)));
        let h = 2.0 + 1.5 * (4 * bad).div_ceil(bad + good) as f64;
        Some((class, base + 11.0 - h, h))
    };
    let cells: Vec<_> = cells.iter().map(drawn).collect();
    let mut column = 0;
    for run in cells.chunk_by(|a, b| a == b) {
        if let Some((class, y, h)) = run[0] {
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
