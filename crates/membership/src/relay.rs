//! Probes made for others, and the nodes that their answers go to.
//!
//! Invariant: at most [`RELAYS_MAX`] are remembered, the oldest are forgotten first, and each carries one answer.

use alloc::collections::VecDeque;

use jedlik_hashing::NodeId;

#[cfg(test)]
mod tests;

/// Far more than are asked for at a time; a forgotten one is a lost probe, which is allowed for.
const RELAYS_MAX: usize = 256;

/// A probe that another node asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Relay {
    target: NodeId,
    nonce: u64,
    asker: NodeId,
    asker_nonce: u64,
}

/// Probes made for others that are not answered yet.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(Clone))]
pub(crate) struct Relays(VecDeque<Relay>);

impl Relays {
    /// Remembers that `target` was probed with `nonce` for `asker`.
    pub(crate) fn remember(&mut self, target: NodeId, nonce: u64, asker: NodeId, asker_nonce: u64) {
        if self.0.len() >= RELAYS_MAX {
            self.0.pop_front();
        }
        self.0.push_back(Relay { target, nonce, asker, asker_nonce });
    }

    /// Returns the node that asked for this probe of `target`, and its nonce; `None` if there was none.
    pub(crate) fn answered(&mut self, target: NodeId, nonce: u64) -> Option<(NodeId, u64)> {
        let is_it = |relay: &Relay| relay.target == target && relay.nonce == nonce;
        let relay = self.0.iter().position(is_it).and_then(|index| self.0.remove(index))?;
        Some((relay.asker, relay.asker_nonce))
    }
}
