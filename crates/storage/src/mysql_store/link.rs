//! Connections to the server, and what becomes of calls while it does not answer.
//!
//! Invariant: a connection on which a call has failed is not used again. A call is made a second time, on a new
//! connection, if the first one was lost, unless the server has let its time run out. While the server is away no call
//! waits for it: a thread of its own tries to reach it, and calls fail at once until it has.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use mysql::Conn;

use crate::StoreError;
use crate::guarded::guarded;
use crate::trouble_log::{Lines, TroubleLog};

use super::access::MysqlAccess;
use super::failures::Failure;

/// Longest time that a reader waits for the server to go on. The thread of a shard reads, so it is short.
pub(super) const READER_PATIENCE: Duration = Duration::from_secs(5);
/// Longest time that a writer waits for the server to go on: a large batch has to be made durable meanwhile.
pub(super) const WRITER_PATIENCE: Duration = Duration::from_secs(60);
/// Longest time in which a connection over TCP must come about.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
/// Number of readers' connections that are kept.
const IDLE_MAX: usize = 2;
/// Number of times that a call is made which other transactions are in the way of.
pub(super) const ATTEMPTS_MAX: u32 = 5;
/// Number of prepared statements that a connection keeps.
const STATEMENTS_KEPT: usize = 32;
/// Pause after which the server is looked for once it has failed. Twice as long after each failure that follows
/// without a call that worked, so many times.
const PAUSE: Duration = Duration::from_millis(250);
const DOUBLINGS_MAX: u32 = 6;

/// Statements with which every session begins: errors instead of values cut short, bytes instead of texts, and no end
/// of connections that were idle.
const SESSION: [&str; 4] = [
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'",
    "SET NAMES binary",
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    "SET SESSION autocommit = 1, wait_timeout = 31536000, innodb_lock_wait_timeout = 10",
];

/// Connections of one engine to its server.
pub(super) struct Link {
    pub(super) access: MysqlAccess,
    idle: Mutex<Vec<Conn>>,
    is_away: AtomicBool,
    /// Number of failures since a call has worked.
    failures: AtomicU32,
    troubles: TroubleLog,
}

impl Link {
    pub(super) fn new(access: MysqlAccess) -> Self {
        let lines = Lines {
            begins: "the MySQL server does not answer; looking for it",
            continues: "the MySQL server still does not answer",
            over: "the MySQL server answers again",
        };
        Self {
            access,
            idle: Mutex::default(),
            is_away: AtomicBool::new(false),
            failures: AtomicU32::new(0),
            troubles: TroubleLog::new(None, lines),
        }
    }

    /// Makes a connection, whose server may take `patience` for each step of an answer.
    pub(super) fn connect(&self, patience: Duration) -> Result<Conn, Failure> {
        let options = self.access.options().map_err(Failure::Refused)?;
        let options = options
            .tcp_connect_timeout(Some(CONNECT_PATIENCE))
            .read_timeout(Some(patience))
            .write_timeout(Some(patience))
            .stmt_cache_size(STATEMENTS_KEPT)
            .init(SESSION.to_vec());
        driven(|| Ok(Conn::new(options)?))
    }

    /// Runs `act`, which changes nothing, on a connection.
    pub(super) fn read<T>(
        self: &Arc<Self>,
        doing: &'static str,
        mut act: impl FnMut(&mut Conn) -> Result<T, Failure>,
    ) -> Result<T, StoreError> {
        self.check(doing)?;
        let mut attempts = 0;
        loop {
            attempts += 1;
            let outcome = self.taken().and_then(|mut conn| {
                let outcome = driven(|| act(&mut conn))?;
                self.put_back(conn);
                Ok(outcome)
            });
            match outcome {
                Ok(outcome) => {
                    self.works();
                    return Ok(outcome);
                }
                Err(failure) if self.goes_on(&failure, attempts) => {}
                Err(failure) => return Err(failure.into_store_error(doing)),
            }
        }
    }

    /// Notes a failure. Returns whether the call is to be made once more.
    pub(super) fn goes_on(self: &Arc<Self>, failure: &Failure, attempts: u32) -> bool {
        match failure {
            Failure::Again(_) => attempts < ATTEMPTS_MAX,
            Failure::Lost { timed_out, .. } => {
                // The others were made to the same server, which may have been started again.
                self.idle().clear();
                if !timed_out && attempts == 1 {
                    return true;
                }
                self.lose(failure);
                false
            }
            _ => false,
        }
    }

    /// Refuses a call while the server is away.
    pub(super) fn check(&self, doing: &'static str) -> Result<(), StoreError> {
        if !self.is_away.load(Ordering::Acquire) {
            return Ok(());
        }
        let message = format!("no server answers for {}; it is looked for", self.access);
        Err(StoreError::Engine { doing, message })
    }

    /// Notes that a call has worked.
    pub(super) fn works(&self) {
        if self.failures.load(Ordering::Relaxed) > 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
        self.troubles.works();
    }

    /// Logs which troubles are over.
    pub(super) fn look(&self) {
        self.troubles.look();
    }

    fn taken(&self) -> Result<Conn, Failure> {
        let idle = self.idle().pop();
        idle.map_or_else(|| self.connect(READER_PATIENCE), Ok)
    }

    fn put_back(&self, conn: Conn) {
        let mut idle = self.idle();
        if idle.len() < IDLE_MAX {
            idle.push(conn);
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Conn>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets calls fail from now on, and has the server looked for.
    fn lose(self: &Arc<Self>, failure: &Failure) {
        self.troubles.happened(&failure.message());
        let failures = self.failures.fetch_add(1, Ordering::Relaxed);
        if self.is_away.swap(true, Ordering::AcqRel) {
            return;
        }
        let link = Arc::downgrade(self);
        let looks = move || look_for(&link, PAUSE * 2_u32.pow(failures.min(DOUBLINGS_MAX)));
        if thread::Builder::new().name("mysql-link".into()).spawn(looks).is_err() {
            // Calls have to look for it themselves.
            self.is_away.store(false, Ordering::Release);
        }
    }
}

/// Looks for the server until it answers, or nobody wants it any more.
fn look_for(link: &Weak<Link>, mut pause: Duration) {
    loop {
        thread::park_timeout(pause);
        let Some(link) = link.upgrade() else { return };
        match link.connect(READER_PATIENCE) {
            Ok(conn) => {
                link.put_back(conn);
                link.is_away.store(false, Ordering::Release);
                return;
            }
            Err(failure) => {
                link.troubles.happened(&failure.message());
                pause = (pause * 2).min(PAUSE * 2_u32.pow(DOUBLINGS_MAX));
            }
        }
    }
}

/// Runs `act`, which calls the driver. A panic of the driver's is one more way to lose a connection.
pub(super) fn driven<T>(act: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    guarded(act).unwrap_or_else(|what| Err(Failure::of_driver(&what)))
}
