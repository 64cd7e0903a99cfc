//! What a coordinator asks of the other replicas, and the answers.

#![expect(missing_docs, reason = "the derived resolvers of enums with fields have none")]

use alloc::boxed::Box;
use alloc::vec::Vec;

use jedlik_hashing::{NodeId, Partition};
use jedlik_vclock::{VectorClock, WriteId};
use rkyv::{Archive, Deserialize, Serialize};

use crate::client::{ClientRequest, ClientResponse, ScanMark};
use crate::error::Failure;
use crate::{Blob, Digest, Durability, EncodedRecord, Incarnation, Key, LayoutId};

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
    /// Keep this record for nodes that can't be reached, and hand it to each when it is back (paper 4.6).
    Hint {
        /// Which.
        key: Key,
        /// The coordinator's whole merged record.
        record: EncodedRecord,
        /// For whom; the first is the one that the receiver stands in for.
        targets: Vec<NodeId>,
        /// What must have happened to it before the acknowledgement.
        durability: Durability,
    },
    /// Tell me your record, merged with every hint of it that you hold.
    Read {
        /// Which.
        key: Key,
        /// The record that the coordinator has already: answer [`PeerResponse::Same`] if it is yours.
        known: Option<Digest>,
        /// How many replicas the bucket has, as far as the coordinator knows.
        n: u8,
    },
    /// Tell me a page of your records, merged with every hint of them that you hold, in the order of position,
    /// then key: [`PeerResponse::Scanned`].
    Scan {
        /// Whose keys; `None` for every bucket's.
        bucket: Option<Blob>,
        /// The N of whose owners the receiver is asked as one.
        n: u8,
        /// Of which range.
        partition: Partition,
        /// Past which key.
        after: Option<ScanMark>,
        /// The most records.
        limit: u32,
        /// Whether values are wanted; otherwise their lengths stand for them, as in
        /// [`EncodedRecord::with_lengths`].
        values: bool,
        /// Digest of the numbers of replicas that buckets have, as the sender knows them: a receiver that knows
        /// others has no say in what every bucket lacks.
        counts: u64,
    },
    /// Coordinate this for a client of mine; it is never forwarded again.
    ///
    /// Boxed on the wire, since every frame takes the room of the largest kind.
    Forward(#[rkyv(with = rkyv::with::AsBox)] ClientRequest),
    /// Background work: merge this record into yours and sync it.
    Deliver {
        /// Which.
        key: Key,
        /// A hint's record, or one that you were found to lack.
        record: EncodedRecord,
    },
    /// Tell me the hashes below one node of your tree (paper 4.7).
    Hashes {
        /// Whose tree.
        partition: Partition,
        /// Of the records of buckets with so many replicas: each N has its own owners, so its own tree.
        n: u8,
        /// Below which branch; `None` for the root.
        branch: Option<u8>,
        /// The hash that my tree has there: answer [`PeerResponse::Same`] if it is yours.
        known: u64,
        /// Answer only once all that the answer rests on is on disk: the asker drops what you hold, too.
        synced: bool,
    },
    /// Tell me the digests of your records in some neighbouring leaves, in the order of position, then
    /// key.
    Digests {
        /// Whose tree.
        partition: Partition,
        /// As in `Hashes`.
        n: u8,
        /// The first of the leaves.
        first_leaf: u16,
        /// The last of them.
        last_leaf: u16,
        /// Past which key.
        after: Option<ScanMark>,
        /// The clock of each record too.
        clocks: bool,
        /// As in `Hashes`.
        synced: bool,
    },
    /// Tell me a page of your records in some neighbouring leaves, in the order of position, then key:
    /// [`PeerResponse::Page`].
    Fetch {
        /// Whose records.
        partition: Partition,
        /// As in `Hashes`.
        n: u8,
        /// The first of the leaves.
        first_leaf: u16,
        /// The last of them.
        last_leaf: u16,
        /// Past which key.
        after: Option<ScanMark>,
    },
    /// Do you hold this key exactly so, and no hint of it? See [`Comparison`].
    Compare {
        /// Which.
        key: Key,
        /// The asker's record.
        digest: Digest,
        /// How many replicas the key's bucket has, as the asker knows it: answer only if you know no other number, and
        /// no other layout than the one under which you are asked.
        n: u8,
        /// In which life each member is, as the asker knows it: of two processes of a node one alone is asked, so that
        /// nothing is forgotten while members differ about which one.
        lives: Digest,
        /// Answer only once your record is on disk.
        durably: bool,
    },
    /// If this is your record, put the other in its place, or nothing.
    Revise {
        /// Which.
        key: Key,
        /// What you hold.
        expected: Digest,
        /// The same with clock entries pruned; `None` to collect it.
        record: Option<EncodedRecord>,
    },
    /// Tell me all that you hold of a key.
    Inspect {
        /// Which.
        key: Key,
    },
    /// Do you hold all that you ever acknowledged of this partition? [`PeerResponse::Vote`].
    Vote {
        /// Which.
        partition: Partition,
        /// Of the records of buckets with so many replicas.
        n: u8,
        /// How many replicas buckets have, as the asker knows it, in short.
        counts: u64,
        /// The newest layout that has flipped for the partition, as the asker knows it; the default if none has.
        flipped: LayoutId,
    },
}

impl PeerRequest {
    /// Whether it may change what the receiver holds: then it must not come too late.
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

/// The answer to one peer request.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum PeerResponse {
    /// To a write or a hint, once it is as durable as was asked.
    Written,
    /// To a read: the record, or `None` if there is none.
    Read(Option<EncodedRecord>),
    /// To a read or to hashes: mine is the one you know.
    Same,
    /// To a fetch.
    Page(Page),
    /// To a forwarded request.
    Forwarded(ClientResponse),
    /// To a delivery, once it is on disk.
    Delivered {
        /// How many more deliveries the receiver wants under way from this sender, at most.
        window: u16,
    },
    /// To hashes: those of the children, in order.
    Hashes(Vec<u64>),
    /// To digests.
    Digests(DigestPage),
    /// To a comparison.
    Compared(Comparison),
    /// To a revision: whether it was done, or had been done before.
    Revised(bool),
    /// To an inspection.
    Inspected(Box<Inspection>),
    /// To any.
    Refused(Failure),
    /// To a read, in place of [`PeerResponse::Read`] and [`PeerResponse::Same`]: do not count me. What I hold is
    /// true, and what I do not hold says nothing.
    Unknown {
        /// Why what the receiver lacks means nothing.
        why: Doubt,
        /// The receiver's record and hints, as far as it can read them.
        record: Option<EncodedRecord>,
    },
    /// To a scan.
    Scanned(ScannedPage),
    /// To the question for a vote.
    Vote {
        /// The life of the node that answers.
        life: Incarnation,
        /// What it can say.
        vouching: Vouching,
    },
}

/// What a replica can say of the records of one partition and number of replicas, to one that is to vote on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Archive, Serialize, Deserialize)]
pub enum Vouching {
    /// It may lack what it acknowledged, or knows other numbers of replicas.
    Nothing,
    /// It has lost nothing that it was given, and was not given all: it is to own the records only since the number of
    /// replicas was raised. It knows the same numbers of replicas, and the same layout that has flipped.
    LostNothing,
    /// It holds all that it ever acknowledged or was to be given, and knows the same numbers of replicas.
    Votes,
}

/// Why a replica can't say that a key is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Archive, Serialize, Deserialize)]
pub enum Doubt {
    /// Its record of the key fails its checksum.
    Damaged,
    /// It has lost what it once acknowledged for the partition, or was never given it, and has not been
    /// compared with enough of those who vote.
    Refilling,
}

/// A page of what one replica shows of a bucket.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct ScannedPage {
    /// What is held.
    pub page: Page,
    /// Keys of the page whose records are there and fail their checksums: nothing is said of them.
    pub damaged: Vec<Key>,
    /// Why what is not in the page says nothing; `None` if the replica would know.
    pub doubt: Option<Doubt>,
}

/// A page of one replica's records.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Page {
    /// In order.
    pub records: Vec<(Key, EncodedRecord)>,
    /// How far the page reaches: `None` if to the partition's end.
    pub until: Option<ScanMark>,
}

/// A page of the digests in a span of leaves.
#[derive(Debug, Clone, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct DigestPage {
    /// In the order of position, then key.
    pub digests: Vec<(Key, DigestEntry)>,
    /// How far the page reaches: `None` if to the span's end.
    pub until: Option<ScanMark>,
}

/// What a page of digests tells of a record.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct DigestEntry {
    /// Of the whole record.
    pub digest: Digest,
    /// What it has seen, if that was asked.
    pub clock: Option<VectorClock>,
}

impl DigestEntry {
    /// Whether a merge of the other record into this one is known to bring nothing: they are the same, or
    /// this one has seen all that the other has.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let has_seen =
            |clock: &VectorClock| self.clock.as_ref().is_some_and(|seen| seen.descends(clock));
        self.digest == other.digest || other.clock.as_ref().is_some_and(has_seen)
    }
}

/// How a node stands to a record that another one asks about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum Comparison {
    /// It holds exactly that record, on disk if that was asked, and no hint of the key.
    Same,
    /// It holds nothing of the key.
    Nothing,
    /// It holds another record, a hint, or what it holds can't be read.
    Other,
}

/// All that one node holds of a key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Inspection {
    /// Its own record, without values.
    pub record: Option<RecordSummary>,
    /// Its own record fails its checksum.
    pub damaged: bool,
    /// Its hints of the key, without values.
    pub hints: Vec<HintSummary>,
    /// It can't say what is absent in the key's partition: it is being refilled.
    pub refilling: bool,
}

/// A hint without its values.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct HintSummary {
    /// Whom it is for.
    pub target: NodeId,
    /// Since when there is a hint of this key for it, in milliseconds since the Unix epoch, by the
    /// holder's clock.
    pub since_ms: u64,
    /// What it holds.
    pub record: RecordSummary,
}

/// A record without its values.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct RecordSummary {
    /// Of the whole record.
    pub digest: Digest,
    /// The actors it has seen and how far.
    pub clock: Vec<(u64, u64)>,
    /// Its versions.
    pub siblings: Vec<SiblingSummary>,
}

/// A version without its value.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct SiblingSummary {
    /// The actor of its dot.
    pub actor: u64,
    /// The counter of its dot.
    pub counter: u64,
    /// The client's name for the put: siblings with the same one are attempts of one put, and count as one.
    pub write_id: WriteId,
    /// The value's length; `None` for a tombstone.
    pub value_bytes: Option<u32>,
    /// In milliseconds since the Unix epoch, by the coordinator's clock.
    pub written_at_ms: u64,
    /// In the same unit.
    pub expires_at_ms: Option<u64>,
}
