//! A development cluster on loopback: authority, certificates, nodes, first layout, profiles.
//!
//! Invariant: every command can be repeated; one that finds its work done says so.

mod database;
mod first_layout;
mod home;
mod launch;
mod next;
pub(crate) mod process;
mod programs;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::Subcommand;
use rustix::process::Signal;

pub(crate) use self::home::{Engine, Home};
use self::home::{Node, State};
use self::programs::Programs;
use crate::certs;
use crate::workspace::Workspace;

/// Folder of a cluster for which no other is given, relative to the workspace.
pub(crate) const USUAL_FOLDER: &str = ".jedlik";
/// Time in which a node must stop: a clean stop writes what is still in memory.
const STOP_LIMIT: Duration = Duration::from_secs(60);
const KILL_LIMIT: Duration = Duration::from_secs(10);

/// Action on the development cluster.
#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Build, start every node that isn't running, and print the next commands. A cluster that was started with
    /// `--binaries` or `--debug` is started with them again.
    Up {
        /// Number of nodes of a new cluster [default: 3].
        #[arg(long, value_parser = clap::value_parser!(u16).range(1..=100))]
        nodes: Option<u16>,
        /// Engine for the records of a new cluster [default: redb].
        #[arg(long)]
        engine: Option<Engine>,
        /// Make a debug build, which is quicker, instead of an optimised one.
        #[arg(long)]
        debug: bool,
        /// Build nothing, and use the programs in this folder.
        #[arg(long, value_name = "DIR", conflicts_with = "debug")]
        binaries: Option<PathBuf>,
    },
    /// Stop every node cleanly.
    Down {
        /// Remove the data, certificates and configuration as well.
        #[arg(long)]
        wipe: bool,
    },
    /// Show which nodes run.
    Status,
    /// End one node with SIGKILL.
    Kill {
        /// Number of the node, from 1.
        node: usize,
    },
    /// Start one node again.
    Start {
        /// Number of the node, from 1.
        node: usize,
    },
    /// Make the authority and the certificates, and start nothing.
    #[command(skip)]
    Certs,
}

/// Performs the action in the cluster's folder.
///
/// # Errors
/// A step fails; the message names it and, if a node failed, shows the end of its log.
pub(crate) fn run(workspace: &Workspace, folder: &Path, action: &Action) -> anyhow::Result<()> {
    let home = Home::open(&workspace.root().join(folder))?;
    let cluster = Cluster { workspace, home };
    match action {
        Action::Up { nodes, engine, debug, binaries } => {
            let binaries = cluster.programs(*debug, binaries.as_deref())?;
            cluster.up(*nodes, *engine, binaries)?;
            cluster.print_next()
        }
        Action::Down { wipe } => cluster.down(*wipe),
        Action::Status => cluster.status(),
        Action::Kill { node } => cluster.kill(*node),
        Action::Start { node } => cluster.start(*node),
        Action::Certs => cluster.certs(),
    }
}

/// Brings up a new cluster of three nodes in a folder that has none. Returns the folder of its programs.
///
/// # Errors
/// A build fails, or a node can't be started.
pub(crate) fn begin(
    workspace: &Workspace,
    folder: &Path,
    engine: Engine,
    binaries: Option<&Path>,
) -> anyhow::Result<PathBuf> {
    let cluster = Cluster { workspace, home: Home::open(&workspace.root().join(folder))? };
    let programs = cluster.programs(false, binaries)?;
    cluster.up(Some(3), Some(engine), programs.clone())?;
    Ok(programs)
}

struct Cluster<'a> {
    workspace: &'a Workspace,
    home: Home,
}

impl Cluster<'_> {
    /// Returns the folder of the programs, which are built unless a folder is given, now or when the cluster was made.
    fn programs(&self, debug: bool, given: Option<&Path>) -> anyhow::Result<PathBuf> {
        let state = self.home.state()?;
        let recorded = state.as_ref().map(|state| state.binaries.as_path());
        let folder = |profile| self.workspace.binaries(profile);
        match Programs::choose(given, debug, recorded, folder) {
            Programs::In(folder) => folder.canonicalize().with_context(|| {
                let shown = folder.display();
                format!("can't take programs from {shown}; give another folder with `--binaries`")
            }),
            Programs::Built(profile) => {
                self.workspace.build(profile)?;
                Ok(folder(profile))
            }
        }
    }

    fn up(
        &self,
        nodes: Option<u16>,
        engine: Option<Engine>,
        binaries: PathBuf,
    ) -> anyhow::Result<()> {
        let mut state = match self.home.state()? {
            Some(state) => {
                check_same(&state, nodes, engine)?;
                State { binaries, ..state }
            }
            None => State::new(nodes.unwrap_or(3), engine.unwrap_or(Engine::Redb), binaries)?,
        };
        self.home.save(&state)?;
        self.issue(&state)?;
        self.have_services(&state)?;
        let started = self.start_all(&mut state)?;
        let made = first_layout::ensure(
            &state.binaries.join("jedlik-admin"),
            &self.home.path("admin.toml"),
            state.nodes.len(),
        )?;
        match (started, made) {
            (0, false) => println!("The cluster is already up."),
            (_, true) => println!("The cluster is up, with its first layout."),
            (_, false) => println!("The cluster is up again, with the data it had."),
        }
        Ok(())
    }

    /// Starts what the nodes can't do without.
    fn have_services(&self, state: &State) -> anyhow::Result<()> {
        match state.engine {
            Engine::Mysql => database::ensure(&self.home, &state.nodes),
            Engine::Redb | Engine::Lsm | Engine::Memory => Ok(()),
        }
    }

    /// Starts every node that isn't running, and returns their number.
    fn start_all(&self, state: &mut State) -> anyhow::Result<usize> {
        let binary = state.binaries.join("jedlik-node");
        let all = state.nodes.clone();
        let mut starting = Vec::new();
        for index in 0..state.nodes.len() {
            let node = &mut state.nodes[index];
            if is_running(node)? {
                continue;
            }
            node.have_doors()?;
            launch::configure(&self.home, node, &all, state.engine)?;
            starting.push(launch::start(&binary, &self.home, node)?);
            self.home.save(state)?;
        }
        for node in &starting {
            node.wait()?;
        }
        Ok(starting.len())
    }

    fn down(self, wipe: bool) -> anyhow::Result<()> {
        let state = self.home.state()?;
        let mut stopped = 0;
        for node in state.iter().flat_map(|state| &state.nodes) {
            let Some(process) = node.process.filter(|_| is_running(node).unwrap_or(true)) else {
                continue;
            };
            let ended = process.end(Signal::TERM, STOP_LIMIT)?;
            ensure!(
                ended,
                "{} (pid {}) hasn't stopped within {STOP_LIMIT:?}; its log is {}",
                node.name,
                process.pid(),
                self.home.node_path(node, "log").display()
            );
            stopped += 1;
        }
        match stopped {
            0 => println!("No node was running."),
            count => println!("{count} nodes stopped cleanly."),
        }
        if database::stop(&self.home)? {
            println!("MariaDB has stopped.");
        }
        if wipe && self.home.wipe()? {
            println!("Data, certificates and configuration are removed.");
        }
        Ok(())
    }

    fn status(&self) -> anyhow::Result<()> {
        for node in &self.existing()?.nodes {
            let state = match node.process {
                Some(process) if process.is_running()? => format!("up, pid {}", process.pid()),
                _ => "down".into(),
            };
            let log = self.home.node_path(node, "log");
            println!("{}  {}  {state}  {}", node.name, node.address, log.display());
        }
        Ok(())
    }

    fn kill(&self, number: usize) -> anyhow::Result<()> {
        let mut state = self.existing()?;
        let node = state.node(number)?;
        let Some(process) = node.process.filter(|_| is_running(node).unwrap_or(true)) else {
            println!("{} isn't running.", node.name);
            return Ok(());
        };
        ensure!(process.end(Signal::KILL, KILL_LIMIT)?, "{} doesn't end", node.name);
        println!("{} (pid {}) is killed.", node.name, process.pid());
        Ok(())
    }

    fn start(&self, number: usize) -> anyhow::Result<()> {
        let mut state = self.existing()?;
        self.have_services(&state)?;
        let binary = state.binaries.join("jedlik-node");
        let node = state.node(number)?;
        if is_running(node)? {
            println!("{} is already running.", node.name);
            return Ok(());
        }
        let starting = launch::start(&binary, &self.home, node)?;
        println!("{} is started.", node.name);
        self.home.save(&state)?;
        starting.wait()
    }

    fn certs(&self) -> anyhow::Result<()> {
        let binaries = self.programs(false, None)?;
        let state = match self.home.state()? {
            Some(state) => state,
            None => State::new(3, Engine::Redb, binaries)?,
        };
        self.home.save(&state)?;
        self.issue(&state)?;
        println!("The authority is in {}.", self.home.path("ca").display());
        Ok(())
    }

    /// Makes the certificates, and the two profiles that use them.
    fn issue(&self, state: &State) -> anyhow::Result<()> {
        let names: Vec<&str> = state.nodes.iter().map(|node| node.name.as_str()).collect();
        certs::ensure(&state.binaries.join("jedlik-admin"), &self.home, &names)?;
        for (file, role) in [("profile.toml", "client"), ("admin.toml", "admin")] {
            fs::write(self.home.path(file), profile(&state.nodes, role))?;
        }
        Ok(())
    }

    fn existing(&self) -> anyhow::Result<State> {
        self.home.state()?.context("there is no cluster here; `cargo xtask cluster up` makes one")
    }

    fn print_next(&self) -> anyhow::Result<()> {
        let usual = self.workspace.root().join(USUAL_FOLDER).canonicalize();
        let is_usual = usual.is_ok_and(|usual| usual == self.home.folder());
        print!("{}", next::shown(&self.home, &self.existing()?, is_usual));
        Ok(())
    }
}

fn is_running(node: &Node) -> anyhow::Result<bool> {
    node.process.map_or(Ok(false), process::Recorded::is_running)
}

/// Refuses options that contradict an existing cluster, which keeps its number of nodes and its engine.
fn check_same(state: &State, nodes: Option<u16>, engine: Option<Engine>) -> anyhow::Result<()> {
    let count = state.nodes.len();
    if nodes.is_some_and(|nodes| usize::from(nodes) != count) {
        bail!("the cluster has {count} nodes; `cluster down --wipe` first to make another");
    }
    if engine.is_some_and(|engine| engine != state.engine) {
        let engine = state.engine.name();
        bail!(
            "the cluster keeps its records in {engine}; `cluster down --wipe` first to make another"
        );
    }
    Ok(())
}

/// Returns the text of a profile for a role: seeds and certificates. Paths are relative to the file.
fn profile(nodes: &[Node], role: &str) -> String {
    let seeds: Vec<String> =
        nodes.iter().map(|node| format!("{:?}", node.address.to_string())).collect();
    format!(
        "seeds = [{}]\n\
         ca = \"{role}/tls/ca.pem\"\n\
         cert = \"{role}/tls/cert.pem\"\n\
         key = \"{role}/tls/key.pem\"\n",
        seeds.join(", ")
    )
}
