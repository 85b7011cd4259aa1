//! Event streams of rehearsals as the engine writes them: the same drill, going well, badly, and being killed.
#![allow(dead_code)] // each test binary uses its part

use std::time::Duration;

use firedrill::clock::{Span, Timestamp};
use firedrill::event::{
    CanarySample, Cleanliness, EVENT_VERSION, Event, Health, MissingWrite, ObjectiveInfo, Phase, PlanInfo, RunEvent, RunStarted, Sample, StepInfo,
    StepKind, StepOutcome, StopReason, TargetInfo, Verdict,
};
use firedrill::score;
use serde_json::json;

/// 2026-11-10T10:00:00Z: the streams begin here.
pub const ZERO: Timestamp = Timestamp(1_794_304_800_000_000);

/// How the rehearsal goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Going {
    /// Everything recovers, everything is undone.
    Well,
    /// Checkout never recovers.
    NoFailover,
    /// The instrument of checkout breaks.
    Deaf,
    /// The process is killed in the hold.
    Killed,
    /// One target cannot be undone, another was changed by someone else.
    Stuck,
    /// A person stops it in the hold; everything is undone.
    Aborted,
}

pub fn at(seconds: f64) -> Timestamp {
    ZERO.plus(Duration::from_micros((seconds * 1e6).round() as u64))
}

fn span(seconds: f64) -> Span {
    Span(Duration::from_micros((seconds * 1e6).round() as u64))
}

pub fn objective(id: &str, probe: &str, interval: f64) -> ObjectiveInfo {
    ObjectiveInfo {
        id: id.into(),
        probe: probe.into(),
        interval: span(interval),
        timeout: span(interval * 0.8),
        weight: 1,
        stable_for: span(3.0),
        ..Default::default()
    }
}

pub fn header() -> RunStarted {
    let step = |id: &str, kind, name: &str, summary: &str, after: &[&str], limit: f64| StepInfo {
        id: id.into(),
        kind,
        name: name.into(),
        summary: summary.into(),
        after: after.iter().map(|id| (*id).into()).collect(),
        limit: span(limit),
    };
    let target = |step: &str, target: &str, prior, ours, expiry: &str, by_hand: &[&str]| TargetInfo {
        step: step.into(),
        target: target.into(),
        prior,
        ours,
        expiry: expiry.into(),
        noop: false,
        undo_by_hand: by_hand.iter().map(|line| (*line).into()).collect(),
    };
    let rule = |id: &str, service: &str| json!({"rule": id, "service": service, "region": "us-east-1", "verdict": "blackhole", "existing": "cut"});
    RunStarted {
        run: "01KB2QXW8V5Z3M4N7P9R1S6T8D".into(),
        firedrill: "0.1.0".into(),
        drill: "evacuate-us-east-1".into(),
        summary: "Checkout survives the loss of us-east-1".into(),
        owner: "payments-oncall".into(),
        hypothesis: "Traffic leaves us-east-1 within ten seconds, the page arrives, and no more than two seconds of orders is lost.".into(),
        failed_region: "us-east-1".into(),
        surviving_regions: vec!["us-west-2".into()],
        environment: "staging".into(),
        drill_hash: "9f2c4b1d7e8a60353fb1c2d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718".into(),
        environment_hash: "1b3d5f7092a4c6e8fa0b1c2d3e4f5061728394a5b6c7d8e9f0a1b2c3d4e5f607".into(),
        hold: span(30.0),
        undo_by: span(600.0),
        objectives: vec![
            ObjectiveInfo {
                weight: 3,
                recover_within: Some(span(10.0)),
                availability: Some(99.0),
                ..objective("checkout", "http checkout.staging.example.com/healthz", 0.25)
            },
            ObjectiveInfo {
                weight: 2,
                lose_at_most: Some(span(2.0)),
                recover_within: Some(span(8.0)),
                ..objective("orders", "canary orders → ordersWest", 0.5)
            },
            ObjectiveInfo { detect_within: Some(span(8.0)), ..objective("page-fires", "prometheus ALERTS{alertname=\"RegionDown\"}", 1.0) },
            ObjectiveInfo {
                recover_within: Some(span(20.0)),
                depends_on: vec!["checkout".into()],
                ..objective("search", "workload search/api ready ≥ 80%", 1.0)
            },
            ObjectiveInfo { availability: Some(95.0), ..objective("status-page", "http status.staging.example.com", 0.5) },
        ],
        steps: vec![
            step("endpoints-dark", StepKind::Fault, "gatewayBlackhole", "every AWS endpoint of us-east-1, through gateway edge", &[], 60.0),
            step("sts-refused", StepKind::Fault, "gatewayRefuse", "sts in us-east-1, through gateway edge", &["endpoints-dark"], 60.0),
            step("page-confirmed", StepKind::Manual, "manual", "Say in the channel that the page arrived.", &["endpoints-dark"], 120.0),
            step("shift-traffic", StepKind::Action, "route53Weight", "checkout.staging.example.com: east 0, west 100", &["page-confirmed"], 120.0),
            step("dns-left", StepKind::Check, "check", "checkout.staging.example.com answers 198.51.100.7", &["shift-traffic"], 120.0),
        ],
        plan: PlanInfo {
            targets: vec![
                target(
                    "endpoints-dark",
                    "gateway edge / rule *.us-east-1.amazonaws.com",
                    json!(null),
                    rule("fd-01KB2QXW-1", "*"),
                    "own expiry at 10:10:10",
                    &["firedrill gateway --socket /run/firedrill/gateway.sock --drop fd-01KB2QXW-1"],
                ),
                target(
                    "endpoints-dark",
                    "gateway edge / rule s3 us-east-1",
                    json!(null),
                    rule("fd-01KB2QXW-2", "s3"),
                    "own expiry at 10:10:10",
                    &["firedrill gateway --socket /run/firedrill/gateway.sock --drop fd-01KB2QXW-2"],
                ),
                target(
                    "sts-refused",
                    "gateway edge / rule sts us-east-1",
                    json!(null),
                    rule("fd-01KB2QXW-3", "sts"),
                    "own expiry at 10:10:12",
                    &["firedrill gateway --socket /run/firedrill/gateway.sock --drop fd-01KB2QXW-3"],
                ),
                target(
                    "shift-traffic",
                    "route53 Z0EXAMPLE / checkout.staging.example.com A east",
                    json!({"weight": 100, "ttl": 5}),
                    json!({"weight": 0, "ttl": 5}),
                    "no dead-man: evacuated is the safe state",
                    &["aws route53 change-resource-record-sets --hosted-zone-id Z0EXAMPLE --change-batch file://undo.json"],
                ),
            ],
            warnings: vec!["step shift-traffic has no dead-man: if firedrill dies, traffic stays in us-west-2".into()],
        },
    }
}

/// A stream in the making.
#[derive(Debug, Default)]
pub struct Stream(Vec<(Timestamp, Event)>);

impl Stream {
    pub fn add(&mut self, seconds: f64, event: Event) {
        self.0.push((at(seconds), event));
    }

    pub fn sample(&mut self, objective: &str, seconds: f64, health: Health, detail: Option<&str>) {
        self.canary(objective, seconds, health, detail, None);
    }

    fn canary(&mut self, objective: &str, seconds: f64, health: Health, detail: Option<&str>, canary: Option<CanarySample>) {
        // Latencies that look measured and are the same on every run.
        let latency = if health == Health::Good { 0.011 + (seconds * 7.3).fract() * 0.02 } else { 0.06 };
        let sample = Sample { objective: objective.into(), at: at(seconds), latency: span(latency), health, detail: detail.map(Into::into), canary };
        self.add(seconds + latency, Event::Sample(sample));
    }

    pub fn phase(&mut self, seconds: f64, target: &TargetInfo, phase: Phase, detail: Option<&str>) {
        let (step, name) = (target.step.clone(), target.target.clone());
        let action = step == "shift-traffic";
        self.add(seconds, Event::TargetPhase { step, target: name, action, phase, detail: detail.map(Into::into) });
    }

    /// The events in order of time, numbered.
    pub fn events(mut self) -> Vec<RunEvent> {
        self.0.sort_by_key(|(at, _)| *at);
        self.0.into_iter().zip(0..).map(|((at, body), seq)| RunEvent { v: EVENT_VERSION, seq, at, body }).collect()
    }
}

/// The whole stream; a killed one stops in the hold.
pub fn stream(going: Going) -> Vec<RunEvent> {
    stream_of(going, header())
}

/// The same rehearsal of a drill that calls itself something else.
pub fn stream_of(going: Going, header: RunStarted) -> Vec<RunEvent> {
    let targets = header.plan.targets.clone();
    let mut s = Stream::default();
    s.add(0.0, Event::RunStarted(Box::new(header)));
    s.add(0.02, Event::BaselineStarted { until: at(10.0) });
    s.add(10.0, Event::BaselineEnded { problems: vec![] });
    readings(&mut s, going);
    steps(&mut s, &targets, going);
    s.add(21.4, Event::HoldStarted { until: at(51.4) });
    s.add(30.0, Event::Note { text: "edge logged 3 retries towards us-east-1".into() });
    undo(&mut s, &targets, going);
    let mut events = s.events();
    if going == Going::Killed {
        events.retain(|event| event.at < at(33.3));
        return events;
    }
    let card = score::evaluate(&events);
    let end = RunEvent {
        v: EVENT_VERSION,
        seq: events.len() as u64,
        at: at(66.0),
        body: Event::RunEnded {
            verdict: card.verdict,
            cleanliness: card.cleanliness,
            score: card.score,
            exit_code: card.exit().code(),
            reason: card.reason,
        },
    };
    events.push(end);
    events
}

fn readings(s: &mut Stream, going: Going) {
    let every = |interval: f64| (1..).map(move |n| f64::from(n) * interval).take_while(|t| *t < 65.9);
    for t in every(0.25) {
        let down = t > 10.4 && (going == Going::NoFailover && t < 51.9 || t < 16.9);
        // At first only some requests meet the region that is gone.
        let early = t < 12.0 && ((t * 4.0).round() as u64).is_multiple_of(3);
        match down && !early {
            _ if going == Going::Deaf && t > 10.4 => s.sample("checkout", t, Health::Unknown, Some("the probe's own resolver does not answer")),
            true => s.sample("checkout", t, Health::Bad, Some("503 from checkout: upstream us-east-1 timed out")),
            false => s.sample("checkout", t, Health::Good, None),
        }
    }
    let lost = [MissingWrite { number: 20, acknowledged: at(9.6) }, MissingWrite { number: 21, acknowledged: at(10.11) }];
    for (t, number) in every(0.5).zip(1..) {
        let (health, acknowledged) = if (10.4..14.4).contains(&t) { (Health::Bad, None) } else { (Health::Good, Some(number)) };
        let missing = if (10.4..51.9).contains(&t) { lost.to_vec() } else { vec![] };
        let why = acknowledged.is_none().then_some("write refused: no leader in us-east-1");
        s.canary("orders", t, health, why, Some(CanarySample { acknowledged, missing: Some(missing) }));
    }
    for t in every(1.0) {
        s.sample("page-fires", t, if (15.0..54.0).contains(&t) { Health::Good } else { Health::Bad }, None);
        let why = "5 of 12 ready";
        if (11.5..22.5).contains(&t) { s.sample("search", t, Health::Bad, Some(why)) } else { s.sample("search", t, Health::Good, None) }
    }
    for t in every(0.5) {
        if (14.0..14.6).contains(&t) {
            s.sample("status-page", t, Health::Bad, Some("timed out after 400 ms"))
        } else {
            s.sample("status-page", t, Health::Good, None)
        }
    }
}

fn steps(s: &mut Stream, targets: &[TargetInfo], going: Going) {
    let start = |s: &mut Stream, t: f64, step: &str, limit: f64| s.add(t, Event::StepStarted { step: step.into(), limit: at(t + limit) });
    let end = |s: &mut Stream, t: f64, step: &str| s.add(t, Event::StepEnded { step: step.into(), outcome: StepOutcome::Done });
    let inject = |s: &mut Stream, t: f64, step: &str| {
        for target in targets.iter().filter(|target| target.step == step) {
            s.phase(t + 0.02, target, Phase::Intent, None);
            s.phase(t + 0.09, target, Phase::Injected, None);
            s.phase(t + 0.31, target, Phase::Verified, None);
        }
        s.add(t + 0.06, Event::InjectSent { step: step.into() });
    };
    start(s, 10.03, "endpoints-dark", 60.0);
    inject(s, 10.05, "endpoints-dark");
    s.add(10.38, Event::FaultVerified { step: "endpoints-dark".into(), problem: None });
    end(s, 10.4, "endpoints-dark");
    start(s, 10.41, "sts-refused", 60.0);
    inject(s, 12.0, "sts-refused");
    s.add(12.33, Event::FaultVerified { step: "sts-refused".into(), problem: None });
    end(s, 12.35, "sts-refused");
    start(s, 10.42, "page-confirmed", 120.0);
    let (role, instruction) = ("incident-commander".into(), "Say in the channel that the page arrived.".into());
    s.add(10.43, Event::ManualAsked { step: "page-confirmed".into(), role, instruction, limit: at(130.43) });
    end(s, 16.1, "page-confirmed");
    start(s, 16.11, "shift-traffic", 120.0);
    inject(s, 16.13, "shift-traffic");
    end(s, 16.6, "shift-traffic");
    start(s, 16.61, "dns-left", 120.0);
    end(s, 21.3, "dns-left");
    if going == Going::Stuck {
        let (step, target) = ("sts-refused".into(), targets[2].target.clone());
        s.add(40.0, Event::FaultLost { step, target, detail: "the rule is no longer listed".into() });
    }
}

fn undo(s: &mut Stream, targets: &[TargetInfo], going: Going) {
    let (reason, detail) = if going == Going::Aborted { (StopReason::Signal, "Ctrl-C") } else { (StopReason::HoldOver, "") };
    s.add(51.4, Event::Stopping { reason, detail: detail.into() });
    s.add(51.42, Event::UndoStarted { targets: targets.len(), hurried: false });
    let stuck = going == Going::Stuck;
    for (target, t) in targets.iter().take(3).zip([51.9, 51.8, 51.5]) {
        s.phase(t, target, Phase::Reverting, None);
        match target.target.as_str() {
            "gateway edge / rule s3 us-east-1" if stuck => {
                s.phase(t + 6.0, target, Phase::Stuck, Some("the gateway's socket refuses connections: /run/firedrill/gateway.sock"))
            }
            "gateway edge / rule sts us-east-1" if stuck => {
                s.phase(t + 0.2, target, Phase::Drifted, Some("prior: no rule; ours: blackhole; now: refuse, set by someone else"))
            }
            _ => s.phase(t + 0.2, target, Phase::Reverted, None),
        }
    }
    let left: Vec<String> = if stuck { vec![targets[1].target.clone()] } else { vec![] };
    s.add(52.2, Event::FaultsLifted { left: left.clone() });
    s.add(52.21, Event::RegionWaiting { limit: at(172.0) });
    s.add(57.3, Event::RegionHealthy { healthy: !stuck, detail: if stuck { "503".into() } else { "200 for 5 s".into() } });
    if !stuck {
        s.phase(57.31, &targets[3], Phase::Reverting, None);
        s.phase(58.0, &targets[3], Phase::Reverted, None);
    }
    let drifted = if stuck { vec![targets[2].target.clone()] } else { vec![] };
    let left = if stuck { vec![targets[1].target.clone(), targets[3].target.clone()] } else { left };
    s.add(58.1, Event::UndoEnded { left, drifted, kept: vec![] });
}

/// What the engine would have ended it with; for streams that a test builds by hand.
pub fn ended(seconds: f64, verdict: Verdict, cleanliness: Cleanliness) -> (f64, Event) {
    (seconds, Event::RunEnded { verdict, cleanliness, score: None, exit_code: 0, reason: String::new() })
}
