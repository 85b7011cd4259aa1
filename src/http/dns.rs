//! One question to one DNS server: UDP, sent again while there is no answer; TCP when the answer is cut short (RFC 1035, RFC 7766).

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hickory_resolver::proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::Failure;
use super::connect::tcp;

/// How long the first datagram is waited for before the question is sent again; twice as long each time after.
const PATIENCE: Duration = Duration::from_millis(500);
/// Without EDNS an answer by UDP has at most 512 bytes; some servers send more all the same.
const LARGEST_DATAGRAM: usize = 4096;
/// TC, in the third byte of the head.
const TRUNCATED: u8 = 0x02;

/// Asks, and gives what the server says to this question. The caller bounds the time; the address has been checked by the caller.
pub async fn ask(server: SocketAddr, name: &Name, kind: RecordType) -> Result<Message, Failure> {
    // With an id that cannot be guessed, from a port that cannot be guessed: RFC 5452.
    let mut question = Message::query();
    question.metadata.recursion_desired = true;
    question.add_query(Query::query(name.clone(), kind));
    let bytes = question.to_vec().map_err(|error| Failure::Instrument(format!("cannot encode the question: {error}")))?;
    match by_udp(server, &question, &bytes).await? {
        Some(told) => Ok(told),
        None => by_tcp(server, &question, &bytes).await.map_err(|failure| match failure {
            Failure::NoAnswer(why) => Failure::NoAnswer(format!("the answer is too long for UDP, and by TCP: {why}")),
            other => other,
        }),
    }
}

/// None: the answer is cut short.
async fn by_udp(server: SocketAddr, question: &Message, bytes: &[u8]) -> Result<Option<Message>, Failure> {
    let any: SocketAddr = if server.is_ipv6() { (Ipv6Addr::UNSPECIFIED, 0).into() } else { (Ipv4Addr::UNSPECIFIED, 0).into() };
    let socket = UdpSocket::bind(any).await?;
    // From here on the kernel passes on only what comes from the server, and that nobody listens there.
    socket.connect(server).await?;
    let mut patience = PATIENCE;
    loop {
        socket.send(bytes).await?;
        if let Ok(told) = timeout(patience, heard(&socket, question)).await {
            return told;
        }
        patience = patience.saturating_mul(2);
    }
}

/// The answer to the question; what answers another one (an earlier one, late, or a forged one) is not heard.
async fn heard(socket: &UdpSocket, question: &Message) -> Result<Option<Message>, Failure> {
    let mut datagram = vec![0; LARGEST_DATAGRAM];
    loop {
        let length = socket.recv(&mut datagram).await?;
        let told = &datagram[..length];
        if !told.starts_with(&question.metadata.id.to_be_bytes()) {
            continue;
        }
        // Looked at before the rest is read: some servers cut through the middle of a record.
        if told.get(2).is_some_and(|flags| flags & TRUNCATED != 0) {
            return Ok(None);
        }
        if let Some(told) = read(told, question)? {
            return Ok(Some(told));
        }
    }
}

async fn by_tcp(server: SocketAddr, question: &Message, bytes: &[u8]) -> Result<Message, Failure> {
    let mut stream = tcp(server).await?;
    let length = u16::try_from(bytes.len()).map_err(|_| Failure::Instrument("the question is too long".to_owned()))?;
    // In one segment: some servers read no further than the first (RFC 7766, 8).
    stream.write_all(&[&length.to_be_bytes(), bytes].concat()).await?;
    let mut told = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut told).await?;
    read(&told, question)?.ok_or_else(|| Failure::NoAnswer("the answer is to another question".to_owned()))
}

/// None: the answer to another question. A server that could not read the question may leave it out of its answer.
fn read(told: &[u8], question: &Message) -> Result<Option<Message>, Failure> {
    let told = Message::from_vec(told).map_err(|error| Failure::NoAnswer(format!("the answer cannot be read: {error}")))?;
    let head = &told.metadata;
    let ours = head.id == question.metadata.id && head.message_type == MessageType::Response && head.op_code == OpCode::Query;
    let bare = told.queries.is_empty() && head.response_code != ResponseCode::NoError;
    Ok((ours && (bare || told.queries == question.queries)).then_some(told))
}
