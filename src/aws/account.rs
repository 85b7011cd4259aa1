//! One AWS account as it is called: credentials of the right account, clients by region, and one way to a change.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::credential_feature::AwsCredentialFeature;
use aws_sdk_sts::config::http::HttpResponse;
use aws_sdk_sts::config::retry::RetryPartition;
use aws_sdk_sts::config::{ProvideCredentials, SharedCredentialsProvider};
use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sts::operation::get_caller_identity::GetCallerIdentityOutput;
use tokio::sync::OnceCell;

use super::Reference;
use super::access::Statement;
use super::clients::{Clients, Use, retries};
use super::error::CallError;
use crate::cause::chain;
use crate::clock::Timestamp;
use crate::failpoint;
use crate::fence;

/// Credentials that are made anew as often as it takes: of a machine, a container, a pod, a role that is assumed. A program that people log in with, and
/// a single sign-on, may ask for a person.
const RENEWED: [AwsCredentialFeature; 6] = [
    AwsCredentialFeature::CredentialsImds,
    AwsCredentialFeature::CredentialsHttp,
    AwsCredentialFeature::CredentialsStsAssumeRole,
    AwsCredentialFeature::CredentialsStsAssumeRoleWebId,
    AwsCredentialFeature::CredentialsEnvVarsStsWebIdToken,
    AwsCredentialFeature::CredentialsProfileStsWebIdToken,
];

/// How long credentials last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lasting {
    /// A user's keys: until somebody revokes them.
    ForGood,
    /// A session that is made anew without a person.
    Renewed,
    /// A session with an end.
    Until(Timestamp),
    /// A session that does not say when it ends.
    Unknown,
}

/// What an SDK's call answers.
pub type Answer<T, E> = Result<T, SdkError<E, HttpResponse>>;

/// An account of an environment, called for one purpose.
#[derive(Debug)]
pub struct Account {
    reference: Reference,
    purpose: Use,
    budget: RetryPartition,
    caller: Option<SharedCredentialsProvider>,
    /// Regions in which STS is asked: surviving ones first.
    ask_in: Vec<String>,
    base: OnceCell<SdkConfig>,
    checked: OnceCell<()>,
    clients: Mutex<HashMap<String, Clients>>,
    shared: Mutex<HashMap<(TypeId, String), Arc<dyn Any + Send + Sync>>>,
}

impl Account {
    /// Nothing is called yet. `prefer` are regions of the account that are expected to be well; without a `caller` the SDK's default chain says who calls.
    #[must_use]
    pub fn new(reference: Reference, purpose: Use, prefer: &[String], caller: Option<SharedCredentialsProvider>) -> Self {
        let regions = &reference.account.regions;
        let first = prefer.iter().filter(|region| regions.contains(region));
        let others = regions.iter().filter(|region| !prefer.contains(region));
        let ask_in = first.chain(others).cloned().collect();
        let (base, checked) = (OnceCell::new(), OnceCell::new());
        let budget = purpose.budget();
        Self { reference, purpose, budget, caller, ask_in, base, checked, clients: Mutex::default(), shared: Mutex::default() }
    }

    /// Name in its environment.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.reference.account.name
    }

    /// How it is known.
    #[must_use]
    pub fn reference(&self) -> &Reference {
        &self.reference
    }

    /// An action of this account, on all resources.
    #[must_use]
    pub fn may(&self, action: &str) -> Statement {
        Statement::new(self.name(), action)
    }

    /// Clients of a region; none is the region of global services. The first use obtains credentials and asks whose they are.
    ///
    /// # Errors
    /// No credentials, or another account's. In an undo an account that cannot be asked for is taken on trust: what is down must not stop it.
    pub async fn clients(&self, region: Option<&str>) -> Result<Clients, CallError> {
        let region = region.unwrap_or_else(|| self.reference.global_region());
        let config = self.base.get_or_try_init(|| self.configure()).await?;
        let clients = {
            let mut known = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
            let new = || Clients::new(&config.to_builder().region(Region::new(region.to_owned())).build(), &self.budget);
            known.entry(region.to_owned()).or_insert_with(new).clone()
        };
        self.checked.get_or_try_init(|| self.check(config)).await?;
        Ok(clients)
    }

    /// ARNs of those whose credentials are used: who calls, and the role that is assumed for it. None may be denied anything.
    ///
    /// # Errors
    /// No credentials, or STS does not answer.
    pub async fn callers(&self) -> Result<Vec<String>, CallError> {
        let mut found = Vec::new();
        for config in [&self.load().await, self.base.get_or_try_init(|| self.configure()).await?] {
            found.extend(self.identity(config).await?.arn);
        }
        found.dedup();
        Ok(found)
    }

    /// How long whoever calls can go on calling, as far as the credentials themselves say.
    ///
    /// # Errors
    /// No credentials.
    pub async fn lasting(&self) -> Result<Lasting, CallError> {
        let provider = self.load().await.credentials_provider().ok_or_else(|| self.unusable("none are configured"))?;
        let credentials = provider.provide_credentials().await.map_err(|error| self.unusable(&chain(&error)))?;
        let from = credentials.get_property::<Vec<AwsCredentialFeature>>();
        let renewed = from.is_some_and(|from| from.iter().any(|one| RENEWED.contains(one)));
        Ok(match (credentials.expiry(), credentials.session_token()) {
            _ if renewed => Lasting::Renewed,
            (Some(end), _) => Lasting::Until(end.into()),
            (None, Some(_)) => Lasting::Unknown,
            (None, None) => Lasting::ForGood,
        })
    }

    /// What all kinds of one sort share in one place: a kind is opened anew for every record that is undone.
    #[must_use]
    pub fn shared<T: Any + Default + Send + Sync>(&self, place: &str) -> Arc<T> {
        let mut all = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let one = all.entry((TypeId::of::<T>(), place.to_owned())).or_insert_with(|| Arc::new(T::default())).clone();
        one.downcast().unwrap_or_else(|_| unreachable!("the key is its type"))
    }

    /// Reads.
    ///
    /// # Errors
    /// As [`CallError`].
    pub async fn read<T, E>(&self, action: &str, call: impl Future<Output = Answer<T, E>>) -> Result<T, CallError>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        call.await.map_err(|error| CallError::of(self.name(), action, &error))
    }

    /// Writes: the only way to a change.
    ///
    /// # Errors
    /// As [`CallError`].
    pub async fn write<T, E>(&self, action: &str, call: impl Future<Output = Answer<T, E>>) -> Result<T, CallError>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let (account, action) = (self.name().to_owned(), action.to_owned());
        let failed = |tripped: failpoint::Tripped| CallError::Answered {
            account: account.clone(),
            action: action.clone(),
            code: "Failpoint".to_owned(),
            what: tripped.to_string(),
        };
        failpoint::hit("aws.before").map_err(failed)?;
        fence::check();
        let answer = call.await.map_err(|error| CallError::of(&account, &action, &error));
        let lost = |tripped: failpoint::Tripped| CallError::LostAnswer { account: account.clone(), action: action.clone(), why: tripped.to_string() };
        failpoint::hit("aws.after").map_err(lost)?;
        answer
    }

    /// Asks with a call that changes nothing whether it would be allowed: a dry run, or one whose parameters cannot be carried out. Whatever else the
    /// service answers comes after its authorization.
    ///
    /// # Errors
    /// Nobody could say.
    pub async fn allows<T, E>(&self, statement: &Statement, call: impl Future<Output = Answer<T, E>>) -> Result<Option<String>, CallError>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        match self.read(&statement.action, call).await {
            Err(CallError::Denied { .. }) => Ok(Some(statement.to_string())),
            Ok(_) | Err(CallError::Answered { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn configure(&self) -> Result<SdkConfig, CallError> {
        let variable = std::env::vars().find(|(name, _)| name.starts_with("AWS_ENDPOINT_URL"));
        if let (None, Some((name, _))) = (&self.reference.endpoint_url, variable) {
            return Err(self.unusable(&format!("{name} is set, and a real account is never reached by another address; unset it")));
        }
        let config = self.load().await;
        let role = match self.purpose {
            Use::Run => self.reference.account.role_arn.as_ref(),
            Use::Undo => self.reference.account.undo_role_arn.as_ref().or(self.reference.account.role_arn.as_ref()),
        };
        let config = match role {
            Some(role) => {
                let provider =
                    aws_config::sts::AssumeRoleProvider::builder(role).session_name(self.purpose.session()).configure(&config).build().await;
                config.into_builder().credentials_provider(SharedCredentialsProvider::new(provider)).build()
            }
            None => config,
        };
        let provider = config.credentials_provider().ok_or_else(|| self.unusable("none are configured"))?;
        provider.provide_credentials().await.map_err(|error| self.unusable(&chain(&error)))?;
        Ok(config)
    }

    /// Who calls, in the region where STS is asked first.
    async fn load(&self) -> SdkConfig {
        let region = self.ask_in.first().cloned().unwrap_or_else(|| self.reference.global_region().to_owned());
        let loader = aws_config::defaults(BehaviorVersion::latest())
            .region(Region::new(region))
            .retry_config(retries())
            .timeout_config(self.purpose.timeouts());
        let loader = match &self.caller {
            Some(caller) => loader.credentials_provider(caller.clone()),
            None => loader,
        };
        match &self.reference.endpoint_url {
            Some(url) => loader.endpoint_url(url).load().await,
            None => loader.load().await,
        }
    }

    async fn check(&self, config: &SdkConfig) -> Result<(), CallError> {
        let wanted = self.reference.account.account.clone();
        match (self.identity(config).await, self.purpose) {
            (Ok(identity), _) if identity.account() == Some(&wanted) => Ok(()),
            (Ok(identity), _) => {
                Err(CallError::OtherAccount { account: self.name().to_owned(), found: identity.account.unwrap_or_default(), wanted })
            }
            (Err(error), Use::Run) => Err(error),
            (Err(_), Use::Undo) => Ok(()),
        }
    }

    /// Whose credentials these are, from the first region whose STS answers.
    async fn identity(&self, config: &SdkConfig) -> Result<GetCallerIdentityOutput, CallError> {
        let mut trouble = self.unusable("the environment names no region of the account");
        for region in &self.ask_in {
            let clients = Clients::new(&config.to_builder().region(Region::new(region.clone())).build(), &self.budget);
            match self.read("sts:GetCallerIdentity", clients.sts.get_caller_identity().send()).await {
                Ok(identity) => return Ok(identity),
                Err(error) => trouble = error,
            }
        }
        Err(trouble)
    }

    fn unusable(&self, why: &str) -> CallError {
        CallError::Credentials { account: self.name().to_owned(), why: why.to_owned() }
    }
}
