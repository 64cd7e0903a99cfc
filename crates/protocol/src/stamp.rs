//! What a request and an answer between nodes tell of the process that sends them.
//!
//! Invariant: what names no life is a refusal.

use rkyv::{Archive, Deserialize, Serialize};

use crate::{ActiveLayouts, Incarnation};

/// What a request of one node to another is made under.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Terms {
    /// The life of the node whose process asks: a receiver that knows of another one takes nothing from it.
    pub life: Incarnation,
    /// The active layouts for the asker: a receiver that knows of another one refuses.
    pub layouts: ActiveLayouts,
    /// The receiver's clock as the asker last heard it, from which the receiver counts the message's age; 0 if it
    /// never did.
    pub receiver_clock: u64,
}

/// What an answer to another node tells of the one that answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Stamp {
    /// The life of the node whose process answers.
    pub life: Incarnation,
    /// Its clock, to be named in requests to it: microseconds from a start that is drawn anew in each of its
    /// lives; 0 for one who is not to know it.
    pub clock: u64,
}

impl Stamp {
    /// Of a refusal that tells neither.
    pub const UNTOLD: Self = Self { life: Incarnation(0), clock: 0 };
}
