//! Keys of which clients see the version written last, whatever else there is.
//!
//! Invariant: of two acknowledged writes the later one stays. A version is later by what its coordinator noted, which
//! is later than all that it replaced; so whatever was written before the version that is shown has been lost to it, with
//! all that it had seen.

use jedlik_protocol::{Blob, Context, Record};
use jedlik_vclock::Dot;

use super::{History, Seen};
use crate::bits::Bits;

impl History {
    /// Clients see the latest version of this key alone.
    pub(crate) fn show_latest(&mut self, key: u8) {
        self.latest.insert(key, None);
    }

    /// The writes that the latest of these versions has won over, and what they had seen. None where all are
    /// shown.
    pub(super) fn won_over<'a>(&self, key: u8, versions: impl Iterator<Item = &'a usize>) -> Bits {
        let mut won = Bits::default();
        let Some(reaped) = self.latest.get(&key) else { return won };
        let of_key: Vec<usize> = self.dots_of(key).map(|(_, version)| version).collect();
        let mut gone = Bits::default();
        versions.for_each(|version| gone.insert(*version));
        let mut latest = *reaped;
        loop {
            // What a version has seen it has replaced, perhaps by a clock that is behind; and that had won, too.
            let older = |version: &&usize| {
                gone.contains(**version) || self.versions[**version].order <= latest
            };
            let mut seen = Seen::default();
            of_key.iter().filter(older).for_each(|version| self.see(&mut seen, *version));
            won.extend(&seen.writes);
            gone.extend(&seen.versions);
            let gone = of_key.iter().filter(|version| gone.contains(**version));
            let newest = gone.map(|version| self.versions[*version].order).max();
            let newest = newest.flatten().max(latest);
            if newest == latest {
                return won;
            }
            latest = newest;
        }
    }

    /// A write was acknowledged with this context, and what was acknowledged was in no record: its coordinator had minted a
    /// later one on top of it before either was sent. That one, the next under one of the context's actors, has replaced it,
    /// though another attempt of the same write may be sent by somebody else.
    pub(crate) fn replaced_unsent(&mut self, key: u8, write: usize, token: &Blob) {
        if !self.latest.contains_key(&key) {
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

    pub(super) fn reap_latest(&mut self, key: u8, record: &Record) {
        if let Some(latest) = self.latest.get_mut(&key) {
            let newest = record.newest().map(|sibling| (sibling.written_at_ms, sibling.dot));
            *latest = (*latest).max(newest);
        }
    }
}

#[cfg(test)]
mod tests;
