//! Requests between nodes, mostly of a coordinator to other replicas, and the answers.

#![expect(missing_docs, reason = "the derived resolvers of enums with fields have none")]

use alloc::boxed::Box;
use alloc::vec::Vec;

use jedlik_hashing::{NodeId, Partition};
use jedlik_vclock::VectorClock;
use rkyv::{Archive, Deserialize, Serialize};

use crate::client::{ClientRequest, ClientResponse, ScanMark};
use crate::error::Failure;
use crate::inspection::Inspection;
use crate::{Blob, Digest, Durability, EncodedRecord, Incarnation, Key, LayoutId};

/// A request of one node to another.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum PeerRequest {
    /// Asks the receiver to merge a record into its own.
    Write {
        /// Key of the record.
        key: Key,
        /// Whole merged record of the coordinator.
        record: EncodedRecord,
        /// Durability that the record must have before the acknowledgement.
        durability: Durability,
    },
    /// Asks the receiver to keep a record for nodes that can't be reached, and to hand it to each when it is back
    /// (paper 4.6).
    Hint {
        /// Key of the record.
        key: Key,
        /// Whole merged record of the coordinator.
        record: EncodedRecord,
        /// Nodes that the hint is for; the receiver stands in for the first.
        targets: Vec<NodeId>,
        /// Durability that the hint must have before the acknowledgement.
        durability: Durability,
    },
    /// Asks for the receiver's record, merged with every hint of the key that it holds.
    Read {
        /// Key that is read.
        key: Key,
        /// Digest of the record that the coordinator has: a receiver with the same one answers
        /// [`PeerResponse::Same`].
        known: Option<Digest>,
        /// Number of replicas that the bucket has, as far as the coordinator knows.
        n: u8,
    },
    /// Asks for a page of the receiver's records, merged with every hint of them that it holds, in the order of
    /// position, then key. The answer is [`PeerResponse::Scanned`].
    Scan {
        /// Bucket whose keys are wanted; `None` for those of every bucket.
        bucket: Option<Blob>,
        /// Number of replicas (N) for which the receiver is asked as an owner.
        n: u8,
        /// Partition that is scanned.
        partition: Partition,
        /// Mark past which the page begins; `None` for the partition's start. Boxed on the wire, since every frame
        /// takes the room of the largest kind.
        #[rkyv(with = rkyv::with::Map<rkyv::with::AsBox>)]
        after: Option<ScanMark>,
        /// Most records in the page.
        limit: u32,
        /// Whether values are wanted; otherwise their lengths stand for them, as in [`EncodedRecord::with_lengths`].
        values: bool,
        /// Digest of the numbers of replicas that buckets have, as the sender knows them. A receiver that knows other
        /// numbers can't say what is absent from every bucket.
        counts: u64,
    },
    /// Asks the receiver to coordinate a request of the sender's client; it is never forwarded again.
    ///
    /// Boxed on the wire, since every frame takes the room of the largest kind.
    Forward(#[rkyv(with = rkyv::with::AsBox)] ClientRequest),
    /// Asks the receiver to merge a record into its own and to sync it, as background work.
    Deliver {
        /// Key of the record.
        key: Key,
        /// Record of a hint for the receiver, or one that the receiver was found to lack.
        record: EncodedRecord,
    },
    /// Asks for the hashes below one branch of the receiver's hash tree (paper 4.7).
    Hashes {
        /// Partition of the tree.
        partition: Partition,
        /// Number of replicas of the tree's buckets: each N has its own owners, and so its own tree.
        n: u8,
        /// Branch whose children are wanted; `None` for the root.
        branch: Option<u8>,
        /// Hash of the branch in the asker's tree: a receiver with the same one answers [`PeerResponse::Same`].
        known: u64,
        /// Whether to answer only once all that the answer rests on is on disk, since the asker drops what the
        /// receiver holds.
        synced: bool,
    },
    /// Asks for the digests of the receiver's records in a span of leaves, in the order of position, then key.
    Digests {
        /// Partition of the tree.
        partition: Partition,
        /// Number of replicas of the tree's buckets.
        n: u8,
        /// First leaf of the span.
        first_leaf: u16,
        /// Last leaf of the span, included.
        last_leaf: u16,
        /// Mark past which the page begins; `None` for the span's start.
        after: Option<ScanMark>,
        /// Whether the clock of each record is wanted, too.
        clocks: bool,
        /// Whether to answer only once all that the answer rests on is on disk.
        synced: bool,
    },
    /// Asks for a page of the receiver's records in a span of leaves, in the order of position, then key. The answer
    /// is [`PeerResponse::Page`].
    Fetch {
        /// Partition of the records.
        partition: Partition,
        /// Number of replicas of the records' buckets.
        n: u8,
        /// First leaf of the span.
        first_leaf: u16,
        /// Last leaf of the span, included.
        last_leaf: u16,
        /// Mark past which the page begins; `None` for the span's start.
        after: Option<ScanMark>,
    },
    /// Asks whether the receiver holds exactly this record of a key, and no hint of it. See [`Comparison`].
    Compare {
        /// Key of the records to compare.
        key: Key,
        /// Digest of the asker's record.
        digest: Digest,
        /// Number of replicas of the key's bucket, as the asker knows it. The receiver answers only if it knows no
        /// other number, and no other layout than the one under which it is asked.
        n: u8,
        /// Digest of the lives that members are in, as the asker knows them. Of two processes of a node only one is
        /// asked, so nothing is forgotten while members differ about which one.
        lives: Digest,
        /// Whether to answer only once the receiver's record is on disk.
        durably: bool,
    },
    /// Asks the receiver to replace its record if it is the expected one, or to collect it.
    Revise {
        /// Key of the record.
        key: Key,
        /// Digest of the record that the receiver is expected to hold.
        expected: Digest,
        /// Expected record with clock entries pruned; `None` to collect it.
        record: Option<EncodedRecord>,
    },
    /// Asks for all that the receiver holds of a key.
    Inspect {
        /// Key that is asked about.
        key: Key,
    },
    /// Asks whether the receiver holds all that it ever acknowledged of a partition. The answer is
    /// [`PeerResponse::Vote`].
    Vote {
        /// Partition that is asked about.
        partition: Partition,
        /// Number of replicas of the buckets that are asked about.
        n: u8,
        /// Digest of the numbers of replicas that buckets have, as the asker knows them.
        counts: u64,
        /// Newest layout that has flipped for the partition, as the asker knows it; the default if none has.
        flipped: LayoutId,
    },
}

impl PeerRequest {
    /// Whether the request may change what the receiver holds, so that it must not come too late.
    #[must_use]
    pub fn changes_state(&self) -> bool {
        match self {
            Self::Write { .. }
            | Self::Hint { .. }
            | Self::Forward(_)
            | Self::Deliver { .. }
            | Self::Revise { .. } => true,
            Self::Read { .. }
            | Self::Scan { .. }
            | Self::Hashes { .. }
            | Self::Digests { .. }
            | Self::Fetch { .. }
            | Self::Compare { .. }
            | Self::Inspect { .. }
            | Self::Vote { .. } => false,
        }
    }
}

/// The answer to one request of another node.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum PeerResponse {
    /// Acknowledges a write or a hint that is as durable as was asked.
    Written,
    /// Answers a read with the record, or `None` if there is none.
    Read(Option<EncodedRecord>),
    /// Answers a read or a request for hashes: the receiver has what the asker named as known.
    Same,
    /// Answers [`PeerRequest::Fetch`] with a page of records.
    Page(Page),
    /// Answers a forwarded request of a client.
    Forwarded(ClientResponse),
    /// Acknowledges a delivery that is on disk.
    Delivered {
        /// Most deliveries that the receiver now wants under way from this sender; at 0 the sender pauses.
        window: u16,
    },
    /// Answers [`PeerRequest::Hashes`] with the hashes of the children, in order.
    Hashes(Vec<u64>),
    /// Answers [`PeerRequest::Digests`] with a page of digests.
    Digests(DigestPage),
    /// Answers [`PeerRequest::Compare`] with the outcome.
    Compared(Comparison),
    /// Answers a revision: whether it was done, or had been done before.
    Revised(bool),
    /// Answers [`PeerRequest::Inspect`] with all that is held of the key.
    Inspected(Box<Inspection>),
    /// Refuses a request of any kind.
    Refused(Failure),
    /// Answers a read in place of [`PeerResponse::Read`] and [`PeerResponse::Same`]: the replica does not count for
    /// the quorum. What it holds is valid; what it does not hold proves nothing.
    Unknown {
        /// Reason for which absence at the replica proves nothing.
        why: Doubt,
        /// Record of the replica merged with its hints, as far as it can read them.
        record: Option<EncodedRecord>,
    },
    /// Answers [`PeerRequest::Scan`] with a page of records.
    Scanned(ScannedPage),
    /// Answers [`PeerRequest::Vote`] with what the replica can vouch for.
    Vote {
        /// Life of the answering node.
        life: Incarnation,
        /// Claim that the replica can make about its records.
        vouching: Vouching,
    },
}

/// A replica's claim about its records of one partition and N, to a node that is to vote on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Archive, Serialize, Deserialize)]
pub enum Vouching {
    /// The replica may lack what it acknowledged, or knows other numbers of replicas.
    Nothing,
    /// The replica has lost nothing that it was given, but was not given all: it owns the records only since N was
    /// raised. It knows the same numbers of replicas, and the same layout that has flipped.
    LostNothing,
    /// The replica holds all that it ever acknowledged or was to be given, and knows the same numbers of replicas.
    Votes,
}

/// Reason for which a replica can't say that a key is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Archive, Serialize, Deserialize)]
pub enum Doubt {
    /// The replica's record of the key fails its checksum.
    Damaged,
    /// The replica has lost what it once acknowledged for the partition, or was never given it, and has not yet been
    /// compared with enough of the owners that vote.
    Refilling,
}

/// A page that a replica answers to a scan.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct ScannedPage {
    /// Records that the replica holds.
    pub page: Page,
    /// Keys of the page whose records fail their checksums: the replica says nothing of them.
    pub damaged: Vec<Key>,
    /// Reason for which absence from the page proves nothing; `None` if the replica would know.
    pub doubt: Option<Doubt>,
}

/// A page of a replica's records.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Page {
    /// Keys and records in the order of position, then key.
    pub records: Vec<(Key, EncodedRecord)>,
    /// Mark up to which the page is complete; `None` if it is to the end of the partition or span.
    pub until: Option<ScanMark>,
}

/// A page of the digests in a span of leaves.
#[derive(Debug, Clone, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct DigestPage {
    /// Keys and digests in the order of position, then key.
    pub digests: Vec<(Key, DigestEntry)>,
    /// Mark up to which the page is complete; `None` if it is to the span's end.
    pub until: Option<ScanMark>,
}

/// Digest and clock of a record, to be compared without the record.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct DigestEntry {
    /// Digest of the whole record.
    pub digest: Digest,
    /// Clock of all that the record has seen; `None` unless clocks were asked for.
    pub clock: Option<VectorClock>,
}

impl DigestEntry {
    /// Whether a merge of the other record into this one is known to bring nothing: they are the same, or this one
    /// has seen all that the other has.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let has_seen =
            |clock: &VectorClock| self.clock.as_ref().is_some_and(|seen| seen.descends(clock));
        self.digest == other.digest || other.clock.as_ref().is_some_and(has_seen)
    }
}

/// Outcome of the comparison of a node's record with that of the node that asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum Comparison {
    /// The node holds exactly that record, on disk if that was asked, and no hint of the key.
    Same,
    /// The node holds no record and no hint of the key.
    Nothing,
    /// The node holds another record or a hint, or what it holds can't be read.
    Other,
}
