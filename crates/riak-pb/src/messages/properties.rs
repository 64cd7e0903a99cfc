//! Messages about the properties of buckets.
//!
//! Invariant: whatever a client may say of a bucket's properties is a field here, so that what can't be kept is refused
//! and not overlooked.

use bytes::Bytes;
use prost::Message;

/// Question for a bucket's properties, or for having them reset (`RpbGetBucketReq`, `RpbResetBucketReq`).
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct GetBucket {
    #[prost(bytes = "bytes", required, tag = "1")]
    pub(crate) bucket: Bytes,
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub(crate) bucket_type: Option<Bytes>,
}

/// Properties of a bucket or a type (`RpbGetBucketResp`).
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct GotBucket {
    /// Encoded `RpbBucketProps`, of which [`Numbers`], [`Flags`] and [`Functions`] have a part each.
    #[prost(bytes = "bytes", required, tag = "1")]
    pub(crate) props: Bytes,
}

/// Change of a bucket's properties (`RpbSetBucketReq`).
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct SetBucket {
    #[prost(bytes = "bytes", required, tag = "1")]
    pub(crate) bucket: Bytes,
    /// Encoded `RpbBucketProps`, of which [`Numbers`], [`Flags`] and [`Functions`] have a part each.
    #[prost(bytes = "bytes", required, tag = "2")]
    pub(crate) props: Bytes,
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub(crate) bucket_type: Option<Bytes>,
}

/// Question for the properties of a type (`RpbGetBucketTypeReq`).
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct GetBucketType {
    #[prost(bytes = "bytes", required, tag = "1")]
    pub(crate) bucket_type: Bytes,
}

/// Change of the properties of a type, which is refused whatever they are (`RpbSetBucketTypeReq`).
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct SetBucketType {
    #[prost(bytes = "bytes", required, tag = "1")]
    pub(crate) bucket_type: Bytes,
}

/// Properties of a bucket that are numbers (`RpbBucketProps`).
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct Numbers {
    #[prost(uint32, optional, tag = "1")]
    pub(crate) n_val: Option<u32>,
    #[prost(uint32, optional, tag = "10")]
    pub(crate) old_vclock: Option<u32>,
    #[prost(uint32, optional, tag = "11")]
    pub(crate) young_vclock: Option<u32>,
    #[prost(uint32, optional, tag = "12")]
    pub(crate) big_vclock: Option<u32>,
    #[prost(uint32, optional, tag = "13")]
    pub(crate) small_vclock: Option<u32>,
    #[prost(uint32, optional, tag = "14")]
    pub(crate) pr: Option<u32>,
    #[prost(uint32, optional, tag = "15")]
    pub(crate) r: Option<u32>,
    #[prost(uint32, optional, tag = "16")]
    pub(crate) w: Option<u32>,
    #[prost(uint32, optional, tag = "17")]
    pub(crate) pw: Option<u32>,
    #[prost(uint32, optional, tag = "18")]
    pub(crate) dw: Option<u32>,
    #[prost(uint32, optional, tag = "19")]
    pub(crate) rw: Option<u32>,
    #[prost(uint32, optional, tag = "29")]
    pub(crate) hll_precision: Option<u32>,
}

/// Properties of a bucket that are true or false, or a choice (`RpbBucketProps`).
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct Flags {
    #[prost(bool, optional, tag = "2")]
    pub(crate) allow_mult: Option<bool>,
    #[prost(bool, optional, tag = "3")]
    pub(crate) last_write_wins: Option<bool>,
    #[prost(bool, optional, tag = "20")]
    pub(crate) basic_quorum: Option<bool>,
    #[prost(bool, optional, tag = "21")]
    pub(crate) notfound_ok: Option<bool>,
    #[prost(bool, optional, tag = "23")]
    pub(crate) search: Option<bool>,
    /// Mode of replication between clusters; 0 for none.
    #[prost(int32, optional, tag = "24")]
    pub(crate) repl: Option<i32>,
    #[prost(bool, optional, tag = "27")]
    pub(crate) consistent: Option<bool>,
    #[prost(bool, optional, tag = "28")]
    pub(crate) write_once: Option<bool>,
}

/// Properties of a bucket that are functions, hooks or names (`RpbBucketProps`).
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct Functions {
    #[prost(message, repeated, tag = "4")]
    pub(crate) precommit: Vec<Hook>,
    /// Whether the list of hooks is meant, where it is empty.
    #[prost(bool, optional, tag = "5")]
    pub(crate) has_precommit: Option<bool>,
    #[prost(message, repeated, tag = "6")]
    pub(crate) postcommit: Vec<Hook>,
    /// Whether the list of hooks is meant, where it is empty.
    #[prost(bool, optional, tag = "7")]
    pub(crate) has_postcommit: Option<bool>,
    #[prost(message, optional, tag = "8")]
    pub(crate) chash_keyfun: Option<Function>,
    #[prost(message, optional, tag = "9")]
    pub(crate) linkfun: Option<Function>,
    #[prost(bytes = "bytes", optional, tag = "22")]
    pub(crate) backend: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "25")]
    pub(crate) search_index: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "26")]
    pub(crate) datatype: Option<Bytes>,
}

/// Function of an Erlang module (`RpbModFun`).
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct Function {
    #[prost(bytes = "bytes", required, tag = "1")]
    pub(crate) module: Bytes,
    #[prost(bytes = "bytes", required, tag = "2")]
    pub(crate) function: Bytes,
}

/// Function that runs before or after a put; which one makes no difference here (`RpbCommitHook`).
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct Hook {}
