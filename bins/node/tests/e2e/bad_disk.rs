//! Disks that answer a node's system calls with errors: a shard fails alone, and nothing acknowledged is lost.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use jedlik_protocol::Key;

use crate::cluster::{Cluster, wait_for, wait_until};
use crate::node::Node;
use crate::observer::{Observer, key};
use crate::requests::{fill, patient_w};
use crate::rot::{VALUE_BYTES, all_there, filled, find_all, held_by_itself};
use crate::strace::{Fault, Tracer, calls, end_at_first, is_here, is_injected};

/// Length of the parts that are read of a journal which can't be read as a whole.
const SECTOR_BYTES: u64 = 4096;

/// Returns the segments of one shard's journal.
fn segments(node: &Node, shard: u16) -> Vec<PathBuf> {
    let folder = format!("shard-{shard}/journal");
    let is_segment = |path: &Path| {
        path.parent().is_some_and(|parent| parent.ends_with(&folder))
            && path.extension().is_some_and(|ending| ending == "journal")
    };
    node.data_files(is_segment)
}

/// Waits until a tracer has seen the fault, and returns what it has seen after it.
fn seen_since_the_fault(tracer: &Tracer) -> Vec<String> {
    wait_for("the fault has come", || {
        let calls = tracer.calls();
        let fault = calls.iter().position(|call| is_injected(call));
        fault.map(|fault| calls[fault + 1..].to_vec()).ok_or_else(|| format!("; {calls:?}"))
    })
}

#[test]
fn a_sync_of_a_journal_that_fails_once_is_not_tried_again_and_loses_nothing() {
    if !is_here() {
        return;
    }
    let mut cluster = Cluster::start_with(|node| node.options = vec!["--shards=2".into()]);
    let observer = Observer::of(&cluster, 0);
    let client = observer.runtime.block_on(cluster.client(0));
    let strict = patient_w(3).pw(3);
    let keys: Vec<Key> = (0..60).map(|number| key("kept", number)).collect();
    observer.runtime.block_on(fill(&client, &keys, VALUE_BYTES, &strict));
    let segments = segments(&cluster.nodes[2], 1);
    assert_eq!(segments.len(), 1, "one is open: {segments:?}");

    // The shard has a segment of its own after it was opened anew, which is not watched.
    let fault = Fault {
        seen: "write,fdatasync,fsync",
        injected: "fdatasync,fsync:error=EIO:when=1",
        files: &segments,
    };
    let record = cluster.path("calls");
    let Some(tracer) = fault.attach(&cluster.nodes[2], record) else { return };
    let late: Vec<Key> = (0..60).map(|number| key("late", number)).collect();
    observer.runtime.block_on(fill(&client, &late, VALUE_BYTES, &strict));
    assert_eq!(seen_since_the_fault(&tracer), [""; 0], "nothing is written or synced there again");
    drop(tracer);
    let log = cluster.nodes[2].log();
    let said: Vec<&str> =
        log.lines().filter(|line| line.contains("a shard's storage has failed")).collect();
    assert!(
        matches!(said[..], [line] if line.contains("could not be synced") && line.contains("shard=1")),
        "{said:?}"
    );
    wait_until("its shard serves again", || {
        observer.counter("shards_serving").get(&2) == Some(&2)
            && cluster.nodes[2].log().contains("a shard's storage is open again")
    });
    let found = cluster.ask(0, "doctor").stdout;
    assert!(
        found.contains("n3 has failures after which a shard's storage was opened anew: 1 since"),
        "{found}"
    );
    assert!(segments.iter().all(|segment| !segment.exists()), "the engine holds what it held");
    let all = [keys, late].concat();
    observer.wait_until_settled(&all);
    assert!(cluster.nodes[2].is_running());

    // What it acknowledged is in its own files.
    cluster.kill(2);
    cluster.restart(2);
    cluster.wait_until_all_are_up(0);
    observer.runtime.block_on(find_all(&client, &all, 3));
    cluster.kill(0);
    cluster.kill(1);
    let own = observer.runtime.block_on(cluster.client(2));
    observer.runtime.block_on(find_all(&own, &all, 1));
}

/// Waits until all of a node's shards serve and can say what is absent.
fn wait_until_whole(observer: &Observer, index: usize) {
    wait_until("its shards serve and can say what is absent", || {
        observer.counter("shards_serving").get(&index) == Some(&2)
            && observer.counter("refilling_partitions").get(&index) == Some(&0)
    });
}

#[test]
fn an_engine_that_can_not_be_read_at_a_start_costs_its_shard_and_not_the_node() {
    if !is_here() {
        return;
    }
    let (mut cluster, observer, keys) = filled();
    assert!(cluster.nodes[1].stop().success(), "a clean stop");
    let engines = cluster.nodes[1].engine_files(0);

    let record = cluster.path("calls");
    let fault = Fault { seen: "pread64", injected: "pread64:error=EIO:when=1", files: &engines };
    cluster.nodes[1].started_by = fault.starting(&record);
    thread::scope(|scope| {
        // Another engine takes the file's place, which is on a good part of the disk.
        scope.spawn(|| end_at_first(&record));
        cluster.restart(1);
    });
    cluster.nodes[1].started_by.clear();
    for _ in 0..2 {
        cluster.wait_until_all_are_up(0);
        all_there(&cluster, &observer, &keys);
        wait_until_whole(&observer, 1);
        observer.wait_until_settled(&keys);
        let found = cluster.ask(0, "doctor").stdout;
        assert!(found.contains("shard 0 of n2 was found damaged and set aside"), "{found}");
        assert!(!found.contains("shard 1 of n2"), "{found}");
        assert!(cluster.nodes[1].stop().success(), "a clean stop");
        cluster.restart(1);
    }
    let log = cluster.nodes[1].log();
    let said = log.lines().filter(|line| line.contains("a shard's storage has failed"));
    assert!(said.clone().count() > 0 && said.clone().all(|line| line.contains("shard=0")), "{log}");
    let aside = cluster.nodes[1].data_files(|path| path.ends_with("README.txt"));
    let engine =
        aside.first().map(|text| text.with_file_name(cluster.nodes[1].engine().file_name()));
    assert!(aside.len() == 1 && engine.is_some_and(|engine| engine.exists()), "{aside:?}");
    cluster.wait_until_all_are_up(0);
    held_by_itself(&mut cluster, &observer, &keys);
}

#[test]
fn a_sector_of_a_journal_that_can_not_be_read_at_a_start_is_left_out_and_refilled() {
    if !is_here() {
        return;
    }
    let (mut cluster, observer, keys) = filled();
    cluster.kill(1);
    let segments = segments(&cluster.nodes[1], 1);
    assert_eq!(segments.len(), 1, "{segments:?}");
    let sectors = fs::metadata(&segments[0]).unwrap().len().div_ceil(SECTOR_BYTES);
    assert!(sectors > 4, "{sectors}");

    // The file is read sector by sector since it can't be read as a whole, and each time the same sector fails.
    let record = cluster.path("calls");
    let injected = format!("pread64:error=EIO:when=3+{sectors}");
    let fault = Fault { seen: "read,pread64", injected: &injected, files: &segments };
    cluster.nodes[1].started_by = fault.starting(&record);
    cluster.nodes[1].started_by.extend(["-e", "inject=read:error=EIO"].map(Into::into));
    cluster.restart(1);
    cluster.nodes[1].started_by.clear();
    cluster.wait_until_all_are_up(0);
    all_there(&cluster, &observer, &keys);
    assert!(calls(&record).iter().any(|call| call.contains("pread64") && is_injected(call)));
    let log = cluster.nodes[1].log();
    let said: Vec<&str> =
        log.lines().filter(|line| line.contains("a part of the journal is damaged")).collect();
    assert!(matches!(said[..], [line] if line.contains("shard=1")), "{said:?}");
    wait_until_whole(&observer, 1);
    observer.wait_until_settled(&keys);
    assert!(cluster.nodes[1].is_running());
    held_by_itself(&mut cluster, &observer, &keys);
}

#[test]
fn a_get_that_meets_an_error_of_the_disk_costs_a_shard_and_ends_no_node() {
    if !is_here() {
        return;
    }
    let (mut cluster, observer, keys) = filled();
    // Afterwards everything is in the engines, and nothing in memory.
    assert!(cluster.nodes[1].stop().success(), "a clean stop");
    cluster.restart(1);
    cluster.wait_until_all_are_up(0);
    let engines = cluster.nodes[1].engine_files(0);

    let fault = Fault { seen: "pread64", injected: "pread64:error=EIO:when=1", files: &engines };
    let Some(tracer) = fault.attach(&cluster.nodes[1], cluster.path("calls")) else { return };
    thread::scope(|scope| {
        // Another engine takes the file's place, which is on a good part of the disk.
        scope.spawn(move || {
            seen_since_the_fault(&tracer);
            drop(tracer);
        });
        all_there(&cluster, &observer, &keys);
    });
    for _ in 0..2 {
        all_there(&cluster, &observer, &keys);
        wait_until_whole(&observer, 1);
        observer.wait_until_settled(&keys);
        let found = cluster.ask(0, "doctor").stdout;
        assert!(found.contains("shard 0 of n2 was found damaged and set aside"), "{found}");
        assert!(cluster.nodes[1].stop().success(), "it has run until now, and stops cleanly");
        cluster.restart(1);
        cluster.wait_until_all_are_up(0);
    }
    held_by_itself(&mut cluster, &observer, &keys);
}
