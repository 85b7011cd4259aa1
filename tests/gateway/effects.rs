//! Resets, latency and errors: what a client sees of each, and that it is over when the rule is.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use firedrill::gateway::aws_call::AwsError;
use firedrill::gateway::{Effect, Rule};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::ground::*;

const IAM: &str = "iam.amazonaws.com";

fn reset(after_bytes: u64) -> Effect {
    Effect::Reset { after_bytes }
}

fn slow(delay_ms: u64, bytes_per_second: Option<u64>) -> Effect {
    Effect::Latency { delay_ms, jitter_ms: 0, bytes_per_second }
}

fn error(operations: &[&str], per_million: u32) -> Effect {
    let operations = operations.iter().map(|name| (*name).to_owned()).collect();
    Effect::Error { operations, error: AwsError::AccessDenied, per_million, seed: Some(7) }
}

fn about(services: &[&str], rule: Rule) -> Rule {
    Rule { services: services.iter().map(|name| (*name).to_owned()).collect(), ..rule }
}

/// A form of the query protocol.
fn form(host: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST http://{host}/ HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

/// Everything that comes before the connection is reset.
async fn until_reset(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    let ended = within(stream.read_to_end(&mut all)).await;
    assert_eq!(ended.expect_err("it should be reset").kind(), ErrorKind::ConnectionReset, "after {} bytes", all.len());
    all
}

/// An HTTP upstream with an answer of so many bytes' body, and how many requests it got.
async fn answering(size: usize) -> (std::net::SocketAddr, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let serve = move |mut stream: TcpStream| {
        let count = count.clone();
        async move {
            while read_request(&mut stream).await.is_some() {
                count.fetch_add(1, Ordering::SeqCst);
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n");
                if stream.write_all(&[head.as_bytes(), &vec![b'x'; size]].concat()).await.is_err() {
                    return;
                }
            }
        }
    };
    (upstream(serve).await.0, asked)
}

#[tokio::test]
async fn a_plain_answer_is_cut_by_a_reset_after_exactly_so_many_bytes() {
    let (address, asked) = answering(200_000).await;
    let ground = Ground::new(address);
    for bytes in [1, 30, 1_000, 150_000] {
        let id = format!("cut-{bytes}");
        let mut stream = ground.connect().await;
        // A kept connection: the request before the rule, and its answer, are not touched.
        assert_eq!(exchange(&mut stream, &get(EAST)).await.1.len(), 200_000);
        ground.put(rule(&id, reset(bytes))).await;
        assert_eq!(exchange(&mut stream, &get(WEST)).await.1.len(), 200_000);
        stream.write_all(get(EAST).as_bytes()).await.unwrap();
        let got = until_reset(&mut stream).await;
        assert_eq!(got.len() as u64, bytes);
        assert!(b"HTTP/1.1 200 OK\r\n".starts_with(&got[..got.len().min(17)]));
        assert_eq!(ground.hit_count(&id).await, 1);
        ground.client.remove(&id, None, None).await.unwrap();
    }
    assert_eq!(asked.load(Ordering::SeqCst), 12, "every request was carried out");
}

#[tokio::test]
async fn an_answer_that_ends_before_the_cut_passes_whole_and_is_no_hit() {
    let (address, _) = answering(100).await;
    let ground = Ground::new(address);
    ground.put(rule("cut", reset(10_000))).await;
    let mut stream = ground.connect().await;
    for _ in 0..3 {
        assert_eq!(exchange(&mut stream, &get(EAST)).await.1.len(), 100);
    }
    assert_eq!(ground.hit_count("cut").await, 0);
}

#[tokio::test]
async fn a_tunnel_is_reset_after_exactly_so_many_bytes_from_its_target() {
    let ground = Ground::new(echo().await);
    ground.put(rule("cut", reset(1_000))).await;
    let mut tunnel = ground.tunnel(EAST).await;
    let mut part = [0; 400];
    for _ in 0..2 {
        tunnel.write_all(&[7; 400]).await.unwrap();
        within(tunnel.read_exact(&mut part)).await.unwrap();
    }
    assert_eq!(ground.hit_count("cut").await, 0, "nothing was cut so far");
    tunnel.write_all(&[7; 400]).await.unwrap();
    assert_eq!(until_reset(&mut tunnel).await.len(), 200);
    assert_eq!(ground.hit_count("cut").await, 1);
    ground.tunnel(WEST).await;
    ground.client.remove("cut", None, None).await.unwrap();
    let mut tunnel = ground.tunnel(EAST).await;
    tunnel.write_all(&[7; 5_000]).await.unwrap();
    within(tunnel.read_exact(&mut [0; 5_000])).await.unwrap();
}

#[tokio::test]
async fn with_no_byte_to_pass_a_request_is_reset_and_its_target_never_hears_of_it() {
    let heard = Arc::new(AtomicUsize::new(0));
    let count = heard.clone();
    let serve = move |mut stream: TcpStream| {
        let count = count.clone();
        async move {
            let mut all = [0; 100];
            count.fetch_add(stream.read(&mut all).await.unwrap_or(0), Ordering::SeqCst);
        }
    };
    let ground = Ground::new(upstream(serve).await.0);
    ground.put(rule("cut", reset(0))).await;
    let mut plain = ground.connect().await;
    plain.write_all(get(EAST).as_bytes()).await.unwrap();
    assert_eq!(until_reset(&mut plain).await, b"");
    let mut tunnel = ground.tunnel(EAST).await;
    tunnel.write_all(b"hello").await.unwrap();
    assert_eq!(until_reset(&mut tunnel).await, b"");
    // What comes right behind the CONNECT counts as the client's first word.
    let mut early = ground.connect().await;
    early.write_all(format!("CONNECT {EAST}:443 HTTP/1.1\r\n\r\nhello").as_bytes()).await.unwrap();
    let head = until_reset(&mut early).await;
    assert!(head.starts_with(b"HTTP/1.1 200 ") && head.ends_with(b"\r\n\r\n"));
    assert_eq!(ground.hit_count("cut").await, 3);
    assert_eq!(heard.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_reset_rule_cuts_open_connections_only_when_it_says_so() {
    let ground = Ground::new(echo().await);
    let mut open = ground.tunnel(EAST).await;
    ground.put(rule("keep", reset(0))).await;
    open.write_all(b"a").await.unwrap();
    within(open.read_u8()).await.unwrap();
    ground.put(Rule { cut_existing: true, ..rule("cut", reset(0)) }).await;
    assert_eq!(until_reset(&mut open).await, b"");
}

#[tokio::test]
async fn a_tunnel_whose_reset_rule_has_ended_goes_on() {
    let ground = Ground::new(echo().await);
    ground.put(rule("cut", reset(10))).await;
    let mut tunnel = ground.tunnel(EAST).await;
    tunnel.write_all(b"12345").await.unwrap();
    within(tunnel.read_exact(&mut [0; 5])).await.unwrap();
    ground.client.remove("cut", None, None).await.unwrap();
    tunnel.write_all(&[1; 100_000]).await.unwrap();
    within(tunnel.read_exact(&mut vec![0; 100_000])).await.unwrap();
    tunnel.shutdown().await.unwrap();
    assert_eq!(ending(&mut tunnel).await.unwrap(), b"");
    ground.connections(0).await;
}

#[tokio::test]
async fn every_request_of_a_kept_plain_connection_waits_and_others_do_not() {
    let ground = Ground::new(mirror().await);
    let mut stream = ground.connect().await;
    exchange(&mut stream, &get(EAST)).await;
    ground.put(rule("slow", slow(120, None))).await;
    for count in 1..=3 {
        let begin = Instant::now();
        exchange(&mut stream, &get(EAST)).await;
        assert!(begin.elapsed() >= Duration::from_millis(120), "request {count} took {:?}", begin.elapsed());
        assert_eq!(ground.hit_count("slow").await, count);
        exchange(&mut stream, &get(WEST)).await;
    }
    assert_eq!(ground.hit_count("slow").await, 3);
}

#[tokio::test]
async fn a_tunnel_waits_each_time_its_client_speaks_after_it_was_answered() {
    let ground = Ground::new(echo().await);
    ground.put(rule("slow", slow(100, None))).await;
    let begin = Instant::now();
    let mut tunnel = ground.tunnel(EAST).await;
    assert!(begin.elapsed() >= Duration::from_millis(100), "the CONNECT took {:?}", begin.elapsed());
    let mut byte = [0; 2];
    for turn in 2..=4 {
        let begin = Instant::now();
        // Two words in one turn wait once.
        tunnel.write_all(b"a").await.unwrap();
        tunnel.write_all(b"b").await.unwrap();
        within(tunnel.read_exact(&mut byte)).await.unwrap();
        assert!(begin.elapsed() >= Duration::from_millis(100), "turn {turn} took {:?}", begin.elapsed());
        assert!(ground.hit_count("slow").await >= turn);
    }
}

#[tokio::test]
async fn when_a_latency_rule_ends_nothing_waits_any_longer() {
    let ground = Ground::new(mirror().await);
    ground.put(rule("slow", slow(600_000, None))).await;
    let mut plain = ground.connect().await;
    plain.write_all(get(EAST).as_bytes()).await.unwrap();
    let mut connecting = ground.ask(EAST).await;
    ground.hits("slow", 2).await;
    ground.client.remove("slow", None, None).await.unwrap();
    read_response(&mut plain).await;
    assert!(read_head(&mut connecting).await.starts_with("HTTP/1.1 200 "));
    // A delay inside a tunnel, too.
    ground.put(rule("jolt", slow(1, None))).await;
    let mut tunnel = ground.tunnel(EAST).await;
    ground.client.remove("jolt", None, None).await.unwrap();
    exchange(&mut tunnel, "GET / HTTP/1.1\r\n\r\n").await;
}

#[tokio::test]
async fn bandwidth_holds_for_answers_and_bodies_of_plain_requests_and_of_tunnels() {
    const RATE: u64 = 40_000;
    // A slice of 50 ms may pass at once, on each end of a stretch: a fifth is left for that.
    let least = Duration::from_millis(800);
    let (address, _) = answering(40_000).await;
    let (down, up) = (Ground::new(address), Ground::new(mirror().await));
    for ground in [&down, &up] {
        ground.put(rule("slow", slow(0, Some(RATE)))).await;
    }
    let body = "x".repeat(40_000);
    let inside = format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let outside = inside.replacen('/', &format!("http://{EAST}/"), 1);
    let timed = async |ground: &Ground, tunnel: bool, request: &str| {
        let mut stream = if tunnel { ground.tunnel(EAST).await } else { ground.connect().await };
        let begin = Instant::now();
        exchange(&mut stream, request).await;
        begin.elapsed()
    };
    let (get_inside, get_outside) = ("GET / HTTP/1.1\r\n\r\n", get(EAST));
    let all =
        tokio::join!(timed(&down, false, &get_outside), timed(&down, true, get_inside), timed(&up, false, &outside), timed(&up, true, &inside),);
    for took in [all.0, all.1, all.2, all.3] {
        assert!(took >= least, "{all:?}");
    }
}

#[tokio::test]
async fn bandwidth_is_released_on_live_connections_when_the_rule_ends() {
    let (address, _) = answering(5_000_000).await;
    let ground = Ground::new(address);
    ground.put(rule("slow", slow(0, Some(1_000)))).await;
    let mut plain = ground.connect().await;
    plain.write_all(get(EAST).as_bytes()).await.unwrap();
    let mut tunnel = ground.tunnel(EAST).await;
    tunnel.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    for stream in [&mut plain, &mut tunnel] {
        read_head(stream).await;
    }
    ground.client.remove("slow", None, None).await.unwrap();
    // At a thousand bytes a second this would take an hour and a half.
    for stream in [&mut plain, &mut tunnel] {
        within(stream.read_exact(&mut vec![0; 5_000_000])).await.unwrap();
    }
}

#[tokio::test]
async fn chosen_operations_fail_with_the_error_of_their_protocol_and_the_others_pass() {
    let ground = Ground::new(mirror().await);
    ground.put(about(&["iam"], rule("denied", error(&["ListPolicies", "GetUser"], 1_000_000)))).await;
    let mut stream = ground.connect().await;
    for _ in 0..2 {
        let (head, body) = exchange(&mut stream, &form(IAM, "Action=ListPolicies&Version=2010-05-08")).await;
        assert!(head.starts_with("HTTP/1.1 403 "), "{head}");
        assert!(body.contains("<Code>AccessDenied</Code>"), "{body}");
        let (head, body) = exchange(&mut stream, &form(IAM, "Action=ListRoles&Version=2010-05-08")).await;
        assert!(head.starts_with("HTTP/1.1 200 ") && body.ends_with("35|Action=ListRoles&Version=2010-05-08"), "{head}{body}");
    }
    // Another service, the same operation; no operation that anybody could recognise; a form that names none.
    for request in [form("sts.amazonaws.com", "Action=GetUser&Version=1"), get(IAM), form(IAM, "Version=2010-05-08")] {
        let (head, _) = exchange(&mut stream, &request).await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    }
    assert_eq!(ground.hit_count("denied").await, 2);
}

#[tokio::test]
async fn a_tunnel_to_a_service_whose_operations_fail_passes_and_is_no_hit() {
    let ground = Ground::new(echo().await);
    ground.put(about(&["*"], rule("denied", error(&["*"], 1_000_000)))).await;
    let mut tunnel = ground.tunnel(IAM).await;
    tunnel.write_all(b"Action=ListPolicies").await.unwrap();
    within(tunnel.read_exact(&mut [0; 19])).await.unwrap();
    assert_eq!(ground.hit_count("denied").await, 0);
}

#[tokio::test]
async fn a_form_too_large_to_be_read_is_passed_on_whole() {
    let ground = Ground::new(mirror().await);
    ground.put(about(&["iam"], rule("denied", error(&["*"], 1_000_000)))).await;
    let large = format!("Action=ListPolicies&Padding={}", "x".repeat(1_500_000));
    let mut stream = ground.connect().await;
    let (head, body) = exchange(&mut stream, &form(IAM, &large)).await;
    assert!(head.starts_with("HTTP/1.1 200 ") && body.ends_with(&format!("{}|{large}", large.len())), "{head}");
    assert_eq!(ground.hit_count("denied").await, 0);
    // One that just fits is read, and still arrives whole when another operation is meant.
    let fits = format!("Action=Other&Padding={}", "y".repeat(1_000_000));
    ground.client.remove("denied", None, None).await.unwrap();
    ground.put(about(&["iam"], rule("denied-2", error(&["ListPolicies"], 1_000_000)))).await;
    let (_, body) = exchange(&mut stream, &form(IAM, &fits)).await;
    assert!(body.ends_with(&format!("{}|{fits}", fits.len())));
}

#[tokio::test]
async fn a_share_of_the_requests_fails_and_the_same_seed_fails_the_same_ones() {
    let mut seen = Vec::new();
    for id in ["first", "second"] {
        let ground = Ground::new(mirror().await);
        ground.put(about(&["iam"], rule(id, error(&["GetUser"], 300_000)))).await;
        let mut stream = ground.connect().await;
        let mut failed = Vec::new();
        for _ in 0..60 {
            let (head, _) = exchange(&mut stream, &form(IAM, "Action=GetUser&Version=1")).await;
            failed.push(head.starts_with("HTTP/1.1 403 "));
            // Requests for other operations do not move the sequence on.
            exchange(&mut stream, &form(IAM, "Action=GetRole&Version=1")).await;
        }
        assert_eq!(ground.hit_count(id).await, failed.iter().filter(|failed| **failed).count() as u64);
        seen.push(failed);
    }
    assert_eq!(seen[0], seen[1]);
    assert!(seen[0].contains(&true) && seen[0].contains(&false));
}

#[tokio::test]
async fn an_error_is_slow_too_and_a_refusal_goes_before_both() {
    let ground = Ground::new(mirror().await);
    ground.put(about(&["iam"], rule("denied", error(&["*"], 1_000_000)))).await;
    ground.put(about(&["iam"], rule("slow", slow(80, None)))).await;
    let mut stream = ground.connect().await;
    let begin = Instant::now();
    let (head, _) = exchange(&mut stream, &form(IAM, "Action=GetUser&Version=1")).await;
    assert!(head.starts_with("HTTP/1.1 403 ") && begin.elapsed() >= Duration::from_millis(80));
    assert_eq!((ground.hit_count("denied").await, ground.hit_count("slow").await), (1, 1));
    ground.put(about(&["iam"], rule("no", Effect::Refuse))).await;
    stream.write_all(form(IAM, "Action=GetUser&Version=1").as_bytes()).await.unwrap();
    assert_eq!(until_reset(&mut stream).await, b"");
    assert_eq!((ground.hit_count("denied").await, ground.hit_count("slow").await, ground.hit_count("no").await), (1, 1, 1));
}

#[tokio::test]
async fn a_client_that_is_still_sending_gets_the_error_whole() {
    let ground = Ground::new(mirror().await);
    ground.put(about(&["dynamodb"], rule("denied", error(&["PutItem"], 1_000_000)))).await;
    let mut stream = ground.connect().await;
    let head = format!(
        "POST http://{EAST}/ HTTP/1.1\r\nHost: {EAST}\r\nX-Amz-Target: DynamoDB_20120810.PutItem\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: 300000\r\n\r\n"
    );
    for _ in 0..3 {
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&[b'x'; 300_000]).await.unwrap();
        let (head, body) = read_response(&mut stream).await;
        assert!(!head.starts_with("HTTP/1.1 200 ") && body.contains("AccessDenied"), "{head}{body}");
    }
}
