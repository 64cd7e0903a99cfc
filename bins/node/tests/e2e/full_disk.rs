//! Nodes on a disk without any room: one that is started on it, and one whose disk stays full under many puts.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use jedlik_protocol::Quorum;
use jedlik_protocol::client::ClientResponse;

use crate::cluster::{Cluster, wait_until};
use crate::flood::Hose;
use crate::observer::{Observer, key};
use crate::overload::put;
use crate::refusals::{Full, can_mount};
use crate::tools::{Found, leave_out, run};

/// Number of puts that are under way at a time.
const AT_ONCE: usize = 64;
/// Number of puts that a full disk has to fail.
const FAILED: usize = 2_000;
/// Number of times that the engine's buffers could not be flushed: they are tried again each second.
const FLUSH_FAILURES: u64 = 10;

#[test]
fn a_node_starts_on_a_full_disk_serves_reads_says_what_is_wrong_and_heals_by_itself() {
    if !can_mount() {
        leave_out("this system lets nobody mount a small disk in a namespace");
        return;
    }
    let mut cluster = Cluster::start();
    run(cluster.jedlik(0).args(["put", "carts", "alice", "tea", "--w", "3"])).ok();
    assert!(cluster.nodes[2].stop().success(), "a clean stop");
    cluster.nodes[2].disk_mb = Some(48);
    cluster.nodes[2].disk_full = true;
    cluster.restart(2);
    cluster.wait_until_all_are_up(0);
    wait_until("it answers reads", || {
        let got = run(cluster.jedlik(2).args(["get", "carts", "alice", "--r", "3", "--json"]));
        got.code == 0 && Found::read(&got).values == ["tea"]
    });
    let large = cluster.path("large");
    fs::write(&large, vec![b'x'; 1 << 20]).unwrap();
    wait_until("doctor says what is wrong with its disk", || {
        let mut put = cluster.jedlik(0);
        put.args(["put", "large", "k", "--file"]).arg(&large);
        run(&mut put);
        let said = cluster.ask(0, "doctor").stdout;
        said.contains("n3") && said.contains("disk")
    });
    let members = cluster.status(0)["members"].as_array().unwrap().clone();
    let n3 = members.iter().find(|member| member["name"] == "n3").unwrap();
    assert_eq!(n3["alive"], true, "it answers probes: {n3}");
    let node = &cluster.nodes[2];
    let data = node.folder.join("data");
    let filler = format!("/proc/{}/root{}/filler", node.pid(), data.display());
    fs::remove_file(PathBuf::from(filler)).unwrap();
    wait_until("it takes writes again", || {
        run(cluster.jedlik(0).args(["put", "carts", "bob", "milk", "--w", "3", "--pw", "3"])).code
            == 0
    });
    wait_until("doctor has nothing to say of its disk", || {
        !cluster.ask(0, "doctor").stdout.contains("no room")
    });
}

#[test]
fn a_disk_that_fails_thousands_of_puts_has_a_few_lines_in_the_log() {
    if !can_mount() {
        leave_out("this system lets nobody mount a small disk in a namespace");
        return;
    }
    let cluster = Cluster::start_with(|node| {
        if node.name == "n3" {
            node.disk_mb = Some(64);
            // Nothing is refused before the disk itself does: each put meets it.
            node.options = vec![
                "--storage-flush-reserve-bytes=0".into(),
                "--storage-disk-reserve-bytes=0".into(),
                "--storage-buffer-bytes=2097152".into(),
            ];
        }
    });
    let observer = Observer::of(&cluster, 0);
    let n3 = &cluster.nodes[2];
    let before = n3.log().lines().count();
    let (began, full) = (Instant::now(), Full::keep(n3));
    let (mut failed, mut next) = (0, 0);
    wait_until("the disk has failed many puts and flushes", || {
        failed += observer.runtime.block_on(async {
            let tls = cluster.path("client/tls");
            let mut hose = Hose::connect(cluster.nodes[0].address.unwrap(), &tls).await;
            let puts = (next..next + AT_ONCE)
                .map(|number| put(&key("full", number), number, Quorum::Count(3)));
            let answers = hose.ask(puts.collect()).await;
            hose.close().await;
            let is_failed = |answer: &ClientResponse| matches!(answer, ClientResponse::Failed(_));
            answers.iter().filter(|(answer, _)| is_failed(answer)).count()
        });
        next += AT_ONCE;
        let failures = observer.counter("flush_failures");
        failed >= FAILED && failures.get(&2).is_some_and(|failures| *failures >= FLUSH_FAILURES)
    });
    full.free();
    let since = || n3.log().lines().skip(before).map(text).collect::<Vec<String>>();
    wait_until("the log says that the disk works again", || {
        let lines = since();
        ["writes succeed again", "the buffer was flushed into the engine"]
            .iter()
            .all(|text| lines.iter().any(|line| line.contains(text)))
    });

    let mut lines: BTreeMap<String, u64> = BTreeMap::new();
    since().into_iter().for_each(|line| *lines.entry(line).or_default() += 1);
    println!("{failed} puts failed; {lines:#?}");
    assert!(lines.keys().any(|line| line.contains("writes fail")), "{lines:#?}");
    let shards = observer.counter("shards")[&2];
    let most = shards * (1 + began.elapsed().as_secs() / 60);
    assert!(lines.values().all(|count| *count <= most), "more than {most}: {lines:#?}");
    assert!(lines.values().sum::<u64>() < 20 * most, "{lines:#?}");
}

/// Returns what a line of the log says, without its time, fields and numbers.
fn text(line: &str) -> String {
    let line = line.split_once(' ').map_or(line, |(_time, rest)| rest).trim();
    let words = line.split(' ').take_while(|word| !word.contains('='));
    let words: Vec<&str> = words.collect();
    words.join(" ").chars().filter(|c| !c.is_ascii_digit()).collect()
}
