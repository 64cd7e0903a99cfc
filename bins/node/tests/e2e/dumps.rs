//! Dumps return what gets return, whatever the state of some of the nodes.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use jedlik_client::{ClientError, ScanOptions};

use crate::cluster::{Cluster, wait_until};
use crate::engines::damage_all;
use crate::node::Node;
use crate::requests::size;
use crate::tools::{run, tool};

/// Dumps the bucket through the node at `via` and returns its keys.
fn dumped(cluster: &Cluster, via: usize, bucket: &str, options: &[&str]) -> BTreeSet<String> {
    let mut command = cluster.jedlik(via);
    let said =
        run(command.args(["dump", bucket, "--format", "lines", "--timeout", "20s"]).args(options));
    said.ok().stdout.lines().map(str::to_owned).collect()
}

/// Lists the bucket's keys with `keys` through the node at `via`.
fn listed(cluster: &Cluster, via: usize, bucket: &str, options: &[&str]) -> BTreeSet<String> {
    let mut command = cluster.jedlik(via);
    let said = run(command.args(["keys", bucket, "--timeout", "20s"]).args(options)).ok();
    said.stdout.lines().map(str::to_owned).collect()
}

fn names(count: usize) -> BTreeSet<String> {
    (0..count).map(|number| format!("key-{number}")).collect()
}

/// Loads the names, each as the key and its own value.
fn load(cluster: &Cluster, via: usize, bucket: &str, names: &BTreeSet<String>) {
    let lines: String = names.iter().map(|name| format!("{name}\n")).collect();
    let path = cluster.path("lines");
    std::fs::write(&path, lines).unwrap();
    let mut command = cluster.jedlik(via);
    command.args(["load", bucket, "--concurrency", "4", "--timeout", "60s"]).arg(&path);
    run(&mut command).ok();
}

#[test]
fn what_only_a_fallback_keeps_for_an_owner_that_is_away_is_dumped_and_listed() {
    let mut cluster = Cluster::start_many(4, |_| {});
    cluster.ask(0, "bucket set loose n=2 r=1 w=1").ok();
    // No hints are handed over meanwhile.
    cluster.ask(0, "background pause").ok();
    cluster.kill(3);
    cluster.nodes[2].freeze();
    // Some keys of these two nodes are on the others as hints, and nowhere else.
    let keys = names(40);
    load(&cluster, 0, "loose", &keys);
    cluster.nodes[2].thaw();
    // With R = 1 and W = 1, a coordinator asks other nodes only if it knows that an owner is away.
    for via in 0..3 {
        wait_until("all know who is up", || {
            let status = cluster.status(via);
            let members = status["members"].as_array().unwrap().iter();
            members.filter(|member| member["alive"] == true).count() == 3
        });
    }
    for via in 0..3 {
        assert_eq!(dumped(&cluster, via, "loose", &["--r", "1"]), keys, "through n{}", via + 1);
        assert_eq!(listed(&cluster, via, "loose", &["--r", "1"]), keys, "through n{}", via + 1);
    }
}

#[test]
fn a_dump_is_whole_though_every_record_of_one_node_is_damaged() {
    let mut cluster = Cluster::start();
    cluster.ask(0, "bucket set kept r=1 w=3").ok();
    let keys = names(60);
    load(&cluster, 0, "kept", &keys);
    assert!(cluster.nodes[2].stop().success(), "a clean stop");
    assert_eq!(damage_all(&cluster.nodes[2]), keys.len());
    cluster.restart(2);
    cluster.wait_until_all_are_up(0);
    for via in [2, 0] {
        assert_eq!(dumped(&cluster, via, "kept", &[]), keys, "through n{}", via + 1);
        assert_eq!(listed(&cluster, via, "kept", &[]), keys, "through n{}", via + 1);
    }
}

/// Returns a `jedlik` command with an admin's certificate, which may set properties.
fn as_admin(cluster: &Cluster) -> Command {
    let mut command = tool("jedlik");
    command.arg("--profile").arg(cluster.path("admin-0.toml"));
    command
}

fn dump_all(cluster: &Cluster, path: &Path) {
    let mut command = cluster.jedlik(0);
    run(command.args(["dump", "--all", "--sort", "--output"]).arg(path)).ok();
}

#[test]
fn all_buckets_are_listed_dumped_and_loaded_into_another_cluster_with_their_properties() {
    let folder = tempfile::tempdir().unwrap();
    let (dump, again) = (folder.path().join("dump"), folder.path().join("again"));
    let cluster = Cluster::start();
    cluster.ask(0, "bucket set few n=1 r=1 w=1 durability=written").ok();
    cluster.ask(0, "bucket set empty sibling_limit=70").ok();
    load(&cluster, 0, "few", &names(20));
    load(&cluster, 1, "words", &names(30));
    for value in ["one", "other"] {
        run(cluster.jedlik(1).args(["put", "-e", "b\\xff", "\\x00", value])).ok();
    }
    let said = run(cluster.jedlik(2).args(["buckets", "--json"])).ok();
    let buckets: Vec<serde_json::Value> =
        said.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let held = |one: &serde_json::Value| (one["keys"].as_u64(), one["value_bytes"].as_u64());
    // The names are the values: key-0 to key-9 have five bytes, the others six.
    let expected = [(1, 8), (20, 110), (30, 170)].map(|(keys, bytes)| (Some(keys), Some(bytes)));
    let names: Vec<String> = buckets.iter().map(|one| one["bucket"].to_string()).collect();
    assert_eq!(names, ["{\"key_base64\":\"Yv8=\"}", "\"few\"", "\"words\""]);
    assert_eq!(buckets.iter().map(held).collect::<Vec<_>>(), expected);
    assert_eq!(buckets[1]["properties"]["durability"], "written");
    dump_all(&cluster, &dump);
    drop(cluster);

    let cluster = Cluster::start();
    let cut = folder.path().join("cut");
    let text = std::fs::read_to_string(&dump).unwrap();
    let (start, _) = text.trim_end().rsplit_once('\n').unwrap();
    std::fs::write(&cut, format!("{start}\n")).unwrap();
    run(cluster.jedlik(0).args(["load", "--all"]).arg(&dump)).refused(2, &["may not change"]);
    let said = run(as_admin(&cluster).args(["load", "--replace", "--all"]).arg(&cut));
    said.refused(2, &["cut short", "loaded 51 keys"]);
    run(as_admin(&cluster).args(["load", "--replace", "--all"]).arg(&dump)).ok();
    dump_all(&cluster, &again);
    assert_eq!(std::fs::read_to_string(&again).unwrap(), text);
}

#[test]
fn reading_every_bucket_fails_when_a_buckets_n_was_changed_meanwhile() {
    let cluster = Cluster::start();
    load(&cluster, 0, "few", &names(20));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let client = cluster.client(0).await;
        let read = async |change: bool| {
            let options = ScanOptions::new().partitions_at_once(1);
            let (_, mut scan) = client.admin().scan_every_bucket(&options).await.unwrap();
            let mut found = scan.next_page().await.unwrap().unwrap().len();
            if change {
                cluster.ask(0, "bucket set few n=1 r=1 w=1").ok();
            }
            while let Some(page) = scan.next_page().await {
                found += page?.len();
            }
            Ok::<usize, ClientError>(found)
        };
        assert_eq!(read(false).await.unwrap(), 20);
        let error = read(true).await.unwrap_err();
        assert!(matches!(&error, ClientError::Reset { name } if name == b"few"), "{error}");
    });
}

/// Time for which a node is frozen during a long dump.
const PAUSE: Duration = Duration::from_secs(3);
const DUMPED_VALUE_BYTES: usize = 1_000;

#[test]
fn a_dump_of_much_data_ends_with_everything_though_nodes_stand_still_for_seconds_meanwhile() {
    let cluster = Cluster::start();
    let count = size("JEDLIK_DUMPED_KEYS", 60_000);
    let value = "x".repeat(DUMPED_VALUE_BYTES);
    let mut lines = String::new();
    for number in 0..count {
        writeln!(lines, "{{\"key\":\"key-{number}\",\"value\":\"{value}\"}}").unwrap();
    }
    let path = cluster.path("much");
    std::fs::write(&path, lines).unwrap();
    let mut command = cluster.jedlik(0);
    run(command.args(["load", "much", "--timeout", "60s"]).arg(&path)).ok();
    load(&cluster, 1, "few", &names(20));

    let mut command = cluster.jedlik(0);
    command.args(["dump", "--all", "--timeout", "60s"]).stdout(Stdio::piped());
    let mut dump = command.spawn().unwrap();
    let mut lines = BufReader::new(dump.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut found = BTreeSet::new();
    // First a node that others ask is frozen, then the one that the dump itself goes through.
    for node in [&cluster.nodes[1], &cluster.nodes[0]] {
        found.extend(lines.by_ref().take(count / 4).filter_map(|line| dumped_key(&line)));
        thread::scope(|scope| {
            scope.spawn(|| pause(node));
            found.extend(lines.by_ref().take(count / 4).filter_map(|line| dumped_key(&line)));
        });
    }
    found.extend(lines.filter_map(|line| dumped_key(&line)));
    assert!(dump.wait().unwrap().success());
    let few = names(20).into_iter().map(|name| (name.clone(), name));
    let all = names(count).into_iter().map(|name| (name, value.clone())).chain(few);
    assert!(found == all.collect(), "{} of {} values", found.len(), count + 20);
}

/// Freezes a node for [`PAUSE`].
fn pause(node: &Node) {
    node.freeze();
    let begun = Instant::now();
    while begun.elapsed() < PAUSE {
        thread::park_timeout(PAUSE - begun.elapsed().min(PAUSE));
    }
    node.thaw();
}

/// Returns the key and the value in a line of a dump; `None` for lines that are not about a key.
fn dumped_key(line: &str) -> Option<(String, String)> {
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    Some((line["key"].as_str()?.into(), line["value"].as_str()?.into()))
}
