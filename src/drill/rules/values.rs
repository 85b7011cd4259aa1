//! Rules of single values: names, regions, URLs, expressions, durations, choices, look-ups, secrets. The schema says which value is what.

use std::time::Duration;

use crate::drill::schema::{Kind, Met, walk};
use crate::drill::suggest::{did_you_mean, listed, short};
use crate::drill::text::{DurationText, Percent};
use crate::drill::tree::{Node, Value};
use crate::drill::{address, cron, lookup, region, secret, zone};
use crate::fault::params::{ActionSpec, FaultSpec};

use super::Findings;

/// Longest duration, and the longest of the two fields that plan ahead.
const LONGEST: Duration = Duration::from_secs(12 * 3600);
const LONGEST_AHEAD: Duration = Duration::from_secs(720 * 3600);
/// Shortest time between two readings.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);

pub fn check(kind: Kind, document: &Node, found: &mut Findings<'_>) {
    walk(kind, document, &mut |met| {
        choice(&met, found);
        match met.node.text() {
            Some(text) => string(kind, &met, text, found),
            None if met.format == "http-header" => headers(&met, found),
            None => {}
        }
    });
    document.each_text(&mut |node, text| {
        if secret::looks_like(text) {
            found.error_with_help(
                node.at,
                "looks like a secret",
                "keys do not belong in drill and environment files; the value is neither shown nor stored",
            );
        }
        for piece in lookup::pieces(text).unwrap_or_else(|error| {
            found.error(node.at, error);
            Vec::new()
        }) {
            let lookup::Piece::Name(name) = piece else { continue };
            if !looks_up(kind) {
                let what = format!("look-ups belong in drills; a {} is written out", kind.name());
                found.error_with_help(node.at, what, "the process environment is never read");
            } else if let Err(error) = lookup::check_name(name) {
                found.error_with_help(node.at, error, "look-ups name the environment file; the process environment is never read");
            }
        }
    });
}

/// Drills look up, and runs that bring their own.
fn looks_up(kind: Kind) -> bool {
    matches!(kind, Kind::Drill | Kind::DrillRun)
}

fn string(kind: Kind, met: &Met<'_>, text: &str, found: &mut Findings<'_>) {
    if met.definition == "Duration" {
        duration(met, text, found);
    }
    // The schema's pattern lets up to 999% pass; its other refusals are told there.
    if let ("Percentage", Err(error)) = (met.definition, Percent::parse(text))
        && text.trim_end_matches('%').parse::<f64>().is_ok_and(|number| number > 100.0)
    {
        found.error(met.node.at, error);
    }
    // What is looked up is checked once it is known.
    if looks_up(kind) && lookup::has(text) {
        if matches!(met.format, "name" | "aws-region" | "cluster-name" | "gateway-name" | "account-name" | "prometheus-name") {
            found.error(met.node.at, format!("'{}': a look-up cannot stand for a name", short(text)));
        }
        return;
    }
    match met.format {
        "cron" => {
            for mistake in cron::parse(text).err().into_iter().flatten() {
                let mut at = met.node.at;
                // A quoted text begins after its quote.
                let quoted =
                    found.source.line(at.line).and_then(|line| line.chars().nth(at.column as usize - 1)).is_some_and(|c| matches!(c, '"' | '\''));
                at.column += mistake.offset as u32 + u32::from(quoted);
                found.error(at, mistake.message);
            }
        }
        "aws-region" => {
            if let Err(error) = region::check(text, found.options.allow_unknown_region) {
                let hint = !error.contains("did you mean") && error.contains("unknown region");
                if hint {
                    found.error_with_help(met.node.at, error, "--allow-unknown-region accepts a region newer than this build")
                } else {
                    found.error(met.node.at, error)
                }
            }
        }
        "aws-zone" => {
            if let Err(error) = region::check_zone(text, found.options.allow_unknown_region) {
                found.error(met.node.at, error);
            }
        }
        "regex" => regex(met, text, found),
        format => {
            if let Err(error) = text_of_format(format, text) {
                found.error(met.node.at, error);
            }
        }
    }
}

/// What is wrong with a text of one of the formats that need nothing but the text.
pub fn text_of_format(format: &str, text: &str) -> Result<(), String> {
    let bad = |what: &str| Err(format!("'{}' is not {what}", short(text)));
    match format {
        "name" | "cluster-name" | "gateway-name" | "account-name" | "prometheus-name" | "kubernetes-name" => {
            if label(text) {
                return Ok(());
            }
            let better: String = text.to_ascii_lowercase().chars().map(|c| if matches!(c, '_' | ' ' | '.') { '-' } else { c }).collect();
            let hint = if label(&better) { format!("; use '{better}'") } else { String::new() };
            Err(format!("'{}' is not a name: lower-case letters, digits and hyphens, at most 63{hint}", short(text)))
        }
        "probe-url" | "endpoint-url" => address::check_url(text).map(drop),
        "address" => address::check_host(text).map(drop),
        "time-zone" => zone::parse(text).map(drop),
        "ip-address" if text.parse::<std::net::IpAddr>().is_err() => bad("an IP address"),
        "ip-address" => Ok(()),
        "socket-address" if text.parse::<std::net::SocketAddr>().is_err() => bad("an address with a port, such as 10.96.0.10:53 or [fd00::a]:53"),
        "dns-name" if !dns_name(text) => bad("a DNS name"),
        "cidr" => match text.parse::<ipnet::IpNet>() {
            Ok(net) if net.prefix_len() == 0 => Err(format!("'{text}' matches every address; name those that should vanish")),
            Ok(_) => Ok(()),
            Err(_) => bad("an address range such as 203.0.113.0/24"),
        },
        "json-pointer" => json_pointer(text),
        "http-method" if !matches!(text, "GET" | "HEAD" | "POST") => Err(format!("method '{}' is not allowed; use GET, HEAD or POST", short(text))),
        "iam-action" if !iam_action(text) => bad("an IAM action such as 'dynamodb:PutItem' or 'iam:*'"),
        "aws-account" if text.len() != 12 || !text.bytes().all(|byte| byte.is_ascii_digit()) => {
            Err(format!("'{}' is not an account: twelve digits, quoted", short(text)))
        }
        "uid" if !uid(text) => bad("a uid; kubectl get namespace kube-system -o jsonpath={.metadata.uid} prints it"),
        "role-arn" if !role_arn(text) => bad("a role ARN such as 'arn:aws:iam::111122223333:role/firedrill'"),
        // sun_path of sockaddr_un(7) holds 108 bytes with the closing zero.
        "socket-path" if text.len() > 107 => Err(format!("a socket path has at most 107 bytes, not {}", text.len())),
        "fault-kind" if !FaultSpec::NAMES.contains(&text) && !ActionSpec::NAMES.contains(&text) => {
            let known = FaultSpec::NAMES.iter().chain(ActionSpec::NAMES).copied();
            Err(format!("unknown fault '{}'{}", short(text), did_you_mean(text, known)))
        }
        "http-header" if text.chars().any(|c| c.is_control() && c != '\t') => bad("a header value: it has control characters"),
        _ => Ok(()),
    }
}

fn headers(met: &Met<'_>, found: &mut Findings<'_>) {
    for entry in met.node.entries() {
        let token = !entry.key.is_empty() && entry.key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte));
        if !token {
            found.error(entry.at, format!("'{}' is not a header name", short(&entry.key)));
        }
    }
}

fn duration(met: &Met<'_>, text: &str, found: &mut Findings<'_>) {
    let Ok(duration) = DurationText::parse(text) else { return };
    let (longest, name) = if matches!(met.key, "announce" | "validFor") { (LONGEST_AHEAD, "720h") } else { (LONGEST, "12h") };
    if *duration > longest {
        found.error(met.node.at, format!("'{text}' exceeds the maximum {name}"));
    }
    if duration.is_zero() && matches!(met.key, "interval" | "timeout" | "limit" | "for" | "undoBy" | "detectWithin" | "recoverWithin") {
        found.error(met.node.at, format!("'{}' must be longer than 0s", met.key));
    } else if met.key == "interval" && *duration < SHORTEST_INTERVAL {
        found.error(met.node.at, format!("interval {text} is shorter than 10ms"));
    }
}

fn regex(met: &Met<'_>, text: &str, found: &mut Findings<'_>) {
    // A megabyte of program is far more than a body match needs; the same limits hold where probes compile it.
    let error = match regex::RegexBuilder::new(text).size_limit(1 << 20).dfa_size_limit(1 << 20).nest_limit(50).build() {
        Ok(_) => return,
        Err(regex::Error::CompiledTooBig(limit)) => {
            return found.error(met.node.at, format!("regular expression is too large; limit {limit} bytes compiled"));
        }
        Err(error) => error.to_string(),
    };
    // "regex parse error:\n    <pattern>\n    ^\nerror: <reason>"
    let reason = error.lines().rev().find_map(|line| line.strip_prefix("error: ")).unwrap_or("not valid");
    let caret: Vec<&str> = error.lines().filter(|line| line.starts_with("    ")).map(|line| &line[4..]).collect();
    found.error_with_help(met.node.at, format!("invalid regular expression: {reason}"), caret.join("\n"));
}

fn choice(met: &Met<'_>, found: &mut Findings<'_>) {
    let set =
        |names: &[&str]| met.node.entries().iter().filter(|entry| names.contains(&entry.key.as_str()) && entry.node.value != Value::Null).count();
    if !matches!(met.node.value, Value::Map(_)) {
        return;
    }
    if let Some((what, names)) = exactly_one_of(met.definition) {
        let given: Vec<_> = met.node.entries().iter().filter(|entry| names.contains(&entry.key.as_str())).collect();
        let unknown = met.node.entries().iter().any(|entry| !names.contains(&entry.key.as_str()));
        let choice = matches!(met.definition, "FaultSpec" | "ActionSpec" | "ProbeSpec");
        match given.as_slice() {
            [_] => {}
            // The unknown name has been told, and was meant to be the one.
            [] if choice && unknown => {}
            [] => found.error(met.key_at, format!("{what} is exactly one of {}; found none", listed(names).replace(" and ", " or "))),
            [_, second, ..] => {
                let keys: Vec<&str> = given.iter().map(|entry| entry.key.as_str()).collect();
                found.error(second.at, format!("{what} is exactly one of {}; found {}", listed(names).replace(" and ", " or "), listed(&keys)));
            }
        }
    }
    let Some((what, names)) = at_least_one_of(met.definition) else { return };
    if set(names) == 0 {
        found.error(met.key_at, format!("{what} needs at least one of {}", listed(names).replace(" and ", " or ")));
    }
}

/// The types of which at least one field of some is set: what they are called, and the fields. By the type's name in the schema.
#[must_use]
pub fn at_least_one_of(definition: &str) -> Option<(&'static str, &'static [&'static str])> {
    Some(match definition {
        "EgressBlackhole" => ("egressBlackhole", &["cidrs", "services"]),
        "GatewayLatency" => ("gatewayLatency", &["delay", "jitter", "bytesPerSecond"]),
        "StatusPageProbe" => ("statusPage", &["expectBody", "expectJson"]),
        _ => return None,
    })
}

/// The types of which exactly one field of some is set: what they are called, and the fields. By the type's name in the schema.
#[must_use]
pub fn exactly_one_of(definition: &str) -> Option<(&'static str, &'static [&'static str])> {
    Some(match definition {
        "Step" => ("a step", &["fault", "action", "manual", "wait", "check"]),
        "FaultSpec" => ("a fault", FaultSpec::NAMES),
        "ActionSpec" => ("an action", ActionSpec::NAMES),
        "ProbeSpec" => ("a probe", crate::probe::params::ProbeSpec::NAMES),
        "PodKill" => ("podKill", &["count", "percent"]),
        "WorkloadScale" => ("a workload", &["deployment", "statefulSet"]),
        "WorkloadProbe" => ("a workload", &["deployment", "statefulSet", "daemonSet"]),
        "ClusterConnection" => ("a cluster's connection", &["context", "kubeconfigFile", "inCluster"]),
        "GatewayConnection" => ("a gateway's connection", &["socket", "cluster"]),
        _ => return None,
    })
}

/// RFC 1123: a DNS label.
fn label(text: &str) -> bool {
    let inner = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    inner && (1..=63).contains(&text.len()) && !text.starts_with('-') && !text.ends_with('-')
}

fn dns_name(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    let part = |part: &str| {
        (1..=63).contains(&part.len())
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
            && !part.starts_with('-')
    };
    text.len() <= 253 && text.split('.').all(part)
}

fn uid(text: &str) -> bool {
    let groups: Vec<usize> = text.split('-').map(str::len).collect();
    groups == [8, 4, 4, 4, 12] && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

fn role_arn(text: &str) -> bool {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    matches!(parts.as_slice(), ["arn", partition, "iam", "", account, role]
        if partition.starts_with("aws") && account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit())
            && role.strip_prefix("role/").is_some_and(|name| !name.is_empty() && !name.contains(char::is_whitespace)))
}

fn iam_action(text: &str) -> bool {
    text.split_once(':').is_some_and(|(service, action)| {
        let service_good = !service.is_empty() && service.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        service_good && !action.is_empty() && action.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'*' | b'?'))
    })
}

/// RFC 6901: empty, or begins with `/`; `~` only as `~0` and `~1`.
fn json_pointer(text: &str) -> Result<(), String> {
    if !text.is_empty() && !text.starts_with('/') {
        return Err(format!("'{}' is not a JSON pointer: it begins with '/'; use '/{}'", short(text), short(&text.replace('.', "/"))));
    }
    let escapes = text.match_indices('~').all(|(index, _)| matches!(text.as_bytes().get(index + 1), Some(b'0' | b'1')));
    if escapes { Ok(()) } else { Err(format!("'{}' is not a JSON pointer: '~' is written '~0'", short(text))) }
}
