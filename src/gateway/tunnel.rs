//! Bytes both ways between two streams: each side's end is passed on by itself, and a slow reader slows the writer down.

use std::cell::RefCell;
use std::io;

use super::stream::Wire;

/// Bytes moved at once. At most this much per direction is held for a slow reader; an idle tunnel holds no buffer at all.
const CHUNK: usize = 64 * 1024;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; CHUNK]);
}

/// Copies until both sides have ended. An error on one side resets the other, as the network would have done.
pub(super) async fn run(client: &Wire, upstream: &Wire) {
    if tokio::try_join!(one_way(client, upstream), one_way(upstream, client)).is_err() {
        client.reset_on_close();
        upstream.reset_on_close();
    }
}

async fn one_way(from: &Wire, to: &Wire) -> io::Result<()> {
    loop {
        from.tcp().readable().await?;
        let moved = SCRATCH.with_borrow_mut(|scratch| -> io::Result<Moved> {
            let count = from.tcp().try_read(scratch)?;
            if count == 0 {
                return Ok(Moved::End);
            }
            let sent = match to.tcp().try_write(&scratch[..count]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                sent => sent?,
            };
            Ok(if sent == count { Moved::All } else { Moved::Part(scratch[sent..count].to_vec()) })
        });
        match moved {
            Ok(Moved::All) => {}
            Ok(Moved::Part(rest)) => write_all(to, &rest).await?,
            Ok(Moved::End) => {
                to.finish();
                return Ok(());
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        // A stream that is always ready would keep its thread for itself.
        tokio::task::coop::consume_budget().await;
    }
}

enum Moved {
    All,
    Part(Vec<u8>),
    End,
}

/// Sends everything, waiting for the reader.
pub(super) async fn write_all(to: &Wire, mut data: &[u8]) -> io::Result<()> {
    while !data.is_empty() {
        to.tcp().writable().await?;
        match to.tcp().try_write(data) {
            Ok(sent) => data = &data[sent..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
