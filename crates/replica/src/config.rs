//! What a replica is told when it begins.

use alloc::vec::Vec;

use jedlik_handoff::BudgetSettings;
use jedlik_hashing::NodeId;
use jedlik_protocol::{ClusterId, Incarnation};

/// What a replica is told once.
#[derive(Debug, Clone)]
pub struct Config {
    /// This node.
    pub me: NodeId,
    /// Its cluster: the seed of positions.
    pub cluster: ClusterId,
    /// This life of the node, for the actor rule.
    pub incarnation: Incarnation,
    /// Entropy for actors: never the same twice.
    pub random_seed: [u8; 32],
    /// Which of the node's shards this is: the top 16 bits of its request ids.
    pub shard: u16,
    /// How many shards the node has: this one owns the partitions `p` with `p % shards == shard`.
    pub shards: u16,
    /// Where the clock begins by which messages to this node are aged: drawn anew in each life of the
    /// process, at least 1, the same for all of its shards.
    pub clock_start: u64,
    /// How it looks after its data.
    pub tuning: Tuning,
    /// What this shard is known to have lost.
    pub past: ShardPast,
    /// What the shard last kept by [`Output::KeepVotes`](crate::Output::KeepVotes); `None` if it never did, or has lost it.
    pub votes: Option<Vec<u8>>,
}

/// Whether a shard's storage holds all that it ever acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShardPast {
    /// As far as this node knows.
    Continuous,
    /// It was set aside, or is older than the rest of its directory: it begins anew.
    Lost,
}

/// The times and bounds of what a replica does of its own accord.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuning {
    /// The longest that a message, or what it carries, may live: later it is dropped.
    pub message_life_us: u64,
    /// Between two rounds of comparisons with the other owners.
    pub exchange_interval_us: u64,
    /// Between two readings of all records, which find what rots.
    pub scrub_interval_us: u64,
    /// The bounds of all background work.
    pub budget: BudgetSettings,
}

impl Tuning {
    /// How long a tombstone has to have settled before it is collected: nothing that was sent before is
    /// under way any more then, several times over.
    #[must_use]
    pub fn collect_after_us(&self) -> u64 {
        10 * self.message_life_us
    }
}
