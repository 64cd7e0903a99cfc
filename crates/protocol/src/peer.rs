//! What a coordinator asks of the other replicas, and the answers.

#![expect(missing_docs, reason = "the derived resolvers of enums with fields have none")]

use alloc::vec::Vec;

use jedlik_hashing::Partition;
use rkyv::{Archive, Deserialize, Serialize};

use crate::client::{ClientRequest, ClientResponse, ScanMark};
use crate::error::Failure;
use crate::{Blob, Digest, Durability, EncodedRecord, Key};

/// One request between nodes.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum PeerRequest {
    /// Merge this record into yours.
    Write {
        /// Which.
        key: Key,
        /// The coordinator's whole merged record.
        record: EncodedRecord,
        /// What must have happened to it before the acknowledgement.
        durability: Durability,
    },
    /// Tell me your record.
    Read {
        /// Which.
        key: Key,
        /// The record that the coordinator has already: answer [`PeerResponse::Same`] if it is yours.
        known: Option<Digest>,
    },
    /// Tell me a page of your records, in the order of position, then key.
    Scan {
        /// Whose keys.
        bucket: Blob,
        /// Of which range.
        partition: Partition,
        /// Past which key.
        after: Option<ScanMark>,
        /// The most records.
        limit: u32,
    },
    /// Coordinate this for a client of mine; it is never forwarded again.
    Forward(ClientRequest),
}

/// The answer to one peer request.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum PeerResponse {
    /// To a write, once it is as durable as was asked.
    Written,
    /// To a read: the record, or `None` if there is none.
    Read(Option<EncodedRecord>),
    /// To a read: my record is the one you know.
    Same,
    /// To a scan.
    Page(Page),
    /// To a forwarded request.
    Forwarded(ClientResponse),
    /// To any.
    Refused(Failure),
}

/// A page of one replica's records.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Page {
    /// In order.
    pub records: Vec<(Key, EncodedRecord)>,
    /// How far the page reaches: `None` if to the partition's end.
    pub until: Option<ScanMark>,
}
