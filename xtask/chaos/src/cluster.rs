//! The nodes of a run with their authority, the tools pointed at them, and the removal of everything.
//!
//! Invariant: everything that a run makes is recorded here, so that [`Cluster::tear_down`] can remove it in any case.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use jedlik_client::{Client, Identity};
use jedlik_engines::Engine;
use serde_json::Value;
use tokio::sync::{Mutex, OnceCell};
use tokio::task::block_in_place;
use tokio::time::{Instant, sleep};

use crate::chance::Chance;
use crate::chronicle::{Chronicle, print};
use crate::clock;
use crate::command::{command, output};
use crate::databases::Databases;
use crate::engines::Engines;
use crate::network::Network;
use crate::node::{Node, NodeCondition};
use crate::plan::{Number, troubled_limit};

/// Time in which a node must serve after its start: it may have a long journal to replay.
const READY_LIMIT: Duration = Duration::from_secs(120);
/// Time in which an admin command must end; commands that wait for the cluster have shorter limits of their own.
const ADMIN_LIMIT: Duration = Duration::from_secs(300);
const KNOWN_LIMIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);

/// The nodes, network and folder that a run has made.
#[derive(Debug)]
pub(crate) struct Cluster {
    folder: PathBuf,
    binaries: PathBuf,
    pub(crate) engines: Engines,
    /// Server that some of the engines keep their records on; it is started with the first node that has such an engine.
    databases: OnceCell<Databases>,
    pub(crate) network: Network,
    pub(crate) chronicle: Arc<Chronicle>,
    nodes: Mutex<BTreeMap<Number, Node>>,
}

impl Cluster {
    /// Makes a cluster without nodes in `folder`, which exists and is empty.
    pub(crate) fn new(
        folder: PathBuf,
        binaries: PathBuf,
        network: Network,
        engines: Engines,
    ) -> Self {
        let (chronicle, nodes) = (Arc::new(Chronicle::new()), Mutex::default());
        let databases = OnceCell::new();
        Self { folder, binaries, engines, databases, network, chronicle, nodes }
    }

    /// Makes the authority, starts the nodes, and commits their first layout.
    pub(crate) async fn set_up(&self, nodes: Number) -> anyhow::Result<()> {
        let ca = self.path("ca");
        self.tool(&["ca", "init", "--dir", text(&ca)?]).await?;
        for role in ["admin", "client"] {
            self.issue(role, role).await?;
        }
        for number in 1..=nodes {
            self.add(number).await?;
        }
        self.first_layout(nodes.into()).await
    }

    fn path(&self, below: &str) -> PathBuf {
        self.folder.join(below)
    }

    async fn issue(&self, role: &str, name: &str) -> anyhow::Result<()> {
        let (ca, out) = (self.path("ca"), self.path(name).join("tls"));
        let (ca, out) = (text(&ca)?, text(&out)?);
        let words = ["cert", "issue", "--role", role, "--name", name, "--ca", ca, "--out", out];
        self.tool(&words).await.map(drop)
    }

    async fn tool(&self, words: &[&str]) -> anyhow::Result<String> {
        let admin = self.binaries.join("jedlik-admin");
        output(&mut command(admin, words), ADMIN_LIMIT).await
    }

    /// Runs `jedlik-admin` on the cluster and returns its output as JSON.
    pub(crate) async fn admin(&self, words: &[&str]) -> anyhow::Result<Value> {
        let profile = self.path("admin.toml");
        let said = self.tool(&[&["--profile", text(&profile)?, "--json"], words].concat()).await?;
        if said.trim().is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&said).with_context(|| format!("{words:?} gave no JSON: {said}"))
    }

    /// Connects the Rust client in a role, with all nodes as its seeds.
    pub(crate) async fn client(&self, role: &str) -> anyhow::Result<Client> {
        let [ca, cert, key] =
            ["ca", "cert", "key"].map(|file| self.path(&format!("{role}/tls/{file}.pem")));
        let identity = Identity::from_pem_files(ca, cert, key)?;
        let seeds = self.members().await;
        Ok(Client::builder().seeds(seeds.values()).identity(identity).connect().await?)
    }

    /// Starts a new and empty node, and waits until it serves.
    pub(crate) async fn add(&self, number: Number) -> anyhow::Result<()> {
        let name = format!("n{number}");
        self.issue("node", &name).await?;
        let address = self.network.add(number).await?;
        let mysql = match self.has_tables(number) {
            true => Some(self.database(&name).await?),
            false => None,
        };
        let engine = (self.engines.of(number), mysql);
        let node = Node::new(number, self.path(&name), address, engine);
        self.nodes.lock().await.insert(number, node);
        self.start(number).await?;
        self.write_profiles().await
    }

    /// Makes a database for a node, and returns the table of its configuration that says so.
    async fn database(&self, name: &str) -> anyhow::Result<String> {
        let databases = self.databases.get_or_try_init(Databases::start).await?;
        databases.add(name).await?;
        Ok(databases.config(name))
    }

    /// Returns the server of the nodes that have their records on one.
    ///
    /// # Errors
    /// No node has.
    pub(crate) fn databases(&self) -> anyhow::Result<&Databases> {
        self.databases.get().context("no node has its records on a server")
    }

    /// Starts a node that is not running, and waits until it serves.
    pub(crate) async fn start(&self, number: Number) -> anyhow::Result<()> {
        let program = self.network.program(number, &self.binaries.join("jedlik-node"))?;
        {
            let mut nodes = self.nodes.lock().await;
            let others =
                |node: &&Node| node.number != number && node.condition != NodeCondition::Gone;
            let addresses = nodes.values().filter(others).map(|node| node.address);
            // A node that has never served has no port yet.
            let seeds: Vec<SocketAddr> = addresses.filter(|seed| seed.port() != 0).collect();
            find(&mut nodes, number)?.start(program, &seeds)?;
        }
        let deadline = Instant::now() + READY_LIMIT;
        while !find(&mut *self.nodes.lock().await, number)?.is_ready()? {
            if Instant::now() > deadline {
                bail!("n{number} doesn't serve within {READY_LIMIT:?}");
            }
            sleep(POLL).await;
        }
        Ok(())
    }

    async fn write_profiles(&self) -> anyhow::Result<()> {
        let seeds: Vec<String> =
            self.members().await.values().map(|address| format!("\"{address}\"")).collect();
        for role in ["admin", "client"] {
            let profile = format!(
                "seeds = [{}]\nca = \"{role}/tls/ca.pem\"\ncert = \"{role}/tls/cert.pem\"\n\
                 key = \"{role}/tls/key.pem\"\n",
                seeds.join(", ")
            );
            // A tool may be reading the file.
            let new = self.path(&format!("{role}.new"));
            fs::write(&new, profile)?;
            fs::rename(new, self.path(&format!("{role}.toml")))?;
        }
        Ok(())
    }

    async fn first_layout(&self, nodes: usize) -> anyhow::Result<()> {
        let deadline = Instant::now() + KNOWN_LIMIT;
        loop {
            let error = match self.try_first_layout(nodes).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            if Instant::now() > deadline {
                return Err(error.context(format!("no first layout within {KNOWN_LIMIT:?}")));
            }
            sleep(POLL).await;
        }
    }

    async fn try_first_layout(&self, nodes: usize) -> anyhow::Result<()> {
        let plan = self.admin(&["cluster", "plan"]).await?;
        let planned = plan["nodes"].as_array().map_or(0, Vec::len);
        if planned != nodes {
            bail!("the plan has {planned} of {nodes} nodes");
        }
        let hash = plan["plan"].as_str().context("the plan has no hash")?;
        self.admin(&["cluster", "commit", hash]).await.map(drop)
    }

    /// Returns the members, dead or alive, with their addresses.
    pub(crate) async fn members(&self) -> BTreeMap<Number, SocketAddr> {
        let nodes = self.nodes.lock().await;
        let members = nodes.values().filter(|node| node.condition != NodeCondition::Gone);
        members.map(|node| (node.number, node.address)).collect()
    }

    /// Returns the members that nothing is wrong with; each must be running.
    ///
    /// # Errors
    /// A well member has ended by itself.
    pub(crate) async fn well(&self) -> anyhow::Result<Vec<Number>> {
        let mut nodes = self.nodes.lock().await;
        let well = nodes.values_mut().filter(|node| node.condition == NodeCondition::Well);
        well.map(|node| node.ensure_running().map(|()| node.number)).collect()
    }

    /// Gives a well node another condition, if that leaves enough others well; returns whether it did.
    pub(crate) async fn claim(&self, number: Number, condition: NodeCondition) -> bool {
        let mut nodes = self.nodes.lock().await;
        let of =
            |wanted: NodeCondition| nodes.values().filter(|node| node.condition == wanted).count();
        let members = nodes.len() - of(NodeCondition::Gone);
        let amiss = of(NodeCondition::Troubled) + of(NodeCondition::Dead);
        let harms = matches!(condition, NodeCondition::Troubled | NodeCondition::Dead);
        if harms && amiss >= troubled_limit(members) {
            return false;
        }
        let Some(node) = nodes.get_mut(&number) else { return false };
        let free = node.condition == NodeCondition::Well && node.is_running();
        if free {
            node.condition = condition;
        }
        free
    }

    /// Sets the condition of a node within the run.
    pub(crate) async fn set(&self, number: Number, condition: NodeCondition) -> anyhow::Result<()> {
        find(&mut *self.nodes.lock().await, number)?.condition = condition;
        self.write_profiles().await
    }

    /// Stops a node's process with SIGSTOP if `on`, and continues it with SIGCONT otherwise.
    pub(crate) async fn hold(&self, number: Number, on: bool) -> anyhow::Result<()> {
        find(&mut *self.nodes.lock().await, number)?.hold(on)
    }

    /// Kills a node with SIGKILL.
    pub(crate) async fn kill(&self, number: Number) -> anyhow::Result<()> {
        find(&mut *self.nodes.lock().await, number)?.kill().await
    }

    /// Deletes the data directory of a node that was killed.
    pub(crate) async fn lose_disk(&self, number: Number) -> anyhow::Result<()> {
        find(&mut *self.nodes.lock().await, number)?.lose_disk()
    }

    /// Copies the data directory of a node that was killed, and its tables on a server.
    pub(crate) async fn copy_disk(&self, number: Number) -> anyhow::Result<()> {
        find(&mut *self.nodes.lock().await, number)?.copy_disk()?;
        match self.has_tables(number) {
            true => self.databases()?.copy(&format!("n{number}")).await,
            false => Ok(()),
        }
    }

    /// Puts the copy back in a node that was killed. Of a directory and tables on a server one may go back without the
    /// other, since each has backups of its own.
    pub(crate) async fn put_back(&self, number: Number, chance: &mut Chance) -> anyhow::Result<()> {
        let has_tables = self.has_tables(number);
        let (directory, tables) = match has_tables.then(|| chance.below(3)) {
            None | Some(0) => (true, false),
            Some(1) => (false, true),
            Some(_) => (true, true),
        };
        find(&mut *self.nodes.lock().await, number)?.end_copy(directory)?;
        if has_tables {
            self.databases()?.end_copy(&format!("n{number}"), tables).await?;
            let parts = [(directory, "directory"), (tables, "tables")].into_iter();
            let back: Vec<&str> = parts.filter(|part| part.0).map(|part| part.1).collect();
            self.chronicle.say(format!("n{number} has an earlier state: {}", back.join(", ")));
        }
        Ok(())
    }

    fn has_tables(&self, number: Number) -> bool {
        self.engines.of(number) == Engine::Mysql
    }

    /// Flips bits in what a node's engine keeps, and returns their number: 0 if there is nothing.
    pub(crate) async fn rot(&self, number: Number, chance: &mut Chance) -> anyhow::Result<usize> {
        let _well = match self.databases.get() {
            Some(databases) => Some(databases.well().await),
            None => None,
        };
        let mut nodes = self.nodes.lock().await;
        let node = find(&mut nodes, number)?;
        // A server is asked by another program, some times.
        block_in_place(|| node.rot(chance))
    }

    /// Ends the reader of a node's log.
    pub(crate) async fn cut_log(&self, number: Number) -> anyhow::Result<()> {
        find(&mut *self.nodes.lock().await, number)?.cut_log();
        Ok(())
    }

    /// Sets a node's calendar clock this many seconds ahead of the machine's.
    pub(crate) async fn set_clock(&self, number: Number, ahead_s: i32) -> anyhow::Result<()> {
        if clock::library().is_none() {
            self.chronicle.count("clock not set: `apt-get install faketime`");
            return Ok(());
        }
        find(&mut *self.nodes.lock().await, number)?.set_clock(ahead_s)
    }

    /// Whether the node's process runs.
    pub(crate) async fn is_running(&self, number: Number) -> anyhow::Result<bool> {
        Ok(find(&mut *self.nodes.lock().await, number)?.is_running())
    }

    /// Ends every process and removes the network and, unless `keep` is set, the folder; returns what is left.
    pub(crate) async fn tear_down(&self, keep: bool) -> Vec<String> {
        let mut left = Vec::new();
        for node in self.nodes.lock().await.values_mut() {
            if let Err(error) = node.kill().await {
                left.push(format!("{error:#}"));
            }
        }
        left.extend(self.network.tear_down().await);
        if keep {
            print(&format!("logs and data are in {}", self.folder.display()));
        } else if let Err(error) = fs::remove_dir_all(&self.folder) {
            left.push(format!("{}: {error}", self.folder.display()));
        }
        left
    }
}

fn find(nodes: &mut BTreeMap<Number, Node>, number: Number) -> anyhow::Result<&mut Node> {
    nodes.get_mut(&number).with_context(|| format!("there is no n{number}"))
}

fn text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))
}
