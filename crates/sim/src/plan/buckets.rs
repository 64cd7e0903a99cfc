//! The buckets of a plan, with their numbers of replicas and quorums.
//!
//! Invariant: R + W > N in each, and W is more than one, so that one disk may be lost.

use super::{SPAN_US, WARM_UP_US};
use crate::chance::Chance;

/// Quorums N, R and W of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quorums {
    /// Number of replicas of each key.
    pub n: u8,
    /// Number of replicas that must answer a get.
    pub r: u8,
    /// Number of replicas that must acknowledge a put.
    pub w: u8,
}

/// Bucket of a plan, with its changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BucketPlan {
    /// Quorums at the beginning of the run.
    pub quorums: Quorums,
    /// Least W that a put may ask for; 1 or 2.
    pub min_w: u8,
    /// Time at which an admin sets other quorums, and those quorums.
    pub later: Option<(u64, Quorums)>,
    /// Whether clients see only the version written last.
    pub last_write_wins: bool,
}

impl BucketPlan {
    /// Returns the name of the bucket with this number.
    #[must_use]
    pub fn name(place: u8) -> String {
        format!("b{place}")
    }

    /// Returns the most replicas that a key of the bucket ever has.
    #[must_use]
    pub fn most_n(&self) -> u8 {
        self.later.map_or(0, |(_, later)| later.n).max(self.quorums.n)
    }
}

const USUAL: Quorums = quorums(3, 2, 2);
const OF_THREE: [Quorums; 5] = [USUAL, USUAL, USUAL, quorums(3, 1, 3), quorums(3, 2, 3)];
const OF_TWO: [Quorums; 2] = [quorums(2, 1, 2), quorums(2, 2, 2)];
const OF_FIVE: [Quorums; 4] =
    [quorums(5, 3, 3), quorums(5, 3, 3), quorums(5, 2, 4), quorums(5, 1, 5)];
/// Most buckets of one run.
const BUCKETS_MAX: u64 = 3;

const fn quorums(n: u8, r: u8, w: u8) -> Quorums {
    Quorums { n, r, w }
}

/// Draws one bucket for half of the plans, and several for the others.
pub(super) fn buckets(nodes: u8, chance: &mut Chance) -> Vec<BucketPlan> {
    let count = if chance.permille(500) { 1 } else { chance.between(2, BUCKETS_MAX) };
    let bucket = |_| {
        let quorums = match chance.below(10) {
            0 | 1 => chance.pick(&OF_TWO),
            2 | 3 if nodes >= 5 => chance.pick(&OF_FIVE),
            _ => chance.pick(&OF_THREE),
        };
        let one = quorums.n == USUAL.n && chance.permille(300);
        let min_w = if one { 1 } else { 2 };
        BucketPlan { quorums, min_w, later: None, last_write_wins: false }
    };
    let mut buckets: Vec<BucketPlan> = (0..count).map(bucket).collect();
    // Where one copy was enough, a node that must hold the whole past needs every owner. A disk lost while others are
    // refilled for a greater N, such as five after the default of three, is for an admin to decide.
    if buckets.iter().any(|bucket| bucket.quorums.n > USUAL.n) {
        buckets.iter_mut().for_each(|bucket| bucket.min_w = 2);
    }
    buckets
}

/// Makes a part of the buckets show only the version written last.
pub(super) fn reconcile(buckets: &mut [BucketPlan], chance: &mut Chance) {
    for bucket in buckets {
        bucket.last_write_wins = chance.permille(250);
    }
}

/// Gives some bucket another N, greater or smaller, in a part of the plans, whatever else goes on.
pub(super) fn recounts(buckets: &mut [BucketPlan], nodes: u8, chance: &mut Chance) {
    if !chance.permille(300) {
        return;
    }
    let place = chance.below(buckets.len() as u64) as usize;
    let all: Vec<Quorums> = OF_TWO.iter().chain(&OF_THREE).chain(&OF_FIVE).copied().collect();
    let now = buckets[place].quorums.n;
    let fits = |to: &&Quorums| to.n <= nodes && to.n != now;
    let fitting: Vec<Quorums> = all.iter().filter(fits).copied().collect();
    if fitting.is_empty() {
        return;
    }
    let at_us = WARM_UP_US + chance.below(SPAN_US);
    buckets[place].later = Some((at_us, chance.pick(&fitting)));
    // The same holds where a bucket has N of five from the beginning.
    buckets.iter_mut().for_each(|bucket| bucket.min_w = 2);
}
