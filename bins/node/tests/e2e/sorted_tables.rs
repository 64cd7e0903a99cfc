//! Clusters whose engines are folders of sorted tables, of all nodes or of one: kills of all at once, tables that rot.

use jedlik_engines::Engine;
use jedlik_protocol::Key;

use crate::cluster::{Cluster, wait_until};
use crate::crash::survives_kills;
use crate::engines::rot;
use crate::node::Node;
use crate::observer::{Observer, key};
use crate::requests::{fill, w};
use crate::rot::{VALUE_BYTES, all_there, said_of_storage};

fn sorted(node: &mut Node) {
    node.options = vec!["--engine=lsm".into(), "--shards=2".into()];
}

#[test]
fn every_acknowledged_key_survives_in_sorted_tables_when_all_nodes_are_killed_during_a_load() {
    let mut cluster = Cluster::start_with(|node| {
        sorted(node);
        // So small that buffers are moved into the engine all the time.
        node.options.push("--storage-buffer-bytes=2097152".into());
    });
    survives_kills(&mut cluster);
    assert!(!cluster.nodes[0].engine_files(0).is_empty(), "the engine is what was asked for");
    let said = cluster.ask(0, "background show --json").ok().json();
    for node in said["nodes"].as_array().unwrap() {
        let merges = &node["background"]["merges"];
        assert!(merges["waiting_runs"].is_u64() && merges["garbage_bytes"].is_u64(), "{node}");
    }
}

#[test]
fn flipped_bits_in_sorted_tables_cost_their_shard_which_nodes_with_another_engine_refill() {
    let mut cluster = Cluster::start_with(|node| {
        sorted(node);
        if node.name != "n2" {
            node.options[0] = "--engine=redb".into();
        }
    });
    let observer = Observer::of(&cluster, 0);
    let keys: Vec<Key> = (0..600).map(|number| key("kept", number)).collect();
    let client = observer.runtime.block_on(cluster.client(0));
    observer.runtime.block_on(fill(&client, &keys, VALUE_BYTES, &w(3)));
    assert!(cluster.nodes[1].stop().success(), "a clean stop");
    rot(Engine::Lsm, &cluster.nodes[1].shards()[0]);
    cluster.restart(1);
    cluster.wait_until_all_are_up(0);
    all_there(&cluster, &observer, &keys);
    wait_until("both shards serve", || observer.counter("shards_serving").get(&1) == Some(&2));
    observer.wait_until_settled(&keys);
    all_there(&cluster, &observer, &keys);
    let said = said_of_storage(&cluster);
    assert!(said.iter().any(|what| what.contains("shard 0 of n2")), "{said:?}");
    assert!(!said.iter().any(|what| what.contains("shard 1 of n2")), "{said:?}");
    assert_eq!(cluster.nodes[1].data_files(|path| path.ends_with("README.txt")).len(), 1);
}
