//! One shard of a node: puts the pure machines together, one input in, outputs out.
//!
//! It alone translates between machines. Invariant: storage answers the outputs of one replica in the
//! order in which they were polled, so a [`Output::Load`] after an [`Output::Apply`] of the same key
//! sees what was applied.

#![no_std]
extern crate alloc;

mod admission;
mod allowance;
mod answer;
mod background;
mod clashes;
mod collection;
mod collector;
mod comparing;
mod config;
mod counter;
mod cx;
mod departure;
mod disputes;
mod exchange;
mod exchange_worker;
mod exchanges;
mod explain;
mod forward;
mod get;
mod hint_delivery;
mod holding;
mod inbound;
mod inspection;
mod io;
mod keyset;
mod latency;
mod layout_change;
mod local_copy;
mod message_age;
mod mint;
mod operations;
mod patience;
mod pending;
mod put;
mod range;
mod range_reads;
mod range_writes;
mod reading;
mod reasons;
mod recalling;
mod refilling;
mod repair;
mod replica;
mod revision;
mod scan;
mod schedule;
mod serve;
mod served;
mod storage_replies;
mod successor;
mod surplus;
mod survey;
mod timers;
mod transfer_jobs;
mod transfer_report;
mod transfers;
mod trees;
mod unmended;
mod votes;

pub use answer::version_tag;
pub use config::{Config, ShardPast, Tuning};
pub use counter::Counter;
pub use departure::has_left;
pub use disputes::{dispute_over, dispute_with_peer};
pub use io::{Input, Output, StorageFault};
pub use jedlik_handoff::BudgetSettings;
pub use recalling::Recalled;
pub use replica::Replica;
pub use revision::Revision;

#[cfg(test)]
mod tests;
