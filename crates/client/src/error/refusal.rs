//! A node's refusal, and its reasons.

use jedlik_protocol::error as wire;
use thiserror::Error;

/// Refusal of a request by a node, with a code for programs and a message for people.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{message}{}", super::maybe(*maybe_applied))]
pub struct Refusal {
    code: ErrorCode,
    message: String,
    maybe_applied: bool,
}

/// Reason why a node refuses a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorCode {
    /// An argument is out of its range; the message names it.
    InvalidRequest,
    /// The context is damaged or belongs to another key: get the key again.
    InvalidContext,
    /// The value is over the bucket's limit: split the value, or raise the limit.
    ValueTooLarge,
    /// The siblings together are over the bucket's limit: get, reconcile and put with the context.
    RecordTooLarge,
    /// The bucket's sibling limit is reached: get, reconcile and put with the context.
    TooManySiblings,
    /// Time ran out before the quorum was reached. A put may still take effect.
    Timeout,
    /// Too few replicas can be reached, or can say whether the key is absent. A put may still take effect.
    Unavailable,
    /// A queue at the node is full; nothing was done.
    Overloaded,
    /// The node is starting, stopping, or the cluster has no layout yet; nothing was done.
    NotReady,
    /// The client's layout is older than the node's; nothing was done.
    StaleLayout,
    /// The sender's layout is newer than the receiver's; nothing was done.
    UnknownLayout,
    /// The node does not own the key's partition; nothing was done.
    NotOwner,
    /// The request was under way or waiting for too long; nothing was done.
    TooOld,
    /// The certificate's role does not allow the request.
    Forbidden,
    /// The node's storage failed or refused the operation.
    Storage,
    /// The plan that an admin asked to commit is not the one that would be committed now.
    PlanChanged,
    /// A fault of the program; the node's log says more.
    Internal,
    /// The queue of puts that wait for the same key is full; nothing was done. Spread the writes over more keys.
    KeyBusy,
    /// Nodes disagree on which process holds a node's identity; nothing was done.
    OtherLife,
}

impl Refusal {
    /// Makes a refusal of a request that was not applied, as a node sends it; for tests of programs that handle
    /// refusals.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), maybe_applied: false }
    }

    /// Returns the reason, for programs.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        self.code
    }

    /// Returns the reason for people: what is wrong, with the numbers, and what to do.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Whether a put may have taken effect all the same.
    #[must_use]
    pub fn maybe_applied(&self) -> bool {
        self.maybe_applied
    }

    /// Returns the same refusal, marked as one of a request that may or may not have taken effect.
    pub(crate) fn applied(self, maybe_applied: bool) -> Self {
        Self { maybe_applied, ..self }
    }
}

#[doc(hidden)]
impl From<wire::Failure> for Refusal {
    fn from(failure: wire::Failure) -> Self {
        let wire::Failure { code, message, maybe_applied } = failure;
        Self { code: code.into(), message, maybe_applied }
    }
}

#[doc(hidden)]
impl From<wire::ErrorCode> for ErrorCode {
    fn from(code: wire::ErrorCode) -> Self {
        match code {
            wire::ErrorCode::InvalidRequest => Self::InvalidRequest,
            wire::ErrorCode::InvalidContext => Self::InvalidContext,
            wire::ErrorCode::ValueTooLarge => Self::ValueTooLarge,
            wire::ErrorCode::RecordTooLarge => Self::RecordTooLarge,
            wire::ErrorCode::TooManySiblings => Self::TooManySiblings,
            wire::ErrorCode::Timeout => Self::Timeout,
            wire::ErrorCode::Unavailable => Self::Unavailable,
            wire::ErrorCode::Overloaded => Self::Overloaded,
            wire::ErrorCode::NotReady => Self::NotReady,
            wire::ErrorCode::StaleLayout => Self::StaleLayout,
            wire::ErrorCode::UnknownLayout => Self::UnknownLayout,
            wire::ErrorCode::NotOwner => Self::NotOwner,
            wire::ErrorCode::TooOld => Self::TooOld,
            wire::ErrorCode::Forbidden => Self::Forbidden,
            wire::ErrorCode::Storage => Self::Storage,
            wire::ErrorCode::PlanChanged => Self::PlanChanged,
            wire::ErrorCode::Internal => Self::Internal,
            wire::ErrorCode::KeyBusy => Self::KeyBusy,
            wire::ErrorCode::OtherLife => Self::OtherLife,
        }
    }
}

impl ErrorCode {
    /// Returns a short stable name of the code, under which to count it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid-request",
            Self::InvalidContext => "invalid-context",
            Self::ValueTooLarge => "value-too-large",
            Self::RecordTooLarge => "record-too-large",
            Self::TooManySiblings => "too-many-siblings",
            Self::Timeout => "timeout",
            Self::Unavailable => "unavailable",
            Self::Overloaded => "overloaded",
            Self::NotReady => "not-ready",
            Self::StaleLayout => "stale-layout",
            Self::UnknownLayout => "unknown-layout",
            Self::NotOwner => "not-owner",
            Self::TooOld => "too-old",
            Self::Forbidden => "forbidden",
            Self::Storage => "storage",
            Self::PlanChanged => "plan-changed",
            Self::Internal => "internal",
            Self::KeyBusy => "key-busy",
            Self::OtherLife => "other-life",
        }
    }
}
