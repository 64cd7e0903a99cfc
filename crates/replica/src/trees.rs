//! The hash trees of the partitions that this shard owns (paper 4.7).
//!
//! Invariant: a tree that is whole says what loads would show, but for what has changed on disk behind
//! the shard's back; a reading of all records, page by page, makes it say that too.
//!
//! Buckets with another N have other owners, so each N has a tree of its own.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use jedlik_hashing::{Partition, PartitionCount};
use jedlik_merkle::{LEAF_BITS, Tree, item};
use jedlik_protocol::{Digest, PlacedKey};
use jedlik_vclock::planted::{self, Bug};

/// The trees of one partition, by N.
type Forest = BTreeMap<u8, Tree>;

/// One record's change: which tree and leaf, and what stood and stands there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Change {
    n: u8,
    leaf: u16,
    before: Option<u64>,
    after: Option<u64>,
}

impl Change {
    pub(crate) fn new(
        partitions: PartitionCount,
        key: &PlacedKey,
        n: u8,
        before: Option<Digest>,
        after: Option<Digest>,
    ) -> Self {
        let item = |digest: Digest| item(key.position.0, digest.0);
        let leaf = partitions.leaf(key.position, LEAF_BITS) as u16;
        Self { n, leaf, before: before.map(item), after: after.map(item) }
    }

    fn make(self, forest: &mut Forest) {
        forest.entry(self.n).or_default().change(self.leaf, self.before, self.after);
    }
}

/// What is known of one partition.
#[derive(Debug, Default)]
struct Grove {
    forest: Forest,
    whole: bool,
    reading: Option<Reading>,
    read_us: Option<u64>,
}

/// A reading of all records under way: the trees that it makes, and how far it has come.
#[derive(Debug, Default)]
struct Reading {
    forest: Forest,
    until: Option<PlacedKey>,
}

/// The trees of all owned partitions.
#[derive(Debug, Default)]
pub(crate) struct Trees {
    groves: BTreeMap<Partition, Grove>,
}

impl Trees {
    /// Owns exactly these partitions from now on. Trees of new ones have yet to be read.
    pub(crate) fn own(&mut self, partitions: &[Partition]) {
        self.groves.retain(|partition, _| partitions.contains(partition));
        for partition in partitions {
            self.groves.entry(*partition).or_default();
        }
    }

    /// What the trees say is no more to be relied on: they are to be read anew.
    pub(crate) fn distrust(&mut self) {
        self.groves.values_mut().for_each(|grove| *grove = Grove::default());
    }

    pub(crate) fn owned(&self) -> impl Iterator<Item = Partition> {
        self.groves.keys().copied()
    }

    pub(crate) fn owns(&self, partition: Partition) -> bool {
        self.groves.contains_key(&partition)
    }

    /// A record changed. During a reading it counts there only if the reading has come past it.
    pub(crate) fn changed(&mut self, key: &PlacedKey, change: Change) {
        if planted::on(Bug::TreeNotUpdatedOnMerge) && change.before.is_some() {
            return;
        }
        let Some(grove) = self.groves.get_mut(&key.partition) else { return };
        change.make(&mut grove.forest);
        if let Some(reading) = &mut grove.reading
            && reading.until.as_ref().is_some_and(|until| key <= until)
        {
            change.make(&mut reading.forest);
        }
    }

    /// The tree of one N; `None` while it has yet to be read.
    pub(crate) fn whole(&self, partition: Partition, n: u8) -> Option<Tree> {
        let grove = self.groves.get(&partition).filter(|grove| grove.whole)?;
        Some(grove.forest.get(&n).cloned().unwrap_or_default())
    }

    pub(crate) fn is_whole(&self, partition: Partition) -> bool {
        self.groves.get(&partition).is_some_and(|grove| grove.whole)
    }

    /// How many have yet to be read.
    pub(crate) fn unread(&self) -> usize {
        self.groves.values().filter(|grove| !grove.whole).count()
    }

    /// When all records of a partition were last read, in this life of the process.
    pub(crate) fn read_us(&self, partition: Partition) -> Option<u64> {
        self.groves.get(&partition)?.read_us
    }

    /// Begins to read all records of a partition.
    pub(crate) fn begin_reading(&mut self, partition: Partition) {
        if let Some(grove) = self.groves.get_mut(&partition) {
            grove.reading = Some(Reading::default());
        }
    }

    /// How far the reading has come, if there is one.
    pub(crate) fn reading(&self, partition: Partition) -> Option<Option<PlacedKey>> {
        let reading = self.groves.get(&partition)?.reading.as_ref()?;
        Some(reading.until.clone())
    }

    /// A page was read, up to `until` (`None`: to the end). True if this was the last one and the tree
    /// that was kept did not say what the records do.
    pub(crate) fn read(
        &mut self,
        now_us: u64,
        partition: Partition,
        page: impl Iterator<Item = Change>,
        until: Option<PlacedKey>,
    ) -> bool {
        let Some(grove) = self.groves.get_mut(&partition) else { return false };
        let Some(mut reading) = grove.reading.take() else { return false };
        page.for_each(|change| change.make(&mut reading.forest));
        if until.is_some() {
            reading.until = until;
            grove.reading = Some(reading);
            return false;
        }
        let corrected = grove.whole && !same(&grove.forest, &reading.forest);
        grove.forest = reading.forest;
        grove.whole = true;
        grove.read_us = Some(now_us);
        corrected
    }

    /// The whole trees, to be kept over a clean stop: for each a partition (4 bytes), an N (1), the
    /// length of the tree's bytes (4), and these. Numbers are little endian.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (partition, grove) in self.groves.iter().filter(|(_, grove)| grove.whole) {
            // An empty tree is kept too: that it is whole is worth knowing.
            let empty = (0, Tree::new());
            let none = grove.forest.is_empty().then_some((&empty.0, &empty.1));
            for (n, tree) in grove.forest.iter().chain(none) {
                let bytes = tree.encode();
                out.extend_from_slice(&partition.0.to_le_bytes());
                out.push(*n);
                out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
                out.extend_from_slice(&bytes);
            }
        }
        out
    }

    /// Takes back what [`Self::encode`] made. What can't be read is left to be read from the records.
    pub(crate) fn decode(mut bytes: &[u8]) -> Self {
        let mut trees = Self::default();
        while let Some((partition, n, tree, rest)) = next_tree(bytes) {
            let grove = trees.groves.entry(partition).or_default();
            grove.whole = true;
            grove.forest.insert(n, tree);
            bytes = rest;
        }
        if bytes.is_empty() { trees } else { Self::default() }
    }
}

/// Whether two forests say the same; a tree that is not there is an empty one.
fn same(a: &Forest, b: &Forest) -> bool {
    let root = |forest: &Forest, n: &u8| forest.get(n).map_or(0, Tree::root);
    a.keys().chain(b.keys()).all(|n| root(a, n) == root(b, n))
}

fn next_tree(bytes: &[u8]) -> Option<(Partition, u8, Tree, &[u8])> {
    let (partition, rest) = bytes.split_first_chunk::<4>()?;
    let (n, rest) = rest.split_first()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (tree, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    Some((Partition(u32::from_le_bytes(*partition)), *n, Tree::decode(tree)?, rest))
}
