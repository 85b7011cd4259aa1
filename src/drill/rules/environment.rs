//! Rules of an environment: names that refer to each other, connections, accounts and their partitions, freezes.

use crate::drill::suggest::{did_you_mean, short};
use crate::drill::tree::Node;
use crate::drill::{address, region};

use super::drill::{readings, unique};
use super::{Findings, schedule};

pub fn check(spec: &Node, found: &mut Findings<'_>) {
    for (list, what) in [("aws", "account"), ("kubernetes", "cluster"), ("gateways", "gateway"), ("prometheus", "prometheus source")] {
        unique(spec.items_of(list), "name", what, found);
    }
    unique(spec.items_of("haltWhen"), "id", "haltWhen", found);
    spec.items_of("aws").iter().for_each(|account| self::account(account, found));
    uids(spec.items_of("kubernetes"), found);
    for cluster in spec.items_of("kubernetes") {
        let connection = cluster.get("connection");
        if let Some(entry) = connection.and_then(|connection| connection.entry("inCluster")).filter(|entry| entry.node.to_json() == false) {
            found.error(entry.at, "'inCluster: false' says nothing; give a context or a kubeconfigFile");
        }
    }
    for gateway in spec.items_of("gateways") {
        self::gateway(gateway, spec.items_of("kubernetes"), found);
    }
    spec.items_of("haltWhen").iter().for_each(|halt| readings(halt, found));
    for freeze in spec.items_of("freezes") {
        schedule::window(freeze, None, found);
    }
    emulator(spec, found);
    private(spec, found);
}

/// Addresses that probes will read, where they are written as such. Names are checked once they are resolved.
fn private(spec: &Node, found: &mut Findings<'_>) {
    if spec.get("network").and_then(|network| network.get("allowPrivate")).is_some_and(|node| node.to_json() == true) {
        return;
    }
    let sources = spec.items_of("prometheus").iter().filter_map(|source| source.get("url"));
    let endpoints = spec.get("endpoints").map(Node::entries).unwrap_or_default().iter().map(|entry| &entry.node);
    for node in sources.chain(endpoints) {
        let literal = node.text().and_then(|text| address::check_url(text).ok().flatten());
        if let Some(address) = literal.filter(|address| address::private(*address)) {
            found.error_with_help(
                node.at,
                format!("{address} is a private address"),
                "probes read private addresses only where network.allowPrivate is true",
            );
        }
    }
}

fn account(account: &Node, found: &mut Findings<'_>) {
    let regions = account.items_of("regions");
    let first = regions.first().and_then(Node::text).map(region::partition);
    for node in regions {
        if let (Some(name), Some(first)) = (node.text(), first)
            && region::partition(name) != first
        {
            found.error(node.at, format!("an account is in one partition: {} ≠ {first}", region::partition(name)));
        }
    }
    for key in ["roleArn", "undoRoleArn", "deadManRoleArn"] {
        let Some((node, arn)) = account.get(key).and_then(|node| Some((node, node.text()?))) else { continue };
        let parts: Vec<&str> = arn.split(':').collect();
        let &[_, partition, _, _, number, ..] = parts.as_slice() else { continue };
        if let Some(first) = first.filter(|first| *first != partition) {
            found.error(node.at, format!("ARN partition {} ≠ {first}", short(partition)));
        }
        if let Some(own) = account.text_of("account").filter(|own| *own != number) {
            found.error(node.at, format!("the role is in account {}, this account is {}", short(number), short(own)));
        }
    }
}

/// Two names for one cluster would let two faults fight over it.
fn uids(clusters: &[Node], found: &mut Findings<'_>) {
    unique(clusters, "uid", "cluster uid", found);
}

fn gateway(gateway: &Node, clusters: &[Node], found: &mut Findings<'_>) {
    let Some(connection) = gateway.get("connection") else { return };
    if let (Some(cluster), Some(entry)) = (connection.text_of("cluster"), connection.entry("cluster")) {
        let names = || clusters.iter().filter_map(|cluster| cluster.text_of("name"));
        if !names().any(|name| name == cluster) {
            found.error(entry.node.at, format!("no cluster '{}'{}", short(cluster), did_you_mean(cluster, names())));
        }
        if connection.get("namespace").is_none() {
            found.error(entry.at, "missing field 'namespace'");
        }
    }
    if let (Some(entry), None) = (connection.entry("namespace"), connection.get("cluster")) {
        found.error(entry.at, "'namespace' goes with 'cluster'");
    }
}

fn emulator(spec: &Node, found: &mut Findings<'_>) {
    let emulator = spec.get("emulator").is_some_and(|node| node.to_json() == true);
    match (emulator, spec.entry("endpointUrl"), spec.entry("emulator")) {
        (false, Some(entry), _) => {
            found.error_with_help(entry.at, "'endpointUrl' goes with 'emulator: true'", "a real account is never reached by another address")
        }
        (true, None, Some(entry)) => found.error(entry.at, "'emulator: true' needs 'endpointUrl'"),
        _ => {}
    }
}
