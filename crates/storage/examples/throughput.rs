//! Synced puts of 1 KiB records a second, for groups of several sizes, into a directory given as argument.

use std::env;
use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use jedlik_hashing::{NodeId, PartitionCount};
use jedlik_protocol::{
    Blob, ClusterId, Durability, EncodedRecord, Key, PlacedKey, Record, StoredRecord,
};
use jedlik_storage::{
    Completion, RedbOptions, RedbStore, Shard, ShardIdentity, ShardOptions, StoreError,
};
use jedlik_vclock::{ActorId, Content, VectorClock, Write, WriteId};

const CLUSTER: ClusterId = ClusterId(1);
const VALUE_BYTES: usize = 1024;
const RUN: Duration = Duration::from_secs(5);

fn main() -> Result<(), Box<dyn Error>> {
    let directory: PathBuf = env::args_os().nth(1).ok_or("usage: throughput DIRECTORY")?.into();
    println!("group  records/s  records/sync  processor us each  flushes  overloads  engine MB");
    for group in [1, 16, 64, 256] {
        let place = directory.join(format!("group-{group}"));
        fs::create_dir_all(&place)?;
        run(&place, group)?;
        fs::remove_dir_all(&place)?;
    }
    Ok(())
}

/// Keeps `group` puts in flight, each to a fresh key.
fn run(place: &std::path::Path, group: u64) -> Result<(), Box<dyn Error>> {
    let identity = ShardIdentity { cluster: CLUSTER, node: NodeId(1), shard: 0 };
    let engine = RedbStore::open(&place.join("records.redb"), &RedbOptions::default())?;
    let (sender, completions) = channel::<Vec<Completion>>();
    // Nobody listens any more once the run is over.
    let completed = Box::new(move |done| drop(sender.send(done)));
    let options = ShardOptions::new(identity, place.join("journal"));
    let (mut shard, _) = Shard::open(options, Arc::new(engine), completed)?;
    let (mut ticket, mut answered, mut free) = (0, 0, group);
    let (started, busy) = (Instant::now(), processor_us());
    while started.elapsed() < RUN {
        while free > 0 {
            let (key, record) = put(ticket)?;
            match shard.apply(ticket, key, record, Durability::Synced) {
                Ok(_) => {
                    ticket += 1;
                    free -= 1;
                }
                Err(StoreError::Overloaded { .. }) => break,
                Err(error) => return Err(error.into()),
            }
        }
        shard.submit();
        let wait =
            if ticket > answered { Duration::from_secs(10) } else { Duration::from_millis(1) };
        for completion in completions.recv_timeout(wait).into_iter().flatten() {
            completion.result?;
            answered += 1;
            free += 1;
        }
    }
    let rate = answered as f64 / started.elapsed().as_secs_f64();
    let stats = shard.stats();
    let processor = (processor_us() - busy) / answered.max(1) as f64;
    let each = stats.journal.appends as f64 / stats.journal.syncs.max(1) as f64;
    println!(
        "{group:5}  {rate:9.0}  {each:12.1}  {processor:17.1}  {:7}  {:9}  {:9}",
        stats.engine.flushes,
        stats.overloads,
        stats.engine.bytes >> 20
    );
    shard.close()?;
    Ok(())
}

/// Returns the processor time that this process has used, in microseconds; 0 where the system does not tell.
fn processor_us() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    // User and system time, in hundredths of a second.
    fields.skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() * 10_000.0
}

fn put(number: u64) -> Result<(PlacedKey, StoredRecord), Box<dyn Error>> {
    let key = Key::new("bench", Blob::from(format!("key-{number}").into_bytes()))?;
    let mut record = Record::new();
    let write = Write {
        write_id: WriteId(number.into()),
        written_at_ms: number,
        expires_at_ms: None,
        content: Content::Value(vec![7; VALUE_BYTES].into()),
    };
    record.put(&VectorClock::new(), ActorId(number), write);
    let record = StoredRecord { local: None, record: EncodedRecord::encode(&record) };
    Ok((PlacedKey::new(CLUSTER, PartitionCount::DEFAULT, key), record))
}
