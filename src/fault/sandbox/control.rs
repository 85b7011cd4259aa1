//! The client of a sandbox edge's control endpoint: reads who it is and what its weights are, changes them on a condition.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, IF_MATCH};
use reqwest::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::fault::KindError;
use crate::http::{Answer, Client, Failure, Request, Rules, excerpt};

/// The longest that a call may take: the edge answers from memory.
const LIMIT: Duration = Duration::from_secs(5);
/// Bytes of an answer that are read; the edge's own limits keep it far below.
const BODY: usize = 256 * 1024;

/// Weights by region, or none: health decides.
pub type Weights = Option<BTreeMap<String, u32>>;

/// What an edge says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct State {
    /// Its identity: another edge that has its address later has another one.
    pub edge: String,
    /// Counts accepted writes.
    pub version: u64,
    /// Regions that it knows.
    pub regions: Vec<String>,
    /// Those that its health checks trust.
    pub healthy: Vec<String>,
    /// Where most users are sent now.
    pub serving: String,
    /// The weights that somebody has set.
    pub weights: Weights,
    /// What is written beside them.
    pub annotations: BTreeMap<String, String>,
}

/// A change: what is left out is cleared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The new weights.
    pub weights: Weights,
    /// What is written beside them.
    pub annotations: BTreeMap<String, String>,
}

/// An edge's control endpoint.
#[derive(Clone)]
pub struct Control {
    client: Client,
    /// `<edge>/weights`.
    url: Url,
}

/// What a read found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// An edge.
    Edge(State),
    /// Something that is no edge answers there.
    NoEdge(String),
}

impl Control {
    /// The control endpoint of the edge at `base`. Connects to nothing yet.
    pub fn new(base: &str, allow_private: bool) -> Result<Self, String> {
        let client = Client::new(Rules { allow_private })?;
        let mut url = client.url(base)?;
        url.path_segments_mut().map_err(|()| format!("{base} is not a URL of an edge"))?.pop_if_empty().push("weights");
        url.set_query(None);
        url.set_fragment(None);
        Ok(Self { client, url })
    }

    /// Where it is.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Host and port, which name the edge to people.
    pub fn authority(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        self.url.port_or_known_default().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    /// Reads.
    pub async fn read(&self) -> Result<Found, KindError> {
        let mut request = Request::get(self.url.clone(), BODY);
        request.follow = false;
        let answer = self.call(request).await.map_err(|why| KindError::Unreachable(format!("the edge at {}: {why}", self.url)))?;
        match (answer.status, serde_json::from_slice(&answer.body)) {
            (StatusCode::OK, Ok(state)) => Ok(Found::Edge(state)),
            (StatusCode::OK, Err(error)) => Ok(Found::NoEdge(format!("{} does not answer as an edge does: {error}", self.url))),
            (StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::METHOD_NOT_ALLOWED, _) => {
                Ok(Found::NoEdge(format!("{} answered {}: no edge is there", self.url, answer.status.as_u16())))
            }
            (status, _) => Err(KindError::Failed(format!("{} answered {}{}", self.url, status.as_u16(), said(&answer)))),
        }
    }

    /// Writes, if the edge is still at `version`.
    pub async fn write(&self, version: u64, change: &Change) -> Result<State, KindError> {
        let body = serde_json::to_vec(change).map_err(|error| KindError::Failed(error.to_string()))?;
        let condition = HeaderValue::from_str(&format!("\"{version}\"")).map_err(|error| KindError::Failed(error.to_string()))?;
        let headers = HeaderMap::from_iter([(IF_MATCH, condition), (CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        let request = Request { method: Method::PUT, url: self.url.clone(), headers, body: Some(body.into()), follow: false, limit: BODY };
        // Whether it never arrived or its answer was lost cannot be told apart: the caller reads back.
        let answer = self.call(request).await.map_err(|why| KindError::LostAnswer(format!("the edge at {}: {why}", self.url)))?;
        match answer.status {
            StatusCode::OK => {
                serde_json::from_slice(&answer.body).map_err(|error| KindError::LostAnswer(format!("{} answered no state: {error}", self.url)))
            }
            StatusCode::PRECONDITION_FAILED => Err(KindError::Conflict(format!("somebody changed the edge's weights first{}", said(&answer)))),
            status => Err(KindError::Failed(format!("{} answered {}{}", self.url, status.as_u16(), said(&answer)))),
        }
    }

    async fn call(&self, request: Request) -> Result<Answer, String> {
        match tokio::time::timeout(LIMIT, self.client.fetch(request)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(Failure::NoAnswer(why) | Failure::Instrument(why))) => Err(why),
            Ok(Err(Failure::Refused(refusal))) => Err(refusal.to_string()),
            Err(_) => Err(format!("no answer within {} s", LIMIT.as_secs())),
        }
    }
}

/// The edge's own sentence, for the end of a message.
fn said(answer: &Answer) -> String {
    let text = serde_json::from_slice::<serde_json::Value>(&answer.body).ok();
    let text = text.and_then(|body| body.get("error")?.as_str().map(str::to_owned));
    text.map_or_else(String::new, |text| format!(": {}", excerpt(&text)))
}
