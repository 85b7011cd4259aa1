//! Which code and status say an error to a call's client: a modelled error where there is one, else what services of its protocol commonly answer.
//!
//! Sources: the service models (`models.txt`); *Common errors* of the AWS API references (the IAM, STS, DynamoDB, ACM and EKS pages among them); *Error codes for
//! the Amazon EC2 API*; *Amazon S3: error responses*; *DynamoDB: error handling*. docs/aws-errors.md has the whole table.

use super::models::{self, Model};
use super::{AwsError, Call, Protocol};

/// What is answered, before it is written in the protocol's form.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// Name of the error's shape: what JSON and CBOR say.
    pub shape: &'static str,
    /// Code: what XML says.
    pub code: &'static str,
    /// HTTP status.
    pub status: u16,
    /// A sentence for people.
    pub message: String,
    /// Member of a JSON document that carries the message.
    pub member: &'static str,
    /// Whether the service tells clients when to come back.
    pub retry_after: bool,
    /// XML namespace of the query protocol's answers.
    pub namespace: Option<&'static str>,
    /// Whether JSON and CBOR also say `code`.
    pub query_compatible: bool,
}

/// Finds it.
pub(super) fn answer(error: AwsError, call: &Call) -> Answer {
    let operation = call.operation.as_deref();
    let speaking = || models::by_endpoint(&call.service).into_iter().filter(|model| model.speaks(call.protocol));
    let model = operation.and_then(|operation| speaking().find(|model| model.content().has(operation))).or_else(|| speaking().next());
    let family = Family::of(call, model);
    let (common, status) = family.says(error);
    let modelled = model.and_then(|model| model.content().says(error, operation, matches!(family, Family::Json | Family::RestJson)));
    let query_compatible = model.is_some_and(Model::is_query_compatible);
    let (shape, code, status) = match modelled {
        Some(modelled) => (modelled.shape, modelled.code, modelled.status),
        // The code of the query protocol is what such a service answered before it took to JSON.
        None if query_compatible => (common, Family::Query.says(error).0, status),
        None => (common, common, status),
    };
    Answer {
        shape,
        code,
        status,
        message: family.message(error, model, operation),
        member: modelled.map_or("message", |modelled| modelled.member),
        retry_after: modelled.is_some_and(|modelled| modelled.retry_after),
        namespace: model.and_then(|model| model.namespace),
        query_compatible,
    }
}

/// Services that have their common errors in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Query,
    Ec2,
    Json,
    RestJson,
    RestXml,
    S3,
}

impl Family {
    pub fn of(call: &Call, model: Option<&Model>) -> Self {
        match call.protocol {
            Protocol::Query => Self::Query,
            Protocol::Ec2Query => Self::Ec2,
            Protocol::Json10 | Protocol::Json11 | Protocol::Cbor => Self::Json,
            Protocol::RestJson => Self::RestJson,
            Protocol::RestXml if model.is_some_and(|model| model.endpoint == "s3") || call.service == "s3" => Self::S3,
            Protocol::RestXml => Self::RestXml,
        }
    }

    /// Code and status.
    fn says(self, error: AwsError) -> (&'static str, u16) {
        use AwsError::{AccessDenied, ExpiredToken, InternalError, ServiceUnavailable, Throttling};
        match (error, self) {
            (ServiceUnavailable, Self::Json | Self::RestJson) => ("ServiceUnavailableException", 503),
            (ServiceUnavailable, _) => ("ServiceUnavailable", 503),
            (Throttling, Self::Query | Self::RestXml) => ("Throttling", 400),
            (Throttling, Self::Ec2) => ("RequestLimitExceeded", 503),
            (Throttling, Self::S3) => ("SlowDown", 503),
            (Throttling, Self::Json) => ("ThrottlingException", 400),
            (Throttling, Self::RestJson) => ("ThrottlingException", 429),
            (AccessDenied, Self::Query | Self::RestXml | Self::S3) => ("AccessDenied", 403),
            (AccessDenied, Self::Ec2) => ("UnauthorizedOperation", 403),
            (AccessDenied, Self::Json) => ("AccessDeniedException", 400),
            (AccessDenied, Self::RestJson) => ("AccessDeniedException", 403),
            (ExpiredToken, Self::Query | Self::RestXml) => ("ExpiredToken", 403),
            (ExpiredToken, Self::S3) => ("ExpiredToken", 400),
            (ExpiredToken, Self::Ec2) => ("RequestExpired", 400),
            (ExpiredToken, Self::Json) => ("ExpiredTokenException", 400),
            (ExpiredToken, Self::RestJson) => ("ExpiredTokenException", 403),
            (InternalError, Self::Ec2 | Self::S3) => ("InternalError", 500),
            (InternalError, _) => ("InternalFailure", 500),
        }
    }

    fn message(self, error: AwsError, model: Option<&Model>, operation: Option<&str>) -> String {
        let text = match (error, self) {
            (AwsError::ServiceUnavailable, Self::S3) => "Service is unable to handle request.",
            (AwsError::ServiceUnavailable, _) => "The request has failed due to a temporary failure of the server.",
            (AwsError::Throttling, Self::S3) => "Please reduce your request rate.",
            (AwsError::Throttling, Self::Ec2) => "Request limit exceeded.",
            (AwsError::Throttling, _) => "Rate exceeded",
            (AwsError::AccessDenied, Self::S3) => "Access Denied",
            (AwsError::AccessDenied, Self::Ec2) => "You are not authorized to perform this operation.",
            (AwsError::AccessDenied, _) => {
                let action = model.zip(operation).map(|(model, operation)| format!(": {}:{operation}", model.signing));
                return format!("User is not authorized to perform{}", action.unwrap_or_else(|| " this operation".to_owned()));
            }
            (AwsError::ExpiredToken, Self::S3) => "The provided token has expired.",
            (AwsError::ExpiredToken, Self::Ec2) => "Request has expired.",
            (AwsError::ExpiredToken, _) => "The security token included in the request is expired",
            (AwsError::InternalError, Self::S3) => "We encountered an internal error. Please try again.",
            (AwsError::InternalError, Self::Ec2) => "An internal error has occurred",
            (AwsError::InternalError, _) => "The request processing has failed because of an unknown error, exception or failure.",
        };
        text.to_owned()
    }
}
