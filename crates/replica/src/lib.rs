//! One shard of a node: puts the pure machines together, one input in, outputs out.
//!
//! It alone translates between machines. Invariant: storage answers the outputs of one replica in the
//! order in which they were polled, so a [`Output::Load`] after an [`Output::Apply`] of the same key
//! sees what was applied.

#![no_std]
extern crate alloc;

mod age;
mod allowance;
mod answer;
mod background;
mod clashes;
mod config;
mod counter;
mod departure;
mod disputes;
mod exchange;
mod explain;
mod fetched;
mod forward;
mod get;
mod handing;
mod held;
mod io;
mod lane;
mod latency;
mod mint;
mod moves;
mod moving;
mod patience;
mod pending;
mod put;
mod range;
mod reading;
mod reaper;
mod reaping;
mod recalling;
mod refilling;
mod relayout;
mod repair;
mod replica;
mod revision;
mod scan;
mod serve;
mod serving;
mod stored;
mod successor;
mod surplus;
mod survey;
mod taking_over;
mod transfers;
mod trees;
mod unmended;
mod votes;
mod wakes;

pub use answer::version_tag;
pub use config::{Config, ShardPast, Tuning};
pub use counter::Counter;
pub use departure::has_left;
pub use disputes::{dispute_over, dispute_with_peer};
pub use io::{Footprint, Hint, HintPage, Holding, Input, Output, StorageFault};
pub use jedlik_handoff::{BudgetSettings, HeldHint, HintMark, HintTotals};
pub use range::{RangeRequest, RangeResult};
pub use recalling::Recalled;
pub use replica::Replica;
pub use revision::Revision;

#[cfg(test)]
mod tests;
