//! The layout: which ring is in force, and since which decision.

use alloc::vec::Vec;

use jedlik_hashing::Ring;
use rkyv::{Archive, Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::{Digest, codec};

/// Counts layouts: 0 before the first commit.
pub type LayoutVersion = u64;

/// One committed placement of the partitions. Of two with the same version the greater digest wins.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Layout {
    /// Its place in the line of layouts, from 1.
    pub version: LayoutVersion,
    /// Who holds what.
    pub ring: Ring,
}

impl Layout {
    /// What an admin names a plan by, and what breaks ties between rival commits.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let bytes: Vec<u8> = codec::encode_layout(self);
        Digest(xxh3_64(&bytes))
    }

    /// The rule by which every node chooses between two layouts.
    #[must_use]
    pub fn supersedes(&self, other: &Self) -> bool {
        (self.version, self.digest()) > (other.version, other.digest())
    }
}
