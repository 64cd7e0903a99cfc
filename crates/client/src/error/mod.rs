//! The errors of requests, with what was done and what to do. Absence and siblings are results, not errors.

mod attempt;
mod refusal;
#[cfg(test)]
mod tests;

use std::time::Duration;

use jedlik_hashing::NodeId;
use jedlik_protocol::error as wire;
use thiserror::Error;

pub use attempt::{AttemptError, ConnectError, Disconnect};
pub use refusal::{ErrorCode, Refusal};

use crate::IdentityError;

/// Reason why a request failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The bucket's name or the key is empty or too long. Nothing was sent.
    #[error(transparent)]
    InvalidKey(#[from] InvalidKey),
    /// A node refused the request as it stands; the message says what to change. That node did nothing;
    /// [`Refusal::maybe_applied`] says whether another node that was asked may have applied a put.
    #[error("{0}")]
    Refused(Refusal),
    /// The certificate's role does not allow the request. Use another certificate.
    #[error("{0}")]
    Forbidden(Refusal),
    /// No quorum was available until the time was up. Try again when nodes are back, or ask for a smaller quorum.
    #[error("unavailable after {attempts} attempts: {last}{}", maybe(*maybe_applied))]
    Unavailable {
        /// Number of attempts, counting repeats at one node.
        attempts: u32,
        /// Refusal that the last attempt met.
        last: Refusal,
        /// Whether a put may have taken effect all the same.
        maybe_applied: bool,
    },
    /// The time was up before any node answered. Allow more time, or check the nodes.
    #[error(
        "no answer within {} ms after {attempts} attempts; the last: {last}{}",
        timeout.as_millis(),
        maybe(*maybe_applied)
    )]
    Timeout {
        /// Time that all attempts had together.
        timeout: Duration,
        /// Number of attempts, counting repeats at one node.
        attempts: u32,
        /// Outcome of the last attempt.
        last: AttemptError,
        /// Whether a put may have taken effect all the same.
        maybe_applied: bool,
    },
    /// An update met other writers in every attempt. Nothing is lost: its value is a sibling beside theirs, if
    /// `stored`. Update again, or allow more attempts.
    #[error(
        "other clients wrote the key in each of {attempts} attempts{}",
        if *stored { "; what was put is one of its siblings" } else { "" }
    )]
    Contended {
        /// Number of times that the key was read and put.
        attempts: u32,
        /// Whether one of the puts was stored, as a sibling.
        stored: bool,
    },
    /// A node failed in a way that another attempt would not mend; the node's log says more.
    #[error("the node failed: {0}")]
    Fault(Refusal),
    /// The client could not start: no seed answers, or the certificates can't be used.
    #[error("can't start the client: {0}")]
    Start(#[from] StartError),
    /// The request names one node, and no member has that identity.
    #[error("no member of the cluster is the node {0}")]
    UnknownNode(NodeId),
    /// The value, the key and the context together don't fit into one message. Nothing was sent.
    #[error("a request of {length} bytes is over the limit of {limit}")]
    TooLong {
        /// Length of the request in bytes.
        length: usize,
        /// Largest request in bytes.
        limit: usize,
    },
    /// A node gave an answer of another kind than the request: a fault in the program.
    #[error("the node gave an answer of another kind than was asked for")]
    Mismatch,
    /// No layout has been committed yet, so no node owns any key.
    #[error("the cluster has no layout yet; see `jedlik-admin cluster plan`")]
    NoLayout,
    /// A bucket's properties changed during a scan of every bucket. Where its keys are follows from its N, so some may
    /// have been missed. Scan again.
    #[error("properties of {} were set meanwhile: its keys may be missing; begin again", .name.escape_ascii())]
    Reset {
        /// Name of the bucket whose properties changed.
        name: Vec<u8>,
    },
}

/// A bucket's name or a key that is outside its limits. Nothing was sent.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvalidKey {
    /// The bucket's name or the key is empty; each needs at least one byte.
    #[error("{message}")]
    Empty {
        /// Message for people, which says which of the two is empty.
        message: String,
    },
    /// The bucket's name or the key is too long: shorten the name, or hash the key.
    #[error("{message}")]
    TooLong {
        /// Message for people, which says which of the two is too long, with its length and the limit.
        message: String,
        /// Length of the name or the key in bytes.
        length: usize,
    },
}

/// Reason why a client could not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// The certificates can't be used; the message names the file.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// No identity was given: see [`ClientBuilder::identity`](crate::ClientBuilder::identity).
    #[error("no identity is given")]
    NoIdentity,
    /// No seed was given: see [`ClientBuilder::seeds`](crate::ClientBuilder::seeds).
    #[error("no seeds are given")]
    NoSeeds,
    /// No seed can be used; this is the error of the first.
    #[error(transparent)]
    Seed(#[from] SeedError),
    /// No seed answered, or every seed refused this client.
    #[error("none of the {seeds} seeds answered; the last: {last}")]
    Unreachable {
        /// Number of addresses that were tried.
        seeds: usize,
        /// Outcome of the last attempt.
        last: AttemptError,
    },
    /// The operating system gives no UDP socket.
    #[error("{reason}")]
    Socket {
        /// Reason that the operating system gives.
        reason: String,
    },
    /// The operating system gives no random numbers.
    #[error("the system gives no random numbers: {reason}")]
    Randomness {
        /// Reason that the operating system gives.
        reason: String,
    },
}

/// A seed that is not `host:port`, or whose host can't be looked up.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("can't use the seed {seed:?}: {reason}; a seed is host:port, such as 127.0.0.1:7101")]
#[non_exhaustive]
pub struct SeedError {
    /// Seed as it was given to the builder.
    pub seed: String,
    /// Reason why the seed can't be used.
    pub reason: String,
}

/// Class of an error by what the caller can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request or the configuration must change.
    Invalid,
    /// The request needs a certificate with another role or other rights.
    Forbidden,
    /// The same request may succeed later.
    Unavailable,
    /// The program is at fault; the node's log says more.
    Fault,
}

impl ClientError {
    /// Returns the class of the error, by what the caller can do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::InvalidKey(_)
            | Self::Refused(_)
            | Self::TooLong { .. }
            | Self::UnknownNode(_) => ErrorKind::Invalid,
            Self::Start(StartError::Unreachable { last, .. }) if !last.is_hopeless() => {
                ErrorKind::Unavailable
            }
            Self::Unavailable { .. }
            | Self::Timeout { .. }
            | Self::Contended { .. }
            | Self::NoLayout
            | Self::Reset { .. } => ErrorKind::Unavailable,
            Self::Start(StartError::Unreachable { last, .. }) if last.is_forbidden() => {
                ErrorKind::Forbidden
            }
            Self::Start(_) => ErrorKind::Invalid,
            Self::Forbidden(_) => ErrorKind::Forbidden,
            Self::Fault(_) | Self::Mismatch => ErrorKind::Fault,
        }
    }

    /// Returns a short stable name of the error, under which to count it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::InvalidKey(_) => "invalid-key",
            Self::Refused(refusal) | Self::Forbidden(refusal) | Self::Fault(refusal) => {
                refusal.code().name()
            }
            Self::Unavailable { last, .. } => last.code().name(),
            Self::Timeout { .. } => "timeout",
            Self::Contended { .. } => "contended",
            Self::Start(_) => "start",
            Self::UnknownNode(_) => "unknown-node",
            Self::TooLong { .. } => "too-long",
            Self::Mismatch => "mismatch",
            Self::NoLayout => "no-layout",
            Self::Reset { .. } => "reset",
        }
    }

    /// Whether a put that failed with this error may have taken effect.
    #[must_use]
    pub fn maybe_applied(&self) -> bool {
        match self {
            Self::Unavailable { maybe_applied, .. } | Self::Timeout { maybe_applied, .. } => {
                *maybe_applied
            }
            Self::Refused(refusal) | Self::Forbidden(refusal) | Self::Fault(refusal) => {
                refusal.maybe_applied()
            }
            Self::Contended { stored, .. } => *stored,
            _ => false,
        }
    }

    /// Makes the error for a refusal that no other node would reverse.
    pub(crate) fn refused(failure: wire::Failure) -> Self {
        match failure.code {
            wire::ErrorCode::Forbidden => Self::Forbidden(failure.into()),
            wire::ErrorCode::Internal | wire::ErrorCode::Storage => Self::Fault(failure.into()),
            _ => Self::Refused(failure.into()),
        }
    }

    /// Makes the error for a request whose time is up, with `last` as the outcome of its last attempt.
    pub(crate) fn exhausted(
        timeout: Duration,
        attempts: u32,
        last: AttemptError,
        maybe_applied: bool,
    ) -> Self {
        match last {
            AttemptError::Refused { refusal, .. } => Self::Unavailable {
                attempts,
                maybe_applied: maybe_applied || refusal.maybe_applied(),
                last: refusal.applied(false),
            },
            last => Self::Timeout { timeout, attempts, last, maybe_applied },
        }
    }
}

impl From<IdentityError> for ClientError {
    fn from(error: IdentityError) -> Self {
        Self::Start(error.into())
    }
}

#[doc(hidden)]
impl From<wire::InvalidKey> for InvalidKey {
    fn from(error: wire::InvalidKey) -> Self {
        let message = error.to_string();
        match error {
            wire::InvalidKey::EmptyBucket | wire::InvalidKey::EmptyKey => Self::Empty { message },
            wire::InvalidKey::BucketTooLong { length }
            | wire::InvalidKey::KeyTooLong { length } => Self::TooLong { message, length },
        }
    }
}

fn maybe(applied: bool) -> &'static str {
    if applied { " (the write may still take effect)" } else { "" }
}
