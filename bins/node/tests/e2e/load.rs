//! The real input, loaded and dumped again, with a node killed on the way.

use std::collections::BTreeSet;
use std::fs;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};

use jedlik_client::{Client, GetOptions};
use jedlik_protocol::Key;

use crate::cluster::{Cluster, wait_until};
use crate::node::LIMIT;
use crate::requests::{ByKey, r};
use crate::tools::run;
use crate::words;

/// Gets under way at the same time.
const READERS: usize = 64;

#[test]
fn the_word_list_comes_back_as_it_went_in() {
    let cluster = Cluster::start();
    let words = words::all();
    let path = cluster.path("words");
    fs::write(&path, words.join("\n") + "\n").unwrap();
    // On a busy machine a sync may take longer than a put usually waits.
    let patient = ["load", "--timeout", "100s", "words"];
    run(cluster.jedlik(0).args(patient).arg(&path)).ok();
    assert_eq!(dumped(&cluster, 1, &[]), words.iter().cloned().collect());
}

#[test]
fn nothing_fails_while_a_node_is_killed_and_started_again_and_reads_repair_it() {
    let mut cluster = Cluster::start();
    let words = words::all();
    let (path, acked) = (cluster.path("words"), cluster.path("acked"));
    fs::write(&path, words.join("\n") + "\n").unwrap();
    let errors = fs::File::create(cluster.path("load.err")).unwrap();
    let mut load = cluster
        .jedlik(0)
        .args(["load", "words"])
        .arg(&path)
        .arg("--acked")
        .arg(&acked)
        .stdout(Stdio::null())
        .stderr(errors)
        .spawn()
        .unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let client = runtime.block_on(cluster.client(0));
    let log = || fs::read_to_string(&acked).unwrap_or_default();
    for (event, share) in [("kill", 4), ("start", 2)] {
        wait_until("the load goes on", || log().lines().count() > words.len() / share);
        if event == "kill" {
            cluster.kill(2);
        } else {
            cluster.restart(2);
        }
        let written: Vec<String> =
            log().lines().rev().skip(1).take(500).map(str::to_owned).collect();
        let lost = runtime.block_on(absent(&client, &written, &r(2)));
        assert_eq!(lost, [""; 0], "after the {event}");
    }
    let status = load.wait().unwrap();
    assert!(status.success(), "{}", fs::read_to_string(cluster.path("load.err")).unwrap());

    cluster.wait_until_all_are_up(0);
    // Gets of all three replicas repair what one of them has missed.
    let of_all = r(3).timeout(LIMIT);
    assert_eq!(runtime.block_on(absent(&client, &words, &of_all)), [""; 0]);
    runtime.block_on(client.close());
    let expected: BTreeSet<String> = words.into_iter().collect();
    for alone in 0..3 {
        for other in (0..3).filter(|other| *other != alone) {
            cluster.kill(other);
        }
        let found = dumped(&cluster, alone, &["--r", "1"]);
        let missing = expected.difference(&found).count();
        assert_eq!(missing, 0, "n{} alone lacks that many keys", alone + 1);
        for other in (0..3).filter(|other| *other != alone) {
            cluster.restart(other);
        }
        cluster.wait_until_all_are_up(alone);
    }
}

/// Dumps the bucket through the node at `index` and returns every value.
fn dumped(cluster: &Cluster, index: usize, options: &[&str]) -> BTreeSet<String> {
    let mut command = cluster.jedlik(index);
    let said = run(command.args(["dump", "words", "--format", "lines"]).args(options)).ok();
    let lines: Vec<&str> = said.stdout.lines().collect();
    let set: BTreeSet<String> = lines.iter().map(|line| (*line).to_owned()).collect();
    assert_eq!(lines.len(), set.len(), "a word came twice");
    set
}

/// Gets every key and returns the absent ones. No get may fail.
pub(crate) async fn absent(client: &Client, keys: &[String], options: &GetOptions) -> Vec<String> {
    let next = std::sync::Arc::new(AtomicUsize::new(0));
    let keys: std::sync::Arc<[String]> = keys.into();
    let mut readers = Vec::new();
    for _ in 0..READERS {
        let (client, keys, next) = (client.clone(), keys.clone(), next.clone());
        let options = options.clone();
        readers.push(tokio::spawn(async move {
            let mut absent = Vec::new();
            while let Some(word) = keys.get(next.fetch_add(1, Ordering::Relaxed)) {
                let key = Key::new("words", word.as_str()).unwrap();
                let found = client.get(&key).options(&options).send().await;
                let found = found.unwrap_or_else(|error| panic!("get of {word}: {error}"));
                if found.siblings().is_empty() {
                    absent.push(word.clone());
                }
            }
            absent
        }));
    }
    let mut all = Vec::new();
    for reader in readers {
        all.extend(reader.await.unwrap());
    }
    all
}
