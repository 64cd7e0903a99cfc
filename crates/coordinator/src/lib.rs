//! One request as a state machine: a put, a get or a scan over the replicas of a key (paper 4.5, 5, 6.1).
//!
//! Each machine is told of events through `handle_*`, and tells through `poll_output` what to do and through
//! `poll_timeout` when to wake it. Invariant: a machine answers exactly once, and with success only when its
//! [`Needs`] are met in every active owner set.

#![no_std]
extern crate alloc;

mod get;
mod joint;
mod merged;
mod plan;
mod put;
mod scan;
mod tally;

pub use get::{JointGet, JointGetOutput, RepairCause};
pub use joint::{OWNER_SETS_MAX, RequestId};
pub use merged::Merged;
pub use plan::{CoordinatorCopy, ListedNode, ReadPlan, WritePlan};
pub use put::{Cause, JointPut, JointPutOutput, PutSuccess};
pub use scan::{Scan, ScanOutput, ScanPage, ScanShortfall};
pub use tally::{Needs, Shortfall, Tally};

#[cfg(test)]
mod tests;
