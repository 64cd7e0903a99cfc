//! The node as a process: configuration, sockets, threads and clocks around the pure machines.
//!
//! Invariant: nothing here decides what a record means; it carries inputs in and effects out.

pub mod clock;
pub mod config;
pub mod logging;
