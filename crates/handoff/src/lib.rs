//! Hints for nodes that are away and how they reach them (paper 4.6), and the pace of all background work (paper 6.5).
//!
//! [`Handoff`] delivers one shard's hints, [`Budget`] says how fast the background may go. Neither knows of the other:
//! the replica asks the budget for a step before it takes a delivery, a page of an exchange or a step of the collector,
//! and tells it how long the foreground's requests took. [`InboundTransfer`] says when a new owner of a partition holds
//! all that the older ones do, [`Refill`] when an owner that has lost its past holds it again.
//!
//! Invariant: a hint leaves storage only after its target has synced exactly that record.

#![no_std]
extern crate alloc;

mod budget;
mod handoff;
mod hint;
mod hint_queue;
mod inbound;
mod rate;
mod refill;

pub use budget::{Budget, BudgetReport, BudgetSettings, Foreground};
pub use handoff::Handoff;
pub use hint::{Delivery, HandoffOutput};
pub use inbound::{InboundStatus, InboundTransfer, OldOwner, OldSet};
pub use refill::{Refill, RefillSet, RefillStatus};
