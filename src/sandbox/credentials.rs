//! A service's AWS credentials: asked for at STS through the gateway, kept while they are valid, renewed in the background long before they expire.
//!
//! The requests have the shape of AWS's: the query protocol with `Action` and `Version` for STS, `X-Amz-Target` for DynamoDB, and a credential scope
//! (`Signature Version 4`, AWS General Reference). The sandbox's endpoints look at the session token and do not verify signatures.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Method, Request};
use sha2::{Digest, Sha256};

use super::Region;
use super::truth::{Happening, Truth};
use super::wire;
use crate::clock::{Clock, Timestamp};

/// How long a call to AWS may take. Each call is a new connection: what fails new connections fails the next call.
pub const AWS_TIMEOUT: Duration = Duration::from_millis(400);
/// How long credentials are valid. Much shorter than on AWS, so that a drill of two minutes outlives them.
pub const LIFETIME: Duration = Duration::from_mins(1);
/// They are renewed when they are this old.
const RENEW_AT: Duration = Duration::from_secs(3);
/// Time between two looks at whether they are to be renewed.
const LOOK: Duration = Duration::from_millis(500);
/// Tries of one renewal, with a growing pause between them, as the AWS SDKs do it.
const TRIES: u32 = 3;
/// The first pause.
const PAUSE: Duration = Duration::from_millis(50);

/// What a role session is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    access_key: String,
    secret_key: String,
    session_token: String,
    obtained: Timestamp,
    expires: Timestamp,
}

/// Where a service gets its credentials from.
#[derive(Debug)]
pub struct Keyring {
    region: Region,
    gateway: SocketAddr,
    /// Credentials are kept; else every caller asks STS.
    keep: bool,
    lifetime: Duration,
    kept: Mutex<Option<Credentials>>,
}

impl Keyring {
    /// For a service of `region`, which reaches AWS through the proxy at `gateway`.
    pub fn new(region: Region, gateway: SocketAddr, keep: bool, lifetime: Duration) -> Self {
        Self { region, gateway, keep, lifetime, kept: Mutex::default() }
    }

    /// Credentials that are valid now; the error says in a few words why there are none.
    pub async fn current(&self) -> Result<Credentials, String> {
        if !self.keep {
            return self.assume_role().await;
        }
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone();
        valid(kept, Clock::system().now())
    }

    /// Renews for ever, and notes when that begins and ceases to fail.
    pub async fn renew(&self, truth: &Truth) {
        if !self.keep {
            return;
        }
        let (mut failing, region) = (false, self.region);
        loop {
            let due = {
                let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.as_ref().is_none_or(|kept| Clock::system().now().since(kept.obtained) >= RENEW_AT.min(self.lifetime / 2))
            };
            if due {
                let renewed = self.with_retries().await;
                if renewed.is_err() != failing {
                    failing = renewed.is_err();
                    truth.note(if failing { Happening::RenewalFails { region } } else { Happening::RenewalWorks { region } });
                }
                if let Ok(credentials) = renewed {
                    *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(credentials);
                    continue;
                }
            }
            tokio::time::sleep(LOOK.min(self.lifetime / 10)).await;
        }
    }

    async fn with_retries(&self) -> Result<Credentials, String> {
        let mut answer = self.assume_role().await;
        for attempt in 1..TRIES {
            if answer.is_ok() {
                break;
            }
            tokio::time::sleep(PAUSE * (1 << attempt)).await;
            answer = self.assume_role().await;
        }
        answer
    }

    /// `AssumeRole` (AWS STS API, version 2011-06-15).
    async fn assume_role(&self) -> Result<Credentials, String> {
        let host = format!("sts.{}.amazonaws.com", self.region);
        let duration = self.lifetime.as_secs().max(1);
        let form = format!(
            "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A111122223333%3Arole%2Fcheckout\
             &RoleSessionName=checkout-{}&DurationSeconds={duration}",
            self.region
        );
        let mut request = wire::request(Method::POST, &host, &format!("http://{host}/"), form.into());
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded; charset=utf-8"));
        sign(&mut request, "sts", self.region, "AKIASANDBOXCHECKOUT0", "the instance's own");
        let answer = wire::send(self.gateway, request, AWS_TIMEOUT).await.map_err(|why| format!("{host}: {why}"))?;
        if !answer.status().is_success() {
            return Err(format!("{host}: answered {}", answer.status()));
        }
        let now = Clock::system().now();
        read(&String::from_utf8_lossy(answer.body()), now).ok_or_else(|| format!("{host}: answered no credentials"))
    }
}

/// Those that are kept, while they are valid.
fn valid(kept: Option<Credentials>, now: Timestamp) -> Result<Credentials, String> {
    let kept = kept.ok_or("no credentials yet")?;
    if kept.expires > now {
        Ok(kept)
    } else {
        Err(format!("the credentials expired {} s ago and could not be renewed", now.since(kept.expires).as_secs()))
    }
}

fn read(document: &str, now: Timestamp) -> Option<Credentials> {
    let field = |name: &str| {
        let (_, rest) = document.split_once(&format!("<{name}>"))?;
        Some(rest.split_once("</")?.0.to_owned())
    };
    let expires = chrono::DateTime::parse_from_rfc3339(&field("Expiration")?).ok()?;
    Some(Credentials {
        access_key: field("AccessKeyId")?,
        secret_key: field("SecretAccessKey")?,
        session_token: field("SessionToken")?,
        obtained: now,
        expires: expires.with_timezone(&chrono::Utc).into(),
    })
}

/// A DynamoDB request in the JSON 1.0 protocol, with the credentials of a role session.
pub fn dynamodb(region: Region, operation: &'static str, body: Bytes, credentials: &Credentials) -> Request<Full<Bytes>> {
    let host = format!("dynamodb.{region}.amazonaws.com");
    let mut request = wire::request(Method::POST, &host, &format!("http://{host}/"), body);
    request.headers_mut().insert("x-amz-target", HeaderValue::from_static(operation));
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.0"));
    header(&mut request, "x-amz-security-token", &credentials.session_token);
    sign(&mut request, "dynamodb", region, &credentials.access_key, &credentials.secret_key);
    request
}

/// The headers of Signature Version 4. The digest stands in for the signature: nobody here verifies it.
fn sign(request: &mut Request<Full<Bytes>>, service: &str, region: Region, access_key: &str, secret_key: &str) {
    let now = Clock::system().now().utc();
    let (date, day) = (now.format("%Y%m%dT%H%M%SZ").to_string(), now.format("%Y%m%d").to_string());
    let digest = Sha256::digest(format!("{secret_key}\n{date}\n{service}\n{region}"));
    let signature: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let scope = format!("{access_key}/{day}/{region}/{service}/aws4_request");
    let authorization = format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host;x-amz-date, Signature={signature}");
    header(request, "x-amz-date", &date);
    header(request, AUTHORIZATION.as_str(), &authorization);
}

fn header(request: &mut Request<Full<Bytes>>, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        request.headers_mut().insert(HeaderName::from_static(name), value);
    }
}

#[cfg(test)]
mod tests {
    use super::super::store;
    use super::super::variant::Variant;
    use super::super::wire::Tasks;
    use super::*;

    /// Asks until the keyring says what is wanted; far longer than it takes.
    async fn until(keyring: &Keyring, wanted: impl Fn(&Result<Credentials, String>) -> bool) -> Result<Credentials, String> {
        for _ in 0..1000 {
            let said = keyring.current().await;
            if wanted(&said) {
                return said;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("it never said so");
    }

    #[tokio::test]
    async fn credentials_are_renewed_go_on_while_sts_is_silent_and_fail_when_they_have_expired() {
        let dir = tempfile::tempdir().unwrap();
        let truth = Truth::open(dir.path()).unwrap();
        let (sts, service) = (Tasks::default(), Tasks::default());
        let doors = store::Doors::open().await.unwrap();
        let endpoint = doors.api_address;
        store::start(&sts, Region::East, doors, endpoint, &Variant::Default.behaviour(), truth.clone());
        let keyring = std::sync::Arc::new(Keyring::new(Region::East, endpoint, true, Duration::from_secs(2)));
        let renewing = std::sync::Arc::clone(&keyring);
        let noted = truth.clone();
        service.spawn(async move { renewing.renew(&noted).await });
        let first = until(&keyring, Result::is_ok).await.unwrap();
        until(&keyring, |said| said.as_ref().is_ok_and(|now| *now != first)).await.unwrap();

        sts.stop().await;
        assert!(keyring.current().await.is_ok(), "what is kept is still valid");
        let why = until(&keyring, Result::is_err).await.unwrap_err();
        assert!(why.contains("expired"), "{why}");
        let told = super::super::truth::read(&dir.path().join(super::super::truth::FILE)).unwrap();
        assert!(told.iter().any(|moment| moment.what == Happening::RenewalFails { region: Region::East }), "{told:?}");
        service.stop().await;
    }

    #[tokio::test]
    async fn without_a_cache_every_call_asks_sts() {
        let dir = tempfile::tempdir().unwrap();
        let sts = Tasks::default();
        let doors = store::Doors::open().await.unwrap();
        let endpoint = doors.api_address;
        store::start(&sts, Region::East, doors, endpoint, &Variant::Default.behaviour(), Truth::open(dir.path()).unwrap());
        let keyring = Keyring::new(Region::East, endpoint, false, LIFETIME);
        assert_ne!(keyring.current().await.unwrap().session_token, keyring.current().await.unwrap().session_token);
        sts.stop().await;
        assert!(keyring.current().await.is_err());
    }
}
