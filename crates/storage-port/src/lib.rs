//! Records, hints and pages as they pass between a replica and its storage.
//!
//! What a replica asks for and what storage answers are said in these types: an engine on a disk and the simulator's
//! disk answer alike. How anything is stored is the business of `jedlik-storage`, and what it means that of
//! `jedlik-replica` and of the machines that it runs.
//!
//! Invariant: what fails its checksum is named, never shown.

#![no_std]
extern crate alloc;

mod hint;
mod range;
mod record;

pub use hint::{Hint, HintMark, HintPage, HintTotals};
pub use range::{RangePage, RangeRequest};
pub use record::{Holding, RecordChange, RecordMeta};
