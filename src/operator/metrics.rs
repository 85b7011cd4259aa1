//! What the operator counts, as Prometheus reads it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::event::Verdict;

/// Upper bounds of the buckets of a look, in seconds.
const LOOKS: [f64; 8] = [0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10.0, 60.0];
/// Upper bounds of the buckets of a recovery, in seconds.
const RECOVERIES: [f64; 8] = [10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 1_800.0, 3_600.0];

/// Counters and histograms since the process began.
#[derive(Debug, Default)]
pub struct Metrics(Mutex<Counted>);

#[derive(Debug, Default)]
struct Counted {
    leader: bool,
    ready: bool,
    runs: BTreeMap<String, u64>,
    score: Option<f64>,
    recoveries: Histogram,
    looks: BTreeMap<&'static str, (Histogram, u64)>,
    notifications: BTreeMap<(String, &'static str), u64>,
}

#[derive(Debug, Default)]
struct Histogram {
    buckets: [u64; 8],
    count: u64,
    sum: f64,
}

impl Histogram {
    fn take(&mut self, seconds: f64, bounds: &[f64; 8]) {
        self.count += 1;
        self.sum += seconds;
        for (bucket, bound) in self.buckets.iter_mut().zip(bounds) {
            *bucket += u64::from(seconds <= *bound);
        }
    }

    fn write(&self, out: &mut String, name: &str, labels: &str, bounds: &[f64; 8]) {
        let with = |more: String| if labels.is_empty() { more } else { format!("{labels},{more}") };
        for (count, bound) in self.buckets.iter().zip(bounds) {
            let _ = writeln!(out, "{name}_bucket{{{}}} {count}", with(format!("le=\"{bound}\"")));
        }
        let _ = writeln!(out, "{name}_bucket{{{}}} {}", with("le=\"+Inf\"".to_owned()), self.count);
        let braced = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
        let _ = writeln!(out, "{name}_sum{braced} {}\n{name}_count{braced} {}", self.sum, self.count);
    }
}

impl Metrics {
    fn hold<T>(&self, with: impl FnOnce(&mut Counted) -> T) -> T {
        with(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// This process leads.
    pub fn leads(&self) {
        self.hold(|counted| counted.leader = true);
    }

    /// What was open is being undone, and everything is looked at from now on.
    pub fn ready(&self) {
        self.hold(|counted| counted.ready = true);
    }

    /// Whether this process leads and looks at everything.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.hold(|counted| counted.ready)
    }

    /// A run ended.
    pub fn ended(&self, verdict: Verdict, score: Option<f64>, recovery: Option<Duration>) {
        let verdict = serde_json::to_value(verdict).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default();
        self.hold(|counted| {
            *counted.runs.entry(verdict).or_default() += 1;
            counted.score = score.or(counted.score);
            if let Some(recovery) = recovery {
                counted.recoveries.take(recovery.as_secs_f64(), &RECOVERIES);
            }
        });
    }

    /// An object was looked at.
    pub fn looked(&self, kind: &'static str, length: Duration, failed: bool) {
        self.hold(|counted| {
            let (looks, failures) = counted.looks.entry(kind).or_default();
            looks.take(length.as_secs_f64(), &LOOKS);
            *failures += u64::from(failed);
        });
    }

    /// What became of a notification: `sent`, `failed`, `dropped`.
    pub fn notified(&self, receiver: &str, result: &'static str) {
        self.hold(|counted| *counted.notifications.entry((receiver.to_owned(), result)).or_default() += 1);
    }

    /// The text format of Prometheus, version 0.0.4. `going_on`: runs of this process; `in_place`: targets that are changed now, in all runs.
    #[must_use]
    pub fn text(&self, going_on: usize, in_place: u64) -> String {
        let mut out = String::new();
        let head = |out: &mut String, name: &str, kind: &str, help: &str| {
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
        };
        self.hold(|counted| {
            head(&mut out, "firedrill_leader", "gauge", "1 while this process leads.");
            let _ = writeln!(out, "firedrill_leader {}", u8::from(counted.leader));
            head(&mut out, "firedrill_runs_going_on", "gauge", "Runs that this process works on.");
            let _ = writeln!(out, "firedrill_runs_going_on {going_on}");
            head(&mut out, "firedrill_in_place_targets", "gauge", "Targets that are changed now, or may be.");
            let _ = writeln!(out, "firedrill_in_place_targets {in_place}");
            head(&mut out, "firedrill_runs_total", "counter", "Runs that ended, by verdict.");
            for (verdict, count) in &counted.runs {
                let _ = writeln!(out, "firedrill_runs_total{{verdict=\"{verdict}\"}} {count}");
            }
            if let Some(score) = counted.score {
                head(&mut out, "firedrill_last_score", "gauge", "Score of the last run that had one, 0 to 100.");
                let _ = writeln!(out, "firedrill_last_score {score}");
            }
            head(&mut out, "firedrill_recovery_seconds", "histogram", "Slowest recovery of each run in which it was measured.");
            counted.recoveries.write(&mut out, "firedrill_recovery_seconds", "", &RECOVERIES);
            head(&mut out, "firedrill_reconcile_seconds", "histogram", "Time to look at one object once.");
            for (kind, (looks, _)) in &counted.looks {
                looks.write(&mut out, "firedrill_reconcile_seconds", &format!("kind=\"{kind}\""), &LOOKS);
            }
            head(&mut out, "firedrill_reconcile_failures_total", "counter", "Looks that failed, and are repeated.");
            for (kind, (_, failures)) in &counted.looks {
                let _ = writeln!(out, "firedrill_reconcile_failures_total{{kind=\"{kind}\"}} {failures}");
            }
            if !counted.notifications.is_empty() {
                head(&mut out, "firedrill_notifications_total", "counter", "Notifications, by receiver and result: sent, failed, dropped.");
            }
            for ((receiver, result), count) in &counted.notifications {
                let _ = writeln!(out, "firedrill_notifications_total{{receiver=\"{receiver}\",result=\"{result}\"}} {count}");
            }
        });
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_hold_what_is_below_them_and_labels_stand_before_their_bound() {
        let metrics = Metrics::default();
        metrics.ended(Verdict::Passed, Some(92.5), Some(Duration::from_secs(45)));
        metrics.looked("DrillRun", Duration::from_millis(7), true);
        let text = metrics.text(1, 12);
        for line in [
            "firedrill_runs_total{verdict=\"passed\"} 1",
            "firedrill_recovery_seconds_bucket{le=\"30\"} 0",
            "firedrill_recovery_seconds_bucket{le=\"60\"} 1",
            "firedrill_recovery_seconds_bucket{le=\"+Inf\"} 1",
            "firedrill_recovery_seconds_count 1",
            "firedrill_reconcile_seconds_bucket{kind=\"DrillRun\",le=\"0.005\"} 0",
            "firedrill_reconcile_seconds_bucket{kind=\"DrillRun\",le=\"0.01\"} 1",
            "firedrill_reconcile_failures_total{kind=\"DrillRun\"} 1",
            "firedrill_in_place_targets 12",
        ] {
            assert!(text.lines().any(|one| one == line), "{line} is not in\n{text}");
        }
    }
}
