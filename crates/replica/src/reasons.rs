//! Reasons for what storage is asked to do, one type for each kind of its answers.
//!
//! Invariant: an answer finds a reason of its own kind only, so that every match is exhaustive.

use alloc::boxed::Box;

use jedlik_hashing::{NodeId, Partition};
use jedlik_protocol::peer::PeerResponse;
use jedlik_protocol::{Digest, Durability, EncodedRecord, Key, LayoutId, PlacedKey};

use crate::clashes::Pair;
use crate::collection::{Collection, Question};
use crate::exchange::Listing;
use crate::keyset::Keyset;
use crate::pending::{Caller, OperationId};
use crate::scan::Scanning;

/// Reason for reading a key's record and hints from storage; it says where [`Input::Loaded`](crate::Input::Loaded)
/// goes.
#[derive(Debug, Clone)]
pub(crate) enum LoadFor {
    /// Puts of the key wait for the record.
    Mint(PlacedKey),
    /// A get waits for this node's own copy.
    Get(Caller),
    /// An explanation waits for this node's own copy.
    Explain(OperationId),
    /// A peer reads the key.
    ServeRead { reply: u64, key: PlacedKey, n: u8, known: Option<Digest> },
    /// A peer's collector asks about the record.
    ServeComparison { reply: u64, key: PlacedKey, question: Question },
    /// A peer's collector has this node forget the record.
    ServeRevision { reply: u64, key: PlacedKey, expected: Digest, record: Option<EncodedRecord> },
    /// A peer explains the key.
    ServeInspection { reply: u64, key: PlacedKey },
    /// An exchange is to push the record.
    Pushing { id: u64, peer: NodeId, key: Key, theirs: Option<Digest> },
    /// The collector looks at the record.
    Candidate(PlacedKey),
    /// The collector reads again a record that is to be collected or pruned.
    Collect(Collection),
}

/// Reason for a write, a removal or a sync; it says where [`Input::Applied`](crate::Input::Applied) goes.
#[derive(Debug, Clone)]
pub(crate) enum ApplyFor {
    /// A put writes this node's own copy.
    Put { caller: Caller, durability: Durability },
    /// One of several writes that are acknowledged together: hints of one record, or records of one page.
    Hold { group: u64 },
    /// A peer gets this answer once the write, the removal or the sync is done.
    Serve { reply: u64, response: PeerResponse },
    /// Synced write of a record that a peer delivered in the background.
    ServeDelivery { reply: u64 },
    /// Merge of a record that an exchange pulled.
    Pulled { id: u64, key: Key, pair: Pair },
    /// Sync of all that was merged for a partition that this node is to own under this layout.
    InboundSynced { layout: LayoutId, partition: Partition },
    /// Removal of all records of a partition.
    Dropped { partition: Partition },
    /// Removal of a record that is others' alone, in the sweep of this number.
    Thinned { sweep: u64 },
    /// Removal of a record that can't be read: in a sweep, since others alone own it, or since nobody can mend it.
    Discarded { sweep: Option<u64>, key: PlacedKey },
    /// Merge of a hint into this node's own record, since its target no longer owns the key.
    Adopted { target: NodeId, key: PlacedKey },
    /// Removal of a hint that was delivered.
    Release { target: NodeId, key: PlacedKey },
    /// Removal or pruning of a record that this node's collector forgets.
    Collected(Collection),
    /// Sync of all that a refill has merged.
    Refilled(Keyset),
    /// Nobody waits for the write.
    Nobody,
}

/// Reason for reading a page of records; it says where [`Input::Ranged`](crate::Input::Ranged) goes.
#[derive(Debug, Clone)]
pub(crate) enum PageFor {
    /// A scan waits for this node's own page.
    Scan(OperationId),
    /// A peer coordinates a scan.
    ServeScan { reply: u64, scanning: Scanning },
    /// A peer gets digests, and clocks if wanted, of records in buckets with this N.
    ServeDigests { reply: u64, n: u8, clocks: bool, synced: bool },
    /// A peer fetches a range of records of buckets with this N.
    ServeFetch { reply: u64, n: u8 },
    /// The partition is being read, in the reading of this number.
    Reading { partition: Partition, reading: u64 },
    /// An exchange wants this node's digests of some leaves.
    OwnDigests(Box<Listing>),
    /// Some of the records are others' alone, in the sweep of this number.
    Surplus { sweep: u64 },
}
