//! A gateway with one rule, put over its socket: every call in us-east-1 fails with one error.

use std::collections::BTreeMap;
use std::time::Duration;

use firedrill::clock::Clock;
use firedrill::gateway::aws_call::AwsError;
use firedrill::gateway::client::Client;
use firedrill::gateway::server::{Config, Gateway};
use firedrill::gateway::{Effect, Rule};

/// Service and operation to requests.
pub type Counts = BTreeMap<(String, String), u64>;

pub struct Ground {
    gateway: Gateway,
    client: Client,
    _directory: tempfile::TempDir,
}

impl Ground {
    pub async fn new(error: AwsError) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("gateway.sock");
        let config = Config { listen: "127.0.0.1:0".parse().unwrap(), socket: Some(socket), resolve: Vec::new(), endpoint: None };
        let gateway = Gateway::start(config).unwrap();
        let client = Client::new(gateway.socket().unwrap());
        let rule = Rule {
            id: "run-fails".to_owned(),
            run: "run".to_owned(),
            step: "fails".to_owned(),
            effect: Effect::Error { operations: vec!["*".to_owned()], error, per_million: 1_000_000, seed: None },
            services: vec!["*".to_owned()],
            region: "us-east-1".to_owned(),
            cut_existing: false,
            deadline: Clock::system().now().plus(Duration::from_secs(600)),
        };
        client.put(&rule).await.unwrap();
        Self { gateway, client, _directory: directory }
    }

    /// What goes into `endpoint_url`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.gateway.address())
    }

    /// What the gateway counted; every request must have been answered by the rule.
    pub async fn counts(&self) -> Counts {
        let stats = self.client.stats(false).await.unwrap();
        let mut counts = Counts::new();
        for row in stats.rows {
            assert_eq!(row.counts.failed, row.counts.asked, "{row:?}");
            *counts.entry((row.service, row.operation)).or_default() += row.counts.asked;
        }
        counts
    }
}
