//! The engine's writes: one transaction at a time, done again where a connection was lost.
//!
//! Invariant: what is known in memory is what the last transaction left in the tables, or what they said of themselves
//! since.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError, RwLockReadGuard};

use jedlik_hashing::Partition;
use mysql::Conn;

use crate::{StoreError, Writes};

use super::failures::Failure;
use super::link::driven;
use super::schema::Own;
use super::writer::{Change, Writer};
use super::{MysqlStore, drops};

/// Number of hidden records that one transaction takes off for a write that has to wait for them.
const SWEEP_LIMIT_RECORDS: usize = 4096;

impl MysqlStore {
    pub(super) fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn dropped(&self) -> RwLockReadGuard<'_, BTreeSet<Partition>> {
        self.dropped.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_dropped(&self, partition: Partition) -> bool {
        self.dropped().contains(&partition)
    }

    /// Takes over what the tables say of themselves.
    fn take(&self, own: Own) {
        self.records.store(own.records, Ordering::Relaxed);
        *self.dropped.write().unwrap_or_else(PoisonError::into_inner) = own.dropped;
    }

    /// Makes a transaction of what `act` does, which is done again where a connection was lost.
    pub(super) fn commit<T>(
        &self,
        doing: &'static str,
        writer: &mut Writer,
        mut act: impl FnMut(&mut Conn) -> Result<(Change, T), Failure>,
    ) -> Result<T, StoreError> {
        self.link.check(doing)?;
        let mut attempts = 0;
        loop {
            attempts += 1;
            let outcome = driven(|| {
                if let Some(own) = writer.prepare(&self.link, &self.tables)? {
                    self.take(own);
                }
                writer.commit(&self.tables, &mut act)
            });
            match outcome {
                Ok((change, outcome)) => {
                    self.records.store(writer.records, Ordering::Relaxed);
                    if !change.hidden.is_empty() || change.swept.is_some() {
                        let mut dropped =
                            self.dropped.write().unwrap_or_else(PoisonError::into_inner);
                        dropped.extend(change.hidden);
                        dropped.retain(|partition| Some(*partition) != change.swept);
                    }
                    self.link.works();
                    return Ok(outcome);
                }
                Err(failure) => {
                    writer.conn = None;
                    if !self.link.goes_on(&failure, attempts) {
                        return Err(failure.into_store_error(doing));
                    }
                }
            }
        }
    }

    /// Sweeps every hidden partition into which a record is to be put, since the record would be hidden too.
    pub(super) fn make_way_for(
        &self,
        writer: &mut Writer,
        writes: &Writes,
    ) -> Result<(), StoreError> {
        let doing = "sweeping dropped partitions before a write";
        if writer.conn.is_none() {
            // What is hidden is known for sure once the tables have been read.
            self.commit(doing, writer, |_| Ok((Change::default(), ())))?;
        }
        let put = writes.records.iter().filter(|(_, record)| record.is_some());
        let hidden: BTreeSet<Partition> = {
            let dropped = self.dropped();
            put.map(|(key, _)| key.partition)
                .filter(|partition| dropped.contains(partition))
                .collect()
        };
        for partition in hidden {
            while self.sweep_step(doing, writer, partition, SWEEP_LIMIT_RECORDS)? {}
        }
        Ok(())
    }

    /// Takes one step of a sweep. Returns false once nothing of `partition` is left.
    pub(super) fn sweep_step(
        &self,
        doing: &'static str,
        writer: &mut Writer,
        partition: Partition,
        limit_records: usize,
    ) -> Result<bool, StoreError> {
        let from = writer.swept.get(&partition).cloned();
        let last = self.commit(doing, writer, |conn| {
            drops::sweep(conn, &self.tables, partition, from.as_deref(), limit_records)
        })?;
        let goes_on = last.is_some();
        match last {
            Some(last) => drop(writer.swept.insert(partition, last)),
            None => drop(writer.swept.remove(&partition)),
        }
        Ok(goes_on)
    }
}
