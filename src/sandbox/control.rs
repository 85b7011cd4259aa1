//! The edge's control endpoint: an operator's weights, changed by conditional writes only.
//!
//! ```text
//! GET /weights                          who this edge is, the weights, their version, what is written beside them, where users go
//! PUT /weights   If-Match: "<version>"  new weights (null: health decides) and annotations; 412 when the version is another by now
//! ```
//! The version counts accepted writes, so that a write that arrives late, or was decided on what is no longer so, is refused (RFC 9110, 13.1.1).

use std::collections::BTreeMap;

use bytes::Bytes;
use hyper::header::{ETAG, HeaderValue, IF_MATCH};
use hyper::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::json;

use super::Region;
use super::truth::Weights;
use super::wire::{self, Answer};

/// What the weights add up to.
const ALL: u32 = 100;
/// Bytes of all annotations, keys and values together.
const ANNOTATION_BYTES: usize = 64 * 1024;

/// Who has set what.
#[derive(Debug)]
pub struct Control {
    /// Tells this edge from another that has its address later.
    id: String,
    version: u64,
    annotations: BTreeMap<String, String>,
}

/// The body of a write. What is left out is cleared.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    weights: Option<Weights>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

impl Control {
    /// Of an edge that nobody has steered yet.
    pub fn new() -> Self {
        Self { id: ulid::Ulid::generate().to_string(), version: 1, annotations: BTreeMap::new() }
    }

    /// The answer to a read. `healthy` and `serving` are what the edge sees and does.
    pub fn show(&self, status: StatusCode, weights: Option<Weights>, healthy: &[Region], serving: Region) -> Answer {
        let body = json!({
            "edge": self.id,
            "version": self.version,
            "regions": Region::ALL,
            "healthy": healthy,
            "serving": serving,
            "weights": weights,
            "annotations": self.annotations,
        });
        let mut answer = wire::json(status, &body);
        if let Ok(tag) = HeaderValue::from_str(&format!("\"{}\"", self.version)) {
            answer.headers_mut().insert(ETAG, tag);
        }
        answer
    }

    /// Takes a write: the weights that now hold, or the status and the sentence that refuse it.
    pub fn put(&mut self, headers: &HeaderMap, body: &Bytes) -> Result<Option<Weights>, (StatusCode, String)> {
        let Some(condition) = headers.get(IF_MATCH).and_then(|value| value.to_str().ok()) else {
            let error = "If-Match is required: the version that GET /weights answered, or * to overwrite whatever is there";
            return Err((StatusCode::PRECONDITION_REQUIRED, error.to_owned()));
        };
        if condition != "*" && condition != format!("\"{}\"", self.version) {
            return Err((StatusCode::PRECONDITION_FAILED, format!("the weights are at version {}, not {condition}", self.version)));
        }
        let wanted: Wanted = serde_json::from_slice(body).map_err(|error| (StatusCode::BAD_REQUEST, format!("not a change of weights: {error}")))?;
        check(&wanted).map_err(|error| (StatusCode::BAD_REQUEST, error))?;
        self.version += 1;
        self.annotations = wanted.annotations;
        Ok(wanted.weights)
    }
}

fn check(wanted: &Wanted) -> Result<(), String> {
    if let Some(weights) = wanted.weights {
        let sum: u32 = Region::ALL.iter().map(|region| u32::from(weights.of(*region))).sum();
        if sum != ALL {
            return Err(format!("the weights are percentages and must add up to {ALL}, not {sum}"));
        }
    }
    let bytes: usize = wanted.annotations.iter().map(|(key, value)| key.len() + value.len()).sum();
    if bytes > ANNOTATION_BYTES {
        return Err(format!("at most {ANNOTATION_BYTES} bytes of annotations, not {bytes}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(control: &mut Control, condition: Option<&str>, body: &str) -> Result<Option<Weights>, u16> {
        let mut headers = HeaderMap::new();
        if let Some(condition) = condition {
            headers.insert(IF_MATCH, HeaderValue::from_str(condition).unwrap());
        }
        control.put(&headers, &Bytes::from(body.to_owned())).map_err(|(status, _)| status.as_u16())
    }

    const WEST: &str = r#"{"weights": {"us-east-1": 0, "us-west-2": 100}, "annotations": {"by": "me"}}"#;

    #[test]
    fn a_write_needs_the_version_it_was_decided_on_and_each_one_makes_a_new() {
        let mut control = Control::new();
        assert_eq!(put(&mut control, None, WEST), Err(428));
        assert_eq!(put(&mut control, Some("\"2\""), WEST), Err(412));
        assert_eq!(put(&mut control, Some("\"1\""), WEST), Ok(Some(Weights { east: 0, west: 100 })));
        assert_eq!(control.annotations["by"], "me");
        assert_eq!(put(&mut control, Some("\"1\""), WEST), Err(412), "late");
        // The same weights again are a write too: it fences what was decided before.
        assert!(put(&mut control, Some("\"2\""), WEST).is_ok());
        assert_eq!(put(&mut control, Some("*"), r#"{"weights": null}"#), Ok(None));
        assert_eq!((control.version, control.annotations.len()), (4, 0));
    }

    #[test]
    fn weights_that_do_not_share_out_all_users_are_refused_and_change_nothing() {
        let mut control = Control::new();
        for body in [
            r#"{"weights": {"us-east-1": 0, "us-west-2": 0}}"#,
            r#"{"weights": {"us-east-1": 101, "us-west-2": 0}}"#,
            r#"{"weights": {"us-west-2": 100}}"#,
            r#"{"weights": {"us-east-1": 0, "us-west-2": 100, "eu-west-1": 1}}"#,
            r#"{"wieghts": null}"#,
            "",
        ] {
            assert_eq!(put(&mut control, Some("*"), body), Err(400), "{body}");
        }
        assert_eq!(control.version, 1);
    }
}
