//! Open work of a replica: requests at peers, tickets at storage, operations with their deadlines.
//!
//! Invariant: every id is given out once, and whatever it stands for is taken out once.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use jedlik_coordinator::RequestId;
use jedlik_hashing::{NodeId, Partition};
use jedlik_protocol::peer::{PeerRequest, PeerResponse};
use jedlik_protocol::{Digest, Durability, EncodedRecord, Key, LayoutId, PlacedKey};

use crate::StorageFault;
use crate::clashes::Pair;
use crate::collection::{Collection, Question};
use crate::exchange::Listing;
use crate::reading::ReadBytes;
use crate::scan::Scanning;

/// Id of one operation of this replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct OperationId(pub(crate) u64);

/// Receiver of the answer to a client's request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asker {
    /// Client on a connection of this node, by the handle of its request.
    Client(u64),
    /// Peer that forwarded its client's request, by the handle of its own.
    Peer(u64),
}

/// Operation that waits for an answer, and which of its requests is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) operation: OperationId,
    /// Request within the operation; 0 where the operation can tell answers apart by the node.
    pub(crate) request: RequestId,
}

impl Caller {
    /// Creates the caller for an operation that can tell answers apart by the node.
    pub(crate) fn of(operation: OperationId) -> Self {
        Self { operation, request: RequestId(0) }
    }
}

/// Reason for a request to a peer; it says where the answer goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// An operation waits for the answer.
    Operation(Caller),
    /// Nobody waits for the answer.
    Nobody,
    /// The request delivers a hint.
    Delivery { key: PlacedKey, pair: Pair },
    /// The peer lists a partition of which an earlier copy may hold records.
    Recall(Partition),
    /// An exchange waits for the answer.
    Exchange { id: u64, step: ExchangeStep },
    /// The collector waits for the answer.
    Candidate(PlacedKey),
    /// Puts of the key wait for what others hold of it.
    Base(PlacedKey),
}

/// Step of an exchange that a request carries out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ExchangeStep {
    Hashes {
        branch: Option<u8>,
    },
    Digests {
        first_leaf: u16,
    },
    Fetch {
        first_leaf: u16,
    },
    Pull {
        key: Key,
        known: Option<Digest>,
    },
    Push {
        key: Key,
        pair: Pair,
    },
    /// Question whether the peer has a vote.
    Vote,
}

/// Request that a peer has not answered yet.
#[derive(Debug, Clone)]
pub(crate) struct PeerCall {
    pub(crate) node: NodeId,
    pub(crate) purpose: Purpose,
    pub(crate) durability: Durability,
    pub(crate) sent_us: u64,
    pub(crate) expires_us: u64,
    /// Request to be sent once more if it is refused for its age (the refusal tells the peer's clock), or
    /// because the peer does not know the layout yet.
    pub(crate) again: Option<PeerRequest>,
}

/// Meaning of storage's answer to a ticket.
#[derive(Debug, Clone)]
pub(crate) enum Ticket {
    /// Record that puts of the key wait for.
    Mint(PlacedKey),
    /// This node's own record, page or acknowledgement for an operation.
    Local { caller: Caller, durability: Durability },
    /// Write of one of several hints, which are acknowledged together.
    Hold { group: u64 },
    /// Write for a peer, acknowledged to it.
    ServeWrite { reply: u64 },
    /// Synced write of a record that a peer delivered in the background.
    ServeDelivery { reply: u64 },
    /// Read of a key for a peer.
    ServeRead { reply: u64, key: PlacedKey, n: u8, known: Option<Digest> },
    /// Page of a scan that a peer coordinates.
    ServeScan { reply: u64, scanning: Scanning },
    /// Page of digests for a peer, and of clocks if wanted, of records in buckets with this N.
    ServeDigests { reply: u64, n: u8, clocks: bool, synced: bool },
    /// Answer to a peer that waits until all that it says is synced.
    ServeRested { reply: u64, response: PeerResponse },
    /// Read of the record that a peer's collector asks about.
    ServeComparison { reply: u64, key: PlacedKey, question: Question },
    /// Sync of the record that a peer's collector asks about.
    ServeSynced { reply: u64 },
    /// Read of the record that a peer's collector has this node forget.
    ServeRevision { reply: u64, key: PlacedKey, expected: Digest, record: Option<EncodedRecord> },
    /// Removal or pruning of that record, under way to the disk.
    ServeRevised { reply: u64 },
    /// Read of all that is held of a key, for a peer's explanation.
    ServeInspection { reply: u64, key: PlacedKey },
    /// Page of records of buckets with this N, for a peer that fetches a range.
    ServeFetch { reply: u64, n: u8 },
    /// Page of a partition that is being read, in the reading of this number.
    Reading { partition: Partition, reading: u64 },
    /// Page of this node's digests of some leaves, for an exchange.
    OwnDigests(Listing),
    /// Look-up of records of a partition in the earlier copy.
    Recalled(Partition),
    /// Merge of a record that an exchange pulled.
    Pulled { id: u64, key: Key, pair: Pair },
    /// Merge of one record of a page that an exchange fetched or the earlier copy gave.
    Fetched { group: u64 },
    /// Sync of all that was merged for a partition that this node is to own under this layout.
    InboundSynced { layout: LayoutId, partition: Partition },
    /// Removal of all records of a partition.
    Dropped { partition: Partition },
    /// Page of records of which some are others' alone, in the sweep of this number.
    Surplus { sweep: u64 },
    /// Removal of one such record, in the sweep of this number.
    Thinned { sweep: u64 },
    /// Removal of a record that can't be read: in a sweep, since others alone own it, or since nobody can mend it.
    Discarded { sweep: Option<u64>, key: PlacedKey },
    /// Look-up of the partitions that hold records; `until` is the last one if more are to be looked up.
    Survey { until: Option<Partition> },
    /// Merge of a hint into this node's own record, since its target no longer owns the key.
    Adopted { target: NodeId, key: PlacedKey },
    /// Read of a record that an exchange is to push.
    Pushing { id: u64, peer: NodeId, key: Key, theirs: Option<Digest> },
    /// Page of the hints for a node.
    HintPage { target: NodeId },
    /// Removal of a hint that was delivered.
    Release { target: NodeId, key: PlacedKey },
    /// Read of a record for the collector.
    Candidate(PlacedKey),
    /// Second read of a record that is to be collected or pruned.
    Collect(Collection),
    /// Removal or pruning of that record on this node.
    Collected(Collection),
    /// Sync of all that a refill has merged.
    Refilled { partition: Partition, n: u8 },
    /// Write that nobody waits for.
    Nobody,
}

/// Writes that are acknowledged together: hints of one record, or records of one page.
#[derive(Debug, Clone)]
pub(crate) struct HoldGroup {
    pub(crate) left: usize,
    pub(crate) failure: Option<StorageFault>,
    pub(crate) whose: HoldFor,
}

/// Receiver of the common acknowledgement of several writes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum HoldFor {
    Peer {
        reply: u64,
    },
    Own {
        caller: Caller,
        durability: Durability,
    },
    /// Exchange whose page of records was merged, in the leaves from this one on.
    Page {
        exchange: u64,
        first_leaf: u16,
    },
    /// Partition whose records were taken from the earlier copy.
    Recall(Partition),
    Nobody,
}

/// Ids given out, and what they stand for.
#[derive(Debug)]
pub(crate) struct Pending {
    shard: u16,
    next: u64,
    /// Open requests by id; boxed, like tickets, since a map moves what it holds.
    calls: BTreeMap<u64, Box<PeerCall>>,
    expiries: BTreeSet<(u64, u64)>,
    tickets: BTreeMap<u64, Box<Ticket>>,
    holds: BTreeMap<u64, HoldGroup>,
    pub(crate) read_bytes: ReadBytes,
}

impl Pending {
    pub(crate) fn new(shard: u16) -> Self {
        Self {
            shard,
            next: 0,
            calls: BTreeMap::new(),
            expiries: BTreeSet::new(),
            tickets: BTreeMap::new(),
            holds: BTreeMap::new(),
            read_bytes: ReadBytes::default(),
        }
    }

    /// Makes later ids differ from all that `other` has given out.
    pub(crate) fn continue_after(&mut self, other: &Self) {
        self.next = self.next.max(other.next);
    }

    pub(crate) fn operation(&mut self) -> OperationId {
        OperationId(self.id())
    }

    pub(crate) fn call(&mut self, call: PeerCall) -> u64 {
        let id = self.id();
        self.expiries.insert((call.expires_us, id));
        self.calls.insert(id, Box::new(call));
        id
    }

    pub(crate) fn take_call(&mut self, id: u64, from: NodeId) -> Option<PeerCall> {
        if self.calls.get(&id)?.node != from {
            return None;
        }
        let call = self.calls.remove(&id)?;
        self.expiries.remove(&(call.expires_us, id));
        Some(*call)
    }

    /// Takes out every open call to `node`.
    pub(crate) fn take_calls_to(&mut self, node: NodeId) -> Vec<PeerCall> {
        let ids: Vec<u64> =
            self.calls.iter().filter(|(_, call)| call.node == node).map(|(id, _)| *id).collect();
        ids.into_iter().filter_map(|id| self.take_call(id, node)).collect()
    }

    /// Keeps no request to send again for an operation that wants no answers any more.
    pub(crate) fn give_up_calls(&mut self, operation: OperationId) {
        let is_its = |purpose: &Purpose| matches!(purpose, Purpose::Operation(caller) if caller.operation == operation);
        let its = self.calls.values_mut().filter(|call| is_its(&call.purpose));
        its.for_each(|call| call.again = None);
    }

    /// Takes out a call whose time has run out, if there is one.
    pub(crate) fn take_expired(&mut self, now_us: u64) -> Option<PeerCall> {
        let (expires_us, id) = *self.expiries.first()?;
        if expires_us > now_us {
            return None;
        }
        self.expiries.remove(&(expires_us, id));
        self.calls.remove(&id).map(|call| *call)
    }

    pub(crate) fn next_expiry(&self) -> Option<u64> {
        self.expiries.first().map(|(expires_us, _)| *expires_us)
    }

    pub(crate) fn ticket(&mut self, ticket: Ticket) -> u64 {
        let id = self.id();
        self.tickets.insert(id, Box::new(ticket));
        id
    }

    /// Returns the meaning of a ticket, which stays open.
    pub(crate) fn ticket_of(&self, id: u64) -> Option<&Ticket> {
        self.tickets.get(&id).map(Box::as_ref)
    }

    /// Begins a group of so many writes; each gets a [`Ticket::Hold`] or a [`Ticket::Fetched`].
    pub(crate) fn hold(&mut self, hints: usize, whose: HoldFor) -> u64 {
        let id = self.id();
        self.holds.insert(id, HoldGroup { left: hints, failure: None, whose });
        id
    }

    /// Counts a write of a group as done or failed; returns the group once it was the last.
    pub(crate) fn held(
        &mut self,
        group: u64,
        result: Result<(), StorageFault>,
    ) -> Option<HoldGroup> {
        let held = self.holds.get_mut(&group)?;
        held.left -= 1;
        held.failure = result.err().or(held.failure.take());
        if held.left > 0 { None } else { self.holds.remove(&group) }
    }

    pub(crate) fn take_ticket(&mut self, id: u64) -> Option<Ticket> {
        self.tickets.remove(&id).map(|ticket| *ticket)
    }

    fn id(&mut self) -> u64 {
        self.next += 1;
        (u64::from(self.shard) << 48) | self.next
    }
}
