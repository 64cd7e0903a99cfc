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
use std::time::{Duration, Instant};

use jedlik_hashing::Partition;

use crate::StoreError;

use super::compactor::Step;
use super::engine::Engine;
use super::failures::Failure;
use super::rows::RECORDS;
use super::tree::{APART_BYTES, Found, Opened, read};
use super::writes::Batch;

const DOING: &str = "taking off values that nobody needs";
/// Size of the values that are written again in one batch, about, in bytes.
const BATCH_BYTES: u64 = 4 << 20;
/// Number of rows that one step looks at.
const BATCH_ROWS: usize = 20_000;
/// Time to wait while others write.
const WRITER_PAUSE: Duration = Duration::from_millis(10);
/// Time to rest after a batch, as a multiple of the time that it took: loads wait for the syncs of each.
const RESTS: u32 = 19;
/// One part in so many of a batch has to die before the next one is written without a rest: else they would never come to
/// an end where much is overwritten. What a flush kills at one moment counts once.
const AHEAD: u64 = 4;
/// Time to rest after a file was removed, so that the syncs of others, which wait for that, go on in between.
const FILE_REST: Duration = Duration::from_millis(10);
/// Bytes of an index entry that a row costs besides its key and value, about.
const ROW_BYTES: u64 = 32;

/// Place from which values are written again, and when.
#[derive(Debug)]
struct Next {
    from: Vec<u8>,
    /// Time from which the next batch may be written.
    time: Instant,
    /// Count of the engine's dead bytes at which the next batch is written at once.
    dead_bytes: u64,
}

/// State of the work on what nobody needs.
#[derive(Debug, Default)]
pub(super) struct Garbage {
    /// Batch to write next; `None` if no values are to be written again.
    next: Option<Next>,
    /// Count of the engine's dead bytes when the last work has begun, all of which it has taken off.
    began_at: u64,
    /// Part of what is needed, in eighths, that has to die before it pays to begin again.
    again_eighths: u64,
}

impl Garbage {
    /// Returns the state after a batch, whose rest lasts so long unless so much dies meanwhile.
    #[cfg(test)]
    pub(super) fn resting(rest: Duration, dead_bytes: u64) -> Self {
        let next = Next { from: vec![0], time: Instant::now() + rest, dead_bytes };
        Self { next: Some(next), ..Self::default() }
    }

    /// Takes one step of the work.
    pub(super) fn step(&mut self, engine: &Engine) -> Result<Step, StoreError> {
        let dead_bytes = engine.dead_bytes.load(Ordering::Relaxed);
        let Some(next) = &self.next else { return self.begin(engine, dead_bytes) };
        let began = Instant::now();
        if began < next.time && dead_bytes < next.dead_bytes {
            return Ok(Step::Later(next.time));
        }
        let Some(writer) = engine.idle_writer() else {
            return Ok(Step::Later(began + WRITER_PAUSE));
        };
        let written =
            engine.commit(DOING, &writer, |opened| write_again(opened, next.from.clone()))?;
        drop(writer);
        self.next = written.from.map(|from| Next {
            from,
            time: Instant::now() + began.elapsed() * RESTS,
            dead_bytes: dead_bytes + written.bytes / AHEAD,
        });
        if self.next.is_none() {
            merge_all(engine)?;
            self.again_eighths = 6;
        }
        Ok(Step::Done)
    }

    /// Takes the first step if the files take more room than they may, and it pays.
    fn begin(&mut self, engine: &Engine, dead_bytes: u64) -> Result<Step, StoreError> {
        let least_bytes = engine.with(DOING, |opened| Ok(needed(opened) / 8))?;
        let pays = dead_bytes - self.began_at >= least_bytes * self.again_eighths;
        if !pays || !is_over(engine)? {
            return Ok(Step::Idle);
        }
        // Most of it goes by this alone, where values were overwritten more than once.
        merge_all(engine)?;
        (self.began_at, self.again_eighths) = (dead_bytes, 1);
        if is_over(engine)? {
            self.next = Some(Next { from: vec![0], time: Instant::now(), dead_bytes });
        }
        Ok(Step::Done)
    }
}

/// Whether the files take more room than they may.
fn is_over(engine: &Engine) -> Result<bool, StoreError> {
    engine.with(DOING, |opened| Ok(opened.used_bytes() > allowed(engine, opened)))
}

fn merge_all(engine: &Engine) -> Result<(), StoreError> {
    let rest = || engine.pace.rest_unless_hurried(FILE_REST);
    let merged = engine.with(DOING, |opened| opened.compact_all(rest))?;
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

/// Values that were written again.
struct Written {
    bytes: u64,
    /// Key to go on from; `None` at the end.
    from: Option<Vec<u8>>,
}

/// Writes values again that lie apart, from a key on.
fn write_again(opened: &Opened, from: Vec<u8>) -> Result<(Batch, Written), Failure> {
    let mut batch = Batch::new(opened);
    let mut bytes = 0;
    let is_hidden = |key: &[u8]| {
        let partition = key.strip_prefix(&[RECORDS]).and_then(|key| key.first_chunk());
        partition
            .is_some_and(|partition| opened.is_dropped(Partition(u32::from_be_bytes(*partition))))
    };
    for (looked_at, row) in opened.range(from, vec![u8::MAX]).enumerate() {
        if bytes >= BATCH_BYTES || looked_at >= BATCH_ROWS {
            let from = Some(read(row, |_| false)?.0.to_vec());
            return Ok((batch, Written { bytes, from }));
        }
        // A value that can't be read stays where it is, until another one takes its place.
        if let (key, Found::Value(value)) = read(row, |key| !is_hidden(key))?
            && value.len() >= APART_BYTES as usize
        {
            bytes += value.len() as u64;
            batch.put_again(&key, &value);
        }
    }
    Ok((batch, Written { bytes, from: None }))
}
