//! One Merkle exchange between two replicas as a state machine (paper 4.7).
//!
//! Invariant: if both replicas hold still, both hold the merge of both once the exchange is complete, or the
//! peer alone does if the exchange only pushes. If they do not, nothing is lost by it: all that an exchange
//! does is merge, and what it missed the next one finds.

#![no_std]
extern crate alloc;

mod exchange;
mod fetch;
mod output;
mod records;
mod report;
mod span;
mod walk;

pub use exchange::{Exchange, REQUESTS_AT_ONCE};
pub use fetch::PAGES_AT_ONCE;
pub use output::{Direction, ExchangeOutput};
pub use records::PIPELINE;
pub use report::{ExchangeReport, Outcome};
