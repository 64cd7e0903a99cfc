//! Whole clusters through starts, deaths, splits and changes.

use alloc::collections::BTreeSet;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use jedlik_hashing::NodeId;
use jedlik_protocol::LayoutId;
use jedlik_protocol::admin::{AdminRequest, AdminResponse};
use jedlik_protocol::gossip::Status;

use super::cluster::Cluster;
use crate::{Event, Past};

const SECOND: u64 = 1_000_000;

fn formed(nodes: u64, seed: u8) -> Cluster {
    let mut cluster = Cluster::of(nodes, seed);
    cluster.run_until("all know all", 30 * SECOND, |c| c.agrees() && c.all_up());
    cluster
}

fn set_n(name: &str, n: &str) -> AdminRequest {
    AdminRequest::BucketSet { name: name.into(), changes: vec![("w".to_string(), n.to_string())] }
}

fn layouts(cluster: &Cluster) -> BTreeSet<LayoutId> {
    let id = |node| cluster.machine(node).view().layout_id();
    cluster.running().into_iter().map(id).collect()
}

#[test]
fn nodes_that_know_one_seed_come_to_know_all_of_everything() {
    for (nodes, loss_percent, limit_s) in
        [(2, 0, 3), (3, 0, 3), (3, 20, 20), (20, 0, 10), (20, 20, 40)]
    {
        let mut cluster = Cluster::new(nodes as u8);
        cluster.loss_percent = loss_percent;
        (1..=nodes).for_each(|node| cluster.start(node));
        cluster.run_until("members", limit_s * SECOND, Cluster::agrees);
        cluster.loss_percent = 0;
        cluster.run_until("all up", 30 * SECOND, Cluster::all_up);
        cluster.loss_percent = loss_percent;
        assert!(cluster.admin(1, &set_n("carts", "1")).is_ok());
        if nodes >= 3 {
            assert!(cluster.plan_and_commit(nodes).is_ok());
        }
        cluster.run_until("buckets and layout", limit_s * SECOND, Cluster::agrees);
        for node in 1..=nodes {
            let view = cluster.machine(node).view();
            assert_eq!(view.bucket(b"carts").w, 1);
            assert_eq!(view.layout_version(), u64::from(nodes >= 3));
        }
    }
}

#[test]
fn what_a_node_stored_is_what_it_knows() {
    let mut cluster = formed(3, 1);
    cluster.plan_and_commit(2).unwrap();
    cluster.run_until("layout", 5 * SECOND, Cluster::agrees);
    for node in cluster.running() {
        let stored = &cluster.disks[&node];
        assert_eq!(*stored, cluster.machine(node).known.whole());
        assert!(
            stored.members.iter().all(|record| record.layout == stored.layouts[0].layout.id()),
            "all say that they have it"
        );
    }
}

#[test]
fn a_start_that_was_not_counted_still_writes_a_newer_record() {
    let mut cluster = formed(3, 16);
    cluster.leave(3);
    cluster.kill(3);
    let left = cluster.disks[&3].members[2].clone();
    assert_eq!((left.node, left.status), (NodeId(3), Status::Away));
    cluster.forget_starts(3);
    cluster.start(3);
    let started = &cluster.disks[&3].members[2];
    assert_eq!(started.status, Status::Up);
    assert!((started.generation, started.version) > (left.generation, left.version));
}

#[test]
fn nothing_is_stored_or_shown_while_nothing_changes() {
    let mut cluster = formed(3, 2);
    cluster.run_for(5 * SECOND);
    cluster.trace = Some(Vec::new());
    cluster.run_for(60 * SECOND);
    let trace = cluster.trace.take().unwrap();
    let told = |what: &str| trace.iter().filter(|line| line.contains(what)).count();
    assert_eq!(told("Persist"), 0);
    assert_eq!(told("View("), 0);
    assert_eq!(told("Event("), 0);
    assert!(told("Offer(") >= 3 * 55 && told("Same") >= 3 * 55, "gossip went on");
    assert_eq!(told("Differ(") + told("Exchange(") + told("Close("), 0);
}

#[test]
fn a_dead_node_is_noticed_by_gossip_alone_and_a_returned_one_is_trusted_again() {
    let mut cluster = formed(3, 3);
    cluster.kill(3);
    cluster.run_until("3 is down", 15 * SECOND, |c| c.all_see(3, false));
    cluster.start(3);
    let seen = |c: &Cluster| c.machine(1).view().is_alive(NodeId(3));
    cluster.run_until("the seed that it turns to asks it", SECOND / 50, seen);
    cluster.run_until("3 is up", 3 * SECOND, |c| c.all_see(3, true) && c.agrees());
    assert_eq!(cluster.machine(1).known.members()[&NodeId(3)].generation, 2);
    assert!(cluster.all_up());
}

#[test]
fn a_dead_node_is_noticed_within_three_seconds_of_a_failed_request() {
    for seed in 0..10 {
        let mut cluster = formed(3, seed);
        cluster.kill(2);
        let start_us = cluster.now_us;
        let up = |c: &Cluster| c.machine(1).view().is_alive(NodeId(2));
        cluster.outcome(2, 1, false);
        assert!(up(&cluster), "one failure decides nothing");
        while up(&cluster) {
            cluster.run_for(SECOND / 10);
            cluster.outcome(2, 1, false);
        }
        let took_us = cluster.now_us - start_us;
        assert!(took_us < 3 * SECOND, "{took_us} us with seed {seed}");
    }
}

#[test]
fn lost_requests_to_a_node_that_answers_probes_do_not_bring_it_down() {
    let mut cluster = formed(5, 4);
    cluster.loss_percent = 5;
    for _ in 0..200 {
        cluster.outcome(2, 1, false);
        cluster.run_for(SECOND / 10);
    }
    assert_eq!(cluster.downs(2), 0);
}

#[test]
fn a_slow_node_is_not_a_dead_one() {
    let mut cluster = formed(3, 5);
    // Round trips of up to 700 ms: requests time out, probes come back.
    cluster.delay_us = 350_000;
    for _ in 0..200 {
        cluster.outcome(2, 1, false);
        cluster.run_for(SECOND / 10);
    }
    assert_eq!(cluster.downs(2), 0);
}

#[test]
fn a_node_behind_a_broken_link_is_down_for_the_one_that_cannot_reach_it_only() {
    let mut cluster = formed(5, 6);
    cluster.cut.insert((1, 2));
    cluster.outcome(2, 1, false);
    cluster.run_until("1 sees 2 down", 15 * SECOND, |c| !c.machine(1).view().is_alive(NodeId(2)));
    cluster.run_for(30 * SECOND);
    for node in 3..=5 {
        assert!(cluster.machine(node).view().is_alive(NodeId(2)));
    }
    cluster.cut.clear();
    cluster.run_until("all up again", 40 * SECOND, Cluster::all_up);
}

#[test]
fn a_clean_stop_is_known_at_once_and_so_is_the_return() {
    let mut cluster = formed(3, 7);
    cluster.leave(2);
    assert_eq!(cluster.disks[&2].members[1].status, Status::Away);
    cluster.run_until("2 is down", SECOND / 10, |c| c.all_see(2, false));
    cluster.run_for(SECOND);
    cluster.kill(2);
    cluster.run_for(20 * SECOND);
    assert_eq!(cluster.downs(2), 0, "it said so itself");
    cluster.start(2);
    cluster.run_until("2 is up", 3 * SECOND, |c| c.all_see(2, true) && c.agrees());
}

#[test]
fn rival_first_commits_end_in_one_layout() {
    for seed in 0..5 {
        let mut cluster = formed(6, seed);
        let islands = [[1, 2, 3], [4, 5, 6]];
        cluster.cut = islands[0].iter().flat_map(|a| islands[1].map(|b| (*a, b))).collect();
        cluster.run_until("the islands part", 60 * SECOND, |c| {
            !c.machine(1).view().is_alive(NodeId(4))
                && !c.machine(1).view().is_alive(NodeId(5))
                && !c.machine(1).view().is_alive(NodeId(6))
                && (1..=3).all(|node| !c.machine(4).view().is_alive(NodeId(node)))
        });
        cluster.plan_and_commit(1).unwrap();
        cluster.plan_and_commit(4).unwrap();
        cluster.run_for(5 * SECOND);
        assert_eq!(layouts(&cluster).len(), 2);
        let greater = layouts(&cluster).into_iter().max().unwrap();
        cluster.cut.clear();
        cluster.run_until("one layout", 60 * SECOND, Cluster::agrees);
        assert_eq!(layouts(&cluster), BTreeSet::from([greater]));
        let rivals = cluster
            .events
            .iter()
            .filter(|(_, _, event)| matches!(event, Event::Layout { rival: Some(_), .. }));
        assert_eq!(rivals.count(), 3, "every node of one island was told");
        for node in cluster.running() {
            let view = cluster.machine(node).view();
            assert_eq!(view.layouts().len(), 2, "both count until data has moved");
        }
    }
}

#[test]
fn rival_settings_of_a_bucket_end_in_one() {
    let mut cluster = formed(3, 8);
    cluster.admin(1, &set_n("carts", "1")).unwrap();
    cluster.admin(3, &set_n("carts", "3")).unwrap();
    cluster.run_until("one setting", 10 * SECOND, Cluster::agrees);
    assert_eq!(cluster.machine(2).view().bucket(b"carts").w, 3);
}

#[test]
fn a_restarted_node_has_its_layout_and_buckets_before_it_hears_from_anyone() {
    let mut cluster = formed(3, 9);
    cluster.plan_and_commit(1).unwrap();
    cluster.admin(1, &set_n("carts", "3")).unwrap();
    cluster.run_until("known", 5 * SECOND, Cluster::agrees);
    let before = cluster.machine(3).view();
    cluster.kill(3);
    cluster.start(3);
    let view = cluster.machine(3).view();
    assert_eq!(view.layout(), before.layout());
    assert_eq!(view.bucket(b"carts").w, 3);
    assert!(view.is_alive(NodeId(1)), "who was up is taken to be, until a probe fails");
    cluster.run_until("generation", 5 * SECOND, |c| {
        c.agrees() && c.machine(1).known.members()[&NodeId(3)].generation == 2
    });
}

#[test]
fn a_node_that_lost_its_disk_learns_so_before_it_serves_and_outdoes_what_is_remembered_of_it() {
    let mut cluster = formed(3, 10);
    for _ in 0..3 {
        cluster.kill(3);
        cluster.start(3);
    }
    cluster.run_until("known", 10 * SECOND, Cluster::agrees);
    cluster.kill(3);
    cluster.wipe(3);
    cluster.start(3);
    cluster.run_until("known", 10 * SECOND, |c| c.agrees() && c.all_up());
    let told = |event: &Event| matches!(event, Event::Forgotten(_) | Event::Serves { .. });
    let events = cluster.events.iter().filter(|(_, node, event)| *node == 3 && told(event));
    let mut last = events.rev().map(|(_, _, event)| event);
    assert_eq!(last.next(), Some(&Event::Serves { past: Past::Lost }));
    assert!(matches!(last.next(), Some(Event::Forgotten(_))));
    assert!(cluster.machine(1).known.members()[&NodeId(3)].generation >= 4);
}

#[test]
fn islands_that_never_met_find_one_another_through_the_seeds() {
    let mut cluster = Cluster::new(11);
    cluster.seeds = vec![1, 4];
    let sides: Vec<(u64, u64)> = (1..=3).flat_map(|a| (4..=6).map(move |b| (a, b))).collect();
    cluster.cut = sides.into_iter().collect();
    (1..=6).for_each(|node| cluster.start(node));
    cluster.run_for(20 * SECOND);
    assert_eq!(cluster.machine(1).known.members().len(), 3);
    cluster.cut.clear();
    cluster.run_until("one cluster", 60 * SECOND, |c| c.agrees() && c.all_up());
}

#[test]
fn a_node_that_keeps_dying_has_to_answer_longer_and_longer() {
    let mut cluster = formed(3, 12);
    let mut waits = Vec::new();
    for _ in 0..3 {
        cluster.kill(3);
        cluster.outcome(3, 1, false);
        let down = |c: &Cluster| !c.machine(1).view().is_alive(NodeId(3));
        cluster.run_until("down", 5 * SECOND, down);
        cluster.start(3);
        let up = |c: &Cluster| c.machine(1).view().is_alive(NodeId(3));
        waits.push(cluster.run_until("up", 20 * SECOND, up));
    }
    assert!(waits[0] < SECOND, "{waits:?}");
    assert!(waits[1] >= 2 * SECOND && waits[2] >= 4 * SECOND, "{waits:?}");
}

#[test]
fn one_seed_gives_one_run() {
    let run = |seed| {
        let mut cluster = Cluster::new(seed);
        cluster.loss_percent = 10;
        cluster.trace = Some(Vec::new());
        (1..=5).for_each(|node| cluster.start(node));
        cluster.run_for(20 * SECOND);
        cluster.trace
    };
    assert_eq!(run(13), run(13));
    assert_ne!(run(13), run(14));
}

#[test]
fn a_status_shows_who_is_up_and_what_they_hold() {
    let mut cluster = formed(3, 15);
    cluster.plan_and_commit(1).unwrap();
    cluster.run_until("layout", 5 * SECOND, Cluster::agrees);
    cluster.kill(2);
    cluster.run_until("2 is down", 15 * SECOND, |c| c.all_see(2, false));
    let Ok(AdminResponse::Status(status)) = cluster.admin(1, &AdminRequest::Status) else {
        panic!("a status is answered with a status");
    };
    let alive: Vec<bool> = status.members.iter().map(|member| member.alive).collect();
    assert_eq!(alive, [true, false, true]);
    assert_eq!(status.members.iter().map(|member| member.tokens).sum::<u32>(), 64);
    assert_eq!((status.layout.version, status.partitions), (1, 64));
}
