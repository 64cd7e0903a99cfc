//! Nodes that are away: writes go on without them and reach them once they are back.

use std::time::Instant;

use jedlik_protocol::Key;

use crate::cluster::Cluster;
use crate::observer::{Observer, key};
use crate::requests::{Acknowledged, fill, r, size, w};
use crate::tools::run;

/// Exit code of the tools for a cluster that is unavailable.
const UNAVAILABLE: i32 = 3;

#[test]
fn puts_succeed_while_any_node_is_left_and_every_owner_has_them_when_all_are_back() {
    let mut cluster = Cluster::start_many(5, |_| {});
    // With one node left, there can only be one acknowledgement.
    cluster.ask(4, "bucket set carts min_w=1").ok();
    let observer = Observer::of(&cluster, 4);
    let runtime = &observer.runtime;
    let client = runtime.block_on(cluster.client(4));
    let pairs =
        observer.keys_where("pair", 24, |list| list[..3].contains(&0) && list[..3].contains(&1));
    let anywhere: Vec<Key> = (0..24).map(|number| key("any", number)).collect();
    let mut acknowledged = Acknowledged::default();
    runtime.block_on(async {
        for key in pairs.iter().chain(&anywhere).step_by(2) {
            acknowledged.put(&client, key, &w(3)).await;
        }
    });

    cluster.kill(0);
    cluster.kill(1);
    runtime.block_on(async {
        for (number, key) in pairs.iter().enumerate() {
            acknowledged.put(&client, key, &w(2 + (number % 2) as u8)).await;
            acknowledged.check(&client, key, &r(2)).await;
        }
    });
    let name = String::from_utf8_lossy(pairs[0].key()).into_owned();
    let strict = ["put", "carts", &name, "tea", "--pw", "2"];
    run(cluster.jedlik(4).args(strict)).refused(UNAVAILABLE, &["unavailable"]);

    cluster.kill(2);
    cluster.kill(3);
    runtime.block_on(async {
        for key in &anywhere {
            acknowledged.put(&client, key, &w(1)).await;
            // Its older versions may all be on nodes that are away.
            acknowledged.check_last(&client, key, &r(1)).await;
        }
    });

    for index in 0..4 {
        cluster.restart(index);
    }
    let back = Instant::now();
    let hints = ["hints", "--wait", "--timeout", "120", "--json"];
    let drained = run(cluster.admin(4).args(hints)).ok().json();
    assert_eq!((&drained["drained"], &drained["keys"]), (&true.into(), &0.into()), "{drained}");
    println!("hints drained {:?} after the last node was back", back.elapsed());
    let keys = acknowledged.keys();
    assert_eq!(observer.unsettled(&keys), [].into());
    let mut held = observer.lengths(&keys);
    // The strict put may have been stored by the nodes that it reached.
    held.get_mut(&pairs[0]).unwrap().remove(&("tea".len() as u32));
    assert_eq!(&held, acknowledged.versions());
}

#[test]
fn a_node_of_five_that_is_back_soon_has_what_it_missed() {
    catches_up(5);
}

#[test]
fn a_node_of_three_that_is_back_soon_has_what_it_missed() {
    catches_up(3);
}

/// Lets one node of `count` miss changes of old keys and new keys, and starts it again.
fn catches_up(count: usize) {
    let mut cluster = Cluster::start_many(count, |_| {});
    let observer = Observer::of(&cluster, 0);
    let client = observer.runtime.block_on(cluster.client(0));
    let keys: Vec<Key> =
        (0..size("JEDLIK_MISSED_KEYS", 300)).map(|number| key("missed", number)).collect();
    let (old, _) = keys.split_at(keys.len() / 2);
    observer.runtime.block_on(fill(&client, old, 100, &w(3)));
    cluster.kill(2);
    observer.runtime.block_on(fill(&client, &keys, 200, &w(2)));
    let starting = Instant::now();
    cluster.restart(2);
    let ready = starting.elapsed();
    observer.wait_until_settled(&keys);
    let (took, missed) = (starting.elapsed(), observer.owned_by(2, &keys));
    println!("{count} nodes: {missed} missed writes after {took:?}, ready after {ready:?}");
}
