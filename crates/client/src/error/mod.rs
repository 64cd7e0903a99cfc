//! Why a request did not give a result. Absence and siblings are results.

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::time::Duration;

use jedlik_hashing::NodeId;
use jedlik_net::{CloseCode, CloseReason, ConnectError, CredentialsError, NetError};
use jedlik_protocol::error::{ErrorCode, Failure, InvalidKey};
use thiserror::Error;

use crate::profile::ProfileError;

/// Why a request failed.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The bucket or the key is empty or too long. Nothing was sent.
    #[error(transparent)]
    InvalidKey(#[from] InvalidKey),
    /// A node refused the request as it stands; the message says what to change. Nothing was done, as
    /// far as that node knows: the failure says whether another that was asked may have done it.
    #[error("{0}")]
    Refused(Failure),
    /// The certificate's role does not allow the request. Use another certificate.
    #[error("{0}")]
    Forbidden(Failure),
    /// No quorum could be had until the time was up. Try again when nodes are back, or ask for less.
    #[error("unavailable after {attempts} attempts: {last}{}", maybe(*maybe_applied))]
    Unavailable {
        /// How many nodes were asked, counting repeats.
        attempts: u32,
        /// What the last of them said.
        last: Failure,
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
        /// What all attempts had together.
        timeout: Duration,
        /// How many nodes were asked, counting repeats.
        attempts: u32,
        /// What became of the last of them.
        last: AttemptError,
        /// A put may have taken effect all the same.
        maybe_applied: bool,
    },
    /// A node failed in a way that another attempt would not mend; its log says more.
    #[error("the node failed: {0}")]
    Fault(Failure),
    /// The client could not start: no seed, or the certificates are of no use.
    #[error("can't start the client: {0}")]
    Start(#[from] StartError),
    /// A request was to go to one node, and no member has that identity.
    #[error("no member of the cluster is the node {0}")]
    UnknownNode(NodeId),
    /// The value, the key and the context together don't fit a message. Nothing was sent.
    #[error("a request of {length} bytes is over the limit of {limit}")]
    TooLong {
        /// In bytes.
        length: usize,
        /// In bytes.
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
        /// The bucket's name.
        name: Vec<u8>,
    },
}

/// What became of one attempt at one node.
#[derive(Debug, Error)]
pub enum AttemptError {
    /// There was nobody to ask.
    #[error("no node is known")]
    NoNode,
    /// The node could not be reached, or does not want this client.
    #[error("can't connect to {address}: {source}")]
    Connect {
        /// Which.
        address: SocketAddr,
        /// Why, with the remedy.
        source: ConnectError,
    },
    /// The attempt's share of the time passed before there was a connection.
    #[error("can't connect to {address} within {} ms", after.as_millis())]
    Unconnected {
        /// Which.
        address: SocketAddr,
        /// The share.
        after: Duration,
    },
    /// The connection had ended when the request was to leave.
    #[error("the connection to {address} has just ended")]
    Closed {
        /// Which.
        address: SocketAddr,
    },
    /// The connection ended before the answer came.
    #[error("the connection to {address} ended: {why}")]
    Lost {
        /// Which.
        address: SocketAddr,
        /// Who ended it, and why.
        why: CloseReason,
    },
    /// The attempt's share of the time passed.
    #[error("{address} did not answer within {} ms", after.as_millis())]
    Silent {
        /// Which.
        address: SocketAddr,
        /// The share.
        after: Duration,
    },
    /// The queue to the node is full.
    #[error("too many requests wait for {address}")]
    Full {
        /// Which.
        address: SocketAddr,
    },
    /// The node refused, and another may not.
    #[error("{address} said: {failure}")]
    Refused {
        /// Which.
        address: SocketAddr,
        /// Its words.
        failure: Failure,
    },
    /// The answer was not one to this request.
    #[error("{address} gave an answer of another kind")]
    Mismatch {
        /// Which.
        address: SocketAddr,
    },
    /// The request does not fit a frame. No node would take it.
    #[error("a request of {length} bytes is over the limit of {limit}")]
    TooLong {
        /// In bytes.
        length: usize,
        /// In bytes.
        limit: usize,
    },
    /// The client itself has as many requests under way as it may.
    #[error("the {limit} requests under way took all the time")]
    Queued {
        /// [`crate::ClientConfig::in_flight_limit`].
        limit: usize,
    },
}

/// Why a client could not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The profile is missing or wrong.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// The certificates can't be used; the message names the file.
    #[error(transparent)]
    Credentials(CredentialsError),
    /// The system gives no socket.
    #[error(transparent)]
    Socket(NetError),
    /// The system gives no random numbers.
    #[error("the system gives no random numbers: {0}")]
    Randomness(String),
    /// No seed was given.
    #[error("no seeds are given")]
    NoSeeds,
    /// No seed answered, or none wants this client.
    #[error("none of the {seeds} seeds answered; the last: {last}")]
    Unreachable {
        /// How many were tried.
        seeds: usize,
        /// What became of the last attempt.
        last: AttemptError,
    },
}

/// An error with its causes in one line, each said once: many say their cause themselves.
#[must_use]
pub fn in_one_line(error: &(dyn std::error::Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !line.contains(&text) {
            line = format!("{line}: {text}");
        }
        cause = error.source();
    }
    line
}

/// What a caller can do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrorKind {
    /// Change the request or the configuration.
    Invalid,
    /// Use another certificate.
    Forbidden,
    /// Try again later.
    Unavailable,
    /// Look at the node's log.
    Fault,
}

impl ErrorKind {
    /// The exit code that the command-line tools give: 2 for what their user can put right, else 3.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Invalid | Self::Forbidden => 2,
            Self::Unavailable | Self::Fault => 3,
        }
    }
}

impl ClientError {
    /// What a caller can do about it.
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
            Self::Refused(failure) | Self::Forbidden(failure) | Self::Fault(failure) => {
                code_name(failure.code)
            }
            Self::Unavailable { last, .. } => code_name(last.code),
            Self::Timeout { .. } => "timeout",
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
            Self::Refused(failure) | Self::Forbidden(failure) | Self::Fault(failure) => {
                failure.maybe_applied
            }
            _ => false,
        }
    }

    /// The error for a refusal that no other node would take back.
    pub(crate) fn refused(failure: Failure) -> Self {
        match failure.code {
            ErrorCode::Forbidden => Self::Forbidden(failure),
            ErrorCode::Internal | ErrorCode::Storage => Self::Fault(failure),
            _ => Self::Refused(failure),
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
            AttemptError::Refused { failure, .. } => Self::Unavailable {
                attempts,
                maybe_applied: maybe_applied || failure.maybe_applied,
                last: Failure { maybe_applied: false, ..failure },
            },
            last => Self::Timeout { timeout, attempts, last, maybe_applied },
        }
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
                source,
                ConnectError::Timeout { .. }
                    | ConnectError::Broken { .. }
                    | ConnectError::Closed
                    | ConnectError::Refused {
                        code: CloseCode::Done | CloseCode::TooManyConnections,
                        ..
                    }
            ),
            Self::Lost { why: CloseReason::There { code, .. }, .. } => {
                matches!(code, CloseCode::WrongCluster | CloseCode::NoIdentity)
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
            Self::Refused { failure, .. } => failure.maybe_applied,
        }
    }
}

/// An error code as counters and JSON have it.
#[must_use]
pub fn code_name(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::InvalidRequest => "invalid-request",
        ErrorCode::InvalidContext => "invalid-context",
        ErrorCode::ValueTooLarge => "value-too-large",
        ErrorCode::RecordTooLarge => "record-too-large",
        ErrorCode::TooManySiblings => "too-many-siblings",
        ErrorCode::Timeout => "timeout",
        ErrorCode::Unavailable => "unavailable",
        ErrorCode::Overloaded => "overloaded",
        ErrorCode::NotReady => "not-ready",
        ErrorCode::StaleLayout => "stale-layout",
        ErrorCode::UnknownLayout => "unknown-layout",
        ErrorCode::NotOwner => "not-owner",
        ErrorCode::TooOld => "too-old",
        ErrorCode::Forbidden => "forbidden",
        ErrorCode::Storage => "storage",
        ErrorCode::PlanChanged => "plan-changed",
        ErrorCode::Internal => "internal",
        ErrorCode::KeyBusy => "key-busy",
        ErrorCode::OtherLife => "other-life",
    }
}

fn maybe(applied: bool) -> &'static str {
    if applied { " (the write may still take effect)" } else { "" }
}
