//! The outcome of an attempt at one node that gave no result.

use std::net::SocketAddr;
use std::time::Duration;

use jedlik_net as net;
use thiserror::Error;

use super::Refusal;

/// The outcome of an attempt at one node that gave no result.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AttemptError {
    /// There was nobody to ask.
    #[error("no node is known")]
    NoNode,
    /// The node could not be reached, or does not want this client.
    #[error("can't connect to {address}: {source}")]
    Connect {
        /// Address of the node that could not be reached.
        address: SocketAddr,
        /// Why, with the remedy.
        source: ConnectError,
    },
    /// The attempt's share of the time passed before there was a connection.
    #[error("can't connect to {address} within {} ms", after.as_millis())]
    Unconnected {
        /// Address of the node that could not be reached.
        address: SocketAddr,
        /// The attempt's share of the time.
        after: Duration,
    },
    /// The connection had ended when the request was to leave.
    #[error("the connection to {address} has just ended")]
    Closed {
        /// Address of the node that the connection led to.
        address: SocketAddr,
    },
    /// The connection ended before the answer came.
    #[error("the connection to {address} ended: {why}")]
    Lost {
        /// Address of the node that the connection led to.
        address: SocketAddr,
        /// The side that ended it, and its reason.
        why: Disconnect,
    },
    /// The attempt's share of the time passed.
    #[error("{address} did not answer within {} ms", after.as_millis())]
    Silent {
        /// Address of the node that gave no answer.
        address: SocketAddr,
        /// The attempt's share of the time.
        after: Duration,
    },
    /// The queue to the node is full.
    #[error("too many requests wait for {address}")]
    Full {
        /// Address of the node that requests wait for.
        address: SocketAddr,
    },
    /// The node refused, and another may not.
    #[error("{address} said: {refusal}")]
    Refused {
        /// Address of the node that refused.
        address: SocketAddr,
        /// The node's reason, with the remedy.
        refusal: Refusal,
    },
    /// The answer was not one to this request.
    #[error("{address} gave an answer of another kind")]
    Mismatch {
        /// Address of the node that gave the answer.
        address: SocketAddr,
    },
    /// The request does not fit a frame. No node would take it.
    #[error("a request of {length} bytes is over the limit of {limit}")]
    TooLong {
        /// The request's length in bytes.
        length: usize,
        /// The largest frame in bytes.
        limit: usize,
    },
    /// The client itself has as many requests under way as it may.
    #[error("the {limit} requests under way took all the time")]
    Queued {
        /// The limit, of [`ClientBuilder::in_flight_limit`](crate::ClientBuilder::in_flight_limit).
        limit: usize,
    },
}

/// Why a node could not be reached, or does not want this client, with the remedy.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct ConnectError(net::ConnectError);

/// Why a connection has ended.
#[derive(Debug, Clone, Error)]
#[error("{0}")]
pub struct Disconnect(net::CloseReason);

impl From<net::ConnectError> for ConnectError {
    fn from(error: net::ConnectError) -> Self {
        Self(error)
    }
}

impl From<net::CloseReason> for Disconnect {
    fn from(reason: net::CloseReason) -> Self {
        Self(reason)
    }
}

impl AttemptError {
    /// Whether the node itself is suspect, so that other requests should avoid it.
    pub(crate) fn makes_suspect(&self) -> bool {
        matches!(
            self,
            Self::Connect { .. }
                | Self::Unconnected { .. }
                | Self::Closed { .. }
                | Self::Lost { .. }
                | Self::Silent { .. }
        )
    }

    /// Whether asking again is of no use before somebody has put the certificates right.
    pub(crate) fn is_hopeless(&self) -> bool {
        match self {
            Self::Connect { source, .. } => !matches!(
                source.0,
                net::ConnectError::Timeout { .. }
                    | net::ConnectError::Broken { .. }
                    | net::ConnectError::Closed
                    | net::ConnectError::Refused {
                        code: net::CloseCode::Done | net::CloseCode::TooManyConnections,
                        ..
                    }
            ),
            Self::Lost { why: Disconnect(net::CloseReason::There { code, .. }), .. } => {
                matches!(code, net::CloseCode::WrongCluster | net::CloseCode::NoIdentity)
            }
            _ => false,
        }
    }

    /// Whether the node may have acted on the request.
    pub(crate) fn maybe_applied(&self) -> bool {
        match self {
            Self::NoNode
            | Self::Connect { .. }
            | Self::Unconnected { .. }
            | Self::Closed { .. }
            | Self::Full { .. }
            | Self::TooLong { .. }
            | Self::Queued { .. } => false,
            Self::Lost { .. } | Self::Silent { .. } | Self::Mismatch { .. } => true,
            Self::Refused { refusal, .. } => refusal.maybe_applied(),
        }
    }
}
