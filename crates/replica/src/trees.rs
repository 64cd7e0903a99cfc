//! The hash trees of the partitions that this shard keeps, and the size of their records (paper 4.7).
//!
//! Invariant: a tree that is whole says what loads would show, but for what has changed on disk behind the
//! shard's back; a reading of all records, page by page, makes it say that too.
//!
//! Buckets with another N have other owners, so each N has a tree of its own.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use jedlik_hashing::{Partition, PartitionCount};
use jedlik_merkle::{LEAF_BITS, Tree, item};
use jedlik_planted::{self as planted, Bug};
use jedlik_protocol::gossip::Load;
use jedlik_protocol::{Key, PlacedKey};
use jedlik_storage_port::RecordMeta;

/// Most damaged records of a partition that are remembered: one is enough to say that there is damage.
const DAMAGED_MAX: usize = 1_024;

/// Trees of one partition, by N.
type TreesByN = BTreeMap<u8, Tree>;

/// Change of one record: its tree and leaf, and what stood and stands there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TreeChange {
    n: u8,
    leaf: u16,
    before: Option<u64>,
    after: Option<u64>,
    before_bytes: u64,
    after_bytes: u64,
}

impl TreeChange {
    pub(crate) fn new(
        partitions: PartitionCount,
        key: &PlacedKey,
        n: u8,
        before: Option<RecordMeta>,
        after: Option<RecordMeta>,
    ) -> Self {
        let item = |meta: RecordMeta| item(key.position.0, meta.digest.0);
        let bytes = |meta: Option<RecordMeta>| meta.map_or(0, |held| held.bytes.into());
        Self {
            n,
            leaf: partitions.leaf(key.position, LEAF_BITS) as u16,
            before: before.map(item),
            after: after.map(item),
            before_bytes: bytes(before),
            after_bytes: bytes(after),
        }
    }

    fn make(self, by_n: &mut TreesByN, load: &mut Load) {
        by_n.entry(self.n).or_default().change(self.leaf, self.before, self.after);
        let records = load.records + u64::from(self.after.is_some());
        load.records = records.saturating_sub(self.before.is_some().into());
        load.bytes = (load.bytes + self.after_bytes).saturating_sub(self.before_bytes);
    }
}

/// State of one partition: its trees, their reading, and the damage found.
#[derive(Debug, Default)]
struct PartitionTrees {
    by_n: TreesByN,
    load: Load,
    whole: bool,
    reading: Option<Reading>,
    read_us: Option<u64>,
    /// Number of changes of records, to tell whether there was one.
    changes: u64,
    /// Moment since which the partition's trees are kept.
    born: u64,
    /// Moments at which a record of each N was last added or altered; a removal does not count.
    added: BTreeMap<u8, u64>,
    /// Keys of records that were met and can't be read.
    damaged: BTreeSet<PlacedKey>,
    /// Keys of damaged records that the last whole reading could not read.
    unread: BTreeSet<PlacedKey>,
}

/// Reading of all records under way: the trees that it makes, and how far it has come.
#[derive(Debug, Default)]
struct Reading {
    number: u64,
    by_n: TreesByN,
    load: Load,
    until: Option<PlacedKey>,
    damaged: BTreeSet<PlacedKey>,
}

/// Trees of all partitions that are owned, or of which records are left.
#[derive(Debug, Default)]
pub(crate) struct Trees {
    by_partition: BTreeMap<Partition, PartitionTrees>,
    readings: u64,
    /// Number of events so far, by which two moments are ordered.
    moment: u64,
}

impl Trees {
    /// Keeps trees of this partition from now on; new ones have yet to be read.
    pub(crate) fn keep(&mut self, partition: Partition) {
        if !self.keeps(partition) {
            self.moment += 1;
            let trees = PartitionTrees { born: self.moment, ..PartitionTrees::default() };
            self.by_partition.insert(partition, trees);
        }
    }

    /// Keeps no trees of this partition any more.
    pub(crate) fn drop(&mut self, partition: Partition) {
        self.by_partition.remove(&partition);
    }

    /// Distrusts all trees: each is to be read anew.
    pub(crate) fn distrust(&mut self) {
        self.moment += 1;
        let born = self.moment;
        self.by_partition
            .values_mut()
            .for_each(|trees| *trees = PartitionTrees { born, ..PartitionTrees::default() });
    }

    /// Returns the present moment, for [`Self::added_since`].
    pub(crate) fn moment(&self) -> u64 {
        self.moment
    }

    /// Returns whether a record of this N was added to the partition or altered since a moment, as far as is known.
    pub(crate) fn added_since(&self, partition: Partition, n: u8, moment: u64) -> bool {
        self.by_partition.get(&partition).is_none_or(|trees| {
            trees.born > moment || trees.added.get(&n).is_some_and(|added| *added > moment)
        })
    }

    pub(crate) fn keeps(&self, partition: Partition) -> bool {
        self.by_partition.contains_key(&partition)
    }

    /// Returns whether the partition is known to hold no record.
    pub(crate) fn is_empty(&self, partition: Partition) -> bool {
        self.by_partition.get(&partition).is_none_or(|trees| trees.whole && trees.load.records == 0)
    }

    /// Returns the number of changes of a partition's records so far.
    pub(crate) fn changes(&self, partition: Partition) -> u64 {
        self.by_partition.get(&partition).map_or(0, |trees| trees.changes)
    }

    /// Returns the number and size of all records, as far as they have been read.
    pub(crate) fn load(&self) -> Load {
        let mut total = Load::default();
        for trees in self.by_partition.values() {
            total.records += trees.load.records;
            total.bytes += trees.load.bytes;
        }
        total
    }

    /// Takes a record's change into its tree. During a reading it counts there only if the reading has come past it.
    pub(crate) fn changed(&mut self, key: &PlacedKey, change: TreeChange) {
        let Some(trees) = self.by_partition.get_mut(&key.partition) else { return };
        trees.changes += 1;
        if change.after.is_some() {
            self.moment += 1;
            trees.added.insert(change.n, self.moment);
        }
        trees.damaged.remove(key);
        trees.unread.remove(key);
        if let Some(reading) = &mut trees.reading {
            reading.damaged.remove(key);
        }
        if planted::on(Bug::TreeNotUpdatedOnMerge) && change.before.is_some() {
            return;
        }
        change.make(&mut trees.by_n, &mut trees.load);
        if let Some(reading) = &mut trees.reading
            && reading.until.as_ref().is_some_and(|until| key <= until)
        {
            change.make(&mut reading.by_n, &mut reading.load);
        }
    }

    /// Notes that these records can't be read.
    pub(crate) fn note_damage(&mut self, keys: &[PlacedKey]) {
        for key in keys {
            let Some(trees) = self.by_partition.get_mut(&key.partition) else { continue };
            let reading = trees.reading.as_mut().map(|reading| &mut reading.damaged);
            for damaged in reading.into_iter().chain([&mut trees.damaged]) {
                if damaged.len() < DAMAGED_MAX {
                    damaged.insert(key.clone());
                }
            }
        }
    }

    /// Forgets a damaged record that is gone.
    pub(crate) fn forget_damage(&mut self, key: &PlacedKey) {
        let Some(trees) = self.by_partition.get_mut(&key.partition) else { return };
        trees.damaged.remove(key);
        if let Some(reading) = &mut trees.reading {
            reading.damaged.remove(key);
        }
    }

    /// Returns the keys of a partition's damaged records, as far as they are known.
    pub(crate) fn damaged(&self, partition: Partition) -> impl Iterator<Item = &PlacedKey> {
        self.by_partition.get(&partition).into_iter().flat_map(|trees| &trees.damaged)
    }

    /// Has a partition's records read before its tree is compared, since the tree may be wrong.
    pub(crate) fn read_anew(&mut self, partition: Partition) {
        if let Some(trees) = self.by_partition.get_mut(&partition) {
            trees.whole = false;
        }
    }

    /// Returns whether the partition is known to hold a record of this N.
    pub(crate) fn holds(&self, partition: Partition, n: u8) -> bool {
        self.whole(partition, n).is_some_and(|tree| tree.root() != 0)
    }

    /// Returns the records of a partition that two whole readings in a row could not read, as the last one
    /// has just found. Where other owners held them, theirs have taken their place meanwhile.
    pub(crate) fn take_unmended(&mut self, partition: Partition) -> Vec<PlacedKey> {
        let Some(trees) = self.by_partition.get_mut(&partition) else { return Vec::new() };
        let before = core::mem::replace(&mut trees.unread, trees.damaged.clone());
        before.intersection(&trees.damaged).cloned().collect()
    }

    /// Returns whether a damaged record of the partition is known.
    pub(crate) fn has_damage(&self, partition: Partition) -> bool {
        self.by_partition.get(&partition).is_some_and(|trees| !trees.damaged.is_empty())
    }

    /// Returns whether a damaged record may have a key of this kind; true if not all damaged records are known.
    pub(crate) fn has_damage_of(&self, partition: Partition, is_of: impl Fn(&Key) -> bool) -> bool {
        self.by_partition.get(&partition).is_some_and(|trees| {
            let all_are_known = trees.damaged.len() < DAMAGED_MAX;
            !all_are_known || trees.damaged.iter().any(|key| is_of(&key.key))
        })
    }

    /// Returns the tree of one N; `None` while it has yet to be read.
    pub(crate) fn whole(&self, partition: Partition, n: u8) -> Option<Tree> {
        let trees = self.by_partition.get(&partition).filter(|trees| trees.whole)?;
        Some(trees.by_n.get(&n).cloned().unwrap_or_default())
    }

    pub(crate) fn is_whole(&self, partition: Partition) -> bool {
        self.by_partition.get(&partition).is_some_and(|trees| trees.whole)
    }

    /// Returns the number of partitions whose records have yet to be read.
    pub(crate) fn unread(&self) -> usize {
        self.by_partition.values().filter(|trees| !trees.whole).count()
    }

    /// Returns when all records of a partition were last read in this life of the process, in microseconds.
    pub(crate) fn read_us(&self, partition: Partition) -> Option<u64> {
        self.by_partition.get(&partition)?.read_us
    }

    /// Begins to read all records of a partition.
    pub(crate) fn begin_reading(&mut self, partition: Partition) {
        self.readings += 1;
        if let Some(trees) = self.by_partition.get_mut(&partition) {
            trees.reading = Some(Reading { number: self.readings, ..Reading::default() });
        }
    }

    /// Returns the number of a partition's reading and how far it has come, if there is one.
    pub(crate) fn reading(&self, partition: Partition) -> Option<(u64, Option<PlacedKey>)> {
        let reading = self.by_partition.get(&partition)?.reading.as_ref()?;
        Some((reading.number, reading.until.clone()))
    }

    /// Takes a page of a reading, up to `until` (`None`: to the end). Returns true if it was the last one and
    /// the tree that was kept did not say what the records do.
    pub(crate) fn read(
        &mut self,
        now_us: u64,
        partition: Partition,
        page: impl Iterator<Item = TreeChange>,
        until: Option<PlacedKey>,
    ) -> bool {
        let Some(trees) = self.by_partition.get_mut(&partition) else { return false };
        let Some(mut reading) = trees.reading.take() else { return false };
        page.for_each(|change| change.make(&mut reading.by_n, &mut reading.load));
        if until.is_some() {
            reading.until = until;
            trees.reading = Some(reading);
            return false;
        }
        let corrected = trees.whole && !same(&trees.by_n, &reading.by_n);
        trees.by_n = reading.by_n;
        trees.load = reading.load;
        trees.damaged = reading.damaged;
        trees.whole = true;
        trees.read_us = Some(now_us);
        corrected
    }

    /// Encodes the whole trees, to be kept over a clean stop: for each a partition (4 bytes), its records (8) and their
    /// bytes (8), an N (1), the length of the tree's bytes (4), and these. Numbers are little endian.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        // Damaged records are to be met again at the next start.
        let sound = |trees: &PartitionTrees| trees.whole && trees.damaged.is_empty();
        for (partition, trees) in self.by_partition.iter().filter(|(_, trees)| sound(trees)) {
            // An empty tree is kept too: that it is whole is worth knowing.
            let empty = (0, Tree::new());
            let none = trees.by_n.is_empty().then_some((&empty.0, &empty.1));
            for (n, tree) in trees.by_n.iter().chain(none) {
                let bytes = tree.encode();
                out.extend_from_slice(&partition.0.to_le_bytes());
                out.extend_from_slice(&trees.load.records.to_le_bytes());
                out.extend_from_slice(&trees.load.bytes.to_le_bytes());
                out.push(*n);
                out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
                out.extend_from_slice(&bytes);
            }
        }
        out
    }

    /// Decodes what [`Self::encode`] made. Bytes that can't be decoded leave no trees, and the records are
    /// read instead.
    pub(crate) fn decode(mut bytes: &[u8]) -> Self {
        let mut trees = Self::default();
        while let Some((partition, load, (n, tree), rest)) = next_tree(bytes) {
            let trees = trees.by_partition.entry(partition).or_default();
            trees.whole = true;
            trees.load = load;
            trees.by_n.insert(n, tree);
            bytes = rest;
        }
        if bytes.is_empty() { trees } else { Self::default() }
    }
}

/// Returns whether two sets of trees say the same; a missing tree is an empty one.
fn same(a: &TreesByN, b: &TreesByN) -> bool {
    let root = |by_n: &TreesByN, n: &u8| by_n.get(n).map_or(0, Tree::root);
    a.keys().chain(b.keys()).all(|n| root(a, n) == root(b, n))
}

type Encoded<'a> = (Partition, Load, (u8, Tree), &'a [u8]);

fn next_tree(bytes: &[u8]) -> Option<Encoded<'_>> {
    let (partition, rest) = bytes.split_first_chunk::<4>()?;
    let (records, rest) = rest.split_first_chunk::<8>()?;
    let (load_bytes, rest) = rest.split_first_chunk::<8>()?;
    let load = Load {
        records: u64::from_le_bytes(*records),
        bytes: u64::from_le_bytes(*load_bytes),
        ..Load::default()
    };
    let (n, rest) = rest.split_first()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (tree, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    let partition = Partition(u32::from_le_bytes(*partition));
    Some((partition, load, (*n, Tree::decode(tree)?), rest))
}

#[cfg(test)]
mod tests;
