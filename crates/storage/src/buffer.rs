//! Records that the journal has and the engine has not yet.
//!
//! Invariant: a buffered record has been merged with all that was below it, so it alone answers a load.

use std::collections::BTreeMap;

use jedlik_protocol::{PlacedKey, StoredRecord};

/// What a buffered record costs beyond its bytes: the map's entry and the headers of its allocations.
const OVERHEAD_BYTES: usize = 320;

/// One generation of the buffer.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    records: BTreeMap<PlacedKey, StoredRecord>,
    bytes: usize,
    journal_bytes: usize,
}

impl Buffer {
    pub(crate) fn load(&self, key: &PlacedKey) -> Option<&StoredRecord> {
        self.records.get(key)
    }

    pub(crate) fn records(&self) -> &BTreeMap<PlacedKey, StoredRecord> {
        &self.records
    }

    /// What it takes in memory, about.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// What its frames take in the journal.
    pub(crate) fn journal_bytes(&self) -> usize {
        self.journal_bytes
    }

    /// Takes the merged record of `key`, whose frame in the journal has `journal_bytes`. The key is
    /// copied, the record has to be detached already.
    pub(crate) fn put(&mut self, mut key: PlacedKey, record: StoredRecord, journal_bytes: usize) {
        self.journal_bytes += journal_bytes;
        let length = record.record.bytes().len();
        if let Some(place) = self.records.get_mut(&key) {
            self.bytes = self.bytes + length - place.record.bytes().len();
            *place = record;
            return;
        }
        self.bytes += length + key.key.bucket().len() + key.key.key().len() + OVERHEAD_BYTES;
        key.key = key.key.detached();
        self.records.insert(key, record);
    }
}
