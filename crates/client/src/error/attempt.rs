//! The outcome of an attempt at one node that gave no result.

use std::net::SocketAddr;
use std::time::Duration;

use jedlik_net as net;
use thiserror::Error;

use super::{ErrorCode, Refusal};

/// Reason why an attempt at one node gave no result.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AttemptError {
    /// No node is known, so none could be asked.
    #[error("no node is known")]
    NoNode,
    /// The node could not be reached, or refused this client.
    #[error("can't connect to {address}: {source}")]
    Connect {
        /// Address of the node that could not be reached.
        address: SocketAddr,
        /// Reason, with the remedy.
        source: ConnectError,
    },
    /// The attempt's share of the time passed before a connection was made.
    #[error("can't connect to {address} within {} ms", after.as_millis())]
    Unconnected {
        /// Address of the node that could not be reached.
        address: SocketAddr,
        /// Share of the request's time that the attempt had.
        after: Duration,
    },
    /// The connection had already ended when the request was about to leave.
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
        /// Side that ended the connection, and its reason.
        why: Disconnect,
    },
    /// The attempt's share of the time passed without an answer.
    #[error("{address} did not answer within {} ms", after.as_millis())]
    Silent {
        /// Address of the node that gave no answer.
        address: SocketAddr,
        /// Share of the request's time that the attempt had.
        after: Duration,
    },
    /// The queue of requests to the node is full.
    #[error("too many requests wait for {address}")]
    Full {
        /// Address of the node that requests wait for.
        address: SocketAddr,
    },
    /// The node refused the request; another node may accept it.
    #[error("{address} said: {refusal}")]
    Refused {
        /// Address of the node that refused.
        address: SocketAddr,
        /// Refusal as the node gave it, with the remedy.
        refusal: Refusal,
    },
    /// The answer is of another kind than the request.
    #[error("{address} gave an answer of another kind")]
    Mismatch {
        /// Address of the node that gave the answer.
        address: SocketAddr,
    },
    /// The request does not fit a frame, so no node would accept it.
    #[error("a request of {length} bytes is over the limit of {limit}")]
    TooLong {
        /// Length of the request in bytes.
        length: usize,
        /// Largest frame in bytes.
        limit: usize,
    },
    /// The client already had as many requests under way as it may, until the time was up.
    #[error("the {limit} requests under way took all the time")]
    Queued {
        /// Limit on requests under way: [`ClientBuilder::in_flight_limit`](crate::ClientBuilder::in_flight_limit).
        limit: usize,
    },
}

/// Reason why a node could not be reached or refused this client, with the remedy.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct ConnectError(net::ConnectError);

/// Reason why a connection has ended, and the side that ended it.
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
    /// Whether the outcome makes the node suspect, so that other requests avoid it.
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

    /// Whether another attempt is of no use until somebody corrects the certificates, or gives rights.
    pub(crate) fn is_hopeless(&self) -> bool {
        match self {
            Self::Refused { .. } => self.is_forbidden(),
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

    /// Whether the node refused for want of a right.
    pub(crate) fn is_forbidden(&self) -> bool {
        matches!(self, Self::Refused { refusal, .. } if refusal.code() == ErrorCode::Forbidden)
    }

    /// Whether the node may have applied the request.
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
