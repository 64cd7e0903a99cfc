//! The configuration of a replica: its identity, its past and the limits of its background work.

use alloc::vec::Vec;

use jedlik_handoff::BudgetSettings;
use jedlik_hashing::NodeId;
use jedlik_protocol::{ClusterId, Incarnation};

/// Configuration of a replica, fixed for its life but for the limits that
/// [`Input::SetBackground`](crate::Input::SetBackground) changes.
#[derive(Debug, Clone)]
pub struct Config {
    /// Id of this node.
    pub me: NodeId,
    /// Cluster that the node belongs to; the seed of its keys' positions.
    pub cluster: ClusterId,
    /// Random name of this life of the node, for the actor rule.
    pub incarnation: Incarnation,
    /// Entropy for actors. It must never be used twice.
    pub random_seed: [u8; 32],
    /// Index of this shard among the node's shards; the top 16 bits of its request ids.
    pub shard: u16,
    /// Number of shards of the node. This one owns the partitions `p` with `p % shards == shard`.
    pub shards: u16,
    /// Start of the clock by which messages to this node are aged, in microseconds. Drawn anew in each life
    /// of the process, at least 1, and the same for all of its shards.
    pub clock_start: u64,
    /// Intervals and limits of background work.
    pub tuning: Tuning,
    /// Whether this shard's storage is known to have lost something that it acknowledged.
    pub past: ShardPast,
    /// Bytes of the last [`Output::KeepVotes`](crate::Output::KeepVotes) of this shard; `None` if there never
    /// was one, or it is lost.
    pub votes: Option<Vec<u8>>,
}

/// Whether a shard's storage holds all that it ever acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShardPast {
    /// Storage holds everything, as far as this node knows.
    Continuous,
    /// Storage was set aside, or is older than the rest of its directory. The shard begins anew, without a vote.
    Lost,
}

/// Intervals and limits of what a replica does of its own accord.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuning {
    /// Longest life of a message or of what it carries, in microseconds. Older messages are dropped.
    pub message_life_us: u64,
    /// Interval between two rounds of comparisons with the other owners, in microseconds.
    pub exchange_interval_us: u64,
    /// Interval between two readings of all records, in microseconds. The readings find damaged records.
    pub scrub_interval_us: u64,
    /// Limits of all background work together: steps a second, and the slowdown of the foreground.
    pub budget: BudgetSettings,
}

impl Tuning {
    /// Returns how long all owners must have held a tombstone before it is collected, in microseconds:
    /// several times longer than any message that was sent before can be under way.
    #[must_use]
    pub fn collect_after_us(&self) -> u64 {
        10 * self.message_life_us
    }
}
