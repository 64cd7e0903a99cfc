//! What can be wrong with what was said, and how a node refuses.

use alloc::string::String;
use core::fmt;

use rkyv::{Archive, Deserialize, Serialize};
use thiserror::Error;

use crate::bucket::PROPERTY_NAMES;
use crate::limits::{BUCKET_LIMIT_BYTES, CONTEXT_LIMIT_BYTES, KEY_LIMIT_BYTES};

/// A bucket or key outside its limits.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidKey {
    /// A bucket needs a name.
    #[error("the bucket name is empty")]
    EmptyBucket,
    /// Shorten the name.
    #[error("the bucket name has {length} bytes, over the limit of {BUCKET_LIMIT_BYTES}")]
    BucketTooLong {
        /// In bytes.
        length: usize,
    },
    /// A key needs at least one byte.
    #[error("the key is empty")]
    EmptyKey,
    /// Shorten the key, or hash it.
    #[error("the key has {length} bytes, over the limit of {KEY_LIMIT_BYTES}")]
    KeyTooLong {
        /// In bytes.
        length: usize,
    },
}

/// A quorum that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidQuorum {
    /// Ask for at most N.
    #[error("a quorum of {count} is above the {n} replicas")]
    AboveN {
        /// What was asked.
        count: u8,
        /// How many replicas there are.
        n: u8,
    },
    /// Neither a name nor a number.
    #[error("a quorum is a number or one of: one, quorum, all, default")]
    NotAQuorum,
}

/// A context that was not given out by this cluster for this key.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidContext {
    /// Cut short.
    #[error("the context is cut short at {length} bytes")]
    TooShort {
        /// In bytes.
        length: usize,
    },
    /// From a newer version, or not a context.
    #[error("the context has format {format}, which this version does not know")]
    UnknownFormat {
        /// Its first byte.
        format: u8,
    },
    /// No get gives out one so long. Get the key again.
    #[error(
        "the context has {length} bytes, over the limit of {CONTEXT_LIMIT_BYTES}: no get gave it out; get \
         the key again"
    )]
    TooLong {
        /// In bytes.
        length: usize,
    },
    /// Damaged, or another key's.
    #[error("the context is damaged or belongs to another key; get the key again")]
    Checksum,
}

/// A bucket property that cannot be set.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidProperty {
    /// No property has this name.
    #[error("unknown bucket property {name:?}; known are {}", PROPERTY_NAMES.join(", "))]
    Unknown {
        /// As given.
        name: String,
    },
    /// Not a value of its kind.
    #[error("bucket property {name} can't be {value:?}: it takes {takes}")]
    BadValue {
        /// Which.
        name: String,
        /// As given.
        value: String,
        /// What would do.
        takes: &'static str,
    },
    /// Outside what the other properties allow.
    #[error("bucket property {name} can't be {value}: it goes from {least} to {most} here")]
    OutOfRange {
        /// Which.
        name: &'static str,
        /// As given.
        value: u64,
        /// The least it may be.
        least: u64,
        /// The most it may be.
        most: u64,
    },
}

/// A record that no node stores or sends, since it is larger than any message or frame of a journal is made for.
///
/// Get the key, reconcile some of its siblings and put the result with the get's context.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "the record would have {count} {what}, over the limit of {limit} for any record: get the key, reconcile \
     its siblings and put the result with the get's context"
)]
pub struct RecordOverLimit {
    /// What there is too much of.
    pub what: &'static str,
    /// How much of it there is.
    pub count: usize,
    /// How much of it there may be.
    pub limit: usize,
}

/// Bytes that are not what they should be. The connection that sent them ends; nothing else does.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// Over the limit of its kind.
    #[error("a frame of {length} bytes is over the limit of {limit}")]
    TooLong {
        /// In bytes.
        length: usize,
        /// In bytes.
        limit: usize,
    },
    /// Validation failed.
    #[error("the bytes are not a valid {what}")]
    Malformed {
        /// What was expected.
        what: &'static str,
    },
    /// More of something than any message may hold.
    #[error("a message with {count} {what} is over the limit of {limit}")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How much of it there is.
        count: usize,
        /// How much of it there may be.
        limit: usize,
    },
    /// A key outside its limits.
    #[error(transparent)]
    Key(#[from] InvalidKey),
}

/// Why a request failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum ErrorCode {
    /// An argument is out of its range; the message names it.
    InvalidRequest,
    /// The context is damaged or another key's.
    InvalidContext,
    /// The value is over the bucket's limit.
    ValueTooLarge,
    /// The record would grow over the bucket's limit; get, reconcile and put with the context.
    RecordTooLarge,
    /// The bucket's sibling limit is reached; get, reconcile and put with the context.
    TooManySiblings,
    /// Time ran out before the quorum was reached. A put may still survive.
    Timeout,
    /// Too few replicas can be reached. A put may still survive.
    Unavailable,
    /// A queue is full; nothing was done.
    Overloaded,
    /// The node is starting, stopping, or the cluster has no layout yet; nothing was done.
    NotReady,
    /// The sender's layout is older than the receiver's; nothing was done.
    StaleLayout,
    /// The sender's layout is newer than the receiver's, who will have it in a moment; nothing was done.
    UnknownLayout,
    /// The receiver does not own the partition; nothing was done.
    NotOwner,
    /// The message outlived the time that a message may: it was under way, or waiting, for too long.
    /// Nothing was done.
    TooOld,
    /// The certificate's role does not allow it.
    Forbidden,
    /// The disk refused.
    Storage,
    /// A plan's hash is not that of the plan that would be committed now.
    PlanChanged,
    /// A fault of the program.
    Internal,
    /// So many puts of the key wait at its coordinator that no more are taken; nothing was done. No other node does
    /// better: they pass puts of the key on to that one.
    KeyBusy,
    /// The receiver takes another process for the node that asks, which has just started or runs twice, or differs from
    /// it about who is in which life; nothing was done.
    OtherLife,
}

impl ErrorCode {
    /// Whether the same request may succeed when sent again, here or to another node.
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

/// A refusal, as it travels to the one who asked.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Failure {
    /// For programs.
    pub code: ErrorCode,
    /// For people: what is wrong, with the numbers in it, and what to do.
    pub message: String,
    /// A put may have taken effect all the same.
    pub maybe_applied: bool,
}

impl Failure {
    /// A refusal before anything was done.
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
