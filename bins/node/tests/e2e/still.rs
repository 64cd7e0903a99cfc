//! A shard's thread that stands still, as in a read that the disk does not answer: the node's other shards go on.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use jedlik_protocol::Key;

use crate::cluster::{Cluster, wait_until};
use crate::observer::{Observer, key};
use crate::requests::{ByKey, fill, patient_r, patient_w, shown};
use crate::tools::leave_out;

const SHARDS: u32 = 2;
/// Index of the node whose first shard stands still.
const STILL: usize = 2;
/// Option that keeps a busy machine from being taken for a disk that stands still.
const STALL_AFTER: &str = "--storage-stall-after-ms=5000";
/// Perl script that stops one thread, and lets it go on when its input ends.
const STOP_THREAD: &str = "$| = 1; ($call, $thread) = map { $_ + 0 } @ARGV; \
    for $request (0x4206, 0x4207) { syscall($call, $request, $thread, 0, 0) == 0 or die \"$!\" } \
    print \"stopped\\n\"; <STDIN>;";
/// Number of the system call ptrace on this architecture.
const PTRACE: &str = if cfg!(target_arch = "aarch64") { "117" } else { "101" };

/// Stops a thread of a process; `None` if this system does not permit it.
fn stop_thread(process: u32, name: &str) -> Option<Child> {
    let threads = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let mut threads = threads.map(|thread| thread.unwrap().path());
    let is_it = |comm: String| comm.trim() == name;
    let thread = threads
        .find(|path| fs::read_to_string(path.join("comm")).is_ok_and(is_it))
        .unwrap_or_else(|| panic!("{process} has a thread {name}"));
    let mut holder = Command::new("perl")
        .args(["-e", STOP_THREAD, PTRACE])
        .arg(thread.file_name().unwrap())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .ok()?;
    let mut said = String::new();
    BufReader::new(holder.stdout.as_mut().unwrap()).read_line(&mut said).unwrap();
    if said.trim() == "stopped" {
        return Some(holder);
    }
    holder.wait().unwrap();
    None
}

#[test]
fn a_shard_that_stands_still_holds_up_none_of_the_others_and_is_named() {
    let cluster = Cluster::start_with(|node| {
        node.options = vec![format!("--shards={SHARDS}"), STALL_AFTER.into()];
    });
    let observer = Observer::of(&cluster, 0);
    let client = observer.runtime.block_on(cluster.client(STILL));
    let keys: Vec<Key> = (0..40).map(|number| key("kept", number)).collect();
    observer.runtime.block_on(fill(&client, &keys, 100, &patient_w(3)));
    let (held_up, others): (Vec<Key>, Vec<Key>) =
        keys.iter().cloned().partition(|key| observer.partition(key).is_multiple_of(SHARDS));
    assert!(held_up.len() > 5 && others.len() > 5);
    let Some(mut holder) = stop_thread(cluster.nodes[STILL].pid(), "shard-0") else {
        leave_out("this system lets nobody stop another process's thread");
        return;
    };

    wait_until("doctor names the shard", || {
        let said = cluster.ask(0, "doctor").stdout;
        said.contains("the disk of n3 has not finished what shard 0 asked of it")
    });
    let strict = patient_w(3).pw(3);
    observer.runtime.block_on(fill(&client, &others, 100, &strict));
    // The other two nodes answer for the shard that stands still, through whichever node.
    observer.runtime.block_on(fill(&client, &held_up, 100, &patient_w(2)));
    for index in 0..3 {
        observer.runtime.block_on(async {
            let client = cluster.client(index).await;
            for key in &keys {
                let found = client.get(key).options(&patient_r(2)).await;
                let found = found.unwrap_or_else(|error| panic!("get of {}: {error}", shown(key)));
                assert_eq!(found.siblings().len(), 2, "{}", shown(key));
            }
        });
    }
    let log = cluster.nodes[STILL].log();
    assert!(log.contains("a shard's thread stands still"), "{log}");
    assert!(!log.contains("goes on"), "{log}");

    drop(holder.stdin.take());
    holder.wait().unwrap();
    wait_until("doctor has nothing to say of it any more", || {
        !cluster.ask(0, "doctor").stdout.contains("has not finished")
    });
    observer.runtime.block_on(fill(&client, &held_up, 100, &strict));
    observer.wait_until_settled(&keys);
}
