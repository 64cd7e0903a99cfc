//! Share of the machine's memory that records may take.
//!
//! Invariant: what is planned for records leaves room for the caches and buffers that are there in any case.

use std::fs;

use crate::config::StorageLimits;

/// Part of the machine's memory that data may take where the configuration doesn't say how much: a node may have
/// neighbours, and the system's own cache of files serves engines too.
const SHARE_OF_MACHINE: u64 = 8;
/// Files in which the two versions of control groups give the limit of the group that this process sees as the root.
const GROUP_LIMITS: [&str; 2] =
    ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];

/// Returns how much memory records that were read or written lately may take, all shards together, in bytes.
pub(crate) fn for_records(limits: &StorageLimits) -> u64 {
    let data = limits.memory_bytes.unwrap_or_else(|| of_machine() / SHARE_OF_MACHINE);
    data.saturating_sub(limits.fixed_bytes())
}

/// Returns the memory of this machine, or of its control group if that is less, in bytes; 0 where the system doesn't
/// tell.
fn of_machine() -> u64 {
    let limits = GROUP_LIMITS.iter().filter_map(|path| fs::read_to_string(path).ok());
    least(&fs::read_to_string("/proc/meminfo").unwrap_or_default(), limits)
}

/// Returns the least of the total in the text of `/proc/meminfo` and of control groups' limits; a group without a limit
/// has a word in its place, or a number that no machine reaches.
fn least(meminfo: &str, group_limits: impl Iterator<Item = String>) -> u64 {
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|total| total.split_whitespace().next()?.parse::<u64>().ok());
    let limits = group_limits.filter_map(|limit| limit.trim().parse::<u64>().ok());
    kib.map(|kib| kib << 10).into_iter().chain(limits).min().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{StorageLimits, for_records, least, of_machine};

    const MIB: usize = 1 << 20;
    const MEMINFO: &str = "MemTotal:       24689640 kB\nMemFree:         1000000 kB\n";

    #[test]
    fn records_have_what_caches_and_buffers_leave() {
        for (memory_mib, left_mib) in [(100, 36), (64, 0), (10, 0)] {
            let limits = StorageLimits {
                memory_bytes: Some((memory_mib * MIB) as u64),
                cache_bytes: 32 * MIB,
                buffer_bytes: 16 * MIB,
                journal_bytes: 64 * MIB,
                queue_bytes: 32 * MIB,
                sync_interval: Duration::ZERO,
                disk_reserve_bytes: 0,
                flush_reserve_bytes: 0,
                stall_after: Duration::ZERO,
            };
            assert_eq!(for_records(&limits), (left_mib * MIB) as u64);
        }
    }

    #[test]
    fn the_least_limit_counts_and_none_is_no_limit() {
        let whole = 24_689_640 << 10;
        for (limits, expected) in [
            (vec![], whole),
            (vec!["max\n"], whole),
            (vec!["9223372036854771712\n"], whole),
            (vec!["max\n", "1073741824\n"], 1 << 30),
        ] {
            assert_eq!(least(MEMINFO, limits.into_iter().map(String::from)), expected);
        }
        assert_eq!(least("nonsense", [String::new()].into_iter()), 0);
        assert!(of_machine() > 1 << 20, "this machine has some");
    }
}
