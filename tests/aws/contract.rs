//! What every AWS kind keeps, case by case, on the emulator. The suite prints a table kind × case that says whose answers each case rests on.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Mutex;

use firedrill::aws::policy::{Purpose, document};
use firedrill::event::{Phase, StepOutcome};
use firedrill::fault::{Expiry, KindError, Observed, Record};
use serde_json::{Value, json};

use super::ground::{Ground, run_id};
use super::testbed::{Aws, AwsDump, AwsOptions};
use super::{
    asg_scale, aws_iam_deny, ec2_stop, fis_experiment, launch_refusal, route53_health_invert, route53_shift, subnet_isolate, vpc_endpoint_deny,
};

/// Whether something was done to the world; `Err` says why a kind has no such state.
pub type Made = Result<(), &'static str>;

/// A world, and what makes in it what it lacks, and says the step that names five hundred targets.
pub type Many = (AwsOptions, fn(&Aws) -> Value);

/// A kind under test, and what other people do to its target, by boto3.
pub trait Subject: Sync {
    /// As written in files.
    fn kind(&self) -> &'static str;
    /// What is laid out.
    fn world(&self) -> AwsOptions {
        AwsOptions::ROLES
    }
    /// Makes what a case works on, beside the emulator's world.
    fn make(&self, _aws: &Aws) {}
    /// `{"fault": …}` or `{"action": …}`.
    fn step(&self, aws: &Aws) -> Value;
    /// What boto3 sees of the fault; `Err`: that nothing is wrong, and how it is.
    fn bites(&self, aws: &Aws) -> Result<(), String>;
    /// False where the emulator cannot show it: then the kind says that it is not proven.
    fn provable(&self) -> bool {
        true
    }
    /// Puts the target into the fault state before firedrill comes.
    fn already(&self, aws: &Aws) -> Made;
    /// Changes the target between plan and inject, so that the guard must not hold.
    fn meanwhile(&self, aws: &Aws) -> Made {
        self.already(aws)
    }
    /// A script that keeps the target in transition for some readings.
    fn slow(&self) -> Option<Value> {
        None
    }
    /// Someone else changes the target in the hold, so that it is neither as before nor as firedrill made it.
    fn theirs(&self, aws: &Aws) -> Made;
    /// Someone takes our mark off in the hold: the fault is theirs now.
    fn adopted(&self, aws: &Aws) -> Made;
    /// Deletes the target and, where names can be given again, makes another with its name.
    fn replace(&self, aws: &Aws) -> Made;
    /// Copies our marks to another resource in the hold, as templates do.
    fn ghost(&self, aws: &Aws) -> Made;
    /// Lists that the kind reads: boto3's names of the calls.
    fn lists(&self) -> &'static [&'static str];
    /// Whether a difference after the undo is one that nobody can avoid: a line of [`AwsDump::differences`].
    fn unavoidable(&self, _difference: &str) -> bool {
        false
    }
    /// Permissions of which no call can ask without using them.
    fn unaskable(&self) -> &'static [&'static str] {
        &["iam:PassRole"]
    }
    /// Whether the emulator takes minutes for five hundred targets, because each takes ten calls.
    fn slow_in_numbers(&self) -> bool {
        false
    }
    /// None: a step of this kind has one target.
    fn many(&self) -> Option<Many> {
        None
    }
}

/// Every kind of this suite.
fn subjects() -> Vec<Box<dyn Subject>> {
    vec![
        Box::new(ec2_stop::Stop),
        Box::new(subnet_isolate::Isolate),
        Box::new(aws_iam_deny::Deny),
        Box::new(route53_shift::Shift),
        Box::new(route53_health_invert::Invert),
        Box::new(launch_refusal::Refusal),
        Box::new(asg_scale::Scale),
        Box::new(vpc_endpoint_deny::Deny),
        Box::new(fis_experiment::Experiment),
    ]
}

/// Whether nothing is left out to save time.
pub fn every() -> bool {
    std::env::var_os("EVERY").is_some()
}

/// How a case ended, when it ended as it should.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Seen {
    Held,
    Noop,
    Inconclusive,
    /// The kind has no such state, and why.
    Without(&'static str),
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Held => "ok",
            Self::Noop => "noop",
            Self::Inconclusive => "inconclusive",
            Self::Without(_) => "–",
        })
    }
}

type Ended = Result<Seen, String>;

/// What a case is called in the table.
const CASES: [&str; 19] = [
    "undone",
    "twice",
    "undone twice",
    "never",
    "already",
    "in transition",
    "guarded",
    "drifted",
    "adopted",
    "replaced",
    "ghost",
    "found by sweep",
    "dead-man",
    "lost",
    "pages",
    "allowed",
    "not allowed",
    "throttled",
    "500 targets",
];

/// Calls that moto answers otherwise than AWS, and the emulator as AWS does (tests/testbed/emulator/corrections).
const CORRECTED: [&str; 21] = [
    "StartInstances",
    "StopInstances",
    "DescribeInstances",
    "ReplaceNetworkAclAssociation",
    "CreateNetworkAcl",
    "CreateNetworkAclEntry",
    "DeleteNetworkAclEntry",
    "DeleteNetworkAcl",
    "DescribeNetworkAcls",
    "ModifyVpcEndpoint",
    "ChangeResourceRecordSets",
    "GetChange",
    "ListResourceRecordSets",
    "UpdateHealthCheck",
    "ChangeTagsForResource",
    "SuspendProcesses",
    "SetDesiredCapacity",
    "CreateSchedule",
    "AssumeRole",
    "StartExperiment",
    "DescribeAlarms",
];

/// Cases in which somebody else changes the world.
const OTHERS: [&str; 6] = ["already", "guarded", "drifted", "adopted", "replaced", "ghost"];
/// Kinds at a time: each has an emulator of its own, and on two cores more would only make each other wait.
const AT_ONCE: usize = 2;

struct Case<'a> {
    aws: &'a Aws,
    ground: Ground,
    subject: &'a dyn Subject,
    step: Value,
    before: AwsDump,
}

impl<'a> Case<'a> {
    fn new(aws: &'a Aws, subject: &'a dyn Subject) -> Self {
        Self { aws, ground: Ground::new(aws), subject, step: subject.step(aws), before: aws.dump() }
    }

    async fn run(&self, name: &str) -> Ended {
        let ended = match name {
            "undone" => self.undone().await,
            "twice" => self.twice().await,
            "undone twice" => self.undone_twice().await,
            "never" => self.never().await,
            "already" => self.already().await,
            "in transition" => self.in_transition().await,
            "guarded" => self.guarded().await,
            "drifted" => self.drifted().await,
            "adopted" => self.adopted().await,
            "replaced" => self.replaced().await,
            "ghost" => self.ghost().await,
            "found by sweep" => self.swept().await,
            "throttled" => self.throttled().await,
            "dead-man" => self.dead_man().await,
            "lost" => self.lost().await,
            "pages" => self.pages().await,
            "allowed" => self.allowed().await,
            "not allowed" => self.not_allowed().await,
            "500 targets" => self.many().await,
            other => Err(format!("no case '{other}'")),
        };
        self.aws.enforce(false);
        ended
    }

    async fn planned(&self) -> Result<Vec<Record>, String> {
        let records = self.ground.records(&run_id(), &self.step).await?;
        if records.iter().all(|record| record.phase == Phase::Noop) { Err("nothing to do".to_owned()) } else { Ok(records) }
    }

    /// Planned, injected and seen to bite, by the engine.
    async fn injected(&self) -> Result<Vec<Record>, String> {
        self.inject(self.planned().await?).await
    }

    async fn inject(&self, records: Vec<Record>) -> Result<Vec<Record>, String> {
        match self.ground.forward(&self.step, records).await {
            (StepOutcome::Done, records) => Ok(records),
            (other, _) => Err(format!("inject: {other:?}")),
        }
    }

    async fn ends(&self, records: &[Record], expected: &[Phase]) -> Result<(), String> {
        let ended = self.ground.undo(records).await;
        match ended.iter().find(|(phase, _)| !expected.contains(phase)) {
            Some((phase, why)) => Err(format!("ended {phase:?} ({why}), not {expected:?}")),
            None => Ok(()),
        }
    }

    fn same(&self, before: &AwsDump) -> Result<(), String> {
        let differences: Vec<String> =
            before.differences(&self.aws.dump()).into_iter().filter(|difference| !self.subject.unavoidable(difference)).collect();
        if differences.is_empty() { Ok(()) } else { Err(format!("not as it was:\n{}", differences.join("\n"))) }
    }

    async fn undone_and_same(&self, records: &[Record], before: &AwsDump) -> Ended {
        self.ends(records, &[Phase::Reverted]).await?;
        self.same(before)?;
        Ok(Seen::Held)
    }

    /// Inject, verify, seen by another client, revert, read back.
    async fn undone(&self) -> Ended {
        if let Ok(()) = self.subject.bites(self.aws) {
            return Err("it bites before it is injected".to_owned());
        }
        let records = self.injected().await?;
        let verified = records.iter().all(|record| matches!(record.phase, Phase::Verified));
        if verified != self.subject.provable() {
            return Err(format!("seen to bite: {verified}"));
        }
        self.subject.bites(self.aws).map_err(|why| format!("boto3 does not see it: {why}"))?;
        self.undone_and_same(&records, &self.before).await?;
        if let Ok(()) = self.subject.bites(self.aws) {
            return Err("boto3 still sees it after the undo".to_owned());
        }
        Ok(if verified { Seen::Held } else { Seen::Inconclusive })
    }

    /// Twice is once: after a crash nobody knows whether the first call arrived.
    async fn twice(&self) -> Ended {
        let records = self.injected().await?;
        let kind = self.ground.kind(&self.step);
        for record in &records {
            match kind.inject(record).await {
                Ok(()) => {}
                // A guard may say no to the second call; then reading back tells that the first one did it.
                Err(KindError::Conflict(_)) if matches!(kind.observe(record).await, Observed::Ours { marked: true }) => {}
                Err(error) => return Err(format!("the second inject: {error}")),
            }
        }
        self.undone_and_same(&records, &self.before).await
    }

    /// By a process that remembers nothing, and again by one that still believes that it is in place.
    async fn undone_twice(&self) -> Ended {
        let records = self.injected().await?;
        for record in &records {
            let kind = firedrill::fault::KindSource::for_record(self.ground.kinds.as_ref(), record).unwrap();
            kind.revert(record).await.map_err(|error| format!("revert: {error}"))?;
        }
        self.undone_and_same(&records, &self.before).await?;
        let mut later = Self::new(self.aws, self.subject);
        later.ground = self.ground.afresh(self.aws);
        later.undone_and_same(&records, &self.before).await
    }

    async fn never(&self) -> Ended {
        let records: Vec<Record> = self.planned().await?.into_iter().map(|record| Record { phase: Phase::Intent, ..record }).collect();
        self.undone_and_same(&records, &self.before).await
    }

    async fn already(&self) -> Ended {
        if let Err(why) = self.subject.already(self.aws) {
            return Ok(Seen::Without(why));
        }
        let before = self.aws.dump();
        let records = self.ground.records(&run_id(), &self.step).await?;
        if let Some(other) = records.iter().find(|record| record.phase != Phase::Noop) {
            return Err(format!("{} is {:?}, not Noop", other.target, other.phase));
        }
        let (outcome, records) = self.ground.forward(&self.step, records).await;
        if outcome != StepOutcome::Done {
            return Err(format!("{outcome:?}"));
        }
        self.ends(&records, &[]).await?;
        self.same(&before)?;
        Ok(Seen::Noop)
    }

    /// The run turns round while the target is on its way into the fault.
    async fn in_transition(&self) -> Ended {
        let Some(script) = self.subject.slow() else { return Ok(Seen::Without("its changes are there at once")) };
        let records = self.planned().await?;
        self.aws.script(&script);
        let kind = self.ground.kind(&self.step);
        for record in &records {
            kind.inject(record).await.map_err(|error| format!("inject: {error}"))?;
            match kind.observe(record).await {
                Observed::InTransition { .. } => {}
                other => return Err(format!("not in transition: {other:?}")),
            }
        }
        self.undone_and_same(&injected(records), &self.before).await
    }

    /// The target changed between plan and inject: nothing is written.
    async fn guarded(&self) -> Ended {
        let records = self.planned().await?;
        if let Err(why) = self.subject.meanwhile(self.aws) {
            return Ok(Seen::Without(why));
        }
        let before = self.aws.dump();
        let (outcome, records) = self.ground.forward(&self.step, records).await;
        if outcome == StepOutcome::Done {
            return Err("it wrote over someone else's change".to_owned());
        }
        let ended = self.ground.undo(&records).await;
        if let Some((phase, why)) = ended.iter().find(|(phase, _)| !phase.is_closed()) {
            return Err(format!("ended {phase:?}: {why}"));
        }
        self.same(&before)?;
        Ok(Seen::Held)
    }

    async fn drifted(&self) -> Ended {
        let records = self.injected().await?;
        if let Err(why) = self.subject.theirs(self.aws) {
            self.undone_and_same(&records, &self.before).await?;
            return Ok(Seen::Without(why));
        }
        self.left_alone(&records).await
    }

    async fn adopted(&self) -> Ended {
        let records = self.injected().await?;
        if let Err(why) = self.subject.adopted(self.aws) {
            self.undone_and_same(&records, &self.before).await?;
            return Ok(Seen::Without(why));
        }
        self.left_alone(&records).await
    }

    /// What someone else changed stays; of ours nothing is left but what they kept.
    async fn left_alone(&self, records: &[Record]) -> Ended {
        let bites = self.subject.bites(self.aws).is_ok();
        self.ends(records, &[Phase::Drifted]).await?;
        if bites != self.subject.bites(self.aws).is_ok() {
            return Err("someone else's change was undone".to_owned());
        }
        let theirs = self.aws.dump();
        // What is still found is still named, and still left alone.
        let found = self.ground.discovered(&records[0].run).await;
        self.ends(&found, &[Phase::Drifted]).await?;
        self.ends(records, &[Phase::Drifted, Phase::Reverted]).await?;
        self.same(&theirs)?;
        Ok(Seen::Held)
    }

    async fn nothing_found(&self, run: &str) -> Result<(), String> {
        let found = self.ground.discovered(run).await;
        if found.is_empty() { Ok(()) } else { Err(format!("still found: {found:?}")) }
    }

    async fn replaced(&self) -> Ended {
        let records = self.injected().await?;
        if let Err(why) = self.subject.replace(self.aws) {
            self.undone_and_same(&records, &self.before).await?;
            return Ok(Seen::Without(why));
        }
        let theirs = without_schedules(self.aws.dump());
        self.ends(&records, &[Phase::Gone]).await?;
        self.nothing_found(&records[0].run).await?;
        let now = without_schedules(self.aws.dump());
        let ours = |line: &String| line.contains(&records[0].run) && line.ends_with("-> gone");
        let touched: Vec<String> = theirs.differences(&now).into_iter().filter(|line| !ours(line)).collect();
        if !touched.is_empty() {
            return Err(format!("the new one was touched: {touched:?}"));
        }
        let text = self.aws.dump().0.to_string();
        if text.contains(&records[0].run) {
            return Err(format!("something of the run is left: {:?}", self.before.differences(&self.aws.dump())));
        }
        Ok(Seen::Held)
    }

    async fn ghost(&self) -> Ended {
        let records = self.injected().await?;
        if let Err(why) = self.subject.ghost(self.aws) {
            self.undone_and_same(&records, &self.before).await?;
            return Ok(Seen::Without(why));
        }
        let found = targets(&self.ground.discovered(&records[0].run).await);
        if found != targets(&records) {
            return Err(format!("found {found:?}"));
        }
        self.ends(&records, &[Phase::Reverted]).await?;
        self.nothing_found(&records[0].run).await?;
        Ok(Seen::Held)
    }

    /// With the journal lost the marks are enough.
    async fn swept(&self) -> Ended {
        let records = self.injected().await?;
        let found = self.ground.afresh(self.aws).discovered(&records[0].run).await;
        if targets(&found) != targets(&records) {
            return Err(format!("found {:?}, not {:?}", targets(&found), targets(&records)));
        }
        for record in &records {
            let own = found.iter().find(|found| found.target == record.target).unwrap();
            let what = |record: &Record| (record.prior.clone(), record.ours.clone(), record.companions.clone(), record.step.clone(), record.action);
            if what(own) != what(record) {
                return Err(format!("the mark of {} says {:?}, not {:?}", own.target, what(own), what(record)));
            }
        }
        self.undone_and_same(&found, &self.before).await?;
        self.nothing_found(&records[0].run).await?;
        Ok(Seen::Held)
    }

    /// firedrill is dead for good: the armed schedules, executed by somebody else, lift the fault, and sweep tidies what is left.
    async fn dead_man(&self) -> Ended {
        match self.ground.kind(&self.step).expiry() {
            _ if self.step.get("action").is_some() => return Ok(Seen::Without("an action has none: evacuated is the safe state")),
            Expiry::Own => return Ok(Seen::Without("it carries its own deadline")),
            Expiry::None => return Ok(Seen::Without("the kind has none")),
            Expiry::DeadMan => {}
        }
        let records = self.injected().await?;
        let fired: Vec<Value> = self.aws.regions.iter().flat_map(|region| self.aws.fire_schedules(region, "firedrill-")).collect();
        if fired.is_empty() || fired.iter().any(|one| one.get("ok").is_none()) {
            return Err(format!("the schedules did: {fired:?}"));
        }
        if let Ok(()) = self.subject.bites(self.aws) {
            return Err("boto3 still sees it after the schedules".to_owned());
        }
        let ground = self.ground.afresh(self.aws);
        let found = ground.discovered(&records[0].run).await;
        let ended = ground.undo(&found).await;
        if found.len() != records.len() || ended.iter().any(|(phase, _)| *phase != Phase::Reverted) {
            return Err(format!("sweep found {:?}, which ended {ended:?}", targets(&found)));
        }
        self.same(&self.before)?;
        Ok(Seen::Held)
    }

    /// Every mutating call of the kind that the emulator has seen: inject and undo.
    async fn writes(&self) -> Result<BTreeSet<(String, String)>, String> {
        let from = self.aws.last_call();
        let records = self.injected().await?;
        self.undone_and_same(&records, &self.before).await?;
        let calls = self.aws.calls_since(from).into_iter().filter(|call| call.mutating && !call.dry_run && call.service.as_deref() != Some("sts"));
        Ok(calls.filter_map(|call| call.service.zip(call.action)).collect())
    }

    /// Five hundred targets over several pages, in a world of their own.
    #[allow(clippy::print_stdout)]
    async fn many(&self) -> Ended {
        let Some((world, step)) = self.subject.many() else { return Ok(Seen::Without("a step of this kind has one target")) };
        if self.subject.slow_in_numbers() && !every() {
            return Ok(Seen::Without("three minutes of the emulator: with EVERY=1"));
        }
        let aws = Aws::beside(world);
        let step = step(&aws);
        let case = Case { aws: &aws, ground: Ground::new(&aws), subject: self.subject, step, before: aws.dump() };
        aws.reset();
        let calls = || aws.calls().len();
        let records = case.planned().await?;
        let planned = calls();
        let records = case.inject(records).await?;
        let injected = calls();
        let found = targets(&case.ground.afresh(&aws).discovered(&records[0].run).await);
        if records.len() < 500 || found != targets(&records) {
            return Err(format!("{} planned, {} found", records.len(), found.len()));
        }
        let discovered = calls();
        case.ends(&records, &[Phase::Reverted]).await?;
        println!(
            "{}, 500 targets: {planned} calls to plan, {} to inject, {} to find all without a journal, {} to undo",
            self.subject.kind(),
            injected - planned,
            discovered - injected,
            calls() - discovered
        );
        case.same(&case.before)?;
        Ok(Seen::Held)
    }

    /// Each service says "too often" to the first calls.
    async fn throttled(&self) -> Ended {
        for (service, action) in self.writes().await? {
            let records = self.planned().await?;
            let rule = self.aws.script(&json!({"service": service, "action": action, "throttle": true, "times": 1}));
            let records = self.inject(records).await.map_err(|why| format!("{action} throttled: {why}"))?;
            self.undone_and_same(&records, &self.before).await.map_err(|why| format!("{action} throttled: {why}"))?;
            self.acted(rule, &action)?;
        }
        Ok(Seen::Held)
    }

    fn acted(&self, rule: Option<u64>, action: &str) -> Result<(), String> {
        let rules = self.aws.scripts()["rules"].clone();
        let own = rules.as_array().unwrap().iter().find(|one| one["id"].as_u64() == rule).cloned().unwrap_or_default();
        rule.into_iter().for_each(|rule| self.aws.forget(rule));
        if own["acted"].as_u64() > Some(0) { Ok(()) } else { Err(format!("the script for {action} met nothing: {own}")) }
    }

    /// The answer to every write is lost once, in one run; then, one write after the other, as often as the SDK tries, or the call itself: a whole run of the
    /// tests takes them in turn.
    async fn lost(&self) -> Ended {
        let all: Vec<_> = self.writes().await?.into_iter().map(|write| vec![write]).collect();
        let mut cases = vec![(all.concat(), "loseAnswer", 1)];
        for (index, write) in all.into_iter().enumerate() {
            let both = [(write.clone(), "loseAnswer", 5), (write, "loseRequest", 5)].into_iter().enumerate();
            cases.extend(both.filter(|(which, _)| every() || index % 2 == *which).map(|(_, case)| case));
        }
        for (writes, what, times) in cases {
            let records = self.planned().await?;
            let rule = |(service, action): &(String, String)| json!({"service": service, "action": action, what: true, "times": times});
            let rules: Vec<_> = writes.iter().map(|write| (self.aws.script(&rule(write)), &write.1)).collect();
            let (_, records) = self.ground.forward(&self.step, records).await;
            self.undone_and_same(&records, &self.before).await.map_err(|why| format!("{writes:?}, {what} × {times}: {why}"))?;
            rules.into_iter().try_for_each(|(rule, action)| self.acted(rule, action))?;
        }
        Ok(Seen::Held)
    }

    /// Lists come in pages of one, and the first page is empty with a token.
    async fn pages(&self) -> Ended {
        let expected = targets(&self.planned().await?);
        for action in self.subject.lists() {
            self.aws.script(&json!([{"action": action, "pageSize": 1}, {"action": action, "emptyPage": true}]));
        }
        let records = self.injected().await?;
        if targets(&records) != expected {
            return Err(format!("pages hide targets: {:?}, not {expected:?}", targets(&records)));
        }
        let found = targets(&self.ground.discovered(&records[0].run).await);
        if found != expected {
            return Err(format!("pages hide marks: {found:?}, not {expected:?}"));
        }
        self.undone_and_same(&records, &self.before).await
    }

    /// A user with this policy, and no roles but the dead-man's.
    fn user(&self, policies: &[Value]) -> Self {
        let who = self.aws.user("drill", policies);
        let ground = Ground::as_user(self.aws, &who).without_roles();
        Self { aws: self.aws, ground, subject: self.subject, step: self.step.clone(), before: self.before.clone() }
    }

    fn needs(&self) -> firedrill::aws::access::Needs {
        self.ground.without_roles().kind(&self.step).needs().aws
    }

    /// With what `firedrill policy` prints and nothing more, it runs and is undone.
    async fn allowed(&self) -> Ended {
        let needs = self.needs();
        let documents: Vec<Value> =
            [Purpose::Read, Purpose::Inject, Purpose::Revert].into_iter().filter_map(|purpose| document(&needs, "main", purpose)).collect();
        let user = self.user(&documents);
        self.aws.enforce(true);
        let records = user.injected().await?;
        user.undone_and_same(&records, &self.before).await
    }

    /// Each action of it taken away: the plan refuses, and names it where it can be asked for.
    async fn not_allowed(&self) -> Ended {
        let needs = self.needs();
        self.aws.enforce(true);
        let mut wrong = Vec::new();
        for purpose in [Purpose::Read, Purpose::Inject, Purpose::Revert] {
            let actions: BTreeSet<&String> = purpose.of(&needs).iter().map(|statement| &statement.action).collect();
            for action in actions {
                let mut fewer = needs.clone();
                for list in [&mut fewer.read, &mut fewer.inject, &mut fewer.revert] {
                    list.retain(|statement| statement.action != *action);
                }
                let documents: Vec<Value> =
                    [Purpose::Read, Purpose::Inject, Purpose::Revert].into_iter().filter_map(|purpose| document(&fewer, "main", purpose)).collect();
                let user = self.user(&documents);
                let plan = user.ground.plan(&run_id(), &self.step).await;
                let named = plan.refusals.iter().any(|refusal| refusal.reason.contains(&format!("permission missing: {action}")));
                if !named && !self.subject.unaskable().contains(&action.as_str()) {
                    wrong.push(format!("{} without {action}: {:?}", purpose.name(), plan.refusals));
                }
            }
        }
        self.same(&self.before)?;
        if wrong.is_empty() { Ok(Seen::Held) } else { Err(wrong.join("\n")) }
    }
}

fn injected(records: Vec<Record>) -> Vec<Record> {
    records.into_iter().map(|record| Record { phase: Phase::Injected, ..record }).collect()
}

fn targets(records: &[Record]) -> Vec<String> {
    let mut all: Vec<String> = records.iter().filter(|record| record.phase != Phase::Noop).map(|record| record.target.to_string()).collect();
    all.sort();
    all
}

/// A state without the schedules that firedrill arms beside a target.
fn without_schedules(mut dump: AwsDump) -> AwsDump {
    for region in ["us-east-1", "us-west-2"] {
        if let Some(schedules) = dump.0.pointer_mut(&format!("/111122223333/{region}/schedules")).and_then(Value::as_object_mut) {
            schedules.retain(|name, _| !name.contains("firedrill-"));
        }
    }
    dump
}

/// Whose answers a case rests on: scripted ones, else corrected ones, else moto's own.
fn answers(aws: &Aws, from: u64) -> &'static str {
    let calls = aws.calls_since(from);
    if calls.iter().any(|call| !call.scripted.is_empty()) {
        return "s";
    }
    let corrected = calls.iter().any(|call| call.dry_run || call.action.as_ref().is_some_and(|action| CORRECTED.contains(&action.as_str())));
    if corrected { "c" } else { "o" }
}

type Row = (&'static str, Vec<(&'static str, &'static str, Ended)>);

async fn row(subject: &dyn Subject) -> Row {
    let aws = Aws::start(subject.world());
    subject.make(&aws);
    let mut ended = Vec::new();
    let only = std::env::var("CASE").ok();
    for name in CASES.into_iter().filter(|name| only.as_deref().is_none_or(|only| only == *name)) {
        let (from, begun) = (aws.last_call(), std::time::Instant::now());
        let case = Case::new(&aws, subject);
        let how = case.run(name).await;
        // What others did may be hidden by what cannot be avoided: the next case must not find their subnet, or their zone.
        let clean = if OTHERS.contains(&name) { case.before == aws.dump() } else { case.same(&case.before).is_ok() };
        eprintln!("{} {name}: {} s, {} calls", subject.kind(), begun.elapsed().as_secs(), aws.last_call() - from);
        ended.push((name, answers(&aws, from), how));
        aws.reset();
        if !clean {
            aws.reset_world();
            subject.make(&aws);
        }
    }
    (subject.kind(), ended)
}

#[test]
fn every_kind_keeps_the_contract_on_the_emulator() {
    let only = std::env::var("KIND").ok();
    let subjects: Vec<_> = subjects().into_iter().filter(|subject| only.as_deref().is_none_or(|only| only == subject.kind())).collect();
    let (todo, table) = (Mutex::new(subjects.iter().rev().collect::<Vec<_>>()), Mutex::new(Vec::<Row>::new()));
    // Threads with runtimes of their own: while one row waits for boto3, the calls of another must not run out of time.
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
                loop {
                    let next = todo.lock().unwrap().pop();
                    let Some(subject) = next else { return };
                    let row = runtime.block_on(row(subject.as_ref()));
                    table.lock().unwrap().push(row);
                }
            });
        }
    });
    let mut table = table.into_inner().unwrap();
    table.sort_by_key(|(kind, _)| subjects.iter().position(|subject| subject.kind() == *kind));
    print_table(&table);
    let failed: Vec<String> = (table.iter())
        .flat_map(|(kind, ended)| ended.iter().filter_map(move |(case, _, ended)| Some(format!("{kind}, {case}: {}", ended.as_ref().err()?))))
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    let tested = subjects.iter().map(|subject| subject.kind()).collect::<BTreeSet<_>>();
    let missing: Vec<&str> = kinds_of_accounts().into_iter().filter(|kind| only.is_none() && !tested.contains(kind)).collect();
    assert!(missing.is_empty(), "kinds without a contract: {missing:?}");
}

/// Kinds that work on an account and that this build runs.
fn kinds_of_accounts() -> Vec<&'static str> {
    use firedrill::fault::params::{ActionSpec, FaultSpec};
    let built = FaultSpec::KINDS.iter().chain(ActionSpec::KINDS).filter(|kind| (kind.about)().is_some());
    let on_accounts = built.filter(|kind| (kind.schema)().to_value().pointer("/properties/account").is_some());
    on_accounts.map(|kind| kind.name).collect()
}

#[allow(clippy::print_stdout)]
fn print_table(table: &[Row]) {
    println!("\n{:20}{}", "", CASES.map(|case| format!("{case:>16}")).concat());
    for (kind, ended) in table {
        let cell = |(_, whose, ended): &(&str, &str, Ended)| ended.as_ref().map_or("FAILED".to_owned(), |seen| format!("{seen} {whose}"));
        println!("{kind:20}{}", ended.iter().map(|one| format!("{:>16}", cell(one))).collect::<String>());
    }
    println!("Answers: o moto's own, c some corrected as the AWS documentation says, s some scripted (which test scripts say).");
    for (kind, ended) in table {
        for (case, _, ended) in ended {
            if let Ok(Seen::Without(why)) = ended {
                println!("{kind}, {case}: – {why}");
            }
        }
    }
}
