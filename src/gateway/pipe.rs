//! Pipes that bytes pass through without being copied (`splice(2)`): lent from a small pool to tunnels in the middle of a large transfer.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

/// Most pipes that are lent at once. Each takes two descriptors, and holds up to [`HELD`] bytes for a slow reader: together no more than 16 MiB.
/// A tunnel that gets none copies its bytes.
const MOST: usize = 64;
/// Most pipes that are kept for the next transfer.
const KEPT: usize = 8;
/// Most bytes in one pipe.
pub(super) const HELD: usize = 256 * 1024;

/// The pool of this process: descriptors are the process's too.
static POOL: Pool = Pool::new(MOST, KEPT);

/// Lends a pipe of the process's pool; `None` when there is none to be had, here or on this system.
pub(super) fn lend() -> Option<Lent> {
    POOL.lend()
}

/// Pipes that are lent and come back.
#[derive(Debug)]
struct Pool {
    most: usize,
    kept: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    lent: usize,
    idle: Vec<Pipe>,
}

#[derive(Debug)]
struct Pipe {
    reads: OwnedFd,
    writes: OwnedFd,
}

/// A pipe that belongs to one direction of a tunnel until it is dropped.
#[derive(Debug)]
pub(super) struct Lent {
    pipe: Option<Pipe>,
    held: usize,
    pool: &'static Pool,
}

impl Pool {
    const fn new(most: usize, kept: usize) -> Self {
        Self { most, kept, state: Mutex::new(State { lent: 0, idle: Vec::new() }) }
    }

    fn lend(&'static self) -> Option<Lent> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.lent >= self.most {
            return None;
        }
        // Out of descriptors: the bytes are copied, as they are where pipes cannot do this.
        let pipe = state.idle.pop().or_else(|| system::open().ok())?;
        state.lent += 1;
        Some(Lent { pipe: Some(pipe), held: 0, pool: self })
    }
}

impl Lent {
    /// Bytes that are in the pipe.
    pub fn held(&self) -> usize {
        self.held
    }

    /// Moves what there is from a socket into the empty pipe. Zero is the end of the stream; `WouldBlock`: nothing is there.
    pub fn fill(&mut self, from: &impl AsFd) -> io::Result<usize> {
        debug_assert_eq!(self.held, 0, "a full pipe could not be told from an empty socket");
        let Some(pipe) = &self.pipe else { return Ok(0) };
        let count = system::splice(from, &pipe.writes, HELD)?;
        self.held += count;
        Ok(count)
    }

    /// Moves what the socket takes from the pipe. `WouldBlock`: it takes nothing now.
    pub fn drain(&mut self, to: &impl AsFd) -> io::Result<usize> {
        let Some(pipe) = &self.pipe else { return Ok(0) };
        let count = system::splice(&pipe.reads, to, self.held)?;
        self.held -= count;
        Ok(count)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut state = self.pool.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.lent -= 1;
        // One that holds bytes would hand them to another tunnel.
        if let Some(pipe) = self.pipe.take().filter(|_| self.held == 0 && state.idle.len() < self.pool.kept) {
            state.idle.push(pipe);
        }
    }
}

/// Linux moves pages between a socket and a pipe.
#[cfg(target_os = "linux")]
mod system {
    use std::io;
    use std::os::fd::AsFd;

    use rustix::io::retry_on_intr;
    use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with};

    use super::{HELD, Pipe};

    pub fn open() -> io::Result<Pipe> {
        let (reads, writes) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        // Beyond `/proc/sys/fs/pipe-user-pages-soft` this is refused: smaller steps, the same bytes.
        let _ = fcntl_setpipe_size(&writes, HELD);
        Ok(Pipe { reads, writes })
    }

    pub fn splice(from: &impl AsFd, to: &impl AsFd, most: usize) -> io::Result<usize> {
        // A reader that is gone is an error and no signal: Rust programs ignore SIGPIPE from their start.
        let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
        Ok(retry_on_intr(|| rustix::pipe::splice(from, None, to, None, most, flags))?)
    }
}

/// Elsewhere no pipe is ever lent.
#[cfg(not(target_os = "linux"))]
mod system {
    use std::io;
    use std::os::fd::AsFd;

    use super::Pipe;

    pub fn open() -> io::Result<Pipe> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub fn splice(_from: &impl AsFd, _to: &impl AsFd, _most: usize) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use super::*;

    fn sockets() -> (UnixStream, UnixStream) {
        let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
        ours.set_nonblocking(true).expect("a socket that does not block");
        (ours, theirs)
    }

    #[test]
    fn no_more_pipes_are_lent_than_the_pool_has_and_few_are_kept() {
        static SMALL: Pool = Pool::new(3, 2);
        let lent: Vec<Lent> = (0..3).map(|_| SMALL.lend().unwrap()).collect();
        assert!(SMALL.lend().is_none(), "a fourth pipe was lent");
        drop(lent);
        let state = SMALL.state.lock().unwrap();
        assert_eq!((state.lent, state.idle.len()), (0, 2));
    }

    #[test]
    fn bytes_go_through_and_an_empty_socket_blocks_and_an_ended_one_ends() {
        static SMALL: Pool = Pool::new(1, 1);
        let ((from, mut writer), (to, mut reader)) = (sockets(), sockets());
        let mut pipe = SMALL.lend().unwrap();
        assert_eq!(pipe.fill(&from).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        writer.write_all(b"hello").unwrap();
        assert_eq!((pipe.fill(&from).unwrap(), pipe.held()), (5, 5));
        assert_eq!((pipe.drain(&to).unwrap(), pipe.held()), (5, 0));
        let mut read = [0; 5];
        reader.read_exact(&mut read).unwrap();
        assert_eq!(&read, b"hello");
        drop(writer);
        assert_eq!(pipe.fill(&from).unwrap(), 0);
    }

    #[test]
    fn a_pipe_with_bytes_in_it_is_never_lent_again() {
        static SMALL: Pool = Pool::new(1, 1);
        let (from, mut writer) = sockets();
        let mut pipe = SMALL.lend().unwrap();
        writer.write_all(b"secret").unwrap();
        pipe.fill(&from).unwrap();
        drop(pipe);
        assert!(SMALL.state.lock().unwrap().idle.is_empty());
        let (to, mut reader) = sockets();
        let mut next = SMALL.lend().unwrap();
        next.held = 6; // even if the count were wrong
        assert_eq!(next.drain(&to).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        reader.set_nonblocking(true).unwrap();
        assert!(reader.read(&mut [0; 6]).is_err());
    }
}
