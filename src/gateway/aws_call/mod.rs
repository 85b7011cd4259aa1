//! AWS calls on the wire: which operation a request asks for, and the error document that its client understands. Pure: no I/O.
//!
//! | file | job |
//! |---|---|
//! | `recognise` | request to service × region × operation × protocol |
//! | `answer` | error × call to code, status and message |
//! | `document` | these in the protocol's form |
//! | `sample` | operation to a request for it |
//! | `models`, `models.txt` | the service models of AWS, as far as the others need them; written by `scripts/aws-models` |

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod answer;
mod document;
mod models;
mod recognise;
mod sample;

pub use document::document;
pub use recognise::{recognise, wants_body};
pub use sample::{Sample, sample};

/// The wire protocol that a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// AWS query: `Action=` as a form or in the query string, XML answers.
    Query,
    /// EC2 query: the same with other answers.
    Ec2Query,
    /// AWS JSON 1.0: `X-Amz-Target`.
    Json10,
    /// AWS JSON 1.1: `X-Amz-Target`.
    Json11,
    /// AWS REST JSON: method and path.
    RestJson,
    /// AWS REST XML: method and path.
    RestXml,
    /// Smithy RPC v2 CBOR: `/service/X/operation/Y`.
    Cbor,
}

/// Errors that AWS services answered on the days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum AwsError {
    /// 503.
    ServiceUnavailable,
    /// Too many requests.
    Throttling,
    /// Calls that worked the day before are denied.
    AccessDenied,
    /// Credentials cannot be renewed.
    ExpiredToken,
    /// 500.
    InternalError,
}

/// One call of an AWS API, as far as the request tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Name as in the endpoints table: `dynamodb`, `sts`, `api.ecr`.
    pub service: String,
    /// From the host name, else from the signature.
    pub region: Option<String>,
    /// `ListTables`. `None`: an operation of this service that is not known.
    pub operation: Option<String>,
    /// What the client speaks.
    pub protocol: Protocol,
}

/// The operations of a service, by its name as in the endpoints table, in alphabetical order; empty for what is not an API that is known here.
#[must_use]
pub fn operations(service: &str) -> Vec<&'static str> {
    let mut names: Vec<_> = models::by_endpoint(service).into_iter().flat_map(|model| model.content().operations()).collect();
    names.sort_unstable();
    names.dedup();
    names
}
