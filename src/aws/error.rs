//! Why a call of an AWS service failed, as far as it matters to who called.

use aws_sdk_sts::config::http::HttpResponse;
use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};

use crate::cause::{chain, never_sent};

/// Why a call failed. Each names its account.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// There are no credentials, or they cannot be used.
    #[error("account '{account}' (no usable credentials): {why}")]
    Credentials {
        /// Name of the account.
        account: String,
        /// What is wrong.
        why: String,
    },
    /// The credentials are another account's.
    #[error("account '{account}' is not the one that is meant: the credentials are of {found}, the environment says {wanted}")]
    OtherAccount {
        /// Name of the account.
        account: String,
        /// Number of the credentials' account.
        found: String,
        /// Number that it should have.
        wanted: String,
    },
    /// Nobody answered: nothing was done by the last attempt.
    #[error("account '{account}', {action}: {why}")]
    Unreachable {
        /// Name of the account.
        account: String,
        /// As IAM names it.
        action: String,
        /// What the connection said.
        why: String,
    },
    /// It was sent, and no answer came that says whether it was done.
    #[error("account '{account}', {action}: no answer: {why}")]
    LostAnswer {
        /// Name of the account.
        account: String,
        /// As IAM names it.
        action: String,
        /// What the connection or the service said.
        why: String,
    },
    /// The credentials may not.
    #[error("account '{account}': permission missing: {action}: {what}")]
    Denied {
        /// Name of the account.
        account: String,
        /// As IAM names it.
        action: String,
        /// What the service said.
        what: String,
    },
    /// Too many calls, after all retries.
    #[error("account '{account}', {action} is throttled: {what}")]
    Throttled {
        /// Name of the account.
        account: String,
        /// As IAM names it.
        action: String,
        /// What the service said.
        what: String,
    },
    /// Any other refusal.
    #[error("account '{account}', {action} answers {code}: {what}")]
    Answered {
        /// Name of the account.
        account: String,
        /// As IAM names it.
        action: String,
        /// The service's error code: `InvalidAssociationID.NotFound`.
        code: String,
        /// What the service said.
        what: String,
    },
}

impl CallError {
    /// What the SDK's error means.
    #[must_use]
    pub fn of<E: ProvideErrorMetadata + std::error::Error + 'static>(account: &str, action: &str, error: &SdkError<E, HttpResponse>) -> Self {
        let (account, action) = (account.to_owned(), action.to_owned());
        let response = match error {
            SdkError::ServiceError(context) => context.raw(),
            SdkError::ResponseError(context) => context.raw(),
            SdkError::DispatchFailure(failure) if failure.is_io() && never_sent(error) => {
                return Self::Unreachable { account, action, why: chain(error) };
            }
            _ => return Self::LostAnswer { account, action, why: chain(error) },
        };
        let status = response.status().as_u16();
        let body = response.body().bytes().map(String::from_utf8_lossy).unwrap_or_default();
        // Some denials come in a document that the SDK reads no code from.
        let code = error.code().map(str::to_owned).or_else(|| within(&body, "Code")).unwrap_or_else(|| status.to_string());
        let what = error.message().map(str::to_owned).or_else(|| within(&body, "Message")).unwrap_or_else(|| chain(error));
        match code.as_str() {
            code if denied(code) => Self::Denied { account, action, what },
            code if throttled(code) => Self::Throttled { account, action, what },
            _ if status >= 500 => Self::LostAnswer { account, action, why: format!("{code} {what}") },
            _ if status == 403 && error.code().is_none() => Self::Denied { account, action, what },
            _ => Self::Answered { account, action, code, what },
        }
    }

    /// The service's error code, when it answered with one.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Answered { code, .. } => Some(code),
            _ => None,
        }
    }

    /// The service says that the thing does not exist.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.code().is_some_and(|code| code.contains("NotFound") || code.starts_with("NoSuch"))
    }
}

/// EC2 says `UnauthorizedOperation`, query and XML services `AccessDenied`, JSON services `AccessDeniedException`.
fn denied(code: &str) -> bool {
    matches!(code, "UnauthorizedOperation" | "AccessDenied" | "AccessDeniedException" | "UnauthorizedAccess" | "NotAuthorized" | "AuthorizationError")
}

/// As `aws-runtime` knows them (`THROTTLING_ERRORS`), which retries them.
fn throttled(code: &str) -> bool {
    code.contains("Throttl")
        || matches!(code, "RequestLimitExceeded" | "TooManyRequestsException" | "SlowDown" | "PriorRequestNotComplete" | "BandwidthLimitExceeded")
}

/// Text of the first XML element of this name.
fn within(body: &str, name: &str) -> Option<String> {
    let (_, rest) = body.split_once(&format!("<{name}>"))?;
    Some(rest.split_once(&format!("</{name}>"))?.0.to_owned())
}
