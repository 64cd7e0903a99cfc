//! Nodes that move to another engine and back: what they hold, and what a start with the wrong engine says.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::cluster::Cluster;
use crate::node::Node;
use crate::tools::{Said, run, tool};
use crate::words;

fn with_engine(node: &mut Node, engine: &str) {
    node.options = vec![format!("--engine={engine}"), "--shards=2".into(), "--n=1".into()];
}

/// Starts a cluster of one node, whose records are on its engine alone, and loads the word list into it.
fn loaded(engine: &str) -> Cluster {
    let cluster = Cluster::start_many(1, |node| with_engine(node, engine));
    cluster.ask(0, "bucket set words n=1 r=1 w=1").ok();
    let lines: String = words::all().iter().map(|word| format!("{word}\n")).collect();
    let path = cluster.path("lines");
    std::fs::write(&path, lines).unwrap();
    run(cluster.jedlik(0).args(["load", "words", "--timeout", "60s"]).arg(&path)).ok();
    cluster
}

/// Dumps the words in a format; a dump's lines are in the order of positions, which differs from cluster to cluster.
fn dumped(cluster: &Cluster, format: &str) -> BTreeSet<String> {
    let said = run(cluster.jedlik(0).args(["dump", "words", "--format", format])).ok();
    said.stdout.lines().map(str::to_owned).collect()
}

fn migrate(cluster: &mut Cluster, to: &str) -> Said {
    let node = &mut cluster.nodes[0];
    let data = node.folder.join("data");
    let mut command = tool("jedlik-admin");
    command.args(["engine", "migrate", "--json", "--to", to, "--data-dir"]).arg(data);
    if to == "mysql" {
        command.args(node.database());
    }
    run(&mut command)
}

/// Migrates the node, which does not run, and starts it on the new engine.
fn moved(cluster: &mut Cluster, to: &str) {
    let report = migrate(cluster, to).ok().json();
    let records = report["shards"].as_array().unwrap().iter().map(|shard| &shard["records"]);
    let records: u64 = records.filter_map(Value::as_u64).sum();
    assert!(records > 0 && report["to"] == to, "{report}");
    with_engine(&mut cluster.nodes[0], to);
    cluster.restart(0);
}

#[test]
fn the_word_list_dumps_equal_on_each_engine_and_after_each_migration() {
    let expected: BTreeSet<String> = words::all().into_iter().collect();
    let other = loaded("lsm");
    assert!(dumped(&other, "lines") == expected, "what was loaded is dumped");
    drop(other);
    let mut first = loaded("redb");
    assert!(dumped(&first, "lines") == expected, "what was loaded is dumped");

    let whole = dumped(&first, "json");
    // A killed node leaves records in its journal alone, a stopped one has them all in its engine.
    first.kill(0);
    for engine in ["lsm", "mysql", "redb"] {
        moved(&mut first, engine);
        assert!(dumped(&first, "json") == whole, "contexts included, on {engine}");
        assert!(first.nodes[0].stop().success());
    }
    first.restart(0);
    let jedlik = |words: &str| run(first.jedlik(0).args(words.split(' '))).ok();
    jedlik("put words no-such-word value");
    assert_eq!(jedlik("get words no-such-word").stdout.trim_end(), "value");
}

#[test]
fn a_running_node_is_not_migrated_and_a_migrated_one_does_not_start_with_its_old_engine() {
    let mut cluster = Cluster::start_many(1, |node| with_engine(node, "redb"));
    migrate(&mut cluster, "lsm").refused(2, &["is in use: stop its node first"]);
    assert!(cluster.nodes[0].stop().success());
    migrate(&mut cluster, "lsm").ok();
    migrate(&mut cluster, "lsm").refused(2, &["has the engine lsm already"]);
    let seeds = cluster.seeds_but(0);
    assert!(!cluster.nodes[0].start_in_vain(&seeds).success());
    let log = cluster.nodes[0].log();
    let says = ["has engine lsm, but this node has redb", "jedlik-admin engine migrate"];
    assert!(says.iter().all(|words| log.contains(words)), "{log}");
    with_engine(&mut cluster.nodes[0], "lsm");
    cluster.restart(0);
}
