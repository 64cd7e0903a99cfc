//! The buckets of a plan: of how many replicas, with which quorums.
//!
//! Invariant: R + W > N in each, and W is more than one, so that one disk may be lost.

use crate::chance::Chance;

/// N, R and W.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quorums {
    /// Replicas of each key.
    pub n: u8,
    /// How many must answer a get.
    pub r: u8,
    /// How many must acknowledge a put.
    pub w: u8,
}

/// One bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BucketPlan {
    /// As the run begins.
    pub quorums: Quorums,
    /// The least W that a put may ask for; 1 or 2.
    pub min_w: u8,
}

impl BucketPlan {
    /// What the bucket is called at this place.
    #[must_use]
    pub fn name(place: u8) -> String {
        format!("b{place}")
    }
}

const USUAL: Quorums = quorums(3, 2, 2);
const OF_THREE: [Quorums; 5] = [USUAL, USUAL, USUAL, quorums(3, 1, 3), quorums(3, 2, 3)];
const OF_TWO: [Quorums; 2] = [quorums(2, 1, 2), quorums(2, 2, 2)];
const OF_FIVE: [Quorums; 4] =
    [quorums(5, 3, 3), quorums(5, 3, 3), quorums(5, 2, 4), quorums(5, 1, 5)];
/// The most buckets of one run.
const BUCKETS_MAX: u64 = 3;

const fn quorums(n: u8, r: u8, w: u8) -> Quorums {
    Quorums { n, r, w }
}

/// One bucket in half of the plans, several in the others.
pub(super) fn buckets(nodes: u8, chance: &mut Chance) -> Vec<BucketPlan> {
    let count = if chance.permille(500) { 1 } else { chance.between(2, BUCKETS_MAX) };
    let bucket = |_| {
        let quorums = match chance.below(10) {
            0 | 1 => chance.pick(&OF_TWO),
            2 | 3 if nodes >= 5 => chance.pick(&OF_FIVE),
            _ => chance.pick(&OF_THREE),
        };
        // Where one copy was enough, whoever is to hold all of the past needs every owner: a lost disk while others
        // are refilled for a greater N, as five have it after the default of three, is for an admin to decide.
        let one = quorums.n == USUAL.n && chance.permille(300);
        BucketPlan { quorums, min_w: if one { 1 } else { 2 } }
    };
    (0..count).map(bucket).collect()
}
