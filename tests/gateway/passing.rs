//! Without a rule everything passes, as if the gateway were not there.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::ground::*;

#[tokio::test]
async fn curl_reaches_a_service_in_plain_and_through_a_tunnel() {
    let ground = Ground::new(mirror().await);
    for arguments in [&["http://dynamodb.us-east-1.amazonaws.com/x?y=1"][..], &["--proxytunnel", "http://dynamodb.us-east-1.amazonaws.com/x?y=1"]] {
        let (code, body) = ground.curl(arguments).await;
        assert_eq!(code, 0);
        assert!(body.starts_with("GET /x?y=1 HTTP/1.1\r\n"), "{body}");
        assert!(body.to_lowercase().contains("host: dynamodb.us-east-1.amazonaws.com\r\n"), "{body}");
    }
}

#[tokio::test]
async fn curl_uploads_with_expect_100_continue_and_in_chunks() {
    let ground = Ground::new(mirror().await);
    let file = ground.directory.path().join("body");
    std::fs::write(&file, "x".repeat(300_000)).unwrap();
    let data = format!("@{}", file.display());
    for header in ["Expect: 100-continue", "Transfer-Encoding: chunked"] {
        let (code, body) = ground.curl(&["-H", header, "--data-binary", &data, "http://dynamodb.us-east-1.amazonaws.com/"]).await;
        assert_eq!(code, 0);
        assert!(body.contains("300000|xxx"), "{}", &body[..400.min(body.len())]);
    }
}

#[tokio::test]
async fn a_tunnel_passes_the_clients_end_on_and_still_carries_the_answer() {
    let serve = async |mut stream: TcpStream| {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.unwrap();
        stream.write_all(format!("got {}", all.len()).as_bytes()).await.unwrap();
    };
    let (address, _task) = upstream(serve).await;
    let ground = Ground::new(address);
    let mut tunnel = ground.tunnel(EAST).await;
    tunnel.write_all(&[7; 100_000]).await.unwrap();
    tunnel.shutdown().await.unwrap();
    assert_eq!(ending(&mut tunnel).await.unwrap(), b"got 100000");
    ground.connections(0).await;
}

#[tokio::test]
async fn a_tunnel_passes_the_upstreams_end_on_and_still_carries_the_clients_data() {
    let (told, mut heard) = tokio::sync::mpsc::channel(1);
    let serve = move |mut stream: TcpStream| {
        let told = told.clone();
        async move {
            stream.write_all(b"bye").await.unwrap();
            stream.shutdown().await.unwrap();
            let mut all = String::new();
            stream.read_to_string(&mut all).await.unwrap();
            told.send(all).await.unwrap();
        }
    };
    let (address, _task) = upstream(serve).await;
    let ground = Ground::new(address);
    let mut tunnel = ground.tunnel(EAST).await;
    assert_eq!(ending(&mut tunnel).await.unwrap(), b"bye");
    tunnel.write_all(b"after your end").await.unwrap();
    tunnel.shutdown().await.unwrap();
    assert_eq!(within(heard.recv()).await.as_deref(), Some("after your end"));
}

#[tokio::test]
async fn data_sent_right_behind_the_connect_arrives_first() {
    let ground = Ground::new(echo().await);
    let mut stream = ground.connect().await;
    stream.write_all(format!("CONNECT {EAST}:443 HTTP/1.1\r\n\r\nearly ").as_bytes()).await.unwrap();
    read_head(&mut stream).await;
    stream.write_all(b"late").await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(ending(&mut stream).await.unwrap(), b"early late");
}

#[tokio::test]
async fn a_reset_on_one_side_reaches_the_other() {
    let serve = async |mut stream: TcpStream| {
        let _ = stream.read_u8().await;
        stream.set_zero_linger().unwrap();
    };
    let (address, _task) = upstream(serve).await;
    let ground = Ground::new(address);
    let mut tunnel = ground.tunnel(EAST).await;
    tunnel.write_all(b"x").await.unwrap();
    assert_eq!(ending(&mut tunnel).await.unwrap_err(), std::io::ErrorKind::ConnectionReset);
}

/// Far more than the kernel's buffers of four sockets hold.
const MUCH: usize = 512 * 1024 * 1024;

/// An upstream that writes as much as it is let, behind a head; and how much that was.
async fn flood(head: String) -> (std::net::SocketAddr, Arc<AtomicUsize>) {
    let sent = Arc::new(AtomicUsize::new(0));
    let count = sent.clone();
    let serve = move |mut stream: TcpStream| {
        let (count, head) = (count.clone(), head.clone());
        async move {
            if !head.is_empty() && read_request(&mut stream).await.is_none() {
                return;
            }
            let _ = stream.write_all(head.as_bytes()).await;
            let chunk = vec![0; 256 * 1024];
            while count.load(Ordering::SeqCst) < MUCH {
                match stream.write(&chunk).await {
                    Ok(written) => count.fetch_add(written, Ordering::SeqCst),
                    Err(_) => return,
                };
            }
        }
    };
    (upstream(serve).await.0, sent)
}

/// Waits until the upstream cannot write any more: the count stays for a while.
async fn stalled(sent: &AtomicUsize) -> usize {
    let mut last = 0;
    loop {
        tokio::time::sleep(Duration::from_millis(400)).await;
        let now = sent.load(Ordering::SeqCst);
        if now == last && now > 0 {
            return now;
        }
        last = now;
    }
}

#[tokio::test]
async fn a_slow_reader_of_a_tunnel_holds_the_writer_back() {
    let (address, sent) = flood(String::new()).await;
    let ground = Ground::new(address);
    let mut tunnel = ground.tunnel(EAST).await;
    let in_flight = within(stalled(&sent)).await;
    assert!(in_flight < MUCH / 4, "{in_flight} bytes were taken from the upstream that nobody read");
    // Reading takes it up again.
    let mut sink = vec![0; 1024 * 1024];
    let mut read = 0;
    while read < in_flight + 8 * 1024 * 1024 {
        read += within(tunnel.read(&mut sink)).await.unwrap();
    }
}

#[tokio::test]
async fn a_slow_reader_of_a_plain_response_holds_the_writer_back() {
    let (address, sent) = flood(format!("HTTP/1.1 200 OK\r\nContent-Length: {MUCH}\r\n\r\n")).await;
    let ground = Ground::new(address);
    let mut stream = ground.connect().await;
    stream.write_all(format!("GET http://{EAST}/ HTTP/1.1\r\nHost: {EAST}\r\n\r\n").as_bytes()).await.unwrap();
    read_head(&mut stream).await;
    let in_flight = within(stalled(&sent)).await;
    assert!(in_flight < MUCH / 4, "{in_flight} bytes were taken from the upstream that nobody read");
}

#[tokio::test]
async fn a_kept_connection_carries_requests_to_different_hosts_one_after_the_other() {
    let ground = Ground::new(mirror().await);
    let mut stream = ground.connect().await;
    for host in [EAST, WEST, WEST, "plain.example.com"] {
        stream.write_all(format!("GET http://{host}/a HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).await.unwrap();
        let (head, body) = read_response(&mut stream).await;
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(body.to_lowercase().contains(&format!("host: {host}\r\n")), "{body}");
    }
}

#[tokio::test]
async fn an_upstream_that_closed_its_kept_connection_is_dialled_again() {
    let ground = Ground::new(mirror().await);
    let mut stream = ground.connect().await;
    for path in ["last", "last", "x"] {
        stream.write_all(format!("GET http://{EAST}/{path} HTTP/1.1\r\nHost: {EAST}\r\n\r\n").as_bytes()).await.unwrap();
        let (head, _) = read_response(&mut stream).await;
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    }
}

#[tokio::test]
async fn headers_of_one_hop_stay_on_it_and_the_target_names_the_host() {
    let ground = Ground::new(mirror().await);
    let mut stream = ground.connect().await;
    let request = format!(
        "GET http://user:secret@{EAST}/a HTTP/1.1\r\nHost: wrong.example.com\r\nConnection: keep-alive, X-Mine\r\nX-Mine: 1\r\nProxy-Connection: keep-alive\r\n\
         Proxy-Authorization: Basic c2VjcmV0\r\nTE: trailers\r\nX-Other: 2\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let (head, body) = read_response(&mut stream).await;
    let seen = body.to_lowercase();
    for gone in ["x-mine", "proxy-", "te:", "wrong.example.com", "secret"] {
        assert!(!seen.contains(gone), "{gone} in {body}");
    }
    assert!(body.starts_with("GET /a HTTP/1.1\r\n"), "{body}");
    assert!(body.contains("X-Other: 2\r\n") && seen.contains(&format!("host: {EAST}\r\n")) && seen.contains("via: 1.1 firedrill-gateway"), "{body}");
    let head = head.to_lowercase();
    assert!(head.contains("x-stays: 1") && !head.contains("x-gone"), "{head}");
}

#[tokio::test]
async fn a_refusal_instead_of_100_continue_reaches_the_client_before_it_sent_the_body() {
    let serve = async |mut stream: TcpStream| {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        assert!(String::from_utf8_lossy(&head).to_lowercase().contains("expect: 100-continue"));
        stream.write_all(b"HTTP/1.1 307 Temporary Redirect\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        assert!(rest.is_empty(), "the body was sent to an upstream that had refused it");
    };
    let (address, _task) = upstream(serve).await;
    let ground = Ground::new(address);
    let mut stream = ground.connect().await;
    stream
        .write_all(format!("PUT http://{EAST}/o HTTP/1.1\r\nHost: {EAST}\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let head = read_head(&mut stream).await;
    assert!(head.starts_with("HTTP/1.1 307 "), "{head}");
}

#[tokio::test]
async fn a_plain_client_that_ended_its_side_still_gets_its_answer() {
    let ground = Ground::new(mirror().await);
    let mut stream = ground.connect().await;
    stream.write_all(format!("GET http://{EAST}/a HTTP/1.1\r\nHost: {EAST}\r\n\r\n").as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let answer = String::from_utf8(ending(&mut stream).await.unwrap()).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("GET /a"), "{answer}");
}

#[tokio::test]
async fn a_connect_on_a_connection_that_carried_plain_requests_works() {
    let ground = Ground::new(mirror().await);
    let mut stream = ground.connect().await;
    stream.write_all(format!("GET http://{EAST}/a HTTP/1.1\r\nHost: {EAST}\r\n\r\n").as_bytes()).await.unwrap();
    read_response(&mut stream).await;
    stream.write_all(format!("CONNECT {EAST}:80 HTTP/1.1\r\nHost: {EAST}\r\n\r\n").as_bytes()).await.unwrap();
    assert!(read_head(&mut stream).await.starts_with("HTTP/1.1 200 "));
    stream.write_all(b"GET /inside HTTP/1.1\r\nHost: inside\r\n\r\n").await.unwrap();
    let (_, body) = read_response(&mut stream).await;
    assert!(body.starts_with("GET /inside HTTP/1.1\r\nHost: inside\r\n"), "{body}");
}

#[tokio::test]
async fn what_cannot_be_passed_on_gets_a_status_and_a_sentence() {
    let ground = Ground::new(mirror().await);
    let own = ground.gateway.address();
    let closed = TcpStream::connect(own).await.unwrap().local_addr().unwrap();
    let long = "x".repeat(70_000);
    let cases = [
        (format!("CONNECT {own} HTTP/1.1\r\n\r\n"), 508, "does not proxy to itself"),
        (format!("GET http://{own}/ HTTP/1.1\r\nHost: {own}\r\n\r\n"), 508, "does not proxy to itself"),
        (format!("GET http://{EAST}/ HTTP/1.1\r\nHost: {EAST}\r\nVia: 1.1 firedrill-gateway\r\n\r\n"), 508, "came through this gateway before"),
        (format!("CONNECT {closed} HTTP/1.1\r\n\r\n"), 502, "cannot connect"),
        ("CONNECT name.invalid:443 HTTP/1.1\r\n\r\n".to_owned(), 502, "cannot resolve"),
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 501, "'--endpoint URL'"),
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 501, "forward proxy"),
        (format!("GET https://{EAST}/ HTTP/1.1\r\nHost: {EAST}\r\n\r\n"), 501, "use CONNECT"),
        ("nonsense\r\n\r\n".to_owned(), 400, "request line"),
        ("\u{16}\u{3}\u{1}".to_owned(), 400, "not HTTP"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), 505, "HTTP/1.1"),
        (format!("CONNECT {EAST}:443 HTTP/1.1\r\nX: {long}\r\n\r\n"), 431, "larger than 64 KiB"),
        (format!("GET http://{EAST}/{long} HTTP/1.1\r\n\r\n"), 431, "larger than 64 KiB"),
    ];
    for (request, status, sentence) in cases {
        let mut stream = ground.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        let (head, body) = read_response(&mut stream).await;
        let shown: String = request.chars().take(60).collect();
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{shown}: {head}");
        assert!(body.contains(sentence), "{shown}: {body}");
    }
    ground.connections(0).await;
}

#[tokio::test]
async fn stopping_ends_every_connection_and_removes_the_socket() {
    let ground = Ground::new(echo().await);
    let mut tunnel = ground.tunnel(EAST).await;
    let socket = ground.gateway.socket().unwrap().to_owned();
    let address = ground.gateway.address();
    within(ground.gateway.stop()).await;
    assert!(!socket.exists());
    assert!(TcpStream::connect(address).await.is_err());
    let _ = ending(&mut tunnel).await;
}
