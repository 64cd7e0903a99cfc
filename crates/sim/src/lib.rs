//! A whole cluster in one thread and virtual time, from one seed, with everything that can go wrong.
//!
//! Every node is the real `jedlik_replica::Replica` and the real `jedlik_membership::Membership`; their
//! messages go through the real codec. Clocks, disks, the network, clients and the driver around the
//! machines are models. Invariant: the same plan gives the same run, event for event.
//!
//! **The bound.** Promises are made against fewer than W destroyed copies. So only one node, the victim of the seed,
//! loses its disk, has its records rot, or ends in a way that loses acknowledged writes. All others may end in any way
//! that the run's durability survives: with `synced` (or DW = W) any end of a machine, also of all at once; with
//! `written` the end of a process; with `buffered` a clean stop. A node that is removed by force counts as one that has
//! lost its disk. Everything else may happen to every node at any time.

mod admins;
mod answers;
mod bits;
mod breach;
mod chance;
mod clock;
mod clones;
mod contents;
mod convergence;
mod directory;
mod disk;
mod driver;
mod drops;
mod faults;
mod history;
mod log;
mod members;
mod network;
mod node;
mod outage;
mod plan;
mod recounts;
mod reopening;
mod saving;
mod scans;
mod sessions;
mod shrink;
mod stopping;
mod storing;
mod trace;
mod world;

pub use bits::Bits;
pub use breach::{Breach, Promise};
pub use history::{Acknowledged, History, Seen};
pub use log::Line;
pub use outage::{Outage, OutageScope};
pub use plan::{
    Alteration, BucketPlan, Fault, Kind, Operation, Plan, PlannedChange, Quorums, SPAN_US, Setting,
    Side, WARM_UP_US, What,
};
pub use shrink::shrunk;
pub use world::{Counts, Run, run};

#[cfg(test)]
mod tests;
