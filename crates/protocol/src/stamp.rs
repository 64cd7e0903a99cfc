//! Terms of a request and stamp of an answer: what each tells of the process that sends it.
//!
//! Invariant: an answer that names no life is a refusal.

use alloc::boxed::Box;

use rkyv::{Archive, Deserialize, Serialize};

use crate::{ActiveLayouts, Incarnation, TraceContext};

/// Terms under which one node asks another: the asker's life, its layouts and the receiver's clock.
#[derive(Debug, Clone, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Terms {
    /// Life of the asking process. A receiver that knows the node in another life takes nothing from it.
    pub life: Incarnation,
    /// Active layouts as the asker knows them. A receiver that knows of another one refuses.
    pub layouts: ActiveLayouts,
    /// Receiver's clock as the asker last heard it, from which the receiver computes the message's age; 0 if the
    /// asker never heard it.
    pub receiver_clock: u64,
    /// Trace that the request belongs to; `None` if it is not traced.
    #[rkyv(with = rkyv::with::Niche)]
    pub trace: Option<Box<TraceContext>>,
}

/// Life and clock of an answering node, sent with each answer to another node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Stamp {
    /// Life of the answering process.
    pub life: Incarnation,
    /// Clock of the answering process, to be named in requests to it: microseconds from a start that is drawn anew in
    /// each life; 0 for an asker that must not know it.
    pub clock: u64,
}

impl Stamp {
    /// Stamp of a refusal that tells neither life nor clock.
    pub const UNTOLD: Self = Self { life: Incarnation(0), clock: 0 };
}
