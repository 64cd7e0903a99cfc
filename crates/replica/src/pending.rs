//! Open work of a replica: requests at peers, tickets at storage, operations with their deadlines.
//!
//! Invariant: every id is given out once, and whatever it stands for is taken out once.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use jedlik_coordinator::RequestId;
use jedlik_hashing::{NodeId, Partition};
use jedlik_protocol::peer::PeerRequest;
use jedlik_protocol::{Digest, Durability, Key, PlacedKey};

use crate::StorageFault;
use crate::clashes::Pair;
use crate::reading::ReadBytes;
use crate::reasons::{ApplyFor, LoadFor, PageFor};

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
    loads: BTreeMap<u64, Box<LoadFor>>,
    applies: BTreeMap<u64, Box<ApplyFor>>,
    pages: BTreeMap<u64, PageFor>,
    /// Look-ups of the partitions that hold records, by ticket: the last partition if more are to be looked up.
    surveys: BTreeMap<u64, Option<Partition>>,
    /// Pages of hints that are read, by ticket: the node that they are for.
    hint_pages: BTreeMap<u64, NodeId>,
    /// Look-ups in the earlier copy, by ticket.
    recalls: BTreeMap<u64, Partition>,
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
            loads: BTreeMap::new(),
            applies: BTreeMap::new(),
            pages: BTreeMap::new(),
            surveys: BTreeMap::new(),
            hint_pages: BTreeMap::new(),
            recalls: BTreeMap::new(),
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

    /// Returns the reason for a call that is open.
    pub(crate) fn purpose_of(&self, id: u64) -> Option<&Purpose> {
        self.calls.get(&id).map(|call| &call.purpose)
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

    /// Returns a ticket for a read of one key.
    pub(crate) fn load(&mut self, reason: LoadFor) -> u64 {
        let id = self.id();
        self.loads.insert(id, Box::new(reason));
        id
    }

    pub(crate) fn take_load(&mut self, ticket: u64) -> Option<LoadFor> {
        self.loads.remove(&ticket).map(|reason| *reason)
    }

    /// Returns the reason for a read of one key, which goes on.
    pub(crate) fn load_of(&self, ticket: u64) -> Option<&LoadFor> {
        self.loads.get(&ticket).map(Box::as_ref)
    }

    /// Returns a ticket for a write, a removal or a sync.
    pub(crate) fn apply(&mut self, reason: ApplyFor) -> u64 {
        let id = self.id();
        self.applies.insert(id, Box::new(reason));
        id
    }

    /// Returns the reason for a write, which goes on.
    pub(crate) fn apply_of(&self, ticket: u64) -> Option<&ApplyFor> {
        self.applies.get(&ticket).map(Box::as_ref)
    }

    pub(crate) fn take_apply(&mut self, ticket: u64) -> Option<ApplyFor> {
        self.applies.remove(&ticket).map(|reason| *reason)
    }

    /// Returns a ticket for a page of records.
    pub(crate) fn page(&mut self, reason: PageFor) -> u64 {
        let id = self.id();
        self.pages.insert(id, reason);
        id
    }

    pub(crate) fn take_page(&mut self, ticket: u64) -> Option<PageFor> {
        self.pages.remove(&ticket)
    }

    /// Returns a ticket for a look-up of the partitions that hold records; `until` is the last one if more are to be
    /// looked up.
    pub(crate) fn survey(&mut self, until: Option<Partition>) -> u64 {
        let id = self.id();
        self.surveys.insert(id, until);
        id
    }

    pub(crate) fn take_survey(&mut self, ticket: u64) -> Option<Option<Partition>> {
        self.surveys.remove(&ticket)
    }

    /// Returns a ticket for a page of the hints for a node.
    pub(crate) fn hint_page(&mut self, target: NodeId) -> u64 {
        let id = self.id();
        self.hint_pages.insert(id, target);
        id
    }

    pub(crate) fn take_hint_page(&mut self, ticket: u64) -> Option<NodeId> {
        self.hint_pages.remove(&ticket)
    }

    /// Returns a ticket for a look-up of a partition's records in the earlier copy.
    pub(crate) fn recall(&mut self, partition: Partition) -> u64 {
        let id = self.id();
        self.recalls.insert(id, partition);
        id
    }

    pub(crate) fn take_recall(&mut self, ticket: u64) -> Option<Partition> {
        self.recalls.remove(&ticket)
    }

    /// Begins a group of so many writes; each gets an [`ApplyFor::Hold`].
    pub(crate) fn hold(&mut self, hints: usize, whose: HoldFor) -> u64 {
        let id = self.id();
        self.holds.insert(id, HoldGroup { left: hints, failure: None, whose });
        id
    }

    /// Returns the receiver of a group's acknowledgement.
    pub(crate) fn hold_of(&self, group: u64) -> Option<HoldFor> {
        self.holds.get(&group).map(|group| group.whose)
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

    fn id(&mut self) -> u64 {
        self.next += 1;
        (u64::from(self.shard) << 48) | self.next
    }
}

#[cfg(test)]
mod tests;
