//! The journal: every record is appended here before it is acknowledged (design 3).
//!
//! Invariant: frames are numbered without gaps in the order in which they were applied, and a segment
//! is removed only when the engine durably holds all that its frames say.
//!
//! A journal is a directory of segments named by a number of 20 digits and `.journal`. A segment is a
//! header, then frames. Numbers are little endian.
//!
//! ```text
//! header   0  8  magic "jedlikJ\n"
//!          8  4  format: 1
//!         12  4  shard
//!         16  8  cluster
//!         24  8  node
//!         32  8  the segment's number
//!         40  8  the number of its first frame
//!         48  8  the last frame known to be synced when it was begun
//!         56  4  salt, random
//!         60  4  CRC-32 of the bytes before
//!
//! frame    0  4  magic F1 6A 52 46
//!          4  4  CRC-32, started from the salt, of the bytes after
//!          8  4  the payload's length
//!         12  8  the frame's number (lsn)
//!         20  8  the last frame known to be synced when this one was written
//!         28     payload: the length of the key's bytes (2), the key's bytes, the record's body,
//!                both as in `format.rs`
//! ```
//!
//! A frame that can't be read was torn by the crash, unless a later one says that it had been synced:
//! then it was damaged. Either way every frame that can be read is replayed, which is safe because
//! records merge.

mod appender;
#[cfg(test)]
mod bodies;
mod frame;
mod replay;
mod segment;
mod writer;

#[cfg(test)]
mod tests;

pub(crate) use frame::{PAYLOAD_LIMIT_BYTES, push as push_frame};
pub use replay::{DamagedRegion, Recovery};
pub(crate) use replay::{Replayed, replay};
pub(crate) use writer::{Batch, Journal, JournalSettings, Message, Waiting};
