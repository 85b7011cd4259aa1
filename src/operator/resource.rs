//! The custom resources: their names, what `kubectl get` prints of them, and their schemas.

use serde_json::Value as Json;

use super::structural::{NotStructural, structural};
use super::{approval, journal, status};
use crate::drill::spec;
use crate::gateway::object::{GatewayRuleSpec, GatewayRuleStatus};

/// A custom resource of [`super::GROUP`], namespaced, with a status of its own.
#[derive(Debug, Clone, Copy)]
pub struct Resource {
    /// As in `kind:`.
    pub kind: &'static str,
    /// As in paths and RBAC rules.
    pub plural: &'static str,
    /// For people who type it.
    pub short: &'static str,
    /// What `kubectl explain` says first.
    pub about: &'static str,
    /// Whether `kubectl get firedrill` lists it.
    pub listed: bool,
    /// Whether other objects refer to it, so that its name is at most 63 characters without dots.
    pub referred_to: bool,
    /// Beside the name; the age comes last.
    pub columns: &'static [Column],
    spec: fn() -> Result<Json, NotStructural>,
    status: fn() -> Result<Json, NotStructural>,
}

/// A column of `kubectl get`.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Its head, which kubectl writes in capitals.
    pub name: &'static str,
    /// `string`, `integer`, `number`, `date` (shown as an age).
    pub of: &'static str,
    /// Where its value is.
    pub path: &'static str,
    /// Whether it is shown with `-o wide` only.
    pub wide: bool,
    /// What it says.
    pub about: &'static str,
}

const fn column(name: &'static str, of: &'static str, path: &'static str, about: &'static str) -> Column {
    Column { name, of, path, wide: false, about }
}

const fn wide(name: &'static str, of: &'static str, path: &'static str, about: &'static str) -> Column {
    Column { name, of, path, wide: true, about }
}

const VALID: Column = column("Valid", "string", r#".status.conditions[?(@.type=="Valid")].status"#, "Whether firedrill finds no mistake in it.");

impl Resource {
    /// Every resource: what people write first, then what a run makes.
    pub const ALL: [Self; 7] =
        [Self::DRILL, Self::ENVIRONMENT, Self::DRILL_SCHEDULE, Self::DRILL_RUN, Self::DRILL_APPROVAL, Self::GATEWAY_RULE, Self::DRILL_JOURNAL];

    /// *What* is rehearsed.
    pub const DRILL: Self = Self {
        kind: "Drill",
        plural: "drills",
        short: "fdd",
        about: "What is rehearsed: what fails, what must survive, and how fast. Carries no account, cluster or URL.",
        listed: true,
        referred_to: true,
        columns: &[
            column("Fails", "string", ".spec.failedRegion", "The region that fails."),
            column("Hold", "string", ".spec.hold", "How long the faults stay after the last step."),
            column("Undo By", "string", ".spec.undoBy", "From the first mutation: undo has begun by then."),
            column("Owner", "string", ".spec.owner", "The role that answers for it."),
            VALID,
            wide("Summary", "string", ".spec.summary", "What it shows."),
        ],
        spec: structural::<spec::DrillSpec>,
        status: structural::<status::DocumentStatus>,
    };

    /// *Where*.
    pub const ENVIRONMENT: Self = Self {
        kind: "Environment",
        plural: "environments",
        short: "fde",
        about: "Where drills run: accounts, clusters, gateways, endpoints, what is allowed, what is protected, when nothing runs.",
        listed: true,
        referred_to: true,
        columns: &[
            column("Faults", "string", ".spec.allow.faults", "The kinds of faults that drills may use."),
            column("Approvals", "integer", ".spec.approvals", "How many other people approve a run."),
            VALID,
        ],
        spec: structural::<spec::EnvironmentSpec>,
        status: structural::<status::DocumentStatus>,
    };

    /// *When*.
    pub const DRILL_SCHEDULE: Self = Self {
        kind: "DrillSchedule",
        plural: "drillschedules",
        short: "fds",
        about: "When a drill runs in an environment.",
        listed: true,
        referred_to: true,
        columns: &[
            column("Schedule", "string", ".spec.cron", "Its cron, in its time zone."),
            column("Next", "string", ".status.next", "The next run, in its time zone, or why there is none."),
            column("Last", "date", ".status.state.lastRun.instant", "How long ago the last run was due."),
            column("Verdict", "string", ".status.lastVerdict", "Of the last run that has ended."),
            column("Score", "number", ".status.lastScore", "Of the last run that has ended, 0 to 100."),
            wide("Left", "string", ".status.lastCleanliness", "What the last run left behind; outranks the verdict."),
            wide("Missed", "integer", ".status.state.missed.count", "Runs that did not happen."),
            wide("Drill", "string", ".spec.drill", "The drill."),
            wide("Environment", "string", ".spec.environment", "The environment."),
            wide("Zone", "string", ".spec.timeZone", "Its time zone."),
            wide("Suspend", "boolean", ".spec.suspend", "Whether it stands still."),
        ],
        spec: structural::<spec::DrillScheduleSpec>,
        status: structural::<status::DrillScheduleStatus>,
    };

    /// *One run*.
    pub const DRILL_RUN: Self = Self {
        kind: "DrillRun",
        plural: "drillruns",
        short: "fdr",
        about: "One run of a drill in an environment. Set spec.abort to stop it; deleting it undoes everything first.",
        listed: true,
        referred_to: true,
        columns: &[
            column("Drill", "string", ".spec.drill", "The drill."),
            column("Phase", "string", ".status.phase", "How far it is."),
            column("In Place", "integer", ".status.inPlace", "Targets that are changed now. Above 0 in a run that is over: a person must act."),
            column("Verdict", "string", ".status.verdict", "What it proved."),
            column("Score", "number", ".status.score", "0 to 100."),
            column("Recovery", "string", ".status.recovery", "The slowest recovery, with its error bar."),
            wide("Environment", "string", ".spec.environment", "The environment."),
            wide("Left", "string", ".status.cleanliness", "What it left behind; outranks the verdict."),
            wide("Coverage", "string", ".status.coverage", "How much of the weight the score rests on."),
            wide("Run", "string", ".status.runId", "Its id, as in marks and reports."),
        ],
        spec: structural::<spec::DrillRunSpec>,
        status: structural::<status::DrillRunStatus>,
    };

    /// One person's yes to one run.
    pub const DRILL_APPROVAL: Self = Self {
        kind: "DrillApproval",
        plural: "drillapprovals",
        short: "fda",
        about: "One person's yes to one run.",
        listed: true,
        referred_to: false,
        columns: &[column("Run", "string", ".spec.run", "The run."), column("Approver", "string", ".spec.approver", "Who approves.")],
        spec: structural::<approval::DrillApprovalSpec>,
        status: structural::<approval::DrillApprovalStatus>,
    };

    /// A rule of the egress gateways.
    pub const GATEWAY_RULE: Self = Self {
        kind: "GatewayRule",
        plural: "gatewayrules",
        short: "fdg",
        about: "A rule of the egress gateways that watch this namespace: what fails, for whom, until when.",
        listed: true,
        referred_to: false,
        columns: &[
            column("Region", "string", ".spec.region", "The region that fails."),
            column("Services", "string", ".spec.services", "The AWS services that fail."),
            column("In Force", "string", r#".status.conditions[?(@.type=="InForce")].status"#, "Whether gateways apply it."),
            column("Deadline", "string", ".spec.deadline", "It is gone by then."),
            wide("Run", "string", ".spec.run", "The run."),
            wide("Step", "string", ".spec.step", "Its step."),
        ],
        spec: structural::<GatewayRuleSpec>,
        status: structural::<GatewayRuleStatus>,
    };

    /// What a run remembers. A run has many, so that `kubectl get firedrill` leaves them out.
    pub const DRILL_JOURNAL: Self = Self {
        kind: "DrillJournal",
        plural: "drilljournals",
        short: "fdj",
        about: "A part of what a run remembers: what undo needs. Written by firedrill only; do not edit or delete it.",
        listed: false,
        referred_to: false,
        columns: &[
            column("Run", "string", ".spec.run", "The run."),
            column("Part", "string", ".spec.part", "What it holds."),
            column("Number", "integer", ".spec.number", "Its position among the parts of the same sort."),
            column("Open", "integer", ".status.open", "Records that are not closed."),
        ],
        spec: structural::<journal::DrillJournalSpec>,
        status: structural::<journal::DrillJournalStatus>,
    };

    /// `drills.firedrill.dev`: the name of its definition.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}.{}", self.plural, super::GROUP)
    }

    /// The structural schemas of its spec and of its status.
    ///
    /// # Errors
    /// As [`structural`].
    pub fn schemas(&self) -> Result<(Json, Json), NotStructural> {
        Ok(((self.spec)()?, (self.status)()?))
    }
}
