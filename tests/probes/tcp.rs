//! The tcp probe against real listeners.

use std::net::SocketAddr;
use std::time::Duration;

use firedrill::clock::Clock;
use firedrill::event::Health;
use firedrill::probe::Reading;
use firedrill::probe::params::{ProbeSpec, TcpProbe};
use firedrill::probe::watch::read_once;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::{detail, open, read};

fn tcp(host: &str, port: u16) -> ProbeSpec {
    ProbeSpec { tcp: Some(TcpProbe { host: host.to_owned(), port }), ..Default::default() }
}

async fn read_tcp(host: &str, port: u16) -> Reading {
    read(&*open(true, &tcp(host, port)).unwrap()).await
}

#[tokio::test]
async fn tcp_is_good_while_the_port_takes_connections_and_bad_once_it_does_not() {
    for (bind, hosts) in [("127.0.0.1:0", &["127.0.0.1", "localhost", "127.1"][..]), ("[::1]:0", &["::1", "[::1]"][..])] {
        let listener = TcpListener::bind(bind).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        for host in hosts {
            assert_eq!(read_tcp(host, port).await, Reading::good(), "{host}");
            // Closed, and without a byte: the server is not left with a connection that hangs.
            let (mut seen, _) = listener.accept().await.unwrap();
            assert_eq!(seen.read(&mut [0; 8]).await.unwrap(), 0, "{host}");
        }
        drop(listener);
        for host in hosts {
            let reading = read_tcp(host, port).await;
            assert_eq!(reading.health, Health::Bad, "{host}: {reading:?}");
            assert!(detail(&reading).contains("connection refused"), "{host}: {reading:?}");
        }
    }
}

#[tokio::test]
async fn a_port_that_neither_takes_nor_refuses_is_bad_when_the_time_is_up() {
    // Two connections fill a queue of one that nobody empties; the kernel then drops what knocks.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let mut queue = Vec::new();
    while let Ok(stream) = tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(address)).await {
        queue.push(stream.unwrap());
        assert!(queue.len() < 64, "the queue never fills");
    }
    let probe = open(true, &tcp("127.0.0.1", address.port())).unwrap();
    let (_, _, reading) = read_once(&Clock::system(), &*probe, Duration::from_millis(300)).await;
    assert_eq!((reading.health, detail(&reading)), (Health::Bad, "no connection in time"));
}

#[tokio::test]
async fn a_host_without_an_address_is_the_services_failure() {
    // RFC 6761: `invalid` has no names.
    let reading = read_tcp("checkout.invalid", 443).await;
    assert_eq!(reading.health, Health::Bad, "{reading:?}");
    assert!(detail(&reading).starts_with("cannot resolve 'checkout.invalid'"), "{reading:?}");
}

#[test]
fn where_a_tcp_probe_must_not_go_it_does_not_open_and_says_why() {
    let private = "`network: {allowPrivate: true}` in the environment allows it";
    let metadata = "blocked address (link-local/metadata)";
    for (allow_private, host, port, said) in [
        (true, "169.254.169.254", 80, metadata),
        (true, "2852039166", 80, metadata),
        (true, "::ffff:169.254.169.254", 80, metadata),
        (true, "fe80::1", 80, metadata),
        (true, "fd00:ec2::254", 80, metadata),
        (true, "0.0.0.0", 80, "blocked address (unspecified, multicast or reserved)"),
        (false, "127.0.0.1", 80, private),
        (false, "10.0.0.1", 80, private),
        (false, "::1", 80, private),
        (false, "localhost", 80, private),
        (true, "db.example.com", 0, "port 0 is nobody's"),
        (true, "db.example.com:5432", 5432, "the port goes into 'port'"),
        (true, "http://db.example.com", 80, "is not a host name or an address"),
        (true, "", 80, "is not a host name or an address"),
    ] {
        let error = open(allow_private, &tcp(host, port)).err().unwrap_or_else(|| panic!("opened: {host}:{port}"));
        assert!(error.starts_with("probe 'tcp': ") && error.contains(said), "{host}: {error}");
    }
}
