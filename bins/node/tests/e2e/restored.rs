//! Parts of data directories that are put back, and the node's reports of them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use jedlik_protocol::Key;
use serde_json::Value;

use crate::cluster::{Cluster, wait_until, wait_until_ok};
use crate::lives::{Overtaken, copy, fast};
use crate::observer::{Observer, key};
use crate::requests::{fill, size, w};
use crate::tools::{Said, run, tool};

#[test]
fn one_shards_folder_that_is_put_back_is_set_aside_alone_and_brings_nothing_back() {
    let mut cluster = Cluster::start_with(|node| {
        fast(node);
        node.options.push("--shards=2".into());
    });
    let observer = Observer::of(&cluster, 0);
    let data = cluster.nodes[2].folder.join("data");
    let keys = Overtaken::put_back(&mut cluster, &observer, &data.join("shard-1"));
    cluster.restart(2);
    cluster.wait_until_all_are_up(0);
    let log = cluster.nodes[2].log();
    let said: Vec<&str> =
        log.lines().filter(|line| line.contains("the shard's files are an earlier copy")).collect();
    assert!(matches!(said[..], [line] if line.contains("shard=1")), "{said:?}");
    keys.assert_safe(&cluster, &observer);

    // Every node reports it, the others from gossip; and that the node is refilling, until it is done.
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

    inspect(&cluster, &aside, &keys.deleted);

    // The next start finds nothing to set aside.
    assert!(cluster.nodes[2].stop().success());
    cluster.restart(2);
    assert_eq!(fs::read_dir(data.join("set-aside")).unwrap().count(), 1);
}

/// Asserts that the shard set aside can be listed, dumped, and loaded again.
fn inspect(cluster: &Cluster, aside: &Path, deleted: &[Key]) {
    let engine = cluster.nodes[2].engine().file_name();
    assert!(aside.join("shard-1").join(engine).exists() && !aside.join("shard-0").exists());
    let look = |form: &str| {
        let said = run(tool("jedlik-node").arg("inspect-set-aside").arg(aside).arg(form)).ok();
        assert!(said.stderr.contains("0 rows fail their checksums"), "{}", said.stderr);
        said.stdout
    };
    let lines: Vec<Value> =
        look("--json").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (bucket, of) =
        (deleted[0].bucket(), |line: &&Value| line["key"].as_str().unwrap().to_owned());
    let is_deleted = |line: &&Value| deleted.iter().any(|key| **key.key() == *of(line).as_bytes());
    let one = lines.iter().find(is_deleted).expect("a copy of before");
    let bucket = str::from_utf8(bucket).unwrap();
    assert_eq!(one["versions"].as_array().unwrap().len(), 1, "{one}");
    assert_eq!(one["versions"][0]["value"].as_str().unwrap().len(), 100);
    let (dump, key) = (cluster.path("missed.ndjson"), one["key"].as_str().unwrap());
    fs::write(&dump, look("--dump")).unwrap();
    let is_absent = |key: &str| run(cluster.jedlik(0).args(["get", bucket, key])).code != 0;
    assert!(is_absent(key), "it was deleted");
    run(cluster.jedlik(0).args(["load", "--all"]).arg(&dump)).ok();
    assert!(!is_absent(key), "it was loaded again");
}

/// Makes the next start of a node use its data directory as it is, with the command that the manual names.
fn believe(cluster: &Cluster, index: usize) -> Said {
    let mut command = tool("jedlik-node");
    let config = cluster.nodes[index].folder.join("node.toml");
    run(command.arg("believe-copy").arg("--config").arg(config).arg("--accept-loss"))
}

/// Copies each node's directory, with writes and starts in between: writes after the first copy are in the two later
/// ones, writes after the second in the last alone.
fn copy_one_after_the_other(
    cluster: &mut Cluster,
    observer: &Observer,
    before: &[Key],
    written: &[Vec<Key>; 3],
) {
    for (index, written) in written.iter().enumerate() {
        assert!(cluster.nodes[index].stop().success());
        copy(&cluster.nodes[index].folder.join("data"), &cluster.path(format!("backup-{index}")));
        cluster.restart(index);
        cluster.wait_until_all_are_up(1);
        let client = observer.runtime.block_on(cluster.client(index));
        observer.runtime.block_on(fill(&client, before, 200 + index, &w(3)));
        observer.runtime.block_on(fill(&client, written, 100, &w(3)));
    }
}

#[test]
fn a_cluster_put_back_from_copies_of_different_moments_serves_all_that_any_of_them_holds() {
    let mut cluster = Cluster::start_with(fast);
    let observer = Observer::of(&cluster, 0);
    let client = observer.runtime.block_on(cluster.client(0));
    let count = size("JEDLIK_RESTORED_KEYS", 40);
    let keys = |name: &str| -> Vec<Key> { (0..count).map(|number| key(name, number)).collect() };
    let before = keys("before");
    observer.runtime.block_on(fill(&client, &before, 100, &w(3)));
    let written = ["after-one", "after-two", "after-all"].map(keys);
    copy_one_after_the_other(&mut cluster, &observer, &before, &written);
    let last = cluster.nodes[0].folder.join("node.toml");
    let without = run(tool("jedlik-node").arg("believe-copy").arg("--config").arg(&last));
    assert!(without.code == 2 && without.stderr.contains("--accept-loss"), "{without:?}");
    let running = believe(&cluster, 0);
    assert!(running.code == 1 && running.stderr.contains("in use"), "{running:?}");

    // These are the steps of the manual's page: stop all, put all copies back, believe each, start all, repair.
    for node in &mut cluster.nodes {
        assert!(node.stop().success());
    }
    for (index, node) in cluster.nodes.iter().enumerate() {
        let data = node.folder.join("data");
        fs::remove_dir_all(&data).unwrap();
        copy(&cluster.path(format!("backup-{index}")), &data);
        let said = believe(&cluster, index).ok().stdout;
        assert!(said.contains("the next start uses"), "{said}");
    }
    // The newest comes last: the older ones serve before it tells what it remembers of them.
    for index in 0..3 {
        cluster.restart(index);
    }
    cluster.wait_until_all_are_up(0);
    // Comparisons that a busy node does not answer in time are reported, and the repair is repeated.
    wait_until_ok("a repair has compared everything", || run(cluster.admin(0).arg("repair")));
    let [after_one, after_two, after_all] = &written;
    let kept: Vec<Key> = [&before[..], &after_one[..], &after_two[..]].concat();
    observer.wait_until_settled(&kept);
    let held = observer.lengths(&kept);
    let shown =
        |key: &Key, length: u32| held.get(key).is_some_and(|lengths| lengths.contains(&length));
    for key in after_one.iter().chain(after_two) {
        assert!(shown(key, 100), "{key:?} is in a copy, and in no answer");
    }
    for key in &before {
        assert!(shown(key, 201), "{key:?}: the newest copy's value is missing");
    }
    let lost = observer.lengths(after_all);
    assert!(lost.values().all(BTreeSet::is_empty), "what no copy holds is gone: {lost:?}");

    // No shard was set aside, no identity is disputed, and no dot names two writes: new puts merge with the stored
    // records.
    let status = cluster.ask(0, "cluster status").stdout;
    assert!(!status.contains("two processes") && !status.contains("set aside"), "{status}");
    let client = observer.runtime.block_on(cluster.client(0));
    observer.runtime.block_on(fill(&client, &kept, 300, &w(3)));
    observer.wait_until_settled(&kept);
    for (key, lengths) in observer.lengths(&kept) {
        assert!(
            lengths.contains(&300),
            "{key:?}: an acknowledged value is missing from {lengths:?}"
        );
    }
}
