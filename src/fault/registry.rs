//! Opens the kinds of this build against an environment.

use std::sync::Arc;

use super::definition::{Entry, Places};
use super::params::{ActionSpec, FaultSpec};
use super::{Kind, KindError, KindSource, Record};
use crate::aws::Accounts;
use crate::cluster::Clusters;
use crate::drill::spec::{DrillSpec, EnvironmentSpec, Step};

/// The environment's places, ready to be opened.
#[derive(Debug, Clone)]
pub struct Registry {
    places: Places,
}

impl Registry {
    /// The kinds of an environment whose look-ups are resolved. Opens nothing yet.
    #[must_use]
    pub fn new(environment: &EnvironmentSpec) -> Self {
        Self::sharing(environment, (Clusters::default(), Accounts::default()))
    }

    /// The same, on connections that others use too.
    #[must_use]
    pub fn sharing(environment: &EnvironmentSpec, (clusters, accounts): (Clusters, Accounts)) -> Self {
        Self { places: Places { environment: environment.clone(), clusters, accounts } }
    }

    /// Its connections, for whoever reads the same places.
    #[must_use]
    pub fn connections(&self) -> (Clusters, Accounts) {
        (self.places.clusters.clone(), self.places.accounts.clone())
    }
}

impl KindSource for Registry {
    fn for_step(&self, drill: &DrillSpec, step: &Step) -> Result<Arc<dyn Kind>, KindError> {
        let fault = step.fault.as_ref().and_then(|fault| fault.one()).map(|kind| (kind.name(), kind.definition()));
        let action = step.action.as_ref().and_then(|action| action.one()).map(|kind| (kind.name(), kind.definition()));
        let (kinds, what) = if step.action.is_some() { (ActionSpec::KINDS, "action") } else { (FaultSpec::KINDS, "fault") };
        let (name, definition) = fault.or(action).ok_or_else(|| KindError::Refused(format!("step '{}' makes no fault and no action", step.id)))?;
        built(kinds, what, name)?;
        definition.open(&self.places, drill, step)
    }

    fn for_record(&self, record: &Record) -> Result<Arc<dyn Kind>, KindError> {
        // A newer record is tried too: undoing is conditional on finding exactly what was recorded.
        let (kinds, what) = if record.action { (ActionSpec::KINDS, "action") } else { (FaultSpec::KINDS, "fault") };
        (built(kinds, what, &record.kind)?.reopen)(record, &self.places)
    }

    fn everywhere(&self) -> Vec<Arc<dyn Kind>> {
        // A kind that is a fault and an action leaves one sort of mark: it is searched for once.
        let only_actions = ActionSpec::KINDS.iter().filter(|kind| !FaultSpec::NAMES.contains(&kind.name));
        FaultSpec::KINDS.iter().chain(only_actions).flat_map(|kind| (kind.everywhere)(&self.places)).collect()
    }
}

fn built<'a>(kinds: &'a [Entry], what: &str, name: &str) -> Result<&'a Entry, KindError> {
    let ready = |kind: &&Entry| (kind.about)().is_some();
    kinds.iter().filter(ready).find(|kind| kind.name == name).ok_or_else(|| {
        let ready: Vec<&str> = FaultSpec::KINDS.iter().chain(ActionSpec::KINDS).filter(ready).map(|kind| kind.name).collect();
        KindError::Refused(format!("{what} '{name}' is not built yet; this build runs: {}", ready.join(", ")))
    })
}
