//! Node of a cluster: started part by part, stopped in the opposite order.
//!
//! Invariant: a node serves only after everything before it is in place, and its directory is marked
//! clean only after everything that was acknowledged is in the engines.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jedlik_hashing::NodeId;
use jedlik_net::{Credentials, Endpoint, NetError};
use jedlik_protocol::admin::BackgroundChange;
use jedlik_storage::DataDir;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinError, JoinHandle, spawn_blocking};
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use crate::config::{Config, Engine};
use crate::doors::Doors;
use crate::error::NodeError;
use crate::membership_task::Event;
use crate::peers::Peers;
use crate::questions::share;
use crate::router::{Phase, Router};
use crate::shard::{Ended, RunningShard};
use crate::start;
use crate::ticks::Ticks;

/// Time that membership has to tell the others that this node goes, or to end.
const DEPARTURE_LIMIT: Duration = Duration::from_secs(2);
/// Time that a collector has to take the last spans.
const TRACES_LIMIT: Duration = Duration::from_secs(2);
/// Pause between two looks of a stopping node at whether its requests are answered.
const DRAIN_CHECK: Duration = Duration::from_millis(5);

/// Node that runs, with all its parts.
pub struct Node {
    pub(crate) id: NodeId,
    pub(crate) name: String,
    pub(crate) engine: Engine,
    pub(crate) drain_limit: Duration,
    pub(crate) router: Arc<Router>,
    pub(crate) peers: Arc<Peers>,
    pub(crate) endpoint: Endpoint,
    pub(crate) doors: Doors,
    pub(crate) shards: Vec<RunningShard>,
    pub(crate) ticks: Ticks,
    pub(crate) membership: mpsc::Sender<Event>,
    pub(crate) membership_task: JoinHandle<Result<Option<DataDir>, JoinError>>,
    pub(crate) upkeep: Vec<JoinHandle<()>>,
    pub(crate) ended: oneshot::Receiver<Ending>,
    /// Receiver that hears once that the node may serve.
    pub(crate) serves: oneshot::Receiver<()>,
}

/// Choice for a node that the cluster remembers and whose data directory is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EmptyDirectory {
    /// The node does not start: a disk may not have been mounted.
    Refused,
    /// The node starts, and the other nodes refill it.
    Refilled,
}

/// Reason why a node ends of its own accord.
#[derive(Debug)]
pub enum Ending {
    /// The node can't go on.
    Failed(NodeError),
    /// The node has left the cluster, and others hold all that it did.
    Left,
    /// The node's data directory has changed: the node is to be started again.
    Again,
}

impl Node {
    /// Starts a node, which serves when this returns. The start is made again as often as the node's data directory
    /// requires it. To be called within a tokio runtime with timers and sockets.
    ///
    /// # Errors
    /// Credentials, data directory or address can't be used, or the node has no place in the cluster.
    pub async fn start(config: &Config) -> Result<Self, NodeError> {
        loop {
            let mut node = Self::begin(config, EmptyDirectory::Refused).await?;
            match node.serving().await {
                Ok(()) => return Ok(node),
                Err(Ending::Again) => node.shutdown().await?,
                Err(Ending::Failed(error)) => return Err(node.fail(error).await),
                Err(Ending::Left) => return Ok(node),
            }
        }
    }

    /// Starts a node, which takes nothing but gossip until [`Self::serving`] has returned.
    ///
    /// # Errors
    /// Credentials, data directory or address can't be used.
    pub async fn begin(config: &Config, empty: EmptyDirectory) -> Result<Self, NodeError> {
        start::node(config, empty).await
    }

    /// Waits until others have said what they remember of this node, or for long enough; then the node serves.
    ///
    /// # Errors
    /// The node has to end before it ever serves.
    pub async fn serving(&mut self) -> Result<(), Ending> {
        tokio::select! {
            biased;
            Ok(ending) = &mut self.ended => return Err(ending),
            Ok(()) = &mut self.serves => {}
        }
        self.router.enter(Phase::Serving);
        Ok(())
    }

    /// Returns the node's identity, which its certificate names.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// Returns the node's name, which its certificate names.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the address at which the node listens, with the port that the system chose.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.endpoint.local_addr()
    }

    /// Returns the address at which the node listens for HTTP, with the port that the system chose; `None` if it
    /// doesn't.
    #[must_use]
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.doors.http()
    }

    /// Returns the address at which the node listens for Riak's Protocol Buffers clients, with the port that the system
    /// chose; `None` if it doesn't.
    #[must_use]
    pub fn riak_pb_address(&self) -> Option<SocketAddr> {
        self.doors.riak_pb()
    }

    /// Makes new connections use `credentials`, which must be of the same identity. Open connections keep what they
    /// were made with.
    pub(crate) fn renew(&self, credentials: &Credentials) -> Result<(), NetError> {
        self.endpoint.renew(credentials)
    }

    /// Changes the pace of background work until the next start.
    pub(crate) fn set_background(&self, change: BackgroundChange) {
        let change = share(change, self.shards.len());
        for shard in &self.shards {
            shard.set_background(change);
        }
    }

    /// Waits until the node can't go on, or need not, and returns the reason; the node is to be shut down then.
    pub async fn ended(&mut self) -> Ending {
        match (&mut self.ended).await {
            Ok(ending) => ending,
            Err(_) => std::future::pending().await,
        }
    }

    /// Stops the node: takes nothing new, answers what was accepted, tells the others, moves everything into the
    /// engines, and marks the directory clean.
    ///
    /// # Errors
    /// Something could not be finished; nothing is lost, and the next start replays the journals.
    pub async fn shutdown(self) -> Result<(), NodeError> {
        self.close(false).await
    }

    /// Stops a node that can't go on because of `error`, and returns the error. A folder that was refused as an empty
    /// directory is left empty.
    pub(crate) async fn fail(self, error: NodeError) -> NodeError {
        let is_refused = matches!(error, NodeError::EmptyDirectory { .. });
        if let Err(unfinished) = self.close(is_refused).await {
            warn!(error = %unfinished, "the node could not be stopped in order");
        }
        error
    }

    async fn close(mut self, is_refused: bool) -> Result<(), NodeError> {
        self.router.stop();
        self.upkeep.iter().for_each(JoinHandle::abort);
        self.leave().await;
        let doors = std::mem::take(&mut self.doors);
        tokio::join!(self.drain(), doors.close());
        self.router.enter(Phase::Stopped);
        let Self {
            engine,
            router,
            peers,
            endpoint,
            shards,
            ticks,
            membership,
            membership_task,
            ..
        } = self;
        let ended = close_shards(shards).await;
        // Nothing of this life may be written once the directory is another's.
        let closed = spawn_blocking(move || ticks.close()).await;
        closed.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
        let dir = end_membership(&membership, membership_task).await;
        let marked = match dir {
            Some(dir) if is_refused => leave_empty(dir).await,
            dir => mark(dir, engine, ended).await,
        };
        // Links to members that don't answer would keep the endpoint waiting.
        peers.clear();
        endpoint.close().await;
        if let Some(tracer) = &router.tracer {
            tracer.close(TRACES_LIMIT).await;
        }
        marked
    }

    async fn leave(&self) {
        let (told, heard) = oneshot::channel();
        let ticks = self.ticks.clone();
        let departure = async {
            // A copy that was taken while the node ran is older than its stop.
            if let Some(tick) = spawn_blocking(move || ticks.advance()).await.ok()? {
                self.membership.send(Event::Tick(tick)).await.ok()?;
            }
            self.membership.send(Event::Leave(told)).await.ok()?;
            heard.await.ok()
        };
        if timeout(DEPARTURE_LIMIT, departure).await.is_err() {
            warn!("the others could not be told that this node stops");
        }
    }

    /// Waits until every accepted request is answered, or the time for that is over.
    async fn drain(&self) {
        let deadline = Instant::now() + self.drain_limit;
        loop {
            let open: usize = self.shards.iter().map(RunningShard::open).sum();
            if open == 0 {
                return;
            }
            if Instant::now() >= deadline {
                warn!(open, "stopping with requests unanswered");
                return;
            }
            sleep(DRAIN_CHECK).await;
        }
    }
}

/// Closes the shards, and returns the worst of their endings.
async fn close_shards(shards: Vec<RunningShard>) -> Ended {
    for shard in &shards {
        shard.close();
    }
    let ended = spawn_blocking(|| shards.into_iter().map(RunningShard::join).max());
    ended.await.ok().flatten().unwrap_or(Ended::Unclean)
}

async fn end_membership(
    events: &mpsc::Sender<Event>,
    mut task: JoinHandle<Result<Option<DataDir>, JoinError>>,
) -> Option<DataDir> {
    let ended = timeout(DEPARTURE_LIMIT, async {
        events.send(Event::Stop).await.ok()?;
        (&mut task).await.ok()?.ok()?
    });
    let dir = ended.await.ok().flatten();
    task.abort();
    dir
}

async fn leave_empty(dir: DataDir) -> Result<(), NodeError> {
    let left = spawn_blocking(|| dir.leave_empty()).await;
    Ok(left.unwrap_or(Ok(()))?)
}

/// Marks the directory clean if the next start has nothing to replay.
async fn mark(dir: Option<DataDir>, engine: Engine, ended: Ended) -> Result<(), NodeError> {
    let Some(dir) = dir else {
        return Err(NodeError::Unclean { why: "the membership could not be saved" });
    };
    match (ended, engine) {
        (Ended::Unclean, _) => {
            return Err(NodeError::Unclean { why: "a shard could not be moved into its engine" });
        }
        (Ended::Clean, Engine::Memory) => info!("stopped; the memory engine keeps nothing"),
        (Ended::Clean, Engine::Redb | Engine::Lsm | Engine::Mysql) => {
            let marked = spawn_blocking(|| dir.mark_clean()).await;
            marked.unwrap_or(Ok(()))?;
            info!("stopped cleanly");
        }
    }
    Ok(())
}
