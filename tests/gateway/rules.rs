//! What rules do to connections, and how they end.

use firedrill::gateway::Effect::{Blackhole, Refuse};
use firedrill::gateway::Rule;
use std::io::ErrorKind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::ground::*;

#[tokio::test]
async fn a_blackhole_says_nothing_and_closes_when_the_rule_is_removed() {
    let ground = Ground::new(echo().await);
    ground.client.put(&rule("dark", Blackhole)).await.unwrap();
    let mut tunnel = ground.ask(EAST).await;
    let mut plain = ground.connect().await;
    plain.write_all(format!("GET http://{EAST}/ HTTP/1.1\r\nHost: {EAST}\r\n\r\n").as_bytes()).await.unwrap();
    ground.hits("dark", 2).await;
    ground.connections(2).await;
    let mut byte = [0];
    for stream in [&mut tunnel, &mut plain] {
        assert_eq!(stream.try_read(&mut byte).unwrap_err().kind(), ErrorKind::WouldBlock);
    }
    assert!(ground.client.remove("dark", None, None).await.unwrap());
    for stream in [&mut tunnel, &mut plain] {
        assert_eq!(ending(stream).await.unwrap(), b"", "closed, without a word");
    }
    ground.tunnel(EAST).await;
}

#[tokio::test]
async fn curl_hangs_on_the_failing_region_while_the_other_region_passes_and_is_let_through_after_the_deadline() {
    let ground = Ground::new(mirror().await);
    ground.client.put(&Rule { services: vec!["*".to_owned()], ..rule("dark", Blackhole) }).await.unwrap();
    let (east, west) = (format!("http://{EAST}/"), format!("http://{WEST}/"));
    let ((hung, _), (passed, _)) = tokio::join!(async { ground.curl(&["--max-time", "1", &east]).await }, async { ground.curl(&[&west]).await });
    assert_eq!(hung, 28, "curl gave up waiting");
    assert_eq!(passed, 0);
    // Neither resume nor sweep: a rule goes by itself, and what hangs on it is let go.
    ground.client.remove("dark", None, None).await.unwrap();
    ground.client.put(&Rule { deadline: soon(3_000), ..rule("short", Blackhole) }).await.unwrap();
    let mut hanging = ground.ask(EAST).await;
    assert_eq!(ending(&mut hanging).await.unwrap(), b"");
    assert!(ground.client.list().await.unwrap().is_empty());
    assert_eq!(ground.curl(&[&east]).await.0, 0);
}

#[tokio::test]
async fn a_client_that_leaves_a_blackhole_leaves_nothing_behind() {
    let ground = Ground::new(echo().await);
    ground.client.put(&rule("dark", Blackhole)).await.unwrap();
    let mut clients = vec![ground.ask(EAST).await, ground.connect().await, ground.ask(EAST).await];
    clients[1].write_all(format!("POST http://{EAST}/ HTTP/1.1\r\nHost: {EAST}\r\nContent-Length: 9\r\n\r\nun").as_bytes()).await.unwrap();
    clients[2].write_all(b"impatient bytes behind the head").await.unwrap();
    ground.hits("dark", 3).await;
    ground.connections(3).await;
    drop(clients);
    ground.connections(0).await;
}

#[tokio::test]
async fn a_refusal_resets_at_once() {
    let ground = Ground::new(echo().await);
    ground.client.put(&rule("no", Refuse)).await.unwrap();
    let mut tunnel = ground.ask(EAST).await;
    assert_eq!(ending(&mut tunnel).await.unwrap_err(), ErrorKind::ConnectionReset);
    let mut plain = ground.connect().await;
    plain.write_all(format!("GET http://{EAST}/ HTTP/1.1\r\nHost: {EAST}\r\n\r\n").as_bytes()).await.unwrap();
    assert_eq!(ending(&mut plain).await.unwrap_err(), ErrorKind::ConnectionReset);
    let (code, _) = ground.curl(&[&format!("https://{EAST}/")]).await;
    assert!([35, 52, 56].contains(&code), "curl says that the connection was reset, not {code}");
    ground.tunnel(WEST).await;
}

#[tokio::test]
async fn open_tunnels_are_kept_unless_the_rule_cuts_them() {
    let ground = Ground::new(echo().await);
    let mut east = ground.tunnel(EAST).await;
    let mut west = ground.tunnel(WEST).await;
    let mut other = ground.tunnel("plain.example.com").await;
    ground.client.put(&rule("keep", Blackhole)).await.unwrap();
    let mut byte = [0];
    for stream in [&mut east, &mut west, &mut other] {
        stream.write_all(b"a").await.unwrap();
        within(stream.read_exact(&mut byte)).await.unwrap();
    }
    ground.client.put(&Rule { cut_existing: true, ..rule("cut", Blackhole) }).await.unwrap();
    assert_eq!(ending(&mut east).await.unwrap_err(), ErrorKind::ConnectionReset);
    for stream in [&mut west, &mut other] {
        stream.write_all(b"b").await.unwrap();
        within(stream.read_exact(&mut byte)).await.unwrap();
    }
    ground.connections(2).await;
}

#[tokio::test]
async fn a_plain_response_under_way_is_kept_unless_the_rule_cuts_it() {
    let serve = async |mut stream: tokio::net::TcpStream| {
        read_request(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf ").await;
        let _ = stream.read_u8().await;
    };
    let (address, _task) = upstream(serve).await;
    let ground = Ground::new(address);
    let mut stream = ground.connect().await;
    stream.write_all(format!("GET http://{EAST}/ HTTP/1.1\r\nHost: {EAST}\r\n\r\n").as_bytes()).await.unwrap();
    read_head(&mut stream).await;
    let mut half = [0; 5];
    within(stream.read_exact(&mut half)).await.unwrap();
    ground.client.put(&rule("keep", Refuse)).await.unwrap();
    assert_eq!(stream.try_read(&mut half).unwrap_err().kind(), ErrorKind::WouldBlock);
    ground.client.put(&Rule { cut_existing: true, ..rule("cut", Refuse) }).await.unwrap();
    assert_eq!(ending(&mut stream).await.unwrap_err(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn every_request_of_a_kept_plain_connection_is_judged() {
    let ground = Ground::new(mirror().await);
    let mut stream = ground.connect().await;
    let get = |host: &str| format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n");
    stream.write_all(get(EAST).as_bytes()).await.unwrap();
    read_response(&mut stream).await;
    ground.client.put(&rule("no", Refuse)).await.unwrap();
    stream.write_all(get(WEST).as_bytes()).await.unwrap();
    read_response(&mut stream).await;
    stream.write_all(get(EAST).as_bytes()).await.unwrap();
    assert_eq!(ending(&mut stream).await.unwrap_err(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn the_authority_decides_not_the_host_header() {
    let ground = Ground::new(echo().await);
    ground.client.put(&rule("no", Refuse)).await.unwrap();
    let mut caught = ground.connect().await;
    caught.write_all(format!("CONNECT {EAST}:443 HTTP/1.1\r\nHost: {WEST}:443\r\n\r\n").as_bytes()).await.unwrap();
    assert_eq!(ending(&mut caught).await.unwrap_err(), ErrorKind::ConnectionReset);
    let mut passed = ground.connect().await;
    passed.write_all(format!("CONNECT {WEST}:443 HTTP/1.1\r\nHost: {EAST}:443\r\n\r\n").as_bytes()).await.unwrap();
    assert!(read_head(&mut passed).await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn services_that_are_homed_in_the_region_fail_with_it_and_others_do_not() {
    let ground = Ground::new(echo().await);
    ground.client.put(&Rule { services: vec!["*".to_owned()], ..rule("no", Refuse) }).await.unwrap();
    for host in ["iam.amazonaws.com", "bucket.s3.amazonaws.com", "STS.us-east-1.amazonaws.com.", "vpce-1.sqs.us-east-1.vpce.amazonaws.com"] {
        assert_eq!(ending(&mut ground.ask(host).await).await.unwrap_err(), ErrorKind::ConnectionReset, "{host}");
    }
    for host in ["globalaccelerator.amazonaws.com", "bucket.s3-accelerate.amazonaws.com", "us-east-1.s3.us-west-2.amazonaws.com", "plain.example.com"]
    {
        ground.tunnel(host).await;
    }
}
