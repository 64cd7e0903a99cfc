//! Drops of whole partitions, and the question which of them hold anything
//! ([design 4](../../../../docs/design.md#4-membership-and-moving-data)).
//!
//! Invariant: what was applied to a partition before its drop is seen no more, and what is applied after
//! it stays, also through a replay. Hints are no records of a partition, and stay.

use jedlik_hashing::Partition;
use jedlik_protocol::Durability;

use crate::StoreError;

use super::Shard;

impl Shard {
    /// Removes every record of `partition`, damaged ones too; loads and pages see none from now on. A
    /// [`Completion`](crate::Completion) with `ticket` follows the next [`Self::submit`], once the drop is synced. It
    /// takes no longer for many records than for few: the engine's disk is swept later, in small steps. Only records
    /// put into the partition before that is done may have to wait.
    ///
    /// # Errors
    /// As for [`Self::apply`]. Nothing changed.
    pub fn drop_partition(&mut self, ticket: u64, partition: Partition) -> Result<(), StoreError> {
        self.admit_smaller()?;
        // A partition that seems empty is dropped too: the change that made it so may have failed to reach the disk.
        let frame_bytes = self.stage_drop(partition);
        self.answer_after(ticket, Durability::Synced);
        self.layers.drop_partition(partition, frame_bytes);
        self.tally.drops += 1;
        Ok(())
    }

    /// Returns those of `partitions` that hold any record, tombstones and damaged ones included, in the order in which
    /// they were asked for. Costs about one look-up in the engine for each: ask for many in portions.
    ///
    /// # Errors
    /// The engine's own.
    pub fn occupied(
        &self,
        partitions: impl IntoIterator<Item = Partition>,
    ) -> Result<Vec<Partition>, StoreError> {
        let mut occupied = Vec::new();
        for partition in partitions {
            if self.layers.is_occupied(partition)? {
                occupied.push(partition);
            }
        }
        Ok(occupied)
    }
}
