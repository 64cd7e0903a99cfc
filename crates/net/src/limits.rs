//! Every bound on what a connection may hold, send or wait for. Names end with their unit.

use core::time::Duration;

use jedlik_protocol::limits::LARGE_AT_ONCE_BYTES;

/// Most frames that may wait on one connection for its writer; one more is refused.
pub const SEND_QUEUE_FRAMES: usize = 16 << 10;
/// Most bytes that may wait on one connection for its writer; a single frame fits whatever its size.
pub const SEND_QUEUE_BYTES: usize = LARGE_AT_ONCE_BYTES;
/// Most bytes that may wait on one connection to a client or an admin, which may not be reading.
pub const CLIENT_QUEUE_BYTES: usize = 64 << 20;
/// Most bytes of large frames that may wait on all connections to clients and admins together; a connection on which
/// nothing waits still takes one frame.
pub const CLIENTS_QUEUE_BYTES: usize = LARGE_AT_ONCE_BYTES;
/// Divisor of a connection's limit in bytes: small frames may use that part beyond the limit, so that a refusal can
/// be sent in place of an answer that found no room.
pub const SMALL_FRAMES_PART: usize = 16;
/// Most bytes of clients' large frames that this process may have received in part; further frames stay with their
/// senders until there is room.
pub const UNFINISHED_BYTES: usize = LARGE_AT_ONCE_BYTES;
/// Most large frames of one client that are received at a time, so that no client takes all of the room.
pub const UNFINISHED_FRAMES: usize = 2;
/// Time that a client's large frame may take to arrive, besides what its length allows. Nodes take as long as they
/// need: a busy cluster must not lose its connections by being slow.
pub const FRAME_TIME_LEAST: Duration = Duration::from_secs(if cfg!(test) { 5 } else { 60 });
/// Rate below which a client's large frame is given up, with its connection.
pub const FRAME_BYTES_PER_S: usize = 16 << 10;
/// Time that a writer waits for a client to take anything before its connection is ended.
pub const STALL_TIMEOUT: Duration = Duration::from_secs(if cfg!(test) { 5 } else { 30 });
/// Bytes that a writer gives the transport at a time.
pub const WRITE_PIECE_BYTES: usize = 256 << 10;
/// Most frames that may wait at a [`crate::Peer`] while its connection is being made.
pub const PEER_QUEUE_FRAMES: usize = 1024;
/// Most bytes that may wait at a [`crate::Peer`] while its connection is being made.
pub const PEER_QUEUE_BYTES: usize = LARGE_AT_ONCE_BYTES;
/// Streams on which one side sends large frames at the same time; further frames wait.
pub const LARGE_STREAMS: u32 = 4;
/// Bytes that one stream may have under way: enough for 1 Gbit/s over 30 ms.
pub const STREAM_WINDOW_BYTES: u32 = 4 << 20;
/// Bytes that one connection may have under way. They cover the windows of all streams that may be open, so that
/// large frames can't use up what small ones need.
pub const CONNECTION_WINDOW_BYTES: u32 = STREAM_WINDOW_BYTES * (LARGE_STREAMS + 2);
/// Most connections that one endpoint serves; one more is refused.
pub const CONNECTIONS: usize = 4096;
/// Connections of one endpoint that clients and admins leave to nodes.
pub const NODE_CONNECTIONS: usize = 1024;
/// Most handshakes that one endpoint runs at the same time; it ignores others, which then try again.
pub const HANDSHAKES: usize = 256;
/// Bytes that the system is asked to buffer for one socket in each direction, so that a burst is not lost. It gives
/// at most what its administrator allows (on Linux `net.core.rmem_max` and `wmem_max`).
pub const SOCKET_BUFFER_BYTES: usize = 4 << 20;
/// Interval at which an idle connection shows that it is alive.
pub const KEEP_ALIVE: Duration = Duration::from_secs(1);
/// Silence after which a peer is taken to be dead.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(4);
/// Time that making a connection may take.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Time that closing an endpoint waits for the peers to take what was sent.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Time to wait for the socket of a closed endpoint to go before listening there again.
pub const RELEASE_TIMEOUT: Duration = Duration::from_secs(30);
/// Pause of a [`crate::Peer`] after the first failed attempt; doubled after each further one.
pub const BACKOFF_MIN: Duration = Duration::from_millis(50);
/// Longest pause of a [`crate::Peer`] between attempts.
pub const BACKOFF_MAX: Duration = Duration::from_secs(2);
/// Longest pause of a peer that is dialled seldom; see [`crate::Peer::dial_seldom`].
pub const BACKOFF_SELDOM_MAX: Duration = Duration::from_secs(120);
