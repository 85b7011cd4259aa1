//! A tunnel that a reset or a latency rule acts on. Tunnels without such a rule never come here. When the rule has
//! ended, this one passes bytes as they come; it does not change over, because what it holds for a slow reader would have to be carried along.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Effect;
use super::counts::Row;
use super::pace::{self, Pace};
use super::rules::{Active, Judgement};
use super::stream::Wire;
use super::tunnel;
use super::valve::{Cut, LEAVE};

/// Bytes moved at once.
const CHUNK: usize = 16 * 1024;

/// What rules do to a tunnel.
#[derive(Debug)]
pub(super) struct Terms {
    cut: Option<(u64, Arc<Active>)>,
    slows: Option<Arc<Active>>,
    row: Arc<Row>,
}

impl Terms {
    /// What a judgement says of a tunnel; none when it passes as it is.
    pub fn of(judgement: &Judgement, row: &Arc<Row>) -> Option<Self> {
        let cut = judgement.stops.as_ref().and_then(|active| match active.rule.effect {
            Effect::Reset { after_bytes } => Some((after_bytes, active.clone())),
            _ => None,
        });
        let slows = judgement.slows.clone();
        (cut.is_some() || slows.is_some()).then(|| Self { cut, slows, row: row.clone() })
    }

    /// The cut as it is for a new tunnel, if its rule is still in force.
    fn cut(&self) -> Option<Cut> {
        let (left, active) = self.cut.as_ref().filter(|(_, active)| !active.ended.is_cancelled())?;
        Some(Cut { left: *left, active: active.clone(), row: Some(self.row.clone()) })
    }

    fn slows(&self) -> Option<&Arc<Active>> {
        self.slows.as_ref().filter(|active| !active.ended.is_cancelled())
    }
}

/// Copies until both sides have ended, slowed down and cut as the terms say. `early` came from the client behind its CONNECT.
pub(super) async fn run(client: &Wire, upstream: &Wire, early: &[u8], terms: &Terms) {
    // The answer to the CONNECT was the last that the client heard.
    let answered = AtomicBool::new(true);
    if tokio::try_join!(up(client, upstream, early, terms, &answered), down(upstream, client, terms, &answered)).is_err() {
        client.reset_on_close();
        upstream.reset_on_close();
    }
}

/// From the client to its target: each time that the client speaks after it was answered, the delay comes first.
async fn up(client: &Wire, upstream: &Wire, early: &[u8], terms: &Terms, answered: &AtomicBool) -> io::Result<()> {
    let mut pace = terms.slows.as_ref().and_then(Pace::new);
    let mut buffer = vec![0; CHUNK];
    let mut waiting = early;
    loop {
        if waiting.is_empty() {
            client.tcp().readable().await?;
        }
        let turn = answered.swap(false, Ordering::Relaxed);
        if let Some(slows) = terms.slows().filter(|_| turn) {
            pace::delay(slows).await;
        }
        let most = most(pace.as_mut()).await;
        let count = if waiting.is_empty() {
            match client.tcp().try_read(&mut buffer[..most]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    answered.fetch_or(turn, Ordering::Relaxed);
                    continue;
                }
                read => read?,
            }
        } else {
            let count = waiting.len().min(most);
            buffer[..count].copy_from_slice(&waiting[..count]);
            waiting = &waiting[count..];
            count
        };
        if count == 0 {
            upstream.finish();
            return Ok(());
        }
        // No byte of an answer may pass: there is no reason to ask for one.
        if let Some(cut) = terms.cut().filter(|cut| cut.left == 0) {
            return Err(reset(&cut));
        }
        if let Some(slows) = terms.slows().filter(|_| turn) {
            slows.hit();
        }
        tunnel::write_all(upstream, &buffer[..count]).await?;
        if let Some(pace) = pace.as_mut() {
            pace.spent(count);
        }
        tokio::task::coop::consume_budget().await;
    }
}

/// From the target to its client, at most as much as the cut lets through.
async fn down(upstream: &Wire, client: &Wire, terms: &Terms, answered: &AtomicBool) -> io::Result<()> {
    let mut pace = terms.slows.as_ref().and_then(Pace::new);
    let mut buffer = vec![0; CHUNK];
    let mut cut = terms.cut();
    loop {
        upstream.tcp().readable().await?;
        cut = cut.filter(|cut| !cut.active.ended.is_cancelled());
        let left = cut.as_ref().map_or(usize::MAX, |cut| usize::try_from(cut.left).unwrap_or(usize::MAX));
        // With nothing left to pass, one byte is read to see that there is an answer.
        let most = most(pace.as_mut()).await.min(left.max(1));
        let count = match upstream.tcp().try_read(&mut buffer[..most]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            read => read?,
        };
        if count == 0 {
            client.finish();
            return Ok(());
        }
        if let Some(cut) = cut.as_ref().filter(|cut| cut.left == 0) {
            return Err(reset(cut));
        }
        tunnel::write_all(client, &buffer[..count]).await?;
        answered.store(true, Ordering::Relaxed);
        if let Some(pace) = pace.as_mut() {
            pace.spent(count);
        }
        if let Some(cut) = cut.as_mut() {
            cut.left -= u64::try_from(count).unwrap_or(cut.left);
            if cut.left == 0 {
                tokio::time::sleep(LEAVE).await;
                return Err(reset(cut));
            }
        }
        tokio::task::coop::consume_budget().await;
    }
}

async fn most(pace: Option<&mut Pace>) -> usize {
    match pace {
        Some(pace) => pace.allowance().await.min(CHUNK),
        None => CHUNK,
    }
}

fn reset(cut: &Cut) -> io::Error {
    cut.done();
    io::ErrorKind::ConnectionReset.into()
}
