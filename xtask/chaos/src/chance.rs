//! Randomness from a seed, with a stream for each concern, so that a change in one doesn't reshuffle the rest.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// Concern of a run that is left to chance; each has a stream of its own.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Concern {
    /// Joins, departures and replacements of members.
    Changes,
    /// Kinds, times and nodes of the faults.
    Faults,
    /// Bits that flip on the disk of the member with this number.
    Rot(u16),
    /// Parts of the member with this number that go back to an earlier state.
    PutBack(u16),
    /// Kinds and times of the faults of a server that has nodes' records.
    Server,
    /// Requests of the session with this number.
    Session(u16),
}

/// Stream of random numbers for one concern, determined by the seed.
#[derive(Debug)]
pub(crate) struct Chance(ChaCha8Rng);

impl Chance {
    pub(crate) fn new(seed: u64, concern: Concern) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(match concern {
            Concern::Changes => 1,
            Concern::Faults => 2,
            Concern::Server => 3,
            Concern::Rot(number) => (1 << 32) + u64::from(number),
            Concern::PutBack(number) => (2 << 32) + u64::from(number),
            Concern::Session(number) => 16 + u64::from(number),
        });
        Self(random)
    }

    /// Returns a number from 0 to below `limit`, which is at least 1.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0.next_u64() % limit
    }

    /// Returns a number from `least` to `most`, both included.
    pub(crate) fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most - least + 1)
    }

    /// Returns one of several elements; there must be at least one.
    pub(crate) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }
}
