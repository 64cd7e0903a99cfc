//! What the replica waits for: requests at peers, tickets at storage, machines with their deadlines.
//!
//! Invariant: every id is given out once, and whatever it stands for is taken out once.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use jedlik_hashing::NodeId;
use jedlik_protocol::{Digest, Durability};

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

/// A request that a peer has not answered yet.
#[derive(Debug, Clone)]
pub(crate) struct PeerCall {
    pub(crate) node: NodeId,
    pub(crate) operation: Option<OperationId>,
    pub(crate) durability: Durability,
    pub(crate) sent_us: u64,
    pub(crate) expires_us: u64,
}

/// What storage's answer to a ticket is for.
#[derive(Debug, Clone)]
pub(crate) enum Ticket {
    /// The record that puts of a key wait for.
    Mint(jedlik_protocol::PlacedKey),
    /// This node's own record, page or acknowledgement for a machine.
    Local { operation: OperationId, durability: Durability },
    /// A peer's write.
    ServeWrite { reply: u64 },
    /// A peer's read.
    ServeRead { reply: u64, known: Option<Digest> },
    /// A peer's scan.
    ServeScan { reply: u64 },
    /// A repair of this node's own record.
    Repair,
}

/// Ids and what they stand for.
#[derive(Debug)]
pub(crate) struct Pending {
    shard: u16,
    next: u64,
    calls: BTreeMap<u64, PeerCall>,
    expiries: BTreeSet<(u64, u64)>,
    tickets: BTreeMap<u64, Ticket>,
}

impl Pending {
    pub(crate) fn new(shard: u16) -> Self {
        Self {
            shard,
            next: 0,
            calls: BTreeMap::new(),
            expiries: BTreeSet::new(),
            tickets: BTreeMap::new(),
        }
    }

    pub(crate) fn operation(&mut self) -> OperationId {
        OperationId(self.id())
    }

    pub(crate) fn call(&mut self, call: PeerCall) -> u64 {
        let id = self.id();
        self.expiries.insert((call.expires_us, id));
        self.calls.insert(id, call);
        id
    }

    pub(crate) fn take_call(&mut self, id: u64, from: NodeId) -> Option<PeerCall> {
        if self.calls.get(&id)?.node != from {
            return None;
        }
        let call = self.calls.remove(&id)?;
        self.expiries.remove(&(call.expires_us, id));
        Some(call)
    }

    /// Takes out every call to `node`.
    pub(crate) fn take_calls_to(&mut self, node: NodeId) -> Vec<PeerCall> {
        let ids: Vec<u64> =
            self.calls.iter().filter(|(_, call)| call.node == node).map(|(id, _)| *id).collect();
        ids.into_iter().filter_map(|id| self.take_call(id, node)).collect()
    }

    /// Takes out a call that has run out of time, if there is one.
    pub(crate) fn take_expired(&mut self, now_us: u64) -> Option<PeerCall> {
        let (expires_us, id) = *self.expiries.first()?;
        if expires_us > now_us {
            return None;
        }
        self.expiries.remove(&(expires_us, id));
        self.calls.remove(&id)
    }

    pub(crate) fn next_expiry(&self) -> Option<u64> {
        self.expiries.first().map(|(expires_us, _)| *expires_us)
    }

    pub(crate) fn ticket(&mut self, ticket: Ticket) -> u64 {
        let id = self.id();
        self.tickets.insert(id, ticket);
        id
    }

    pub(crate) fn take_ticket(&mut self, id: u64) -> Option<Ticket> {
        self.tickets.remove(&id)
    }

    fn id(&mut self) -> u64 {
        self.next += 1;
        (u64::from(self.shard) << 48) | self.next
    }
}
