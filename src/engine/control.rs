//! How a run is asked to stop: the signal ladder, and everything else that turns it round.

use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, watch};

use crate::clock::{Clock, Timestamp};
use crate::event::StopReason;

/// A step of the system clock, or a sleep of the machine, of this length turns the run round.
const JUMP: Duration = Duration::from_secs(10);
/// How often it is looked for.
const JUMP_LOOK: Duration = Duration::from_secs(1);

/// How urgently the run was asked to stop. Order matters: it only ever rises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Urgency {
    /// Not at all.
    #[default]
    None,
    /// First signal: inject nothing more, undo in order, report.
    Stop,
    /// Second: skip waits, lift every fault at once with short timeouts; actions stay.
    Hurry,
    /// Third: leave now, saying what is in place.
    Leave,
}

impl Urgency {
    fn next(self) -> Self {
        match self {
            Self::None => Self::Stop,
            Self::Stop => Self::Hurry,
            Self::Hurry | Self::Leave => Self::Leave,
        }
    }
}

/// A request to turn round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopRequest {
    /// Why.
    pub reason: StopReason,
    /// A sentence for people.
    pub detail: String,
}

/// The handle that asks a run to stop. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Control {
    requests: mpsc::UnboundedSender<StopRequest>,
    urgency: watch::Sender<Urgency>,
}

/// The run's end of a [`Control`].
#[derive(Debug)]
pub struct Controlled {
    /// Requests to turn round.
    pub requests: mpsc::UnboundedReceiver<StopRequest>,
    /// How urgent it is.
    pub urgency: watch::Receiver<Urgency>,
}

/// Waits until the ladder has reached `rung`; for ever where nobody can climb it any more.
pub async fn reached(urgency: &mut watch::Receiver<Urgency>, rung: Urgency) {
    if urgency.wait_for(|now| *now >= rung).await.is_err() {
        std::future::pending().await
    }
}

impl Control {
    /// A handle and the run's end of it.
    #[must_use]
    pub fn new() -> (Self, Controlled) {
        let (requests, receiver) = mpsc::unbounded_channel();
        let (urgency, watcher) = watch::channel(Urgency::None);
        (Self { requests, urgency }, Controlled { requests: receiver, urgency: watcher })
    }

    /// One more signal (`name` for people): the next rung of the ladder. Gives the rung that was reached.
    pub fn signal(&self, name: &str) -> Urgency {
        let mut reached = Urgency::None;
        self.urgency.send_modify(|urgency| {
            *urgency = urgency.next();
            reached = *urgency;
        });
        let (reason, detail) = match reached {
            Urgency::None | Urgency::Stop => (StopReason::Signal, format!("{name}: nothing more is injected; undoing in order")),
            Urgency::Hurry => (StopReason::SecondSignal, format!("{name} again: lifting every fault at once; actions stay")),
            Urgency::Leave => (StopReason::SecondSignal, format!("{name} a third time: leaving")),
        };
        self.stop(reason, detail);
        reached
    }

    /// Turns the run round when the system clock steps, or the machine sleeps; returns then.
    pub async fn stop_when_the_clock_jumps(&self, clock: Clock) {
        loop {
            tokio::time::sleep(JUMP_LOOK).await;
            let (wall, ours) = (Timestamp::from(SystemTime::now()), clock.now());
            let jump = wall.since(ours).max(ours.since(wall));
            if jump >= JUMP {
                let why = "samples and deadlines are no longer to be trusted";
                self.stop(StopReason::ClockJumped, format!("the machine slept, or its clock jumped, by {} s; {why}", jump.as_secs()));
                return;
            }
        }
    }

    /// Asks the run to turn round. A run that is over hears nothing.
    pub fn stop(&self, reason: StopReason, detail: impl Into<String>) {
        let _ = self.requests.send(StopRequest { reason, detail: detail.into() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ladder_has_three_rungs_and_never_goes_down() {
        let (control, mut run) = Control::new();
        assert_eq!(
            [control.signal("SIGINT"), control.signal("SIGTERM"), control.signal("SIGHUP"), control.signal("SIGINT")],
            [Urgency::Stop, Urgency::Hurry, Urgency::Leave, Urgency::Leave]
        );
        assert_eq!(run.requests.try_recv().map(|request| request.reason), Ok(StopReason::Signal));
        assert_eq!(run.requests.try_recv().map(|request| request.reason), Ok(StopReason::SecondSignal));
    }
}
