//! Host name to AWS service × region × partition: what a rule needs to know about a connection.
//!
//! Sources: *AWS service endpoints* (AWS General Reference), *Dual-stack and FIPS endpoints* (the same), *Virtual hosting of general purpose buckets* and
//! *Amazon S3 endpoints and quotas*, *Access an AWS service using an interface VPC endpoint* (PrivateLink guide), *AWS Fault Isolation Boundaries* (which
//! control planes are homed in one region), and the endpoint data of the AWS SDKs (`partitions.json`, `endpoints.json` of botocore 1.44).
//! Regions are read by their shape, not from a list, so that a new one works on its first day.

use std::collections::BTreeSet;
use std::sync::LazyLock;

/// What an AWS host name says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsHost {
    /// Name as in the endpoints table: `dynamodb`, `sts`, `api.ecr`. What belongs to one customer (account, bucket, API id) is left out.
    pub service: String,
    /// Region in the name.
    pub region: Option<String>,
    /// `aws`, `aws-cn`, `aws-us-gov`, `aws-iso`…
    pub partition: &'static str,
    /// A FIPS endpoint.
    pub fips: bool,
    /// A dual-stack (IPv4 and IPv6) endpoint.
    pub dual_stack: bool,
    /// For a name without region: the region whose loss takes the endpoint away. None for those that span regions.
    pub homed: Option<&'static str>,
}

impl AwsHost {
    /// Whether the loss of `region` takes this host away.
    #[must_use]
    pub fn is_in(&self, region: &str) -> bool {
        self.region.as_deref() == Some(region) || self.homed == Some(region)
    }

    /// Whether `name` is this service, or the family that its dotted name belongs to: `ecr` is `api.ecr` too.
    #[must_use]
    pub fn is_service(&self, name: &str) -> bool {
        self.service == name || (!name.is_empty() && self.service.strip_suffix(name).is_some_and(|rest| rest.ends_with('.')))
    }
}

/// DNS suffixes: suffix, partition, whether every name below it is dual-stack.
const SUFFIXES: &[(&str, &str, bool)] = &[
    (".amazonaws.com", "aws", false),
    (".api.aws", "aws", true),
    (".on.aws", "aws", true),
    (".amazonaws.com.cn", "aws-cn", false),
    (".api.amazonwebservices.com.cn", "aws-cn", true),
    (".on.amazonwebservices.com.cn", "aws-cn", true),
    (".amazonaws.eu", "aws-eusc", false),
    (".api.amazonwebservices.eu", "aws-eusc", true),
    (".c2s.ic.gov", "aws-iso", false),
    (".api.aws.ic.gov", "aws-iso", true),
    (".sc2s.sgov.gov", "aws-iso-b", false),
    (".api.aws.scloud", "aws-iso-b", true),
    (".cloud.adc-e.uk", "aws-iso-e", false),
    (".api.cloud-aws.adc-e.uk", "aws-iso-e", true),
    (".csp.hci.ic.gov", "aws-iso-f", false),
    (".api.aws.hci.ic.gov", "aws-iso-f", true),
    (".aws.amazon.com", "aws", false),
    (".amazonaws.cn", "aws-cn", false),
    (".amazonaws-us-gov.com", "aws-us-gov", false),
];

/// Other spellings of a service in host names, and the name that the endpoints table gives it.
const ALIASES: &[(&str, &str)] = &[
    ("queue", "sqs"),                // us-east-1.queue.amazonaws.com, the SQS endpoint of old SDKs
    ("ddb", "dynamodb"),             // <account>.ddb.<region>: account-based endpoints
    ("s3-accesspoint", "s3"),        // access points
    ("s3-website", "s3"),            // website hosting
    ("s3-accelerate", "s3"),         // transfer acceleration
    ("s3-external-1", "s3"),         // Northern Virginia
    ("accesspoint.s3-global", "s3"), // multi-region access points
    ("s3-global", "s3"),
    ("lambda-url", "lambda"), // function URLs
    ("dkr-ecr", "dkr.ecr"),   // dual-stack registries
    ("ecr", "api.ecr"),       // FIPS and dual-stack forms of the ECR API
    ("api.iot-tunneling", "api.tunneling.iot"),
    // Newer, mostly dual-stack names.
    ("aos", "es"),
    ("arc-recovery-control-config", "route53-recovery-control-config"),
    ("catalog-marketplace", "catalog.marketplace"),
    ("detective", "api.detective"),
    ("ecr-public", "api.ecr-public"),
    ("efs", "elasticfilesystem"),
    ("entitlement-marketplace", "entitlement.marketplace"),
    ("kafka-api", "kafka"),
    ("maps.geo", "geo-maps"),
    ("mediatailor", "api.mediatailor"),
    ("metering-marketplace", "metering.marketplace"),
    ("places.geo", "geo-places"),
    ("routes.geo", "geo-routes"),
    ("streams-dynamodb", "streams.dynamodb"),
    ("timestream-ingest", "ingest.timestream"),
    ("timestream-query", "query.timestream"),
];

/// Where endpoints without a region in the name live: `implicitGlobalRegion` of the SDKs' `partitions.json`.
const GLOBAL_HOMES: &[(&str, &str)] = &[
    ("aws", "us-east-1"),
    ("aws-cn", "cn-northwest-1"),
    ("aws-eusc", "eusc-de-east-1"),
    ("aws-iso", "us-iso-east-1"),
    ("aws-iso-b", "us-isob-east-1"),
    ("aws-iso-e", "eu-isoe-west-1"),
    ("aws-iso-f", "us-isof-south-1"),
    ("aws-us-gov", "us-gov-west-1"),
];

/// Those that live elsewhere in their partition: `credentialScope` of the SDKs' `endpoints.json`, and the service endpoints pages.
const OTHER_HOMES: &[(&str, &str, &str)] = &[
    ("globalaccelerator", "aws", "us-west-2"),
    ("networkmanager", "aws", "us-west-2"),
    ("route53-recovery-control-config", "aws", "us-west-2"),
    ("route53-recovery-readiness", "aws", "us-west-2"),
    ("iam", "aws-cn", "cn-north-1"),
    ("s3", "aws-cn", "cn-north-1"),
    ("support", "aws-cn", "cn-north-1"),
];

/// The label that marks dual-stack names of S3 and others below `amazonaws.com`.
const DUAL_STACK_LABEL: &str = "dualstack";

/// Reads a host name, with or without a port, trailing dot or capitals. `None`: not an AWS API or resource host.
#[must_use]
pub fn classify(host: &str) -> Option<AwsHost> {
    let host = without_port(host);
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.len() > 253 || !host.is_ascii() {
        return None;
    }
    let host = host.to_ascii_lowercase();
    let (names, partition, suffix_dual) =
        SUFFIXES.iter().find_map(|(suffix, partition, dual)| Some((host.strip_suffix(suffix)?, *partition, *dual)))?;
    let labels: Vec<&str> = names.split('.').collect();
    if labels.iter().any(|label| label.is_empty() || label.len() > 63) {
        return None;
    }
    let mut found = read(&labels)?;
    found.dual_stack |= suffix_dual;
    let service = canonical(&mut found);
    // Below the consoles' suffixes there is much that is no service (documentation, forums).
    let consoles = [".aws.amazon.com", ".amazonaws.cn", ".amazonaws-us-gov.com"].iter().any(|suffix| host.ends_with(suffix));
    if service.is_empty() || (consoles && !["console", "signin"].contains(&service.as_str())) {
        return None;
    }
    let partition = match (partition, found.region.as_deref()) {
        ("aws", Some(region)) if region.starts_with("us-gov-") => "aws-us-gov",
        ("aws", None) if found.gov => "aws-us-gov",
        _ => partition,
    };
    let spans = found.spans_regions;
    let other_home = OTHER_HOMES.iter().find(|(name, of, _)| *name == service && *of == partition).map(|(_, _, region)| *region);
    let home = || other_home.or_else(|| GLOBAL_HOMES.iter().find(|(of, _)| *of == partition).map(|(_, region)| *region));
    let homed = if found.region.is_none() && !spans { home() } else { None };
    Some(AwsHost { service, region: found.region, partition, fips: found.fips, dual_stack: found.dual_stack, homed })
}

/// A name under which `service` of `region` is reached, such that [`classify`] reads both back; `None` when there is no such name.
///
/// Services of one region per partition are reached by their region-less name there.
#[must_use]
pub fn endpoint(service: &str, region: &str) -> Option<String> {
    let suffix = match region.split('-').next() {
        Some("cn") => "amazonaws.com.cn",
        Some("eusc") => "amazonaws.eu",
        _ => match region.rsplit_once('-')?.0 {
            "us-iso-east" | "us-iso-west" => "c2s.ic.gov",
            "us-isob-east" | "us-isob-west" => "sc2s.sgov.gov",
            "eu-isoe-west" => "cloud.adc-e.uk",
            "us-isof-south" | "us-isof-east" => "csp.hci.ic.gov",
            _ => "amazonaws.com",
        },
    };
    let names = [format!("{service}.{region}.{suffix}"), format!("{service}.{suffix}")];
    let global = ["iam", "route53", "cloudfront", "budgets", "savingsplans", "waf"].contains(&service);
    let mut names = names.into_iter();
    let chosen = if global { names.nth(1) } else { names.next() }?;
    let back = classify(&chosen)?;
    (back.is_service(service) && back.is_in(region)).then_some(chosen)
}

/// The service names that rules may use: those of the endpoints table, and the families of its dotted ones (`ecr` of `api.ecr`).
#[must_use]
pub fn services() -> &'static BTreeSet<&'static str> {
    static NAMES: LazyLock<BTreeSet<&'static str>> = LazyLock::new(|| {
        let names = include_str!("services.txt").lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        names.flat_map(|name| [Some(name), name.rsplit_once('.').map(|(_, family)| family)]).flatten().collect()
    });
    &NAMES
}

/// A service or a region that no host is ever read as would make a rule that never acts.
///
/// # Errors
/// Which name it is, as a sentence with the name that was probably meant.
pub fn check_names<S: AsRef<str>>(services: &[S], region: &str) -> Result<(), String> {
    if !is_region(region) {
        let zone = region.strip_suffix(|c: char| c.is_ascii_lowercase()).filter(|of| is_region(of));
        let hint = match zone {
            Some(of) => format!("; it is an availability zone of '{of}'"),
            None => did_you_mean(region, CODES.iter().map(|(_, name)| *name)),
        };
        return Err(format!("'{region}' is not an AWS region{hint}"));
    }
    let known = services.iter().map(AsRef::as_ref).filter(|service| *service != "*");
    match known.into_iter().find(|service| !self::services().contains(service)) {
        None => Ok(()),
        Some(wrong) => {
            let hint = did_you_mean(wrong, self::services().iter().copied());
            Err(format!("unknown AWS service '{wrong}'{hint}; use the name in its endpoint"))
        }
    }
}

/// `; did you mean 'x'?`, or nothing: the closest of the names that AWS has.
pub(crate) fn did_you_mean<'a>(wrong: &str, known: impl Iterator<Item = &'a str>) -> String {
    let close = known.map(|name| (strsim::damerau_levenshtein(name, wrong), name)).min();
    close.filter(|(distance, name)| *distance * 3 <= name.len()).map(|(_, name)| format!("; did you mean '{name}'?")).unwrap_or_default()
}

/// What the labels before the suffix say, before names are made canonical.
#[derive(Debug, Default)]
struct Found {
    /// Labels of the service, with what belongs to the customer before them.
    service: String,
    region: Option<String>,
    fips: bool,
    dual_stack: bool,
    gov: bool,
    spans_regions: bool,
}

fn read(labels: &[&str]) -> Option<Found> {
    let mut found = Found::default();
    let (last, before) = labels.split_last()?;
    let second = before.last().copied().unwrap_or_default();
    // vpce-0a1b.dynamodb.us-east-1.vpce, bucket.vpce-0a1b.s3.us-east-1.vpce, vpce-0a1b.vpce-svc-0c2d.us-east-1.vpce
    if *last == "vpce" && is_region(second) {
        found.region = Some(second.to_owned());
        let rest = &before[..before.len() - 1];
        found.service = if rest.iter().any(|label| label.starts_with("vpce-svc-")) { "vpce-svc".to_owned() } else { rest.join(".") };
        return (!found.service.is_empty()).then_some(found);
    }
    // dynamodb.us-east-1, bucket.s3.dualstack.us-east-1
    if is_region(last) {
        found.region = Some((*last).to_owned());
        let mut rest = before;
        if let Some((&DUAL_STACK_LABEL, shorter)) = rest.split_last() {
            found.dual_stack = true;
            rest = shorter;
        }
        found.service = rest.join(".");
        return (!rest.is_empty()).then_some(found);
    }
    // iam.us-gov, routes.geo.us-gov-west-1.us-gov
    if *last == "us-gov" && !before.is_empty() {
        if is_region(second) {
            return read(before);
        }
        found.gov = true;
        found.service = before.join(".");
        return Some(found);
    }
    // iam.global (dual-stack names), budgets.global
    if *last == "global" && !before.is_empty() {
        found.service = before.join(".");
        return Some(found);
    }
    // bucket.s3, bucket.s3-accelerate.dualstack, alias.mrap.accesspoint.s3-global, bucket.s3-us-west-2: a bucket's name may look like anything,
    // so these go before the forms that read labels in front of the service.
    let (family, dual) = if *last == DUAL_STACK_LABEL { (second, true) } else { (*last, false) };
    if family == "s3" || family.starts_with("s3-") || family.starts_with("s3express-") {
        found.dual_stack = dual;
        if let Some(region) = ["s3-website-", "s3-fips-", "s3-"].iter().find_map(|prefix| family.strip_prefix(prefix)).filter(|rest| is_region(rest))
        {
            found.region = Some(region.to_owned());
            found.fips = family.starts_with("s3-fips-");
            found.service = "s3".to_owned();
            return Some(found);
        }
        match family {
            "s3-external-1" => found.region = Some("us-east-1".to_owned()),
            "s3-accelerate" | "s3-global" => found.spans_regions = true,
            _ => {}
        }
        found.service = family.to_owned();
        return Some(found);
    }
    // name.us-east-1.elb, db.abc.us-east-1.rds, us-east-1.queue, ec2-198-51-100-7.us-west-2.compute
    if is_region(second) {
        found.region = Some(second.to_owned());
        found.service = (*last).to_owned();
        return Some(found);
    }
    // name.abc.use1.cache
    if *last == "cache" {
        found.region = short_region(second).map(str::to_owned);
        found.service = "cache".to_owned();
        return Some(found);
    }
    if *last == "compute-1" {
        found.region = Some("us-east-1".to_owned());
        found.service = "compute".to_owned();
        return Some(found);
    }
    // sts, global.health, queue
    found.service = labels.join(".");
    Some(found)
}

/// Takes FIPS marks and the customer's labels off, and names the service as the endpoints table does.
fn canonical(found: &mut Found) -> String {
    let mut labels: Vec<String> = Vec::new();
    for label in found.service.split('.') {
        if label == "fips" {
            found.fips = true;
            continue;
        }
        let bare = label.strip_suffix("-fips").or_else(|| label.strip_prefix("fips-"));
        found.fips |= bare.is_some();
        labels.push(bare.unwrap_or(label).to_owned());
    }
    let alias = |name: &str| ALIASES.iter().find(|(spelling, _)| *spelling == name).map(|(_, service)| (*service).to_owned());
    let last = labels.last().cloned().unwrap_or_default();
    // A dotted name is a service only if the endpoints table has it: else the labels in front belong to a customer.
    for count in [3, 2] {
        if labels.len() >= count {
            let dotted = labels[labels.len() - count..].join(".");
            if services().contains(dotted.as_str()) {
                return dotted;
            }
            if let Some(service) = alias(&dotted) {
                return service;
            }
        }
    }
    if last.starts_with("s3express-") {
        return "s3express".to_owned();
    }
    alias(&last).unwrap_or(last)
}

/// `host`, `host:443`, `[::1]:443`.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') && port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Whether a label has the shape of a region: `us-east-1`, `ap-southeast-2`, `us-gov-west-1`, `us-isob-east-1`, `eusc-de-east-1`.
#[must_use]
pub fn is_region(label: &str) -> bool {
    let mut parts: Vec<&str> = label.split('-').collect();
    let Some(number) = parts.pop() else { return false };
    if number.is_empty() || number.len() > 2 || !number.bytes().all(|byte| byte.is_ascii_digit()) || !(2..=3).contains(&parts.len()) {
        return false;
    }
    let letters = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase());
    if !parts.iter().all(|part| letters(part)) {
        return false;
    }
    let directions = ["north", "south", "east", "west", "central", "northeast", "northwest", "southeast", "southwest"];
    directions.contains(parts.last().unwrap_or(&"")) && (parts[0].len() == 2 || parts[0] == "eusc")
}

/// The region codes in ElastiCache node names, which follow the billing codes of the regions.
const CODES: &[(&str, &str)] = &[
    ("use1", "us-east-1"),
    ("use2", "us-east-2"),
    ("usw1", "us-west-1"),
    ("usw2", "us-west-2"),
    ("cac1", "ca-central-1"),
    ("caw1", "ca-west-1"),
    ("mxc1", "mx-central-1"),
    ("sae1", "sa-east-1"),
    ("euw1", "eu-west-1"),
    ("euw2", "eu-west-2"),
    ("euw3", "eu-west-3"),
    ("euc1", "eu-central-1"),
    ("euc2", "eu-central-2"),
    ("eun1", "eu-north-1"),
    ("eus1", "eu-south-1"),
    ("eus2", "eu-south-2"),
    ("afs1", "af-south-1"),
    ("mes1", "me-south-1"),
    ("mec1", "me-central-1"),
    ("ilc1", "il-central-1"),
    ("ape1", "ap-east-1"),
    ("apn1", "ap-northeast-1"),
    ("apn2", "ap-northeast-2"),
    ("apn3", "ap-northeast-3"),
    ("aps1", "ap-southeast-1"),
    ("aps2", "ap-southeast-2"),
    ("aps3", "ap-south-1"),
    ("apse3", "ap-southeast-3"),
    ("apse4", "ap-southeast-4"),
    ("cnn1", "cn-north-1"),
    ("cnnw1", "cn-northwest-1"),
    ("usgw1", "us-gov-west-1"),
    ("usge1", "us-gov-east-1"),
];

fn short_region(code: &str) -> Option<&'static str> {
    CODES.iter().find(|(short, _)| *short == code).map(|(_, region)| *region)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Host, service, where (`us-east-1`: in the name; `=us-east-1`: homed; `-`: spans regions), partition, `F` for FIPS, `D` for dual-stack.
    #[rustfmt::skip]
    const TABLE: &[(&str, &str, &str, &str, &str)] = &[
        // Regional.
        ("dynamodb.us-east-1.amazonaws.com", "dynamodb", "us-east-1", "aws", ""),
        ("streams.dynamodb.us-east-1.amazonaws.com", "streams.dynamodb", "us-east-1", "aws", ""),
        ("123456789012.ddb.us-east-1.amazonaws.com", "dynamodb", "us-east-1", "aws", ""),
        ("sts.eu-central-1.amazonaws.com", "sts", "eu-central-1", "aws", ""),
        ("sqs.ap-southeast-2.amazonaws.com", "sqs", "ap-southeast-2", "aws", ""),
        ("ec2.us-west-2.amazonaws.com", "ec2", "us-west-2", "aws", ""),
        ("monitoring.sa-east-1.amazonaws.com", "monitoring", "sa-east-1", "aws", ""),
        ("elasticloadbalancing.us-east-1.amazonaws.com", "elasticloadbalancing", "us-east-1", "aws", ""),
        ("bedrock-runtime.mx-central-1.amazonaws.com", "bedrock-runtime", "mx-central-1", "aws", ""),
        ("globalaccelerator.us-west-2.amazonaws.com", "globalaccelerator", "us-west-2", "aws", ""),
        ("networkmanager.us-west-2.amazonaws.com", "networkmanager", "us-west-2", "aws", ""),
        ("support.us-east-1.amazonaws.com", "support", "us-east-1", "aws", ""),
        // Global, homed in one region.
        ("iam.amazonaws.com", "iam", "=us-east-1", "aws", ""),
        ("sts.amazonaws.com", "sts", "=us-east-1", "aws", ""),
        ("route53.amazonaws.com", "route53", "=us-east-1", "aws", ""),
        ("cloudfront.amazonaws.com", "cloudfront", "=us-east-1", "aws", ""),
        ("organizations.amazonaws.com", "organizations", "=us-east-1", "aws", ""),
        ("support.amazonaws.com", "support", "=us-east-1", "aws", ""),
        ("shield.amazonaws.com", "shield", "=us-east-1", "aws", ""),
        ("waf.amazonaws.com", "waf", "=us-east-1", "aws", ""),
        ("budgets.amazonaws.com", "budgets", "=us-east-1", "aws", ""),
        ("global.health.amazonaws.com", "health", "=us-east-1", "aws", ""),
        ("globalaccelerator.amazonaws.com", "globalaccelerator", "=us-west-2", "aws", ""),
        ("ec2.amazonaws.com", "ec2", "=us-east-1", "aws", ""),
        ("iam.global.api.aws", "iam", "=us-east-1", "aws", "D"),
        ("queue.amazonaws.com", "sqs", "=us-east-1", "aws", ""),
        ("us-west-2.queue.amazonaws.com", "sqs", "us-west-2", "aws", ""),
        // FIPS.
        ("sts-fips.us-east-1.amazonaws.com", "sts", "us-east-1", "aws", "F"),
        ("dynamodb-fips.us-east-1.amazonaws.com", "dynamodb", "us-east-1", "aws", "F"),
        ("s3-fips.us-east-1.amazonaws.com", "s3", "us-east-1", "aws", "F"),
        ("bucket.s3-fips.dualstack.us-east-1.amazonaws.com", "s3", "us-east-1", "aws", "FD"),
        ("fips.transcribe.us-west-2.amazonaws.com", "transcribe", "us-west-2", "aws", "F"),
        ("runtime-fips.sagemaker.us-west-2.amazonaws.com", "runtime.sagemaker", "us-west-2", "aws", "F"),
        ("ecr-fips.us-east-2.amazonaws.com", "api.ecr", "us-east-2", "aws", "F"),
        ("123456789012.dkr.ecr-fips.us-east-2.amazonaws.com", "dkr.ecr", "us-east-2", "aws", "F"),
        ("iam-fips.amazonaws.com", "iam", "=us-east-1", "aws", "F"),
        ("api.tunneling.iot-fips.us-east-1.amazonaws.com", "api.tunneling.iot", "us-east-1", "aws", "F"),
        ("ec2-fips.us-east-1.api.aws", "ec2", "us-east-1", "aws", "FD"),
        // Dual-stack.
        ("ec2.us-east-1.api.aws", "ec2", "us-east-1", "aws", "D"),
        ("ecr.us-east-1.api.aws", "api.ecr", "us-east-1", "aws", "D"),
        ("123456789012.dkr-ecr.us-east-1.on.aws", "dkr.ecr", "us-east-1", "aws", "D"),
        ("abcdef.lambda-url.us-east-1.on.aws", "lambda", "us-east-1", "aws", "D"),
        // S3.
        ("s3.us-west-2.amazonaws.com", "s3", "us-west-2", "aws", ""),
        ("bucket.s3.us-west-2.amazonaws.com", "s3", "us-west-2", "aws", ""),
        ("bucket.with.dots.s3.us-west-2.amazonaws.com", "s3", "us-west-2", "aws", ""),
        ("us-east-1.s3.us-west-2.amazonaws.com", "s3", "us-west-2", "aws", ""),
        ("s3.amazonaws.com", "s3", "=us-east-1", "aws", ""),
        ("bucket.s3.amazonaws.com", "s3", "=us-east-1", "aws", ""),
        ("logs.us-west-2.s3.amazonaws.com", "s3", "=us-east-1", "aws", ""),
        ("s3-us-west-2.amazonaws.com", "s3", "us-west-2", "aws", ""),
        ("bucket.with.dots.s3-eu-west-1.amazonaws.com", "s3", "eu-west-1", "aws", ""),
        ("s3-external-1.amazonaws.com", "s3", "us-east-1", "aws", ""),
        ("bucket.s3.dualstack.us-east-1.amazonaws.com", "s3", "us-east-1", "aws", "D"),
        ("bucket.s3-website-us-east-1.amazonaws.com", "s3", "us-east-1", "aws", ""),
        ("bucket.s3-website.eu-central-1.amazonaws.com", "s3", "eu-central-1", "aws", ""),
        ("point-123456789012.s3-accesspoint.us-west-2.amazonaws.com", "s3", "us-west-2", "aws", ""),
        ("123456789012.s3-control.us-west-2.amazonaws.com", "s3-control", "us-west-2", "aws", ""),
        ("bucket--use1-az4--x-s3.s3express-use1-az4.us-east-1.amazonaws.com", "s3express", "us-east-1", "aws", ""),
        ("bucket.s3-accelerate.amazonaws.com", "s3", "-", "aws", ""),
        ("bucket.s3-accelerate.dualstack.amazonaws.com", "s3", "-", "aws", "D"),
        ("alias.mrap.accesspoint.s3-global.amazonaws.com", "s3", "-", "aws", ""),
        ("s3-fips-us-gov-west-1.amazonaws.com", "s3", "us-gov-west-1", "aws-us-gov", "F"),
        // Hosts of one customer.
        ("a1b2c3.execute-api.us-east-1.amazonaws.com", "execute-api", "us-east-1", "aws", ""),
        ("123456789012.dkr.ecr.us-east-1.amazonaws.com", "dkr.ecr", "us-east-1", "aws", ""),
        ("api.ecr.us-east-1.amazonaws.com", "api.ecr", "us-east-1", "aws", ""),
        ("data-ats.iot.us-east-1.amazonaws.com", "data-ats.iot", "us-east-1", "aws", ""),
        ("a1b2c3-ats.iot.us-east-1.amazonaws.com", "iot", "us-east-1", "aws", ""),
        ("s-a1b2c3d4.kinesisvideo.us-west-2.amazonaws.com", "kinesisvideo", "us-west-2", "aws", ""),
        ("shop-123.us-east-1.elb.amazonaws.com", "elb", "us-east-1", "aws", ""),
        ("shop-123.elb.us-east-1.amazonaws.com", "elb", "us-east-1", "aws", ""),
        ("orders.a1b2c3.us-east-1.rds.amazonaws.com", "rds", "us-east-1", "aws", ""),
        ("carts.a1b2c3.0001.use1.cache.amazonaws.com", "cache", "us-east-1", "aws", ""),
        ("ec2-198-51-100-7.us-west-2.compute.amazonaws.com", "compute", "us-west-2", "aws", ""),
        ("ec2-198-51-100-7.compute-1.amazonaws.com", "compute", "us-east-1", "aws", ""),
        ("a1b2.gr7.us-east-1.eks.amazonaws.com", "eks", "us-east-1", "aws", ""),
        // PrivateLink.
        ("vpce-0a1b2c-xyz.dynamodb.us-east-1.vpce.amazonaws.com", "dynamodb", "us-east-1", "aws", ""),
        ("vpce-0a1b2c-xyz-us-east-1a.sts.us-east-1.vpce.amazonaws.com", "sts", "us-east-1", "aws", ""),
        ("bucket.vpce-0a1b2c-xyz.s3.us-east-1.vpce.amazonaws.com", "s3", "us-east-1", "aws", ""),
        ("vpce-0a1b2c-xyz.api.ecr.us-east-1.vpce.amazonaws.com", "api.ecr", "us-east-1", "aws", ""),
        ("vpce-0a1b2c-xyz.vpce-svc-0c2d.us-east-1.vpce.amazonaws.com", "vpce-svc", "us-east-1", "aws", ""),
        // Other partitions.
        ("dynamodb.cn-north-1.amazonaws.com.cn", "dynamodb", "cn-north-1", "aws-cn", ""),
        ("bucket.s3.cn-northwest-1.amazonaws.com.cn", "s3", "cn-northwest-1", "aws-cn", ""),
        ("iam.cn-north-1.amazonaws.com.cn", "iam", "cn-north-1", "aws-cn", ""),
        ("route53.amazonaws.com.cn", "route53", "=cn-northwest-1", "aws-cn", ""),
        ("ec2.cn-north-1.api.amazonwebservices.com.cn", "ec2", "cn-north-1", "aws-cn", "D"),
        ("dynamodb.us-gov-west-1.amazonaws.com", "dynamodb", "us-gov-west-1", "aws-us-gov", ""),
        ("iam.us-gov.amazonaws.com", "iam", "=us-gov-west-1", "aws-us-gov", ""),
        ("ec2.us-gov-east-1.api.aws", "ec2", "us-gov-east-1", "aws-us-gov", "D"),
        ("dynamodb.us-iso-east-1.c2s.ic.gov", "dynamodb", "us-iso-east-1", "aws-iso", ""),
        ("sqs.us-isob-east-1.sc2s.sgov.gov", "sqs", "us-isob-east-1", "aws-iso-b", ""),
        ("dynamodb.eusc-de-east-1.amazonaws.eu", "dynamodb", "eusc-de-east-1", "aws-eusc", ""),
        // Spellings.
        ("DynamoDB.US-East-1.AmazonAWS.com", "dynamodb", "us-east-1", "aws", ""),
        ("dynamodb.us-east-1.amazonaws.com.", "dynamodb", "us-east-1", "aws", ""),
        ("dynamodb.us-east-1.amazonaws.com:443", "dynamodb", "us-east-1", "aws", ""),
        ("dynamodb.us-east-1.amazonaws.com.:8443", "dynamodb", "us-east-1", "aws", ""),
        // Names of no list.
        ("newservice.amazonaws.com", "newservice", "=us-east-1", "aws", ""),
        ("signin.aws.amazon.com", "signin", "=us-east-1", "aws", ""),
        ("us-west-2.console.aws.amazon.com", "console", "us-west-2", "aws", ""),
        ("streams-dynamodb.us-east-1.api.aws", "streams.dynamodb", "us-east-1", "aws", "D"),
    ];

    #[test]
    fn every_form_of_host_name_is_read() {
        let mut wrong = Vec::new();
        for (host, service, place, partition, marks) in TABLE {
            let (region, homed) = match place.strip_prefix('=') {
                Some(home) => (None, Some(home)),
                None if *place == "-" => (None, None),
                None => (Some((*place).to_owned()), None),
            };
            let want =
                AwsHost { service: (*service).to_owned(), region, partition, fips: marks.contains('F'), dual_stack: marks.contains('D'), homed };
            let got = classify(host);
            if got.as_ref() != Some(&want) {
                wrong.push(format!("{host}\n  want {want:?}\n  got  {got:?}"));
            }
        }
        assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), TABLE.len(), wrong.join("\n"));
    }

    #[test]
    fn what_is_no_aws_host_is_none() {
        for host in [
            "",
            ".",
            "amazonaws.com",
            ".amazonaws.com",
            "example.com",
            "dynamodb.us-east-1.amazonaws.com.example.com",
            "xamazonaws.com",
            "dynamodb..amazonaws.com",
            "us-east-1.amazonaws.com",
            "127.0.0.1:443",
            "[::1]:443",
            "::1",
            "docs.aws.amazon.com",
            "dynamodb.us-east-1.amazonaws.org",
            "d111111abcdef8.cloudfront.net",
            "dynamodb.us-east-1.amazonaws.com\u{0}",
            "dynämo.us-east-1.amazonaws.com",
        ] {
            assert_eq!(classify(host), None, "{host:?}");
        }
    }

    #[test]
    fn a_family_covers_its_dotted_services_and_no_other() {
        let api = classify("api.ecr.us-east-1.amazonaws.com").unwrap();
        assert!(api.is_service("ecr") && api.is_service("api.ecr"));
        assert!(!api.is_service("dkr.ecr") && !api.is_service("r") && !api.is_service("") && !api.is_service("cr"));
    }

    #[test]
    fn every_service_has_an_endpoint_that_reads_back() {
        for region in ["us-east-1", "us-west-2", "cn-north-1", "us-gov-west-1", "eusc-de-east-1", "us-iso-east-1"] {
            for service in services() {
                let global = ["iam", "route53", "cloudfront", "budgets", "savingsplans", "waf"].contains(service);
                match endpoint(service, region) {
                    Some(host) => {
                        let back = classify(&host).unwrap();
                        assert!(back.is_service(service) && back.is_in(region), "{service} {region}: {host} {back:?}");
                    }
                    // A service that lives in another region has none here.
                    None => assert!(global, "{service} {region}"),
                }
            }
        }
        assert_eq!(endpoint("iam", "us-east-1").as_deref(), Some("iam.amazonaws.com"));
        assert_eq!(endpoint("iam", "us-west-2"), None);
        assert_eq!(endpoint("x", "nowhere"), None);
    }

    #[test]
    fn region_shapes() {
        for good in ["us-east-1", "ap-southeast-12", "us-gov-west-1", "us-isob-east-1", "eusc-de-east-1", "il-central-1", "ap-northeast-3"] {
            assert!(is_region(good), "{good}");
        }
        for bad in
            ["", "us-east", "us-east-1a", "us-east-123", "use1", "us--1", "us-gov", "my-bucket-1", "a-east-1", "US-EAST-1", "-east-1", "us-east-"]
        {
            assert!(!is_region(bad), "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "\\PC{0,300}") {
            let _ = classify(&text);
        }

        #[test]
        fn any_labels_before_a_suffix_are_read_without_a_panic_and_stay_in_shape(
            labels in proptest::collection::vec("(s3|s3-[a-z-]{0,12}|dualstack|fips|vpce|[a-z]+-fips|us-east-1|us-gov|global|cache|compute-1|use1|ecr|api|dkr|[a-z0-9-]{0,10})", 0..8),
            suffix in proptest::sample::select(SUFFIXES),
            port in proptest::option::of(0u32..100_000),
        ) {
            let host = format!("{}{}{}", labels.join("."), suffix.0, port.map(|port| format!(":{port}")).unwrap_or_default());
            if let Some(read) = classify(&host) {
                proptest::prop_assert!(!read.service.is_empty());
                proptest::prop_assert!(read.region.is_none() || read.homed.is_none());
                proptest::prop_assert!(read.region.as_deref().is_none_or(is_region));
                proptest::prop_assert_eq!(classify(&host.to_ascii_uppercase()), Some(read));
            }
        }
    }
}
