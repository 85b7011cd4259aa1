//! Plain connections under the same address rules: the addresses of a host, all of them checked, and TCP to one of them.

use std::fmt::Display;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use tokio::net::TcpStream;
use url::Host;

use super::{Client, Failure, excerpt};

/// How long an attempt is waited for before the next address is tried beside it (RFC 8305, section 5: Connection Attempt Delay).
const HEAD_START: Duration = Duration::from_millis(250);
/// Addresses of one host that are tried.
const MOST_ADDRESSES: usize = 16;

impl Client {
    /// Reads a host name or address (`db.example.com`, `10.0.0.7`, `::1`, `[::1]`), and checks what can be seen without resolving it.
    pub fn host(&self, text: &str) -> Result<Host, String> {
        self.rules.host(text).map_err(|refusal| refusal.to_string())
    }

    /// All addresses of a host, in the order of the system's resolver. One that the rules forbid spoils the answer.
    pub async fn addresses(&self, host: &Host) -> Result<Vec<IpAddr>, Failure> {
        self.rules.check_host(host)?;
        match host {
            Host::Ipv4(ip) => Ok(vec![IpAddr::V4(*ip)]),
            Host::Ipv6(ip) => Ok(vec![IpAddr::V6(*ip)]),
            Host::Domain(name) => self.resolver.addresses(name).await.map_err(|error| Failure::from(&error)),
        }
    }

    /// A TCP connection to the first address of a host that takes one. The caller bounds the time.
    pub async fn connect(&self, host: &Host, port: u16) -> Result<TcpStream, Failure> {
        let addresses = self.addresses(host).await?;
        let addresses = alternate(addresses).into_iter().take(MOST_ADDRESSES);
        let attempt = |ip| async move { tcp(SocketAddr::new(ip, port)).await.map_err(|failure| (ip, failure)) };
        first_of(addresses, attempt).await.map_err(none_of)
    }
}

/// A TCP connection to one address, which the caller has checked.
pub async fn tcp(address: SocketAddr) -> Result<TcpStream, Failure> {
    let stream = TcpStream::connect(address).await?;
    if is_itself(&stream) {
        return Err(Failure::NoAnswer("connection refused".to_owned()));
    }
    Ok(stream)
}

/// On one machine a client can be given the very port that it connects to, and then TCP connects it to itself where nobody listens.
fn is_itself(stream: &TcpStream) -> bool {
    matches!((stream.local_addr(), stream.peer_addr()), (Ok(here), Ok(there)) if here == there)
}

/// Families in turn, beginning with that of the first: a machine whose IPv6 leads nowhere must not use up the time (RFC 8305, section 4).
fn alternate(addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    let Some(first) = addresses.first().map(IpAddr::is_ipv6) else { return addresses };
    let (mut same, mut other): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|ip| ip.is_ipv6() == first);
    let mut turns = Vec::with_capacity(same.len() + other.len());
    let (mut same, mut other) = (same.drain(..), other.drain(..));
    loop {
        let before = turns.len();
        turns.extend(same.next());
        turns.extend(other.next());
        if turns.len() == before {
            return turns;
        }
    }
}

/// Tries each in turn, the next when one has failed or has had its head start: the first success, or every failure in the order in which they came.
pub async fn first_of<A, T, E, F>(all: impl IntoIterator<Item = A>, attempt: impl Fn(A) -> F) -> Result<T, Vec<E>>
where
    F: Future<Output = Result<T, E>>,
{
    let (mut all, mut running, mut failures) = (all.into_iter(), FuturesUnordered::new(), Vec::new());
    loop {
        let started = all.next().map(|one| running.push(attempt(one))).is_some();
        let ended = if started { tokio::time::timeout(HEAD_START, running.next()).await } else { Ok(running.next().await) };
        match ended {
            Ok(Some(Ok(success))) => return Ok(success),
            Ok(Some(Err(failure))) => failures.push(failure),
            Ok(None) => return Err(failures),
            Err(_) => {}
        }
    }
}

/// What the failures of all of a host's addresses come to. What was not really asked says nothing of the host, and nothing when another was asked:
/// a machine without IPv6 still sees that the host's IPv4 address refuses.
pub fn none_of<A: Display>(mut failures: Vec<(A, Failure)>) -> Failure {
    let asked = |(_, failure): &(A, Failure)| matches!(failure, Failure::NoAnswer(_));
    if failures.iter().any(asked) {
        failures.retain(asked);
    }
    match failures.as_slice() {
        [] => Failure::NoAnswer("no address".to_owned()),
        [(_, only)] => only.clone(),
        several => {
            let each: Vec<_> = several.iter().map(|(address, failure)| format!("{address}: {failure}")).collect();
            Failure::NoAnswer(excerpt(&format!("none of {} addresses: {}", several.len(), each.join("; "))))
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        super::of_io(&error).unwrap_or_else(|| Self::NoAnswer(super::plain(&error.to_string())))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tokio::net::TcpSocket;
    use tokio::time::Instant;

    use super::super::resolve::Lookup;
    use super::super::{Refusal, Rules};
    use super::*;

    #[tokio::test]
    async fn a_client_that_is_connected_to_itself_has_found_nobody() {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let own = socket.local_addr().unwrap();
        assert!(is_itself(&socket.connect(own).await.unwrap()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        assert!(!is_itself(&tcp(listener.local_addr().unwrap()).await.unwrap()));
    }

    struct Names(&'static [(&'static str, &'static [&'static str])]);

    impl Lookup for Names {
        fn lookup(&self, name: &str) -> io::Result<Vec<IpAddr>> {
            let (_, ips) = self.0.iter().find(|(known, _)| *known == name).ok_or_else(|| io::Error::other("no such name"))?;
            Ok(ips.iter().map(|ip| ip.parse().unwrap()).collect())
        }
    }

    #[tokio::test]
    async fn one_address_that_answers_is_enough_and_one_that_is_forbidden_is_too_many() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let lookup = Names(&[
            ("second.example", &["127.0.0.2", "::1", "127.0.0.1"]),
            ("nobody.example", &["127.0.0.2", "127.0.0.3"]),
            ("mixed.example", &["127.0.0.1", "169.254.169.254"]),
        ]);
        let client = Client::with_lookup(Rules { allow_private: true }, Arc::new(lookup)).unwrap();
        let connect = async |name: &str| client.connect(&client.host(name).unwrap(), port).await.map(|stream| stream.peer_addr().unwrap());
        assert_eq!(connect("second.example").await, Ok(listener.local_addr().unwrap()));
        let refused = "none of 2 addresses: 127.0.0.2: connection refused; 127.0.0.3: connection refused";
        assert_eq!(connect("nobody.example").await, Err(Failure::NoAnswer(refused.to_owned())));
        assert!(
            matches!(connect("mixed.example").await, Err(Failure::Refused(Refusal::Metadata(what))) if what == "mixed.example is 169.254.169.254")
        );
        let client = Client::with_lookup(Rules { allow_private: false }, Arc::new(Names(&[("inside.example", &["10.0.0.1"])]))).unwrap();
        let failure = client.connect(&client.host("inside.example").unwrap(), 1).await.unwrap_err();
        assert!(matches!(failure, Failure::Refused(Refusal::Private(_))), "{failure:?}");
    }

    #[test]
    fn families_take_turns_and_none_is_lost() {
        let ips = |all: &[&str]| all.iter().map(|ip| ip.parse().unwrap()).collect::<Vec<IpAddr>>();
        assert_eq!(alternate(ips(&["::1", "::2", "::3", "10.0.0.1"])), ips(&["::1", "10.0.0.1", "::2", "::3"]));
        assert_eq!(alternate(ips(&["10.0.0.1", "10.0.0.2", "::1", "::2"])), ips(&["10.0.0.1", "::1", "10.0.0.2", "::2"]));
        assert_eq!(alternate(vec![]), ips(&[]));
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_address_waits_for_a_head_start_and_for_no_failure() {
        let began = Instant::now();
        let starts = Mutex::new(Vec::new());
        // 1 and 2 hang, 3 fails at once, 4 answers after 300 ms.
        let attempt = |n: u32| {
            starts.lock().unwrap().push((n, began.elapsed().as_millis()));
            async move {
                match n {
                    3 => Err(n),
                    4 => {
                        tokio::time::sleep(Duration::from_millis(300)).await;
                        Ok(n)
                    }
                    _ => std::future::pending().await,
                }
            }
        };
        assert_eq!(first_of([1, 2, 3, 4, 5], attempt).await, Ok(4));
        let starts = starts.lock().unwrap().iter().map(|(n, at)| (*n, at / 10 * 10)).collect::<Vec<_>>();
        assert_eq!(starts, [(1, 0), (2, 250), (3, 500), (4, 500), (5, 750)]);
        assert_eq!(first_of([1, 2], |n: u32| async move { Err::<(), _>(n) }).await, Err(vec![1, 2]));
    }

    #[test]
    fn what_was_not_asked_is_not_told_as_the_hosts_failure() {
        let failures = |all: &[Failure]| all.iter().enumerate().map(|(n, failure)| (n, failure.clone())).collect::<Vec<_>>();
        let (refused, own) = (Failure::NoAnswer("connection refused".to_owned()), Failure::Instrument("too many open files".to_owned()));
        assert_eq!(none_of(failures(std::slice::from_ref(&own))), own);
        assert_eq!(none_of(failures(&[own, refused.clone()])), refused);
        assert_eq!(none_of(failures(std::slice::from_ref(&refused))), refused);
        assert_eq!(none_of(failures(&[refused.clone(), refused])).to_string(), "none of 2 addresses: 0: connection refused; 1: connection refused");
    }
}
