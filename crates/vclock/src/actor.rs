//! The actor rule: which clock entry a coordinator may extend.
//!
//! Invariant: an entry is extended only by a node that still holds everything it ever issued under it.

use rkyv::{Archive, Deserialize, Serialize};

use crate::ActorId;

/// One life of a node: kept over a clean stop, drawn anew at every other start.
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
