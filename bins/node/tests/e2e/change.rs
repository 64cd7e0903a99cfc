//! Changes of the layout as an admin makes them: staged, planned, committed by hash, waited for. The tests measure how
//! much moves.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cluster::{Cluster, wait_until};
use crate::node::Node;
use crate::requests::size;

/// Limit in seconds on the time that any move may take.
const WAIT_S: u64 = 600;

/// Layout change that is complete, with its plan and its cost.
#[derive(Debug)]
pub(crate) struct LayoutChange {
    /// Output of `cluster plan --json` before the commit.
    pub(crate) plan: Value,
    /// Bytes that all remaining nodes received in the move.
    pub(crate) received_bytes: u64,
    pub(crate) took: Duration,
}

impl LayoutChange {
    /// Stages the change in `words`, such as `join n4`, through the node at `index`, commits it, and waits until
    /// nothing moves any more.
    pub(crate) fn make(cluster: &Cluster, index: usize, words: &str) -> Self {
        let before = received(cluster, index);
        let plan = stage(cluster, index, words);
        let begun = Instant::now();
        let hash = plan["plan"].as_str().unwrap();
        let commit = format!("cluster commit {hash} --wait --timeout {WAIT_S} --stall 20 --json");
        let done = cluster.ask(index, &commit).ok().json();
        assert_eq!(done["move"]["settled"], true, "{done}");
        let took = begun.elapsed();
        let after = received(cluster, index).into_iter();
        let received = after.map(|(name, bytes)| bytes - before.get(&name).copied().unwrap_or(0));
        Self { plan, received_bytes: received.sum(), took }
    }

    /// Returns the bytes that the plan expected to move.
    pub(crate) fn planned_bytes(&self) -> u64 {
        self.plan["bytes"].as_u64().unwrap()
    }

    /// Prints the figures, and asserts that not much more was moved than was planned.
    pub(crate) fn demand(&self, what: &str) {
        let (planned, received) = (self.planned_bytes(), self.received_bytes);
        let ratio = received as f64 / planned.max(1) as f64;
        println!(
            "{what:>20}: {received} B of planned {planned} B ({ratio:.2}) in {:.1?}",
            self.took
        );
        assert!(planned > 0 && ratio <= 1.3, "{what}: {:#}", self.plan);
    }
}

/// Returns the number of partitions of the ring: few, so that a small move is over soon.
fn partitions() -> usize {
    size("JEDLIK_MOVED_PARTITIONS", 64)
}

/// Starts the node with a small number of partitions, for a cluster that it founds.
pub(crate) fn ring(node: &mut Node) {
    node.options.push(format!("--partitions={}", partitions()));
}

/// Stages a change and returns the plan.
pub(crate) fn stage(cluster: &Cluster, index: usize, words: &str) -> Value {
    cluster.ask(index, &format!("cluster {words}")).ok();
    cluster.ask(index, "cluster plan --json").ok().json()
}

/// Commits the plan without waiting for its effects.
pub(crate) fn commit(cluster: &Cluster, index: usize, plan: &Value) {
    let command = plan["command"].as_str().unwrap().strip_prefix("jedlik-admin ").unwrap();
    cluster.ask(index, &format!("{command} --no-wait")).ok();
}

/// Waits until nothing moves any more.
pub(crate) fn wait_until_still(cluster: &Cluster, index: usize) {
    cluster.ask(index, &format!("cluster wait --timeout {WAIT_S} --stall 20")).ok();
}

/// Returns the bytes of moving partitions that each node has received since its start, by name.
fn received(cluster: &Cluster, index: usize) -> BTreeMap<String, u64> {
    each(&cluster.ask(index, "transfers --json").json(), "received_bytes")
}

/// Returns the number of records that each node holds, by name.
pub(crate) fn held(cluster: &Cluster, index: usize) -> BTreeMap<String, u64> {
    each(&cluster.ask(index, "transfers --json").ok().json(), "records")
}

/// Returns one figure of every node that answered.
fn each(transfers: &Value, figure: &str) -> BTreeMap<String, u64> {
    let nodes = transfers["nodes"].as_array().unwrap().iter();
    let told = nodes.filter_map(|node| {
        Some((node["name"].as_str()?.to_owned(), node["transfers"][figure].as_u64()?))
    });
    told.collect()
}

/// Waits until members have told one another how many records they hold, `copies` in all: plans are based on these
/// numbers.
pub(crate) fn wait_until_loads_are_known(cluster: &Cluster, index: usize, copies: u64) {
    wait_until("loads are known", || {
        let status = cluster.status(index);
        let members = status["members"].as_array().unwrap().iter();
        let records = members.filter(|member| member["state"] != "left");
        records.filter_map(|member| member["records"].as_u64()).sum::<u64>() == copies
    });
}

/// Asserts that each member of the layout holds its weighted share of `copies` records of `keys` keys, as nearly as so
/// few keys allow.
pub(crate) fn check_shares(cluster: &Cluster, index: usize, keys: u64) {
    let status = cluster.status(index);
    let members = status["members"].as_array().unwrap().iter();
    let weights: BTreeMap<&str, f64> = members
        .filter(|member| member["placed"] == true)
        .map(|member| (member["name"].as_str().unwrap(), member["weight"].as_f64().unwrap()))
        .collect();
    let sum: f64 = weights.values().sum();
    let held = held(cluster, index);
    println!("{:>20}: {held:?}", "records held");
    assert_eq!(held.values().sum::<u64>(), 3 * keys, "three copies of {keys} records");
    for (name, weight) in weights {
        // Probability that a key is on a node, if its partition is equally likely to be on any.
        let chance = (3.0 * weight / sum).min(1.0);
        let fair = chance * keys as f64;
        // The tolerance is two partitions and five standard deviations of the keys' distribution, or the 5 % that apply
        // to many keys in many partitions.
        let by_partitions = 2.0 / (chance * partitions() as f64);
        let by_keys = 5.0 * ((1.0 - chance) / fair).sqrt();
        let off = (held[name] as f64 / fair - 1.0).abs();
        assert!(
            off <= (by_partitions + by_keys).max(0.05),
            "{name} holds {} of fair {fair:.0}",
            held[name]
        );
    }
}
