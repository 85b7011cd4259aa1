//! AWS regions and their partitions.
//!
//! Source: the AWS General Reference, "AWS Regions" and "Partitions" (November 2026). A newer region needs `--allow-unknown-region`.

use super::suggest::did_you_mean;

/// Regions of the partition `aws`.
const AWS: &[&str] = &[
    "af-south-1",
    "ap-east-1",
    "ap-east-2",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-south-2",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-southeast-3",
    "ap-southeast-4",
    "ap-southeast-5",
    "ap-southeast-6",
    "ap-southeast-7",
    "ca-central-1",
    "ca-west-1",
    "eu-central-1",
    "eu-central-2",
    "eu-north-1",
    "eu-south-1",
    "eu-south-2",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "il-central-1",
    "me-central-1",
    "me-south-1",
    "mx-central-1",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
];
const CHINA: &[&str] = &["cn-north-1", "cn-northwest-1"];
const GOVERNMENT: &[&str] = &["us-gov-east-1", "us-gov-west-1"];
const EUROPEAN: &[&str] = &["eusc-de-east-1"];

const PARTITIONS: &[(&str, &[&str])] = &[("aws", AWS), ("aws-cn", CHINA), ("aws-us-gov", GOVERNMENT), ("aws-eusc", EUROPEAN)];

/// Every region that this build knows.
pub fn known() -> impl Iterator<Item = &'static str> {
    PARTITIONS.iter().flat_map(|(_, regions)| regions.iter().copied())
}

/// The partition of a region, by list, or by prefix for one that this build does not know.
#[must_use]
pub fn partition(region: &str) -> &'static str {
    match region {
        cn if cn.starts_with("cn-") => "aws-cn",
        gov if gov.starts_with("us-gov-") => "aws-us-gov",
        eusc if eusc.starts_with("eusc-") => "aws-eusc",
        _ => "aws",
    }
}

/// What is wrong with a region's name: an availability zone, or unknown. With `allow_unknown` any text of a region's shape will do.
pub fn check(region: &str, allow_unknown: bool) -> Result<(), String> {
    if known().any(|name| name == region) {
        return Ok(());
    }
    if let Some(of) = region_of_zone(region) {
        return Err(format!("'{region}' is an availability zone; region is '{of}'"));
    }
    if allow_unknown && shaped(region) {
        return Ok(());
    }
    Err(format!("'{}': unknown region{}", super::suggest::short(region), did_you_mean(region, known())))
}

/// What is wrong with an availability zone's name.
pub fn check_zone(zone: &str, allow_unknown: bool) -> Result<(), String> {
    if known().any(|name| name == zone) {
        return Err(format!("'{zone}' is a region; an availability zone is like '{zone}a'"));
    }
    let region = zone.strip_suffix(|c: char| c.is_ascii_lowercase()).unwrap_or_default();
    if known().any(|name| name == region) || (allow_unknown && shaped(region)) {
        return Ok(());
    }
    Err(format!("'{}': unknown availability zone{}", super::suggest::short(zone), did_you_mean(region, known())))
}

/// The region of an availability zone, by name (`us-east-1a`), local zone (`us-west-2-lax-1a`) or not.
fn region_of_zone(zone: &str) -> Option<&'static str> {
    known().find(|name| zone.strip_prefix(name).is_some_and(|rest| matches!(rest.as_bytes(), [b'a'..=b'z'] | [b'-', ..])))
}

fn shaped(region: &str) -> bool {
    let parts: Vec<&str> = region.split('-').collect();
    let number = parts.last().is_some_and(|last| !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit()));
    (3..=5).contains(&parts.len()) && number && region.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wrong_name_gets_its_own_help() {
        assert_eq!(check("us-east-1", false), Ok(()));
        assert!(check("us-esat-1", false).unwrap_err().contains("unknown region; did you mean 'us-east-1'?"));
        assert!(check("us-east-1a", false).unwrap_err().contains("is an availability zone; region is 'us-east-1'"));
        assert!(check("us-west-2-lax-1a", false).unwrap_err().contains("region is 'us-west-2'"));
        assert!(check("mars-north-1", false).unwrap_err().contains("unknown region"));
        assert_eq!(check("mars-north-1", true), Ok(()));
        assert!(check("not a region", true).is_err());
        assert!(check_zone("us-east-1", false).unwrap_err().contains("like 'us-east-1a'"));
    }

    #[test]
    fn every_region_is_in_its_partition() {
        for (name, regions) in PARTITIONS {
            for region in *regions {
                assert_eq!(partition(region), *name, "{region}");
            }
        }
    }
}
