//! `gatewayError`: chosen operations fail with the error document of their protocol.

use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use hyper::HeaderMap;
use hyper::header::HeaderName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rule::{self, Flavor, Scope};
use super::trial::{Seen, Trial};
use crate::drill::about::About;
use crate::drill::spec::{DrillSpec, Step};
use crate::drill::text::Percent;
use crate::fault::definition::{Definition, Places};
use crate::fault::{Kind, KindError, Record};
use crate::gateway::aws_call::{self, AwsError, Sample};
use crate::gateway::rules::MILLION;
use crate::gateway::{Effect, aws_host};

/// Chosen operations fail with the error document of that AWS protocol. On plain HTTP only: TLS interception is not built yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GatewayError {
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
    /// Operations (`ListPolicies`), or `"*"` for all.
    #[schemars(length(min = 1, max = 64), inner(length(max = 128)))]
    pub operations: Vec<String>,
    /// Which error.
    pub error: AwsError,
    /// Share of requests that fail. Default 100%.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<Percent>,
    /// Makes the choice repeatable. Default: from the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 4294967295u64))]
    pub seed: Option<u64>,
}

impl GatewayError {
    fn scope(&self) -> Scope<'_> {
        Scope { gateway: &self.gateway, services: &self.services, region: self.region.as_deref(), existing: None }
    }

    fn effect(&self) -> Result<Effect, String> {
        if let Some(name) = self.operations.iter().find(|name| *name != "*" && !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'))
        {
            return Err(format!("'{name}' is not an AWS operation; write it like 'ListPolicies', or \"*\" for all"));
        }
        self.known()?;
        let share = self.percent.map_or(100.0, |percent| percent.0) / 100.0 * f64::from(MILLION);
        // Percentages have at most six decimals and end at 100: the nearest millionth is in range but for what is rounded to none.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let per_million = share.round() as u32;
        if !(1..=MILLION).contains(&per_million) {
            return Err("percent is above 0.0001% and at most 100%".to_owned());
        }
        Ok(Effect::Error { operations: self.operations.clone(), error: self.error, per_million, seed: self.seed })
    }
}

impl GatewayError {
    /// An operation that no service of the rule has would make a rule without effect. Services whose operations are not known are believed.
    fn known(&self) -> Result<(), String> {
        let mut known: Vec<&str> = Vec::new();
        for service in &self.services {
            let family = format!(".{service}");
            let members = aws_host::services().iter().filter(|name| *name == service || name.ends_with(&family));
            let operations: Vec<&str> = members.flat_map(|name| aws_call::operations(name)).collect();
            if operations.is_empty() {
                return Ok(());
            }
            known.extend(operations);
        }
        let Some(name) = self.operations.iter().find(|name| *name != "*" && !known.contains(&name.as_str())) else { return Ok(()) };
        let hint = aws_host::did_you_mean(name, known.iter().copied());
        Err(format!("'{name}' is not an operation of {}{hint}", self.services.join(", ")))
    }
}

impl Definition for GatewayError {
    fn limit() -> Duration {
        rule::LIMIT
    }

    fn about() -> Option<About> {
        Some(About {
            mechanism: "A rule in the gateway's memory: plain requests for the chosen operations are answered by the gateway with the error document that \
                the client's SDK understands.",
            undo: rule::UNDO,
            verified: "A request for a chosen operation through the gateway gets the error, and the gateway counts the hit.",
            must_know: &[
                "It acts on plain HTTP only: point clients at the gateway by `endpoint_url=http://GATEWAY`, or by `HTTP_PROXY` with an http endpoint. TLS \
                 interception is not built yet, and what goes through a tunnel passes untouched.",
                "An operation that cannot be recognised passes untouched; `firedrill gateway stats` counts it as '?'.",
                "The same seed fails the same requests, counted from the rule's beginning, as long as they come in the same order.",
                "SDKs retry by themselves: expect several requests for one call.",
            ],
            permissions: rule::PERMISSIONS,
            example: "gatewayError: {gateway: edge, services: [iam], operations: [ListPolicies], error: ServiceUnavailable}",
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

/// A client gets the error.
pub(super) static FLAVOR: Flavor = Flavor {
    name: "gatewayError",
    owns: |effect| matches!(effect, Effect::Error { .. }),
    warning: Some("acts on plain HTTP only: TLS interception is not built yet"),
    bites,
};

/// Most requests that are made to see a small share fail.
const TRIES: f64 = 200.0;
/// The chance of not seeing it, by which the number of tries is chosen.
const UNSEEN: f64 = 0.0001;

fn bites(trial: &Trial) -> BoxFuture<'_, Result<(), String>> {
    async {
        let Effect::Error { operations, error, per_million, .. } = &trial.rule.effect else { return Err("the rule is of another kind".to_owned()) };
        let (request, status) = operations
            .iter()
            .find_map(|operation| request(trial, operation, *error))
            .ok_or_else(|| format!("no request is known by which {} of {} could be tried", operations.join(", "), trial.service))?;
        let headers: String = request.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let share = f64::from(*per_million) / f64::from(MILLION);
        let wanted = if share < 1.0 { (UNSEEN.ln() / (1.0 - share).ln()).ceil() } else { 1.0 };
        let mut seen = String::new();
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        for _ in 0..wanted.min(TRIES) as u32 {
            let exchange = trial.plain(request.method, &request.target, &headers, request.body.as_bytes(), Duration::from_secs(5)).await?;
            match exchange.seen {
                Seen::Answer(line) if line.split(' ').nth(1) == Some(status.as_str()) => return Ok(()),
                other => seen = other.to_string(),
            }
        }
        let few = if wanted > TRIES { format!(", and more than {TRIES} tries would be needed to be sure") } else { String::new() };
        Err(format!("{} should be answered with status {status}, but {seen}{few}", request.operation))
    }
    .boxed()
}

/// A request that the gateway takes for this operation of the trial's service, and the status of the answer that the rule gives. It is not signed: what
/// the rule lets through, the service refuses.
fn request(trial: &Trial, operation: &str, error: AwsError) -> Option<(Sample, String)> {
    let host = aws_host::classify(&trial.host)?;
    let sample = aws_call::sample(&host.service, operation)?;
    let mut headers = HeaderMap::new();
    for (name, value) in &sample.headers {
        headers.insert(name.parse::<HeaderName>().ok()?, value.parse().ok()?);
    }
    let call = aws_call::recognise(Some(&host), &sample.method.parse().ok()?, &sample.target.parse().ok()?, &headers, sample.body.as_bytes())?;
    if call.operation.as_deref() != Some(sample.operation) {
        return None;
    }
    let status = aws_call::document(error, &call, sample.method == "HEAD", "").status().as_str().to_owned();
    Some((sample, status))
}
