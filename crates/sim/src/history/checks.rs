//! Checks of gets' answers, and of the records at rest, against the promises.
//!
//! Invariant: an acknowledged write is there, or a version that has seen it, or a later one where the last write wins.

use jedlik_protocol::Record;
use jedlik_protocol::client::GetAnswer;

use super::{History, Seen};
use crate::bits::Bits;
use crate::breach::{Breach, Promise};

impl History {
    /// Checks a get's answer against the promises. `before` holds the writes acknowledged before it was sent; unless
    /// `certain`, the get need not have met replicas that hold them.
    ///
    /// # Errors
    /// The first promise that is broken.
    pub fn check_answer(
        &self,
        key: u8,
        answer: &GetAnswer,
        before: &Bits,
        (certain, now_us): (bool, u64),
    ) -> Result<Seen, Breach> {
        let shown = self.shown(key, &answer.versions)?;
        let seen = self.seen_in_answer(key, answer, now_us)?;
        self.check_ancestors(key, &shown)?;
        if certain {
            self.check_deleted(key, &shown, before)?;
            let hidden =
                if shown.is_empty() { self.hidden(key, answer, now_us) } else { Vec::new() };
            let won = self.won_over(key, shown.iter().chain(&hidden));
            self.check_kept(key, before, (&seen, &won), Promise::NextGet)?;
        }
        Ok(seen)
    }

    /// Checks a key's record at rest against the promises.
    pub(crate) fn check_rest(&self, key: u8, record: &Record, before: &Bits) -> Result<(), Breach> {
        let dots = record.siblings().iter().filter_map(|s| self.by_dot.get(&(key, s.dot)));
        let shown: Vec<usize> = dots.copied().collect();
        self.check_ancestors(key, &shown)?;
        self.check_deleted(key, &shown, before)?;
        let won = self.won_over(key, shown.iter());
        self.check_kept(key, before, (&self.seen_in(key, record), &won), Promise::NothingLost)
    }

    pub(super) fn check_ancestors(&self, key: u8, shown: &[usize]) -> Result<(), Breach> {
        if self.truncated[usize::from(key)] {
            return Ok(());
        }
        for (old, new) in shown.iter().flat_map(|a| shown.iter().map(move |b| (*a, *b))) {
            let newer = self.versions[new].write;
            if old != new && self.writes[newer].seen.versions.contains(old) {
                let older = self.versions[old].write;
                let what = format!("w{older} stands beside w{newer}, which had seen it");
                return Err(Breach::new(Promise::NoAncestors, key, what));
            }
        }
        Ok(())
    }

    pub(super) fn check_deleted(
        &self,
        key: u8,
        shown: &[usize],
        before: &Bits,
    ) -> Result<(), Breach> {
        if self.truncated[usize::from(key)] {
            return Ok(());
        }
        for tombstone in &self.tombstones[usize::from(key)] {
            let covered = &self.writes[*tombstone].seen.versions;
            // A tombstone that comes back deletes nothing that it had not deleted before.
            let value = |version: usize| !self.writes[self.versions[version].write].tombstone;
            let back = shown.iter().find(|back| covered.contains(**back) && value(**back));
            if let Some(version) = back.filter(|_| before.contains(*tombstone)) {
                let write = self.versions[*version].write;
                let what = format!("w{write} is back, although delete w{tombstone} had seen it");
                return Err(Breach::new(Promise::DeletedStaysDeleted, key, what));
            }
        }
        Ok(())
    }

    pub(super) fn check_kept(
        &self,
        key: u8,
        before: &Bits,
        (seen, won): (&Seen, &Bits),
        promise: Promise,
    ) -> Result<(), Breach> {
        let mut there = seen.writes.clone();
        there.extend(&self.collected[usize::from(key)]);
        there.extend(won);
        let Some(lost) = before.first_beyond(&there) else { return Ok(()) };
        let by = self.versions.iter().filter(|version| version.write == lost);
        let by: Vec<String> =
            by.filter_map(|version| Some(format!("n{}", version.node? + 1))).collect();
        let minted = match by.join(" and ") {
            by if by.is_empty() => String::new(),
            by => format!(" and minted by {by}"),
        };
        let what = format!("w{lost}, acknowledged{minted}, is neither there nor seen by what is");
        Err(Breach::new(promise, key, what))
    }
}
