//! Pasts that a node finds out about before it serves, and rivals.

use alloc::boxed::Box;
use alloc::vec::Vec;

use jedlik_hashing::NodeId;
use jedlik_protocol::error::ErrorCode;
use jedlik_protocol::gossip::{Delta, Gossip, Life, MemberRecord, Rival};
use jedlik_protocol::{Incarnation, LayoutId, Now};

use crate::tests::cluster::Cluster;
use crate::{Destination, Event, Lineage, Membership, Output, Past};

const SECOND: u64 = 1_000_000;

/// A cluster of three nodes that know one another and have a layout.
fn settled(seed: u8) -> Cluster {
    let mut cluster = Cluster::of(3, seed);
    cluster.run_until("known", 30 * SECOND, |c| c.agrees() && c.all_up());
    cluster.plan_and_commit(1).unwrap();
    cluster.run_until("layout", 10 * SECOND, |c| {
        c.agrees() && c.running().iter().all(|node| c.machine(*node).view().layout().is_some())
    });
    cluster
}

/// Returns the events about a node's lives since `from_us`, in order.
fn told(cluster: &Cluster, node: u64, from_us: u64) -> Vec<&Event> {
    let of_lives = |event: &Event| {
        matches!(
            event,
            Event::Serves { .. }
                | Event::Forgotten(_)
                | Event::Rival(_)
                | Event::Ousted { .. }
                | Event::Contested { .. }
                | Event::BeliefEnds
        )
    };
    let events = cluster.events.iter();
    let events =
        events.filter(|(at_us, of, event)| *at_us >= from_us && *of == node && of_lives(event));
    events.map(|(_, _, event)| event).collect()
}

#[test]
fn a_restart_serves_within_milliseconds_once_the_others_have_answered() {
    let mut cluster = settled(1);
    for round in 0..5 {
        cluster.kill(3);
        let from_us = cluster.now_us;
        cluster.start(3);
        assert_eq!(cluster.machine(3).view().past(), Past::Unconfirmed);
        let serves = |c: &Cluster| !told(c, 3, from_us).is_empty();
        let took_us = cluster.run_until("it serves", SECOND, serves);
        assert!(took_us < 50_000, "round {round}: {took_us} us");
        assert_eq!(told(&cluster, 3, from_us), [&Event::Serves { past: Past::Continuous }]);
        assert_eq!(cluster.machine(3).view().past(), Past::Continuous);
        cluster.run_until("known", 10 * SECOND, |c| c.agrees() && c.all_up());
    }
    assert!(cluster.machine(1).view().members().all(|record| record.life.rival.is_none()));
}

#[test]
fn a_copy_put_back_learns_that_it_is_one_however_often_it_was_started_since() {
    for starts in 1..=4 {
        let mut cluster = settled(2);
        let copy = cluster.copy(3);
        for _ in 0..2 {
            cluster.kill(3);
            cluster.start(3);
            cluster.run_until("known", 10 * SECOND, |c| c.agrees() && c.all_up());
        }
        cluster.kill(3);
        cluster.put_back(3, copy);
        // While it is cut off it only counts its starts, past those of the life that it lacks.
        cluster.cut = [(1, 3), (2, 3)].into();
        for _ in 1..starts {
            cluster.start(3);
            cluster.run_for(SECOND);
            cluster.kill(3);
        }
        cluster.cut.clear();
        let from_us = cluster.now_us;
        cluster.start(3);
        let serves = |c: &Cluster| {
            matches!(told(c, 3, from_us).last(), Some(Event::Serves { past: Past::Lost }))
        };
        cluster.run_until("it has lost its past", 5 * SECOND, serves);
        let events = told(&cluster, 3, from_us);
        assert!(matches!(events[..], [Event::Forgotten(_), Event::Serves { .. }]), "{events:?}");
        cluster.run_until("known", 10 * SECOND, |c| c.agrees() && c.all_up());
    }
}

#[test]
fn a_copy_that_counted_as_many_starts_and_changes_is_told_apart_by_its_name() {
    let mut cluster = settled(3);
    cluster.kill(3);
    let copy = cluster.copy(3);
    cluster.start(3);
    cluster.run_until("known", 10 * SECOND, |c| c.agrees() && c.all_up());
    cluster.kill(3);
    cluster.put_back(3, copy);
    let from_us = cluster.now_us;
    cluster.start(3);
    let told_so = |c: &Cluster| matches!(told(c, 3, from_us).first(), Some(Event::Forgotten(_)));
    cluster.run_until("it is told", SECOND, told_so);
}

#[test]
fn a_node_that_hears_from_nobody_serves_after_the_limit_without_a_vote_and_gets_it_later() {
    let mut cluster = settled(4);
    cluster.kill(3);
    cluster.cut = [(1, 3), (2, 3)].into();
    let from_us = cluster.now_us;
    cluster.start(3);
    let serves = |c: &Cluster| !told(c, 3, from_us).is_empty();
    let took_us = cluster.run_until("it serves", 12 * SECOND, serves);
    assert!(took_us >= 10 * SECOND, "{took_us} us");
    assert_eq!(told(&cluster, 3, from_us), [&Event::Serves { past: Past::Unconfirmed }]);
    assert_eq!(cluster.machine(3).view().past(), Past::Unconfirmed);
    cluster.cut.clear();
    let known = |c: &Cluster| c.machine(3).view().past() == Past::Continuous;
    cluster.run_until("it is known", 5 * SECOND, known);
}

#[test]
fn an_earlier_copy_that_served_before_it_could_know_waits_for_an_admin() {
    let mut cluster = settled(5);
    let copy = cluster.copy(3);
    cluster.kill(3);
    cluster.start(3);
    cluster.run_until("known", 10 * SECOND, |c| c.agrees() && c.all_up());
    cluster.kill(3);
    cluster.put_back(3, copy);
    cluster.cut = [(1, 3), (2, 3)].into();
    let from_us = cluster.now_us;
    cluster.start(3);
    cluster.run_for(12 * SECOND);
    cluster.cut.clear();
    let rival = |c: &Cluster| matches!(told(c, 3, from_us).last(), Some(Event::Rival(_)));
    cluster.run_until("what it took meanwhile may count", 5 * SECOND, rival);
    assert_eq!(cluster.machine(3).view().past(), Past::Unconfirmed);
}

#[test]
fn a_node_whose_start_was_confirmed_by_those_who_knew_nothing_starts_again_once_it_hears_of_its_past()
 {
    let mut cluster = settled(12);
    cluster.kill(3);
    cluster.wipe(3);
    // It finds only a new node, which knows no more of the cluster than itself.
    cluster.seeds = [4].into();
    cluster.cut = [(1, 3), (2, 3), (1, 4), (2, 4)].into();
    cluster.start(4);
    let from_us = cluster.now_us;
    cluster.start(3);
    cluster.run_until("known", 10 * SECOND, |c| c.machine(3).view().past() == Past::Continuous);
    cluster.cut.clear();
    let lost = |c: &Cluster| c.machine(3).view().past() == Past::Lost;
    cluster.run_until("it has lost its past", 30 * SECOND, lost);
    let events = told(&cluster, 3, from_us);
    let unlike = |event: &&&Event| !matches!(event, Event::Serves { .. } | Event::Forgotten(_));
    assert_eq!(events.iter().find(unlike), None, "nobody has to decide: it had taken nothing in");
}

#[test]
fn nodes_without_a_layout_that_find_nobody_serve_within_a_second() {
    let mut cluster = Cluster::new(6);
    cluster.seeds = [1, 2, 3].into();
    cluster.start(1);
    let serves = |c: &Cluster| !told(c, 1, 0).is_empty();
    let took_us = cluster.run_until("it serves", 2 * SECOND, serves);
    assert!(took_us <= SECOND + 1, "{took_us} us");
    cluster.start(2);
    cluster.run_until("both", 3 * SECOND, |c| c.agrees() && c.all_up());
    assert_eq!(cluster.machine(1).view().past(), Past::Continuous);
}

#[test]
fn all_nodes_that_start_at_once_answer_one_another() {
    let mut cluster = settled(7);
    (1..=3).for_each(|node| cluster.kill(node));
    let from_us = cluster.now_us;
    (1..=3).for_each(|node| cluster.start(node));
    let all = |c: &Cluster| (1..=3).all(|node| !told(c, node, from_us).is_empty());
    let took_us = cluster.run_until("all serve", SECOND, all);
    assert!(took_us < 400_000, "{took_us} us");
    for node in 1..=3 {
        assert_eq!(cluster.machine(node).view().past(), Past::Continuous);
    }
}

#[test]
fn two_that_start_together_and_hear_no_answers_do_not_ask_one_another_back_for_ever() {
    let mut cluster = settled(9);
    (1..=3).for_each(|node| cluster.kill(node));
    cluster.cut = [(1, 2), (1, 3), (2, 3)].into();
    (1..=2).for_each(|node| cluster.start(node));
    cluster.run_for(SECOND / 100);
    let now = Now::new(cluster.now_us, cluster.now_us / 1000);
    let asks = |machine: &mut Membership| {
        let outputs = core::iter::from_fn(|| machine.poll_output());
        outputs
            .filter(|output| matches!(output, Output::Send { gossip: Gossip::Recall(_), .. }))
            .count()
    };
    let question = cluster.with(2, |machine| machine.recall());
    let asked_back = cluster.with(1, |machine| {
        for _ in 0..100 {
            machine.handle_gossip(now, NodeId(2), question.clone());
        }
        asks(machine)
    });
    assert_eq!(asked_back, 1);
}

#[test]
fn a_directory_that_an_admin_has_decided_against_ends_and_stays_ended() {
    let mut cluster = settled(8);
    let mut copy = cluster.copy(3);
    cluster.kill(3);
    let given_up = *copy.2.lives.last().unwrap();
    let mut kept = copy.clone();
    kept.2.lives.push(Incarnation(77));
    kept.2.ousts.push(given_up);
    cluster.put_back(3, kept);
    cluster.start(3);
    cluster.run_until("known", 10 * SECOND, |c| c.agrees() && c.all_up());
    let record = cluster.machine(1).view().member(NodeId(3)).unwrap().clone();
    assert_eq!(record.life.ousts, Some(given_up));
    cluster.kill(3);
    copy.1 += 10;
    for _ in 0..2 {
        cluster.put_back(3, copy.clone());
        let from_us = cluster.now_us;
        cluster.start(3);
        let ousted = |c: &Cluster| matches!(told(c, 3, from_us)[..], [Event::Ousted { .. }]);
        cluster.run_until("it ends", 5 * SECOND, ousted);
        cluster.kill(3);
    }
}

#[test]
fn a_copy_of_the_directory_that_an_admin_has_decided_for_is_an_earlier_copy_and_does_not_end() {
    for decided_again in [false, true] {
        let mut cluster = settled(11);
        let mut kept = cluster.copy(3);
        cluster.kill(3);
        let decide = |lineage: &mut Lineage, rival| {
            lineage.lives.push(Incarnation(rival));
            lineage.ousts.push(Incarnation(rival));
        };
        decide(&mut kept.2, 77);
        cluster.put_back(3, kept.clone());
        cluster.start(3);
        cluster.run_until("known", 10 * SECOND, |c| c.agrees() && c.all_up());
        let record = cluster.machine(1).view().member(NodeId(3)).unwrap().clone();
        assert_eq!(record.life.ousts, Some(Incarnation(77)));
        cluster.kill(3);
        if decided_again {
            decide(&mut kept.2, 78);
        }
        let from_us = cluster.now_us;
        cluster.put_back(3, kept);
        cluster.start(3);
        let serves = |c: &Cluster| matches!(told(c, 3, from_us)[..], [_, Event::Serves { .. }]);
        cluster.run_until("it goes on without its data", 5 * SECOND, serves);
        assert!(matches!(told(&cluster, 3, from_us)[0], Event::Forgotten(_)));
        cluster.run_until("known", 10 * SECOND, |c| c.agrees() && c.all_up());
    }
}

/// A cluster of three nodes that were put back from copies of different moments, each believed or not.
fn put_back_from_different_moments(seed: u8, believed: bool) -> Cluster {
    let mut cluster = settled(seed);
    let mut copies = Vec::new();
    for node in 1..=3 {
        for _ in 0..2 {
            cluster.kill(node);
            cluster.start(node);
            cluster.run_until("known", 10 * SECOND, |c| c.agrees() && c.all_up());
        }
        copies.push(cluster.copy(node));
        cluster.kill(node);
        cluster.start(node);
        cluster.run_until("known", 10 * SECOND, |c| c.agrees() && c.all_up());
    }
    (1..=3).for_each(|node| cluster.kill(node));
    for (node, mut copy) in (1..=3).zip(copies) {
        copy.2.believed = believed;
        cluster.put_back(node, copy);
    }
    cluster
}

#[test]
fn believed_copies_of_different_moments_serve_in_whatever_order_they_start() {
    let orders = [[1, 2, 3], [1, 3, 2], [2, 1, 3], [2, 3, 1], [3, 1, 2], [3, 2, 1]];
    for (at_once, order) in [true, false].into_iter().flat_map(|a| orders.map(|order| (a, order))) {
        let mut cluster = put_back_from_different_moments(9, true);
        let from_us = cluster.now_us;
        for node in order {
            cluster.start(node);
            if !at_once {
                // This is past the time at which a node that hears from nobody serves.
                cluster.run_for(15 * SECOND);
            }
        }
        cluster.run_until("known", 20 * SECOND, |c| c.agrees() && c.all_up());
        for node in 1..=3 {
            assert_eq!(cluster.machine(node).view().past(), Past::Continuous, "{order:?}");
            let told = told(&cluster, node, from_us);
            let serves = |event: &&Event| matches!(event, Event::Serves { .. });
            assert!(told.iter().all(serves), "n{node} of {order:?}: {told:?}");
        }
        // Then a copy counts as any other.
        cluster.run_for(65 * SECOND);
        for node in 1..=3 {
            let ends = matches!(told(&cluster, node, from_us).last(), Some(Event::BeliefEnds));
            assert!(ends, "n{node} of {order:?}");
        }
    }
}

#[test]
fn copies_of_different_moments_that_nobody_believes_are_set_aside_where_others_know_better() {
    let mut cluster = put_back_from_different_moments(10, false);
    let from_us = cluster.now_us;
    (1..=3).for_each(|node| cluster.start(node));
    let forgotten = |c: &Cluster| {
        let is_told =
            |node| told(c, node, from_us).iter().any(|e| matches!(e, Event::Forgotten(_)));
        (1..=3).filter(|node| is_told(*node)).count()
    };
    cluster.run_until("the two older ones", 10 * SECOND, |c| forgotten(c) >= 2);
}

#[test]
fn a_clone_of_a_believed_copy_is_still_found() {
    let mut cluster = put_back_from_different_moments(11, true);
    (1..=3).for_each(|node| cluster.start(node));
    cluster.run_until("known", 20 * SECOND, |c| c.agrees() && c.all_up());
    let from_us = cluster.now_us;
    // A running process that writes over and over looks as if members remembered its records.
    let mut found = cluster.machine(1).view().member(NodeId(3)).unwrap().clone();
    found.life = Life::new(Incarnation(4711));
    for _ in 0..200 {
        let view = cluster.machine(3).view();
        let newest = view.member(NodeId(3)).unwrap();
        found.version = found.version.max(newest.version) + 1;
        found.generation = found.generation.max(newest.generation);
        let now = Now::new(cluster.now_us, 0);
        let record = found.clone();
        cluster.with(3, |machine| machine.recollect(now, &record));
    }
    assert!(matches!(told(&cluster, 3, from_us).last(), Some(Event::Rival(_))));
}

#[test]
fn a_process_that_nobody_turns_to_asks_until_it_hears_that_an_admin_decided_against_it() {
    let mut cluster = settled(10);
    let (stored, _, mut lineage) = cluster.copy(3);
    let mut kept = cluster.copy(3);
    cluster.kill(3);
    let given_up = *lineage.lives.last().unwrap();
    kept.2.lives.push(Incarnation(77));
    kept.2.ousts.push(given_up);
    cluster.put_back(3, kept);
    cluster.start(3);
    cluster.run_until("known", 10 * SECOND, |c| c.agrees() && c.all_up());
    // Messages of others to node 3 go to the one that stays; this one hears answers alone.
    let address = crate::tests::address(3);
    lineage.rival = Some(Rival { incarnation: Incarnation(77), address });
    let mut config = crate::tests::config(3);
    config.me.life = Life { rival: lineage.rival, ..Life::new(given_up) };
    config.lineage = lineage;
    let mut other = Membership::new(crate::tests::at(cluster.now_us), config, stored);
    let mut ousted = false;
    for _ in 0..100 {
        cluster.run_for(SECOND / 10);
        let now = crate::tests::at(cluster.now_us);
        other.handle_timeout(now);
        let outputs: Vec<Output> = core::iter::from_fn(|| other.poll_output()).collect();
        for output in outputs {
            match output {
                Output::Send { to: Destination::Node(NodeId(1), _), gossip } => {
                    let answers = cluster.with(1, |machine| {
                        machine.handle_gossip(now, NodeId(3), gossip);
                        core::iter::from_fn(|| machine.poll_output()).collect::<Vec<_>>()
                    });
                    for answer in answers {
                        if let Output::Send { to: Destination::Caller(_), gossip } = answer {
                            other.handle_gossip(now, NodeId(1), gossip);
                        }
                    }
                }
                Output::Event(Event::Ousted { .. }) => ousted = true,
                _ => {}
            }
        }
    }
    assert!(ousted);
}

/// A cluster of three nodes of which the third was copied at tick 1, has told of tick 2, and was killed.
fn copied_within_a_life(seed: u8) -> (Cluster, (Option<Delta>, u64, Lineage)) {
    let mut cluster = settled(seed);
    cluster.tick(3, 1);
    let copy = cluster.copy(3);
    cluster.tick(3, 2);
    let heard = |c: &Cluster| c.machine(1).known.members()[&NodeId(3)].life.tick == 2;
    cluster.run_until("the tick is heard", 20 * SECOND, heard);
    cluster.kill(3);
    (cluster, copy)
}

#[test]
fn a_copy_of_the_same_life_learns_that_it_is_one_by_the_tick_that_others_remember() {
    for (tick, is_old) in [(1, true), (2, false)] {
        let (mut cluster, mut copy) = copied_within_a_life(21);
        copy.2.ticks.values_mut().for_each(|followed| *followed = tick);
        cluster.put_back(3, copy);
        let from_us = cluster.now_us;
        cluster.start(3);
        let serves = |c: &Cluster| !told(c, 3, from_us).is_empty();
        cluster.run_until("it is told", 5 * SECOND, serves);
        let events = told(&cluster, 3, from_us);
        let was_told = matches!(events[0], Event::Forgotten(_));
        assert_eq!(was_told, is_old, "tick {tick}: {events:?}");
    }
}

#[test]
fn a_tick_is_told_with_the_departure_and_else_at_most_every_ten_seconds() {
    let mut cluster = settled(22);
    cluster.run_for(11 * SECOND);
    for tick in 1..=200 {
        cluster.tick(3, tick);
        cluster.run_for(SECOND / 10);
    }
    let version = |c: &Cluster| c.machine(3).known.members()[&NodeId(3)].version;
    let (before, from_us) = (version(&cluster), cluster.now_us);
    for tick in 201..=400 {
        cluster.tick(3, tick);
        cluster.run_for(SECOND / 10);
    }
    let changes = version(&cluster) - before;
    let took_s = (cluster.now_us - from_us) / SECOND;
    assert!(
        changes >= 1 && changes <= took_s / 10 + 1,
        "{changes} changes of the record in {took_s} s"
    );
    cluster.tick(3, 401);
    cluster.leave(3);
    let heard = |c: &Cluster| c.machine(1).known.members()[&NodeId(3)].life.tick == 401;
    cluster.run_until("the last one is heard", 5 * SECOND, heard);
}

#[test]
fn a_copy_of_the_same_life_that_is_believed_serves_and_gives_up_what_came_after_it() {
    let (mut cluster, copy) = copied_within_a_life(23);
    cluster.put_back(3, copy);
    cluster.believe(3);
    let from_us = cluster.now_us;
    cluster.start(3);
    let serves = |c: &Cluster| !told(c, 3, from_us).is_empty();
    cluster.run_until("it serves", 5 * SECOND, serves);
    assert_eq!(told(&cluster, 3, from_us), [&Event::Serves { past: Past::Continuous }]);
    let given_up = |(_, _, event): &&(u64, u64, Event)| matches!(event, Event::GivenUp(_));
    assert_eq!(cluster.events.iter().filter(given_up).count(), 1, "it is written down once");
}

#[test]
fn a_process_whose_peers_answer_another_one_is_told_of_it_where_it_asks() {
    // The first node is its own only seed: once it takes all others to be dead, it turns to nobody else.
    for (node, blind) in [(3, false), (3, true), (1, false), (1, true)] {
        let mut cluster = settled(24);
        let mut original = cluster.machine(node).clone();
        // The node starts elsewhere, and the messages of others to it go there.
        cluster.kill(node);
        cluster.start(node);
        cluster.run_until("known", 10 * SECOND, |c| c.agrees() && c.all_up());
        let mut rival = None;
        for tenth in 0..300 {
            cluster.run_for(SECOND / 10);
            let now = crate::tests::at(cluster.now_us);
            original.handle_timeout(now);
            let outputs: Vec<Output> = core::iter::from_fn(|| original.poll_output()).collect();
            if blind && tenth < 200 {
                continue;
            }
            for output in outputs {
                match output {
                    Output::Send {
                        to: Destination::Node(_, address) | Destination::Seed(address),
                        gossip,
                    } if address != crate::tests::address(node) => {
                        let peer = u64::from(address.port());
                        for answer in cluster.answers(peer, node, gossip) {
                            original.handle_gossip(now, NodeId(peer), answer);
                        }
                    }
                    Output::Event(Event::Rival(found)) => rival = Some(found.incarnation),
                    _ => {}
                }
            }
        }
        let running = cluster.machine(node).config.me.life.incarnation;
        assert_eq!(rival, Some(running), "node {node}, blind: {blind}");
    }
}

#[test]
fn a_process_that_stood_still_for_long_is_set_aside_if_an_admin_stays_with_it() {
    let life_us = u64::from(crate::tests::record(3).message_life_ms) * 1_000;
    for (still_us, outlived) in [(SECOND, false), (6 * life_us, true)] {
        let mut cluster = settled(26);
        // Old news of the same life is no other life.
        cluster.tick(3, 1);
        cluster.run_for(20 * SECOND);
        cluster.tick(3, 2);
        cluster.run_for(6 * life_us);
        let mut original = cluster.machine(3).clone();
        cluster.kill(3);
        cluster.start(3);
        cluster.run_until("known", 10 * SECOND, |c| c.agrees() && c.all_up());
        cluster.run_for(still_us);
        let mut told = Vec::new();
        for _ in 0..50 {
            cluster.run_for(SECOND / 10);
            let now = crate::tests::at(cluster.now_us);
            original.handle_timeout(now);
            let outputs: Vec<Output> = core::iter::from_fn(|| original.poll_output()).collect();
            for output in outputs {
                match output {
                    Output::Send { to: Destination::Node(peer, _), gossip } => {
                        for answer in cluster.answers(peer.0, 3, gossip) {
                            original.handle_gossip(now, peer, answer);
                        }
                    }
                    Output::Event(event @ Event::Absent { .. }) => told.push(event),
                    _ => {}
                }
            }
        }
        assert_eq!(told, [Event::Absent { outlived }], "for the directory to remember");
        original.keep(crate::tests::address(3)).unwrap();
        assert_eq!(decided(&mut original), Some(outlived), "it stood still for {still_us} us");
    }
}

/// Returns whether an admin's decision for a process sets its data aside; `None` without a decision.
fn decided(node: &mut Membership) -> Option<bool> {
    core::iter::from_fn(|| node.poll_output()).find_map(|output| match output {
        Output::Event(Event::Prevails { outlived }) => Some(outlived),
        _ => None,
    })
}

/// A machine whose directory knows of a rival, with one other node, and that rival.
fn disputed(outlived: Option<bool>) -> (Membership, Rival) {
    disputed_among(outlived, &[2])
}

/// A start of a directory that knows of a rival and of these other nodes.
fn disputed_among(outlived: Option<bool>, others: &[u64]) -> (Membership, Rival) {
    let mut config = crate::tests::config(3);
    let rival = Rival { incarnation: Incarnation(77), address: crate::tests::address(2) };
    config.lineage = Lineage { rival: Some(rival), outlived, ..config.lineage };
    let members = others.iter().map(|node| crate::tests::record(*node)).collect();
    let stored = Delta { members, ..Delta::default() };
    (Membership::new(crate::tests::at(0), config, Some(stored)), rival)
}

/// Has another node answer what it remembers, and for how long it has known of another process.
fn answer(node: &mut Membership, superseded_ms: Option<u64>) {
    let asked = node.config.me.life.incarnation;
    let layout = LayoutId::default();
    let answer = Gossip::Recalled { asked, record: None, layout, wall_ms: 0, superseded_ms };
    node.handle_gossip(crate::tests::at(1), NodeId(2), answer);
}

#[test]
fn an_admin_can_not_stay_with_a_process_before_another_node_has_answered_it() {
    let (mut node, rival) = disputed(None);
    let address = node.config.me.address;
    let refused = node.keep(address).unwrap_err();
    assert_eq!(refused.code, ErrorCode::NotReady, "{refused}");
    answer(&mut node, None);
    assert_eq!(node.keep(address).unwrap(), rival);
    let (mut alone, rival) = disputed_among(None, &[]);
    assert_eq!(alone.keep(address).unwrap(), rival, "nobody else is there to answer");
    assert_eq!(decided(&mut alone), Some(false), "nor to refill it");
}

#[test]
fn one_that_was_started_again_since_it_found_a_rival_goes_by_how_long_it_was_out_before() {
    for (before, outlived) in [(Some(true), true), (Some(false), false), (None, true)] {
        // Others have known of the rival for long by now, or can't say so of this process.
        for superseded_ms in [None, Some(1), Some(1_000_000_000)] {
            let (mut node, _) = disputed(before);
            answer(&mut node, superseded_ms);
            node.keep(node.config.me.address).unwrap();
            assert_eq!(decided(&mut node), Some(outlived), "{before:?}, {superseded_ms:?}");
        }
    }
}

#[test]
fn one_that_finds_a_rival_as_it_starts_may_have_an_old_directory_whatever_others_can_say_of_it() {
    for (confirmed, outlived) in [(false, true), (true, false)] {
        let config = crate::tests::config(3);
        let members = [crate::tests::record(2)].into();
        let stored = Delta { members, ..Delta::default() };
        let mut node = Membership::new(crate::tests::at(0), config, Some(stored));
        if confirmed {
            answer(&mut node, None);
            node.handle_timeout(crate::tests::at(10 * SECOND));
            assert_eq!(node.lives.stage, super::LifeStage::Known);
        }
        let rival = MemberRecord {
            life: Life::new(Incarnation(77)),
            generation: 9,
            address: crate::tests::address(9),
            ..crate::tests::record(3)
        };
        node.handle_gossip(crate::tests::at(1), NodeId(3), Gossip::Recall(Box::new(rival)));
        assert_eq!(node.lives.stage, super::LifeStage::Disputed);
        // Nobody has ever known this life in another one's place.
        answer(&mut node, None);
        let noted = |output: &Output| match output {
            Output::Event(Event::Absent { outlived }) => Some(*outlived),
            _ => None,
        };
        let outputs: Vec<Output> = core::iter::from_fn(|| node.poll_output()).collect();
        assert_eq!(outputs.iter().find_map(noted), Some(outlived), "the directory remembers it");
        node.keep(node.config.me.address).unwrap();
        assert_eq!(decided(&mut node), Some(outlived), "confirmed: {confirmed}");
    }
}

#[test]
fn a_process_that_may_know_an_old_state_commits_nothing_on_top_of_it() {
    use jedlik_protocol::admin::AdminRequest;
    let commit = AdminRequest::Commit { plan: jedlik_protocol::Digest(0), lost: 0, dry_run: false };
    let unstage = AdminRequest::Unstage { nodes: Vec::new() };
    let set = AdminRequest::BucketSet { name: b"b"[..].into(), changes: Vec::new() };
    let config = crate::tests::config(3);
    let stored = Delta { members: [crate::tests::record(2)].into(), ..Delta::default() };
    let mut node = Membership::new(crate::tests::at(0), config, Some(stored));
    let refused = |node: &mut Membership| {
        [&commit, &unstage, &set].map(|request| {
            let refused = node.handle_admin(crate::tests::at(1), request).err();
            refused.map(|failure| failure.code)
        })
    };
    assert_eq!(refused(&mut node), [Some(ErrorCode::NotReady); 3], "others have yet to answer");
    answer(&mut node, None);
    node.handle_timeout(crate::tests::at(10 * SECOND));
    assert_eq!(refused(&mut node)[1..], [None, None], "nothing is in the way any more");
    node.end_for(Event::Forgotten(Box::new(crate::tests::record(3))));
    assert_eq!(refused(&mut node), [Some(ErrorCode::NotReady); 3], "it is about to start again");
}

#[test]
fn a_directory_that_names_a_rival_is_an_earlier_copy_where_others_remember_a_life_after_the_decision()
 {
    let life = |incarnation, rival| Life { rival, ..Life::new(Incarnation(incarnation)) };
    let of_mine = Rival { incarnation: Incarnation(3), address: crate::tests::address(3) };
    let cases = [
        ("the life that stayed, or one after it", life(99, None), true),
        ("the rival", life(77, None), false),
        ("the rival, started again", life(99, Some(of_mine)), false),
    ];
    for (what, life, is_copy) in cases {
        let (mut node, _) = disputed(Some(false));
        let sent: Vec<Output> = core::iter::from_fn(|| node.poll_output()).collect();
        let speaks =
            |output: &Output| matches!(output, Output::Send { gossip: Gossip::Offer(..), .. });
        assert!(!sent.iter().any(speaks), "before others are heard: {sent:?}");
        let found = MemberRecord { life, generation: 9, ..crate::tests::record(3) };
        let (asked, record) = (node.config.me.life.incarnation, Some(Box::new(found)));
        let layout = LayoutId::default();
        let answer = Gossip::Recalled { asked, record, layout, wall_ms: 0, superseded_ms: None };
        node.handle_gossip(crate::tests::at(1), NodeId(2), answer);
        let outputs: Vec<Output> = core::iter::from_fn(|| node.poll_output()).collect();
        let forgotten = |output: &Output| matches!(output, Output::Event(Event::Forgotten(_)));
        assert_eq!(outputs.iter().any(forgotten), is_copy, "{what}: {outputs:?}");
    }
}

#[test]
fn a_member_that_was_started_again_tells_no_time_by_the_turns_that_two_processes_take() {
    let mut node = Membership::new(
        crate::tests::at(0),
        crate::tests::config(1),
        Some(Delta { members: [2, 3].map(crate::tests::record).into(), ..Delta::default() }),
    );
    let rival =
        |life| Some(Rival { incarnation: Incarnation(life), address: crate::tests::address(3) });
    let tell = |node: &mut Membership, generation, life: Life| {
        let record = MemberRecord { life, generation, ..crate::tests::record(3) };
        let news = Delta { members: [record].into(), ..Delta::default() };
        node.handle_gossip(crate::tests::at(generation * SECOND), NodeId(2), Gossip::Close(news));
    };
    tell(&mut node, 5, Life { rival: rival(78), ..Life::new(Incarnation(77)) });
    tell(&mut node, 6, Life { rival: rival(77), ..Life::new(Incarnation(78)) });
    tell(&mut node, 7, Life { rival: rival(78), ..Life::new(Incarnation(77)) });
    let since_ms = |life| node.lives.superseded.since_ms(8 * SECOND, NodeId(3), Incarnation(life));
    assert_eq!((since_ms(77), since_ms(78)), (None, None));
    assert_eq!(since_ms(3), Some(3_000), "its first change was seen");
}

#[test]
fn a_later_start_is_newer_than_all_that_a_process_that_wakes_says_without_having_heard_of_it() {
    let mut cluster = settled(27);
    let original = cluster.machine(3).clone();
    cluster.kill(3);
    // The copy has counted fewer starts than the process had.
    cluster.forget_starts(3);
    cluster.start(3);
    cluster.run_until("known", 10 * SECOND, |c| c.agrees() && c.all_up());
    let known = &cluster.machine(1).known.members()[&NodeId(3)];
    assert!(known.generation > original.config.me.generation, "{known:?}");
}

#[test]
fn who_stayed_and_then_lost_its_disk_is_not_ousted_by_its_own_earlier_life() {
    let mut config = crate::tests::config(3);
    let (clone, earlier) = (Incarnation(77), Incarnation(78));
    // The node has lost its disk, and was told of the clone's life first.
    config.lineage = Lineage { lost: true, ..Lineage::first(config.me.life.incarnation) };
    config.lineage.lives.insert(0, clone);
    let node = Membership::new(crate::tests::at(0), config, None);
    let mut decided = crate::tests::record(3);
    decided.life = Life { ousts: Some(clone), ..Life::new(earlier) };
    assert!(!node.is_ousted_by(&decided), "it listened there itself");
    decided.address = crate::tests::address(78);
    assert!(node.is_ousted_by(&decided), "an admin has decided for a process elsewhere");
}

#[test]
fn one_that_has_lost_its_past_asks_the_life_that_outdoes_it_whether_it_runs() {
    let mut config = crate::tests::config(3);
    config.lineage = Lineage { lost: true, ..Lineage::first(config.me.life.incarnation) };
    let members = [crate::tests::record(2)].into();
    let stored = Delta { members, ..Delta::default() };
    let mut node = Membership::new(crate::tests::at(0), config, Some(stored));
    let mut now = crate::tests::at(0);
    while node.view().past() != Past::Lost {
        now = crate::tests::at(node.poll_timeout().expect("it goes on").max(now.mono_us));
        node.handle_timeout(now);
        while let Some(output) = node.poll_output() {
            if let Output::Send { gossip: Gossip::Recall(record), .. } = output {
                let (asked, layout) = (record.life.incarnation, LayoutId::default());
                let answer = Gossip::Recalled {
                    asked,
                    record: None,
                    layout,
                    wall_ms: 0,
                    superseded_ms: None,
                };
                node.handle_gossip(now, NodeId(2), answer);
            }
        }
    }
    let mut found = crate::tests::record(3);
    found.life = Life::new(Incarnation(78));
    found.address = crate::tests::address(78);
    found.generation += 5;
    let news = Delta { members: [found.clone()].into(), ..Delta::default() };
    node.handle_gossip(now, NodeId(2), Gossip::Close(news));
    let outputs: Vec<Output> = core::iter::from_fn(|| node.poll_output()).collect();
    let asks = |output: &Output| matches!(output, Output::Send { to: Destination::Seed(at), gossip: Gossip::Recall(_) } if *at == found.address);
    assert!(outputs.iter().any(asks), "{outputs:?}");
    let asked = crate::tests::config(3).me.life.incarnation;
    let record = Some(Box::new(found));
    let layout = LayoutId::default();
    let answer = Gossip::Recalled { asked, record, layout, wall_ms: 0, superseded_ms: None };
    node.handle_gossip(now, NodeId(3), answer);
    let outputs: Vec<Output> = core::iter::from_fn(|| node.poll_output()).collect();
    let notices = |output: &Output| matches!(output, Output::Event(Event::Rival(_)));
    assert!(outputs.iter().any(notices), "it runs, and says so: {outputs:?}");
}

#[test]
fn a_process_that_knows_nobody_is_told_of_the_newer_life_that_others_remember() {
    let mut cluster = settled(25);
    let mut config = crate::tests::config(3);
    config.me.life = Life::new(Incarnation(77));
    config.me.generation = 0;
    config.lineage = Lineage { lost: true, ..Lineage::first(Incarnation(77)) };
    config.seeds.clear();
    let mut stranger = Membership::new(crate::tests::at(cluster.now_us), config, None);
    stranger.set_seeds([crate::tests::address(2)].into());
    let mut told = false;
    for _ in 0..100 {
        cluster.run_for(SECOND / 10);
        let now = crate::tests::at(cluster.now_us);
        stranger.handle_timeout(now);
        let outputs: Vec<Output> = core::iter::from_fn(|| stranger.poll_output()).collect();
        for output in outputs {
            match output {
                Output::Send { to: Destination::Seed(_), gossip } => {
                    for answer in cluster.answers(2, 3, gossip) {
                        stranger.handle_gossip(now, NodeId(2), answer);
                    }
                }
                Output::Event(Event::Contested { .. }) => told = true,
                _ => {}
            }
        }
    }
    assert!(told);
}
