//! What a run watches while it is on: objectives, the environment's halt conditions, requests to abort, and whether its faults are still there.

use std::time::Duration;

use tokio::sync::mpsc;

use crate::event::{Event, Health, StopReason};
use crate::fault::Observed;
use crate::probe::watch::{read_once, watch};

use super::machine::Input;
use super::runner::{GATE_TIMEOUT, Message, Runner};

/// Time between two looks at whether the verified faults are still there.
const LOOK: Duration = Duration::from_secs(5);
/// Time between two looks at whether an abort was requested.
const ABORT_POLL: Duration = Duration::from_millis(500);
/// Default of the environment's halt conditions (drill-file.md).
const HALT_INTERVAL: Duration = Duration::from_secs(5);

impl Runner {
    pub(super) fn watch_everything(&mut self) {
        let first = self.world.clock.now();
        let (samples, mut from_probes) = mpsc::unbounded_channel();
        for (objective, info) in self.setup.drill.objectives.iter().zip(&self.setup.started.objectives) {
            // The plan opened every probe once already and refuses what cannot be opened.
            if let Ok(probe) = self.world.probes.open(&objective.probe, &self.run) {
                self.tasks.spawn(watch(self.world.clock, info.id.clone(), probe, *info.interval, *info.timeout, first, samples.clone()));
            }
        }
        drop(samples);
        let send = self.send.clone();
        self.tasks.spawn(async move {
            while let Some(sample) = from_probes.recv().await {
                let _ = send.send(Message::Sample(sample));
            }
        });
        for halt in &self.setup.environment.halt_when {
            if let Ok(probe) = self.world.probes.open(&halt.probe, &self.run) {
                let (clock, send, id) = (self.world.clock, self.send.clone(), halt.id.clone());
                let interval = halt.interval.map_or(HALT_INTERVAL, |interval| *interval);
                let timeout = halt.timeout.map_or(GATE_TIMEOUT, |timeout| *timeout);
                self.tasks.spawn(async move {
                    loop {
                        let (_, _, reading) = read_once(&clock, probe.as_ref(), timeout).await;
                        if reading.health == Health::Good {
                            let detail = format!("'{id}' of the environment became true");
                            let _ = send.send(Message::Input(Input::Stop { reason: StopReason::HaltWhen, detail }));
                            return;
                        }
                        tokio::time::sleep(interval).await;
                    }
                });
            }
        }
        let (journal, run, send) = (self.world.journal.clone(), self.run.clone(), self.send.clone());
        self.tasks.spawn(async move {
            loop {
                tokio::time::sleep(ABORT_POLL).await;
                if journal.abort_requested(&run).await.unwrap_or(false) {
                    let detail = "by `firedrill abort`; undoing in order".to_owned();
                    let _ = send.send(Message::Input(Input::Stop { reason: StopReason::AbortRequested, detail }));
                    return;
                }
            }
        });
    }

    /// In the hold: says when a verified fault is no longer there.
    pub(super) fn watch_faults(&mut self) {
        let (world, ledger, log, cancel) = (self.world.clone(), self.ledger.clone(), self.log.clone(), self.steps.clone());
        self.tasks.spawn(async move {
            loop {
                tokio::select! {
                    () = tokio::time::sleep(LOOK) => {}
                    () = cancel.cancelled() => return,
                }
                for record in ledger.in_place(false) {
                    let Ok(kind) = world.kinds.for_record(&record) else { continue };
                    if kind.momentary() {
                        continue;
                    }
                    let observed = kind.observe(&record).await;
                    if cancel.is_cancelled() {
                        return;
                    }
                    if matches!(observed, Observed::Prior | Observed::Other { .. } | Observed::Absent) {
                        let detail = "it was no longer in place during the hold".to_owned();
                        log.emit(Event::FaultLost { step: record.step.clone(), target: record.target.to_string(), detail }).await;
                        return;
                    }
                }
            }
        });
    }
}
