//! The node as a process: configuration, sockets, threads and clocks around the pure machines.
//!
//! Invariant: nothing here decides what a record means; it carries inputs in and effects out.

mod access;
mod admission;
mod clock;
pub mod config;
#[cfg(feature = "mysql")]
mod database;
#[cfg(not(feature = "mysql"))]
#[path = "no_database.rs"]
mod database;
mod descriptors;
mod disputes;
mod doors;
mod error;
mod fatal;
mod inbox;
pub mod inspection;
mod line_queue;
#[cfg(test)]
mod lines;
pub mod logging;
mod members;
mod membership_task;
mod memory;
mod news;
mod node;
mod notes;
mod outcome;
mod parting;
mod peers;
mod pool;
mod presence;
pub mod process;
mod progress;
mod questions;
mod refusals;
mod reload;
mod reply;
mod reports;
mod request_counts;
mod router;
mod saver;
mod seeds;
mod shard;
mod spans;
mod start;
mod stats;
mod stores;
mod threads;
mod ticks;
mod upkeep;
mod weight;
mod worker;

pub use doors::check_certificates;
pub use error::NodeError;
pub use node::{EmptyDirectory, Ending, Node};
pub use reload::Load;
pub use stores::believe_copy;
