//! When gossip goes out and to whom.
//!
//! Invariant: without news about one exchange a second is opened, whatever the size of the cluster.

use crate::chance::Chance;

/// Between two exchanges, as in the paper; spread a little, so that nodes don't keep in step.
const INTERVAL_US: u64 = 1_000_000;
/// The spread, up and down together.
const JITTER_US: u64 = 200_000;
/// A seed is asked besides in one round of so many: islands that know nothing of one another meet at
/// the seeds within seconds, and seeds of a large cluster are not flooded.
const SEED_ROUNDS: u64 = 10;
/// Between a round and one that is moved up because of news: what arrives meanwhile goes along.
const NEWS_INTERVAL_US: u64 = 50_000;
/// How many peers are told news in one round. Each tells others in turn, so a cluster knows within a few
/// hops; what this misses the regular rounds bring.
pub(crate) const NEWS_FANOUT: usize = 3;

/// The clock of the rounds.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub(crate) struct Rounds {
    due_us: u64,
    earliest_us: u64,
    watch_us: u64,
}

impl Rounds {
    /// The first round is due at once.
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

    /// `None` unless a round is due; if it is, the next one is set, and the answer tells whether a seed
    /// is to be asked besides.
    pub(crate) fn take(&mut self, now_us: u64, chance: &mut Chance) -> Option<bool> {
        if now_us < self.due_us {
            return None;
        }
        self.earliest_us = now_us + NEWS_INTERVAL_US;
        self.due_us = now_us + INTERVAL_US - JITTER_US / 2 + chance.below(JITTER_US);
        Some(chance.below(SEED_ROUNDS) == 0)
    }

    /// Whether the member that this node watches is to be asked in this round: in each but those that
    /// were moved up.
    pub(crate) fn take_watch(&mut self, now_us: u64) -> bool {
        let is_due = now_us >= self.watch_us;
        if is_due {
            self.watch_us = now_us + INTERVAL_US - JITTER_US;
        }
        is_due
    }
}
