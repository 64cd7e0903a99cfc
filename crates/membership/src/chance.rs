//! Random choices from a seed: the same seed gives the same run.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// Seeded generator of nonces and choices.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub(crate) struct Chance(ChaCha8Rng);

impl Chance {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self(ChaCha8Rng::from_seed(seed))
    }

    /// Returns a number that nobody guesses or repeats.
    pub(crate) fn nonce(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Returns a number below `bound`, which is at least 1.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.0.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// Takes one of `items` out; `None` if there are none.
    pub(crate) fn draw<T>(&mut self, items: &mut alloc::vec::Vec<T>) -> Option<T> {
        let count = items.len() as u64;
        (count > 0).then(|| items.swap_remove(self.below(count) as usize))
    }
}
