//! The folder of a development cluster: its contents, and the state that is kept between commands.
//!
//! Invariant: one command at a time works in the folder; the lock lives as long as the value.

use std::fs::{self, File, TryLockError};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use jedlik_ports::free_address;
use serde::{Deserialize, Serialize};

use super::process::Recorded;

/// Engine in which the nodes keep their records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Engine {
    /// redb, which keeps records on disk.
    Redb,
    /// Sorted tables, which keep records on disk as well.
    Lsm,
    /// Tables of a MariaDB server, which the cluster runs for itself, with a database for each node.
    Mysql,
    /// Memory: a stopped node forgets its records.
    Memory,
}

impl Engine {
    /// Returns the engine's name in a node's configuration.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Redb => "redb",
            Self::Lsm => "lsm",
            Self::Mysql => "mysql",
            Self::Memory => "memory",
        }
    }
}

/// State of a cluster that is kept between commands.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) engine: Engine,
    /// Folder of the programs with which the cluster was last brought up.
    pub(crate) binaries: PathBuf,
    pub(crate) nodes: Vec<Node>,
}

/// Node of a development cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Node {
    pub(crate) name: String,
    /// Address at which the node listens, for its own protocol and for HTTP: one is UDP, the other TCP.
    pub(crate) address: SocketAddr,
    /// Address of the door for Riak's Protocol Buffers clients; `None` before the first start with such a door.
    pub(crate) riak_pb: Option<SocketAddr>,
    /// Process of the last start; `None` before the first.
    pub(crate) process: Option<Recorded>,
}

impl State {
    /// Makes the state of a new cluster, whose ports are free now.
    ///
    /// # Errors
    /// Loopback has not enough free ports.
    pub(crate) fn new(nodes: u16, engine: Engine, binaries: PathBuf) -> anyhow::Result<Self> {
        let addresses = free_addresses(nodes)?;
        let node = |(number, address)| {
            let name = format!("n{number}");
            Node { name, address, riak_pb: None, process: None }
        };
        Ok(Self { engine, binaries, nodes: (1..).zip(addresses).map(node).collect() })
    }

    /// Returns the node with this number, from 1.
    ///
    /// # Errors
    /// There is no node with that number.
    pub(crate) fn node(&mut self, number: usize) -> anyhow::Result<&mut Node> {
        let count = self.nodes.len();
        let node = number.checked_sub(1).and_then(|index| self.nodes.get_mut(index));
        node.with_context(|| format!("there is no node {number}; they go from 1 to {count}"))
    }
}

impl Node {
    /// Gives the node the addresses of doors that it has not yet, and whose ports are free now.
    ///
    /// # Errors
    /// Loopback has no free port.
    pub(crate) fn have_doors(&mut self) -> anyhow::Result<()> {
        if self.riak_pb.is_none() {
            self.riak_pb = free_addresses(1)?.pop();
        }
        Ok(())
    }
}

/// Finds loopback addresses whose ports are free, all different.
fn free_addresses(count: u16) -> anyhow::Result<Vec<SocketAddr>> {
    let addresses: Result<Vec<_>, _> = (0..count).map(|_| free_address()).collect();
    addresses.context("can't find free ports on 127.0.0.1")
}

/// Folder of a development cluster, locked against other commands.
#[derive(Debug)]
pub(crate) struct Home {
    path: PathBuf,
    _lock: File,
}

impl Home {
    /// Makes the folder if it is missing, and locks it.
    ///
    /// # Errors
    /// Another command is at work in the folder, or the disk refuses.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        fs::create_dir_all(path).with_context(|| format!("can't make {shown}"))?;
        let path = path.canonicalize()?;
        let lock = File::create(path.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(TryLockError::WouldBlock) => {
                bail!("another command is at work in {shown}; wait for it")
            }
            Err(TryLockError::Error(error)) => Err(error).context(format!("can't lock {shown}")),
        }
    }

    /// Reads the state of the cluster; `None` if no cluster was made here.
    ///
    /// # Errors
    /// The file can't be read, or is damaged.
    pub(crate) fn state(&self) -> anyhow::Result<Option<State>> {
        let path = self.path("cluster.toml");
        if !path.exists() {
            return Ok(None);
        }
        let state = toml::from_str(&fs::read_to_string(&path)?);
        state
            .with_context(|| format!("{} is damaged; `cluster down --wipe`", path.display()))
            .map(Some)
    }

    /// Writes the state of the cluster.
    ///
    /// # Errors
    /// The disk refuses the write.
    pub(crate) fn save(&self, state: &State) -> anyhow::Result<()> {
        let fresh = self.path("cluster.toml.new");
        fs::write(&fresh, toml::to_string(state)?)?;
        fs::rename(fresh, self.path("cluster.toml")).context("can't save the cluster's state")
    }

    /// Removes everything that a cluster has left here; returns whether there was anything.
    ///
    /// # Errors
    /// The folder holds something else, or the disk refuses.
    pub(crate) fn wipe(self) -> anyhow::Result<bool> {
        let shown = self.path.display();
        let ours = self.path("cluster.toml").exists() || self.path("ca").exists();
        if !ours {
            fs::remove_file(self.path("lock"))?;
            let removed = fs::remove_dir(&self.path);
            removed
                .with_context(|| format!("{shown} holds no cluster; its files are left alone"))?;
            return Ok(false);
        }
        fs::remove_dir_all(&self.path).with_context(|| format!("can't remove {shown}"))?;
        Ok(true)
    }

    /// Returns the folder itself, as an absolute path.
    pub(crate) fn folder(&self) -> &Path {
        &self.path
    }

    /// Returns a path below the folder.
    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.path.join(below)
    }

    /// Returns a path below a node's own folder.
    pub(crate) fn node_path(&self, node: &Node, below: &str) -> PathBuf {
        self.path.join(&node.name).join(below)
    }
}

#[cfg(test)]
mod tests;
