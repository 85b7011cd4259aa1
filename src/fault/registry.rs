//! Opens the kinds of this build against an environment.

use std::sync::Arc;

use super::gateway::params::Existing;
use super::gateway::rule::{Flavor, GatewayRule, Invert, Wanted};
use super::gateway::{blackhole, refuse};
use super::params::FaultKind;
use super::{Kind, KindError, KindSource, Record};
use crate::drill::spec::{DrillSpec, EnvironmentSpec, GatewayRef, Step};

/// The gateway kinds of this build.
const GATEWAY_KINDS: [&Flavor; 2] = [&blackhole::FLAVOR, &refuse::FLAVOR];

/// The environment's places, ready to be opened.
#[derive(Debug, Clone)]
pub struct Registry {
    gateways: Vec<GatewayRef>,
}

impl Registry {
    /// The kinds of an environment whose look-ups are resolved. Opens nothing yet.
    #[must_use]
    pub fn new(environment: &EnvironmentSpec) -> Self {
        Self { gateways: environment.gateways.clone() }
    }

    fn gateway(&self, name: &str) -> Result<Invert, KindError> {
        let Some(found) = self.gateways.iter().find(|gateway| gateway.name == name) else {
            let names: Vec<&str> = self.gateways.iter().map(|gateway| gateway.name.as_str()).collect();
            let has = if names.is_empty() { "it has none".to_owned() } else { format!("it has: {}", names.join(", ")) };
            return Err(KindError::Refused(format!("gateway '{name}' is not in the environment; {has}")));
        };
        match &found.connection.socket {
            Some(socket) => Ok(Invert { gateway: found.name.clone(), socket: socket.clone() }),
            None => Err(KindError::Refused(format!("gateway '{name}' is steered through a cluster, which is not built yet; give it a socket"))),
        }
    }
}

impl KindSource for Registry {
    fn for_step(&self, drill: &DrillSpec, step: &Step) -> Result<Arc<dyn Kind>, KindError> {
        if let Some(action) = &step.action {
            return Err(not_built("action", action.one().map(|kind| kind.name())));
        }
        let one = step.fault.as_ref().and_then(|fault| fault.one());
        let (flavor, gateway, services, region, existing) = match one {
            Some(FaultKind::GatewayBlackhole(fault)) => (&blackhole::FLAVOR, &fault.gateway, &fault.services, &fault.region, fault.existing),
            Some(FaultKind::GatewayRefuse(fault)) => (&refuse::FLAVOR, &fault.gateway, &fault.services, &fault.region, fault.existing),
            other => return Err(not_built("fault", other.map(|kind| kind.name()))),
        };
        let wanted = Wanted {
            step: step.id.clone(),
            services: services.clone(),
            region: region.clone().unwrap_or_else(|| drill.failed_region.clone()),
            cut_existing: existing.unwrap_or_default() == Existing::Cut,
        };
        Ok(Arc::new(GatewayRule::for_step(flavor, self.gateway(gateway)?, wanted)))
    }

    fn for_record(&self, record: &Record) -> Result<Arc<dyn Kind>, KindError> {
        let Some(flavor) = GATEWAY_KINDS.into_iter().find(|flavor| flavor.name == record.kind) else {
            return Err(not_built("fault", Some(&record.kind)));
        };
        // The record alone says where the gateway is: the environment may have changed since. A newer record is tried too: undoing removes a rule
        // only if it is exactly the recorded one.
        let place: Invert = serde_json::from_value(record.invert.clone())
            .map_err(|error| KindError::Failed(format!("the record of {} does not say where its gateway is: {error}", record.target)))?;
        Ok(Arc::new(GatewayRule::new(flavor, place)))
    }

    fn everywhere(&self) -> Vec<Arc<dyn Kind>> {
        let places = self.gateways.iter().filter_map(|gateway| self.gateway(&gateway.name).ok());
        places.flat_map(|place| GATEWAY_KINDS.map(|flavor| Arc::new(GatewayRule::new(flavor, place.clone())) as Arc<dyn Kind>)).collect()
    }
}

fn not_built(what: &str, name: Option<&str>) -> KindError {
    let built: Vec<&str> = GATEWAY_KINDS.iter().map(|flavor| flavor.name).collect();
    let name = name.unwrap_or("none");
    KindError::Refused(format!("{what} '{name}' is not built yet; this build runs: {}", built.join(", ")))
}
