//! One shard of a node: puts the pure machines together, one input in, outputs out.
//!
//! It alone translates between machines. Invariant: storage answers the outputs of one replica in the
//! order in which they were polled, so a [`Output::Load`] after an [`Output::Apply`] of the same key
//! sees what was applied.

#![no_std]
extern crate alloc;

mod answer;
mod forward;
mod get;
mod io;
mod latency;
mod mint;
mod pending;
mod put;
mod replica;
mod scan;
mod serve;
mod wakes;

pub use answer::version_tag;
pub use io::{Config, Counter, Input, Output, RangeResult, StorageFault};
pub use replica::Replica;

#[cfg(test)]
mod tests;
