//! Keys and records for the tests.

use std::io;
use std::sync::{Arc, Mutex, OnceLock};

use jedlik_hashing::{NodeId, Partition, PartitionCount, Position};
use jedlik_protocol::{
    ClusterId, EncodedRecord, Incarnation, Key, LocalActor, PlacedKey, Record, StoredRecord,
};
use jedlik_storage_port::Hint;
use jedlik_vclock::{ActorId, Content, Dot, VectorClock, Write, WriteId};

use crate::{HintWrite, RangeQuery, ShardIdentity, Store, StoreError, Writes};

pub(crate) const IDENTITY: ShardIdentity =
    ShardIdentity { cluster: ClusterId(7), node: NodeId(8), shard: 1 };

/// Returns the lines that `act` logs on this thread.
pub(crate) fn lines_of(act: impl FnOnce()) -> Vec<String> {
    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);
    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    // While there is but one subscriber, a line that another thread comes to first would be off for all of them.
    static OTHER: OnceLock<tracing::Dispatch> = OnceLock::new();
    OTHER.get_or_init(|| tracing_subscriber::fmt().with_writer(io::sink).finish().into());
    let sink = Sink::default();
    let into = sink.clone();
    let lines = tracing_subscriber::fmt().with_ansi(false).with_writer(move || into.clone());
    tracing::subscriber::with_default(lines.finish(), act);
    let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
    text.lines().map(String::from).collect()
}

/// Returns a key of bucket "b", with its place.
pub(crate) fn key(name: &str) -> PlacedKey {
    key_in("b", name)
}

pub(crate) fn key_in(bucket: &str, name: &str) -> PlacedKey {
    let partitions = PartitionCount::new(4).expect("a power of two");
    PlacedKey::new(IDENTITY.cluster, partitions, Key::new(bucket, name).unwrap())
}

/// Returns a key of bucket "b" at a position of the test's choice, in partition 0.
pub(crate) fn key_at(position: u128, name: &str) -> PlacedKey {
    key_of(0, position, name)
}

/// Returns a key as [`key_at`] does, in a partition of the test's choice.
pub(crate) fn key_of(partition: u32, position: u128, name: &str) -> PlacedKey {
    let key = Key::new("b", name).unwrap();
    PlacedKey { partition: Partition(partition), position: Position(position), key }
}

/// Returns the query for all records of a partition, of which there are fewer than 1,000.
pub(crate) fn everything_of(partition: u32) -> RangeQuery {
    RangeQuery {
        partition: Partition(partition),
        from: None,
        to: None,
        after: None,
        bucket: None,
        values: true,
        limit_records: 1000,
        limit_bytes: 1 << 20,
        limit_examined: 1000,
        limit_examined_bytes: usize::MAX,
    }
}

/// Returns the dot of the version that [`record`] makes.
pub(crate) fn dot(actor: u64, counter: u64) -> Dot {
    Dot { actor: ActorId(actor), counter }
}

/// Returns a record of one version, written as `dot(actor, counter)`, that replaces all before it of its actor.
pub(crate) fn record(actor: u64, counter: u64, value_bytes: usize) -> StoredRecord {
    let mut record = Record::new();
    for count in 1..=counter {
        let seen = record.clock().clone();
        let length = if count == counter { value_bytes } else { 0 };
        let write = Write {
            write_id: WriteId(u128::from(actor) << 64 | u128::from(count)),
            written_at_ms: count,
            expires_at_ms: None,
            content: Content::Value(vec![actor as u8; length].into()),
        };
        record.put(&seen, ActorId(actor), write);
    }
    StoredRecord { local: None, record: EncodedRecord::encode(&record) }
}

pub(crate) fn with_local(mut stored: StoredRecord, actor: u64) -> StoredRecord {
    stored.local = Some(LocalActor { actor: ActorId(actor), incarnation: Incarnation(3) });
    stored
}

/// Whether `stored` has seen the write that `dot` names.
pub(crate) fn covers(stored: Option<&StoredRecord>, dot: Dot) -> bool {
    clock(stored).covers(dot)
}

pub(crate) fn clock(stored: Option<&StoredRecord>) -> VectorClock {
    stored.map_or_else(VectorClock::new, |s| s.record.decode().unwrap().clock().clone())
}

/// Stores records, sorted by key, in an engine.
pub(crate) fn put(
    store: &dyn Store,
    records: &[(PlacedKey, StoredRecord)],
) -> Result<(), StoreError> {
    let records = records.iter().map(|(key, record)| (key.clone(), Some(record.clone())));
    store.write(&Writes { records: records.collect(), ..Writes::default() })
}

/// Returns a hint of key `name` for node `target`, of one version of 20 bytes.
pub(crate) fn hint(target: u64, since_ms: u64, name: &str) -> Hint {
    Hint { target: NodeId(target), since_ms, key: key(name), record: record(1, 1, 20) }
}

/// Stores each hint in the place of the one of its target and key.
pub(crate) fn put_hints(store: &dyn Store, hints: &[Hint]) {
    let mut hints: Vec<HintWrite> = hints.iter().cloned().map(HintWrite::from).collect();
    hints.sort_by(|a, b| (a.target, &a.key).cmp(&(b.target, &b.key)));
    store.write(&Writes { hints, ..Writes::default() }).unwrap();
}
