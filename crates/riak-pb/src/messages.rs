//! Messages of Riak's Protocol Buffers interface, as far as the door knows them.
//!
//! They are written by hand after the public `riak.proto` and `riak_kv.proto` of `basho/riak_pb`: names and numbers of
//! the fields are theirs. A field that nothing here acts on or answers is left out, and is skipped when it arrives. Where
//! a message has many fields, several structs have a part of them each, and are decoded from the same bytes.
//!
//! Invariant: a field's number and kind never change, and bytes that arrive are slices of their frame.

mod properties;

use bytes::Bytes;
use prost::Message;

pub(crate) use properties::{
    Flags, Function, Functions, GetBucket, GetBucketType, GotBucket, Numbers, SetBucket,
    SetBucketType,
};

#[cfg(test)]
pub(crate) use properties::Hook;

/// Answer of any request that fails (`RpbErrorResp`).
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct ErrorAnswer {
    #[prost(bytes = "bytes", required, tag = "1")]
    pub(crate) message: Bytes,
    #[prost(uint32, required, tag = "2")]
    pub(crate) code: u32,
}

/// Name and version of the server (`RpbGetServerInfoResp`).
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct ServerInfo {
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub(crate) node: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub(crate) server_version: Option<Bytes>,
}

/// Identifier of a connection's client (`RpbGetClientIdResp`, `RpbSetClientIdReq`).
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct ClientId {
    #[prost(bytes = "bytes", required, tag = "1")]
    pub(crate) client_id: Bytes,
}

/// Name and secret of a token, as user and password (`RpbAuthReq`).
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct Authenticate {
    #[prost(bytes = "bytes", required, tag = "1")]
    pub(crate) user: Bytes,
    #[prost(bytes = "bytes", required, tag = "2")]
    pub(crate) password: Bytes,
}

/// Name with a value (`RpbPair`).
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct Pair {
    #[prost(bytes = "bytes", required, tag = "1")]
    pub(crate) key: Bytes,
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub(crate) value: Option<Bytes>,
}

/// Link to another key (`RpbLink`).
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct Link {
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub(crate) bucket: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub(crate) key: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub(crate) tag: Option<Bytes>,
}

/// One version of a key (`RpbContent`).
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct Content {
    #[prost(bytes = "bytes", required, tag = "1")]
    pub(crate) value: Bytes,
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub(crate) content_type: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub(crate) charset: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "4")]
    pub(crate) content_encoding: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "5")]
    pub(crate) vtag: Option<Bytes>,
    #[prost(message, repeated, tag = "6")]
    pub(crate) links: Vec<Link>,
    #[prost(uint32, optional, tag = "7")]
    pub(crate) last_mod: Option<u32>,
    #[prost(uint32, optional, tag = "8")]
    pub(crate) last_mod_usecs: Option<u32>,
    #[prost(message, repeated, tag = "9")]
    pub(crate) usermeta: Vec<Pair>,
    #[prost(message, repeated, tag = "10")]
    pub(crate) indexes: Vec<Pair>,
    #[prost(bool, optional, tag = "11")]
    pub(crate) deleted: Option<bool>,
}

/// Read of a key (`RpbGetReq`).
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct Get {
    #[prost(bytes = "bytes", required, tag = "1")]
    pub(crate) bucket: Bytes,
    #[prost(bytes = "bytes", required, tag = "2")]
    pub(crate) key: Bytes,
    #[prost(uint32, optional, tag = "3")]
    pub(crate) r: Option<u32>,
    #[prost(uint32, optional, tag = "4")]
    pub(crate) pr: Option<u32>,
    #[prost(bool, optional, tag = "5")]
    pub(crate) basic_quorum: Option<bool>,
    #[prost(bool, optional, tag = "6")]
    pub(crate) notfound_ok: Option<bool>,
    #[prost(bytes = "bytes", optional, tag = "7")]
    pub(crate) if_modified: Option<Bytes>,
    #[prost(bool, optional, tag = "8")]
    pub(crate) head: Option<bool>,
    #[prost(bool, optional, tag = "9")]
    pub(crate) deletedvclock: Option<bool>,
    #[prost(uint32, optional, tag = "10")]
    pub(crate) timeout: Option<u32>,
    #[prost(bool, optional, tag = "11")]
    pub(crate) sloppy_quorum: Option<bool>,
    #[prost(uint32, optional, tag = "12")]
    pub(crate) n_val: Option<u32>,
    #[prost(bytes = "bytes", optional, tag = "13")]
    pub(crate) bucket_type: Option<Bytes>,
    #[prost(uint32, optional, tag = "14")]
    pub(crate) node_confirms: Option<u32>,
}

/// Versions of a key; none at all for an absent one (`RpbGetResp`).
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct Got {
    #[prost(message, repeated, tag = "1")]
    pub(crate) content: Vec<Content>,
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub(crate) vclock: Option<Bytes>,
    #[prost(bool, optional, tag = "3")]
    pub(crate) unchanged: Option<bool>,
}

/// Write of a key, without its quorums (`RpbPutReq`).
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct Put {
    #[prost(bytes = "bytes", required, tag = "1")]
    pub(crate) bucket: Bytes,
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub(crate) key: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub(crate) vclock: Option<Bytes>,
    /// Encoded [`Content`], whose length is looked at before it is decoded.
    #[prost(bytes = "bytes", required, tag = "4")]
    pub(crate) content: Bytes,
    #[prost(bool, optional, tag = "7")]
    pub(crate) return_body: Option<bool>,
    #[prost(bool, optional, tag = "9")]
    pub(crate) if_not_modified: Option<bool>,
    #[prost(bool, optional, tag = "10")]
    pub(crate) if_none_match: Option<bool>,
    #[prost(bool, optional, tag = "11")]
    pub(crate) return_head: Option<bool>,
    #[prost(bool, optional, tag = "13")]
    pub(crate) asis: Option<bool>,
    #[prost(bytes = "bytes", optional, tag = "16")]
    pub(crate) bucket_type: Option<Bytes>,
}

/// Quorums of a write, which are fields of the same message (`RpbPutReq`).
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct PutQuorums {
    #[prost(uint32, optional, tag = "5")]
    pub(crate) w: Option<u32>,
    #[prost(uint32, optional, tag = "6")]
    pub(crate) dw: Option<u32>,
    #[prost(uint32, optional, tag = "8")]
    pub(crate) pw: Option<u32>,
    #[prost(uint32, optional, tag = "12")]
    pub(crate) timeout: Option<u32>,
    #[prost(bool, optional, tag = "14")]
    pub(crate) sloppy_quorum: Option<bool>,
    #[prost(uint32, optional, tag = "15")]
    pub(crate) n_val: Option<u32>,
    #[prost(uint32, optional, tag = "17")]
    pub(crate) node_confirms: Option<u32>,
}

/// Value of a version alone, which is a field of [`Content`].
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct ContentValue {
    #[prost(bytes = "bytes", required, tag = "1")]
    pub(crate) value: Bytes,
}

/// Answer to a write (`RpbPutResp`).
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct Stored {
    #[prost(message, repeated, tag = "1")]
    pub(crate) content: Vec<Content>,
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub(crate) vclock: Option<Bytes>,
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub(crate) key: Option<Bytes>,
}

/// Removal of a key (`RpbDelReq`).
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct Delete {
    #[prost(bytes = "bytes", required, tag = "1")]
    pub(crate) bucket: Bytes,
    #[prost(bytes = "bytes", required, tag = "2")]
    pub(crate) key: Bytes,
    #[prost(uint32, optional, tag = "3")]
    pub(crate) rw: Option<u32>,
    #[prost(bytes = "bytes", optional, tag = "4")]
    pub(crate) vclock: Option<Bytes>,
    #[prost(uint32, optional, tag = "5")]
    pub(crate) r: Option<u32>,
    #[prost(uint32, optional, tag = "6")]
    pub(crate) w: Option<u32>,
    #[prost(uint32, optional, tag = "7")]
    pub(crate) pr: Option<u32>,
    #[prost(uint32, optional, tag = "8")]
    pub(crate) pw: Option<u32>,
    #[prost(uint32, optional, tag = "9")]
    pub(crate) dw: Option<u32>,
    #[prost(uint32, optional, tag = "10")]
    pub(crate) timeout: Option<u32>,
    #[prost(bool, optional, tag = "11")]
    pub(crate) sloppy_quorum: Option<bool>,
    #[prost(uint32, optional, tag = "12")]
    pub(crate) n_val: Option<u32>,
    #[prost(bytes = "bytes", optional, tag = "13")]
    pub(crate) bucket_type: Option<Bytes>,
}

/// Listing of the buckets of a type (`RpbListBucketsReq`).
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct ListBuckets {
    #[prost(uint32, optional, tag = "1")]
    pub(crate) timeout: Option<u32>,
    #[prost(bool, optional, tag = "2")]
    pub(crate) stream: Option<bool>,
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub(crate) bucket_type: Option<Bytes>,
}

/// Part of a listing of buckets (`RpbListBucketsResp`).
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct Buckets {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub(crate) buckets: Vec<Bytes>,
    #[prost(bool, optional, tag = "2")]
    pub(crate) done: Option<bool>,
}

/// Listing of the keys of a bucket (`RpbListKeysReq`).
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct ListKeys {
    #[prost(bytes = "bytes", required, tag = "1")]
    pub(crate) bucket: Bytes,
    #[prost(uint32, optional, tag = "2")]
    pub(crate) timeout: Option<u32>,
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub(crate) bucket_type: Option<Bytes>,
}

/// Part of a listing of keys (`RpbListKeysResp`).
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct Keys {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub(crate) keys: Vec<Bytes>,
    #[prost(bool, optional, tag = "2")]
    pub(crate) done: Option<bool>,
}

/// Question for a key's preference list (`RpbGetBucketKeyPreflistReq`).
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct GetPreferenceList {
    #[prost(bytes = "bytes", required, tag = "1")]
    pub(crate) bucket: Bytes,
    #[prost(bytes = "bytes", required, tag = "2")]
    pub(crate) key: Bytes,
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub(crate) bucket_type: Option<Bytes>,
}

/// Preference list of a key (`RpbGetBucketKeyPreflistResp`).
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct PreferenceList {
    #[prost(message, repeated, tag = "1")]
    pub(crate) preflist: Vec<Preferred>,
}

/// Node of a preference list (`RpbBucketKeyPreflistItem`).
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct Preferred {
    #[prost(int64, required, tag = "1")]
    pub(crate) partition: i64,
    #[prost(bytes = "bytes", required, tag = "2")]
    pub(crate) node: Bytes,
    #[prost(bool, required, tag = "3")]
    pub(crate) primary: bool,
}
