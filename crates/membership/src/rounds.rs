//! Rounds of gossip: when they come, and whether a seed is asked too.
//!
//! Invariant: without news about one exchange a second is opened, whatever the size of the cluster.

use crate::chance::Chance;

/// Interval between two exchanges, as in the paper; spread a little, so that nodes don't keep in step.
const INTERVAL_US: u64 = 1_000_000;
/// Width of the random spread of the interval, up and down together.
const JITTER_US: u64 = 200_000;
/// Average number of rounds between two that ask a seed, too: islands that know nothing of one another meet at the
/// seeds within seconds, and seeds of a large cluster are not flooded.
const SEED_ROUNDS: u64 = 10;
/// Interval between a round and one that is moved up because of news: what arrives meanwhile goes along.
const NEWS_INTERVAL_US: u64 = 50_000;
/// Number of peers that are told news in one round. Each tells others in turn, so a cluster knows within a few hops;
/// what this misses the regular rounds bring.
pub(crate) const NEWS_FANOUT: usize = 3;

/// Clock of the rounds of gossip.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub(crate) struct Rounds {
    due_us: u64,
    earliest_us: u64,
    watch_us: u64,
}

impl Rounds {
    /// Makes a clock whose first round is due at once.
    pub(crate) fn new(now_us: u64) -> Self {
        Self { due_us: now_us, earliest_us: now_us, watch_us: now_us }
    }

    pub(crate) fn due_us(&self) -> u64 {
        self.due_us
    }

    /// Moves the next round up.
    pub(crate) fn hurry(&mut self, now_us: u64) {
        self.due_us = self.due_us.min(self.earliest_us.max(now_us));
    }

    /// Begins a round if one is due and sets the next; `None` otherwise. The value is whether a seed is to be asked,
    /// too.
    pub(crate) fn take(&mut self, now_us: u64, chance: &mut Chance) -> Option<bool> {
        if now_us < self.due_us {
            return None;
        }
        self.earliest_us = now_us + NEWS_INTERVAL_US;
        self.due_us = now_us + INTERVAL_US - JITTER_US / 2 + chance.below(JITTER_US);
        Some(chance.below(SEED_ROUNDS) == 0)
    }

    /// Whether the watched member is to be probed in this round: in each but those that were moved up.
    pub(crate) fn take_watch(&mut self, now_us: u64) -> bool {
        let is_due = now_us >= self.watch_us;
        if is_due {
            self.watch_us = now_us + INTERVAL_US - JITTER_US;
        }
        is_due
    }
}
