//! Thread of the journal, which forms groups, and answers each write once its durability is reached.
//!
//! Invariant: a group is written by one append, and synced at most once, before anyone in it is
//! answered. Groups form by themselves, from what has arrived while the last one was synced, and from what others have
//! to add that could run at once. After a sync that failed nothing is written any more, and everybody is told: see
//! `appender.rs`.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use jedlik_protocol::Durability;
use tracing::debug;

use crate::disk::Disk;
use crate::health::Health;
use crate::progress::ProgressWatch;
use crate::stats::SharedCounters;
use crate::{Completion, ShardIdentity, StoreError};

use super::appender::Appender;

/// Size in bytes past which a group is written, even if more is waiting.
const GROUP_LIMIT_BYTES: usize = 4 << 20;

/// Message to the journal's thread, which takes them in order.
pub(crate) enum Message {
    /// Writes a batch of frames.
    Submit(Batch),
    /// Frames from now on belong to this generation of the buffer.
    Rotate(u64),
    /// The engine durably holds this generation and all before it.
    Flushed(u64),
    /// The engine durably holds everything: remove all segments and end.
    Clear,
}

/// Frames without numbers, and the writes that wait for them and all before them.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) frames: Vec<u8>,
    pub(crate) waiting: Vec<Waiting>,
}

/// Write that is answered once it is written or synced.
pub(crate) struct Waiting {
    pub(crate) ticket: u64,
    pub(crate) level: Durability,
    /// Whether the answer speaks of all that loads see, also of changes whose own frames were never written.
    pub(crate) of_all: bool,
}

/// Settings with which the journal's thread begins.
pub(crate) struct JournalSettings {
    pub(crate) disk: Box<dyn Disk>,
    pub(crate) identity: ShardIdentity,
    pub(crate) next_number: u64,
    pub(crate) next_lsn: u64,
    /// Segments of the generation before, or of older ones, which the engine does not hold yet.
    pub(crate) kept: Vec<String>,
    /// Generation of the buffer to which the first frames belong.
    pub(crate) generation: u64,
    pub(crate) sync_interval: Duration,
    pub(crate) completed: Arc<dyn Fn(Vec<Completion>) + Send + Sync>,
    pub(crate) counters: Arc<SharedCounters>,
    pub(crate) health: Arc<Health>,
    /// Error that ended the shard's life, set by the first thread to find it.
    pub(crate) failure: Arc<OnceLock<StoreError>>,
    /// Watch that is told what is synced.
    pub(crate) progress: ProgressWatch,
}

/// Handle of the journal's thread. Once every sender is gone, the thread writes what it was sent and ends.
pub(crate) struct Journal {
    pub(crate) sender: Sender<Message>,
    thread: JoinHandle<Result<(), StoreError>>,
}

impl Journal {
    pub(crate) fn start(settings: JournalSettings) -> io::Result<Self> {
        let (sender, messages) = channel();
        let name = format!("journal-{}", settings.identity.shard);
        let JournalSettings { disk, identity, next_number, next_lsn, generation, kept, .. } =
            settings;
        let numbers = (next_number, next_lsn, generation);
        let mut appender = Appender::new(disk, identity, numbers, settings.counters.clone());
        appender.keep(kept);
        let writer = Writer {
            appender,
            messages,
            completed: settings.completed,
            counters: settings.counters,
            health: settings.health,
            failure: settings.failure,
            progress: settings.progress,
            sync_interval: settings.sync_interval,
            sync_due: None,
            group: Batch::default(),
            lost: None,
        };
        let thread = thread::Builder::new().name(name).spawn(move || writer.run())?;
        Ok(Self { sender, thread })
    }

    /// Gives up this handle's sender, waits for the thread's end, and returns its outcome.
    pub(crate) fn join(self) -> Result<(), StoreError> {
        drop(self.sender);
        self.thread.join().unwrap_or(Err(StoreError::Closed))
    }
}

struct Writer {
    appender: Appender,
    messages: Receiver<Message>,
    completed: Arc<dyn Fn(Vec<Completion>) + Send + Sync>,
    counters: Arc<SharedCounters>,
    health: Arc<Health>,
    failure: Arc<OnceLock<StoreError>>,
    progress: ProgressWatch,
    sync_interval: Duration,
    /// Time at which the frames that nobody waits for are to be synced.
    sync_due: Option<Instant>,
    group: Batch,
    /// Newest generation of the buffer of which frames could not be written, and why: only the engine can come to hold
    /// them.
    lost: Option<(u64, StoreError)>,
}

impl Writer {
    fn run(mut self) -> Result<(), StoreError> {
        loop {
            match self.next() {
                Ok(message) => {
                    if self.turn(message) {
                        return self.appender.clear();
                    }
                }
                Err(RecvTimeoutError::Timeout) => self.sync_unwaited(),
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            self.gauge();
        }
    }

    fn next(&self) -> Result<Message, RecvTimeoutError> {
        match self.sync_due {
            None => self.messages.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(due) => {
                let wait = due.saturating_duration_since(Instant::now());
                self.messages.recv_timeout(wait)
            }
        }
    }

    /// Handles `first` and all that has arrived behind it. Returns true if the thread is to end.
    fn turn(&mut self, first: Message) -> bool {
        let (mut next, mut gave_way) = (Some(first), false);
        while let Some(message) = next {
            match message {
                Message::Submit(batch) => {
                    self.join_group(batch);
                    if self.group.frames.len() >= GROUP_LIMIT_BYTES {
                        self.write_group();
                    }
                }
                Message::Rotate(generation) => {
                    self.write_group();
                    if let Err(error) = self.health.during(|| self.appender.rotate(generation)) {
                        self.fail("the journal could not be synced", &error);
                    }
                }
                Message::Flushed(generation) => {
                    self.write_group();
                    self.lost.take_if(|(lost, _)| *lost <= generation);
                    self.progress.held().engine = Some(generation);
                    let removed = self.health.during(|| self.appender.remove_through(generation));
                    match removed {
                        Ok(()) => self.counters.troubles.segments.works(),
                        Err(error) => {
                            self.counters.journal_failures.add(1);
                            self.counters.troubles.segments.happened(&error);
                        }
                    }
                }
                Message::Clear => {
                    self.write_group();
                    return true;
                }
            }
            next = self.messages.try_recv().ok();
            if next.is_none() && !gave_way && self.may_grow() {
                thread::yield_now();
                (next, gave_way) = (self.messages.try_recv().ok(), true);
            }
        }
        self.write_group();
        // Under constant load the wait for messages never times out.
        if self.sync_due.is_some_and(|due| due <= Instant::now()) {
            self.sync_unwaited();
        }
        false
    }

    /// Whether others may have more for the group, which costs one sync however many wait for it. One write comes alone from
    /// a client that waits for it; where nobody else has anything to do, giving way costs nothing.
    fn may_grow(&self) -> bool {
        let Batch { waiting, .. } = &self.group;
        waiting.len() > 1 && waiting.iter().any(|waiting| waiting.level == Durability::Synced)
    }

    fn join_group(&mut self, batch: Batch) {
        if self.group.waiting.is_empty() && self.group.frames.is_empty() {
            self.group = batch;
        } else {
            self.group.frames.extend_from_slice(&batch.frames);
            self.group.waiting.extend(batch.waiting);
        }
    }

    fn write_group(&mut self) {
        let Batch { frames, waiting } = std::mem::take(&mut self.group);
        if frames.is_empty() && waiting.is_empty() {
            return;
        }
        if let Err(error) = self.append(frames) {
            self.answer(waiting, &Err(error));
            return;
        }
        let waiting = self.refuse_what_is_lost(waiting);
        let (synced, others): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|waiting| waiting.level == Durability::Synced);
        self.answer(others, &Ok(()));
        if !self.appender.is_dirty() {
            self.answer(synced, &Ok(()));
        } else if synced.is_empty() {
            self.sync_due.get_or_insert_with(|| Instant::now() + self.sync_interval);
        } else {
            let result = self.sync();
            self.answer(synced, &result);
        }
    }

    /// Refuses, while frames are lost, the writes that wait for all that loads see. Returns the others.
    fn refuse_what_is_lost(&self, waiting: Vec<Waiting>) -> Vec<Waiting> {
        let Some((_, error)) = &self.lost else { return waiting };
        let (refused, others) = waiting.into_iter().partition(|waiting| waiting.of_all);
        self.answer(refused, &Err(error.clone()));
        others
    }

    fn append(&mut self, mut frames: Vec<u8>) -> Result<(), StoreError> {
        if frames.is_empty() {
            return Ok(());
        }
        let written = self.health.during(|| self.appender.append(&mut frames));
        self.health.note(written.as_ref().map(|_| ()));
        self.counters.queued_bytes.subtract(frames.len() as u64);
        match written {
            Ok(count) => {
                self.counters.appends.add(count);
                self.counters.groups.add(1);
                self.counters.groups_bytes.add(frames.len() as u64);
                Ok(())
            }
            Err(error) => {
                self.fail("records could not be written to the journal", &error);
                self.lost = Some((self.appender.generation(), error.clone()));
                Err(error)
            }
        }
    }

    fn sync_unwaited(&mut self) {
        if self.appender.is_dirty() {
            // Logged and counted; nobody waits for it.
            let _ = self.sync();
        }
        self.sync_due = None;
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.sync_due = None;
        self.counters.syncs.add(1);
        let began = Instant::now();
        let result = self.health.during(|| self.appender.sync());
        self.counters.syncs_us.add(began.elapsed().as_micros() as u64);
        if let Err(error) = &result {
            self.fail("the journal could not be synced", error);
        }
        result
    }

    fn fail(&self, what: &str, error: &StoreError) {
        self.counters.journal_failures.add(1);
        if error.ends_shard() && self.failure.set(error.clone()).is_err() {
            // Said already, and nothing can be written any more.
            return;
        }
        // Each write that waits gets the error, and its caller reports it where that does not fill the log.
        debug!(%error, "{what}");
    }

    fn answer(&self, waiting: Vec<Waiting>, result: &Result<(), StoreError>) {
        if waiting.is_empty() {
            return;
        }
        let completion = |w: Waiting| Completion { ticket: w.ticket, result: result.clone() };
        (self.completed)(waiting.into_iter().map(completion).collect());
    }

    fn gauge(&self) {
        self.counters.journal_bytes.set(self.appender.length_bytes());
        self.appender.tell(&mut self.progress.held());
        self.counters.journal_lacks.set(self.lost.is_some().into());
    }
}
