//! Whole nodes in one process, over real sockets and real files.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod caller;
mod cluster;

mod lifecycle;
mod requests;
mod watched;
