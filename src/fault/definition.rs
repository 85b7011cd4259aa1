//! What a kind's parameters define: how the kind is opened, found again from a record, searched for, and explained.

use std::sync::Arc;
use std::time::Duration;

use schemars::{JsonSchema, Schema};

use super::{Kind, KindError, Record};
use crate::aws::Accounts;
use crate::cluster::Clusters;
use crate::drill::about::About;
use crate::drill::spec::{DrillSpec, EnvironmentSpec, Step};

/// Where an environment's kinds work: what it says of them, and the connections that they share.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// The environment, its look-ups resolved.
    pub environment: EnvironmentSpec,
    /// Connections to clusters.
    pub clusters: Clusters,
    /// Connections to AWS accounts.
    pub accounts: Accounts,
}

/// Implemented by each kind's parameters, in the kind's file. A kind with only an empty `impl` is accepted in files, and refused by the plan as not
/// built yet.
pub trait Definition {
    /// The longest that injecting should take, for a step that gives no `limit`.
    fn limit() -> Duration
    where
        Self: Sized,
    {
        Duration::from_mins(5)
    }

    /// What the kind is, for people. None: it is not built yet.
    fn about() -> Option<About>
    where
        Self: Sized,
    {
        None
    }

    /// The kind for a step with these parameters. `Err` names a place that the environment lacks.
    fn open(&self, _places: &Places, _drill: &DrillSpec, _step: &Step) -> Result<Arc<dyn Kind>, KindError> {
        Err(not_built())
    }

    /// The kind that can undo a record, from the record alone: the environment may have changed since.
    fn reopen(_record: &Record, _places: &Places) -> Result<Arc<dyn Kind>, KindError>
    where
        Self: Sized,
    {
        Err(not_built())
    }

    /// One kind for every place of the environment that sweep must search.
    fn everywhere(_places: &Places) -> Vec<Arc<dyn Kind>>
    where
        Self: Sized,
    {
        Vec::new()
    }
}

fn not_built() -> KindError {
    KindError::Refused("this kind is not built yet".to_owned())
}

/// As [`Definition::reopen`].
pub type Reopen = fn(&Record, &Places) -> Result<Arc<dyn Kind>, KindError>;

/// A kind without parameters at hand.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// As written in files.
    pub name: &'static str,
    /// [`Definition::limit`].
    pub limit: fn() -> Duration,
    /// [`Definition::about`].
    pub about: fn() -> Option<About>,
    /// [`Definition::reopen`].
    pub reopen: Reopen,
    /// [`Definition::everywhere`].
    pub everywhere: fn(&Places) -> Vec<Arc<dyn Kind>>,
    /// The schema of its parameters.
    pub schema: fn() -> Schema,
}

impl Entry {
    /// What the type of the parameters says.
    #[must_use]
    pub const fn of<T: Definition + JsonSchema>(name: &'static str) -> Self {
        Self { name, limit: T::limit, about: T::about, reopen: T::reopen, everywhere: T::everywhere, schema: schema::<T> }
    }
}

fn schema<T: JsonSchema>() -> Schema {
    schemars::schema_for!(T)
}
