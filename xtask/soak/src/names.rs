//! Keys and records by number.
//!
//! Invariant: a key's version says all about its record, so that a record need not be remembered to be compared.

use jedlik_hashing::{NodeId, Partition, PartitionCount};
use jedlik_protocol::{Blob, ClusterId, EncodedRecord, Key, PlacedKey, Record, StoredRecord};
use jedlik_storage_port::Hint;
use jedlik_vclock::{ActorId, Content, VectorClock, Write, WriteId};

const CLUSTER: ClusterId = ClusterId(7);
/// Number of partitions that the keys are in.
pub(crate) const PARTITIONS: u32 = 64;
/// Number of buckets that the keys are in.
pub(crate) const BUCKETS: u32 = 5;
/// Largest size of most values, in bytes.
const VALUE_BYTES: u64 = 1_500;
/// One in so many values is large.
const LARGE_ONE_IN: u64 = 500;
/// Size of a large value in bytes, which lies apart from its record in some engines.
const LARGE_BYTES: usize = 100 << 10;

/// Keys of a history, sorted by partition and by place in it.
pub(crate) struct Names {
    keys: Vec<PlacedKey>,
    by_partition: Vec<Vec<u32>>,
}

impl Names {
    pub(crate) fn new(count: u32) -> Self {
        let partitions = PartitionCount::new(PARTITIONS).unwrap_or(PartitionCount::DEFAULT);
        let key = |number: u32| {
            let bucket = bucket(number % BUCKETS);
            let key = Key::new(bucket, format!("key {number}").into_bytes())
                .expect("short names are fine");
            PlacedKey::new(CLUSTER, partitions, key)
        };
        let keys: Vec<PlacedKey> = (0..count).map(key).collect();
        let mut by_partition = vec![Vec::new(); PARTITIONS as usize];
        for (number, key) in (0..).zip(&keys) {
            by_partition[key.partition.0 as usize].push(number);
        }
        for numbers in &mut by_partition {
            numbers.sort_by(|a, b| keys[*a as usize].cmp(&keys[*b as usize]));
        }
        Self { keys, by_partition }
    }

    pub(crate) fn key(&self, number: u32) -> &PlacedKey {
        &self.keys[number as usize]
    }

    /// Returns the numbers of a partition's keys, in the keys' order.
    pub(crate) fn of_partition(&self, partition: Partition) -> &[u32] {
        &self.by_partition[partition.0 as usize]
    }
}

pub(crate) fn bucket(number: u32) -> Blob {
    Blob::from(format!("bucket {number}").into_bytes())
}

/// Returns the record that stands for a version of a key.
pub(crate) fn record(number: u32, version: u64) -> StoredRecord {
    let drawn = version.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ u64::from(number);
    let length = match drawn % LARGE_ONE_IN {
        0 => LARGE_BYTES,
        _ => ((drawn >> 16) % VALUE_BYTES) as usize,
    };
    let byte = |place: usize| (drawn >> (place % 8 * 8)) as u8 ^ place as u8;
    let write = Write {
        write_id: WriteId(u128::from(version) << 32 | u128::from(number)),
        written_at_ms: version,
        expires_at_ms: None,
        content: Content::Value((0..length).map(byte).collect::<Vec<u8>>().into()),
    };
    let mut record = Record::new();
    record.put(&VectorClock::default(), ActorId(version), write);
    StoredRecord { local: None, record: EncodedRecord::encode(&record) }
}

/// Returns the hint that stands for a version of a key's hint for a target.
pub(crate) fn hint(names: &Names, target: NodeId, number: u32, version: u64) -> Hint {
    let since_ms = version / 3;
    Hint { target, since_ms, key: names.key(number).clone(), record: record(number, version) }
}
