//! A process that outlives the command that started it.
//!
//! Invariant: a signal reaches the process that was recorded, or none. The pid is opened first and then the start time
//! is compared, so that a pid which another process got in between is not hit.

use std::fs;
use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::Context;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

/// Process, distinguished from every other that has or had its pid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Recorded {
    pid: u32,
    /// Time of its start, in clock ticks since the machine's start.
    started_ticks: u64,
}

impl Recorded {
    /// Records a running process.
    ///
    /// # Errors
    /// No process with that pid is running.
    pub(crate) fn of(pid: u32) -> anyhow::Result<Self> {
        let stat = Stat::read(pid).with_context(|| format!("process {pid} has ended"))?;
        Ok(Self { pid, started_ticks: stat.started_ticks })
    }

    /// Returns the pid, to be shown.
    pub(crate) fn pid(self) -> u32 {
        self.pid
    }

    /// Whether the process has not ended yet.
    ///
    /// # Errors
    /// The operating system refuses to tell.
    pub(crate) fn is_running(self) -> anyhow::Result<bool> {
        Ok(self.open()?.is_some())
    }

    /// Sends the signal and waits for the process to end; returns whether it has within `limit`.
    ///
    /// # Errors
    /// The operating system refuses.
    pub(crate) fn end(self, signal: Signal, limit: Duration) -> anyhow::Result<bool> {
        let Some(process) = self.open()? else { return Ok(true) };
        match pidfd_send_signal(&process, signal) {
            Ok(()) | Err(Errno::SRCH) => {}
            Err(error) => return Err(error).context(format!("can't signal process {}", self.pid)),
        }
        let limit = limit.try_into().context("a limit of that length")?;
        let ready = poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&limit))?;
        Ok(ready > 0)
    }

    fn open(self) -> anyhow::Result<Option<OwnedFd>> {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        let pid = pid.with_context(|| format!("{} is not a pid", self.pid))?;
        let process = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(process) => process,
            Err(Errno::SRCH) => return Ok(None),
            Err(error) => return Err(error).context(format!("can't open process {}", self.pid)),
        };
        let same = Stat::read(self.pid)
            .is_some_and(|stat| stat.started_ticks == self.started_ticks && !stat.has_ended);
        Ok(same.then_some(process))
    }
}

/// Part of `/proc/PID/stat` that identifies a process.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    started_ticks: u64,
    /// Whether the process has ended, and was not yet collected by its parent.
    has_ended: bool,
}

impl Stat {
    fn read(pid: u32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// Parses the line. Its second field is a name in brackets that may contain anything, so fields count from its end.
    fn parse(line: &str) -> Option<Self> {
        let (_, rest) = line.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let (state, started) = (fields.first()?, fields.get(19)?);
        Some(Self { started_ticks: started.parse().ok()?, has_ended: matches!(*state, "Z" | "X") })
    }
}

#[cfg(test)]
mod tests;
