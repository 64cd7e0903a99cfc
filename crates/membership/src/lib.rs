//! Members of the cluster, their liveness, and the layouts and bucket properties in force (paper 4.8).
//!
//! Invariant: a member's record is written by that member alone, and of two versions of anything all nodes choose the
//! same one, so gossip brings every node to the same state in any order. Liveness is the one exception: each node
//! judges it for itself.

#![no_std]
extern crate alloc;

mod acceptable;
mod access_list;
mod admin;
mod agreed;
mod announce;
mod chance;
mod departure;
mod detector;
mod exchange;
mod founding;
mod knowledge;
mod layout_history;
mod lives;
mod machine;
mod output;
mod own;
mod placement;
mod relay;
mod report;
mod rounds;
mod saving;
mod summary;
mod view;

pub use acceptable::Unacceptable;
pub use layout_history::ActiveLayout;
pub use lives::Lineage;
pub use machine::{Config, Membership};
pub use output::{Destination, Event, Output};
pub use view::{Past, View};

#[cfg(test)]
mod tests;
