//! Chance from a seed, one stream for each concern, so that a change in one doesn't reshuffle the rest.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// What is left to chance.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Concern {
    /// Joins, departures, replacements.
    Changes,
    /// What goes wrong, when, and with which node.
    Faults,
    /// Which bits flip on a member's disk.
    Rot(u16),
    /// What the session with this number does.
    Session(u16),
}

/// One stream.
#[derive(Debug)]
pub(crate) struct Chance(ChaCha8Rng);

impl Chance {
    pub(crate) fn new(seed: u64, concern: Concern) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(match concern {
            Concern::Changes => 1,
            Concern::Faults => 2,
            Concern::Rot(number) => (1 << 32) + u64::from(number),
            Concern::Session(number) => 16 + u64::from(number),
        });
        Self(random)
    }

    /// From 0 to below `limit`, which is at least 1.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0.next_u64() % limit
    }

    /// From `least` to `most`, both included.
    pub(crate) fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most - least + 1)
    }

    /// One of several; there is at least one.
    pub(crate) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }
}
