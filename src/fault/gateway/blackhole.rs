//! `gatewayBlackhole`: connections to the named services hang.

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

/// Connections to the named services hang: packets vanish, nothing answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GatewayBlackhole {
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

impl GatewayBlackhole {
    fn scope(&self) -> Scope<'_> {
        Scope { gateway: &self.gateway, services: &self.services, region: self.region.as_deref(), existing: self.existing }
    }
}

impl Definition for GatewayBlackhole {
    fn limit() -> Duration {
        rule::LIMIT
    }

    fn about() -> Option<About> {
        Some(About {
            mechanism: "A rule in the gateway's memory: new connections to the named services in the region are taken and never answered.",
            undo: rule::UNDO,
            verified: "A connection through the gateway to a host that the rule covers hangs, and the gateway counts the hit.",
            must_know: &[
                "Connections that are open stay open, as on the day, unless `existing: cut` is given.",
                "Only what goes through the gateway is hit: clients use it by `HTTPS_PROXY` and `HTTP_PROXY`.",
                "A client without a timeout of its own hangs for as long as the fault is held: that is often what the drill finds.",
            ],
            permissions: rule::PERMISSIONS,
            example: "gatewayBlackhole: {gateway: edge, services: [dynamodb, sts]}",
        })
    }

    fn open(&self, places: &Places, drill: &DrillSpec, step: &Step) -> Result<Arc<dyn Kind>, KindError> {
        rule::open(&FLAVOR, Effect::Blackhole, self.scope(), places, drill, step)
    }

    fn reopen(record: &Record, places: &Places) -> Result<Arc<dyn Kind>, KindError> {
        rule::reopen(&FLAVOR, record, places)
    }

    fn everywhere(places: &Places) -> Vec<Arc<dyn Kind>> {
        rule::everywhere(&FLAVOR, places)
    }
}

/// A connection counts as hanging when nothing came back for this long: a gateway in front answers within milliseconds.
const HANGS: Duration = Duration::from_secs(1);

/// A client sees nothing at all for as long as it looks.
pub(super) static FLAVOR: Flavor = Flavor { name: "gatewayBlackhole", owns: |effect| matches!(effect, Effect::Blackhole), warning: None, bites };

fn bites(trial: &Trial) -> BoxFuture<'_, Result<(), String>> {
    async {
        match trial.tunnel(HANGS).await?.seen {
            Seen::Nothing => Ok(()),
            other => Err(format!("a new connection should hang for {} s, but {other}", HANGS.as_secs())),
        }
    }
    .boxed()
}
