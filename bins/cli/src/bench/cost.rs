//! The cost of a run: processor time and memory of the nodes by their own counters, and of the client.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use jedlik_client::Client;

/// Length of a tick, in which the kernel reports processor time, on every platform that nodes run on.
const TICK_US: u64 = 10_000;
const STATS_TIMEOUT: Duration = Duration::from_secs(2);

/// Counters of the nodes and the client: at one time, or the difference between two times.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Cost {
    /// Counters by the node's name; nodes that did not answer are missing.
    nodes: BTreeMap<String, Counters>,
    client_cpu_us: u64,
    /// Errors of the nodes that did not answer.
    silent: Vec<String>,
}

/// Counters of one node that tell the cost of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    pub(crate) cpu_us: u64,
    /// Resident memory at the end of the run.
    pub(crate) rss_bytes: u64,
    pub(crate) journal_appends: u64,
    pub(crate) journal_syncs: u64,
    /// Processor time by kind of thread, in the order of [`THREADS`].
    pub(crate) threads_us: [u64; THREADS.len()],
    pub(crate) context_switches: u64,
    pub(crate) disk_written_bytes: u64,
}

/// Kinds of threads of a node, and the counters of their processor time.
pub(crate) const THREADS: [(&str, &str); 5] = [
    ("network", "cpu_network_us"),
    ("shards", "cpu_shards_us"),
    ("journals", "cpu_journals_us"),
    ("flushers", "cpu_flushers_us"),
    ("others", "cpu_others_us"),
];

impl Counters {
    /// Returns what was spent since `before`; `None` if the node was started again meanwhile. A thread that has ended
    /// counts for nothing.
    fn since(&self, before: &Self) -> Option<Self> {
        let mut threads_us = self.threads_us;
        threads_us
            .iter_mut()
            .zip(before.threads_us)
            .for_each(|(us, before)| *us = us.saturating_sub(before));
        Some(Self {
            cpu_us: self.cpu_us.checked_sub(before.cpu_us)?,
            rss_bytes: self.rss_bytes,
            journal_appends: self.journal_appends.checked_sub(before.journal_appends)?,
            journal_syncs: self.journal_syncs.checked_sub(before.journal_syncs)?,
            threads_us,
            context_switches: self.context_switches.saturating_sub(before.context_switches),
            disk_written_bytes: self.disk_written_bytes.saturating_sub(before.disk_written_bytes),
        })
    }
}

impl Cost {
    /// Asks the nodes for their counters and the kernel for the client's.
    pub(crate) async fn now(client: &Client) -> anyhow::Result<Self> {
        let mut cost = Self { client_cpu_us: own_cpu_us()?, ..Self::default() };
        for (member, stats) in client.admin().stats(STATS_TIMEOUT).await {
            match stats {
                Ok(stats) => {
                    let counter = |wanted: &str| {
                        let found = stats.counters.iter().find(|(name, _)| name == wanted);
                        found.map_or(0, |(_, value)| *value)
                    };
                    let counters = Counters {
                        cpu_us: counter("cpu_us"),
                        rss_bytes: counter("rss_bytes"),
                        journal_appends: counter("journal_appends"),
                        journal_syncs: counter("journal_syncs"),
                        threads_us: THREADS.map(|(_, name)| counter(name)),
                        context_switches: counter("context_switches"),
                        disk_written_bytes: counter("disk_written_bytes"),
                    };
                    cost.nodes.insert(member.name, counters);
                }
                Err(error) => cost.silent.push(format!("{}: {error}", member.name)),
            }
        }
        Ok(cost)
    }

    /// Returns the cost since `before`; a node that has restarted meanwhile is left out.
    pub(crate) fn since(&self, before: &Self) -> Self {
        let nodes = self.nodes.iter().filter_map(|(name, after)| {
            let before = before.nodes.get(name)?;
            Some((name.clone(), after.since(before)?))
        });
        Self {
            nodes: nodes.collect(),
            client_cpu_us: self.client_cpu_us.saturating_sub(before.client_cpu_us),
            silent: self.silent.clone(),
        }
    }

    pub(crate) fn nodes(&self) -> &BTreeMap<String, Counters> {
        &self.nodes
    }

    pub(crate) fn silent(&self) -> &[String] {
        &self.silent
    }

    pub(crate) fn client_cpu_us(&self) -> u64 {
        self.client_cpu_us
    }

    /// Returns the processor time of all nodes together by kind of thread, in the order of [`THREADS`].
    pub(crate) fn threads_us(&self) -> [u64; THREADS.len()] {
        let mut sums = [0; THREADS.len()];
        for node in self.nodes.values() {
            sums.iter_mut().zip(node.threads_us).for_each(|(sum, us)| *sum += us);
        }
        sums
    }

    /// Returns the number of times that the nodes' threads were switched.
    pub(crate) fn context_switches(&self) -> u64 {
        self.nodes.values().map(|node| node.context_switches).sum()
    }

    /// Returns the number of bytes that the nodes have caused to be written to disks.
    pub(crate) fn disk_written_bytes(&self) -> u64 {
        self.nodes.values().map(|node| node.disk_written_bytes).sum()
    }

    /// Returns the processor time of all nodes together, in microseconds.
    pub(crate) fn nodes_cpu_us(&self) -> u64 {
        self.nodes.values().map(|node| node.cpu_us).sum()
    }

    /// Returns the number of records per sync, on average over the nodes; `None` if nothing was synced.
    pub(crate) fn puts_per_sync(&self) -> Option<f64> {
        let appends: u64 = self.nodes.values().map(|node| node.journal_appends).sum();
        let syncs: u64 = self.nodes.values().map(|node| node.journal_syncs).sum();
        (syncs > 0).then(|| appends as f64 / syncs as f64)
    }
}

/// Returns this process's processor time in microseconds, its own and the kernel's on its behalf.
fn own_cpu_us() -> anyhow::Result<u64> {
    let stat = std::fs::read_to_string("/proc/self/stat").context("can't read /proc/self/stat")?;
    cpu_us(&stat).context("/proc/self/stat is not as expected")
}

/// Sums the fields 14 and 15 of `/proc/self/stat`, in microseconds. The second field, the command, may hold spaces and
/// parentheses.
fn cpu_us(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let (user, system) = (fields.next()?.parse::<u64>().ok()?, fields.next()?.parse::<u64>().ok()?);
    Some((user + system) * TICK_US)
}

#[cfg(test)]
mod tests {
    use super::{Cost, Counters, cpu_us};

    fn cost(cpu_us: u64, appends: u64, syncs: u64) -> Cost {
        let counters = Counters {
            cpu_us,
            rss_bytes: cpu_us,
            journal_appends: appends,
            journal_syncs: syncs,
            threads_us: [cpu_us, 0, 0, 0, syncs],
            ..Counters::default()
        };
        Cost { nodes: [("n1".into(), counters)].into(), client_cpu_us: cpu_us, silent: Vec::new() }
    }

    #[test]
    fn processor_time_is_found_behind_any_command_name() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 100 0 0 0 12 30 0 0 20 0 1 0 100 0 0";
        assert_eq!(cpu_us(stat), Some(420_000));
        assert_eq!(cpu_us("7 (a) S 1"), None);
    }

    #[test]
    fn a_run_costs_what_the_counters_grew_by() {
        let spent = cost(900, 130, 13).since(&cost(400, 30, 3));
        assert_eq!((spent.nodes_cpu_us(), spent.client_cpu_us()), (500, 500));
        assert_eq!(spent.nodes()["n1"].rss_bytes, 900);
        assert_eq!(spent.puts_per_sync(), Some(10.0));
        assert_eq!(spent.threads_us(), [500, 0, 0, 0, 10]);
        assert_eq!(cost(1, 5, 0).puts_per_sync(), None);
    }

    #[test]
    fn a_node_that_was_restarted_meanwhile_is_left_out() {
        assert!(cost(10, 1, 1).since(&cost(400, 30, 3)).nodes().is_empty());
    }
}
