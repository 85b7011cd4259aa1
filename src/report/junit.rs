//! `junit.xml`: the run as a test suite, for CI servers. It is green exactly when the run passed and left nothing behind.
//!
//! There is no one standard; this keeps to what the schema of Jenkins' xUnit plugin allows (`junit-10.xsd`), which GitLab, Azure and Buildkite read too.
//!
//! | | test case is |
//! |---|---|
//! | objective met | passed |
//! | objective missed | failure |
//! | objective unknown | error; skipped when no clock ever started |
//! | everything is undone | passed when clean, else failure |
//! | every fault was in effect | passed when each was verified and none was lost, else error; skipped when none was injected |
//! | the run went to its end | error when it was refused, aborted, broke off, or has no end |

use std::io;
use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::inert::{clip, inert};
use super::story::Story;
use super::words;
use crate::event::{Cleanliness, StepKind, Verdict};
use crate::score::{ObjectiveScore, ObjectiveVerdict, Scorecard};

/// Longest message, in columns.
const MESSAGE: usize = 2000;
/// Targets listed in a message.
const TARGETS: usize = 50;

/// The file's content.
///
/// # Errors
/// When the stream has no header.
pub fn render(story: &Story, card: &Scorecard) -> io::Result<Vec<u8>> {
    let header = story.header.as_deref().ok_or_else(super::files::headless)?;
    let mut suite = TestSuite::new(plain(&format!("{} in {}", header.drill, header.environment)));
    suite.set_timestamp(story.began.utc()).set_time(story.last.since(story.began));
    for (name, value) in [
        ("run", header.run.clone()),
        ("drill", header.drill.clone()),
        ("environment", header.environment.clone()),
        ("drillHash", header.drill_hash.clone()),
        ("environmentHash", header.environment_hash.clone()),
        ("verdict", words::headline(story, card).into()),
        ("cleanliness", words::cleanliness(card.cleanliness).into()),
        ("score", card.score.map_or("none".into(), |score| format!("{score:.1}"))),
        ("coverage", format!("{:.3}", card.coverage)),
        ("exitCode", story.ended.as_ref().map_or("none".into(), |end| end.exit_code.to_string())),
        ("firedrill", header.firedrill.clone()),
    ] {
        suite.add_property((name, plain(&value).as_str()));
    }
    let class = plain(&header.drill);
    let cases = card.objectives.iter().map(objective).chain([undone(story, card), in_effect(story), to_its_end(story, card)]);
    for mut case in cases {
        case.set_classname(class.as_str());
        suite.add_test_case(case);
    }
    let mut report = Report::new("firedrill");
    report.set_timestamp(story.began.utc()).set_time(story.last.since(story.began)).add_test_suite(suite);
    let mut out = Vec::new();
    report.serialize(&mut out).map_err(io::Error::other)?;
    Ok(out)
}

/// Text that an XML document may hold and that no terminal obeys: a CI server prints it.
fn plain(text: &str) -> String {
    let harmless: String = inert(text).chars().filter(|c| !matches!(c, '\u{fffe}' | '\u{ffff}')).collect();
    clip(&harmless, MESSAGE).into_owned()
}

fn failed(kind: NonSuccessKind, class: &str, message: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_type(class).set_message(plain(message));
    status
}

fn skipped(why: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::skipped();
    status.set_message(plain(why));
    status
}

fn objective(it: &ObjectiveScore) -> TestCase {
    let status = match it.verdict {
        ObjectiveVerdict::Met => TestCaseStatus::success(),
        ObjectiveVerdict::Missed => failed(NonSuccessKind::Failure, "missed", &it.reason),
        ObjectiveVerdict::Unknown if it.t0.is_none() => skipped(&it.reason),
        ObjectiveVerdict::Unknown => failed(NonSuccessKind::Error, "unknown", &it.reason),
    };
    let mut case = TestCase::new(plain(&format!("objective {}", it.id)), status);
    let took = it.clocks.recover.or(it.clocks.detect).map_or(Duration::ZERO, |figure| *figure.value);
    case.set_time(took);
    if it.verdict == ObjectiveVerdict::Met {
        case.set_system_out(plain(&it.reason));
    }
    case
}

fn undone(story: &Story, card: &Scorecard) -> TestCase {
    let names: Vec<&str> = story.in_place().map(|target| target.target.as_str()).collect();
    let (what, command) = story.way_out();
    let status = match card.cleanliness {
        _ if story.going_on() => skipped(&format!("the run is going on, and undoes what it does; {what} `{command}`")),
        Cleanliness::Clean => TestCaseStatus::success(),
        Cleanliness::Drifted => failed(NonSuccessKind::Failure, "drifted", "someone else's change was found and left alone; see report.html"),
        Cleanliness::StillInPlace => {
            let shown = names.iter().take(TARGETS).copied().collect::<Vec<_>>().join(", ");
            let targets = if shown.is_empty() { "targets unknown" } else { &shown };
            failed(NonSuccessKind::Failure, "still in place", &format!("STILL IN PLACE, {what} `{command}`: {targets}"))
        }
    };
    let mut case = TestCase::new("everything is undone", status);
    case.set_time(story.undo_began().zip(story.undone.as_ref()).map_or(Duration::ZERO, |(from, it)| it.at.since(from)));
    case
}

fn in_effect(story: &Story) -> TestCase {
    let faults = || story.steps.iter().filter(|step| step.info.kind == StepKind::Fault);
    let mut problems = Vec::new();
    for step in faults() {
        let id = &step.info.id;
        match (&step.verified, step.sent) {
            (Some((_, None)), _) => {}
            (Some((_, Some(problem))), _) => problems.push(format!("fault '{id}' was not verified in effect: {problem}")),
            (None, Some(_)) => problems.push(format!("fault '{id}' was not verified in effect")),
            (None, None) => problems.push(format!("fault '{id}' was not injected")),
        }
        // After undo began it was to go away.
        let before = |at: &crate::clock::Timestamp| story.undo_began().is_none_or(|began| *at < began);
        problems.extend(
            step.lost
                .iter()
                .filter(|(at, ..)| before(at))
                .map(|(_, target, why)| format!("fault '{id}' was removed from {target} by someone else: {why}")),
        );
    }
    let status = if faults().all(|step| step.sent.is_none()) {
        skipped("no fault was injected")
    } else if problems.is_empty() {
        TestCaseStatus::success()
    } else {
        failed(NonSuccessKind::Error, "inconclusive", &problems.join("; "))
    };
    let mut case = TestCase::new("every fault was in effect", status);
    case.set_time(Duration::ZERO);
    case
}

fn to_its_end(story: &Story, card: &Scorecard) -> TestCase {
    let status = match card.verdict {
        _ if story.going_on() => failed(NonSuccessKind::Error, "unfinished", "the run is going on"),
        _ if story.ended.is_none() => failed(NonSuccessKind::Error, "unfinished", "the run has no end: its process was killed"),
        // A run that was conclusive in no other case must not look green.
        Verdict::Inconclusive if card.objectives.is_empty() => failed(NonSuccessKind::Error, "inconclusive", &card.reason),
        Verdict::Passed | Verdict::Failed | Verdict::Inconclusive => TestCaseStatus::success(),
        Verdict::Aborted => failed(NonSuccessKind::Error, "aborted", &card.reason),
        Verdict::Error => failed(NonSuccessKind::Error, "error", &card.reason),
        Verdict::Refused => failed(NonSuccessKind::Error, "refused", &card.reason),
    };
    let mut case = TestCase::new("the run went to its end", status);
    case.set_time(story.last.since(story.began));
    case
}
