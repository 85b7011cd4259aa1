//! AWS accounts as firedrill calls them: one client each, every write through a failpoint, every account known by its number.

pub mod access;
#[cfg(feature = "aws")]
pub mod account;
#[cfg(feature = "aws")]
pub mod clients;
#[cfg(feature = "aws")]
pub mod error;
#[cfg(feature = "aws")]
pub mod hosted_zones;
pub mod policy;
#[cfg(feature = "aws")]
pub mod together;

use serde::{Deserialize, Serialize};

use crate::drill::region;
use crate::drill::spec::{AwsAccount, EnvironmentSpec};

/// How an account is named, known and reached: what a record keeps, so that it can be undone when the environment has changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reference {
    /// The account as its environment says.
    #[serde(flatten)]
    pub account: AwsAccount,
    /// An emulator's address; none is AWS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint_url: Option<String>,
}

impl Reference {
    /// An account of an environment.
    #[must_use]
    pub fn of(account: &AwsAccount, environment: &EnvironmentSpec) -> Self {
        Self { account: account.clone(), endpoint_url: environment.endpoint_url.clone().filter(|_| environment.emulator) }
    }

    /// An account of an environment by its name. `Err` says which there are.
    pub fn named(environment: &EnvironmentSpec, name: &str) -> Result<Self, String> {
        match environment.aws.iter().find(|account| account.name == name) {
            Some(account) => Ok(Self::of(account, environment)),
            None => {
                let names: Vec<&str> = environment.aws.iter().map(|account| account.name.as_str()).collect();
                let has = if names.is_empty() { "it has none".to_owned() } else { format!("it has: {}", names.join(", ")) };
                Err(format!("account '{name}' is not in the environment; {has}"))
            }
        }
    }

    /// Where targets of a region live: `aws/111122223333/us-east-1`. Global services have no region: `aws/111122223333/global`.
    #[must_use]
    pub fn place(&self, region: Option<&str>) -> String {
        format!("aws/{}/{}", self.account.account, region.unwrap_or("global"))
    }

    /// An ARN in this account. Services without regions have an empty one.
    #[must_use]
    pub fn arn(&self, service: &str, region: &str, resource: &str) -> String {
        format!("arn:{}:{service}:{region}:{}:{resource}", self.partition(), self.account.account)
    }

    /// `aws`, `aws-cn`, `aws-us-gov`, …
    #[must_use]
    pub fn partition(&self) -> &'static str {
        region::partition(self.account.regions.first().map_or("", String::as_str))
    }

    /// Region of the partition's global services: where Route 53 and IAM are called.
    #[must_use]
    pub fn global_region(&self) -> &'static str {
        match self.partition() {
            "aws-cn" => "cn-northwest-1",
            "aws-us-gov" => "us-gov-west-1",
            "aws-eusc" => "eusc-de-east-1",
            _ => "us-east-1",
        }
    }
}

/// Connections to accounts, each made at its first use and then shared. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Accounts {
    /// Whose credentials are used, and roles assumed with; none are those of the SDK's default chain.
    #[cfg(feature = "aws")]
    caller: Option<aws_sdk_sts::config::SharedCredentialsProvider>,
    #[cfg(feature = "aws")]
    known: std::sync::Arc<std::sync::Mutex<std::collections::HashMap<String, std::sync::Arc<account::Account>>>>,
}

#[cfg(feature = "aws")]
impl Accounts {
    /// Called with these credentials instead of those of the SDK's default chain.
    #[must_use]
    pub fn as_caller(caller: aws_sdk_sts::config::SharedCredentialsProvider) -> Self {
        Self { caller: Some(caller), ..Self::default() }
    }

    /// For each account that has been asked for: its name, and how long whoever calls can go on calling. Those without credentials are left out.
    pub async fn lasting(&self) -> Vec<(String, account::Lasting)> {
        let known: Vec<_> = self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner).values().cloned().collect();
        let mut found = std::collections::BTreeMap::new();
        for account in known {
            if let (false, Ok(lasting)) = (found.contains_key(account.name()), account.lasting().await) {
                found.insert(account.name().to_owned(), lasting);
            }
        }
        found.into_iter().collect()
    }

    /// The account of a reference, for a purpose. `prefer` are the regions where STS is asked first: surviving ones. Nothing is called yet.
    #[must_use]
    pub fn get(&self, reference: &Reference, purpose: clients::Use, prefer: &[String]) -> std::sync::Arc<account::Account> {
        let key = serde_json::to_string(&(reference, purpose, prefer)).unwrap_or_default();
        let mut known = self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let new = || std::sync::Arc::new(account::Account::new(reference.clone(), purpose, prefer, self.caller.clone()));
        known.entry(key).or_insert_with(new).clone()
    }
}
