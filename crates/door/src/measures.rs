//! Measurements of a node that only its own doors are told: they are read by whoever watches the process.
//!
//! Invariant: everything here is of the process that serves the door, since its start.

use jedlik_histogram::{Numbers, SizesBytes, TimesUs};

/// Measurements of a node, all shards together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Measures {
    /// Requests of clients, one entry for each kind.
    pub requests: Vec<RequestMeasures>,
    /// Requests that the door for Riak's Protocol Buffers clients has answered, one entry for each kind.
    pub riak_pb: Vec<RequestMeasures>,
    /// Number of versions that each successful get has found.
    pub siblings: Numbers,
    /// Time that each sync of a journal took.
    pub journal_syncs_us: TimesUs,
    /// Size of each group of changes that was written to a journal at once.
    pub commits_bytes: SizesBytes,
    /// End of the node's certificate in seconds since the Unix epoch; `None` if it can't be read.
    pub certificate_ends_s: Option<u64>,
    /// Measurements of the doors, one entry for each that is open.
    pub doors: Vec<DoorMeasures>,
}

/// Measurements of a door.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DoorMeasures {
    /// Name of the door, as metrics have it.
    pub door: &'static str,
    /// End of the door's certificate in seconds since the Unix epoch; `None` if it has none.
    pub certificate_ends_s: Option<u64>,
    /// Number of clients and requests that were refused, by the reason, as metrics name it.
    pub refusals: Vec<(&'static str, u64)>,
}

/// Measurements of the requests of one kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestMeasures {
    /// Kind of the requests, as metrics name it.
    pub kind: &'static str,
    /// Number of requests by their outcome, as metrics name it.
    pub outcomes: Vec<(&'static str, u64)>,
    /// Time from a request's arrival at its shard to its answer, whatever that was.
    pub times_us: TimesUs,
}
