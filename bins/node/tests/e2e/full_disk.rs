//! A node that is started on a disk without any room.

use std::fs;
use std::path::PathBuf;

use crate::cluster::{Cluster, wait_until};
use crate::refusals::can_mount;
use crate::tools::{Found, run};

#[test]
fn a_node_starts_on_a_full_disk_serves_reads_says_what_is_wrong_and_heals_by_itself() {
    if !can_mount() {
        eprintln!("skipped: this system lets nobody mount a small disk in a namespace");
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
