//! Sets of partitions, as small as they travel.

use alloc::vec::Vec;

use jedlik_hashing::{Partition, PartitionCount};
use rkyv::{Archive, Deserialize, Serialize};

#[cfg(test)]
mod tests;

/// A set of partitions: a bit for each, without trailing zeros, so equal sets are equal values.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Archive, Serialize, Deserialize)]
pub struct PartitionSet {
    words: Vec<u64>,
}

impl PartitionSet {
    /// All of them.
    #[must_use]
    pub fn full(count: PartitionCount) -> Self {
        count.partitions().collect()
    }

    /// Whether the partition is in it.
    #[must_use]
    pub fn contains(&self, partition: Partition) -> bool {
        let (word, bit) = place(partition);
        self.words.get(word).is_some_and(|bits| bits & bit != 0)
    }

    /// Adds one; says whether it is new.
    pub fn insert(&mut self, partition: Partition) -> bool {
        let (word, bit) = place(partition);
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        let is_new = self.words[word] & bit == 0;
        self.words[word] |= bit;
        is_new
    }

    /// Adds all of another; says whether any is new.
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

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.words.iter().map(|word| word.count_ones()).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// Whether every partition of so many is in it.
    #[must_use]
    pub fn is_full(&self, count: PartitionCount) -> bool {
        self.len() == count.get()
    }

    /// Its partitions in order.
    pub fn iter(&self) -> impl Iterator<Item = Partition> {
        let bits = self.words.iter().enumerate().flat_map(|(index, word)| {
            (0..64).filter(move |bit| word & (1 << bit) != 0).map(move |bit| (index, bit))
        });
        bits.map(|(index, bit)| Partition((index * 64 + bit) as u32))
    }

    /// Whether it came from [`Self::insert`]s of partitions below `count`: to be asked of what a peer
    /// sent.
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
