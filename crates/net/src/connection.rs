//! One live connection: a cheap handle for its users.

use std::net::SocketAddr;
use std::sync::Arc;

use jedlik_protocol::codec::Frame;
use thiserror::Error;

use crate::{CloseCode, Identity};

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
}

impl Connection {
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

    /// Queues a frame. Never blocks; may be called from any thread. Small frames arrive in the order
    /// in which they were queued; those over [`jedlik_protocol::limits::SMALL_FRAME_BYTES`] travel apart.
    ///
    /// # Errors
    /// The queue is full, the frame too long, or the connection over.
    #[expect(clippy::needless_pass_by_value, reason = "a sent frame is given away")]
    pub fn send(&self, frame: Frame) -> Result<(), SendError> {
        let _ = frame;
        Err(SendError::Closed)
    }

    /// Whether it is over.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        true
    }

    /// Ends it at once, telling the other side why; what is queued is dropped.
    pub fn close(&self, code: CloseCode, reason: &str) {
        let _ = (code, reason);
    }
}
