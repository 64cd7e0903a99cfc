//! The journal: every change is appended here before it is acknowledged
//! ([design 3](../../../../docs/design.md#3-requests)).
//!
//! Invariant: frames are numbered without gaps in the order in which they were made, and a segment is
//! removed only when the engine durably holds all that its frames say.
//!
//! A journal is a directory of segments named by a number of 20 digits and `.journal`. A segment is a
//! header, then frames. Numbers are little endian.
//!
//! ```text
//! header   0  8  magic "jedlikJ\n"
//!          8  4  format: 4
//!         12  4  shard
//!         16  8  cluster
//!         24  8  node
//!         32  8  the segment's number
//!         40  8  the number of its first frame
//!         48  8  the last frame known to be synced when it was begun
//!         56  8  the generation of the buffer to which its frames belong
//!         64  4  salt, random
//!         68  4  CRC-32 of the bytes before
//!
//! frame    0  4  magic F1 6A 52 46
//!          4  4  CRC-32, started from the salt, of the header's bytes after
//!          8  4  CRC-32, started from the salt, of the payload
//!         12  4  the payload's length
//!         16  8  the frame's number (lsn)
//!         24  8  the last frame known to be synced when this one was written
//!         32     payload
//!
//! payload  0  1  what it does: 1 merges a record, 2 replaces one, 3 removes one, 4 merges a hint,
//!                5 removes one, 6 drops a partition
//!          1  4  of a drop: the partition, and nothing more
//!          1  2  of all others: the length of the key's bytes
//!          3     the key's bytes, as in `format.rs`
//!             8  of a hint: the target
//!             8  of a hint that is merged: since_ms
//!                of all but the removals: the record's body, as in `format.rs`
//! ```
//!
//! A frame that can't be read was torn by the crash, unless a later one, or what the node has written down of the
//! shard's progress, says that it had been synced, or the disk could not read it: then it was damaged, and the shard
//! says from then on that it has lost a part of its past. A segment that is gone or shorter than it was synced was not
//! left so by a crash: the journal is refused (`required.rs`). Either way every frame that can be read is replayed.
//! That is safe if a record whose removal was replayed into the engine before is not merged into it again by an older
//! frame alone.
//!
//! So what is replayed must always be all that the engine holds of the journal, or more. To remove segments in order
//! would not ensure that: after a power cut any of the removed ones may be there again, and the rest not. Therefore the
//! engine keeps a mark, the last generation that it holds all of, and changes it in the same commit as the last of that
//! generation's changes (`mark.rs`). A segment of a generation up to the mark is a leftover, is not replayed, and is
//! removed again. A segment past the mark is still there, because segments are removed only after the mark has passed
//! them. So it is replayed with all that came after it, and whatever a commit, or an interrupted replay, has put into
//! the engine before is made again, in the same order, with the same result. A lost or damaged segment changes nothing
//! about that: the segments around it are past the mark and are replayed, and what is missing is reported as far as it
//! is known to have been synced.
//!
//! One thing is left to chance: which of the changes survive that were not yet answered as synced. A power cut may undo
//! one and spare a later one of the same key, even one that was answered: the tail of a segment is kept in pieces, the
//! engine may have had the later one already, and a write or a sync that fails loses its own changes, not those that
//! come after. What is left of a key is what its changes make of it in their order, without some of the unanswered
//! ones. The frame of a merge holds all that its key held then, so nothing promised is lost with earlier changes. Yet
//! if an earlier one was a removal or a replacement, what it was to undo stays beside the merge: a change counts for
//! nothing until it is answered. The drop of a partition acts on each of its records as a removal, and may be undone
//! for some of them alone.

mod appender;
#[cfg(test)]
mod bodies;
mod frame;
mod replay;
mod required;
mod segment;
mod writer;

#[cfg(test)]
mod tests;

pub(crate) use frame::{Edit, PAYLOAD_LIMIT_BYTES, push as push_frame, push_drop};
pub use replay::{DamagedRegion, Recovery};
pub(crate) use replay::{Replayed, Sink, has_segments, identity, replay};
pub(crate) use writer::{Batch, Journal, JournalSettings, Message, Waiting};
