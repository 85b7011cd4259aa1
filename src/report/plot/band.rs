//! A step's row of the timeline: when its fault or action was in place.

use serde::Serialize;

use super::{Scale, Shade};
use crate::event::{Phase, StepKind};
use crate::report::inert::clip;
use crate::report::story::{StepStory, Story};
use crate::report::words;

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

/// Draws the row whose upper edge is `y`.
pub(super) fn band(story: &Story, step: &StepStory, scale: Scale, y: f64) -> Band {
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
