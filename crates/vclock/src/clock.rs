//! Dots and vector clocks.
//!
//! Invariant: a clock's entries are sorted by actor, one each, with counters of at least 1.

use alloc::vec::Vec;
use core::cmp::Ordering;
use core::mem;

use rkyv::{Archive, Deserialize, Serialize};

/// Name of one line of writes by one coordinator under the actor rule; random, never reused.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Archive, Serialize, Deserialize,
)]
pub struct ActorId(pub u64);

/// Name of one write: an actor and its counter.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Archive, Serialize, Deserialize,
)]
pub struct Dot {
    /// Actor under which the write was made.
    pub actor: ActorId,
    /// Place of the write in that actor's line, from 1.
    pub counter: u64,
}

/// Entry of a clock: how far it has seen one actor.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Archive, Serialize, Deserialize,
)]
pub struct ClockEntry {
    /// Actor that the entry is of.
    pub actor: ActorId,
    /// Last counter seen; all before it are seen too.
    pub counter: u64,
    /// Time at which the entry was last extended, in milliseconds since the Unix epoch, by its coordinator's
    /// clock. Truncation drops the entries touched longest ago. Where the last write wins, a version is
    /// written later than every touch of what it has seen.
    pub touched_ms: u64,
}

/// Set of writes that a record has seen, as one counter for each actor.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Archive, Serialize, Deserialize)]
pub struct VectorClock {
    pub(crate) entries: Vec<ClockEntry>,
}

impl ClockEntry {
    /// Returns the entry that has seen more. Of equal counters the later touch stands: with that the order is
    /// total, and taking the greater of two is a lawful join.
    fn join(self, other: Self) -> Self {
        if (other.counter, other.touched_ms) > (self.counter, self.touched_ms) {
            other
        } else {
            self
        }
    }
}

impl VectorClock {
    /// Creates a clock that has seen nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { entries: Vec::new() }
    }

    /// Returns the entries, sorted by actor.
    #[must_use]
    pub fn entries(&self) -> &[ClockEntry] {
        &self.entries
    }

    /// Returns the number of actors that the clock has seen.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns whether the clock has seen nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns whether bytes that became this clock kept its invariant.
    ///
    /// The last counter that fits is refused too: no coordinator gets that far, and none could go on.
    #[must_use]
    pub fn is_well_formed(&self) -> bool {
        self.entries.iter().all(|entry| (1..u64::MAX).contains(&entry.counter))
            && self.entries.is_sorted_by(|a, b| a.actor < b.actor)
    }

    /// Returns whether this clock has seen `dot`.
    #[must_use]
    pub fn covers(&self, dot: Dot) -> bool {
        self.counter(dot.actor) >= dot.counter
    }

    /// Returns the last counter seen of `actor`; 0 for none.
    #[must_use]
    pub fn counter(&self, actor: ActorId) -> u64 {
        self.find(actor).map_or(0, |index| self.entries[index].counter)
    }

    /// Returns whether this clock has seen all that `other` has, and perhaps more.
    #[must_use]
    pub fn descends(&self, other: &Self) -> bool {
        other.len() <= self.len()
            && other.entries.iter().all(|entry| self.counter(entry.actor) >= entry.counter)
    }

    /// Compares two clocks in causal order, whenever they were touched; `None` if they are concurrent.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self.descends(other), other.descends(self)) {
            (true, true) => Some(Ordering::Equal),
            (true, false) => Some(Ordering::Greater),
            (false, true) => Some(Ordering::Less),
            (false, false) => None,
        }
    }

    /// Adds all that `other` has seen: the least upper bound, in one walk over both.
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

    /// Adds `dot`, and with it all of its actor's line before it.
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
