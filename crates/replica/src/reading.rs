//! Memory that gets under way hold, and gets that nobody waits for any more.
//!
//! Invariant: what a get holds counts from its first record until it is over, however it ends.

use alloc::format;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicUsize, Ordering};

use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_protocol::limits::{LARGE_AT_ONCE_BYTES, SMALL_FRAME_BYTES};

use crate::cx::Cx;
use crate::operations::{Operation, Operations};
use crate::pending::{Asker, OperationId};

/// Most bytes of large records that one shard's gets hold: past it further large ones are refused, and small
/// ones go on.
const READ_LIMIT_BYTES: usize = LARGE_AT_ONCE_BYTES;

/// Total of the large records that all gets hold, in bytes.
#[derive(Debug, Clone, Default)]
pub(crate) struct ReadBytes(Arc<AtomicUsize>);

/// Large record that one get holds; dropping it takes it off the total.
#[derive(Debug)]
pub(crate) struct Held {
    all: ReadBytes,
    bytes: usize,
}

impl ReadBytes {
    /// Counts a get's record, or refuses it if it is one too many. Small records are bounded by the number of
    /// requests and not counted.
    pub(crate) fn hold(&self, bytes: usize) -> Result<Option<Held>, Failure> {
        let others = self.0.load(Ordering::Relaxed);
        if bytes <= SMALL_FRAME_BYTES {
            return Ok(None);
        }
        // One large record is always read, however large.
        if others > 0 && others + bytes > READ_LIMIT_BYTES {
            let message = format!(
                "the gets under way hold {others} bytes of large records, and one of {bytes} more is over the limit of \
                 {READ_LIMIT_BYTES}; nothing was done, try again"
            );
            return Err(Failure::new(ErrorCode::Overloaded, message));
        }
        self.0.fetch_add(bytes, Ordering::Relaxed);
        Ok(Some(Held { all: self.clone(), bytes }))
    }
}

#[cfg(test)]
impl ReadBytes {
    /// Returns the bytes of large records that the gets under way hold.
    pub(crate) fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.all.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Operations {
    /// Ends the get or the scan that would have answered this handle. A put goes on, since replicas may have it.
    pub(crate) fn handle_withdrawn(&mut self, reply: u64) {
        let asker = Asker::Client(reply);
        let of_it = |operation: &Operation| match operation {
            Operation::Get(get) => get.waits(asker),
            Operation::Scan(scan) => scan.asker == asker,
            _ => false,
        };
        let found = self.by_id.iter().find(|(_, operation)| of_it(operation));
        if let Some(id) = found.map(|(id, _)| *id) {
            self.end(id);
        }
    }

    /// Counts what a get has read here. Returns false if that is too much and the get is refused, or if it is over.
    pub(crate) fn hold_read(&mut self, cx: &mut Cx, id: OperationId, bytes: usize) -> bool {
        let Some(Operation::Get(get)) = self.by_id.get_mut(&id) else { return false };
        match cx.pending.read_bytes.hold(bytes) {
            Ok(held) => {
                get.held = held;
                true
            }
            Err(failure) => {
                let asker = get.asker;
                self.end(id);
                cx.refuse(asker, failure);
                false
            }
        }
    }
}
