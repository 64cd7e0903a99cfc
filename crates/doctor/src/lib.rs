//! Diagnosis of a cluster: from what its members report of themselves to what is wrong, what that holds up, and what to
//! do.
//!
//! Whoever asks gathers each member's answers to [`FIRST`] and [`OTHERS`] in an [`ObservedMember`], and has
//! [`diagnose`] look at all of them. The admin tool does, and so does a node for its HTTP door.
//!
//! Invariant: pure, so that each rule is a table; a question without an answer is a finding, never a sign of health.

#![no_std]
extern crate alloc;

mod counters;
mod diagnosis;
mod drained;
mod names;
mod observed;
mod report;
mod settings;
mod storage;
#[cfg(test)]
mod tests;
mod transfers;
mod words;

use jedlik_protocol::admin::AdminRequest;

pub use self::diagnosis::{Finding, Severity, diagnose};
pub use self::names::tell_apart;
pub use self::observed::{Observed, ObservedMember};
pub use self::report::{is_wrong, to_text};
pub use self::words::{is_gone, largest_n, leaver_remedy, says_drained, work_name};

/// Question that every member is asked first. One that doesn't answer is not asked the others.
pub const FIRST: AdminRequest = AdminRequest::Status;

/// Questions that members are asked after the first.
pub const OTHERS: [AdminRequest; 5] = [
    AdminRequest::Hints,
    AdminRequest::Stats,
    AdminRequest::RepairProgress,
    AdminRequest::Background,
    AdminRequest::Transfers,
];
