//! A history of a cluster that can't be looked into: it is made only from the answers to clients.
//!
//! Invariant: unknowns count in the cluster's favour, so that a breach is one whatever happened inside.

use super::{History, Version};
use crate::breach::{Breach, Promise};

impl History {
    /// Notes that a get's answer shows a version, identified by its tag, with a write's value.
    ///
    /// # Errors
    /// The tag has come with another write before.
    pub fn hear(&mut self, key: u8, tag: u64, write: usize) -> Result<(), Breach> {
        let Some(version) = self.by_tag.get(&(key, tag)) else {
            self.by_tag.insert((key, tag), self.versions.len());
            self.versions.push(Version { write, node: None, order: None });
            return Ok(());
        };
        let first = self.versions[*version].write;
        if first == write {
            return Ok(());
        }
        let what = format!("tag {tag:016x} names both w{first} and w{write}");
        Err(Breach::new(Promise::OneDotOneWrite, key, what))
    }

    /// Notes that a delete may have been applied, and been forgotten with everything that it had seen: from now on none
    /// of it has to be there.
    pub fn collect_delete(&mut self, key: u8, delete: usize) {
        let collected = &mut self.collected[usize::from(key)];
        collected.insert(delete);
        collected.extend(&self.writes[delete].seen.writes);
    }

    /// Notes that a clock was as long as it may get.
    pub fn truncate(&mut self, key: u8) {
        self.truncated[usize::from(key)] = true;
    }
}

#[cfg(test)]
mod tests;
