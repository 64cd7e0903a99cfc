//! What goes into a replica and what comes out.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use jedlik_handoff::{HeldHint, HintMark, HintTotals};
use jedlik_hashing::{NodeId, Partition};
use jedlik_membership::View;
use jedlik_protocol::admin::BackgroundChange;
use jedlik_protocol::client::{ClientRequest, ClientResponse};
use jedlik_protocol::peer::{PeerRequest, PeerResponse};
use jedlik_protocol::{Digest, Durability, LayoutId, PlacedKey, Stamp, StoredRecord, Terms};

use crate::{Counter, RangeRequest, RangeResult, Recalled, Revision};

/// One event.
#[derive(Debug, Clone)]
pub enum Input {
    /// The cluster looks different now.
    View(Arc<View>),
    /// A client asks for a get, a put or a scan.
    Client {
        /// The driver's name for whoever waits for the answer.
        reply: u64,
        /// What is asked.
        request: ClientRequest,
    },
    /// Nobody waits for that answer to a client any more: what was only to be read need not be. There is none then.
    Withdrawn {
        /// From [`Input::Client`].
        reply: u64,
    },
    /// A peer asks.
    Peer {
        /// Who.
        from: NodeId,
        /// The driver's name for whoever waits for the answer.
        reply: u64,
        /// Under which it was sent.
        terms: Terms,
        /// What is asked.
        request: PeerRequest,
    },
    /// A peer answered a request of ours.
    PeerAnswer {
        /// Who.
        from: NodeId,
        /// From [`Output::Request`].
        id: u64,
        /// Which of its processes answered, and when.
        stamp: Stamp,
        /// The answer.
        response: PeerResponse,
    },
    /// The connection to a peer is gone, or could not be made: nothing asked of it will be answered.
    PeerLost {
        /// Which.
        node: NodeId,
    },
    /// Storage answers [`Output::Load`].
    Loaded {
        /// From the output.
        ticket: u64,
        /// What is stored.
        result: Result<Holding, StorageFault>,
    },
    /// What storage is about to tell by [`Input::Changed`] takes the place of a record that could not be read.
    Mended {
        /// Whose.
        key: PlacedKey,
    },
    /// Whether what [`Output::KeepVotes`] was to keep is on the disk, where votes were lost. Not told is as if it were, since
    /// what follows waits for it: only a disk that refuses is told of, and then that it takes it again.
    VotesKept {
        /// It is.
        kept: bool,
    },
    /// An admin takes what this node holds for all there is, though it is refilling.
    Believe,
    /// Storage has taken [`Output::Apply`] or [`Output::Revise`], and loads see it: the record was this
    /// and is that. Comes at once, before anything else is done for this replica.
    Changed {
        /// From the output.
        ticket: u64,
        /// Which.
        key: PlacedKey,
        /// The record before; `None` if there was none that could be read.
        before: Option<RecordMeta>,
        /// The record now; `None` if there is none.
        after: Option<RecordMeta>,
    },
    /// An earlier copy of this shard can be read, for [`Output::Recall`].
    CopyAtHand,
    /// The copy answers [`Output::Recall`].
    Recalled(Recalled),
    /// Storage answers [`Output::Apply`], [`Output::Hold`], [`Output::Release`], [`Output::Revise`], [`Output::Discard`],
    /// [`Output::Sync`] or [`Output::Drop`], once it is as durable as was asked.
    Applied {
        /// From the output.
        ticket: u64,
        /// Whether it is.
        result: Result<(), StorageFault>,
    },
    /// Storage answers [`Output::Range`].
    Ranged {
        /// From the output.
        ticket: u64,
        /// The page.
        result: Result<RangeResult, StorageFault>,
    },
    /// Storage answers [`Output::Survey`].
    Surveyed {
        /// From the output.
        ticket: u64,
        /// Those that hold a record.
        result: Result<Vec<Partition>, StorageFault>,
    },
    /// Storage answers [`Output::Hints`].
    HintPage {
        /// From the output.
        ticket: u64,
        /// The page.
        result: Result<HintPage, StorageFault>,
    },
    /// What storage holds for other nodes; told at the start and after hints were held or released.
    HintTotals(Vec<(NodeId, HintTotals)>),
    /// An admin wants the replicas of a partition compared, or of all that this shard owns.
    Repair {
        /// Which; `None` for all.
        partition: Option<Partition>,
    },
    /// An admin changes the bounds of background work.
    SetBackground(BackgroundChange),
    /// The time of `poll_timeout` has come.
    Timeout,
}

/// What a record is known by in a hash tree, and what it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordMeta {
    /// Of the whole record.
    pub digest: Digest,
    /// The length of its encoding.
    pub bytes: u32,
}

/// All that storage holds of one key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holding {
    /// This node's own record.
    pub record: Option<StoredRecord>,
    /// There is one, and it fails its checksum: as good as missing.
    pub damaged: bool,
    /// The hints of the key that can be read.
    pub hints: Vec<Hint>,
    /// There are others, which fail their checksums now and may not the next time.
    pub damaged_hints: bool,
}

/// A record that is kept for another node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// For whom.
    pub target: NodeId,
    /// Since when there is one, in milliseconds since the Unix epoch.
    pub since_ms: u64,
    /// What is kept.
    pub record: StoredRecord,
}

/// Some hints for one node, the oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HintPage {
    /// In the order of (`since_ms`, key).
    pub hints: Vec<HeldHint>,
    /// There are none after these.
    pub end: bool,
}

/// Why storage could not do it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StorageFault {
    /// The write buffer is full; nothing was done.
    Overloaded,
    /// The engine or the disk refused.
    Failed(String),
    /// The merge would be over what any record may be; nothing was done, and only a client can mend it.
    TooLarge(String),
}

/// One effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Read a key's record and hints.
    Load {
        /// For the answer.
        ticket: u64,
        /// Which.
        key: PlacedKey,
    },
    /// Read from the earlier copy those of these records that it holds just so.
    Recall {
        /// For the answer.
        ticket: u64,
        /// Keys, and the digests of the records that a peer holds now.
        wanted: Vec<(PlacedKey, Digest)>,
    },
    /// The earlier copy is not asked any more.
    LeaveCopy {
        /// For how many records it was.
        asked: u64,
        /// How many of them it had.
        found: u64,
    },
    /// Merge a record into what is stored.
    Apply {
        /// For the answer.
        ticket: u64,
        /// Which.
        key: PlacedKey,
        /// What to merge.
        record: StoredRecord,
        /// When to answer.
        durability: Durability,
    },
    /// Keep a record for another node: merge it into the hint that is there.
    Hold {
        /// For the answer.
        ticket: u64,
        /// For whom.
        target: NodeId,
        /// Which.
        key: PlacedKey,
        /// What to merge.
        record: StoredRecord,
        /// Now; stays with the hint if there is none yet.
        since_ms: u64,
        /// When to answer.
        durability: Durability,
    },
    /// Drop a hint if it is still this one, and answer when that is on disk.
    Release {
        /// For the answer.
        ticket: u64,
        /// For whom it was.
        target: NodeId,
        /// Which.
        key: PlacedKey,
        /// What its target has.
        digest: Digest,
    },
    /// If the record is still this one, put the other in its place, or nothing; answer when that is on
    /// disk.
    Revise {
        /// For the answer.
        ticket: u64,
        /// Which.
        key: PlacedKey,
        /// What is there.
        expected: Digest,
        /// What is to be there.
        by: Revision,
    },
    /// Remove a record if it can't be read, and answer when that is on disk.
    Discard {
        /// For the answer.
        ticket: u64,
        /// Which.
        key: PlacedKey,
    },
    /// Answer once all that was applied before is on disk.
    Sync {
        /// For the answer.
        ticket: u64,
    },
    /// Keep this on disk, as [`Config::votes`](crate::Config::votes) of the next start. What needs no disk goes on meanwhile.
    KeepVotes {
        /// What to keep.
        votes: Vec<u8>,
        /// Votes were lost: what is applied in this turn and later reaches the disk, and is answered for, after this.
        loses: bool,
    },
    /// Drop every record of a partition, and answer when that is on disk. Loads show none at once; what is applied later stays.
    Drop {
        /// For the answer.
        ticket: u64,
        /// Which.
        partition: Partition,
    },
    /// Tell which of these partitions hold a record.
    Survey {
        /// For the answer.
        ticket: u64,
        /// Which.
        partitions: Vec<Partition>,
    },
    /// Read some of the hints for a node, the oldest first.
    Hints {
        /// For the answer.
        ticket: u64,
        /// For whom.
        target: NodeId,
        /// Past which.
        after: Option<HintMark>,
        /// The most hints.
        limit_records: u32,
        /// The page ends with the hint that takes it past this size.
        limit_bytes: u32,
    },
    /// Read a page of a partition.
    Range {
        /// For the answer.
        ticket: u64,
        /// Which records.
        range: RangeRequest,
    },
    /// Ask a peer.
    Request {
        /// Whom.
        to: NodeId,
        /// For the answer.
        id: u64,
        /// Under which it is sent.
        terms: Terms,
        /// What is asked.
        request: PeerRequest,
    },
    /// Answer a client.
    AnswerClient {
        /// From [`Input::Client`].
        reply: u64,
        /// The answer.
        response: ClientResponse,
    },
    /// Answer a peer.
    AnswerPeer {
        /// From [`Input::Peer`].
        reply: u64,
        /// Which process answers, and when.
        stamp: Stamp,
        /// The answer.
        response: PeerResponse,
    },
    /// A peer answered, or let a request run out: food for the failure detector.
    Outcome {
        /// Who.
        node: NodeId,
        /// Whether it answered.
        answered: bool,
    },
    /// Under this layout this node holds all of a partition that older owners do: to be gossiped.
    Ready {
        /// Which.
        layout: LayoutId,
        /// What.
        partition: Partition,
    },
    /// Of this node and a peer one knows a newer layout: have them gossip, now.
    Behind {
        /// With whom.
        node: NodeId,
    },
    /// Something happened that is worth counting.
    Count(Counter),
}
