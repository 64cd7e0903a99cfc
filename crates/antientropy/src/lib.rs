//! One Merkle exchange between two replicas as a state machine (paper 4.7).
//!
//! Invariant: if both replicas hold still, both hold the merge of both once it is complete. If they do
//! not, nothing is lost by it: all that an exchange does is merge, and what it missed the next one finds.

#![no_std]
extern crate alloc;

mod exchange;
mod records;
mod report;
mod span;

pub use exchange::{Exchange, ExchangeOutput, REQUESTS_AT_ONCE};
pub use records::PIPELINE;
pub use report::{ExchangeReport, Outcome};
