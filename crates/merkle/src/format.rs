//! A tree's bytes, kept over a clean stop.
//!
//! ```text
//! format    1 byte: 1
//! branches  4 bytes: bit i is set if branch i is not empty
//! each such branch, in order:
//!   leaves  4 bytes: bit j is set if its leaf j is not 0
//!   each such leaf, in order:
//!     sum   8 bytes
//! checksum  8 bytes: 64-bit xxh3 of all that stands before, under a seed
//! ```
//!
//! Numbers are little endian. Invariant: a tree has one encoding, and nothing else is accepted.

use alloc::boxed::Box;
use alloc::vec::Vec;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::tree::{BRANCHES, LEAVES_PER_BRANCH, Leaves, Tree};

const FORMAT: u8 = 1;
const CHECKSUM_SEED: u64 = 0x6a65_646c_696b_0003;

impl Tree {
    /// Encodes the tree: 13 bytes for an empty one, at most 8,333.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = alloc::vec![FORMAT];
        let present = bits(self.branches.iter().map(Option::is_some));
        out.extend_from_slice(&present.to_le_bytes());
        for leaves in self.branches.iter().flatten() {
            let present = bits(leaves.iter().map(|sum| *sum != 0));
            out.extend_from_slice(&present.to_le_bytes());
            for sum in leaves.iter().filter(|sum| **sum != 0) {
                out.extend_from_slice(&sum.to_le_bytes());
            }
        }
        let checksum = xxh3_64_with_seed(&out, CHECKSUM_SEED);
        out.extend_from_slice(&checksum.to_le_bytes());
        out
    }

    /// Decodes the bytes of [`Self::encode`]; `None` for any others: build the tree from the records then.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (body, checksum) = bytes.split_last_chunk::<8>()?;
        if xxh3_64_with_seed(body, CHECKSUM_SEED) != u64::from_le_bytes(*checksum) {
            return None;
        }
        let (&format, mut rest) = body.split_first()?;
        if format != FORMAT {
            return None;
        }
        let present = take_bits(&mut rest)?;
        let mut branches = Vec::new();
        if present != 0 {
            for branch in 0..BRANCHES {
                let is_present = present & (1 << branch) != 0;
                branches.push(if is_present { Some(take_leaves(&mut rest)?) } else { None });
            }
        }
        rest.is_empty().then_some(Self { branches })
    }
}

/// Returns a number whose bit i is the i-th of `flags`, of which there are at most 32.
fn bits(flags: impl Iterator<Item = bool>) -> u32 {
    flags.enumerate().fold(0, |bits, (index, flag)| bits | (u32::from(flag) << index))
}

fn take_bits(rest: &mut &[u8]) -> Option<u32> {
    let (bits, after) = rest.split_first_chunk::<4>()?;
    *rest = after;
    Some(u32::from_le_bytes(*bits))
}

/// Takes the leaves of a branch that is not empty off the front of `rest`.
fn take_leaves(rest: &mut &[u8]) -> Option<Box<Leaves>> {
    let present = take_bits(rest).filter(|present| *present != 0)?;
    let mut leaves = Box::new([0; LEAVES_PER_BRANCH]);
    for (index, slot) in leaves.iter_mut().enumerate() {
        if present & (1 << index) != 0 {
            let (sum, after) = rest.split_first_chunk::<8>()?;
            *rest = after;
            *slot = u64::from_le_bytes(*sum);
            if *slot == 0 {
                return None;
            }
        }
    }
    Some(leaves)
}

#[cfg(test)]
mod tests;
