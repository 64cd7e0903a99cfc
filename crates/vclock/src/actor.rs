//! The actor rule: which clock entry a coordinator may extend.
//!
//! Invariant: an entry is extended only by a node that still holds everything it ever issued under it.
//! Otherwise it would issue a dot twice, and whoever saw the first would drop the second unseen.

use rkyv::{Archive, Deserialize, Serialize};

use crate::planted::{self, Bug};
use crate::{ActorId, VectorClock};

/// One life of a node: drawn anew at every start.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Archive, Serialize, Deserialize,
)]
pub struct Incarnation(pub u64);

/// The actor under which this node coordinates a key, and the life in which it last did.
///
/// Under the actor rule it may be extended in that same life only. It never leaves the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalActor {
    /// The clock entry that this node extends.
    pub actor: ActorId,
    /// The life that wrote it.
    pub incarnation: Incarnation,
}

impl LocalActor {
    /// What to store beside a record with `clock` in place of this: nothing once the entry is gone.
    ///
    /// To be asked after every prune and truncation. A merge with a replica that lags may bring the
    /// entry back with an older counter, so the actor has to end when the entry goes.
    #[must_use]
    pub fn kept_by(self, clock: &VectorClock) -> Option<Self> {
        (clock.counter(self.actor) > 0).then_some(self)
    }
}

/// The actor rule: the actor under which to coordinate a put.
///
/// `local` is what is stored beside the record, `None` with no record; `now_in` the node's present
/// life; `context` what the put's client has seen; `fresh` an actor drawn at random for this call.
#[must_use]
pub fn actor_for(
    local: Option<LocalActor>,
    now_in: Incarnation,
    record: &VectorClock,
    context: &VectorClock,
    fresh: ActorId,
) -> ActorId {
    let Some(LocalActor { actor, incarnation }) = local else { return fresh };
    let held = record.counter(actor);
    let pruned = held == 0 && !planted::on(Bug::ActorKeptAfterHandoff);
    // Somebody has seen what this node issued and no longer holds.
    let lost = context.counter(actor) > held;
    let exhausted = held >= u64::MAX - 1;
    let other_life = incarnation != now_in && !planted::on(Bug::ActorKeptAcrossUncleanStart);
    if other_life || pruned || lost || exhausted { fresh } else { actor }
}

#[cfg(test)]
mod tests;
