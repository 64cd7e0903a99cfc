//! Every bound on what a connection may hold, send or wait for. Units stand last in the names.

use core::time::Duration;

use jedlik_protocol::limits::LARGE_AT_ONCE_BYTES;

/// Frames that may wait on one connection for its writer; one more is refused.
pub const SEND_QUEUE_FRAMES: usize = 16 << 10;
/// Bytes that may wait on one connection for its writer; a single frame fits whatever its size.
pub const SEND_QUEUE_BYTES: usize = LARGE_AT_ONCE_BYTES;
/// The same on a connection to a client or an admin, which may not be reading.
pub const CLIENT_QUEUE_BYTES: usize = 64 << 20;
/// The same on all connections to clients and admins together: who has nothing waiting is sent one frame past it.
pub const CLIENTS_QUEUE_BYTES: usize = LARGE_AT_ONCE_BYTES;
/// Beside what may wait on a connection there is room for small frames of a part of it: what is said in place of an
/// answer that found no room.
pub const SMALL_FRAMES_PART: usize = 16;
/// Bytes of clients' large frames that this process has begun to receive and not received whole: those of
/// further frames are left with their senders until there is room.
pub const UNFINISHED_BYTES: usize = LARGE_AT_ONCE_BYTES;
/// Large frames of one client that are received at the same time, so that no client has all of the room.
pub const UNFINISHED_FRAMES: usize = 2;
/// How long a client's large frame may take to arrive, besides what its length allows. Nodes take as long as they
/// need: a busy cluster must not lose its connections by being slow.
pub const FRAME_TIME_LEAST: Duration = Duration::from_secs(if cfg!(test) { 5 } else { 60 });
/// A client's large frame that arrives more slowly than this is given up, with its connection.
pub const FRAME_BYTES_PER_S: usize = 16 << 10;
/// How long a writer waits for a client to take anything before its connection is ended.
pub const STALL_TIMEOUT: Duration = Duration::from_secs(if cfg!(test) { 5 } else { 30 });
/// What a writer gives the transport at a time.
pub const WRITE_PIECE_BYTES: usize = 256 << 10;
/// Frames that may wait at a [`crate::Peer`] while its connection is being made.
pub const PEER_QUEUE_FRAMES: usize = 1024;
/// Bytes that may wait at a [`crate::Peer`] while its connection is being made.
pub const PEER_QUEUE_BYTES: usize = LARGE_AT_ONCE_BYTES;
/// Streams on which one side sends large frames at the same time; more of them wait their turn.
pub const LARGE_STREAMS: u32 = 4;
/// What one stream may have under way: enough for 1 Gbit/s over 30 ms.
pub const STREAM_WINDOW_BYTES: u32 = 4 << 20;
/// What one connection may have under way. It holds the windows of all streams that may be open, so
/// that large frames can't use up what small ones need.
pub const CONNECTION_WINDOW_BYTES: u32 = STREAM_WINDOW_BYTES * (LARGE_STREAMS + 2);
/// Connections that one endpoint serves; a further one is refused.
pub const CONNECTIONS: usize = 4096;
/// Of these, those that clients and admins leave to nodes.
pub const NODE_CONNECTIONS: usize = 1024;
/// Handshakes that one endpoint sees through at the same time; what else knocks has to knock again.
pub const HANDSHAKES: usize = 256;
/// What the system is asked to hold for one socket in each direction, so that a burst is not lost. It
/// gives at most what its administrator allows (on Linux `net.core.rmem_max` and `wmem_max`).
pub const SOCKET_BUFFER_BYTES: usize = 4 << 20;
/// How often an idle connection says that it is alive.
pub const KEEP_ALIVE: Duration = Duration::from_secs(1);
/// A peer that is silent for so long is taken to be dead.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(4);
/// How long making a connection may take.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long closing an endpoint waits for the peers to take what was sent.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long to wait for the socket of a closed endpoint to go before listening there again.
pub const RELEASE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a [`crate::Peer`] waits after the first failed attempt; doubled with each further one.
pub const BACKOFF_MIN: Duration = Duration::from_millis(50);
/// The longest that a [`crate::Peer`] waits between attempts.
pub const BACKOFF_MAX: Duration = Duration::from_secs(2);
/// The same of one that is dialled seldom: see [`crate::Peer::dial_seldom`].
pub const BACKOFF_SELDOM_MAX: Duration = Duration::from_secs(120);
