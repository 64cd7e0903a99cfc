//! Anti-entropy alone: lost disks, records that change behind a replica's back (paper 4.7).

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use jedlik_hashing::NodeId;
use jedlik_protocol::Digest;
use jedlik_protocol::admin::BackgroundChange;
use jedlik_protocol::bucket::BucketProps;
use jedlik_protocol::peer::PeerRequest;

use super::cluster::{Cluster, after, blind};
use crate::{Counter, Input, Replica};

const N1: NodeId = NodeId(1);
const N2: NodeId = NodeId(2);
const N3: NodeId = NodeId(3);

/// Interval of rounds of exchanges in the tests, in milliseconds.
const ROUND_MS: u64 = 60_000;
/// Time enough to repair all that these tests hold, in milliseconds.
const REPAIR_MS: u64 = 10_000;

fn is_hashes(request: &PeerRequest) -> bool {
    matches!(request, PeerRequest::Hashes { .. })
}

fn is_other_than_hashes(request: &PeerRequest) -> bool {
    !is_hashes(request)
}

fn fill(cluster: &mut Cluster, bucket: &str, count: u32) -> Vec<String> {
    let names: Vec<_> = (0..count).map(|number| format!("{bucket}/k{number}")).collect();
    for name in &names {
        cluster.put(N1, blind(name, name)).expect("a put");
    }
    names
}

fn records(cluster: &Cluster, node: NodeId, names: &[String]) -> Vec<Option<Digest>> {
    names.iter().map(|name| cluster.held(node, name).map(|held| held.digest())).collect()
}

#[test]
fn a_node_that_lost_its_disk_gets_everything_back_without_a_get() {
    let mut cluster = Cluster::new(3, &[]);
    let names = fill(&mut cluster, "carts", 60);
    cluster.run_for(ROUND_MS);
    cluster.lose_disk(N3, 2);
    cluster.run_for(REPAIR_MS);
    assert_eq!(records(&cluster, N3, &names), records(&cluster, N1, &names));
    assert_eq!(cluster.count(Counter::Gets), 0);
    // Most of them it has fetched itself; the rounds of the others bring what they find first.
    let report = |node| cluster.node(node).replica.repair_report();
    let reports = [N1, N2, N3].map(report);
    let pushed = reports[0].pushed + reports[1].pushed;
    assert_eq!(reports[2].pulled + pushed, 60, "{reports:?}");
    assert!(reports[2].pulled > pushed, "{reports:?}");
    for report in &reports {
        assert_eq!((report.building, report.failed), (0, 0), "{reports:?}");
    }
}

#[test]
fn records_changed_removed_and_damaged_behind_its_back_are_found_by_a_repair() {
    let mut cluster = Cluster::new(3, &[]);
    let names = fill(&mut cluster, "carts", 40);
    let context = cluster.get(N1, &names[0], 3).expect("a get").context.expect("a context");
    let place = cluster.placed(&names[0]);
    let old = cluster.node(N2).disk[&place].clone();
    cluster.put(N1, after(&names[0], "new", &context)).expect("a put");
    cluster.run_for(2 * ROUND_MS);
    let [changed, removed, damaged] = [0, 1, 2].map(|index| cluster.placed(&names[index]));
    cluster.node(N2).disk.insert(changed, old);
    cluster.node(N2).disk.remove(&removed);
    cluster.node(N2).damaged.insert(damaged);
    cluster.run_for(2 * ROUND_MS);
    assert_ne!(records(&cluster, N2, &names), records(&cluster, N1, &names), "its trees are old");

    let before = cluster.node(N2).replica.repair_report();
    cluster.repair(N2);
    cluster.run_for(REPAIR_MS);
    assert_eq!(records(&cluster, N2, &names), records(&cluster, N1, &names));
    assert!(cluster.node(N2).damaged.is_empty());
    assert_eq!(cluster.values(N2, &names[0], 1), ["new"]);
    let report = cluster.node(N2).replica.repair_report();
    assert_eq!((report.damaged - before.damaged, report.failed - before.failed), (1, 0));
    assert!((1..=3).contains(&report.trees_corrected), "one for each partition: {report:?}");
    assert_eq!(report.pulled - before.pulled, 3, "what is whole does not travel");
}

#[test]
fn a_damaged_record_that_was_met_is_mended_in_the_next_round() {
    let mut cluster = Cluster::new(3, &[]);
    let names = fill(&mut cluster, "carts", 40);
    cluster.run_for(2 * ROUND_MS);
    let place = cluster.placed(&names[0]);
    cluster.node(N2).damaged.insert(place.clone());
    cluster.run_for(2 * ROUND_MS);
    assert!(cluster.node(N2).damaged.contains(&place), "its trees are old");
    // Who only looks mends nothing.
    super::explaining::explain(&mut cluster, N1, &names[0]);
    cluster.run_for(2 * ROUND_MS);
    assert!(cluster.node(N2).damaged.is_empty());
    let read = cluster.node(N2).replica.repair_report().trees_corrected;
    cluster.run_for(4 * ROUND_MS);
    assert_eq!(cluster.node(N2).replica.repair_report().trees_corrected, read, "and that is that");
}

#[test]
fn a_damaged_record_of_which_nobody_holds_anything_goes_and_the_partition_votes_again() {
    let mut cluster = Cluster::new(3, &[]);
    let names = fill(&mut cluster, "carts", 40);
    cluster.run_for(2 * ROUND_MS);
    // A tombstone that the others have collected, and that rotted here before it was.
    let place = cluster.placed(&names[0]);
    for node in [N1, N3] {
        cluster.node(node).disk.remove(&place);
        cluster.restart(node, 2);
    }
    cluster.node(N2).damaged.insert(place.clone());
    super::explaining::explain(&mut cluster, N2, &names[0]);
    // With one of the others away it stays: that one may hold something.
    cluster.notice_down(N3);
    cluster.run_for(6 * ROUND_MS);
    assert!(cluster.node(N2).damaged.contains(&place));
    cluster.notice_up(N3);
    cluster.run_for(8 * ROUND_MS);
    assert!(cluster.node(N2).damaged.is_empty());
    assert!(!cluster.node(N2).disk.contains_key(&place));
    assert_eq!(cluster.node(N2).replica.refilling(), 0);
    assert!(!cluster.node(N2).replica.background.exchanges.trees.has_damage(place.partition));
}

#[test]
fn trees_kept_over_a_clean_stop_are_compared_without_being_read_and_ask_for_no_wake_before() {
    let mut cluster = Cluster::new(3, &[]);
    fill(&mut cluster, "carts", 30);
    cluster.run_for(ROUND_MS);
    let trees = cluster.node(N3).replica.trees();
    let mut replica = Replica::new(Cluster::config(N3, 1));
    replica.restore_trees(&trees);
    assert_eq!(replica.poll_timeout(), None, "there is no view yet, so a wake would be in vain");
    let view = cluster.view(N3);
    replica.handle(cluster.now, Input::View(view));
    assert_eq!(replica.repair_report().building, 0);
    cluster.node(N3).replica = replica;
    cluster.step(N3, Input::Timeout);
    cluster.run_for(REPAIR_MS);
    let report = cluster.node(N3).replica.repair_report();
    assert_eq!((report.exchanges, report.agreed), (16 * 2, 16 * 2), "{report:?}");
}

#[test]
fn a_repair_merges_what_both_sides_have() {
    let mut cluster = Cluster::new(3, &[]);
    let whole = cluster.node(N1).disk.clone();
    cluster.put(N1, blind("alice", "tea")).expect("a put");
    let tea = cluster.node(N1).disk.clone();
    for node in [N1, N2, N3] {
        cluster.node(node).disk = whole.clone();
        cluster.restart(node, 2);
    }
    cluster.put(N2, blind("alice", "salt")).expect("a put");
    for node in [N1, N3] {
        cluster.node(node).disk = tea.clone();
        cluster.restart(node, 3);
    }
    cluster.run_for(REPAIR_MS);
    for node in [N1, N2, N3] {
        assert_eq!(cluster.values(node, "alice", 1), ["salt", "tea"]);
    }
}

#[test]
fn replicas_that_agree_exchange_one_message_for_each_partition_and_n() {
    let two = BucketProps { n: 2, ..BucketProps::default() };
    for (buckets, messages) in [(Vec::new(), 16 * 3), (Vec::from([("pairs", two)]), 16 * (3 + 1))] {
        let mut cluster = Cluster::new(3, &buckets);
        fill(&mut cluster, "carts", 30);
        fill(&mut cluster, "pairs", 30);
        // From the middle between two rounds to the next such middle.
        cluster.run_for(2 * ROUND_MS + ROUND_MS / 2);
        cluster.sent.clear();
        cluster.run_for(ROUND_MS);
        assert_eq!(cluster.sent_such(is_hashes), messages);
        assert_eq!(cluster.sent_such(is_other_than_hashes), 0);
        for node in [N1, N2, N3] {
            let report = cluster.node(node).replica.repair_report();
            assert_eq!(report.exchanges, report.agreed, "{report:?}");
        }
    }
}

#[test]
fn buckets_with_another_n_are_compared_by_their_own_owners() {
    let two = BucketProps { n: 2, ..BucketProps::default() };
    let mut cluster = Cluster::new(3, &[("pairs", two)]);
    let pairs = fill(&mut cluster, "pairs", 30);
    fill(&mut cluster, "carts", 30);
    cluster.run_for(ROUND_MS);
    cluster.lose_disk(N2, 2);
    cluster.run_for(ROUND_MS);
    for name in &pairs {
        let owners = cluster.owners(name);
        assert_eq!(cluster.held(owners[0], name), cluster.held(owners[1], name));
        assert!(cluster.held(owners[0], name).is_some());
        assert_eq!(cluster.held(owners[2], name), None, "it is none of the third's business");
    }
}

/// A storage page ends after a megabyte, which is little where values are large.
#[test]
fn an_exchange_lists_leaves_of_more_than_a_page_in_several() {
    let mut cluster = Cluster::new(3, &[]);
    cluster.notice_down(N3);
    let names = fill(&mut cluster, "carts", 400);
    for node in [N1, N2] {
        cluster.node(node).hints.clear();
        cluster.restart(node, 2);
    }
    cluster.run_for(5_000);
    for node in [N1, N2, N3] {
        cluster.node(node).page_bytes = 0;
    }
    // It only answers.
    cluster
        .set_background(N3, BackgroundChange { paused: Some(true), ..BackgroundChange::default() });
    cluster.notice_up(N3);
    cluster.run_for(20_000);
    assert_eq!(records(&cluster, N3, &names), records(&cluster, N1, &names));
    for node in [N1, N2] {
        let report = cluster.node(node).replica.repair_report();
        assert_eq!(report.failed, 0, "{report:?}");
    }
}

#[test]
fn a_node_that_is_back_without_a_new_life_is_compared_at_once() {
    let mut cluster = Cluster::new(5, &[]);
    let names = fill(&mut cluster, "carts", 40);
    cluster.run_for(ROUND_MS);
    cluster.notice_down(N3);
    for name in &names {
        let context = cluster.get(N1, name, 2).expect("a get").context.expect("a context");
        cluster.put(N1, after(name, "new", &context)).expect("a put");
    }
    // Whoever kept hints for it has lost them.
    for node in &mut cluster.nodes {
        node.hints.clear();
    }
    for id in 1..=5 {
        cluster.restart(NodeId(id), if id == 3 { 1 } else { 2 });
    }
    cluster.run_for(5_000);
    cluster.notice_up(N3);
    cluster.run_for(REPAIR_MS);
    for name in &names {
        let owners = cluster.owners(name);
        if owners[..3].contains(&N3) {
            assert_eq!(cluster.values(N3, name, 1), ["new"]);
        }
    }
}

#[test]
fn a_round_waits_for_a_node_that_does_not_answer_no_longer_than_for_a_call() {
    let mut cluster = Cluster::new(3, &[]);
    let names = fill(&mut cluster, "carts", 40);
    cluster.mute.insert(N2);
    cluster.lose_disk(N3, 2);
    cluster.run_for(2 * ROUND_MS);
    assert_eq!(records(&cluster, N3, &names), records(&cluster, N1, &names));
    cluster.mute.clear();
    cluster.lose_disk(N3, 3);
    cluster.run_for(REPAIR_MS);
    assert_eq!(records(&cluster, N3, &names), records(&cluster, N1, &names));
    assert_eq!(cluster.node(N3).replica.repair_report().failed, 0);
}

#[test]
fn a_peer_that_still_reads_its_records_is_no_failure_and_is_compared_later() {
    let mut cluster = Cluster::new(3, &[]);
    let names = fill(&mut cluster, "carts", 20);
    cluster.run_for(ROUND_MS);
    let paused = |paused| BackgroundChange { paused: Some(paused), ..BackgroundChange::default() };
    let (now, view) = (cluster.now, cluster.view(N3));
    let node = cluster.node(N3);
    node.disk.clear();
    node.replica = Replica::new(Cluster::config(N3, 2));
    node.replica.handle(now, Input::SetBackground(paused(true)));
    node.replica.handle(now, Input::View(view));
    cluster.step(N1, Input::Repair { partition: None });
    cluster.run_for(ROUND_MS);
    let report = cluster.node(N1).replica.repair_report();
    assert_eq!((report.failed, report.pushed), (0, 0), "{report:?}");
    assert_eq!(records(&cluster, N3, &names), Vec::from_iter(names.iter().map(|_| None)));
    cluster.step(N3, Input::SetBackground(paused(false)));
    cluster.run_for(REPAIR_MS);
    assert_eq!(records(&cluster, N3, &names), records(&cluster, N1, &names));
    let report = cluster.node(N1).replica.repair_report();
    assert_eq!((report.failed, report.done), (0, report.partitions), "{report:?}");
}
