//! Errors in what was sent, and the refusals of a node.

use alloc::string::String;
use core::fmt;

use rkyv::{Archive, Deserialize, Serialize};
use thiserror::Error;

use crate::limits::{ACCESS_GRANTS_MAX, BUCKET_LIMIT_BYTES, CONTEXT_LIMIT_BYTES, KEY_LIMIT_BYTES};

/// A bucket's name or a key that is empty or over its limit.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidKey {
    /// The bucket's name is empty; it needs at least one byte.
    #[error("the bucket name is empty")]
    EmptyBucket,
    /// The bucket's name is over its limit; shorten it.
    #[error("the bucket name has {length} bytes, over the limit of {BUCKET_LIMIT_BYTES}")]
    BucketTooLong {
        /// Length of the name in bytes.
        length: usize,
    },
    /// The key is empty; it needs at least one byte.
    #[error("the key is empty")]
    EmptyKey,
    /// The key is over its limit; shorten or hash it.
    #[error("the key has {length} bytes, over the limit of {KEY_LIMIT_BYTES}")]
    KeyTooLong {
        /// Length of the key in bytes.
        length: usize,
    },
}

/// A quorum that no request can reach.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidQuorum {
    /// The quorum is above N; ask for at most N.
    #[error("a quorum of {count} is above the {n} replicas")]
    AboveN {
        /// Number of replicas that was asked for.
        count: u8,
        /// Number of replicas that there are.
        n: u8,
    },
    /// The text is neither the name of a quorum nor a number.
    #[error("a quorum is a number or one of: one, quorum, all, default")]
    NotAQuorum,
}

/// A context that was not given out by this cluster for this key.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidContext {
    /// The context is cut short: it has no room for a checksum.
    #[error("the context is cut short at {length} bytes")]
    TooShort {
        /// Length of the context in bytes.
        length: usize,
    },
    /// The context is from a newer version, or not a context at all.
    #[error("the context has format {format}, which this version does not know")]
    UnknownFormat {
        /// First byte of the context, which names its format.
        format: u8,
    },
    /// The context is longer than any that a get returns. Get the key again.
    #[error(
        "the context has {length} bytes, over the limit of {CONTEXT_LIMIT_BYTES}: no get gave it out; get \
         the key again"
    )]
    TooLong {
        /// Length of the context in bytes.
        length: usize,
    },
    /// The context is damaged, or was given out for another key.
    #[error("the context is damaged or belongs to another key; get the key again")]
    Checksum,
}

/// A bucket property that cannot be set.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidProperty {
    /// No property has this name.
    #[error("unknown bucket property {name:?}; known are {}", .known.join(", "))]
    Unknown {
        /// Name as it was given.
        name: String,
        /// Names that properties have.
        known: &'static [&'static str],
    },
    /// The value is not of the property's kind.
    #[error("bucket property {name} can't be {value:?}: it takes {takes}")]
    BadValue {
        /// Name of the property.
        name: String,
        /// Value as it was given.
        value: String,
        /// Description of the values that the property takes.
        takes: String,
    },
    /// The value is outside the range that the other properties leave.
    #[error("bucket property {name} can't be {value}: it goes from {least} to {most} here")]
    OutOfRange {
        /// Name of the property.
        name: &'static str,
        /// Value as it was given.
        value: u64,
        /// Least value that the property may have.
        least: u64,
        /// Greatest value that the property may have.
        most: u64,
    },
}

/// A record that no node stores or sends, since it is larger than any message or journal frame may be.
///
/// Get the key, reconcile some of its siblings and put the result with the get's context.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "the record would have {count} {what}, over the limit of {limit} for any record: get the key, reconcile \
     its siblings and put the result with the get's context"
)]
pub struct RecordOverLimit {
    /// Unit of what there is too much of: clock entries, siblings or bytes.
    pub what: &'static str,
    /// Amount that the record would have, in that unit.
    pub count: usize,
    /// Most that a record may have, in that unit.
    pub limit: usize,
}

/// Rights of a token or a certificate that can't be had.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidAccess {
    /// The name can't be had; choose 1 to 256 letters, digits, dashes and underscores.
    #[error(
        "{name:?} can't be a name: a token's has 1 to 256 letters, digits, - and _; a certificate's small letters, \
             digits and -"
    )]
    Name {
        /// Name as it was given.
        name: String,
    },
    /// There are too many grants; use shorter prefixes.
    #[error("{count} grants are over the limit of {ACCESS_GRANTS_MAX}: use shorter prefixes")]
    TooManyGrants {
        /// Number of grants that were given.
        count: usize,
    },
    /// The grants are out of order, or one of their prefixes is too long.
    #[error("the grants are out of order, or have a prefix that no bucket has")]
    Grants,
}

/// Bytes that are not a valid message. The connection that sent them ends; nothing else happens.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// The frame is over the limit for its sender.
    #[error("a frame of {length} bytes is over the limit of {limit}")]
    TooLong {
        /// Length of the frame in bytes.
        length: usize,
        /// Limit that the frame exceeds, in bytes.
        limit: usize,
    },
    /// The bytes don't have the layout of what was expected, or break its invariants.
    #[error("the bytes are not a valid {what}")]
    Malformed {
        /// Kind of value that was expected.
        what: &'static str,
    },
    /// The message has more of something than any message may hold.
    #[error("a message with {count} {what} is over the limit of {limit}")]
    TooMany {
        /// Kind of item that there are too many of.
        what: &'static str,
        /// Number of the items in the message.
        count: usize,
        /// Most items of the kind that a message may have.
        limit: usize,
    },
    /// The message contains a key outside its limits.
    #[error(transparent)]
    Key(#[from] InvalidKey),
}

/// Cause of a failed request, as programs tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum ErrorCode {
    /// An argument is out of its range; the message names it. Nothing was done.
    InvalidRequest,
    /// The context is damaged or belongs to another key.
    InvalidContext,
    /// The value is over the bucket's limit.
    ValueTooLarge,
    /// The record would grow over the bucket's limit; get the key, reconcile and put with the context.
    RecordTooLarge,
    /// The bucket's sibling limit is reached; get the key, reconcile and put with the context.
    TooManySiblings,
    /// Time ran out before the quorum was reached. A put may still take effect.
    Timeout,
    /// Too few replicas can be reached. A put may still take effect.
    Unavailable,
    /// A queue is full; nothing was done.
    Overloaded,
    /// The node is starting or stopping, or the cluster has no layout yet; nothing was done.
    NotReady,
    /// The sender's layout is older than the receiver's; nothing was done.
    StaleLayout,
    /// The sender's layout is newer than the receiver's, which will learn it in a moment; nothing was done.
    UnknownLayout,
    /// The receiver does not own the partition; nothing was done.
    NotOwner,
    /// The message is older than a message may be: it was under way, or waiting, for too long. Nothing was done.
    TooOld,
    /// The certificate's role does not allow the request; nothing was done.
    Forbidden,
    /// The storage failed: an error of the disk, or too little room on it.
    Storage,
    /// The digest that a commit names is not that of the plan that would be committed now.
    PlanChanged,
    /// A fault of the program, not of the request.
    Internal,
    /// Too many puts of the key wait at its coordinator; nothing was done. Another node doesn't help: all pass puts
    /// of the key on to that coordinator.
    KeyBusy,
    /// The receiver knows the asking node in another life, since it has just started or runs twice, or the two differ
    /// about the lives of the members; nothing was done.
    OtherLife,
}

impl ErrorCode {
    /// Whether the same request may succeed when it is sent again, to this node or to another.
    #[must_use]
    pub fn retryable(self) -> bool {
        matches!(
            self,
            Self::Timeout
                | Self::Unavailable
                | Self::Overloaded
                | Self::NotReady
                | Self::StaleLayout
                | Self::UnknownLayout
                | Self::NotOwner
                | Self::TooOld
                | Self::Storage
                | Self::KeyBusy
                | Self::OtherLife
        )
    }
}

/// A refusal, as it travels to the sender of the request.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Failure {
    /// Cause of the refusal, for programs.
    pub code: ErrorCode,
    /// Description for people: what is wrong, with the numbers in it, and what to do.
    pub message: String,
    /// Whether a put may have taken effect all the same.
    pub maybe_applied: bool,
}

impl Failure {
    /// Makes a refusal of a request of which nothing was done.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), maybe_applied: false }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if self.maybe_applied { f.write_str(" (the write may still take effect)") } else { Ok(()) }
    }
}

impl core::error::Error for Failure {}
