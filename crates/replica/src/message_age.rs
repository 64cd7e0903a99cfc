//! How old a message is, without comparing two nodes' clocks.
//!
//! Every answer tells the answering node's clock, and every request names what its sender heard last:
//! the receiver counts from there, by the clock that it has told itself. Invariant: what was sent before
//! a reading was heard is never taken for younger than that reading.

use alloc::collections::BTreeMap;

use jedlik_hashing::NodeId;
use jedlik_protocol::Now;

/// This node's clock for messages, and the readings of others that it has heard.
#[derive(Debug)]
pub(crate) struct Ages {
    start: u64,
    life_us: u64,
    heard: BTreeMap<NodeId, u64>,
}

impl Ages {
    pub(crate) fn new(start: u64, life_us: u64) -> Self {
        Self { start, life_us, heard: BTreeMap::new() }
    }

    /// What this node tells others.
    pub(crate) fn clock(&self, now: Now) -> u64 {
        self.start.wrapping_add(now.mono_us).max(1)
    }

    /// A peer told its clock.
    pub(crate) fn hear(&mut self, node: NodeId, clock: u64) {
        if clock != 0 {
            self.heard.insert(node, clock);
        }
    }

    /// What a request to `node` names.
    pub(crate) fn heard(&self, node: NodeId) -> u64 {
        self.heard.get(&node).copied().unwrap_or(0)
    }

    /// Whether a request that names this reading has outlived its time. A reading of an earlier life of
    /// this process lies nowhere near the present.
    pub(crate) fn is_too_old(&self, now: Now, heard: u64) -> bool {
        heard == 0 || self.clock(now).wrapping_sub(heard) > self.life_us
    }

    /// When something that begins now is to be sent no more.
    pub(crate) fn until_us(&self, now: Now) -> u64 {
        now.mono_us + self.life_us
    }
}

#[cfg(test)]
mod tests {
    use jedlik_hashing::NodeId;
    use jedlik_protocol::Now;

    use super::Ages;

    const PEER: NodeId = NodeId(2);

    fn at(mono_us: u64) -> Now {
        Now::new(mono_us, 0)
    }

    #[test]
    fn a_message_is_as_old_as_the_reading_that_it_names() {
        let mut sender = Ages::new(77, 1_000);
        let receiver = Ages::new(u64::MAX - 10, 1_000);
        assert!(receiver.is_too_old(at(0), sender.heard(PEER)), "nothing was heard yet");
        sender.hear(PEER, receiver.clock(at(20)));
        sender.hear(PEER, 0);
        let named = sender.heard(PEER);
        for (at_us, too_old) in [(20, false), (1_020, false), (1_021, true), (9_999, true)] {
            assert_eq!(receiver.is_too_old(at(at_us), named), too_old, "at {at_us}");
        }
        let next_life = Ages::new(1 << 40, 1_000);
        assert!(next_life.is_too_old(at(60), named), "its clock begins elsewhere");
    }
}
