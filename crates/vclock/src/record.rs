//! A record: the siblings of one key and the clock that covers them (paper 4.4).
//!
//! Invariant: siblings are sorted by dot, and the clock covers every one of them. Equal dots mean equal
//! siblings, which the actor rule sees to.

use alloc::vec::Vec;
use core::cmp::Ordering;
use core::mem;

use rkyv::{Archive, Deserialize, Serialize};

use crate::planted::{self, Bug};
use crate::{ActorId, ClockEntry, Dot, VectorClock};

/// A client's name for one put, kept over its retries.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Archive, Serialize, Deserialize,
)]
pub struct WriteId(pub u128);

/// What a version holds.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum Content<V> {
    /// The value that was put.
    Value(V),
    /// The key was deleted.
    Tombstone,
}

/// One version that no other version of the record descends from.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Sibling<V> {
    /// The write event that made it.
    pub dot: Dot,
    /// The client's name for that write.
    pub write_id: WriteId,
    /// When it was written, in milliseconds since the Unix epoch, by the coordinator's clock.
    pub written_at_ms: u64,
    /// From when on it counts as absent, in the same unit; part of the version, so that every
    /// replica decides alike.
    pub expires_at_ms: Option<u64>,
    /// Value or tombstone.
    pub content: Content<V>,
}

/// A version that has yet to be given its dot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write<V> {
    /// The client's name for it.
    pub write_id: WriteId,
    /// Now, in milliseconds since the Unix epoch, by the coordinator's clock.
    pub written_at_ms: u64,
    /// From when on it counts as absent, in the same unit.
    pub expires_at_ms: Option<u64>,
    /// Value or tombstone.
    pub content: Content<V>,
}

impl<V> Sibling<V> {
    /// Whether it counts as absent at `wall_ms`, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn has_expired(&self, wall_ms: u64) -> bool {
        self.expires_at_ms.is_some_and(|expires_at_ms| expires_at_ms <= wall_ms)
    }

    /// Whether it holds a value that has not expired at `wall_ms`.
    #[must_use]
    pub fn is_live(&self, wall_ms: u64) -> bool {
        matches!(self.content, Content::Value(_)) && !self.has_expired(wall_ms)
    }
}

/// Everything a replica knows of one key.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Record<V> {
    pub(crate) clock: VectorClock,
    pub(crate) siblings: Vec<Sibling<V>>,
}

impl<V> Default for Record<V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<V> Record<V> {
    /// The record of a key that was never written.
    #[must_use]
    pub const fn new() -> Self {
        Self { clock: VectorClock::new(), siblings: Vec::new() }
    }

    /// Whether nothing is known of the key. A deleted key's record is not empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.clock.is_empty()
    }

    /// Every write event that the record has seen; as a context, what a get of it has seen.
    #[must_use]
    pub fn clock(&self) -> &VectorClock {
        &self.clock
    }

    /// Every version, tombstones, expired ones and repeats by retries included, sorted by dot.
    #[must_use]
    pub fn siblings(&self) -> &[Sibling<V>] {
        &self.siblings
    }

    /// Whether bytes that became this record kept its invariant.
    #[must_use]
    pub fn is_well_formed(&self) -> bool {
        self.clock.is_well_formed()
            && self.siblings.is_sorted_by(|a, b| a.dot < b.dot)
            && self.siblings.iter().all(|s| s.dot.counter > 0 && self.clock.covers(s.dot))
    }

    /// The same record with other values: everything that a merge goes by stays.
    #[must_use]
    pub fn map_values<U>(self, mut f: impl FnMut(V) -> U) -> Record<U> {
        let siblings = self.siblings.into_iter().map(|sibling| {
            let Sibling { dot, write_id, written_at_ms, expires_at_ms, content } = sibling;
            let content = match content {
                Content::Value(value) => Content::Value(f(value)),
                Content::Tombstone => Content::Tombstone,
            };
            Sibling { dot, write_id, written_at_ms, expires_at_ms, content }
        });
        Record { siblings: siblings.collect(), clock: self.clock }
    }

    /// Whether the put with this id is among the siblings: a retry of it needs no second dot.
    #[must_use]
    pub fn holds_write(&self, write_id: WriteId) -> bool {
        self.siblings.iter().any(|sibling| sibling.write_id == write_id)
    }

    /// The versions with a put's retries collapsed: of equal write ids the least dot stands.
    ///
    /// A view, because collapsing within a merge is not associative (decision 0001).
    pub fn distinct(&self) -> impl Iterator<Item = &Sibling<V>> {
        let mut repeats = self.repeats().into_iter().map(|(repeat, _)| repeat).peekable();
        let numbered = self.siblings.iter().enumerate();
        numbered.filter(move |(index, _)| repeats.next_if_eq(index).is_none()).map(|(_, s)| s)
    }

    /// The indices, in order, of the siblings that repeat the write of an earlier one, each with the index of
    /// the first sibling of that write.
    #[must_use]
    pub fn repeats(&self) -> Vec<(usize, usize)> {
        if self.siblings.len() < 2 {
            return Vec::new();
        }
        let ids = self.siblings.iter().enumerate();
        let mut ids: Vec<(WriteId, usize)> = ids.map(|(index, s)| (s.write_id, index)).collect();
        ids.sort_unstable();
        let of_one_write = ids.chunk_by(|a, b| a.0 == b.0);
        let pairs = of_one_write.flat_map(|ids| ids[1..].iter().map(|id| (id.1, ids[0].1)));
        let mut repeats: Vec<(usize, usize)> = pairs.collect();
        repeats.sort_unstable();
        repeats
    }

    /// The content of the sibling at `index`, for an encoding that leaves out what it can tell. A replica never
    /// changes it: equal dots mean equal siblings.
    pub fn content_mut(&mut self, index: usize) -> Option<&mut Content<V>> {
        self.siblings.get_mut(index).map(|sibling| &mut sibling.content)
    }

    /// The versions that hold a value at `wall_ms`, in milliseconds since the Unix epoch, with
    /// retries collapsed. None: the key is absent.
    pub fn live(&self, wall_ms: u64) -> impl Iterator<Item = &Sibling<V>> {
        self.distinct().filter(move |sibling| sibling.is_live(wall_ms))
    }

    /// Whether no version is or will be live any more: all are tombstones or have expired at `wall_ms`.
    /// True of a record that knows nothing.
    #[must_use]
    pub fn is_dead(&self, wall_ms: u64) -> bool {
        !self.siblings.iter().any(|sibling| sibling.is_live(wall_ms))
    }

    /// The version written last, by (`written_at_ms`, dot): all that a last-write-wins bucket shows.
    ///
    /// It may be a tombstone or have expired: then the key is absent, and what it won over stays
    /// hidden. A view, because keeping only the newest within a merge loses data (decision 0002).
    #[must_use]
    pub fn newest(&self) -> Option<&Sibling<V>> {
        if planted::on(Bug::LastWriteByArrival) {
            return self.siblings.last();
        }
        self.siblings.iter().max_by_key(|sibling| (sibling.written_at_ms, sibling.dot))
    }

    /// The clock entries under which no sibling stands, sorted by actor.
    pub fn prunable(&self) -> impl Iterator<Item = &ClockEntry> {
        self.clock.entries().iter().filter(|entry| !any_of(&self.siblings, entry.actor))
    }

    /// Forgets the entries of `actors`, except those under which a sibling stands.
    ///
    /// Only for entries that meet the collector's conditions; elsewhere an overwritten or deleted version
    /// could come back from a replica that lags. Ask [`crate::LocalActor::kept_by`] afterwards.
    pub fn prune(&mut self, actors: &[ActorId]) {
        let siblings = &self.siblings;
        let mut actors = actors.to_vec();
        actors.sort_unstable();
        let pruned = |actor: ActorId| actors.binary_search(&actor).is_ok();
        self.clock.retain(|entry| !pruned(entry.actor) || any_of(siblings, entry.actor));
    }

    /// The last resort against a clock without bound: forgets the entries that were touched longest
    /// ago, among those without a sibling, until at most `limit` are left or none is left to forget.
    /// Returns how many went, to be counted where an admin sees it.
    ///
    /// A lagging replica may bring an overwritten version back as a sibling; nothing is lost by it.
    /// Ask [`crate::LocalActor::kept_by`] afterwards.
    pub fn truncate(&mut self, limit: usize) -> usize {
        self.truncate_after(&[], limit)
    }

    /// As [`Self::truncate`], for a record that was just put: an entry under which a sibling stood
    /// `before` is not forgotten, however long ago its coordinator's clock says that it was touched. Whoever
    /// still holds that sibling would bring it back beside the version that replaced it.
    ///
    /// The clock may be as long as a context that a client made up, so the cost is that of a sort.
    pub fn truncate_after(&mut self, before: &[Sibling<V>], limit: usize) -> usize {
        let excess = self.clock.len().saturating_sub(limit);
        if excess == 0 {
            return 0;
        }
        let mut ages: Vec<Age> =
            self.prunable().filter(|entry| !any_of(before, entry.actor)).map(Age::of).collect();
        ages.sort_unstable();
        ages.truncate(excess);
        let Some(newest_gone) = ages.last().copied() else { return 0 };
        let siblings = &self.siblings;
        self.clock.retain(|entry| {
            Age::of(entry) > newest_gone
                || any_of(siblings, entry.actor)
                || any_of(before, entry.actor)
        });
        ages.len()
    }

    /// The part of this record that `clock` has seen, for a reader who can't be shown all. It is no state of a
    /// replica: merged into one, it could drop what a sibling that is left out has replaced.
    #[must_use]
    pub fn seen_by(&self, clock: VectorClock) -> Self
    where
        V: Clone,
    {
        let seen = self.siblings.iter().filter(|sibling| clock.covers(sibling.dot));
        Self { siblings: seen.cloned().collect(), clock }
    }

    /// Writes a new version and returns its dot.
    ///
    /// The siblings that `context` covers are replaced, and so are retries of the same puts, whose value the
    /// client has seen; the others stay beside the new one. `actor` comes from [`crate::actor_for`] with the same record and context.
    pub fn put(&mut self, context: &VectorClock, actor: ActorId, write: Write<V>) -> Dot {
        let covered = self.siblings.iter().filter(|sibling| context.covers(sibling.dot));
        let mut seen: Vec<WriteId> = covered.map(|sibling| sibling.write_id).collect();
        seen.sort_unstable();
        // This record's own clock covers each dot that goes, so a merge does not bring it back.
        self.siblings.retain(|sibling| seen.binary_search(&sibling.write_id).is_err());
        self.clock.merge(context);
        let counter = self.clock.counter(actor).saturating_add(1);
        let dot = Dot { actor, counter };
        self.clock.extend(dot, write.written_at_ms);
        let Write { write_id, written_at_ms, expires_at_ms, content } = write;
        let sibling = Sibling { dot, write_id, written_at_ms, expires_at_ms, content };
        let index = self.siblings.partition_point(|other| other.dot < dot);
        self.siblings.insert(index, sibling);
        dot
    }
}

impl<V: Clone> Record<V> {
    /// Learns all that `other` knows, in one walk over both.
    ///
    /// A sibling is dropped only if the other side's clock covers it and the other side does not hold
    /// it: it was replaced there. Commutative, associative and idempotent.
    pub fn merge(&mut self, other: &Self) {
        if other.is_empty() {
            return;
        }
        if self.is_empty() {
            self.clone_from(other);
            return;
        }
        if self.dots().eq(other.dots()) {
            self.clock.merge(&other.clock);
            return;
        }
        let mut merged = Vec::with_capacity(self.siblings.len() + other.siblings.len());
        let mut mine = mem::take(&mut self.siblings).into_iter().peekable();
        let mut theirs = other.siblings.iter().peekable();
        loop {
            let side = match (mine.peek(), theirs.peek()) {
                (Some(a), Some(b)) => a.dot.cmp(&b.dot),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => break,
            };
            match side {
                Ordering::Less => {
                    merged.extend(mine.next().filter(|s| !other.clock.covers(s.dot)));
                }
                Ordering::Greater => {
                    merged.extend(theirs.next().filter(|s| !self.clock.covers(s.dot)).cloned());
                }
                Ordering::Equal => {
                    merged.extend(mine.next());
                    theirs.next();
                }
            }
        }
        self.siblings = merged;
        self.clock.merge(&other.clock);
        if planted::on(Bug::MergedByTimestamp) {
            self.siblings = self.newest().cloned().into_iter().collect();
        }
    }

    /// The record with one of its versions alone, as [`Bug::NewVersionSentAlone`] sends it.
    #[must_use]
    pub fn alone(&self, write_id: WriteId) -> Self {
        let siblings = self.siblings.iter().filter(|sibling| sibling.write_id == write_id);
        Self { clock: self.clock.clone(), siblings: siblings.cloned().collect() }
    }

    fn dots(&self) -> impl Iterator<Item = Dot> {
        self.siblings.iter().map(|sibling| sibling.dot)
    }
}

/// When a clock entry was last touched: the order in which truncation forgets entries.
#[derive(Debug, Clone, Copy)]
struct Age {
    touched_ms: u64,
    actor: ActorId,
}

impl Age {
    fn of(entry: &ClockEntry) -> Self {
        Self { touched_ms: entry.touched_ms, actor: entry.actor }
    }
}

impl Ord for Age {
    fn cmp(&self, other: &Self) -> Ordering {
        #[cfg(test)]
        tests::count_comparison();
        (self.touched_ms, self.actor).cmp(&(other.touched_ms, other.actor))
    }
}

impl PartialOrd for Age {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Age {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Age {}

/// Whether one of `siblings`, sorted by dot, stands under `actor`.
fn any_of<V>(siblings: &[Sibling<V>], actor: ActorId) -> bool {
    siblings.binary_search_by_key(&actor, |sibling| sibling.dot.actor).is_ok()
}

#[cfg(test)]
mod tests;
