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
//! | [`score`] | what a run proved: samples, clocks, verdicts, score |
//! | [`report`] | how it is told: folds over the event stream |
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
//! event    -> clock
//! exit     -> event
//! drill    -> clock fault::params probe::params
//! gateway  -> clock
//! http     -> cause
//! cluster  -> cause drill failpoint
//! aws      -> cause clock drill failpoint
//! needs    -> cluster aws
//! fault    -> clock event drill gateway http cluster aws needs
//! probe    -> clock event drill http cluster aws needs
//! journal  -> clock event failpoint fault
//! plan     -> clock event drill fault
//! score    -> clock event exit
//! engine   -> clock event exit failpoint drill plan fault probe journal score
//! report   -> clock event exit score
//! sandbox  -> clock drill gateway
//! operator -> clock event drill gateway score
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
pub mod gateway;
pub mod http;
pub mod journal;
pub mod needs;
pub mod operator;
pub mod plan;
pub mod probe;
pub mod report;
pub mod sandbox;
pub mod score;

pub mod cli;
