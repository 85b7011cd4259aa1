//! Named places where a test may kill, stop, delay or fail this process; nothing at all without the cargo feature `failpoints`.
//!
//! `FIREDRILL_FAILPOINT="name[#n]=action"`, several separated by `;`. The action happens at the n-th hit of that name in this process (the first when no
//! number is given), once. Actions: `kill` (SIGKILL), `stop` (SIGSTOP), `term` (SIGTERM), `error`, `sleep(milliseconds)`.
//!
//! `FIREDRILL_FAILPOINT_TRACE=FILE` appends `name#n` for every hit, so that a test learns at which places a run can be killed.

/// Every name that [`hit`] is called with, so that a test can go through all of them.
///
/// `before` is ahead of the durable write, `after` behind it but before the caller is told: a crash at `after` is a write whose answer was lost.
pub const NAMES: &[&str] = &[
    "journal.run.before",
    "journal.run.after",
    "journal.intents.before",
    "journal.intents.committed",
    "journal.intents.after",
    "journal.phase.before",
    "journal.phase.after",
    "journal.events.before",
    "journal.events.after",
    "journal.end.before",
    "journal.end.after",
    "journal.abort.before",
    "journal.abort.after",
    "journal.abandon.before",
    "journal.abandon.after",
    "inject.before",
    "inject.after",
    "undo.before",
    "undo.after",
    "cluster.patch.before",
    "cluster.patch.after",
    "cluster.create.before",
    "cluster.create.after",
    "cluster.delete.before",
    "cluster.delete.after",
    "cluster.evict.before",
    "cluster.evict.after",
    "aws.before",
    "aws.after",
];

/// A failpoint was told to fail here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("failpoint {0}")]
pub struct Tripped(pub String);

/// Does what `FIREDRILL_FAILPOINT` says for this name, if anything. In a build without the feature this is nothing.
#[cfg(not(feature = "failpoints"))]
#[inline]
pub fn hit(_name: &str) -> Result<(), Tripped> {
    Ok(())
}

#[cfg(feature = "failpoints")]
pub use active::hit;

#[cfg(feature = "failpoints")]
mod active {
    use std::collections::HashMap;
    use std::io::Write;
    use std::sync::{LazyLock, Mutex, PoisonError};
    use std::time::Duration;

    use rustix::process::{Signal, getpid, kill_process};

    use super::{NAMES, Tripped};

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(super) enum Action {
        Signal(Signal),
        Error,
        Sleep(Duration),
    }

    #[derive(Debug, Clone, PartialEq, Eq)]
    pub(super) struct Point {
        pub(super) name: String,
        pub(super) hit: u64,
        pub(super) action: Action,
    }

    /// Reads the variable's text. A misspelt failpoint would make a test pass for nothing, so every mistake is an error.
    pub(super) fn parse(text: &str) -> Result<Vec<Point>, String> {
        text.split(';').filter(|part| !part.trim().is_empty()).map(|part| parse_one(part.trim())).collect()
    }

    fn parse_one(text: &str) -> Result<Point, String> {
        let (place, action) = text.split_once('=').ok_or_else(|| format!("'{text}': write it as name[#n]=action"))?;
        let (name, hit) = match place.split_once('#') {
            Some((name, number)) => match number.parse() {
                Ok(hit) if hit > 0 => (name, hit),
                _ => return Err(format!("'{place}': hits are counted from 1")),
            },
            None => (place, 1),
        };
        if !NAMES.contains(&name) {
            return Err(format!("no failpoint '{name}'; there are {}", NAMES.join(", ")));
        }
        let milliseconds = action.strip_prefix("sleep(").and_then(|rest| rest.strip_suffix(')')).and_then(|number| number.parse().ok());
        let action = match (action, milliseconds) {
            ("kill", _) => Action::Signal(Signal::KILL),
            ("stop", _) => Action::Signal(Signal::STOP),
            ("term", _) => Action::Signal(Signal::TERM),
            ("error", _) => Action::Error,
            (_, Some(milliseconds)) => Action::Sleep(Duration::from_millis(milliseconds)),
            _ => return Err(format!("'{action}': an action is kill, stop, term, error or sleep(milliseconds)")),
        };
        Ok(Point { name: name.to_owned(), hit, action })
    }

    static POINTS: LazyLock<Vec<Point>> = LazyLock::new(|| match parse(&std::env::var("FIREDRILL_FAILPOINT").unwrap_or_default()) {
        Ok(points) => points,
        Err(problem) => {
            eprintln!("firedrill: FIREDRILL_FAILPOINT: {problem}");
            std::process::exit(2);
        }
    });

    /// Longest that a signal to oneself takes to stop or end all threads, on a busy machine.
    const TAKEN: Duration = Duration::from_secs(2);

    static TRACE: LazyLock<Option<std::ffi::OsString>> = LazyLock::new(|| std::env::var_os("FIREDRILL_FAILPOINT_TRACE"));

    static HITS: LazyLock<Mutex<HashMap<String, u64>>> = LazyLock::new(Mutex::default);

    /// Does what `FIREDRILL_FAILPOINT` says for this name, if anything. `sleep` blocks the calling thread: the point is to be late, not to be polite.
    pub fn hit(name: &str) -> Result<(), Tripped> {
        if POINTS.is_empty() && TRACE.is_none() {
            return Ok(());
        }
        let count = {
            let mut hits = HITS.lock().unwrap_or_else(PoisonError::into_inner);
            let count = hits.entry(name.to_owned()).or_insert(0);
            *count += 1;
            *count
        };
        if let Some(file) = TRACE.as_ref() {
            // One write: threads write to it at once, and a line must stay whole.
            let line = format!("{name}#{count}\n");
            let written = std::fs::OpenOptions::new().create(true).append(true).open(file).and_then(|mut file| file.write_all(line.as_bytes()));
            if let Err(error) = written {
                return Err(Tripped(format!("{name}: FIREDRILL_FAILPOINT_TRACE: {error}")));
            }
        }
        for point in POINTS.iter().filter(|point| point.name == name && point.hit == count) {
            match point.action {
                Action::Signal(signal) => {
                    // A signal to oneself can only fail for an unknown signal number.
                    let _ = kill_process(getpid(), signal);
                    if signal != Signal::TERM {
                        // Another thread may be the one that takes it: until then this one must not go on. Never over for one that is killed.
                        std::thread::sleep(TAKEN);
                    }
                }
                Action::Error => return Err(Tripped(name.to_owned())),
                Action::Sleep(length) => std::thread::sleep(length),
            }
        }
        Ok(())
    }
}

#[cfg(all(test, feature = "failpoints"))]
mod tests {
    use std::time::Duration;

    use super::active::{Action, Point, parse};

    #[test]
    fn a_failpoint_names_its_place_its_hit_and_its_action() {
        let points = parse("journal.phase.after#3=error; journal.intents.before=sleep(20)").unwrap();
        let wanted = [
            Point { name: "journal.phase.after".into(), hit: 3, action: Action::Error },
            Point { name: "journal.intents.before".into(), hit: 1, action: Action::Sleep(Duration::from_millis(20)) },
        ];
        assert_eq!(points, wanted);
        assert_eq!(parse("").unwrap(), []);
    }

    #[test]
    fn a_misspelt_failpoint_is_an_error() {
        for wrong in ["journal.intent.before=kill", "journal.intents.before", "journal.intents.before=explode", "journal.intents.before#0=kill"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
