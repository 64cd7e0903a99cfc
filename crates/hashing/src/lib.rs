//! From a key to the nodes that hold it: position, partition, ring, preference list (paper 4.1 to 4.3, 6.2).
//!
//! Invariant: everything here is a pure function of its arguments, so every node that knows the same
//! ring computes the same owners.

#![no_std]
extern crate alloc;

mod position;
mod ring;

pub use position::{Partition, PartitionCount, Position};
pub use ring::{NodeId, Ring, RingNode};
