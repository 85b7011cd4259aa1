//! The moment from which this process may change nothing any more: a leader that could not renew its lease by then ends itself.
//!
//! Every write to the outside world asks [`check`] first, so that a process that was stopped, or slept, ends before it writes instead of after. A call that
//! is on its way at that moment is what the lease's margin and the records' compare-and-swap are for. Without a fence (the command line) nothing happens.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Once};
use std::time::{Duration, Instant, SystemTime};

use crate::exit::Exit;

static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
/// The same instant on the wall: the other clock does not count while the machine sleeps, or is moved to another host.
static BEGIN_WALL: LazyLock<SystemTime> = LazyLock::new(|| {
    let since = BEGIN.elapsed();
    SystemTime::now().checked_sub(since).unwrap_or(SystemTime::UNIX_EPOCH)
});
/// Milliseconds after [`BEGIN`]; 0: there is no fence.
static END: AtomicU64 = AtomicU64::new(0);
static WATCHDOG: Once = Once::new();

/// An instant of the fence's own time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark(u64);

/// Now, by the clock that is further ahead. One that is set forward costs the lease: safe, and the run is undone.
#[must_use]
pub fn now() -> Mark {
    let millis = |since: Duration| u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    Mark(millis(BEGIN.elapsed()).max(BEGIN_WALL.elapsed().map_or(0, millis)))
}

/// Puts the fence so long after `begun`, or leaves it where it is further away. From now on a thread of its own ends the process when it is reached.
pub fn until(begun: Mark, length: Duration) {
    let at = begun.0.saturating_add(u64::try_from(length.as_millis()).unwrap_or(u64::MAX));
    END.fetch_max(at.max(1), Ordering::SeqCst);
    WATCHDOG.call_once(|| {
        // Not a task: nothing that keeps the runtime busy may keep it from ending.
        let watching = std::thread::Builder::new().name("fence".to_owned()).spawn(|| {
            loop {
                check();
                let left = END.load(Ordering::SeqCst).saturating_sub(now().0);
                std::thread::sleep(Duration::from_millis(left.clamp(1, 1_000)));
            }
        });
        if watching.is_err() {
            end("its thread cannot be started");
        }
    });
}

/// Ends the process when the fence has been reached.
pub fn check() {
    let end_at = END.load(Ordering::SeqCst);
    if end_at > 0 && now().0 >= end_at {
        end("it could not be renewed in time");
    }
}

/// Ends the process now: nothing of it may change anything any more.
pub fn end(why: &str) -> ! {
    eprintln!("firedrill: error: the leader's lease is lost: {why}; another process undoes what is in place, or this one when it is started again");
    std::process::exit(Exit::Unreachable.code().into())
}
