//! Randomness from a seed, with a stream for each concern, so that a change in one doesn't reshuffle the rest.
//!
//! Invariant: no random number of a run comes from anywhere else.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// Concern of a run that is left to chance; each has a stream of its own.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Concern {
    Setting,
    Operations,
    Faults,
    Network,
    Disk,
    Clocks,
    Clients,
    Lives,
    Outage,
    Changes,
    Admins,
    Saves,
    Recounts,
    Lineages,
    Reconciling,
    Hints,
    Heat,
    SlowDisks,
    Shortages,
    Beliefs,
    Standstills,
    Doubts,
    Storage,
}

/// Stream of random numbers for one concern, determined by the seed.
#[derive(Debug)]
pub(crate) struct Chance(ChaCha8Rng);

impl Chance {
    pub(crate) fn new(seed: u64, concern: Concern) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(concern as u64 + 1);
        Self(random)
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.0.next_u64()
    }

    pub(crate) fn bytes(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        self.0.fill_bytes(&mut bytes);
        bytes
    }

    /// Returns a number from 0 to below `limit`, which is at least 1.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0.next_u64() % limit
    }

    /// Returns a number from `least` to `most`, both included.
    pub(crate) fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most - least + 1)
    }

    /// Returns a number as [`Self::between`] does, with every order of magnitude equally likely; `least` is at least 1.
    pub(crate) fn magnitude(&mut self, least: u64, most: u64) -> u64 {
        let doublings = u64::from((most / least).max(1).ilog2());
        let floor = least << self.below(doublings + 1);
        self.between(floor, (floor * 2).min(most).max(floor))
    }

    pub(crate) fn permille(&mut self, chance: u64) -> bool {
        self.below(1000) < chance
    }

    pub(crate) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }
}
