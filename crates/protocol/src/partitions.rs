//! Sets of partitions, in the compact form in which they travel.

use alloc::vec::Vec;

use jedlik_hashing::{Partition, PartitionCount};
use rkyv::{Archive, Deserialize, Serialize};

#[cfg(test)]
mod tests;

/// A set of partitions: a bit for each, without trailing zero words, so that equal sets are equal values.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Archive, Serialize, Deserialize)]
pub struct PartitionSet {
    words: Vec<u64>,
}

impl PartitionSet {
    /// Returns the set of all partitions of a ring with `count` of them.
    #[must_use]
    pub fn full(count: PartitionCount) -> Self {
        count.partitions().collect()
    }

    /// Whether the set contains the partition.
    #[must_use]
    pub fn contains(&self, partition: Partition) -> bool {
        let (word, bit) = place(partition);
        self.words.get(word).is_some_and(|bits| bits & bit != 0)
    }

    /// Adds a partition and returns whether it was not in the set before.
    pub fn insert(&mut self, partition: Partition) -> bool {
        let (word, bit) = place(partition);
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        let is_new = self.words[word] & bit == 0;
        self.words[word] |= bit;
        is_new
    }

    /// Adds all partitions of another set and returns whether any was not in this one before.
    pub fn union(&mut self, other: &Self) -> bool {
        if other.words.len() > self.words.len() {
            self.words.resize(other.words.len(), 0);
        }
        let mut grew = false;
        for (own, theirs) in self.words.iter_mut().zip(&other.words) {
            grew |= *theirs & !*own != 0;
            *own |= *theirs;
        }
        grew
    }

    /// Returns the number of partitions in the set.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.words.iter().map(|word| word.count_ones()).sum()
    }

    /// Whether the set has no partition.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// Whether the set contains all `count` partitions.
    #[must_use]
    pub fn is_full(&self, count: PartitionCount) -> bool {
        self.len() == count.get()
    }

    /// Iterates over the partitions in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = Partition> {
        let bits = self.words.iter().enumerate().flat_map(|(index, word)| {
            (0..64).filter(move |bit| word & (1 << bit) != 0).map(move |bit| (index, bit))
        });
        bits.map(|(index, bit)| Partition((index * 64 + bit) as u32))
    }

    /// Whether the set is one that [`Self::insert`]s of partitions below `count` can make; to be checked on a set
    /// that a peer sent.
    #[must_use]
    pub fn is_well_formed(&self, count: u32) -> bool {
        let last = self.words.last();
        last.is_none_or(|word| *word != 0) && self.iter().all(|partition| partition.0 < count)
    }
}

impl FromIterator<Partition> for PartitionSet {
    fn from_iter<T: IntoIterator<Item = Partition>>(partitions: T) -> Self {
        let mut set = Self::default();
        for partition in partitions {
            set.insert(partition);
        }
        set
    }
}

fn place(partition: Partition) -> (usize, u64) {
    (partition.0 as usize / 64, 1 << (partition.0 % 64))
}
