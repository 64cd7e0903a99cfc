//! Bytes that a node's shards may hold together, so that a few large requests fit wherever they go.
//!
//! Invariant: each shard has a least share that the others can't take from it, so that one that stands still holds up
//! itself alone. All hold a quarter more than the limit at most, and one request each.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Divisor of the limit: the least shares of all shards come to one part in so many.
const LEAST_PART: usize = 4;

/// Pool of the bytes that all shards may hold.
#[derive(Debug, Clone)]
pub(crate) struct Pool {
    limit_bytes: usize,
    least_bytes: usize,
    held_bytes: Arc<AtomicUsize>,
}

/// Share of one shard in a pool.
#[derive(Debug)]
pub(crate) struct Share {
    pool: Pool,
    held_bytes: AtomicUsize,
}

impl Pool {
    /// Makes an empty pool for so many shards.
    pub(crate) fn new(limit_bytes: usize, shards: usize) -> Self {
        let least_bytes = limit_bytes / (LEAST_PART * shards.max(1));
        Self { limit_bytes, least_bytes, held_bytes: Arc::default() }
    }

    /// Returns the share of one shard, with nothing in it.
    pub(crate) fn share(&self) -> Share {
        Share { pool: self.clone(), held_bytes: AtomicUsize::new(0) }
    }
}

impl Share {
    pub(crate) fn add(&self, bytes: usize) {
        self.held_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.pool.held_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn subtract(&self, bytes: usize) {
        self.held_bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.pool.held_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Whether all shards hold so many times the limit, and this one so many times its least share.
    pub(crate) fn is_full(&self, times: usize) -> bool {
        let Pool { limit_bytes, least_bytes, held_bytes } = &self.pool;
        held_bytes.load(Ordering::Relaxed) >= limit_bytes * times
            && self.held_bytes.load(Ordering::Relaxed) >= least_bytes * times
    }

    /// Returns the number of bytes that all shards hold.
    pub(crate) fn held_by_all(&self) -> usize {
        self.pool.held_bytes.load(Ordering::Relaxed)
    }

    /// Gives back all that this shard holds.
    pub(crate) fn clear(&self) {
        let held = self.held_bytes.swap(0, Ordering::Relaxed);
        self.pool.held_bytes.fetch_sub(held, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::Pool;

    #[test]
    fn one_shard_may_hold_all_and_leaves_the_others_their_least() {
        let pool = Pool::new(800, 2);
        let (first, second) = (pool.share(), pool.share());
        first.add(700);
        assert!(!first.is_full(1), "it may hold all that there is");
        first.add(100);
        assert!(first.is_full(1) && !first.is_full(2));
        second.add(99);
        assert!(!second.is_full(1), "100 of 800 bytes are its own in any case");
        second.add(1);
        assert!(second.is_full(1));
        first.clear();
        assert!(!second.is_full(1) && second.held_by_all() == 100);
    }
}
