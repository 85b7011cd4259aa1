//! The route53Answer probe: what Route 53 would answer for a record now, as its own API says it.

use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_route53::types::RrType;
use tokio::sync::OnceCell;

use super::definition::Definition;
use super::open::Opening;
use super::params::Route53AnswerProbe;
use super::{Probe, Reading, Unasked};
use crate::aws::Reference;
use crate::aws::access::{self, Statement};
use crate::aws::account::Account;
use crate::aws::clients::Use;
use crate::aws::error::CallError;
use crate::aws::hosted_zones::{self, NoZone, type_name};
use crate::drill::about::{About, Permissions};
use crate::needs::Needs;

/// One name of one zone, asked for again at each tick.
struct Answer {
    account: Arc<Account>,
    zone: String,
    /// Its id, once it was found: a name is looked up once.
    id: OnceCell<String>,
    record: String,
    record_type: &'static str,
    expected: Vec<String>,
}

impl Definition for Route53AnswerProbe {
    fn about() -> Option<About> {
        Some(About {
            mechanism: "One TestDNSAnswer a tick: what Route 53 would answer to a resolver, weights and health checks considered. Good when it answers NOERROR \
                        with at least one value and every value is one of `answers`.",
            undo: "",
            verified: "",
            must_know: &[
                "It says what Route 53 decides, not what users get: resolvers keep an older answer until its TTL has passed. Measure with dns as well.",
                "With weights one of several answers comes at random: list all that are right in `answers`.",
                "Route 53 answers five API calls a second for the whole account, and every probe counts: an interval of 10 s or more leaves room.",
                "Public zones only: for private ones use a dns probe inside the VPC.",
                "The API is in us-east-1 (of its partition). In a real outage of us-east-1 the readings are unknown; the dns probe does not need it.",
                "No answer of the API and a missing permission are unknown: the instrument is broken, not the thing under test.",
            ],
            permissions: Permissions {
                inject: &[],
                revert: &[],
                read: &["route53:TestDNSAnswer", "route53:GetHostedZone or route53:ListHostedZonesByName"],
            },
            example: "route53Answer: {account: main, zone: example.com, record: api.example.com, type: A, answers: [192.0.2.20]}",
        })
    }

    fn open(&self, opening: &Opening<'_>) -> Result<Arc<dyn Probe>, String> {
        let reference = Reference::named(opening.environment, &self.account)?;
        let record_type = self.record_type.map_or("A", type_name);
        Ok(Arc::new(Answer {
            account: opening.accounts.get(&reference, Use::Run, &[]),
            zone: self.zone.clone(),
            id: OnceCell::new(),
            record: self.record.clone(),
            record_type,
            expected: self.answers.0.iter().map(|value| plain(value, record_type)).collect(),
        }))
    }
}

impl Answer {
    async fn id(&self) -> Result<&str, NoZone> {
        let found = self.id.get_or_try_init(|| async {
            match hosted_zones::find(&self.account, &self.zone).await? {
                zone if zone.private => {
                    Err(NoZone::Unclear(format!("TestDNSAnswer knows public zones only, and {} is private: use a dns probe", zone.id)))
                }
                zone => Ok(zone.id),
            }
        });
        found.await.map(String::as_str)
    }

    fn wanted(&self) -> Vec<Statement> {
        // https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonroute53.html: TestDNSAnswer knows no resources.
        let ask = self.account.may("route53:TestDNSAnswer");
        if self.zone.contains('.') {
            return vec![ask, self.account.may("route53:ListHostedZonesByName")];
        }
        let arn = format!("arn:{}:route53:::hostedzone/{}", self.account.reference().partition(), self.zone.trim_start_matches("/hostedzone/"));
        vec![ask, self.account.may("route53:GetHostedZone").on([arn])]
    }

    async fn ask(&self) -> Result<Reading, NoZone> {
        let route53 = self.account.clients(None).await?.route53;
        let request =
            route53.test_dns_answer().hosted_zone_id(self.id().await?).record_name(&self.record).record_type(RrType::from(self.record_type));
        let answer = self.account.read("route53:TestDNSAnswer", request.send()).await?;
        Ok(judged(&self.record, self.record_type, answer.response_code(), answer.record_data(), &self.expected))
    }
}

fn judged(record: &str, record_type: &str, code: &str, data: &[String], expected: &[String]) -> Reading {
    if code != "NOERROR" {
        return Reading::bad(format!("Route 53 would answer {code} for {record} {record_type}"));
    }
    let values: Vec<String> = data.iter().map(|value| plain(value, record_type)).collect();
    match values.iter().find(|value| !expected.contains(value)) {
        _ if values.is_empty() => Reading::bad(format!("Route 53 would answer nothing for {record} {record_type}")),
        Some(other) => Reading::bad(format!("Route 53 would answer {other} for {record} {record_type}, not {}", expected.join(" or "))),
        None => Reading::good(),
    }
}

/// Names without their last dot, IPv6 addresses in one spelling, texts without their quotes.
fn plain(value: &str, record_type: &str) -> String {
    match record_type {
        "CNAME" => value.trim_end_matches('.').to_ascii_lowercase(),
        "AAAA" => value.parse::<std::net::Ipv6Addr>().map_or_else(|_| value.to_owned(), |address| address.to_string()),
        "TXT" => value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value).replace("\" \"", ""),
        _ => value.to_owned(),
    }
}

#[async_trait]
impl Probe for Answer {
    async fn read(&self) -> Reading {
        self.ask().await.unwrap_or_else(|error| Reading::unknown(error.to_string()))
    }

    fn timed_out(&self) -> Reading {
        Reading::unknown(format!("Route 53 of account '{}' did not answer in time", self.account.name()))
    }

    fn describe(&self) -> String {
        format!("route53Answer {} {} of zone {} = {}", self.record, self.record_type, self.zone, self.expected.join(" or "))
    }

    fn needs(&self) -> Needs {
        access::Needs { read: self.wanted(), ..access::Needs::default() }.into()
    }

    async fn missing(&self) -> Result<Vec<String>, Unasked> {
        match self.ask().await {
            Err(NoZone::Call(CallError::Denied { action, .. })) => {
                let denied = self.wanted().into_iter().find(|statement| statement.action == action);
                Ok(vec![denied.map_or(action, |statement| statement.to_string())])
            }
            Ok(_) => Ok(Vec::new()),
            Err(NoZone::Call(error)) => Err(error.into()),
            Err(error @ NoZone::Unclear(_)) => Err(Unasked { why: error.to_string(), unreachable: false }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Health;

    #[test]
    fn every_value_must_be_one_of_those_expected_and_there_must_be_one() {
        let judge = |code: &str, data: &[&str]| {
            let data: Vec<String> = data.iter().map(|value| (*value).to_owned()).collect();
            judged("api.example.com", "A", code, &data, &["192.0.2.1".to_owned(), "192.0.2.2".to_owned()]).health
        };
        assert_eq!(judge("NOERROR", &["192.0.2.2", "192.0.2.1"]), Health::Good);
        assert_eq!(judge("NOERROR", &["192.0.2.2", "192.0.2.9"]), Health::Bad);
        assert_eq!(judge("NOERROR", &[]), Health::Bad);
        assert_eq!(judge("NXDOMAIN", &[]), Health::Bad);
    }

    #[test]
    fn spellings_of_one_value_are_the_same() {
        assert_eq!(plain("West.Example.com.", "CNAME"), "west.example.com");
        assert_eq!(plain("2001:0DB8::0001", "AAAA"), "2001:db8::1");
        assert_eq!(plain("\"a b\" \"c\"", "TXT"), "a bc");
    }
}
