//! The NetworkPolicy of egressBlackhole: everything stays open but the given addresses. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde_json::{Value, json};

/// Addresses that vanish: each family normalised, without overlaps, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Vanishing {
    v4: Vec<Ipv4Net>,
    v6: Vec<Ipv6Net>,
}

impl FromIterator<IpNet> for Vanishing {
    fn from_iter<T: IntoIterator<Item = IpNet>>(nets: T) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for net in nets {
            match net.trunc() {
                IpNet::V4(net) => v4.push(net),
                IpNet::V6(net) => v6.push(net),
            }
        }
        Self { v4: Ipv4Net::aggregate(&v4), v6: Ipv6Net::aggregate(&v6) }
    }
}

impl Vanishing {
    /// How many ranges are left of them.
    #[must_use]
    pub fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// Whether nothing vanishes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The range that an address lies in.
    #[must_use]
    pub fn range_of(&self, address: IpAddr) -> Option<IpNet> {
        match address {
            IpAddr::V4(v4) => self.v4.iter().find(|net| net.contains(&v4)).map(|net| IpNet::V4(*net)),
            IpAddr::V6(v6) => self.v6.iter().find(|net| net.contains(&v6)).map(|net| IpNet::V6(*net)),
        }
    }

    /// `12 IPv4 and 2 IPv6 address ranges`, or the ranges themselves when they are few.
    #[must_use]
    pub fn for_people(&self) -> String {
        if self.len() > 4 {
            return format!("{} IPv4 and {} IPv6 address ranges", self.v4.len(), self.v6.len());
        }
        let v4 = self.v4.iter().map(ToString::to_string);
        v4.chain(self.v6.iter().map(ToString::to_string)).collect::<Vec<_>>().join(", ")
    }

    /// What stays open of each family: all of it but what vanishes. A family that vanishes altogether has no block: the API server takes an exception
    /// only if it is smaller than the block.
    fn open(&self) -> Vec<Value> {
        let block = |all: &str, except: Vec<String>| {
            let mut block = json!({"cidr": all});
            if !except.is_empty() {
                block["except"] = json!(except);
            }
            json!({"ipBlock": block})
        };
        let v4 = self.v4.iter().all(|net| net.prefix_len() > 0).then(|| block("0.0.0.0/0", self.v4.iter().map(ToString::to_string).collect()));
        let v6 = self.v6.iter().all(|net| net.prefix_len() > 0).then(|| block("::/0", self.v6.iter().map(ToString::to_string).collect()));
        v4.into_iter().chain(v6).collect()
    }
}

/// `spec` of the policy for the pods with these labels. Pods of all namespaces stay reachable whatever their addresses are, and so do the nodes: a range
/// may well cover what the cluster itself runs on.
#[must_use]
pub fn spec(labels: &BTreeMap<String, String>, vanishing: &Vanishing, nodes: &[IpAddr]) -> Value {
    let mut open = vanishing.open();
    // Always there: a list without any peer would mean all peers.
    open.push(json!({"namespaceSelector": {}}));
    let inside: Vanishing = nodes.iter().filter(|node| vanishing.range_of(**node).is_some()).map(|node| IpNet::from(*node)).collect();
    let kept = inside.v4.iter().map(ToString::to_string).chain(inside.v6.iter().map(ToString::to_string));
    open.extend(kept.map(|cidr| json!({"ipBlock": {"cidr": cidr}})));
    json!({"podSelector": {"matchLabels": labels}, "policyTypes": ["Egress"], "egress": [{"to": open}]})
}

/// Whether a policy is one of egress: then what it does not name is closed to the pods that it selects.
#[must_use]
pub fn has_egress(policy: &Value) -> bool {
    let types = policy.pointer("/spec/policyTypes").and_then(Value::as_array);
    types.is_some_and(|types| types.iter().any(|one| one == "Egress")) || policy.pointer("/spec/egress").is_some_and(|egress| !egress.is_null())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn vanishing(nets: &[&str]) -> Vanishing {
        nets.iter().map(|net| net.parse::<IpNet>().unwrap()).collect()
    }

    fn peers(nets: &[&str], nodes: &[&str]) -> Value {
        let nodes: Vec<IpAddr> = nodes.iter().map(|node| node.parse().unwrap()).collect();
        spec(&BTreeMap::from([("app".to_owned(), "api".to_owned())]), &vanishing(nets), &nodes).pointer("/egress/0/to").unwrap().clone()
    }

    #[test]
    fn the_policy_opens_everything_but_the_ranges() {
        let labels = BTreeMap::from([("app".to_owned(), "api".to_owned())]);
        assert_eq!(
            spec(&labels, &vanishing(&["203.0.113.7/24", "2001:db8::/32"]), &[]),
            json!({
                "podSelector": {"matchLabels": {"app": "api"}},
                "policyTypes": ["Egress"],
                "egress": [{"to": [
                    {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["203.0.113.0/24"]}},
                    {"ipBlock": {"cidr": "::/0", "except": ["2001:db8::/32"]}},
                    {"namespaceSelector": {}},
                ]}],
            })
        );
    }

    #[test]
    fn a_family_without_ranges_stays_open_and_one_that_vanishes_altogether_has_no_block() {
        assert_eq!(
            peers(&["203.0.113.0/24"], &[]),
            json!([{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["203.0.113.0/24"]}}, {"ipBlock": {"cidr": "::/0"}}, {"namespaceSelector": {}}])
        );
        // Two halves are the whole: an exception as large as its block is refused by the API server.
        assert_eq!(peers(&["0.0.0.0/1", "128.0.0.0/1"], &[]), json!([{"ipBlock": {"cidr": "::/0"}}, {"namespaceSelector": {}}]));
        assert_eq!(peers(&["0.0.0.0/0", "::/0"], &[]), json!([{"namespaceSelector": {}}]));
    }

    #[test]
    fn nodes_stay_reachable_and_are_named_only_where_they_would_vanish() {
        let blocks = peers(&["10.0.0.0/8"], &["10.0.0.4", "10.0.0.5", "10.0.9.1", "192.0.2.1", "2001:db8::1"]);
        let kept: Vec<&str> = blocks.as_array().unwrap()[3..].iter().map(|block| block["ipBlock"]["cidr"].as_str().unwrap()).collect();
        assert_eq!(kept, ["10.0.0.4/31", "10.0.9.1/32"]);
    }

    #[test]
    fn a_policy_of_egress_is_told_as_the_api_server_does() {
        let rows = [
            (json!({"policyTypes": ["Ingress", "Egress"]}), true),
            (json!({"policyTypes": ["Ingress"]}), false),
            (json!({"egress": []}), true),
            (json!({"egress": null}), false),
            (json!({}), false),
        ];
        for (spec, expected) in rows {
            assert_eq!(has_egress(&json!({"spec": spec})), expected, "{spec}");
        }
    }

    proptest! {
        #[test]
        fn an_address_is_closed_if_and_only_if_it_lies_in_a_given_range(
            nets in proptest::collection::vec((any::<u32>(), 0u8..=32), 1..12),
            addresses in proptest::collection::vec(any::<u32>(), 1..20),
        ) {
            let nets: Vec<IpNet> = nets.into_iter().map(|(bits, prefix)| Ipv4Net::new(bits.into(), prefix).unwrap().into()).collect();
            let vanishing: Vanishing = nets.iter().copied().collect();
            let policy = spec(&BTreeMap::new(), &vanishing, &[]);
            // The edges of the ranges are where mistakes would be.
            let edges = nets.iter().flat_map(|net| [net.network(), net.broadcast()]);
            for address in addresses.iter().map(|bits| IpAddr::V4((*bits).into())).chain(edges) {
                let within = |cidr: &Value| cidr.as_str().unwrap().parse::<IpNet>().unwrap().contains(&address);
                let open = policy["egress"][0]["to"].as_array().unwrap().iter().filter_map(|peer| peer.get("ipBlock")).any(|block| {
                    within(&block["cidr"]) && !block.get("except").and_then(Value::as_array).is_some_and(|all| all.iter().any(within))
                });
                prop_assert_eq!(!open, nets.iter().any(|net| net.contains(&address)), "{}", address);
                prop_assert_eq!(vanishing.range_of(address).is_some(), !open);
            }
        }

        #[test]
        fn every_exception_is_smaller_than_its_block_and_none_overlaps_another(nets in proptest::collection::vec((any::<u32>(), 0u8..=32), 0..40)) {
            let vanishing: Vanishing = nets.into_iter().map(|(bits, prefix)| IpNet::from(Ipv4Net::new(bits.into(), prefix).unwrap())).collect();
            for block in vanishing.open() {
                let except: Vec<IpNet> = block["ipBlock"]["except"].as_array().into_iter().flatten().map(|net| net.as_str().unwrap().parse().unwrap()).collect();
                for (index, net) in except.iter().enumerate() {
                    prop_assert!(net.prefix_len() > 0 && net.trunc() == *net);
                    prop_assert!(except.iter().skip(index + 1).all(|other| !other.contains(net) && !net.contains(other)));
                }
            }
        }
    }
}
