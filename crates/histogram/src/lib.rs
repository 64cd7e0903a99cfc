//! Counts of values by their size, in buckets whose bounds double: times, sizes, numbers.
//!
//! Invariant: a value is counted in exactly one bucket, the first whose bound is not below it, so that histograms of
//! one kind can be added up. Counting takes a few instructions and no lock.

#![no_std]

use core::array;
use core::sync::atomic::{AtomicU64, Ordering};

/// Number of buckets that have a bound; one more holds what is above all bounds.
pub const BUCKETS: usize = 18;

/// Times in microseconds, with bounds from 64 µs to 8.4 s.
pub type TimesUs = Histogram<6>;
/// Times in microseconds that threads share.
pub type SharedTimesUs = SharedHistogram<6>;
/// Sizes in bytes, with bounds from 512 B to 64 MiB.
pub type SizesBytes = Histogram<9>;
/// Sizes in bytes that threads share.
pub type SharedSizesBytes = SharedHistogram<9>;
/// Small numbers, with bounds from 1 to 131072.
pub type Numbers = Histogram<0>;

/// Histogram of whole numbers, whose first bound is 2 to the power of `FIRST`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Histogram<const FIRST: u32> {
    counts: [u64; BUCKETS + 1],
    sum: u64,
}

/// Histogram that several threads add to, and others read.
#[derive(Debug)]
pub struct SharedHistogram<const FIRST: u32> {
    counts: [AtomicU64; BUCKETS + 1],
    sum: AtomicU64,
}

impl<const FIRST: u32> Histogram<FIRST> {
    /// Counts a value in its bucket.
    pub fn add(&mut self, value: u64) {
        self.counts[bucket(value, FIRST)] += 1;
        self.sum = self.sum.wrapping_add(value);
    }

    /// Adds the counts of another histogram.
    pub fn merge(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
        self.sum = self.sum.wrapping_add(other.sum);
    }

    /// Returns each bound with the number of values in its bucket, which are above the bound before.
    #[must_use]
    pub fn buckets(&self) -> [(u64, u64); BUCKETS] {
        array::from_fn(|index| (1 << (FIRST as usize + index), self.counts[index]))
    }

    /// Returns the number of values.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Returns the sum of all values.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.sum
    }
}

impl<const FIRST: u32> SharedHistogram<FIRST> {
    /// Counts a value in its bucket.
    pub fn add(&self, value: u64) {
        self.counts[bucket(value, FIRST)].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    /// Returns what was counted so far. A value that is being counted may be missing in the sum.
    #[must_use]
    pub fn read(&self) -> Histogram<FIRST> {
        let counts = array::from_fn(|index| self.counts[index].load(Ordering::Relaxed));
        Histogram { counts, sum: self.sum.load(Ordering::Relaxed) }
    }
}

impl<const FIRST: u32> Default for SharedHistogram<FIRST> {
    fn default() -> Self {
        Self { counts: array::from_fn(|_| AtomicU64::new(0)), sum: AtomicU64::new(0) }
    }
}

/// Returns the index of a value's bucket; the last one is for values above all bounds.
fn bucket(value: u64, first: u32) -> usize {
    let bits = u64::BITS - value.saturating_sub(1).leading_zeros();
    (bits.saturating_sub(first) as usize).min(BUCKETS)
}

#[cfg(test)]
mod tests {
    use super::{BUCKETS, Numbers, SharedTimesUs, TimesUs, bucket};

    #[test]
    fn a_value_is_in_the_first_bucket_whose_bound_is_not_below_it() {
        let cases = [
            (0, 0, 0),
            (1, 0, 0),
            (2, 0, 1),
            (3, 0, 2),
            (4, 0, 2),
            (5, 0, 3),
            (64, 6, 0),
            (65, 6, 1),
            (128, 6, 1),
            (129, 6, 2),
            (1 << 23, 6, BUCKETS - 1),
            ((1 << 23) + 1, 6, BUCKETS),
            (u64::MAX, 0, BUCKETS),
        ];
        for (value, first, index) in cases {
            assert_eq!(bucket(value, first), index, "{value}");
        }
    }

    #[test]
    fn histograms_add_up() {
        let (mut one, mut other) = (Numbers::default(), Numbers::default());
        [1, 2, 2].into_iter().for_each(|value| one.add(value));
        other.add(u64::from(u32::MAX));
        one.merge(&other);
        assert_eq!((one.count(), one.sum()), (4, 5 + u64::from(u32::MAX)));
        assert_eq!(one.buckets()[..3], [(1, 1), (2, 2), (4, 0)]);
        let within: u64 = one.buckets().iter().map(|(_, count)| count).sum();
        assert_eq!(within, 3, "one is above all bounds");
    }

    #[test]
    fn threads_share_a_histogram_without_a_lock() {
        let (shared, mut alone) = (SharedTimesUs::default(), TimesUs::default());
        for value in [0, 70, 9_000_000] {
            shared.add(value);
            alone.add(value);
        }
        assert_eq!(shared.read(), alone);
        assert_eq!(alone.buckets()[0].0, 64);
    }
}
