//! Why a request did not give a result. Absence and siblings are results.

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

/// Why a request failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The bucket or the key is empty or too long. Nothing was sent.
    #[error(transparent)]
    InvalidKey(#[from] InvalidKey),
    /// A node refused the request as it stands; the message says what to change. Nothing was done, as
    /// far as that node knows: the refusal says whether another that was asked may have done it.
    #[error("{0}")]
    Refused(Refusal),
    /// The certificate's role does not allow the request. Use another certificate.
    #[error("{0}")]
    Forbidden(Refusal),
    /// No quorum could be had until the time was up. Try again when nodes are back, or ask for less.
    #[error("unavailable after {attempts} attempts: {last}{}", maybe(*maybe_applied))]
    Unavailable {
        /// How many nodes were asked, counting repeats.
        attempts: u32,
        /// The refusal of the last of them.
        last: Refusal,
        /// A put may have taken effect all the same.
        maybe_applied: bool,
    },
    /// The time was up before a node answered. Give more time, or look at the nodes.
    #[error(
        "no answer within {} ms after {attempts} attempts; the last: {last}{}",
        timeout.as_millis(),
        maybe(*maybe_applied)
    )]
    Timeout {
        /// The time that all attempts had together.
        timeout: Duration,
        /// How many nodes were asked, counting repeats.
        attempts: u32,
        /// The outcome of the last of them.
        last: AttemptError,
        /// A put may have taken effect all the same.
        maybe_applied: bool,
    },
    /// An update met other writers in every attempt. Nothing is lost: what it has put is there beside what they have.
    /// Update again, or give it more attempts.
    #[error(
        "other clients wrote the key in each of {attempts} attempts{}",
        if *stored { "; what was put is one of its siblings" } else { "" }
    )]
    Contended {
        /// How often the key was read and put.
        attempts: u32,
        /// Whether one of the puts was stored, as a sibling.
        stored: bool,
    },
    /// A node failed in a way that another attempt would not mend; its log says more.
    #[error("the node failed: {0}")]
    Fault(Refusal),
    /// The client could not start: no seed answers, or the certificates are of no use.
    #[error("can't start the client: {0}")]
    Start(#[from] StartError),
    /// A request was to go to one node, and no member has that identity.
    #[error("no member of the cluster is the node {0}")]
    UnknownNode(NodeId),
    /// The value, the key and the context together don't fit a message. Nothing was sent.
    #[error("a request of {length} bytes is over the limit of {limit}")]
    TooLong {
        /// The request's length in bytes.
        length: usize,
        /// The largest request in bytes.
        limit: usize,
    },
    /// A node answered with something else than was asked for: a fault of the program.
    #[error("the node gave an answer of another kind than was asked for")]
    Mismatch,
    /// No layout was committed yet, so no node owns any key.
    #[error("the cluster has no layout yet; see `jedlik-admin cluster plan`")]
    NoLayout,
    /// Properties of a bucket were set while every bucket was read, so that its keys may have been passed over: where they
    /// are looked for follows from its N. Read all again.
    #[error("properties of {} were set meanwhile: its keys may be missing; begin again", .name.escape_ascii())]
    Reset {
        /// The name of the bucket that was set.
        name: Vec<u8>,
    },
}

/// A bucket's name or a key outside its limits. Nothing was sent.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvalidKey {
    /// A bucket needs a name, a key at least one byte.
    #[error("{message}")]
    Empty {
        /// The message for people: which of the two is empty.
        message: String,
    },
    /// Shorten the name, or hash the key.
    #[error("{message}")]
    TooLong {
        /// The message for people: which of the two is too long, its length and the limit.
        message: String,
        /// The length of the name or the key in bytes.
        length: usize,
    },
}

/// Why a client could not start.
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
    /// No seed can be used; this is what is wrong with the first.
    #[error(transparent)]
    Seed(#[from] SeedError),
    /// No seed answered, or none wants this client.
    #[error("none of the {seeds} seeds answered; the last: {last}")]
    Unreachable {
        /// How many were tried.
        seeds: usize,
        /// The outcome of the last attempt.
        last: AttemptError,
    },
    /// The system gives no socket.
    #[error("{reason}")]
    Socket {
        /// The reason that the system gives.
        reason: String,
    },
    /// The system gives no random numbers.
    #[error("the system gives no random numbers: {reason}")]
    Randomness {
        /// The reason that the system gives.
        reason: String,
    },
}

/// A seed that is not `host:port`, or whose host can't be looked up.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("can't use the seed {seed:?}: {reason}; a seed is host:port, such as 127.0.0.1:7101")]
#[non_exhaustive]
pub struct SeedError {
    /// The seed as it was given.
    pub seed: String,
    /// The reason why it can't be used.
    pub reason: String,
}

/// The remedy for an error, as far as a caller has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request or the configuration has to change.
    Invalid,
    /// The request needs another certificate.
    Forbidden,
    /// The same request may succeed later.
    Unavailable,
    /// The program is at fault; the node's log says more.
    Fault,
}

impl ClientError {
    /// The remedy, as far as a caller has one.
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
            Self::Start(_) => ErrorKind::Invalid,
            Self::Forbidden(_) => ErrorKind::Forbidden,
            Self::Fault(_) | Self::Mismatch => ErrorKind::Fault,
        }
    }

    /// A short name under which to count it.
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

    /// Whether a put that failed so may have taken effect.
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

    /// The error for a refusal that no other node would take back.
    pub(crate) fn refused(failure: wire::Failure) -> Self {
        match failure.code {
            wire::ErrorCode::Forbidden => Self::Forbidden(failure.into()),
            wire::ErrorCode::Internal | wire::ErrorCode::Storage => Self::Fault(failure.into()),
            _ => Self::Refused(failure.into()),
        }
    }

    /// The error when the time is up and `last` is what became of the last attempt.
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
