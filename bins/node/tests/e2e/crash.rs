//! All nodes are killed during a load: acknowledged puts are there after the restart.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::process::Stdio;

use crate::cluster::{Cluster, wait_until};
use crate::load::absent;
use crate::requests::r;
use crate::words;

/// Acknowledged puts of a round before the nodes are killed; each round has a little more.
const PUTS_BEFORE: usize = 2_000;
const PUTS_STEP: usize = 137;

#[test]
fn every_acknowledged_key_survives_when_all_nodes_are_killed_during_a_load() {
    survives_kills(&mut Cluster::start());
}

/// Kills all nodes in the middle of a load, several times, and asserts that each acknowledged key is there afterwards.
pub(crate) fn survives_kills(cluster: &mut Cluster) {
    let rounds = env::var("JEDLIK_CRASH_ROUNDS").map_or(3, |rounds| rounds.parse().unwrap());
    let words = words::all();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut acked = BTreeSet::new();
    for round in 0..rounds {
        let fresh = acknowledged_before_the_crash(cluster, &words, round);
        acked.extend(fresh);
        for index in 0..3 {
            cluster.restart(index);
        }
        cluster.wait_until_all_are_up(0);
        let keys: Vec<String> = acked.iter().cloned().collect();
        let lost = runtime.block_on(async {
            let client = cluster.client(0).await;
            let lost = absent(&client, &keys, &r(2)).await;
            client.close().await;
            lost
        });
        assert_eq!(lost, [""; 0], "round {round}: of {} acknowledged keys", keys.len());
    }
}

/// Loads keys that no other round has, kills all nodes in the middle, and returns the acknowledged keys.
fn acknowledged_before_the_crash(
    cluster: &mut Cluster,
    words: &[String],
    round: usize,
) -> Vec<String> {
    let (path, log) = (cluster.path("words"), cluster.path(format!("acked-{round}")));
    let keys: Vec<String> = words.iter().map(|word| format!("{round}-{word}")).collect();
    fs::write(&path, keys.join("\n") + "\n").unwrap();
    let mut load = cluster
        .jedlik(round % 3)
        .args(["load", "words"])
        .arg(&path)
        .arg("--acked")
        .arg(&log)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let acked = || fs::read_to_string(&log).unwrap_or_default();
    let enough = PUTS_BEFORE + round * PUTS_STEP;
    wait_until("keys are acknowledged", || acked().lines().count() >= enough);
    for index in 0..3 {
        cluster.kill(index);
    }
    load.kill().unwrap();
    load.wait().unwrap();
    let acked = acked();
    assert!(acked.lines().count() < keys.len(), "the load was over before the crash");
    // The load was killed as well, so its last line may be cut short.
    let whole = &acked[..acked.rfind('\n').map_or(0, |end| end + 1)];
    whole.lines().map(str::to_owned).collect()
}
