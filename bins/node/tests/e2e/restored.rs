//! Parts of data directories that are put back, and what the node says of them.

use std::fs;

use jedlik_client::protocol::Key;
use jedlik_client::{GetOptions, PutOptions};

use crate::cluster::{Cluster, wait_until};
use crate::lives::{copy, fast};
use crate::observer::{Observer, is_gone, key};
use crate::requests::{fill, size, w};

#[test]
fn one_shards_folder_that_is_put_back_is_set_aside_alone_and_brings_nothing_back() {
    let mut cluster = Cluster::start_with(|node| {
        fast(node);
        node.options.push("--shards=2".into());
    });
    let observer = Observer::of(&cluster, 0);
    let client = observer.runtime.block_on(cluster.client(0));
    let count = size("JEDLIK_RESTORED_KEYS", 60);
    let replaced: Vec<Key> = (0..count).map(|number| key("replaced", number)).collect();
    let deleted: Vec<Key> = (0..count).map(|number| key("deleted", number)).collect();
    observer.runtime.block_on(fill(&client, &replaced, 100, &w(3)));
    observer.runtime.block_on(fill(&client, &deleted, 100, &w(3)));
    assert!(cluster.nodes[2].stop().success());
    let data = cluster.nodes[2].folder.join("data");
    copy(&data.join("shard-1"), &cluster.path("backup"));
    cluster.restart(2);
    cluster.wait_until_all_are_up(0);

    observer.runtime.block_on(fill(&client, &replaced, 200, &w(3)));
    for key in &deleted {
        observer.runtime.block_on(async {
            let found = client.get(key, &GetOptions::default()).await.unwrap();
            let follows = PutOptions { context: found.context, ..w(3) };
            client.delete(key, &follows).await.unwrap();
        });
    }
    wait_until("tombstones are collected", || {
        let explained = observer.explain(&deleted);
        explained.len() == count && explained.values().all(is_gone)
    });

    assert!(cluster.nodes[2].stop().success());
    fs::remove_dir_all(data.join("shard-1")).unwrap();
    copy(&cluster.path("backup"), &data.join("shard-1"));
    cluster.restart(2);
    cluster.wait_until_all_are_up(0);
    let log = cluster.nodes[2].log();
    let said: Vec<&str> =
        log.lines().filter(|line| line.contains("the shard's files are an earlier copy")).collect();
    assert!(matches!(said[..], [line] if line.contains("shard=1")), "{said:?}");
    observer.runtime.block_on(fill(&client, &replaced, 300, &w(2)));
    observer.wait_until_settled(&replaced);
    observer.wait_until_settled(&deleted);
    for (key, lengths) in observer.lengths(&replaced) {
        let wanted = [100, 200, 300].iter().all(|length| lengths.contains(length));
        assert!(wanted, "{key:?}: an acknowledged value is missing from {lengths:?}");
    }
    assert!(observer.explain(&deleted).values().all(is_gone), "deleted data is back");

    // Every node says so, the others by gossip; and that the node is refilled, until it is.
    wait_until("it is refilled, and status at another node says so", || {
        let status = cluster.ask(1, "cluster status --json").json();
        let member = status["members"].as_array().unwrap().iter().find(|m| m["name"] == "n3");
        let member = member.unwrap();
        member["refilling"] == 0 && member["set_aside_shards"] == serde_json::json!([1])
    });
    let status = cluster.ask(0, "cluster status").stdout;
    assert!(status.contains("n3: the files of shards 1 were set aside"), "{status}");
    let found = cluster.ask(0, "doctor").stdout;
    assert!(found.contains("note: shard 1 of n3 was an earlier copy"), "{found}");
    let aside = fs::read_dir(data.join("set-aside")).unwrap().next().unwrap().unwrap().path();
    assert!(aside.join("shard-1/records.redb").exists() && !aside.join("shard-0").exists());

    // The next start finds nothing to set aside.
    assert!(cluster.nodes[2].stop().success());
    cluster.restart(2);
    assert_eq!(fs::read_dir(data.join("set-aside")).unwrap().count(), 1);
}
