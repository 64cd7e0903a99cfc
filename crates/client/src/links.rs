//! One connection to each node, made when it is first needed and again after it was lost.
//!
//! Invariant: there is one dial to a node at a time; other requests for the node wait for it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant as StdInstant};

use jedlik_net::{CloseCode, Connection, Endpoint, SendError};
use jedlik_protocol::client::ClientRequest;
use jedlik_protocol::codec::Frame;
use tokio::time::{Instant, timeout_at};

use crate::AttemptError;
use crate::calls::{Answer, Calls};
use crate::hedge::{Allowance, NodeLatency};
use crate::in_flight::Allotment;
use crate::routes::Target;

/// Connection to one node, with the node's latency and suspicion.
pub(crate) struct Link {
    target: Target,
    connection: Mutex<Option<Connection>>,
    dialing: tokio::sync::Mutex<()>,
    is_suspect: AtomicBool,
    latency: Mutex<NodeLatency>,
}

/// Connections to all nodes, and the budget of hedges.
pub(crate) struct Links {
    endpoint: Endpoint,
    calls: Arc<Calls>,
    links: Mutex<HashMap<Target, Arc<Link>>>,
    allowance: Mutex<Allowance>,
}

impl Links {
    pub(crate) fn new(endpoint: Endpoint, calls: Arc<Calls>) -> Self {
        let allowance = Mutex::new(Allowance::new());
        Self { endpoint, calls, links: Mutex::default(), allowance }
    }

    /// Sends one request to one node and waits for the answer, as long as the allotment says.
    pub(crate) async fn ask(
        &self,
        target: Target,
        request: ClientRequest,
        Allotment { share, latest, coming }: Allotment,
    ) -> Result<Answer, AttemptError> {
        let address = target.address;
        let begun = Instant::now();
        let until = begun + share;
        let link = self.link(target);
        let connection = match timeout_at(until, link.connection(&self.endpoint)).await {
            Ok(connection) => connection?,
            Err(_) => return Err(AttemptError::Unconnected { address, after: share }),
        };
        let mut call = self.calls.enter(connection.id(), coming.clone());
        if matches!(request, ClientRequest::Get(_) | ClientRequest::Scan(_)) {
            call.withdraw_at(connection.clone());
        }
        connection.send(Frame::ClientRequest { id: call.id(), request }).map_err(|error| {
            match error {
                SendError::Full { .. } => AttemptError::Full { address },
                SendError::TooLong { length, limit } => AttemptError::TooLong { length, limit },
                SendError::Closed => AttemptError::Closed { address },
            }
        })?;
        let mut answered = timeout_at(until, call.answered()).await;
        if answered.is_err() && coming.is_announced() {
            // It is behind others, and asking elsewhere would put it behind more.
            answered = timeout_at(latest.into(), call.answered()).await;
        }
        match answered {
            Ok(Ok(answer)) => {
                link.latency().hear(Instant::now().into_std(), connection.arrivals());
                locked(&self.allowance).earn();
                Ok(answer)
            }
            Ok(Err(why)) => Err(AttemptError::Lost { address, why: why.into() }),
            Err(_) => Err(AttemptError::Silent { address, after: begun.elapsed() }),
        }
    }

    /// Returns the time that a node may take for a request for one key before another node is asked.
    pub(crate) fn delay(&self, target: Target) -> Duration {
        self.link(target).latency().delay()
    }

    /// Notes the time that a node took for a request for one key.
    pub(crate) fn took(&self, target: Target, time: Duration) {
        self.link(target).latency().learn(time);
    }

    /// Whether nothing has come from a node for `time`.
    pub(crate) fn is_silent(&self, target: Target, now: StdInstant, time: Duration) -> bool {
        let link = self.link(target);
        let arrivals = link.live().map(|connection| connection.arrivals());
        let mut latency = link.latency();
        if let Some(arrivals) = arrivals {
            latency.notice(now, arrivals);
        }
        latency.is_silent(now, time)
    }

    /// Takes one hedge past a node that answers others from the budget; `false` if none is left.
    pub(crate) fn may_hedge(&self) -> bool {
        locked(&self.allowance).spend()
    }

    /// Marks the node as suspect; `true` if it was not before.
    pub(crate) fn suspect(&self, target: Target) -> bool {
        !self.link(target).is_suspect.swap(true, Ordering::Relaxed)
    }

    /// Clears the suspicion against a node.
    pub(crate) fn trust(&self, target: Target) {
        self.link(target).is_suspect.store(false, Ordering::Relaxed);
    }

    /// Whether a node is suspect.
    pub(crate) fn is_suspect(&self, target: Target) -> bool {
        self.table().get(&target).is_some_and(|link| link.is_suspect.load(Ordering::Relaxed))
    }

    /// Closes the connection to a node: requests that wait on it fail, and the next request dials.
    pub(crate) fn hang_up(&self, target: Target, why: &str) {
        if let Some(connection) = self.link(target).slot().take() {
            connection.close(CloseCode::Done, why);
        }
    }

    /// Drops the connections to nodes for which `kept` is false.
    pub(crate) fn retain(&self, kept: impl Fn(Target) -> bool) {
        self.table().retain(|target, link| {
            let keep = kept(*target);
            if !keep && let Some(connection) = link.slot().take() {
                connection.close(CloseCode::Done, "no longer a member");
            }
            keep
        });
    }

    /// Ends the connections to all nodes.
    pub(crate) async fn close(&self) {
        self.endpoint.close().await;
    }

    fn link(&self, target: Target) -> Arc<Link> {
        let new = || {
            Arc::new(Link {
                target,
                connection: Mutex::default(),
                dialing: tokio::sync::Mutex::default(),
                is_suspect: AtomicBool::new(false),
                latency: Mutex::new(NodeLatency::new()),
            })
        };
        self.table().entry(target).or_insert_with(new).clone()
    }

    fn table(&self) -> MutexGuard<'_, HashMap<Target, Arc<Link>>> {
        locked(&self.links)
    }
}

impl Link {
    async fn connection(&self, endpoint: &Endpoint) -> Result<Connection, AttemptError> {
        if let Some(connection) = self.live() {
            return Ok(connection);
        }
        let _one_at_a_time = self.dialing.lock().await;
        if let Some(connection) = self.live() {
            return Ok(connection);
        }
        let Target { node, address } = self.target;
        let connection = endpoint
            .connect(address, node)
            .await
            .map_err(|source| AttemptError::Connect { address, source: source.into() })?;
        *self.slot() = Some(connection.clone());
        Ok(connection)
    }

    fn live(&self) -> Option<Connection> {
        self.slot().clone().filter(|connection| !connection.is_closed())
    }

    fn slot(&self) -> MutexGuard<'_, Option<Connection>> {
        locked(&self.connection)
    }

    fn latency(&self) -> MutexGuard<'_, NodeLatency> {
        locked(&self.latency)
    }
}

/// Locks a mutex, poisoned or not: the state behind these is never left half changed.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
