//! The conditions of a measurement: the machine, the code, and what a sync costs there.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::step;
use crate::workspace::Workspace;

const SYNCS: usize = 300;
/// Size of what is appended before each sync, as a journal does.
const APPENDED: [u8; 1024] = [7; 1024];

/// Conditions under which results came about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Conditions {
    /// Time of the beginning, in seconds since 1970.
    pub(super) began_s: u64,
    /// Commit, and whether files differed from it.
    pub(super) commit: String,
    pub(super) processors: usize,
    pub(super) processor: String,
    pub(super) memory_bytes: u64,
    pub(super) kernel: String,
    /// Programs that ran or waited to run, averaged over the last minute.
    pub(super) load: f64,
    /// Median time of an fdatasync after an append of 1 KiB.
    pub(super) sync_p50_ms: f64,
    pub(super) sync_p99_ms: f64,
}

impl Conditions {
    /// Looks at the machine and the workspace, and measures what a sync costs.
    ///
    /// # Errors
    /// A file of the system can't be read, or the disk refuses the syncs.
    pub(super) fn now(workspace: &Workspace) -> anyhow::Result<Self> {
        let about = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let kib = value(&memory, "MemTotal").trim_end_matches(" kB").parse().unwrap_or(0_u64);
        let (sync_p50_ms, sync_p99_ms) = syncs(workspace)?;
        Ok(Self {
            began_s: SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs(),
            commit: commit(workspace),
            processors: thread::available_parallelism()?.get(),
            processor: value(&about, "model name").into(),
            memory_bytes: kib * 1024,
            kernel: kernel.trim().into(),
            load: load.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(0.0),
            sync_p50_ms,
            sync_p99_ms,
        })
    }

    /// Whether results under `other` conditions come from the same machine, as far as can be told.
    pub(super) fn is_same_machine(&self, other: &Self) -> bool {
        let machine = |c: &Self| (c.processors, c.processor.clone(), c.memory_bytes);
        machine(self) == machine(other)
    }
}

/// Returns the value after a name and a colon; empty if there is none.
fn value<'a>(text: &'a str, name: &str) -> &'a str {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_once(':')).map_or("", |(_, value)| value.trim())
}

/// Returns the commit that is checked out; unknown outside a repository.
fn commit(workspace: &Workspace) -> String {
    let git = |words: &[&str]| {
        step::output(Command::new("git").current_dir(workspace.root()).args(words)).ok()
    };
    let Some(commit) = git(&["rev-parse", "HEAD"]) else { return "unknown".into() };
    let changed = git(&["status", "--porcelain"]).is_none_or(|changed| !changed.is_empty());
    format!("{}{}", commit.trim(), if changed { ", changed" } else { "" })
}

/// Returns the median and the 99th percentile of a sync, in milliseconds, on the disk of the clusters.
fn syncs(workspace: &Workspace) -> anyhow::Result<(f64, f64)> {
    let path = workspace.root().join(".jedlik-bench.sync");
    let times = timed_syncs(&path);
    let _ = fs::remove_file(&path);
    let mut times = times.with_context(|| format!("measuring syncs of {}", path.display()))?;
    times.sort_by(f64::total_cmp);
    Ok((times[times.len() / 2], times[times.len() * 99 / 100]))
}

fn timed_syncs(path: &Path) -> io::Result<Vec<f64>> {
    let mut file = File::create(path)?;
    let mut timed = || {
        file.write_all(&APPENDED)?;
        let began = Instant::now();
        file.sync_data()?;
        Ok(began.elapsed().as_secs_f64() * 1e3)
    };
    (0..SYNCS).map(|_| timed()).collect()
}

#[cfg(test)]
mod tests {
    use super::value;

    #[test]
    fn a_value_stands_behind_its_name() {
        let text = "processor\t: 0\nmodel name\t: A Processor: fast\nMemTotal:       2048 kB\n";
        assert_eq!(value(text, "model name"), "A Processor: fast");
        assert_eq!(value(text, "MemTotal"), "2048 kB");
        assert_eq!(value(text, "SwapTotal"), "");
    }
}
