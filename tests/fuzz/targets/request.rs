//! The gateway's request parser: the first bytes of a connection, before anything is known of the client.

use firedrill::gateway::{FirstHead, aws_host, first_head};

/// Nothing depends on how the bytes were cut into packets; a tunnel's host is fit for a look-up; a refusal is one whole response.
pub fn run(data: &[u8]) {
    let whole = first_head(&[data]);
    // Some cuts, and every byte by itself where that is quick.
    for at in [1, data.len() / 3, data.len() / 2, data.len().saturating_sub(1)] {
        let (first, second) = data.split_at(at.min(data.len()));
        alike(&whole, &first_head(&[first, second]));
    }
    if data.len() <= 512 {
        alike(&whole, &first_head(&data.chunks(1).collect::<Vec<_>>()));
    }
    match whole {
        FirstHead::Incomplete => {}
        FirstHead::Tunnel(host, port, early) => {
            assert!(port > 0 && !host.is_empty() && host.len() <= 255, "{host}:{port}");
            assert!(host.bytes().all(|byte| byte.is_ascii_graphic() && !b"/@?#\\\"'<>".contains(&byte)), "{host:?}");
            assert!(data.ends_with(&early), "early data is lost");
            let _ = aws_host::classify(&host);
        }
        FirstHead::Plain(all) => assert_eq!(all, data, "a byte of the request is lost"),
        FirstHead::Refused(response) => refusal(&response),
    }
}

/// A head that arrives in pieces is judged at its end; what came behind it in the same packet is then not there yet.
fn alike(whole: &FirstHead, pieces: &FirstHead) {
    match (whole, pieces) {
        (FirstHead::Tunnel(host, port, early), FirstHead::Tunnel(other_host, other_port, other_early)) => {
            assert_eq!((host, port), (other_host, other_port), "the cut matters");
            assert!(early.starts_with(other_early), "early data appears from nowhere");
        }
        (FirstHead::Plain(all), FirstHead::Plain(other)) => assert!(all.starts_with(other), "the cut matters"),
        _ => assert_eq!(whole, pieces, "the cut matters"),
    }
}

fn refusal(response: &[u8]) {
    let text = std::str::from_utf8(response).expect("UTF-8");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
    let lines: Vec<_> = head.split("\r\n").collect();
    let status: u16 = lines[0].strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).and_then(|code| code.parse().ok()).expect("a status");
    assert!((400..600).contains(&status), "{head}");
    // What the client sent is shown back in the body: never in the head, and never so that it could steer a terminal.
    assert_eq!(lines.len(), 4, "{head}");
    assert!(lines.contains(&format!("Content-Length: {}", body.len()).as_str()), "{head}");
    assert!(body.trim_end_matches('\n').chars().all(|c| !c.is_control()), "{body:?}");
}
