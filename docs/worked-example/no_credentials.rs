//! `gatewayNoCredentials`: credentials cannot be had or renewed, while everything else answers.

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

/// Credentials cannot be had or renewed: the services that hand them out hang, everything else answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GatewayNoCredentials {
    /// A gateway of the environment.
    #[schemars(length(max = 63))]
    #[schemars(extend("format" = "gateway-name"))]
    pub gateway: String,
    /// Default: the drill's `failedRegion`. The global endpoint of STS is in us-east-1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    #[schemars(extend("format" = "aws-region"))]
    pub region: Option<String>,
}

impl Definition for GatewayNoCredentials {
    fn limit() -> Duration {
        rule::LIMIT
    }

    fn about() -> Option<About> {
        Some(About {
            mechanism: "A rule in the gateway's memory: new connections to STS, EKS Pod Identity, single sign-on and Roles Anywhere in the region hang.",
            undo: rule::UNDO,
            verified: "A connection through the gateway to STS in the region hangs, and the gateway counts the hit.",
            must_know: &[
                "Credentials that were handed out before stay good until they expire: with `hold` shorter than that, nothing is seen.",
                "The instance metadata service and the EKS Pod Identity agent are not called through a proxy: they go on answering.",
            ],
            permissions: rule::PERMISSIONS,
            example: "gatewayNoCredentials: {gateway: edge}",
        })
    }

    fn open(&self, places: &Places, drill: &DrillSpec, step: &Step) -> Result<Arc<dyn Kind>, KindError> {
        let services = SERVICES.map(str::to_owned);
        let scope = Scope { gateway: &self.gateway, services: &services, region: self.region.as_deref(), existing: Some(Existing::Keep) };
        rule::open(&FLAVOR, Effect::Blackhole, scope, places, drill, step)
    }

    fn reopen(record: &Record, places: &Places) -> Result<Arc<dyn Kind>, KindError> {
        rule::reopen(&FLAVOR, record, places)
    }

    fn everywhere(places: &Places) -> Vec<Arc<dyn Kind>> {
        rule::everywhere(&FLAVOR, places)
    }
}

/// What hands out credentials, by the names in its endpoints. <https://docs.aws.amazon.com/general/latest/gr/aws-service-information.html>
const SERVICES: [&str; 5] = ["sts", "eks-auth", "oidc", "portal.sso", "rolesanywhere"];

/// A connection counts as hanging when nothing came back for this long.
const HANGS: Duration = Duration::from_secs(1);

static FLAVOR: Flavor = Flavor {
    name: "gatewayNoCredentials",
    // A hanging rule found in a gateway is `gatewayBlackhole`'s to report: same effect, same undo. Sweep needs to find it once.
    owns: |_| false,
    warning: Some("does not take back credentials that were handed out before: they stay good until they expire"),
    bites,
};

fn bites(trial: &Trial) -> BoxFuture<'_, Result<(), String>> {
    async {
        match trial.tunnel(HANGS).await?.seen {
            Seen::Nothing => Ok(()),
            other => Err(format!("a new connection should hang for {} s, but {other}", HANGS.as_secs())),
        }
    }
    .boxed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::gateway::contract::{Ground, keeps};

    const PARAMETERS: fn() -> GatewayNoCredentials = || GatewayNoCredentials { gateway: "edge".to_owned(), region: None };

    #[tokio::test]
    async fn no_credentials_are_had_and_data_is() {
        let ground = Ground::new().await;
        let (kind, record) = ground.prepare(&PARAMETERS()).await;
        kind.inject(&record).await.unwrap();
        assert_eq!(ground.asked("sts.us-east-1.amazonaws.com").await, None);
        assert_eq!(ground.asked("sts.amazonaws.com").await, None, "the global endpoint is homed in us-east-1");
        assert!(ground.asked("dynamodb.us-east-1.amazonaws.com").await.is_some_and(|line| line.contains(" 200")));
        assert!(ground.asked("sts.us-west-2.amazonaws.com").await.is_some_and(|line| line.contains(" 200")));
    }

    #[tokio::test]
    async fn the_contract_of_gateway_kinds_is_kept() {
        keeps("gatewayNoCredentials", &PARAMETERS(), GatewayNoCredentials::reopen).await;
    }
}
