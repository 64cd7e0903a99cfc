//! One hash tree over the records of one partition (paper 4.7).
//!
//! A root, [`BRANCHES`] branches, [`LEAVES_PER_BRANCH`] leaves below each. A leaf stands for the records in
//! one of the partition's [`LEAVES`] equal ranges of positions, which is one contiguous range in the store
//! too. Invariant: equal records give equal trees, in whatever order they came.

#![no_std]
extern crate alloc;

mod format;
mod tree;

pub use tree::{BRANCHES, LEAF_BITS, LEAVES, LEAVES_PER_BRANCH, Tree, item};
