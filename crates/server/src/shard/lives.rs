//! Thread of one shard through the lives of its storage: when storage fails, it is closed and opened anew, or set aside
//! and begun anew, and the process goes on.
//!
//! Invariant: a life's replica knows nothing of the one before but ids that it must not give out again; it mints under
//! actors of its own, since what the life before has issued may be lost. While there is no storage every request is
//! refused at once, so that the sender can ask another node.

use std::io;
use std::mem;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use jedlik_membership::View;
use jedlik_protocol::Incarnation;
use jedlik_protocol::admin::{BackgroundChange, ShardTrouble, TroubleKind};
use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_replica::{Config, Input, Replica, ShardPast};
use jedlik_storage::{LyingAside, OpenError, SetAside, Shard, StoreError};
use tracing::{error, info, warn};

use crate::error::NodeError;
use crate::inbox::{InboxReader, Mail};
use crate::reply::Asked;
use crate::stats::ShardReport;
use crate::stores::{ShardSource, random_bytes};

use super::copy::CopyReader;
use super::disk::DiskWatch;
use super::keeping::Keeping;
use super::{Ended, ShardDriver, ShardEnvironment, VOTES, asked};

/// Pause after which a thread without storage looks whether it has some again.
const CHECK: Duration = Duration::from_millis(50);
/// Length from which a life was a success: the next failure is dealt with at once.
const LONG_LIFE: Duration = Duration::from_secs(60);
/// Longest pause between two attempts to open a shard, as a power of two of seconds.
const PAUSE_LIMIT: u32 = 5;

/// Lives of one shard's storage, one after the other.
pub(super) struct ShardLives {
    /// Configuration of the life before, or of the first.
    config: Config,
    source: ShardSource,
    around: ShardEnvironment,
    open: Arc<AtomicUsize>,
    view: Option<Arc<View>>,
    background: Vec<BackgroundChange>,
    /// Votes that the life before had lost, if they were not on its disk.
    unkept: Option<Vec<u8>>,
    /// Number of failed attempts and short lives in a row.
    failures: u32,
    /// Number of failures since the node's start that were not for damage: of those no folder tells that was set aside.
    reopenings: u64,
    closing: bool,
}

/// Reason why there is no storage, and what is left of it.
struct Fault {
    why: String,
    /// Whether the storage's files can't be used as they are.
    damage: bool,
    /// Storage that is not closed yet: that may take a while.
    storage: Option<Shard>,
}

/// Outcome of one attempt to open the shard.
struct Attempt {
    opened: Result<Shard, OpenError>,
    aside: Option<SetAside>,
}

impl ShardLives {
    pub(super) fn new(
        config: Config,
        source: ShardSource,
        around: ShardEnvironment,
        open: Arc<AtomicUsize>,
    ) -> Self {
        Self {
            config,
            source,
            around,
            open,
            view: None,
            background: Vec::new(),
            unkept: None,
            failures: 0,
            reopenings: 0,
            closing: false,
        }
    }

    /// Works until it is told to close.
    pub(super) fn run(mut self, first: Result<Shard, OpenError>, inbox: &InboxReader) -> Ended {
        let mut replica = None;
        let mut next = first.map_err(|error| Fault {
            why: error.to_string(),
            damage: error.is_damage(),
            storage: None,
        });
        loop {
            let storage = match next {
                Ok(storage) => storage,
                Err(fault) => match self.reopen(fault, inbox) {
                    Some(storage) => storage,
                    None => return Ended::Unclean,
                },
            };
            let Ok(began) = self.begin(storage, replica, inbox.clone()) else {
                return Ended::Unclean;
            };
            let started = Instant::now();
            let seat = &self.source.desk().seat;
            let (driver, failure) = seat.work(began, inbox);
            let Some(failure) = failure else { return driver.close() };
            self.failures = if started.elapsed() < LONG_LIFE {
                self.failures + 1
            } else {
                self.failures.min(1)
            };
            let (fault, before) = self.end(driver, &failure);
            (next, replica) = (Err(fault), Some(before));
        }
    }

    /// Begins a life with `storage`, after that of the replica `before`.
    fn begin(
        &mut self,
        storage: Shard,
        before: Option<Replica>,
        inbox: InboxReader,
    ) -> Result<ShardDriver, NodeError> {
        if before.is_some() {
            self.config.random_seed = random_bytes()?;
            self.config.incarnation = Incarnation(u64::from_le_bytes(random_bytes()?));
        }
        self.config.past =
            if storage.has_lost_past() { ShardPast::Lost } else { ShardPast::Continuous };
        // Without its votes it votes on nothing that it may have been given before.
        self.config.votes = storage.kept(VOTES).unwrap_or_else(|error| {
            warn!(%error, "what this shard can't say is absent can't be read: it is refilled");
            self.config.past = ShardPast::Lost;
            None
        });
        if self.unkept.is_some() {
            self.config.votes = self.unkept.clone();
        }
        let config = self.config.clone();
        let replica = match before {
            Some(before) => before.successor(config),
            None => Replica::new(config),
        };
        let (around, open) = (self.around.clone(), Arc::clone(&self.open));
        around.ticks.watch(self.config.shard, storage.progress());
        if let Some(folder) = self.source.kept_in() {
            around.presence.watch(self.config.shard, folder);
        }
        let mut driver = ShardDriver::new(replica, storage, inbox, around, open);
        driver.disk = DiskWatch::new(self.config.shard, self.lying_aside(), self.reopenings);
        let now = self.around.clock.now();
        if let Some(votes) = self.unkept.take() {
            driver.disk.keeping = Keeping::refused(now, votes);
            driver.feed(now, Input::VotesKept { kept: false });
        }
        if driver.storage.has_lost_past() || driver.replica.refilling() > 0 {
            driver.copy = self.source.earlier_copy().and_then(|folder| {
                CopyReader::start(self.config.shard, &folder, self.source.desk().inbox.clone())
            });
        }
        if let Some(view) = self.view.take() {
            driver.view = Some(Arc::clone(&view));
            driver.feed(now, Input::View(view));
        }
        driver.background = mem::take(&mut self.background);
        for change in driver.background.clone() {
            driver.feed(now, Input::SetBackground(change));
        }
        Ok(driver)
    }

    /// Ends a life: refuses all requests that wait for an answer.
    fn end(&mut self, driver: ShardDriver, failure: &StoreError) -> (Fault, Replica) {
        let ShardDriver { replica, storage, mut replies, view, background, disk, .. } = driver;
        self.unkept = disk.keeping.lost();
        let mut told = self.refusal(&failure.to_string());
        // A put may have reached others, or the journal.
        told.maybe_applied = true;
        replies.refuse_all(self.layout_of(view.as_ref()), &told);
        (self.view, self.background) = (view, background);
        let fault =
            Fault { why: failure.to_string(), damage: failure.is_damage(), storage: Some(storage) };
        (fault, replica)
    }

    /// Opens the shard anew, as often as it takes; `None` if the node stops first.
    fn reopen(&mut self, mut fault: Fault, inbox: &InboxReader) -> Option<Shard> {
        let shard = self.config.shard;
        let since_ms = self.around.clock.now().wall_ms;
        self.around.presence.forget(shard);
        self.reopenings += u64::from(!fault.damage);
        error!(shard, why = fault.why, damaged = fault.damage, "a shard's storage has failed");
        loop {
            let pause = match self.failures {
                0 | 1 => Duration::ZERO,
                many => Duration::from_secs(1 << (many - 2).min(PAUSE_LIMIT)),
            };
            let trouble = ShardTrouble {
                shard,
                kind: TroubleKind::Reopening,
                since_ms,
                what: fault.why.clone(),
            };
            let due = Instant::now() + pause;
            self.refuse_until(&trouble, inbox, || (Instant::now() >= due).then_some(()))?;
            let attempt = self.start_attempt(&mut fault);
            let Attempt { opened, aside } =
                self.refuse_until(&trouble, inbox, || outcome(&attempt))?;
            if let Some(SetAside { path, records, hints, damaged }) = aside {
                let path = path.display();
                warn!(
                    shard, %path, records, hints, damaged,
                    "a damaged shard was set aside; what could be read is in its place, and the other \
                     replicas give back the rest"
                );
            }
            match opened {
                Ok(storage) => {
                    info!(shard, "a shard's storage is open again");
                    return Some(storage);
                }
                Err(error) => {
                    let why = error.to_string();
                    if why != fault.why {
                        warn!(shard, why, "a shard's storage can't be opened; trying again");
                    }
                    (fault.why, fault.damage) = (why, error.is_damage());
                    self.failures += 1;
                }
            }
        }
    }

    /// Deals with what comes until something has happened; `None` if the node stops first. An attempt that goes on then
    /// leaves the folder as a crash would.
    fn refuse_until<T>(
        &mut self,
        trouble: &ShardTrouble,
        inbox: &InboxReader,
        happened: impl Fn() -> Option<T>,
    ) -> Option<T> {
        let failure = self.refusal(&trouble.what);
        while !self.closing {
            if let Some(what) = happened() {
                return Some(what);
            }
            if let Some(mail) = inbox.next(CHECK) {
                self.refuse(mail, &failure, trouble);
            }
        }
        None
    }

    fn refuse(&mut self, mail: Mail, failure: &Failure, trouble: &ShardTrouble) {
        let layout = self.layout_of(self.view.as_ref());
        match mail {
            Mail::View(view) => self.view = Some(view),
            Mail::Client { origin, .. } => {
                origin.refuse(Asked::ByClient, layout, failure.clone());
            }
            Mail::Peer { origin, request, .. } => {
                origin.refuse(asked(&request), layout, failure.clone());
            }
            Mail::Report(asker) => {
                let mut troubles = self.lying_aside();
                troubles.push(trouble.clone());
                // The asker may have gone.
                let reopenings = self.reopenings;
                let _gone =
                    asker.send(ShardReport { troubles, reopenings, ..ShardReport::default() });
            }
            Mail::SetBackground(change) => remember(&mut self.background, change),
            Mail::Close => self.closing = true,
            // For the life before, or of no use without storage.
            Mail::PeerAnswer { .. }
            | Mail::PeerLost { .. }
            | Mail::Withdrawn { .. }
            | Mail::Completed(_)
            | Mail::Repair(_)
            | Mail::CopyAtHand
            | Mail::Recalled(_)
            | Mail::Believe => {}
        }
    }

    /// Closes what is left, sets it aside if it is damaged, and opens the shard, on a thread of its own.
    fn start_attempt(&self, fault: &mut Fault) -> Receiver<Attempt> {
        let (sender, receiver) = mpsc::channel();
        let (source, ticks) = (self.source.clone(), self.around.ticks.clone());
        let (shard, damage, why) = (self.config.shard, fault.damage, fault.why.clone());
        let storage = fault.storage.take();
        let spawned = thread::Builder::new().name("reopening".into()).spawn(move || {
            drop(storage);
            ticks.forget(shard);
            // A node that stops does not wait for it.
            let _gone = sender.send(attempt(&source, damage.then_some(why)));
        });
        if let Err(error) = spawned {
            error!(%error, "there is no thread to open a shard");
        }
        receiver
    }

    fn refusal(&self, why: &str) -> Failure {
        let shard = self.config.shard;
        let message =
            format!("shard {shard} of the node is being opened anew ({why}); ask another");
        Failure::new(ErrorCode::NotReady, message)
    }

    fn layout_of(&self, view: Option<&Arc<View>>) -> u64 {
        view.map_or(0, |view| view.layout_version())
    }

    fn lying_aside(&self) -> Vec<ShardTrouble> {
        let shard = self.config.shard;
        let trouble = |lying: LyingAside| ShardTrouble {
            shard,
            kind: if lying.damaged { TroubleKind::SetAside } else { TroubleKind::EarlierCopy },
            since_ms: lying.since_s * 1000,
            what: lying.path.display().to_string(),
        };
        self.source.lying_aside().into_iter().map(trouble).collect()
    }
}

/// Keeps a change for the shard's next life, over those of the same kind before.
pub(super) fn remember(changes: &mut Vec<BackgroundChange>, change: BackgroundChange) {
    match changes.iter_mut().find(|known| known.work == change.work) {
        Some(known) => {
            known.paused = change.paused.or(known.paused);
            known.limit_per_s = change.limit_per_s.or(known.limit_per_s);
            known.slowdown_percent = change.slowdown_percent.or(known.slowdown_percent);
        }
        None => changes.push(change),
    }
}

/// Returns the outcome of an attempt; `None` while it goes on.
fn outcome(attempt: &Receiver<Attempt>) -> Option<Attempt> {
    match attempt.try_recv() {
        Ok(attempt) => Some(attempt),
        Err(TryRecvError::Empty) => None,
        Err(TryRecvError::Disconnected) => {
            let source = io::Error::other("the system has no thread for it");
            let (doing, path) = ("opening a shard", PathBuf::new());
            Some(Attempt { opened: Err(OpenError::Io { doing, path, source }), aside: None })
        }
    }
}

fn attempt(source: &ShardSource, damage: Option<String>) -> Attempt {
    let mut aside = None;
    let mut set_aside = |why: &str| match source.set_aside(why) {
        Ok(lies) => {
            aside = Some(lies);
            source.open()
        }
        Err(error) => Err(error),
    };
    let opened = match damage {
        Some(why) => set_aside(&why),
        None => match source.open_again() {
            Err(error) if error.is_damage() => set_aside(&error.to_string()),
            opened => opened,
        },
    };
    let opened = opened.and_then(|mut storage| {
        source.mark(&mut storage)?;
        Ok(storage)
    });
    Attempt { opened, aside }
}
