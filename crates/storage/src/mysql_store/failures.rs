//! Meaning of the server's and the driver's errors here.
//!
//! Invariant: an error counts as damage exactly if it tells of bytes that are not those that were written, or of tables
//! that are gone. A connection on which anything has failed is not used again.

use std::io;
use std::path::Path;

use mysql::{DriverError, Error};

use crate::{OpenError, StoreError};

use super::access::MysqlAccess;

/// Failure of one operation on the server.
#[derive(Debug, Clone)]
pub(super) enum Failure {
    /// The connection is of no use any more, or could not be made: what it was asked for may have happened.
    Lost {
        what: String,
        /// Whether the server has let its time run out, so that another attempt would take as long.
        timed_out: bool,
    },
    /// Another transaction was in the way; nothing happened.
    Again(String),
    /// The server refuses, and will until somebody changes something.
    Refused(String),
    /// The server's disk is full.
    DiskFull,
    /// Row or table that can't be as it was written.
    Damaged(String),
    /// Schema that this version does not know.
    NewerFormat(u32),
}

impl Failure {
    /// Returns the failure of a row that is damaged.
    pub(super) fn damaged(what: impl Into<String>) -> Self {
        Self::Damaged(what.into())
    }

    /// Returns the failure of a panic in the driver.
    pub(super) fn of_driver(what: &str) -> Self {
        Self::Lost { what: format!("the driver failed: {what}"), timed_out: false }
    }

    /// Converts the failure into that of a call that failed while `doing`.
    pub(super) fn into_store_error(self, doing: &'static str) -> StoreError {
        match self {
            Self::DiskFull => StoreError::DiskFull { doing },
            Self::Damaged(what) => StoreError::EngineDamaged { doing, what },
            other => StoreError::Engine { doing, message: other.message() },
        }
    }

    /// Converts the failure into that of an engine that can't be opened.
    pub(super) fn into_open_error(self, path: &Path, access: &MysqlAccess) -> OpenError {
        let path = path.to_path_buf();
        match self {
            Self::Damaged(what) => OpenError::EngineDamaged { path, what },
            Self::NewerFormat(found) => {
                OpenError::NewerFormat { path, found, known: super::schema::FORMAT }
            }
            other => {
                let message = format!("{}; it was {access}", other.message());
                OpenError::Engine { path, message }
            }
        }
    }

    pub(super) fn message(&self) -> String {
        match self {
            Self::Lost { what, .. }
            | Self::Again(what)
            | Self::Refused(what)
            | Self::Damaged(what) => what.clone(),
            Self::DiskFull => "the server has no room left on its disk; free some".into(),
            Self::NewerFormat(found) => format!("the tables have format {found}"),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::MySqlError(error) => of_server(error.code, &error.message),
            Error::IoError(error) => Self::Lost {
                timed_out: is_late(error.kind()),
                what: format!("the connection is lost: {error}"),
            },
            Error::DriverError(DriverError::CouldNotConnect(Some((address, what, kind)))) => {
                Self::Lost {
                    timed_out: is_late(kind),
                    what: format!("no server answers at {address}: {what}"),
                }
            }
            Error::DriverError(error @ (DriverError::ConnectTimeout | DriverError::Timeout)) => {
                Self::Lost { what: error.to_string(), timed_out: true }
            }
            Error::DriverError(error @ DriverError::UnknownAuthPlugin(_)) => {
                Self::Refused(format!(
                    "the driver can't log in: {error}; let the user log in with a password, as \
                 mysql_native_password or caching_sha2_password check it"
                ))
            }
            Error::DriverError(error @ DriverError::PacketTooLarge) => {
                Self::Refused(format!("{error}; set max_allowed_packet as the documentation says"))
            }
            Error::FromRowError(_) | Error::FromValueError(_) => {
                Self::damaged("a row is not of the kind that was written")
            }
            other => Self::Lost { what: other.to_string(), timed_out: false },
        }
    }
}

fn is_late(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock)
}

/// Returns what an error of the server means, by its number in MySQL's and MariaDB's lists.
fn of_server(code: u16, message: &str) -> Failure {
    let said = format!("{message} (error {code})");
    match code {
        // Deadlocks, and locks that others held for too long.
        1205 | 1213 => Failure::Again(said),
        3 | 1021 | 1026 | 1114 if code == 1021 || code == 1114 || says(message, 28) => {
            Failure::DiskFull
        }
        1030 if says(message, 28) => Failure::DiskFull,
        // 126, 127, 144, 145: a table is crashed. 180, 192 and past them: InnoDB's indexes, tables and pages are corrupt.
        1030 if [126, 127, 144, 145, 155, 175, 180, 192, 199]
            .iter()
            .any(|error| says(message, *error)) =>
        {
            Failure::Damaged(said)
        }
        126 | 127 | 144 | 145 | 1034 | 1035 | 1194 | 1195 | 1712 | 1877 | 1932 => {
            Failure::Damaged(said)
        }
        1146 => Failure::Damaged(format!("{said}: a table is gone")),
        1044 | 1045 | 1142 | 1143 | 1227 | 1698 => Failure::Refused(format!(
            "{said}; check the user and its password, and GRANT ALL ON the database's tables to it"
        )),
        1049 => Failure::Refused(format!(
            "{said}; CREATE DATABASE and GRANT ALL on it to the user, or set `database` right"
        )),
        1290 | 1792 | 1836 => Failure::Refused(format!(
            "{said}; the server takes no writes: SET GLOBAL read_only = OFF, or use the one that is written to"
        )),
        1153 | 1301 => {
            Failure::Refused(format!("{said}; set max_allowed_packet as the documentation says"))
        }
        // Shutdowns, kills, too many connections, and connections that the server has given up.
        1040
        | 1053
        | 1077
        | 1078
        | 1079
        | 1080
        | 1129
        | 1152
        | 1158..=1161
        | 1184
        | 1203
        | 1226
        | 1317
        | 1927
        | 3169 => Failure::Lost { what: said, timed_out: false },
        _ => Failure::Refused(said),
    }
}

/// Whether a message has this number, as that of an error underneath.
fn says(message: &str, number: u32) -> bool {
    message.split(|c: char| !c.is_ascii_digit()).any(|word| word.parse() == Ok(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_server_are_told_apart_by_their_number() {
        for (code, message, expected) in [
            (1213, "Deadlock found when trying to get lock", "again"),
            (1205, "Lock wait timeout exceeded", "again"),
            (1021, "Disk full (/tmp)", "full"),
            (1114, "The table 'x' is full", "full"),
            (3, "Error writing file 'x' (Errcode: 28 \"No space left on device\")", "full"),
            (1030, "Got error 28 \"No space left on device\" from storage engine InnoDB", "full"),
            (1030, "Got error 192 \"Table encrypted\" from storage engine InnoDB", "damaged"),
            (1030, "Got error 168 from storage engine InnoDB", "refused"),
            (1034, "Incorrect key file for table 'x'", "damaged"),
            (1712, "Index x is corrupted", "damaged"),
            (1932, "Table 'd.x' doesn't exist in engine", "damaged"),
            (1045, "Access denied for user 'x'@'localhost'", "refused"),
            (1290, "The MariaDB server is running with the --read-only option", "refused"),
            (1053, "Server shutdown in progress", "lost"),
            (1927, "Connection was killed", "lost"),
            (1040, "Too many connections", "lost"),
            (1064, "You have an error in your SQL syntax", "refused"),
        ] {
            let found = match of_server(code, message) {
                Failure::Lost { .. } => "lost",
                Failure::Again(_) => "again",
                Failure::Refused(_) => "refused",
                Failure::DiskFull => "full",
                Failure::Damaged(_) | Failure::NewerFormat(_) => "damaged",
            };
            assert_eq!(found, expected, "{code}: {message}");
        }
    }
}
