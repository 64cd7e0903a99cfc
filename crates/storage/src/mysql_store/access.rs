//! How the tables of a shard are reached, and the file in the shard's folder that says so.
//!
//! Invariant: the file names the set of tables that is this shard's, and where they were reached the last time; never a
//! password, only the file that has it. It is whole, or it says that it is not.

use std::fmt;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use mysql::OptsBuilder;
use serde::{Deserialize, Serialize};

use crate::OpenError;
use crate::disk::replace_file;

/// Format of the file that is read and written.
const FORMAT: u32 = 1;
/// Text that the file begins with, before the CRC-32 of all lines after the first, in eight hexadecimal digits.
const HEADING: &str = "# Written by jedlik-node; not meant to be edited. CRC-32: ";

/// Place at which a MySQL server listens: on this machine, since nothing that is sent is encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MysqlAddress {
    /// Path of a Unix socket.
    Socket(PathBuf),
    /// Loopback address and port.
    Loopback(SocketAddr),
}

impl MysqlAddress {
    /// Returns the place for a host's name and a port; `None` if the host is not this machine.
    #[must_use]
    pub fn loopback(host: &str, port: u16) -> Option<Self> {
        let ip = match host {
            "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
            _ => host.parse().ok()?,
        };
        ip.is_loopback().then_some(Self::Loopback((ip, port).into()))
    }
}

impl fmt::Display for MysqlAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => path.display().fmt(f),
            Self::Loopback(address) => address.fmt(f),
        }
    }
}

/// Way to a database of a MySQL or MariaDB server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MysqlAccess {
    /// Place at which the server listens.
    pub address: MysqlAddress,
    /// User of the server that owns the tables.
    pub user: String,
    /// File whose first line is the user's password; `None` if the user has none.
    pub password_file: Option<PathBuf>,
    /// Database that the tables are in.
    pub database: String,
}

impl MysqlAccess {
    /// Returns what the driver has to know; the password is read anew each time, since it may be changed.
    pub(super) fn options(&self) -> Result<OptsBuilder, String> {
        let password = match &self.password_file {
            None => None,
            Some(path) => {
                let text = fs::read_to_string(path).map_err(|error| {
                    format!("can't read the password in {}: {error}", path.display())
                })?;
                Some(text.lines().next().unwrap_or_default().to_owned())
            }
        };
        let options =
            OptsBuilder::new().user(Some(&self.user)).pass(password).db_name(Some(&self.database));
        Ok(match &self.address {
            MysqlAddress::Socket(path) => options.socket(Some(path.to_string_lossy())),
            MysqlAddress::Loopback(address) => options
                .ip_or_hostname(Some(address.ip().to_string()))
                .tcp_port(address.port())
                .prefer_socket(false),
        })
    }
}

impl fmt::Display for MysqlAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, user, database, .. } = self;
        write!(f, "database {database} at {address}, as {user}")
    }
}

/// Number that tells a set of tables from all others. It is in their names, and seeds the digests in their keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TablesId(pub(super) u64);

impl fmt::Display for TablesId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// File in a shard's folder that names its tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AccessFile {
    pub(super) tables: TablesId,
    pub(super) access: MysqlAccess,
}

/// Contents of the file after its first line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    format: u32,
    tables: String,
    socket: Option<PathBuf>,
    address: Option<SocketAddr>,
    user: String,
    password_file: Option<PathBuf>,
    database: String,
}

/// Format alone, read before the rest, which a newer format may have changed.
#[derive(Deserialize)]
struct FormatOnly {
    format: u32,
}

impl AccessFile {
    /// Reads the file at `path`; `None` if there is none.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, OpenError> {
        if !path.try_exists().map_err(|error| OpenError::io("looking for", path, error))? {
            return Ok(None);
        }
        let text =
            fs::read_to_string(path).map_err(|error| OpenError::io("reading", path, error))?;
        let damaged = |what: &str| {
            let what = format!(
                "{what}. The tables that it named stay in their database: drop by hand those of which no shard's file \
                 has the number"
            );
            OpenError::EngineDamaged { path: path.into(), what }
        };
        let body = text.strip_prefix(HEADING).and_then(|rest| rest.split_once('\n'));
        let (stored, body) = body.ok_or_else(|| damaged("it does not begin with its checksum"))?;
        if stored != checksum(body) {
            return Err(damaged("its checksum does not match"));
        }
        let FormatOnly { format: found } =
            toml::from_str(body).map_err(|error| damaged(error.message()))?;
        if found > FORMAT {
            return Err(OpenError::NewerFormat { path: path.into(), found, known: FORMAT });
        }
        let contents: Contents = toml::from_str(body).map_err(|error| damaged(error.message()))?;
        contents.file().map(Some).ok_or_else(|| damaged("it names no tables"))
    }

    /// Writes the file, durably.
    pub(super) fn write(&self, path: &Path) -> Result<(), OpenError> {
        let body = toml::to_string(&self.contents()).expect("texts and numbers are all TOML");
        let text = format!("{HEADING}{}\n{body}", checksum(&body));
        let (folder, name) = path.parent().zip(path.file_name()).expect("it is a file in a folder");
        replace_file(folder, &name.to_string_lossy(), text.as_bytes())
            .map_err(|error| OpenError::io("writing", path, error))
    }

    fn contents(&self) -> Contents {
        let MysqlAccess { address, user, password_file, database } = self.access.clone();
        let (socket, address) = match address {
            MysqlAddress::Socket(path) => (Some(path), None),
            MysqlAddress::Loopback(address) => (None, Some(address)),
        };
        let tables = self.tables.to_string();
        Contents { format: FORMAT, tables, socket, address, user, password_file, database }
    }
}

impl Contents {
    fn file(self) -> Option<AccessFile> {
        let tables = TablesId(u64::from_str_radix(&self.tables, 16).ok()?);
        let address = match (self.socket, self.address) {
            (Some(path), None) => MysqlAddress::Socket(path),
            (None, Some(address)) => MysqlAddress::Loopback(address),
            _ => return None,
        };
        let Self { user, password_file, database, .. } = self;
        Some(AccessFile { tables, access: MysqlAccess { address, user, password_file, database } })
    }
}

fn checksum(body: &str) -> String {
    format!("{:08x}", crc32fast::hash(body.as_bytes()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_file_names_what_was_written_and_no_password() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("records.mysql");
        assert_eq!(AccessFile::read(&path).unwrap(), None);
        for address in [
            MysqlAddress::Socket("/run/mysqld/mysqld.sock".into()),
            MysqlAddress::loopback("localhost", 3306).unwrap(),
        ] {
            let (user, database) = ("jedlik".into(), "n1".into());
            let password_file = Some("/etc/jedlik/password".into());
            let access = MysqlAccess { address, user, password_file, database };
            let file = AccessFile { tables: TablesId(0x77), access };
            file.write(&path).unwrap();
            assert_eq!(AccessFile::read(&path).unwrap(), Some(file));
        }
    }

    #[test]
    fn a_file_with_a_flipped_bit_or_of_a_newer_format_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("records.mysql");
        let address = MysqlAddress::Socket("/run/mysqld/mysqld.sock".into());
        let (user, database) = ("jedlik".into(), "n1".into());
        let access = MysqlAccess { address, user, password_file: None, database };
        AccessFile { tables: TablesId(0x77), access }.write(&path).unwrap();
        let sound = fs::read(&path).unwrap();
        for at in 0..sound.len() {
            let mut bytes = sound.clone();
            bytes[at] ^= 1;
            fs::write(&path, bytes).unwrap();
            let error = AccessFile::read(&path).unwrap_err();
            assert!(error.is_damage(), "byte {at}: {error}");
        }
        let body = "format = 2\nwhat = \"is new\"\n";
        fs::write(&path, format!("{HEADING}{}\n{body}", checksum(body))).unwrap();
        let error = AccessFile::read(&path).unwrap_err();
        assert!(matches!(error, OpenError::NewerFormat { found: 2, known: 1, .. }), "{error}");
    }

    #[test]
    fn only_this_machine_is_a_host() {
        for host in ["localhost", "127.0.0.1", "127.3.2.1", "::1"] {
            assert!(MysqlAddress::loopback(host, 3306).is_some(), "{host}");
        }
        for host in ["db.example", "10.0.0.1", "0.0.0.0", "::", "fe80::1", ""] {
            assert_eq!(MysqlAddress::loopback(host, 3306), None, "{host}");
        }
    }
}
