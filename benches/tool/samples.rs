//! Fills a journal with a finished run of any number of samples, through the library, as a run of the engine would have.

use std::path::Path;
use std::time::Duration;

use firedrill::clock::{Span, Timestamp};
use firedrill::event::{
    Cleanliness, EVENT_VERSION, Event, Health, ObjectiveInfo, PlanInfo, RunEvent, RunStarted, Sample, StepInfo, StepKind, StepOutcome, StopReason,
    Verdict,
};
use firedrill::journal::sqlite::Sqlite;
use firedrill::journal::{Journal, RunEnd, RunHeader};
use serde_json::{Value, json};

use super::Failure;

/// The run's id.
const RUN: &str = "01KB2QXW8V5Z3M4N7P9R1S6T8D";
/// 2026-11-10T10:00:00Z: it began then.
const ZERO: Timestamp = Timestamp(1_794_304_800_000_000);
/// Time from one sample of an objective to the next.
const INTERVAL: Duration = Duration::from_secs(1);
/// Samples of each objective before the fault.
const BASELINE: u64 = 30;
/// Samples of each objective that are bad after it.
const OUTAGE: u64 = 20;
/// Events of one write.
const TOGETHER: usize = 5_000;

/// Writes the run: `{"run", "events", "samples"}`.
pub async fn fill(dir: &Path, samples: u64, objectives: u64) -> Result<Value, Failure> {
    let ticks = samples.div_ceil(objectives.max(1));
    if ticks < BASELINE + OUTAGE + 10 {
        return Err(format!("{samples} samples of {objectives} objectives are too few for a run").into());
    }
    let journal = Sqlite::open(dir)?;
    let hold = INTERVAL * u32::try_from(ticks)?;
    let started = started(objectives, hold);
    let environment = started.environment.clone();
    journal
        .open_run(&RunHeader {
            run: RUN.into(),
            drill: started.drill.clone(),
            environment,
            drill_document: json!({}),
            environment_document: json!({}),
            started: ZERO,
        })
        .await?;
    let mut writer = Writer { journal: &journal, waiting: Vec::new(), seq: 0 };
    let (fault, end) = (after(BASELINE), after(ticks));
    let step = || "endpoints-dark".to_owned();
    writer.add(ZERO, Event::RunStarted(Box::new(started))).await?;
    writer.add(ZERO, Event::BaselineStarted { until: fault }).await?;
    let mut written = 0;
    for tick in 0..ticks {
        if tick == BASELINE {
            writer.add(fault, Event::BaselineEnded { problems: vec![] }).await?;
            writer.add(fault, Event::StepStarted { step: step(), limit: fault.plus(INTERVAL * 60) }).await?;
            writer.add(fault, Event::InjectSent { step: step() }).await?;
            writer.add(fault, Event::FaultVerified { step: step(), problem: None }).await?;
            writer.add(fault, Event::StepEnded { step: step(), outcome: StepOutcome::Done }).await?;
            writer.add(fault, Event::HoldStarted { until: end }).await?;
        }
        for objective in 0..objectives.min(samples - written) {
            let sample = sample(tick, objective);
            writer.add(sample.at.plus(*sample.latency), Event::Sample(sample)).await?;
            written += 1;
        }
    }
    writer.add(end, Event::Stopping { reason: StopReason::HoldOver, detail: "the hold is over".into() }).await?;
    writer.add(end, Event::UndoStarted { targets: 0, hurried: false }).await?;
    writer.add(end, Event::FaultsLifted { left: vec![] }).await?;
    writer.add(end, Event::UndoEnded { left: vec![], drifted: vec![], kept: vec![] }).await?;
    let (verdict, cleanliness, score) = (Verdict::Passed, Cleanliness::Clean, Some(100.0));
    writer.add(end, Event::RunEnded { verdict, cleanliness, score, exit_code: 0, reason: "every objective was met".into() }).await?;
    writer.flush().await?;
    let events = writer.seq;
    journal.close_run(RUN, &RunEnd { at: end, verdict, cleanliness, score, exit_code: 0 }).await?;
    Ok(json!({"run": RUN, "events": events, "samples": written}))
}

fn after(ticks: u64) -> Timestamp {
    ZERO.plus(INTERVAL * u32::try_from(ticks).unwrap_or(u32::MAX))
}

/// Latencies vary, an outage follows the fault, and one reading in a thousand is bad later: a plot of it has something to show.
fn sample(tick: u64, objective: u64) -> Sample {
    let noise = (tick.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ objective.wrapping_mul(0xbf58_476d_1ce4_e5b9)) >> 40;
    let out = (BASELINE..BASELINE + OUTAGE + objective % 7).contains(&tick);
    let bad = out || (tick > BASELINE && noise.is_multiple_of(1000));
    Sample {
        objective: id(objective),
        at: after(tick).plus(Duration::from_micros(noise % 900)),
        latency: Span(Duration::from_micros(if bad { 400_000 } else { 2_000 + noise % 30_000 })),
        health: if bad { Health::Bad } else { Health::Good },
        detail: bad.then(|| "status 503, expected 200".to_owned()),
        canary: None,
    }
}

fn id(objective: u64) -> String {
    format!("checkout-{objective:03}")
}

fn started(objectives: u64, hold: Duration) -> RunStarted {
    let objective = |number| ObjectiveInfo {
        id: id(number),
        probe: format!("http shop-{number:03}.staging.example.com/healthz"),
        interval: INTERVAL.into(),
        timeout: Duration::from_millis(800).into(),
        weight: 1,
        recover_within: Some(Duration::from_secs(60).into()),
        stable_for: Duration::from_secs(3).into(),
        availability: Some(99.0),
        ..ObjectiveInfo::default()
    };
    let step = StepInfo {
        id: "endpoints-dark".into(),
        kind: StepKind::Fault,
        name: "gatewayBlackhole".into(),
        summary: "every AWS endpoint of us-east-1, through gateway edge".into(),
        after: vec![],
        limit: Duration::from_secs(60).into(),
    };
    RunStarted {
        run: RUN.into(),
        firedrill: env!("CARGO_PKG_VERSION").into(),
        drill: "long-watch".into(),
        summary: "Checkout survives the loss of us-east-1".into(),
        owner: "payments-oncall".into(),
        hypothesis: "Users are served from us-west-2 within a minute.".into(),
        failed_region: "us-east-1".into(),
        surviving_regions: vec!["us-west-2".into()],
        environment: "staging".into(),
        drill_hash: "9f2c4b1d7e8a60353fb1c2d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718".into(),
        environment_hash: "1b3d5f7092a4c6e8fa0b1c2d3e4f5061728394a5b6c7d8e9f0a1b2c3d4e5f607".into(),
        hold: hold.into(),
        undo_by: (hold * 2).into(),
        objectives: (0..objectives).map(objective).collect(),
        steps: vec![step],
        plan: PlanInfo::default(),
    }
}

/// Numbers events and writes many at once.
struct Writer<'a> {
    journal: &'a Sqlite,
    waiting: Vec<RunEvent>,
    seq: u64,
}

impl Writer<'_> {
    async fn add(&mut self, at: Timestamp, body: Event) -> Result<(), Failure> {
        self.waiting.push(RunEvent { v: EVENT_VERSION, seq: self.seq, at, body });
        self.seq += 1;
        if self.waiting.len() >= TOGETHER { self.flush().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> Result<(), Failure> {
        self.journal.append(RUN, &self.waiting).await?;
        self.waiting.clear();
        Ok(())
    }
}
