//! An HTTP/1.1 origin that costs as little as it can: a small answer to every request, or as many bytes as the path asks for.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{Failure, until_told};

/// A download's path is this and a number of bytes.
pub const BYTES: &str = "/bytes/";
/// Bytes of the small answer's body, about those of a small API call.
const BODY: usize = 256;

/// Serves until standard input ends. Prints the address first.
pub async fn serve(listen: SocketAddr) -> Result<Value, Failure> {
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(listen)?;
    let listener = socket.listen(4096)?;
    let ready = json!({"listen": listener.local_addr()?.to_string()});
    until_told(ready, async move {
        loop {
            accept(&listener).await?;
        }
    })
    .await
}

async fn accept(listener: &TcpListener) -> Result<(), Failure> {
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    // A connection that breaks is the other side's measurement.
    tokio::spawn(async move { answer(stream).await.is_ok() });
    Ok(())
}

async fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let small = format!("HTTP/1.1 200 OK\r\nContent-Length: {BODY}\r\n\r\n{}", "x".repeat(BODY));
    // Small, and grown by nothing: an idle connection must cost the machine little.
    let mut head = Vec::with_capacity(512);
    loop {
        head.clear();
        while !head.ends_with(b"\r\n\r\n") {
            if stream.read_buf(&mut head).await? == 0 {
                return Ok(());
            }
        }
        let path = head.split(|byte| *byte == b' ').nth(1).and_then(|path| path.strip_prefix(BYTES.as_bytes()));
        match path.and_then(|number| std::str::from_utf8(number).ok()?.parse::<u64>().ok()) {
            None => stream.write_all(small.as_bytes()).await?,
            Some(count) => download(&mut stream, count).await?,
        }
    }
}

async fn download(stream: &mut TcpStream, mut count: u64) -> std::io::Result<()> {
    stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {count}\r\n\r\n").as_bytes()).await?;
    let chunk = vec![b'x'; 256 * 1024];
    while count > 0 {
        let part = usize::try_from(count).unwrap_or(usize::MAX).min(chunk.len());
        stream.write_all(&chunk[..part]).await?;
        count -= part as u64;
    }
    Ok(())
}
