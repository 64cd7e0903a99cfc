//! What the process's threads have cost so far, by their kind, as the system counts it.
//!
//! Invariant: each thread is of one kind, by its name, so the kinds add up to the process, but for threads that have
//! ended.

use std::fs;
use std::path::Path;

/// Length of a tick, in which the system counts processor time.
const TICK_US: u64 = 10_000;

/// Kind of thread, with its counter's name and the beginnings of its threads' names.
struct Kind {
    counter: &'static str,
    threads: &'static [&'static str],
}

/// Kinds of threads; the last one is of all others.
const KINDS: [Kind; 5] = [
    Kind { counter: "cpu_network_us", threads: &["network"] },
    Kind { counter: "cpu_shards_us", threads: &["shard-"] },
    Kind { counter: "cpu_journals_us", threads: &["journal-"] },
    Kind { counter: "cpu_flushers_us", threads: &["flusher-", "compactor"] },
    Kind { counter: "cpu_others_us", threads: &[""] },
];

/// Returns the counters of all kinds, the context switches of all threads, and the bytes that the process has caused
/// to be written to disks; 0 where the system doesn't tell.
pub(crate) fn counters() -> Vec<(&'static str, u64)> {
    let mut counters: Vec<(&'static str, u64)> = KINDS.map(|kind| (kind.counter, 0)).into();
    let mut switches = 0;
    for task in fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        // A thread may end meanwhile.
        let read = |name: &str| read(&task.path(), name);
        if let Some((kind, cpu_us)) = cost(&read("stat")) {
            counters[kind].1 += cpu_us;
        }
        switches +=
            sum(&read("status"), &["voluntary_ctxt_switches:", "nonvoluntary_ctxt_switches:"]);
    }
    counters.push(("context_switches", switches));
    counters
        .push(("disk_written_bytes", sum(&read(Path::new("/proc/self"), "io"), &["write_bytes:"])));
    counters
}

fn read(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).unwrap_or_default()
}

/// Returns the kind of a thread, as its place among [`KINDS`], and its processor time, from its line of figures: its
/// number, its name in parentheses, and then the others, of which the 12th and the 13th are times.
fn cost(line: &str) -> Option<(usize, u64)> {
    let (before, after) = line.rsplit_once(')')?;
    let (_, name) = before.split_once('(')?;
    let is_of = |kind: &Kind| kind.threads.iter().any(|start| name.starts_with(start));
    let kind = KINDS.iter().position(is_of)?;
    let ticks = after.split_whitespace().skip(11).take(2);
    Some((kind, ticks.filter_map(|field| field.parse::<u64>().ok()).sum::<u64>() * TICK_US))
}

/// Sums up the numbers in the lines that begin with these words.
fn sum(text: &str, words: &[&str]) -> u64 {
    let numbers = text.lines().filter_map(|line| {
        let rest = words.iter().find_map(|word| line.strip_prefix(word))?;
        rest.trim().parse::<u64>().ok()
    });
    numbers.sum()
}

#[cfg(test)]
mod tests {
    use super::{cost, counters, sum};

    #[test]
    fn a_thread_is_of_the_kind_that_its_name_begins_with() {
        for (name, kind) in [
            ("network", 0),
            ("shard-11", 1),
            ("journal-0", 2),
            ("flusher-3", 3),
            ("compactor", 3),
            ("jedlik-node", 4),
            ("a ) b", 4),
        ] {
            let line =
                format!("7 ({name}) S 1 7 7 0 -1 4194560 100 0 0 0 12 30 0 0 20 0 1 0 1 0 0");
            assert_eq!(cost(&line), Some((kind, 420_000)), "{name}");
        }
        assert_eq!(cost("nonsense"), None);
    }

    #[test]
    fn numbers_are_added_up_by_the_words_before_them() {
        let text = "rchar: 5\nwrite_bytes: 70\ncancelled_write_bytes: 3\n";
        assert_eq!(sum(text, &["write_bytes:"]), 70);
        assert_eq!(sum(text, &["rchar:", "write_bytes:"]), 75);
        assert_eq!(sum("", &["rchar:"]), 0);
    }

    #[test]
    fn this_process_has_switched_its_threads() {
        let counters = counters();
        let value = |wanted: &str| counters.iter().find(|(name, _)| *name == wanted).unwrap().1;
        assert!(value("context_switches") > 0, "{counters:?}");
        assert_eq!(counters.len(), 7);
    }
}
