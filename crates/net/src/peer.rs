//! One connection to one address, kept and re-made with backoff.

use std::net::SocketAddr;

use jedlik_hashing::NodeId;
use jedlik_protocol::codec::Frame;

use crate::{ConnectError, Connection, Endpoint, SendError};

/// Where a peer stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerState {
    /// The first attempt, or the first after a loss, is under way: frames are queued.
    Connecting,
    /// Frames are sent.
    Up,
    /// The last attempt failed and another follows: frames are refused.
    Down {
        /// Why it failed.
        error: ConnectError,
    },
    /// [`Peer::close`] was called.
    Closed,
}

/// Keeps one connection to one node. Dropping it ends the connection.
pub struct Peer {
    address: SocketAddr,
}

impl Peer {
    /// Starts connecting, to `expected` if given and to no other. To be called within a tokio runtime.
    #[must_use]
    pub fn new(endpoint: &Endpoint, address: SocketAddr, expected: Option<NodeId>) -> Self {
        let _ = (endpoint, expected);
        Self { address }
    }

    /// Sends a frame, or queues it while the connection is being made. Never blocks.
    ///
    /// # Errors
    /// [`SendError::Closed`] at once while the peer is known to be down, [`SendError::Full`] when
    /// too much waits.
    #[expect(clippy::needless_pass_by_value, reason = "a sent frame is given away")]
    pub fn send(&self, frame: Frame) -> Result<(), SendError> {
        let _ = frame;
        Err(SendError::Closed)
    }

    /// Where it stands.
    #[must_use]
    pub fn state(&self) -> PeerState {
        PeerState::Closed
    }

    /// The connection, if there is one now.
    #[must_use]
    pub fn connection(&self) -> Option<Connection> {
        None
    }

    /// Whom it dials.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends the connection, and makes no other.
    pub fn close(&self) {}
}
