//! One DNS question, asked and read byte by byte (RFC 1035): a client that shares nothing with firedrill's.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

/// What DNS said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dig {
    /// `NOERROR`, `SERVFAIL`, `NXDOMAIN`, `REFUSED`; `TIMEOUT` when nothing came back.
    pub code: String,
    /// Addresses; `NOERROR` without any is NODATA. Records of other types are named by their number.
    pub answers: Vec<String>,
}

pub fn ask(server: SocketAddr, name: &str, kind: &str) -> Dig {
    let number = match kind {
        "A" => 1u16,
        "TXT" => 16,
        "AAAA" => 28,
        other => panic!("dig knows A, AAAA and TXT, not {other}"),
    };
    let mut question = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.trim_end_matches('.').split('.') {
        question.push(label.len() as u8);
        question.extend(label.as_bytes());
    }
    question.push(0);
    question.extend(number.to_be_bytes());
    question.extend(1u16.to_be_bytes());

    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut answer = [0; 4096];
    let Ok(length) = socket.send(&question).and_then(|_| socket.recv(&mut answer)) else {
        return Dig { code: "TIMEOUT".to_owned(), answers: Vec::new() };
    };
    read(&answer[..length])
}

fn read(answer: &[u8]) -> Dig {
    assert_eq!(answer[..2], [0x12, 0x34], "an answer to this question");
    let code = match answer[3] & 0xF {
        0 => "NOERROR".to_owned(),
        2 => "SERVFAIL".to_owned(),
        3 => "NXDOMAIN".to_owned(),
        5 => "REFUSED".to_owned(),
        other => other.to_string(),
    };
    let word = |at: usize| u16::from_be_bytes([answer[at], answer[at + 1]]);
    let mut at = behind_name(answer, 12) + 4;
    let mut answers = Vec::new();
    for _ in 0..word(6) {
        at = behind_name(answer, at);
        let (kind, length) = (word(at), usize::from(word(at + 8)));
        let data = &answer[at + 10..at + 10 + length];
        answers.push(match kind {
            1 => Ipv4Addr::from(<[u8; 4]>::try_from(data).unwrap()).to_string(),
            28 => Ipv6Addr::from(<[u8; 16]>::try_from(data).unwrap()).to_string(),
            other => format!("type {other}"),
        });
        at += 10 + length;
    }
    Dig { code, answers }
}

fn behind_name(answer: &[u8], mut at: usize) -> usize {
    loop {
        match answer[at] {
            0 => return at + 1,
            // A pointer to a name seen before.
            length if length >= 0xC0 => return at + 2,
            length => at += 1 + usize::from(length),
        }
    }
}
