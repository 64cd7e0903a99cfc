//! Data that is put back or cut off within one life of a node: copies taken while it ran, and journals that have
//! changed since it was killed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::cluster::{Cluster, wait_until};
use crate::lives::{Overtaken, copy, fast};
use crate::node::Node;
use crate::observer::{Observer, key};
use crate::requests::{fill, patient_w};

fn two_shards(node: &mut Node) {
    fast(node);
    node.options.push("--shards=2".into());
}

/// Waits until n3 has recorded its progress up to everything acknowledged before this call.
fn wait_for_a_tick(cluster: &Cluster, observer: &Observer) {
    let client = observer.runtime.block_on(cluster.client(0));
    let progress = cluster.nodes[2].folder.join("data/progress");
    let acknowledged = SystemTime::now();
    wait_until("n3 has come to another tick", || {
        // Without anything new there is no other tick.
        observer.runtime.block_on(fill(&client, &[key("ticking", 0)], 100, &patient_w(3)));
        fs::metadata(&progress).unwrap().modified().unwrap() > acknowledged
    });
}

/// Copies a node's folder while the node runs, as a snapshot of the file system would.
fn snapshot(node: &Node, from: &Path, to: &Path) {
    node.freeze();
    copy(from, to);
    node.thaw();
}

#[test]
fn a_copy_taken_while_the_node_ran_and_put_back_after_a_kill_of_the_same_life_brings_nothing_back()
{
    let mut cluster = Cluster::start_with(fast);
    let observer = Observer::of(&cluster, 0);
    let data = cluster.nodes[2].folder.join("data");
    let keys = Overtaken::put(&cluster, &observer);
    snapshot(&cluster.nodes[2], &data, &cluster.path("backup"));
    keys.overtake(&cluster, &observer);
    cluster.kill(2);
    fs::remove_dir_all(&data).unwrap();
    copy(&cluster.path("backup"), &data);
    cluster.restart(2);
    cluster.wait_until_all_are_up(0);
    let log = cluster.nodes[2].log();
    assert!(log.contains("the data directory is an earlier copy"), "{log}");
    keys.assert_safe(&cluster, &observer);

    // A kill alone leaves a directory that is up to date.
    wait_for_a_tick(&cluster, &observer);
    cluster.kill(2);
    cluster.restart(2);
    cluster.wait_until_all_are_up(0);
    keys.assert_safe(&cluster, &observer);
    assert_eq!(fs::read_dir(data.join("set-aside")).unwrap().count(), 1);
}

#[test]
fn one_shards_folder_of_the_same_life_that_is_put_back_is_set_aside_alone() {
    let mut cluster = Cluster::start_with(two_shards);
    let observer = Observer::of(&cluster, 0);
    let shard = cluster.nodes[2].folder.join("data/shard-1");
    let keys = Overtaken::put(&cluster, &observer);
    snapshot(&cluster.nodes[2], &shard, &cluster.path("backup"));
    keys.overtake(&cluster, &observer);
    wait_for_a_tick(&cluster, &observer);
    cluster.kill(2);
    fs::remove_dir_all(&shard).unwrap();
    copy(&cluster.path("backup"), &shard);
    assert_shard_1_is_set_aside(&mut cluster, &keys, &observer);
}

/// Starts n3 and asserts that its second shard is set aside, with the right report, and that no data is lost.
fn assert_shard_1_is_set_aside(cluster: &mut Cluster, keys: &Overtaken, observer: &Observer) {
    cluster.restart(2);
    cluster.wait_until_all_are_up(0);
    let log = cluster.nodes[2].log();
    let said: Vec<&str> =
        log.lines().filter(|line| line.contains("the shard's files are an earlier copy")).collect();
    assert!(matches!(said[..], [line] if line.contains("shard=1")), "{said:?}");
    keys.assert_safe(cluster, observer);
    let found = cluster.ask(0, "doctor").stdout;
    assert!(found.contains("note: shard 1 of n3 was an earlier copy"), "{found}");
}

/// Returns the journal's segments of a stopped shard.
fn segments(shard: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(shard.join("journal")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|ending| ending == "journal")).collect()
}

/// Kills n3 and applies `spoil` to its second shard's journal, whose later writes the engine does not have.
fn spoiled_journal(spoil: impl Fn(&Path)) {
    let mut cluster = Cluster::start_with(two_shards);
    let observer = Observer::of(&cluster, 0);
    let keys = Overtaken::put(&cluster, &observer);
    assert!(cluster.nodes[2].stop().success(), "what was put is in the engine");
    cluster.restart(2);
    cluster.wait_until_all_are_up(0);
    keys.overtake(&cluster, &observer);
    wait_for_a_tick(&cluster, &observer);
    cluster.kill(2);
    let segments = segments(&cluster.nodes[2].folder.join("data/shard-1"));
    assert!(!segments.is_empty());
    segments.iter().for_each(|segment| spoil(segment));
    assert_shard_1_is_set_aside(&mut cluster, &keys, &observer);
}

#[test]
fn a_journal_that_is_removed_after_a_kill_costs_its_shard_and_brings_nothing_back() {
    spoiled_journal(|segment| fs::remove_file(segment).unwrap());
}

#[test]
fn a_journal_that_is_emptied_after_a_kill_costs_its_shard_and_brings_nothing_back() {
    spoiled_journal(|segment| drop(File::create(segment).unwrap()));
}

#[test]
fn a_journal_that_is_cut_in_half_after_a_kill_costs_its_shard_and_brings_nothing_back() {
    spoiled_journal(|segment| {
        let file = File::options().write(true).open(segment).unwrap();
        file.set_len(file.metadata().unwrap().len() / 2).unwrap();
    });
}
