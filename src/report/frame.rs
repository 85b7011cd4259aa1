//! Draws the live view of a run: what it does now, how the objectives breathe, what is in place.

use super::inert::{clip, columns, inert, pad};
use super::story::{ObjectiveStory, Stage, StepStory, Story, TargetStory};
use super::words;
use crate::clock::Timestamp;
use crate::event::{Health, StepOutcome};

/// Readings that a sparkline shows.
const BREATH: usize = 40;

/// What a frame may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Canvas {
    /// Columns.
    pub width: usize,
    /// Lines. The least urgent rows give way.
    pub height: usize,
    /// Whether colours are wanted; every mark reads without them too.
    pub colour: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ink {
    Plain,
    Bold,
    Dim,
    Good,
    Bad,
    Odd,
}

impl Ink {
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Bold => "1",
            Self::Dim => "2",
            Self::Good => "32",
            Self::Bad => "1;31",
            Self::Odd => "33",
        }
    }
}

/// A line in the making: harmless text, cut to the width, coloured where that is wanted.
struct Line {
    canvas: Canvas,
    used: usize,
    text: String,
}

impl Line {
    fn new(canvas: Canvas) -> Self {
        Self { canvas, used: 0, text: String::new() }
    }

    fn add(mut self, ink: Ink, text: &str) -> Self {
        let text = inert(text);
        let text = clip(&text, self.canvas.width.saturating_sub(self.used));
        self.used += columns(&text);
        if self.canvas.colour && ink != Ink::Plain && !text.is_empty() {
            self.text.push_str(&format!("\x1b[{}m{text}\x1b[0m", ink.code()));
        } else {
            self.text.push_str(&text);
        }
        self
    }

    fn cell(self, ink: Ink, text: &str, width: usize) -> Self {
        let text = inert(text).into_owned();
        self.add(ink, &pad(&text, width))
    }
}

/// The lines of the view at `now`: at most `canvas.height`, each at most `canvas.width` columns wide.
#[must_use]
pub fn frame(story: &Story, now: Timestamp, canvas: Canvas) -> Vec<String> {
    let mut lines = head(story, now, canvas);
    let place = in_place(story, now, canvas);
    let hint = Line::new(canvas).add(Ink::Dim, hint(story)).text;
    // What is in place and the way out matter most, then the objectives, then the steps.
    let fixed = lines.len() + 1 + 3;
    let free = canvas.height.saturating_sub(fixed);
    let place_rows = place.len().min((free / 3).max(2));
    let name = name_width(story, canvas);
    let objectives_rows = story.objectives.len().min((free.saturating_sub(place_rows)) * 2 / 3).max(1);
    let objectives = urgent(&story.objectives, objectives_rows, |it| (it.health() != Some(Health::Bad), it.health() == Some(Health::Good)));
    let steps_rows = free.saturating_sub(place_rows + objectives_rows);
    let steps = urgent(&story.steps, steps_rows, |it| (it.began.is_none() || it.ended.is_some(), it.ended.is_some()));

    section(&mut lines, canvas, "steps", steps.iter().map(|it| step_line(it, now, name, canvas)), story.steps.len());
    section(&mut lines, canvas, "objectives", objectives.iter().map(|it| objective_line(it, now, name, canvas)), story.objectives.len());
    let count = place.len();
    let none = || Line::new(canvas).add(Ink::Good, "   nothing").text;
    if count == 0 {
        section(&mut lines, canvas, "in place right now", std::iter::once(none()), 1);
    } else {
        section(&mut lines, canvas, "in place right now", place.into_iter().take(place_rows), count);
    }
    lines.truncate(canvas.height.saturating_sub(1));
    lines.push(hint);
    lines
}

fn section(lines: &mut Vec<String>, canvas: Canvas, title: &str, rows: impl Iterator<Item = String>, of: usize) {
    let rows: Vec<String> = rows.collect();
    let more = if rows.len() < of { format!("  ({} of {of})", rows.len()) } else { String::new() };
    lines.push(Line::new(canvas).add(Ink::Bold, &format!(" {title}")).add(Ink::Dim, &more).text);
    lines.extend(rows);
}

/// At most `rows` items in their own order, the urgent ones kept first.
fn urgent<T, K: Ord>(items: &[T], rows: usize, key: impl Fn(&T) -> K) -> Vec<&T> {
    let mut order: Vec<usize> = (0..items.len()).collect();
    order.sort_by_key(|index| key(&items[*index]));
    order.truncate(rows);
    order.sort_unstable();
    order.into_iter().map(|index| &items[index]).collect()
}

fn name_width(story: &Story, canvas: Canvas) -> usize {
    let ids = story.steps.iter().map(|it| it.info.id.as_str()).chain(story.objectives.iter().map(|it| it.info.id.as_str()));
    ids.map(columns).max().unwrap_or(0).clamp(8, (canvas.width / 4).max(8)) + 2
}

fn head(story: &Story, now: Timestamp, canvas: Canvas) -> Vec<String> {
    let line = Line::new(canvas).add(Ink::Bold, " firedrill ");
    let line = match &story.header {
        Some(header) => line
            .add(Ink::Bold, &header.drill)
            .add(Ink::Plain, &format!(" in {}", header.environment))
            .add(Ink::Dim, &format!("  {} fails  run {}", header.failed_region, header.run)),
        None => line,
    };
    vec![line.text, stage_line(story, now, canvas)]
}

fn stage_line(story: &Story, now: Timestamp, canvas: Canvas) -> String {
    let stage = story.stage();
    let line = Line::new(canvas).add(Ink::Bold, &format!(" {:<9} ", words::stage(stage).to_uppercase()));
    let span = match stage {
        Stage::Baseline => story.baseline.as_ref().map(|it| (it.began, it.until)),
        Stage::Hold => story.hold,
        Stage::Region => story.region_waiting,
        Stage::Starting | Stage::Steps | Stage::Undo | Stage::FailBack | Stage::Settling | Stage::Over => None,
    };
    let elapsed = match story.t0() {
        Some(t0) => format!("T0 +{}", words::ticking(now.since(t0))),
        None => words::ticking(now.since(story.began)),
    };
    match span {
        Some((from, until)) => {
            let whole = until.since(from).as_secs_f64().max(0.001);
            let done = (now.since(from).as_secs_f64() / whole).clamp(0.0, 1.0);
            let cells = 24;
            let full = (done * f64::from(cells)).round() as usize;
            let bar = format!("{}{}", "━".repeat(full), "╌".repeat(cells as usize - full));
            line.add(Ink::Odd, &bar)
                .add(Ink::Bold, &format!(" {} left", words::ticking(until.since(now))))
                .add(Ink::Dim, &format!("  {elapsed}"))
                .text
        }
        None => line.add(Ink::Dim, &elapsed).text,
    }
}

fn step_line(step: &StepStory, now: Timestamp, name: usize, canvas: Canvas) -> String {
    let (mark, ink, state) = match (&step.ended, step.began) {
        (Some((_, StepOutcome::Done)), _) => ("✔", Ink::Good, words::duration(step.took(now).unwrap_or_default())),
        (Some((_, outcome @ StepOutcome::Skipped { .. })), _) => ("–", Ink::Dim, words::outcome(outcome).0.to_owned()),
        (Some((_, outcome @ StepOutcome::Failed { .. })), _) => ("✘", Ink::Bad, words::outcome(outcome).0.to_owned()),
        (None, Some(began)) => ("▶", Ink::Odd, format!("{} of {}", words::ticking(now.since(began)), words::duration(*step.info.limit))),
        (None, None) => ("·", Ink::Dim, "waits".to_owned()),
    };
    let line = Line::new(canvas).add(ink, &format!("   {mark} ")).cell(Ink::Plain, &step.info.id, name);
    let line = line.cell(Ink::Dim, &step.info.name, 18).cell(ink, &state, 16);
    let why = match (&step.ended, &step.asked) {
        (Some((_, outcome)), _) => words::outcome(outcome).1.unwrap_or_default().to_owned(),
        (None, Some((role, instruction))) => format!("{role}: {instruction}"),
        (None, None) if step.began.is_none() && !step.info.after.is_empty() => format!("after {}", step.info.after.join(", ")),
        (None, None) => String::new(),
    };
    line.add(Ink::Plain, &why).text
}

fn objective_line(objective: &ObjectiveStory, now: Timestamp, name: usize, canvas: Canvas) -> String {
    let health = objective.health();
    let quiet = objective.detects_only();
    let (mark, ink) = match health {
        Some(Health::Good) => ("●", Ink::Good),
        Some(Health::Bad) if quiet => ("○", Ink::Dim),
        Some(Health::Bad) => ("✘", Ink::Bad),
        Some(Health::Unknown) => ("?", Ink::Odd),
        None => ("·", Ink::Dim),
    };
    let mut line = Line::new(canvas).add(ink, &format!("   {mark} ")).cell(Ink::Plain, &objective.info.id, name);
    let breath = BREATH.min(canvas.width.saturating_sub(name + 30));
    let recent: Vec<Health> = objective.track.recent().collect();
    let shown = &recent[recent.len().saturating_sub(breath)..];
    line = line.add(Ink::Plain, &" ".repeat(breath - shown.len()));
    for run in shown.chunk_by(|a, b| a == b) {
        let (glyph, ink) = match (run[0], quiet) {
            (Health::Good, false) => ("▂", Ink::Good),
            (Health::Bad, false) => ("█", Ink::Bad),
            (Health::Good, true) => ("█", Ink::Good),
            (Health::Bad, true) => ("▁", Ink::Dim),
            (Health::Unknown, _) => ("?", Ink::Odd),
        };
        line = line.add(ink, &glyph.repeat(run.len()));
    }
    let since = objective.since.map(|since| format!("for {}", words::ticking(now.since(since)))).unwrap_or_default();
    line = line.add(Ink::Plain, "  ").cell(ink, words::state(objective, health), 8).cell(Ink::Dim, &since, 12);
    line.add(Ink::Plain, objective.detail.as_deref().unwrap_or_default()).text
}

fn in_place(story: &Story, now: Timestamp, canvas: Canvas) -> Vec<String> {
    let row = |target: &TargetStory| {
        let since = target.since().map(|since| format!("for {}", words::ticking(now.since(since)))).unwrap_or_default();
        let detail = target.phases.last().and_then(|(.., detail)| detail.clone()).unwrap_or_default();
        let line =
            Line::new(canvas).add(Ink::Odd, "   ◆ ").add(Ink::Plain, &words::target(&target.target)).add(Ink::Dim, &format!("  {}", target.step));
        line.add(Ink::Odd, &format!("  {} {since}", words::phase(target.phase()))).add(Ink::Plain, &format!("  {detail}")).text
    };
    story.in_place().map(row).collect()
}

fn hint(story: &Story) -> &'static str {
    match (story.stage(), story.undo.last()) {
        (Stage::Over, _) => " done",
        (Stage::Settling, _) => " everything is undone; Ctrl-C: watch no longer",
        (Stage::Undo | Stage::Region | Stage::FailBack, Some((_, true))) => " Ctrl-C: give up waiting, name what is in place and how to undo it",
        (Stage::Undo | Stage::Region | Stage::FailBack, _) => " undoing; Ctrl-C: skip waits, lift faults at once",
        (Stage::Starting | Stage::Baseline | Stage::Steps | Stage::Hold, _) => " Ctrl-C: stop and undo",
    }
}
