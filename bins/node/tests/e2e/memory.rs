//! Records that were read or written lately are answered from memory, as far as a node has some for them.

use jedlik_client::Client;
use jedlik_protocol::Key;

use crate::cluster::Cluster;
use crate::observer::{Observer, key};
use crate::requests::{ByKey, fill, patient_r, patient_w, shown};

/// Memory that caches and buffers take by default, so that records have none.
const NONE_FOR_RECORDS: &str = "--storage-memory-bytes=67108864";
const KEYS: usize = 100;
const VALUE_BYTES: usize = 1_000;

#[test]
fn a_node_answers_from_memory_what_it_has_there_and_all_else_from_below() {
    let mut cluster = Cluster::start_many(3, |node| {
        if node.name == "n3" {
            node.options.push(NONE_FOR_RECORDS.into());
        }
    });
    let observer = Observer::of(&cluster, 1);
    let client = observer.runtime.block_on(cluster.client(1));
    let keys: Vec<Key> = (0..KEYS).map(|number| key("kept", number)).collect();
    observer.runtime.block_on(fill(&client, &keys, VALUE_BYTES, &patient_w(3)));
    read(&observer, &client, &keys);

    let [cached_bytes, hits, misses] =
        ["cached_bytes", "cache_hits", "cache_misses"].map(|name| observer.counter(name));
    assert!(cached_bytes[&0] as usize >= KEYS * VALUE_BYTES, "{cached_bytes:?}");
    assert!(hits[&0] as usize >= KEYS, "what was written is read from memory: {hits:?}");
    assert_eq!((cached_bytes[&2], hits[&2]), (0, 0), "there is no memory for records");
    assert!(misses[&2] as usize >= KEYS, "{misses:?}");

    // What is in memory is nothing but a copy.
    cluster.kill(0);
    cluster.restart(0);
    cluster.wait_until_all_are_up(1);
    for _ in 0..2 {
        read(&observer, &client, &keys);
    }
    let hits = observer.counter("cache_hits");
    assert!(hits[&0] > 0, "what was read is read from memory the next time: {hits:?}");
}

/// Reads all keys from all replicas.
fn read(observer: &Observer, client: &Client, keys: &[Key]) {
    observer.runtime.block_on(async {
        for key in keys {
            let found = client.get(key).options(&patient_r(3)).await;
            let found = found.unwrap_or_else(|error| panic!("get of {}: {error}", shown(key)));
            assert_eq!(found.siblings().len(), 1, "{}", shown(key));
        }
    });
}
