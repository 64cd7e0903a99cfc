//! Directories that are empty, copied, put back or cloned: a node finds out what it lacks before it serves.

use std::fs;
use std::path::Path;
use std::process::Command;

use jedlik_protocol::Key;

use crate::cluster::{Cluster, wait_until};
use crate::deletes::FAST_LINKS;
use crate::node::Node;
use crate::observer::{Observer, is_gone, is_held, key};
use crate::requests::{ByKey, fill, patient_w, size, w};

const FAILED: i32 = 1;

/// Copies a folder with everything in it.
pub(crate) fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(copied.success(), "{from:?} can't be copied");
}

pub(crate) fn fast(node: &mut Node) {
    // A short lifetime lets tombstones be collected within the test.
    node.options.push("--limits-message-life-ms=300".into());
    node.options.push(FAST_LINKS.into());
    node.options.push("--background-exchange-interval-s=1".into());
    node.options.push("--background-scrub-interval-s=2".into());
}

#[test]
fn an_empty_directory_of_a_node_that_the_cluster_remembers_is_refused_unless_it_is_said_to_be_new()
{
    let mut cluster = Cluster::start();
    let observer = Observer::of(&cluster, 0);
    let keys: Vec<Key> = (0..50).map(|number| key("kept", number)).collect();
    let client = observer.runtime.block_on(cluster.client(0));
    observer.runtime.block_on(fill(&client, &keys, 100, &w(3)));
    assert!(cluster.nodes[2].stop().success());
    let data = cluster.nodes[2].folder.join("data");
    fs::rename(&data, cluster.path("unmounted")).unwrap();
    let seeds = cluster.seeds_but(2);
    // The start is tried twice, since the first one might leave files; the disk is as a new file system.
    for time in 0..2 {
        fs::create_dir_all(data.join("lost+found")).unwrap();
        let status = cluster.nodes[2].start_in_vain(&seeds);
        assert_eq!(status.code(), Some(FAILED), "time {time}");
        let log = cluster.nodes[2].log();
        let said = log.lines().last().unwrap_or_default();
        assert!(said.contains("is empty, but the cluster remembers this node"), "{said}");
        assert!(said.contains("--new"), "{said}");
        let left = fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().file_name());
        assert_eq!(
            left.collect::<Vec<_>>(),
            ["lost+found"],
            "nothing is left in what may be a mount point"
        );
    }
    // The disk was not mounted: nothing has happened to the node's data.
    fs::remove_dir_all(&data).unwrap();
    fs::rename(cluster.path("unmounted"), &data).unwrap();
    cluster.restart(2);
    observer.wait_until_settled(&keys);
    assert!(!data.join("set-aside").exists());

    cluster.kill(2);
    cluster.nodes[2].lose_disk();
    cluster.restart(2);
    observer.wait_until_settled(&keys);
    // With the same options the node goes on with the data it has.
    assert!(cluster.nodes[2].stop().success());
    cluster.restart(2);
    observer.wait_until_settled(&keys);
    assert!(!data.join("set-aside").exists());
}

/// Keys of which an earlier copy has other values than were acknowledged later.
pub(crate) struct Overtaken {
    pub(crate) replaced: Vec<Key>,
    pub(crate) deleted: Vec<Key>,
}

impl Overtaken {
    /// Copies a folder of n3 while it is stopped, replaces and deletes the keys in it, waits for the collection of
    /// their tombstones, and puts the copy back; n3 is stopped at the end.
    pub(crate) fn put_back(cluster: &mut Cluster, observer: &Observer, folder: &Path) -> Self {
        let keys = Self::put(cluster, observer);
        assert!(
            cluster.nodes[2].stop().success(),
            "a clean stop, so that the copy says it is clean"
        );
        copy(folder, &cluster.path("backup"));
        cluster.restart(2);
        cluster.wait_until_all_are_up(0);
        keys.overtake(cluster, observer);

        assert!(cluster.nodes[2].stop().success());
        fs::remove_dir_all(folder).unwrap();
        copy(&cluster.path("backup"), folder);
        keys
    }

    /// Puts all keys, each on all three nodes.
    pub(crate) fn put(cluster: &Cluster, observer: &Observer) -> Self {
        let client = observer.runtime.block_on(cluster.client(0));
        let count = size("JEDLIK_RESTORED_KEYS", 60);
        let replaced: Vec<Key> = (0..count).map(|number| key("replaced", number)).collect();
        let deleted: Vec<Key> = (0..count).map(|number| key("deleted", number)).collect();
        observer.runtime.block_on(fill(&client, &replaced, 100, &patient_w(3)));
        observer.runtime.block_on(fill(&client, &deleted, 100, &patient_w(3)));
        Self { replaced, deleted }
    }

    /// Replaces and deletes the keys, and waits until their tombstones are collected.
    pub(crate) fn overtake(&self, cluster: &Cluster, observer: &Observer) {
        let Self { replaced, deleted } = self;
        let client = observer.runtime.block_on(cluster.client(0));
        observer.runtime.block_on(fill(&client, replaced, 200, &patient_w(3)));
        for key in deleted {
            observer.runtime.block_on(async {
                let found = client.get(key).await.unwrap();
                let follows = patient_w(3);
                client.delete(key).context(found.context()).options(&follows).await.unwrap();
            });
        }
        wait_until("tombstones are collected", || {
            let explained = observer.explain(deleted);
            explained.len() == deleted.len() && explained.values().all(is_gone)
        });
    }

    /// Asserts that every acknowledged value is there, beside one that is put now, and that deleted keys stay absent.
    pub(crate) fn assert_safe(&self, cluster: &Cluster, observer: &Observer) {
        let Self { replaced, deleted } = self;
        let client = observer.runtime.block_on(cluster.client(0));
        observer.runtime.block_on(fill(&client, replaced, 300, &patient_w(2)));
        observer.wait_until_settled(replaced);
        observer.wait_until_settled(deleted);
        for (key, lengths) in observer.lengths(replaced) {
            let wanted = [100, 200, 300].iter().all(|length| lengths.contains(length));
            assert!(wanted, "{key:?}: an acknowledged value is missing from {lengths:?}");
        }
        wait_until("all owners say what they hold of deleted keys", || {
            let explained = observer.explain(deleted);
            for (key, explained) in &explained {
                assert!(!is_held(explained), "{key:?} was deleted and is back: {explained:?}");
            }
            explained.len() == deleted.len() && explained.values().all(is_gone)
        });
    }
}

#[test]
fn a_copy_put_back_as_it_is_neither_hides_what_was_written_since_nor_brings_back_what_was_deleted()
{
    let mut cluster = Cluster::start_with(fast);
    let observer = Observer::of(&cluster, 0);
    let data = cluster.nodes[2].folder.join("data");
    let client = observer.runtime.block_on(cluster.client(0));
    let kept: Vec<Key> = (0..500).map(|number| key("kept", number)).collect();
    observer.runtime.block_on(fill(&client, &kept, 1_000, &patient_w(3)));
    let keys = Overtaken::put_back(&mut cluster, &observer, &data);
    cluster.restart(2);
    cluster.wait_until_all_are_up(0);
    let log = cluster.nodes[2].log();
    assert!(log.contains("the data directory is an earlier copy"), "{log}");
    keys.assert_safe(&cluster, &observer);
    observer.wait_until_settled(&kept);
    // Data that nobody has changed since was in the copy, and need not be sent.
    let over = "the earlier copy is not needed any more";
    wait_until("the copy was of use", || {
        let log = cluster.nodes[2].log();
        log.lines().any(|line| line.contains(over) && !line.contains("records=0 "))
    });
    let aside = fs::read_dir(data.join("set-aside")).unwrap().next().unwrap().unwrap().path();
    let engine = cluster.nodes[2].engine().file_name();
    assert!(aside.join("README.txt").exists() && aside.join("shard-0").join(engine).exists());
}

#[test]
fn a_cloned_node_is_noticed_within_seconds_and_nothing_acknowledged_is_lost() {
    let mut cluster = Cluster::start();
    let observer = Observer::of(&cluster, 0);
    let client = observer.runtime.block_on(cluster.client(0));
    let keys: Vec<Key> = (0..200).map(|number| key("cloned", number)).collect();
    observer.runtime.block_on(fill(&client, &keys, 100, &w(2)));
    // The machine is cloned: with its certificate, and with its data as it is while the node runs.
    let mut clone = Node::new(cluster.path("clone"), "n3");
    copy(&cluster.nodes[2].folder, &clone.folder);
    fs::remove_file(clone.folder.join("log")).unwrap();
    observer.runtime.block_on(fill(&client, &keys, 200, &w(2)));
    clone.start(&cluster.seeds_but(2));
    observer.runtime.block_on(fill(&client, &keys, 300, &w(2)));

    let (real, other) = (cluster.nodes[2].address.unwrap(), clone.address.unwrap());
    for index in [0, 1] {
        wait_until("every node says that there are two", || {
            let said = cluster.ask(index, "cluster status").stdout;
            said.contains("n3 is two processes")
                && said.contains(&real.to_string())
                && said.contains(&other.to_string())
        });
    }
    let found = cluster.ask(0, "doctor").stdout;
    assert!(found.contains("two processes run or have run under n3's identity"), "{found}");
    for node in [&cluster.nodes[2], &clone] {
        wait_until("both log it", || node.log().contains("neither carries out"));
    }
    observer.runtime.block_on(fill(&client, &keys, 400, &w(2)));

    // Nobody can say for how long a process that starts again was down: its directory remembers.
    let data = cluster.nodes[2].folder.join("data");
    wait_until("the others have said for how long it was out", || {
        fs::read_to_string(data.join("node.toml")).unwrap().contains("outlived = false")
    });
    cluster.kill(2);
    cluster.restart(2);
    let keep = format!("node keep n3 --address {real}");
    wait_until("it takes the decision, once another node has answered it", || {
        cluster.ask(0, &keep).code == 0
    });
    assert_eq!(clone.wait_for_end().code(), Some(FAILED), "{}", clone.log());
    assert_eq!(clone.start_in_vain(&cluster.seeds_but(2)).code(), Some(FAILED));
    cluster.wait_until_all_are_up(0);
    observer.runtime.block_on(fill(&client, &keys, 500, &w(3)));
    observer.wait_until_settled(&keys);
    for (key, lengths) in observer.lengths(&keys) {
        let wanted = [100, 200, 300, 400, 500].iter().all(|length| lengths.contains(length));
        assert!(wanted, "{key:?}: an acknowledged value is missing from {lengths:?}");
    }
    assert!(!cluster.ask(0, "cluster status").stdout.contains("n3 is two processes"));
    assert!(!data.join("set-aside").exists(), "it was out for moments");
}

#[test]
fn a_disk_that_stalls_while_a_clone_is_to_be_noted_holds_up_neither_gossip_nor_the_admins_answer() {
    let cluster = Cluster::start();
    let mut clone = Node::new(cluster.path("clone"), "n3");
    copy(&cluster.nodes[2].folder, &clone.folder);
    fs::remove_file(clone.folder.join("log")).unwrap();
    // A pipe without a reader can't be opened for writing.
    let pipe = cluster.nodes[2].folder.join("data/node.toml.new");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    clone.start(&cluster.seeds_but(2));
    let real = cluster.nodes[2].address.unwrap();
    wait_until("it logs that there are two, and tells the others", || {
        cluster.nodes[2].log().contains("neither carries out")
            && cluster.ask(2, "cluster status").stdout.contains("n3 is two processes")
            && cluster.ask(0, "cluster status").stdout.contains("n3 is two processes")
    });
    // The node's membership answers this, and nothing else does.
    cluster.ask(2, &format!("node keep n3 --address {real}")).ok();
    assert!(!cluster.nodes[2].log().contains("starting again"), "before it is noted");

    let reader = fs::File::open(&pipe).unwrap();
    fs::remove_file(&pipe).unwrap();
    assert_eq!(clone.wait_for_end().code(), Some(FAILED), "{}", clone.log());
    drop(reader);
    wait_until("it has begun another life", || cluster.nodes[2].log().contains("starting again"));
    cluster.wait_until_all_are_up(0);
    wait_until("there is one", || {
        !cluster.ask(0, "cluster status").stdout.contains("n3 is two processes")
    });
}

#[test]
fn quick_restarts_and_one_at_another_address_are_taken_for_no_second_process() {
    let mut cluster = Cluster::start();
    let observer = Observer::of(&cluster, 0);
    let client = observer.runtime.block_on(cluster.client(0));
    let keys: Vec<Key> = (0..60).map(|number| key("kept", number)).collect();
    let fill = |length| observer.runtime.block_on(fill(&client, &keys, length, &patient_w(2)));
    fill(100);
    let earlier = cluster.nodes[2].address.unwrap();
    for restart in 1..=4 {
        // The last two have addresses of their own, after a kill and after a clean stop.
        if restart == 4 {
            assert!(cluster.nodes[2].stop().success());
        } else {
            cluster.kill(2);
        }
        if restart > 2 {
            cluster.nodes[2].address = None;
        }
        cluster.restart(2);
        fill(100 + restart);
        cluster.wait_until_all_are_up(0);
    }
    let address = cluster.nodes[2].address.unwrap();
    assert_ne!(address, earlier);
    wait_until("all know where it is now", || {
        [0, 1].iter().all(|index| {
            let status = cluster.status(*index);
            let mut members = status["members"].as_array().unwrap().iter();
            members
                .any(|member| member["address"] == address.to_string() && member["alive"] == true)
        })
    });
    observer.wait_until_settled(&keys);
    // The profile of n3 has its earlier address.
    for index in [0, 1] {
        let status = cluster.ask(index, "cluster status").ok().stdout;
        assert!(!status.contains("two processes"), "{status}");
    }
    for index in 0..3 {
        assert!(!cluster.nodes[index].log().contains("neither carries out"));
    }
    assert!(!cluster.nodes[2].folder.join("data/set-aside").exists());
    // The node coordinates puts: those made through all three nodes, a third of them through this one, are accepted.
    let fresh = observer.runtime.block_on(cluster.client(0));
    let strict = patient_w(3).pw(3);
    observer.runtime.block_on(crate::requests::fill(&fresh, &keys, 200, &strict));
    for (key, lengths) in observer.lengths(&keys) {
        let wanted = [100, 101, 102, 103, 104, 200];
        let missing = wanted.iter().any(|length| !lengths.contains(length));
        assert!(!missing, "{key:?}: an acknowledged value is missing from {lengths:?}");
    }
}
