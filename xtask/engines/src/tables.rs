//! Tables in which a shard keeps its records on a MariaDB server, for tests that damage them.
//!
//! Invariant: whatever is changed here is changed behind the engine's back, as the server's root, and by the server: it
//! stands for a byte that changed before the server computed the checksum of its page. What InnoDB's own checksums find
//! is between it and the server's disk; a server ends on such a page, with the tables of all its nodes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jedlik_services::sql;

use crate::is_gone;

/// Columns of a record's row in which bits flip, each of which has a checksum of ours: the value, and now and then the
/// name, which costs the shard. One in the key would hide the row from gets until all rows are read, and only the
/// server's checksum of the page would find it sooner.
const COLUMNS: [&str; 8] = ["value", "value", "value", "value", "value", "value", "value", "name"];

/// Tables of one shard, and the server that has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tables {
    socket: PathBuf,
    /// Database and beginning of the tables' names.
    prefix: String,
}

impl Tables {
    /// Returns the tables that a shard's file at `path` names; `None` if there is no such file.
    ///
    /// # Errors
    /// The file can't be read, or names no tables behind a socket.
    pub fn named_at(path: &Path) -> io::Result<Option<Self>> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if is_gone(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let named = |what: &str| {
            let value =
                text.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(" = \""));
            let value = value.and_then(|rest| rest.strip_suffix('"'));
            let missing = || io::Error::other(format!("{} names no {what}", path.display()));
            value.map(str::to_owned).ok_or_else(missing)
        };
        let prefix = format!("{}.jedlik_{}", named("database")?, named("tables")?);
        Ok(Some(Self { socket: named("socket")?.into(), prefix }))
    }

    /// Returns the name of the table of records: each row has its key `k`, `name` and `value`.
    #[must_use]
    pub fn records(&self) -> String {
        format!("{}_records", self.prefix)
    }

    /// Returns the name of the table of metadata: each row has a `name` and a `value`.
    #[must_use]
    pub fn metadata(&self) -> String {
        format!("{}_metadata", self.prefix)
    }

    /// Runs statements as the server's root, and returns what they print, a line for each row.
    ///
    /// # Errors
    /// The server does not answer, or refuses.
    pub fn sql(&self, statements: &str) -> io::Result<String> {
        sql(&self.socket, statements)
    }

    /// Flips a bit in the row of a record; `below` chooses it: it returns a number below its argument. Returns false if
    /// there was nothing to flip, or if the row has changed meanwhile.
    ///
    /// # Errors
    /// The server does not answer, or refuses.
    pub fn flip_a_bit(&self, below: &mut dyn FnMut(u64) -> u64) -> io::Result<bool> {
        let records = self.records();
        let count = number(&self.sql(&format!("SELECT COUNT(*) FROM {records}"))?)?;
        if count == 0 {
            return Ok(false);
        }
        let (row, column) = (below(count), COLUMNS[below(COLUMNS.len() as u64) as usize]);
        let found = self.sql(&format!(
            "SELECT HEX(k), LENGTH({column}) FROM {records} ORDER BY k LIMIT 1 OFFSET {row}"
        ))?;
        let Some((key, length)) = found.trim_end().split_once('\t') else { return Ok(false) };
        let (at, bit) = (below(number(length)?.max(1)), below(8));
        let flipped = flipped(column, &(at + 1).to_string(), 1 << bit);
        let changed = self.sql(&format!(
            "UPDATE {records} SET {flipped} WHERE k = x'{key}' AND LENGTH({column}) > {at}; \
             SELECT ROW_COUNT()"
        ))?;
        Ok(number(&changed)? == 1)
    }
}

/// Returns SQL that changes bits of a column's byte at `place`, an expression that counts from 1.
#[must_use]
pub fn flipped(column: &str, place: &str, mask: u8) -> String {
    format!(
        "{column} = CONCAT(LEFT({column}, {place} - 1), \
         CHAR(ORD(SUBSTRING({column}, {place}, 1)) ^ {mask}), SUBSTRING({column}, {place} + 1))"
    )
}

fn number(said: &str) -> io::Result<u64> {
    said.trim().parse().map_err(|_| io::Error::other(format!("{said:?} is no number")))
}

#[cfg(test)]
mod tests {
    use jedlik_services::PrivateServer;

    use super::*;

    /// Makes a shard's file that names tables in the database `d` of a server.
    fn named(shard: &Path, socket: &Path) -> Tables {
        let path = shard.join("records.mysql");
        let lines = ["# CRC-32: 00000000", "format = 1", "tables = \"77\"", "database = \"d\""];
        let socket = format!("socket = {:?}\n", socket.to_str().unwrap());
        fs::write(&path, lines.join("\n") + "\n" + &socket).unwrap();
        Tables::named_at(&path).unwrap().unwrap()
    }

    #[test]
    fn a_file_names_the_tables_and_their_server_or_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("records.mysql");
        assert_eq!(Tables::named_at(&path).unwrap(), None);
        let tables = named(folder.path(), Path::new("/run/a.sock"));
        assert_eq!(tables.socket, Path::new("/run/a.sock"));
        assert_eq!(tables.records(), "d.jedlik_77_records");
        assert_eq!(tables.metadata(), "d.jedlik_77_metadata");
        fs::write(&path, "tables = \"77\"\n").unwrap();
        assert!(Tables::named_at(&path).unwrap_err().to_string().ends_with("names no database"));
    }

    #[test]
    fn one_bit_of_a_row_flips_where_chance_says_whatever_its_byte_is() {
        let server = PrivateServer::start(&[]).expect("this test needs MariaDB's programs");
        let folder = tempfile::tempdir().unwrap();
        let tables = named(folder.path(), &server.socket());
        server
            .sql(
                "CREATE DATABASE d; CREATE TABLE d.jedlik_77_records (k BINARY(2) PRIMARY KEY, \
                 name VARBINARY(9), value LONGBLOB) CHARACTER SET binary",
            )
            .unwrap();
        assert!(!tables.flip_a_bit(&mut |_| 0).unwrap(), "there is no row");
        server
            .sql("INSERT INTO d.jedlik_77_records VALUES (x'0001', 'ab', x'00ff10'), (x'0002', '', '')")
            .unwrap();
        let flip = |row: u64, column: u64, (length, at): (u64, u64), bit: u64| {
            let mut said = [(2, row), (8, column), (length, at), (8, bit)].into_iter();
            tables.flip_a_bit(&mut |limit| said.next().filter(|said| said.0 == limit).unwrap().1)
        };
        assert!(flip(0, 0, (3, 0), 0).unwrap());
        assert!(flip(0, 0, (3, 1), 7).unwrap());
        assert!(flip(0, 7, (2, 1), 1).unwrap());
        assert!(!flip(1, 0, (1, 0), 3).unwrap(), "the value is empty");
        let rows = server.sql("SELECT HEX(name), HEX(value) FROM d.jedlik_77_records ORDER BY k");
        assert_eq!(rows.unwrap(), "6160\t017F10\n\t\n");
    }
}
