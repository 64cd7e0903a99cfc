//! The parts that the command-line tools share: the search for a profile, exit codes, the formats of errors and
//! times, and durations as they are typed.
//!
//! Invariant: the same error has the same exit code and the same words in every tool.

mod duration;
mod failure;
pub mod profile;
mod stamp;

pub use duration::{duration, duration_or_zero, lifetime};
pub use failure::{exit_code, in_one_line};
pub use stamp::{rfc3339, rfc3339_ms};
