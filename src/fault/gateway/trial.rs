//! A client in front of the gateway: what it sees while a rule is in force. Every wait has a bound; nothing that it asks for changes anything.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::gateway::{Rule, aws_host};

/// The service whose host name is tried for a rule about all of them.
const SAMPLE: &str = "sts";
/// Most bytes of an answer that are looked at.
const LARGEST: usize = 256 * 1024;

/// One rule, and a host that it covers.
#[derive(Debug)]
pub struct Trial {
    /// Where the gateway listens.
    pub proxy: SocketAddr,
    /// A host that the rule covers.
    pub host: String,
    /// The service of that host, as the rule names it.
    pub service: String,
    /// The rule.
    pub rule: Rule,
}

/// What a client sees that asks the gateway for something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// Neither an answer nor an end for as long as it watched.
    Nothing,
    /// The connection was reset before a whole head of an answer had come.
    Reset,
    /// The connection was closed without a word.
    Closed,
    /// The gateway answered: the first line of the head.
    Answer(String),
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing came back"),
            Self::Reset => f.write_str("it was reset"),
            Self::Closed => f.write_str("it was closed"),
            Self::Answer(line) => write!(f, "the gateway answered '{line}'"),
        }
    }
}

/// One exchange.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// What came first.
    pub seen: Seen,
    /// How long that took, from the connection's being open.
    pub took: Duration,
    /// Bytes of the answer.
    pub bytes: usize,
    /// Whether it ended in a reset, at its beginning or later.
    pub reset: bool,
}

impl Trial {
    /// For a rule of a gateway that listens there. `Err`: no host is known that the rule covers.
    pub fn of(rule: &Rule, listen: SocketAddr) -> Result<Self, String> {
        let names = rule.services.iter().map(|service| if service == "*" { SAMPLE } else { service.as_str() });
        let covered = |host: &str| aws_host::classify(host).is_some_and(|host| rule.covers(&host));
        let mut hosts = names.filter_map(|service| Some((service, aws_host::endpoint(service, &rule.region)?)));
        let (service, host) =
            hosts.find(|(_, host)| covered(host)).ok_or_else(|| format!("no host name is known that the rule must hit in {}", rule.region))?;
        Ok(Self { proxy: reachable(listen), host, service: service.to_owned(), rule: rule.clone() })
    }

    /// Asks for a tunnel, watching for at most so long.
    pub async fn tunnel(&self, watch: Duration) -> Result<Exchange, String> {
        self.ask(format!("CONNECT {0}:443 HTTP/1.1\r\nHost: {0}:443\r\n\r\n", self.host).as_bytes(), watch, false).await
    }

    /// Sends a plain request, and reads the answer to its end as far as it comes within `watch`.
    pub async fn plain(&self, method: &str, path: &str, headers: &str, body: &[u8], watch: Duration) -> Result<Exchange, String> {
        let (host, length) = (&self.host, body.len());
        let head = format!(
            "{method} http://{host}{path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: firedrill\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n"
        );
        self.ask(&[head.as_bytes(), body].concat(), watch, true).await
    }

    async fn ask(&self, request: &[u8], watch: Duration, to_the_end: bool) -> Result<Exchange, String> {
        let broken = |error: &dyn fmt::Display| format!("cannot connect to the gateway: {error}");
        let connect = timeout(Duration::from_secs(2), TcpStream::connect(self.proxy));
        let stream = connect.await.map_err(|error| broken(&error))?.map_err(|error| broken(&error))?;
        let begin = Instant::now();
        let mut exchange = Exchange { seen: Seen::Nothing, took: watch, bytes: 0, reset: false };
        let listening = async {
            let (mut reading, mut writing) = stream.into_split();
            let sending = async {
                // A gateway that answers or resets before it has heard everything: what counts is what comes back.
                let _ = writing.write_all(request).await;
                // Kept open: a client that ended its side would count as gone.
                std::future::pending::<io::Result<()>>().await
            };
            let receiving = async {
                let mut said = vec![0; 16 * 1024];
                loop {
                    let read = reading.read(&mut said).await;
                    let first = exchange.bytes == 0;
                    if first {
                        exchange.took = begin.elapsed();
                    }
                    match read {
                        Ok(0) if first => exchange.seen = Seen::Closed,
                        Ok(0) => {}
                        Ok(count) => {
                            if first {
                                let text = String::from_utf8_lossy(&said[..count]);
                                let line = text.lines().next().unwrap_or_default().chars().filter(|c| !c.is_control()).take(200).collect();
                                exchange.seen = Seen::Answer(line);
                            }
                            exchange.bytes += count;
                            if to_the_end && exchange.bytes < LARGEST {
                                continue;
                            }
                        }
                        Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => {
                            exchange.reset = true;
                            if first {
                                exchange.seen = Seen::Reset;
                            }
                        }
                        Err(error) => return Err(error),
                    }
                    return Ok(());
                }
            };
            tokio::select! {
                done = receiving => done,
                done = sending => done,
            }
        };
        match timeout(watch, listening).await {
            Ok(Err(error)) => Err(broken(&error)),
            Ok(Ok(())) | Err(_) => Ok(exchange),
        }
    }
}

/// The address to connect to for a gateway that may listen on all of them.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}
