//! Limits of the HTTP door. Names end with their unit, unless the type says it.

use std::time::Duration;

/// Limits on what clients may hold of the door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Number of connections. Past it, the one that has been idle for longest is closed for a new one.
    pub connections: usize,
    /// Time without a request after which a connection is closed.
    pub idle: Duration,
    /// Time in which the head of a request has to arrive.
    pub head: Duration,
    /// Time in which the body of a request has to arrive.
    pub body: Duration,
    /// Time that a client may leave an answer untaken.
    pub write: Duration,
    /// Time that requests under way have left when the door closes.
    pub drain: Duration,
    /// Size of all bodies of requests that are being received.
    pub bodies_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            idle: Duration::from_secs(60),
            head: Duration::from_secs(10),
            body: Duration::from_secs(60),
            write: Duration::from_secs(30),
            drain: Duration::from_secs(10),
            bodies_bytes: 64 << 20,
        }
    }
}

/// Time that a client has for reading why it is not let in.
pub(crate) const LINGER: Duration = Duration::from_secs(1);
/// Most headers of a request over HTTP/1.
pub(crate) const HEADERS_MAX: usize = 100;
/// Longest head of a request.
pub(crate) const HEAD_BYTES: usize = 64 << 10;
/// Most requests at a time on one connection of HTTP/2.
pub(crate) const STREAMS_MAX: u32 = 64;
/// Most streams that an HTTP/2 client may have reset before they were dealt with, past which it loses its connection.
pub(crate) const RESETS_MAX: usize = 32;
/// Bytes that an HTTP/2 client may send ahead on one stream.
pub(crate) const STREAM_WINDOW_BYTES: u32 = 256 << 10;
/// Bytes that an HTTP/2 client may send ahead on all streams of a connection.
pub(crate) const CONNECTION_WINDOW_BYTES: u32 = 1 << 20;
/// Bytes that are kept for an HTTP/2 stream whose client does not read.
pub(crate) const SEND_BUFFER_BYTES: usize = 64 << 10;
