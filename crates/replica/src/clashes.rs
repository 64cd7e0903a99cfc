//! Records that this node and another one hold and that are over the largest size together ([design 8](../../../docs/design.md#8-what-a-replica-knows)).
//!
//! Neither node drops anything, and neither can take what the other has, until a client replaces a part of it.
//! Invariant: a pair of records that has been refused once is not sent again while it is known to be the same.

use alloc::collections::BTreeMap;

use jedlik_hashing::NodeId;
use jedlik_protocol::{Digest, Key, Now};

use crate::io::StorageFault;
use crate::replica::Replica;

/// How many are remembered; past it all are forgotten, which costs each one more attempt.
const CLASHES_MAX: usize = 1024;
/// For how many rounds of comparing one is remembered that nothing was heard of.
const REMEMBERED_ROUNDS: u64 = 10;

/// The digests of two records of one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pair {
    /// `None` where this node held none.
    pub(crate) mine: Option<Digest>,
    /// `None` where it is not known.
    pub(crate) theirs: Option<Digest>,
}

#[derive(Debug)]
struct Clash {
    pair: Pair,
    until_us: u64,
}

/// The records that can't be merged, by their key and by who holds the other one.
#[derive(Debug, Default)]
pub(crate) struct Clashes {
    known: BTreeMap<(Key, NodeId), Clash>,
}

impl Clashes {
    /// Remembers that a node can't be given this node's record, or the other way round.
    fn note(&mut self, now_us: u64, at: (Key, NodeId), pair: Pair, until_us: u64) {
        if self.known.len() >= CLASHES_MAX {
            self.known.retain(|_, clash| clash.until_us > now_us);
        }
        if self.known.len() >= CLASHES_MAX {
            self.known.clear();
        }
        self.known.insert(at, Clash { pair, until_us });
    }

    /// Whether this very pair has been refused.
    fn is_known(&self, now_us: u64, at: &(Key, NodeId), pair: Pair) -> bool {
        let known = self.known.get(at);
        known.is_some_and(|clash| clash.pair == pair && clash.until_us > now_us)
    }

    /// The record of a key has changed here.
    pub(crate) fn forget(&mut self, key: &Key) {
        // Most shards never have any.
        if !self.known.is_empty() {
            self.known.retain(|(known, _), _| known != key);
        }
    }

    /// How many keys' records can't be merged.
    fn count(&self, now_us: u64) -> u64 {
        let current = self.known.iter().filter(|(_, clash)| clash.until_us > now_us);
        let (mut count, mut last) = (0, None);
        for ((key, _), _) in current {
            count += u64::from(last != Some(key));
            last = Some(key);
        }
        count
    }
}

impl Replica {
    /// Storage has taken a pulled record: what this node holds now is this.
    pub(crate) fn handle_merged(&mut self, id: u64, key: &Key, own: Option<Digest>, pair: Pair) {
        let Some(theirs) = pair.theirs else { return };
        if let Some(exchange) = self.background.exchange(id) {
            exchange.handle_pulled(key, own, theirs);
        }
    }

    /// Storage has not.
    pub(crate) fn handle_not_merged(
        &mut self,
        now: Now,
        (id, key): (u64, Key),
        pair: Pair,
        fault: &StorageFault,
    ) {
        if matches!(fault, StorageFault::TooLarge(_)) {
            self.clash_in_exchange(now, id, key, pair);
        } else if let Some(exchange) = self.background.exchange(id) {
            exchange.handle_record_failure(&key);
        }
    }

    /// A record of an exchange, and the peer's, can't be merged.
    pub(crate) fn clash_in_exchange(&mut self, now: Now, id: u64, key: Key, pair: Pair) {
        let Some(exchange) = self.background.exchange(id) else { return };
        exchange.handle_clash(&key);
        let peer = exchange.peer();
        self.note_clash(now, (key, peer), pair);
    }

    pub(crate) fn note_clash(&mut self, now: Now, at: (Key, NodeId), pair: Pair) {
        let until_us = self.clash_until_us(now);
        self.background.clashes.note(now.mono_us, at, pair, until_us);
    }

    /// Until when a clash is remembered that is met now.
    fn clash_until_us(&self, now: Now) -> u64 {
        now.mono_us + REMEMBERED_ROUNDS * self.config.tuning.exchange_interval_us
    }

    /// Whether `peer` and this node are known to be unable to take this record from one another.
    pub(crate) fn is_known_to_clash(&self, now: Now, key: &Key, peer: NodeId, pair: Pair) -> bool {
        let clashes = &self.background.clashes;
        // Most shards never have any.
        !clashes.known.is_empty() && clashes.is_known(now.mono_us, &(key.clone(), peer), pair)
    }

    /// How many keys there are whose record here and another node's are over the largest size together.
    #[must_use]
    pub fn clashing_records(&self, now: Now) -> u64 {
        self.background.clashes.count(now.mono_us)
    }
}
