//! Engines under test, opened and opened again.
//!
//! Invariant: an engine that keeps its files is dropped before it is opened again.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use jedlik_services::PrivateServer;
use jedlik_storage::{
    Filtered, LsmOptions, LsmStore, MemoryStore, MysqlAccess, MysqlAddress, MysqlOptions,
    MysqlStore, RedbOptions, RedbStore, Store,
};

/// Kind of an engine, by its name in a node's configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// Records in redb files, as in a node: with the filters of absent keys.
    Redb,
    /// Records in sorted tables, as in a node: with the filters of absent keys.
    Lsm,
    /// Records in tables of a MariaDB server of the run's own, as in a node: with the filters of absent keys.
    Mysql,
    /// Records in sorted maps in memory, of which nothing is kept.
    Memory,
}

/// Name of the database on the run's own server.
const DATABASE: &str = "soak";

/// Starts a server with a database.
fn server() -> std::io::Result<PrivateServer> {
    let server = PrivateServer::start(&["--innodb-buffer-pool-size=128M"])?;
    server.sql(&format!("CREATE DATABASE {DATABASE}"))?;
    Ok(server)
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Redb => "redb",
            Self::Lsm => "lsm",
            Self::Mysql => "mysql",
            Self::Memory => "memory",
        }
    }
}

/// Engine and the place of its files.
pub(crate) struct Engine {
    kind: Kind,
    path: PathBuf,
    store: Option<Arc<dyn Store>>,
    /// Server of an engine that needs one; it ends after the engine.
    server: Option<PrivateServer>,
}

impl Engine {
    /// Opens the engine in its own place below `dir`.
    pub(crate) fn open(kind: Kind, place: usize, dir: &Path) -> anyhow::Result<Self> {
        let path = dir.join(format!("{place}-{}", kind.name()));
        let server = match kind {
            Kind::Mysql => Some(server().context("can't start MariaDB")?),
            Kind::Redb | Kind::Lsm | Kind::Memory => None,
        };
        let mut engine = Self { kind, path, store: None, server };
        engine.open_store()?;
        Ok(engine)
    }

    fn open_store(&mut self) -> anyhow::Result<()> {
        let opened: anyhow::Result<Arc<dyn Store>> = match self.kind {
            Kind::Redb => RedbStore::open(&self.path, &RedbOptions::default())
                .map(|store| -> Arc<dyn Store> { Arc::new(Filtered::over(store)) })
                .map_err(Into::into),
            Kind::Lsm => LsmStore::open(&self.path, &LsmOptions::default())
                .map(|store| -> Arc<dyn Store> { Arc::new(Filtered::over(store)) })
                .map_err(Into::into),
            Kind::Mysql => self
                .mysql_options()
                .and_then(|options| Ok(MysqlStore::open(&self.path, &options)?))
                .map(|store| -> Arc<dyn Store> { Arc::new(Filtered::over(store)) }),
            Kind::Memory => Ok(Arc::new(MemoryStore::new())),
        };
        self.store = Some(opened.with_context(|| format!("can't open {}", self.path.display()))?);
        Ok(())
    }

    fn mysql_options(&self) -> anyhow::Result<MysqlOptions> {
        let server = self.server.as_ref().context("the engine has no server")?;
        let access = MysqlAccess {
            address: MysqlAddress::Socket(server.socket()),
            user: "root".into(),
            password_file: None,
            database: DATABASE.into(),
        };
        Ok(MysqlOptions { access, owner: "soak".into() })
    }

    /// Closes the engine and opens what it has left. One that keeps nothing stays open.
    pub(crate) fn open_again(&mut self) -> anyhow::Result<()> {
        if self.kind == Kind::Memory {
            return Ok(());
        }
        self.store = None;
        self.open_store()
    }

    pub(crate) fn name(&self) -> &'static str {
        self.kind.name()
    }

    /// Returns the open engine.
    pub(crate) fn store(&self) -> anyhow::Result<&dyn Store> {
        self.store.as_deref().context("the engine could not be opened again")
    }

    /// Returns the size of what the engine keeps, for people.
    pub(crate) fn size(&self) -> anyhow::Result<String> {
        let bytes = self.store()?.size_bytes()?;
        Ok(format!("{} {} MiB", self.name(), bytes >> 20))
    }
}
