//! A small disk that outlives the processes on it: what is left on a full disk when its node is killed, and what a
//! read-only or a frozen disk costs.
//!
//! Tests that mount a file need root, and are skipped for other users. Those that mount memory are skipped where nobody
//! may make a namespace of users. In CI, with root, none may be skipped.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use jedlik_client::Client;
use jedlik_protocol::Key;

use crate::cluster::{Cluster, wait_until};
use crate::node::Node;
use crate::observer::{Observer, key};
use crate::refusals::can_mount;
use crate::requests::{ByKey, fill, patient_r, patient_w, shown};
use crate::tools::leave_out;

/// Shell script that mounts a small disk in a private mount namespace, and keeps it until its input ends.
const HOLD: &str = "mount -t tmpfs -o size=\"$1\"m tmpfs \"$2\" && echo mounted && cat >/dev/null";
/// Amount of data that the node holds in its journals alone, not yet in its engines.
const JOURNALLED_BYTES: usize = 3 << 20;
const VALUE_BYTES: usize = 16 << 10;

struct HeldDisk {
    holder: Child,
    path: PathBuf,
}

impl HeldDisk {
    fn mount(path: &Path, size_mb: u32) -> Self {
        fs::create_dir_all(path).unwrap();
        let mut holder = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", HOLD, "sh"])
            .arg(size_mb.to_string())
            .arg(path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(holder.stdout.as_mut().unwrap()).read_line(&mut said).unwrap();
        assert_eq!(said.trim(), "mounted");
        Self { holder, path: path.to_path_buf() }
    }

    /// Returns the path of a file on the disk, as processes outside its namespace can open it.
    fn file(&self, name: &str) -> PathBuf {
        let pid = self.holder.id();
        PathBuf::from(format!("/proc/{pid}/root{}", self.path.display())).join(name)
    }

    /// Fills the disk to the last byte.
    fn fill(&self) {
        let mut filler = File::create(self.file("filler")).unwrap();
        for length in [1 << 16, 1 << 12] {
            while filler.write_all(&vec![1; length]).is_ok() {}
        }
    }

    fn empty(&self) {
        fs::remove_file(self.file("filler")).unwrap();
    }
}

impl Drop for HeldDisk {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        // The holder may have ended by itself.
        let _ = self.holder.wait();
    }
}

#[test]
fn a_node_killed_on_a_full_disk_with_a_journal_to_replay_starts_serves_reads_and_heals() {
    if !can_mount() {
        leave_out("this system lets nobody mount a small disk in a namespace");
        return;
    }
    let mut disk = None;
    let mut cluster = Cluster::start_with(|node| {
        node.options = ["journal", "buffer"]
            .map(|limit| format!("--storage-{limit}-bytes={}", 16 * JOURNALLED_BYTES))
            .into();
    });
    // A node that already has a data directory only sees another mount on it.
    assert!(cluster.nodes[2].stop().success());
    let data = cluster.nodes[2].folder.join("data");
    let disk = disk.insert(HeldDisk::mount(&data, 48));
    cluster.nodes[2].mounts_of = Some(disk.holder.id());
    cluster.nodes[2].options.push("--new".into());
    cluster.restart(2);
    cluster.wait_until_all_are_up(0);
    let observer = Observer::of(&cluster, 0);
    let client = observer.runtime.block_on(cluster.client(0));
    let keys: Vec<Key> =
        (0..JOURNALLED_BYTES / VALUE_BYTES).map(|number| key("kept", number)).collect();
    let strict = patient_w(3).pw(3);
    observer.runtime.block_on(fill(&client, &keys, VALUE_BYTES, &strict));
    wait_until("it can say what is absent", || {
        observer.counter("refilling_partitions").get(&2) == Some(&0)
    });

    disk.fill();
    let late: Vec<Key> = (0..40).map(|number| key("late", number)).collect();
    observer.runtime.block_on(fill(&client, &late, VALUE_BYTES, &patient_w(2)));
    for _ in 0..2 {
        cluster.kill(2);
        cluster.restart(2);
        cluster.wait_until_all_are_up(0);
        let own = observer.runtime.block_on(cluster.client(2));
        observer.runtime.block_on(async {
            for key in &keys {
                let found = own.get(key).options(&patient_r(3)).await;
                let found = found.unwrap_or_else(|error| panic!("get of {}: {error}", shown(key)));
                assert_eq!(found.siblings().len(), 1, "{}", shown(key));
            }
        });
        wait_until("doctor says what is wrong with its disk", || {
            let said = cluster.ask(0, "doctor").stdout;
            said.contains("the disk of n3 is full")
        });
    }
    disk.empty();
    let all = [keys, late].concat();
    wait_until("doctor has nothing to say of its disk", || {
        !cluster.ask(0, "doctor").stdout.contains("is full")
    });
    observer.wait_until_settled(&all);
    assert!(cluster.nodes[2].stop().success(), "a clean stop");
    cluster.restart(2);
    observer.wait_until_settled(&all);
}

/// Shell script that makes a file system in a file, mounts it in a private namespace, and keeps it until its input
/// ends.
const HOLD_FILE: &str = "truncate -s 64M \"$1\" && mkfs.ext4 -q -F \"$1\" \
    && mount -o loop,errors=remount-ro \"$1\" \"$2\" && findmnt -no SOURCE \"$2\" && cat >/dev/null";
/// Shell script that unmounts the file system, repairs it, and mounts it again.
const MEND_FILE: &str =
    "umount \"$2\" && fsck.ext4 -fy \"$1\" >/dev/null; mount -o loop \"$1\" \"$2\"";

/// Mounts a file as a disk and returns the holder and the device's name; `None` if this user may not mount files.
fn mount_file(file: &Path, on: &Path) -> Option<(Child, String)> {
    fs::create_dir_all(on).unwrap();
    let mut holder = Command::new("unshare")
        .args(["--mount", "sh", "-c", HOLD_FILE, "sh"])
        .args([file, on])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut said = String::new();
    BufReader::new(holder.stdout.as_mut().unwrap()).read_line(&mut said).unwrap();
    match said.trim().strip_prefix("/dev/") {
        Some(device) => Some((holder, device.to_owned())),
        None => {
            holder.wait().unwrap();
            None
        }
    }
}

#[test]
fn a_disk_that_turns_read_only_under_a_node_costs_that_nodes_copies_and_is_named() {
    let mut cluster = Cluster::start();
    assert!(cluster.nodes[2].stop().success());
    let (file, data) = (cluster.path("disk"), cluster.nodes[2].folder.join("data"));
    let Some((mut holder, device)) = mount_file(&file, &data) else {
        leave_out("this system lets nobody mount a file system from a file");
        return;
    };
    let process = holder.id().to_string();
    cluster.nodes[2].mounts_of = Some(holder.id());
    cluster.nodes[2].options.push("--new".into());
    cluster.restart(2);
    cluster.wait_until_all_are_up(0);
    let observer = Observer::of(&cluster, 0);
    let client = observer.runtime.block_on(cluster.client(0));
    let keys: Vec<Key> = (0..30).map(|number| key("kept", number)).collect();
    let strict = patient_w(3).pw(3);
    observer.runtime.block_on(fill(&client, &keys, 100, &strict));

    fs::write(format!("/sys/fs/ext4/{device}/trigger_fs_error"), "1").unwrap();
    let late: Vec<Key> = (0..30).map(|number| key("late", number)).collect();
    wait_until("doctor says what is wrong with its disk", || {
        observer.runtime.block_on(fill(&client, &late, 100, &patient_w(2)));
        let said = cluster.ask(0, "doctor").stdout;
        said.contains("n3") && said.contains("ead-only")
    });
    let own = observer.runtime.block_on(cluster.client(2));
    observer.runtime.block_on(async {
        for key in keys.iter().chain(&late) {
            let found = own.get(key).options(&patient_r(2)).await;
            let found = found.unwrap_or_else(|error| panic!("get of {}: {error}", shown(key)));
            assert!(!found.siblings().is_empty(), "{}", shown(key));
        }
    });
    let members = cluster.status(0)["members"].as_array().unwrap().clone();
    let n3 = members.iter().find(|member| member["name"] == "n3").unwrap();
    assert_eq!(n3["alive"], true, "it answers probes: {n3}");
    assert!(cluster.nodes[2].is_running());

    cluster.kill(2);
    let seeds = cluster.seeds_but(2);
    refused_on_read_only(&mut cluster.nodes[2], &seeds);
    let mended = Command::new("nsenter")
        .args(["--mount", "--target", &process, "sh", "-c", MEND_FILE, "sh"])
        .args([&file, &data])
        .status();
    assert!(mended.unwrap().success());
    cluster.restart(2);
    observer.wait_until_settled(&[keys, late].concat());
    cluster.kill(2);
    drop(holder.stdin.take());
    holder.wait().unwrap();
}

/// Asserts that a start on a read-only disk is refused, and says why.
fn refused_on_read_only(node: &mut Node, seeds: &[SocketAddr]) {
    let before = node.log().len();
    let status = node.start_in_vain(seeds);
    let said = node.log().split_off(before);
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("data/lock failed: Read-only file system"), "{said}");
}

/// Freeze of a file system until this is dropped: writers wait in their system calls.
struct Frozen<'a> {
    holder: u32,
    path: &'a Path,
}

impl<'a> Frozen<'a> {
    fn freeze(holder: u32, path: &'a Path) -> Self {
        assert!(freezes(holder, "-f", path), "a mounted file system can be frozen");
        Self { holder, path }
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        // Otherwise the node's process could not even be killed.
        assert!(freezes(self.holder, "-u", self.path), "it goes on");
    }
}

fn freezes(holder: u32, how: &str, path: &Path) -> bool {
    let holder = holder.to_string();
    let status = Command::new("nsenter")
        .args(["--mount", "--target", &holder, "fsfreeze", how])
        .arg(path)
        .status();
    status.unwrap().success()
}

async fn find_siblings(client: &Client, keys: &[Key]) {
    for key in keys {
        let found = client.get(key).options(&patient_r(3)).await;
        let found = found.unwrap_or_else(|error| panic!("get of {}: {error}", shown(key)));
        assert!(found.siblings().len() > 1, "{}", shown(key));
    }
}

#[test]
fn a_disk_that_finishes_no_write_costs_the_node_its_copies_and_neither_gets_nor_gossip() {
    let mut cluster = Cluster::start_with(|node| {
        node.options = vec!["--shards=2".into(), "--storage-stall-after-ms=5000".into()];
    });
    assert!(cluster.nodes[2].stop().success());
    let (file, data) = (cluster.path("disk"), cluster.nodes[2].folder.join("data"));
    let Some((mut holder, _)) = mount_file(&file, &data) else {
        leave_out("this system lets nobody mount a file system from a file");
        return;
    };
    cluster.nodes[2].mounts_of = Some(holder.id());
    cluster.nodes[2].options.push("--new".into());
    cluster.restart(2);
    cluster.wait_until_all_are_up(0);
    let observer = Observer::of(&cluster, 0);
    let client = observer.runtime.block_on(cluster.client(2));
    let keys: Vec<Key> = (0..40).map(|number| key("kept", number)).collect();
    let strict = patient_w(3).pw(3);
    observer.runtime.block_on(fill(&client, &keys, 100, &strict));
    cluster.ask(0, "bucket set few n=2 r=1 w=1").ok();
    let refilling = || observer.counter("refilling_partitions").get(&2).copied();
    wait_until("it can say what is absent", || refilling() == Some(0));

    let frozen = Frozen::freeze(holder.id(), &data);
    // The node can't save what it learns now, and acts on it all the same.
    cluster.ask(0, "bucket set carts sibling_warning=7").ok();
    wait_until("its view is fresh", || {
        let said = cluster.ask(2, "bucket show carts --json");
        said.code == 0 && said.json()["properties"]["sibling_warning"] == 7
    });
    // The node now owns keys that it was never given, of which its engines record nothing.
    cluster.ask(0, "bucket set few n=3 r=2 w=2").ok();
    wait_until("it is to be refilled", || refilling() > Some(0));
    wait_until("doctor names its disk, shard by shard", || {
        observer.runtime.block_on(fill(&client, &keys, 100, &patient_w(2)));
        let said = cluster.ask(0, "doctor").stdout;
        (0..2).all(|shard| {
            let what = format!("the disk of n3 has not finished what shard {shard} asked of it");
            said.contains(&what)
        })
    });
    observer.runtime.block_on(async {
        fill(&client, &keys, 100, &patient_w(2)).await;
        find_siblings(&client, &keys).await;
    });
    for index in [0, 1] {
        let members = cluster.status(index)["members"].as_array().unwrap().clone();
        let n3 = members.iter().find(|member| member["name"] == "n3").unwrap();
        assert_eq!(n3["alive"], true, "it answers probes: {n3}");
    }
    let log = cluster.nodes[2].log();
    assert_eq!(log.matches("the disk does not finish what it was asked").count(), 2, "{log}");

    drop(frozen);
    wait_until("doctor has nothing to say of it any more", || {
        !cluster.ask(0, "doctor").stdout.contains("has not finished")
    });
    wait_until("it can say what is absent again", || refilling() == Some(0));
    observer.runtime.block_on(fill(&client, &keys, 100, &strict));
    observer.wait_until_settled(&keys);
    cluster.kill(2);
    drop(holder.stdin.take());
    holder.wait().unwrap();
}
