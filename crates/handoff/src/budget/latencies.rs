//! Latencies of the last two seconds in constant memory.
//!
//! Invariant: a percentile is at most a sixteenth above the latency that it stands for.

use alloc::boxed::Box;

/// Number of equal parts that each power of two is cut into.
const PARTS: usize = 16;
const PART_BITS: u32 = PARTS.trailing_zeros();
/// Longest latency that is told apart, in microseconds: longer ones, from some two minutes on, count as this.
const LONGEST_US: u64 = (1 << 27) - 1;
const BUCKETS: usize = bucket(LONGEST_US) + 1;
const SLICES: usize = 4;

/// Counts of latencies over up to four slices of time.
#[derive(Debug)]
pub(crate) struct Latencies {
    slices: Box<[[u32; BUCKETS]; SLICES]>,
    /// Number of slices that were looked at: all, unless they were forgotten not long ago.
    begun: usize,
    /// Index of the slice that counts now.
    current: usize,
}

impl Latencies {
    /// Creates slices full of time without requests.
    pub(crate) fn new() -> Self {
        Self { slices: Box::new([[0; BUCKETS]; SLICES]), begun: SLICES, current: 0 }
    }

    pub(crate) fn add(&mut self, latency_us: u64) {
        let count = &mut self.slices[self.current][bucket(latency_us.min(LONGEST_US))];
        *count = count.saturating_add(1);
    }

    /// Begins the next slice, in place of the oldest if all are in use.
    pub(crate) fn turn(&mut self) {
        self.current = (self.current + 1) % SLICES;
        self.slices[self.current].fill(0);
        self.begun = (self.begun + 1).min(SLICES);
    }

    pub(crate) fn forget(&mut self) {
        self.slices.fill([0; BUCKETS]);
        self.begun = 1;
    }

    /// Returns how many slices the latencies are from, the present one included.
    pub(crate) fn begun(&self) -> usize {
        self.begun
    }

    /// Returns whether the latencies are from as long a time as there is room for.
    pub(crate) fn is_full(&self) -> bool {
        self.begun == SLICES
    }

    pub(crate) fn count(&self) -> u64 {
        self.slices.iter().flatten().copied().map(u64::from).sum()
    }

    /// Returns the latency that one request in a hundred exceeds, and at least one, in microseconds: a lone
    /// outlier is no tail. 0 if there is none.
    pub(crate) fn p99_us(&self) -> u64 {
        let count = self.count();
        let mut above = (count / 100).max(1);
        for index in (0..BUCKETS).rev() {
            let here = self.slices.iter().map(|slice| u64::from(slice[index])).sum();
            if above < here {
                return highest_us(index);
            }
            above -= here;
        }
        0
    }
}

/// Returns the bucket in which a latency is counted: below 16 µs exactly, then by its highest five bits.
const fn bucket(latency_us: u64) -> usize {
    if latency_us < PARTS as u64 {
        return latency_us as usize;
    }
    let shift = latency_us.ilog2() - PART_BITS;
    shift as usize * PARTS + (latency_us >> shift) as usize
}

/// Returns the longest latency that is counted in a bucket, in microseconds.
fn highest_us(bucket: usize) -> u64 {
    let shift = (bucket / PARTS).saturating_sub(1);
    let part = (bucket - shift * PARTS) as u64;
    ((part + 1) << shift) - 1
}

#[cfg(test)]
mod tests;
