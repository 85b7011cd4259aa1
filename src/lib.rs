//! firedrill rehearses the loss of a cloud region: it plans a drill, runs it, always undoes it, times the recovery and scores it.
//!
//! The folder list is the story of a drill:
//!
//! | module | story |
//! |---|---|
//! | [`drill`] | what a drill says: the file, its positions, its checks |
//! | [`plan`] | what it will touch: resolved targets, blast radius, reasons to refuse |
//! | [`fault`] | how failure is made: one file per kind |
//! | [`probe`] | how signals are read: one file per kind |
//! | [`engine`] | how a run proceeds: pure state machine, async runner, undo loop |
//! | [`journal`] | what a run remembers |
//! | [`prepare`] | from drill and environment to a run that is ready |
//! | [`score`] | what a run proved: samples, clocks, verdicts, score |
//! | [`report`] | how it is told: folds over the event stream |
//! | [`runbook`] | how people play it: from a plan to a document |
//! | [`cluster`] | Kubernetes clusters, as kinds and probes call them |
//! | [`aws`] | AWS accounts, as kinds and probes call them |
//! | [`gateway`] | the egress gateway that gateway faults steer |
//! | [`sandbox`] | the embedded default: two regions on loopback |
//! | [`operator`] | how a cluster runs it: drills as custom resources |
//! | [`cli`] | one file per subcommand |
//!
//! # Direction
//!
//! A module may import only what this table allows; `tests/layering.rs` reads the `use crate::` lines and fails on any other arrow.
//!
//! ```text layering
//! cause    ->
//! clock    ->
//! failpoint->
//! fence    -> exit
//! event    -> clock
//! exit     -> event
//! drill    -> clock fault::params probe::params
//! gateway  -> clock cluster
//! http     -> cause
//! cluster  -> cause clock drill failpoint fence
//! aws      -> cause clock drill failpoint fence
//! needs    -> cluster aws
//! fault    -> clock event drill gateway http cluster aws needs
//! probe    -> clock event drill http cluster aws needs
//! journal  -> clock event failpoint fault
//! plan     -> clock event drill fault
//! score    -> clock event exit
//! prepare  -> aws clock drill engine event exit fault journal plan probe sandbox
//! engine   -> clock event exit failpoint fence drill plan fault probe journal score
//! report   -> clock event exit score
//! runbook  -> clock drill event fault plan probe::params report score
//! sandbox  -> clock drill gateway
//! operator -> clock cluster drill engine event exit failpoint fault fence gateway http journal plan prepare probe report score
//! cli      -> *
//! ```

pub mod aws;
pub mod cause;
pub mod clock;
pub mod cluster;
pub mod drill;
pub mod engine;
pub mod event;
pub mod exit;
pub mod failpoint;
pub mod fault;
pub mod fence;
pub mod gateway;
pub mod http;
pub mod journal;
pub mod needs;
pub mod operator;
pub mod plan;
pub mod prepare;
pub mod probe;
pub mod report;
pub mod runbook;
pub mod sandbox;
pub mod score;

pub mod cli;
