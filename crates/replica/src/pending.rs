//! What the replica waits for: requests at peers, tickets at storage, machines with their deadlines.
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

/// Names one machine of this replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct OperationId(pub(crate) u64);

/// Who waits for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asker {
    /// A client on this node's own connection.
    Client(u64),
    /// A peer that forwarded its client's request.
    Peer(u64),
}

/// A machine that waits for an answer, and which of its requests it is to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) operation: OperationId,
    /// The first for a machine that can tell by the node.
    pub(crate) request: RequestId,
}

impl Caller {
    /// A machine that can tell by the node what was answered.
    pub(crate) fn of(operation: OperationId) -> Self {
        Self { operation, request: RequestId(0) }
    }
}

/// What a request to a peer is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A machine waits for the answer.
    Operation(Caller),
    /// Nobody does.
    Nobody,
    /// A hint is being delivered.
    Delivery { key: PlacedKey, pair: Pair },
    /// The peer lists a partition, of which an earlier copy may hold something.
    Recall(Partition),
    /// An exchange waits for the answer.
    Exchange { id: u64, step: ExchangeStep },
    /// The collector waits for the answer.
    Candidate(PlacedKey),
    /// Puts of the key wait for what others hold of it.
    Base(PlacedKey),
}

/// Which step of an exchange.
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
    /// Whether the peer has a vote.
    Vote,
}

/// A request that a peer has not answered yet.
#[derive(Debug, Clone)]
pub(crate) struct PeerCall {
    pub(crate) node: NodeId,
    pub(crate) purpose: Purpose,
    pub(crate) durability: Durability,
    pub(crate) sent_us: u64,
    pub(crate) expires_us: u64,
    /// The request, to be sent once more if it is refused for its age (the refusal tells the peer's clock),
    /// or because the peer does not know the layout yet.
    pub(crate) again: Option<PeerRequest>,
}

/// What storage's answer to a ticket is for.
#[derive(Debug, Clone)]
pub(crate) enum Ticket {
    /// The record that puts of a key wait for.
    Mint(PlacedKey),
    /// This node's own record, page or acknowledgement for a machine.
    Local { caller: Caller, durability: Durability },
    /// One of several hints that are kept together.
    Hold { group: u64 },
    /// A peer's write.
    ServeWrite { reply: u64 },
    /// A peer's delivery.
    ServeDelivery { reply: u64 },
    /// A peer's read.
    ServeRead { reply: u64, key: PlacedKey, n: u8, known: Option<Digest> },
    /// A peer's scan.
    ServeScan { reply: u64, scanning: Scanning },
    /// A peer's question for digests, and clocks if wanted, of the records of buckets with this N.
    ServeDigests { reply: u64, n: u8, clocks: bool, synced: bool },
    /// An answer to a peer that rests on what is being synced.
    ServeRested { reply: u64, response: PeerResponse },
    /// A peer's comparison; the record is still to be read.
    ServeComparison { reply: u64, key: PlacedKey, question: Question },
    /// A peer's comparison; the record is being synced.
    ServeSynced { reply: u64 },
    /// A peer's revision; the record is still to be read.
    ServeRevision { reply: u64, key: PlacedKey, expected: Digest, record: Option<EncodedRecord> },
    /// A peer's revision, under way to the disk.
    ServeRevised { reply: u64 },
    /// A peer's inspection.
    ServeInspection { reply: u64, key: PlacedKey },
    /// A peer's question for records of buckets with this N.
    ServeFetch { reply: u64, n: u8 },
    /// A page of a partition that is being read, in the reading of this number.
    Reading { partition: Partition, reading: u64 },
    /// This node's side of some leaves of an exchange.
    OwnDigests(Listing),
    /// Records of a partition are looked for in the earlier copy.
    Recalled(Partition),
    /// A record fetched for an exchange is being merged.
    Pulled { id: u64, key: Key, pair: Pair },
    /// One of the records of a page that an exchange fetched is being merged.
    Fetched { group: u64 },
    /// All that was compared with for a partition that this node is to own under this layout is being synced.
    InboundSynced { layout: LayoutId, partition: Partition },
    /// A partition's records are being dropped.
    Dropped { partition: Partition },
    /// A page of records of which some are others' alone, in the sweep of this number.
    Surplus { sweep: u64 },
    /// One of them is gone, in the sweep of this number.
    Thinned { sweep: u64 },
    /// A record that can't be read is to be gone: in a sweep, since others alone own it, or since nobody can mend it.
    Discarded { sweep: Option<u64>, key: PlacedKey },
    /// Which partitions hold records.
    Survey { until: Option<Partition> },
    /// A hint for a node that owns its key no more is being merged into this node's own record.
    Adopted { target: NodeId, key: PlacedKey },
    /// A record that an exchange wants sent is being read.
    Pushing { id: u64, peer: NodeId, key: Key, theirs: Option<Digest> },
    /// A page of hints.
    HintPage { target: NodeId },
    /// A hint that was delivered is being dropped.
    Release { target: NodeId, key: PlacedKey },
    /// The collector reads a record.
    Candidate(PlacedKey),
    /// A record that is to be collected or pruned is read once more.
    Collect(Collection),
    /// It is being collected or pruned here.
    Collected(Collection),
    /// What a refill has merged is on its way to the disk.
    Refilled { partition: Partition, n: u8 },
    /// Nobody waits.
    Nobody,
}

/// Several hints of one record, or several records of one page, acknowledged together.
#[derive(Debug, Clone)]
pub(crate) struct HoldGroup {
    pub(crate) left: usize,
    pub(crate) failure: Option<StorageFault>,
    pub(crate) whose: HoldFor,
}

/// Who waits for several writes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum HoldFor {
    Peer {
        reply: u64,
    },
    Own {
        caller: Caller,
        durability: Durability,
    },
    /// The records of a page that an exchange fetched, in the leaves from this one on.
    Page {
        exchange: u64,
        first_leaf: u16,
    },
    /// What the earlier copy held of the partition.
    Recall(Partition),
    Nobody,
}

/// Ids and what they stand for.
#[derive(Debug)]
pub(crate) struct Pending {
    shard: u16,
    next: u64,
    /// Boxed, like tickets, since a map moves what it holds.
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

    /// Gives out no id that `other` has given out.
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

    /// Takes out every call to `node`.
    pub(crate) fn take_calls_to(&mut self, node: NodeId) -> Vec<PeerCall> {
        let ids: Vec<u64> =
            self.calls.iter().filter(|(_, call)| call.node == node).map(|(id, _)| *id).collect();
        ids.into_iter().filter_map(|id| self.take_call(id, node)).collect()
    }

    /// Keeps nothing to send again for a machine that wants no answers any more.
    pub(crate) fn give_up_calls(&mut self, operation: OperationId) {
        let is_its = |purpose: &Purpose| matches!(purpose, Purpose::Operation(caller) if caller.operation == operation);
        let its = self.calls.values_mut().filter(|call| is_its(&call.purpose));
        its.for_each(|call| call.again = None);
    }

    /// Takes out a call that has run out of time, if there is one.
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

    /// What a ticket is for; it stays.
    pub(crate) fn ticket_of(&self, id: u64) -> Option<&Ticket> {
        self.tickets.get(&id).map(Box::as_ref)
    }

    /// Begins a group of so many writes; each gets a [`Ticket::Hold`] or a [`Ticket::Fetched`].
    pub(crate) fn hold(&mut self, hints: usize, whose: HoldFor) -> u64 {
        let id = self.id();
        self.holds.insert(id, HoldGroup { left: hints, failure: None, whose });
        id
    }

    /// One of a group is kept or is not; the group, once all of it is.
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
