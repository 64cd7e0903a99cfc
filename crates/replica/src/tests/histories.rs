//! Random histories: an acknowledged write is found, or something that saw it.

use alloc::vec::Vec;

use jedlik_hashing::NodeId;
use jedlik_protocol::Blob;
use proptest::prelude::{Strategy, prop_oneof, proptest};

use super::cluster::{Cluster, after, blind, values};
use crate::Counter;

#[derive(Debug, Clone)]
enum Step {
    Blind {
        via: u64,
        key: usize,
    },
    ReadWrite {
        via: u64,
        key: usize,
    },
    Down {
        node: u64,
    },
    Mute {
        node: u64,
    },
    Heal,
    /// Stops at once and starts in a new life, with what was on disk.
    Crash {
        node: u64,
    },
}

const KEYS: [&str; 2] = ["alice", "bob"];

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1..=4u64, 0..2usize).prop_map(|(via, key)| Step::Blind { via, key }),
        4 => (1..=4u64, 0..2usize).prop_map(|(via, key)| Step::ReadWrite { via, key }),
        1 => (1..=4u64).prop_map(|node| Step::Down { node }),
        1 => (1..=4u64).prop_map(|node| Step::Mute { node }),
        2 => proptest::strategy::Just(Step::Heal),
        1 => (1..=4u64).prop_map(|node| Step::Crash { node }),
    ];
    proptest::collection::vec(step, 1..40)
}

/// Acknowledged write of a key, and the acknowledged writes that it replaced.
struct Write {
    key: usize,
    value: alloc::string::String,
    replaced: Vec<alloc::string::String>,
    /// Number of coordinators of the write. A forward that took long was tried elsewhere as well, so the
    /// value has two dots: a write that replaces one without having seen the other leaves that beside its
    /// own, and nothing is lost by it.
    coordinators: u32,
}

proptest! {
    #[test]
    fn an_acknowledged_write_is_found_or_something_that_saw_it(steps in steps()) {
        let mut cluster = Cluster::new(4, &[]);
        let mut writes: Vec<Write> = Vec::new();
        let mut attempts: Vec<Write> = Vec::new();
        for (number, step) in steps.into_iter().enumerate() {
            let value = alloc::format!("v{number}");
            let puts = cluster.count(Counter::Puts);
            match step {
                Step::Blind { via, key } => {
                    let done = cluster.put(NodeId(via), blind(KEYS[key], &value)).is_ok();
                    let list = if done { &mut writes } else { &mut attempts };
                    let coordinators = cluster.count(Counter::Puts) - puts;
                    list.push(Write { key, value, replaced: Vec::new(), coordinators });
                }
                Step::ReadWrite { via, key } => {
                    let Ok(answer) = cluster.get(NodeId(via), KEYS[key], 2) else { continue };
                    let context = answer.context.clone().unwrap_or_default();
                    let put = if context.is_empty() {
                        blind(KEYS[key], &value)
                    } else {
                        after(KEYS[key], &value, &Blob::from(context.into_bytes()))
                    };
                    let done = cluster.put(NodeId(via), put).is_ok();
                    let list = if done { &mut writes } else { &mut attempts };
                    let coordinators = cluster.count(Counter::Puts) - puts;
                    list.push(Write { key, value, replaced: values(&answer), coordinators });
                }
                Step::Down { node } => drop(cluster.down.insert(NodeId(node))),
                Step::Mute { node } => drop(cluster.mute.insert(NodeId(node))),
                Step::Heal => { cluster.down.clear(); cluster.mute.clear(); }
                Step::Crash { node } => cluster.restart(NodeId(node), 100 + number as u64),
            }
        }
        cluster.down.clear();
        cluster.mute.clear();
        for (key, name) in KEYS.iter().enumerate() {
            let found = cluster.values(NodeId(1), name, 3);
            let all = || writes.iter().chain(&attempts).filter(|write| write.key == key);
            // What was replaced by something found, or by something replaced, and so on.
            let mut seen: Vec<_> = found.clone();
            let mut next = 0;
            while let Some(value) = seen.get(next).cloned() {
                next += 1;
                for write in all().filter(|write| write.value == value) {
                    let new = write.replaced.iter().filter(|value| !seen.contains(value));
                    let new: Vec<_> = new.cloned().collect();
                    seen.extend(new);
                }
            }
            for write in writes.iter().filter(|write| write.key == key) {
                assert!(seen.contains(&write.value), "{} of {name} is lost: {found:?}", write.value);
            }
            let once = |value: &&_| all().any(|w| w.value == **value && w.coordinators < 2);
            for value in found.iter().filter(once) {
                let ancestor = all().any(|w| found.contains(&w.value) && w.replaced.contains(value));
                assert!(!ancestor, "{value} of {name} is an ancestor of another: {found:?}");
            }
        }
    }
}
