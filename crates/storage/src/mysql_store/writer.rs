//! The connection that writes, and the lock that it holds: of all processes that know the tables, one writes.
//!
//! Invariant: whoever writes holds the server's lock of the tables on the same connection, and its name stands in them.
//! So a transaction of an earlier connection has ended when a new one begins, whatever became of its answer. Memory
//! follows the tables: it changes once a transaction is committed, and is read anew after a failure. Tables that have
//! gone back to an earlier state meanwhile, as after a failover or a restore, are damaged.

use std::collections::{BTreeMap, BTreeSet};

use jedlik_hashing::Partition;
use mysql::Conn;
use mysql::prelude::Queryable;

use super::failures::Failure;
use super::link::{Link, WRITER_PATIENCE};
use super::schema::{Own, Tables};
use super::settings;

/// Time for which a writer waits until another connection has let go of the tables, in seconds.
const LOCK_PATIENCE_S: u32 = 5;

/// Connection of the writer, and what only writers know.
#[derive(Default)]
pub(super) struct Writer {
    pub(super) conn: Option<Conn>,
    /// Name of this opening, which no other has; `None` for an engine that is only read.
    pub(super) owner: Option<String>,
    /// Number of records in the tables, as of the last commit.
    pub(super) records: u64,
    /// Number of commits that the tables have taken, as far as this process knows.
    pub(super) commits: u64,
    /// Keys at which the sweeps of hidden partitions go on: there are no records before them.
    pub(super) swept: BTreeMap<Partition, Vec<u8>>,
}

/// Change of what is known in memory.
#[derive(Debug, Default)]
pub(super) struct Change {
    /// Number by which the records become more.
    pub(super) records: i64,
    pub(super) hidden: BTreeSet<Partition>,
    /// Partition of which nothing is left.
    pub(super) swept: Option<Partition>,
}

impl Writer {
    /// Makes a connection that may write, unless there is one. Returns what the tables say of themselves if it is new.
    pub(super) fn prepare(&mut self, link: &Link, tables: &Tables) -> Result<Option<Own>, Failure> {
        if self.conn.is_some() {
            return Ok(None);
        }
        let Some(owner) = &self.owner else {
            return Err(Failure::Refused("the tables are open to be read only".into()));
        };
        let mut conn = link.connect(WRITER_PATIENCE)?;
        settings::check(&mut conn)?;
        lock(&mut conn, tables)?;
        let own = tables.learn(&mut conn)?;
        if own.owner != *owner {
            return Err(in_use_by(&own.owner));
        }
        if own.commits < self.commits {
            return Err(Failure::damaged(format!(
                "the tables are in an earlier state: after {} commits, and there were {}",
                own.commits, self.commits
            )));
        }
        (self.records, self.commits, self.conn) = (own.records, own.commits, Some(conn));
        Ok(Some(own))
    }

    /// Takes the tables over from whoever has opened them last, which must have let go of them.
    pub(super) fn take_over(
        &mut self,
        link: &Link,
        tables: &Tables,
        owner: String,
    ) -> Result<Own, Failure> {
        let mut conn = link.connect(WRITER_PATIENCE)?;
        lock(&mut conn, tables)?;
        let own = tables.learn(&mut conn)?;
        tables.put_owner(&mut conn, &owner)?;
        (self.records, self.commits) = (own.records, own.commits);
        (self.conn, self.owner) = (Some(conn), Some(owner));
        Ok(own)
    }

    /// Makes a transaction of what `act` does, and commits it, durably.
    pub(super) fn commit<T>(
        &mut self,
        tables: &Tables,
        act: impl FnOnce(&mut Conn) -> Result<(Change, T), Failure>,
    ) -> Result<(Change, T), Failure> {
        // Only a connection that has not failed comes back.
        let Some(mut conn) = self.conn.take() else {
            return Err(Failure::Lost { what: "there is no connection".into(), timed_out: false });
        };
        conn.query_drop("START TRANSACTION")?;
        let (change, outcome) = act(&mut conn)?;
        let records = self.records.saturating_add_signed(change.records);
        let commits = self.commits + 1;
        tables.put_totals(&mut conn, records, commits)?;
        conn.query_drop("COMMIT")?;
        (self.records, self.commits, self.conn) = (records, commits, Some(conn));
        Ok((change, outcome))
    }
}

/// Takes the server's lock of the tables, which it lets go of when the connection has ended.
fn lock(conn: &mut Conn, tables: &Tables) -> Result<(), Failure> {
    let name = format!("jedlik.{}", tables.id);
    let taken: Option<Option<u8>> =
        conn.exec_first("SELECT GET_LOCK(?, ?)", (name, LOCK_PATIENCE_S))?;
    match taken.flatten() {
        Some(1) => Ok(()),
        _ => Err(in_use_by(&tables.learn(conn)?.owner)),
    }
}

fn in_use_by(owner: &str) -> Failure {
    Failure::Refused(format!("the tables are in use by {owner}; only one process may use them"))
}
