//! Changes of the cluster that make no sense: each is refused with the mistake and the remedy, and changes nothing.

use serde_json::Value;

use crate::change::{ring, stage};
use crate::cluster::Cluster;

const USAGE: i32 = 2;

/// A command, and words that its refusal must contain.
type Case = (&'static str, &'static [&'static str]);

/// Commands for a cluster in which n1, n2 and n3 are in the layout, n4 was only started, and nothing is staged.
const CASES: &[Case] = &[
    ("cluster join nobody", &["no member is called \"nobody\"", "n1, n2, n3, n4"]),
    ("cluster leave nobody", &["no member is called \"nobody\"", "n1, n2, n3, n4"]),
    ("cluster remove nobody", &["no member is called \"nobody\""]),
    ("cluster replace nobody n4", &["no member is called \"nobody\""]),
    ("cluster replace n3 nobody", &["no member is called \"nobody\""]),
    ("cluster set nobody --weight 2", &["no member is called \"nobody\""]),
    ("cluster clear nobody", &["no member is called \"nobody\""]),
    ("cluster --via nobody status", &["no member is called \"nobody\""]),
    ("node drain nobody", &["no member is called \"nobody\""]),
    ("background set --limit 5 --node nobody", &["no member is called \"nobody\""]),
    ("cluster join n3", &["n3 is in the layout already", "cluster set n3", "n4"]),
    ("cluster join n4 --weight 0", &["0", "1.."]),
    ("cluster set n3 --weight 0", &["0", "1.."]),
    ("cluster set n3", &["--weight", "--zone"]),
    ("cluster set n4 --weight 2", &["n4 is not in the layout", "cluster join n4"]),
    ("cluster leave n4", &["n4 is not in the layout", "cluster join n4"]),
    ("cluster leave n1 n2 n3", &["the last node can't leave"]),
    ("cluster leave n3", &["2 nodes would be left", "3 replicas", "lower n first"]),
    ("cluster remove n3", &["n3 is up", "cluster leave"]),
    ("cluster replace n3 n2", &["n2 is in the layout already", "n4"]),
    ("cluster replace n3 n3", &["n3 is in the layout already", "n4"]),
    ("cluster replace n4 n3", &["n4 is not in the layout", "cluster join n4"]),
    ("cluster clear n3", &["nothing is staged for n3"]),
    ("cluster plan", &["nothing is staged", "join|leave|remove|replace|set"]),
    ("cluster commit tea", &["\"tea\" is not a plan's hash", "cluster plan"]),
    ("cluster commit 0123456789abcdef", &["0123456789abcdef", "nothing is staged"]),
    ("cluster commit 0123456789abcdef --timeout 5", &["--timeout goes with --wait"]),
    ("cluster wait --stall 0", &["'0'", "its range of 1ms"]),
    ("bucket set carts n=5", &["n can't be 5", "3 nodes", "add nodes first"]),
    ("task pause tea", &["tea", "transfers"]),
    ("task pause transfers:nobody", &["no member is called \"nobody\""]),
];

#[test]
fn nonsense_about_the_layout_is_refused_with_what_to_do_and_changes_nothing() {
    let mut cluster = Cluster::start_with(ring);
    cluster.add_nodes(1, ring);
    cluster.wait_until_all_are_up(0);
    let before = settled(&cluster);
    for (words, wanted) in CASES {
        refuse(&cluster, words, wanted);
    }
    let layout = before["layout_digest"].as_str().unwrap();
    refuse(&cluster, &format!("cluster commit {layout}"), &["in force already", "layout 1"]);
    assert_eq!(settled(&cluster), before, "nothing has changed");

    let plan = stage(&cluster, 0, "join n4");
    let hash = plan["plan"].as_str().unwrap();
    let before = settled(&cluster);
    cluster.ask(0, &format!("cluster commit {hash} --dry-run")).ok();
    refuse(&cluster, "cluster commit 0123456789abcdef", &["out of date", "plan again"]);
    let loss = format!("cluster commit {hash} --accept-loss 3");
    refuse(&cluster, &loss, &["loses no partition", "leave --accept-loss out"]);
    refuse(&cluster, "cluster replace n3 n4", &["another change is staged", "cluster clear"]);
    refuse(&cluster, "cluster clear n3", &["nothing is staged for n3", "n4"]);
    refuse(&cluster, "cluster leave n1 n2 n3", &["1 nodes would be left"]);
    assert_eq!(settled(&cluster), before, "nothing has changed");

    cluster.ask(0, &format!("cluster commit {hash} --wait --timeout 300")).ok();
    let before = settled(&cluster);
    refuse(&cluster, &format!("cluster commit {hash}"), &["in force already", "layout 2"]);
    assert_eq!(settled(&cluster), before, "nothing has changed");
}

fn refuse(cluster: &Cluster, words: &str, wanted: &[&str]) {
    println!("{words}");
    cluster.ask(0, words).refused(USAGE, wanted);
}

/// Returns the cluster's status as n1 sees it, without the figures that each node reports in its own time.
fn settled(cluster: &Cluster) -> Value {
    let mut status = cluster.status(0);
    for member in status["members"].as_array_mut().unwrap() {
        let member = member.as_object_mut().unwrap();
        for of_its_own in ["records", "bytes", "unread_partitions"] {
            member.remove(of_its_own);
        }
    }
    status
}
