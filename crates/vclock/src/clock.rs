//! Dots and vector clocks.
//!
//! Invariant: a clock's entries are sorted by actor, one each, with counters of at least 1.

use alloc::vec::Vec;

use rkyv::{Archive, Deserialize, Serialize};

/// One line of writes by one coordinator under the actor rule; random, never reused.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Archive, Serialize, Deserialize,
)]
pub struct ActorId(pub u64);

/// One write event.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Archive, Serialize, Deserialize,
)]
pub struct Dot {
    /// Under which actor.
    pub actor: ActorId,
    /// Its place in that actor's line, from 1.
    pub counter: u64,
}

/// How far a clock has seen one actor.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Archive, Serialize, Deserialize,
)]
pub struct ClockEntry {
    /// Whose entry.
    pub actor: ActorId,
    /// The last counter seen; all before it are seen too.
    pub counter: u64,
    /// When the entry was last extended, in milliseconds since the Unix epoch, by its coordinator's
    /// clock; used only to choose what the last-resort truncation drops.
    pub touched_ms: u64,
}

/// The set of write events that a record has seen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Archive, Serialize, Deserialize)]
pub struct VectorClock {
    pub(crate) entries: Vec<ClockEntry>,
}

impl VectorClock {
    /// Whether bytes that became this clock kept its invariant.
    #[must_use]
    pub fn is_well_formed(&self) -> bool {
        self.entries.iter().all(|entry| entry.counter > 0)
            && self.entries.is_sorted_by(|a, b| a.actor < b.actor)
    }

    /// Whether this clock has seen `dot`.
    #[must_use]
    pub fn covers(&self, dot: Dot) -> bool {
        self.counter(dot.actor) >= dot.counter
    }

    /// The last counter seen of `actor`; 0 for none.
    #[must_use]
    pub fn counter(&self, actor: ActorId) -> u64 {
        self.entries
            .binary_search_by_key(&actor, |entry| entry.actor)
            .map_or(0, |index| self.entries[index].counter)
    }
}
