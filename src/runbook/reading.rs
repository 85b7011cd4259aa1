//! How a probe is read by hand: commands of a shell, and what their answers mean.

use serde_json::Value;

use super::Place;
use crate::fault::kubernetes::place::kubectl_at;
use crate::fault::shell::word;
use crate::probe::params::ProbeSpec;

/// Where a command needs the id of a run.
pub const RUN: &str = "<run id>";

/// How a probe is read by hand.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reading {
    /// The commands.
    pub commands: Vec<String>,
    /// What is good.
    pub good: String,
}

/// How a probe is read by hand.
#[must_use]
pub fn by_hand(probe: &ProbeSpec, place: Option<&Place<'_>>) -> Reading {
    let all = serde_json::to_value(probe).unwrap_or_default();
    let Some((kind, it)) = all.as_object().and_then(|one| one.iter().find(|(_, value)| !value.is_null())) else {
        return Reading::default();
    };
    let text = |field: &str| it[field].as_str().unwrap_or_default();
    let (command, good) = match kind.as_str() {
        "http" | "statusPage" => http(it),
        "tcp" => (format!("nc -vz -w 5 {} {}", word(text("host")), it["port"]), "it connects".into()),
        "dns" => {
            let server =
                it["server"].as_str().map(|server| match server.rsplit_once(':').filter(|(host, _)| !host.contains(':') || host.ends_with(']')) {
                    Some((host, port)) => format!(" {} -p {}", word(&format!("@{}", host.trim_matches(['[', ']']))), word(port)),
                    None => format!(" {}", word(&format!("@{server}"))),
                });
            let server = server.unwrap_or_default();
            let kind = it["type"].as_str().unwrap_or("A");
            (
                format!("dig +short{server} {} {}", word(text("name")), word(kind)),
                format!("it answers, and with nothing but {}; a name that ends with a dot only leads there", listed(&it["answers"])),
            )
        }
        "prometheus" => return prometheus(it, place),
        "workload" => workload(it, place),
        "awsAlarm" => {
            let aws = aws(place, text("region"));
            let query = word("MetricAlarms[].StateValue");
            let command = format!("{aws} cloudwatch describe-alarms --alarm-names {} --query {query} --output text", word(text("alarm")));
            (command, format!("it prints {}", it["state"].as_str().unwrap_or("ALARM")))
        }
        "route53Answer" => {
            let aws = aws(place, "us-east-1");
            let kind = word(it["type"].as_str().unwrap_or("A"));
            let zone = zone(&aws, text("zone"));
            let command =
                format!("{aws} route53 test-dns-answer --hosted-zone-id {zone} --record-name {} --record-type {kind}", word(text("record")));
            (command, format!("RecordData has something, and nothing but {}", listed(&it["answers"])))
        }
        _ => {
            let run = word(&format!("run={RUN}"));
            let command = format!("curl --silent --show-error --max-time 5 --get {} --data-urlencode {run}", word(text("read")));
            (command, "the number of every write that was accepted is in it".into())
        }
    };
    Reading { commands: vec![command], good }
}

/// What a person fills in.
fn blank(what: &str) -> String {
    format!("<{what}>")
}

fn prometheus(it: &Value, place: Option<&Place<'_>>) -> Reading {
    let source = it["source"].as_str().unwrap_or_default();
    let known = place.and_then(|place| place.spec.prometheus.iter().find(|one| one.name == source));
    let url = known.map_or_else(|| blank(&format!("url of Prometheus {source}")), |one| one.url.clone());
    let to = word(&format!("{}/api/v1/query", url.trim_end_matches('/')));
    let ask = |query: &str| format!("curl --silent --show-error --max-time 5 --get {to} --data-urlencode {}", word(&format!("query={query}")));
    let mut commands = vec![ask(it["query"].as_str().unwrap_or_default())];
    let mut good = "the result is not empty".to_owned();
    if let Some(alive) = it["alive"].as_str() {
        commands.push(ask(alive));
        good.push_str("; with an empty result of the second command nobody measures, and it is unknown");
    }
    Reading { commands, good }
}

fn http(it: &Value) -> (String, String) {
    let method = match it["method"].as_str() {
        None | Some("GET") => String::new(),
        // Asked for as any other method, curl would wait for a body that never comes.
        Some("HEAD") => " --head".to_owned(),
        Some(method) => format!(" --request {}", word(method)),
    };
    let fields = |name: &str| -> Vec<(String, String)> {
        let all = it[name].as_object().into_iter().flatten();
        all.map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned())).collect()
    };
    let headers: String = fields("headers").iter().map(|(name, value)| format!(" --header {}", word(&format!("{name}: {value}")))).collect();
    let mut good = vec![it["expectStatus"].as_u64().map_or("the status is 2xx".to_owned(), |status| format!("the status is {status}"))];
    good.extend(fields("expectHeader").iter().map(|(name, value)| format!("the header {name} is {value}")));
    good.extend(it["expectBody"].as_str().map(|body| format!("the body matches {body}")));
    good.extend(it["expectJson"].as_object().map(|json| format!("the JSON at {} is {}", json["pointer"], json["equals"])));
    good.extend(it["expectTls"]["validFor"].as_str().map(|length| format!("the certificate is valid for {length} or longer")));
    let url = word(it["url"].as_str().unwrap_or_default());
    // As the probe does, redirects are followed, unless one is what is expected, or the method is another. Headers would go along to wherever they lead.
    let expected = it["expectStatus"].as_u64().is_some_and(|status| (300..400).contains(&status));
    let plain = matches!(it["method"].as_str(), None | Some("GET" | "HEAD")) && headers.is_empty();
    let follow = if plain && !expected { " --location --max-redirs 5" } else { "" };
    // What the certificate is stands in the words of the handshake.
    let told = if it["expectTls"].is_object() { " --verbose" } else { "" };
    (format!("curl --silent --show-error --include{follow} --max-time 5{told}{method}{headers} {url}"), good.join(", "))
}

fn workload(it: &Value, place: Option<&Place<'_>>) -> (String, String) {
    let cluster = it["cluster"].as_str().unwrap_or_default();
    let known = place.and_then(|place| place.spec.kubernetes.iter().find(|one| one.name == cluster));
    let kubectl = known
        .map_or_else(|| format!("kubectl --context {}", word(&blank(&format!("context of cluster {cluster}")))), |one| kubectl_at(&one.connection));
    let kinds = [("deployment", "deployment"), ("statefulSet", "statefulset"), ("daemonSet", "daemonset")];
    let object = kinds.iter().find_map(|(field, kind)| Some(format!("{kind}/{}", it[*field].as_str()?))).unwrap_or_default();
    let namespace = word(it["namespace"].as_str().unwrap_or_default());
    let ready = it["ready"].as_str().map_or_else(|| it["ready"].to_string(), str::to_owned);
    (format!("{kubectl} --namespace {namespace} get {}", word(&object)), format!("at least {ready} of the replicas are ready"))
}

/// A hosted zone's id as a word of a shell; a name is looked up, as firedrill does: public zones only.
fn zone(aws: &str, zone: &str) -> String {
    if !zone.contains('.') {
        return word(zone);
    }
    let name = format!("{}.", zone.trim_end_matches('.'));
    // In JMESPath a `!` holds more tightly than a dot.
    let query = word(&format!("HostedZones[?Name==`{}` && !(Config.PrivateZone)].Id | [0]", Value::from(name)));
    format!("\"$({aws} route53 list-hosted-zones-by-name --dns-name {} --query {query} --output text)\"", word(zone))
}

fn aws(place: Option<&Place<'_>>, region: &str) -> String {
    let endpoint = place.and_then(|place| place.spec.endpoint_url.as_deref()).map(|url| format!(" --endpoint-url {}", word(url)));
    format!("aws{} --region {}", endpoint.unwrap_or_default(), word(region))
}

fn listed(values: &Value) -> String {
    match values {
        Value::Array(all) => all.iter().map(|one| one.as_str().unwrap_or_default()).collect::<Vec<_>>().join(", "),
        one => one.as_str().unwrap_or_default().to_owned(),
    }
}
