//! From a key to the nodes that hold it: position, partition, ring, preference list (paper 4.1 to 4.3, 6.2).
//!
//! Invariant: everything here is a pure function of its arguments, so every node that knows the same
//! ring computes the same owners.

#![no_std]
extern crate alloc;

mod apportion;
mod arrange;
mod balance;
pub mod comparison;
mod goals;
mod plan;
mod position;
mod preference;
mod ring;
mod ring_diff;

pub use balance::{Balance, NodeBalance};
pub use plan::{PlanError, plan_first, plan_next};
pub use position::{Partition, PartitionCount, Position};
pub use preference::Preferences;
pub use ring::{NODES_MAX, NodeId, Ring, RingError, RingNode};
pub use ring_diff::{NodeDiff, RingDiff};
