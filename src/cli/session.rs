//! What every command that runs the engine shares: signals, sinks, the report at the end.

use std::io::Write;
use std::path::{Path, PathBuf};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::{Context, listing};
use crate::clock::Clock;
use crate::engine::control::{Control, Urgency};
use crate::engine::runner::Outcome;
use crate::event::RunEvent;
use crate::exit::Exit;
use crate::journal::sqlite::Sqlite;
use crate::report::files::Writer;
use crate::report::live::Live;
use crate::report::story::{Reader, Story};
use crate::report::{self, Format, Sink};

/// Listens for SIGINT, SIGTERM and SIGHUP, and for jumps of the clock, until the process ends.
///
/// # Errors
/// When the handlers cannot be installed: then nothing may be injected.
pub fn listen(control: &Control, clock: Clock) -> std::io::Result<()> {
    for (kind, name) in [(SignalKind::interrupt(), "Ctrl-C"), (SignalKind::terminate(), "SIGTERM"), (SignalKind::hangup(), "SIGHUP")] {
        let (mut signals, control) = (signal(kind)?, control.clone());
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                if control.signal(name) == Urgency::Leave {
                    return;
                }
            }
        });
    }
    let control = control.clone();
    tokio::spawn(async move { control.stop_when_the_clock_jumps(clock).await });
    Ok(())
}

/// Where events go while the run is on.
pub struct Telling {
    /// The engine's end.
    pub sinks: mpsc::UnboundedSender<RunEvent>,
    task: JoinHandle<()>,
}

impl Telling {
    /// Starts the live view. A sink that fails is dropped; the run goes on.
    #[must_use]
    pub fn start(clock: Clock) -> Self {
        Self::after(clock, Story::default())
    }

    /// Starts the live view of a resumed undo: it knows what is in place, and tells nothing again. A journal that does not read is the recovery's to report.
    pub async fn resume(clock: Clock, journal: &Sqlite, run: &str) -> Self {
        let past = journal.replay(run, Story::default(), Story::take).await.unwrap_or_default();
        Self::after(clock, past.resumed())
    }

    fn after(clock: Clock, past: Story) -> Self {
        let (sinks, mut events) = mpsc::unbounded_channel::<RunEvent>();
        let task = tokio::spawn(async move {
            let mut live = Live::on_stderr(clock, past).ok();
            while let Some(event) = events.recv().await {
                if live.as_mut().is_some_and(|sink| sink.event(&event).is_err()) {
                    live = None;
                }
            }
            if let Some(mut sink) = live {
                let _ = sink.finish();
            }
        });
        Self { sinks, task }
    }

    /// Waits until the last event is told.
    pub async fn finish(self) {
        drop(self.sinks);
        let _ = self.task.await;
    }
}

/// Writes the report and the last words; gives the exit code, with the way out where something is left.
///
/// `gone` says that the environment ends with this command, and what is in place with it.
pub fn conclude(context: &Context, outcome: &Outcome, dir: &Path, gone: bool) -> Exit {
    let reader = Reader { program: Some(listing::program(context)), alive: false, gone };
    let mut writer = Writer::new(dir, &Format::ALL).read_by(reader);
    outcome.events.iter().for_each(|event| writer.event(event));
    let (written, account) = writer.finish(&outcome.scorecard);
    let html = written.iter().find(|file| file.path.extension().is_some_and(|ending| ending == "html") && file.result.is_ok());
    let text = report::summary::summary(account.story(), &outcome.scorecard, html.map(|file| file.path.as_path()));
    say(&text);
    for file in &written {
        if let Err(error) = &file.result {
            warn(&format!("cannot write {}: {error}", file.path.display()));
        }
    }
    if !outcome.in_place.is_empty() {
        for record in &outcome.in_place {
            warn(&format!("  {} ({}, step '{}', {:?})", record.target, record.kind, record.step, record.phase));
        }
        let (what, command) = account.story().way_out();
        warn(&format!("STILL IN PLACE: {} target(s); {what}: {command}", outcome.in_place.len()));
        if gone {
            warn("to finish such an undo later, let the sandbox be a process of its own: `firedrill sandbox --write-env FILE`");
        }
    }
    outcome.exit
}

/// Text on standard output, with a line break at its end.
pub fn say(text: &str) {
    listing::print(&format!("{}\n", text.trim_end_matches('\n')));
}

/// One line of standard error. A closed output is no reason to stop.
pub fn warn(text: &str) {
    let _ = writeln!(std::io::stderr(), "firedrill: {text}");
}

/// Where a run's report goes: the flag's folder, or one by run id below the state directory.
#[must_use]
pub fn report_dir(flag: Option<&Path>, state: &Path, run: &str) -> PathBuf {
    flag.map_or_else(|| state.join("reports").join(run), Path::to_owned)
}
