//! One live connection: a cheap handle for its users, and the task that sees it through.
//!
//! Invariant: the handler is told `connected` before anything arrives, and `closed` after the last.

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

/// A frame that was not sent. Nothing of it has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SendError {
    /// The peer does not keep up: drop the frame, or try later.
    #[error("the send queue is full at {frames} frames and {bytes} bytes")]
    Full {
        /// How many wait.
        frames: usize,
        /// How many wait, in bytes.
        bytes: usize,
    },
    /// Over [`jedlik_protocol::limits::FRAME_LIMIT_BYTES`].
    #[error("a frame of {length} bytes is over the limit of {limit}")]
    TooLong {
        /// In bytes.
        length: usize,
        /// In bytes.
        limit: usize,
    },
    /// The connection is over, or there is none.
    #[error("there is no connection")]
    Closed,
}

/// A handle to one connection; clones share it. Dropping handles does not end the connection.
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
    /// Set by the side that closes, before it does.
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
            // A socket of both IP versions writes IPv4 its own way.
            address: SocketAddr::new(address.ip().to_canonical(), address.port()),
            version,
            quic,
            outbox: Arc::new(outbox),
            arrivals: AtomicU64::new(0),
            closed_here: OnceLock::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Tells it from every other connection of this process.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.shared.id
    }

    /// Who the other side is, by its certificate.
    #[must_use]
    pub fn peer(&self) -> &Identity {
        &self.shared.peer
    }

    /// Where the other side is.
    #[must_use]
    pub fn remote_address(&self) -> SocketAddr {
        self.shared.address
    }

    /// What the two sides have agreed to speak: the newest version that both know.
    #[must_use]
    pub fn version(&self) -> ProtocolVersion {
        self.shared.version
    }

    /// Queues a frame. Never blocks; may be called from any thread. Small frames arrive in the order
    /// in which they were queued; those over [`SMALL_FRAME_BYTES`] travel apart. A client's answer among these is
    /// announced with a small frame, so that it is known to be on its way while others are before it.
    ///
    /// # Errors
    /// The queue is full, the frame too long, or the connection over.
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

    /// Whether a large frame of about this length would find room now among what waits to be sent.
    #[must_use]
    pub fn has_room(&self, length: usize) -> bool {
        self.shared.outbox.has_room(length)
    }

    /// How often something has come from the other side, be it a part of a large frame: who sends more is there.
    #[must_use]
    pub fn arrivals(&self) -> u64 {
        self.shared.arrivals.load(Ordering::Relaxed)
    }

    /// Notes that something has come.
    pub(crate) fn note_arrival(&self) {
        self.shared.arrivals.fetch_add(1, Ordering::Relaxed);
    }

    /// Drops the answer to a client's request unless its writing has begun.
    pub(crate) fn withdraw(&self, id: u64) {
        self.shared.outbox.withdraw(id);
    }

    /// Whether it is over, or about to be: nothing more can be sent.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.outbox.is_shut()
    }

    /// Ends it at once, telling the other side why; what is queued is dropped.
    pub fn close(&self, code: CloseCode, reason: &str) {
        // Whoever closes first says why.
        let _ = self.shared.closed_here.set(CloseReason::Here { code, reason: reason.into() });
        self.shared.outbox.discard();
        self.shared.quic.close(code.number(), reason.as_bytes());
    }

    /// Ends it once the other side has taken what was sent: nothing more can be.
    pub fn finish(&self) {
        self.shared.outbox.finish();
    }

    /// Waits for its end.
    pub(crate) async fn ended(&self) -> CloseReason {
        let error = self.shared.quic.closed().await;
        let here = self.shared.closed_here.get().cloned();
        here.unwrap_or_else(|| CloseReason::from_transport(&error))
    }

    /// Runs the connection to its end. A dialing side has taken the other's first stream already.
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
        tracing::warn!(peer = %self.peer(), address = %self.remote_address(), version = %self.version(), reason, "closing a connection");
        self.close(code, &reason);
    }
}

impl core::fmt::Debug for Connection {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Shared { id, peer, address, version, .. } = &*self.shared;
        write!(f, "connection {id} to {peer} at {address}, {version}")
    }
}
