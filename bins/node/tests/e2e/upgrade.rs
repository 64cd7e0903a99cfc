//! A cluster of two builds, one of which speaks a version of the protocol that the other does not know. Nodes are
//! upgraded one after the other, while writers and readers go on.

use std::collections::BTreeSet;
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::change::ring;
use crate::cluster::Cluster;
use crate::observer::Observer;
use crate::traffic::{Size, Traffic};

#[test]
fn nodes_are_upgraded_one_by_one_and_no_request_fails() {
    let next = next_build();
    let mut cluster = Cluster::start_with(ring);
    let observer = Observer::of(&cluster, 0);
    let traffic = Traffic::start(&cluster, &observer, Size::of(600));
    let old = spoken(&cluster);
    assert_eq!(old.len(), 1, "one build: {old:?}");
    for index in 0..3 {
        assert!(cluster.nodes[index].stop().success(), "a clean stop");
        traffic.wait_for(200);
        cluster.nodes[index].build = Some(next.clone());
        cluster.restart(index);
        cluster.wait_until_all_are_up(index);
        traffic.wait_for(400);
        traffic.end_phase().demand(&format!("{} upgraded", cluster.nodes[index].name));
        let (mixed, text) = (spoken(&cluster), cluster.ask(index, "cluster status").ok().stdout);
        assert_eq!(mixed.len(), if index < 2 { 2 } else { 1 }, "{mixed:?}");
        assert_eq!(text.contains("members' builds differ"), index < 2, "{text}");
    }
    let new = spoken(&cluster);
    assert!(new.iter().all(|version| old.iter().all(|old| version > old)), "{old:?}, {new:?}");

    // The node goes back again: an old build reads what a new one has written.
    assert!(cluster.nodes[2].stop().success(), "a clean stop");
    cluster.nodes[2].build = None;
    cluster.restart(2);
    cluster.wait_until_all_are_up(2);
    traffic.wait_for(400);
    traffic.end_phase().demand("n3 downgraded");
    traffic.end();
}

/// Returns the newest versions of the protocol that members speak.
fn spoken(cluster: &Cluster) -> BTreeSet<u64> {
    let status = cluster.status(1);
    let members = status["members"].as_array().unwrap().iter();
    members.map(|member| member["protocol_max"].as_u64().unwrap()).collect()
}

/// Returns the build with the feature `next-protocol`: the one that the environment names, or one that is built now,
/// which takes some minutes the first time.
fn next_build() -> PathBuf {
    if let Some(path) = env::var_os("JEDLIK_NEXT_NODE") {
        return path.into();
    }
    let beside = Path::new(env!("CARGO_BIN_EXE_jedlik-node")).parent().unwrap();
    let target = beside.parent().unwrap().join("next-protocol");
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["build", "--quiet", "--locked", "--features", "next-protocol", "--target-dir"])
        .arg(&target)
        .status()
        .unwrap();
    assert!(status.success(), "the next build is made: {status}");
    target.join("debug/jedlik-node")
}
