//! Records that a node has lost behind its back, some or all: comparisons with the others restore them.

use std::time::Instant;

use jedlik_protocol::Key;
use jedlik_protocol::admin::RepairReport;
use serde_json::Value;

use crate::cluster::{Cluster, wait_until};
use crate::engines::damage_some;
use crate::observer::{Observer, key};
use crate::requests::{fill, size, w};
use crate::tools::run;

/// Size of every value in these tests.
const VALUE_BYTES: usize = 1000;

#[test]
fn a_node_that_lost_its_data_directory_is_filled_by_anti_entropy_alone() {
    let mut cluster = Cluster::start_many(5, |_| {});
    let observer = Observer::of(&cluster, 0);
    let keys = filled(&cluster, &observer, size("JEDLIK_LOST_RECORDS", 1_000));
    let owned = observer.owned_by(2, &keys);
    cluster.kill(2);
    cluster.nodes[2].lose_disk();
    let before = observer.repairs();

    let starting = Instant::now();
    cluster.restart(2);
    wait_until("all records are back", || {
        observer.counter("buffer_records").get(&2).copied().unwrap_or(0)
            + observer.counter("engine_records").get(&2).copied().unwrap_or(0)
            >= owned as u64
    });
    let took = starting.elapsed();
    observer.wait_until_settled(&keys);
    cluster.wait_until_all_are_up(0);
    run(cluster.admin(0).arg("repair")).ok();
    let mut sum = RepairReport::default();
    for (index, after) in observer.repairs() {
        // The restarted node counts from 0.
        let before = before.get(&index).filter(|_| index != 2).cloned().unwrap_or_default();
        sum.exchanges += after.exchanges - before.exchanges;
        sum.hash_requests += after.hash_requests - before.hash_requests;
        sum.digest_requests += after.digest_requests - before.digest_requests;
        sum.keys_compared += after.keys_compared - before.keys_compared;
        sum.pulled += after.pulled - before.pulled;
        sum.pushed += after.pushed - before.pushed;
        sum.bytes += after.bytes - before.bytes;
    }
    println!("{owned} lost records of {VALUE_BYTES} B are back after {took:?}: {sum:?}");
    assert!(sum.pulled + sum.pushed >= owned as u64, "somebody moved each of them: {sum:?}");
    let gets: u64 = observer.counter("gets").values().sum();
    assert_eq!(gets, 0, "nothing was read");
}

#[test]
fn records_changed_and_removed_behind_a_nodes_back_are_found_and_repaired_in_one_cycle() {
    let mut cluster = Cluster::start_many(5, |_| {});
    let observer = Observer::of(&cluster, 0);
    let keys = filled(&cluster, &observer, size("JEDLIK_DAMAGE_RECORDS", 1_000));
    let repair = |cluster: &Cluster| -> Value {
        let mut command = cluster.admin(0);
        run(command.args(["repair", "--node", "n3", "--json"])).ok().json()["all"].clone()
    };
    let quiet = repair(&cluster);

    assert!(cluster.nodes[2].stop().success(), "a clean stop");
    let wanted = size("JEDLIK_DAMAGED_RECORDS", 40);
    let damaged = damage_some(&cluster.nodes[2], wanted);
    cluster.restart(2);
    cluster.wait_until_all_are_up(0);
    let starting = Instant::now();
    let repaired = repair(&cluster);
    let took = starting.elapsed();
    println!("{damaged} of {} records damaged, {took:?}: {repaired}", keys.len());
    println!("the same without damage: {quiet}");
    // A node that has just started may not have a connection to every other node yet.
    wait_until("every owner says what it holds", || {
        !observer.unsettled(&keys).values().any(|why| why.ends_with("does not answer"))
    });
    assert_eq!(observer.unsettled(&keys), [].into());

    let count = |report: &Value, name: &str| report[name].as_u64().unwrap();
    let hit = damaged as u64;
    assert!(count(&repaired, "damaged") >= hit / 2, "half were altered, half removed");
    // Another owner that compares at the same time may be the one that restores it.
    let pulled = count(&repaired, "pulled");
    assert!(10 * pulled >= 9 * hit, "{pulled} of {hit} were pulled from other owners");
    // Both other owners are compared with, and a leaf holds a few keys.
    let compared = count(&repaired, "keys_compared");
    assert!(compared <= 6 * hit, "{compared} keys compared for {hit} damaged ones");
    let bytes = count(&repaired, "bytes").saturating_sub(count(&quiet, "bytes"));
    let each = VALUE_BYTES as u64 + 4_000;
    assert!(bytes <= hit * each, "{bytes} B more than without damage for {hit} records");
}

/// Puts this many keys, each on all of its owners.
fn filled(cluster: &Cluster, observer: &Observer, count: usize) -> Vec<Key> {
    let client = observer.runtime.block_on(cluster.client(0));
    let keys: Vec<Key> = (0..count).map(|number| key("kept", number)).collect();
    observer.runtime.block_on(fill(&client, &keys, VALUE_BYTES, &w(3)));
    keys
}
