//! The load generator: the same for a direct connection, a CONNECT proxy and a TCP proxy.

use std::io;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::origin::BYTES;
use super::{Failure, Through, until_told};

const REQUEST: &[u8] = b"POST /small HTTP/1.1\r\nHost: dynamodb.us-east-1.amazonaws.com\r\n\r\n";
/// Connections that are opened at once by [`idle`].
const AT_ONCE: usize = 32;
/// Longest that anything here may take beyond its planned time.
const PATIENCE: Duration = Duration::from_secs(30);

/// Requests on kept connections: `{"perSecond", "requests", "p50", "p99", "max"}`, times in microseconds.
pub async fn requests(through: &Through, connections: usize, length: Duration) -> Result<Value, Failure> {
    let mut wires = Vec::new();
    for _ in 0..connections {
        let mut wire = Wire::open(through).await?;
        wire.exchange().await?;
        wires.push(wire);
    }
    let start = Instant::now();
    let end = start + length;
    let mut running = JoinSet::new();
    for mut wire in wires {
        running.spawn(async move {
            let mut took = Vec::with_capacity(65_536);
            let mut before = Instant::now();
            while before < end {
                wire.exchange().await?;
                let now = Instant::now();
                took.push(micros(now - before));
                before = now;
            }
            Ok::<_, io::Error>(took)
        });
    }
    summed(running, start, length).await
}

/// A new connection for every request: `{"perSecond", "requests", "p50", "p99", "max"}`, from connecting to the whole answer.
pub async fn connects(through: &Through, connections: usize, length: Duration) -> Result<Value, Failure> {
    let start = Instant::now();
    let end = start + length;
    let mut running = JoinSet::new();
    for _ in 0..connections {
        let through = through.clone();
        running.spawn(async move {
            let mut took = Vec::with_capacity(65_536);
            let mut before = Instant::now();
            while before < end {
                Wire::open(&through).await?.exchange().await?;
                let now = Instant::now();
                took.push(micros(now - before));
                before = now;
            }
            Ok::<_, io::Error>(took)
        });
    }
    summed(running, start, length).await
}

/// One download: `{"megabytesPerSecond"}`.
pub async fn download(through: &Through, bytes: u64) -> Result<Value, Failure> {
    let mut wire = Wire::open(through).await?;
    let mut sink = vec![0; 256 * 1024];
    let start = Instant::now();
    wire.stream.write_all(format!("GET {BYTES}{bytes} HTTP/1.1\r\nHost: origin\r\n\r\n").as_bytes()).await?;
    let head = wire.read_head().await?;
    let mut read = wire.data.len() as u64 - head as u64;
    while read < bytes {
        match tokio::time::timeout(PATIENCE, wire.stream.read(&mut sink)).await? {
            Ok(0) => return Err("the download ended too early".into()),
            Ok(count) => read += count as u64,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(json!({"megabytesPerSecond": bytes as f64 / 1e6 / start.elapsed().as_secs_f64()}))
}

/// Opens connections, sends one request on each, says `{"open"}`, and keeps them until standard input ends.
pub async fn idle(through: &Through, connections: usize) -> Result<Value, Failure> {
    let mut wires = Vec::new();
    while wires.len() < connections {
        let mut opening = JoinSet::new();
        for _ in 0..AT_ONCE.min(connections - wires.len()) {
            let through = through.clone();
            opening.spawn(async move {
                let mut wire = Wire::open(&through).await?;
                wire.exchange().await?;
                Ok::<_, io::Error>(wire)
            });
        }
        while let Some(opened) = opening.join_next().await {
            wires.push(opened??);
        }
    }
    until_told(json!({"open": wires.len()}), std::future::pending()).await
}

async fn summed(mut running: JoinSet<io::Result<Vec<u32>>>, start: Instant, length: Duration) -> Result<Value, Failure> {
    let mut all = Vec::new();
    let done = async {
        while let Some(took) = running.join_next().await {
            all.extend(took??);
        }
        Ok::<_, Failure>(())
    };
    tokio::time::timeout(length + PATIENCE, done).await.map_err(|_| "an answer never came")??;
    let seconds = start.elapsed().as_secs_f64();
    all.sort_unstable();
    let at = |share: f64| all.get((((all.len() as f64) * share) as usize).min(all.len().saturating_sub(1))).copied();
    Ok(json!({"perSecond": all.len() as f64 / seconds, "requests": all.len(), "p50": at(0.50), "p99": at(0.99), "max": all.last()}))
}

fn micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}

/// A connection to the origin, and what was read from it.
struct Wire {
    stream: TcpStream,
    data: Vec<u8>,
    /// Length of the answer; every one is the same.
    answer: Option<usize>,
}

impl Wire {
    async fn open(through: &Through) -> io::Result<Self> {
        let stream = TcpStream::connect(through.target).await?;
        stream.set_nodelay(true)?;
        let mut wire = Self { stream, data: Vec::with_capacity(1024), answer: None };
        if let Some(authority) = &through.connect {
            let ask = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n");
            wire.stream.write_all(ask.as_bytes()).await?;
            let head = wire.read_head().await?;
            let said = String::from_utf8_lossy(&wire.data[..head]).into_owned();
            if said.split(' ').nth(1) != Some("200") || wire.data.len() > head {
                return Err(io::Error::other(format!("no tunnel: {}", said.lines().next().unwrap_or_default())));
            }
        }
        Ok(wire)
    }

    /// Reads until a head is there; the first bytes of a body may be behind it. Says where it ends.
    async fn read_head(&mut self) -> io::Result<usize> {
        self.data.clear();
        loop {
            if let Some(at) = self.data.windows(4).position(|four| four == b"\r\n\r\n") {
                return Ok(at + 4);
            }
            if self.stream.read_buf(&mut self.data).await? == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection ended in a head"));
            }
        }
    }

    /// Sends a request and reads its whole answer.
    async fn exchange(&mut self) -> io::Result<()> {
        self.stream.write_all(REQUEST).await?;
        let whole = match self.answer {
            Some(whole) => {
                self.data.clear();
                whole
            }
            None => {
                let head = self.read_head().await?;
                let text = String::from_utf8_lossy(&self.data[..head]).into_owned();
                let length = text.split("Content-Length: ").nth(1).and_then(|rest| rest.split("\r\n").next()?.parse::<usize>().ok());
                head + length.ok_or_else(|| io::Error::other(format!("not an answer: {text}")))?
            }
        };
        self.answer = Some(whole);
        while self.data.len() < whole {
            if self.stream.read_buf(&mut self.data).await? == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection ended in an answer"));
            }
        }
        Ok(())
    }
}
