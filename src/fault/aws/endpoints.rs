//! VPC endpoints as they are read: which ones a step names, and what their policies say.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_ec2::types::{Filter, VpcEndpoint};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::instances::{filter, tags};
use super::mark::Tags;
use super::params::TaggedSelector;
use super::place::Place;
use crate::aws::error::CallError;
use crate::aws::together::Together;

/// States in which an endpoint is going, or gone.
const GOING: [&str; 2] = ["deleting", "deleted"];

/// What is known of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// `vpce-…`.
    pub id: String,
    /// `Gateway`, `Interface`, `GatewayLoadBalancer`, …
    pub sort: String,
    /// `com.amazonaws.us-east-1.dynamodb`.
    pub service: String,
    /// Its VPC.
    pub vpc: String,
    /// `available`, `pending`, …
    pub state: String,
    /// Its policy, byte for byte as AWS gives it.
    pub policy: String,
    /// Its tags.
    pub tags: Tags,
    /// An AWS service made it, and looks after it.
    pub managed: bool,
}

/// Readings of one place that are done together.
#[derive(Debug, Default)]
pub struct Readings(Together<Seen>);

/// Reads: the endpoints that a selector names, and that exist, in order of their ids.
pub async fn chosen(place: &Place, selector: &TaggedSelector) -> Result<Vec<Seen>, CallError> {
    let filters: Vec<Filter> = selector.tags.iter().map(|(key, value)| filter(&format!("tag:{key}"), [value.clone()])).collect();
    let mut found = BTreeMap::new();
    // At most 200 values of a filter.
    let chunks: Vec<&[String]> = if selector.ids.is_empty() { vec![&[]] } else { selector.ids.chunks(200).collect() };
    for ids in chunks {
        let mut filters = filters.clone();
        if !ids.is_empty() {
            filters.push(filter("vpc-endpoint-id", ids.to_vec()));
        }
        found.extend(list(place, filters).await?.into_iter().map(|seen| (seen.id.clone(), seen)));
    }
    Ok(found.into_values().collect())
}

/// Reads: every endpoint that fits the filters, and exists.
pub async fn list(place: &Place, filters: Vec<Filter>) -> Result<Vec<Seen>, CallError> {
    let ec2 = place.clients().await?.ec2;
    let pages = ec2.describe_vpc_endpoints().set_filters(Some(filters)).max_results(1000).into_paginator().items().send();
    let all: Vec<_> = place.account.read("ec2:DescribeVpcEndpoints", pages.try_collect()).await?;
    Ok(all.iter().map(seen).filter(|seen| !GOING.contains(&seen.state.as_str())).collect())
}

/// Reads: one endpoint, together with others that are asked for now; none when it does not exist any more.
pub async fn one(place: &Place, id: &str) -> Result<Option<Seen>, CallError> {
    let own = place.clone();
    let readings = place.account.shared::<Readings>(&place.name());
    let read = move |ids: Vec<String>| {
        let place = own.clone();
        async move {
            let all = list(&place, vec![filter("vpc-endpoint-id", ids)]).await?;
            Ok(all.into_iter().map(|seen| (seen.id.clone(), seen)).collect::<HashMap<_, _>>())
        }
    };
    readings.0.ask(id, read).await
}

fn seen(endpoint: &VpcEndpoint) -> Seen {
    Seen {
        id: endpoint.vpc_endpoint_id().unwrap_or_default().to_owned(),
        sort: endpoint.vpc_endpoint_type().map_or("", |sort| sort.as_str()).to_owned(),
        service: endpoint.service_name().unwrap_or_default().to_owned(),
        vpc: endpoint.vpc_id().unwrap_or_default().to_owned(),
        state: endpoint.state().map_or("", |state| state.as_str()).to_ascii_lowercase(),
        policy: endpoint.policy_document().unwrap_or_default().to_owned(),
        tags: tags(endpoint.tags()),
        managed: endpoint.requester_managed() == Some(true),
    }
}

/// A policy with one more statement, and whether its only statement stood outside a list. None: it is no policy.
pub fn with(policy: &str, statement: &Value) -> Option<(String, bool)> {
    let mut document: Value = serde_json::from_str(policy).ok()?;
    let statements = document.get_mut("Statement")?;
    let alone = statements.is_object();
    if alone {
        *statements = Value::Array(vec![statements.take()]);
    }
    statements.as_array_mut()?.push(statement.clone());
    Some((document.to_string(), alone))
}

/// A policy without the statement of this Sid, and that statement. `alone`: what is left stood outside a list. None: there is no such statement.
pub fn without(policy: &str, sid: &str, alone: bool) -> Option<(Value, Value)> {
    let mut document: Value = serde_json::from_str(policy).ok()?;
    let statements = document.get_mut("Statement")?.as_array_mut()?;
    let index = statements.iter().position(|statement| statement["Sid"] == sid)?;
    let removed = statements.remove(index);
    if let (true, [only]) = (alone, statements.as_slice()) {
        document["Statement"] = only.clone();
    }
    Some((document, removed))
}

/// The same for policies that mean the same however they are written: keys in order, no list around one value, `{"AWS": "*"}` as `*`.
pub fn plain(value: &Value) -> Value {
    match value {
        Value::Array(all) if all.len() == 1 => plain(&all[0]),
        Value::Array(all) => all.iter().map(plain).collect(),
        Value::Object(all) if all.len() == 1 && all.get("AWS").is_some_and(|who| plain(who) == "*") => Value::from("*"),
        Value::Object(all) => {
            let sorted: BTreeMap<&String, Value> = all.iter().map(|(key, value)| (key, plain(value))).collect();
            Value::Object(sorted.into_iter().map(|(key, value)| (key.clone(), value)).collect::<Map<_, _>>())
        }
        other => other.clone(),
    }
}

/// Digest of what a policy means.
pub fn digest(policy: &Value) -> String {
    Sha256::digest(plain(policy).to_string()).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const LIST: &str =
        r#"{ "Version": "2012-10-17", "Statement": [ {"Sid": "Own", "Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"} ] }"#;
    const ALONE: &str = r#"{"Statement": {"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}, "Version": "2008-10-17"}"#;

    #[test]
    fn a_statement_goes_in_and_comes_out_again() {
        let ours = json!({"Sid": "firedrill1", "Effect": "Deny"});
        for policy in [LIST, ALONE] {
            let (changed, alone) = with(policy, &ours).unwrap();
            let changed: Value = serde_json::from_str(&changed).unwrap();
            assert_eq!(changed["Statement"].as_array().unwrap().len(), 2, "{changed}");
            let (back, removed) = without(&changed.to_string(), "firedrill1", alone).unwrap();
            assert_eq!(back, serde_json::from_str::<Value>(policy).unwrap());
            assert_eq!(removed, ours);
            assert_eq!(without(&back.to_string(), "firedrill1", alone), None);
        }
        assert_eq!(with("{}", &ours), None);
        assert_eq!(with("", &ours), None);
    }

    #[test]
    fn a_policy_that_aws_wrote_anew_is_still_the_same_and_another_is_not() {
        let before = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": ["a:B"], "Resource": "*"}]});
        let after =
            json!({"Statement": {"Action": "a:B", "Effect": "Allow", "Principal": {"AWS": ["*"]}, "Resource": ["*"]}, "Version": "2012-10-17"});
        assert_eq!(digest(&before), digest(&after));
        let other = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Principal": "*", "Action": ["a:B"], "Resource": "*"}]});
        assert_ne!(digest(&before), digest(&other));
    }
}
