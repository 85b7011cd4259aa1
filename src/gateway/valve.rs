//! What passes a plain client connection: everything, unless a rule slows its request down or cuts the answer.
//!
//! Answers are held back where they are written to the client, so that every byte counts, their heads too. Requests are held back where their bodies go
//! to the upstream: much of a body may have been read with its head, before anybody could ask the rules.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::counts::{Outcome, Row};
use super::pace::Pace;
use super::request::Sent;
use super::rules::Active;
use super::stream::{Rewound, Wire};

/// A reset throws away what is not sent yet: what came before it gets this long to leave.
pub(super) const LEAVE: Duration = Duration::from_millis(10);

/// A reset that comes when the client has got so much of an answer.
#[derive(Debug)]
pub(super) struct Cut {
    /// Bytes that may still pass.
    pub left: u64,
    /// The rule.
    pub active: Arc<Active>,
    /// The row of the request.
    pub row: Option<Arc<Row>>,
}

impl Cut {
    /// Counts that it happened.
    pub fn done(&self) {
        self.active.hit();
        if let Some(row) = &self.row {
            row.count(Outcome::Reset);
        }
    }
}

/// What rules say of the request that is under way. One for each client connection; its I/O asks it.
#[derive(Debug, Default)]
pub(super) struct Valve {
    /// False as long as there is nothing to ask: most connections never take the lock.
    on: AtomicBool,
    terms: Mutex<Terms>,
}

#[derive(Debug, Default)]
struct Terms {
    cut: Option<Cut>,
    leaving: Option<Pin<Box<Sleep>>>,
    up: Option<Pace>,
    down: Option<Pace>,
}

impl Valve {
    /// What rules say of the next request; what they said of the last one is over. The bandwidth of a rule is one for all requests of a connection.
    pub fn set(&self, cut: Option<Cut>, slows: Option<&Arc<Active>>) {
        let wanted = cut.is_some() || slows.is_some_and(|slows| Pace::new(slows).is_some());
        if !wanted && !self.on.load(Ordering::Acquire) {
            return;
        }
        let mut terms = self.terms();
        let kept = terms.up.as_ref().is_some_and(|pace| slows.is_some_and(|slows| pace.is_of(slows)));
        if !kept {
            (terms.up, terms.down) = (slows.and_then(Pace::new), slows.and_then(Pace::new));
        }
        (terms.cut, terms.leaving) = (cut, None);
        self.on.store(wanted, Ordering::Release);
    }

    /// How many bytes of the request's body may pass now.
    fn poll_up(&self, cx: &mut Context<'_>) -> Poll<usize> {
        match self.terms().up.as_mut() {
            Some(pace) => pace.poll(cx),
            None => Poll::Ready(usize::MAX),
        }
    }

    fn passed_up(&self, bytes: usize) {
        if let Some(pace) = self.terms().up.as_mut() {
            pace.spent(bytes);
        }
    }

    fn terms(&self) -> MutexGuard<'_, Terms> {
        self.terms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Terms {
    /// How many bytes of the answer may pass now; an error when the connection is to be reset.
    fn poll_down(&mut self, cx: &mut Context<'_>, wire: &Wire) -> Poll<io::Result<usize>> {
        if self.cut.as_ref().is_some_and(|cut| cut.active.ended.is_cancelled()) {
            self.cut = None;
        }
        let left = self.cut.as_ref().map(|cut| cut.left);
        if left == Some(0) {
            let leaving = self.leaving.get_or_insert_with(|| Box::pin(tokio::time::sleep(LEAVE)));
            ready!(leaving.as_mut().poll(cx));
            if let Some(cut) = self.cut.take() {
                cut.done();
            }
            wire.reset_on_close();
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let most = usize::try_from(left.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
        Poll::Ready(Ok(match self.down.as_mut() {
            Some(pace) => ready!(pace.poll(cx)).min(most),
            None => most,
        }))
    }

    fn passed_down(&mut self, bytes: usize) {
        if let Some(cut) = self.cut.as_mut() {
            cut.left = cut.left.saturating_sub(u64::try_from(bytes).unwrap_or(u64::MAX));
        }
        if let Some(pace) = self.down.as_mut() {
            pace.spent(bytes);
        }
    }
}

/// The I/O of a plain client connection.
#[derive(Debug)]
pub(super) struct Guarded {
    inner: Rewound,
    wire: Wire,
    valve: Arc<Valve>,
}

impl Guarded {
    /// `inner` is `wire` with what was read of it before.
    pub fn new(inner: Rewound, wire: Wire, valve: Arc<Valve>) -> Self {
        Self { inner, wire, valve }
    }

    fn is_on(&self) -> bool {
        self.valve.on.load(Ordering::Acquire)
    }
}

impl AsyncRead for Guarded {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if !this.is_on() {
            return Pin::new(&mut this.inner).poll_write(cx, data);
        }
        let mut terms = this.valve.terms();
        let most = ready!(terms.poll_down(cx, &this.wire))?.min(data.len());
        let written = ready!(Pin::new(&mut this.inner).poll_write(cx, &data[..most]))?;
        terms.passed_down(written);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if self.is_on() {
            let first = data.iter().find(|part| !part.is_empty()).map_or(&[][..], |part| part);
            return self.poll_write(cx, first);
        }
        Pin::new(&mut self.inner).poll_write_vectored(cx, data)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.is_on() {
            let mut terms = this.valve.terms();
            // The answer may be over exactly where it is to be cut: then nothing more is written.
            if terms.cut.as_ref().is_some_and(|cut| cut.left == 0) {
                ready!(terms.poll_down(cx, &this.wire))?;
            }
        }
        Pin::new(&mut this.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// A request body that passes as fast as the rules let it.
pub(super) struct Paced {
    body: Sent,
    /// What came of the body and has not passed yet.
    held: Bytes,
    valve: Arc<Valve>,
}

impl Paced {
    /// The body of the request that is under way.
    pub fn new(body: Sent, valve: Arc<Valve>) -> Self {
        Self { body, held: Bytes::new(), valve }
    }
}

impl Body for Paced {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = &mut *self;
        if this.held.is_empty() {
            match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if !data.is_empty() => this.held = data,
                    Ok(data) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                    Err(other) => return Poll::Ready(Some(Ok(other))),
                },
                end => return Poll::Ready(end),
            }
        }
        let most = ready!(this.valve.poll_up(cx)).min(this.held.len());
        let part = this.held.split_to(most);
        this.valve.passed_up(part.len());
        Poll::Ready(Some(Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.held.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, held) = (self.body.size_hint(), u64::try_from(self.held.len()).unwrap_or(0));
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower() + held);
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + held);
        }
        hint
    }
}
