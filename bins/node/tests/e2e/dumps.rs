//! A dump sees what gets see, whatever has become of some of the nodes.

use std::collections::BTreeSet;

use crate::cluster::{Cluster, wait_until};
use crate::tools::run;
use crate::votes::damage_all;

/// The keys in a dump of the bucket through the node at `via`.
fn dumped(cluster: &Cluster, via: usize, bucket: &str, options: &[&str]) -> BTreeSet<String> {
    let mut command = cluster.jedlik(via);
    let said =
        run(command.args(["dump", bucket, "--format", "lines", "--timeout", "20s"]).args(options));
    said.ok().stdout.lines().map(str::to_owned).collect()
}

/// The keys as `keys` lists them.
fn listed(cluster: &Cluster, via: usize, bucket: &str, options: &[&str]) -> BTreeSet<String> {
    let mut command = cluster.jedlik(via);
    let said = run(command.args(["keys", bucket, "--timeout", "20s"]).args(options)).ok();
    said.stdout.lines().map(str::to_owned).collect()
}

fn names(count: usize) -> BTreeSet<String> {
    (0..count).map(|number| format!("key-{number}")).collect()
}

/// Puts each name under itself.
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
    // Nothing is handed over meanwhile.
    cluster.ask(0, "background pause").ok();
    cluster.kill(3);
    cluster.nodes[2].freeze();
    // Keys of these two lie with the other two as hints, and nowhere else.
    let keys = names(40);
    load(&cluster, 0, "loose", &keys);
    cluster.nodes[2].thaw();
    wait_until("the node that stood still is up again", || {
        let status = cluster.status(0);
        let members = status["members"].as_array().unwrap().iter();
        members.filter(|member| member["alive"] == true).count() == 3
    });
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
    let files = cluster.nodes[2].data_files(|path| path.ends_with("records.redb"));
    assert_eq!(files.iter().map(|file| damage_all(file)).sum::<usize>(), keys.len());
    cluster.restart(2);
    cluster.wait_until_all_are_up(0);
    for via in [2, 0] {
        assert_eq!(dumped(&cluster, via, "kept", &[]), keys, "through n{}", via + 1);
        assert_eq!(listed(&cluster, via, "kept", &[]), keys, "through n{}", via + 1);
    }
}
