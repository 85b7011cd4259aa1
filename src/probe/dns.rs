//! The dns probe: one question, and whether every answer is one of those expected.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use url::Host;

use super::definition::Definition;
use super::open::{Opening, unanswered};
use super::params::DnsProbe;
use super::{Probe, Reading};
use crate::drill::about::{About, Permissions};
use crate::drill::text;
use crate::http::connect::{first_of, none_of};
use crate::http::{Client, Failure, dns, excerpt};

/// Where DNS servers listen (RFC 1035, 4.2).
const PORT: u16 = 53;
/// Servers of one name, or of the system's resolver, that are asked.
const MOST_SERVERS: usize = 8;

/// A question a tick, asked anew: nothing that an earlier tick was told is kept.
struct Dns {
    client: Client,
    name: Name,
    kind: RecordType,
    expected: BTreeSet<String>,
    server: Server,
}

/// Who is asked.
enum Server {
    /// A server that the drill names: part of what is under test, and under the rules about addresses.
    Named(Host, u16),
    /// The system's resolver: the instrument. Its addresses (often loopback, or link-local in a cloud) are the machine's own affair.
    System(Box<dyn Fn() -> Result<Vec<SocketAddr>, String> + Send + Sync>),
}

impl Definition for DnsProbe {
    fn about() -> Option<About> {
        Some(About {
            mechanism: "One DNS question a tick, by UDP and, when the answer is cut short, by TCP; good while there is an answer and every answer is one of `answers`.",
            undo: "",
            verified: "",
            must_know: &[
                "NXDOMAIN, NODATA (the name has no record of the type), SERVFAIL and an answer that is not expected are bad; the detail names which.",
                "A `server` that you name is part of what is tested: no answer from it is bad. Without one the system's resolver is asked, which is an instrument: no answer from it is unknown.",
                "The system's resolver has a cache: its answers may be as old as the record's time to live. Name an authoritative server to see a change at once.",
                "Names are complete: search domains and the hosts file are not used. A CNAME is followed as far as the server's answer goes.",
                "A question that stays without an answer is sent again after 500 ms, then after twice as long each time.",
            ],
            permissions: Permissions { inject: &[], revert: &[], read: &["reach the server, by UDP and TCP, from where firedrill runs"] },
            example: "dns: {name: \"${records.checkout}\", answers: \"${vips.west}\"}",
        })
    }

    fn open(&self, opening: &Opening<'_>) -> Result<Arc<dyn Probe>, String> {
        let server = match &self.server {
            Some(server) => named(server, &opening.client).map_err(|error| format!("server: {error}"))?,
            None => Server::System(Box::new(system)),
        };
        Ok(Arc::new(Dns::open(self, server, opening.client.clone())?))
    }
}

impl Dns {
    fn open(probe: &DnsProbe, server: Server, client: Client) -> Result<Self, String> {
        let kind = match probe.record_type.unwrap_or_default() {
            text::RecordType::A => RecordType::A,
            text::RecordType::Aaaa => RecordType::AAAA,
            text::RecordType::Cname => RecordType::CNAME,
            text::RecordType::Txt => RecordType::TXT,
        };
        if probe.answers.0.is_empty() {
            return Err("'answers' is empty; name at least one".to_owned());
        }
        let expected = probe.answers.0.iter().map(|answer| expectation(kind, answer)).collect::<Result<_, _>>()?;
        Ok(Self { client, name: complete(&probe.name)?, kind, expected, server })
    }

    /// The answer of the first server that gives one, and who that was.
    async fn ask(&self) -> Result<(SocketAddr, Message), Failure> {
        let (servers, final_errors) = match &self.server {
            Server::Named(host, port) => {
                let addresses = self.client.addresses(host).await?;
                (addresses.into_iter().map(|ip| SocketAddr::new(ip, *port)).collect(), true)
            }
            Server::System(servers) => (servers().map_err(Failure::Instrument)?, false),
        };
        let attempt = |server| async move {
            match dns::ask(server, &self.name, self.kind).await {
                // As the C library does: a resolver that could not find out leaves the question to the next one.
                Ok(told) if !final_errors && !is_answer(&told) => Err((server, Ok(told))),
                Ok(told) => Ok((server, told)),
                Err(failure) => Err((server, Err(failure))),
            }
        };
        let all = match first_of(servers.into_iter().take(MOST_SERVERS), attempt).await {
            Ok(told) => return Ok(told),
            Err(all) => all,
        };
        let mut failures = Vec::new();
        for (server, outcome) in all {
            match outcome {
                Ok(told) => return Ok((server, told)),
                Err(failure) => failures.push((server, failure)),
            }
        }
        Err(none_of(failures))
    }

    fn judge(&self, told: &Message) -> Reading {
        let code = told.metadata.response_code;
        match code {
            ResponseCode::NoError => {}
            ResponseCode::NXDomain => return Reading::bad(format!("NXDOMAIN: there is no name '{}'", shown(&self.name))),
            ResponseCode::ServFail => return Reading::bad("SERVFAIL: the server could not find out"),
            _ => {
                let why = format!("{}: the server does not answer this question", label(code));
                return if matches!(self.server, Server::Named(..)) {
                    Reading::bad(why)
                } else {
                    Reading::unknown(format!("the system's resolver: {why}"))
                };
            }
        }
        let (answers, end) = self.answers(told);
        if answers.is_empty() {
            let aka = if end == self.name { String::new() } else { format!(", to which '{}' leads", shown(&self.name)) };
            return Reading::bad(format!("NODATA: no {} record for '{}'{aka}", self.kind, shown(&end)));
        }
        if answers.is_subset(&self.expected) {
            return Reading::good();
        }
        let list = |all: &BTreeSet<String>| excerpt(&all.iter().map(String::as_str).collect::<Vec<_>>().join(", "));
        Reading::bad(format!("{} {}, expected {}", self.kind, list(&answers), list(&self.expected)))
    }

    /// The answers to the question, and the name that they belong to: CNAME records are followed within the answer. Other records in it are not asked for.
    fn answers(&self, told: &Message) -> (BTreeSet<String>, Name) {
        let mut owner = self.name.clone();
        // No chain is longer than the answer has records, whatever circles it draws.
        for _ in 0..told.answers.len() {
            let next = told.answers.iter().find_map(|record| match &record.data {
                RData::CNAME(to) if record.name == owner && self.kind != RecordType::CNAME => Some(to.0.clone()),
                _ => None,
            });
            match next {
                Some(next) => owner = next,
                None => break,
            }
        }
        let values = told.answers.iter().filter(|record| record.name == owner && record.record_type() == self.kind);
        (values.filter_map(|record| value(&record.data)).collect(), owner)
    }
}

#[async_trait]
impl Probe for Dns {
    async fn read(&self) -> Reading {
        match (self.ask().await, &self.server) {
            (Ok((_, told)), _) => self.judge(&told),
            (Err(failure), Server::Named(..)) => unanswered(failure),
            (Err(failure), Server::System(_)) => Reading::unknown(format!("the system's resolver: {failure}")),
        }
    }

    fn timed_out(&self) -> Reading {
        match self.server {
            Server::Named(..) => Reading::bad("no answer in time"),
            Server::System(_) => Reading::unknown("the system's resolver did not answer in time"),
        }
    }

    fn describe(&self) -> String {
        let asked = match &self.server {
            Server::Named(host, port) => format!("{host}:{port}"),
            Server::System(_) => "the system's resolver".to_owned(),
        };
        format!("dns {} {}, asked of {asked}", self.kind, shown(&self.name))
    }
}

/// Whether a resolver has found out: the records, or that there are none.
fn is_answer(told: &Message) -> bool {
    matches!(told.metadata.response_code, ResponseCode::NoError | ResponseCode::NXDomain)
}

/// `host`, `host:port`, `[v6]:port` or a bare IPv6 address.
fn named(text: &str, client: &Client) -> Result<Server, String> {
    if let Ok(host) = client.host(text) {
        return Ok(Server::Named(host, PORT));
    }
    match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.starts_with('[') => {
            let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(|| format!("'{}' is not a port; use 1 to 65535", excerpt(port)))?;
            Ok(Server::Named(client.host(host)?, port))
        }
        _ => client.host(text).map(|host| Server::Named(host, PORT)),
    }
}

/// The name servers of this machine as they are now. Read at each tick: a laptop changes networks, a VPN comes and goes.
fn system() -> Result<Vec<SocketAddr>, String> {
    let (config, _) = read_system_conf().map_err(|error| format!("its configuration cannot be read: {error}"))?;
    Ok(config.name_servers().iter().map(|server| SocketAddr::new(server.ip, PORT)).collect())
}

/// A name that is complete with or without its last dot.
fn complete(text: &str) -> Result<Name, String> {
    let text = text.trim();
    if text.parse::<IpAddr>().is_ok() {
        return Err(format!("'{text}' is an address, not a name to ask for"));
    }
    match Name::from_str_relaxed(text) {
        Ok(mut name) if name.num_labels() > 0 => {
            name.set_fqdn(true);
            Ok(name)
        }
        _ => Err(format!("'{}' is not a DNS name", excerpt(text))),
    }
}

/// An expected answer in the form of [`value`].
fn expectation(kind: RecordType, text: &str) -> Result<String, String> {
    let wrong = |what: &str| format!("the answer to a question of type {kind} is {what}, not '{}'", excerpt(text));
    match kind {
        RecordType::A => text.trim().parse::<Ipv4Addr>().map(|ip| ip.to_string()).map_err(|_| wrong("an IPv4 address")),
        RecordType::AAAA => text.trim().parse::<Ipv6Addr>().map(|ip| ip.to_string()).map_err(|_| wrong("an IPv6 address")),
        RecordType::CNAME => complete(text).map(|name| shown(&name)).map_err(|_| wrong("a DNS name")),
        _ => Ok(text.to_owned()),
    }
}

/// An answer as text. The strings of a TXT record are one text (RFC 7208, 3.3, for the best known use).
fn value(data: &RData) -> Option<String> {
    match data {
        RData::A(ip) => Some(ip.0.to_string()),
        RData::AAAA(ip) => Some(ip.0.to_string()),
        RData::CNAME(name) => Some(shown(&name.0)),
        RData::TXT(text) => Some(String::from_utf8_lossy(&text.txt_data.concat()).into_owned()),
        _ => None,
    }
}

/// A name in lower case, without its last dot.
fn shown(name: &Name) -> String {
    let text = name.to_lowercase().to_ascii();
    text.strip_suffix('.').unwrap_or(&text).to_owned()
}

/// The name of a response code in the IANA registry.
fn label(code: ResponseCode) -> String {
    match code {
        ResponseCode::FormErr => "FORMERR".to_owned(),
        ResponseCode::NotImp => "NOTIMP".to_owned(),
        ResponseCode::Refused => "REFUSED".to_owned(),
        other => format!("response code {}", u16::from(other)),
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::UdpSocket;

    use super::*;
    use crate::drill::text::Strings;
    use crate::event::Health;
    use crate::http::Rules;

    /// A name server that answers every question with `code`, and with 192.0.2.1 when that is no error.
    async fn server(code: ResponseCode) -> SocketAddr {
        use hickory_resolver::proto::rr::{Record, rdata::A};
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        tokio::spawn(async move {
            let mut bytes = [0; 512];
            while let Ok((length, client)) = socket.recv_from(&mut bytes).await {
                let mut told = Message::from_vec(&bytes[..length]).unwrap().into_response();
                told.metadata.response_code = code;
                if code == ResponseCode::NoError {
                    told.add_answer(Record::from_rdata(told.queries[0].name.clone(), 300, RData::A(A::new(192, 0, 2, 1))));
                }
                socket.send_to(&told.to_vec().unwrap(), client).await.unwrap();
            }
        });
        address
    }

    /// A port where nobody listens.
    async fn nobody() -> SocketAddr {
        UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
    }

    async fn of_system(servers: Result<Vec<SocketAddr>, String>) -> Reading {
        let probe = DnsProbe { name: "a.example".to_owned(), answers: Strings(vec!["192.0.2.1".to_owned()]), ..DnsProbe::default() };
        // The machine's own resolver may be where a drill may not point: private addresses are not allowed here.
        let client = Client::new(Rules { allow_private: false }).unwrap();
        Dns::open(&probe, Server::System(Box::new(move || servers.clone())), client).unwrap().read().await
    }

    #[tokio::test]
    async fn the_systems_resolver_is_an_instrument_and_each_of_its_servers_is_asked_before_it_is_called_broken() {
        use ResponseCode::{NXDomain, NoError, Refused, ServFail};
        let (good, none, failing, refusing) = (server(NoError).await, server(NXDomain).await, server(ServFail).await, server(Refused).await);
        let table = [
            (vec![good], Health::Good, ""),
            (vec![nobody().await, failing, refusing, good], Health::Good, ""),
            (vec![none, good], Health::Bad, "NXDOMAIN"),
            (vec![nobody().await, failing], Health::Bad, "SERVFAIL"),
            (vec![refusing], Health::Unknown, "the system's resolver: REFUSED"),
            (vec![nobody().await], Health::Unknown, "the system's resolver: connection refused"),
            (vec![nobody().await, nobody().await], Health::Unknown, "the system's resolver: none of 2 addresses"),
        ];
        for (servers, health, said) in table {
            let reading = of_system(Ok(servers.clone())).await;
            assert_eq!(reading.health, health, "{servers:?}: {reading:?}");
            assert!(reading.detail.as_deref().unwrap_or_default().starts_with(said), "{servers:?}: {reading:?}");
        }
        let reading = of_system(Err("its configuration cannot be read: no such file".to_owned())).await;
        assert_eq!(
            (reading.health, reading.detail.as_deref()),
            (Health::Unknown, Some("the system's resolver: its configuration cannot be read: no such file"))
        );
    }

    #[test]
    fn a_servers_port_is_53_unless_it_is_given() {
        let client = Client::new(Rules { allow_private: true }).unwrap();
        let is = |text: &str| match named(text, &client) {
            Ok(Server::Named(host, port)) => format!("{host} {port}"),
            Ok(Server::System(_)) => unreachable!("a server was named"),
            Err(error) => error,
        };
        assert_eq!(is("ns1.example.com"), "ns1.example.com 53");
        assert_eq!(is("ns1.example.com:5353"), "ns1.example.com 5353");
        assert_eq!(is("127.0.0.1:5353"), "127.0.0.1 5353");
        assert_eq!(is("2001:db8::1"), "[2001:db8::1] 53");
        assert_eq!(is("[2001:db8::1]:5353"), "[2001:db8::1] 5353");
        assert_eq!(is("ns1.example.com:dns"), "'dns' is not a port; use 1 to 65535");
        assert_eq!(is("ns1.example.com:0"), "'0' is not a port; use 1 to 65535");
        assert_eq!(is("ns 1"), "'ns 1' is not a host name or an address");
    }
}
