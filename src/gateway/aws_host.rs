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
];

/// Endpoint names with a dot. Any other label before a service belongs to a customer.
const DOTTED: &[&str] = &[
    "a2i-runtime.sagemaker",
    "admin.wickr",
    "api.detective",
    "api.ecr",
    "api.ecr-public",
    "api.iotdeviceadvisor",
    "api.iotmanagedintegrations",
    "api.iotwireless",
    "api.mediatailor",
    "api.pricing",
    "api.sagemaker",
    "api.tunneling.iot",
    "catalog.marketplace",
    "controlplane.payment-cryptography",
    "data-ats.iot",
    "data.iot",
    "data.jobs.iot",
    "data.mediastore",
    "data.qapps",
    "dataplane.payment-cryptography",
    "dkr.ecr",
    "edge.sagemaker",
    "entitlement.marketplace",
    "featurestore-runtime.sagemaker",
    "ingest.timestream",
    "metering.marketplace",
    "metrics.sagemaker",
    "models.lex",
    "participant.connect",
    "portal.sso",
    "query.timestream",
    "runtime.lex",
    "runtime.sagemaker",
    "sms-voice.pinpoint",
    "streams.dynamodb",
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
];

/// Endpoints without a region in the name that live in one region: service, partition, region. From `partitionEndpoint` and `credentialScope` of the
/// endpoint data; the last rows are the region-less names of services that had one region when they began.
const HOMED: &[(&str, &str, &str)] = &[
    ("globalaccelerator", "aws", "us-west-2"),
    ("networkmanager", "aws", "us-west-2"),
    ("iam", "aws", "us-east-1"),
    ("sts", "aws", "us-east-1"),
    ("route53", "aws", "us-east-1"),
    ("route53domains", "aws", "us-east-1"),
    ("cloudfront", "aws", "us-east-1"),
    ("organizations", "aws", "us-east-1"),
    ("support", "aws", "us-east-1"),
    ("shield", "aws", "us-east-1"),
    ("waf", "aws", "us-east-1"),
    ("account", "aws", "us-east-1"),
    ("billingconductor", "aws", "us-east-1"),
    ("budgets", "aws", "us-east-1"),
    ("ce", "aws", "us-east-1"),
    ("chime", "aws", "us-east-1"),
    ("health", "aws", "us-east-1"),
    ("importexport", "aws", "us-east-1"),
    ("notifications-contacts", "aws", "us-east-1"),
    ("savingsplans", "aws", "us-east-1"),
    ("tax", "aws", "us-east-1"),
    ("trustedadvisor", "aws", "us-east-1"),
    ("signin", "aws", "us-east-1"),
    ("s3", "aws", "us-east-1"),
    ("sdb", "aws", "us-east-1"),
    ("sqs", "aws", "us-east-1"),
    ("ec2", "aws", "us-east-1"),
    ("monitoring", "aws", "us-east-1"),
    ("elasticloadbalancing", "aws", "us-east-1"),
    ("autoscaling", "aws", "us-east-1"),
    ("cloudformation", "aws", "us-east-1"),
    ("elasticmapreduce", "aws", "us-east-1"),
    ("elasticbeanstalk", "aws", "us-east-1"),
    ("rds", "aws", "us-east-1"),
    ("sns", "aws", "us-east-1"),
    ("elasticache", "aws", "us-east-1"),
    ("email", "aws", "us-east-1"),
    ("iam", "aws-cn", "cn-north-1"),
    ("support", "aws-cn", "cn-north-1"),
    ("route53", "aws-cn", "cn-northwest-1"),
    ("budgets", "aws-cn", "cn-northwest-1"),
    ("cloudfront", "aws-cn", "cn-northwest-1"),
    ("health", "aws-cn", "cn-northwest-1"),
    ("organizations", "aws-cn", "cn-northwest-1"),
    ("s3", "aws-cn", "cn-north-1"),
    ("iam", "aws-us-gov", "us-gov-west-1"),
    ("route53", "aws-us-gov", "us-gov-west-1"),
    ("organizations", "aws-us-gov", "us-gov-west-1"),
    ("support", "aws-us-gov", "us-gov-west-1"),
    ("sts", "aws-us-gov", "us-gov-west-1"),
    ("iam", "aws-iso", "us-iso-east-1"),
    ("route53", "aws-iso", "us-iso-east-1"),
    ("budgets", "aws-iso", "us-iso-east-1"),
    ("iam", "aws-iso-b", "us-isob-east-1"),
    ("route53", "aws-iso-b", "us-isob-east-1"),
    ("budgets", "aws-iso-b", "us-isob-east-1"),
    ("route53", "aws-iso-e", "eu-isoe-west-1"),
    ("budgets", "aws-iso-e", "eu-isoe-west-1"),
    ("savingsplans", "aws-iso-e", "eu-isoe-west-1"),
    ("iam", "aws-iso-f", "us-isof-south-1"),
    ("route53", "aws-iso-f", "us-isof-south-1"),
    ("budgets", "aws-iso-f", "us-isof-south-1"),
    ("savingsplans", "aws-iso-f", "us-isof-south-1"),
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
    let partition = match (partition, found.region.as_deref()) {
        ("aws", Some(region)) if region.starts_with("us-gov-") => "aws-us-gov",
        ("aws", None) if found.gov => "aws-us-gov",
        _ => partition,
    };
    let spans = found.spans_regions;
    let homed = || HOMED.iter().find(|(name, in_partition, _)| *name == service && *in_partition == partition).map(|(_, _, region)| *region);
    let homed = if found.region.is_none() && !spans { homed() } else { None };
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
    // iam.us-gov
    if *last == "us-gov" && !before.is_empty() {
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
    for count in [3, 2] {
        if labels.len() >= count {
            let dotted = labels[labels.len() - count..].join(".");
            if DOTTED.contains(&dotted.as_str()) {
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
    let letters = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase());
    if !parts.iter().all(|part| letters(&part)) {
        return false;
    }
    let directions = ["north", "south", "east", "west", "central", "northeast", "northwest", "southeast", "southwest"];
    directions.contains(parts.last().unwrap_or(&"")) && (parts[0].len() == 2 || parts[0] == "eusc")
}

/// The region codes in ElastiCache node names, which follow the billing codes of the regions.
fn short_region(code: &str) -> Option<&'static str> {
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
    CODES.iter().find(|(short, _)| *short == code).map(|(_, region)| *region)
}
