//! End to end: real nodes, real disks, real sockets, and the command-line tools as people use them.
//!
//! Run by `cargo xtask test`, which builds the tools and says where the word list is. One cluster runs at a
//! time, so that the tests don't take one another's processors.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod admin;
mod away;
mod cluster;
mod crash;
mod deletes;
mod flood;
mod limits;
mod load;
mod lost;
mod node;
mod observer;
mod overload;
mod refusals;
mod requests;
mod siblings;
mod steady;
mod tools;
mod words;
