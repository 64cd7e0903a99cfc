//! Limits of the door for Riak's clients. Names end with their unit, unless the type says it.

use std::time::Duration;

use jedlik_protocol::limits::{
    ATTRIBUTES_LIMIT_BYTES, BUCKET_LIMIT_BYTES, CONTEXT_LIMIT_BYTES, KEY_LIMIT_BYTES,
    VALUE_LIMIT_MAX_BYTES,
};

/// Limits on what clients may hold of the door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Number of connections. Past it, the one that has been idle for longest is closed for a new one.
    pub connections: usize,
    /// Time without a request after which a connection is closed.
    pub idle: Duration,
    /// Time in which a request has to arrive, once its first bytes have.
    pub message: Duration,
    /// Time that a client may leave an answer untaken.
    pub write: Duration,
    /// Time that requests under way have left when the door closes.
    pub drain: Duration,
    /// Size of all requests that are being received or carried out.
    pub requests_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            // Riak's clients keep connections in pools, and some ping them once a minute.
            idle: Duration::from_secs(300),
            message: Duration::from_secs(60),
            write: Duration::from_secs(30),
            drain: Duration::from_secs(10),
            requests_bytes: 64 << 20,
        }
    }
}

/// Longest request but a put, its code included: the longest context, with names and options.
pub(crate) const REQUEST_LIMIT_BYTES: usize =
    CONTEXT_LIMIT_BYTES + BUCKET_LIMIT_BYTES + KEY_LIMIT_BYTES + OPTIONS_BYTES;
/// Longest put, its code included: the largest value with what may belong to it.
pub(crate) const PUT_LIMIT_BYTES: usize =
    VALUE_LIMIT_MAX_BYTES as usize + ATTRIBUTES_LIMIT_BYTES + REQUEST_LIMIT_BYTES;
/// Longest request that is passed over, so that its connection can go on; a longer one ends it.
pub(crate) const SKIP_LIMIT_BYTES: usize = 64 << 20;
/// Bytes that a request takes beside names, value and context.
const OPTIONS_BYTES: usize = 4 << 10;
/// Bytes that are made room for when a connection is read.
pub(crate) const READ_BYTES: usize = 4 << 10;
/// Time that a client has for reading why its connection ends.
pub(crate) const LINGER: Duration = Duration::from_secs(1);
/// Most bytes of all names in a listing of buckets.
pub(crate) const BUCKETS_LIMIT_BYTES: usize = 16 << 20;
/// Longest identifier that a client may give itself.
pub(crate) const CLIENT_ID_LIMIT_BYTES: usize = 64;
