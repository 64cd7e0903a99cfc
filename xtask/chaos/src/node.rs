//! The process of one node.
//!
//! Invariant: a signal reaches the process that was started here, or none: until its end has been collected, no other
//! process gets its number.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use anyhow::{Context, ensure};
use jedlik_engines::Engine;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStderr, Command};
use tokio::task::JoinHandle;

use crate::chance::Chance;
use crate::clock;
use crate::plan::Number;

/// Number of lines of a log that are shown when its node has failed.
const TAIL_LINES: usize = 20;
const LOG_READ_BYTES: usize = 4 << 10;
/// Name of a copy of a node's directory, beside the original.
const COPY: &str = "copy";
/// Name of the file that says how far the calendar clock is ahead of the machine's.
const CLOCK: &str = "clock";
/// Number of bits that flip in each shard's engine.
const ROTTEN_PLACES: usize = 8;
/// Size of a node's journal: small, so that a load fills it many times.
const JOURNAL_BYTES: u32 = 4 << 20;

/// Condition of a node, as the run sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NodeCondition {
    /// Nothing is wrong with the node.
    Well,
    /// The node has a fault that will pass.
    Troubled,
    /// The node hands its data over, and may end by itself.
    Leaving,
    /// The node's disk is lost, and the node is still a member.
    Dead,
    /// The node is no longer a member.
    Gone,
}

/// A node that may be running. Dropping it kills the process.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) number: Number,
    pub(crate) condition: NodeCondition,
    /// Address on which the node listens; port 0 until the node has reported its port.
    pub(crate) address: SocketAddr,
    folder: PathBuf,
    engine: Engine,
    /// Table of the configuration that names the node's database; `None` for an engine that needs none.
    mysql: Option<String>,
    child: Option<Child>,
    /// Shared memory of the process's clock.
    clock: Option<clock::Shared>,
    /// Task that copies the process's standard error into the log.
    reader: Option<JoinHandle<()>>,
    /// Length of the log when this start of the node began.
    log_from_bytes: u64,
}

impl Node {
    /// Makes a node that has not been started yet.
    pub(crate) fn new(
        number: Number,
        folder: PathBuf,
        address: SocketAddr,
        (engine, mysql): (Engine, Option<String>),
    ) -> Self {
        let condition = NodeCondition::Well;
        let (child, clock, reader) = (None, None, None);
        let log_from_bytes = 0;
        Self {
            number,
            condition,
            address,
            folder,
            engine,
            mysql,
            child,
            clock,
            reader,
            log_from_bytes,
        }
    }

    /// Returns the node's name in the cluster.
    pub(crate) fn name(&self) -> String {
        format!("n{}", self.number)
    }

    /// Starts the node, which may not serve yet; `program` runs `jedlik-node` in its place.
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
        program.arg("run").arg("--config").arg(config).stdout(log.try_clone()?);
        if self.has_lost_its_disk() {
            program.arg("--new");
        }
        self.set_clock(0)?;
        clock::give(&mut program, &self.folder.join(CLOCK));
        let child = program.stdin(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut child = child.with_context(|| format!("can't start {}", self.name()))?;
        self.reader = child.stderr.take().map(|said| tokio::spawn(keep(said, log)));
        self.clock = child.id().map(clock::Shared::of);
        self.child = Some(child);
        Ok(())
    }

    /// Whether the node has served before and has no directory: the cluster knows its identity.
    fn has_lost_its_disk(&self) -> bool {
        self.log_from_bytes > 0 && !self.data().exists()
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Sets the node's calendar clock this many seconds ahead of the machine's. The process may run.
    pub(crate) fn set_clock(&self, ahead_s: i32) -> anyhow::Result<()> {
        clock::set(&self.folder.join(CLOCK), ahead_s)
    }

    /// Ends the reader of the process's standard error.
    pub(crate) fn cut_log(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.abort();
        }
    }

    fn config(&self, seeds: &[SocketAddr]) -> String {
        let seeds: Vec<String> = seeds.iter().map(|seed| format!("\"{seed}\"")).collect();
        format!(
            "data_dir = \"data\"\nlisten = \"{}\"\nseeds = [{}]\nzone = \"{}\"\n\
             engine = \"{}\"\n\n\
             [storage]\njournal_bytes = {JOURNAL_BYTES}\n\n\
             [tls]\nca = \"tls/ca.pem\"\ncert = \"tls/cert.pem\"\nkey = \"tls/key.pem\"\n{}",
            self.address,
            seeds.join(", "),
            self.name(),
            self.engine,
            self.mysql.as_deref().unwrap_or_default()
        )
    }

    /// Whether the node has reported that it serves; records the address that it reported.
    ///
    /// # Errors
    /// The node has ended instead.
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

    /// Returns the last lines of the node's log, for a message.
    fn tail(&self) -> String {
        let log = self.log().unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n");
        format!("; its log:\n{tail}")
    }

    /// Fails unless the node's process runs.
    pub(crate) fn ensure_running(&mut self) -> anyhow::Result<()> {
        ensure!(self.is_running(), "{} has ended by itself{}", self.name(), self.tail());
        Ok(())
    }

    /// Returns how the process has ended, if it has done so by itself.
    pub(crate) fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        match &mut self.child {
            Some(child) => Ok(child.try_wait()?),
            None => Ok(None),
        }
    }

    /// Whether the node's process runs.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.is_some() && matches!(self.ended(), Ok(None))
    }

    /// Stops the process with SIGSTOP if `on`, and continues it with SIGCONT otherwise.
    pub(crate) fn hold(&mut self, on: bool) -> anyhow::Result<()> {
        self.ensure_running()?;
        let id = self.child.as_ref().and_then(Child::id);
        let pid = id.and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let pid = pid.with_context(|| format!("{} has no process", self.name()))?;
        let signal = if on { Signal::STOP } else { Signal::CONT };
        kill_process(pid, signal).with_context(|| format!("can't signal {}", self.name()))
    }

    /// Kills the process with SIGKILL and collects its end. A process that has ended already is fine.
    pub(crate) async fn kill(&mut self) -> anyhow::Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill().await.with_context(|| format!("can't kill {}", self.name()))?;
            self.clock = None;
        }
        Ok(())
    }

    /// Deletes the data directory, as the loss of a disk does. The certificate stays.
    pub(crate) fn lose_disk(&self) -> anyhow::Result<()> {
        ensure!(self.child.is_none(), "{} is running", self.name());
        fs::remove_dir_all(self.data()).with_context(|| format!("can't wipe {}", self.name()))
    }

    /// Copies the data directory, as a backup does.
    pub(crate) fn copy_disk(&self) -> anyhow::Result<()> {
        ensure!(self.child.is_none(), "{} is running", self.name());
        copy_folder(&self.data(), &self.folder.join(COPY))
            .with_context(|| format!("can't copy the directory of {}", self.name()))
    }

    /// Replaces the data directory with the copy, or removes the copy.
    pub(crate) fn end_copy(&self, put_back: bool) -> anyhow::Result<()> {
        let copy = self.folder.join(COPY);
        if !put_back {
            return fs::remove_dir_all(copy)
                .with_context(|| format!("can't remove the copy of {}", self.name()));
        }
        self.lose_disk()?;
        fs::rename(copy, self.data())
            .with_context(|| format!("can't put the copy of {} back", self.name()))
    }

    /// Flips a bit in each of several places of the engines' files, or of their tables, and returns the number of bits.
    /// The process may run.
    pub(crate) fn rot(&self, chance: &mut Chance) -> anyhow::Result<usize> {
        let mut flipped = 0;
        for shard in fs::read_dir(self.data())? {
            let shard = shard?.path();
            for _ in 0..ROTTEN_PLACES {
                let done = self.engine.flip_a_bit(&shard, &mut |limit| chance.below(limit))?;
                flipped += usize::from(done);
            }
        }
        Ok(flipped)
    }

    fn log(&self) -> anyhow::Result<String> {
        let mut file = File::open(self.folder.join("log"))?;
        file.seek(SeekFrom::Start(self.log_from_bytes))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// Copies a process's standard error into its log, until the process ends.
async fn keep(mut said: ChildStderr, mut log: File) {
    let mut bytes = vec![0; LOG_READ_BYTES];
    while let Ok(count @ 1..) = said.read(&mut bytes).await {
        if log.write_all(&bytes[..count]).is_err() {
            return;
        }
    }
}

fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

/// Parses the address in the line `ready node=… name=… address=…`.
fn ready_address(line: &str) -> Option<SocketAddr> {
    let rest = line.strip_prefix("ready node=")?;
    rest.split(' ').find_map(|word| word.strip_prefix("address="))?.parse().ok()
}

#[cfg(test)]
mod tests;
