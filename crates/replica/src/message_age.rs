//! The age of messages, without comparing two nodes' clocks.
//!
//! Every answer tells the answering node's clock, and every request names the reading that its sender heard
//! last. The receiver counts from there, by the clock that it has told itself. Invariant: a message sent
//! before a reading was heard is never taken for younger than that reading.

use alloc::collections::BTreeMap;

use jedlik_hashing::NodeId;
use jedlik_protocol::Now;

/// This node's clock for messages, and the readings of others that it has heard.
#[derive(Debug)]
pub(crate) struct MessageAge {
    start: u64,
    life_us: u64,
    clocks: BTreeMap<NodeId, u64>,
}

impl MessageAge {
    pub(crate) fn new(start: u64, life_us: u64) -> Self {
        Self { start, life_us, clocks: BTreeMap::new() }
    }

    /// Returns the reading of this node's clock that its answers carry, in microseconds, at least 1.
    pub(crate) fn clock(&self, now: Now) -> u64 {
        self.start.wrapping_add(now.mono_us).max(1)
    }

    /// Notes the clock that a peer's answer carried; 0 is none.
    pub(crate) fn note_clock(&mut self, node: NodeId, clock: u64) {
        if clock != 0 {
            self.clocks.insert(node, clock);
        }
    }

    /// Returns the clock of `node` as last heard, for a request to it; 0 if it was never heard.
    pub(crate) fn clock_of(&self, node: NodeId) -> u64 {
        self.clocks.get(&node).copied().unwrap_or(0)
    }

    /// Returns whether a request that names this reading of this node's clock has outlived its time. A
    /// reading of an earlier life of this process lies nowhere near the present.
    pub(crate) fn is_too_old(&self, now: Now, receiver_clock: u64) -> bool {
        receiver_clock == 0 || self.clock(now).wrapping_sub(receiver_clock) > self.life_us
    }

    /// Returns the time after which something that begins now must not be sent any more, in microseconds.
    pub(crate) fn until_us(&self, now: Now) -> u64 {
        now.mono_us + self.life_us
    }
}

#[cfg(test)]
mod tests {
    use jedlik_hashing::NodeId;
    use jedlik_protocol::Now;

    use super::MessageAge;

    const PEER: NodeId = NodeId(2);

    fn at(mono_us: u64) -> Now {
        Now::new(mono_us, 0)
    }

    #[test]
    fn a_message_is_as_old_as_the_reading_that_it_names() {
        let mut sender = MessageAge::new(77, 1_000);
        let receiver = MessageAge::new(u64::MAX - 10, 1_000);
        assert!(receiver.is_too_old(at(0), sender.clock_of(PEER)), "nothing was heard yet");
        sender.note_clock(PEER, receiver.clock(at(20)));
        sender.note_clock(PEER, 0);
        let named = sender.clock_of(PEER);
        for (at_us, too_old) in [(20, false), (1_020, false), (1_021, true), (9_999, true)] {
            assert_eq!(receiver.is_too_old(at(at_us), named), too_old, "at {at_us}");
        }
        let next_life = MessageAge::new(1 << 40, 1_000);
        assert!(next_life.is_too_old(at(60), named), "its clock begins elsewhere");
    }
}
