//! The prometheus probe: true while a query's vector is not empty, unknown whenever the source cannot say.

use std::sync::Arc;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::definition::Definition;
use super::http::without_query;
use super::open::Opening;
use super::params::PrometheusProbe;
use super::{Probe, Reading};
use crate::drill::about::{About, Permissions};
use crate::http::{Answer, Client, Request, excerpt};

/// Bytes of an answer that are read; a query with more samples than fit asks for a `count()`.
const BODY_LIMIT: usize = 4 * 1024 * 1024;

/// An instant query, and one that tells "not firing" from "not measuring".
pub(super) struct Prometheus {
    client: Client,
    source: String,
    query: Url,
    alive: Option<Url>,
}

/// <https://prometheus.io/docs/prometheus/latest/querying/api/>: the envelope of every answer, with its warnings beside data or error.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    status: String,
    data: Option<Data>,
    error_type: Option<String>,
    error: Option<String>,
    #[serde(default)]
    warnings: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    result_type: String,
    result: Value,
}

/// What an instant query gave.
struct Vector {
    samples: usize,
    warnings: Vec<String>,
}

impl Definition for PrometheusProbe {
    fn about() -> Option<About> {
        Some(About {
            mechanism: "An instant query a tick; true while its vector is not empty.",
            undo: "",
            verified: "",
            must_know: &[
                "A source that cannot be asked is unknown, never bad: it is the instrument, not the thing under test.",
                "Ask a source outside the region that fails; one inside it is unknown just when it matters.",
                "`alive` tells an alert that does not fire from a source that measures nothing; `detectWithin` needs it.",
            ],
            permissions: Permissions { inject: &[], revert: &[], read: &["GET /api/v1/query of the source"] },
            example: "prometheus: {source: main, query: 'ALERTS{alertname=\"RegionDown\",alertstate=\"firing\"}', alive: 'up{job=\"edge\"}'}",
        })
    }

    fn open(&self, opening: &Opening<'_>) -> Result<Arc<dyn Probe>, String> {
        let source = opening.sources.get(&self.source).ok_or_else(|| {
            let known: Vec<_> = opening.sources.keys().map(String::as_str).collect();
            let known = if known.is_empty() { "it has none".to_owned() } else { format!("it has {}", known.join(", ")) };
            format!("the environment has no prometheus source '{}'; {known}", self.source)
        })?;
        Ok(Arc::new(Prometheus::open(self, source, opening.client.clone())?))
    }
}

impl Prometheus {
    pub(super) fn open(probe: &PrometheusProbe, base: &str, client: Client) -> Result<Self, String> {
        let base = client.url(base).map_err(|error| format!("source '{}': {error}", probe.source))?;
        for (field, query) in [("query", Some(&probe.query)), ("alive", probe.alive.as_ref())] {
            if query.is_some_and(|query| query.trim().is_empty()) {
                return Err(format!("'{field}' is empty"));
            }
        }
        Ok(Self {
            client,
            source: without_query(&base),
            query: query_url(&base, &probe.query),
            alive: probe.alive.as_deref().map(|query| query_url(&base, query)),
        })
    }

    async fn ask(&self, url: &Url) -> Result<Vector, String> {
        let answer = self.client.fetch(Request::get(url.clone(), BODY_LIMIT)).await.map_err(|failure| failure.to_string())?;
        vector(&answer)
    }
}

#[async_trait]
impl Probe for Prometheus {
    async fn read(&self) -> Reading {
        let alive = async {
            match &self.alive {
                Some(url) => self.ask(url).await.map(Some),
                None => Ok(None),
            }
        };
        let (alive, query) = tokio::join!(alive, self.ask(&self.query));
        match (alive, query) {
            (Err(why), _) => Reading::unknown(format!("alive: {why}")),
            (_, Err(why)) => Reading::unknown(format!("query: {why}")),
            (Ok(alive), Ok(query)) => judge(alive, query),
        }
    }

    fn timed_out(&self) -> Reading {
        Reading::unknown("prometheus did not answer in time")
    }

    fn describe(&self) -> String {
        format!("prometheus {}", self.source)
    }
}

fn judge(alive: Option<Vector>, query: Vector) -> Reading {
    let mut reading = match &alive {
        Some(alive) if alive.samples == 0 => Reading::unknown("the alive query gave no samples"),
        _ if query.samples == 0 => Reading::bad("the query gave no samples"),
        _ => Reading::good(),
    };
    let warnings: Vec<_> = alive.into_iter().flat_map(|alive| alive.warnings).chain(query.warnings).collect();
    if !warnings.is_empty() {
        let warned = format!("warning: {}", excerpt(&warnings.join("; ")));
        reading.detail = Some(reading.detail.map_or(warned.clone(), |detail| format!("{detail}; {warned}")));
    }
    reading
}

/// `/api/v1/query` below the base, whose own path and query (a tenant, say) are kept.
fn query_url(base: &Url, query: &str) -> Url {
    let mut url = base.clone();
    url.set_fragment(None);
    // http and https URLs always have a path.
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(["api", "v1", "query"]);
    }
    url.query_pairs_mut().append_pair("query", query);
    url
}

fn vector(answer: &Answer) -> Result<Vector, String> {
    if answer.truncated {
        return Err("the answer is longer than 4 MiB; ask for a count()".to_owned());
    }
    let envelope = serde_json::from_slice::<Envelope>(&answer.body);
    if let Ok(Envelope { error: Some(error), error_type, .. }) = &envelope {
        let kind = error_type.as_deref().unwrap_or("error");
        return Err(format!("status {}: {}: {}", answer.status.as_u16(), excerpt(kind), excerpt(error)));
    }
    if answer.status.as_u16() != 200 {
        return Err(format!("status {}", answer.status));
    }
    let envelope = envelope.map_err(|error| format!("not an answer of prometheus: {error}"))?;
    if envelope.status != "success" {
        return Err(format!("status '{}' in the answer", excerpt(&envelope.status)));
    }
    match envelope.data {
        Some(Data { result_type, result: Value::Array(samples) }) if result_type == "vector" => {
            Ok(Vector { samples: samples.len(), warnings: envelope.warnings })
        }
        Some(data) => Err(format!("the result is a {}, not a vector; compare it, so that it is empty when false", excerpt(&data.result_type))),
        None => Err("the answer has no data".to_owned()),
    }
}
