//! What gets under way hold in memory, and those that nobody waits for any more.
//!
//! Invariant: what a get holds counts from its first record until it is over, however it ends.

use alloc::format;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicUsize, Ordering};

use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_protocol::limits::{LARGE_AT_ONCE_BYTES, SMALL_FRAME_BYTES};

use crate::pending::{Asker, OperationId};
use crate::replica::{Operation, Replica};

/// What one shard's gets hold of large records at most: past it further large ones are refused, and small ones go on.
const READ_LIMIT_BYTES: usize = LARGE_AT_ONCE_BYTES;

/// What all gets hold of large records, in bytes.
#[derive(Debug, Clone, Default)]
pub(crate) struct ReadBytes(Arc<AtomicUsize>);

/// What one get holds.
#[derive(Debug)]
pub(crate) struct Held {
    all: ReadBytes,
    bytes: usize,
}

impl ReadBytes {
    /// Counts a get's record, unless it is one too many; small ones are bounded by the number of requests.
    pub(crate) fn hold(&self, bytes: usize) -> Result<Option<Held>, Failure> {
        let others = self.0.load(Ordering::Relaxed);
        if bytes <= SMALL_FRAME_BYTES {
            return Ok(None);
        }
        // One is always read, however large.
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

impl Drop for Held {
    fn drop(&mut self) {
        self.all.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Replica {
    /// What the gets under way have read of large records and hold.
    #[cfg(test)]
    pub(crate) fn read_bytes(&self) -> usize {
        self.pending.read_bytes.0.load(Ordering::Relaxed)
    }

    /// Ends the get or the scan that would have been answered so. A put goes on: replicas may have it.
    pub(crate) fn handle_withdrawn(&mut self, reply: u64) {
        let asker = Asker::Client(reply);
        let of_it = |operation: &Operation| match operation {
            Operation::Get(get) => get.waits(asker),
            Operation::Scan(scan) => scan.asker == asker,
            _ => false,
        };
        let found = self.operations.iter().find(|(_, operation)| of_it(operation));
        if let Some(id) = found.map(|(id, _)| *id) {
            self.end(id);
        }
    }

    fn end(&mut self, id: OperationId) {
        self.operations.remove(&id);
        self.sleep(id);
    }

    /// Counts what a get has read here; if it is too much, refuses the get and says so.
    pub(crate) fn hold_read(&mut self, id: OperationId, bytes: usize) -> bool {
        let Some(Operation::Get(get)) = self.operations.get_mut(&id) else { return false };
        match self.pending.read_bytes.hold(bytes) {
            Ok(held) => {
                get.held = held;
                true
            }
            Err(failure) => {
                let asker = get.asker;
                self.end(id);
                self.refuse(asker, failure);
                false
            }
        }
    }
}
