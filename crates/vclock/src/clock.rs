//! Dots and vector clocks.
//!
//! Invariant: a clock's entries are sorted by actor, one each, with counters of at least 1.

use alloc::vec::Vec;
use core::cmp::Ordering;
use core::mem;

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
    /// clock. Truncation drops what was touched longest ago, and where the last write wins a version is later than what
    /// it has seen was touched.
    pub touched_ms: u64,
}

/// The set of write events that a record has seen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Archive, Serialize, Deserialize)]
pub struct VectorClock {
    pub(crate) entries: Vec<ClockEntry>,
}

impl ClockEntry {
    /// The entry that has seen more. Of equal counters the later touch stands: with that the order
    /// is total, and taking the greater of two is a lawful join.
    fn join(self, other: Self) -> Self {
        if (other.counter, other.touched_ms) > (self.counter, self.touched_ms) {
            other
        } else {
            self
        }
    }
}

impl VectorClock {
    /// A clock that has seen nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { entries: Vec::new() }
    }

    /// The entries, sorted by actor.
    #[must_use]
    pub fn entries(&self) -> &[ClockEntry] {
        &self.entries
    }

    /// How many actors it has seen.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it has seen nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether bytes that became this clock kept its invariant.
    ///
    /// The last counter that fits is refused too: no coordinator gets that far, and none could go on.
    #[must_use]
    pub fn is_well_formed(&self) -> bool {
        self.entries.iter().all(|entry| (1..u64::MAX).contains(&entry.counter))
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
        self.find(actor).map_or(0, |index| self.entries[index].counter)
    }

    /// Whether this clock has seen all that `other` has, and perhaps more.
    #[must_use]
    pub fn descends(&self, other: &Self) -> bool {
        other.len() <= self.len()
            && other.entries.iter().all(|entry| self.counter(entry.actor) >= entry.counter)
    }

    /// How the two stand in causal order, whenever they were touched; `None` if they are concurrent.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self.descends(other), other.descends(self)) {
            (true, true) => Some(Ordering::Equal),
            (true, false) => Some(Ordering::Greater),
            (false, true) => Some(Ordering::Less),
            (false, false) => None,
        }
    }

    /// Sees all that `other` has seen: the least upper bound, in one walk over both.
    pub fn merge(&mut self, other: &Self) {
        if other.is_empty() || self == other {
            return;
        }
        if self.is_empty() {
            self.entries.clone_from(&other.entries);
            return;
        }
        let mut merged = Vec::with_capacity(self.len().max(other.len()));
        let mut mine = mem::take(&mut self.entries).into_iter().peekable();
        let mut theirs = other.entries.iter().copied().peekable();
        while let (Some(a), Some(b)) = (mine.peek(), theirs.peek()) {
            match a.actor.cmp(&b.actor) {
                Ordering::Less => merged.extend(mine.next()),
                Ordering::Greater => merged.extend(theirs.next()),
                Ordering::Equal => {
                    merged.push(a.join(*b));
                    mine.next();
                    theirs.next();
                }
            }
        }
        merged.extend(mine);
        merged.extend(theirs);
        self.entries = merged;
    }

    /// Sees `dot`, and with it all of its actor's line before it.
    pub fn extend(&mut self, dot: Dot, touched_ms: u64) {
        let entry = ClockEntry { actor: dot.actor, counter: dot.counter, touched_ms };
        match self.entries.binary_search_by_key(&dot.actor, |entry| entry.actor) {
            Ok(index) => self.entries[index] = self.entries[index].join(entry),
            Err(index) => self.entries.insert(index, entry),
        }
    }

    /// Forgets the actors that `keep` refuses.
    pub(crate) fn retain(&mut self, keep: impl FnMut(&ClockEntry) -> bool) {
        self.entries.retain(keep);
    }

    fn find(&self, actor: ActorId) -> Option<usize> {
        self.entries.binary_search_by_key(&actor, |entry| entry.actor).ok()
    }
}

#[cfg(test)]
pub(crate) mod tests;
