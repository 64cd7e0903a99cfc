//! One node's process.
//!
//! Invariant: a signal reaches the process that was started here or none: as long as its end has not been
//! collected, nobody else is given its number.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};

use anyhow::{Context, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use crate::plan::Number;

/// How much of a log is shown when its node has failed.
const TAIL_LINES: usize = 20;
/// Small, so that a load passes it many times.
const JOURNAL_BYTES: u32 = 4 << 20;

/// What a node is to the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nothing is wrong with it.
    Well,
    /// Something is wrong with it that will pass.
    Troubled,
    /// It hands on what it has, and may end by itself.
    Leaving,
    /// Its disk is lost, and it is a member still.
    Dead,
    /// It is no member any more.
    Gone,
}

/// A node that may be running. Dropping it kills the process.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) number: Number,
    pub(crate) standing: Standing,
    /// Where it listens; port 0 until it has told which it was given.
    pub(crate) address: SocketAddr,
    folder: PathBuf,
    child: Option<Child>,
    /// Where the log of this start begins.
    log_from_bytes: u64,
}

impl Node {
    /// Not started yet.
    pub(crate) fn new(number: Number, folder: PathBuf, address: SocketAddr) -> Self {
        let standing = Standing::Well;
        Self { number, standing, address, folder, child: None, log_from_bytes: 0 }
    }

    /// Its name in the cluster.
    pub(crate) fn name(&self) -> String {
        format!("n{}", self.number)
    }

    /// Starts it; `program` runs `jedlik-node` in its place. It may not serve yet.
    pub(crate) fn start(
        &mut self,
        mut program: Command,
        seeds: &[SocketAddr],
    ) -> anyhow::Result<()> {
        ensure!(self.child.is_none(), "{} is running already", self.name());
        let config = self.folder.join("node.toml");
        fs::write(&config, self.config(seeds))?;
        let log = File::options().create(true).append(true).open(self.folder.join("log"))?;
        self.log_from_bytes = log.metadata()?.len();
        program.arg("run").arg("--config").arg(config).stdout(log.try_clone()?).stderr(log);
        let child = program.stdin(Stdio::null()).spawn();
        self.child = Some(child.with_context(|| format!("can't start {}", self.name()))?);
        Ok(())
    }

    fn config(&self, seeds: &[SocketAddr]) -> String {
        let seeds: Vec<String> = seeds.iter().map(|seed| format!("\"{seed}\"")).collect();
        format!(
            "data_dir = \"data\"\nlisten = \"{}\"\nseeds = [{}]\nzone = \"{}\"\n\n\
             [storage]\njournal_bytes = {JOURNAL_BYTES}\n\n\
             [tls]\nca = \"tls/ca.pem\"\ncert = \"tls/cert.pem\"\nkey = \"tls/key.pem\"\n",
            self.address,
            seeds.join(", "),
            self.name()
        )
    }

    /// Whether it has said that it serves; notes where.
    ///
    /// # Errors
    /// It has ended instead.
    pub(crate) fn is_ready(&mut self) -> anyhow::Result<bool> {
        let ended = self.ended()?;
        let log = self.log()?;
        if let Some(address) = log.lines().find_map(ready_address) {
            self.address = address;
            return Ok(true);
        }
        ensure!(ended.is_none(), "{} has ended before it served{}", self.name(), self.tail());
        Ok(false)
    }

    /// The end of its log, for a message.
    fn tail(&self) -> String {
        let log = self.log().unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n");
        format!("; its log:\n{tail}")
    }

    /// Demands that its process runs.
    pub(crate) fn ensure_running(&mut self) -> anyhow::Result<()> {
        ensure!(self.is_running(), "{} has ended by itself{}", self.name(), self.tail());
        Ok(())
    }

    /// How it has ended, if it has by itself.
    pub(crate) fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        match &mut self.child {
            Some(child) => Ok(child.try_wait()?),
            None => Ok(None),
        }
    }

    /// Whether its process runs.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.is_some() && matches!(self.ended(), Ok(None))
    }

    /// SIGSTOP or SIGCONT.
    pub(crate) fn hold(&mut self, on: bool) -> anyhow::Result<()> {
        self.ensure_running()?;
        let id = self.child.as_ref().and_then(Child::id);
        let pid = id.and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let pid = pid.with_context(|| format!("{} has no process", self.name()))?;
        let signal = if on { Signal::STOP } else { Signal::CONT };
        kill_process(pid, signal).with_context(|| format!("can't signal {}", self.name()))
    }

    /// SIGKILL, and collects its end. One that has ended already is fine.
    pub(crate) async fn kill(&mut self) -> anyhow::Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill().await.with_context(|| format!("can't kill {}", self.name()))?;
        }
        Ok(())
    }

    /// Deletes its data directory, as a lost disk does. Its certificate stays.
    pub(crate) fn lose_disk(&self) -> anyhow::Result<()> {
        ensure!(self.child.is_none(), "{} is running", self.name());
        fs::remove_dir_all(self.folder.join("data"))
            .with_context(|| format!("can't wipe {}", self.name()))
    }

    fn log(&self) -> anyhow::Result<String> {
        let mut file = File::open(self.folder.join("log"))?;
        file.seek(SeekFrom::Start(self.log_from_bytes))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// The address in `ready node=… name=… address=…`.
fn ready_address(line: &str) -> Option<SocketAddr> {
    let rest = line.strip_prefix("ready node=")?;
    rest.split(' ').find_map(|word| word.strip_prefix("address="))?.parse().ok()
}

#[cfg(test)]
mod tests;
