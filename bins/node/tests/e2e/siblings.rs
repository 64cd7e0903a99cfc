//! Siblings and contexts, put and read through different nodes.

use crate::cluster::Cluster;
use crate::tools::{Found, run};

#[test]
fn two_puts_without_a_context_are_siblings_and_a_put_with_it_replaces_them() {
    let cluster = Cluster::start();
    run(cluster.jedlik(0).args(["put", "carts", "alice", "tea"])).ok();
    run(cluster.jedlik(1).args(["put", "carts", "alice", "coffee"])).ok();
    let found = get(&cluster, 2, "alice", &["--r", "3"]);
    assert_eq!(found.values, ["coffee", "tea"]);
    assert_eq!(
        found,
        get(&cluster, 0, "alice", &["--r", "1"]),
        "one replica at rest says what all say"
    );

    let context = found.context.unwrap();
    run(cluster.jedlik(1).args(["put", "carts", "alice", "both", "--context", &context])).ok();
    for index in 0..3 {
        assert_eq!(get(&cluster, index, "alice", &["--r", "2"]).values, ["both"]);
    }
    let all = get(&cluster, 0, "alice", &["--r", "3"]);
    assert_eq!(all, get(&cluster, 1, "alice", &["--r", "1"]));
}

#[test]
fn a_put_with_an_old_context_leaves_what_it_has_not_seen() {
    let cluster = Cluster::start();
    run(cluster.jedlik(0).args(["put", "carts", "bob", "one"])).ok();
    let old = get(&cluster, 1, "bob", &[]).context.unwrap();
    run(cluster.jedlik(1).args(["put", "carts", "bob", "two", "--context", &old])).ok();
    run(cluster.jedlik(2).args(["put", "carts", "bob", "three", "--context", &old])).ok();
    assert_eq!(get(&cluster, 0, "bob", &["--r", "3"]).values, ["three", "two"]);
}

#[test]
fn a_deleted_key_is_absent_on_every_node() {
    let cluster = Cluster::start();
    let absent = |index| run(cluster.jedlik(index).args(["get", "carts", "carol"])).code;
    assert_eq!(absent(0), 1, "never written");
    run(cluster.jedlik(0).args(["put", "carts", "carol", "tea"])).ok();
    let context = get(&cluster, 1, "carol", &[]).context.unwrap();
    run(cluster.jedlik(2).args(["delete", "carts", "carol", "--context", &context])).ok();
    for index in 0..3 {
        assert_eq!(absent(index), 1, "deleted");
    }
}

fn get(cluster: &Cluster, index: usize, key: &str, options: &[&str]) -> Found {
    let mut command = cluster.jedlik(index);
    command.args(["get", "carts"]).args(options).arg("--json");
    Found::read(&run(command.arg(key)).ok())
}
