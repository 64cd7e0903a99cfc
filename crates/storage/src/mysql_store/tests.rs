//! Behaviour of the engine on a real server.

mod damage;
mod large;
mod model;
mod outages;
mod refusals;

use std::io;
use std::path::PathBuf;
use std::sync::OnceLock;

use jedlik_services::PrivateServer;
use tempfile::TempDir;

use super::schema::Tables;
use super::{AccessFile, MysqlAccess, MysqlAddress, MysqlOptions, MysqlStore, TablesId, link};
use crate::tests::memory_folder;

/// Returns the server of this process's tests, which no test disturbs.
fn server() -> &'static PrivateServer {
    static SERVER: OnceLock<PrivateServer> = OnceLock::new();
    SERVER.get_or_init(|| started(PrivateServer::start, &[]))
}

/// Starts a server with a database for tests.
pub(crate) fn started(
    start: fn(&[&str]) -> io::Result<PrivateServer>,
    settings: &[&str],
) -> PrivateServer {
    let server = start(settings).expect("the tests need MariaDB's programs");
    server.sql("CREATE DATABASE shop").unwrap();
    server
}

/// Runs statements as a server's root.
fn sql_of(server: &PrivateServer, statements: &str) -> String {
    server.sql(statements).unwrap()
}

/// Returns the way to the database of a server, as its root.
fn access(server: &PrivateServer) -> MysqlAccess {
    MysqlAccess {
        address: MysqlAddress::Socket(server.socket()),
        user: "root".into(),
        password_file: None,
        database: "shop".into(),
    }
}

/// Folder of one shard, whose tables go with it.
pub(crate) struct Place {
    folder: TempDir,
    access: MysqlAccess,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self::on(server())
    }

    pub(crate) fn on(server: &PrivateServer) -> Self {
        Self { folder: memory_folder(), access: access(server) }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("records.mysql")
    }

    pub(crate) fn options(&self) -> MysqlOptions {
        MysqlOptions { access: self.access.clone(), owner: "a test".into() }
    }

    /// Whether any of the tables is there that were described in this way.
    pub(crate) fn has(&self, described: &str) -> bool {
        let like = described.split_whitespace().next().unwrap().replace('*', "%");
        !sql_of(server(), &format!("SHOW TABLES IN shop LIKE '{like}'")).is_empty()
    }

    /// Ends the connection of whoever writes, as the end of its process would.
    pub(crate) fn disconnect(&self) {
        use mysql::prelude::Queryable;
        let id = AccessFile::read(&self.path()).unwrap().unwrap().tables;
        let mut conn = mysql::Conn::new(self.access.options().unwrap()).unwrap();
        let held: Option<Option<u64>> =
            conn.exec_first("SELECT IS_USED_LOCK(?)", (format!("jedlik.{id}"),)).unwrap();
        if let Some(writer) = held.flatten() {
            conn.query_drop(format!("KILL {writer}")).unwrap();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // A server that was stopped keeps nothing for long.
        let _ = MysqlStore::remove(&self.path());
    }
}
