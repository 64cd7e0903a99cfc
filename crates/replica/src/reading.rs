//! What gets under way hold in memory, and those that nobody waits for any more.
//!
//! Invariant: what a get holds counts from its first record until it is over, however it ends.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicUsize, Ordering};

use jedlik_protocol::limits::SMALL_FRAME_BYTES;

use crate::pending::Asker;
use crate::replica::{Operation, Replica};

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
    /// Counts a record; small ones are bounded by the number of requests.
    pub(crate) fn hold(&self, bytes: usize) -> Option<Held> {
        (bytes > SMALL_FRAME_BYTES).then(|| {
            self.0.fetch_add(bytes, Ordering::Relaxed);
            Held { all: self.clone(), bytes }
        })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.all.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Replica {
    /// What the gets under way have read of large records and hold.
    #[must_use]
    pub fn read_bytes(&self) -> usize {
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
            self.operations.remove(&id);
            self.sleep(id);
        }
    }
}
