//! The names that a region's services have in DNS, as zones that a name server can answer for. Pure.
//!
//! What a name means is [`crate::gateway::aws_host`]'s to say: a zone is taken only where that reads it as the service, in the region.

use std::collections::BTreeSet;

use crate::gateway::aws_host::{self, classify};

/// Suffixes of names whose region stands right before them: partition's regions, names of the API, dual-stack names.
const SUFFIXES: &[(&str, &str, &[&str])] = &[
    ("cn-", "amazonaws.com.cn", &["api.amazonwebservices.com.cn", "on.amazonwebservices.com.cn"]),
    ("eusc-", "amazonaws.eu", &["api.amazonwebservices.eu"]),
    ("us-iso-", "c2s.ic.gov", &["api.aws.ic.gov"]),
    ("us-isob-", "sc2s.sgov.gov", &["api.aws.scloud"]),
    ("eu-isoe-", "cloud.adc-e.uk", &["api.cloud-aws.adc-e.uk"]),
    ("us-isof-", "csp.hci.ic.gov", &["api.aws.hci.ic.gov"]),
    ("", "amazonaws.com", &["api.aws", "on.aws"]),
];

/// Services whose resources have the region before the service: `db.abc.us-east-1.rds.amazonaws.com`.
const REGION_FIRST: &[&str] = &["compute", "docdb", "eks", "elb", "es", "neptune", "rds", "redshift"];

/// Services with names that carry no region (*AWS service endpoints*; `partitions.json` and `endpoints.json` of the SDKs). Where they live is
/// `aws_host`'s to say. Those of [`REGION_FIRST`] have such names too, and below them those of every region: they are left out.
const WITHOUT_REGION: &[&str] = &[
    "budgets",
    "cloudfront",
    "ec2",
    "globalaccelerator",
    "health",
    "iam",
    "networkmanager",
    "organizations",
    "route53",
    "s3",
    "savingsplans",
    "shield",
    "sts",
    "support",
    "waf",
];

/// Other forms of names.
const ALSO: &[(&str, &str)] = &[
    ("dynamodb", "ddb.REGION.SUFFIX"),
    ("s3", "s3-REGION.SUFFIX"),
    ("s3", "s3-accesspoint.REGION.SUFFIX"),
    ("s3", "s3-website-REGION.SUFFIX"),
    ("s3", "s3-website.REGION.SUFFIX"),
    ("s3", "s3.dualstack.REGION.SUFFIX"),
    ("s3", "s3-fips.dualstack.REGION.SUFFIX"),
    ("sqs", "REGION.queue.SUFFIX"),
    ("lambda", "lambda-url.REGION.on.aws"),
    ("dkr.ecr", "dkr-ecr.REGION.on.aws"),
    ("ecr", "dkr-ecr.REGION.on.aws"),
];

/// The zones of services (as in endpoints; `"*"`: everything of the region), in order. Names below a zone belong to it: buckets, queues, accounts.
///
/// # Errors
/// An unknown service or region, with the name that was probably meant; a service that has no name there.
pub fn zones(services: &[String], region: &str) -> Result<Vec<String>, String> {
    aws_host::check_names(services, region)?;
    let mut found = BTreeSet::new();
    for service in services {
        let before = found.len();
        if service == "*" {
            found.extend(everything(region));
        } else {
            found.extend(of_service(service, region));
        }
        if found.len() == before && services.len() == 1 {
            return Err(format!("'{service}' has no name in {region}: it lives in another region of its partition"));
        }
    }
    Ok(outermost(&found))
}

/// A name in a zone that clients use: the zone itself, or, where that is a whole region's, a service's below it.
#[must_use]
pub fn sample(zone: &str) -> String {
    if zone.split('.').next().is_some_and(aws_host::is_region) { format!("sts.{zone}") } else { zone.to_owned() }
}

fn suffixes(region: &str) -> (&'static str, &'static [&'static str]) {
    let found = SUFFIXES.iter().find(|(prefix, ..)| region.starts_with(prefix));
    found.map_or(("amazonaws.com", &[]), |(_, api, dual)| (*api, *dual))
}

fn of_service(service: &str, region: &str) -> BTreeSet<String> {
    let (api, dual) = suffixes(region);
    let mut candidates =
        BTreeSet::from([format!("{service}.{region}.{api}"), format!("{service}-fips.{region}.{api}"), format!("{service}.{region}.vpce.{api}")]);
    candidates
        .extend(dual.first().into_iter().flat_map(|suffix| [format!("{service}.{region}.{suffix}"), format!("{service}-fips.{region}.{suffix}")]));
    let also = ALSO.iter().filter(|(of, _)| *of == service);
    candidates.extend(also.map(|(_, form)| form.replace("REGION", region).replace("SUFFIX", api)));
    if REGION_FIRST.contains(&service) {
        candidates.insert(format!("{region}.{service}.{api}"));
    }
    candidates.extend(without_region(service, region));
    candidates.retain(|name| classify(name).is_some_and(|host| host.is_service(service) && host.is_in(region)));
    candidates
}

/// Names without a region of a service that lives in this one.
fn without_region(service: &str, region: &str) -> BTreeSet<String> {
    let (api, dual) = suffixes(region);
    if !WITHOUT_REGION.contains(&service) {
        return BTreeSet::new();
    }
    let mut candidates = BTreeSet::from([format!("{service}.{api}")]);
    if service == "health" {
        candidates = BTreeSet::from([format!("global.{service}.{api}")]);
    }
    candidates.extend(dual.first().filter(|_| service != "s3" && service != "ec2").map(|suffix| format!("{service}.global.{suffix}")));
    if region.starts_with("us-gov-") {
        candidates = BTreeSet::from([format!("{service}.us-gov.{api}")]);
    }
    candidates.retain(|name| classify(name).is_some_and(|host| host.is_service(service) && host.is_in(region)));
    candidates
}

fn everything(region: &str) -> BTreeSet<String> {
    let (api, dual) = suffixes(region);
    let mut found = BTreeSet::from([format!("{region}.{api}"), format!("{region}.vpce.{api}"), format!("{region}.queue.{api}")]);
    found.extend(dual.iter().map(|suffix| format!("{region}.{suffix}")));
    found.extend(REGION_FIRST.iter().map(|service| format!("{region}.{service}.{api}")));
    found.extend(["s3", "s3-website"].iter().map(|service| format!("{service}-{region}.{api}")));
    found.extend(WITHOUT_REGION.iter().flat_map(|service| without_region(service, region)));
    found
}

/// Zones that no other one covers.
fn outermost(zones: &BTreeSet<String>) -> Vec<String> {
    let covered = |zone: &String| zones.iter().any(|other| zone.strip_suffix(other.as_str()).is_some_and(|rest| rest.ends_with('.')));
    zones.iter().filter(|zone| !covered(zone)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(services: &[&str], region: &str) -> Vec<String> {
        let services: Vec<String> = services.iter().map(|one| (*one).to_owned()).collect();
        zones(&services, region).unwrap()
    }

    #[test]
    fn a_service_has_its_names_in_the_region_with_and_without_dual_stack_and_fips() {
        assert_eq!(
            of(&["dynamodb"], "us-east-1"),
            [
                "ddb.us-east-1.amazonaws.com",
                "dynamodb-fips.us-east-1.amazonaws.com",
                "dynamodb-fips.us-east-1.api.aws",
                "dynamodb.us-east-1.amazonaws.com",
                "dynamodb.us-east-1.api.aws",
                "dynamodb.us-east-1.vpce.amazonaws.com",
            ]
        );
        assert!(of(&["iam"], "us-east-1").contains(&"iam.amazonaws.com".to_owned()));
        assert!(of(&["sts"], "us-east-1").contains(&"sts.amazonaws.com".to_owned()));
        assert!(!of(&["sts"], "us-west-2").contains(&"sts.amazonaws.com".to_owned()), "it lives in us-east-1");
        assert!(of(&["dynamodb"], "cn-north-1").contains(&"dynamodb.cn-north-1.amazonaws.com.cn".to_owned()));
        assert!(of(&["rds"], "us-east-1").contains(&"us-east-1.rds.amazonaws.com".to_owned()));
    }

    #[test]
    fn every_zone_of_every_service_is_that_services_in_that_region_and_covers_no_other_region() {
        for region in ["us-east-1", "us-west-2", "eu-central-1", "cn-north-1", "us-gov-west-1", "eusc-de-east-1"] {
            for service in aws_host::services() {
                let Ok(zones) = zones(&[(*service).to_owned()], region) else { continue };
                for zone in zones {
                    let host = classify(&zone).unwrap();
                    assert!(host.is_service(service) && host.is_in(region), "{service} {region}: {zone}");
                    assert_covers_only(&zone, region);
                }
            }
        }
    }

    /// A name of another region below the zone would be failed with it.
    fn assert_covers_only(zone: &str, region: &str) {
        for host in NAMES {
            let below = *host == zone || host.strip_suffix(zone).is_some_and(|rest| rest.ends_with('.'));
            if below {
                assert!(classify(host).unwrap().is_in(region), "{zone} covers {host}");
            }
        }
    }

    const NAMES: &[&str] = &[
        "dynamodb.us-west-2.amazonaws.com",
        "sts.us-west-2.amazonaws.com",
        "iam.amazonaws.com",
        "us-west-2.queue.amazonaws.com",
        "shop-123.us-west-2.elb.amazonaws.com",
        "orders.a1b2c3.us-west-2.rds.amazonaws.com",
        "a1b2.gr7.us-west-2.eks.amazonaws.com",
        "ec2-198-51-100-7.us-west-2.compute.amazonaws.com",
        "bucket.s3.us-west-2.amazonaws.com",
        "bucket.s3-us-west-2.amazonaws.com",
        "vpce-0a1b2c-xyz.dynamodb.us-west-2.vpce.amazonaws.com",
        "ec2.us-west-2.api.aws",
        "globalaccelerator.amazonaws.com",
        "dynamodb.cn-northwest-1.amazonaws.com.cn",
        "dynamodb.us-gov-east-1.amazonaws.com",
    ];

    #[test]
    fn all_of_a_region_covers_every_name_there_and_none_elsewhere() {
        let zones = of(&["*"], "us-east-1");
        let covered = |host: &str| zones.iter().any(|zone| host == zone || host.strip_suffix(zone.as_str()).is_some_and(|rest| rest.ends_with('.')));
        for host in [
            "dynamodb.us-east-1.amazonaws.com",
            "bucket.s3.us-east-1.amazonaws.com",
            "bucket.s3.amazonaws.com",
            "123456789012.dkr.ecr.us-east-1.amazonaws.com",
            "iam.amazonaws.com",
            "sts.amazonaws.com",
            "global.health.amazonaws.com",
            "ec2.us-east-1.api.aws",
            "abcdef.lambda-url.us-east-1.on.aws",
            "orders.a1b2c3.us-east-1.rds.amazonaws.com",
            "vpce-0a1b2c-xyz.dynamodb.us-east-1.vpce.amazonaws.com",
        ] {
            assert!(covered(host), "{host}: {zones:?}");
        }
        for host in NAMES.iter().filter(|host| **host != "iam.amazonaws.com") {
            assert!(!covered(host), "{host}");
        }
        zones.iter().for_each(|zone| assert_covers_only(zone, "us-east-1"));
        assert!(!of(&["*"], "us-west-2").contains(&"iam.amazonaws.com".to_owned()));
        // One service beside everything adds nothing.
        assert_eq!(of(&["*", "dynamodb"], "us-east-1"), zones);
    }

    #[test]
    fn what_has_no_name_there_is_told() {
        assert!(zones(&["iam".to_owned()], "nowhere").unwrap_err().contains("not an AWS region"));
        assert!(zones(&["dynamo".to_owned()], "us-east-1").unwrap_err().contains("did you mean"));
    }

    #[test]
    fn what_is_asked_of_a_zone_is_a_name_that_exists() {
        assert_eq!(sample("dynamodb.us-east-1.amazonaws.com"), "dynamodb.us-east-1.amazonaws.com");
        assert_eq!(sample("us-east-1.amazonaws.com"), "sts.us-east-1.amazonaws.com");
    }
}
