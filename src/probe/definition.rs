//! What a probe's parameters define: how the probe is opened, and explained.

use std::sync::Arc;

use schemars::{JsonSchema, Schema};

use super::Probe;
use super::open::Opening;
use crate::drill::about::About;

/// Implemented by each kind's parameters, in the kind's file. A kind with only an empty `impl` is accepted in files, and refused by the plan as not
/// built yet.
pub trait Definition {
    /// What the kind is, for people. None: it is not built yet.
    fn about() -> Option<About>
    where
        Self: Sized,
    {
        None
    }

    /// The probe with these parameters. The error is one sentence.
    fn open(&self, _opening: &Opening<'_>) -> Result<Arc<dyn Probe>, String> {
        Err("this kind is not built yet".to_owned())
    }
}

/// A kind without parameters at hand.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// As written in files.
    pub name: &'static str,
    /// [`Definition::about`].
    pub about: fn() -> Option<About>,
    /// The schema of its parameters.
    pub schema: fn() -> Schema,
}

impl Entry {
    /// What the type of the parameters says.
    #[must_use]
    pub const fn of<T: Definition + JsonSchema>(name: &'static str) -> Self {
        Self { name, about: T::about, schema: schema::<T> }
    }
}

fn schema<T: JsonSchema>() -> Schema {
    schemars::schema_for!(T)
}
