//! Records of this node and another one whose merge would exceed the largest size
//! ([design 8](../../../docs/design.md#8-what-a-replica-knows)).
//!
//! Neither node drops anything, and neither can take what the other has, until a client replaces a part of it.
//! Invariant: a pair of records that has been refused once is not sent again while it is known to be the same.

use alloc::collections::BTreeMap;

use jedlik_hashing::NodeId;
use jedlik_protocol::{Digest, Key, Now};

use crate::cx::Cx;
use crate::exchanges::Exchanges;
use crate::io::StorageFault;
use crate::replica::Replica;

/// Most clashes that are remembered. Past it all are forgotten, which costs each one more attempt.
const CLASHES_MAX: usize = 1024;
/// Number of rounds of comparisons for which a clash is remembered that is not met again.
const REMEMBERED_ROUNDS: u64 = 10;

/// Digests of two records of one key, this node's and another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pair {
    /// This node's record; `None` where it held none.
    pub(crate) mine: Option<Digest>,
    /// The other node's record; `None` where it is not known.
    pub(crate) theirs: Option<Digest>,
}

#[derive(Debug)]
struct Clash {
    pair: Pair,
    until_us: u64,
}

/// Records that can't be merged, by their key and the node that holds the other one.
#[derive(Debug, Default)]
pub(crate) struct Clashes {
    known: BTreeMap<(Key, NodeId), Clash>,
}

impl Clashes {
    /// Remembers until `until_us` that the two nodes can't take this pair of records from one another.
    fn note(&mut self, now_us: u64, at: (Key, NodeId), pair: Pair, until_us: u64) {
        if self.known.len() >= CLASHES_MAX {
            self.known.retain(|_, clash| clash.until_us > now_us);
        }
        if self.known.len() >= CLASHES_MAX {
            self.known.clear();
        }
        self.known.insert(at, Clash { pair, until_us });
    }

    /// Returns whether this very pair has been refused.
    fn is_known(&self, now_us: u64, at: &(Key, NodeId), pair: Pair) -> bool {
        let known = self.known.get(at);
        known.is_some_and(|clash| clash.pair == pair && clash.until_us > now_us)
    }

    /// Notes that this node and another one can't take this pair of records from one another.
    pub(crate) fn note_met(&mut self, cx: &Cx, at: (Key, NodeId), pair: Pair) {
        self.note(cx.now.mono_us, at, pair, cx.clash_until_us());
    }

    /// Returns whether `peer` and this node are known to be unable to take this record from one another.
    pub(crate) fn is_known_to(&self, cx: &Cx, key: &Key, peer: NodeId, pair: Pair) -> bool {
        // Most shards never have any.
        !self.known.is_empty() && self.is_known(cx.now.mono_us, &(key.clone(), peer), pair)
    }

    /// Forgets the clashes of a key whose record has changed here.
    pub(crate) fn forget(&mut self, key: &Key) {
        // Most shards never have any.
        if !self.known.is_empty() {
            self.known.retain(|(known, _), _| known != key);
        }
    }

    /// Returns the number of keys whose records can't be merged.
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
    /// Returns the number of keys whose record here and another node's exceed the largest size together.
    #[must_use]
    pub fn clashing_records(&self, now: Now) -> u64 {
        self.background.exchanges.clashes.count(now.mono_us)
    }
}

impl Exchanges {
    /// Tells the exchange that storage has taken a pulled record, and what this node holds of the key now.
    pub(crate) fn handle_merged(&mut self, id: u64, key: &Key, own: Option<Digest>, pair: Pair) {
        let Some(theirs) = pair.theirs else { return };
        if let Some(exchange) = self.exchange(id) {
            exchange.handle_pulled(key, own, theirs);
        }
    }

    /// Tells the exchange that storage has not taken a pulled record: a clash if the merge is too large,
    /// otherwise a failure.
    pub(crate) fn handle_not_merged(
        &mut self,
        cx: &mut Cx,
        (id, key): (u64, Key),
        pair: Pair,
        fault: &StorageFault,
    ) {
        if matches!(fault, StorageFault::TooLarge(_)) {
            self.clash_in_exchange(cx, id, key, pair);
        } else if let Some(exchange) = self.exchange(id) {
            exchange.handle_record_failure(&key);
        }
    }

    /// Notes that a record of an exchange and the peer's can't be merged.
    pub(crate) fn clash_in_exchange(&mut self, cx: &mut Cx, id: u64, key: Key, pair: Pair) {
        let Some(exchange) = self.exchange(id) else { return };
        exchange.handle_clash(&key);
        let peer = exchange.peer();
        self.clashes.note_met(cx, (key, peer), pair);
    }
}

impl Cx {
    /// Returns until when a clash that is met now is remembered, in microseconds.
    pub(crate) fn clash_until_us(&self) -> u64 {
        self.now.mono_us + REMEMBERED_ROUNDS * self.config.tuning.exchange_interval_us
    }
}
