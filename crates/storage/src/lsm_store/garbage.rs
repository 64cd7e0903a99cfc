//! Values that nobody needs any more, and the files that keep them.
//!
//! Invariant: a file of values goes once no row names any value in it. Nothing here removes one: rows are merged, and
//! values that are needed are written once more, under their own keys, so that the files with the others are left by
//! all.
//!
//! Keys are spread by hashes, so each file of values has rows in all tables, and lsm-tree would have to merge all of
//! them at once to move the values of any file, with writes piling up meanwhile. Written again in batches, between
//! those of the shard, the same values cost as much and hold nobody up.

use std::sync::atomic::Ordering;
use std::time::Duration;

use jedlik_hashing::Partition;

use crate::StoreError;

use super::engine::Engine;
use super::failures::Failure;
use super::rows::RECORDS;
use super::tree::{APART_BYTES, Found, Opened, read};
use super::writes::Batch;

/// Size of the values that are written again in one batch, about, in bytes.
const BATCH_BYTES: usize = 4 << 20;
/// Number of rows that one step looks at.
const BATCH_ROWS: usize = 20_000;
/// Time to wait while others write.
const WRITER_PAUSE: Duration = Duration::from_millis(10);
/// Bytes of an index entry that a row costs besides its key and value, about.
const ROW_BYTES: u64 = 32;

/// State of the work on what nobody needs.
#[derive(Debug, Default)]
pub(super) struct Garbage {
    /// Key from which values are to be written again; `None` if none are.
    from: Option<Vec<u8>>,
    /// Count of the engine's dead bytes when the last work has begun, all of which it has taken off.
    began_at: u64,
    /// Part of what is needed, in eighths, that has to die before it pays to begin again.
    again_eighths: u64,
}

impl Garbage {
    /// Takes one step. Returns false if nothing is left to do.
    pub(super) fn step(&mut self, engine: &Engine) -> Result<bool, StoreError> {
        let doing = "taking off values that nobody needs";
        let Some(from) = &self.from else {
            let dead_bytes = engine.dead_bytes.load(Ordering::Relaxed);
            let least_bytes = engine.with(doing, |opened| Ok(needed(opened) / 8))?;
            let pays = dead_bytes - self.began_at >= least_bytes * self.again_eighths;
            if !pays || !is_over(engine, doing)? {
                return Ok(false);
            }
            // Most of it goes by this alone, where values were overwritten more than once.
            merge_all(engine, doing)?;
            (self.began_at, self.again_eighths) = (dead_bytes, 1);
            if is_over(engine, doing)? {
                self.from = Some(vec![0]);
            }
            return Ok(true);
        };
        let Some(writer) = engine.idle_writer() else {
            engine.pace.rest(WRITER_PAUSE);
            return Ok(true);
        };
        let next = engine.commit(doing, &writer, |opened| write_again(opened, from.clone()))?;
        drop(writer);
        self.from = next;
        if self.from.is_none() {
            merge_all(engine, doing)?;
            self.again_eighths = 6;
        }
        Ok(true)
    }
}

/// Whether the files take more room than they may.
fn is_over(engine: &Engine, doing: &'static str) -> Result<bool, StoreError> {
    engine.with(doing, |opened| Ok(opened.used_bytes() > allowed(engine, opened)))
}

fn merge_all(engine: &Engine, doing: &'static str) -> Result<(), StoreError> {
    let merged = engine.with(doing, Opened::compact_all)?;
    engine.merges.add(Some(merged));
    Ok(())
}

/// Returns the room that the records need, in bytes, about.
pub(super) fn needed(opened: &Opened) -> u64 {
    let totals = *opened.totals();
    totals.bytes + totals.records * ROW_BYTES
}

/// Returns the room that the files may take, in bytes: less than twice what is needed, since more is written while some is
/// given back.
fn allowed(engine: &Engine, opened: &Opened) -> u64 {
    needed(opened) / 5 * 9 + engine.options.garbage_bytes
}

/// Writes values again that lie apart, from a key on. Returns the key to go on from; `None` at the end.
fn write_again(opened: &Opened, from: Vec<u8>) -> Result<(Batch, Option<Vec<u8>>), Failure> {
    let mut batch = Batch::new(opened);
    let mut bytes = 0;
    let is_hidden = |key: &[u8]| {
        let partition = key.strip_prefix(&[RECORDS]).and_then(|key| key.first_chunk());
        partition
            .is_some_and(|partition| opened.is_dropped(Partition(u32::from_be_bytes(*partition))))
    };
    for (looked_at, row) in opened.range(from, vec![u8::MAX]).enumerate() {
        if bytes >= BATCH_BYTES || looked_at >= BATCH_ROWS {
            return Ok((batch, Some(read(row, |_| false)?.0.to_vec())));
        }
        // A value that can't be read stays where it is, until another one takes its place.
        if let (key, Found::Value(value)) = read(row, |key| !is_hidden(key))?
            && value.len() >= APART_BYTES as usize
        {
            bytes += value.len();
            batch.put_again(&key, &value);
        }
    }
    Ok((batch, None))
}
