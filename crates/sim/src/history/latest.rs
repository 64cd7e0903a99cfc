//! Keys of which clients see only the version written last, whatever others there are.
//!
//! Invariant: of two acknowledged writes the later one stays. A version's time comes from its coordinator, and is later
//! than all that its client had seen and all that it replaced; so every version written before the one shown has lost
//! to it.

use jedlik_protocol::{Blob, Context, Record, Sibling};
use jedlik_vclock::Dot;

use super::{History, Order, Seen, write_of};
use crate::bits::Bits;
use crate::breach::{Breach, Promise};

impl History {
    /// Marks a key as one of which clients see the latest version alone.
    pub(crate) fn show_latest(&mut self, key: u8) {
        self.latest.insert(key, None);
    }

    /// Checks a version when it is first met: it must be later than all that its write had seen.
    pub(super) fn check_later(&self, key: u8, write: usize, order: Order) -> Result<(), Breach> {
        if !self.shows_latest(key) {
            return Ok(());
        }
        let seen = &self.writes[write].seen.versions;
        let of_key = self.dots_of(key).map(|(_, version)| version);
        let no_older =
            |version: &usize| seen.contains(*version) && self.versions[*version].order >= order;
        let Some(other) = of_key.filter(no_older).max_by_key(|other| self.versions[*other].order)
        else {
            return Ok(());
        };
        let other = self.versions[other].write;
        let what = format!("w{write} is older than w{other}, which it had seen");
        Err(Breach::new(Promise::LaterThanSeen, key, what))
    }

    /// Checks the record that a coordinator has minted: new versions must be later than all that it holds.
    pub(crate) fn check_follows(
        &self,
        key: u8,
        minted: &Record,
        held: &[Record],
    ) -> Result<(), Breach> {
        let newest = held.iter().filter_map(Record::newest);
        let Some(newest) = newest.max_by_key(|held| (held.written_at_ms, held.dot)) else {
            return Ok(());
        };
        let is_older = |new: &&Sibling| {
            !self.by_dot.contains_key(&(key, new.dot))
                && (new.written_at_ms, new.dot) < (newest.written_at_ms, newest.dot)
        };
        let Some(older) = minted.siblings().iter().find(is_older) else { return Ok(()) };
        let (older, newest) = (write_of(older.write_id), write_of(newest.write_id));
        let what = format!("w{older} is older than w{newest}, which its coordinator held");
        Err(Breach::new(Promise::LaterThanSeen, key, what))
    }

    /// Whether clients see the latest version of this key alone.
    pub(crate) fn shows_latest(&self, key: u8) -> bool {
        self.latest.contains_key(&key)
    }

    /// Returns the writes that the latest of these versions has won over; none for a key that shows all siblings.
    pub(super) fn won_over<'a>(&self, key: u8, versions: impl Iterator<Item = &'a usize>) -> Bits {
        let mut seen = Seen::default();
        let Some(collected) = self.latest.get(&key) else { return seen.writes };
        let latest =
            versions.map(|version| self.versions[*version].order).max().max(Some(*collected));
        let older = |version: &usize| Some(self.versions[*version].order) <= latest;
        let of_key = self.dots_of(key).map(|(_, version)| version);
        // A loser's past is lost with it: that may be a write that was minted and replaced before it was sent.
        of_key.filter(older).for_each(|version| self.see(&mut seen, version));
        seen.writes
    }

    /// Notes, if the acknowledged version is in no record, the version that replaced it. Its coordinator had minted a
    /// later one on top of it before either was sent: that is the next one under one of the context's actors. Another
    /// attempt at the same write may still be sent by another node.
    pub(crate) fn replaced_unsent(&mut self, key: u8, write: usize, token: &Blob) {
        if !self.shows_latest(key) {
            return;
        }
        let context = Context::decode(token, self.cluster, self.key(key)).unwrap_or_default();
        let is_sent = self
            .dots_of(key)
            .any(|(dot, version)| context.0.covers(dot) && self.versions[version].write == write);
        if is_sent {
            return;
        }
        let of_the_line = |dot: Dot| context.0.covers(Dot { counter: 1, ..dot });
        let follows = |(dot, _): &(Dot, usize)| of_the_line(*dot) && !context.0.covers(*dot);
        let next = self.dots_of(key).filter(follows).map(|(_, version)| version);
        if let Some(by) = next.min_by_key(|version| self.versions[*version].order) {
            let by = self.versions[by].write;
            self.writes[by].seen.writes.insert(write);
        }
    }

    pub(super) fn collect_latest(&mut self, key: u8, record: &Record) {
        if let Some(latest) = self.latest.get_mut(&key) {
            let newest = record.newest().map(|sibling| (sibling.written_at_ms, sibling.dot));
            *latest = (*latest).max(newest);
        }
    }
}

#[cfg(test)]
mod tests;
