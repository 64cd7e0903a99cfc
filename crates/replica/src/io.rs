//! A replica's inputs and outputs.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use jedlik_hashing::{NodeId, Partition};
use jedlik_membership::View;
use jedlik_protocol::admin::BackgroundChange;
use jedlik_protocol::client::{ClientRequest, ClientResponse};
use jedlik_protocol::peer::{PeerRequest, PeerResponse};
use jedlik_protocol::{Digest, Durability, LayoutId, PlacedKey, Stamp, StoredRecord, Terms};
use jedlik_storage_port::{
    HintMark, HintPage, HintTotals, Holding, RangePage, RangeRequest, RecordMeta,
};

use crate::{Counter, Recalled, Revision};

/// Event that a driver gives a replica by [`Replica::handle`](crate::Replica::handle).
#[derive(Debug, Clone)]
pub enum Input {
    /// New view of the cluster: members, layouts and buckets. Until the first one with a layout, requests are refused.
    View(Arc<View>),
    /// Client's get, put, scan or explanation; answered by one [`Output::AnswerClient`].
    Client {
        /// Driver's handle of the request, which the answer carries back.
        reply: u64,
        /// Client's request. [`Topology`](ClientRequest::Topology) and admin requests other than explanations
        /// are refused.
        request: ClientRequest,
    },
    /// Nobody waits for the answer to a client's request any more. A get or a scan that is not answered yet
    /// ends without an answer; a put goes on, since replicas may hold it already.
    Withdrawn {
        /// Handle of the request, from [`Input::Client`].
        reply: u64,
    },
    /// Request of another node, answered by one [`Output::AnswerPeer`].
    Peer {
        /// Node that sent the request.
        from: NodeId,
        /// Driver's handle of the request, which the answer carries back.
        reply: u64,
        /// Sender's life and active layouts, and this node's clock as the sender last heard it: what the
        /// layout fence and the age limit are checked against.
        terms: Terms,
        /// Request as the peer sent it, decoded and within its limits.
        request: PeerRequest,
    },
    /// Peer's answer to an [`Output::Request`].
    PeerAnswer {
        /// Node that answered. An answer from a node that was not asked is dropped.
        from: NodeId,
        /// Id of the answered request, from [`Output::Request`].
        id: u64,
        /// Life of the process that answered, and its clock for the ages of messages.
        stamp: Stamp,
        /// Peer's answer. It counts as a refusal if it comes from another process than the one known as the node.
        response: PeerResponse,
    },
    /// The connection to a peer is lost, or could not be made. Every request to it that is still open fails.
    PeerLost {
        /// Node that can't be reached.
        node: NodeId,
    },
    /// Storage's answer to [`Output::Load`].
    Loaded {
        /// Ticket of the answered [`Output::Load`].
        ticket: u64,
        /// Record and hints of the key; a key that storage does not hold is an empty [`Holding`].
        result: Result<Holding, StorageFault>,
    },
    /// Storage is replacing a record that could not be read. The key's [`Input::Changed`] follows at once.
    Mended {
        /// Key of the damaged record.
        key: PlacedKey,
    },
    /// The disk refuses the row of an [`Output::KeepVotes`] that loses votes, or takes it again after a
    /// refusal. Without this input the row counts as kept, since later writes wait for it.
    VotesKept {
        /// Whether the row is on disk. While it is not, this shard votes on nothing.
        kept: bool,
    },
    /// An admin declares this node's copies complete while it is refilling. Its partitions vote at once, and
    /// whatever they lack is lost.
    Believe,
    /// Storage has taken [`Output::Apply`] or [`Output::Revise`], and loads see the new record. Comes before
    /// any other input of this replica.
    Changed {
        /// Ticket of the [`Output::Apply`] or [`Output::Revise`].
        ticket: u64,
        /// Key of the changed record.
        key: PlacedKey,
        /// Record before the change; `None` if there was none that could be read.
        before: Option<RecordMeta>,
        /// Record after the change; `None` if there is none.
        after: Option<RecordMeta>,
    },
    /// An earlier copy of this shard can be read by [`Output::Recall`].
    CopyAtHand,
    /// The earlier copy's answer to [`Output::Recall`].
    Recalled(Recalled),
    /// Storage's answer to [`Output::Apply`], [`Output::Hold`], [`Output::Release`], [`Output::Revise`],
    /// [`Output::Discard`], [`Output::Sync`] or [`Output::Drop`], once the effect is as durable as was asked.
    Applied {
        /// Ticket of the answered output.
        ticket: u64,
        /// Success once the effect is durable; a fault if it was not done, or may be lost.
        result: Result<(), StorageFault>,
    },
    /// Storage's answer to [`Output::Range`].
    Ranged {
        /// Ticket of the answered [`Output::Range`].
        ticket: u64,
        /// Page of records in key order; a full page names the key up to which it reaches.
        result: Result<RangePage, StorageFault>,
    },
    /// Storage's answer to [`Output::Survey`].
    Surveyed {
        /// Ticket of the answered [`Output::Survey`].
        ticket: u64,
        /// Partitions, among those asked for, that hold a record.
        result: Result<Vec<Partition>, StorageFault>,
    },
    /// Storage's answer to [`Output::Hints`].
    HintPage {
        /// Ticket of the answered [`Output::Hints`].
        ticket: u64,
        /// Page of hints, the oldest first.
        result: Result<HintPage, StorageFault>,
    },
    /// Hints that storage holds, by target. Given at the start, and after hints were held or released.
    HintTotals(Vec<(NodeId, HintTotals)>),
    /// An admin asks to read and compare one partition, or all that this shard owns.
    Repair {
        /// Partition to compare; `None` for all. One that this shard does not own is ignored.
        partition: Option<Partition>,
    },
    /// An admin changes the limits of background work, or pauses and resumes it.
    SetBackground(BackgroundChange),
    /// The time that [`Replica::poll_timeout`](crate::Replica::poll_timeout) named has come.
    Timeout,
}

/// Reason why storage did not do what an output asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StorageFault {
    /// The write buffer is full. Nothing was done; the request may be tried again.
    Overloaded,
    /// The engine or the disk failed, for the reason given. A write may or may not be on disk.
    Failed(String),
    /// The merged record would exceed the largest size of any record. Nothing was done; only a client that
    /// replaces siblings can mend it.
    TooLarge(String),
}

/// Effect that a replica asks its driver for. Outputs are carried out in the order in which they are polled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Read a key's record and hints; answered by [`Input::Loaded`].
    Load {
        /// Ticket that [`Input::Loaded`] carries back.
        ticket: u64,
        /// Key whose record and hints are read.
        key: PlacedKey,
    },
    /// Read from the earlier copy those of the listed records that it holds with the same digest; answered by
    /// [`Input::Recalled`].
    Recall {
        /// Ticket that [`Input::Recalled`] carries back.
        ticket: u64,
        /// Wanted records: their keys, and the digests of the records that a peer holds now.
        wanted: Vec<(PlacedKey, Digest)>,
    },
    /// The earlier copy is not needed any more and may be closed.
    LeaveCopy {
        /// Number of records that the copy was asked for.
        asked: u64,
        /// Number of those records that the copy held.
        found: u64,
    },
    /// Merge a record into the stored one; reported by [`Input::Changed`] and answered by [`Input::Applied`].
    Apply {
        /// Ticket that [`Input::Changed`] and [`Input::Applied`] carry back.
        ticket: u64,
        /// Key whose record is written.
        key: PlacedKey,
        /// Record to merge. Its local actor, if any, takes the place of the stored one.
        record: StoredRecord,
        /// Durability that [`Input::Applied`] waits for.
        durability: Durability,
    },
    /// Keep a record for another node: merge it into the hint for that node. Answered by [`Input::Applied`].
    Hold {
        /// Ticket that [`Input::Applied`] carries back.
        ticket: u64,
        /// Node that the hint is for.
        target: NodeId,
        /// Key of the hint.
        key: PlacedKey,
        /// Record to merge into the hint.
        record: StoredRecord,
        /// Present wall time in milliseconds since the Unix epoch; the earlier time stays if the target has a
        /// hint already.
        since_ms: u64,
        /// Durability that [`Input::Applied`] waits for.
        durability: Durability,
    },
    /// Drop a hint if its record still has this digest; answered by [`Input::Applied`] once that is on disk.
    Release {
        /// Ticket that [`Input::Applied`] carries back.
        ticket: u64,
        /// Node that the hint was for.
        target: NodeId,
        /// Key of the hint.
        key: PlacedKey,
        /// Digest of the record that the target has synced. A hint that grew meanwhile has another, and stays.
        digest: Digest,
    },
    /// Replace a record, or remove it, if it still has the expected digest. Reported by [`Input::Changed`],
    /// and answered by [`Input::Applied`] once that is on disk.
    Revise {
        /// Ticket that [`Input::Changed`] and [`Input::Applied`] carry back.
        ticket: u64,
        /// Key of the record.
        key: PlacedKey,
        /// Digest that the stored record must have; otherwise nothing changes.
        expected: Digest,
        /// Record that takes its place, or the reason for removing it.
        by: Revision,
    },
    /// Remove a record if it can't be read; answered by [`Input::Applied`] once that is on disk.
    Discard {
        /// Ticket that [`Input::Applied`] carries back.
        ticket: u64,
        /// Key of the damaged record.
        key: PlacedKey,
    },
    /// Sync all that was written before; answered by [`Input::Applied`] once it is on disk.
    Sync {
        /// Ticket that [`Input::Applied`] carries back.
        ticket: u64,
    },
    /// Write these bytes to disk as [`Config::votes`](crate::Config::votes) of the next start. What needs no
    /// disk goes on meanwhile.
    KeepVotes {
        /// Encoded row of the partitions without a vote, opaque to the driver. It replaces the row before.
        votes: Vec<u8>,
        /// Whether votes were lost. If so, what is applied in this turn and later reaches the disk, and is
        /// answered for, only after this row.
        loses: bool,
    },
    /// Drop every record of a partition; answered by [`Input::Applied`] once that is on disk. Loads show none
    /// at once, and records applied later stay.
    Drop {
        /// Ticket that [`Input::Applied`] carries back.
        ticket: u64,
        /// Partition whose records are dropped.
        partition: Partition,
    },
    /// Tell which of these partitions hold a record; answered by [`Input::Surveyed`].
    Survey {
        /// Ticket that [`Input::Surveyed`] carries back.
        ticket: u64,
        /// Partitions to look up: few at a time, since each costs a look-up while clients wait.
        partitions: Vec<Partition>,
    },
    /// Read a page of the hints for a node, the oldest first; answered by [`Input::HintPage`].
    Hints {
        /// Ticket that [`Input::HintPage`] carries back.
        ticket: u64,
        /// Node whose hints are read.
        target: NodeId,
        /// Hint after which the page begins; `None` for the oldest.
        after: Option<HintMark>,
        /// Most hints on the page.
        limit_records: u32,
        /// Size in bytes at which the page ends, with the hint that reaches it.
        limit_bytes: u32,
    },
    /// Read a page of a partition's records; answered by [`Input::Ranged`].
    Range {
        /// Ticket that [`Input::Ranged`] carries back.
        ticket: u64,
        /// Partition, bucket and keys that the page covers, and its limit.
        range: RangeRequest,
    },
    /// Send a request to a peer. Its answer comes as [`Input::PeerAnswer`]; [`Input::PeerLost`] says that
    /// none will come.
    Request {
        /// Node that the request goes to.
        to: NodeId,
        /// Id that [`Input::PeerAnswer`] carries back, unique among the shards of this node.
        id: u64,
        /// This node's life and active layouts, and the peer's clock as last heard.
        terms: Terms,
        /// Request for the peer. It is tried again, or counts as lost, if no answer comes within its time limit.
        request: PeerRequest,
    },
    /// Answer to a client's request; there is at most one for each.
    AnswerClient {
        /// Handle of the request, from [`Input::Client`].
        reply: u64,
        /// Result or refusal for the client.
        response: ClientResponse,
    },
    /// Answer to a peer's request.
    AnswerPeer {
        /// Handle of the request, from [`Input::Peer`].
        reply: u64,
        /// Life of this process and its clock; [`Stamp::UNTOLD`] for a node that has no place in the cluster.
        stamp: Stamp,
        /// Result or refusal for the peer.
        response: PeerResponse,
    },
    /// Evidence for the failure detector: a peer has answered a request, or let one run out.
    Outcome {
        /// Node that was asked.
        node: NodeId,
        /// Whether the node answered, be it with a refusal.
        answered: bool,
    },
    /// This node holds, on disk, all that the older owners of a partition hold. The membership gossips that
    /// it is ready.
    Ready {
        /// Layout under which the node is ready.
        layout: LayoutId,
        /// Partition that the node is ready to own.
        partition: Partition,
    },
    /// This node or the peer knows a newer layout than the other. The two should gossip at once.
    Behind {
        /// Peer to gossip with.
        node: NodeId,
    },
    /// An event to add to the counter of its kind.
    Count(Counter),
}
