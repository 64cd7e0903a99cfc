//! Thread of the flusher, which moves a full buffer into the engine, and sweeps dropped partitions in between.
//!
//! Invariant: the journal hears that a generation is flushed only after the engine has made all of it
//! durable. A failed flush is tried again until it succeeds or the shard is gone. A buffer waits for one
//! step of a sweep at most, unless it has records for the partition that is swept.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::buffer::Buffer;
use crate::hint::HintWrite;
use crate::journal::Message;
use crate::layers::Frozen;
use crate::mark::MetadataWrite;
use crate::stats::SharedCounters;
use crate::{Store, StoreError, Writes};

/// Largest commit of the engine in bytes of records: it bounds the copies made for it.
const COMMIT_LIMIT_BYTES: usize = 16 << 20;
/// Number of bytes that an entry counts towards a commit beside its record: about its key's.
const ENTRY_BYTES: usize = 64;

/// Pause after each step of a sweep, in which the disk is left to others.
const SWEEP_PAUSE: Duration = Duration::from_millis(10);

/// Outcome of one attempt at a flush.
pub(crate) enum FlushReport {
    Flushed,
    Failed(StoreError),
}

/// Settings with which the flusher's thread begins.
pub(crate) struct FlusherSettings {
    pub(crate) shard: u16,
    pub(crate) engine: Arc<dyn Store>,
    pub(crate) journal: Sender<Message>,
    pub(crate) retry: Duration,
    /// Largest number of records in one step of a sweep.
    pub(crate) sweep_limit_records: usize,
    pub(crate) counters: Arc<SharedCounters>,
    /// Error that ended the shard's life, set by the first thread to find it.
    pub(crate) failure: Arc<OnceLock<StoreError>>,
}

/// Handle of the flusher's thread, which takes one buffer at a time and makes one or more reports for each.
pub(crate) struct Flusher {
    sender: Sender<Arc<Frozen>>,
    pub(crate) reports: Receiver<FlushReport>,
    thread: JoinHandle<()>,
}

impl Flusher {
    pub(crate) fn start(settings: FlusherSettings) -> io::Result<Self> {
        let (sender, buffers) = channel();
        let (report, reports) = channel();
        let thread = thread::Builder::new()
            .name(format!("flusher-{}", settings.shard))
            .spawn(move || run(&settings, &buffers, &report))?;
        Ok(Self { sender, reports, thread })
    }

    /// Starts the flush of `frozen`; the buffer before it must have been flushed.
    pub(crate) fn flush(&self, frozen: Arc<Frozen>) {
        // A thread that is gone has panicked: the buffer fills and applies are refused.
        let _ = self.sender.send(frozen);
    }

    /// Waits for a flush under way, without trying again, and ends the thread.
    pub(crate) fn join(self) {
        drop(self.sender);
        let _ = self.thread.join();
    }
}

fn run(settings: &FlusherSettings, buffers: &Receiver<Arc<Frozen>>, report: &Sender<FlushReport>) {
    // When to take the next step of a sweep; the last process may have left some to do.
    let mut pause = Some(SWEEP_PAUSE);
    loop {
        let next = match pause {
            Some(pause) => buffers.recv_timeout(pause),
            None => buffers.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match next {
            Ok(frozen) => {
                if !flush(settings, buffers, &frozen, report) {
                    return;
                }
                // There may be something to sweep now, or room to give back.
                pause = Some(SWEEP_PAUSE);
                drop(frozen);
                let _ = report.send(FlushReport::Flushed);
            }
            Err(RecvTimeoutError::Timeout) => pause = sweep(settings),
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// Flushes a buffer, again and again until that succeeds. Returns false if the shard or the engine is gone before.
fn flush(
    settings: &FlusherSettings,
    buffers: &Receiver<Arc<Frozen>>,
    frozen: &Frozen,
    report: &Sender<FlushReport>,
) -> bool {
    let log = &settings.counters.troubles.flushes;
    while let Err(error) = write_into(&*settings.engine, &frozen.buffer, frozen.all_metadata()) {
        settings.counters.flush_failures.add(1);
        if error.ends_shard() {
            // Set by another thread before: that is as good a reason.
            let _ = settings.failure.set(error);
            return false;
        }
        log.happened(&error);
        let _ = report.send(FlushReport::Failed(error));
        // Nothing is sent while a buffer is under way, so this is a wait that ends with the shard.
        if let Err(RecvTimeoutError::Disconnected) = buffers.recv_timeout(settings.retry) {
            return false;
        }
    }
    log.works();
    // A closed channel means that the shard is shutting down.
    let _ = settings.journal.send(Message::Flushed(frozen.generation));
    true
}

/// Takes one step of a sweep. Returns how long to wait before the next; `None` if nothing is left.
fn sweep(settings: &FlusherSettings) -> Option<Duration> {
    match settings.engine.sweep(settings.sweep_limit_records) {
        Ok(more) => {
            settings.counters.troubles.sweeps.works();
            more.then_some(SWEEP_PAUSE)
        }
        Err(error) => {
            if error.ends_shard() {
                let _ = settings.failure.set(error);
                return None;
            }
            settings.counters.troubles.sweeps.happened(&error);
            Some(settings.retry)
        }
    }
}

/// Writes all of `buffer` into the engine: first what was dropped, then sorted batches, of which the last
/// has `metadata`.
pub(crate) fn write_into(
    engine: &dyn Store,
    buffer: &Buffer,
    metadata: Vec<MetadataWrite>,
) -> Result<(), StoreError> {
    if !buffer.dropped().is_empty() {
        engine.drop_partitions(buffer.dropped())?;
    }
    let mut writes = Writes::default();
    let mut bytes = 0;
    for (key, record) in buffer.records() {
        bytes += ENTRY_BYTES + record.as_ref().map_or(0, |record| record.record.bytes().len());
        writes.records.push((key.clone(), record.clone()));
        if bytes >= COMMIT_LIMIT_BYTES {
            engine.write(&std::mem::take(&mut writes))?;
            bytes = 0;
        }
    }
    for (target, key, hint) in buffer.hints() {
        bytes += ENTRY_BYTES + hint.map_or(0, |hint| hint.record.record.bytes().len());
        writes.hints.push(HintWrite { target, key: key.clone(), hint: hint.cloned() });
        if bytes >= COMMIT_LIMIT_BYTES {
            engine.write(&std::mem::take(&mut writes))?;
            bytes = 0;
        }
    }
    writes.metadata = metadata;
    if writes.is_empty() { Ok(()) } else { engine.write(&writes) }
}
