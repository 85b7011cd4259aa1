//! One TCP stream that several owners look at: the one that moves bytes, the one that watches for the peer's leaving, the one that cuts.

use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

/// A shared TCP stream. It is closed when the last clone is dropped.
#[derive(Debug, Clone)]
pub(super) struct Wire(Arc<TcpStream>);

impl Wire {
    /// Takes a stream: no Nagle delay, and dead peers are noticed by keep-alive.
    pub fn new(stream: TcpStream) -> Self {
        set_options(&stream);
        Self(Arc::new(stream))
    }

    /// Takes a stream of a listener that [`set_options`] was called on: on Linux it has the options already.
    pub fn accepted(stream: TcpStream) -> Self {
        if !cfg!(target_os = "linux") {
            set_options(&stream);
        }
        Self(Arc::new(stream))
    }

    /// The stream itself, for the calls that need no `&mut`.
    pub fn tcp(&self) -> &TcpStream {
        &self.0
    }

    /// Reads what there is; `WouldBlock` when there is nothing.
    ///
    /// A read that did not fill the buffer has emptied the socket, so the stream counts as not readable until the system says otherwise: that saves
    /// a second read that finds nothing, half of all reads of small exchanges. The end of a stream stays readable whatever is said here.
    pub fn try_read(&self, into: &mut [u8]) -> io::Result<usize> {
        let mut read = None;
        let tried = self.0.try_io(Interest::READABLE, || {
            let count = rustix::io::retry_on_intr(|| rustix::net::recv(&*self.0, &mut *into, rustix::net::RecvFlags::empty()))?.0;
            read = Some(count);
            if (1..into.len()).contains(&count) { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
        });
        match read {
            Some(count) => Ok(count),
            None => tried.map(|()| 0),
        }
    }

    /// Waits for bytes and reads what there is; zero is the end of the stream.
    pub async fn read(&self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            self.0.readable().await?;
            match self.try_read(into) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read,
            }
        }
    }

    /// From now on closing sends a reset (RST) at once instead of an orderly end: unsent data is thrown away.
    pub fn reset_on_close(&self) {
        let _ = rustix::net::sockopt::set_socket_linger(self.tcp(), Some(Duration::ZERO));
    }

    /// Ends our side of the stream; the peer reads an end of file after what was sent before.
    pub fn finish(&self) {
        let _ = rustix::net::shutdown(self.tcp(), rustix::net::Shutdown::Write);
    }

    /// Waits until the peer has ended its side, or is gone. Reads nothing.
    pub async fn left(&self) {
        loop {
            match self.0.ready(Interest::READABLE).await {
                Ok(ready) if ready.is_read_closed() => return,
                Err(_) => return,
                // Unread data keeps the stream readable: the end of file behind it can only be looked for from time to time.
                Ok(_) => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        }
    }
}

/// No Nagle delay, and dead peers are noticed by keep-alive.
pub(super) fn set_options(socket: &impl AsFd) {
    // A socket that refuses an option still carries bytes.
    let _ = rustix::net::sockopt::set_tcp_nodelay(socket, true);
    let _ = rustix::net::sockopt::set_socket_keepalive(socket, true);
    let _ = rustix::net::sockopt::set_tcp_keepidle(socket, Duration::from_secs(60));
    let _ = rustix::net::sockopt::set_tcp_keepintvl(socket, Duration::from_secs(15));
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.0.poll_read_ready(cx))?;
            match self.0.try_read_buf(buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done.map(|_| ())),
            }
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_write_ready(cx))?;
            match self.0.try_write(data) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
        }
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_write_ready(cx))?;
            match self.0.try_write_vectored(data) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.finish();
        Poll::Ready(Ok(()))
    }
}

/// A stream whose first bytes were read already.
#[derive(Debug)]
pub(super) struct Rewound {
    first: bytes::Bytes,
    wire: Wire,
}

impl Rewound {
    /// `first` is read before what still comes.
    pub fn new(first: bytes::Bytes, wire: Wire) -> Self {
        Self { first, wire }
    }
}

impl AsyncRead for Rewound {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.first.is_empty() {
            let count = self.first.len().min(buf.remaining());
            let chunk = self.first.split_to(count);
            buf.put_slice(&chunk);
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.wire).poll_read(cx, buf)
    }
}

impl AsyncWrite for Rewound {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.wire).poll_write(cx, data)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.wire).poll_write_vectored(cx, data)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_shutdown(cx)
    }
}
