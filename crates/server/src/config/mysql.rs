//! Check of the options of the engine `mysql`, which no other engine needs.
//!
//! Invariant: a server that is named is on this machine, since nothing that is sent to it is encrypted.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use super::check::{Check, text};
use super::error::Mistake;
use super::source::Setting;

/// Place at which a MySQL or MariaDB server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MysqlPlace {
    /// Path of a Unix socket.
    Socket(PathBuf),
    /// Loopback address and port.
    Loopback(SocketAddr),
}

impl fmt::Display for MysqlPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => path.display().fmt(f),
            Self::Loopback(address) => address.fmt(f),
        }
    }
}

/// Way to the database that has a node's records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mysql {
    /// Place at which the server listens.
    pub place: MysqlPlace,
    /// User that owns the tables.
    pub user: String,
    /// File whose first line is the user's password; `None` for a user without one.
    pub password_file: Option<PathBuf>,
    /// Database that the tables are in.
    pub database: String,
}

impl Check {
    /// Returns the way to the database, of a server that has this port unless it has a socket; `None` with a mistake noted.
    pub(super) fn mysql(&mut self, port: u16) -> Option<Mysql> {
        if !cfg!(feature = "mysql") {
            let why = "this program was built without it; build it with the feature `mysql`";
            return self.unusable("engine", why);
        }
        let place = self.mysql_place(port);
        let user = self.required("mysql.user", |_, setting| filled(setting));
        let database = self.required("mysql.database", |_, setting| filled(setting));
        let password_file = match self.settings.by_name.contains_key("mysql.password_file") {
            true => Some(self.password_file()?),
            false => None,
        };
        Some(Mysql { place: place?, user: user?, password_file, database: database? })
    }

    fn mysql_place(&mut self, port: u16) -> Option<MysqlPlace> {
        let has = |name: &str| self.settings.by_name.contains_key(name);
        match (has("mysql.socket"), has("mysql.host")) {
            (true, false) | (false, false) => {
                self.required("mysql.socket", Self::path).map(MysqlPlace::Socket)
            }
            (false, true) => {
                let host = self.required("mysql.host", |_, setting| filled(setting))?;
                let ip = match host.as_str() {
                    "localhost" => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
                    _ => host.parse().ok(),
                };
                match ip.filter(IpAddr::is_loopback) {
                    Some(ip) => Some(MysqlPlace::Loopback((ip, port).into())),
                    None => self.unusable(
                        "mysql.host",
                        "what is sent to the server is not encrypted, so it must be on this machine: 127.0.0.1, \
                         ::1 or localhost, or better mysql.socket",
                    ),
                }
            }
            (true, true) => {
                self.unusable("mysql.host", "mysql.socket is set too; leave one of them out")
            }
        }
    }

    /// Returns the path of the file, and notes a mistake if it can't be opened now.
    fn password_file(&mut self) -> Option<PathBuf> {
        let path = self.required("mysql.password_file", Self::path)?;
        match std::fs::File::open(&path) {
            Ok(_) => Some(path),
            Err(error) => {
                self.unusable("mysql.password_file", &format!("it can't be opened: {error}"))
            }
        }
    }

    pub(super) fn unusable<T>(&mut self, name: &'static str, why: &str) -> Option<T> {
        let Setting { values, source } = self.settings.by_name[name].clone();
        let mistake = Mistake::unusable(name, &values.join(", "), &source, why.into());
        self.settings.mistakes.push(mistake);
        None
    }
}

fn filled(setting: &Setting) -> Option<String> {
    text(setting).filter(|text| !text.is_empty()).map(str::to_owned)
}
