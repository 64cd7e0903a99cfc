//! Values as large as a bucket allows: stored, several at once, as siblings, read, listed and resolved.
//!
//! Values that become siblings are small, in a bucket whose limits are proportionally small: the same sums have to fit,
//! and a busy machine handles them before a call between nodes times out.

use std::env;
use std::time::Duration;

use jedlik_client::{Bytes, Client, Found, GetOptions, PutOptions, Sibling};
use jedlik_protocol::Key;

use crate::cluster::{Cluster, wait_until};
use crate::observer::{Observer, key};
use crate::requests::ByKey;
use crate::tools::run;

const MIB: usize = 1 << 20;
/// Puts under way at the same time.
const AT_ONCE: usize = 8;
/// Timeout of requests. A busy machine takes its time with eight times 16 MiB, three times over.
const REQUEST_LIMIT: Duration = Duration::from_secs(400);
/// Bucket properties with the largest limits that three replicas allow, and W of 1 for a node that is alone.
const LARGEST: [&str; 3] = ["value_limit_bytes=16777216", "record_limit_bytes=22369621", "min_w=1"];

#[test]
fn an_idle_cluster_with_default_settings_stores_eight_values_of_the_allowed_size_at_once() {
    if env::var_os("JEDLIK_TEST_BINARIES").is_none() {
        // Debug builds take minutes for what is given seconds.
        eprintln!("skipped: it wants the released binaries of `cargo xtask test`");
        return;
    }
    let cluster = Cluster::start_with(|node| node.options = vec![default_journal()]);
    let observer = Observer::of(&cluster, 0);
    let client = observer.runtime.block_on(cluster.client(0));
    // The size that a bucket takes with its default properties.
    let keys: Vec<Key> = (0..AT_ONCE).map(|number| key("usual", number)).collect();
    observer.runtime.block_on(put_at_once(&client, &keys, MIB));

    allow(&cluster, LARGEST);
    let keys: Vec<Key> = (0..AT_ONCE).map(|number| key("largest", number)).collect();
    observer.runtime.block_on(put_at_once(&client, &[key("single", 0)], 16 * MIB));
    observer.runtime.block_on(put_at_once(&client, &keys, 16 * MIB));
    observer.runtime.block_on(async {
        for key in &keys {
            assert_eq!(lengths(&client.get(key).options(&patient(3)).await.unwrap()), [16 * MIB]);
        }
    });
    // The tool's default timeout suffices, since it reads no values.
    let listed = run(cluster.jedlik(1).args(["keys", "carts"])).ok().stdout;
    assert_eq!(listed.lines().count(), 2 * AT_ONCE + 1);
    observer.runtime.block_on(async {
        let error = client.put(&keys[0], vec![b'x'; 16 * MIB + 1]).options(&patient_put(1)).await;
        let text = error.unwrap_err().to_string();
        assert!(text.contains("16777216"), "the limit is named: {text}");
    });
}

#[test]
fn three_siblings_that_meet_past_their_buckets_limit_are_stored_sent_read_and_resolved() {
    const SIBLING_BYTES: usize = 60_000;
    let mut cluster = Cluster::start_with(|node| {
        // Each node is started while no other can confirm its past.
        node.options = vec!["--limits-confirm-ms=1000".into()];
    });
    // A put must succeed through a node that is alone.
    allow(&cluster, ["value_limit_bytes=65536", "record_limit_bytes=87381", "min_w=1"]);
    let key = key("met", 0);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for alone in 0..3 {
        for other in (0..3).filter(|other| *other != alone) {
            cluster.kill(other);
        }
        runtime.block_on(async {
            let client = cluster.client(alone).await;
            let value = vec![b'a' + alone as u8; SIBLING_BYTES];
            client.put(&key, value).options(&patient_put(1)).await.unwrap();
            client.close().await;
        });
        // Otherwise hints would deliver the values at once; they go when all three are up.
        cluster.kill(alone);
        if alone < 2 {
            cluster.restart(alone + 1);
        }
    }
    for index in 0..3 {
        cluster.restart(index);
    }
    cluster.wait_until_all_are_up(0);
    let observer = Observer::of(&cluster, 0);
    observer.wait_until_settled(std::slice::from_ref(&key));
    let client = observer.runtime.block_on(cluster.client(1));
    let found = observer.runtime.block_on(client.get(&key).options(&patient(3)).send()).unwrap();
    assert_eq!(lengths(&found), [SIBLING_BYTES; 3], "every acknowledged sibling is shown");
    observer.runtime.block_on(async {
        let text =
            client.put(&key, "a fourth").options(&patient_put(1)).await.unwrap_err().to_string();
        assert!(text.contains("record_limit_bytes=87381"), "it may not grow further: {text}");
        let follows = patient_put(3);
        client.put(&key, "all in one").context(found.context()).options(&follows).await.unwrap();
        let found = client.get(&key).options(&patient(3)).await.unwrap();
        assert_eq!(found.siblings().len(), 1, "a put that has seen them replaces them");
    });
    observer.wait_until_settled(&[key]);
}

/// Returns the option for the default journal size; nodes of these tests usually have a smaller one, which loads fill
/// many times.
fn default_journal() -> String {
    let default = jedlik_server::config::OPTIONS.iter();
    let journal = default.clone().find(|option| option.name == "storage.journal_bytes").unwrap();
    format!("--storage-journal-bytes={}", journal.default.unwrap())
}

fn allow(cluster: &Cluster, limits: [&str; 3]) {
    run(cluster.admin(0).args(["bucket", "set", "carts"]).args(limits)).ok();
    let record_limit = limits[1].replace("record_limit_bytes=", "\"record_limit_bytes\":");
    for index in 0..3 {
        wait_until("every node knows the limits", || {
            let shown = run(cluster.admin(index).args(["--json", "bucket", "show", "carts"])).ok();
            shown.stdout.contains(&record_limit)
        });
    }
}

/// Puts values under all keys at once; each put must succeed.
async fn put_at_once(client: &Client, keys: &[Key], length: usize) {
    let puts: Vec<_> = keys
        .iter()
        .map(|key| {
            let (client, key) = (client.clone(), key.clone());
            tokio::spawn(async move {
                client.put(&key, vec![b'x'; length]).options(&patient_put(3)).await
            })
        })
        .collect();
    for put in puts {
        put.await.unwrap().unwrap_or_else(|error| panic!("a put of {length} bytes: {error}"));
    }
}

fn patient(r: u8) -> GetOptions {
    GetOptions::new().r(r).timeout(REQUEST_LIMIT)
}

fn patient_put(w: u8) -> PutOptions {
    PutOptions::new().w(w).timeout(REQUEST_LIMIT)
}

/// Returns the lengths of all values found.
fn lengths(found: &Found) -> Vec<usize> {
    let length = |sibling: &Sibling| sibling.value().map_or(0, Bytes::len);
    found.siblings().iter().map(length).collect()
}
