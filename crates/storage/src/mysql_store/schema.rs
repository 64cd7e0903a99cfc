//! The tables of one shard, and the rows in which the engine keeps what it has to know of itself.
//!
//! Invariant: tables are used only if they are all there, InnoDB's, of a known format, and say themselves that they are
//! the set that was asked for.
//!
//! ```text
//! jedlik_ID_records   k      key, as in `keys.rs`
//!                     name   the key's bytes past its place, as in `format.rs`
//!                     size   length of the value
//!                     value  as in `format.rs`
//! jedlik_ID_hints     k      key, as in `keys.rs`
//!                     age    key by age, as there
//!                     name   as for a record
//!                     place  as in `hint_rows.rs`
//!                     size   length of the value
//!                     value  as in `format.rs`, whose checksum covers the row by age of `hint_rows.rs`
//! jedlik_ID_metadata  name   "m." and the name of a metadata value; "d." and a dropped partition's number (8
//!                            hexadecimal digits); "o.format", "o.tables", "o.totals" and "o.owner"
//!                     value  and CRC-32, as in `checked.rs`
//! ```

use std::collections::BTreeSet;

use jedlik_hashing::Partition;
use mysql::Conn;
use mysql::prelude::Queryable;

use crate::checked::{checked, unchecked};

use super::access::TablesId;
use super::failures::Failure;

/// Format of the tables, the newest that can be read.
pub(super) const FORMAT: u32 = 2;
/// Prefix of the names of metadata values.
pub(super) const METADATA: &str = "m.";
const DROPPED: &str = "d.";
const OWN_FORMAT: &str = "o.format";
const OWN_TABLES: &str = "o.tables";
const OWN_TOTALS: &str = "o.totals";
const OWN_OWNER: &str = "o.owner";

/// Names of one shard's tables.
#[derive(Debug, Clone)]
pub(super) struct Tables {
    pub(super) id: TablesId,
    pub(super) records: String,
    pub(super) hints: String,
    pub(super) metadata: String,
}

/// Rows in which the tables say what there is to know of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Own {
    /// Number of records, those of dropped partitions that are not swept yet included.
    pub(super) records: u64,
    /// Number of transactions that were committed, by which an earlier state of the tables is told.
    pub(super) commits: u64,
    /// Partitions whose records are hidden.
    pub(super) dropped: BTreeSet<Partition>,
    /// Process that has opened them last, as a text that no two have.
    pub(super) owner: String,
}

impl Tables {
    pub(super) fn of(id: TablesId) -> Self {
        let named = |what: &str| format!("jedlik_{id}_{what}");
        Self { id, records: named("records"), hints: named("hints"), metadata: named("metadata") }
    }

    fn all(&self) -> [&str; 3] {
        [&self.records, &self.hints, &self.metadata]
    }

    /// Makes the tables, which hold nothing.
    pub(super) fn create(&self, conn: &mut Conn) -> Result<(), Failure> {
        let kind = "ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET binary";
        conn.query_drop(format!(
            "CREATE TABLE {} (k BINARY(36) NOT NULL PRIMARY KEY, name VARBINARY(4700) NOT NULL, \
             size INT UNSIGNED NOT NULL, value LONGBLOB NOT NULL) {kind}",
            self.records
        ))?;
        conn.query_drop(format!(
            "CREATE TABLE {} (k BINARY(44) NOT NULL PRIMARY KEY, age BINARY(52) NOT NULL, \
             name VARBINARY(4700) NOT NULL, place BINARY(20) NOT NULL, size INT UNSIGNED NOT NULL, \
             value LONGBLOB NOT NULL, KEY by_age (age)) {kind}",
            self.hints
        ))?;
        conn.query_drop(format!(
            "CREATE TABLE {} (name VARBINARY(1024) NOT NULL PRIMARY KEY, value LONGBLOB NOT NULL) {kind}",
            self.metadata
        ))?;
        self.check_engine(conn)?;
        conn.query_drop("START TRANSACTION")?;
        self.put(conn, OWN_FORMAT, &FORMAT.to_le_bytes())?;
        self.put(conn, OWN_TABLES, &self.id.0.to_le_bytes())?;
        self.put_totals(conn, 0, 0)?;
        self.put_owner(conn, "nobody")?;
        Ok(conn.query_drop("COMMIT")?)
    }

    /// Removes the tables with all that is in them.
    pub(super) fn remove(&self, conn: &mut Conn) -> Result<(), Failure> {
        Ok(conn.query_drop(format!("DROP TABLE IF EXISTS {}", self.all().join(", ")))?)
    }

    /// Refuses tables that are not all there, or not kept as they have to be.
    pub(super) fn check_engine(&self, conn: &mut Conn) -> Result<(), Failure> {
        let names = self.all().map(|name| format!("'{name}'")).join(", ");
        let found: Vec<(String, Option<String>)> = conn.query(format!(
            "SELECT table_name, engine FROM information_schema.tables \
             WHERE table_schema = DATABASE() AND table_name IN ({names})"
        ))?;
        for name in self.all() {
            match found.iter().find(|(found, _)| found == name) {
                None => {
                    return Err(Failure::Refused(format!(
                        "the table {name} is missing; point the node at the database that has it, or, if it is \
                         lost, remove this file while other members are up: they refill the shard"
                    )));
                }
                Some((_, Some(engine))) if engine.eq_ignore_ascii_case("InnoDB") => {}
                Some((_, engine)) => {
                    let engine = engine.as_deref().unwrap_or("no engine");
                    return Err(Failure::Refused(format!(
                        "the table {name} is kept by {engine}; ALTER TABLE {name} ENGINE = InnoDB"
                    )));
                }
            }
        }
        Ok(())
    }

    /// Returns the room that the tables take, as far as the server keeps count.
    pub(super) fn size_bytes(&self, conn: &mut Conn) -> Result<u64, Failure> {
        let names = self.all().map(|name| format!("'{name}'")).join(", ");
        let bytes: Option<u64> = conn.query_first(format!(
            "SELECT CAST(COALESCE(SUM(data_length + index_length), 0) AS UNSIGNED) \
             FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name IN ({names})"
        ))?;
        Ok(bytes.unwrap_or_default())
    }

    /// Reads what the tables say of themselves.
    pub(super) fn learn(&self, conn: &mut Conn) -> Result<Own, Failure> {
        let rows: Vec<(Vec<u8>, Vec<u8>)> = conn.query(format!(
            "SELECT name, value FROM {} WHERE name LIKE 'o.%' OR name LIKE '{DROPPED}%'",
            self.metadata
        ))?;
        let mut own = Own::default();
        let (mut format, mut tables, mut totals) = (None, None, None);
        for (name, stored) in rows {
            let damaged = || Failure::damaged("a row of the engine itself is damaged");
            let name = str::from_utf8(&name).map_err(|_| damaged())?;
            let value = unchecked(name, &stored).ok_or_else(damaged)?;
            let number = || value.try_into().map(u64::from_le_bytes).map_err(|_| damaged());
            match name {
                OWN_FORMAT => {
                    format = Some(value.try_into().map(u32::from_le_bytes).map_err(|_| damaged())?);
                }
                OWN_TABLES => tables = Some(number()?),
                OWN_TOTALS => totals = Some(parse_totals(value).ok_or_else(damaged)?),
                OWN_OWNER => own.owner = String::from_utf8_lossy(value).into_owned(),
                _ => {
                    let partition = name.strip_prefix(DROPPED);
                    let partition =
                        partition.and_then(|number| u32::from_str_radix(number, 16).ok());
                    own.dropped.insert(Partition(partition.ok_or_else(damaged)?));
                }
            }
        }
        let (Some(format), Some(tables), Some(totals)) = (format, tables, totals) else {
            return Err(Failure::damaged("a row of the engine itself is missing"));
        };
        if format > FORMAT {
            return Err(Failure::NewerFormat(format));
        }
        if tables != self.id.0 {
            let found = TablesId(tables);
            return Err(Failure::Refused(format!(
                "the tables called {} are those of another shard, {found}; point the node at the database that has \
                 its own",
                self.id
            )));
        }
        (own.records, own.commits) = totals;
        Ok(own)
    }

    /// Stores a row of the table of metadata.
    pub(super) fn put(&self, conn: &mut Conn, name: &str, value: &[u8]) -> Result<(), Failure> {
        let statement = format!(
            "INSERT INTO {} (name, value) VALUES (?, ?) ON DUPLICATE KEY UPDATE value = VALUES(value)",
            self.metadata
        );
        Ok(conn.exec_drop(statement, (name.as_bytes(), checked(name, value)))?)
    }

    /// Removes a row of the table of metadata.
    pub(super) fn take_off(&self, conn: &mut Conn, name: &str) -> Result<(), Failure> {
        let statement = format!("DELETE FROM {} WHERE name = ?", self.metadata);
        Ok(conn.exec_drop(statement, (name.as_bytes(),))?)
    }

    pub(super) fn put_totals(
        &self,
        conn: &mut Conn,
        records: u64,
        commits: u64,
    ) -> Result<(), Failure> {
        self.put(conn, OWN_TOTALS, &[records.to_le_bytes(), commits.to_le_bytes()].concat())
    }

    pub(super) fn put_owner(&self, conn: &mut Conn, owner: &str) -> Result<(), Failure> {
        self.put(conn, OWN_OWNER, owner.as_bytes())
    }
}

/// Returns the numbers of records and of commits in the row that has both.
fn parse_totals(value: &[u8]) -> Option<(u64, u64)> {
    let (records, commits) = value.split_first_chunk()?;
    Some((u64::from_le_bytes(*records), u64::from_le_bytes(commits.try_into().ok()?)))
}

/// Returns the name of the row that hides a partition.
pub(super) fn dropped_name(partition: Partition) -> String {
    format!("{DROPPED}{:08x}", partition.0)
}

/// Returns the name of the row that has a metadata value.
pub(super) fn metadata_name(name: &str) -> String {
    format!("{METADATA}{name}")
}
