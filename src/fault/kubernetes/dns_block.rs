//! The server blocks that dnsBlackhole adds to a Corefile, and how their answers are known. Pure.

use hickory_resolver::proto::op::Message;
use hickory_resolver::proto::rr::RData;

use super::corefile::{self, Corefile};
use super::dns_blackhole::{ClusterDnsAnswer, Wanted};

/// The mark holds a copy of it, and annotations hold 256 KiB.
const LARGEST: usize = 64 << 10;
/// Zone of the names in our SOA records: who sees one in an answer knows where it comes from. RFC 2606 keeps it free.
const SIGNATURE: &str = "firedrill.invalid";
/// Seconds for which resolvers may keep our answers (RFC 2308): the fault should end when it is undone.
const TTL: u32 = 5;

/// What is put at the end of a Corefile; `Err` says why it cannot be.
pub fn addition(prior: &str, wanted: &Wanted, run: &str) -> Result<String, String> {
    if prior.len() > LARGEST {
        return Err(format!("{} bytes are more than the mark can hold ({LARGEST})", prior.len()));
    }
    if corefile::touched(prior) {
        return Err("a block of firedrill is in it already; `firedrill sweep` shows what runs left".to_owned());
    }
    let read = Corefile::parse(prior)?;
    if !read.reloads() {
        return Err("it has no `reload`, so that CoreDNS would need a restart to see a change; add `reload` to a server block first".to_owned());
    }
    if let Some((zone, key)) = wanted.zones.iter().find_map(|zone| Some((zone, *read.serving(zone).first()?))) {
        return Err(format!("server block '{key}' serves {zone} already"));
    }
    let mut servers = String::new();
    for (root, keys) in read.roots() {
        let binds: Vec<&Vec<String>> = root.directives.iter().filter(|words| words[0] == "bind").collect();
        if binds.iter().any(|words| words.iter().any(|word| word == "{" || word.contains([' ', '"']))) {
            return Err(format!("a `bind` with a block in server block '{}' cannot be copied", root.keys.join(" ")));
        }
        let ports = keys.iter().map(|key| key.port.as_ref().map(|port| format!(":{port}")).unwrap_or_default());
        let keys: Vec<String> = ports.flat_map(|port| wanted.zones.iter().map(move |zone| format!("{zone}{port}"))).collect();
        servers.push_str(&server(&keys, &binds, wanted.parameters.answer, run));
    }
    if servers.is_empty() {
        return Err("no server block serves all names ('.') by plain DNS, so the port and address of the cluster's DNS are not known".to_owned());
    }
    let added = corefile::addition(prior, run, &wanted.step, &servers);
    Corefile::parse(&format!("{prior}{added}")).map_err(|why| format!("with the block added it could not be read: {why}"))?;
    Ok(added)
}

/// One server block that answers everything below its zones in one way (CoreDNS: `plugin/template`).
fn server(keys: &[String], binds: &[&Vec<String>], answer: ClusterDnsAnswer, run: &str) -> String {
    let mut lines = vec![format!("{} {{", keys.join(" "))];
    lines.extend(binds.iter().map(|words| format!("    {}", words.join(" "))));
    lines.push("    template ANY ANY {".to_owned());
    let code = if answer == ClusterDnsAnswer::NoData { "NOERROR" } else { answer.name() };
    lines.push(format!("        rcode {code}"));
    if answer != ClusterDnsAnswer::ServFail {
        let run = run.to_ascii_lowercase();
        lines.push(format!("        authority \"{{{{ .Zone }}}} {TTL} IN SOA ns.{SIGNATURE}. {run}.{SIGNATURE}. 1 {TTL} {TTL} {TTL} {TTL}\""));
    }
    lines.extend(["    }".to_owned(), "}".to_owned(), String::new()]);
    lines.join("\n")
}

/// Whether an answer is the one that this run asked for: for a name that never had an address, only the SOA record tells.
pub fn answered(told: &Message, answer: ClusterDnsAnswer, run: &str) -> bool {
    let signed = told.authorities.iter().any(|record| match &record.data {
        RData::SOA(soa) => soa.rname.to_ascii().trim_end_matches('.').eq_ignore_ascii_case(&format!("{run}.{SIGNATURE}")),
        _ => false,
    });
    told.metadata.response_code == answer.code() && told.answers.is_empty() && (signed || answer == ClusterDnsAnswer::ServFail)
}

/// An answer, for people.
pub fn described(told: &Message) -> String {
    format!("{} with {} record(s)", told.metadata.response_code, told.answers.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::definition::Places;
    use crate::fault::params::DnsBlackhole;

    fn wanted(answer: ClusterDnsAnswer) -> Wanted {
        let parameters = DnsBlackhole { cluster: "east".into(), services: vec!["sts".into()], region: None, answer };
        Wanted { parameters, zones: vec!["a.example".into(), "b.example".into()], step: "dns".into(), places: Places::default() }
    }

    #[test]
    fn the_block_listens_where_the_block_for_all_names_does() {
        let prior = ".:1053 tls://.:853 {\n    bind 192.0.2.9 lo\n    reload\n}\n";
        let added = addition(prior, &wanted(ClusterDnsAnswer::NoData), "01JRUN").unwrap();
        assert_eq!(
            added,
            "# firedrill 01JRUN dns begin\na.example:1053 b.example:1053 {\n    bind 192.0.2.9 lo\n    template ANY ANY {\n        rcode NOERROR\n        authority \"{{ .Zone }} 5 IN \
             SOA ns.firedrill.invalid. 01jrun.firedrill.invalid. 1 5 5 5 5\"\n    }\n}\n# firedrill 01JRUN dns end\n"
        );
        let failing = addition(".:53 {\n    reload\n}", &wanted(ClusterDnsAnswer::ServFail), "01JRUN").unwrap();
        assert!(failing.starts_with('\n') && failing.contains("rcode SERVFAIL\n    }") && !failing.contains("SOA"), "{failing}");
    }

    #[test]
    fn a_corefile_that_it_cannot_be_added_to_is_refused_with_the_reason() {
        let rows = [
            (".:53 {\n}\n", "it has no `reload`"),
            ("example.com:53 {\n    reload\n}\n", "no server block serves all names"),
            ("tls://.:853 {\n    reload\n}\n", "no server block serves all names"),
            (".:53 {\n    reload\n    bind eth0 {\n        except 192.0.2.9\n    }\n}\n", "cannot be copied"),
            (".:53 {\n    reload\n}\nA.example. {\n}\n", "serves a.example already"),
        ];
        for (prior, why) in rows {
            let error = addition(prior, &wanted(ClusterDnsAnswer::NxDomain), "01JRUN").unwrap_err();
            assert!(error.contains(why), "{prior}: {error}");
        }
    }
}
