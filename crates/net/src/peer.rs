//! One connection to one address, kept and made again with backoff.
//!
//! Invariant: frames are queued only while the connection may come up at once. A peer that is known to be down
//! refuses them, so that a coordinator turns to a fallback without waiting.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use jedlik_hashing::NodeId;
use jedlik_protocol::ProtocolVersion;
use jedlik_protocol::codec::Frame;
use tokio::sync::Notify;

use crate::limits::{
    BACKOFF_MAX, BACKOFF_MIN, BACKOFF_SELDOM_MAX, PEER_QUEUE_BYTES, PEER_QUEUE_FRAMES,
};
use crate::outbox::check_length;
use crate::{CloseCode, ConnectError, Connection, Endpoint, SendError};

/// Duration below which a connection counts as a failed attempt.
const STABLE: Duration = Duration::from_secs(1);

/// State of a peer's connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerState {
    /// The first attempt, or the first after a loss, is under way: frames are queued.
    Connecting,
    /// The connection is up: frames are sent.
    Up,
    /// The last attempt failed and another follows: frames are refused.
    Down {
        /// Cause of the last attempt's failure.
        error: ConnectError,
    },
    /// [`Peer::close`] was called, or the endpoint was closed.
    Closed,
}

/// A connection to one node that is kept up. Dropping the peer ends the connection.
pub struct Peer {
    shared: Arc<Shared>,
}

struct Shared {
    address: SocketAddr,
    stage: Mutex<LinkStage>,
    /// Whether it is dialled seldom, since its return is not awaited.
    seldom: AtomicBool,
    /// Ends a pause between two attempts.
    wake: Notify,
    /// Ends the task that keeps the connection.
    stop: Notify,
}

enum LinkStage {
    /// Frames wait unencoded, since the connection decides the version that they are encoded for.
    Connecting {
        queue: VecDeque<Frame>,
        bytes: usize,
    },
    Up(Connection),
    Down(ConnectError),
    Closed,
}

impl LinkStage {
    fn connecting() -> Self {
        Self::Connecting { queue: VecDeque::new(), bytes: 0 }
    }
}

impl Peer {
    /// Starts to connect, and only to `expected` if that is given. Call it within a tokio runtime.
    #[must_use]
    pub fn new(endpoint: &Endpoint, address: SocketAddr, expected: Option<NodeId>) -> Self {
        Self::with_backoff(endpoint, address, expected, Backoff::default())
    }

    fn with_backoff(
        endpoint: &Endpoint,
        address: SocketAddr,
        expected: Option<NodeId>,
        backoff: Backoff,
    ) -> Self {
        let stage = Mutex::new(LinkStage::connecting());
        let (seldom, wake, stop) = (AtomicBool::new(false), Notify::new(), Notify::new());
        let shared = Arc::new(Shared { address, stage, seldom, wake, stop });
        tokio::spawn(shared.clone().keep(endpoint.clone(), expected, backoff));
        Self { shared }
    }

    /// Sends a frame, or queues it while the connection is being made. It never blocks. A queued frame is dropped if
    /// the attempt fails, as one under way is when a connection breaks.
    ///
    /// # Errors
    /// [`SendError::Closed`] at once while the peer is known to be down; [`SendError::Full`] when too much waits;
    /// [`SendError::TooLong`] for a frame over the limit.
    pub fn send(&self, frame: Frame) -> Result<(), SendError> {
        let connection = {
            let mut stage = self.shared.stage();
            match &mut *stage {
                LinkStage::Up(connection) => connection.clone(),
                LinkStage::Connecting { queue, bytes } => return enqueue(queue, bytes, frame),
                LinkStage::Down(_) | LinkStage::Closed => return Err(SendError::Closed),
            }
        };
        connection.send(frame)
    }

    /// Returns the state of the connection.
    #[must_use]
    pub fn state(&self) -> PeerState {
        match &*self.shared.stage() {
            LinkStage::Connecting { .. } => PeerState::Connecting,
            LinkStage::Up(_) => PeerState::Up,
            LinkStage::Down(error) => PeerState::Down { error: error.clone() },
            LinkStage::Closed => PeerState::Closed,
        }
    }

    /// Returns the connection, if it is up now.
    #[must_use]
    pub fn connection(&self) -> Option<Connection> {
        match &*self.shared.stage() {
            LinkStage::Up(connection) => Some(connection.clone()),
            _ => None,
        }
    }

    /// Sets whether a peer that does not answer is dialled seldom: every two minutes in the end, otherwise every two
    /// seconds.
    pub fn dial_seldom(&self, seldom: bool) {
        if !seldom {
            self.wake();
        }
        self.shared.seldom.store(seldom, Ordering::Relaxed);
    }

    /// Dials at once if the peer is down and dialled seldom, since there is a sign that it is back.
    pub fn wake(&self) {
        let seldom = self.shared.seldom.load(Ordering::Relaxed);
        if seldom && matches!(*self.shared.stage(), LinkStage::Down(_)) {
            self.shared.wake.notify_one();
        }
    }

    /// Returns the address that the peer dials.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.shared.address
    }

    /// Ends the connection and makes no other.
    pub fn close(&self) {
        let before = std::mem::replace(&mut *self.shared.stage(), LinkStage::Closed);
        if let LinkStage::Up(connection) = before {
            connection.close(CloseCode::Done, "no longer needed");
        }
        self.shared.stop.notify_one();
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.close();
    }
}

fn enqueue(queue: &mut VecDeque<Frame>, bytes: &mut usize, frame: Frame) -> Result<(), SendError> {
    let length = frame.encoded_length(ProtocolVersion::NEWEST);
    check_length(length)?;
    let over = *bytes > 0 && *bytes + length > PEER_QUEUE_BYTES;
    if over || queue.len() >= PEER_QUEUE_FRAMES {
        return Err(SendError::Full { frames: queue.len(), bytes: *bytes });
    }
    *bytes += length;
    queue.push_back(frame);
    Ok(())
}

impl Shared {
    /// Connects, waits for the connection's end, and connects again, until told to stop.
    async fn keep(
        self: Arc<Self>,
        endpoint: Endpoint,
        expected: Option<NodeId>,
        mut backoff: Backoff,
    ) {
        loop {
            let attempt = tokio::select! {
                attempt = endpoint.connect(self.address, expected) => attempt,
                () = self.stop.notified() => return,
            };
            let error = match attempt {
                Err(ConnectError::Closed) => {
                    *self.stage() = LinkStage::Closed;
                    return;
                }
                Err(error) => error,
                Ok(connection) => {
                    let since = Instant::now();
                    if !self.up(&connection) {
                        return;
                    }
                    let why = tokio::select! {
                        why = connection.ended() => why,
                        () = self.stop.notified() => return,
                    };
                    if since.elapsed() >= STABLE {
                        backoff = Backoff::default();
                        if !self.enter(LinkStage::connecting()) {
                            return;
                        }
                        continue;
                    }
                    ConnectError::Broken { reason: why.to_string() }
                }
            };
            tracing::debug!(address = %self.address, %error, "a peer can't be reached");
            if !self.enter(LinkStage::Down(error)) {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(backoff.next(self.longest_pause())) => {}
                () = self.wake.notified() => backoff = Backoff::default(),
                () = self.stop.notified() => return,
            }
        }
    }

    fn longest_pause(&self) -> Duration {
        if self.seldom.load(Ordering::Relaxed) { BACKOFF_SELDOM_MAX } else { BACKOFF_MAX }
    }

    /// Hands the queue to a fresh connection, ahead of later frames; `false` once closed.
    fn up(&self, connection: &Connection) -> bool {
        let mut stage = self.stage();
        match &mut *stage {
            LinkStage::Closed => {
                connection.close(CloseCode::Done, "no longer needed");
                return false;
            }
            LinkStage::Connecting { queue, .. } => {
                for frame in queue.drain(..) {
                    // The connection's limits are wider than the queue's: only its end can refuse one.
                    let _ = connection.send(frame);
                }
            }
            LinkStage::Up(_) | LinkStage::Down(_) => {}
        }
        *stage = LinkStage::Up(connection.clone());
        true
    }

    /// Goes to another stage; `false` once closed.
    fn enter(&self, next: LinkStage) -> bool {
        let mut stage = self.stage();
        if matches!(*stage, LinkStage::Closed) {
            return false;
        }
        *stage = next;
        true
    }

    fn stage(&self) -> MutexGuard<'_, LinkStage> {
        self.stage.lock().expect("nothing panics with the stage locked")
    }
}

/// Pauses between attempts, which grow.
struct Backoff {
    wait: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { wait: BACKOFF_MIN }
    }
}

impl Backoff {
    /// Returns the next pause and doubles the one after it. Half of a pause is random, so that nodes don't return to
    /// a peer all at once.
    fn next(&mut self, longest: Duration) -> Duration {
        let wait = self.wait.min(longest);
        let half = wait / 2;
        self.wait = (wait * 2).min(longest);
        // Without randomness the wait is merely not spread.
        let part = getrandom::u32().unwrap_or(u32::MAX);
        half + half.mul_f64(f64::from(part) / f64::from(u32::MAX))
    }
}

#[cfg(test)]
mod tests;
