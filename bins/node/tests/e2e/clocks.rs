//! One node's clock is an hour off: a version that lives for twenty minutes is nowhere absent before its time, and
//! nowhere present after it.
//!
//! A real process gets a clock of its own from Debian's `faketime`, which `cargo xtask test` installs as root.

use std::fs;
use std::path::PathBuf;

use jedlik_client::Client;
use jedlik_protocol::Key;

use crate::cluster::{Cluster, wait_until};
use crate::deletes::lived_for;
use crate::node::LIMIT;
use crate::observer::{Observer, is_gone};
use crate::requests::{ByKey, fill, r, shown, w};

const HOUR_S: i64 = 3_600;
const TTL_S: i64 = 20 * 60;
/// Lifetime of a message in milliseconds: a busy machine takes a while.
const LIFE_MS: u64 = 1_500;
/// Index of the node whose clock is wrong.
const WRONG: usize = 1;

/// Returns the path of the library that replaces a process's calendar clock.
pub(crate) fn library() -> PathBuf {
    let folders = fs::read_dir("/usr/lib").unwrap().map(|entry| entry.unwrap().path());
    let mut found = folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1"));
    let found = found.find(|path| path.exists());
    found.expect("libfaketime is missing: `sudo apt-get install faketime` brings it")
}

/// Removes what the library keeps in shared memory for a process that is over, unless the process has: it does only where
/// it ends by itself.
pub(crate) fn forget(pid: u32) {
    for name in ["faketime_shm_", "sem.faketime_sem_"] {
        let _none = fs::remove_file(format!("/dev/shm/{name}{pid}"));
    }
}

fn keys(name: &str) -> Vec<Key> {
    (0..20).map(|n| Key::new("timed", format!("{name}-{n}").as_str()).unwrap()).collect()
}

/// Returns how doctor finds the clock of each node: ahead of what the members agree on, behind it, right, or unknown.
fn found(cluster: &Cluster) -> [&'static str; 3] {
    let said = cluster.ask(0, "doctor").stdout;
    let all_answered = !said.is_empty() && !said.contains("not answer");
    ["n1", "n2", "n3"].map(|name| {
        let clock = format!("the clock of {name} is");
        let about = said.lines().find(|line| line.contains(&clock));
        match about {
            Some(line) if line.contains("ahead of") => "ahead",
            Some(_) => "behind",
            None if all_answered => "right",
            None => "unknown",
        }
    })
}

/// Gets each key through each node, with R of 1, 2 and 3, and returns descriptions of the gets that found it absent.
fn absent(observer: &Observer, clients: &[Client], keys: &[Key]) -> Vec<String> {
    let mut absent = Vec::new();
    for (via, client) in clients.iter().enumerate() {
        for (key, answers) in keys.iter().flat_map(|key| (1..=3).map(move |answers| (key, answers)))
        {
            let options = r(answers);
            let found = observer.runtime.block_on(client.get(key).options(&options).send());
            let found = found.unwrap_or_else(|error| panic!("get of {}: {error}", shown(key)));
            if found.siblings().is_empty() {
                absent.push(format!("{} by n{} with r={answers}", shown(key), via + 1));
            }
        }
    }
    absent
}

#[test]
fn one_clock_of_three_that_is_an_hour_off_makes_nothing_absent_early_and_brings_nothing_back() {
    let mut cluster = Cluster::start_many(3, |node| {
        lived_for(node, LIFE_MS);
        node.set_clock(0);
    });
    cluster.ask(0, &format!("bucket set timed ttl_ms={}", TTL_S * 1_000)).ok();
    let observer = Observer::of(&cluster, 0);
    let clients: Vec<Client> =
        (0..3).map(|node| observer.runtime.block_on(cluster.client(node))).collect();
    wait_until("all know how long a version lives", || {
        (0..3).all(|node| cluster.ask(node, "bucket show timed --json").ok().json()["version"] == 1)
    });
    let patient = w(3).timeout(LIMIT);
    let (early, late) = (keys("early"), keys("late"));
    observer.runtime.block_on(fill(&clients[0], &early, 100, &patient));

    cluster.nodes[WRONG].set_clock(HOUR_S);
    wait_until("doctor names the clock", || found(&cluster)[WRONG] == "ahead");
    observer.runtime.block_on(fill(&clients[WRONG], &late, 100, &patient));
    let all = [early, late].concat();
    assert_eq!(absent(&observer, &clients, &all), [""; 0]);
    // Its clock is also wrong from the first moment of a life on.
    cluster.kill(WRONG);
    cluster.restart(WRONG);
    assert_eq!(absent(&observer, &clients, &all), [""; 0]);
    cluster.wait_until_all_are_up(0);
    assert_eq!(absent(&observer, &clients, &all), [""; 0]);
    assert_eq!(observer.counter("collected").values().sum::<u64>(), 0, "nothing was forgotten");

    // Every version's time comes. Each node's own is the middle one of the three clocks, so it shows which of the others'
    // it has heard of: first only the third's, then the first's too.
    cluster.nodes[2].set_clock(2 * HOUR_S);
    wait_until("all know the third clock", || found(&cluster) == ["behind", "right", "ahead"]);
    cluster.nodes[0].set_clock(2 * HOUR_S);
    wait_until("all know the first clock", || found(&cluster) == ["right", "behind", "right"]);
    let everywhere = clients.len() * all.len() * 3;
    assert_eq!(absent(&observer, &clients, &all).len(), everywhere);
    // Then the wrong clock shows a time at which all were still there.
    cluster.nodes[WRONG].set_clock(3 * HOUR_S);
    wait_until("doctor names the clock", || found(&cluster)[WRONG] == "ahead");
    cluster.nodes[WRONG].set_clock(0);
    wait_until("doctor names the clock", || found(&cluster)[WRONG] == "behind");
    assert_eq!(absent(&observer, &clients, &all).len(), everywhere);
    wait_until("nothing is left of what has expired", || {
        let explained = observer.explain(&all);
        explained.len() == all.len() && explained.values().all(is_gone)
    });
}
