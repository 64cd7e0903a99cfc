//! Dead nodes, replaced by empty ones or removed by force; those that come back are refused, with the reason.

use serde_json::Value;

use crate::change::{commit, ring, stage, wait_until_still};
use crate::cluster::{Cluster, wait_until};
use crate::observer::Observer;
use crate::traffic::{Size, Traffic};

const USAGE: i32 = 2;
/// Exit code of a node that could not go on.
const FAILED: i32 = 1;

#[test]
fn a_dead_node_is_replaced_by_an_empty_one_and_refused_when_it_comes_back() {
    let mut cluster = Cluster::start_with(ring);
    let observer = Observer::of(&cluster, 0);
    let traffic = Traffic::start(&cluster, &observer, Size::of(600));
    cluster.add_nodes(2, ring);
    cluster.wait_until_all_are_up(0);

    let hoped = stage(&cluster, 0, "replace n3 n4");
    assert_eq!(hoped["warnings"].to_string().find("n3"), None, "it is up: {hoped:#}");
    cluster.kill(2);
    wait_until_down(&cluster, "n3");
    is_refused_for_who_died_since(&cluster, &hoped);
    let plan = stage(&cluster, 0, "replace n3 n4");
    assert_eq!(plan["lost"], 0, "two owners are left of each partition: {plan:#}");
    commit(&cluster, 0, &plan);
    wait_until_still(&cluster, 0);
    traffic.end_phase().demand("replaced");
    comes_back_and_is_refused(&mut cluster, 2);

    let plan = stage(&cluster, 0, "join n5");
    commit(&cluster, 0, &plan);
    wait_until_still(&cluster, 0);
    cluster.kill(4);
    wait_until_down(&cluster, "n5");
    let plan = stage(&cluster, 0, "remove n5");
    commit(&cluster, 0, &plan);
    wait_until_still(&cluster, 0);
    traffic.end_phase().demand("removed");
    comes_back_and_is_refused(&mut cluster, 4);
    cluster.ask(0, "cluster join n5").refused(USAGE, &["no member is called \"n5\""]);
    traffic.end();
}

#[test]
fn a_removal_that_loses_the_only_copies_is_committed_only_by_who_says_how_many() {
    let mut cluster = Cluster::start_with(|node| {
        ring(node);
        node.options.push("--n=1".into());
    });
    cluster.kill(2);
    wait_until_down(&cluster, "n3");
    let plan = stage(&cluster, 0, "remove n3");
    let (hash, lost) = (plan["plan"].as_str().unwrap(), plan["lost"].as_u64().unwrap());
    println!("{lost} partitions would be lost");
    assert!(lost > 0 && plan["copies_at_risk"]["moving"]["none"] == lost, "{plan:#}");
    let before = cluster.status(0);
    let right = format!("pass --accept-loss {lost}");
    let wrong = format!("cluster commit {hash} --accept-loss {}", lost - 1);
    cluster.ask(0, &format!("cluster commit {hash}")).refused(USAGE, &["loses", &right]);
    cluster.ask(0, &wrong).refused(USAGE, &["loses", &right]);
    assert_eq!(cluster.status(0)["layout"], before["layout"], "nothing was committed");
    commit(&cluster, 0, &plan);
    wait_until_still(&cluster, 0);
    comes_back_and_is_refused(&mut cluster, 2);
}

/// Asserts that a plan is refused by which n3 would hand its data over, since n3 has died meanwhile.
fn is_refused_for_who_died_since(cluster: &Cluster, plan: &Value) {
    let before = cluster.status(0);
    let again = "jedlik-admin cluster replace n3 n4` again";
    let says = ["n3 does not answer", "start it again", again, "gives up its copies"];
    let hash = plan["plan"].as_str().unwrap();
    cluster.ask(0, &format!("cluster commit {hash}")).refused(USAGE, &says);
    let now = cluster.ask(0, "cluster plan --json").ok().json();
    assert_eq!(now["plan"], plan["plan"]);
    let warned = now["warnings"].to_string();
    assert!(says.iter().all(|words| warned.contains(words)), "{warned}");
    let after = cluster.status(0);
    for unchanged in ["layout_digest", "staged"] {
        assert_eq!(after[unchanged], before[unchanged], "nothing was changed");
    }
}

fn wait_until_down(cluster: &Cluster, name: &str) {
    wait_until("the others have noticed", || {
        let status = cluster.status(0);
        let mut members = status["members"].as_array().unwrap().iter();
        members.any(|member| member["name"] == name && member["alive"] == false)
    });
}

/// Asserts that the node is refused each time it is started with its old data.
fn comes_back_and_is_refused(cluster: &mut Cluster, index: usize) {
    for time in ["first", "second"] {
        let seeds = cluster.seeds_but(index);
        let node = &mut cluster.nodes[index];
        let status = node.start_in_vain(&seeds);
        let log = node.log();
        let said = log.lines().last().unwrap_or_default();
        assert_eq!(status.code(), Some(FAILED), "the {time} time: {log}");
        for words in ["was removed from the cluster", "cluster status", "newly issued"] {
            assert!(said.contains(words), "the {time} time: no {words:?} in {said}");
        }
    }
}
