//! A bucket's number of replicas is lowered while data is there: copies on nodes that are no longer owners are dropped.

use jedlik_protocol::Key;
use jedlik_protocol::admin::{Explanation, Holder};

use crate::cluster::{Cluster, wait_until};
use crate::deletes::{delete, lived_for};
use crate::node::LIMIT;
use crate::observer::{Observer, is_gone};
use crate::requests::{fill, shown, w};
use crate::tools::run;

/// Lifetime of a message in milliseconds: a busy machine takes a while.
const LIFE_MS: u64 = 1_500;

/// Returns the number of nodes that hold a record of the key; `None` if one does not answer.
fn copies(explained: &Explanation) -> Option<usize> {
    let held =
        |holder: &Holder| holder.holds.as_ref().map(|holds| usize::from(holds.record.is_some()));
    explained.holders.iter().map(held).sum()
}

fn have(observer: &Observer, keys: &[Key], wanted: usize) -> bool {
    let explained = observer.explain(keys);
    explained.len() == keys.len()
        && explained.values().all(|explained| copies(explained) == Some(wanted))
}

fn keys(bucket: &str, count: usize) -> Vec<Key> {
    (0..count).map(|n| Key::new(bucket, format!("k{n}").as_str()).unwrap()).collect()
}

#[test]
fn with_n_lowered_from_five_to_three_two_copies_go_and_deleted_keys_are_collected() {
    let cluster = Cluster::start_many(5, |node| lived_for(node, LIFE_MS));
    // Another bucket keeps every partition on all five nodes.
    for bucket in ["wide", "other"] {
        cluster.ask(0, &format!("bucket set {bucket} n=5 r=3 w=3")).ok();
    }
    let observer = Observer::of(&cluster, 0);
    let client = observer.runtime.block_on(cluster.client(0));
    let (wide, other) = (keys("wide", 40), keys("other", 20));
    wait_until("all know that there are five copies", || {
        (0..5).all(|node| cluster.ask(node, "bucket show other").ok().stdout.contains('5'))
    });
    let patient = w(3).timeout(LIMIT);
    observer.runtime.block_on(fill(&client, &wide, 100, &patient));
    observer.runtime.block_on(fill(&client, &other, 100, &patient));
    wait_until("all five hold them", || have(&observer, &wide, 5) && have(&observer, &other, 5));

    let said = cluster.ask(1, "bucket set wide n=3 r=2 w=2").ok();
    assert!(!said.stdout.contains("warning:"), "{}", said.stdout);
    wait_until("two copies of each key are gone", || have(&observer, &wide, 3));
    assert!(have(&observer, &other, 5), "another bucket's stay");
    for (node, key) in wide.iter().enumerate() {
        let mut get = cluster.jedlik(node % 5);
        run(get.args(["get", "wide", &shown(key), "--r", "3"])).ok();
    }
    let said = cluster.ask(0, "cluster wait --timeout 60").ok();
    println!("{}", said.stdout);

    observer.runtime.block_on(delete(&client, &wide));
    wait_until("nothing is left of the deleted keys", || {
        let explained = observer.explain(&wide);
        explained.len() == wide.len() && explained.values().all(is_gone)
    });
    assert!(have(&observer, &other, 5), "another bucket's stay");
}
