//! The start of one node in the background, and the wait until it serves.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};

use super::database;
use super::home::{Engine, Home, Node};
use super::process::Recorded;
use crate::wait;

/// Time in which a node must serve after its start: it may have a long journal to replay.
const READY_LIMIT: Duration = Duration::from_secs(120);
/// Number of lines of a log that are shown when its node has failed.
const TAIL_LINES: usize = 20;
/// Beginning of the line that a node writes to standard output once it serves.
const READY: &str = "ready node=";

/// Node that was started and may not serve yet.
#[derive(Debug)]
pub(crate) struct Starting {
    name: String,
    process: Recorded,
    log: std::path::PathBuf,
    /// Length of the log when this start began.
    log_from_bytes: u64,
}

/// Starts the node in a process group of its own, so that a Ctrl-C here doesn't reach it.
///
/// # Errors
/// The program can't be started.
pub(crate) fn start(binary: &Path, home: &Home, node: &mut Node) -> anyhow::Result<Starting> {
    let path = home.node_path(node, "log");
    let log = File::options().create(true).append(true).open(&path)?;
    let log_from_bytes = log.metadata()?.len();
    let child = Command::new(binary)
        .arg("run")
        .arg("--config")
        .arg(home.node_path(node, "node.toml"))
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0)
        .spawn()
        .with_context(|| format!("can't start {}", binary.display()))?;
    let process = Recorded::of(child.id())?;
    node.process = Some(process);
    Ok(Starting { name: node.name.clone(), process, log: path, log_from_bytes })
}

impl Starting {
    /// Waits until the node prints that it serves.
    ///
    /// # Errors
    /// The node has ended or takes too long; the message has the end of its log.
    pub(crate) fn wait(&self) -> anyhow::Result<()> {
        let ready = wait::until(READY_LIMIT, || {
            let running = self.process.is_running()?;
            let log = self.log()?;
            if log.lines().any(|line| line.starts_with(READY)) {
                return Ok(Some(()));
            }
            if !running {
                bail!("{} has ended. {}", self.name, self.tail(&log));
            }
            Ok(None)
        })?;
        if ready.is_none() {
            bail!("{} isn't ready after {READY_LIMIT:?}. {}", self.name, self.tail(&self.log()?));
        }
        Ok(())
    }

    fn log(&self) -> anyhow::Result<String> {
        let mut file = File::open(&self.log)?;
        file.seek(SeekFrom::Start(self.log_from_bytes))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn tail(&self, log: &str) -> String {
        let lines: Vec<&str> = log.lines().collect();
        let from = lines.len().saturating_sub(TAIL_LINES);
        format!("The end of {}:\n{}", self.log.display(), lines[from..].join("\n"))
    }
}

/// Writes the configuration of a node.
///
/// # Errors
/// The disk refuses the write.
pub(crate) fn configure(
    home: &Home,
    node: &Node,
    all: &[Node],
    engine: Engine,
) -> anyhow::Result<()> {
    fs::create_dir_all(home.node_path(node, ""))?;
    let config = config(node, all, engine);
    fs::write(home.node_path(node, "node.toml"), config)
        .context("can't write a node's configuration")
}

/// Returns a node's configuration: its seeds are the others, and it is a zone of its own, as it would be on a machine
/// of its own.
fn config(node: &Node, all: &[Node], engine: Engine) -> String {
    let database = match engine {
        Engine::Mysql => database::config(&node.name),
        Engine::Redb | Engine::Lsm | Engine::Memory => String::new(),
    };
    let riak_pb = node.riak_pb.map(|door| format!("\n[riak_pb]\nlisten = \"{door}\"\n"));
    let seeds = all.iter().filter(|other| other.name != node.name);
    let seeds: Vec<String> = seeds.map(|seed| format!("{:?}", seed.address.to_string())).collect();
    format!(
        "data_dir = \"data\"\n\
         listen = \"{}\"\n\
         seeds = [{}]\n\
         zone = \"{}\"\n\
         engine = \"{}\"\n\
         \n\
         [tls]\n\
         ca = \"tls/ca.pem\"\n\
         cert = \"tls/cert.pem\"\n\
         key = \"tls/key.pem\"\n\
         \n\
         [http]\n\
         listen = \"{}\"\n\
         {}{database}",
        node.address,
        seeds.join(", "),
        node.name,
        engine.name(),
        node.address,
        riak_pb.unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests;
