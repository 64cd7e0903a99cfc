//! Bytes that a node's shards may hold together, so that a few large requests fit wherever they go.
//!
//! Invariant: each shard has a least that the others can't take from it, so that one that stands still holds up
//! itself alone. All hold a quarter more than the limit at most, and one request each.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Of the limit, what all shards' least parts come to.
const LEAST_PART: usize = 4;

/// What all shards may hold.
#[derive(Debug, Clone)]
pub(crate) struct Pool {
    limit_bytes: usize,
    least_bytes: usize,
    held_bytes: Arc<AtomicUsize>,
}

/// What one of them holds.
#[derive(Debug)]
pub(crate) struct Share {
    pool: Pool,
    held_bytes: AtomicUsize,
}

impl Pool {
    /// An empty one for so many shards.
    pub(crate) fn new(limit_bytes: usize, shards: usize) -> Self {
        let least_bytes = limit_bytes / (LEAST_PART * shards.max(1));
        Self { limit_bytes, least_bytes, held_bytes: Arc::default() }
    }

    /// One shard's, with nothing in it.
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

    /// Whether all shards hold so many times the limit, and this one its least.
    pub(crate) fn is_full(&self, times: usize) -> bool {
        let Pool { limit_bytes, least_bytes, held_bytes } = &self.pool;
        held_bytes.load(Ordering::Relaxed) >= limit_bytes * times
            && self.held_bytes.load(Ordering::Relaxed) >= least_bytes * times
    }

    /// What all shards hold.
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
