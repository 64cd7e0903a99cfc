//! What goes into a replica and what comes out.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use jedlik_hashing::{NodeId, Partition};
use jedlik_membership::View;
use jedlik_protocol::client::{ClientRequest, ClientResponse};
use jedlik_protocol::peer::{PeerRequest, PeerResponse};
use jedlik_protocol::{
    Blob, ClusterId, Durability, Incarnation, LayoutVersion, PlacedKey, StoredRecord,
};

/// What a replica is told once.
#[derive(Debug, Clone)]
pub struct Config {
    /// This node.
    pub me: NodeId,
    /// Its cluster: the seed of positions.
    pub cluster: ClusterId,
    /// This life of the node, for the actor rule.
    pub incarnation: Incarnation,
    /// Entropy for actors: never the same twice.
    pub random_seed: [u8; 32],
    /// Which of the node's shards this is: the top 16 bits of its request ids.
    pub shard: u16,
}

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
    /// A peer asks.
    Peer {
        /// Who.
        from: NodeId,
        /// The driver's name for whoever waits for the answer.
        reply: u64,
        /// The layout under which it was sent.
        layout: LayoutVersion,
        /// What is asked.
        request: PeerRequest,
    },
    /// A peer answered a request of ours.
    PeerAnswer {
        /// Who.
        from: NodeId,
        /// From [`Output::Request`].
        id: u64,
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
        result: Result<Option<StoredRecord>, StorageFault>,
    },
    /// Storage answers [`Output::Apply`], once the record is as durable as was asked.
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
    /// The time of `poll_timeout` has come.
    Timeout,
}

/// A page of stored records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RangeResult {
    /// In key order.
    pub records: Vec<(PlacedKey, StoredRecord)>,
    /// How far it reaches; `None` if to the partition's end.
    pub until: Option<PlacedKey>,
}

/// Why storage could not do it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StorageFault {
    /// The record fails its checksum: as good as missing.
    Damaged,
    /// The write buffer is full; nothing was done.
    Overloaded,
    /// The engine or the disk refused.
    Failed(String),
}

/// One effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Read a record.
    Load {
        /// For the answer.
        ticket: u64,
        /// Which.
        key: PlacedKey,
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
    /// Read a page of a partition.
    Range {
        /// For the answer.
        ticket: u64,
        /// Whose keys.
        bucket: Blob,
        /// Of which range.
        partition: Partition,
        /// Past which key.
        after: Option<PlacedKey>,
        /// The most records.
        limit: u32,
    },
    /// Ask a peer.
    Request {
        /// Whom.
        to: NodeId,
        /// For the answer.
        id: u64,
        /// The layout under which it is sent.
        layout: LayoutVersion,
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
    /// Something happened that is worth counting.
    Count(Counter),
}

/// What a replica counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Counter {
    /// Gets coordinated here.
    Gets,
    /// Puts coordinated here.
    Puts,
    /// Scans coordinated here.
    Scans,
    /// Requests passed on to an owner.
    Forwards,
    /// Replicas found behind after a get and sent the merge.
    ReadRepairs,
    /// Reads that asked more replicas because the first were slow.
    Hedges,
    /// Puts recognised as a retry of one that is held already.
    RetriedPuts,
    /// Clock entries dropped by the last-resort truncation.
    TruncatedEntries,
    /// Records that failed their checksum.
    DamagedRecords,
    /// Requests refused because of a stale layout.
    StaleLayouts,
}
