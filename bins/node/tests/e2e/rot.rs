//! Engines' files that rot: one shard is set aside and refilled, and the node goes on.

use std::fs;
use std::path::Path;

use jedlik_client::Client;
use jedlik_protocol::Key;
use serde_json::Value;

use crate::cluster::{Cluster, wait_until};
use crate::engines::{flip_in_rows, rot};
use crate::observer::{Observer, key};
use crate::requests::{ByKey, fill, patient_r, patient_w, r, shown, size, w};

/// Size of the values that `all_there` expects.
pub(crate) const VALUE_BYTES: usize = 300;
/// Size of what changes in a journal, as if a page of the disk had rotted.
const PAGE_BYTES: usize = 4096;

#[test]
fn flipped_bits_in_a_nodes_engines_end_no_node_and_make_no_key_absent() {
    let mut cluster = Cluster::start_with(|node| node.options = vec!["--shards=3".into()]);
    let observer = Observer::of(&cluster, 0);
    let keys: Vec<Key> =
        (0..size("JEDLIK_DAMAGE_RECORDS", 900)).map(|number| key("kept", number)).collect();
    let client = observer.runtime.block_on(cluster.client(0));
    observer.runtime.block_on(fill(&client, &keys, VALUE_BYTES, &w(3)));
    assert!(cluster.nodes[1].stop().success(), "a clean stop");
    let shards = cluster.nodes[1].shards();
    assert_eq!(shards.len(), 3);
    // The third shard stays whole.
    shards[..2].iter().for_each(|shard| rot(cluster.nodes[1].engine(), shard));

    for _ in 0..2 {
        cluster.restart(1);
        cluster.wait_until_all_are_up(0);
        all_there(&cluster, &observer, &keys);
        assert!(cluster.nodes[1].is_running());
        wait_until("all three shards serve", || {
            observer.counter("shards_serving").get(&1) == Some(&3)
        });
        all_there(&cluster, &observer, &keys);
        observer.wait_until_settled(&keys);
        assert!(cluster.nodes[1].stop().success(), "a clean stop");
    }
    cluster.restart(1);
    cluster.wait_until_all_are_up(0);
    let said = said_of_storage(&cluster);
    for shard in ["shard 0 of n2", "shard 1 of n2"] {
        assert!(said.iter().any(|what| what.contains(shard)), "{said:?}");
    }
    assert!(!said.iter().any(|what| what.contains("shard 2 of n2")), "{said:?}");
    let aside = cluster.nodes[1].data_files(|path| path.ends_with("README.txt"));
    assert_eq!(aside.len(), 2, "each is kept for inspection, once");
}

#[test]
fn flipped_bytes_in_a_journal_that_is_replayed_lose_nothing_and_make_no_key_absent() {
    let (mut cluster, observer, keys) = filled();
    cluster.kill(1);
    let is_segment = |path: &Path| path.parent().is_some_and(|parent| parent.ends_with("journal"));
    let journals = cluster.nodes[1].data_files(|path| {
        is_segment(path) && fs::metadata(path).is_ok_and(|file| file.len() > 10_000)
    });
    assert_eq!(journals.len(), 2, "each shard has one to replay: {journals:?}");
    for journal in &journals {
        let mut bytes = fs::read(journal).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle..middle + PAGE_BYTES].iter_mut().for_each(|byte| *byte ^= 0x55);
        fs::write(journal, bytes).unwrap();
    }

    cluster.restart(1);
    cluster.wait_until_all_are_up(0);
    all_there(&cluster, &observer, &keys);
    let log = cluster.nodes[1].log();
    assert_eq!(log.matches("a part of the journal is damaged").count(), 2, "{log}");
    wait_until("it can say again what is absent", || {
        observer.counter("refilling_partitions").get(&1) == Some(&0)
    });
    observer.wait_until_settled(&keys);
    // The node has everything back, in its own files.
    held_by_itself(&mut cluster, &observer, &keys);
}

#[test]
fn a_flipped_byte_in_a_stored_key_is_gone_once_the_shard_has_been_begun_anew() {
    let mut cluster = Cluster::start_with(|node| node.options = vec!["--shards=2".into()]);
    let observer = Observer::of(&cluster, 0);
    let keys: Vec<Key> = (0..300).map(|number| key("kept", number)).collect();
    let client = observer.runtime.block_on(cluster.client(0));
    observer.runtime.block_on(fill(&client, &keys, VALUE_BYTES, &w(3)));
    assert!(cluster.nodes[1].stop().success(), "a clean stop");
    let (engine, shards) = (cluster.nodes[1].engine(), cluster.nodes[1].shards());
    let flipped: usize =
        shards.iter().map(|shard| flip_in_rows(engine, shard, b"kept-123", 6)).sum();
    assert!(flipped > 0, "the key is stored");

    cluster.restart(1);
    cluster.wait_until_all_are_up(0);
    // A reader of all records meets the damage.
    cluster.ask(0, "repair --node n2").ok();
    wait_until("its shard was set aside and begun anew", || {
        !cluster.nodes[1].data_files(|path| path.ends_with("README.txt")).is_empty()
            && observer.counter("shards_serving").get(&1) == Some(&2)
            && observer.counter("refilling_partitions").get(&1) == Some(&0)
    });
    observer.wait_until_settled(&keys);
    all_there(&cluster, &observer, &keys);
    let aside = cluster.nodes[1].data_files(|path| path.ends_with("README.txt"));
    assert_eq!(aside.len(), 1, "{aside:?}");
    fs::remove_dir_all(aside[0].parent().unwrap()).unwrap();
    cluster.ask(0, "repair --node n2").ok();
    wait_until("doctor says that nothing is wrong", || {
        let mut said = said_of_storage(&cluster);
        // Failures while the shard began anew are counted for as long as the nodes run.
        said.retain(|what| !what.contains("could not finish"));
        said.is_empty()
    });
}

#[test]
fn an_engine_that_has_ended_its_node_costs_a_shard_at_the_next_start_and_not_another_end() {
    let mut cluster = Cluster::start_with(|node| node.options = vec!["--shards=2".into()]);
    let observer = Observer::of(&cluster, 0);
    let keys: Vec<Key> = (0..200).map(|number| key("kept", number)).collect();
    let client = observer.runtime.block_on(cluster.client(0));
    observer.runtime.block_on(fill(&client, &keys, VALUE_BYTES, &w(3)));
    cluster.kill(1);
    let engine = cluster.nodes[1].engine_path(0);
    // The panic hook leaves such a file.
    fs::write(engine.with_extension("fault"), "panicked: a page of an unknown kind\n").unwrap();

    cluster.restart(1);
    cluster.wait_until_all_are_up(0);
    wait_until("both shards serve", || observer.counter("shards_serving").get(&1) == Some(&2));
    observer.wait_until_settled(&keys);
    all_there(&cluster, &observer, &keys);
    let log = cluster.nodes[1].log();
    assert!(log.contains("it has ended the process: a page of an unknown kind"), "{log}");
    let aside = cluster.nodes[1].data_files(|path| path.ends_with("README.txt"));
    assert_eq!(aside.len(), 1, "it is kept for inspection: {aside:?}");
    assert!(cluster.nodes[1].stop().success(), "a clean stop");
    cluster.restart(1);
    cluster.wait_until_all_are_up(0);
    assert_eq!(cluster.nodes[1].data_files(|path| path.ends_with("README.txt")), aside, "once");
}

/// Returns a cluster of three nodes with two shards each, and keys that all of them have acknowledged.
pub(crate) fn filled() -> (Cluster, Observer, Vec<Key>) {
    let cluster = Cluster::start_with(|node| node.options = vec!["--shards=2".into()]);
    let observer = Observer::of(&cluster, 0);
    let keys: Vec<Key> = (0..300).map(|number| key("kept", number)).collect();
    let client = observer.runtime.block_on(cluster.client(0));
    observer.runtime.block_on(fill(&client, &keys, VALUE_BYTES, &patient_w(3)));
    (cluster, observer, keys)
}

/// Gets every key, which must have a value, through this client's node.
pub(crate) async fn find_all(client: &Client, keys: &[Key], r: u8) {
    for key in keys {
        let found = client.get(key).options(&patient_r(r)).await;
        let found = found.unwrap_or_else(|error| panic!("get of {}: {error}", shown(key)));
        assert_eq!(found.siblings().len(), 1, "{}", shown(key));
    }
}

/// Asserts that the second node of three finds all keys in its own files.
pub(crate) fn held_by_itself(cluster: &mut Cluster, observer: &Observer, keys: &[Key]) {
    cluster.kill(1);
    cluster.restart(1);
    cluster.wait_until_all_are_up(0);
    cluster.kill(0);
    cluster.kill(2);
    let own = observer.runtime.block_on(cluster.client(1));
    observer.runtime.block_on(find_all(&own, keys, 1));
}

/// Gets every key through each node with R of 1: whichever node answers must have it.
pub(crate) fn all_there(cluster: &Cluster, observer: &Observer, keys: &[Key]) {
    for index in 0..3 {
        observer.runtime.block_on(async {
            let client = cluster.client(index).await;
            for key in keys {
                let found = client.get(key).options(&r(1)).await;
                let found = found.unwrap_or_else(|error| panic!("get of {}: {error}", shown(key)));
                let value = found.values().find(|value| value.len() == VALUE_BYTES);
                assert!(value.is_some(), "{} is absent through n{}", shown(key), index + 1);
            }
        });
    }
}

/// Returns the findings of a diagnosis.
pub(crate) fn said_of_storage(cluster: &Cluster) -> Vec<String> {
    let said: Value = cluster.ask(0, "doctor --json").json();
    let findings = said["findings"].as_array().unwrap().iter();
    findings.map(|finding| finding["what"].as_str().unwrap().to_owned()).collect()
}
