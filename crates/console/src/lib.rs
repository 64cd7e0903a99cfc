//! The parts that the command-line tools share: the search for a profile, exit codes, and the formats of errors and
//! times.
//!
//! Invariant: the same error has the same exit code and the same words in every tool.

mod failure;
pub mod profile;
mod stamp;

pub use failure::{exit_code, in_one_line};
pub use stamp::{rfc3339, rfc3339_ms};
