//! A record: the siblings of one key and the clock that covers them (paper 4.4).
//!
//! Invariant: siblings are sorted by dot, and the clock covers every one of them. Equal dots mean equal
//! siblings, which the actor rule sees to.

use alloc::vec::Vec;
use core::cmp::Ordering;
use core::mem;

use rkyv::{Archive, Deserialize, Serialize};

use crate::{ActorId, ClockEntry, Dot, VectorClock};
use jedlik_planted::{self as planted, Bug};

/// Client's name for one put, kept over its retries.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Archive, Serialize, Deserialize,
)]
pub struct WriteId(pub u128);

/// Content of a version: a value, or the fact that the key was deleted.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub enum Content<V> {
    /// Value that was put.
    Value(V),
    /// Mark that the key was deleted.
    Tombstone,
}

/// Version that no other version of the record descends from.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Sibling<V> {
    /// Dot of the write that made the version.
    pub dot: Dot,
    /// Client's name for that write.
    pub write_id: WriteId,
    /// Time of the write, in milliseconds since the Unix epoch, by the coordinator's clock.
    pub written_at_ms: u64,
    /// Time from which on the version counts as absent, in milliseconds since the Unix epoch; `None` if it
    /// never expires. Part of the version, so that every replica decides alike.
    pub expires_at_ms: Option<u64>,
    /// Value that was put, or a tombstone.
    pub content: Content<V>,
}

/// Version that has yet to be given its dot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write<V> {
    /// Client's name for the write.
    pub write_id: WriteId,
    /// Present time, in milliseconds since the Unix epoch, by the coordinator's clock.
    pub written_at_ms: u64,
    /// Time from which on the version counts as absent, in milliseconds since the Unix epoch; `None` if it
    /// never expires.
    pub expires_at_ms: Option<u64>,
    /// Value to put, or a tombstone.
    pub content: Content<V>,
}

impl<V> Sibling<V> {
    /// Returns whether the version counts as absent at `wall_ms`, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn has_expired(&self, wall_ms: u64) -> bool {
        self.expires_at_ms.is_some_and(|expires_at_ms| expires_at_ms <= wall_ms)
    }

    /// Returns whether the version holds a value that has not expired at `wall_ms`, in milliseconds since the
    /// Unix epoch.
    #[must_use]
    pub fn is_live(&self, wall_ms: u64) -> bool {
        matches!(self.content, Content::Value(_)) && !self.has_expired(wall_ms)
    }
}

/// Record of one key: its versions, and the clock of all writes that it has seen.
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
    /// Creates the record of a key that was never written.
    #[must_use]
    pub const fn new() -> Self {
        Self { clock: VectorClock::new(), siblings: Vec::new() }
    }

    /// Returns whether nothing is known of the key. A deleted key's record is not empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.clock.is_empty()
    }

    /// Returns the clock of every write that the record has seen; as a context, all that a get of the record has seen.
    #[must_use]
    pub fn clock(&self) -> &VectorClock {
        &self.clock
    }

    /// Returns every version, sorted by dot: tombstones, expired ones and repeats by retries included.
    #[must_use]
    pub fn siblings(&self) -> &[Sibling<V>] {
        &self.siblings
    }

    /// Returns whether bytes that became this record kept its invariant.
    #[must_use]
    pub fn is_well_formed(&self) -> bool {
        self.clock.is_well_formed()
            && self.siblings.is_sorted_by(|a, b| a.dot < b.dot)
            && self.siblings.iter().all(|s| s.dot.counter > 0 && self.clock.covers(s.dot))
    }

    /// Returns the record with its values replaced: everything that a merge goes by stays.
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

    /// Returns whether the put with this id is among the siblings: a retry of it needs no second dot.
    #[must_use]
    pub fn holds_write(&self, write_id: WriteId) -> bool {
        self.siblings.iter().any(|sibling| sibling.write_id == write_id)
    }

    /// Returns the versions with a put's retries collapsed: of equal write ids the least dot stands.
    ///
    /// This is a view, because collapsing within a merge is not associative (decision 0001).
    pub fn distinct(&self) -> impl Iterator<Item = &Sibling<V>> {
        let mut repeats = self.repeats().into_iter().map(|(repeat, _)| repeat).peekable();
        let numbered = self.siblings.iter().enumerate();
        numbered.filter(move |(index, _)| repeats.next_if_eq(index).is_none()).map(|(_, s)| s)
    }

    /// Returns the indices, in order, of the siblings that repeat the write of an earlier one, each with the
    /// index of the first sibling of that write.
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

    /// Returns the content of the sibling at `index`, for an encoding that leaves out what it can tell. A
    /// replica never changes it: equal dots mean equal siblings.
    pub fn content_mut(&mut self, index: usize) -> Option<&mut Content<V>> {
        self.siblings.get_mut(index).map(|sibling| &mut sibling.content)
    }

    /// Returns the versions that hold a value at `wall_ms`, in milliseconds since the Unix epoch, with
    /// retries collapsed. If there are none the key is absent.
    pub fn live(&self, wall_ms: u64) -> impl Iterator<Item = &Sibling<V>> {
        self.distinct().filter(move |sibling| sibling.is_live(wall_ms))
    }

    /// Returns whether no version is or will be live any more: all are tombstones or have expired at
    /// `wall_ms`. True of a record that knows nothing.
    #[must_use]
    pub fn is_dead(&self, wall_ms: u64) -> bool {
        !self.siblings.iter().any(|sibling| sibling.is_live(wall_ms))
    }

    /// Returns the version written last, by (`written_at_ms`, dot): all that a last-write-wins bucket shows.
    ///
    /// It may be a tombstone or have expired: then the key is absent, and versions that it won over stay
    /// hidden. This is a view, because keeping only the newest within a merge loses data (decision 0002).
    #[must_use]
    pub fn newest(&self) -> Option<&Sibling<V>> {
        if planted::on(Bug::LastWriteByArrival) {
            return self.siblings.last();
        }
        self.siblings.iter().max_by_key(|sibling| (sibling.written_at_ms, sibling.dot))
    }

    /// Returns the clock entries whose actors made none of the siblings, sorted by actor.
    pub fn prunable(&self) -> impl Iterator<Item = &ClockEntry> {
        self.clock.entries().iter().filter(|entry| !any_of(&self.siblings, entry.actor))
    }

    /// Forgets the entries of `actors`, except those of actors that made a sibling.
    ///
    /// Only for entries that meet the collector's conditions; elsewhere an overwritten or deleted version
    /// could come back from a replica that lags. Call [`crate::LocalActor::kept_by`] afterwards.
    pub fn prune(&mut self, actors: &[ActorId]) {
        let siblings = &self.siblings;
        let mut actors = actors.to_vec();
        actors.sort_unstable();
        let pruned = |actor: ActorId| actors.binary_search(&actor).is_ok();
        self.clock.retain(|entry| !pruned(entry.actor) || any_of(siblings, entry.actor));
    }

    /// Forgets the entries that were touched longest ago, among those without a sibling, until at most
    /// `limit` are left or none is left to forget: the last resort against a clock without bound. Returns how
    /// many went, to be counted where an admin sees it.
    ///
    /// A lagging replica may bring an overwritten version back as a sibling; nothing is lost by it. Call
    /// [`crate::LocalActor::kept_by`] afterwards.
    pub fn truncate(&mut self, limit: usize) -> usize {
        self.truncate_after(&[], limit)
    }

    /// Truncates as [`Self::truncate`] does, for a record that was just put: an entry whose actor made a sibling in
    /// `before` is not forgotten, however long ago its coordinator's clock says that it was touched. A replica that
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

    /// Returns the part of this record that `clock` has seen, for a reader that can't be shown all. It is no
    /// state of a replica: merged into one, it could drop a version whose replacement is left out.
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
    /// client has seen; the others stay beside the new one. `actor` comes from [`crate::actor_for`] with the
    /// same record and context.
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
    /// A sibling is dropped only if the other side's clock covers it and the other side does not hold it: it
    /// was replaced there. Commutative, associative and idempotent.
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

    /// Returns the record with one of its versions alone, as [`Bug::NewVersionSentAlone`] sends it.
    #[must_use]
    pub fn alone(&self, write_id: WriteId) -> Self {
        let siblings = self.siblings.iter().filter(|sibling| sibling.write_id == write_id);
        Self { clock: self.clock.clone(), siblings: siblings.cloned().collect() }
    }

    fn dots(&self) -> impl Iterator<Item = Dot> {
        self.siblings.iter().map(|sibling| sibling.dot)
    }
}

/// Age of a clock entry: the order in which truncation forgets entries.
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

/// Returns whether one of `siblings`, sorted by dot, was made by `actor`.
fn any_of<V>(siblings: &[Sibling<V>], actor: ActorId) -> bool {
    siblings.binary_search_by_key(&actor, |sibling| sibling.dot.actor).is_ok()
}

#[cfg(test)]
mod tests;
