//! One live connection: a cheap handle for its users, and the task that runs it.
//!
//! Invariant: the handler is told `connected` before anything arrives, and `closed` after everything else.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use jedlik_protocol::ProtocolVersion;
use jedlik_protocol::codec::Frame;
use jedlik_protocol::limits::SMALL_FRAME_BYTES;
use quinn::RecvStream;
use thiserror::Error;
use tokio::task::{JoinError, JoinSet};

use crate::limits::LARGE_STREAMS;
use crate::outbox::Outbox;
use crate::receive::{Fault, Receiver};
use crate::transmit::{Broken, patience, transmit_large, transmit_small};
use crate::{CloseCode, CloseReason, Handler, Identity, Role};

/// A frame that was not sent, not even in part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SendError {
    /// The send queue is full, since the peer does not keep up: drop the frame, or try later.
    #[error("the send queue is full at {frames} frames and {bytes} bytes")]
    Full {
        /// Number of frames in the queue.
        frames: usize,
        /// Bytes in the queue.
        bytes: usize,
    },
    /// The frame is over [`jedlik_protocol::limits::FRAME_LIMIT_BYTES`].
    #[error("a frame of {length} bytes is over the limit of {limit}")]
    TooLong {
        /// Length of the frame in bytes.
        length: usize,
        /// Most bytes that a frame may have.
        limit: usize,
    },
    /// The connection has ended, or there is none.
    #[error("there is no connection")]
    Closed,
}

/// Handle to a connection, shared by its clones. Dropping handles does not end the connection.
#[derive(Clone)]
pub struct Connection {
    shared: Arc<Shared>,
}

struct Shared {
    id: u64,
    peer: Identity,
    address: SocketAddr,
    version: ProtocolVersion,
    quic: quinn::Connection,
    outbox: Arc<Outbox>,
    arrivals: AtomicU64,
    /// Reason of this side for closing; set before the connection is closed.
    closed_here: OnceLock<CloseReason>,
}

impl Connection {
    pub(crate) fn new(quic: quinn::Connection, peer: Identity, version: ProtocolVersion) -> Self {
        static IDS: AtomicU64 = AtomicU64::new(0);
        let address = quic.remote_address();
        let of_node = peer.role == Role::Node;
        let outbox = if of_node { Outbox::to_node() } else { Outbox::to_client() };
        let shared = Shared {
            id: IDS.fetch_add(1, Ordering::Relaxed),
            peer,
            // A socket for both IP versions writes IPv4 addresses in its own way.
            address: SocketAddr::new(address.ip().to_canonical(), address.port()),
            version,
            quic,
            outbox: Arc::new(outbox),
            arrivals: AtomicU64::new(0),
            closed_here: OnceLock::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Returns a number that is unique among the connections of this process.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.shared.id
    }

    /// Returns the identity in the other side's certificate.
    #[must_use]
    pub fn peer(&self) -> &Identity {
        &self.shared.peer
    }

    /// Returns the address of the other side.
    #[must_use]
    pub fn remote_address(&self) -> SocketAddr {
        self.shared.address
    }

    /// Returns the version of the protocol that the two sides have agreed on: the newest that both speak.
    #[must_use]
    pub fn version(&self) -> ProtocolVersion {
        self.shared.version
    }

    /// Queues a frame. It never blocks and may be called from any thread. Small frames arrive in the order in which
    /// they were queued; those over [`SMALL_FRAME_BYTES`] travel apart. A large answer to a client is announced with
    /// a small frame, so that the client knows that it is on its way behind others.
    ///
    /// # Errors
    /// The queue is full, the frame is too long, or the connection has ended.
    #[expect(clippy::needless_pass_by_value, reason = "a sent frame is given away")]
    pub fn send(&self, frame: Frame) -> Result<(), SendError> {
        let bytes = frame.encode(self.version());
        match frame {
            Frame::ClientResponse { id, .. } if bytes.len() > SMALL_FRAME_BYTES => {
                let coming = Frame::Coming { id, bytes: bytes.len() as u64 }.encode(self.version());
                self.shared.outbox.push_announced(id, bytes, &coming)
            }
            _ => self.shared.outbox.push(bytes),
        }
    }

    /// Whether the send queue has room now for a large frame of about this length.
    #[must_use]
    pub fn has_room(&self, length: usize) -> bool {
        self.shared.outbox.has_room(length)
    }

    /// Returns how often something has arrived from the other side, parts of large frames included. A growing number
    /// shows that the other side is alive.
    #[must_use]
    pub fn arrivals(&self) -> u64 {
        self.shared.arrivals.load(Ordering::Relaxed)
    }

    /// Counts an arrival from the other side.
    pub(crate) fn note_arrival(&self) {
        self.shared.arrivals.fetch_add(1, Ordering::Relaxed);
    }

    /// Drops the queued answer to a client's request unless its writing has begun.
    pub(crate) fn withdraw(&self, id: u64) {
        self.shared.outbox.withdraw(id);
    }

    /// Whether the connection has ended or is about to: nothing more can be sent.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.outbox.is_shut()
    }

    /// Ends the connection at once and tells the other side why. Queued frames are dropped.
    pub fn close(&self, code: CloseCode, reason: &str) {
        // The first to close gives the reason.
        let _ = self.shared.closed_here.set(CloseReason::Here { code, reason: reason.into() });
        self.shared.outbox.discard();
        self.shared.quic.close(code.number(), reason.as_bytes());
    }

    /// Ends the connection once the other side has taken what is queued; nothing more can be sent.
    pub fn finish(&self) {
        self.shared.outbox.finish();
    }

    /// Waits until the connection has ended, and returns why.
    pub(crate) async fn ended(&self) -> CloseReason {
        let error = self.shared.quic.closed().await;
        let here = self.shared.closed_here.get().cloned();
        here.unwrap_or_else(|| CloseReason::from_transport(&error))
    }

    /// Runs the connection to its end. A dialing side has accepted the other's first stream already.
    pub(crate) async fn run(self, first: Option<RecvStream>, handler: Arc<dyn Handler>) {
        tracing::debug!(peer = %self.peer(), address = %self.remote_address(), version = %self.version(), "connected");
        handler.connected(&self);
        let quic = &self.shared.quic;
        let patience = patience(self.peer().role);
        let mut writers = JoinSet::new();
        writers.spawn(transmit_small(quic.clone(), self.shared.outbox.clone(), patience));
        for _ in 0..LARGE_STREAMS {
            writers.spawn(transmit_large(quic.clone(), self.shared.outbox.clone(), patience));
        }
        let receiver = Arc::new(Receiver::new(self.clone(), handler.clone()));
        let mut readers = JoinSet::new();
        if let Some(stream) = first {
            readers.spawn(receiver.clone().receive(stream));
        }
        loop {
            tokio::select! {
                accepted = quic.accept_uni() => match accepted {
                    Ok(stream) => { readers.spawn(receiver.clone().receive(stream)); }
                    Err(_) => break,
                },
                Some(ended) = readers.join_next() => self.close_if_faulty(ended),
                Some(ended) = writers.join_next() => if matches!(ended, Ok(Err(Broken::Stalled))) {
                    self.close(CloseCode::TooSlow, "what was sent is not being taken");
                } else if writers.is_empty() {
                    // They end together: all is written and acknowledged, or the connection is over.
                    self.close(CloseCode::Done, "done");
                },
            }
        }
        self.shared.outbox.discard();
        readers.shutdown().await;
        writers.shutdown().await;
        let why = self.ended().await;
        tracing::debug!(peer = %self.peer(), address = %self.remote_address(), version = %self.version(), %why, "connection ended");
        handler.closed(&self, &why);
    }

    fn close_if_faulty(&self, ended: Result<Result<(), Fault>, JoinError>) {
        let fault = match ended {
            Ok(Ok(())) => return,
            Ok(Err(fault)) => fault,
            Err(error) => Fault::new(CloseCode::Failed, format!("a handler failed: {error}")),
        };
        let Fault { code, reason } = fault;
        // The handler is told with the connection's end, and bounds what is logged of it.
        tracing::debug!(peer = %self.peer(), address = %self.remote_address(), version = %self.version(), reason, "closing a connection");
        self.close(code, &reason);
    }
}

impl core::fmt::Debug for Connection {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Shared { id, peer, address, version, .. } = &*self.shared;
        write!(f, "connection {id} to {peer} at {address}, {version}")
    }
}
