//! Riak's conventions, as far as its HTTP and its Protocol Buffers interface share them.
//!
//! - [`names`]: a bucket of a bucket type is one bucket of Jedlik.
//! - [`properties`]: a bucket's properties under Riak's names.
//! - [`quorums`]: what Riak's clients ask of a request beside Jedlik's own quorums.
//! - [`vtag`]: a version's tag as text.
//! - [`preflist`]: the nodes that serve a key.
//!
//! Invariant: everything here is a function of its arguments. What Jedlik doesn't have is refused by its name, and never
//! taken and ignored.

pub mod names;
pub mod preflist;
pub mod properties;
pub mod quorums;
pub mod vtag;

/// Version of Riak whose interfaces these are; clients choose by it what they use.
pub const VERSION: &str = "3.2.0";
