//! `gatewayLatency`: the named services are slow.

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
use crate::drill::text::DurationText;
use crate::fault::definition::{Definition, Places};
use crate::fault::{Kind, KindError, Record};
use crate::gateway::Effect;
use crate::gateway::rules::LONGEST_DELAY;

/// The named services are slow: every request is delayed, or bytes trickle. At least one of `delay`, `jitter` and `bytesPerSecond`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GatewayLatency {
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
    /// Added to each request. At most 10m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<DurationText>,
    /// Added on top: a random part of this. At most 10m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jitter: Option<DurationText>,
    /// Most bytes a second per connection and direction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1099511627776u64))]
    pub bytes_per_second: Option<u64>,
    /// What happens to connections that are already open. Default `keep`: tunnels that were open before stay as fast as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub existing: Option<Existing>,
}

impl GatewayLatency {
    fn scope(&self) -> Scope<'_> {
        Scope { gateway: &self.gateway, services: &self.services, region: self.region.as_deref(), existing: self.existing }
    }

    fn effect(&self) -> Result<Effect, String> {
        let millis = |name: &str, given: Option<DurationText>| {
            let given = given.unwrap_or_default();
            if *given > LONGEST_DELAY {
                return Err(format!("{name} {given} is longer than 10m"));
            }
            Ok(u64::try_from(given.as_millis()).unwrap_or(u64::MAX))
        };
        let (delay_ms, jitter_ms) = (millis("delay", self.delay)?, millis("jitter", self.jitter)?);
        if delay_ms == 0 && jitter_ms == 0 && self.bytes_per_second.is_none() {
            return Err("it slows nothing down: give a delay or jitter above 0s, or bytesPerSecond".to_owned());
        }
        Ok(Effect::Latency { delay_ms, jitter_ms, bytes_per_second: self.bytes_per_second })
    }
}

impl Definition for GatewayLatency {
    fn limit() -> Duration {
        rule::LIMIT
    }

    fn about() -> Option<About> {
        Some(About {
            mechanism: "A rule in the gateway's memory: each request waits before it is passed on, and bytes pass at a limited speed.",
            undo: rule::UNDO,
            verified: "A connection through the gateway to a host that the rule covers is answered no sooner than the delay, or a body is taken no faster \
                than the limit; and the gateway counts the hit.",
            must_know: &[
                "In a tunnel the delay comes with the CONNECT, and then each time the client speaks after it was answered: a new TLS connection waits \
                 some three times, as it would on a long line.",
                "Tunnels that are open stay as fast as they are, unless `existing: cut` is given; plain requests are slowed down at once.",
                "When the rule ends, no delay is waited to its end, and the speed is free again on connections that are open.",
                "`bytesPerSecond` alone can be proven only when the service, or something in its place, answers plain HTTP, and up to some megabytes a second.",
            ],
            permissions: rule::PERMISSIONS,
            example: "gatewayLatency: {gateway: edge, services: [dynamodb, s3], delay: 250ms, jitter: 50ms}",
        })
    }

    fn open(&self, places: &Places, drill: &DrillSpec, step: &Step) -> Result<Arc<dyn Kind>, KindError> {
        rule::open_checked(&FLAVOR, self.effect(), self.scope(), places, drill, step)
    }

    fn reopen(record: &Record, places: &Places) -> Result<Arc<dyn Kind>, KindError> {
        rule::reopen(&FLAVOR, record, places)
    }

    fn everywhere(places: &Places) -> Vec<Arc<dyn Kind>> {
        rule::everywhere(&FLAVOR, places)
    }
}

/// A client waits at least as long as the rule says.
pub(super) static FLAVOR: Flavor = Flavor { name: "gatewayLatency", owns: |effect| matches!(effect, Effect::Latency { .. }), warning: None, bites };

/// Beyond the delay, how long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// A difference that no fast answer is mistaken for.
const SEEN: Duration = Duration::from_millis(100);
/// How often a random delay is tried.
const TRIES: usize = 8;

fn bites(trial: &Trial) -> BoxFuture<'_, Result<(), String>> {
    async {
        let Effect::Latency { delay_ms, jitter_ms, bytes_per_second } = trial.rule.effect else {
            return Err("the rule is of another kind".to_owned());
        };
        match bytes_per_second {
            Some(rate) if delay_ms == 0 && jitter_ms == 0 => bandwidth(trial, rate).await,
            _ => delay(trial, Duration::from_millis(delay_ms), Duration::from_millis(jitter_ms)).await,
        }
    }
    .boxed()
}

/// An answer of any kind must not come sooner than the delay; of the random part, a tenth must be seen once.
async fn delay(trial: &Trial, delay: Duration, jitter: Duration) -> Result<(), String> {
    let least = if delay.is_zero() { jitter / 10 } else { delay };
    let mut longest = Duration::ZERO;
    for _ in 0..if delay.is_zero() { TRIES } else { 1 } {
        let exchange = trial.tunnel(delay + jitter + PATIENCE).await?;
        match exchange.seen {
            Seen::Answer(_) => longest = longest.max(exchange.took),
            Seen::Nothing => return Err(format!("nothing came back within {} s beyond the delay: that may have another reason", PATIENCE.as_secs())),
            other => return Err(format!("an answer should come after {} ms, but {other}", delay.as_millis())),
        }
        if longest >= least {
            return Ok(());
        }
    }
    Err(format!("an answer should take at least {} ms, but it came after {} ms", least.as_millis(), longest.as_millis()))
}

/// A body of half a second's worth of bytes must take that long to be taken. AWS refuses it: it is not signed, and asks for nothing.
async fn bandwidth(trial: &Trial, rate: u64) -> Result<(), String> {
    let size = (rate / 2).clamp(128, 1 << 20);
    // Half of what it takes on paper: the first slice passes at once.
    let least = Duration::from_millis(size.saturating_mul(500) / rate);
    if least < SEEN {
        return Err(format!("{rate} bytes a second are too fast to be told from no limit"));
    }
    let watch = (least * 3 + PATIENCE).min(Duration::from_secs(30));
    let body = vec![b'.'; usize::try_from(size).unwrap_or(128)];
    let exchange = trial.plain("POST", "/", "Content-Type: application/octet-stream\r\n", &body, watch).await?;
    match exchange.seen {
        Seen::Answer(_) | Seen::Nothing if exchange.took >= least => Ok(()),
        Seen::Answer(line) => Err(format!(
            "{size} bytes should take {} ms at least, but '{line}' came after {} ms, before they could have been taken",
            least.as_millis(),
            exchange.took.as_millis()
        )),
        other => Err(format!("a slow answer should come, but {other}")),
    }
}
