//! Room on the disk that running nodes give back, by whatever their engine does for that.

use std::fs;
use std::os::unix::fs::MetadataExt;

use jedlik_protocol::Key;

use crate::cluster::{Cluster, wait_until};
use crate::node::Node;
use crate::observer::{Observer, key};
use crate::requests::{ByKey, fill, patient_r, patient_w, shown};

/// Number of values, and their size in bytes: more than the slack that engines have.
const VALUES: usize = 400;
const LARGE_BYTES: usize = 60_000;

/// Returns the room that the files of a node's engines take, in bytes.
fn engine_bytes(node: &Node) -> u64 {
    let shards = 0..node.shards().len() as u16;
    let files = shards.flat_map(|shard| node.engine_files(shard));
    // One that goes meanwhile takes none.
    files.filter_map(|path| fs::metadata(path).ok()).map(|file| file.blocks() * 512).sum()
}

#[test]
fn large_values_that_small_ones_replace_give_their_room_back_while_the_nodes_run() {
    let mut cluster = Cluster::start_with(|node| {
        // So small that buffers are moved into the engine all the time.
        node.options = vec!["--shards=2".into(), "--storage-buffer-bytes=2097152".into()];
    });
    let observer = Observer::of(&cluster, 0);
    let client = observer.runtime.block_on(cluster.client(0));
    let keys: Vec<Key> = (0..VALUES).map(|number| key("kept", number)).collect();
    observer.runtime.block_on(fill(&client, &keys, LARGE_BYTES, &patient_w(3)));
    let filled = (VALUES * LARGE_BYTES) as u64;
    wait_until("all nodes have most of it in their engines", || {
        cluster.nodes.iter().all(|node| engine_bytes(node) > filled / 4 * 3)
    });

    observer.runtime.block_on(async {
        for key in &keys {
            let found = client.get(key).options(&patient_r(2)).await.unwrap();
            let replaced = client.put(key, "small").options(&patient_w(3));
            let replaced = replaced.context(found.context()).await;
            replaced.unwrap_or_else(|error| panic!("put of {}: {error}", shown(key)));
        }
    });
    // Buffers move once they are full, and these small values don't fill one.
    let others: Vec<Key> = (0..60).map(|number| key("others", number)).collect();
    observer.runtime.block_on(fill(&client, &others, LARGE_BYTES, &patient_w(3)));
    wait_until("they have given it back", || {
        cluster.nodes.iter().all(|node| engine_bytes(node) < filled / 2)
    });
    for node in &cluster.nodes {
        assert!(!node.log().contains("was removed or replaced"), "{}", node.log());
    }

    (0..3).for_each(|index| cluster.kill(index));
    (0..3).for_each(|index| cluster.restart(index));
    cluster.wait_until_all_are_up(0);
    let client = observer.runtime.block_on(cluster.client(0));
    observer.runtime.block_on(async {
        for key in &keys {
            let found = client.get(key).options(&patient_r(2)).await.unwrap();
            let values: Vec<&[u8]> = found.values().map(AsRef::as_ref).collect();
            assert_eq!(values, [b"small".as_slice()], "{}", shown(key));
        }
    });
}
