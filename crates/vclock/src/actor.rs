//! The actor rule: which clock entry a coordinator may extend.
//!
//! Invariant: an entry is extended only by a node that still holds everything it ever issued under it.
//! Otherwise it would issue a dot twice, and a replica that saw the first would drop the second unseen.

use rkyv::{Archive, Deserialize, Serialize};

use crate::{ActorId, VectorClock};
use jedlik_planted::{self as planted, Bug};

/// Random name of one life of a node, drawn anew at every start.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Archive, Serialize, Deserialize,
)]
pub struct Incarnation(pub u64);

/// Actor under which this node coordinates a key, and the life in which it last did.
///
/// Under the actor rule it may be extended in that same life only. It never leaves the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalActor {
    /// Actor of the clock entry that this node extends.
    pub actor: ActorId,
    /// Life of the node that last extended the entry.
    pub incarnation: Incarnation,
}

impl LocalActor {
    /// Returns the local actor to store beside a record with `clock`: this one, or `None` once its entry is gone.
    ///
    /// To be called after every prune and truncation. A merge with a replica that lags may bring the entry back with an
    /// older counter, so the actor has to end when the entry goes.
    #[must_use]
    pub fn kept_by(self, clock: &VectorClock) -> Option<Self> {
        (clock.counter(self.actor) > 0).then_some(self)
    }
}

/// Returns the actor under which to coordinate a put, by the actor rule.
///
/// `local` is stored beside the record, `None` with no record; `now_in` is the node's present life, `context`
/// all that the put's client has seen, and `fresh` an actor drawn at random for this call.
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
    // A client has seen dots that this node issued and no longer holds.
    let lost = context.counter(actor) > held;
    let exhausted = held >= u64::MAX - 1;
    let other_life = incarnation != now_in && !planted::on(Bug::ActorKeptAcrossUncleanStart);
    if other_life || pruned || lost || exhausted { fresh } else { actor }
}

#[cfg(test)]
mod tests;
