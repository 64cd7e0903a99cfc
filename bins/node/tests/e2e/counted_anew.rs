//! A bucket's number of replicas is raised while partitions move: all of them cut over, and no key is missed meanwhile.

use jedlik_client::GetOptions;
use jedlik_protocol::Key;

use crate::change::{commit, ring, stage, wait_until_still};
use crate::cluster::{Cluster, wait_until};
use crate::observer::Observer;
use crate::requests::{ByKey, fill, patient_r, patient_w, shown};

const KEYS: usize = 200;
const USUAL: usize = 3;
const RAISED: usize = 5;

/// Returns, for the key with the fewest, how many of its first `n` owners hold everything that all nodes together hold
/// of it.
fn least_copies(observer: &Observer, keys: &[Key], n: usize) -> usize {
    let explained = observer.explain(keys);
    if explained.len() < keys.len() {
        return 0;
    }
    let copies = explained.values().map(|explained| {
        let merged = explained.merged.as_ref().map(|record| record.digest);
        let owners = explained.holders.iter().filter(|holder| usize::from(holder.rank) < n);
        let holds = owners.filter_map(|holder| holder.holds.as_ref()?.record.as_ref());
        holds.filter(|record| Some(record.digest) == merged).count()
    });
    copies.min().unwrap_or(0)
}

#[test]
fn n_raised_while_moves_are_paused_keeps_no_partition_from_cutting_over_and_hides_nothing() {
    let mut cluster = Cluster::start_many(RAISED, ring);
    let observer = Observer::of(&cluster, 0);
    let client = observer.runtime.block_on(cluster.client(0));
    let keys: Vec<Key> =
        (0..KEYS).map(|n| Key::new("wide", format!("k{n}").as_str()).unwrap()).collect();
    let (before, after) = keys.split_at(KEYS / 2);
    observer.runtime.block_on(fill(&client, before, 100, &patient_w(3)));
    cluster.add_nodes(1, ring);
    cluster.wait_until_all_are_up(0);

    cluster.ask(0, "task pause transfers").ok();
    commit(&cluster, 0, &stage(&cluster, 0, "join n6"));
    cluster.ask(0, &format!("bucket set wide n={RAISED} r=3 w=3")).ok();
    wait_until("all know of it", || {
        (0..6).all(|node| {
            let said = cluster.ask(node, "bucket show wide --json");
            said.code == 0 && said.json()["properties"]["n"] == RAISED
        })
    });
    let shown_all = |keys: &[Key], options: &GetOptions| {
        for index in 0..6 {
            observer.runtime.block_on(async {
                let client = cluster.client(index).await;
                for key in keys {
                    let found = client.get(key).options(options).await;
                    let found =
                        found.unwrap_or_else(|error| panic!("get of {}: {error}", shown(key)));
                    let via = index + 1;
                    assert_eq!(found.siblings().len(), 1, "{} through n{via}", shown(key));
                }
            });
        }
    };
    // Neither of the partition's two new owners was given anything.
    shown_all(before, &patient_r(3));
    observer.runtime.block_on(fill(&client, after, 100, &patient_w(3)));
    let status = cluster.status(0);
    assert!(status["flipped"].as_u64() < status["partitions"].as_u64(), "{status:#}");

    cluster.ask(0, "task resume transfers").ok();
    wait_until_still(&cluster, 0);
    wait_until("all partitions have cut over and every owner votes", || {
        let refilling = observer.counter("refilling_partitions");
        println!("{refilling:?}");
        refilling.len() == 6 && refilling.values().all(|count| *count == 0)
    });
    wait_until("five hold each key", || least_copies(&observer, &keys, RAISED) == RAISED);
    shown_all(&keys, &patient_r(3));

    // The number goes back to what it was, while the same node leaves again.
    commit(&cluster, 0, &stage(&cluster, 0, "leave n6"));
    cluster.ask(0, &format!("bucket set wide n={USUAL} r=2 w=2")).ok();
    assert_eq!(cluster.nodes[5].wait_for_end().code(), Some(0), "n6 has left");
    wait_until("three hold each key, and nobody else does", || {
        let explained = observer.explain(&keys);
        explained.len() == keys.len()
            && explained.values().all(|explained| {
                let holders = explained.holders.iter().filter_map(|holder| holder.holds.as_ref());
                holders.filter(|holds| holds.record.is_some()).count() == USUAL
            })
    });
}
