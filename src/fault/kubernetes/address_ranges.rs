//! AWS's published address ranges, from a file that the user gives: which addresses a service has in a region.
//!
//! The format is that of `ip-ranges.json` (*AWS IP address ranges*, Amazon VPC User Guide). It is never fetched: what a drill blackholes is what someone
//! chose to download. It lists few services (no IAM, STS or SQS): the others share the ranges of `AMAZON`, which nobody should be cut off from by
//! accident, so they are refused and never guessed.

use std::collections::BTreeSet;
use std::path::Path;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::Deserialize;

/// Several times what AWS publishes (2 MB in 2026).
const LARGEST: u64 = 32 << 20;

/// The file, as far as it is read.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct AddressRanges {
    #[serde(rename = "syncToken")]
    sync_token: String,
    #[serde(rename = "createDate")]
    create_date: String,
    prefixes: Vec<V4>,
    #[serde(default)]
    ipv6_prefixes: Vec<V6>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct V4 {
    ip_prefix: Ipv4Net,
    region: String,
    service: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct V6 {
    ipv6_prefix: Ipv6Net,
    region: String,
    service: String,
}

impl AddressRanges {
    /// Reads a file.
    ///
    /// # Errors
    /// The file, and what is wrong with it.
    pub fn read(path: &str) -> Result<Self, String> {
        let failed = |why: String| format!("network.awsAddressRanges {path}: {why}; download https://ip-ranges.amazonaws.com/ip-ranges.json there");
        let size = std::fs::metadata(Path::new(path)).map_err(|error| failed(error.to_string()))?.len();
        if size > LARGEST {
            return Err(failed(format!("{size} bytes are no address-range file")));
        }
        let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
        Self::parse(&text).map_err(failed)
    }

    fn parse(text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|error| format!("not in the format of ip-ranges.json: {error}"))
    }

    /// When it was published, for people: `of 2026-10-20-14-03-08 (syncToken 1792504988)`.
    #[must_use]
    pub fn dated(&self) -> String {
        format!("of {} (syncToken {})", self.create_date, self.sync_token)
    }

    /// The ranges of services in a region; capitals do not matter.
    ///
    /// # Errors
    /// The service that the file does not list there, with those that it does.
    pub fn of(&self, services: &[String], region: &str) -> Result<Vec<IpNet>, String> {
        let mut found = Vec::new();
        for service in services {
            let before = found.len();
            found.extend(self.all().filter(|(of, at, _)| of.eq_ignore_ascii_case(service) && *at == region).map(|(_, _, net)| net));
            if found.len() == before {
                return Err(self.unlisted(service, region));
            }
        }
        Ok(found)
    }

    fn unlisted(&self, service: &str, region: &str) -> String {
        let here: BTreeSet<&str> = self.all().filter(|(_, at, _)| *at == region).map(|(of, _, _)| of).collect();
        if here.is_empty() {
            let regions: BTreeSet<&str> = self.all().map(|(_, at, _)| at).collect();
            return format!("the address-range file {} does not list region '{region}'; it lists {}", self.dated(), joined(&regions));
        }
        format!(
            "the address-range file {} does not list service '{service}' in {region}; it lists {} there; blackhole others by name (dnsBlackhole, \
             gatewayBlackhole), or give `cidrs`",
            self.dated(),
            joined(&here)
        )
    }

    /// Service, region and range of every line.
    fn all(&self) -> impl Iterator<Item = (&str, &str, IpNet)> {
        let v4 = self.prefixes.iter().map(|one| (one.service.as_str(), one.region.as_str(), IpNet::V4(one.ip_prefix)));
        v4.chain(self.ipv6_prefixes.iter().map(|one| (one.service.as_str(), one.region.as_str(), IpNet::V6(one.ipv6_prefix))))
    }
}

fn joined(names: &BTreeSet<&str>) -> String {
    names.iter().copied().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> AddressRanges {
        AddressRanges::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/ip-ranges.json")).unwrap()
    }

    fn of(services: &[&str], region: &str) -> Result<Vec<String>, String> {
        let services: Vec<String> = services.iter().map(|one| (*one).to_owned()).collect();
        sample().of(&services, region).map(|nets| nets.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_services_ranges_are_those_of_its_region_in_both_families() {
        assert_eq!(of(&["DYNAMODB"], "us-east-1").unwrap(), ["3.218.180.0/22", "3.218.184.0/22", "52.94.0.0/22", "2600:1f70:8000:c0::/60"]);
        assert_eq!(of(&["dynamodb"], "us-west-2").unwrap(), ["52.94.28.0/23"]);
    }

    #[test]
    fn a_service_that_is_not_listed_is_refused_by_name_with_what_is() {
        let error = of(&["DYNAMODB", "STS"], "us-east-1").unwrap_err();
        assert!(error.contains("does not list service 'STS' in us-east-1; it lists AMAZON, DYNAMODB, EC2, S3 there"), "{error}");
        assert!(error.contains("2026-10-20-14-03-08") && error.contains("1792504988"), "{error}");
        let error = of(&["S3"], "eu-north-1").unwrap_err();
        assert!(error.contains("does not list region 'eu-north-1'; it lists GLOBAL, us-east-1, us-west-2"), "{error}");
    }

    #[test]
    fn a_file_that_cannot_be_read_says_where_to_get_one() {
        for (text, what) in [
            ("{}", "syncToken"),
            ("<html>", "ip-ranges.json"),
            (r#"{"syncToken":"1","createDate":"x","prefixes":[{"ip_prefix":"1.2.3.4/40","region":"r","service":"s"}]}"#, "ip-ranges.json"),
        ] {
            assert!(AddressRanges::parse(text).unwrap_err().contains(what), "{text}");
        }
        let error = AddressRanges::read("/nowhere/ip-ranges.json").unwrap_err();
        assert!(error.starts_with("network.awsAddressRanges /nowhere/ip-ranges.json: ") && error.contains("download"), "{error}");
    }
}
