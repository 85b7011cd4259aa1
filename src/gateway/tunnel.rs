//! Bytes both ways between two streams: each side's end is passed on by itself, and a slow reader slows the writer down.
//!
//! Small exchanges are read into a buffer of the thread and written at once. A large transfer gets a pipe, through which the kernel moves its pages
//! (see [`pipe`]), for as long as its bytes keep coming. An idle tunnel holds neither.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};

use tokio::io::Interest;

use super::pipe::{self, Lent};
use super::stream::Wire;

/// Bytes copied at once. At most this much per direction is held for a slow reader of what is copied.
const CHUNK: usize = 64 * 1024;
/// So many full reads in a row are the beginning of a large transfer.
const FULL_READS: u8 = 2;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; CHUNK]);
}

/// Moves bytes until both sides have ended. An error on one side resets the other, as the network would have done.
pub(super) async fn run(client: &Wire, upstream: &Wire) {
    let (mut there, mut back) = (OneWay::new(client, upstream), OneWay::new(upstream, client));
    let both = poll_fn(|cx| {
        match (there.poll(cx)?, back.poll(cx)?) {
            // Both streams are closed now, which passes on the second end.
            (Poll::Ready(()), Poll::Ready(())) => return Poll::Ready(Ok::<_, io::Error>(())),
            (Poll::Ready(()), Poll::Pending) => there.pass_end_on(),
            (Poll::Pending, Poll::Ready(())) => back.pass_end_on(),
            (Poll::Pending, Poll::Pending) => {}
        }
        Poll::Pending
    });
    if both.await.is_err() {
        client.reset_on_close();
        upstream.reset_on_close();
    }
}

/// One direction.
#[derive(Debug)]
struct OneWay<'a> {
    from: &'a Wire,
    to: &'a Wire,
    state: State,
    /// Full reads in a row.
    full: u8,
}

#[derive(Debug)]
enum State {
    /// Holds nothing.
    Open,
    /// Read, and not yet taken by the reader; the second is how much it has taken.
    Held(Vec<u8>, usize),
    /// A large transfer, and how many bytes came through without a pause.
    Piped(Lent, usize),
    /// All was passed on that came before the end; `true`: the end too.
    Ended(bool),
}

impl<'a> OneWay<'a> {
    fn new(from: &'a Wire, to: &'a Wire) -> Self {
        Self { from, to, state: State::Open, full: 0 }
    }

    /// Ready when all was passed on that came before the end.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Waiting for readiness takes from the task's budget: a stream that is always ready does not keep its thread for itself.
        loop {
            match &mut self.state {
                State::Ended(_) => return Poll::Ready(Ok(())),
                State::Held(data, sent) => {
                    ready!(self.to.tcp().poll_write_ready(cx))?;
                    *sent += or_nothing(self.to.tcp().try_write(&data[*sent..]))?;
                    if *sent == data.len() {
                        self.state = State::Open;
                    }
                }
                State::Piped(pipe, passed) if pipe.held() > 0 => {
                    ready!(self.to.tcp().poll_write_ready(cx))?;
                    *passed = passed.saturating_add(or_nothing(self.to.tcp().try_io(Interest::WRITABLE, || pipe.drain(self.to.tcp())))?);
                }
                State::Piped(pipe, passed) => match self.from.tcp().try_io(Interest::READABLE, || pipe.fill(self.from.tcp())) {
                    Ok(0) => self.state = State::Ended(false),
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        // The pause gives the pipe back. A transfer that goes on takes one again with its next bytes.
                        self.full = if *passed >= CHUNK { FULL_READS } else { 0 };
                        self.state = State::Open;
                    }
                    Err(error) => return Poll::Ready(Err(error)),
                },
                State::Open => {
                    ready!(self.from.tcp().poll_read_ready(cx))?;
                    match pipe_for(self.full) {
                        Some(pipe) => self.state = State::Piped(pipe, 0),
                        None => self.copy()?,
                    }
                }
            }
        }
    }

    /// Copies what there is, once.
    fn copy(&mut self) -> io::Result<()> {
        SCRATCH.with_borrow_mut(|scratch| {
            let count = match self.from.try_read(scratch) {
                Ok(0) => {
                    self.state = State::Ended(false);
                    return Ok(());
                }
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            self.full = if count == scratch.len() { self.full.saturating_add(1) } else { 0 };
            let sent = or_nothing(self.to.tcp().try_write(&scratch[..count]))?;
            if sent < count {
                self.state = State::Held(scratch[sent..count].to_vec(), 0);
            }
            Ok(())
        })
    }

    /// Tells the reader of an ended direction that nothing more comes.
    fn pass_end_on(&mut self) {
        if let State::Ended(passed @ false) = &mut self.state {
            *passed = true;
            self.to.finish();
        }
    }
}

fn pipe_for(full_reads: u8) -> Option<Lent> {
    if full_reads >= FULL_READS { pipe::lend() } else { None }
}

/// A stream that takes nothing now has taken nothing.
fn or_nothing(moved: io::Result<usize>) -> io::Result<usize> {
    match moved {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        moved => moved,
    }
}

/// Sends everything, waiting for the reader.
pub(super) async fn write_all(to: &Wire, mut data: &[u8]) -> io::Result<()> {
    while !data.is_empty() {
        match to.tcp().try_write(data) {
            Ok(sent) => data = &data[sent..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => to.tcp().writable().await?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
