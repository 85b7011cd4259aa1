//! One client connection: its first head decides between tunnel and plain HTTP; rules are asked; what they say is done to it.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::aws_host::{AwsHost, classify};
use super::counts::{self, Counters, Outcome, Row};
use super::endpoint::Endpoint;
use super::head::{self, First, Refusal};
use super::open::Open;
use super::pace;
use super::plain;
use super::resolve::{self, DialError, Resolve};
use super::rules::{Active, RuleError, Rules};
use super::shaped::{self, Terms};
use super::stream::Wire;
use super::tunnel;
use super::{Effect, Rule};

/// What all connections of a gateway share.
#[derive(Debug)]
pub(super) struct Shared {
    pub rules: Rules,
    pub open: Open,
    pub counters: Counters,
    pub resolve: Vec<Resolve>,
    pub endpoint: Option<Endpoint>,
    pub listen: SocketAddr,
    pub connections: AtomicUsize,
    pub tasks: TaskTracker,
    pub stop: CancellationToken,
}

impl Shared {
    /// Puts a rule in force, and cuts what it is to cut. `Ok(false)`: it was in force already.
    pub fn put(&self, rule: &Rule) -> Result<bool, RuleError> {
        let changed = self.rules.put(rule.clone())?;
        if changed && rule.cut_existing {
            self.open.cut(rule);
        }
        Ok(changed)
    }

    /// Opens an upstream connection for this client.
    pub async fn dial(&self, host: &str, port: u16, client: &Wire) -> Result<TcpStream, DialError> {
        let is_self = |address: SocketAddr| {
            if address.port() != self.listen.port() {
                return false;
            }
            let own = address.ip() == self.listen.ip() || client.tcp().local_addr().is_ok_and(|reached| reached.ip() == address.ip());
            let any = self.listen.ip().is_unspecified() && (address.ip().is_loopback() || address.ip().is_unspecified());
            own || any
        };
        resolve::dial(host, port, &self.resolve, is_self).await
    }

    /// Does to a request or tunnel what the rule says. `true`: its connection is to be dropped. `false`: the rule acts later, on the answer.
    pub async fn suffer(&self, active: &Active, row: Option<&Row>, client: &Wire) -> bool {
        let count = |outcome| {
            active.hit();
            if let Some(row) = row {
                row.count(outcome);
            }
        };
        match active.rule.effect {
            Effect::Refuse => {
                count(Outcome::Refused);
                client.reset_on_close();
                true
            }
            // When the rule ends, what hangs is closed: a client that waits without a limit gets to try again. A client that ended its side
            // counts as gone: nothing would ever have answered it.
            Effect::Blackhole => {
                count(Outcome::Blackholed);
                tokio::select! {
                    () = active.ended.cancelled() => {}
                    () = client.left() => {}
                }
                true
            }
            Effect::Reset { after_bytes: 0 } => {
                count(Outcome::Reset);
                client.reset_on_close();
                true
            }
            Effect::Reset { .. } | Effect::Latency { .. } | Effect::Error { .. } => false,
        }
    }

    /// Asks the rules about a new tunnel, and waits as long as they say. `Err`: it is not to be made, and its connection is to be dropped.
    pub async fn admit(&self, aws: Option<&AwsHost>, client: IpAddr, wire: &Wire) -> Result<Admitted, NotAdmitted> {
        let Some(aws) = aws else { return Ok(Admitted::default()) };
        let region = aws.region.as_deref().or(aws.homed).unwrap_or_default();
        let row = self.counters.row(client, &aws.service, region, counts::ENCRYPTED);
        row.count(Outcome::Asked);
        let judgement = self.rules.judge(Some(aws));
        // A tunnel can be reset only when something came through it: even a reset at the first byte waits for that.
        let dropped = judgement.stops.as_ref().filter(|active| !matches!(active.rule.effect, Effect::Reset { .. }));
        if let Some(active) = dropped
            && Box::pin(self.suffer(active, Some(&row), wire)).await
        {
            return Err(NotAdmitted);
        }
        if let Some(slows) = &judgement.slows {
            slows.hit();
            row.count(Outcome::Slowed);
            Box::pin(pace::delay(slows)).await;
        }
        let shape = Terms::of(&judgement, &row);
        Ok(Admitted { shape, row: Some(row) })
    }
}

/// A tunnel that the rules let pass.
#[derive(Debug, Default)]
pub(super) struct Admitted {
    /// What they do to it.
    pub shape: Option<Terms>,
    row: Option<Arc<Row>>,
}

impl Admitted {
    /// Its target was reached.
    pub fn passed(&self) {
        if let Some(row) = &self.row {
            row.count(Outcome::Passed);
        }
    }
}

/// A tunnel that is not to be made.
#[derive(Debug)]
pub(super) struct NotAdmitted;

/// Serves a client until it leaves, is cut, or the gateway stops.
pub(super) async fn serve(shared: Arc<Shared>, stream: TcpStream, client: IpAddr) {
    let _counted = Counted::new(&shared);
    let wire = Wire::accepted(stream);
    // Stopping cuts everything.
    let cut = shared.stop.child_token();
    tokio::select! {
        served = talk(&shared, wire.clone(), client, &cut) => {
            if let Err(error) = served {
                tracing::debug!(%error, "connection ended");
            }
        }
        () = cut.cancelled() => wire.reset_on_close(),
    }
}

async fn talk(shared: &Arc<Shared>, mut wire: Wire, client: IpAddr, cut: &CancellationToken) -> io::Result<()> {
    match head::read(&wire, head::PATIENCE).await? {
        Ok(None) => Ok(()),
        Ok(Some(First::Plain(first))) => {
            // Boxed, so that a tunnel does not carry the room that plain HTTP needs.
            Box::pin(plain::serve(shared.clone(), wire, client, first, cut.clone())).await;
            Ok(())
        }
        Ok(Some(First::Connect { host, port, early })) => match tunnel_to(shared, &wire, client, &host, port, &early, cut).await? {
            Some(refusal) => say(&mut wire, &refusal).await,
            None => Ok(()),
        },
        Err(refusal) => say(&mut wire, &refusal).await,
    }
}

async fn tunnel_to(
    shared: &Arc<Shared>,
    wire: &Wire,
    client: IpAddr,
    host: &str,
    port: u16,
    early: &[u8],
    cut: &CancellationToken,
) -> io::Result<Option<Refusal>> {
    // The authority of the CONNECT decides: a Host header that says otherwise has no meaning (RFC 9110, 9.3.6).
    let aws = classify(host);
    let _entry = shared.open.enter(aws.as_ref(), cut);
    let Ok(admitted) = shared.admit(aws.as_ref(), client, wire).await else { return Ok(None) };
    // A client that leaves meanwhile is not looked for: it may have ended only its own side. Dialling is bounded.
    let upstream = match shared.dial(host, port, wire).await {
        Ok(stream) => Wire::new(stream),
        Err(error) => return Ok(Some(dial_refusal(&error))),
    };
    admitted.passed();
    let work = async {
        tunnel::write_all(wire, b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
        match &admitted.shape {
            // Boxed, so that a tunnel that nothing slows down does not carry the room for it.
            Some(terms) => Box::pin(shaped::run(wire, &upstream, early, terms)).await,
            None => {
                tunnel::write_all(&upstream, early).await?;
                tunnel::run(wire, &upstream).await;
            }
        }
        Ok(None)
    };
    tokio::select! {
        done = work => done,
        () = cut.cancelled() => {
            upstream.reset_on_close();
            wire.reset_on_close();
            Ok(None)
        }
    }
}

/// What a client is told when its target cannot be reached.
pub(super) fn dial_refusal(error: &DialError) -> Refusal {
    let status = match error {
        DialError::Name { .. } | DialError::Connect { .. } => 502,
        DialError::Timeout { .. } => 504,
        DialError::Loop { .. } => 508,
    };
    Refusal::new(status, error.to_string())
}

/// Answers and ends the connection such that the answer arrives even when the client is still sending.
async fn say(wire: &mut Wire, refusal: &Refusal) -> io::Result<()> {
    tunnel::write_all(wire, &head::response(refusal)).await?;
    wire.finish();
    // Closing with unread bytes would reset the connection and may take the answer away from the client: drain, within bounds.
    // On the heap: an array here would be part of every connection's task.
    let mut scratch = vec![0_u8; 4096];
    let drain = async {
        for _ in 0..256 {
            if !matches!(tokio::io::AsyncReadExt::read(wire, &mut scratch).await, Ok(1..)) {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(std::time::Duration::from_secs(1), drain).await;
    Ok(())
}

/// Counts a client connection for as long as it lives.
pub(super) struct Counted(Arc<Shared>);

impl Counted {
    pub fn new(shared: &Arc<Shared>) -> Self {
        shared.connections.fetch_add(1, Ordering::Relaxed);
        Self(shared.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}
