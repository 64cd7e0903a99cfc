//! The tree: leaves are kept, the hashes above them are computed when they are asked for.
//!
//! A write touches one word; a root costs 33 hashes of 256 bytes, which an exchange asks for once.
//! Invariant: a branch is allocated if and only if one of its leaves is not 0, and the branches' table if
//! and only if one of them is; so equal trees are equal values, and an empty one owns no memory.

use alloc::boxed::Box;
use alloc::vec::Vec;

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Number of bits of a position, after its partition's, that name its leaf.
pub const LEAF_BITS: u32 = 10;
/// Number of leaves of a tree.
pub const LEAVES: usize = 1 << LEAF_BITS;
/// Number of branches below the root.
pub const BRANCHES: usize = 32;
/// Number of leaves below each branch: leaf `i` is below branch `i / LEAVES_PER_BRANCH`.
pub const LEAVES_PER_BRANCH: usize = LEAVES / BRANCHES;

/// Seed of items' hashes. Seeds differ, so that no item is a node's hash.
const ITEM_SEED: u64 = 0x6a65_646c_696b_0001;
const NODE_SEED: u64 = 0x6a65_646c_696b_0002;

pub(crate) type Leaves = [u64; LEAVES_PER_BRANCH];

/// Returns the item that stands for one record in its leaf: a hash of its key's position and of the record's digest.
#[must_use]
pub fn item(position: u128, digest: u64) -> u64 {
    let mut bytes = [0; 24];
    bytes[..16].copy_from_slice(&position.to_le_bytes());
    bytes[16..].copy_from_slice(&digest.to_le_bytes());
    xxh3_64_with_seed(&bytes, ITEM_SEED)
}

/// Hash tree over one partition: about 8 KiB, nothing while it is empty.
///
/// A leaf is the wrapping sum of its records' items, so that an item is added or taken away without knowing
/// the others. It is a sum rather than an exclusive or: in that an item counted twice by mistake would vanish
/// and the mistake with it, while in a sum it stands out, and the next exchange finds it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    pub(crate) branches: Vec<Option<Box<Leaves>>>,
}

impl Tree {
    /// Creates the tree of a partition without records.
    #[must_use]
    pub const fn new() -> Self {
        Self { branches: Vec::new() }
    }

    /// Changes a record in `leaf`. `before` and `after` are its items from [`item`], `None` where there is no
    /// record.
    ///
    /// # Panics
    /// There is no such leaf: a position's leaf of [`LEAF_BITS`] bits is always below [`LEAVES`].
    pub fn change(&mut self, leaf: u16, before: Option<u64>, after: Option<u64>) {
        let leaf = usize::from(leaf);
        assert!(leaf < LEAVES, "leaf {leaf} of {LEAVES}");
        let difference = after.unwrap_or(0).wrapping_sub(before.unwrap_or(0));
        if difference == 0 {
            return;
        }
        if self.branches.is_empty() {
            self.branches.resize_with(BRANCHES, || None);
        }
        let branch = &mut self.branches[leaf / LEAVES_PER_BRANCH];
        let leaves = branch.get_or_insert_with(|| Box::new([0; LEAVES_PER_BRANCH]));
        let sum = &mut leaves[leaf % LEAVES_PER_BRANCH];
        *sum = sum.wrapping_add(difference);
        if leaves.iter().all(|sum| *sum == 0) {
            *branch = None;
            if self.branches.iter().all(Option::is_none) {
                self.branches = Vec::new();
            }
        }
    }

    /// Returns whether this is the tree of a partition without records.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.branches.is_empty()
    }

    /// Returns the hash of all branches; 0 for an empty tree.
    #[must_use]
    pub fn root(&self) -> u64 {
        if self.is_empty() { 0 } else { node(&self.branch_hashes()) }
    }

    /// Returns the hash of a branch's leaves; 0 if they are empty, or if there is no such branch.
    #[must_use]
    pub fn branch(&self, branch: u8) -> u64 {
        self.leaves(branch).map_or(0, node)
    }

    /// Returns the sum of one leaf's items; 0 if it is empty, or if there is no such leaf.
    ///
    /// A sum that does not match what is stored is put right by `change(leaf, Some(wrong), Some(right))`.
    #[must_use]
    pub fn leaf(&self, leaf: u16) -> u64 {
        let leaf = usize::from(leaf);
        let branch = self.branches.get(leaf / LEAVES_PER_BRANCH).and_then(Option::as_deref);
        branch.map_or(0, |leaves| leaves[leaf % LEAVES_PER_BRANCH])
    }

    /// Returns whether a branch holds no record; a branch that no tree has holds none.
    #[must_use]
    pub fn branch_is_empty(&self, branch: u8) -> bool {
        self.leaves(branch).is_none()
    }

    /// Returns whether a leaf holds no record; a leaf that no tree has holds none.
    ///
    /// The tree keeps sums and no counts: one leaf in 2^64 sums to 0 although it holds records, and is taken
    /// for empty here as it is by every hash above it.
    #[must_use]
    pub fn leaf_is_empty(&self, leaf: u16) -> bool {
        self.leaf(leaf) == 0
    }

    /// Returns the 32 hashes below one node, in order: the branches' for `None`, else the branch's leaves.
    /// Empty for a branch that no tree has, which a peer may ask for.
    #[must_use]
    pub fn children(&self, branch: Option<u8>) -> Vec<u64> {
        match branch {
            None => self.branch_hashes().to_vec(),
            Some(branch) if usize::from(branch) >= BRANCHES => Vec::new(),
            Some(branch) => self.leaves(branch).copied().unwrap_or_default().to_vec(),
        }
    }

    fn branch_hashes(&self) -> [u64; BRANCHES] {
        core::array::from_fn(|branch| self.branch(branch as u8))
    }

    fn leaves(&self, branch: u8) -> Option<&Leaves> {
        self.branches.get(usize::from(branch)).and_then(Option::as_deref)
    }
}

/// Returns the hash of a node that is not empty: never 0, which is kept for empty ones.
fn node(children: &[u64; 32]) -> u64 {
    let mut bytes = [0; 32 * 8];
    for (slot, child) in bytes.chunks_exact_mut(8).zip(children) {
        slot.copy_from_slice(&child.to_le_bytes());
    }
    xxh3_64_with_seed(&bytes, NODE_SEED).max(1)
}

#[cfg(test)]
mod tests;
