//! List of the rights of tokens and certificates that gossip spreads.
//!
//! Invariant: of two entries for one subject the list keeps the one that supersedes the other, so that lists that saw the
//! same entries are the same.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use jedlik_protocol::Digest;
use jedlik_protocol::access::{AccessEntry, Subject};

use crate::acceptable::{ACCESS_MAX, Unacceptable, check_version};

/// Rights that were set, in the order of their subjects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct AccessList(Vec<AccessEntry>);

impl AccessList {
    pub(crate) fn entries(&self) -> &[AccessEntry] {
        &self.0
    }

    pub(crate) fn get(&self, subject: &Subject) -> Option<&AccessEntry> {
        let found = self.0.binary_search_by(|held| held.subject.cmp(subject));
        Some(&self.0[found.ok()?])
    }

    /// Returns what a summary says of each entry.
    pub(crate) fn summary(&self) -> Vec<(Subject, u64, Digest)> {
        let told = |entry: &AccessEntry| (entry.subject.clone(), entry.version, entry.digest());
        self.0.iter().map(told).collect()
    }

    /// Returns the entries that the other side lacks. With the same version only the entries tell which one wins.
    pub(crate) fn lacking(&self, theirs: &[(Subject, u64, Digest)]) -> Vec<AccessEntry> {
        let known: BTreeMap<&Subject, (u64, Digest)> = theirs
            .iter()
            .map(|(subject, version, digest)| (subject, (*version, *digest)))
            .collect();
        let other = |entry: &&AccessEntry| {
            known.get(&entry.subject).is_none_or(|(version, digest)| {
                entry.version > *version || entry.version == *version && entry.digest() != *digest
            })
        };
        self.0.iter().filter(other).cloned().collect()
    }

    /// Takes over an entry unless the one that is held wins, and tells whether it did.
    ///
    /// # Errors
    /// No honest node has such an entry, or there are too many.
    pub(crate) fn merge(&mut self, entry: AccessEntry) -> Result<bool, Unacceptable> {
        let place = self.0.binary_search_by(|held| held.subject.cmp(&entry.subject));
        if place.is_ok_and(|index| !entry.supersedes(&self.0[index])) {
            return Ok(false);
        }
        let held = place.ok().map(|index| self.0[index].version);
        check_version("the rights of a token or certificate", entry.version, held)?;
        entry.check().map_err(Unacceptable::Access)?;
        match place {
            Err(_) if self.0.len() >= ACCESS_MAX => return Err(Unacceptable::TooManyAccess),
            Ok(index) => self.0[index] = entry,
            Err(index) => self.0.insert(index, entry),
        }
        Ok(true)
    }
}
