//! Causality: dots, vector clocks, and records as sets of siblings (paper 4.4).
//!
//! Invariant: merging records is commutative, associative and idempotent, and never drops a sibling
//! that the other side has not seen.

#![no_std]
extern crate alloc;

mod actor;
mod clock;
mod record;

pub use actor::{Incarnation, LocalActor, actor_for};
pub use clock::{ActorId, ClockEntry, Dot, VectorClock};
pub use record::{Content, Record, Sibling, Write, WriteId};
