//! Data that one node has lost, a byte or all of it: no get calls it absent.

use jedlik_client::Client;
use jedlik_protocol::Key;

use crate::cluster::{Cluster, wait_until};
use crate::engines::damage_all;
use crate::observer::{Observer, key};
use crate::requests::{ByKey, fill, r, shown, size, w};

/// Sets W to 3 and R to 1 on the bucket, so that a get may ask any single owner.
fn read_one(cluster: &Cluster) {
    cluster.ask(0, "bucket set kept r=1 w=3").ok();
}

#[test]
fn a_byte_that_changed_on_one_disk_of_three_is_no_absence_and_is_mended_by_the_get() {
    let mut cluster = Cluster::start_many(3, |_| {});
    read_one(&cluster);
    let observer = Observer::of(&cluster, 0);
    let client = observer.runtime.block_on(cluster.client(0));
    // Whichever node a client knows, its gets go to the key's first owner.
    let wanted = size("JEDLIK_DAMAGE_RECORDS", 60);
    let keys = observer.keys_where("kept", wanted, |list| list[0] == 2);
    observer.runtime.block_on(fill(&client, &keys, 100, &w(3)));

    assert!(cluster.nodes[2].stop().success(), "a clean stop");
    assert_eq!(damage_all(&cluster.nodes[2]), keys.len());
    cluster.restart(2);
    cluster.wait_until_all_are_up(0);

    // The damaged node asks itself first.
    for via in [2, 0] {
        let client = observer.runtime.block_on(cluster.client(via));
        for key in &keys {
            assert!(is_found(&observer, &client, key), "{} is absent by n{}", shown(key), via + 1);
        }
    }
    wait_until("every record is mended", || {
        observer.explain(&keys).values().all(|explained| {
            explained.holders.iter().take(3).all(|holder| {
                holder.holds.as_ref().is_some_and(|held| !held.damaged && held.record.is_some())
            })
        })
    });
}

/// Gets a key with R of 1, which must be answered; returns whether it was found.
fn is_found(observer: &Observer, client: &Client, key: &Key) -> bool {
    let options = r(1);
    let found = observer.runtime.block_on(client.get(key).options(&options).send());
    let found = found.unwrap_or_else(|error| panic!("get of {}: {error}", shown(key)));
    !found.siblings().is_empty()
}

#[test]
fn an_empty_directory_in_the_place_of_one_node_makes_no_key_absent() {
    let mut cluster = Cluster::start_many(3, |_| {});
    read_one(&cluster);
    let observer = Observer::of(&cluster, 0);
    let client = observer.runtime.block_on(cluster.client(0));
    let keys: Vec<Key> = (0..size("JEDLIK_LOST_RECORDS", 1_000)).map(|n| key("kept", n)).collect();
    observer.runtime.block_on(fill(&client, &keys, 100, &w(3)));

    cluster.kill(2);
    cluster.nodes[2].lose_disk();
    cluster.restart(2);
    // The gets begin with the node's first answer, and go on during its refill and after.
    let emptied = observer.runtime.block_on(cluster.client(2));
    let mut rounds = 0;
    wait_until("it holds everything again", || {
        rounds += 1;
        for key in keys.iter().skip(rounds % 7).step_by(7) {
            if let Ok(found) = observer.runtime.block_on(emptied.get(key).options(&r(1)).send()) {
                assert!(!found.siblings().is_empty(), "{} is absent in round {rounds}", shown(key));
            }
        }
        let held = |name| observer.counter(name).get(&2).copied().unwrap_or(0);
        held("buffer_records") + held("engine_records") >= keys.len() as u64
            && observer.counter("refilling_partitions").get(&2) == Some(&0)
    });
    for key in &keys {
        assert!(is_found(&observer, &emptied, key), "{} is absent", shown(key));
    }
    let never = key("kept", keys.len());
    assert!(!is_found(&observer, &emptied, &never), "what was never put is absent");
}
