//! Where an AWS kind works: its account and region, how a record finds them again, and what a failed call means to the engine.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::aws::account::Account;
use crate::aws::clients::{Clients, Use};
use crate::aws::error::CallError;
use crate::aws::{Accounts, Reference};
use crate::drill::spec::{DrillSpec, Protect};
use crate::fault::definition::Places;
use crate::fault::shell::word;
use crate::fault::{KindError, Record};

/// How long a call whose answer was lost may still take effect. AWS promises no time; its control planes answer or fail within seconds, and what was
/// accepted is seen by later readings.
pub const SETTLE: Duration = Duration::from_secs(10);

impl From<CallError> for KindError {
    fn from(error: CallError) -> Self {
        let text = error.to_string();
        match error {
            CallError::Credentials { .. } | CallError::Unreachable { .. } => Self::Unreachable(text),
            CallError::LostAnswer { .. } => Self::LostAnswer(text),
            CallError::OtherAccount { .. } => Self::Refused(text),
            CallError::Denied { .. } | CallError::Throttled { .. } | CallError::Answered { .. } => Self::Failed(text),
        }
    }
}

/// An account, and a region of it or none for a global service.
#[derive(Debug, Clone)]
pub struct Place {
    /// The account, for a run or for undoing.
    pub account: Arc<Account>,
    /// None: a global service.
    pub region: Option<String>,
    /// Regions that are expected to be well.
    prefer: Vec<String>,
    accounts: Accounts,
}

/// What a record keeps of its place.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kept {
    account: Reference,
    region: Option<String>,
    prefer: Vec<String>,
}

impl Place {
    /// The place of a step: a region, or none for a global service.
    pub fn named(places: &Places, drill: &DrillSpec, account: &str, region: Option<&str>) -> Result<Self, KindError> {
        let reference = Reference::named(&places.environment, account).map_err(KindError::Refused)?;
        Ok(Self::open(places, reference, region.map(str::to_owned), drill.surviving_regions.clone(), Use::Run))
    }

    /// The place of a record, for undoing.
    pub fn of_record(record: &Record, places: &Places) -> Result<Self, KindError> {
        let kept: Kept = serde_json::from_value(record.invert.clone())
            .map_err(|error| KindError::Failed(format!("the record of {} does not say where its account is: {error}", record.target)))?;
        Ok(Self::open(places, kept.account, kept.region, kept.prefer, Use::Undo))
    }

    /// Every region of every account, or every account once for a global service: what sweep searches.
    pub fn everywhere(places: &Places, global: bool) -> Vec<Self> {
        let mut all = Vec::new();
        for account in &places.environment.aws {
            let reference = Reference::of(account, &places.environment);
            let regions = if global { vec![None] } else { account.regions.iter().cloned().map(Some).collect() };
            all.extend(regions.into_iter().map(|region| Self::open(places, reference.clone(), region, Vec::new(), Use::Undo)));
        }
        all
    }

    fn open(places: &Places, reference: Reference, region: Option<String>, prefer: Vec<String>, purpose: Use) -> Self {
        Self { account: places.accounts.get(&reference, purpose, &prefer), region, prefer, accounts: places.accounts.clone() }
    }

    /// The same place as whoever undoes calls it.
    pub fn undoing(&self) -> Self {
        Self { account: self.accounts.get(self.account.reference(), Use::Undo, &self.prefer), ..self.clone() }
    }

    /// What a record keeps.
    pub fn invert(&self) -> Value {
        let kept = Kept { account: self.account.reference().clone(), region: self.region.clone(), prefer: self.prefer.clone() };
        serde_json::to_value(kept).unwrap_or_default()
    }

    /// As in a target: `aws/111122223333/us-east-1`.
    pub fn name(&self) -> String {
        self.account.reference().place(self.region.as_deref())
    }

    /// Clients of the place's region.
    pub async fn clients(&self) -> Result<Clients, CallError> {
        self.account.clients(self.region.as_deref()).await
    }

    /// Where schedules are for this place: in its region, or the region of global services.
    pub fn of_schedules(&self) -> Self {
        let region = self.region.clone().unwrap_or_else(|| self.account.reference().global_region().to_owned());
        Self { region: Some(region), ..self.clone() }
    }

    /// The same account's other regions, this one first.
    pub fn all_regions(&self) -> Vec<Self> {
        let own = self.region.clone();
        let others = self.account.reference().account.regions.iter().filter(|region| Some(*region) != own.as_ref()).cloned().map(Some);
        std::iter::once(own.clone()).chain(others).map(|region| Self { region, ..self.clone() }).collect()
    }

    /// An ARN in this place.
    pub fn arn(&self, service: &str, resource: &str) -> String {
        self.account.reference().arn(service, self.region.as_deref().unwrap_or_default(), resource)
    }

    /// `aws` for this place, as a person types it. Always with a region: without one in the shell it would refuse global services too.
    pub fn cli(&self) -> String {
        let region = self.region.as_deref().unwrap_or_else(|| self.account.reference().global_region());
        let endpoint = self.account.reference().endpoint_url.as_ref().map(|url| format!(" --endpoint-url {}", word(url))).unwrap_or_default();
        format!("aws{endpoint} --region {}", word(region))
    }
}

/// Name of the protecting tag, if the environment protects something with these tags.
pub fn protecting<'a>(protect: Option<&'a Protect>, tags: &BTreeMap<String, String>) -> Option<&'a str> {
    let mut all = protect.into_iter().flat_map(|protect| &protect.tags);
    all.find(|(key, value)| tags.get(*key) == Some(*value)).map(|(key, _)| key.as_str())
}

/// Addresses of this process: what is called must not be cut off, and what calls must not be stopped. Nothing is sent.
pub fn own_addresses() -> Vec<String> {
    let towards = [("0.0.0.0:0", "192.0.2.1:9"), ("[::]:0", "[2001:db8::1]:9")];
    let own = towards.iter().filter_map(|(from, to)| {
        let socket = std::net::UdpSocket::bind(from).ok()?;
        socket.connect(to).ok()?;
        Some(socket.local_addr().ok()?.ip().to_string())
    });
    own.collect()
}
