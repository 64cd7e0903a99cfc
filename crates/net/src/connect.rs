//! What can be wrong when a connection is made, in words for people.

use std::net::SocketAddr;

use thiserror::Error;

/// A connection that was not made. Both sides have forgotten it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConnectError {
    /// Nobody answered: see that the node runs and that UDP reaches it.
    #[error("{address} did not answer within {} ms; is the node up, and does UDP reach it?", crate::limits::CONNECT_TIMEOUT.as_millis())]
    Timeout {
        /// Whom.
        address: SocketAddr,
    },
}
