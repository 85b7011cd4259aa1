//! `gatewayRefuse`: connections to the named services are refused at once.

use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::params::Existing;
use super::rule::{self, Flavor, Scope};
use super::trial::{Seen, Trial};
use crate::drill::about::About;
use crate::drill::spec::{DrillSpec, Step};
use crate::fault::definition::{Definition, Places};
use crate::fault::{Kind, KindError, Record};
use crate::gateway::Effect;

/// Connections to the named services are refused at once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GatewayRefuse {
    /// A gateway of the environment.
    #[schemars(length(max = 63))]
    #[schemars(extend("format" = "gateway-name"))]
    pub gateway: String,
    /// AWS service names as in endpoints (`dynamodb`, `sts`), or `"*"` for all.
    #[schemars(length(min = 1, max = 64), inner(length(max = 64)))]
    pub services: Vec<String>,
    /// Default: the drill's `failedRegion`. Global services homed there are included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    #[schemars(extend("format" = "aws-region"))]
    pub region: Option<String>,
    /// What happens to connections that are already open. Default `keep`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub existing: Option<Existing>,
}

impl GatewayRefuse {
    fn scope(&self) -> Scope<'_> {
        Scope { gateway: &self.gateway, services: &self.services, region: self.region.as_deref(), existing: self.existing }
    }
}

impl Definition for GatewayRefuse {
    fn limit() -> Duration {
        rule::LIMIT
    }

    fn about() -> Option<About> {
        Some(About {
            mechanism: "A rule in the gateway's memory: new connections to the named services in the region are reset at once.",
            undo: rule::UNDO,
            verified: "A connection through the gateway to a host that the rule covers is reset, and the gateway counts the hit.",
            must_know: &[
                "The reset comes when the client has said where it wants to go: the connection to the gateway itself still opens.",
                "Connections that are open stay open, as on the day, unless `existing: cut` is given.",
                "Only what goes through the gateway is hit: clients use it by `HTTPS_PROXY` and `HTTP_PROXY`.",
                "A refusal is the kind failure, for clients notice it at once; most outages hang (`gatewayBlackhole`).",
            ],
            permissions: rule::PERMISSIONS,
            example: "gatewayRefuse: {gateway: edge, services: [dynamodb, sts]}",
        })
    }

    fn open(&self, places: &Places, drill: &DrillSpec, step: &Step) -> Result<Arc<dyn Kind>, KindError> {
        rule::open(&FLAVOR, Effect::Refuse, self.scope(), places, drill, step)
    }

    fn reopen(record: &Record, places: &Places) -> Result<Arc<dyn Kind>, KindError> {
        rule::reopen(&FLAVOR, record, places)
    }

    fn everywhere(places: &Places) -> Vec<Arc<dyn Kind>> {
        rule::everywhere(&FLAVOR, places)
    }
}

/// The connection to the gateway is reset as soon as the client has said where it wants to go.
pub(super) static FLAVOR: Flavor = Flavor { name: "gatewayRefuse", owns: |effect| matches!(effect, Effect::Refuse), warning: None, bites };

fn bites(trial: &Trial) -> BoxFuture<'_, Result<(), String>> {
    async {
        match trial.tunnel(Duration::from_secs(5)).await?.seen {
            Seen::Reset => Ok(()),
            other => Err(format!("a new connection should be reset, but {other}")),
        }
    }
    .boxed()
}
