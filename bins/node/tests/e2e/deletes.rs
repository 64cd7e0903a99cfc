//! Deleted keys stay deleted, and in the end nothing is left of them.

use std::time::{Duration, Instant};

use jedlik_client::Client;
use jedlik_protocol::Key;
use jedlik_protocol::admin::Explanation;

use crate::cluster::{Cluster, wait_until};
use crate::node::Node;
use crate::observer::{OWNERS, Observer, has_value, is_gone};
use crate::requests::{ByKey, fill, shown, w};
use crate::tools::run;

/// Lifetime of a message in milliseconds; a tombstone is kept ten times as long.
const LIFE_MS: u64 = 500;
const KEYS: usize = 20;
/// Index of the node that misses the deletes; it is also away before them.
const AWAY: usize = 2;
const OTHER: usize = 3;

#[test]
fn deleted_keys_stay_deleted_though_a_node_comes_back_with_old_values_and_old_hints() {
    let mut cluster = Cluster::start_many(5, short_lived);
    let observer = Observer::of(&cluster, 0);
    let client = observer.runtime.block_on(cluster.client(0));
    let owned = observer.keys_where("owned", KEYS, |list| list[..OWNERS].contains(&AWAY));
    let hinted = observer
        .keys_where("hinted", KEYS, |list| list[..OWNERS].contains(&OTHER) && list[OWNERS] == AWAY);
    let all = [owned.clone(), hinted.clone()].concat();
    observer.runtime.block_on(fill(&client, &owned, 100, &w(3)));
    cluster.kill(OTHER);
    observer.runtime.block_on(fill(&client, &hinted, 100, &w(3)));
    wait_until("the old hints are where they should be", || {
        let explained = observer.explain(&hinted);
        let is_hinted = |explained: &Explanation| observer.hints_at(explained, AWAY) == 1;
        explained.len() == KEYS && explained.values().all(is_hinted)
    });
    cluster.kill(AWAY);
    cluster.restart(OTHER);

    observer.runtime.block_on(delete(&client, &all));
    let collectable = Instant::now() + Duration::from_millis(3 * 10 * LIFE_MS);
    wait_until("tombstones could have been collected", || {
        let explained = observer.explain(&all);
        assert!(explained.values().all(|found| found.merged.is_some()), "none has gone");
        Instant::now() >= collectable
    });
    assert_eq!(observer.counter("collected").values().sum::<u64>(), 0, "one node is away");

    cluster.restart(AWAY);
    let back = Instant::now();
    let mut left = all.clone();
    wait_until("nothing is left of deleted keys", || {
        let explained = observer.explain(&left);
        for (key, explained) in &explained {
            assert!(!has_value(explained), "{} is there again: {explained:?}", shown(key));
        }
        left.retain(|key| explained.get(key).is_none_or(|found| !is_gone(found)));
        left.is_empty()
    });
    println!("the tombstones are gone {:?} after the node was back", back.elapsed());
    for key in [&owned[0], &hinted[0]] {
        let get = run(cluster.jedlik(AWAY).args(["get", "carts", &shown(key), "--r", "3"]));
        assert_eq!(get.code, 1, "absent: {get:?}");
    }
}

/// Makes a node collect tombstones within seconds, and look for them as often.
fn short_lived(node: &mut Node) {
    lived_for(node, LIFE_MS);
}

/// Option that makes a lifetime below a second acceptable, since the largest record then takes no time to send.
pub(crate) const FAST_LINKS: &str = "--limits-slowest-link-bytes-per-s=1000000000";

/// Sets a node's lifetime of a message to `life_ms`, and the intervals of scrubs and exchanges to 2 s.
pub(crate) fn lived_for(node: &mut Node, life_ms: u64) {
    node.options = vec![
        format!("--limits-message-life-ms={life_ms}"),
        FAST_LINKS.into(),
        "--background-scrub-interval-s=2".into(),
        "--background-exchange-interval-s=2".into(),
    ];
}

/// Gets each key and deletes the versions found.
pub(crate) async fn delete(client: &Client, keys: &[Key]) {
    for key in keys {
        let found = client.get(key).await.unwrap();
        assert!(found.context().is_some(), "{} was written", shown(key));
        client.delete(key).context(found.context()).await.unwrap();
    }
}
