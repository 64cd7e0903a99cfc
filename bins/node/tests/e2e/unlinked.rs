//! Files that are removed under a running node: the node reports it, and no acknowledged write is lost.

use std::fs;

use jedlik_protocol::Key;

use crate::cluster::{Cluster, wait_until};
use crate::observer::{Observer, key};
use crate::requests::{ByKey, fill, patient_w, r, shown};

/// Returns the findings of `doctor` about files that are gone.
fn told(cluster: &Cluster) -> Vec<String> {
    let said = cluster.ask(0, "doctor --json").json();
    let findings = said["findings"].as_array().unwrap().iter();
    let found = findings.map(|finding| finding["what"].as_str().unwrap().to_owned());
    found.filter(|what| what.contains("was removed or replaced under the running node")).collect()
}

fn all_there(cluster: &Cluster, observer: &Observer, keys: &[Key]) {
    observer.runtime.block_on(async {
        let client = cluster.client(0).await;
        for key in keys {
            let found = client.get(key).options(&r(2)).await;
            let found = found.unwrap_or_else(|error| panic!("get of {}: {error}", shown(key)));
            assert_eq!(found.siblings().len(), 1, "{}", shown(key));
        }
    });
}

#[test]
fn files_that_are_removed_under_a_running_node_are_told_of_and_refilled_after_a_restart() {
    let mut cluster = Cluster::start_with(|node| node.options = vec!["--shards=2".into()]);
    let observer = Observer::of(&cluster, 0);
    let client = observer.runtime.block_on(cluster.client(0));
    let keys = |from: usize| -> Vec<Key> { (from..from + 100).map(|n| key("kept", n)).collect() };
    observer.runtime.block_on(fill(&client, &keys(0), 300, &patient_w(3)));
    assert_eq!(told(&cluster), [""; 0]);

    let engine = cluster.nodes[1].engine_path(0);
    fs::remove_file(&engine).or_else(|_| fs::remove_dir_all(&engine)).unwrap();
    let engine = cluster.nodes[1].engine().file_name();
    wait_until("doctor names the shard and the file", || {
        let told = told(&cluster);
        told.len() == 1 && told[0].contains("shard 0 of n2") && told[0].contains(engine)
    });
    assert!(cluster.nodes[1].log().contains("was removed or replaced"));
    // Writers do without the node, and it goes on answering from the files that it has open.
    observer.runtime.block_on(fill(&client, &keys(100), 300, &patient_w(2)));
    all_there(&cluster, &observer, &keys(0));
    assert!(cluster.nodes[1].is_running());

    cluster.kill(1);
    cluster.restart(1);
    cluster.wait_until_all_are_up(0);
    wait_until("it is refilled", || {
        observer.counter("refilling_partitions").get(&1) == Some(&0) && told(&cluster).is_empty()
    });
    all_there(&cluster, &observer, &keys(0));
    all_there(&cluster, &observer, &keys(100));

    fs::remove_dir_all(cluster.nodes[1].folder.join("data")).unwrap();
    wait_until("doctor names both shards", || told(&cluster).len() == 2);
    cluster.kill(1);
    let seeds = cluster.seeds_but(1);
    let refused = cluster.nodes[1].start_in_vain(&seeds);
    assert_eq!(refused.code(), Some(1), "an empty directory is not taken for a lost one unasked");
    cluster.nodes[1].options.push("--new".into());
    cluster.restart(1);
    all_there(&cluster, &observer, &keys(100));
}
