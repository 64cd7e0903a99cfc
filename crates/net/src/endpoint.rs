//! A socket with its identity: listens, dials, and closes without losing what was sent.

use std::net::SocketAddr;
use std::sync::Arc;

use jedlik_hashing::NodeId;
use thiserror::Error;

use crate::{ConnectError, Connection, Credentials, Handler};

/// An endpoint that can't be made.
#[derive(Debug, Error)]
pub enum NetError {
    /// Another process has the port, or the address is not this machine's.
    #[error("can't listen on {address}: {source}")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// As the system says.
        source: std::io::Error,
    },
}

/// One UDP socket and all connections over it; clones share it.
#[derive(Clone)]
pub struct Endpoint {
    shared: Arc<Shared>,
}

struct Shared {
    address: SocketAddr,
}

impl Endpoint {
    /// A node: listens on `address` (port 0 for any) and dials from the same socket. To be called
    /// within a tokio runtime, on which its tasks then run.
    ///
    /// # Errors
    /// The socket can't be had, or the credentials are not a node's.
    pub fn bind(
        address: SocketAddr,
        credentials: &Credentials,
        handler: Arc<dyn Handler>,
    ) -> Result<Self, NetError> {
        let _ = (credentials, handler);
        Ok(Self { shared: Arc::new(Shared { address }) })
    }

    /// A client, an admin, or a node that only dials. To be called within a tokio runtime.
    ///
    /// # Errors
    /// The socket can't be had.
    pub fn client(credentials: &Credentials, handler: Arc<dyn Handler>) -> Result<Self, NetError> {
        let _ = (credentials, handler);
        unimplemented!("skeleton")
    }

    /// Where it listens, with the port that the system chose.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.shared.address
    }

    /// Makes a connection to the node at `address`, to `expected` if given and to no other.
    ///
    /// # Errors
    /// Says what is wrong and what to do about it.
    pub async fn connect(
        &self,
        address: SocketAddr,
        expected: Option<NodeId>,
    ) -> Result<Connection, ConnectError> {
        let _ = expected;
        Err(ConnectError::Timeout { address })
    }

    /// Ends all connections once the peers have taken what was sent, or after
    /// [`crate::limits::CLOSE_TIMEOUT`]. Sends and connects fail from now on.
    pub async fn close(&self) {}
}
