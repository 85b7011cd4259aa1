//! `gatewayReset`: answers of the named services are cut in the middle.

use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::params::Existing;
use super::rule::{self, Flavor, Scope};
use super::trial::Trial;
use crate::drill::about::About;
use crate::drill::spec::{DrillSpec, Step};
use crate::fault::definition::{Definition, Places};
use crate::fault::{Kind, KindError, Record};
use crate::gateway::Effect;

/// Connections to the named services are cut after some bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GatewayReset {
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
    /// How many bytes of an answer pass before the cut, its head included. Default 0: as soon as the request was taken up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1099511627776u64))]
    pub after_bytes: Option<u64>,
    /// What happens to connections that are already open. Default `keep`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub existing: Option<Existing>,
}

impl GatewayReset {
    fn scope(&self) -> Scope<'_> {
        Scope { gateway: &self.gateway, services: &self.services, region: self.region.as_deref(), existing: self.existing }
    }
}

impl Definition for GatewayReset {
    fn limit() -> Duration {
        rule::LIMIT
    }

    fn about() -> Option<About> {
        Some(About {
            mechanism: "A rule in the gateway's memory: when a client has got so many bytes of an answer, its connection is reset.",
            undo: rule::UNDO,
            verified: "A plain request through the gateway to a host that the rule covers ends in a reset, and the gateway counts the hit.",
            must_know: &[
                "The service has done what it was asked for when its answer is cut: this rehearses calls that took effect and look failed.",
                "With `afterBytes: 0` a plain request is not passed on; a tunnel opens, and is reset when its client speaks.",
                "In a tunnel every byte from the service counts, TLS handshake included: some 4 to 6 KiB come before the first answer.",
                "An answer that is shorter than `afterBytes` is not cut, and cannot prove the fault: choose it below the size of what you expect.",
            ],
            permissions: rule::PERMISSIONS,
            example: "gatewayReset: {gateway: edge, services: [dynamodb, s3], afterBytes: 64}",
        })
    }

    fn open(&self, places: &Places, drill: &DrillSpec, step: &Step) -> Result<Arc<dyn Kind>, KindError> {
        let effect = Effect::Reset { after_bytes: self.after_bytes.unwrap_or(0) };
        rule::open(&FLAVOR, effect, self.scope(), places, drill, step)
    }

    fn reopen(record: &Record, places: &Places) -> Result<Arc<dyn Kind>, KindError> {
        rule::reopen(&FLAVOR, record, places)
    }

    fn everywhere(places: &Places) -> Vec<Arc<dyn Kind>> {
        rule::everywhere(&FLAVOR, places)
    }
}

/// A client gets at most so many bytes, and then a reset.
pub(super) static FLAVOR: Flavor = Flavor { name: "gatewayReset", owns: |effect| matches!(effect, Effect::Reset { .. }), warning: None, bites };

fn bites(trial: &Trial) -> BoxFuture<'_, Result<(), String>> {
    async {
        let exchange = trial.plain("GET", "/", "", b"", Duration::from_secs(5)).await?;
        if exchange.reset {
            return Ok(());
        }
        let Effect::Reset { after_bytes } = trial.rule.effect else { return Err("the rule is of another kind".to_owned()) };
        Err(match u64::try_from(exchange.bytes) {
            Ok(bytes) if bytes > 0 && bytes < after_bytes => {
                format!("the answer was over after {bytes} bytes, before the cut at {after_bytes}: choose a smaller afterBytes to see it proven")
            }
            _ => format!("the connection should be reset after {after_bytes} bytes, but {}", exchange.seen),
        })
    }
    .boxed()
}
